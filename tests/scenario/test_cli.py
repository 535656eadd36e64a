"""What bad input gets: one line that says what, on what, why; exit status not 0; nothing half-made."""
import json
import os
import pathlib
import re
import subprocess
import time

import pytest

from rig import SBX, assert_printable


def test_version_starts_no_daemon(rig):
    run = rig.ok("version")
    assert run.text.startswith("sbx ")
    assert json.loads(rig.ok("version", "--json").out)
    assert not (rig.state / "sbxd.sock").exists()


def test_help_and_usage(rig):
    assert "run" in rig.ok("--help").text
    for verb in ("run", "create", "exec", "ls", "inspect", "stop", "rm", "cp", "logs", "image", "daemon", "version",
                 "diagnose", "completion", "approve"):
        run = rig.sbx(verb, "--help")
        assert run.code == 0 and run.out, run
        bad = rig.sbx(verb, "--no-such-flag")
        assert bad.code == 2 or bad.code == 125, bad
        assert bad.err and not bad.out
    assert rig.sbx("no-such-verb").code == 2


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(rig, shell):
    assert "sbx" in rig.ok("completion", shell).text


def test_ls_of_nothing(rig):
    assert rig.json("ls", "--json") == {"sandboxes": []}
    assert "SANDBOX" in rig.ok("ls").text
    assert rig.ok("ls", "-q").out == b""


BAD_NAMES = ["../x", "", "a", "x" * 64, "x" * 5000, "-rf", "a/b", "a b", ".hidden", "a..b", "end-", "default",
             "a\nb", "\x1b[2Jx", "a\u202eb", "ü1", "a;id", "$(id)"]


@pytest.mark.parametrize("name", BAD_NAMES)
def test_bad_names(rig, name):
    folder = rig.new_dir()
    run = rig.fails("create", f"--name={name}", "shell", folder)
    assert len(run.err) < 1500
    run = rig.sbx("exec", "--", name, "true")
    assert run.code in (2, 125) and run.err
    assert_printable(run.err)
    assert rig.sbx("rm", "--force", "--", name).code != 0
    assert rig.json("ls", "--json") == {"sandboxes": []}
    assert sorted(os.listdir(rig.base)) == ["home", "s", "w"]


def test_bad_names_in_the_api(rig):
    for name in BAD_NAMES:
        status, answer = rig.api("POST", "/v1/sandboxes", {"name": name, "agent": "shell"} if name else
                                 {"name": ".", "agent": "shell"})
        assert (status, answer["error"]["code"]) == (400, "invalid"), (name, answer)


def test_missing_and_unreadable_workspaces(rig):
    run = rig.fails("create", "--name", "box-x", "shell", rig.base / "no-such-dir")
    assert "no-such-dir" in run.errors and "No such file" in run.errors
    file = rig.base / "w" / "plain"
    file.write_text("x")
    rig.fails("create", "--name", "box-x", "shell", file / "below")
    for path in ("/proc", "/sys", "/dev", "/"):
        run = rig.sbx("create", "--name", "box-x", "shell", path)
        assert run.code, f"{path} was taken as a workspace"
    assert rig.boxes() == {}
    file.unlink()


def test_an_unreadable_workspace(rig):
    if os.getuid() == 0:
        pytest.skip("root reads everything")
    folder = rig.new_dir()
    folder.chmod(0)
    run = rig.fails("create", "--name", "box-x", "shell", folder)
    folder.chmod(0o700)
    assert "Permission denied" in run.errors


def test_pipes_and_sockets_are_no_workspace(rig):
    os.mkfifo(rig.base / "w" / "fifo")
    rig.fails("create", "--name", "box-x", "shell", rig.base / "w" / "fifo", timeout=10)
    os.remove(rig.base / "w" / "fifo")


def test_unknown_agent(rig):
    run = rig.fails("create", "--name", "box-x", "no-such-agent", rig.new_dir())
    assert "no-such-agent" in run.errors
    for agent in ("../shell", "/etc", "", "a\x1b]0;x\x07", "shell/../demo"):
        rig.fails("create", "--name", "box-x", agent, rig.new_dir())
    assert rig.boxes() == {}


@pytest.mark.parametrize("flag, value", [
    ("--cpus", "-1"), ("--cpus", "1e9"), ("--cpus", "100000"), ("--cpus", "two"), ("--cpus", ""),
    ("--memory", "0"), ("--memory", "1"), ("--memory", "-5g"), ("--memory", "999999999t"), ("--memory", "4q"),
    ("--memory", "18446744073709551617"), ("--memory", "1000t"),
    ("--disk", "0x10"), ("--disk", "9999999999999999t"), ("--disk", "1"),
    ("--isolation", "none"), ("--isolation", ""), ("-e", "=x"), ("-e", "A B=c"), ("--env-file", "/no/such/file")])
def test_absurd_values(rig, flag, value):
    run = rig.sbx("create", "--name", "box-x", flag, value, "shell", rig.new_dir())
    assert run.code > 0 and run.err, run
    assert_printable(run.err)
    assert rig.boxes() == {}


def test_a_missing_tier_is_an_error(rig):
    if os.environ.get("SBX_TEST_KVM"):
        pytest.skip("this host has the kvm tier")
    run = rig.fails("create", "--name", "box-x", "--isolation", "kvm", "shell", rig.new_dir())
    assert "kvm" in run.errors
    assert rig.boxes() == {}


def test_errors_as_json(rig):
    run = rig.sbx("inspect", "--json", "no-such-box")
    assert run.code == 1
    error = json.loads(run.out)["error"]
    assert error["code"] == "not_found" and "no-such-box" in error["message"]


@pytest.mark.parametrize("args", [["inspect"], ["stop"], ["rm", "--force"], ["logs"]])
def test_names_that_are_not_there(rig, args):
    run = rig.fails(*args, "no-such-box")
    assert run.code == 1 and "sandbox 'no-such-box' not found" in run.errors


def test_rm_without_a_terminal_needs_force(rig):
    box = rig.create("box-keep")
    run = rig.fails("rm", "box-keep")
    assert "--force" in run.errors
    assert "box-keep" in rig.boxes()
    box.remove()
    assert rig.boxes() == {}


def test_escape_sequences_do_not_reach_the_terminal(rig):
    """TX-01: names, paths and messages with control sequences come out escaped."""
    evil = "\x1b]0;title\x07\x1b[2J\u202e"
    rig.fails("create", "--name", "box-esc", "shell", rig.new_dir("dir" + evil))
    rig.ok("create", "--name", "box-esc", "shell", rig.new_dir("dir\u202ecod.exe"))
    for args in (["ls"], ["inspect", "box-esc"], ["ls", evil], ["inspect", evil], ["cp", evil, "box-esc:/tmp/x"],
                 ["create", "shell", f"/no{evil}"], ["run", evil], ["logs", evil], ["image", "rm", evil]):
        run = rig.sbx(*args)
        assert_printable(run.out)
        assert_printable(run.err)
    rig.ok("rm", "--force", "box-esc")


def test_no_colour_and_no_terminal(rig):
    for env in ({"NO_COLOR": "1"}, {"TERM": "dumb"}, {}):
        assert b"\x1b" not in rig.ok("ls", env=env).out


def test_output_that_cannot_be_written(rig):
    with open("/dev/full", "wb") as full:
        run = subprocess.run([SBX, "ls"], stdout=full, stderr=subprocess.PIPE, env=rig.env, timeout=20)
    assert run.returncode == 1 and run.stderr


def test_closed_descriptors(rig):
    """Started without 0, 1 and 2: no file of ours lands on these numbers and gets output."""
    code = subprocess.run(["sh", "-c", f"exec {SBX} ls <&- >&- 2>&-"], env=rig.env, timeout=20).returncode
    assert code in (0, 1)
    assert rig.ok("ls").code == 0


def test_diagnose(rig):
    checks = rig.json("diagnose", "--json")["checks"]
    assert checks and {c["status"] for c in checks} <= {"pass", "warn", "fail", "skip"}
    assert_printable(rig.sbx("diagnose").out)


def test_ls_with_50_stopped_sandboxes(rig):
    folder = rig.new_dir()
    for number in range(50):
        rig.ok("create", "--name", f"many-{number:02}", "shell", folder)
    started = time.monotonic()
    boxes = rig.boxes()
    assert len(boxes) == 50 and time.monotonic() - started < 1
    assert {b["status"] for b in boxes.values()} == {"stopped"}
    assert len(rig.ok("ls").text.splitlines()) == 51
    rig.note_ids()
    rig.ok("rm", "--all", "--force", timeout=60)
    assert rig.boxes() == {}
    assert not [p for p in (rig.state / "sandboxes").iterdir()] if (rig.state / "sandboxes").exists() else True


def test_an_installation_is_whole(rig):
    """`make install`: every part is there, and the programs find each other and their data from where they lie."""
    build, source = SBX.parent.parent, pathlib.Path(__file__).resolve().parents[2]
    there = rig.base / "installed"
    subprocess.run(["meson", "install", "-C", build, "--no-rebuild", "--quiet", "--destdir", there], check=True,
                   stdout=subprocess.DEVNULL)
    top = next(there.rglob("bin/sbx")).parent.parent

    def files(of):
        return sorted(str(p.relative_to(of)) for p in of.rglob("*") if p.is_file())
    wanted = {"sbxd", "sbx-machine", "sbx-front", "sbx-vault", "sbx-guest", "image-build"}
    assert wanted <= set(files(top / "libexec/sbx"))
    assert files(top / "share/man") == ["man1/sbx.1", "man8/sbxd.8"]
    for one in ("bash-completion/completions/sbx", "fish/vendor_completions.d/sbx.fish", "zsh/site-functions/_sbx"):
        assert (top / "share" / one).stat().st_size > 500
    for part in ("kits", "services"):
        tracked = [f for f in files(source / part) if not f.endswith("meson.build")]
        assert files(top / "share/sbx" / part) == tracked
    state = rig.base / "s2"
    env = {**rig.env, "SBX_STATE_DIR": str(state)}

    def run(*args):
        ran = subprocess.run([top / "bin/sbx", *args], env=env, stdin=subprocess.DEVNULL, capture_output=True, timeout=60)
        assert ran.returncode == 0, ran
        return ran.stdout.decode()
    try:
        assert "github" in run("secret", "ls", "--services")
        assert json.loads(run("create", "--plan", "shell", str(rig.new_dir())))
        pid = json.loads(run("daemon", "status", "--json"))["pid"]
        assert pathlib.Path(os.readlink(f"/proc/{pid}/exe")) == top / "libexec/sbx/sbxd"
        assert "_sbx" in run("completion", "zsh")
    finally:
        subprocess.run([top / "bin/sbx", "daemon", "stop"], env=env, capture_output=True, timeout=60)


def commands(rig):
    """Every verb that `sbx --help` names, and what stands beneath it, with its help."""
    for verb in re.findall(r"^  (\w+) ", rig.ok("--help").text, re.M):
        text = rig.ok(verb, "--help").text
        yield [verb], text
        if text.splitlines()[0].endswith(" COMMAND"):
            for sub in re.findall(r"^  (\S+) ", text, re.M):
                yield [verb, sub], rig.ok(verb, sub, "--help").text


def test_every_command_and_flag_is_written_down(rig):
    """What --help names is in the man page (a flag by its long or short form) and in the three completions."""
    top = pathlib.Path(__file__).resolve().parents[2]
    man = (top / "docs/man/sbx.1").read_text()
    completions = {f: (top / "completions" / f).read_text() for f in ("sbx.bash", "_sbx", "sbx.fish")}
    missing = []
    for command, text in commands(rig):
        if not re.search(rf"^\.It (Xo )?Cm .*\b{command[0]}\b", man, re.M) or not re.search(rf"\b{command[-1]}\b", man):
            missing.append(f"{' '.join(command)}: not in the man page")
        missing += [f"{' '.join(command)}: not in {f}" for f, c in completions.items()
                    if not re.search(rf"(?<![\w-]){command[-1]}(?![\w-])", c)]
        for short, flag in re.findall(r"^ +(?:-(\w), |)--([a-z][a-z-]+)", text, re.M):
            if flag in ("help", "usage", "version"):
                continue
            forms = [rf"-{flag}\b"] + ([rf"(Fl|,) {short}\b"] if short else [])
            if not any(re.search(f, man) for f in forms):
                missing.append(f"{' '.join(command)} --{flag}: not in the man page")
            missing += [f"{' '.join(command)} --{flag}: not in {f}" for f, c in completions.items()
                        if not re.search(rf"(--|-l ){flag}(?![\w-])", c)]
    assert not missing, "\n".join(sorted(set(missing)))
