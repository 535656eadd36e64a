"""A command: streams are byte-exact and apart, exit statuses faithful, whatever the command does."""
import os
import random
import signal
import subprocess
import threading
import time

import pytest


def test_streams_are_apart_and_exact(box):
    data = bytes(range(256)) * 40
    run = box.run("python3", "-c", "import sys; d=bytes(range(256))*40; sys.stdout.buffer.write(d);"
                  "sys.stderr.buffer.write(d[::-1])")
    assert run.code == 0
    assert run.out == data
    assert run.err == data[::-1]


def test_every_exit_status(box):
    """100 commands: each status comes back as it is."""
    statuses = [0, 1, 2, 125, 126, 127, 128, 254, 255] + random.sample(range(3, 125), 71)
    for code in statuses:
        assert box.run("sh", "-c", f"exit {code}").code == code


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGINT, signal.SIGKILL, signal.SIGSEGV,
                                    signal.SIGPIPE, signal.SIGTERM, signal.SIGUSR1])
def test_ended_by_a_signal(box, number):
    assert box.run("sh", "-c", f"kill -{int(number)} $$").code == 128 + number


def test_a_burst_of_commands(box):
    """20 at once, twice: no mixed-up output."""
    def one(at, got):
        got[at] = box.run("echo", f"this is {at}", timeout=60)
    for _round in range(2):
        got = {}
        threads = [threading.Thread(target=one, args=(i, got)) for i in range(20)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        assert [got[i].text for i in range(20)] == [f"this is {i}\n" for i in range(20)]


def test_arguments_arrive_as_they_are(box):
    words = ["", " ", "a b", "*", "$HOME", "'\"`", "--", "-x", "\n", "ü", "\\n", "x" * 20000]
    run = box.run("python3", "-c", "import sys; print(sys.argv[1:])", *words)
    assert run.text == repr(words) + "\n"


def test_not_found_and_not_executable(box):
    assert box.run("no-such-program").code == 127
    assert box.run("/etc/passwd").code == 126
    assert box.run("/").code == 126
    run = box.rig.sbx("exec", "no-such-box", "true")
    assert run.code == 125
    assert b"not found" in run.err


def test_stdin_is_piped_and_ends(box):
    data = os.urandom(300_000)
    run = box.rig.sbx("exec", "-i", box.name, "--", "sha256sum", input=data)
    import hashlib
    assert run.text.split()[0] == hashlib.sha256(data).hexdigest()
    assert box.rig.sbx("exec", "-i", box.name, "--", "cat", input=b"").out == b""


def test_without_i_there_is_no_input(box):
    assert box.rig.sbx("exec", box.name, "--", "cat", input=b"not for you", timeout=20).out == b""


def test_a_command_that_does_not_read_its_input(box):
    run = box.rig.sbx("exec", "-i", box.name, "--", "sh", "-c", "exit 7", input=b"x" * 2_000_000, timeout=30)
    assert run.code == 7


def test_big_output_to_a_slow_reader(box):
    """20 MB through a reader that stops for a while: all of it arrives, memory does not grow."""
    child = box.rig.popen("exec", box.name, "--", "sh", "-c",
                          "head -c 20000000 /dev/zero; echo end >&2; exit 3",
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    time.sleep(2)
    got = 0
    while chunk := child.stdout.read1(1 << 16):
        got += len(chunk)
        if got < 400_000:
            time.sleep(0.05)
    assert child.stderr.read() == b"end\n"
    assert child.wait(20) == 3
    assert got == 20_000_000


def test_output_after_the_reader_has_gone(box):
    child = box.rig.popen("exec", box.name, "--", "sh", "-c", "yes; echo gone >&2",
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    child.stdout.read(4096)
    child.stdout.close()
    assert child.wait(20) != 0
    end = time.monotonic() + 10
    while box.sh("pgrep -x yes").code == 0:
        assert time.monotonic() < end, "the command runs on for nobody"
        time.sleep(0.3)


def test_the_tail_is_never_lost(box):
    """Exit while output is pending, 30 times: the last byte arrives before the status."""
    for number in range(30):
        run = box.run("sh", "-c", f"seq 1 3000; echo last; exit {number}")
        assert run.code == number
        assert run.out.endswith(b"3000\nlast\n")


def test_environment_directory_and_user(box):
    rig = box.rig
    run = rig.ok("exec", "-e", "A=b c", "-e", "E=", "-w", "/tmp", "-u", "0", box.name, "--", "sh", "-c",
                 'echo "$A|$E|$(pwd)|$(id -u)"')
    assert run.text == "b c||/tmp|0\n"
    assert box.ok("pwd; id -un; id -u; echo $HOME").split("\n")[:4] == [
        str(box.ws), "agent", "1000", "/home/agent"]
    run = rig.sbx("exec", "-w", "/no/such/dir", box.name, "--", "true")
    assert run.code in (125, 126, 127) and b"/no/such/dir" in run.err


def test_env_file(box):
    path = box.rig.base / "env"
    path.write_text("# comment\n\nONE=1\nTWO=2\n")
    run = box.rig.ok("exec", "--env-file", path, "-e", "TWO=two", box.name, "--", "sh", "-c", "echo $ONE $TWO")
    assert run.text == "1 two\n"


def test_sudo_without_a_password(box):
    assert box.ok("sudo -n id -u") == "0\n"


def test_the_command_ends_with_its_client(box):
    child = box.rig.popen("exec", box.name, "--", "sleep", "1234", stdin=subprocess.DEVNULL,
                          stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    end = time.monotonic() + 20
    while box.sh("pgrep -f 'sleep 123[4]'").code:
        assert time.monotonic() < end
        time.sleep(0.2)
    child.kill()
    child.wait()
    end = time.monotonic() + 12
    while box.sh("pgrep -f 'sleep 123[4]'").code == 0:
        assert time.monotonic() < end, "the command outlived its client"
        time.sleep(0.3)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_go_to_the_command(box, number):
    child = box.rig.popen("exec", box.name, "--", "sh", "-c",
                          "trap 'echo got INT; exit 5' INT; trap 'echo got TERM; exit 6' TERM; echo ready;"
                          " while :; do sleep 0.1; done",
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert child.stdout.readline() == b"ready\n"
    child.send_signal(number)
    assert child.stdout.read() == (b"got INT\n" if number == signal.SIGINT else b"got TERM\n")
    assert child.wait(15) == (5 if number == signal.SIGINT else 6)


def test_what_is_not_allowed_is_refused_fast(box):
    """A connection, a look-up and a datagram that no rule allows fail at once, with words, and never hang."""
    started = time.monotonic()
    run = box.sh("curl -sS -m 20 http://192.0.2.1/; curl -sS -f -m 20 http://192.0.2.1/")
    assert run.code != 0 and '"code":"denied"' in run.text, run
    assert box.sh("getent hosts example.com").code != 0
    assert box.sh("curl -sSf -m 20 http://[2001:db8::1]:22/").code != 0
    assert box.python("""
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(5)
s.connect(("192.0.2.1", 443)); s.send(b"x")
try: s.recv(1)
except ConnectionRefusedError: print("refused")
""").text == "refused\n"
    assert time.monotonic() - started < 15
    assert set(box.ok("ls /sys/class/net").split()) == {"lo", "sbx0"}


def test_forwarder_comes_back(box):
    """One that is killed inside is there again at once, with the connections that came in the meantime."""
    before = box.ok("pgrep -x sbx-forward").strip()
    box.root_ok("kill -9 $(pgrep -x sbx-forward)")
    assert '"code":"denied"' in box.sh("curl -sS -m 20 http://192.0.2.1/").text
    assert box.ok("pgrep -x sbx-forward").strip() != before


def test_zombies_are_reaped(box):
    box.ok("for i in $(seq 30); do (sleep 0.1 &) ; done; sleep 1.5")
    assert box.ok("ps -eo stat= | grep -c ^Z || true").strip() == "0"
