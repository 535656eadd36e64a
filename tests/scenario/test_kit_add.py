"""Mixins for a sandbox that is there: its state stays, only what is new is installed, and a failure takes nothing."""
import json

TOOL = '''schemaVersion: "2"
kind: mixin
name: tool
environment: {variables: {TOOL: "added"}}
permissions: {network: {allow: [tool.example.com]}}
setup:
  install:
    - {command: "echo once >>/var/tool-installs; echo words of the installer", description: the tool}
  startup:
    - {command: [sh, -c, "echo up >>/tmp/tool-starts"]}
  files:
    - {path: /etc/tool.conf, content: "in ${WORKDIR}\\n"}
'''
BROKEN = '''schemaVersion: "2"
kind: mixin
name: broken
environment: {variables: {BROKEN: "yes"}}
setup: {install: [{command: "touch /var/broken-was-here; exit 3"}]}
'''


def kit(rig, spec, home=()):
    top = rig.new_dir()
    (top / "spec.yaml").write_text(spec)
    for name, text in home:
        (top / "files/home").mkdir(parents=True, exist_ok=True)
        (top / "files/home" / name).write_text(text)
    return top


def sh(rig, text):
    return rig.ok("exec", "box-k", "--", "sh", "-c", text).text.strip()


def test_a_kit_is_added(rig, image):
    first = kit(rig, 'schemaVersion: "2"\nkind: mixin\nname: first\nsetup: {install: [{command: "echo once >>/var/first-installs"}]}\n',
                [("first.txt", "as it was put\n")])
    tool = kit(rig, TOOL, [("tool.txt", "of the tool\n")])
    made = rig.json("create", "shell", rig.new_dir(), "--name", "box-k", "--cpus", "2", "--memory", "1g", "--kit", first, "--json")
    rig.ids.add(made["id"])
    rig.ok("start", "box-k", timeout=180)
    sh(rig, "echo mine >~/state; echo changed >~/first.txt")
    # what runs in it would end: that is asked
    asked = rig.fails("kit", "add", "box-k", tool)
    assert "use --force" in asked.errors and rig.json("inspect", "box-k", "--json")["status"] == "running"
    rig.ok("kit", "add", "box-k", tool, "--force", "--approve-kits", timeout=180)
    box = rig.json("inspect", "box-k", "--json")
    assert box["status"] == "running" and [k["name"] for k in box["plan"]["kits"]] == ["shell", "first", "tool"]
    assert not box["plan"].get("withheld")
    assert [n["resource"] for n in box["plan"]["network"] if n["kit"] == "tool"] == ["tool.example.com"]
    assert sh(rig, "cat ~/state ~/first.txt ~/tool.txt") == "mine\nchanged\nof the tool"
    assert sh(rig, "cat /var/first-installs /var/tool-installs") == "once\nonce"
    assert sh(rig, "cat /etc/tool.conf").startswith("in /") and sh(rig, "printenv TOOL") == "added"
    assert "words of the installer" in rig.ok("logs", "--setup", "box-k").text
    # an installation that fails: the sandbox is as before, and starts
    broken = rig.fails("kit", "add", "box-k", kit(rig, BROKEN), "--force", timeout=180)
    assert "logs --setup" in broken.errors, broken
    box = rig.json("inspect", "box-k", "--json")
    assert [k["name"] for k in box["plan"]["kits"]] == ["shell", "first", "tool"] and "BROKEN" not in box["plan"]["env"]
    rig.ok("start", "box-k", timeout=180)
    assert sh(rig, "cat ~/state /var/first-installs /var/tool-installs") == "mine\nonce\nonce"
    assert rig.sbx("exec", "box-k", "--", "printenv", "BROKEN").code == 1
    # the startup command of the added kit runs at every start
    for _ in range(600):
        if sh(rig, "cat /tmp/tool-starts 2>/dev/null || true").startswith("up"):
            break
    assert set(sh(rig, "cat /tmp/tool-starts").split()) == {"up"}


def test_what_does_not_fit(rig, image):
    again = rig.fails("kit", "add", "box-k", kit(rig, TOOL), "--force")
    assert "tool" in again.errors, again
    agent = rig.fails("kit", "add", "box-k", kit(rig, 'schemaVersion: "2"\nkind: sandbox\nname: a\nsandbox: {command: [sh]}\n'), "--force")
    assert rig.fails("kit", "add", "nobody", kit(rig, TOOL)).code == 1 and agent.code == 1
    assert json.loads(rig.ok("inspect", "box-k", "--json").out)["status"] == "running"
