"""Group B: what a sandbox leaves in a shared folder for the tools of the host, and what it may not see there."""
import os
import subprocess
import time

import pytest

from rig import Rig

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


# -- FS-19: the host's disk

@pytest.fixture(name="small")
def small_disk(rig):
    """A folder on a file system of 64 MiB."""
    folder = rig.new_dir()
    if os.getuid() != 0 or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "none", folder]).returncode:
        pytest.skip("mounting a small file system needs root")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def test_fs19_the_hosts_disk_is_not_filled(rig, image, small):
    box = rig.create("box-full", small, size=("--cpus", "1", "--memory", "512m")).start()
    run = box.root(f"cd {small}; dd if=/dev/zero of=a bs=1M count=100; fallocate -l 60M b; cp a c; "
                   "yes | head -c 30M > d; df -B1 --output=avail . | tail -1", timeout=120)
    assert run.errors.count("No space left on device") >= 4, run
    assert int(run.text.split()[-1]) < 4 << 20, run
    disk = os.statvfs(small)
    assert disk.f_bavail * disk.f_frsize >= (64 << 20) // 10
    assert box.ok(f"rm {small}/a; echo fine > {small}/e; cat {small}/e") == "fine\n"
    box.remove()


def test_fs19_a_full_disk_beneath_the_scratch_disk(image):
    """The disk of a sandbox is sparse: what does not fit is an error inside, and the sandbox goes on."""
    rig = Rig()
    folder = rig.base / "ws"
    folder.mkdir()
    if os.getuid() != 0 or subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=160m,mode=700", "none", rig.state]).returncode:
        rig.close()
        pytest.skip("mounting a small file system needs root")
    try:
        box = rig.create("box-disk", folder, size=("--cpus", "1", "--memory", "512m")).start()
        # What the guest's kernel makes of a disk with errors is its own affair: it may wait for ever.
        box.root("setsid dd if=/dev/zero of=/var/tmp/x bs=1M count=300 conv=fsync >/dev/null 2>&1 &")
        deadline = time.monotonic() + 120
        while not box.root_ok("dmesg | grep -ci 'I/O error' || true").strip("0\n"):
            assert time.monotonic() < deadline, "no error was reported inside"
            time.sleep(1)
        disk = os.statvfs(rig.state)
        assert disk.f_bavail * disk.f_frsize < 2 << 20
        assert box.status() == "running"
        assert box.ok("echo alive") == "alive\n"
        rig.ok("ls", timeout=10)
        rig.ok("stop", "-t", "3", "box-disk", timeout=40)
        rig.ok("rm", "--force", "box-disk", timeout=40)
        assert rig.boxes() == {}
    finally:
        rig.close()
        subprocess.run(["umount", "-l", rig.state])


# -- FS-18: masked names

def test_fs18_masked_files_by_every_door(rig, image):
    folder = rig.new_dir()
    secret = b"PASSWORD=canary-8c1f"
    for name in (".env", "sub/.env", "secrets/key", "conf/token"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(secret)
    os.link(folder / ".env", folder / "alias")
    (folder / "plain").write_text("hello\n")
    box = rig.create("box-mask", folder, size=("--cpus", "1", "--memory", "512m"),
                     more=("--mask", ".env", "--mask", "secrets/", "--mask", "/conf/token")).start()
    run = box.root(f"""cd {folder}
        for f in .env sub/.env ./sub/../.env secrets/key conf/token alias; do
            cat $f; head -c1 $f; cp $f out; ln $f hard; mv $f moved; dd if=$f of=out2; stat -c 'size %s' $f; chmod 777 $f
            ln -sf $f soft; cat soft; tar cf - $f; python3 -c "import os,sys,mmap
fd = os.open(sys.argv[1], os.O_RDONLY); os.copy_file_range(fd, os.open('out3', 66), 99)" $f; true > $f; echo x >> $f
        done
        mv conf conf2; mv secrets open; cat conf2/token open/key; rm -f .env; mv plain .env; mkdir n; touch n/.env
        ls -la . secrets sub; cat plain""", timeout=120)
    assert b"canary" not in run.out + run.err and secret not in run.out, run
    assert "hello" in run.text and f"size {len(secret)}" not in run.text, run
    # another name of a masked file may be moved: it stays hidden by what it is
    for name in (".env", "sub/.env", "secrets/key", "conf/token", "moved"):
        assert (folder / name).read_bytes() == secret
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink() and path.stat().st_nlink == 1:
            assert b"canary" not in path.read_bytes() or path.name in ("key", "token", ".env"), path
    assert not (folder / "n" / ".env").exists()
    assert rig.json("inspect", "--json", "box-mask")["plan"]["masks"] == [".env", "secrets/", "/conf/token"]
    box.remove()


def test_fs18_masks_that_are_none(rig, image):
    for bad in ("../x", "a//b", "**", "", "x" * 300):
        assert "mask" in rig.fails("create", "--mask", bad, "shell", rig.new_dir()).errors
