"""R1, R2: SIGKILL of any host process at any moment; no sandbox lost, no orphan, no stale mount.

SBX_KILL_ROUNDS sets the number of rounds (default 100), SBX_KILL_SEED repeats a run. Most rounds
kill the daemon or the client, which costs a second; about one in ten kills a machine or its
engine, which costs a boot.
"""
import os
import random
import signal
import subprocess
import time

ROUNDS = int(os.environ.get("SBX_KILL_ROUNDS") or 100)


def victims(rig, name, kind):
    """pids of one kind of process."""
    if kind == "sbxd":
        return [p for p, n in rig.look().items() if n == "sbxd"]
    group = rig.machine_of(name)
    if kind == "engine":
        return [p for p, n in group.items() if n.startswith("qemu")]
    return [p for p, n in group.items() if not n.startswith("qemu")]


def work(rig, name):
    """A client in the middle of something."""
    return rig.popen("exec", name, "--", "sh", "-c", "for i in $(seq 200); do echo $i; sleep 0.05; done",
                     stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)


def kill(pid):
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def test_kill_loop(rig, image):
    seed = int(os.environ.get("SBX_KILL_SEED") or random.randrange(1 << 30))
    rand = random.Random(seed)
    print(f"seed {seed}, {ROUNDS} rounds")
    names = ["box-k1", "box-k2"]
    boxes = {n: rig.create(n).start() for n in names}
    for n in names:
        boxes[n].root_ok("echo mine > /root/file; sync")
    counts = {}
    for number in range(ROUNDS):
        name = rand.choice(names)
        kind = rand.choices(["sbxd", "client", "machine", "engine", "sbxd+client"], [10, 6, 1, 1, 3])[0]
        counts[kind] = counts.get(kind, 0) + 1
        where = f"round {number}, {kind} of {name}, seed {seed}"
        rig.look()
        client = work(rig, name)
        time.sleep(rand.random() * 0.25)
        if "client" in kind:
            kill(client.pid)
        if "sbxd" in kind:
            for pid in victims(rig, name, "sbxd"):
                kill(pid)
        if kind in ("machine", "engine"):
            found = victims(rig, name, kind)
            if found:
                kill(rand.choice(found))
        if kind not in ("machine", "engine"):
            kill(client.pid)
        listed = rig.sbx("ls", "-q", timeout=10)
        assert listed.code == 0, (where, listed)
        assert set(listed.text.split()) == set(names), where
        if kind in ("machine", "engine"):
            status = rig.wait_status(name, ("crashed", "stopped"), 10)
            assert status in ("crashed", "stopped"), where
            client.wait(20)
            old = {p for p, n in rig.alive().items() if n.startswith("qemu")}
            group = rig.machine_of(name)
            assert not group, (where, "left behind", group, old)
        run = boxes[name].run("cat", "/root/file", flags=("-u", "0"), timeout=90)
        assert run.code == 0 and run.text == "mine\n", (where, run)
        client.stdout.close()
        client.wait()
    print("killed:", counts)
    daemons = [p for p, n in rig.look().items() if n == "sbxd"]
    assert len(daemons) == 1
    # what is alive belongs to the two sandboxes and the one daemon
    groups = {p for n in names for p in rig.machine_of(n)}
    strangers = {p: n for p, n in rig.alive().items() if n.startswith(("qemu", "sbx-machine")) and p not in groups}
    assert not strangers, strangers


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
