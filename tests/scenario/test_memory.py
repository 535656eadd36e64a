"""What a sandbox may use of the host's memory: enough for all it does, and never without end."""
import pathlib
import subprocess

import pytest

SMALL = ("--cpus", "2", "--memory", "256m")

NEW_CODE = r"""
import ctypes, mmap, sys
size = int(sys.argv[1]) << 20
code = mmap.mmap(-1, size, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
code.write(b"\x48\x01\x07" * (size // 3 - 2) + b"\xc3")  # add %rax, (%rdi), and ret
cell = ctypes.create_string_buffer(8)
ctypes.CFUNCTYPE(None, ctypes.c_void_p)(ctypes.addressof(ctypes.c_char.from_buffer(code)))(ctypes.addressof(cell))
print("ran")
"""


def resident_anonymous(pid):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) << 10
    raise AssertionError("no RssAnon")


def test_much_code_does_not_end_the_machine(rig, image):
    """QEMU keeps what it translated. Left alone it takes a GiB for that, and a long session filled it until the
    kernel killed the machine at the limit of its group."""
    box = rig.create("box-code", size=SMALL).start()
    try:
        [engine] = [pid for pid, name in rig.machine_of(box.name).items() if name.startswith("qemu")]
        run = box.python(NEW_CODE, "9", timeout=240)
        assert run.text == "ran\n", run
        assert resident_anonymous(engine) < 512 << 20
        assert box.ok("echo there") == "there\n"
    finally:
        box.remove()


@pytest.fixture
def in_memory(rig):
    where = rig.new_dir()
    run = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1500m,mode=755", "none", where], capture_output=True, check=False)
    if run.returncode:
        pytest.skip(f"no tmpfs can be mounted here: {run.stderr.decode().strip()}")
    yield where
    subprocess.run(["umount", "-l", where], check=True)


def test_a_workspace_in_memory_may_be_filled(rig, image, in_memory):
    """The pages of a tmpfs count as those of whoever writes them, which is the sandbox's device process."""
    box = rig.create("box-tmpfs", in_memory, size=SMALL).start()
    try:
        box.ok("fallocate -l 1300M big && stat -c %b big", timeout=120)
        assert (in_memory / "big").stat().st_blocks * 512 >= 1300 << 20
        assert box.ok("echo there") == "there\n"
    finally:
        box.remove()


def memory_group(box_id):
    """The files of the sandbox's group that say its limit and its use; skips where it has none."""
    for files in (("memory.max", "memory.current"), ("memory.limit_in_bytes", "memory.usage_in_bytes")):
        for where in pathlib.Path("/sys/fs/cgroup").glob(f"**/sbx-{box_id}"):
            if (where / files[0]).exists():
                return where / files[0], where / files[1]
    pytest.skip("no group limits the memory of a sandbox here")


def test_an_end_at_the_limit_is_told(rig, image):
    """Where the kernel ends the machine all the same, whoever waits for a command hears why."""
    box = rig.create("box-starved", size=SMALL).start()
    try:
        limit, used = memory_group(rig.boxes()[box.name]["id"])
        limit.write_text(str(int(used.read_text()) + (24 << 20)))
        run = box.python("x = bytearray(b'x' * (100 << 20)); print(len(x))", timeout=120)
        assert run.code == 125 and "the sandbox ended: its machine reached its memory limit on this host" in run.errors, run
        rig.wait_status(box.name, ("crashed",))
        assert "memory limit" in rig.boxes()[box.name]["reason"]
        assert box.ok("echo again") == "again\n"  # and it starts anew
    finally:
        box.remove()
