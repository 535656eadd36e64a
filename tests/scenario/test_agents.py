"""Real agents, installed inside from the registry that this host's npm is set up with, against models of our own.

The models answer at their services' real names on the rig's Internet (tests/inet/models.py), want the real key, ask for
one command and say what it gave. The agent has the stand-in, and its command works in the workspace.

Installing and running costs the emulated tier minutes: by itself a check runs four of them (QUICK). The rest is run by
SBX_TEST_AGENTS=all, or by name (SBX_TEST_AGENTS=copilot,cline); what was measured is in the table below.
"""
import os
import re
import shutil
import subprocess
import time
import urllib.parse

import pexpect
import pytest

import rig as rigs
from inet import oracles

PROMPT = "Please do RUN(tr a-z A-Z <given | tee made)NOW and say what came."
TOLD = {"a virtual machine of your own", "kits-memory/house-rules.md"}  # by its own kit, and where a mixin's words are
QUICK = ("claude", "codex", "gemini", "opencode")
KIT = """\
schemaVersion: "2"
kind: mixin
name: house-rules
description: How this house lints.
permissions: {network: {allow: ["echo.test:443"]}}
environment: {variables: {LINT_LEVEL: strict}}
credentials:
  - service: house
    description: The house's rules
    apiKey: {name: HOUSE_TOKEN, inject: [{domain: echo.test, header: x-house, format: "key %s"}]}
setup:
  install:
    - description: The linter
      command: |
        echo 'grep -n TODO "$@" && exit 1; echo $LINT_LEVEL' > /usr/local/bin/house-lint
        chmod 755 /usr/local/bin/house-lint
  startup: [{command: [sh, -c, "echo up >> /var/tmp/started"]}]
  files: [{path: /etc/house-lint.conf, content: "root=${WORKDIR}\\n"}]
agentInstructions: {content: "Run house-lint before you say that you are done."}
"""
# agent: (service, whose API, words after --, what was measured on two cores at a load of 5 to 13, beside other guests)
AGENTS = {
    "claude": ("anthropic", "anthropic", ["-p", PROMPT], "62 s to install, 17 s for a prompt"),
    "codex": ("openai", "responses", ["codex", "exec", PROMPT], "44 to 80 s to install, 28 s for a prompt"),
    "gemini": ("google", "gemini", ["-p", PROMPT], "61 s to install, 70 s for the first prompt"),
    "opencode": ("anthropic", "anthropic", ["opencode", "run", "--model", "anthropic/claude-sonnet-4-5", PROMPT],
                 "50 s to install, 82 s for a prompt"),
    "copilot": ("github", "chat", ["-p", PROMPT, "--model", "claude-sonnet-4.5"], "82 s to install, 79 to 102 s until it asks a model"),
    "qwen": ("dashscope", "chat", ["-p", PROMPT], "not measured; about what gemini takes"),
    "cline": ("anthropic", "anthropic", ["cline", PROMPT], "134 s to install, no answer to a prompt within 200 s"),
}


def registry():
    """The registry that this host's npm is set up with; skips where it is out of reach."""
    npm = shutil.which("npm")
    if not npm:
        pytest.skip("this host has no npm, so no registry is set up")
    ask = [npm, "config", "get", "registry"]
    url = urllib.parse.urlsplit(subprocess.run(ask, capture_output=True, text=True, timeout=60, check=False).stdout.strip())
    ask = [npm, "view", "--fetch-retries=0", "--fetch-timeout=10000", "is-number@7.0.0", "version"]
    seen = subprocess.run(ask, capture_output=True, text=True, timeout=60, check=False)
    if not url.hostname or not url.hostname.strip("0123456789.[]:") or seen.stdout.strip() != "7.0.0":
        pytest.skip("the registry that npm is set up with cannot be reached by a name from this host")
    return url


@pytest.fixture(scope="module")
def net(world, image):
    url = registry()
    port = url.port or (443 if url.scheme == "https" else 80)
    world.outside(url.hostname, port)
    made = rigs.Rig(world.host)
    made.registry = url
    made.ok("settings", "set", "tls.extraCA", str(world.ca.cert))
    made.ok("policy", "init", "locked-down")  # what a kit opens, and the registry
    made.ok("policy", "allow", f"{url.hostname}:{port}")
    for service, key in world.keys.items():
        made.ok("secret", "set", service, input=key + "\n")
    made.house = "house-" + os.urandom(24).hex()
    yield made
    left = made.close()
    assert not left, "left behind: " + "\n".join(left)


class Agent:
    """A sandbox with one of them, as `sbx run` makes it the first time."""

    def __init__(self, net, name):
        self.net, self.name, self.box = net, name, f"{name}-project-{name}"
        self.service, self.api, self.words, _ = AGENTS[name]
        self.ws = net.new_dir(f"project-{name}")
        (self.ws / "given").write_text("hello\n")
        (self.ws / "my-kit").mkdir()
        (self.ws / "my-kit" / "spec.yaml").write_text(KIT)
        self.made = rigs.Box(net, self.box, self.ws)
        self.args = ["run", name, "--kit", "./my-kit/", "--kit-arg", f"registry={net.registry.geturl()}"]
        self.first = ["--cpus", "2", "--memory", "1200m", "--approve-kits"]

    def ask(self, timeout=900):
        """One prompt without a terminal: the command's effect and the words of the end."""
        (self.ws / "made").unlink(missing_ok=True)
        first, self.first = self.first, []
        got = self.net.sbx(*self.args, *first, "--", *self.words, timeout=timeout, cwd=self.ws)
        assert got.code == 0 and "HELLO" in got.text and "END" in got.text, got
        assert (self.ws / "made").read_text() == "HELLO\n", got
        return got


@pytest.fixture(scope="module")
def agent(net):
    """A function: the agent of that name, made once and removed with the last of its tests."""
    there = {}

    def make(name):
        wanted = os.environ.get("SBX_TEST_AGENTS") or ",".join(QUICK)
        if wanted != "all" and name not in wanted.split(","):
            pytest.skip(f"{name} takes too long for every check on the emulated tier ({AGENTS[name][3]}): SBX_TEST_AGENTS=all")
        if name not in there:
            for other in list(there):
                there.pop(other).made.remove()
            there[name] = Agent(net, name)
        return there[name]

    return make


def models(world, mark):
    return [e for e in world.since(mark) if "key" in e]


def marks(world, mark):
    return {m for e in world.since(mark) for m in e.get("marks", ())}


def nowhere(net, world, one, said):
    """The real key is in the vault alone: not inside, not in what was said, kept or logged, in no other process."""
    key = world.keys[one.service]
    inside = one.made.root_ok("cat /proc/[0-9]*/environ 2>/dev/null | tr '\\0' '\\n'; env; cd /home/agent && find . -type f -size -400k -print0 | xargs -0 cat",
                              timeout=120)
    assert oracles.scan_bytes(inside.encode(), oracles.needles(key)) == []
    assert oracles.scan_bytes(said.out + said.err, oracles.needles(key)) == []
    forms = {n: v for n, v in oracles.needles(key).items() if n in ("raw", "base64-0", "base64-1", "base64-2")}
    found = oracles.scan_tree(net.state, forms)
    assert found == {}, found
    group = net.group_of(one.box)
    assert "sbx-vault" in group.values() and "sbx-machine" in group.values()
    for pid in [p for p, name in group.items() if name != "sbx-vault"]:
        try:
            hits, _seen = oracles.scan_process(pid, forms)
        except OSError:
            continue
        assert hits == [], (pid, group[pid], hits)


def works(net, world, agent, name):
    one, mark, begun = agent(name), world.mark(), time.monotonic()
    said = one.ask()
    print(f"{name}: from nothing to its answer {time.monotonic() - begun:.0f} s")
    seen = models(world, mark)
    assert seen and all(e["key"] for e in seen) and one.api in {e["model"] for e in seen}, seen
    assert TOLD <= marks(world, mark), "the model was not told where it is"
    beside = one.made.ok('cat "$1"/kits-memory/house-rules.md', one.ws.parent)
    assert beside.strip() == "Run house-lint before you say that you are done."
    nowhere(net, world, one, said)


def test_claude_is_installed_asks_its_model_and_works_in_the_workspace(net, world, agent):
    works(net, world, agent, "claude")


def test_what_the_mixin_brings_holds_and_is_shown(net, world, agent):
    """`sbx run claude --kit ./my-kit/`: a linter, a variable, a host, a credential, a file, a command, words."""
    one = agent("claude")
    if one.first:
        one.ask()
    net.ok("secret", "set", "house", input=net.house + "\n")
    net.ok("stop", one.box)
    one.ask()  # its variable comes with a start
    assert one.made.ok("house-lint given") == "strict\n"
    assert one.made.sh("echo TODO > t && house-lint t").code == 1
    assert one.made.ok("cat /etc/house-lint.conf") == f"root={one.ws}\n"
    assert set(one.made.ok("cat /var/tmp/started").split()) == {"up"}
    mark = world.mark()
    script = 'curl -sS -m 60 -o /dev/null -w "%{http_code}" -H "x-house: key $HOUSE_TOKEN" "$1"'
    assert one.made.ok(script, "https://echo.test/rules", timeout=90) == "200"
    assert one.made.sh(script, "https://v6.test/rules", timeout=90).text != "200"
    arrived = [e for e in world.since(mark) if "head" in e]
    assert [e["line"] for e in arrived] == ["GET /rules HTTP/1.1"] or [e["line"] for e in arrived] == ["GET /rules HTTP/2"], arrived
    assert f"key {net.house}" in str(arrived[0]["head"]), arrived
    inside = one.made.root_ok("cat /proc/[0-9]*/environ 2>/dev/null | tr '\\0' '\\n'")
    assert "HOUSE_TOKEN=" in inside and net.house not in inside
    shown = net.ok("inspect", one.box).text
    for what in ("house-rules, from ", "allow echo.test:443  (kit house-rules)", "house: set  (kit house-rules)", "to echo.test x-house",
                 "LINT_LEVEL", "usr/local/bin/house-lint", "sh -c echo up >> /var/tmp/started  (kit house-rules)", "CLAUDE.md", "/etc/house-lint.conf"):
        assert what in shown, (what, shown)
    assert "Withheld" not in shown
    (one.ws / "my-kit" / "spec.yaml").write_text(KIT.replace("echo.test:443", "**"))  # as an agent inside could
    again = net.sbx(*one.args, cwd=one.ws)
    assert again.code != 0 and "changed" in again.errors, again
    (one.ws / "my-kit" / "spec.yaml").write_text(KIT)


def test_the_second_start_fetches_nothing(net, world, agent):
    one = agent("claude")
    if one.first:
        one.ask()
    net.ok("stop", one.box)
    mark, begun = world.mark(), time.monotonic()
    one.ask()
    print(f"claude: the second start, to its answer {time.monotonic() - begun:.0f} s")
    assert net.registry.hostname not in world.questions(mark)
    assert {e["at"][0] for e in world.since(mark) if "at" in e} == {"45.77.1.13"}


SCREEN = re.compile(r"\x1b(\[[0-9;?<>=]*[A-Za-z]|\][^\x07\x1b]*(\x07|\x1b\\)|[=>()][A-Z0-9]?)")


def test_claude_shows_its_prompt_without_any_question(net, world, agent):
    one = agent("claude")
    if one.first:
        one.ask()
    (one.ws / "made").unlink(missing_ok=True)
    child = pexpect.spawn(net.prefix[0], [*net.prefix[1:], str(rigs.SBX), *one.args], env={**net.env, "TERM": "xterm-256color"},
                          cwd=str(one.ws), timeout=400, dimensions=(40, 120), encoding="utf-8", codec_errors="replace")
    try:
        # the foot of its prompt: whatever asked something first would stand in its place
        child.expect("bypass(.{1,30})permissions(.{1,30})on")
        screen = SCREEN.sub(" ", child.before)
        for word in ("trust", "API key", "theme", "Yes,", "accept"):
            assert word not in screen, screen
        child.send(PROMPT)
        child.expect("what(.{1,20})came")
        child.send("\r")
        child.expect("RESULT", timeout=300)
        deadline = time.monotonic() + 200
        while not (one.ws / "made").exists():
            assert time.monotonic() < deadline
            time.sleep(0.2)
        assert (one.ws / "made").read_text() == "HELLO\n"
        child.send("\x1c")  # leave it; it goes on
        child.expect(pexpect.EOF)
    finally:
        child.close(force=True)
    again = pexpect.spawn(net.prefix[0], [*net.prefix[1:], str(rigs.SBX), *one.args], env={**net.env, "TERM": "xterm-256color"},
                          cwd=str(one.ws), timeout=200, dimensions=(40, 120), encoding="utf-8", codec_errors="replace")
    try:
        again.expect("RESULT")  # the same conversation: nothing was started
        again.send("\x1c")
        again.expect(pexpect.EOF)
    finally:
        again.close(force=True)


@pytest.mark.parametrize("name", [n for n in AGENTS if n != "claude"])
def test_others_do_too(net, world, agent, name):
    works(net, world, agent, name)
