"""Group B: the shared folder. Guest root against the file server; cases by their ids."""
import os
import random
import stat
import threading
import time

import pytest

from rig import tree_hash

# Guest root, python: run one call and say how it ended, so that a table of calls needs one exec.
TRY = """
import ctypes, errno, os, stat, sys
def attempt(what, *args, **more):
    try:
        print("ok", repr(what(*args, **more)))
    except OSError as e:
        print(errno.errorcode.get(e.errno, e.errno))
"""


def attempts(box, body, *args, **more):
    run = box.python(TRY + body, *args, **more)
    assert run.code == 0, run
    return run.text.splitlines()


@pytest.mark.parametrize("target", ["{outside}/secret", "../outside/secret", "../../outside/secret", "/etc/shadow",
                                    "/proc/self/root{outside}/secret", "/proc/1/root/etc/shadow", "loop"])
def test_fs01_links_out_of_the_share(a, b, outside, target):
    """A link is an object: what it names is looked up inside the guest, never on the host."""
    target = target.format(outside=outside)
    if target == "loop":
        os.symlink("loop", a.ws / "loop")
        assert a.root(f"cat {a.ws}/loop").code != 0
        os.remove(a.ws / "loop")
        return
    a.ok(f"ln -sfn '{target}' x")
    assert os.readlink(a.ws / "x") == target
    run = a.root(f"cat {a.ws}/x; echo written > {a.ws}/x")
    secret = (outside / "secret").read_bytes()
    host_shadow = open("/etc/shadow", "rb").read() if os.getuid() == 0 else b"no"
    assert secret not in run.out and run.out != host_shadow
    a.root(f"rm -f {a.ws}/x")
    a.ok("ln -s real y; echo fine > real; test \"$(cat y)\" = fine")  # the twin: links within work
    a.ok("rm y real")


SWAP = """
import ctypes, os, sys, threading, time
top, outside, seconds = sys.argv[1], sys.argv[2], float(sys.argv[3])
libc = ctypes.CDLL(None, use_errno=True)
os.makedirs(top + "/d/sub", exist_ok=True)
try: os.symlink(outside, top + "/l")
except FileExistsError: pass
stop = time.monotonic() + seconds
swaps = 0
def swap():
    global swaps
    while time.monotonic() < stop:
        # RENAME_EXCHANGE of the directory and the link
        libc.syscall(316, -100, (top + "/d").encode(), -100, (top + "/l").encode(), 2)
        swaps += 1
t = threading.Thread(target=swap); t.start()
tries = 0
calls = [lambda p: os.close(os.open(p + "/evil", os.O_CREAT | os.O_WRONLY)), lambda p: os.mkdir(p + "/evildir"),
         lambda p: os.unlink(p + "/secret"), lambda p: os.rename(p + "/secret", top + "/stolen"),
         lambda p: os.link(p + "/secret", top + "/linked"), lambda p: os.setxattr(p + "/secret", "user.x", b"1"),
         lambda p: os.chmod(p + "/secret", 0o777), lambda p: os.truncate(p + "/secret", 0),
         lambda p: os.symlink("x", p + "/evillink"), lambda p: open(p + "/secret").read()]
while time.monotonic() < stop:
    try: calls[tries % len(calls)](top + "/d")
    except OSError: pass
    tries += 1
t.join()
print(swaps, tries)
"""


def test_fs02_a_directory_swapped_for_a_link_inside(a, b, outside):
    run = a.python(SWAP, str(a.ws), str(outside), "6", timeout=60)
    assert run.code == 0, run
    swaps, tries = map(int, run.text.split())
    assert swaps > 200 and tries > 200, (swaps, tries)
    for name in ("stolen", "linked"):
        path = a.ws / name
        assert not path.exists() or b"canary" not in path.read_bytes()
    a.root_ok(f"cd {a.ws} && rm -rf d l stolen linked")


def test_fs04_a_directory_swapped_for_a_link_on_the_host(a, b, outside):
    """The host (or a neighbour on the same folder) moves things while A walks them."""
    where = a.ws / "race"
    (where / "d" / "sub").mkdir(parents=True)
    (where / "d" / "secret").write_text("own")
    stop = threading.Event()

    def swap():
        while not stop.is_set():
            os.rename(where / "d", where / "kept")
            os.symlink(outside, where / "d")
            os.remove(where / "d")
            os.rename(where / "kept", where / "d")
    mover = threading.Thread(target=swap)
    mover.start()
    try:
        run = a.python("""
import os, sys, time
stop = time.monotonic() + 6
got, n = set(), 0
while time.monotonic() < stop:
    n += 1
    for p in ("/d/secret", "/d/sub/../secret", "/d/sub/../../d/secret"):
        try: got.add(open(sys.argv[1] + p).read())
        except OSError: pass
        try: os.close(os.open(sys.argv[1] + p + "-new", os.O_CREAT | os.O_WRONLY))
        except OSError: pass
print(n, sorted(got))
""", str(where), timeout=60)
    finally:
        stop.set()
        mover.join()
    assert run.code == 0, run
    assert "canary" not in run.text, run.text
    assert int(run.text.split()[0]) > 20


def test_fs05_dots_at_the_root(a, b, outside):
    assert a.root_ok(f"stat -c %i {a.ws}/. ; cd {a.ws}; ls -a | head -2") .split("\n")[1:3] == [".", ".."]
    lines = attempts(a, """
top = sys.argv[1]
attempt(os.stat, top + "/" + "n" * 256)
attempt(os.stat, top + "/" + "/".join(["d"] * 3000))
attempt(os.open, top + "/..", os.O_CREAT | os.O_WRONLY)
attempt(os.rmdir, top + "/.")
attempt(os.rename, top, top + "/x")
""", str(a.ws))
    assert lines[0] == "ENAMETOOLONG" and lines[1] == "ENAMETOOLONG", lines
    assert not any(line.startswith("ok") for line in lines), lines
    assert sorted(os.listdir(a.ws.parent)) == sorted(os.listdir(a.ws.parent))


def test_fs06_hard_links_to_files_outside(rig, image):
    """A hard link in the share is the same file: the start names it."""
    folder = rig.new_dir()
    target = rig.base / "linked-outside"
    target.write_text("outside")
    os.link(target, folder / "hard")
    run = rig.ok("create", "--name", "box-hard", "shell", folder)
    assert "hard" in run.errors, "whoever makes it is told at once"
    said = rig.ok("inspect", "box-hard").text
    rig.ok("rm", "--force", "box-hard")
    assert "1 file in the workspace is also named outside of it (hard links), e.g. 'hard'" in said, said
    os.unlink(target)  # the last other name is gone, so nothing is to be told
    quiet = rig.ok("create", "--name", "box-hard", "shell", folder)
    assert "hard link" not in quiet.errors + rig.ok("inspect", "box-hard").text
    rig.ok("rm", "--force", "box-hard")


@pytest.mark.parametrize("kind, major, minor", [("c", 1, 1), ("c", 1, 3), ("b", 8, 0), ("c", 10, 232), ("p", 0, 0)])
def test_fs08_device_nodes(a, b, outside, kind, major, minor):
    run = a.root(f"cd {a.ws} && mknod node {kind} {major} {minor}" if kind != "p" else f"cd {a.ws} && mknod node p")
    path = a.ws / "node"
    if path.exists():
        mode = path.lstat().st_mode
        assert not stat.S_ISCHR(mode) and not stat.S_ISBLK(mode)
        path.unlink()
    else:
        assert run.code != 0
    a.ok("touch plain && rm plain")


def test_fs10_set_id_and_capabilities(a, b, outside):
    a.root(f"""cd {a.ws}; cp /bin/true s; chmod 6755 s; mkdir g; chmod 2777 g; chmod 1777 g; chown 0:0 s g;
cp /bin/true g/t; chmod u+s g/t; install -m 4755 /bin/true i; setcap cap_net_admin+ep s 2>/dev/null""")
    attempts(a, """
top = sys.argv[1]
fd = os.open(top + "/o", os.O_CREAT | os.O_WRONLY, 0o6777)
attempt(os.fchmod, fd, 0o4755)
attempt(os.mkdir, top + "/m", 0o3777)
attempt(os.setxattr, top + "/s", "security.capability", b"\\x01\\0\\0\\2\\0\\x10\\0\\0" + b"\\0" * 12)
attempt(os.chown, top + "/s", 0, 0)
""", str(a.ws))
    seen = 0
    for where, dirs, files in os.walk(a.ws):
        for name in dirs + files:
            if os.path.islink(os.path.join(where, name)):
                continue
            st = os.lstat(os.path.join(where, name))
            assert not st.st_mode & 0o7000, f"{name} {oct(st.st_mode)}"
            assert (st.st_uid, st.st_gid) == (os.getuid(), os.getgid()), name
            assert not [x for x in os.listxattr(os.path.join(where, name)) if x.startswith("security.")]
            seen += 1
    assert seen >= 5
    a.root_ok(f"cd {a.ws} && rm -rf s g i o m")


def test_fs11_attributes(a, b, outside):
    a.ok("touch f")
    lines = attempts(a, """
f = sys.argv[1] + "/f"
for name in ("trusted.overlay.opaque", "security.selinux", "security.capability", "system.posix_acl_access", "trusted.x"):
    attempt(os.setxattr, f, name, b"x" * 20)
attempt(os.setxattr, f, "user.big", b"x" * 65537)
attempt(os.setxattr, f, "user.fine", b"1")
attempt(os.getxattr, f, "user.fine")
""", str(a.ws))
    assert not any(line.startswith("ok") for line in lines[:6]), lines
    on_host = os.listxattr(a.ws / "f")
    assert [x for x in on_host if not x.startswith("user.")] == []
    assert lines[7] == "ok b'1'" or lines[6] in ("EOPNOTSUPP", "ENOTSUP"), lines
    a.ok("rm f")


def test_fs13_names_in_host_views(rig, image, a, b, outside):
    from rig import assert_printable
    for name in ("\x1b[31m", "a\nb", "\u202egpj", "\u200b", "-x", "$(id)", " t "):
        run = a.run("python3", "-c", "import sys; open(sys.argv[1], 'w')", f"{a.ws}/{name}")
        assert run.code == 0, run
        out = rig.sbx("cp", f"{a.name}:{a.ws}/{name}/none", rig.base / "x")
        assert_printable(out.err)
        os.remove(os.path.join(a.ws, name))
    for args in (["ls"], ["inspect", a.name], ["logs", "--console", a.name]):
        assert_printable(rig.ok(*args).out)


def test_fs16_read_only_is_refused_by_the_host(rig, image):
    first, second = rig.new_dir(), rig.new_dir()
    (second / "f").write_text("keep")
    (second / "d").mkdir()
    before = tree_hash(second)
    box = rig.create("box-ro", first, f"{second}:ro").start()
    try:
        box.root(f"mount -o remount,rw {second}; mount | grep -F {second}; mount --bind -o rw {second} /mnt")
        lines = attempts(box, """
t = sys.argv[1]
try: rd = os.open(t + "/f", os.O_RDWR)
except OSError: rd = os.open(t + "/f", os.O_RDONLY)
attempt(os.open, t + "/f", os.O_WRONLY)
attempt(os.open, t + "/f", os.O_WRONLY | os.O_TRUNC)
attempt(os.open, t + "/new", os.O_CREAT | os.O_WRONLY)
attempt(os.write, rd, b"x")
attempt(os.posix_fallocate, rd, 0, 100)
attempt(os.truncate, t + "/f", 0)
attempt(os.chmod, t + "/f", 0o777)
attempt(os.chown, t + "/f", 1, 1)
attempt(os.utime, t + "/f", (1, 1))
attempt(os.unlink, t + "/f")
attempt(os.rmdir, t + "/d")
attempt(os.mkdir, t + "/n")
attempt(os.rename, t + "/f", t + "/g")
attempt(os.link, t + "/f", t + "/h")
attempt(os.symlink, "x", t + "/s")
attempt(os.setxattr, t + "/f", "user.x", b"1")
attempt(os.copy_file_range, os.open("/etc/passwd", os.O_RDONLY), rd, 10)
attempt(os.mknod, t + "/p", stat.S_IFIFO | 0o600)
""", str(second))
        assert not [x for x in lines if x.startswith("ok")], lines
        assert tree_hash(second) == before
        box.ok("echo fine > twin && rm twin")
    finally:
        box.remove()


@pytest.mark.parametrize("size", ["8E", "7E", "1E"])
def test_fs20_absurd_sizes(a, b, outside, size):
    a.root(f"cd {a.ws}; truncate -s {size} huge; stat -c '%s %b' huge")
    path = a.ws / "huge"
    if path.exists():
        assert path.stat().st_blocks < 1 << 20
        path.unlink()
    a.ok("echo fine > twin && rm twin")


def test_fs20_deep_trees(a, b, outside):
    """1,000 levels: bounded errors, and both sides can remove it all. 10^4 work as well, but take minutes on an emulated machine (76 s to
    make, more to remove); the file server by itself goes through them in tests/unit/virtio."""
    run = a.python("""
import os, sys
os.chdir(sys.argv[1]); os.mkdir("deep"); os.chdir("deep")
n = 0
try:
    while n < 1000: os.mkdir("d"); os.chdir("d"); n += 1
except OSError as e: print(e)
print(n)
""", str(a.ws), timeout=120)
    assert run.code == 0 and run.text == "1000\n", run
    a.root(f"rm -rf {a.ws}/deep", timeout=120)
    assert a.ok("echo works") == "works\n"
    if (a.ws / "deep").exists():
        os.system(f"rm -rf '{a.ws}/deep'")


def fds_of(rig, box):
    return {pid: len(os.listdir(f"/proc/{pid}/fd")) for pid in rig.machine_of(box.name)}


def test_fs22_too_many_open_files(rig, a, b, outside):
    run = a.python("""
import os, resource, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (1048576, 1048576))
fds, err = [], None
try:
    for i in range(1000000):
        fds.append(os.open(sys.argv[1] + f"/many{i % 50}", os.O_CREAT | os.O_RDWR))
except OSError as e:
    err = e
print(len(fds), err)
""", str(a.ws), timeout=240)
    assert run.code == 0, run
    assert "[Errno 23] Too many open files in system" in run.text, run
    assert max(fds_of(rig, a).values()) < 70000
    assert a.ok("cat many1 && echo again") == "again\n"
    a.ok("rm -f many*")


def rss_kib(pid):
    for line in open(f"/proc/{pid}/status"):
        if line.startswith("VmRSS"):
            return int(line.split()[1])
    return 0


def test_fs23_look_ups_for_ever(rig, a, b, outside):
    """readdir, lookup and forget in a loop: the file server's memory does not grow."""
    a.ok("mkdir -p loop/{1..20}; for i in $(seq 400); do : > loop/f$i; done", flags=()) if False else \
        a.run("bash", "-c", "mkdir -p loop/{1..20}; touch loop/f{1..400}", timeout=60)
    loop = "for i in $(seq 8); do find {0}/loop -ls >/dev/null; echo 2 > /proc/sys/vm/drop_caches; done".format(a.ws)
    a.root_ok(loop, timeout=120)
    machines = [p for p, n in rig.machine_of(a.name).items() if not n.startswith("qemu")]
    before = sum(map(rss_kib, machines))
    a.root_ok(loop, timeout=120)
    a.root_ok(loop, timeout=120)
    after = sum(map(rss_kib, machines))
    assert after < before * 1.05 + 1024, f"{before} KiB became {after} KiB"
    a.ok("rm -rf loop")


def test_fs25_swap_at_start(rig, image):
    """Between create and start the folder is swapped for a link, many times while it starts."""
    folder, other = rig.new_dir(), rig.new_dir()
    (other / "secret").write_text("canary")
    (folder / "own").write_text("own")
    box = rig.create("box-swap", folder)
    stop = threading.Event()
    rand = random.Random(5)

    def swap():
        while not stop.is_set():
            os.rename(folder, f"{folder}.m")
            os.symlink(other, folder)
            time.sleep(rand.random() * 0.002)
            os.remove(folder)
            os.rename(f"{folder}.m", folder)
            time.sleep(rand.random() * 0.002)
    mover = threading.Thread(target=swap)
    mover.start()
    try:
        for _ in range(4):
            run = box.run("sh", "-c", f"cat {folder}/secret; echo x > {folder}/new; ls {folder}", timeout=90)
            assert b"canary" not in run.out, run
            rig.sbx("stop", "box-swap", timeout=30)
    finally:
        stop.set()
        mover.join()
    assert os.listdir(other) == ["secret"]
    box.remove()


def test_fs24_locks_end_with_the_machine(rig, image):
    import fcntl
    box = rig.create("box-lock").start()
    box.rig.popen("exec", "box-lock", "--", "sh", "-c", "flock lock sleep 100")
    end = time.monotonic() + 20
    while box.sh("flock -n lock true").code == 0 or not (box.ws / "lock").exists():
        assert time.monotonic() < end
        time.sleep(0.3)
    for pid in rig.machine_of("box-lock"):
        try:
            os.kill(pid, 9)
        except ProcessLookupError:
            pass
    with open(box.ws / "lock") as file:
        end = time.monotonic() + 10
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                assert time.monotonic() < end, "the lock outlives its machine"
                time.sleep(0.1)
    box.remove()
