"""Promise P9: what kits from outside ask for is in force when a person has seen it (KT-03, KT-11, KT-12), and only then."""
import json
import os
import pty
import select
import subprocess
import time

import pytest

import rig as rigs

MIXIN = 'schemaVersion: "2"\nkind: mixin\n'
LINT = MIXIN + """name: lint
permissions: {network: {allow: [lint.example], deny: [telemetry.example]}}
credentials: [{service: lintsvc, required: true, description: The linter,
  apiKey: {name: LINT_KEY, inject: [{domain: api.lint.example, header: x-lint}]}}]
environment: {variables: {LINT_LEVEL: strict}}
"""


@pytest.fixture(autouse=True)
def nothing_kept(rig, image):
    yield
    for name in rig.boxes():
        rig.ok("rm", "--force", name)
    for one in rig.json("kit", "approvals", "--json")["approvals"]:
        rig.ok("kit", "approvals", "rm", one["id"])


def kit(rig, text, top=None):
    top = top or rig.new_dir()
    (top / "spec.yaml").write_text(text)
    return top


def create(rig, name, top, *more, **given):
    return rig.ok("create", "--name", name, *rigs.SIZE, "--kit", top, *more, "shell", rig.new_dir(), **given)


def plan(rig, name):
    return rig.json("inspect", "--json", name)["plan"]


def verdict(rig, name, host):
    told = rig.api("POST", "/v1/policy/check", {"sandbox": name, "kind": "tcp", "target": f"{host}:443"})[1]
    rule = told["rule"] or {}
    return told["decision"], rule.get("origin") if rule.get("source") == "kit" else None


def test_without_a_person_it_is_withheld_and_said(rig):
    top = kit(rig, LINT)
    made = create(rig, "quiet", top)
    assert "+ network allow lint.example" in made.errors and "--approve-kits" in made.errors
    assert "withheld" in made.errors
    assert verdict(rig, "quiet", "lint.example") != ("allow", "kit lint")
    assert verdict(rig, "quiet", "telemetry.example") == ("deny", "kit lint")
    kept = plan(rig, "quiet")
    assert "credential lintsvc to api.lint.example x-lint: %s" in kept["withheld"] and "credentials" not in kept
    text = rig.ok("inspect", "quiet").text
    assert "Withheld:     credential LINT_KEY stands for lintsvc" in text and "from " + str(top) in text
    assert kept["env"]["LINT_LEVEL"] == "strict"  # what stays inside is not withheld


def test_a_plan_says_what_is_missing(rig):
    top = kit(rig, LINT)
    create(rig, "knows", top, "--approve-kits")
    shown = rig.ok("create", "--plan", "--name", "planned", *rigs.SIZE, "--kit", top, "shell", rig.new_dir())
    assert "credential 'lintsvc' (The linter) is missing, and its kit requires it" in shown.errors
    assert "sbx secret set lintsvc" in shown.errors
    made = json.loads(shown.out)
    assert made["surface"] and "asks" not in made and [k["name"] for k in made["kits"]] == ["shell", "lint"]
    rig.ok("secret", "set", "lintsvc", input="a-value-of-it")
    assert "missing" not in rig.ok("create", "--plan", "--name", "planned", "--kit", top, "shell").errors
    rig.ok("secret", "rm", "lintsvc")
    assert "planned" not in rig.boxes()


def test_approved_by_name_once_for_this_agent_and_these_kits(rig):
    top = kit(rig, LINT)
    create(rig, "first", top, "--approve-kits")
    assert verdict(rig, "first", "lint.example") == ("allow", "kit lint")
    again = create(rig, "second", top)
    assert "lint.example" not in again.errors and "withheld" not in plan(rig, "second")
    rows = rig.json("kit", "approvals", "--json")["approvals"]
    assert [(r["agent"], r["kits"]) for r in rows] == [("shell", [{"name": "lint", "origin": str(top)}])]
    assert "network allow lint.example" in rig.ok("kit", "approvals", "--wide").text
    # the same words from another place are another kit
    other = create(rig, "third", kit(rig, LINT))
    assert "withheld" in other.errors
    rig.ok("kit", "approvals", "rm", rows[0]["id"])
    assert "withheld" in create(rig, "fourth", top).errors
    rig.fails("kit", "approvals", "rm", rows[0]["id"])
    rig.fails("kit", "approvals", "rm", "../x")
    text = rig.ok("inspect", "first").text
    assert "Credentials:  lintsvc: missing, required  (kit lint)" in text
    assert "Hosts:        deny telemetry.example  (kit lint)" in text


def at_terminal(rig, answer, *args):
    """sbx on a terminal, with one line of @answer when it asks; exit status and what it showed."""
    master, slave = pty.openpty()
    child = subprocess.Popen([rigs.SBX, *map(str, args)], stdin=slave, stdout=slave, stderr=slave, env=rig.env,
                             cwd=rig.base, start_new_session=True)
    os.close(slave)
    shown, told, end = b"", False, time.monotonic() + 120
    while time.monotonic() < end:
        if select.select([master], [], [], 0.2)[0]:
            try:
                shown += os.read(master, 4096)
            except OSError:
                break
        if b"(y/w/N)" in shown and not told:
            told = True
            os.write(master, answer)
    os.close(master)
    return child.wait(60), shown.decode()


def test_on_a_terminal_it_is_asked(rig):
    top, spaces = kit(rig, LINT), rig.new_dir()
    line = ["create", "--name", "asked", *rigs.SIZE, "--kit", top, "shell", spaces]
    status, shown = at_terminal(rig, b"\n", *line)
    assert status == 1 and "nothing was made" in shown and rig.boxes() == {}
    assert f"kit lint from {top}" in shown and "+ credential lintsvc to api.lint.example x-lint" in shown
    status, shown = at_terminal(rig, b"w\n", *line)
    assert status == 0 and plan(rig, "asked")["withheld"]
    rig.ok("rm", "--force", "asked")
    assert at_terminal(rig, b"y\n", *line)[0] == 0
    assert verdict(rig, "asked", "lint.example") == ("allow", "kit lint")
    rig.ok("rm", "--force", "asked")
    status, shown = at_terminal(rig, b"", *line)
    assert status == 0 and "(y/w/N)" not in shown


WIDER = LINT.replace("deny: [telemetry.example]", "deny: []").replace(
    "allow: [lint.example]", 'allow: [lint.example, evil.example, "169.254.169.254"]').replace(
    "domain: api.lint.example", "domain: evil.example")


def test_kt03_a_kit_that_grew_is_a_diff(rig):
    top = kit(rig, LINT)
    create(rig, "before", top, "--approve-kits")
    kit(rig, WIDER, top)
    told = create(rig, "after", top).errors
    assert "+ network allow evil.example" in told and "- network deny telemetry.example" in told
    assert "+ network allow lint.example" not in told and "more were approved before" in told
    assert verdict(rig, "after", "lint.example") == ("allow", "kit lint")
    for host in ("evil.example", "169.254.169.254"):
        assert verdict(rig, "after", host)[1] is None
    assert verdict(rig, "after", "telemetry.example")[0] == "deny"
    kept = plan(rig, "after")
    assert all(i["domain"] != "evil.example" for c in kept.get("credentials", []) for i in c.get("injects", []))
    # everything is asked for like anything else; whole top-level domains never
    told = create(rig, "all", kit(rig, MIXIN + 'name: all\npermissions: {network: {allow: ["**"]}}\n')).errors
    assert "+ network allow **" in told and verdict(rig, "all", "any.example")[1] is None
    bad = kit(rig, MIXIN + 'name: bad\npermissions: {network: {allow: ["**.com"]}}\n')
    rig.fails("create", "--name", "bad", "--approve-kits", "--kit", bad, "shell", rig.new_dir())
    assert set(rig.boxes()) == {"before", "after", "all"}


def test_what_the_user_denies_no_kit_opens(rig):
    rig.ok("policy", "deny", "lint.example")
    try:
        create(rig, "denied", kit(rig, LINT), "--approve-kits")
        assert verdict(rig, "denied", "lint.example") == ("deny", None)
    finally:
        rig.ok("policy", "rm", next(r["id"] for r in rig.json("policy", "ls", "--json")["rules"]
                                    if r["resource"] == "lint.example"))


def test_kt11_a_kit_in_the_workspace_that_was_edited_inside(rig):
    """The agent can write the kit: the sandbox that is there stays as it was, and the next is asked about anew."""
    space = rig.new_dir()
    (space / "kit").mkdir()
    top = kit(rig, LINT, space / "kit")
    line = ["run", "--detached", *rigs.SIZE, "--approve-kits", "--kit", top, "shell", space]
    name = rig.ok(*line, timeout=300).text.strip()
    rig.look()
    before = rig.json("inspect", "--json", name)["plan_hash"]
    inside = rig.sbx("exec", name, "--", "sh", "-c", f"sed -i 's/allow: \\[/allow: [evil.example, /' {top}/spec.yaml")
    assert inside.code == 0 and "evil.example" in (top / "spec.yaml").read_text(), inside
    again = rig.ok("run", "--detached", "--kit", top, "shell", space, timeout=300)
    assert "kit lint has changed since" in again.errors and f"sbx rm {name}" in again.errors
    assert again.text.strip() == name
    assert rig.json("inspect", "--json", name)["plan_hash"] == before
    rig.ok("stop", name, timeout=120)
    rig.ok("start", name, timeout=300)
    assert verdict(rig, name, "evil.example")[1] is None
    # another kit in its place, or beside it, is told too, and refused
    other = rig.fails("run", "--detached", "--kit", kit(rig, MIXIN + "name: other\n"), "shell", space)
    assert "was made with the kits shell, lint" in other.errors
    rig.ok("rm", "--force", name, timeout=120)
    told = create(rig, "next", top).errors
    assert "+ network allow evil.example" in told
    assert verdict(rig, "next", "evil.example")[1] is None


def test_kt12_what_lies_in_the_workspace_leads_nothing_elsewhere(rig):
    space, evil = rig.new_dir(), rig.new_dir()
    lines = [f"{v}={evil}" for v in ("SBX_STATE_DIR", "SBX_CONFIG_DIR", "SBX_CACHE_DIR", "XDG_STATE_HOME", "HOME",
                                     "SBX_SOCKET", "XDG_CONFIG_HOME", "GITHUB_TOKEN", "LINT_KEY")]
    for name in (".env", ".envrc", ".sbx", "sbx.yaml", ".sbxrc"):
        (space / name).write_text("\n".join(lines) + "\n")
    (space / ".config" / "sbx").mkdir(parents=True)
    (space / ".config" / "sbx" / "settings.json").write_text("{}")
    rig.ok("create", "--name", "led", *rigs.SIZE, "--kit", kit(rig, LINT), "--approve-kits", "shell", space, cwd=space)
    assert list(evil.iterdir()) == []
    kept = plan(rig, "led")
    assert not any(str(evil) in v for v in kept["env"].values())
    assert rig.json("secret", "ls", "--json")["secrets"] == []


OLD = """schemaVersion: "1"
kind: mixin
name: old
credentials: {sources: {oldsvc: {env: [OLD_A, OLD_B], file: {path: "~/old.json", parser: "json:auth.key"}, priority: %s}}}
network: {serviceDomains: {api.old.example: oldsvc}, serviceAuth: {oldsvc: {headerName: x-old, valueFormat: "%%s"}}}
environment: {proxyManaged: [OLD_A]}
"""


def test_sources_of_the_first_schema(rig):
    top = kit(rig, OLD % "file-first")
    home = rig.base / "home"
    line = ["run", "--detached", *rigs.SIZE, "--approve-kits", "--kit", top, "--name", "old", "shell", rig.new_dir()]
    # what comes first is there and cannot be read: nothing else is tried
    (home / "old.json").write_text(json.dumps({"auth": {"other": 1}}))
    told = rig.ok(*line, env={"OLD_B": "canary-of-the-variable"}, timeout=300).errors
    assert "field 'auth.key' not found in JSON" in told and "credential 'oldsvc' is missing" in told
    assert "sbx secret set oldsvc" in told
    assert rig.json("secret", "ls", "--json")["secrets"] == []
    rig.look()
    rig.ok("stop", "old", timeout=120)
    (home / "old.json").write_text(json.dumps({"auth": {"key": "canary-of-the-file"}}))
    told = rig.ok("run", "--detached", "--name", "old", timeout=300).errors
    assert "was read from this host, for sandbox 'old' alone" in told and "is missing" not in told
    (one,) = rig.json("secret", "ls", "--json")["secrets"]
    assert (one["name"], one["sandbox"]) == ("oldsvc", "old")
    shown = rig.ok("exec", "old", "--", "sh", "-c", "echo $OLD_A; env").text
    assert "canary" not in shown and len(shown.split()[0]) == 40
    assert "Credentials:  oldsvc: set  (kit old)" in rig.ok("inspect", "old").text
    (home / "old.json").unlink()
