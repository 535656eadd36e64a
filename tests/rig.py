"""rig.py - what scenario and redteam tests stand on: a private sbx, and proof that it leaves nothing

A Rig is one state directory with its daemon and sandboxes; images come from the shared cache, so
that only the first run of all builds one. Every call of sbx has a time limit. close() removes
everything and says what was left behind: processes, mounts, cgroups (promise R2).
"""
import hashlib
import http.client
import json
import os
import pathlib
import random
import signal
import socket
import stat
import string
import subprocess
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
BUILD = pathlib.Path(os.environ.get("SBX_TEST_BUILD") or ROOT / "build")
PROGRAMS = BUILD / "src"
SBX = PROGRAMS / "sbx"
SIZE = ("--cpus", "2", "--memory", "1g")


class Result:
    """How one command ended: exit status, and the bytes of both streams."""

    def __init__(self, argv, code, out, err, seconds, rig=None):
        self.argv, self.code, self.out, self.err, self.seconds = argv, code, out, err, seconds
        self.rig = rig

    @property
    def text(self):
        return self.out.decode(errors="replace")

    @property
    def errors(self):
        return self.err.decode(errors="replace")

    def __repr__(self):
        # A test is about to fail with this, and may remove the sandbox on its way out.
        if self.rig and self.rig.kept is None and "exec" in self.argv and self.code == 125:
            self.rig.kept = self.rig.evidence()
        return (f"{' '.join(map(str, self.argv))} -> {self.code} after {self.seconds:.1f} s\n"
                f"stdout: {self.out[-2000:]!r}\nstderr: {self.err[-2000:]!r}")


class UnixHTTP(http.client.HTTPConnection):
    def __init__(self, path, timeout):
        super().__init__("localhost", timeout=timeout)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        here = os.getcwd()
        os.chdir(os.path.dirname(self.path))  # sun_path is short
        try:
            self.sock.connect(os.path.basename(self.path))
        finally:
            os.chdir(here)


def processes():
    """pid -> (name, parent, start time) of everything that is not a zombie."""
    found = {}
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            text = pathlib.Path("/proc", entry, "stat").read_text(errors="replace")
        except OSError:
            continue
        name = text[text.index("(") + 1:text.rindex(")")]
        rest = text[text.rindex(")") + 2:].split()
        if rest[0] not in "ZX":
            found[int(entry)] = (name, int(rest[1]), int(rest[19]))
    return found


def open_files(pid):
    """What a process has open, as far as it can be seen; it may close some while we look."""
    links = []
    try:
        for entry in os.scandir(f"/proc/{pid}/fd"):
            try:
                links.append(os.readlink(entry.path))
            except OSError:
                pass
    except OSError:
        pass
    return links


def cpu_ticks(pid):
    text = pathlib.Path(f"/proc/{pid}/stat").read_text(errors="replace")
    rest = text[text.rindex(")") + 2:].split()
    return int(rest[11]) + int(rest[12])


EGRESS = ("sbx-front", "sbx-vault")
LIVE = []  # rigs that are not closed yet
EVIDENCE_LINES = 40


def last_lines(path, lines=EVIDENCE_LINES):
    """The end of a log, made printable."""
    try:
        with open(path, "rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - 65536))
            text = file.read().decode(errors="replace")
    except OSError as why:
        return f"({why.strerror})"
    rows = ["".join(c if c == "\t" or c.isprintable() else "?" for c in row) for row in text.replace("\r", "").split("\n")]
    return "\n".join([r for r in rows if r][-lines:]) or "(empty)"


class Rig:
    def __init__(self, netns=None, env=None):
        """@netns: the network namespace in which sbx, its daemon and all below them run."""
        self.prefix = ["ip", "netns", "exec", netns] if netns else []
        self.base = pathlib.Path(tempfile.mkdtemp(prefix="sbxt-", dir="/tmp"))
        self.state = self.base / "s"
        self.state.mkdir(mode=0o700)
        (self.base / "home").mkdir()
        cache = os.environ.get("SBX_CACHE_DIR") or os.path.expanduser("~/.cache/sbx")
        self.env = {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "LC_ALL": "C.UTF-8", "TERM": "xterm",
                    "HOME": str(self.base / "home"), "SBX_STATE_DIR": str(self.state),
                    "SBX_CACHE_DIR": cache, "NO_COLOR": "1",
                    "SBX_SECRETS_STORE": "file",  # never the keyring of whoever runs the tests
                    **(env or {})}
        self.seen = {}  # (pid, start time) -> name of every process that was ever ours
        self.ids = set()
        self.kept = None  # evidence() of a failure that is being told
        LIVE.append(self)

    # -- commands

    def sbx(self, *args, input=b"", timeout=60, env=None, cwd=None):
        argv = [*self.prefix, SBX, *map(str, args)]
        if isinstance(input, str):
            input = input.encode()
        started = time.monotonic()
        with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, env={**self.env, **(env or {})},
                              cwd=cwd or self.base, start_new_session=True) as child:
            try:
                out, err = child.communicate(input, timeout)
            except subprocess.TimeoutExpired:
                child.kill()
                out, err = child.communicate()
                raise AssertionError(f"no end within {timeout} s: " + repr(
                    Result(argv, None, out, err, timeout))) from None
        return Result(argv, child.returncode, out, err, time.monotonic() - started, self)

    def ok(self, *args, **more):
        result = self.sbx(*args, **more)
        assert result.code == 0, result
        return result

    def fails(self, *args, **more):
        """The command must fail in the one shape that every failure has: `sbx: …` on stderr."""
        result = self.sbx(*args, **more)
        assert result.code != 0, result
        assert result.code > 0, f"ended by a signal: {result}"
        assert result.errors.startswith("sbx: "), result
        assert_printable(result.err)
        return result

    def json(self, *args, **more):
        return json.loads(self.ok(*args, **more).out)

    def popen(self, *args, **more):
        return subprocess.Popen([*self.prefix, SBX, *map(str, args)], env=self.env, cwd=self.base,
                                start_new_session=True, **more)

    def api(self, method, path, body=None, headers=None, timeout=70):
        """One request to the daemon: status and decoded answer (text when it is not JSON)."""
        link = UnixHTTP(str(self.state / "sbxd.sock"), timeout)
        data = body if isinstance(body, (bytes, type(None))) else json.dumps(body).encode()
        try:
            link.request(method, path, data, {**({"Content-Type": "application/json"} if data else {}),
                                              **(headers or {})})
            answer = link.getresponse()
            raw = answer.read()
        finally:
            link.close()
        if "json" in (answer.getheader("Content-Type") or "") and "ndjson" not in answer.getheader("Content-Type"):
            return answer.status, json.loads(raw)
        return answer.status, raw.decode(errors="replace")

    # -- sandboxes

    def new_dir(self, name=None):
        path = self.base / "w" / (name or "".join(random.choices(string.ascii_lowercase, k=8)))
        path.mkdir(parents=True)
        return path

    def create(self, name, *workspaces, agent="shell", size=SIZE, more=()):
        if not workspaces:
            workspaces = (self.new_dir(),)
        result = self.ok("create", "--name", name, *size, *more, agent, *workspaces)
        self.look()
        return Box(self, name, pathlib.Path(str(workspaces[0])))

    def boxes(self):
        return {b["name"]: b for b in self.json("ls", "--json", timeout=15)["sandboxes"]}

    def wait_status(self, name, wanted, timeout=20):
        end = time.monotonic() + timeout
        while True:
            status = self.boxes()[name]["status"]
            if status in wanted:
                return status
            assert time.monotonic() < end, f"{name} is {status}, not {wanted}, after {timeout} s"
            time.sleep(0.2)

    # -- the host side

    def daemon_pid(self):
        return self.api("GET", "/v1/version")[1]["pid"]

    def is_ours(self, pid, name):
        if name not in ("sbx", "sbxd", "sbx-machine", *EGRESS):
            return False
        try:
            exe = os.readlink(f"/proc/{pid}/exe")
        except OSError:
            return False
        if not exe.startswith(str(PROGRAMS)):
            return False
        try:
            env = pathlib.Path(f"/proc/{pid}/environ").read_bytes()
        except OSError:
            env = b""
        if env:
            return f"SBX_STATE_DIR={self.state}\0".encode() in env
        # a jailed process has no environment: what it holds open tells whose it is
        return any(link.startswith(str(self.state)) for link in open_files(pid))

    def look(self):
        """Our live processes: pid -> name; each descendant of one of our programs counts."""
        table = processes()
        ours = {}
        for pid, (name, parent, start) in table.items():
            if self.is_ours(pid, name):
                ours[pid] = name
        grown = True
        while grown:
            grown = False
            for pid, (name, parent, start) in table.items():
                if pid not in ours and parent in ours:
                    ours[pid] = name
                    grown = True
        for pid, name in ours.items():
            self.seen[(pid, table[pid][2])] = name
        return ours

    def machine_of(self, name):
        """pids of one sandbox: the sbx-machine processes and engine whose lock or disk it is."""
        return {p: n for p, n in self.group_of(name).items() if n not in EGRESS}

    def egress_of(self, name):
        """pids of one sandbox's front and vault, and the vault's resolver."""
        return {p: n for p, n in self.group_of(name).items() if n in EGRESS}

    def network_of(self, name):
        return self.json("inspect", name, "--json", timeout=15)["network"]

    def group_of(self, name):
        want = f"/{self.boxes()[name]['id']}/"
        found = {}
        for pid, program in self.look().items():
            if program in ("sbx", "sbxd"):
                continue
            if any(want in link for link in open_files(pid)):
                found[pid] = program
        return found

    def alive(self):
        table = processes()
        return {pid: name for (pid, start), name in self.seen.items()
                if pid in table and table[pid][2] == start}

    def leftovers(self):
        """What is still there that should be gone: texts, empty when clean."""
        left = [f"process {pid} {name}" for pid, name in {**self.look(), **self.alive()}.items()]
        for line in pathlib.Path("/proc/self/mountinfo").read_text().splitlines():
            if str(self.base) in line:
                left.append(f"mount {line}")
        for where, dirs, _files in os.walk("/sys/fs/cgroup"):
            left += [f"cgroup {where}/{d}" for d in dirs if any(i in d for i in self.ids)]
            dirs[:] = [d for d in dirs if where.count("/") < 9]
        return left

    def note_ids(self):
        where = self.state / "sandboxes"
        if where.is_dir():
            self.ids |= {p.name for p in where.iterdir() if len(p.name) >= 8}

    def evidence(self):
        """What a failed test should be read with: every sandbox's state and reason, and the ends of all logs."""
        time.sleep(1)  # what ends just now is written down a moment later
        host = dict(line.split()[:2] for line in pathlib.Path("/proc/vmstat").read_text().splitlines())
        said = [f"load {os.getloadavg()}, {pathlib.Path('/proc/meminfo').read_text().splitlines()[2]}, "
                f"killed for want of memory since the host started: {host.get('oom_kill')}"]
        try:
            told = subprocess.run(["dmesg"], capture_output=True, timeout=10, check=False).stdout.decode(errors="replace")
            said += [line for line in told.splitlines() if "out of memory" in line.lower() or "segfault" in line][-5:]
        except (OSError, subprocess.TimeoutExpired) as why:
            said.append(f"dmesg: {why}")
        try:
            said.append(self.sbx("ls", "--json", timeout=15).text)
        except AssertionError as late:
            said.append(str(late))
        table = processes()
        said.append("processes: " + ", ".join(
            f"{name} {pid}{'' if pid in table and table[pid][2] == start else ' (gone)'}"
            for (pid, start), name in sorted(self.seen.items())))
        said.append(f"---- sbxd.log\n{last_lines(self.state / 'sbxd.log')}")
        for where in sorted((self.state / "sandboxes").glob("*")):
            for log in ("exit", "machine.log", "front.log", "vault.log", "console.log"):
                if (where / log).exists():
                    said.append(f"---- {where.name}/{log}\n{last_lines(where / log)}")
        return "\n".join(said)

    def close(self):
        """Remove everything as a user would; returns what was left behind after 10 s."""
        if self in LIVE:
            LIVE.remove(self)
        self.note_ids()
        self.look()
        said = []
        for args in (("rm", "--all", "--force"), ("daemon", "stop")):
            try:
                result = self.sbx(*args, timeout=60)
            except AssertionError as late:
                said.append(str(late))
                continue
            if result.code:
                said.append(repr(result))
        end = time.monotonic() + 10
        while self.leftovers() and time.monotonic() < end:
            time.sleep(0.2)
        left = self.leftovers() + said
        for pid in {**self.look(), **self.alive()}:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        # not shutil: a tree that a test made may be deeper than Python's stack
        subprocess.run(["rm", "-rf", self.base], stderr=subprocess.DEVNULL)
        return left


class Box:
    """One sandbox of a rig."""

    def __init__(self, rig, name, workspace):
        self.rig, self.name, self.ws = rig, name, workspace

    def run(self, *argv, flags=(), **more):
        return self.rig.sbx("exec", *flags, self.name, "--", *argv, **more)

    def sh(self, script, *args, flags=(), **more):
        """A shell script inside, as the ordinary user."""
        return self.run("sh", "-c", script, "sh", *args, flags=flags, **more)

    def root(self, script, *args, **more):
        return self.run("sh", "-c", script, "sh", *args, flags=("-u", "0"), **more)

    def ok(self, script, *args, **more):
        result = self.sh(script, *args, **more)
        assert result.code == 0, result
        return result.text

    def root_ok(self, script, *args, **more):
        result = self.root(script, *args, **more)
        assert result.code == 0, result
        return result.text

    def python(self, source, *args, user="0", **more):
        return self.run("python3", "-c", source, *args, flags=("-u", user), **more)

    def start(self):
        """Boot it if it does not run; cheap when it does."""
        result = self.run("true", timeout=90)
        assert result.code == 0, result
        self.rig.look()
        return self

    def status(self):
        return self.rig.boxes()[self.name]["status"]

    def remove(self):
        self.rig.note_ids()
        self.rig.ok("rm", "--force", self.name)


# -- oracles


def tree_hash(top, skip=()):
    """One digest of names, kinds, modes, owners, sizes, contents, links and xattrs under @top."""
    digest = hashlib.sha256()
    skip = {str(s) for s in skip}
    for where, dirs, files in os.walk(top):
        dirs.sort()
        dirs[:] = [d for d in dirs if os.path.join(where, d) not in skip]
        for name in sorted(dirs + files):
            path = os.path.join(where, name)
            if path in skip:
                continue
            st = os.lstat(path)
            line = [path, st.st_mode, st.st_uid, st.st_gid, st.st_rdev, st.st_nlink if not stat.S_ISDIR(st.st_mode) else 0]
            line.append(sorted(os.listxattr(path, follow_symlinks=False)))
            if stat.S_ISLNK(st.st_mode):
                line.append(os.readlink(path))
            elif stat.S_ISREG(st.st_mode):
                line.append(hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest())
            digest.update(repr(line).encode(errors="surrogateescape"))
    return digest.hexdigest()


def assert_printable(data):
    """Only what may reach a terminal or a log: printable text, line feeds; no control, no bidi."""
    text = data.decode()  # must be UTF-8
    for char in text:
        code = ord(char)
        bad = (code < 0x20 and char != "\n") or 0x7f <= code < 0xa0 or 0x200b <= code <= 0x200f \
            or 0x2028 <= code <= 0x202e or 0x2060 <= code <= 0x206f or code == 0xfeff
        assert not bad, f"U+{code:04X} in {text!r}"


def have_image():
    cache = pathlib.Path(os.environ.get("SBX_CACHE_DIR") or os.path.expanduser("~/.cache/sbx"))
    return (cache / "images").is_dir() and any((cache / "images").iterdir())


def is_tty_free():
    return not os.isatty(0)


def canaries(base):
    """Files around a workspace that nothing inside may reach: their directory."""
    where = base / "outside"
    (where / "deep").mkdir(parents=True)
    (where / "secret").write_text("canary-" + os.urandom(8).hex())
    (where / "deep" / "file").write_text("untouched")
    os.symlink("secret", where / "link")
    return where
