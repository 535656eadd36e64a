"""Kits from the command line: valid ones of both schemas, the zoo of bad ones (KT-01, KT-02, KT-06), ZIP files of others."""
import io
import json
import pathlib
import re
import stat
import subprocess
import zipfile

import pytest

from rig import SBX, assert_printable, tree_hash

KITS = pathlib.Path(__file__).resolve().parent.parent / "kits"
MIXIN = 'schemaVersion: "2"\nkind: mixin\nname: k\n'
PLACE = re.compile(rb"^sbx: [^\n]*?:[1-9]\d*:[1-9]\d*: [^\n]+\n(hint: [^\n]+\n)?$")


def kit(rig, text, files=()):
    """A kit in a directory of its own."""
    top = rig.new_dir()
    (top / "spec.yaml").write_text(text)
    for name, content in files:
        path = top / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return top


def refused(rig, top, *args):
    """One line with a place, exit status 1, the same as JSON, and nothing made or changed anywhere."""
    before = tree_hash(top) if pathlib.Path(top).is_dir() else None
    run = rig.sbx("kit", "validate", top, *args)
    assert run.code == 1 and not run.out, run
    assert PLACE.match(run.err), run.err
    assert_printable(run.err)
    told = rig.sbx("kit", "validate", "--json", top, *args)
    error = json.loads(told.out)["error"]
    assert told.code == 1 and error["code"] and error["message"], told
    assert before is None or tree_hash(top) == before
    return run.err.decode()


@pytest.mark.parametrize("name", ["v1-agent", "v1-mixin", "v2-agent", "v2-mixin"])
def test_every_field_of_both_schemas(rig, name):
    given = ["--kit-arg", "team=red"] if name == "v2-agent" else []
    answer = rig.json("kit", "validate", "--json", KITS / name, *given)
    assert answer["valid"] and answer["schema"] == int(name[1])
    assert answer["not_supported_by_run"] == ("sandbox.resources.gpu" if name == "v2-agent" else None)
    shown = rig.json("kit", "inspect", "--json", KITS / name, *given)
    assert shown["credentials"] and shown["variables"] and shown["install"] and shown["startup"] and shown["files"]
    text = rig.ok("kit", "inspect", KITS / name, *given)
    assert b"CREDENTIALS" in text.out and b"INSTALL" in text.out
    assert not (rig.state / "sbxd.sock").exists()  # nothing of it needs the daemon


def test_an_agent_with_mixins(rig):
    args = ["--kit-arg", "team=red", "--kit-arg", "new-mixin.level=lax"]
    stack = ["--kit", KITS / "v2-mixin", "--kit", KITS / "v1-mixin"]
    plan = rig.json("kit", "inspect", "--json", KITS / "v2-agent", *stack, *args)
    assert [k["name"] for k in plan["kits"]] == ["shell", "new-agent", "new-mixin", "old-mixin"]
    assert [k["builtin"] for k in plan["kits"]] == [True, False, False, False]
    assert plan["agent"] == "new-agent"
    assert {v["name"]: v["value"] for v in plan["variables"]}["LINT_LEVEL"] == "strict"  # the later kit wins
    assert "network allow lint.example.com" in plan["asks_for"]
    assert "- network deny telemetry.example.com" in plan["asks_for"]
    assert rig.json("kit", "inspect", "--json", KITS / "v2-agent", *stack, *args) == plan
    other = rig.fails("kit", "inspect", "shell", *stack)
    assert "is for the agent 'new-agent', not for 'shell'" in other.err.decode()
    twice = rig.json("kit", "inspect", "--json", KITS / "v2-agent", *stack, *stack, *args)
    assert twice == plan


def test_what_run_does_not_do_it_refuses(rig):
    run = rig.fails("run", "--detached", KITS / "v2-mixin", rig.new_dir())
    assert "is a mixin" in run.err.decode()
    top = kit(rig, 'schemaVersion: "2"\nkind: sandbox\nname: k\nsandbox: {command: [sh], resources: {gpu: "1"}}\n')
    assert rig.json("kit", "validate", "--json", top)["not_supported_by_run"] == "sandbox.resources.gpu"
    run = rig.fails("run", "--detached", top, rig.new_dir())
    assert "spec.yaml:4:38: not supported yet by run: sandbox.resources.gpu" in run.err.decode()
    assert rig.json("ls", "--json") == {"sandboxes": []}


ZOO = {
    "unknown field": MIXIN + "nmae: x\n",
    "wrong type": MIXIN + "ports: 80\n",
    "number out of range": MIXIN + "ports: [{container: 70000}]\n",
    "duplicate key": MIXIN + "name: k\n",
    "tab": "a:\n\tb: c\n",
    "alias without anchor": MIXIN + "description: *a\n",
    "alias within its anchor": MIXIN + "licenses: &a [x, *a]\n",
    "anchor twice": MIXIN + "description: &a x\ndisplayName: &a y\n",
    "alias bomb": "a0: &a0 [x, x]\n" + "".join(
        f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 10)),
    "long aliases": MIXIN + "description: &a " + "x" * 60000 + "\nlicenses: [" + ", ".join(["*a"] * 20) + "]\n",
    "merge key": MIXIN + "<<: {a: b}\n",
    "tag": MIXIN + "description: !!python/object x\n",
    "two documents": MIXIN + "---\n" + MIXIN,
    "byte order mark": "\ufeff" + MIXIN,
    "depth": "[" * 100000,
    "depth of mappings": "{a: " * 5000,
    "not a number": MIXIN + "ports: [{container: .nan}]\n",
    "control characters": MIXIN + 'description: "\\e[2J"\nnope: "\x1b"\n',
    "too large": MIXIN + "description: " + "x" * 300000 + "\n",
    "loader": MIXIN + "environment: {variables: {LD_PRELOAD: /x.so}}\n",
    "shell start": MIXIN + "environment: {variables: {BASH_ENV: /x}}\n",
    "proxy": MIXIN + "environment: {variables: {https_proxy: 'http://x'}}\n",
    "certificates": MIXIN + "environment: {variables: {SSL_CERT_FILE: /x}}\n",
    "name with =": MIXIN + 'environment: {variables: {"A=B": x}}\n',
    "name with a line": MIXIN + 'environment: {variables: {"A\\nB": x}}\n',
    "stand-in in a reserved name": MIXIN + "credentials: [{service: s, apiKey: {name: PATH}}]\n",
    "file elsewhere": MIXIN + "setup: {files: [{path: ../../.ssh/x, content: y}]}\n",
    "file with ..": MIXIN + "setup: {files: [{path: /a/../../x, content: y}]}\n",
    "file of the kernel": MIXIN + "setup: {files: [{path: /proc/sys/x, content: y}]}\n",
    "everything": MIXIN + "permissions: {network: {allow: ['*']}}\n",
    "credential to everything": MIXIN + "credentials: [{service: s, apiKey: {inject: [{domain: '**', scheme: bearer}]}}]\n",
    "header that frames": MIXIN + "credentials: [{service: s, apiKey: {inject: [{domain: a.b, header: Content-Length}]}}]\n",
    "line in a header": MIXIN + 'credentials: [{service: s, apiKey: {inject: [{domain: a.b, header: X, format: "%s\\r\\nY: z"}]}}]\n',
    "nobody's placeholder": MIXIN + "description: ${{ kit.args.x }}\n",
    "malformed placeholder": MIXIN + "description: ${{ kit.args. }}\n",
    "argument required": MIXIN + "args: {x: {required: true}}\n",
    "pattern that explodes": MIXIN + "args: {x: {default: " + "a" * 40 + "!, pattern: '(a+)+'}}\n",
    "name of a built-in kit": 'schemaVersion: "2"\nkind: mixin\nname: shell\n',
    "a mixin with a sandbox": MIXIN + "sandbox: {command: [sh]}\n",
    "schema 3": 'schemaVersion: "3"\nkind: mixin\nname: k\n',
    "an old field": MIXIN + "commands: {install: []}\n",
}


@pytest.mark.parametrize("name", ZOO)
def test_the_zoo(rig, name):
    refused(rig, kit(rig, ZOO[name]))


def test_the_zoo_of_files(rig):
    top = kit(rig, MIXIN)
    home = top / "files/home"
    home.mkdir(parents=True)
    for target in ("/etc/passwd", "../../../x", "a/../../b"):
        (home / "evil").symlink_to(target)
        assert "files/home/evil" in refused(rig, top)
        (home / "evil").unlink()
    (top / "spec.yaml").rename(top / "real")
    (top / "spec.yaml").symlink_to("real")
    refused(rig, top)
    (top / "spec.yaml").unlink()
    (top / "real").rename(top / "spec.yaml")
    (top / "files/workspace/.git/hooks").mkdir(parents=True)
    (top / "files/workspace/.git/hooks/pre-commit").write_text("touch /tmp/owned\n")
    assert "does not write into .git" in refused(rig, top)
    huge = rig.fails("kit", "validate", kit_with_huge_file(rig))
    assert "more than 16 MiB of files" in huge.err.decode()


def kit_with_huge_file(rig):
    top = kit(rig, MIXIN, [("files/home/huge", "")])
    with open(top / "files/home/huge", "r+b") as f:
        f.truncate(1 << 33)
    return top


def zipped(rig, entries, method=zipfile.ZIP_DEFLATED):
    """A ZIP file as Python writes it: (name, bytes) or (ZipInfo, bytes)."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", method) as z:
        for name, content in entries:
            z.writestr(name, content)
    path = rig.new_dir() / "k.zip"
    path.write_bytes(data.getvalue())
    return path


def test_zip_files(rig):
    top = kit(rig, MIXIN, [("files/home/.x/tool", "#!/bin/sh\n"), ("README.md", "not a part")])
    (top / "files/home/.x/tool").chmod(0o755)
    out = rig.new_dir() / "k.zip"
    answer = rig.json("kit", "pack", top, "-o", out, "--json")
    assert answer["name"] == "k" and answer["bytes"] == out.stat().st_size
    assert stat.S_IMODE(out.stat().st_mode) == 0o644
    with zipfile.ZipFile(out) as z:
        assert z.testzip() is None and z.namelist()[-1] == "spec.yaml" and "README.md" not in z.namelist()
    assert "is there already" in rig.fails("kit", "pack", top, "-o", out).err.decode()
    first = out.read_bytes()
    rig.ok("kit", "pack", top, "-o", out, "--force")
    assert out.read_bytes() == first
    a, b = (rig.json("kit", "inspect", "--json", ref) for ref in (top, out))
    assert a == b
    # what others write
    theirs = zipped(rig, [("spec.yaml", MIXIN), ("files/home/x", "y" * 5000)])
    assert rig.json("kit", "inspect", "--json", theirs)["home"][0]["bytes"] == 5000
    rig.fails("kit", "pack", top, "-o", rig.new_dir() / "k.tar")


def test_the_zoo_of_zip_files(rig):
    link = zipfile.ZipInfo("spec.yaml")
    link.create_system = 3
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    for entries in ([("../spec.yaml", MIXIN)], [("/spec.yaml", MIXIN)], [("spec.yaml", MIXIN), ("files/../../x", "")],
                    [(link, "/etc/passwd")], [("files/home/x", "")],
                    [("spec.yaml", MIXIN), ("files/home/bomb", b"\0" * (20 << 20))]):
        path = zipped(rig, entries)
        refused(rig, path)
    good = zipped(rig, [("spec.yaml", MIXIN)]).read_bytes()
    path = rig.new_dir() / "k.zip"
    for data in (b"", good[:-1], good + b"x", b"#!/bin/sh\n" + good, good[:40] + b"\xff" + good[41:]):
        path.write_bytes(data)
        refused(rig, path)
    assert sorted(p.name for p in path.parent.iterdir()) == ["k.zip"]


def test_repositories(rig):
    """References that git or ssh would take for something else never reach them."""
    for ref in ("git+ext::sh -c true", "git+file:///etc", "git+http://x/y", "git+https://-x/y", "git+ssh://-oProxyCommand=x/y",
                "git+https://user:secret@x/y", "git+https://x/y#ref=--upload-pack=x", "git+https://x/y#dir=../z"):
        run = rig.sbx("kit", "validate", ref)
        assert run.code == 1 and b"is no kit" in run.err, run
        assert_printable(run.err)
    for ref in ("oci://x", "oci://-x/y", "oci://xn--x.io/y", "oci://x/../y", "x.io/Y:1", "oci://x.io/y@sha256:12"):
        run = rig.sbx("kit", "validate", ref)
        assert run.code == 1 and b"is no place of kits" in run.err, run
        assert_printable(run.err)


def test_the_host_is_left_alone(rig, tmp_path):
    """KT-02: nothing of a kit's environment or commands is in force on the host."""
    mark = tmp_path / "mark"
    top = kit(rig, MIXIN + f'setup: {{install: [{{command: "touch {mark}"}}], startup: [{{command: [touch, {mark}]}}]}}\n'
                           f'environment: {{variables: {{GIT_SSH_COMMAND: "touch {mark}", NODE_OPTIONS: "--require {mark}"}}}}\n')
    shown = rig.json("kit", "inspect", "--json", top)
    assert [v.get("steers") for v in shown["variables"]] == [True, True]
    trace = subprocess.run(["/usr/bin/env", "-i", SBX, "kit", "validate", top], env={"HOME": str(rig.base)}, check=False,
                           capture_output=True, timeout=60)
    assert trace.returncode == 0, trace
    assert not mark.exists()


def test_ls(rig):
    kits = rig.json("kit", "ls", "--json")["kits"]
    assert {"shell", "demo"} <= {k["name"] for k in kits}
    assert rig.ok("kit", "ls", "-q").out.decode().split() == [k["name"] for k in kits]
    for name in (k["name"] for k in kits):
        assert rig.json("kit", "validate", "--json", name)["valid"]
    assert "not found" in rig.fails("kit", "inspect", "no-such-kit").err.decode()
    assert rig.sbx("kit").code == 2 and rig.sbx("kit", "nope").code == 2 and rig.sbx("kit", "validate").code == 2
