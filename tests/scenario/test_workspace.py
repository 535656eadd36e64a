"""A file: what developers do in a shared folder works, and the host sees exactly what was meant."""
import hashlib
import ipaddress
import json
import os
import pathlib
import shutil
import socket
import sqlite3
import stat
import subprocess
import tarfile
import time
import urllib.parse
import urllib.request

import pytest

from rig import tree_hash


def git(where, *args):
    subprocess.run(["git", "-c", "user.name=t", "-c", "user.email=t@example.com", "-C", where, *args],
                   check=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def test_both_sides_see_the_same(box):
    (box.ws / "from-host").write_text("hello\n")
    assert box.ok("cat from-host") == "hello\n"
    box.ok("printf inside > from-guest; mkdir -p a/b; printf x > a/b/c; ln -s b a/l")
    assert (box.ws / "from-guest").read_text() == "inside"
    assert os.readlink(box.ws / "a/l") == "b"
    (box.ws / "from-host").write_text("changed\n")
    time.sleep(1.1)
    assert box.ok("cat from-host") == "changed\n"
    os.remove(box.ws / "from-host")
    time.sleep(1.1)
    assert box.sh("test -e from-host").code == 1


def test_owner_and_modes(box):
    box.ok("echo x > f; chmod 750 f; mkdir d; chmod 700 d; echo y > g; chmod 600 g")
    for name, mode in (("f", 0o750), ("d", 0o700), ("g", 0o600)):
        st = os.stat(box.ws / name)
        assert (stat.S_IMODE(st.st_mode), st.st_uid, st.st_gid) == (mode, os.getuid(), os.getgid())
    assert box.ok("stat -c '%U %G %a' f").strip() == "agent agent 750"


def test_names_of_all_kinds(box):
    names = ["a b", "ü", "-rf", "new\nline", "\x1b[31mred", "$(touch x)", "x" * 255, " trailing ", "\u202eabc"]
    where = box.ws / "names"
    where.mkdir()
    for name in names:
        run = box.run("python3", "-c", "import sys; open(sys.argv[1], 'w').write(sys.argv[2])",
                      f"{where}/{name}", name)
        assert run.code == 0, run
    assert sorted(os.listdir(where)) == sorted(names)
    listed = box.run("python3", "-c", "import os,sys; print(sorted(os.listdir(sys.argv[1])))", str(where))
    assert listed.text == repr(sorted(names)) + "\n"
    assert box.sh(f"touch '{where}/{'y' * 256}'").code != 0


def test_git_clone_of_a_local_repository(box):
    origin = box.ws / "origin"
    origin.mkdir()
    git(origin, "init", "-q", "-b", "main")
    for number in range(120):
        path = origin / f"d{number % 7}" / f"file{number}.c"
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"int f{number}(void) {{ return {number}; }}\n" * 20)
    git(origin, "add", "-A")
    git(origin, "commit", "-q", "-m", "first")
    box.ok("git clone -q --no-local origin copy && cd copy && git config user.email a@b && git config user.name a"
           " && echo more >> d0/file0.c && git commit -qam second && git gc -q && git fsck --strict 2>&1"
           " && git status --porcelain && git checkout -q -b side && git log --oneline | wc -l", timeout=120)
    log = subprocess.run(["git", "-c", "safe.directory=*", "-C", box.ws / "copy", "log", "--format=%s"],
                         stdout=subprocess.PIPE, text=True, check=True)
    assert log.stdout == "second\nfirst\n"
    fsck = subprocess.run(["git", "-c", "safe.directory=*", "-C", box.ws / "copy", "fsck", "--strict"],
                          stderr=subprocess.PIPE)
    assert fsck.returncode == 0, fsck.stderr
    assert tree_hash(origin / "d3") == tree_hash(origin / "d3")


def test_a_parallel_build(box):
    where = box.ws / "build"
    where.mkdir()
    rules = ["CC = cc", "objects = " + " ".join(f"m{i}.o" for i in range(16)),
             "all: prog", "prog: main.o $(objects)\n\t$(CC) -o $@ $^", "%.o: %.c all.h\n\t$(CC) -c -o $@ $<"]
    (where / "Makefile").write_text("\n".join(rules) + "\n")
    (where / "all.h").write_text("".join(f"int m{i}(void);\n" for i in range(16)))
    for i in range(16):
        (where / f"m{i}.c").write_text(f'#include "all.h"\nint m{i}(void) {{ return {i}; }}\n')
    (where / "main.c").write_text('#include "all.h"\n#include <stdio.h>\nint main(void) { printf("%d\\n", '
                                  + " + ".join(f"m{i}()" for i in range(16)) + "); return 0; }\n")
    run = box.sh("cd build && make -j2 2>&1 && ./prog", timeout=240)
    assert run.code == 0 and run.text.endswith("\n120\n"), run
    again = box.ok("cd build && make -j2", timeout=60)
    assert "up to date" in again or "Nothing to be done" in again
    assert subprocess.run([where / "prog"], stdout=subprocess.PIPE).stdout == b"120\n"
    time.sleep(1.1)
    (where / "m3.c").write_text('#include "all.h"\nint m3(void) { return 1003; }\n')
    os.utime(where / "m3.c")
    time.sleep(1.1)
    run = box.sh("cd build && make -j2 2>&1 && ./prog", timeout=120)
    assert run.text.endswith("\n1120\n") and run.text.count("-c -o") == 1, run


SQLITE_WRITER = """
import sqlite3, sys
db = sqlite3.connect(sys.argv[1], timeout=60, isolation_level=None)
for i in range(int(sys.argv[2])):
    db.execute("begin immediate")
    n = db.execute("select n from c").fetchone()[0]
    db.execute("update c set n = ?", (n + 1,))
    db.execute("commit")
print(db.execute("pragma integrity_check").fetchone()[0])
"""


def test_sqlite_from_both_sides_at_once(box):
    """Read, add one, write, under the database's own locks: a lost lock would lose a count."""
    path = box.ws / "db.sqlite"
    db = sqlite3.connect(path, timeout=60, isolation_level=None)
    db.execute("create table c (n integer)")
    db.execute("insert into c values (0)")
    inside = box.rig.popen("exec", "-u", "0", box.name, "--", "python3", "-c", SQLITE_WRITER, str(path), "60",
                           stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    for _ in range(60):
        db.execute("begin immediate")
        n = db.execute("select n from c").fetchone()[0]
        time.sleep(0.002)
        db.execute("update c set n = ?", (n + 1,))
        db.execute("commit")
    out, err = inside.communicate(timeout=120)
    assert (inside.returncode, out) == (0, b"ok\n"), err
    assert db.execute("select n from c").fetchone()[0] == 120
    assert db.execute("pragma integrity_check").fetchone()[0] == "ok"
    db.close()


def test_sqlite_wal_inside(box):
    """WAL needs shared mappings of its index: within the sandbox they work in the shared folder."""
    run = box.python("""
import sqlite3, sys, threading
path = sys.argv[1]
sqlite3.connect(path).execute("pragma journal_mode=wal")
sqlite3.connect(path).execute("create table t (x)")
def work():
    db = sqlite3.connect(path, timeout=60)
    for i in range(20):
        with db: db.execute("insert into t values (?)", (i,))
workers = [threading.Thread(target=work) for _ in range(3)]
[w.start() for w in workers]; [w.join() for w in workers]
print(sqlite3.connect(path).execute("select count(*) from t").fetchone()[0])
""", str(box.ws / "wal.sqlite"), timeout=120)
    assert run.text == "60\n", run


def test_mmap(box):
    (box.ws / "map").write_bytes(b"a" * 10000)
    run = box.python("""
import mmap, sys, os
fd = os.open(sys.argv[1], os.O_RDWR)
m = mmap.mmap(fd, 10000)
assert m[:] == b"a" * 10000
m[5000:5004] = b"ZZZZ"
m.flush(); m.close()
assert os.pread(fd, 4, 5000) == b"ZZZZ"
p = mmap.mmap(fd, 10000, mmap.MAP_PRIVATE); p[0:1] = b"Q"; p.close()
os.fsync(fd)
""", str(box.ws / "map"))
    assert run.code == 0, run
    data = (box.ws / "map").read_bytes()
    assert data == b"a" * 5000 + b"ZZZZ" + b"a" * 4996


def test_a_program_runs_from_the_share(box):
    box.ok("cp /bin/ls prog && ./prog / > /dev/null && rm prog")
    (box.ws / "script").write_text("#!/bin/sh\necho ran\n")
    (box.ws / "script").chmod(0o755)
    assert box.ok("./script") == "ran\n"


def test_sparse_files_stay_sparse(box):
    box.ok("truncate -s 1G sparse && printf end | dd of=sparse bs=1 seek=900M conv=notrunc 2>/dev/null")
    st = os.stat(box.ws / "sparse")
    assert st.st_size == 1 << 30
    assert st.st_blocks * 512 < 4 << 20
    assert int(box.ok("stat -c %b sparse")) * 512 < 4 << 20
    box.ok("cp --sparse=always sparse copied")
    assert os.stat(box.ws / "copied").st_blocks * 512 < 4 << 20
    run = box.python("import os,sys; f=os.open(sys.argv[1],os.O_RDONLY); print(os.lseek(f,0,os.SEEK_DATA) >= 800<<20)",
                     str(box.ws / "sparse"))
    assert run.text == "True\n", run
    box.ok("fallocate -p -o 900M -l 1M sparse 2>/dev/null || true; rm sparse copied")


def test_rename_link_truncate_and_friends(box):
    box.ok("""set -e
mkdir t; cd t
echo one > a; echo two > b
mv a c; test "$(cat c)" = one; test ! -e a
mv -T c b; test "$(cat b)" = one
ln b hard; test "$(stat -c %h b)" = 2; echo more >> hard; test "$(wc -l < b)" = 2
truncate -s 3 b; test "$(cat hard)" = one
mkdir -p x/y/z; mv x/y w; test -d w/z; rmdir w/z w x
touch -d '2001-02-03 04:05:06Z' b; test "$(stat -c %Y b)" = 981173106
cp -a b kept; cmp b kept; dd if=/dev/zero of=big bs=1M count=8 2>/dev/null; sync big
test "$(stat -c %s big)" = 8388608
: > empty; test ! -s empty; rm big empty
(exec 9<b; rm b hard; test "$(cat <&9)" = one)
""")
    assert sorted(os.listdir(box.ws / "t")) == ["kept"]


def test_many_files(box):
    box.ok("mkdir many && cd many && seq 3000 | xargs -n 500 touch && test $(ls | wc -l) = 3000"
           " && find . -type f | wc -l | grep -qx 3000", timeout=120)
    assert len(os.listdir(box.ws / "many")) == 3000
    box.ok("rm -r many", timeout=120)
    assert not (box.ws / "many").exists()


def test_locks_are_shared_with_the_host(box):
    import fcntl
    with open(box.ws / "lock", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert box.sh("flock -n lock true").code == 1
        fcntl.flock(file, fcntl.LOCK_UN)
        assert box.sh("flock -n lock true").code == 0


NPM_DIR = "app"


def npm_project(where, packages=30):
    """A project whose packages are local tarballs, so that no registry is needed."""
    where.mkdir()
    wanted = {}
    (where / "packs").mkdir()
    for i in range(packages):
        name = f"pack{i}"
        stage = where / "stage" / "package"
        stage.mkdir(parents=True)
        (stage / "package.json").write_text(json.dumps({"name": name, "version": "1.0.0", "main": "index.js"}))
        (stage / "index.js").write_text(f"module.exports = {i};\n")
        for k in range(10):
            (stage / f"file{k}.js").write_text("// padding\n" * 50)
        with tarfile.open(where / "packs" / f"{name}.tgz", "w:gz") as tar:
            tar.add(stage, "package")
        shutil.rmtree(where / "stage")
        wanted[name] = f"file:packs/{name}.tgz"
    (where / "package.json").write_text(json.dumps({"name": "app", "version": "1.0.0", "dependencies": wanted}))
    (where / "index.js").write_text("let n = 0;\n" + "".join(
        f"n += require('pack{i}');\n" for i in range(packages)) + "console.log(n);\n")


def need_npm(box):
    if box.sh("command -v npm && command -v node").code:
        pytest.skip("the root image has no node")


def test_npm_ci_without_a_registry(box):
    need_npm(box)
    npm_project(box.ws / NPM_DIR)
    run = box.sh(f"cd {NPM_DIR} && npm install --package-lock-only --offline --no-audit --no-fund 2>&1"
                 " && npm ci --offline --no-audit --no-fund 2>&1 && node index.js", timeout=400)
    assert run.code == 0 and run.text.endswith("435\n"), run


def allow_hosts(rig, box, urls):
    """What the preset knows anyway, and the addresses that only a rule of their own opens (a mirror in the local network)."""
    allow = ["policy", "allow", "network", "--sandbox", box.name]
    for url in urls:
        port = url.port or (443 if url.scheme == "https" else 80)
        rig.ok(*allow, f"{url.hostname}:{port}")
        for address in sorted({a[4][0] for a in socket.getaddrinfo(url.hostname, port, type=socket.SOCK_STREAM)}):
            if not ipaddress.ip_address(address).is_global:
                rig.ok(*allow, address if ":" not in address else f"{address}/128")


def configured_registry():
    """The URL of the registry that this host's npm is set up with; skips where it is out of reach."""
    npm = shutil.which("npm")
    if not npm:
        pytest.skip("this host has no npm, so no registry is set up")
    run = [npm, "config", "get", "registry"]
    url = subprocess.run(run, capture_output=True, text=True, timeout=60, check=False).stdout.strip()
    parts = urllib.parse.urlsplit(url)
    run = [npm, "view", "--fetch-retries=0", "--fetch-timeout=10000", "is-number@7.0.0", "version"]
    seen = subprocess.run(run, capture_output=True, text=True, timeout=60, check=False)
    if not parts.hostname or seen.stdout.strip() != "7.0.0":
        pytest.skip("the registry that npm is set up with cannot be reached from this host")
    return url


def test_npm_ci_with_the_configured_registry(rig, box):
    """A real package from the real registry, through the way out and its certificate."""
    need_npm(box)
    url = configured_registry()
    allow_hosts(rig, box, [urllib.parse.urlsplit(url)])
    (box.ws / "real").mkdir()
    (box.ws / "real" / "package.json").write_text(json.dumps(
        {"name": "real", "version": "1.0.0", "dependencies": {"is-number": "7.0.0"}}))
    run = box.sh(f"cd real && export npm_config_registry={url} npm_config_fetch_retries=1 && npm install --package-lock-only"
                 " --no-audit --no-fund 2>&1 && npm ci --no-audit --no-fund 2>&1"
                 " && node -p 'require(\"is-number\")(5)'", timeout=400)
    assert run.code == 0 and run.text.endswith("true\n"), run


def configured_archives():
    """The small ones (updates, security) of this host's apt, as lines of sources.list; skips where they are out of reach."""
    run = ["apt-get", "indextargets", "--format", "$(REPO_URI) $(RELEASE)", "Identifier: Packages"]
    seen = subprocess.run(run, capture_output=True, text=True, timeout=60, check=False) if shutil.which("apt-get") else None
    found = {tuple(line.split()) for line in (seen.stdout if seen else "").splitlines()}
    found = {(url, suite) for url, suite in found if suite in ("bookworm-updates", "bookworm-security") and url.startswith("http")}
    if not found:
        pytest.skip("this host's apt has no archives of Debian 12")
    try:
        for url, suite in found:
            urllib.request.urlopen(f"{url}dists/{suite}/InRelease", timeout=10).close()
    except OSError:
        pytest.skip("the archives that apt is set up with cannot be reached from this host")
    return sorted(found)


SMALLEST = r"""
import glob
found = []
for path in glob.glob("/var/lib/apt/lists/*_Packages"):
    for text in open(path).read().split("\n\n"):
        package = dict(line.split(": ", 1) for line in text.split("\n") if ": " in line and line[0] != " ")
        if package.get("Architecture") in ("all", "amd64") and not {"Depends", "Pre-Depends"} & set(package):
            found.append((int(package["Size"]), package["Package"]))
print(min(found)[1])
"""


def test_apt_with_the_configured_archives(rig, box):
    """Lists and a package, their signatures checked, through the way out."""
    archives = configured_archives()
    allow_hosts(rig, box, {urllib.parse.urlsplit(url) for url, _ in archives})
    lines = "".join(f"deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] {url} {suite} main\n" for url, suite in archives)
    box.root_ok(f"rm -f /etc/apt/sources.list.d/*; printf %s '{lines}' >/etc/apt/sources.list")
    run = box.root("apt-get -q -o Acquire::Languages=none -o APT::Update::Error-Mode=any update 2>&1", timeout=200)
    assert run.code == 0 and "InRelease" in run.text, run
    name = box.python(SMALLEST).text.strip()
    run = box.root(f"DEBIAN_FRONTEND=noninteractive apt-get -q -y --no-install-recommends install {name} 2>&1 && dpkg -s {name}", timeout=200)
    assert run.code == 0 and "Status: install ok installed" in run.text, run


def test_a_read_only_folder(rig, image):
    """`:ro` on a second folder is refused on the host's side; the first stays writable."""
    first, second = rig.new_dir(), rig.new_dir()
    (second / "f").write_text("keep")
    before = tree_hash(second)
    box = rig.create("box-ro", first, f"{second}:ro").start()
    try:
        assert box.ok(f"cat {second}/f") == "keep"
        for attempt in ("echo x > {}/f", "touch {}/new", "rm {}/f", "mkdir {}/d", "mv {}/f {}/g", "chmod 777 {}/f",
                        "ln {}/f {}/h", "ln -s a {}/s", "truncate -s 0 {}/f", "touch -d 2001-01-01 {}/f"):
            assert box.root(attempt.format(second, second)).code != 0, attempt
        box.ok("touch ok")
        assert tree_hash(second) == before
    finally:
        box.remove()


def test_one_file_as_a_workspace(rig, image):
    first, other = rig.new_dir(), rig.new_dir()
    (other / "one").write_text("shared")
    (other / "two").write_text("not shared")
    box = rig.create("box-file", first, f"{other}/one").start()
    try:
        assert box.ok(f"cat {other}/one") == "shared"
        assert box.sh(f"cat {other}/two").code != 0
        box.ok(f"echo inside > {other}/one")
        assert (other / "one").read_text() == "inside\n"
        assert sorted(os.listdir(other)) == ["one", "two"]
    finally:
        box.remove()


def test_checksums_of_a_large_file(box):
    data = os.urandom(1 << 20) * 24
    (box.ws / "large").write_bytes(data)
    assert box.ok("sha256sum large", timeout=120).split()[0] == hashlib.sha256(data).hexdigest()
    box.ok("cp large back && sync back", timeout=120)
    assert pathlib.Path(box.ws / "back").read_bytes() == data
    box.ok("rm large back")
