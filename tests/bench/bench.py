#!/usr/bin/python3
"""bench.py - medians over at least 20 runs, with least and most, against the targets

Times are wall-clock milliseconds from before the program is started. "host only" figures come from
the real sbx and sbxd over fake_machine, which answers each request at once: everything but the
guest and its engine. A figure of the guest's own cost is measured inside and taken off.
"""
import argparse
import json
import os
import pathlib
import re
import socket
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
import bench_egress as egress  # noqa: E402
import bench_image  # noqa: E402
import rig as rigs  # noqa: E402

BUILD = rigs.BUILD
RESULTS = []


def median(values):
    ordered = sorted(values)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


def record(bench, values, unit="ms", target=None, at_least=None, **more):
    """Keep and print one figure. @target: it meets it when the median is not above; @at_least: not below."""
    values = values if isinstance(values, list) else [values]
    middle = median(values)
    line = {"bench": bench, "median": round(middle, 3), "min": round(min(values), 3), "max": round(max(values), 3),
            "runs": len(values), "unit": unit, **more}
    if target is not None:
        line["target"] = target
        line["verdict"] = "meets" if middle <= target else "misses"
    if at_least:
        line["target"] = f">={at_least}"
        line["verdict"] = "meets" if middle >= at_least else "misses"
    RESULTS.append(line)
    print(json.dumps(line), file=sys.stderr, flush=True)
    return middle


def timed(argv, env, expect=0):
    """One run from start to end in ms; the program must end as expected."""
    started = time.perf_counter()
    pid = os.posix_spawn(argv[0], argv, env, file_actions=[
        (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0), (os.POSIX_SPAWN_OPEN, 1, "/dev/null", os.O_WRONLY, 0),
        (os.POSIX_SPAWN_OPEN, 2, "/dev/null", os.O_WRONLY, 0)])
    _pid, status = os.waitpid(pid, 0)
    took = (time.perf_counter() - started) * 1000
    code = os.waitstatus_to_exitcode(status)
    if code != expect:
        raise SystemExit(f"bench: {' '.join(argv)} ended with {code}, expected {expect}")
    return took


def series(runs, argv, env):
    argv = [str(a) for a in argv]
    for _ in range(3):
        timed(argv, env)
    return [timed(argv, env) for _ in range(runs)]


def noise(runs):
    """What starting and ending any program costs on this host, just now."""
    record("noise: start and end of /bin/true", series(runs, ["/bin/true"], dict(os.environ)))


class HostOnly:
    """A rig whose machines are fake_machine."""

    def __init__(self):
        self.rig = rigs.Rig()
        libexec = self.rig.base / "libexec"
        libexec.mkdir()
        (libexec / "sbxd").symlink_to(rigs.PROGRAMS / "sbxd")
        (libexec / "sbx-machine").symlink_to(BUILD / "tests/bench/fake_machine")
        for program in rigs.EGRESS:
            (libexec / program).symlink_to(rigs.PROGRAMS / program)
        for program in rigs.PROGRAMS.parent.rglob("sbx-guest"):
            if program.is_file():
                (libexec / "sbx-guest").symlink_to(program)
                break
        self.rig.env["SBX_LIBEXEC_DIR"] = str(libexec)
        self.rig.env["SBX_DATA_DIR"] = str(rigs.ROOT)

    def __enter__(self):
        return self.rig

    def __exit__(self, *_fault):
        left = self.rig.close()
        if left:
            print("bench: left behind:", *left, sep="\n  ", file=sys.stderr)


def first_byte(argv, env, limit=120):
    """ms until the first byte on stdout, and until the end."""
    started = time.perf_counter()
    with subprocess.Popen([str(a) for a in argv], env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE) as child:
        got = child.stdout.read(1)
        first = (time.perf_counter() - started) * 1000
        _out, err = child.communicate(timeout=limit)
        if not got or child.returncode:
            raise SystemExit(f"bench: {argv} ended with {child.returncode}: {err.decode(errors='replace')}")
    return first


# ---- groups ------------------------------------------------------------------------------------


def bench_cli(runs):
    with HostOnly() as rig:
        record("sbx version", series(runs, [rigs.SBX, "version"], rig.env), target=5)
        folder = rig.new_dir()
        for number in range(50):
            rig.ok("create", "--name", f"many-{number}", "shell", folder)
        record("sbx ls with 50 sandboxes", series(runs, [rigs.SBX, "ls"], rig.env), target=30)


FORK_EXEC = """
import os, time
took = []
for _ in range(40):
    t = time.perf_counter()
    os.waitpid(os.posix_spawn("/bin/true", ["/bin/true"], {}), 0)
    took.append(time.perf_counter() - t)
print(sorted(took)[20] * 1000)
"""


def bench_exec(runs):
    with HostOnly() as rig:
        rig.create("bench").start()
        record("sbx exec, host only: there and back",
               series(max(runs, 50), [rigs.SBX, "exec", "bench", "--", "/bin/true"], rig.env), target=3)
    rig = rigs.Rig()
    try:
        box = rig.create("bench").start()
        # In turns, so that both are of the same moment: a shared host changes within seconds.
        inside, whole, over = [], [], []
        for _ in range(5):
            inside.append(float(box.python(FORK_EXEC, timeout=60).text))
            took = series(max(runs, 50) // 5, [rigs.SBX, "exec", "bench", "--", "/bin/true"], rig.env)
            whole += took
            over += [w - inside[-1] for w in took]
        record("the guest's own fork+exec of /bin/true", inside)
        record("sbx exec /bin/true, whole", whole)
        record("sbx exec /bin/true over the guest's own", over, target=15)
    finally:
        rig.close()


def bench_run(runs):
    with HostOnly() as rig:
        took = []
        for number in range(runs):
            folder = rig.new_dir()
            took.append(first_byte([rigs.SBX, "run", "--name", f"bench-{number}", *rigs.SIZE, "shell", folder,
                                    "--", "echo", "x"], rig.env))
            rig.ok("rm", "--force", f"bench-{number}")
        record("sbx run to the first byte, host only", took, target=150)
    rig = rigs.Rig()
    try:
        rig.ok("ls")
        took = []
        for number in range(runs):
            folder = rig.new_dir()
            took.append(first_byte([rigs.SBX, "run", "--name", f"bench-{number}", *rigs.SIZE, "shell", folder,
                                    "--", "echo", "x"], rig.env))
            rig.ok("rm", "--force", f"bench-{number}")
        record("sbx run to the first byte", took, target=4500)
    finally:
        rig.close()


def pss_kib(pid):
    try:
        text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0
    found = re.search(r"^Pss:\s+(\d+)", text, re.M)
    return int(found[1]) if found else 0


def guest_memory_kib(pid):
    """Of it, the guest's own memory, which the file server has mapped: it is the guest's."""
    total, guest = 0, False
    for line in pathlib.Path(f"/proc/{pid}/smaps").read_text().splitlines():
        if re.match(r"^[0-9a-f]+-[0-9a-f]+ ", line):
            guest = "memfd:" in line
        elif guest and line.startswith("Pss:"):
            total += int(line.split()[1])
    return total


def bench_memory(runs):
    rig = rigs.Rig()
    try:
        box = rig.create("bench").start()
        time.sleep(3)
        machine = {p: n for p, n in rig.group_of(box.name).items() if not n.startswith("qemu")}
        assert {"sbx-machine", "sbx-front", "sbx-vault"} <= set(machine.values()), machine
        daemon = [p for p, n in rig.look().items() if n == "sbxd"]
        samples, own = [], []
        for _ in range(runs):
            own.append(sum(pss_kib(p) - guest_memory_kib(p) for p in machine) / 1024)
            samples.append(own[-1] + sum(map(pss_kib, daemon)) / 1024)
            time.sleep(0.1)
        record("PSS of sbxd and the processes of one idle sandbox, engine and guest memory aside", samples,
               unit="MiB", target=12)
        record("of these, the sandbox's own", own, unit="MiB")
        ticks = sum(rigs.cpu_ticks(p) for p in [*machine, *daemon])
        time.sleep(10)
        used = (sum(rigs.cpu_ticks(p) for p in [*machine, *daemon]) - ticks) * 10
        record("CPU of the same in 10 s of idling", used, target=10)
    finally:
        rig.close()


HOLD = "import socket; s = socket.create_connection(('host.sbx.internal', {port})); s.sendall(bytes(1)); s.recv(1)"


def bench_policy(runs):
    """A rule's way into a running sandbox. The command returns once both of its processes judge by it."""
    rig = rigs.Rig()
    try:
        box = rig.create("bench").start()
        allowed, denied, cut = [], [], []
        for _ in range(runs):
            with socket.create_server(("127.0.0.1", 0)) as listener:  # a port of its own: rules stay
                listener.settimeout(30)
                port = listener.getsockname()[1]
                begin = time.perf_counter()
                rig.ok("policy", "allow", "--sandbox", box.name, f"localhost:{port}")
                allowed.append((time.perf_counter() - begin) * 1000)
                client = rig.popen("exec", box.name, "--", "python3", "-c", HOLD.format(port=port))
                peer, _ = listener.accept()
            with peer:
                peer.settimeout(30)
                assert peer.recv(1) == bytes(1)
                begin = time.perf_counter()
                command = rig.popen("policy", "deny", "--sandbox", box.name, f"localhost:{port}")
                try:
                    assert peer.recv(1) == b""
                except ConnectionResetError:
                    pass
                cut.append((time.perf_counter() - begin) * 1000)
                assert command.wait(30) == 0
                denied.append((time.perf_counter() - begin) * 1000)
            client.kill()
            client.wait(30)
        record("sbx policy allow, until a running sandbox judges by it", allowed, target=100)
        record("sbx policy deny, until a running sandbox judges by it", denied, target=100)
        record("sbx policy deny, until the server of an open stream sees it cut", cut, target=100)
    finally:
        rig.close()


def bench_program(name, runs):
    """A program of tests/bench that prints its own JSON lines."""
    program = BUILD / "tests/bench" / f"bench_{name}"
    if not program.exists():
        print(f"bench: {program.name} is not built: left out", file=sys.stderr)
        return
    for line in subprocess.run([program], stdout=subprocess.PIPE, check=True, text=True).stdout.splitlines():
        try:
            RESULTS.append(json.loads(line))
        except ValueError:
            print(line, file=sys.stderr)


def bench_egress(runs):
    """Rounds, not runs: each is a second of load. Five are enough, since ratios are taken within a round."""
    egress.run(record, rounds=min(runs, 5))


GROUPS = {"cli": bench_cli, "exec": bench_exec, "run": bench_run, "memory": bench_memory,
          "policy": bench_policy, "egress": bench_egress, "fs": lambda runs: bench_program("fs", runs), "vsock": lambda runs: bench_program("vsock", runs),
          "image": lambda runs: bench_image.run(runs, record),
          "kit": lambda runs: bench_program("kit", runs)}


def table():
    print(f"{'what':<80} {'median':>10} {'min':>9} {'max':>9}  {'target':>8}")
    for line in RESULTS:
        value = line.get("median", line.get("value", ""))
        target = f"{line['target']:>8} {line['verdict']}" if "target" in line else ""
        print(f"{line['bench']:<80} {value:>10} {line.get('min', ''):>9} {line.get('max', ''):>9}  {target}"
              f"{'' if target else ' ' * 8} {line.get('unit', '')}"
              + (f" ratio {line['ratio']}" if "ratio" in line else ""))


def main():
    options = argparse.ArgumentParser(description="measure sbx")
    options.add_argument("-n", "--runs", type=int, default=20)
    options.add_argument("groups", nargs="*", choices=[[], *GROUPS], default=[])
    chosen = options.parse_args()
    os.environ.setdefault("LC_ALL", "C.UTF-8")
    noise(max(20, chosen.runs))
    for name in chosen.groups or GROUPS:
        try:
            GROUPS[name](chosen.runs)
        except (AssertionError, SystemExit, subprocess.CalledProcessError) as fault:
            print(f"bench: {name}: {fault}", file=sys.stderr)
            RESULTS.append({"bench": f"{name}: could not be measured", "unit": str(fault)[:60]})
    noise(max(20, chosen.runs))
    out = BUILD / "bench.jsonl"
    with open(out, "w") as file:
        for line in RESULTS:
            file.write(json.dumps({**line, "time": int(time.time()), "load": os.getloadavg()[0]}) + "\n")
    table()
    print(f"JSON lines: {out}")


if __name__ == "__main__":
    main()
