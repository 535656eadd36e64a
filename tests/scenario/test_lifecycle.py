"""A birth and what comes after: stop, start, the daemon's death, two of everything, broken parts."""
import json
import os
import pathlib
import re
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time

import pytest

from rig import SBX, cpu_ticks, processes


def test_stop_and_start_keep_the_scratch_disk(rig, box):
    box.root_ok("echo kept > /root/file; mkdir -p /opt/x; echo 1 > /opt/x/y; sync")
    rig.ok("stop", box.name)
    assert box.status() == "stopped"
    assert not rig.machine_of(box.name)
    assert box.root_ok("cat /root/file /opt/x/y", timeout=90) == "kept\n1\n"
    assert box.status() == "running"
    rig.ok("stop", box.name)
    rig.ok("stop", box.name)  # stopping what is stopped changes nothing
    box.start()


def test_what_ignores_the_end_loses_nothing(rig, box):
    """A process that does not go within the grace is killed; what was written before is on the disk all the same."""
    box.ok("mkdir -p /home/agent/late && (trap '' TERM HUP; exec sleep 600) >/dev/null 2>&1 </dev/null &")
    box.ok("head -c 3000000 /dev/zero | tr '\\0' x > /home/agent/late/file")
    began = time.monotonic()
    rig.ok("stop", "-t", "3", box.name)
    assert time.monotonic() - began >= 2.5  # it was waited for
    assert box.status() == "stopped"
    assert box.ok("stat -c %s /home/agent/late/file && tail -c 3 /home/agent/late/file", timeout=90) == "3000000\nxxx"


def test_status_is_truthful(rig, box):
    info = rig.json("inspect", "--json", box.name)
    assert info["status"] == "running" and info["isolation"] == "emulated"
    assert info["name"] == box.name and info["plan_hash"]
    assert "emulated" in rig.ok("ls").text + rig.ok("inspect", box.name).text


def test_power_off_from_inside(rig, image):
    box = rig.create("box-off").start()
    box.sh("sudo -n poweroff -f || sudo -n sh -c 'echo o > /proc/sysrq-trigger'", timeout=40)
    status = rig.wait_status("box-off", ("stopped", "crashed"))
    assert status in ("stopped", "crashed")
    assert box.run("true", timeout=90).code == 0
    box.remove()


def test_pause_and_resume(rig, box):
    rig.ok("pause", box.name)
    assert box.status() == "paused"
    rig.ok("resume", box.name)
    assert box.ok("echo on") == "on\n"


def test_two_creates_of_one_name(rig):
    folder = rig.new_dir()
    results = []
    threads = [threading.Thread(target=lambda: results.append(
        rig.sbx("create", "--name", "box-two", "shell", folder))) for _ in range(6)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    codes = sorted(r.code for r in results)
    assert codes == [0, 1, 1, 1, 1, 1], results
    assert all("box-two" in r.errors for r in results if r.code), results
    assert any("already" in r.errors for r in results), results
    rig.ok("rm", "--force", "box-two")


def test_the_name_is_free_after_rm(rig):
    folder = rig.new_dir()
    for _ in range(3):
        rig.ok("create", "--name", "box-again", "shell", folder)
        rig.ok("rm", "--force", "box-again")
    assert "box-again" not in rig.boxes()


def test_sandboxes_outlive_the_daemon(rig, box):
    """Stop and kill -9 of sbxd: what runs goes on, output included, and is adopted again."""
    for how in ("stop", "kill"):
        child = rig.popen("exec", box.name, "--", "sh", "-c", "for i in $(seq 8); do echo $i; sleep 0.5; done; exit 4",
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert child.stdout.readline() == b"1\n"
        before = set(rig.machine_of(box.name))
        if how == "stop":
            rig.ok("daemon", "stop")
        else:
            os.kill(rig.daemon_pid(), signal.SIGKILL)
        started = time.monotonic()
        status = rig.boxes()[box.name]["status"]
        assert time.monotonic() - started < 3
        if status != "running":
            rig.wait_status(box.name, ("running",), 3)
        assert set(rig.machine_of(box.name)) == before
        assert child.stdout.read() == b"2\n3\n4\n5\n6\n7\n8\n"
        assert child.wait(20) == 4
        assert box.ok("echo adopted") == "adopted\n"


def test_many_start_the_daemon_at_once(rig, box):
    rig.ok("daemon", "stop")
    results = []
    threads = [threading.Thread(target=lambda: results.append(rig.sbx("ls", "-q"))) for _ in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert [r.code for r in results] == [0] * 8, results
    assert len([1 for name in rig.look().values() if name == "sbxd"]) == 1


def test_a_second_daemon_gives_way(rig):
    rig.ok("ls")
    first = rig.daemon_pid()
    for more in ([], ["--foreground"]):
        run = subprocess.run([SBX.parent / "sbxd", *more], env=rig.env, stdin=subprocess.DEVNULL,
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=20)
        assert run.returncode == 1, run
        assert f"another sbxd (pid {first}) serves" in run.stderr.decode(), run
        assert rig.daemon_pid() == first


def test_a_daemon_started_by_hand(rig):
    """It goes to the background when it serves, and not before."""
    rig.ok("daemon", "stop")
    run = subprocess.run([SBX.parent / "sbxd"], env=rig.env, stdin=subprocess.DEVNULL,
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=20)
    assert run.returncode == 0, run
    assert rig.api("GET", "/v1/version")[0] == 200
    rig.look()


def test_a_stale_socket(rig, box):
    rig.ok("daemon", "stop")
    stale = rig.state / "sbxd.sock"
    stale.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX) as s:
        s.bind(str(stale))
    assert rig.boxes()[box.name]["status"] == "running"


def test_a_socket_that_is_a_file(rig, box):
    rig.ok("daemon", "stop")
    path = rig.state / "sbxd.sock"
    path.unlink(missing_ok=True)
    path.write_text("not a socket")
    run = rig.sbx("ls")
    assert run.code in (0, 1) and run.seconds < 15
    if run.code:
        path.unlink(missing_ok=True)
    assert rig.boxes()[box.name]["status"] == "running"


def fake_daemon(path, answers):
    """Something that answers each connection once with fixed bytes, or nothing at all."""
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(path))
    server.listen(5)

    def serve():
        for answer in answers:
            try:
                link, _ = server.accept()
            except OSError:
                return
            link.settimeout(5)
            try:
                link.recv(65536)
                if answer is None:
                    time.sleep(20)
                link.sendall(answer or b"")
            except OSError:
                pass
            link.close()
    threading.Thread(target=serve, daemon=True).start()
    return server


def http(status, body):
    return (f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
            ).encode() + body


@pytest.mark.parametrize("answers, what", [
    ([http(200, b'{"version":"99.0","api":99,"pid":1,"started_at":"x"}')] * 4, "another version"),
    ([http(404, b'{"error":{"code":"not_found","message":"no such path"}}')] * 4, "an unknown path"),
    ([b"hello\r\n\r\n"] * 4, "no HTTP"),
    ([b""] * 4, "closes at once"),
    ([http(200, b"[" * 100000)] * 4, "deep JSON"),
    ([http(200, b'{"version":"\x1b[2J\xff","api":"x"}')] * 4, "broken JSON"),
    ([b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n"] * 4, "a huge length"),
])
def test_a_daemon_that_is_not_ours(programs, tmp_path_factory, answers, what):
    """Whatever listens there, sbx says what is wrong in one line and ends soon."""
    state = pathlib.Path(f"/tmp/sbxf-{os.getpid()}")
    state.mkdir(mode=0o700)
    server = fake_daemon(state / "sbxd.sock", answers)
    try:
        run = subprocess.run([SBX, "ls"], env={"PATH": os.environ["PATH"], "HOME": str(state),
                                                "SBX_STATE_DIR": str(state)}, stdin=subprocess.DEVNULL,
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=30)
        assert run.returncode == 1, run
        assert run.stderr.startswith(b"sbx: ") and b"\x1b" not in run.stderr
    finally:
        server.close()
        shutil.rmtree(state)


def test_a_daemon_that_does_not_answer(programs):
    state = pathlib.Path(f"/tmp/sbxg-{os.getpid()}")
    state.mkdir(mode=0o700)
    server = fake_daemon(state / "sbxd.sock", [None] * 3)
    try:
        for verb, least, most in (("ls", 0.9, 2), ("stop x1", 9, 12)):  # R4
            started = time.monotonic()
            run = subprocess.run([SBX, *verb.split()], env={"PATH": os.environ["PATH"], "HOME": str(state),
                                                            "SBX_STATE_DIR": str(state)}, stdin=subprocess.DEVNULL,
                                 stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60)
            assert run.returncode == 1 and least < time.monotonic() - started < most, (verb, run)
            assert run.stderr.startswith(b"sbx: ") and b"hint: it may hang" in run.stderr, run
    finally:
        server.close()
        shutil.rmtree(state)


def test_a_workspace_swapped_for_a_link(rig, image):
    """FS-25: bound to the folder that was approved, else refused."""
    folder, other = rig.new_dir(), rig.new_dir()
    (other / "secret").write_text("canary")
    box = rig.create("box-swap", folder)
    os.rename(folder, f"{folder}.moved")
    os.symlink(other, folder)
    run = box.run("cat", f"{folder}/secret", timeout=90)
    assert run.code != 0 and b"canary" not in run.out, run
    assert (other / "secret").read_text() == "canary" and sorted(os.listdir(other)) == ["secret"]
    os.remove(folder)
    os.mkdir(folder)  # another directory of the same name is not the approved one either
    (folder / "f").write_text("new")
    run = box.run("cat", f"{folder}/f", timeout=90)
    assert run.code != 0, run
    os.remove(folder / "f")
    os.rmdir(folder)
    os.rename(f"{folder}.moved", folder)
    assert box.run("true", timeout=90).code == 0, "the right folder is back"
    box.remove()


def test_a_workspace_removed_while_running(rig, image):
    folder = rig.new_dir()
    box = rig.create("box-gone", folder).start()
    shutil.rmtree(folder)
    run = box.sh(f"cd / && ls {folder} && touch {folder}/x", timeout=30)
    assert run.code != 0
    assert not folder.exists()
    assert box.run("true", flags=("-w", "/"), timeout=30).code == 0
    box.remove()


def test_idle_costs_no_cpu(rig, box):
    """5 s of doing nothing: host-side processes, the engine aside, use no measurable time."""
    box.ok("true")
    time.sleep(2)
    pids = {p: n for p, n in rig.look().items() if not n.startswith("qemu")}
    before = {p: cpu_ticks(p) for p in pids}
    time.sleep(5)
    used = {f"{n} {p}": cpu_ticks(p) - before[p] for p, n in pids.items()}
    assert sum(used.values()) <= 2, f"ticks of 10 ms in 5 s: {used}"


def test_the_daemon_stays_small(rig, box):
    """What a start needs for a moment (the initrd: megabytes) is given back after it."""
    rollup = pathlib.Path(f"/proc/{rig.daemon_pid()}/smaps_rollup").read_text()
    kib = int(re.search(r"^Pss:\s+(\d+)", rollup, re.M)[1])
    assert kib < 8 << 10, rollup


def test_a_full_disk(programs, image):
    """R8: with the state disk full, reads, ls, stop and rm work; space makes it well again."""
    if os.getuid() != 0:
        pytest.skip("only root can mount a small file system")
    from rig import Rig
    small = Rig()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m,mode=700", "tmpfs", small.state],
                      stderr=subprocess.PIPE).returncode:
        small.close()
        pytest.skip("mounting a tmpfs is not permitted here")
    try:
        folder = small.new_dir()
        small.ok("create", "--name", "box-full", "shell", folder)
        with open(small.state / "filler", "wb") as filler:
            try:
                while True:
                    filler.write(b"x" * 65536)
                    filler.flush()
            except OSError:
                pass
        # a start is written down first: what cannot be is not done, and says why
        for verb, code in ((("create", "--name", "box-more", "shell", folder), 1),
                           (("exec", "box-full", "--", "true"), 125), (("exec", "box-full", "--", "true"), 125)):
            run = small.fails(*verb, timeout=30)
            assert run.code == code and ("full" in run.errors or "space" in run.errors), run
            assert {n: b["status"] for n, b in small.boxes().items()} == {"box-full": "stopped"}
        assert not [n for n in small.look().values() if n != "sbxd"], "nothing was left half started"
        small.ok("stop", "box-full", timeout=30)
        small.ok("rm", "--force", "box-full")
        os.remove(small.state / "filler")
        small.ok("create", "--name", "box-well", "shell", folder)
        small.ok("rm", "--all", "--force")
        small.ok("daemon", "stop")
    finally:
        small.look()
        subprocess.run(["umount", "-l", small.state])
        left = [x for x in small.close() if "daemon" not in x]
    assert not [x for x in left if x.startswith(("process", "mount"))], left


def test_a_broken_image(programs, image):
    """A truncated image: refused with its name, or the start fails within its deadline; never a hang."""
    from rig import Rig
    broken = Rig()
    cache = pathlib.Path(broken.env["SBX_CACHE_DIR"])
    copy = broken.base / "cache"
    copy.mkdir()
    subprocess.run(["cp", "-a", "--reflink=auto", cache / "images", copy], check=True)
    broken.env["SBX_CACHE_DIR"] = str(copy)
    roots = [p for p in copy.rglob("*") if p.is_file() and p.stat().st_size > 20 << 20]
    assert roots, "no root image found in the cache"
    try:
        for root in roots:
            os.chmod(root, 0o600)
            os.truncate(root, root.stat().st_size // 2)
        folder = broken.new_dir()
        run = broken.sbx("create", "--name", "box-broken", "shell", folder, timeout=60)
        if run.code == 0:
            run = broken.sbx("exec", "box-broken", "--", "true", timeout=100)
        assert run.code > 0 and run.errors.startswith("sbx: "), run
        assert broken.sbx("ls").code == 0
    finally:
        left = broken.close()
    assert not left, left


def test_a_state_directory_others_may_write(programs):
    state = pathlib.Path(f"/tmp/sbxh-{os.getpid()}")
    state.mkdir()
    state.chmod(0o777)
    try:
        run = subprocess.run([SBX, "ls"], env={"PATH": os.environ["PATH"], "HOME": str(state),
                                                "SBX_STATE_DIR": str(state)}, stdin=subprocess.DEVNULL,
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=30)
        assert run.returncode == 1 and b"writable" in run.stderr
    finally:
        shutil.rmtree(state)


def test_rm_of_a_running_sandbox(rig, image):
    box = rig.create("box-rm").start()
    ours = set(rig.machine_of("box-rm"))
    assert ours
    box.remove()
    end = time.monotonic() + 5
    while ours & set(processes()):
        assert time.monotonic() < end, "processes outlive rm"
        time.sleep(0.1)
    assert rig.sbx("rm", "--force", "box-rm").code != 0


def test_logs(rig, box):
    box.root_ok("printf 'on the console\\n' > /dev/console")
    end = time.monotonic() + 5
    while "on the console" not in rig.ok("logs", "--console", box.name).text:
        assert time.monotonic() < end
        time.sleep(0.2)


def test_logs_that_go_on(rig, box):
    """-f: what was there, what comes, line by line, and the end when the sandbox ends; Ctrl-C before."""
    console = rig.popen("logs", "-f", "--console", "-n", "0", "--json", box.name, stdout=subprocess.PIPE)
    agent = rig.popen("logs", "--follow", box.name, stdout=subprocess.PIPE)
    try:
        # written anew until it was seen: the followers may not have begun when the first is written
        line = ""
        end = time.monotonic() + 60
        while "said-1" not in line:
            assert time.monotonic() < end
            box.root_ok("printf 'said-1\\n' > /dev/console")
            if select.select([console.stdout], [], [], 1)[0]:
                line = json.loads(console.stdout.readline())["line"]
        rig.ok("run", "-d", "--name", box.name, "--", "/bin/sh", "-c", "echo from the agent; exec sleep 1000")
        assert select.select([agent.stdout], [], [], 60)[0]
        assert agent.stdout.readline() == b"from the agent\n"
        # who runs the tests in the background has the signal ignored, and children inherit that
        third = rig.popen("logs", "-f", box.name, stdout=subprocess.DEVNULL,
                          preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
        third.send_signal(signal.SIGINT)
        assert third.wait(20) == -signal.SIGINT
        rig.ok("stop", box.name)
        for one in (console, agent):
            assert one.wait(30) == 0
    finally:
        for one in (console, agent):
            one.kill()
            one.wait()
            one.stdout.close()


def test_idle_stop(rig, image):
    """idle.stop: a silent command keeps it running, without one it is stopped, and comes back as it was."""
    box = rig.create("box-idle").start()
    try:
        box.root_ok("echo kept > /root/file; sync")
        rig.ok("settings", "set", "idle.stop", "3s")
        box.ok("sleep 8")
        end = time.monotonic() + 120
        while (now := rig.boxes()["box-idle"])["status"] != "stopped":
            assert time.monotonic() < end and now["status"] in ("running", "stopping")
            time.sleep(0.3)
        assert "Reason:       nothing happened in it for 3 s" in rig.ok("inspect", "box-idle").text
        rig.ok("settings", "unset", "idle.stop")
        assert box.root_ok("cat /root/file", timeout=90) == "kept\n"
        assert rig.boxes()["box-idle"]["idle_since"] is None
    finally:
        rig.sbx("settings", "unset", "idle.stop")
        box.remove()


def test_read_only_inside_a_writable_workspace_is_refused(rig):
    top = rig.new_dir()
    (top / "inner").mkdir()
    run = rig.fails("create", "--plan", "shell", str(top), f"{top / 'inner'}:ro")
    assert "cannot be read-only" in run.errors and "hint:" in run.errors
    plan = rig.ok("create", "--plan", "shell", f"{top}:ro", str(top / "inner"))
    assert '"read_only":true' in plan.text
    assert not [n for n in rig.boxes() if n.startswith('shell-')]


def test_the_guest_sees_its_mounts_by_name(box):
    """The kernel needs the width of its addresses to read its own names."""
    assert str(box.ws) in box.ok("cut -d' ' -f5 /proc/self/mountinfo").split()



def test_a_workspace_beneath_a_closed_directory(rig):
    """/root is closed in every image; a project there must be reachable for the agent all the same."""
    if os.getuid() != 0:
        pytest.skip("only root has a folder in /root")
    top = tempfile.mkdtemp(dir="/root", prefix="sbx-test-")
    try:
        box = rig.create("rootdir", top)
        box.start()
        assert box.ok("pwd && id -un && echo x > f").split() == [top, "agent"]
        assert os.path.exists(f"{top}/f")
        box.remove()
    finally:
        shutil.rmtree(top)
