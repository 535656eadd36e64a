"""Group B: what a sandbox leaves in a shared folder for the tools of the host, and what it may not see there."""
import pytest

# FS-14: what tools of the host execute or obey; git's own metadata among it.
OBEYED = """
.git/hooks/pre-commit .git/config .git/info/attributes .git/modules/m/config sub/.git .gitattributes .gitmodules
.gitconfig .envrc .env .vscode/tasks.json .vscode/settings.json .idea/workspace.xml .devcontainer/devcontainer.json
.devcontainer.json .claude/settings.json .claude/commands/x.md .codex/config.toml .gemini/settings.json .cursor/rules/x
.mcp.json CLAUDE.md AGENTS.md GEMINI.md .npmrc .yarnrc.yml .bashrc .bash_profile .profile .zshrc .zshenv
.config/fish/config.fish .vimrc .tmux.conf .ssh/config .local/bin/ls Makefile GNUmakefile lib/Makefile package.json
packages/a/package.json build.rs .cargo/config.toml setup.py pyproject.toml conftest.py CMakeLists.txt build.gradle
gradlew pom.xml Dockerfile docker-compose.yml .husky/pre-commit .pre-commit-config.yaml .tool-versions vite.config.ts
.github/workflows/ci.yml .gitlab-ci.yml Jenkinsfile spec.yaml sbxenv.yaml flake.nix
""".split()
PLAIN = "main.c src/lib.c README.md .git/index .git/HEAD .git/hooks/x.sample docs/config".split()


def touched(rig, box):
    report = rig.json("inspect", "--json", box.name)["touched"]
    assert report["complete"] and report["more"] == 0, report
    return {f["path"]: f for f in report["files"]}


def test_fs14_the_report_lists_all_of_them(a, b, outside, rig):
    assert len(OBEYED) >= 60
    begin = touched(rig, a)
    script = 'cd "$0"; for f in "$@"; do mkdir -p "./$(dirname "$f")"; echo x > "./$f"; done'
    a.run("sh", "-c", script, str(a.ws), *OBEYED, *PLAIN)
    report = touched(rig, a)
    missing = [f for f in OBEYED if f"{a.ws}/{f}" not in report]
    assert not missing and not begin, (missing, begin)
    assert not [f for f in PLAIN if f"{a.ws}/{f}" in report]
    assert all(f["why"] and f["changes"] for f in report.values())
    a.root_ok(f"rm -rf {a.ws}/* {a.ws}/.[a-z]*")


def test_fs14_by_other_doors(a, b, outside, rig):
    """Absent names by rename of a folder, by hard link, by symbolic link, by mode, in new folders."""
    a.ok(f"""cd {a.ws} && mkdir -p x/hooks d && echo x > x/hooks/post-merge && mv x/hooks d/hooks && mv d new.git
        mkdir k && echo '{{}}' > k/settings.json && mv k .windsurf
        echo x > plain && ln plain .kshrc && ln -s elsewhere .zed
        mkdir -p p/q && echo x > p/q/.nvmrc && mv p r
        mv .windsurf .tmp && mv .tmp .kiro""")
    report = touched(rig, a)
    for want in ("new.git/", ".windsurf/", ".kshrc", ".zed", "p/q/.nvmrc", "r/q/.nvmrc", ".kiro/"):
        assert f"{a.ws}/{want}" in report, (want, sorted(report))
    (a.ws / "there").write_text("from the host")
    (a.ws / "Rakefile").write_text("from the host")
    a.ok(f"cd {a.ws} && chmod +x there Rakefile")
    report = touched(rig, a)
    assert "executable" in report[f"{a.ws}/Rakefile"]["changes"] and f"{a.ws}/there" not in report
    a.root_ok(f"rm -rf {a.ws}/* {a.ws}/.[a-z]*")


def test_fs14_survives_the_daemon_and_the_machine(a, b, outside, rig):
    a.ok(f"echo x > {a.ws}/justfile")
    rig.ok("daemon", "stop")
    assert f"{a.ws}/justfile" in touched(rig, a)
    a.ok(f"echo x > {a.ws}/Tiltfile; rm {a.ws}/justfile")
    report = touched(rig, a)
    assert f"{a.ws}/justfile" in report and f"{a.ws}/Tiltfile" in report
    a.ok(f"rm {a.ws}/Tiltfile")


def test_fs14_run_tells_at_its_end(rig, image):
    folder = rig.new_dir()
    size = ("--cpus", "1", "--memory", "512m")
    run = rig.ok("run", "--name", "box-tell", *size, "shell", folder, "--", "sh", "-c",
                 "echo x > .envrc; printf x > '.env.\x1b[31m'; echo y > main.c", timeout=90)
    assert "2 files that tools on this host" in run.errors and ".envrc" in run.errors, run
    assert "main.c" not in run.errors and b"\x1b" not in run.err, run
    run = rig.ok("run", "--name", "box-tell", "--", "true", timeout=90)
    assert ".envrc" not in run.errors, run
    run = rig.ok("run", "-q", "--name", "box-tell", "--", "sh", "-c", "echo z > .envrc", timeout=90)
    assert run.errors == "", run
    rig.ok("stop", "box-tell", timeout=30)
    assert ".envrc" in rig.ok("inspect", "box-tell").text
    rig.ok("rm", "--force", "box-tell")
