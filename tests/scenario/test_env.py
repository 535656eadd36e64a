"""Project files: what sbxenv.yaml describes is made, and nothing of the host is opened by it that nobody approved
(KT-04, KT-11, KT-12). The file is an attacker's as often as a friend's."""
import json
import re
import time

import pexpect
import pytest

from rig import SBX, assert_printable, processes

PLACE = re.compile(rb"^sbx: [^\n]*?:[1-9]\d*:[1-9]\d*: [^\n]+\n(hint: [^\n]+\n)?$")
SMALL = "sandboxOptions: {memory: 512m, cpus: 1}\n"


class Project:
    """A folder with an environment, and beside it what a command on the host would leave."""

    def __init__(self, rig, name):
        self.rig, self.name = rig, name
        self.dir = rig.new_dir()
        self.outside = rig.new_dir()
        (self.outside / "private").write_text("private")
        self.file = self.dir / "sbxenv.yaml"

    def write(self, more="", name=None):
        self.file.write_text(f'schemaVersion: "1"\nname: {name or self.name}\nagent: shell\nworkspace: .\n{SMALL}{more}')

    def env(self, verb, *args, **more):
        return self.rig.sbx("env", verb, self.dir, *args, **more)

    def ok(self, verb, *args, **more):
        run = self.env(verb, *args, **more)
        assert run.code == 0, run
        return run

    def ran(self, name="ran"):
        return (self.outside / name).exists()

    def everything(self):
        """All that opens something of the host."""
        return (f"additionalWorkspaces: [{{path: {self.outside}, readOnly: true}}]\n"
                f"secrets: {{anthropic: {{value: sk-ant-api03-canary}}}}\n"
                "ports: [{sandbox: 3000}]\n"
                "lifecycle:\n"
                f"  initialize: [{{command: 'echo $SBX_ENV_NAME >> {self.outside}/ran'}}]\n"
                f"  postCreate: [{{command: 'pwd >> {self.outside}/after', workdir: {self.outside}}}]\n"
                f"  preRemove: [{{command: 'touch {self.outside}/removed'}}]\n")


@pytest.fixture
def project(rig, image, request):
    made = Project(rig, "env-" + re.sub(r"[^a-z0-9]+", "-", request.node.name.removeprefix("test_"))[:40].strip("-"))
    yield made
    if made.name in rig.boxes():
        rig.ok("rm", "--force", made.name)


def test_the_zoo(rig, image):
    """One line with a place, nothing made, no command run: also for what is known and not built."""
    project = Project(rig, "env-zoo")
    for more in ("what: 1\n", "env: {LD_PRELOAD: x}\n", "env: {SBX_STATE_DIR: /x}\n", "env: {A: 1}\nenv: {B: 2}\n",
                 "ports: [{host: 1}]\n", "kits: {a: b}\n", "env: {A: '${{ env.args.no }}'}\n", "mcp: {servers: []}\n",
                 "registries: {x: {}}\n", "bindings: {x: {}}\n", "workspace: {path: ., clone: true}\n", "env: &a {A: *a}\n",
                 "\u202ename: x\n", "lifecycle: {initialize: [{command: [touch, x]}]}\n", "secrets: {a: {ref: 'op://x'}}\n"):
        project.write(f"lifecycle: {{initialize: [{{command: 'touch {project.outside}/ran'}}]}}\n" * ("lifecycle" not in more) + more)
        run = project.env("create", "-y")
        assert run.code == 1 and PLACE.match(run.err), (more, run)
        assert_printable(run.err)
        told = project.env("plan", "--json")
        assert told.code == 1 and json.loads(told.out)["error"]["message"], told
    assert not project.ran() and "env-zoo" not in rig.boxes()
    for bad in ("", "[]", "\0", "a: " + "[" * 100_000, "x" * 300_000):
        project.file.write_text(bad)
        run = project.env("plan")
        assert run.code == 1 and PLACE.match(run.err), run
    missing = rig.fails("env", "plan", rig.new_dir())
    assert "sbxenv.yaml" in missing.errors


def test_the_plan_does_nothing(project):
    project.write(project.everything() + "args: {mode: {required: true}}\nenv: {MODE: '${{ env.args.mode }}'}\n")
    assert "argument 'mode' is required" in project.env("plan").errors
    text = project.ok("plan", "--env-arg", "mode=live").text
    assert "  variable MODE=live\n" in text
    assert f"+ share {project.outside} (read-only)\n" in text
    assert f"! host command before it is made: echo $SBX_ENV_NAME >> {project.outside}/ran (in {project.dir}, at most 600 s)\n" in text
    assert "+ secret anthropic: the value in the file\n" in text and "canary" not in text
    assert "the agent's" in text  # the commands' folder is one that the sandbox can write
    plan = json.loads(project.ok("plan", "--env-arg", "mode=live", "--json").out)
    assert plan["name"] == project.name and not plan["approved"] and plan["files"] == [str(project.file)]
    again = json.loads(project.ok("plan", "--env-arg", "mode=live", "--json").out)
    assert plan == again
    project.file.write_text(project.file.read_text() + "# a word\n")
    assert json.loads(project.ok("plan", "--env-arg", "mode=live", "--json").out)["digest"] != plan["digest"]
    assert not project.ran() and project.name not in project.rig.boxes()


def test_without_a_terminal_it_is_withheld(rig, project):
    """KT-04: no approval, no command on the host, no folder, no secret; what is left works."""
    project.write(project.everything())
    made = project.ok("create")
    assert made.text == f"{project.name}\n"
    assert made.errors.count("withheld, as nobody approved it: ") == 5, made
    assert not project.ran() and not project.ran("after")
    box = rig.json("inspect", project.name, "--json")
    assert [w["path"] for w in box["workspaces"]] == [str(project.dir)] and not box["ports"]
    assert project.name not in rig.ok("secret", "ls").text
    plan = json.loads(project.ok("plan", "--json").out)
    assert not plan["approved"]  # that it was withheld is no approval
    gone = project.ok("rm", "--force")
    assert "withheld" in gone.errors and not project.ran("removed") and project.name not in rig.boxes()
    project.file.write_text(project.file.read_text().replace("workspace: .", f"workspace: {project.outside}"))
    refused = project.env("create")
    assert refused.code == 1 and "outside of the project" in refused.errors, refused
    assert project.name not in rig.boxes()


def test_approved_it_is_made(rig, project):
    """-y: all of it; and what the agent then writes into the file opens nothing, now or at the next start (KT-11)."""
    kit = rig.new_dir()
    (kit / "spec.yaml").write_text('schemaVersion: "2"\nkind: mixin\nname: own\nargs: {v: {required: true}}\n'
                                   'environment: {variables: {OWN: "${{ kit.args.v }}"}}\n')
    project.write(project.everything() + f"kits: [{{source: {kit}, args: {{v: given}}}}]\n"
                  "env: {HERE: '${{ env.projectDir }}', LITERAL: 'a $${{ b'}\n")
    made = project.ok("create", "-y", "--json")
    assert json.loads(made.out)["name"] == project.name
    assert [p["port"] for p in rig.json("inspect", project.name, "--json")["ports"]] == [3000]
    assert (project.outside / "ran").read_text() == f"{project.name}\n"
    assert (project.outside / "after").read_text() == f"{project.outside}\n"
    assert re.search(rf"^{project.name} +value +anthropic ", rig.ok("secret", "ls").text, re.M)
    inside = project.ok("exec", "--", "sh", "-c", f"echo $OWN $HERE $LITERAL; cat {project.outside}/private; exit 0", timeout=120)
    assert inside.text == f"given {project.dir} a ${{{{ b\nprivate", inside
    assert project.env("exec", "--", "sh", "-c", "exit 7").code == 7
    # the file is neither read nor changed from inside, and another of that name is told of
    before = project.file.read_bytes()
    tries = project.env("exec", "--", "sh", "-c", "cat sbxenv.yaml || mv sbxenv.yaml x || rm sbxenv.yaml || echo x > sbxenv.yaml")
    assert tries.code != 0 and b"canary" not in tries.out + tries.err and project.file.read_bytes() == before
    project.ok("exec", "--", "sh", "-c", "mkdir sub; echo x > sub/sbxenv.yaml")
    end = time.monotonic() + 30
    while "sub/sbxenv.yaml" not in json.dumps(rig.json("inspect", project.name, "--json")["touched"]):
        assert time.monotonic() < end, "nothing told of the file that was changed"
        time.sleep(0.2)
    again = project.ok("run", "-d")
    assert again.text == f"{project.name}\n" and (project.outside / "ran").read_text().count("\n") == 1
    # the next start, with a file that somebody changed meanwhile
    project.ok("rm", "--force", "--skip-host-commands")
    assert not project.ran("removed")
    project.file.write_text(before.decode().replace("readOnly: true", "readOnly: false").replace("echo $SBX", "echo evil $SBX"))
    widened = project.ok("create")
    assert "withheld, as nobody approved it: host command before it is made: echo evil" in widened.errors
    assert f"withheld, as nobody approved it: share {project.outside}\n" in widened.errors
    assert "evil" not in (project.outside / "ran").read_text()
    assert "secret anthropic" not in widened.errors  # that line was approved and is the same
    project.ok("rm", "--force", "-y")
    assert project.ran("removed")


def answer(project, verb, *args, say, wait=r"\(y/N\) "):
    child = pexpect.spawn(str(SBX), ["env", verb, str(project.dir), *args], env=project.rig.env, cwd=str(project.rig.base),
                          timeout=60, dimensions=(200, 300), encoding="utf-8")
    child.expect(wait)
    shown = child.before
    child.sendline(say)
    child.expect(pexpect.EOF)
    child.close()
    return shown, child.before, child.exitstatus


def test_a_person_is_asked(rig, project):
    """Shown word for word; a no does nothing; commands on the host are asked for each time."""
    project.write(f'lifecycle: {{initialize: [{{command: "echo \\e[2J >> {project.outside}/ran"}}]}}\n')
    assert PLACE.match(project.env("create").err)  # a control character in a command is refused
    project.write(f"lifecycle: {{initialize: [{{command: 'echo x >> {project.outside}/ran'}}]}}\n")
    shown, _said, status = answer(project, "create", say="n")
    assert f"! host command before it is made: echo x >> {project.outside}/ran" in shown and status == 1
    assert not project.ran() and project.name not in rig.boxes()
    _shown, said, status = answer(project, "create", say="y")
    assert status == 0 and project.ran(), said
    project.ok("rm", "--force")
    project.ok("create")  # nobody to ask: not run again
    assert (project.outside / "ran").read_text() == "x\n"
    project.ok("rm", "--force")
    rig.ok("settings", "set", "env.rememberHostCommands", "true")
    try:
        _shown, said, status = answer(project, "create", say="y")  # what was approved before counts for nothing
        assert status == 0, said
        project.ok("rm", "--force")
        project.ok("create")
        assert (project.outside / "ran").read_text() == "x\n" * 3
        project.ok("rm", "--force")
        project.file.write_text(project.file.read_text() + "# the same, but for a word\n")
        project.ok("create")
        assert (project.outside / "ran").read_text() == "x\n" * 3
        project.ok("rm", "--force")
    finally:
        rig.ok("settings", "unset", "env.rememberHostCommands")


def test_a_name_is_not_enough(rig, project):
    """KT-11: a file that names another's sandbox neither enters nor removes it."""
    other = rig.create("env-other", size=("--memory", "512m"))
    project.write(name="env-other")
    for verb, args in (("create", ["-y"]), ("run", ["-d", "-y"]), ("exec", ["--", "true"]), ("rm", ["--force", "-y"])):
        run = project.env(verb, *args)
        assert run.code in (1, 125) and "was not made by this environment" in run.errors, run
    assert "env-other" in rig.boxes()
    other.remove()


def test_commands_that_fail_or_hang(rig, project):
    """Nothing is made after one that fails; one that hangs is ended with all it started."""
    project.write("lifecycle: {initialize: [{command: exit 3}]}\n")
    run = project.env("create", "-y")
    assert run.code == 1 and "ended with status 3" in run.errors and project.name not in rig.boxes()
    project.write(f"lifecycle: {{initialize: [{{command: 'sleep 4321 & echo $! > {project.outside}/pid; wait', timeout: 1s}}]}}\n")
    run = project.env("create", "-y")
    assert run.code == 1 and "did not end within 1 s" in run.errors and project.name not in rig.boxes()
    pid = int((project.outside / "pid").read_text())
    end = time.monotonic() + 20
    while pid in processes():
        assert time.monotonic() < end, "what the command left behind lives on"
        time.sleep(0.1)
    project.write("lifecycle: {initialize: [{command: exit 3}]}\n")
    assert "not run, as was asked" in project.ok("create", "-y", "--skip-host-commands").errors
    project.ok("rm", "--force")


def test_files_are_merged_over_the_users_own(rig, project):
    base, more = rig.base / "home" / ".sbxenv.yaml", rig.new_dir() / "more.yaml"
    project.write("env: {A: '1', B: '2'}\n")
    more.write_text('schemaVersion: "1"\nenv: {B: "3"}\nadditionalWorkspaces: [extra]\n')
    (more.parent / "extra").mkdir()
    base.write_text('schemaVersion: "1"\nenv: {A: "0", Z: "26"}\nsandboxOptions: {cpus: 7}\n')
    try:
        plan = json.loads(rig.ok("env", "plan", project.dir, more, "--name", "env-else", "--json").out)
    finally:
        base.unlink()
    texts = [line["text"] for line in plan["lines"]]
    assert {"variable A=1", "variable B=3", "variable Z=26", "cpus 1", f"share {more.parent}/extra"} <= set(texts), texts
    assert plan["name"] == "env-else" and plan["files"] == [str(base), str(project.file), str(more)]


def test_a_link_leads_nowhere_new(rig, project):
    """What is approved is the place; a link that is turned around later is another line."""
    (project.dir / "lib").symlink_to(project.outside)
    project.write("additionalWorkspaces: [./lib]\n")
    text = project.ok("plan").text
    assert f"+ share {project.outside}\n" in text
    project.ok("create", "-y")
    project.ok("rm", "--force")
    (project.dir / "lib").unlink()
    (project.dir / "lib").symlink_to("/etc")
    assert "withheld, as nobody approved it: share /etc\n" in project.ok("create").errors
    assert [w["path"] for w in rig.json("inspect", project.name, "--json")["workspaces"]] == [str(project.dir)]
