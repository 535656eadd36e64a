"""Groups A and O: the machine, its devices as far as a guest's own kernel reaches them, the tier."""
import os
import pathlib
import re
import subprocess
import time

import pytest

from rig import PROGRAMS, open_files

# Guest root, raw vsock: what answers on which port?
SWEEP = """
import errno, socket, sys
def attempt(cid, port):
    s = socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM); s.settimeout(3)
    try:
        s.connect((cid, port)); s.send(b"x"); got = s.recv(1)
        return "open" if got or port == 1 else "closed"
    except OSError as e:
        return errno.errorcode.get(e.errno, str(e))
    finally:
        s.close()
"""


def test_vm11_no_network_card(a, b, outside):
    assert set(a.ok("ls /sys/class/net").split()) == {"lo", "sbx0"}
    assert a.sh("ls /sys/class/net/sbx0/device").code != 0, "a dummy has no device"
    found = a.root_ok("cat /sys/bus/virtio/devices/*/device")
    assert "0x0001" not in found.split(), found
    pci = a.root_ok("for d in /sys/bus/pci/devices/*; do cat $d/class; done 2>/dev/null || true").split()
    assert not [c for c in pci if c.startswith("0x02")], pci


def test_vm12_vsock_from_inside(rig, a, b, outside):
    """CC-04 too: every port but the agent's and the way out's is refused, to any address; nothing piles up on the host."""
    run = a.python(SWEEP + """
ports = [0, 5, 6, 7, 22, 53, 80, 443, 1024, 1025, 2375, 65535, 65536, 2**31, 2**32 - 2]
for cid in (2, 0, 4, 5, 2**32 - 2):
    print(cid, [attempt(cid, p) for p in (ports if cid == 2 else ports[:4])])
""", timeout=200)
    assert run.code == 0, run
    assert "open" not in run.text, run.text


def host_fds(rig, box):
    return sum(len(os.listdir(f"/proc/{p}/fd")) for p in rig.machine_of(box.name))


def test_vm12_very_many_streams(rig, a, b, outside):
    before = host_fds(rig, a)
    run = a.python("""
import socket
kept = []
refused = 0
for i in range(3000):
    s = socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM); s.settimeout(2)
    try: s.connect((2, 1 if i % 2 else 4000 + i)); kept.append(s)
    except OSError: refused += 1; s.close()
print(len(kept), refused)
""", timeout=240)
    assert run.code == 0, run
    kept, refused = map(int, run.text.split())
    assert kept < 600 and refused > 2000, run.text
    end = time.monotonic() + 15
    while host_fds(rig, a) > before + 4:
        assert time.monotonic() < end, f"{before} descriptors became {host_fds(rig, a)}"
        time.sleep(0.5)
    assert a.ok("echo fine") == "fine\n"


# Guest root without its kernel's driver: the queues of a virtio PCI device, written by hand.
PAYLOAD = """
import ctypes, mmap, os, struct, sys, time
want, mend = int(sys.argv[1]), sys.argv[2] == "mend"
def text(path): return open(path).read().strip()
top = "/sys/bus/pci/devices/"
name = [d for d in os.listdir(top) if text(top + d + "/device") == hex(0x1040 + want)][0]
pci = top + name
if os.path.exists(pci + "/driver"):
    open(pci + "/driver/unbind", "w").write(name)
open(pci + "/enable", "w").write("1")
conf = open(pci + "/config", "rb").read()
at, caps = conf[0x34], {}
while at:
    if conf[at] == 9:
        caps[conf[at + 3]] = (conf[at + 4], struct.unpack_from("<II", conf, at + 8), at)
    at = conf[at + 1]
def bar(kind):
    number, (offset, length), _ = caps[kind]
    fd = os.open(pci + "/resource%d" % number, os.O_RDWR | os.O_SYNC)
    return mmap.mmap(fd, os.fstat(fd).st_size or 0x4000), offset
cfg, base = bar(1)
bell, bell_at = bar(2)
step = struct.unpack_from("<I", conf, caps[2][2] + 16)[0]
def put(form, at, value):
    size = {"B": 1, "H": 2, "I": 4}[form]
    cell = {1: ctypes.c_uint8, 2: ctypes.c_uint16, 4: ctypes.c_uint32}[size]
    cell.from_buffer(cfg, base + at).value = value
def get16(at): return ctypes.c_uint16.from_buffer(cfg, base + at).value
def get32(at): return ctypes.c_uint32.from_buffer(cfg, base + at).value
page = mmap.mmap(-1, 4 * 4096)
ctypes.CDLL(None).mlockall(7)
def phys(offset):
    page[offset] = page[offset]
    address = ctypes.addressof(ctypes.c_uint8.from_buffer(page, offset))
    with open("/proc/self/pagemap", "rb") as f:
        f.seek(address // 4096 * 8)
        return (struct.unpack("<Q", f.read(8))[0] & (1 << 55) - 1) * 4096
put("B", 20, 0)
while ctypes.c_uint8.from_buffer(cfg, base + 20).value: pass
put("B", 20, 1); put("B", 20, 3)
put("I", 8, 1); put("I", 12, 1)   # VERSION_1
put("B", 20, 11)
count = get16(18)
bells = {}
for queue in range(count):
    put("H", 22, queue)
    if not get16(24): continue
    put("H", 24, 8)
    for field, part in ((32, 0), (40, 4096), (48, 8192)):
        where = phys(part)
        put("I", field, where & 0xffffffff); put("I", field + 4, where >> 32)
    bells[queue] = get16(30)
    put("H", 28, 1)
put("B", 20, 15)
struct.pack_into("<HH", page, 4096, 0, 9999)   # avail.idx: far ahead
for queue, where in bells.items():
    ctypes.c_uint16.from_buffer(bell, bell_at + where * step).value = queue
time.sleep(1)
print("rung", len(bells), flush=True)
if not mend:
    time.sleep(100)
put("B", 20, 0)
time.sleep(0.5)
"""


def broken(rig, name):
    return [n for n in rig.json("inspect", "--json", name)["notes"] if "broke queue" in n]


def test_vm05_a_broken_queue(rig, b, outside):
    """A queue whose rules are broken: named and counted, nothing else suffers; it ends when it stays so."""
    box = rig.create("box-queue").start()
    rules = r"the guest broke queue \d of device fs: the index of the available ring is more than a queue ahead"
    run = box.run("python3", "-c", PAYLOAD, "26", "mend", flags=("-u", "0", "-w", "/"), timeout=60)
    assert run.code == 0 and run.text == "rung 2\n", run
    assert not broken(rig, "box-queue"), "the driver reset it: it is not broken any more"
    usage = rig.api("GET", "/v1/sandboxes/box-queue/usage")[1]
    assert usage["host"]["peer_faults"] == 2, usage
    child = rig.popen("exec", "-u", "0", "-w", "/", "box-queue", "--", "python3", "-c", PAYLOAD, "26", "stay", stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert child.stdout.readline() == b"rung 2\n"
    started = time.monotonic()
    notes = broken(rig, "box-queue")
    assert len(notes) == 1 and re.fullmatch(rules, notes[0]), notes
    assert box.run("true", flags=("-w", "/"), timeout=10).code == 0, "streams do not depend on it"
    assert rig.wait_status("box-queue", ("crashed",), 60) == "crashed"
    assert 20 < time.monotonic() - started < 50
    assert re.fullmatch(rules, rig.json("inspect", "--json", "box-queue")["reason"])
    child.stdout.close()
    child.wait(20)
    assert box.run("true", timeout=90).code == 0, "it starts again"
    box.remove()


def test_vm19_a_flood_on_the_console(rig, a, b, outside):
    a.root("timeout 12 sh -c 'yes 0123456789abcdef0123456789abcdef > /dev/console' ; true", timeout=60)
    a.root("timeout 4 sh -c 'while :; do echo flood > /dev/kmsg; done'; true", timeout=60)
    size = sum(p.stat().st_blocks * 512 for p in rig.state.rglob("*console*"))
    assert size < 8 << 20, f"{size} bytes of console log"
    log = rig.ok("logs", "--console", a.name)
    assert len(log.out) < 16 << 20
    assert a.ok("echo fine") == "fine\n"


def test_vm21_no_nested_virtualisation(a, b, outside):
    assert a.root("test -e /dev/kvm").code != 0
    assert a.ok("grep -cE '^flags.*(vmx|svm)' /proc/cpuinfo || true").strip() == "0"
    # what was taken away took nothing else with it: the kernel knows how wide addresses are
    assert "48 bits virtual" in a.ok("grep -m1 'address sizes' /proc/cpuinfo") or \
        "57 bits virtual" in a.ok("grep -m1 'address sizes' /proc/cpuinfo")
    assert a.ok("readlink /proc/self/exe").strip() == "/usr/bin/readlink"


def rss(pid):
    found = re.search(r"VmRSS:\s+(\d+)", pathlib.Path(f"/proc/{pid}/status").read_text())
    return int(found[1]) << 10 if found else 0


def test_vm22_all_the_memory(rig, a, b, outside):
    """The guest touches all it has: the host side stays within it and a little more."""
    memory = 1 << 30
    a.python("""
import mmap, sys
n = int(open('/proc/meminfo').read().split('MemAvailable:')[1].split()[0]) * 1024 * 85 // 100
m = mmap.mmap(-1, n)
for at in range(0, n, 4096): m[at] = 1
print(n)
""", timeout=120)
    machines = rig.machine_of(a.name)
    own = [p for p, n in machines.items() if not n.startswith("qemu")]
    engine = [p for p, n in machines.items() if n.startswith("qemu")]
    assert engine and own
    # the file server maps the same memory: what it touched of it counts in both
    assert all(rss(p) < memory + (64 << 20) for p in own)
    assert all(rss(p) < memory + (512 << 20) for p in engine), "TCG keeps translated code beside the memory"
    assert a.ok("echo fine", timeout=30) == "fine\n"


def status_of(pid):
    text = pathlib.Path(f"/proc/{pid}/status").read_text()
    return {line.split(":")[0]: line.split(":", 1)[1].split() for line in text.splitlines() if ":" in line}


def mapped_files(pid):
    """Paths as the process sees them; memory without a name in a file system is left out."""
    found = set()
    for line in pathlib.Path(f"/proc/{pid}/maps").read_text().splitlines():
        name = line.split(maxsplit=5)[5:]
        if name and not name[0].startswith(("[", "/memfd:memory-backend-memfd")):
            found.add(name[0])
    return found


def writable(pid, wanted):
    """Is the descriptor that leads to @wanted open for writing?"""
    (fd,) = [f for f in os.listdir(f"/proc/{pid}/fd") if os.readlink(f"/proc/{pid}/fd/{f}").endswith(wanted)]
    flags = re.search(r"flags:\s+(\d+)", pathlib.Path(f"/proc/{pid}/fdinfo/{fd}").read_text())[1]
    return int(flags, 8) & os.O_ACCMODE != os.O_RDONLY


def held(rig, pid, box, name):
    """What a process has open, each as what it is for; what is not expected is returned as it is."""
    where = f"{rig.state}/sandboxes/{rig.boxes()[box.name]['id']}"
    engine = name.startswith("qemu")
    known = {f"{where}/machine.lock": "lock", "/dev/null": "null"}
    if engine:
        known |= {f"{where}/scratch.img": "scratch", "/memfd:memory-backend-memfd (deleted)": "memory"}
    else:
        known |= {f"{where}/exit": "exit", f"{where}/touched": "what was touched", f"{where}/console.log": "console", "/": "workspace",
                  "/memfd:sbx-machine-log (deleted)": "log", f"/proc/{pid}/statm": "own figures",
                  "/1/fd": "own descriptors"}
    kinds = set()
    for link in open_files(pid):
        if link in known:
            kinds.add(known[link])
        elif engine and re.fullmatch(re.escape(rig.env["SBX_CACHE_DIR"]) + r"/images/\w+/root.img", link):
            kinds.add("root image")
        elif not engine and re.fullmatch(r"/proc/\d+/stat", link):
            kinds.add("the engine's figures")
        elif re.fullmatch(r"(socket|pipe):\[\d+\]|anon_inode:\[(eventfd|eventpoll|pidfd|signalfd)\]", link):
            kinds.add("channel")
        else:
            kinds.add(link)
    return kinds


ENGINE_HOLDS = {"lock", "null", "scratch", "memory", "root image", "channel"}
MACHINE_HOLDS = {"lock", "null", "exit", "what was touched", "console", "workspace", "log", "own figures", "own descriptors",
                 "the engine's figures", "channel"}


def check_jail(pid, name, own_ns):
    st = status_of(pid)
    assert st["NoNewPrivs"] == ["1"] and st["Seccomp"] == ["2"], (name, st)
    for caps in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert int(st[caps][0], 16) == 0, (name, caps, st[caps])
    for kind, mine in own_ns.items():
        assert os.readlink(f"/proc/{pid}/ns/{kind}") != mine, (name, kind)
    limits = pathlib.Path(f"/proc/{pid}/limits").read_text()
    assert re.search(r"Max core file size\s+0\s+0", limits), name
    net = pathlib.Path(f"/proc/{pid}/net/dev").read_text()
    assert re.findall(r"^\s*(\w+):", net, re.M) == ["lo"], name


def test_vm23_processes_in_their_jail(rig, a, b, outside):
    """FB-10 too: seen from the host, each process of a sandbox has given everything up."""
    if os.getuid() != 0:
        pytest.skip("only root sees into the jail from outside")
    machines = rig.machine_of(a.name)
    assert sorted(n[:4] for n in machines.values()) == ["qemu", "sbx-"], machines
    own_ns = {k: os.readlink(f"/proc/self/ns/{k}") for k in ("net", "mnt", "pid", "ipc", "user", "uts")}
    uids = set()
    for pid, name in machines.items():
        check_jail(pid, name, own_ns)
        assert not writable(pid, "/machine.lock"), "a lock is no place to write to"
        top = set(os.listdir(f"/proc/{pid}/root"))
        mounts = pathlib.Path(f"/proc/{pid}/mountinfo").read_text()
        for place in (rig.state, rig.base, rig.env["SBX_CACHE_DIR"]):
            assert f" {place}" not in mounts, (name, mounts)
        uids.add(status_of(pid)["Uid"][0])
        if name == "sbx-machine":
            assert top == set() and len(mounts.splitlines()) == 1, (top, mounts)
            assert held(rig, pid, a, name) == MACHINE_HOLDS
            files = mapped_files(pid)
            assert str(PROGRAMS / "sbx-machine") in files
            assert all(f == str(PROGRAMS / "sbx-machine") or ".so" in f for f in files), files
        else:
            # copies of kernel and initrd, the firmware, its libraries one by one, and no list of the host's
            assert {"firmware", "kernel", "initrd"} <= top <= {
                "firmware", "kernel", "initrd", "lib", "lib64", "modules", "usr"}, top
            assert held(rig, pid, a, name) == ENGINE_HOLDS
            limits = pathlib.Path(f"/proc/{pid}/limits").read_text()
            disk = (rig.state / "sandboxes" / rig.boxes()[a.name]["id"] / "scratch.img").stat().st_size
            assert re.search(rf"Max file size\s+{disk}\s+{disk} ", limits), limits
            assert re.search(r"Max processes\s+256\s+256 ", limits), limits
            files = mapped_files(pid)
            assert all(".so" in f or f == "/initrd" or "/bin/qemu" in f or f.startswith("/firmware/")
                       for f in files), files
    assert len(uids) == 2, "engine and machine are different users"


def test_vm23_no_way_up_from_a_shared_folder(rig, image):
    """Whoever takes the machine over holds the folders' descriptors: they lead to nothing above."""
    ws, ro = rig.new_dir(), rig.new_dir()
    one = ro / "file"
    one.write_text("x")
    box = rig.create("box-up", ws, f"{ro}:ro", f"{rig.new_dir()}").start()
    (pid,) = [p for p, n in rig.machine_of("box-up").items() if n == "sbx-machine"]
    shares = [f for f in os.listdir(f"/proc/{pid}/fd") if os.readlink(f"/proc/{pid}/fd/{f}") == "/"]
    assert len(shares) == 3
    seen = {}
    for fd in shares:
        top = f"/proc/{pid}/fd/{fd}"
        here = os.stat(f"{top}/.")
        for climb in ("..", "../..", "../../../../../.."):
            assert os.stat(f"{top}/{climb}").st_ino == here.st_ino, "a way leads up"
        flags = os.statvfs(f"{top}/.").f_flag
        assert flags & os.ST_NOSUID and flags & os.ST_NODEV and flags & os.ST_NOEXEC
        seen[here.st_ino] = bool(flags & os.ST_RDONLY)
        if seen[here.st_ino]:
            with pytest.raises(OSError, match="Read-only"):
                os.open(f"{top}/new", os.O_WRONLY | os.O_CREAT)
    assert seen[ro.stat().st_ino] and not seen[ws.stat().st_ino]
    assert box.ok(f"echo hi > {ws}/new && cat {ro}/file").strip() == "x"
    assert (ws / "new").read_text() == "hi\n"
    box.remove()


def test_fb10_the_engine_s_command_line(rig, a, b, outside):
    engines = [p for p, n in rig.machine_of(a.name).items() if n.startswith("qemu")]
    for pid in engines:
        words = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
        text = " ".join(words)
        assert "-nodefaults" in words and "-sandbox" in words, text
        assert words[words.index("-sandbox") + 1].startswith("on"), text
        for absent in ("-netdev", "-nic", "-usb", "-vnc", "-spice", "-monitor", "virtio-net", "-enable-kvm"):
            assert absent not in text, f"{absent} in {text}"


def test_fb01_the_tier_is_named(rig, a, b, outside):
    assert rig.json("inspect", "--json", a.name)["isolation"] == "emulated"
    assert "emulated" in rig.ok("inspect", a.name).text
    run = rig.fails("create", "--name", "box-kvm", "--isolation", "kvm", "shell", rig.new_dir()) \
        if rig.sbx("diagnose").code >= 0 else None
    assert run is None or "kvm" in run.errors


def test_fb08_nothing_outlives_a_stop(rig, image):
    box = rig.create("box-gone").start()
    box.root("(setsid sh -c 'trap \"\" TERM HUP INT; sleep 1000 & wait' &) ; for i in 1 2 3; do (setsid sleep 999 &); done")
    pids = set(rig.machine_of("box-gone"))
    rig.ok("stop", "box-gone", timeout=40)
    end = time.monotonic() + 2
    while pids & set(rig.alive()):
        assert time.monotonic() < end, rig.alive()
        time.sleep(0.1)
    box.remove()


def test_rx01_a_fork_bomb(rig, image):
    """Only the sandbox itself suffers; stop and rm still work in their time."""
    neighbour = rig.create("box-calm", size=("--cpus", "1", "--memory", "512m")).start()
    bomb = rig.create("box-bomb").start()
    rig.popen("exec", "box-bomb", "--", "bash", "-c", "b() { b | b & }; b; sleep 60")
    time.sleep(6)
    started = time.monotonic()
    assert neighbour.run("true", timeout=20).code == 0
    assert time.monotonic() - started < 8
    assert rig.ok("ls", timeout=5).seconds < 1
    rig.ok("stop", "box-bomb", timeout=60)
    bomb.remove()
    neighbour.remove()
