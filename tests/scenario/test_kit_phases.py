"""What kits do inside at the first start and at each later one: files, install window, startup, texts for the agent (KT-10)."""
import json
import os
import re
import signal
import subprocess
import time

import pytest

import rig as rigs

# Processes that a careless or a hostile install command leaves behind: in sessions of their own, without a parent, of
# other users, deaf to signals, with their names changed, stopped, and one that starts anew what is ended.
LEAVE = r"""
setsid sh -c 'sleep 4001 & sleep 4002 &' </dev/null >/dev/null 2>&1
setsid setpriv --reuid 1000 --regid 1000 --clear-groups sh -c 'trap "" HUP TERM INT; sleep 4003' >/dev/null 2>&1 &
setsid setpriv --reuid 4711 --regid 4711 --clear-groups sleep 4004 >/dev/null 2>&1 &
(setsid sh -c 'kill -STOP $$; sleep 4005' >/dev/null 2>&1 &)
(setsid sh -c 'while :; do sleep 4006 || true; done' >/dev/null 2>&1 &)
nohup unshare -fp --mount-proc sleep 4007 >/dev/null 2>&1 &
sleep 0.3
ps -eo args | grep -c '[s]leep 400' > /var/tmp/left-behind
"""

AGENT = """
schemaVersion: "2"
kind: sandbox
name: probe
sandbox: {entrypoint: [sh, -c], command: ["sleep 3600"]}
agentInstructions: {filename: AGENTS.md, content: "Always be careful.\\n"}
environment: {variables: {PROBE: "yes"}}
credentials:
  - {service: anthropic, apiKey: {name: PROBE_KEY, proxyManaged: true}}
setup:
  install:
    - {command: "id -u; pwd; test -f /home/agent/.probe/home; echo run >> /var/tmp/count; env > /var/tmp/env", description: First}
    - {command: "id -un > /var/tmp/who; echo mine > /opt/never 2>/dev/null; test ! -e /opt/conf", user: agent}
    - {command: |-
LEAVE}
  startup:
    - {command: [sh, -c, "id -un; echo fore >> /tmp/order; pwd > /tmp/where; exit 3"], description: Fails}
    - {command: [sh, -c, "echo back >> /tmp/order; echo back-says-so; exec sleep 5001"], background: true}
    - {command: [sh, -c, "echo later >> /tmp/order; id -u > /tmp/root"], user: "0"}
  files:
    - {path: /opt/conf, content: "dir=${WORKDIR}\\n", mode: "0600"}
    - {path: /opt/missing/new, content: "new\\n", onlyIfMissing: true}
    - {path: /etc/hostname, content: "mine\\n", onlyIfMissing: true}
"""

MIXIN = """
schemaVersion: "1"
kind: mixin
name: old-one
description: An older kit
commands:
  install: [{command: "echo second >> /var/tmp/count; printf 'before\\\\n' > /root/x"}]
  startup: [{command: [sh, -c, "echo old >> /tmp/order"]}]
  initFiles: [{path: /opt/old, content: "old"}]
memory: |
  The text of the older kit.
"""


def kit(rig, text, files=()):
    top = rig.new_dir()
    (top / "spec.yaml").write_text(text)
    for name, content in files:
        path = top / "files" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return top


def agent_kit(rig):
    leave = "".join("        " + line + "\n" for line in LEAVE.strip().splitlines())
    text = AGENT.replace("    - {command: |-\nLEAVE}\n", "    - command: |\n" + leave).lstrip()
    return kit(rig, text, [("home/.probe/home", "h"), ("home/notes", "kit"), ("workspace/sub/from-kit", "w"), ("workspace/there", "kit's")])


def until(what, seconds=60):
    end = time.monotonic() + seconds
    while True:
        got = what()
        if got:
            return got
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.2)


def setup_log(rig, name, *flags):
    return rig.ok("logs", "--setup", *flags, name).text


def small(rig, name, install, *workspaces, more="", files=()):
    """A sandbox whose only kit has these install commands."""
    lines = "".join(f"    - {json.dumps(c)}\n" for c in install)
    top = kit(rig, f'schemaVersion: "2"\nkind: sandbox\nname: {name}-kit\nsandbox: {{entrypoint: ["sleep", "3600"]}}\n'
                   f"setup:\n  install:\n{lines}{more}", files)
    return rig.create(name, *workspaces, agent=top)


# ---- one sandbox from its first start to its second ----


@pytest.fixture(scope="module")
def made(rig, image):
    ws = rig.new_dir("parent/project")
    (ws / "there").write_text("the person's")
    rig.ok("secret", "set", "anthropic", input="a-real-value\n")
    box = rig.create("probe", ws, agent=agent_kit(rig), more=("--approve-kits", "--kit", kit(rig, MIXIN.lstrip())))
    box.first = rig.ok("start", "probe", timeout=300)
    rig.look()
    return box


def test_install_commands_run_in_order_as_their_user(made):
    assert made.root_ok("cat /var/tmp/count") == "run\nsecond\n"
    assert made.ok("cat /var/tmp/who") == "agent\n"
    log = setup_log(made.rig, "probe")
    places = [log.index(s) for s in ("install 1/4: First (kit probe)", "\n0\n/\n", "install 2/4", "install 3/4", "install 4/4: ", "(kit old-one)")]
    assert places == sorted(places)
    assert not made.sh("test -e /opt/never").code == 0  # it ran as an ordinary user


def test_environment_of_install_commands(made):
    env = dict(line.split("=", 1) for line in made.root_ok("cat /var/tmp/env").splitlines() if "=" in line)
    assert env["SBX_CRED_ANTHROPIC_MODE"] == "apikey"
    assert env["WORKSPACE_DIR"] == str(made.ws)
    assert env["PROBE"] == "yes" and env["SBX_SANDBOX"] == "probe"
    assert "a-real-value" not in str(env)


def test_nothing_of_the_installation_lives_on(made):
    assert int(made.root_ok("cat /var/tmp/left-behind")) >= 6  # or this test shows nothing
    assert made.root("ps -eo args | grep '[s]leep 400'").code == 1
    assert "sbx-forward" in made.root_ok("ps -eo comm")


def test_files_come_in_their_order(made):
    ws = made.ws
    assert made.ok("cat /home/agent/.probe/home") == "h"
    assert made.root_ok("stat -c '%U %a' /opt/conf") == "agent 600\n"
    assert made.ok("cat /opt/conf") == f"dir={ws}\n"
    assert made.ok("cat /opt/missing/new") == "new\n"
    assert made.ok("cat /etc/hostname") != "mine\n"  # it was there
    assert made.ok("cat /opt/old") == "old"
    assert (ws / "sub" / "from-kit").read_text() == "w"
    assert (ws / "there").read_text() == "kit's"  # existing files are overwritten


def test_texts_for_the_agent_are_beside_the_workspace_and_never_on_the_host(made):
    beside = made.ws.parent
    text = made.ok(f"cat {beside}/AGENTS.md")
    start, end = text.index("<!-- sbx:kits-section start -->"), text.index("<!-- sbx:kits-section end -->")
    assert "Always be careful." in text[start:end] and "- [old-one](kits-memory/old-one.md): An older kit" in text[start:end]
    assert made.ok(f"cat {beside}/kits-memory/old-one.md") == "The text of the older kit.\n"
    assert made.ok(f"stat -c %U {beside}/AGENTS.md") == "agent\n"
    assert sorted(p.name for p in beside.iterdir()) == ["project"]
    assert not list(made.ws.rglob("AGENTS.md")) and not list(made.ws.rglob("kits-memory"))


def test_startup_commands_run_in_order_and_do_not_gate(made):
    def order():
        lines = made.ok("cat /tmp/order 2>/dev/null || true").split()
        return lines if len(lines) >= 4 else None

    def log_of_service():
        text = setup_log(made.rig, "probe")
        return text if "back-says-so" in text else None

    lines = until(order)
    assert lines.index("fore") < lines.index("later") < lines.index("old") and "back" in lines
    assert made.ok("cat /tmp/where") == f"{made.ws}\n"
    assert made.root_ok("cat /tmp/root") == "0\n"
    assert made.root("ps -eo args | grep '[s]leep 5001'").code == 0
    log = until(log_of_service)
    assert "startup 1 (kit probe) ended with status 3" in log and "\nagent\n" in log
    notes = made.rig.json("inspect", "--json", "probe")["notes"]
    assert any("startup command 1 (kit probe) ended with status 3" in n for n in notes)  # a note, not a failed start
    assert made.status() == "running"


def test_a_background_service_is_no_command(made):
    usage = made.rig.api("GET", "/v1/sandboxes/probe/usage")[1]
    assert usage["guest"]["commands"] == 0


def test_second_start_installs_nothing(made):
    rig = made.rig
    before = setup_log(rig, "probe")
    made.root_ok("rm -f /tmp/order /opt/conf /opt/missing/new; echo changed > /home/agent/notes; sync")
    (made.ws / "there").write_text("changed")
    made.ok(f"echo changed > {made.ws.parent}/AGENTS.md")
    rig.ok("stop", "probe", timeout=60)
    again = rig.ok("start", "probe", timeout=120)
    assert b"install" not in again.err
    assert made.root_ok("cat /var/tmp/count") == "run\nsecond\n"
    assert made.root("test -e /opt/conf").code == 1 and made.root("test -e /opt/missing/new").code == 1
    assert made.ok("cat /home/agent/notes") == "changed\n"
    assert (made.ws / "there").read_text() == "changed"
    assert made.ok(f"cat {made.ws.parent}/AGENTS.md") == "changed\n"
    until(lambda: "old" in made.ok("cat /tmp/order 2>/dev/null || true"))
    log = setup_log(rig, "probe")
    assert log.startswith(before) and log.count("install 1/4") == 1 and log.count("startup 1/4") == 2


# ---- what goes wrong ----


LOUD = "echo first-line; printf '\\033[31mred\\n'; head -c 3000000 /dev/zero | tr '\\0' 'a' | fold -w 100; echo; echo end-line"
MIDWAY = "test ! -e $WORKSPACE_DIR/wait || { touch $WORKSPACE_DIR/runs; sleep 1200; }"


def test_an_installation_that_does_not_come_to_its_end_begins_anew(rig, image):
    """A command that fails, then a daemon that is killed in the middle; also: the log's bound, and texts where the parent is shared."""
    outer = rig.new_dir("outer")
    ws = outer / "inner"
    ws.mkdir()
    box = small(rig, "fails", [{"command": "echo x >> /var/tmp/count; sync"}, {"command": MIDWAY}, {"command": LOUD},
                               {"command": "echo some words; echo last words >&2; test -e $WORKSPACE_DIR/allowed", "description": "Check it"}],
                ws, outer, more='agentInstructions: {filename: CLAUDE.md, content: "Own."}\n', files=[("home/CLAUDE.md", "Above.\n")])
    told = rig.fails("start", "fails", timeout=180)
    assert "install 4/4: Check it (kit fails-kit), spec.yaml:10: ended with status 1; its last words: some words / last words" in told.errors
    assert "sbx logs --setup fails" in told.errors
    assert "  | last words" in told.text + told.err.decode()  # the end of the log is shown, too
    assert box.status() == "stopped"
    files = list((rig.state / "sandboxes").glob("*/setup.log"))
    assert max(f.stat().st_size for f in files) <= 1 << 20
    log = setup_log(rig, "fails")
    assert "first-line" in log and "end-line" in log and "\\x1b[31mred" in log
    assert int(re.search(r"\[(\d+) bytes were dropped here\]", log)[1]) > 1_900_000
    assert "last words" in setup_log(rig, "fails", "-n", "2")
    # the daemon is killed while a command runs
    (ws / "wait").touch()
    child = rig.popen("start", "fails", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    until((ws / "runs").exists, 120)
    rig.look()
    os.kill(rig.daemon_pid(), signal.SIGKILL)
    child.communicate(timeout=60)
    rig.wait_status("fails", ("stopped",), 60)
    (ws / "wait").unlink()
    (ws / "allowed").touch()
    rig.ok("start", "fails", timeout=180)
    assert box.root_ok("cat /var/tmp/count") == "x\n"  # on a disk without what the tries before wrote
    # the parent of the workspace is a share: the home has the texts, and what was there stays around the marks
    assert not (outer / "CLAUDE.md").exists() and not (ws / "CLAUDE.md").exists()
    assert box.ok("cat /home/agent/CLAUDE.md").startswith("Above.\n<!-- sbx:kits-section start -->\n" "Own.\n")
    assert any("CLAUDE.md" in n and "shared" in n for n in rig.json("inspect", "--json", "fails")["notes"])
    box.remove()


def test_stop_and_rm_end_an_installation_at_once(rig, image):
    box = small(rig, "long", [{"command": "touch $WORKSPACE_DIR/runs; sleep 1200", "description": "Sleeps"}])

    def begin():
        (box.ws / "runs").unlink(missing_ok=True)
        child = rig.popen("start", "long", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        until((box.ws / "runs").exists, 120)
        return child

    first = begin()
    # somebody else waits for it, and hears how far it is; others are told at once
    second = rig.popen("start", "long", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    paused = rig.fails("pause", "long", timeout=20)
    assert "is installed for the first time (install 1/1: Sleeps (kit long-kit)" in paused.errors
    # the client that began it goes: the installation goes on
    first.send_signal(signal.SIGINT)
    assert b"the installation of 'long' goes on" in first.communicate(timeout=30)[1]
    assert box.status() == "starting"
    began = time.monotonic()
    rig.ok("stop", "long", timeout=60)
    assert time.monotonic() - began < 30
    err = second.communicate(timeout=60)[1].decode()
    assert second.returncode == 1 and "install 1/1: Sleeps" in err and "did not start: start failed: " in err
    assert box.status() == "stopped"
    third = begin()
    rig.note_ids()
    rig.ok("rm", "--force", "long", timeout=60)
    assert b"stopped while it" in third.communicate(timeout=60)[1]


# ---- the window of the install commands (KT-10) ----

WINDOW = """
schemaVersion: "2"
kind: sandbox
name: window
sandbox: {entrypoint: ["sleep", "3600"]}
permissions: {network: {allow: ["api.test:443"], install: {allow: ["echo.test:443", "other.test:443"]}}}
credentials:
  - {service: at-install, phase: install, apiKey: {name: INSTALL_TOKEN, inject: [{domain: api.test, scheme: bearer}]}}
  - {service: at-run, phase: runtime, apiKey: {name: RUN_TOKEN, inject: [{domain: api.test, header: x-run-key}]}}
setup:
  install:
    - command: |
        curl -sS -m 60 --fail https://echo.test/fetched > /var/tmp/fetched
        curl -sS -m 60 --fail -H "authorization: Bearer $INSTALL_TOKEN" -H "x-run-key: none" https://api.test/package > /dev/null
        env > /var/tmp/env
        echo "$INSTALL_TOKEN" > /var/tmp/stand-in
        setsid curl -sS -m 600 "https://echo.test/slow?s=500" </dev/null >/dev/null 2>&1 &
        setsid curl -sS -m 600 "https://api.test/slow?s=500" </dev/null >/dev/null 2>&1 &
        sleep 5
"""


@pytest.fixture(scope="module")
def windowed(world, image):
    rig = rigs.Rig(world.host)
    rig.ok("settings", "set", "tls.extraCA", str(world.ca.cert))
    rig.ok("policy", "init", "locked-down")
    box = rig.create("window", agent=kit(rig, WINDOW.lstrip()), more=("--approve-kits",))
    box.values = {name: "value-of-" + name + os.urandom(8).hex() for name in ("at-install", "at-run")}
    for name, value in box.values.items():
        rig.ok("secret", "set", name, input=value + "\n")
    box.mark = world.mark()
    rig.ok("start", "window", timeout=300)
    rig.look()
    box.after = world.mark()
    yield box
    left = rig.close()
    assert not left, "left behind: " + "\n".join(left)


def open_connections(world):
    from inet.world import NAMES
    got = subprocess.run(["ip", "netns", "exec", world.host, "ss", "-Htn", "state", "established"], capture_output=True, text=True, check=True)
    return [line for line in got.stdout.splitlines() if NAMES["echo.test"] in line or NAMES["api.test"] in line]


def heads(world, mark, path):
    return [e["head"] for e in world.since(mark) if path in str(e.get("head", ""))]


def test_hosts_and_credentials_of_the_window_hold_in_it(world, windowed):
    assert "fetched" in windowed.root_ok("cat /var/tmp/fetched")
    sent = str(heads(world, windowed.mark, "/package"))
    assert windowed.values["at-install"] in sent and windowed.values["at-run"] not in sent
    env = windowed.root_ok("cat /var/tmp/env")
    assert "\nINSTALL_TOKEN=" in "\n" + env and "RUN_TOKEN" not in env
    assert windowed.values["at-install"] not in env


def test_nothing_of_the_window_holds_after_it(world, windowed):
    rig = windowed.rig
    assert heads(world, windowed.mark, "/slow")  # streams of the window were open, and are cut
    assert not open_connections(world)
    assert windowed.root("pgrep curl").code == 1
    for name in ("echo.test", "other.test"):
        got = windowed.sh(f"curl -sS -m 60 -o /dev/null -w '%{{http_code}}' https://{name}/after")
        assert got.text != "200", got
        assert rig.sbx("policy", "check", "--sandbox", "window", f"{name}:443").code == 1
    assert not heads(world, windowed.after, "/after")
    assert "echo.test" not in rig.ok("policy", "ls", "--sandbox", "window").text
    # the stand-in that the installation kept is worth nothing now; the other credential holds
    env = windowed.ok("env")
    assert "INSTALL_TOKEN" not in env and "RUN_TOKEN=" in env
    windowed.sh("curl -sS -m 60 -H \"authorization: Bearer $(cat /var/tmp/stand-in)\" https://api.test/kept")
    got = windowed.sh("curl -sS -m 60 -w ' %{http_code}' -H \"x-run-key: $RUN_TOKEN\" https://api.test/later")
    assert windowed.values["at-install"] not in str(heads(world, windowed.after, "/"))
    assert windowed.values["at-run"] in str(heads(world, windowed.after, "/later")), got


def test_the_window_stays_closed(world, windowed):
    rig = windowed.rig
    rig.ok("policy", "allow", "v6.test")  # whatever has it put together anew
    assert rig.sbx("policy", "check", "--sandbox", "window", "echo.test:443").code == 1
    rig.ok("daemon", "stop")
    assert rig.sbx("policy", "check", "--sandbox", "window", "echo.test:443").code == 1
    got = windowed.sh("curl -sS -m 60 -o /dev/null -w '%{http_code}' https://echo.test/again")
    assert got.text != "200" and not heads(world, windowed.after, "/again")
