"""R1, R2: SIGKILL and SIGSTOP of any host process at any moment; no sandbox lost, no orphan, no stale mount.

SBX_KILL_ROUNDS sets the number of rounds (default 100), SBX_KILL_SEED repeats a run. Each kind of
process is the victim of at least fifteen of a hundred rounds. The devices are threads of the
machine: there is no process of theirs to kill. A machine or engine costs a boot.
"""
import os
import random
import signal
import subprocess
import time

import pytest

ROUNDS = int(os.environ.get("SBX_KILL_ROUNDS") or 100)
# of a hundred rounds
SHARES = {"sbxd": 16, "client": 12, "machine": 11, "engine": 11, "front": 12, "vault": 12, "sbxd+client": 8,
          "sbxd+machine": 6, "sbxd+engine": 6, "sbxd+front": 3, "sbxd+vault": 3}
NAMES = ("box-k1", "box-k2")


def rounds(rand):
    """What dies in which round: the shares, in random order."""
    kinds = [kind for kind, share in SHARES.items() for _ in range(max(1, share * ROUNDS // 100))]
    rand.shuffle(kinds)
    return kinds


def egress_pid(rig, name, which, other_than=0, timeout=5):
    """pid of a running sandbox's front or vault, which is another one than before."""
    end = time.monotonic() + timeout
    while True:
        found = rig.network_of(name)
        if found["trouble"]:
            # three ends within ten seconds: refused until it is started anew
            assert not rig.egress_of(name), found
            assert rig.sbx("stop", name, timeout=60).code == 0
            assert rig.sbx("start", name, timeout=90).code == 0
        elif found[which]["state"] == "running" and found[which]["pid"] != other_than:
            return found[which]["pid"]
        assert time.monotonic() < end, found
        time.sleep(0.05)


def victims(rig, name, kind):
    """pids of one kind of process."""
    if kind == "sbxd":
        return [p for p, n in rig.look().items() if n == "sbxd"]
    if kind in ("front", "vault"):
        return [egress_pid(rig, name, kind)]
    group = rig.machine_of(name)
    if kind == "engine":
        return [p for p, n in group.items() if n.startswith("qemu")]
    return [p for p, n in group.items() if not n.startswith("qemu")]


def work(rig, name, steps=200):
    """A client in the middle of something."""
    return rig.popen("exec", name, "--", "sh", "-c", f"for i in $(seq {steps}); do echo $i; sleep 0.05; done",
                     stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)


def kill(pid, sig=signal.SIGKILL):
    try:
        os.kill(pid, sig)
    except ProcessLookupError:
        pass


def seeded():
    seed = int(os.environ.get("SBX_KILL_SEED") or random.randrange(1 << 30))
    print(f"seed {seed}, {ROUNDS} rounds")
    return seed, random.Random(seed)


@pytest.fixture(scope="module")
def boxes(rig, image):
    found = {n: rig.create(n, size=("--cpus", "1", "--memory", "512m")).start() for n in NAMES}
    for box in found.values():
        box.root_ok("echo mine > /root/file; sync")
    return found


def wait_ended(rig, name, before, where, timeout=15):
    """The sandbox has ended; or it has ended and runs anew by now, because the client had not begun yet."""
    end = time.monotonic() + timeout
    while True:
        status, group = rig.boxes()[name]["status"], set(rig.group_of(name))
        if status in ("crashed", "stopped") or (status in ("starting", "running") and not group & set(before)):
            return
        assert time.monotonic() < end, (where, status, group, before)
        time.sleep(0.02)


def one_kill(rig, boxes, name, kind, pause, where):
    kinds = kind.split("+")
    found = {k: victims(rig, name, k) for k in kinds if k != "client"}
    assert all(len(pids) == 1 for pids in found.values()), (where, found)
    before = {**rig.machine_of(name), **rig.egress_of(name)}
    client = work(rig, name)
    time.sleep(pause)
    if "client" in kinds:
        kill(client.pid)
    for pids in found.values():
        kill(pids[0])
    ends = {"machine", "engine"} & set(kinds)
    if not ends:
        kill(client.pid)
    listed = rig.sbx("ls", "-q", timeout=10)
    assert listed.code == 0, (where, listed)
    assert set(listed.text.split()) == set(NAMES), where
    if ends:
        wait_ended(rig, name, before, where)
        client.stdout.close()
        assert client.wait(20) != 0, (where, "what was cut off is no success")
        # A client that had not begun yet starts the sandbox anew: what it was made of before is gone.
        group = {**rig.machine_of(name), **rig.egress_of(name)}
        left = {pid: program for pid, program in group.items() if pid in before}
        assert not left, (where, "left behind", left)
    for kind in {"front", "vault"} & set(kinds):
        egress_pid(rig, name, kind, other_than=found[kind][0])
    run = boxes[name].run("cat", "/root/file", flags=("-u", "0"), timeout=90)
    assert run.code == 0 and run.text == "mine\n", (where, run)
    client.stdout.close()
    client.wait()


def no_strangers(rig):
    """One daemon, and of machines and engines only those of the two sandboxes."""
    assert len([p for p, n in rig.look().items() if n == "sbxd"]) == 1
    groups = {p for n in NAMES for p in rig.group_of(n)}
    programs = ("qemu", "sbx-machine", "sbx-front", "sbx-vault")
    strangers = {p: n for p, n in rig.alive().items() if n.startswith(programs) and p not in groups}
    assert not strangers, strangers


def test_kill_loop(rig, boxes):
    seed, rand = seeded()
    counts = dict.fromkeys(("sbxd", "client", "machine", "engine", "front", "vault"), 0)
    for number, kind in enumerate(rounds(rand)):
        name = rand.choice(NAMES)
        for k in kind.split("+"):
            counts[k] += 1
        rig.look()
        boxes[name].start()
        one_kill(rig, boxes, name, kind, rand.random() * 0.25, f"round {number}, {kind} of {name}, seed {seed}")
    print("killed:", counts)
    assert ROUNDS < 100 or min(counts.values()) >= 15, counts
    no_strangers(rig)


@pytest.mark.parametrize("kind", ["sbxd", "machine", "engine", "client"])
def test_stop_and_go(rig, boxes, kind):
    """SIGSTOP for 1 to 3 s: calls end in their time meanwhile, and afterwards nothing was lost."""
    seed, rand = seeded()
    for number in range(max(1, 3 * ROUNDS // 100)):
        where = f"round {number}, seed {seed}"
        name = rand.choice(NAMES)
        boxes[name].start()
        client = work(rig, name, steps=30)
        assert client.stdout.readline() == b"1\n", where
        stopped = [client.pid] if kind == "client" else victims(rig, name, kind)
        assert len(stopped) == 1, where
        until = time.monotonic() + rand.uniform(1, 3)
        kill(stopped[0], signal.SIGSTOP)
        try:
            listed = rig.sbx("ls", "-q", timeout=10)
            assert listed.seconds < 2, (where, listed)
            if kind == "sbxd":
                assert listed.code == 1 and "may hang" in listed.errors, (where, listed)
            else:
                assert set(listed.text.split()) == set(NAMES), (where, listed)
            time.sleep(max(0, until - time.monotonic()))
        finally:
            kill(stopped[0], signal.SIGCONT)
        out, _ = client.communicate(timeout=60)
        assert client.returncode == 0, where
        assert out.split() == [str(i).encode() for i in range(2, 31)], (where, out)
        assert boxes[name].run("true", timeout=30).code == 0, where
    no_strangers(rig)


def test_kill_during_a_start(rig, image):
    """The daemon dies at several moments of a start; the sandbox is listed, and starts afterwards."""
    box = rig.create("box-k3")
    for pause in (0.02, 0.1, 0.4, 1.0, 2.0):
        client = rig.popen("exec", "box-k3", "--", "true", stdin=subprocess.DEVNULL,
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(pause)
        rig.look()
        for pid in victims(rig, "box-k3", "sbxd"):
            kill(pid)
        client.wait(90)
        assert "box-k3" in rig.boxes()
        rig.ok("stop", "box-k3", timeout=30)
    assert box.run("true", timeout=90).code == 0
    box.remove()


def test_kill_during_create_and_rm(rig):
    """RL-02: the name is listed or free, never both."""
    folder = rig.new_dir()
    for number in range(12):
        name = f"box-c{number}"
        verb = ["create", "--name", name, "shell", folder]
        if number % 2:
            rig.ok(*verb)
            verb = ["rm", "--force", name]
        client = rig.popen(*verb, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(0.004 * (number // 2))
        for pid in victims(rig, name, "sbxd"):
            kill(pid)
        client.wait(30)
        listed = name in rig.boxes()
        if listed:
            rig.ok("rm", "--force", name)
        rig.ok("create", "--name", name, "shell", folder)
        rig.ok("rm", "--force", name)
    assert not [n for n in rig.boxes() if n.startswith("box-c")]
