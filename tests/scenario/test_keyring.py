"""The key of the stored secrets in a real Secret Service: gnome-keyring on a session bus of the test's own.

No sandbox runs. Nothing of whoever runs the tests is touched: the bus, its runtime directory, the keyring
and the home are made here, and the bus's address is in the environment of these programs alone.
"""
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import time

import pytest

import rig as rigs

VALUE = "canary-3e9a77c1d04b-keyring"
PASSWORD = b"the keyring's own password"


def missing():
    for program in ("dbus-daemon", "dbus-send", "gnome-keyring-daemon"):
        if not shutil.which(program):
            return f"{program} is not installed"
    try:
        import secretstorage  # noqa: F401
    except ImportError:
        return "python3-secretstorage is not installed"
    return None


pytestmark = pytest.mark.skipif(missing() is not None, reason=str(missing()))


def wait_for(what, seconds=30):
    end = time.monotonic() + seconds
    while True:
        found = what()
        if found:
            return found
        assert time.monotonic() < end, f"{what} did not become true"
        time.sleep(0.05)


class Session:
    """A bus, and on it a keyring that is open."""

    def __init__(self):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="sbxt-bus-", dir="/tmp"))
        (self.dir / "run").mkdir(mode=0o700)
        self.address = f"unix:path={self.dir}/bus"
        self.env = {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "LC_ALL": "C.UTF-8", "HOME": str(self.dir),
                    "XDG_RUNTIME_DIR": str(self.dir / "run"), "XDG_DATA_HOME": str(self.dir / "data"),
                    "DBUS_SESSION_BUS_ADDRESS": self.address}
        self.quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "env": self.env}
        self.bus = subprocess.Popen(["dbus-daemon", "--session", "--nofork", f"--address={self.address}"],
                                    stdin=subprocess.DEVNULL, **self.quiet)
        wait_for((self.dir / "bus").exists)
        self.start()

    def start(self):
        self.keyring = subprocess.Popen(["gnome-keyring-daemon", "--foreground", "--unlock", "--components=secrets"],
                                        stdin=subprocess.PIPE, **self.quiet)
        self.keyring.stdin.write(PASSWORD)
        self.keyring.stdin.close()
        wait_for(self.served)  # whoever asks too early has the bus start a second one
        wait_for(self.open)

    def served(self):
        run = subprocess.run(["dbus-send", f"--bus={self.address}", "--print-reply", "--dest=org.freedesktop.DBus", "/",
                              "org.freedesktop.DBus.NameHasOwner", "string:org.freedesktop.secrets"],
                             capture_output=True, timeout=30)
        return b"boolean true" in run.stdout

    def ask(self, work):
        """work(connection, default collection), in a connection of its own."""
        import secretstorage
        before = os.environ.get("DBUS_SESSION_BUS_ADDRESS")
        os.environ["DBUS_SESSION_BUS_ADDRESS"] = self.address
        try:
            bus = secretstorage.dbus_init()
        finally:
            if before is None:
                del os.environ["DBUS_SESSION_BUS_ADDRESS"]
            else:
                os.environ["DBUS_SESSION_BUS_ADDRESS"] = before
        try:
            return work(bus, secretstorage.Collection(bus, "/org/freedesktop/secrets/aliases/default"))
        finally:
            bus.close()

    def open(self):
        try:
            return self.ask(lambda bus, keyring: not keyring.is_locked())
        except Exception:  # not there yet, in whatever words the library says it
            return False

    def keys(self):
        """What sbx keeps there: id -> content."""
        def look(bus, keyring):
            import secretstorage
            return {i.get_attributes()["key"]: i.get_secret().decode()
                    for i in secretstorage.search_items(bus, {"application": "sbx"})}
        return self.ask(look)

    def lock(self):
        self.ask(lambda bus, keyring: keyring.lock())
        wait_for(lambda: not self.open())

    def unlock(self):
        """Only a dialog opens one that runs; as at a log-in, one starts anew and is given the password."""
        self.keyring.terminate()
        self.keyring.wait(20)
        self.start()

    def close(self):
        self.keyring.send_signal(signal.SIGCONT)
        for child in (self.keyring, self.bus):
            child.terminate()
            child.wait(20)
        shutil.rmtree(self.dir, ignore_errors=True)


@pytest.fixture(scope="module")
def session():
    made = Session()
    yield made
    made.close()


@pytest.fixture
def kept(programs, session):
    """A state of its own, on the session's bus."""
    made = rigs.Rig(env={"DBUS_SESSION_BUS_ADDRESS": session.address,
                         "XDG_RUNTIME_DIR": session.env["XDG_RUNTIME_DIR"], "SBX_SECRETS_STORE": ""})
    yield made
    left = made.close()
    assert not left, "left behind: " + "\n".join(left)


def no_bus(rig):
    (rig.base / "run").mkdir(exist_ok=True)
    return {"DBUS_SESSION_BUS_ADDRESS": "", "XDG_RUNTIME_DIR": str(rig.base / "run")}


def names(rig):
    return [s["name"] for s in rig.json("secret", "ls", "--json")["secrets"]]


def store(rig):
    return rig.json("secret", "ls", "--json")["store"]


def in_files(rig, text):
    """Files of state and configuration that hold @text."""
    found = []
    for top in (rig.state, rig.base / "home"):
        for path in top.rglob("*"):
            if path.is_file() and not path.is_symlink() and text.encode() in path.read_bytes():
                found.append(str(path))
    return found


def identity(rig):
    return (rig.state / "secrets/identity").read_text()


def opens(rig, key):
    """Does the age program open the file with that key? What is in it then."""
    path = rig.base / "key"
    path.write_text(key + "\n")
    run = subprocess.run(["age", "-d", "-i", path, rig.state / "secrets/secrets.age"], stdin=subprocess.DEVNULL,
                         capture_output=True, timeout=30)
    path.unlink()
    return run.stdout if run.returncode == 0 else None


def test_only_the_key_is_there(kept, session):
    had = set(session.keys())
    done = kept.ok("secret", "set", "github", input=VALUE)
    assert "file" not in done.errors
    assert store(kept) == "keyring" and "keyring" in kept.ok("secret", "ls").errors
    new = {k: v for k, v in session.keys().items() if k not in had}
    assert len(new) == 1
    key, text = new.popitem()
    assert text.startswith("AGE-SECRET-KEY-1") and key in identity(kept)
    # neither the value nor the key that opens it is in any file, and the keyring has no value
    assert in_files(kept, VALUE) == [] and in_files(kept, "AGE-SECRET-KEY") == []
    assert VALUE not in text
    if shutil.which("age"):
        assert VALUE.encode() in opens(kept, text)
    secrets = [c for c in kept.api("GET", "/v1/diagnose")[1]["checks"] if c["name"] == "secrets"]
    assert secrets[0]["status"] == "pass" and "keyring" in secrets[0]["message"]
    # a daemon that starts anew gets it by itself
    kept.ok("daemon", "restart")
    assert names(kept) == ["github"]
    now = [s for s in kept.json("settings", "list", "--json")["settings"] if s["key"] == "secrets.store"]
    assert now[0]["now"] == "keyring" and now[0]["value"] == "auto"


def test_there_and_back_loses_nothing(kept, session):
    had = set(session.keys())
    kept.ok("secret", "set", "github", input=VALUE)
    kept.ok("secret", "set", "gitlab", input="other-" + VALUE)
    first = {k: v for k, v in session.keys().items() if k not in had}
    kept.ok("settings", "set", "secrets.store", "file", timeout=160)
    assert store(kept) == "file" and names(kept) == ["github", "gitlab"]
    assert set(session.keys()) == had, "the key that opens nothing any more is still in the keyring"
    assert identity(kept).startswith("AGE-SECRET-KEY-1")
    assert (rigs.stat.S_IMODE((kept.state / "secrets/identity").stat().st_mode)) == 0o600
    in_file = identity(kept).strip()
    kept.ok("settings", "set", "secrets.store", "keyring", timeout=160)
    assert store(kept) == "keyring" and names(kept) == ["github", "gitlab"]
    second = {k: v for k, v in session.keys().items() if k not in had}
    assert len(second) == 1 and not set(second) & set(first)
    assert in_files(kept, in_file) == []
    if shutil.which("age"):
        # old keys, which may be in backups, do not open what is there now
        assert opens(kept, in_file) is None and opens(kept, next(iter(first.values()))) is None
        assert ("other-" + VALUE).encode() in opens(kept, next(iter(second.values())))
    assert not (kept.state / "secrets/moving").exists()


def test_a_locked_keyring_is_said_not_waited_for(kept, session):
    kept.ok("secret", "set", "github", input=VALUE)
    before = (kept.state / "secrets/secrets.age").read_bytes()
    session.lock()
    try:
        # who has the key already goes on: sandboxes do not lose their credentials with the screen's lock
        assert names(kept) == ["github"]
        kept.ok("daemon", "restart")
        failed = kept.fails("secret", "ls", timeout=100)
        assert "locked" in failed.errors and "hint: " in failed.errors
        failed = kept.fails("secret", "set", "gitlab", input="x-" + VALUE, timeout=100)
        assert "locked" in failed.errors
        assert (kept.state / "secrets/secrets.age").read_bytes() == before
    finally:
        session.unlock()
    kept.ok("daemon", "restart")
    assert names(kept) == ["github"]


def test_first_use_with_a_locked_keyring_and_nobody_to_ask(kept, session):
    """Headless: there is a keyring, it is locked, there is no display. A file, and a word about it."""
    session.lock()
    try:
        done = kept.ok("secret", "set", "github", input=VALUE, timeout=100)
        assert "file" in done.errors and "locked" in done.errors
        assert store(kept) == "file"
        # an order is no wish: what cannot be followed is refused, and changes nothing
        failed = kept.fails("settings", "set", "secrets.store", "keyring", timeout=160)
        assert "locked" in failed.errors
        assert store(kept) == "file" and names(kept) == ["github"]
        settings = kept.json("settings", "list", "--json")["settings"]
        assert [s["source"] for s in settings if s["key"] == "secrets.store"] == ["default"]
        assert not (kept.state / "secrets/moving").exists()
    finally:
        session.unlock()


def test_the_bus_goes_away(kept, session):
    kept.ok("secret", "set", "github", input=VALUE)
    kept.ok("daemon", "restart", env=no_bus(kept))
    failed = kept.fails("secret", "ls", timeout=100)
    assert "no message bus" in failed.errors
    kept.fails("secret", "set", "gitlab", input="x", timeout=100)
    secrets = [c for c in kept.api("GET", "/v1/diagnose")[1]["checks"] if c["name"] == "secrets"]
    assert secrets[0]["status"] == "warn" and "no message bus" in secrets[0]["message"]
    kept.ok("daemon", "restart")
    assert names(kept) == ["github"]


def test_headless_is_a_file_with_a_notice(kept):
    kept.ok("daemon", "start", env=no_bus(kept))
    done = kept.ok("secret", "set", "github", input=VALUE)
    assert "no message bus" in done.errors and "file" in done.errors
    assert store(kept) == "file" and in_files(kept, VALUE) == []
    # said once, when it is chosen
    assert "file" not in kept.ok("secret", "set", "gitlab", input=VALUE).errors


def test_a_keyring_that_was_ordered_is_never_a_file(kept):
    kept.ok("daemon", "start", env={**no_bus(kept), "SBX_SECRETS_STORE": "keyring"})
    failed = kept.fails("secret", "set", "github", input=VALUE, timeout=100)
    assert "no message bus" in failed.errors and "secrets.store file" in failed.errors
    assert store(kept) == "none" and in_files(kept, VALUE) == []
    assert not (kept.state / "secrets/identity").exists()


@pytest.mark.parametrize("address", ["tcp:host=127.0.0.1,port=9", "unixexec:path=/bin/sh", "autolaunch:",
                                     "unix:path=/nowhere/bus", "unix:path=/nowhere;tcp:host=127.0.0.1,port=9", "x" * 5000],
                         ids=["tcp", "exec", "autolaunch", "nowhere", "second", "long"])
def test_addresses_that_are_no_session(kept, address):
    kept.ok("daemon", "start", env={**no_bus(kept), "DBUS_SESSION_BUS_ADDRESS": address})
    done = kept.ok("secret", "set", "github", input=VALUE)
    assert "no message bus" in done.errors
    assert store(kept) == "file"


def test_a_service_that_hangs_is_given_up(kept, session):
    session.keyring.send_signal(signal.SIGSTOP)
    try:
        started = time.monotonic()
        done = kept.ok("secret", "set", "github", input=VALUE, timeout=60)
        assert "in time" in done.errors and time.monotonic() - started < 40
        assert store(kept) == "file"
    finally:
        session.keyring.send_signal(signal.SIGCONT)


def test_the_helper_takes_nothing_but_its_protocol(programs):
    helper = rigs.PROGRAMS / "sbx-keyring"
    for text in (b"", b"SBXK", b"\0" * 16, os.urandom(700), b"SBXK\x01\x09" + b"\0" * 10):
        run = subprocess.run([helper], input=text, capture_output=True, timeout=30, env={})
        assert run.returncode == 1 and run.stdout == b""
    assert subprocess.run([helper, "--help"], capture_output=True, timeout=30).returncode == 2
