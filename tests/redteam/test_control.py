"""Groups G and N: the agent's channel and what reaches a terminal."""
import os
import signal
import subprocess
import time

import pytest

from rig import assert_printable

# Guest root replaces the agent's end: speak on the boot port as the agent would, but wrong.
SPEAK = """
import os, socket, struct, sys
def frame(kind, body=b"", version=1, zero=0, length=None):
    return struct.pack("<IBBH", len(body) if length is None else length, kind, version, zero) + body
def text(b): return struct.pack("<I", len(b)) + b
def say(*frames, port=1):
    s = socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM); s.settimeout(5)
    try:
        s.connect((2, port))
        for f in frames: s.sendall(f)
        got = b""
        while True:
            chunk = s.recv(65536)
            if not chunk: break
            got += chunk
            if len(got) > 100: break
        return len(got)
    except OSError as e:
        return type(e).__name__
    finally:
        s.close()
"""

LIES = {
    "length of 4 GiB": "say(frame(0x10, length=2**32 - 1))",
    "a type that is not there": "say(frame(0xee, b'x'))",
    "another version": "say(frame(0x10, version=9))",
    "reserved bits": "say(frame(0x10, zero=7))",
    "ready without hello": "say(frame(0x13, struct.pack('<Q', 1)))",
    "hello twice": "say(frame(0x10, struct.pack('<I', 1) + text(b'k')), frame(0x10, struct.pack('<I', 1) + text(b'k')))",
    "an answer never asked for": "say(frame(0x37, struct.pack('<IB', 0, 0)), frame(0x31, b'x' * 60000))",
    "a negative exit": "say(frame(0x37, struct.pack('<iB', -1, 255)))",
    "a version from the future": "say(frame(0x10, struct.pack('<I', 2**32 - 1) + text(b'k' * 60)))",
    "escape sequences": "say(frame(0x10, struct.pack('<I', 1) + text(b'\\x1b]0;pwned\\x07')), frame(0x21, struct.pack('<I', 5) + text(b'\\x1b[2J\\xff')))",
    "steps without end": "say(frame(0x10, struct.pack('<I', 1) + text(b'k')), *[frame(0x12, text(b's' * 200))] * 5000)",
    "megabytes of nothing": "say(*[os.urandom(65536)] * 100)",
}


@pytest.mark.parametrize("lie", LIES)
def test_cc01_lies_on_the_boot_port(rig, a, b, outside, lie):
    run = a.python(SPEAK + "print(" + LIES[lie] + ")", timeout=60)
    assert run.code == 0, run
    assert a.status() == "running", "a second voice on the boot port changed the state"
    assert a.ok("echo still here") == "still here\n"
    assert_printable(rig.ok("inspect", a.name).out)


def test_cc02_random_bytes_on_the_boot_port(rig, a, b, outside):
    run = a.python(SPEAK + """
import random
r = random.Random(4)
for i in range(150):
    kinds = [0x10, 0x12, 0x13, 0x20, 0x21, 0x30, 0x31, 0x37, 0x3b, r.randrange(256)]
    say(*[frame(r.choice(kinds), os.urandom(r.randrange(80)), version=r.choice([1, 1, 1, 2])) for _ in range(r.randrange(1, 5))])
""", timeout=200)
    assert run.code == 0, run
    assert a.ok("echo still here") == "still here\n"


def test_cc06_the_agent_stops_answering(rig, image):
    """PID 1 inside cannot be stopped, so the machine is: every call returns within its deadline."""
    box = rig.create("box-mute").start()
    machines = rig.machine_of("box-mute")
    for pid in machines:
        os.kill(pid, signal.SIGSTOP)
    try:
        started = time.monotonic()
        rig.ok("ls", timeout=10)
        assert time.monotonic() - started < 1.5
        run = rig.sbx("exec", "box-mute", "--", "true", timeout=60)
        assert run.code == 125 and run.seconds < 45, run
        assert rig.ok("ls").seconds < 1.5
        assert rig.sbx("inspect", "box-mute", timeout=20).code == 0
    finally:
        for pid in machines:
            try:
                os.kill(pid, signal.SIGCONT)
            except ProcessLookupError:
                pass
    end = time.monotonic() + 30
    while box.run("true", timeout=60).code != 0:
        assert time.monotonic() < end, "it does not recover"
        time.sleep(1)
    for pid in rig.machine_of("box-mute"):
        os.kill(pid, signal.SIGSTOP)
    rig.ok("rm", "--force", "box-mute", timeout=60)  # a hung machine can be removed


def test_cc06_output_that_drips(rig, a, b, outside):
    run = a.run("sh", "-c", "for i in 1 2 3 4 5 6; do printf x; sleep 0.5; done", timeout=20)
    assert run.out == b"xxxxxx"


def test_cc07_no_other_bridges(rig, a, b, outside):
    """No clipboard, no browser, no notifications: nothing of the host's session is inside."""
    env = a.ok("env")
    for word in ("DISPLAY", "WAYLAND", "DBUS", "SSH_AUTH_SOCK", "XDG_RUNTIME", "DOCKER_HOST"):
        assert word not in env
    assert a.root("ls /run/docker.sock /tmp/.X11-unix /run/dbus/system_bus_socket").code != 0


SEQUENCES = ["\x1b]52;c;cHduZWQ=\x07", "\x1b]0;title\x07", "\x1b[21t", "\x1bP$q\"p\x1b\\", "\x1b]8;;http://x\x1b\\a\x1b]8;;\x1b\\",
             "\x1b[201~", "\x9b31m", "\x1b[6n", "\x1b[2J", "\r", "\x08\x08", "\u202e", "\u2066", "\u200b", "\u2028", "\x00",
             "\x1b[?1049h", "\x1b(0", "\x0e", "\x7f"]


def test_tx01_views_show_escaped_text(rig, a, b, outside):
    """Console, names and errors made inside; each view of the host prints plain text only."""
    for sequence in SEQUENCES:
        a.run("python3", "-c", "import sys; d=sys.stdin.buffer.read()\n"
              "open('/dev/kmsg','wb').write(d)", flags=("-i", "-u", "0"), input=b"X" + sequence.encode() + b"Y\n")
        a.run("sh", "-c", "cat > /dev/console", flags=("-i", "-u", "0"), input=b"X" + sequence.encode() + b"Y\n")
        for words in (["cp", f"{a.name}:/tmp/none{sequence}".replace("\0", ""), rig.base / "x"],
                      ["exec", a.name, "--", f"none{sequence}".replace("\0", "")],
                      ["exec", "-w", f"/none{sequence}".replace("\0", ""), a.name, "--", "true"],
                      ["exec", "-u", f"none{sequence}".replace("\0", ""), a.name, "--", "true"]):
            run = rig.sbx(*words, timeout=30)
            assert run.code != 0
            assert_printable(run.err)
    assert_printable(rig.ok("logs", "--console", a.name).out)


def test_tx01_a_terminal_gets_what_the_command_says(rig, a, b, outside):
    """The twin: an attached command's own bytes are its own, unchanged."""
    assert a.run("printf", "\\033[31mred\\033[0m").out == b"\x1b[31mred\x1b[0m"


def test_tx03_one_record_is_one_line(rig, a, b, outside):
    """Names with line feeds in requests and errors: the daemon's log keeps one record per line."""
    for evil in ("a\nb", "a\r\nb", "a\u2028b", "\xff\xfe", "x\x1b[2J"):
        rig.sbx("inspect", evil)
        rig.sbx("exec", a.name, "--", evil)
    for path in list(rig.state.glob("*.log")) + list(rig.state.glob("sandboxes/*/*.log")):
        if "console" in path.name:
            continue
        for line in path.read_bytes().split(b"\n"):
            assert_printable(line)
            assert not line or line[:2] == b"20" or line.startswith(b" "), line[:200]


def test_tx05_a_line_without_end(rig, a, b, outside):
    child = rig.popen("exec", a.name, "--", "sh", "-c", "head -c 60000000 /dev/zero | tr '\\0' a",
                      stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    total = peak = 0
    while chunk := child.stdout.read1(1 << 18):
        total += len(chunk)
        if total % 5 == 0:
            status = open(f"/proc/{child.pid}/status").read()
            if "VmRSS" in status:
                peak = max(peak, int(status.split("VmRSS:")[1].split()[0]))
    assert child.wait(30) == 0 and total == 60_000_000
    assert peak < 32 << 10, f"{peak} KiB"
