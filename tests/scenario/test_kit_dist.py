"""Kits from registries, signed kits, and settings that say which may be used (KT-07, KT-08).

The registry is Debian's docker-registry on loopback with a password; a second one of a few lines lies.
"""
import base64
import crypt
import hashlib
import http.server
import json
import os
import pathlib
import shutil
import socket
import subprocess
import tempfile
import threading
import time

import pytest

from rig import Rig, assert_printable

SPEC = 'schemaVersion: "2"\nkind: mixin\nname: lint\nversion: "1.2"\nenvironment: {variables: {LINT: "%s"}}\n'
KIT = "application/vnd.sbx.kit.v1"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Registry:
    def __init__(self, base):
        self.base, self.port, self.child = base, free_port(), None
        # a cheap hash: the registry takes it anew for every request
        secret = crypt.crypt("word", crypt.mksalt(crypt.METHOD_BLOWFISH, rounds=16))
        (base / "htpasswd").write_text(f"ann:{secret}\n")
        (base / "config.yml").write_text(json.dumps({
            "version": "0.1", "log": {"level": "error"}, "storage": {"filesystem": {"rootdirectory": str(base / "data")}},
            "http": {"addr": f"127.0.0.1:{self.port}"},
            "auth": {"htpasswd": {"realm": "tests", "path": str(base / "htpasswd")}}}))

    def start(self):
        self.child = subprocess.Popen(["docker-registry", "serve", self.base / "config.yml"],
                                      stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until = time.monotonic() + 60
        while time.monotonic() < until:
            with socket.socket() as s:
                if s.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            assert self.child.poll() is None, "docker-registry ended"
            time.sleep(0.05)
        raise AssertionError("docker-registry does not listen")

    def stop(self):
        if self.child:
            self.child.kill()
            self.child.wait()
            self.child = None

    def name(self, repository):
        return f"127.0.0.1:{self.port}/{repository}"


@pytest.fixture(scope="module")
def registry():
    for tool in ("docker-registry", "skopeo"):
        if not shutil.which(tool):
            pytest.skip(f"{tool} is not installed")
    with tempfile.TemporaryDirectory(prefix="sbxt-registry-") as base:
        made = Registry(pathlib.Path(base))
        made.start()
        yield made
        made.stop()


def link(src, dst):
    try:
        os.link(src, dst)
    except OSError:
        shutil.copy2(src, dst)


@pytest.fixture(scope="module")
def rig(programs, registry):
    """With a cache of its own and the registry's password; the images of the shared cache are in it, too."""
    made = Rig()
    shared = pathlib.Path(made.env["SBX_CACHE_DIR"])
    own = made.base / "cache"
    own.mkdir(mode=0o700)
    if (shared / "images").is_dir():
        shutil.copytree(shared / "images", own / "images", copy_function=link)
    token = base64.b64encode(b"ann:word").decode()
    auth = made.base / "auth.json"
    auth.write_text(json.dumps({"auths": {f"127.0.0.1:{registry.port}": {"auth": token}}}))
    made.env.update(SBX_CACHE_DIR=str(own), REGISTRY_AUTH_FILE=str(auth), COSIGN_PASSWORD="a password")
    yield made
    left = made.close()
    assert not left, "left behind: " + "\n".join(left)


@pytest.fixture(scope="module")
def keys(rig):
    for name in ("a", "b"):
        rig.ok("kit", "keygen", "-o", rig.base / name)
    assert (rig.base / "a.key").stat().st_mode & 0o777 == 0o600
    return rig.base


def kit(rig, value="strict"):
    top = rig.new_dir()
    (top / "spec.yaml").write_text(SPEC % value)
    (top / "files/home").mkdir(parents=True)
    (top / "files/home/lint.toml").write_text("level = 1\n")
    return top


def cached(rig):
    return sorted(p.name for p in (rig.base / "cache" / "kits").glob("*.zip"))


def no_work_left(rig):
    return not [p for p in (rig.base / "cache").iterdir() if p.name.startswith("kit-")]


@pytest.fixture
def settings(rig):
    """Sets for one test."""
    made = []

    def put(key, value):
        rig.ok("settings", "set", key, value)
        made.append(key)
    yield put
    for key in made:
        rig.ok("settings", "unset", key)


def plan(rig, *args):
    return json.loads(rig.ok("create", "shell", "--plan", *args).out)


def test_push_and_pull(rig, registry):
    top, name = kit(rig), registry.name("acme/push")
    told = rig.json("kit", "push", "--json", top, f"{name}:v1")
    assert told["digest"].startswith("sha256:") and told["signed"] is False
    assert rig.ok("kit", "push", top, f"oci://{name}:v2").text.strip() == told["digest"]  # equal kits, equal bytes
    packed = rig.base / "packed.zip"
    rig.ok("kit", "pack", top, "-o", packed)
    for ref in (f"{name}:v1", f"oci://{name}:v2", f"{name}@{told['digest']}", f"{name}:v1@{told['digest']}"):
        rig.ok("kit", "pull", "-f", ref, "-o", rig.base / "pulled.zip")
        assert (rig.base / "pulled.zip").read_bytes() == packed.read_bytes()
    assert rig.json("kit", "pull", "--json", f"{name}:v1")["origin"] == f"oci://{name}@{told['digest']}"
    assert rig.json("kit", "inspect", "--json", f"{name}:v1")["name"] == "lint"
    assert rig.json("kit", "validate", "--json", f"{name}:v1")["origin"] == f"oci://{name}@{told['digest']}"
    assert "is there already" in rig.fails("kit", "pull", f"{name}:v1", "-o", rig.base / "pulled.zip").errors
    raw = subprocess.run(["skopeo", "inspect", "--raw", "--tls-verify=false", f"docker://{name}:v1"], check=True,
                         capture_output=True, env={**os.environ, **rig.env}).stdout
    manifest = json.loads(raw)
    assert "sha256:" + hashlib.sha256(raw).hexdigest() == told["digest"]
    assert manifest["artifactType"] == KIT and manifest["layers"][0]["mediaType"] == KIT + "+zip"
    assert manifest["layers"][0]["digest"] == "sha256:" + hashlib.sha256(packed.read_bytes()).hexdigest()
    assert no_work_left(rig)


def test_a_pinned_kit_needs_no_network(rig, image, registry):
    top, name = kit(rig, "pinned"), registry.name("acme/pinned")
    digest = rig.json("kit", "push", "--json", top, f"{name}:v1")["digest"]
    first = plan(rig, "--kit", f"{name}:v1")
    assert [k["origin"] for k in first["kits"]] == ["builtin:shell", f"oci://{name}@{digest}"]
    assert first["env"]["LINT"] == "pinned"
    before = cached(rig)
    registry.stop()
    try:
        again = plan(rig, "--kit", f"{name}@{digest}")
        assert again["kits"] == first["kits"] and again["kits_digest"] == first["kits_digest"]
        assert cached(rig) == before
        assert "skopeo" in rig.fails("create", "shell", "--plan", "--kit", f"{name}:v1").errors  # a tag has to be asked for
        # a copy that was changed is not believed
        for zip_ in (rig.base / "cache" / "kits").glob("*.zip"):
            zip_.write_bytes(zip_.read_bytes() + b"x")
        rig.fails("create", "shell", "--plan", "--kit", f"{name}@{digest}")
    finally:
        registry.start()
    assert plan(rig, "--kit", f"{name}@{digest}")["kits"] == first["kits"]
    assert no_work_left(rig)


def test_the_daemon_believes_no_origin(rig, image, registry):
    """What a client says of where a copy is from has to be what the cache says."""
    rig.ok("ls")  # the daemon is there
    top = kit(rig, "claimed")
    digest = rig.json("kit", "push", "--json", top, registry.name("acme/claimed:v1"))["digest"]
    rig.ok("kit", "pull", registry.name("acme/claimed:v1"))
    mine = rig.base / "mine.zip"
    rig.ok("kit", "pack", kit(rig, "mine"), "-o", mine)
    for path in (str(mine), str(top)):
        status, answer = rig.api("POST", "/v1/sandboxes?plan=1", {
            "agent": "shell", "kits": [{"path": path, "origin": f"oci://{registry.name('acme/claimed')}@{digest}"}]})
        assert status >= 400 and answer["error"]["code"] in ("denied", "invalid"), answer


def test_passwords(rig, registry):
    top = kit(rig)
    run = rig.fails("kit", "push", top, registry.name("acme/secret:v1"), env={"REGISTRY_AUTH_FILE": "/nonexistent"})
    assert "login" in run.errors
    run = rig.fails("kit", "pull", registry.name("acme/secret:v1"), env={"REGISTRY_AUTH_FILE": "/nonexistent"})
    assert "skopeo" in run.errors or "registry" in run.errors
    assert "has no" in rig.fails("kit", "pull", registry.name("acme/nothing:v1")).errors
    assert no_work_left(rig)


def test_signed_directory_and_zip(rig, keys):
    top = kit(rig)
    assert "not signed" in rig.fails("kit", "verify", top, "--key", keys / "a.pub").errors
    rig.ok("kit", "sign", top, "--key", keys / "a.key")
    bundle = json.loads((top / "kit.sig.bundle").read_text())
    assert bundle["mediaType"] == "application/vnd.dev.sigstore.bundle.v0.3+json"
    rig.ok("kit", "verify", top, "--key", keys / "a.pub")
    rig.ok("kit", "verify", top, "--key", keys / "b.pub", "--key", keys / "a.pub")
    assert rig.fails("kit", "verify", top, "--key", keys / "b.pub").code == 1
    # others verify it with no more than the packed kit, the bundle and the key
    packed, signature = rig.base / "signed.zip", rig.base / "signature"
    rig.ok("kit", "pack", top, "-o", packed)
    signature.write_bytes(base64.b64decode(bundle["messageSignature"]["signature"]))
    subprocess.run(["openssl", "dgst", "-sha256", "-verify", keys / "a.pub", "-signature", signature, packed], check=True,
                   capture_output=True)
    shutil.copy(top / "kit.sig.bundle", str(packed) + ".sig.bundle")
    rig.ok("kit", "verify", packed, "--key", keys / "a.pub")
    (top / "files/home/lint.toml").write_text("level = 2\n")
    assert "changed since" in rig.fails("kit", "verify", top, "--key", keys / "a.pub").errors
    wrong = rig.fails("kit", "sign", top, "--key", keys / "a.key", env={"COSIGN_PASSWORD": "another"})
    assert "password is wrong" in wrong.errors


def test_keys_of_openssl(rig, keys):
    secret, public, top = rig.base / "o.key", rig.base / "o.pub", kit(rig)
    subprocess.run(["openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", secret],
                   check=True, capture_output=True)
    subprocess.run(["openssl", "pkey", "-in", secret, "-pubout", "-out", public], check=True, capture_output=True)
    rig.ok("kit", "sign", top, "--key", secret)
    rig.ok("kit", "verify", top, "--key", public)
    subprocess.run(["openssl", "pkey", "-in", keys / "a.key", "-passin", "pass:a password", "-noout"], check=True,
                   capture_output=True)


def test_signed_in_a_registry(rig, registry, keys):
    top, name = kit(rig, "signed"), registry.name("acme/signed")
    digest = rig.json("kit", "push", "--json", top, f"{name}:v1", "--sign", "--key", keys / "a.key")["digest"]
    rig.ok("kit", "verify", f"{name}:v1", "--key", keys / "a.pub")
    assert rig.fails("kit", "verify", f"{name}:v1", "--key", keys / "b.pub").code == 1
    rig.ok("kit", "sign", f"{name}:v1", "--key", keys / "b.key")  # beside the first
    for key in ("a", "b"):
        rig.ok("kit", "verify", f"{name}@{digest}", "--key", keys / f"{key}.pub")
    # what lies there is what cosign reads: simple signing, checked here without any code of ours
    out = rig.base / "sigs"
    subprocess.run(["skopeo", "--insecure-policy", "copy", "--quiet", "--src-tls-verify=false",
                    f"docker://{name}:{digest.replace(':', '-')}.sig", f"oci:{out}:x"], check=True, env={**os.environ, **rig.env})
    index = json.loads((out / "index.json").read_text())
    blob = lambda d: (out / "blobs/sha256" / d.split(":")[1]).read_bytes()
    layers = json.loads(blob(index["manifests"][0]["digest"]))["layers"]
    assert len(layers) == 2
    for layer, key in zip(layers, ("a", "b")):
        payload = blob(layer["digest"])
        said = json.loads(payload)["critical"]
        assert said["image"]["docker-manifest-digest"] == digest and said["type"] == "cosign container image signature"
        (rig.base / "payload").write_bytes(payload)
        (rig.base / "signature").write_bytes(base64.b64decode(layer["annotations"]["dev.cosignproject.cosign/signature"]))
        subprocess.run(["openssl", "dgst", "-sha256", "-verify", keys / f"{key}.pub", "-signature", rig.base / "signature",
                        rig.base / "payload"], check=True, capture_output=True)
    rig.ok("kit", "pull", "-f", f"{name}:v1", "-o", rig.base / "k.zip")
    rig.ok("kit", "verify", rig.base / "k.zip", "--key", keys / "b.pub")
    assert no_work_left(rig)


def test_a_signature_is_required(rig, image, registry, keys, settings):
    signed, bare, name = kit(rig, "signed2"), kit(rig, "bare"), registry.name("acme/required")
    rig.ok("kit", "sign", signed, "--key", keys / "a.key")
    rig.ok("kit", "push", signed, f"{name}:signed", "--sign", "--key", keys / "a.key")
    rig.ok("kit", "push", signed, f"{name}:other", "--sign", "--key", keys / "b.key")
    rig.ok("kit", "push", bare, f"{name}:bare")
    settings("kit.trustedSigners", json.dumps([{"key": str(keys / "a.pub")}]))
    settings("kit.requireSignature", "true")
    assert plan(rig, "--kit", signed)["env"]["LINT"] == "signed2"
    assert plan(rig, "--kit", f"{name}:signed")["env"]["LINT"] == "signed2"
    before = cached(rig)
    for ref in (bare, f"{name}:bare"):
        run = rig.fails("create", "shell", "--plan", "--kit", ref)
        assert "not signed" in run.errors and "kit.requireSignature" in run.errors, run
    assert cached(rig) == before
    (signed / "files/home/lint.toml").write_text("level = 9\n")
    assert "changed since" in rig.fails("create", "shell", "--plan", "--kit", signed).errors
    assert plan(rig)["agent"] == "shell"  # built-in ones need none
    rig.ok("kit", "verify", f"{name}:signed")  # by the keys of the setting
    settings("kit.trustedSigners", "[]")
    assert "trusted keys" in rig.fails("create", "shell", "--plan", "--kit", f"{name}:signed").errors


def test_which_sources(rig, image, registry, settings):
    top, name = kit(rig, "sources"), registry.name("acme/sources")
    rig.ok("kit", "push", top, f"{name}:v1")
    host = f"127.0.0.1:{registry.port}"
    for allowed in ([f"{host}"], [f"{host}/acme/"], [f"{host}/acme/sources"], ["*"]):
        settings("kit.allowedSources", json.dumps(allowed))
        plan(rig, "--kit", f"{name}:v1")
    before = cached(rig)
    for allowed in ([], ["docker.io/"], [f"{host}/acm"], [f"{host}/acme/sources/x"], ["127.0.0.1/acme"]):
        settings("kit.allowedSources", json.dumps(allowed))
        for args in (("create", "shell", "--plan", "--kit", f"{name}:v1"), ("kit", "inspect", f"{name}:v1"),
                     ("kit", "pull", f"{name}:v1"), ("create", f"{name}:v1", "--plan")):
            run = rig.fails(*args)
            assert "are not allowed" in run.errors and "kit.allowedSources" in run.errors, run
    assert cached(rig) == before
    assert "127.0.0.1:%d" % registry.port in rig.fails("kit", "pull", f"{name}:v1").errors
    run = rig.fails("create", "shell", "--plan", "--kit", "git+https://git.example.com/acme/kits#ref=main")
    assert "git.example.com/acme/kits" in run.errors and "not allowed" in run.errors
    for wrong in ("docker.io", '["https://x/"]', '["xn--x.io"]', "[1]"):
        assert "kit.allowedSources" in rig.fails("settings", "set", "kit.allowedSources", wrong).errors
    settings("kit.allowLocalKits", "false")
    assert "kit.allowLocalKits" in rig.fails("create", "shell", "--plan", "--kit", top).errors


class Liar(http.server.BaseHTTPRequestHandler):
    """A registry that answers with what the test put into server.answers; it counts."""

    def do_GET(self):
        self.server.asked.append(self.path)
        code, body, head = self.server.answers.get(self.path, (404, b"{}", {}))
        self.send_response(code)
        for key, value in head.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    do_HEAD = do_GET

    def log_message(self, *args):
        pass


@pytest.fixture
def liar():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Liar)
    server.answers, server.asked = {"/v2/": (200, b"{}", {})}, []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def sha(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def manifest(layer, **more):
    made = {"schemaVersion": 2, "mediaType": MANIFEST, "artifactType": KIT,
            "config": {"mediaType": "application/vnd.oci.empty.v1+json", "digest": sha(b"{}"), "size": 2},
            "layers": [{"mediaType": KIT + "+zip", "digest": sha(layer), "size": len(layer)}]}
    made.update(more)
    return made


def test_registries_that_lie(rig, liar):
    packed = rig.base / "liar.zip"
    rig.ok("kit", "pack", kit(rig), "-o", packed)
    zip_ = packed.read_bytes()
    descriptor = manifest(zip_)["layers"][0]
    name = f"127.0.0.1:{liar.server_address[1]}/a/b"
    cases = {
        "good": (manifest(zip_), zip_),
        "image": ({"schemaVersion": 2, "mediaType": MANIFEST, "config": manifest(zip_)["config"], "layers": []}, zip_),
        "index": ({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": []}, zip_),
        "two layers": (manifest(zip_, layers=[descriptor, descriptor]), zip_),
        "no layer": (manifest(zip_, layers=[]), zip_),
        "elsewhere": (manifest(zip_, layers=[{**descriptor, "urls": ["http://169.254.169.254/latest"]}]), zip_),
        "traversal": (manifest(zip_, layers=[{**descriptor, "digest": "sha256:../../../../etc/passwd"}]), zip_),
        "too large": (manifest(zip_, layers=[{**descriptor, "size": 1 << 40}]), zip_),
        "other bytes": (manifest(zip_), zip_[:-1] + b"x"),
        "shorter": (manifest(zip_, layers=[{**descriptor, "size": len(zip_) + 1}]), zip_),
        "no zip": (manifest(b"hello"), b"hello"),
        "padded zip": (manifest(b"x" + zip_), b"x" + zip_),
    }
    for case, (made, layer) in cases.items():
        tag, text = case.replace(" ", "-"), json.dumps(made).encode()
        where = made["layers"][0]["digest"] if made.get("layers") else ""
        head = {"Content-Type": made["mediaType"], "Docker-Content-Digest": sha(text)}
        liar.answers = {"/v2/": (200, b"{}", {}), f"/v2/a/b/manifests/{tag}": (200, text, head),
                        f"/v2/a/b/manifests/{sha(text)}": (200, text, head), f"/v2/a/b/blobs/{where}": (200, layer, {}),
                        f"/v2/a/b/blobs/{sha(b'{}')}": (200, b"{}", {})}
        run = rig.sbx("kit", "pull", "-f", f"{name}:{tag}", "-o", rig.base / "out.zip")
        assert_printable(run.err)
        assert (run.code == 0) == (case == "good"), (case, run)
        assert (rig.base / "out.zip").read_bytes() == zip_, case
        assert no_work_left(rig), case
    # another manifest than the one that is pinned
    text = json.dumps(manifest(zip_)).encode()
    pin = sha(b"another")
    liar.answers[f"/v2/a/b/manifests/{pin}"] = (200, text, {"Content-Type": MANIFEST})
    assert rig.fails("kit", "pull", "-f", f"{name}@{pin}", "-o", rig.base / "out.zip").code == 1


def test_who_is_not_allowed_is_not_asked(rig, liar, settings):
    settings("kit.allowedSources", '["docker.io/"]')
    rig.fails("kit", "inspect", f"127.0.0.1:{liar.server_address[1]}/a/b:v1")
    assert liar.asked == []
