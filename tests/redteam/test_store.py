"""Secrets at rest under a kill (case CR-24): what was said to be kept is there, whole, and nowhere in clear."""
import contextlib
import os
import random
import signal
import stat
import subprocess
import time

from inet import oracles

SERVICES = ("github", "gitlab", "openai", "anthropic", "npm", "pypi")


def kill_daemon(rig):
    for pid, name in rig.look().items():
        if name == "sbxd":
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def test_cr24_killed_while_it_writes(rig):
    r, kept, values = random.Random(24), {}, []
    rig.ok("settings", "set", "secrets.store", "file")
    for n in range(25):
        service, value = r.choice(SERVICES), f"Real-{n}-{r.randbytes(12).hex()}"
        values.append(value)
        child = rig.popen("secret", "set", service, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        child.stdin.write(value.encode())
        child.stdin.close()
        time.sleep(r.random() * 0.03)
        kill_daemon(rig)
        child.wait(60)
        listed = {s["name"] for s in rig.json("secret", "ls", "--json")["secrets"]}
        assert set(kept) <= listed, f"lost in round {n}"
        if child.returncode == 0:
            kept[service] = value
            assert service in listed
    assert kept, "no write came to its end"
    # the daemon that comes next takes away what a killed one had begun
    rig.ok("daemon", "restart")
    rig.ok("secret", "ls")
    for top, dirs, files in os.walk(rig.state):
        for name in files:
            path = os.path.join(top, name)
            mode = os.lstat(path)
            if not stat.S_ISREG(mode.st_mode):
                continue
            with open(path, "rb") as f:
                data = f.read()
            for value in values:
                assert oracles.scan_bytes(data, oracles.needles(value)) == [], path
            if "/secrets" in top:
                assert stat.S_IMODE(mode.st_mode) == 0o600, path
        if top.endswith("/secrets"):
            assert stat.S_IMODE(os.stat(top).st_mode) == 0o700
            assert not [f for f in files if f not in ("secrets.age", "identity")], files
    for service in {s["name"] for s in rig.json("secret", "ls", "--json")["secrets"]}:
        rig.ok("secret", "rm", service)
