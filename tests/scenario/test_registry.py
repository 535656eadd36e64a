"""References: pulled when they are missing, from a real registry with a password, and pinned; and all that goes wrong.

The registry is Debian's docker-registry on loopback; a small relay stands before it that can count, cut and hang.
"""
import base64
import crypt  # with the interpreter of Debian 12; nothing else here makes what htpasswd(1) makes
import json
import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import threading
import time
import urllib.request

import pytest
import rig as rigs
from layouts import Entry, Layout, Store, sha
from rig import SBX

USER, PASSWORD = "tester", "s3cret-of-the-test"


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_for(what, seconds=60):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if what():
            return
        time.sleep(0.05)
    raise AssertionError("it did not come to that")


def listens(port):
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
        return True
    except OSError:
        return False


class Registry:
    """docker-registry with a user and a password; plain HTTP, or TLS with a certificate of the test's own."""

    def __init__(self, base, tls=False):
        self.base, self.port, self.tls = pathlib.Path(base), free_port(), tls
        self.base.mkdir()
        mixed = crypt.crypt(PASSWORD, crypt.mksalt(crypt.METHOD_BLOWFISH, rounds=16))
        (self.base / "htpasswd").write_text(f"{USER}:{mixed}\n")
        config = {"version": 0.1, "log": {"level": "error"}, "storage": {"filesystem": {"rootdirectory": str(self.base)}},
                  "http": {"addr": f"127.0.0.1:{self.port}", "secret": "x"}, "validation": {"disabled": True},
                  "auth": {"htpasswd": {"realm": "test", "path": str(self.base / "htpasswd")}}}
        if tls:
            subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                            "-days", "2", "-subj", "/CN=registry", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout",
                            self.base / "key", "-out", self.base / "cert"], check=True, capture_output=True)
            config["http"]["tls"] = {"certificate": str(self.base / "cert"), "key": str(self.base / "key")}
        (self.base / "config.yml").write_text(json.dumps(config))
        self.child = None
        self.start()

    def start(self):
        self.child = subprocess.Popen(["docker-registry", "serve", self.base / "config.yml"], stdout=subprocess.DEVNULL,
                                      stderr=subprocess.DEVNULL)
        wait_for(lambda: listens(self.port))

    def stop(self):
        if self.child:
            self.child.kill()
            self.child.wait()
            self.child = None

    def push(self, layout, name):
        """As whoever makes the image: skopeo, with the password on its command line."""
        subprocess.run(["skopeo", "copy", "-q", "--dest-tls-verify=false", f"--dest-creds={USER}:{PASSWORD}",
                        f"oci:{layout.dir}", f"docker://127.0.0.1:{self.port}/{name}"], check=True, capture_output=True)
        return self.digest(name)

    def digest(self, name):
        text = subprocess.run(["skopeo", "inspect", "--raw", "--tls-verify=false", f"--creds={USER}:{PASSWORD}",
                               f"docker://127.0.0.1:{self.port}/{name}"], check=True, capture_output=True).stdout
        return sha(text)[7:]


class Relay:
    """Bytes to the registry and back; `after` says how many of a large blob go through before what `how` says happens."""

    def __init__(self, to):
        self.to, self.after, self.how, self.blobs = to, None, None, []
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.hanging, self.open = threading.Event(), True
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while self.open:
            try:
                client = self.socket.accept()[0]
            except OSError:
                return
            threading.Thread(target=self.serve, args=(client,), daemon=True).start()

    def request(self, client):
        head = b""
        while b"\r\n\r\n" not in head:
            piece = client.recv(65536)
            if not piece or piece[:1] == b"\x16":  # TLS is tried first
                return None
            head += piece
        return head.decode("latin-1")

    def serve(self, client):
        """One request a connection: Connection: close is put into what the registry hears."""
        with client:
            try:
                head = self.request(client)
                if not head:
                    return
                path = head.split(" ")[1]
                with socket.create_connection(("127.0.0.1", self.to), 30) as up:
                    up.sendall(head.replace("\r\n", "\r\nConnection: close\r\n", 1).encode("latin-1"))
                    self.answer(path, up, client)
            except OSError:
                pass

    def answer(self, path, up, client):
        sent = 0
        while piece := up.recv(65536):
            if self.after is not None and "/blobs/" in path and sent + len(piece) > self.after:
                client.sendall(piece[:max(0, self.after - sent)])
                if self.how == "hang":
                    self.hanging.set()
                    while self.open and self.how == "hang":
                        time.sleep(0.05)
                return
            client.sendall(piece)
            sent += len(piece)
        if "/blobs/" in path and sent:
            self.blobs.append((path.rsplit(":", 1)[1], sent))

    def close(self):
        self.open = False
        self.socket.close()


class Client:
    """An sbx with a store, a home and a daemon of its own."""

    def __init__(self, rig, where):
        where.mkdir()
        self.home = where / "home"
        self.home.mkdir()
        self.store = Store(rig, where / "cache")
        self.rig = rigs.Rig()
        self.rig.env.update({"SBX_CACHE_DIR": str(self.store.cache), "HOME": str(self.home)})
        self.conf = self.home / ".config/containers/registries.conf"
        self.conf.parent.mkdir(parents=True)
        for gone in ("REGISTRY_AUTH_FILE", "DOCKER_CONFIG", "XDG_RUNTIME_DIR"):
            self.rig.env.pop(gone, None)

    def insecure(self, port):
        """What the ordinary client needs to speak plain HTTP with a registry."""
        with open(self.conf, "a", encoding="ascii") as f:
            f.write(f'[[registry]]\nlocation = "127.0.0.1:{port}"\ninsecure = true\n')

    def login(self, port, password=PASSWORD):
        """As `docker login` leaves it."""
        (self.home / ".docker").mkdir(exist_ok=True)
        auth = base64.b64encode(f"{USER}:{password}".encode()).decode()
        (self.home / ".docker/config.json").write_text(json.dumps({"auths": {f"127.0.0.1:{port}": {"auth": auth}}}))

    def plan(self, ref, *more, **how):
        run = self.rig.sbx("create", "--plan", "--name", "box-x", "shell", "-t", ref, *more, **how)
        return run, json.loads(run.text)["image"] if run.code == 0 else None

    def left(self):
        """What lies in the store besides the images and what names them."""
        known = [*self.store.before, "build.log", ".lock", "refs"]
        return sorted(p.name for p in (self.store.cache / "images").iterdir() if p.name not in known)

    def close(self):
        left = self.rig.close()
        assert not left, left


def needs(*programs):
    for p in programs:
        if not shutil.which(p):
            pytest.skip(f"{p} is not installed")


@pytest.fixture
def client(rig, image):
    needs("skopeo")
    made = Client(rig, rig.base / f"client-{os.urandom(4).hex()}")
    yield made
    made.close()


@pytest.fixture(scope="module")
def registry(rig):
    needs("docker-registry", "skopeo")
    made = Registry(rig.base / "registry")
    yield made
    made.stop()


def image_of(tmp_path, name, text, config=None, size=1000):
    return Layout(tmp_path / name, [[Entry("etc", "d"), Entry("etc/text", "f", text)],
                                    [Entry("big", "f", os.urandom(size))]], config)


def test_a_registry_with_a_password(client, registry, tmp_path):
    """Pulled when missing, with what `docker login` left; pinned; taken from the store afterwards, registry or not."""
    config = {"Env": ["PATH=/own/bin:/bin", "GREETING=from the image", "HOME=/root", "SSL_CERT_FILE=/nowhere", "bad name=1"],
              "WorkingDir": "/srv/app", "User": "app"}
    ref = f"127.0.0.1:{registry.port}/team/tool:1"
    digest = registry.push(image_of(tmp_path, "one", "one", config), "team/tool:1")
    client.insecure(registry.port)

    run, _ = client.plan(ref)
    assert run.code == 1 and "auth" in run.errors, run
    assert client.left() == [] and not list((client.store.cache / "images").glob("refs/*"))
    client.login(registry.port, "wrong")
    run, _ = client.plan(ref)
    assert run.code == 1 and "auth" in run.errors, run
    client.login(registry.port)

    run, planned = client.plan(ref)
    assert run.code == 0, run
    assert (planned["reference"], planned["pin"]) == (ref, digest), planned
    assert (planned["workdir"], planned["user"]) == ("/srv/app", "app")
    whole = json.loads(run.text)
    assert whole["cwd"] == "/srv/app", "without a folder, the agent works where the image's makers do"
    env = whole["env"]
    assert env["GREETING"] == "from the image" and env["PATH"] == "/own/bin:/bin"
    assert not {"HOME", "SSL_CERT_FILE", "bad name"} & set(env), env
    run, _ = client.plan(ref, "-e", "GREETING=mine")
    assert json.loads(run.text)["env"]["GREETING"] == "mine"

    client.rig.ok("create", "--name", "box-i", "-t", ref, "shell")
    lines = [" ".join(line.split()) for line in client.rig.ok("inspect", "box-i").text.splitlines()]
    assert f"Image: {ref}" in lines and f"Image digest: sha256:{digest}" in lines, lines
    assert "is in use" in client.rig.sbx("image", "rm", ref).errors
    client.rig.ok("rm", "-f", "box-i")
    spelt = [r["reference"] for r in json.loads(client.rig.ok("image", "ls", "--json").text)["images"]]
    assert ref in spelt
    registry.stop()
    try:
        stamp = {p: p.stat().st_mtime_ns for p in (client.store.cache / "images").rglob("*")}
        for policy in ((), ("--pull", "missing"), ("--pull", "never")):
            run, again = client.plan(ref, *policy)
            assert run.code == 0 and again == planned, run
            assert "fetch" not in run.errors
        assert stamp == {p: p.stat().st_mtime_ns for p in stamp}, "a second start does no work on images"
        run, _ = client.plan(ref, "--pull", "always")
        assert run.code == 1 and "connection refused" in run.errors and ref in run.errors, run
        run, _ = client.plan(f"127.0.0.1:{registry.port}/team/other:1")
        assert run.code == 1 and "connection refused" in run.errors, run
        run, _ = client.plan(f"127.0.0.1:{registry.port}/team/other:1", "--pull", "never")
        assert run.code == 1 and "is not on this host" in run.errors and "sbx image pull" in run.errors, run
        assert client.plan(ref)[1] == planned
    finally:
        registry.start()

    newer = registry.push(image_of(tmp_path, "two", "two"), "team/tool:1")
    assert client.plan(ref)[1] == planned
    fresh = client.plan(ref, "--pull", "always")[1]
    assert fresh["pin"] == newer != digest and fresh["id"] != planned["id"]
    old = client.plan(f"127.0.0.1:{registry.port}/team/tool@sha256:{digest}")[1]
    assert old["id"] == planned["id"] and old["pin"] == digest
    assert client.rig.sbx("image", "rm", ref).code == 0
    run, _ = client.plan(ref, "--pull", "never")
    assert run.code == 1, run
    assert client.left() == [planned["id"]]


def test_an_image_of_a_kit(client, registry, tmp_path):
    """What a kit names is pulled, too; its program is started by what the kit says, else by what the image says."""
    registry.push(image_of(tmp_path, "i", "i", {"Entrypoint": ["/bin/own", "-x"], "Cmd": ["serve"]}), "kits/own:2")
    client.insecure(registry.port)
    client.login(registry.port)
    kit = tmp_path / "kit"
    kit.mkdir()
    spec = (f"schemaVersion: '2'\nkind: sandbox\nname: own\nsandbox:\n  image: 127.0.0.1:{registry.port}/kits/own:2\n")
    (kit / "spec.yaml").write_text(spec)
    run = client.rig.sbx("create", "--plan", "--name", "box-k", kit, "--pull", "never")
    assert run.code == 1 and "is not on this host" in run.errors, run
    plan = json.loads(client.rig.ok("create", "--plan", "--name", "box-k", kit).text)
    assert plan["image"]["reference"] == f"127.0.0.1:{registry.port}/kits/own:2"
    assert plan["argv"] == ["/bin/own", "-x", "serve"]
    (kit / "spec.yaml").write_text(spec + "  command: [look]\n")
    assert json.loads(client.rig.ok("create", "--plan", "--name", "box-k", kit).text)["argv"] == ["/bin/own", "-x", "look"]
    (kit / "spec.yaml").write_text(spec + "  entrypoint: [mine]\n")
    plan = json.loads(client.rig.ok("create", "--plan", "--name", "box-k", kit, "--pull", "always").text)
    assert plan["argv"] == ["mine"]


def test_tls(client, rig, tmp_path):
    """With the certificate where the ordinary client looks for it, and refused without."""
    needs("docker-registry", "skopeo", "openssl")
    secure = Registry(rig.base / "registry-tls", tls=True)
    try:
        digest = secure.push(image_of(tmp_path, "i", "i"), "a/b:1")
        client.login(secure.port)
        ref = f"127.0.0.1:{secure.port}/a/b:1"
        run, _ = client.plan(ref)
        assert run.code == 1 and "certificate" in run.errors, run
        place = client.home / f".config/containers/certs.d/127.0.0.1:{secure.port}"
        place.mkdir(parents=True)
        shutil.copy(secure.base / "cert", place / "ca.crt")
        run, planned = client.plan(ref)
        assert run.code == 0 and planned["pin"] == digest, run
    finally:
        secure.stop()


@pytest.fixture
def relay(registry):
    made = Relay(registry.port)
    yield made
    made.close()


def test_half_a_download(client, registry, relay, tmp_path):
    """What came whole is not asked for again; what did not is invisible, and gone when it is done."""
    made = Layout(tmp_path / "i", [[Entry("small", "f", "s" * 3000)], [Entry("big", "f", os.urandom(3 << 20))]])
    registry.push(made, "half/way:1")
    client.insecure(relay.port)
    client.login(relay.port)
    ref = f"127.0.0.1:{relay.port}/half/way:1"
    relay.after, relay.how = 1 << 20, "cut"
    run, _ = client.plan(ref)
    assert run.code == 1 and "skopeo could not fetch" in run.errors, run
    assert not list((client.store.cache / "images").glob("refs/*"))
    assert [n.startswith(".fetch-") for n in client.left()] == [True]
    early = {blob for blob, _ in relay.blobs}
    relay.after, relay.blobs = None, []
    run, planned = client.plan(ref)
    assert run.code == 0, run
    layers = [layer["digest"][7:] for layer in json.loads(made_manifest(made))["layers"]]
    assert layers[0] in early and layers[0] not in {blob for blob, _ in relay.blobs}, (early, relay.blobs)
    assert client.left() == [planned["id"]]


def test_layers_that_lie_elsewhere(client, registry, tmp_path):
    """A registry's manifest may name any address for a layer; nobody is asked there, and there is no image."""
    made = Layout(tmp_path / "i", [[Entry("x", "f", "x")]])
    registry.push(made, "else/where:1")
    with socket.create_server(("127.0.0.1", 0)) as trap:
        trap.settimeout(0)
        o = json.loads(made_manifest(made))
        for kind in (o["layers"][0]["mediaType"], "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
                     "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"):
            o["layers"][0] |= {"mediaType": kind, "digest": sha(kind.encode()), "size": len(kind),
                               "urls": [f"http://127.0.0.1:{trap.getsockname()[1]}/layer"]}
            name = f"else/where:{len(kind)}"
            put = urllib.request.Request(f"http://127.0.0.1:{registry.port}/v2/else/where/manifests/{len(kind)}", method="PUT",
                                         data=json.dumps(o).encode(),
                                         headers={"Content-Type": "application/vnd.oci.image.manifest.v1+json"})
            put.add_header("Authorization", "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode())
            assert urllib.request.urlopen(put).status == 201
            client.conf.write_text("")
            client.insecure(registry.port)
            client.login(registry.port)
            run, _ = client.plan(f"127.0.0.1:{registry.port}/{name}")
            assert run.code == 1, run
            with pytest.raises(BlockingIOError):
                trap.accept()
    assert not list((client.store.cache / "images").glob("refs/*"))


def made_manifest(layout):
    index = json.loads((layout.dir / "index.json").read_text())
    return (layout.dir / "blobs/sha256" / index["manifests"][0]["digest"][7:]).read_text()


def test_killed_while_it_fetches(client, registry, relay, tmp_path):
    """kill -9 of the client: skopeo ends with it, nobody waits for a lock, nothing half made is seen, the next run cleans."""
    registry.push(Layout(tmp_path / "i", [[Entry("big", "f", os.urandom(2 << 20))]]), "kill/ed:1")
    other = Layout(tmp_path / "o", [[Entry("x", "f", "x")]])
    client.insecure(relay.port)
    client.login(relay.port)
    ref = f"127.0.0.1:{relay.port}/kill/ed:1"
    relay.after, relay.how = 1 << 20, "hang"
    with subprocess.Popen([SBX, "image", "pull", ref], env=client.rig.env, stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL) as child:
        assert relay.hanging.wait(60)
        child.send_signal(signal.SIGKILL)
    relay.how = "cut"
    assert client.plan(ref, "--pull", "never")[0].code == 1
    wait_for(lambda: not [p for p in rigs.processes().values() if p[0] == "skopeo" and p[1] == 1])
    run = client.rig.sbx("image", "load", other.dir, "--name", "other")
    assert run.code == 0, run
    assert client.left() == [run.text.strip()], "what another run left half done is gone"
    relay.after = None
    assert client.plan(ref)[0].code == 0


FULL = r"""
set -e
mount -t tmpfs -o "size=$SIZE,mode=0700" none "$SBX_CACHE_DIR"
cp -a "$SEED"/. "$SBX_CACHE_DIR"/
set +e
"$@"; code=$?
cd "$SBX_CACHE_DIR/images"; find . -type f ! -path './names/*' ! -name .lock ! -path "./$BASE/*" >&2
echo "left: $(find . -maxdepth 1 -name '.[a-z]*' ! -name .lock | wc -l)" >&2
exit $code
"""


def test_a_full_disk(client, tmp_path):
    """Where there is not enough room, nothing is left that takes any; with room, the same works."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small file system needs root")
    seed = tmp_path / "seed/images"
    base = "0123456789abcdef"
    (seed / "names").mkdir(parents=True)
    (seed / base).mkdir()
    files = {"root": b"hsqs".ljust(1024, b"\0"), "kernel": b"HdrS".rjust(0x206, b"\0").ljust(1024, b"\0"),
             "modules": b"070701".ljust(512, b"\0")}
    meta = {"id": base, "format": "squashfs", "kernel_version": "6.1.0-test"}
    for name, data in files.items():
        (seed / base / {"root": "root.img", "modules": "modules.cpio"}.get(name, name)).write_bytes(data)
        meta |= {f"{name}_bytes": len(data), f"{name}_digest": sha(data)[7:]}
    (seed / base / "meta.json").write_text(json.dumps(meta))
    (seed / "names/default").write_text(base + "\n")
    for d in (tmp_path / "seed", seed, seed / "names"):
        d.chmod(0o700)
    made = Layout(tmp_path / "i", [[Entry("big", "f", os.urandom(6 << 20))]], pack="")
    subprocess.run(["skopeo", "copy", "-q", f"oci:{made.dir}", f"oci-archive:{tmp_path}/a.tar"], check=True)
    cache = tmp_path / "cache"
    cache.mkdir()

    def load(what, size):
        env = {**client.rig.env, "SBX_CACHE_DIR": str(cache), "SIZE": size, "SEED": str(tmp_path / "seed"), "BASE": base}
        return subprocess.run(["unshare", "--mount", "bash", "-c", FULL, "full", SBX, "image", "load", str(what), "--name",
                               "im"], env=env, capture_output=True, text=True, timeout=120)
    for what, size in ((made.dir, "4m"), (tmp_path / "a.tar", "4m"), (tmp_path / "a.tar", "9m")):
        run = load(what, size)
        assert run.returncode == 1, run
        assert any(t in run.stderr for t in ("No space left", "no space left")), run
        assert "left: 0" in run.stderr and "root.img" not in run.stderr, run
    for what in (made.dir, tmp_path / "a.tar"):
        run = load(what, "40m")
        assert run.returncode == 0 and "left: 0" in run.stderr, run


BAD = {
    "debian:12": "does not say which registry", "team/tool:1": "does not say which registry",
    "docker.io/UPPER/x": "small letters", "docker.io/a//b": "small letters", "docker.io/../x": "small letters",
    "dock\u0435r.io/a/b": "registry is malformed", "docker.io/a:b:c": "tag", "docker.io/a@sha256:12": "digest",
    "docker.io/a@md5:12": "digest", "reg.example:99999999/a": "registry", "-x/y": "begins with '-'",
    "./nothing-there": "neither an archive nor", "oci-archive:/nothing": "neither an archive nor",
    "docker.io/" + "a" * 230: "longer than",
}


@pytest.mark.parametrize("ref", BAD)
def test_references_that_are_none(client, ref):
    run, _ = client.plan(ref)
    assert run.code == 1 and BAD[ref] in run.errors, run
    assert client.left() == []


def tree_of(path):
    """Every name with what can be seen of it; numbers of hard links instead of their names."""
    found = {}
    links = {}
    for p in sorted(path.rglob("*")):
        st = p.lstat()
        kind = "d" if p.is_dir() and not p.is_symlink() else "l" if p.is_symlink() else "p" if p.is_fifo() else "f"
        data = os.readlink(p) if kind == "l" else sha(p.read_bytes()) if kind == "f" else ""
        mark = links.setdefault(st.st_ino, str(p.relative_to(path))) if kind in "flp" and st.st_nlink > 1 else ""
        found[str(p.relative_to(path))] = (kind, data, kind != "l" and st.st_mode, st.st_uid, st.st_gid, int(st.st_mtime), mark)
    return found


def test_save_and_load(client, tmp_path):
    """An image as an archive, and the same image again of that archive; skopeo reads it, too."""
    needs("fsck.erofs", "skopeo")
    config = {"Env": ["A=b"], "Entrypoint": ["/x", "y"], "Cmd": ["z"], "User": "5:6", "WorkingDir": "/w", "StopSignal": "SIGINT",
              "ExposedPorts": {"80/tcp": {}}, "Volumes": {"/v": {}},
              "Labels": {"org.opencontainers.image.description": "what it is"}}
    many = [Entry(f"many/{'n' * 200}{i}", "f", str(i)) for i in range(300)]
    made = Layout(tmp_path / "i", [
        [Entry("many", "d", mode=0o1777), *many, Entry("deep/" * 60 + "x", "f", "x", uid=70000),
         Entry("a", "f", os.urandom(9000), mode=0o4755), Entry("b", "h", "a"), Entry("c", "l", "a"), Entry("c2", "h", "c"),
         Entry("e", "f", ""), Entry("p", "p"), Entry("p2", "h", "p"), Entry("l", "l", "x/" * 900 + "x")],
        [Entry(".wh.e", "f"), Entry("ü n", "f", "\n" * 4096, pax={"SCHILY.xattr.security.capability": CAPABILITY})]], config)
    assert client.rig.sbx("image", "load", made.dir, "--name", "one").code == 0
    out = tmp_path / "saved.tar"
    assert client.rig.sbx("image", "save", "one").code == 2, "without -o"
    client.rig.ok("image", "save", "one", "-o", out)
    assert client.rig.sbx("image", "save", "one", "-o", out).code == 2, "what is there is not written over"
    client.rig.ok("image", "save", "one", "-o", out, "--force")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["i", "saved.tar"]
    assert not list(client.store.cache.glob("save-*"))
    read = json.loads(subprocess.run(["skopeo", "inspect", "--config", f"oci-archive:{out}"], capture_output=True, check=True).stdout)
    assert read["config"] == config
    client.rig.ok("image", "load", out, "--name", "two")
    assert client.store.meta("one")["run"] == client.store.meta("two")["run"]
    first, second = tmp_path / "first", tmp_path / "second"
    for where, name in ((first, "one"), (second, "two")):
        where.mkdir()
        shutil.move(client.store.unpack(where, name), where / "tree")
    assert tree_of(first / "tree") == tree_of(second / "tree")
    assert client.store.root("one").read_bytes() != b"" and has_capability(client.store.root("two"))


CAPABILITY = "\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"


def has_capability(root):
    run = subprocess.run(["dump.erofs", "--path=/ü n", root], capture_output=True, text=True)
    return CAPABILITY.encode("latin-1") in root.read_bytes() and run.returncode == 0


def test_a_damaged_image_is_not_saved(client, tmp_path):
    """The reader of images goes nowhere but through them, whatever stands in them."""
    needs("skopeo")
    made = Layout(tmp_path / "i", [[Entry("d", "d"), *[Entry(f"d/{i}", "f", "x" * (i * 40)) for i in range(60)]]])
    assert client.rig.sbx("image", "load", made.dir, "--name", "one").code == 0
    root = client.store.root("one")
    whole = root.read_bytes()
    ends = set()
    for i in range(120):
        data = bytearray(whole)
        for _ in range(3):
            data[random.Random(i * 7 + _).randrange(1024 if i % 3 else 4096, len(data))] ^= 1 << (i % 8)
        if i == 0:
            data = data[:4096] + bytes(len(data) - 4096)
        root.write_bytes(data)
        with open(root, "rb") as file, open(tmp_path / "layer", "w+b") as layer, open(tmp_path / "report", "w+b") as report:
            libexec = client.rig.env.get("SBX_LIBEXEC_DIR") or str(SBX.parent)
            run = subprocess.run(["unshare", "--user", "--map-current-user", "--keep-caps", "--mount", "bash", "-c",
                                  'exec "$0" --export 3>&"$REPORT" 4>&"$LAYER" 5<&"$IMAGE"', f"{libexec}/sbx-image"],
                                 env={**os.environ, "REPORT": str(report.fileno()), "LAYER": str(layer.fileno()),
                                      "IMAGE": str(file.fileno())}, pass_fds=(file.fileno(), layer.fileno(), report.fileno()),
                                 capture_output=True, timeout=60)
            assert run.returncode in (0, 1), run
            report.seek(0)
            last = report.read().decode().splitlines()[-1]
            assert last[:2] in ("R ", "E "), last
            ends.add(last[0])
    assert ends == {"R", "E"}, "some of it is seen, some of it is in what files hold"


def test_files_as_references(client, tmp_path):
    """Archives and layouts as -t: known again as long as they are what they were."""
    made = Layout(tmp_path / "i", [[Entry("x", "f", "x")]])
    for kind in ("oci-archive", "docker-archive"):
        subprocess.run(["skopeo", "copy", "-q", f"oci:{made.dir}", f"{kind}:{tmp_path}/{kind}.tar:a/b:1"], check=True)
    first = client.plan(made.dir)[1]
    for ref in (f"oci:{made.dir}", f"oci-archive:{tmp_path}/oci-archive.tar", tmp_path / "oci-archive.tar",
                tmp_path / "docker-archive.tar", f"docker-archive:{tmp_path}/docker-archive.tar"):
        run, planned = client.plan(ref)
        assert run.code == 0 and planned["id"] and "reference" not in planned, run
        again, same = client.plan(ref, "--pull", "never")
        assert again.code == 0 and same == planned, again
    assert client.plan(made.dir)[1] == first
    shutil.rmtree(made.dir)
    Layout(tmp_path / "i", [[Entry("y", "f", "y")]])
    changed = client.plan(made.dir)[1]
    assert changed["id"] != first["id"], "another image stands there now"
