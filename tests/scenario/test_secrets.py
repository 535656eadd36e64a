"""sbx secret: where a value may come from, on a real terminal too; credentials of one's own kind; tls.extraCA."""
import fcntl
import os
import pty
import select
import signal
import subprocess
import termios
import time

import pytest

import rig as rigs

VALUE = "canary-5d0c71aa93f2-secret"


@pytest.fixture(autouse=True)
def nothing_kept(rig):
    yield
    for s in rig.json("secret", "ls", "--json")["secrets"]:
        more = ["--sandbox", s["sandbox"]] if s["sandbox"] else []
        rig.ok("secret", "rm", s["name"], *more)
    assert not list((rig.base / "home").rglob("services/*.yaml"))


def listed(rig):
    return {s["name"]: s for s in rig.json("secret", "ls", "--json")["secrets"]}


# ---- where a value comes from ----


def test_from_standard_input_and_a_variable(rig):
    for given in (VALUE, VALUE + "\n", VALUE + "\r\n"):
        rig.ok("secret", "set", "github", input=given)
        assert listed(rig)["github"]["mask"] == "canary***************cret"
    rig.ok("secret", "set", "gitlab", "--from-env", "OWN", env={"OWN": VALUE})
    assert listed(rig)["gitlab"]["mask"] == "canary***************cret"
    assert "is not set" in rig.fails("secret", "set", "gitlab", "--from-env", "NOT_THERE").errors
    assert "empty" in rig.fails("secret", "set", "gitlab", input="\n").errors
    for bad in ("a\nb", "a\rb", "a\0b", "x" * 8193):
        rig.fails("secret", "set", "npm", input=bad)
    rig.fails("secret", "set", "github", "--command", "true", "--from-env", "OWN")
    rig.fails("secret", "set", "github", "--refresh", "60", input=VALUE)
    assert sorted(listed(rig)) == ["github", "gitlab"]
    assert not any(VALUE.encode() in p.read_bytes() for p in rig.state.rglob("*") if p.is_file())


def test_import_takes_what_the_shell_has(rig):
    env = {"GH_TOKEN": VALUE, "OPENAI_API_KEY": "sk-" + VALUE, "AWS_ACCESS_KEY_ID": "AKIA1"}
    assert rig.sbx("secret", "import", env=env).code == 2
    assert rig.ok("secret", "import", "--dry-run", env=env).text.split() == ["github", "openai"]
    assert listed(rig) == {}
    done = rig.ok("secret", "import", "openai", "npm", env=env)
    assert done.text.split() == ["openai"] and "npm" in done.errors and list(listed(rig)) == ["openai"]
    # two variables are one credential only when both are there
    env["AWS_SECRET_ACCESS_KEY"] = "key/1"
    assert rig.ok("secret", "import", "--all", env=env).text.split() == ["aws", "github", "openai"]
    assert listed(rig)["aws"]["mask"] == "AKIA1:*****"


def test_a_command_is_tried_when_it_is_set(rig):
    marker = rig.base / "asked"
    rig.ok("secret", "set", "github", "--command", f"echo x >>{marker}; echo {VALUE}", "--refresh", "90")
    kept = listed(rig)["github"]
    assert (kept["type"], kept["refresh_s"], kept["mask"]) == ("command", 90, None)
    assert marker.read_text() == "x\n"
    for bad in ("exit 7", "true", "head -c 9000 /dev/zero | tr '\\0' a", "echo a\necho b"):
        rig.fails("secret", "set", "github", "--command", bad, timeout=90)
    assert listed(rig)["github"] == kept
    assert "no such" in rig.fails("secret", "set", "nothing-of-ours", input=VALUE).errors \
        or "there is no service" in rig.fails("secret", "set", "nothing-of-ours", input=VALUE).errors


class Terminal:
    """sbx with a terminal of its own, as a session leader has it."""

    def __init__(self, rig, *args):
        self.master, slave = pty.openpty()
        self.before = termios.tcgetattr(slave)
        self.slave = slave
        self.shown = b""

        def own():
            os.setsid()
            fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
        self.child = subprocess.Popen([rigs.SBX, *args], stdin=slave, stdout=slave, stderr=slave, env=rig.env,
                                      cwd=rig.base, preexec_fn=own)

    def until(self, what, seconds=60):
        end = time.monotonic() + seconds
        while not what():
            left = end - time.monotonic()
            assert left > 0, self.shown
            if select.select([self.master], [], [], min(left, 0.1))[0]:
                self.shown += os.read(self.master, 4096)

    def echoes(self):
        return bool(termios.tcgetattr(self.slave)[3] & termios.ECHO)

    def prompt(self):
        self.until(lambda: b"not shown" in self.shown and not self.echoes())

    def write(self, text):
        os.write(self.master, text)

    def end(self):
        self.until(lambda: self.child.poll() is not None)
        assert termios.tcgetattr(self.slave) == self.before, "the terminal is not as it was"
        os.close(self.slave)
        os.close(self.master)
        return self.child.returncode


def test_a_prompt_shows_nothing(rig):
    rig.ok("daemon", "start")
    at = Terminal(rig, "secret", "set", "github")
    at.prompt()
    at.write(VALUE.encode() + b"\n")
    at.until(lambda: b"is stored" in at.shown)
    assert at.end() == 0
    assert VALUE.encode() not in at.shown and b"canary" not in at.shown
    assert listed(rig)["github"]["mask"] == "canary***************cret"


@pytest.mark.parametrize("how", ["ctrl-c", "ctrl-backslash", "term", "hup", "ctrl-d"])
def test_a_prompt_that_is_left_leaves_the_terminal_as_it_was(rig, how):
    rig.ok("daemon", "start")
    at = Terminal(rig, "secret", "set", "github")
    at.prompt()
    at.write(b"half a sec")
    at.write(b"\x1a")  # stopping would leave the shell with a terminal that shows nothing
    if how in ("term", "hup"):
        at.child.send_signal(signal.SIGTERM if how == "term" else signal.SIGHUP)
    else:
        at.write({"ctrl-c": b"\x03", "ctrl-backslash": b"\x1c", "ctrl-d": b"\x15\x04"}[how])
    code = at.end()
    wanted = {"ctrl-c": -signal.SIGINT, "ctrl-backslash": -signal.SIGQUIT, "term": -signal.SIGTERM,
              "hup": -signal.SIGHUP}
    assert code == wanted.get(how, 2)
    assert b"half" not in at.shown and listed(rig) == {}


def test_a_service_that_is_not_there_asks_for_nothing(rig):
    rig.ok("daemon", "start")
    at = Terminal(rig, "secret", "set", "no-such-service")
    assert at.end() == 1
    assert b"not shown" not in at.shown and b"there is no service" in at.shown


# ---- of one's own kind ----


def test_custom_is_listed_and_goes_with_its_secret(rig):
    rig.ok("secret", "set", "github", input=VALUE)
    rig.ok("secret", "set-custom", "--host", "api.x.test", "--host", "*.y.test:8443", "--env", "X_TOKEN", input=VALUE)
    rig.ok("secret", "set-custom", "--name", "own", "--host", "localhost:8080", "--placeholder", "own-{rand}-key",
           "--in", "header:X-Own", "--in", "query:key", "--in", "basic:me", "--path", "/v1/**", "--value", VALUE)
    rig.ok("secret", "set-custom", "--host", "z.test", "--header", "X-Z", "--format", "Z %s", "--command", "echo z-value-z")
    kept = listed(rig)
    assert kept["github"]["custom"] is None
    assert kept["x-token"]["custom"] == {"hosts": ["api.x.test", "*.y.test:8443"], "env": ["X_TOKEN"],
                                         "placeholder": "sbx-cs-{rand}", "places": ["authorization: Bearer %s"]}
    assert kept["own"]["custom"]["places"] == ["header:x-own", "query:key", "basic:me"]
    assert kept["own"]["custom"]["placeholder"] == "own-{rand}-key"
    assert kept["z-test"]["custom"]["places"] == ["x-z: Z %s"] and kept["z-test"]["type"] == "command"
    first, custom = rig.ok("secret", "ls").text.split("\n\n")
    assert "github" in first and "x-token" not in first
    assert custom.splitlines()[0].split() == ["SCOPE", "NAME", "TARGET", "ENV", "PLACEHOLDER", "SECRET"]
    assert any(line.split()[:5] == ["all", "x-token", "api.x.test,*.y.test:8443", "X_TOKEN", "sbx-cs-{rand}"]
               for line in custom.splitlines())
    assert rig.ok("secret", "ls", "-q").text.split() == ["github", "own", "x-token", "z-test"]
    # set anew: the same file, another value and another place
    rig.ok("secret", "set-custom", "--host", "api.x.test", "--env", "X_TOKEN", "--in", "query:t", input="new-" + VALUE)
    assert listed(rig)["x-token"]["custom"]["places"] == ["query:t"]
    rig.ok("secret", "set", "x-token", input="value-alone")
    assert listed(rig)["x-token"]["custom"]["places"] == ["query:t"]
    rig.ok("secret", "rm", "x-token")
    assert rig.fails("secret", "set", "x-token", input=VALUE).code == 1


@pytest.mark.parametrize("words", [
    ("--host", "**"), ("--host", "**.com"), ("--host", "*.test"), ("--host", "localhost"), ("--host", "a.test/x"), ("--host", ""),
    ("--host", "x.test", "--header", "Host"), ("--host", "x.test", "--header", "a b"), ("--host", "x.test", "--header", "x", "--format", "no"),
    ("--host", "x.test", "--format", "%s"), ("--host", "x.test", "--in", "body"), ("--host", "x.test", "--in", "path"),
    ("--host", "x.test", "--in", "query:a&b"), ("--host", "x.test", "--in", "basic:a:b"), ("--host", "x.test", "--in", "header:"),
    ("--host", "x.test", "--placeholder", "short"), ("--host", "x.test", "--placeholder", "with blanks in between"),
    ("--host", "x.test", "--placeholder", "{rand}{rand}"), ("--host", "x.test", "--env", "LD_PRELOAD"),
    ("--host", "x.test", "--path", "v1"), ("--host", "x.test", "--name", "../x"), ("--host", "x.test", "--name", "github"),
    ("--host", "x.test", "--value", "a", "--command", "b"), ("--host", "x.test", "--refresh", "5"),
    ("--host", "x.test", "--command", "exit 1"), ("--env", "X"), ("--host", "x.test", "word")], ids=" ".join)
def test_custom_refused_leaves_nothing(rig, words):
    rig.fails("secret", "set-custom", *words, input=VALUE)
    assert listed(rig) == {}


def test_custom_of_two_scopes(rig):
    """One name is one set of places; the secrets may differ."""
    made = rig.base / "home/.config/sbx/services"
    made.mkdir(parents=True, exist_ok=True)
    (made / "mine.yaml").write_text("name: mine\ndescription: d\nslots: [{hosts: [m.test], query: k}]\n")
    try:
        assert "is a service already" in rig.fails("secret", "set-custom", "--name", "mine", "--host", "x.test",
                                                   input=VALUE).errors
        rig.ok("secret", "set", "mine", input=VALUE)
        rig.ok("secret", "rm", "mine")
        assert (made / "mine.yaml").exists(), "what a person wrote is not removed"
    finally:
        (made / "mine.yaml").unlink()
    rig.ok("secret", "set-custom", "--host", "x.test", "--placeholder", "the-same-everywhere", input=VALUE)
    assert "has that placeholder" in rig.fails("secret", "set-custom", "--host", "y.test", "--placeholder",
                                               "the-same-everywhere", input=VALUE).errors


# ---- tls.extraCA ----


def certificate(rig):
    key, cert = rig.base / "ca.key", rig.base / "ca.pem"
    if not cert.exists():
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                        "-subj", "/CN=own", "-days", "2", "-keyout", key, "-out", cert], check=True,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=60)
    return key, cert


def test_extra_ca_is_read_when_it_is_set(rig):
    key, cert = certificate(rig)
    good = cert.read_text()
    bad = rig.base / "bad.pem"
    rig.ok("settings", "set", "tls.extraCA", str(cert))
    cases = {"1\n2\n" + key.read_text(): "bad.pem:3: a private key", good + good[:200]: "that does not end",
             "x\n" + good.replace("M", "*", 3): "bad.pem:2: a broken", "": "no certificate", "\0": "not text"}
    for text, why in cases.items():
        bad.write_text(text)
        assert why in rig.fails("settings", "set", "tls.extraCA", str(bad)).errors
    bad.write_text("#" * (1 << 20) + "\n" + good)
    rig.fails("settings", "set", "tls.extraCA", str(bad))
    rig.fails("settings", "set", "tls.extraCA", "relative.pem")
    rig.fails("settings", "set", "tls.extraCA", str(rig.base / "not-there.pem"))
    assert rig.ok("settings", "get", "tls.extraCA").text.strip() == str(cert)
    rig.ok("settings", "unset", "tls.extraCA")
    assert rig.ok("settings", "get", "tls.extraCA").text.strip() == ""
