"""docs/openapi.yaml against the running daemon: each path, method and answer it names is true."""
import json
import os
import pathlib
import re
import socket
import urllib.parse

import pytest
import yaml

from rig import ROOT

METHODS = ("get", "post", "put", "delete", "patch")


@pytest.fixture(scope="module")
def spec():
    path = ROOT / "docs/openapi.yaml"
    assert path.exists(), "docs/openapi.yaml is missing"
    spec = yaml.safe_load(path.read_text())
    base = urllib.parse.urlparse(spec["servers"][0]["url"]).path
    spec["paths"] = {base + name: what for name, what in spec["paths"].items()}
    return spec


def resolve(spec, node):
    while isinstance(node, dict) and "$ref" in node:
        target = spec
        for part in node["$ref"].removeprefix("#/").split("/"):
            target = target[part]
        node = target
    return node


TYPES = {"object": dict, "array": list, "string": str, "integer": int, "number": (int, float),
         "boolean": bool, "null": type(None)}


def check(spec, schema, value, where="answer"):
    """The part of JSON Schema that the document uses."""
    schema = resolve(spec, schema)
    if schema is True or not schema:
        return
    for sub in schema.get("allOf", []):
        check(spec, sub, value, where)
    for word in ("anyOf", "oneOf"):
        if word in schema:
            faults = []
            for sub in schema[word]:
                try:
                    check(spec, sub, value, where)
                    break
                except AssertionError as fault:
                    faults.append(str(fault))
            else:
                raise AssertionError(f"{where}: fits none of {word}: {faults}")
    kinds = schema.get("type")
    if kinds:
        kinds = [kinds] if isinstance(kinds, str) else kinds
        fits = any(isinstance(value, TYPES[k]) and not (isinstance(value, bool) and k in ("integer", "number"))
                   for k in kinds)
        assert fits, f"{where}: {value!r} is no {kinds}"
    if "enum" in schema:
        assert value in schema["enum"], f"{where}: {value!r} not in {schema['enum']}"
    if "const" in schema:
        assert value == schema["const"], where
    if "pattern" in schema and isinstance(value, str):
        assert re.search(schema["pattern"], value), f"{where}: {value!r} does not match {schema['pattern']}"
    if isinstance(value, dict):
        for key in schema.get("required", []):
            assert key in value, f"{where}: no {key!r}"
        known = schema.get("properties", {})
        for key, item in value.items():
            if key in known:
                check(spec, known[key], item, f"{where}.{key}")
            elif isinstance(schema.get("additionalProperties"), dict):
                check(spec, schema["additionalProperties"], item, f"{where}.{key}")
            elif known and not schema.get("allOf"):
                assert schema.get("additionalProperties") is not False, f"{where}: {key!r} is not documented"
    if isinstance(value, list) and "items" in schema:
        for at, item in enumerate(value):
            check(spec, schema["items"], item, f"{where}[{at}]")


def documented(spec, method, path, status):
    """The schema of one answer; fails when the document does not name it."""
    item = spec["paths"].get(path)
    assert item, f"{path} is not documented"
    operation = item.get(method)
    assert operation, f"{method} {path} is not documented"
    answers = {str(k): v for k, v in operation["responses"].items()}
    answer = answers.get(str(status)) or answers.get(f"{status // 100}XX") or answers.get("default")
    assert answer, f"{method} {path}: {status} is not documented"
    content = resolve(spec, answer).get("content", {})
    return content.get("application/json", {}).get("schema")


def call(rig, spec, method, path, body=None, want=200, **values):
    real = path
    for key, value in values.items():
        real = real.replace("{" + key + "}", str(value))
    status, answer = rig.api(method.upper(), real, body)
    assert status == want, (method, real, status, answer)
    schema = documented(spec, method, path.split("?")[0], status)
    if schema:
        check(spec, schema, answer, f"{method} {path}")
    return answer


def test_the_document(spec):
    assert str(spec["openapi"]).startswith("3.1")
    for path, item in spec["paths"].items():
        for method in METHODS:
            if method in item:
                assert item[method].get("responses"), f"{method} {path} has no responses"


def test_docs_and_document_name_the_same(spec):
    """Each row of docs/api.md is in openapi.yaml, and the other way round."""
    rows = set()
    for line in (ROOT / "docs/api.md").read_text().splitlines():
        if not line.startswith("| `"):
            continue
        first = line.split("|")[1]
        method = re.match(r" `(GET|POST|DELETE|PUT) (/v1/\S+?)`", first)
        if method:
            base = method[2]
            rows.add((method[1].lower(), base))
            for more in re.findall(r", `(/\w+)`", first):
                rows.add((method[1].lower(), base.rsplit("/", 1)[0] + more))
    there = {(m, p) for p, item in spec["paths"].items() for m in METHODS if m in item}
    assert rows == there


def test_reading(rig, spec):
    rig.ok("ls")
    version = call(rig, spec, "get", "/v1/version")
    assert version["api"] == 1
    assert call(rig, spec, "get", "/v1/sandboxes") == {"sandboxes": []}
    call(rig, spec, "get", "/v1/images")
    call(rig, spec, "get", "/v1/diagnose")


def test_policy(rig, spec):
    rig.ok("ls")
    first = call(rig, spec, "get", "/v1/policy")
    assert first["preset"] == "balanced" and not first["preset_chosen"] and len(first["rules"]) > 50
    assert call(rig, spec, "put", "/v1/policy/preset", {"preset": "deny-all"})["preset"] == "locked-down"
    new = {"decision": "allow", "resource": "a.example.com,*.b.example.com:443", "methods": "get", "path": "/x/**"}
    rules = call(rig, spec, "post", "/v1/policy/rules", new, 201)["rules"]
    assert [r["resource"] for r in rules] == ["a.example.com", "*.b.example.com:443"]
    assert call(rig, spec, "get", "/v1/policy")["generation"] > first["generation"]
    said = call(rig, spec, "post", "/v1/policy/check", {"target": "https://a.example.com/x/y"})
    assert (said["decision"], said["rule"]["id"]) == ("allow", rules[0]["id"])
    said = call(rig, spec, "post", "/v1/policy/check", {"target": "a.example.com", "method": "POST"})
    assert (said["decision"], said["reason"], said["rule"]) == ("deny", "no-http-rule", None)
    for kind in ("dns", "tcp", "tunnel", "websocket", "grpc"):
        call(rig, spec, "post", "/v1/policy/check", {"target": "[2001:db8::1]:80", "kind": kind})
    call(rig, spec, "delete", "/v1/policy/rules/{id}", None, 204, id=rules[0]["id"])
    call(rig, spec, "delete", "/v1/policy/rules/{id}", None, 404, id="balanced.ai.1")
    assert call(rig, spec, "put", "/v1/policy/bypass", {"resources": "Pin.example.com,*.x.example.com:443,pin.example.com"})[
        "bypass"] == ["pin.example.com", "*.x.example.com:443"]
    call(rig, spec, "put", "/v1/policy/bypass", {"resources": "**"}, 400)
    assert call(rig, spec, "get", "/v1/approvals") == {"approvals": []}
    call(rig, spec, "post", "/v1/approvals/{id}", {"decision": "allow"}, 404, id=1)
    call(rig, spec, "delete", "/v1/policy", None, 204)
    assert len(call(rig, spec, "get", "/v1/policy")["rules"]) == len(first["rules"])


def test_a_life(rig, image, spec):
    folder = str(rig.new_dir())
    body = {"name": "box-api", "agent": "shell", "workspaces": [{"path": folder}], "cpus": 2,
            "memory_bytes": 1 << 30, "env": {"A": "b"}}
    rig.ok("ls")
    plan = call(rig, spec, "post", "/v1/sandboxes?plan=1", body)
    assert plan["plan_hash"]
    assert call(rig, spec, "get", "/v1/sandboxes") == {"sandboxes": []}
    made = call(rig, spec, "post", "/v1/sandboxes", body, 201)
    rig.ids.add(made["id"])
    assert made["status"] == "stopped" and made["plan_hash"] == plan["plan_hash"]
    assert call(rig, spec, "post", "/v1/sandboxes", body, 409)["error"]["code"] == "conflict"
    for name in ("box-api", made["id"]):
        one = call(rig, spec, "get", "/v1/sandboxes/{name}", name=name)
        assert one["name"] == "box-api" and one["plan"]
    for verb in ("pause", "resume"):
        call(rig, spec, "post", "/v1/sandboxes/{name}/" + verb, None, 409, name="box-api")
    started = call(rig, spec, "post", "/v1/sandboxes/{name}/start", None, name="box-api")
    assert started["status"] == "running" and started["started_at"]
    done = call(rig, spec, "post", "/v1/sandboxes/{name}/exec",
                {"argv": ["sh", "-c", "echo out; echo err >&2; cat; echo $A; exit 3"], "stdin": "typed\n"}, name="box-api")
    assert (done["exit_code"], done["stdout"], done["stderr"]) == (3, "out\ntyped\nb\n", "err\n")
    late = call(rig, spec, "post", "/v1/sandboxes/{name}/exec", {"argv": ["sleep", "60"], "timeout_ms": 500},
                504, name="box-api")
    assert late["error"]["code"] == "timeout"
    call(rig, spec, "get", "/v1/sandboxes/{name}/usage", name="box-api")
    call(rig, spec, "get", "/v1/sandboxes/{name}/logs", name="box-api")
    call(rig, spec, "get", "/v1/sandboxes/{name}/logs?kind=console&tail=5", name="box-api")
    assert call(rig, spec, "post", "/v1/sandboxes/{name}/pause", None, name="box-api")["status"] == "paused"
    assert call(rig, spec, "post", "/v1/sandboxes/{name}/resume", None, name="box-api")["status"] == "running"
    call(rig, spec, "delete", "/v1/sandboxes/{name}", None, 409, name="box-api")
    stopped = call(rig, spec, "post", "/v1/sandboxes/{name}/stop", {"timeout_ms": 10000}, name="box-api")
    assert stopped["status"] == "stopped" and stopped["stopped_at"]
    call(rig, spec, "delete", "/v1/sandboxes/{name}", None, 204, name="box-api")
    call(rig, spec, "get", "/v1/sandboxes/{name}", None, 404, name="box-api")


def test_output_that_is_not_text(rig, image, spec):
    box = rig.create("box-bytes").start()
    try:
        odd_output(rig, spec)
    finally:
        box.remove()


def odd_output(rig, spec):
    done = call(rig, spec, "post", "/v1/sandboxes/{name}/exec",
                {"argv": ["printf", "a\\377b"]}, name="box-bytes")
    assert done["stdout"] == "a\ufffdb"
    big = call(rig, spec, "post", "/v1/sandboxes/{name}/exec",
               {"argv": ["head", "-c", "3000000", "/dev/zero"]}, name="box-bytes")
    assert big["truncated"] and len(big["stdout"]) <= 1 << 20


@pytest.mark.parametrize("body", [
    b"", b"{", b"null", b"[]", b"1", b'"x"', b"{\"agent\":\"shell\",\"agent\":\"demo\"}", b'{"agent":1}',
    b'{"agent":"shell","unknown":1}', b'{"agent":"shell","cpus":-1}', b'{"agent":"shell","cpus":1e400}',
    b'{"agent":"shell","memory_bytes":1}', b'{"agent":"shell","memory_bytes":99999999999999999999}',
    b'{"agent":"shell","name":"\xff"}', b'{"agent":"shell","name":"a\\u0000b"}', b"[" * 5000,
    b'{"agent":"shell","workspaces":[{"path":"relative"}]}', b'{"agent":"shell","workspaces":[{"path":"/a\\u0000"}]}',
    b'{"agent":"shell","env":{"A=B":"c"}}', b'{"agent":"shell","env":{"A":1}}', b'{"agent":"shell"} x'])
def test_bad_bodies(rig, body):
    rig.ok("ls")
    status, answer = rig.api("POST", "/v1/sandboxes", body or b" ")
    assert status == 400 and answer["error"]["code"] == "invalid", (status, answer)
    assert rig.boxes() == {}


def raw(rig, data, more=b""):
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(10)
        here = os.getcwd()
        os.chdir(rig.state)
        s.connect("sbxd.sock")
        os.chdir(here)
        s.sendall(data)
        got = b""
        try:
            s.sendall(more)
            s.shutdown(socket.SHUT_WR)
            while chunk := s.recv(65536):
                got += chunk
        except (BrokenPipeError, ConnectionResetError):
            pass
        return got


def test_bad_requests(rig):
    rig.ok("ls")
    assert rig.api("GET", "/v1/nothing")[0] == 404
    assert rig.api("GET", "/")[0] in (400, 404)
    status, answer = rig.api("PUT", "/v1/version")  # docs/api.md: a wrong request is "invalid", 400
    assert status == 400 and answer["error"]["code"] == "invalid"
    assert rig.api("GET", "/v1/sandboxes/..%2f..%2fx")[0] in (400, 404)
    for data in (b"\0\1\2\r\n\r\n", b"GET\r\n\r\n", b"GET /v1/version HTTP/9.9\r\n\r\n",
                 b"GET /v1/version HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 20000 + b"\r\n",
                 b"GET /" + b"a" * 100000 + b" HTTP/1.1\r\n\r\n",
                 b"POST /v1/sandboxes HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999\r\n\r\n",
                 b"POST /v1/sandboxes HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n12345",
                 b"POST /v1/sandboxes HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n"):
        got = raw(rig, data)
        assert not got or got.startswith((b"HTTP/1.1 4", b"HTTP/1.1 5")), got[:200]
    assert rig.api("GET", "/v1/version")[0] == 200


def test_another_user_is_refused(rig):
    if os.getuid() != 0:
        pytest.skip("only root can act as another user")
    rig.ok("ls")
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            s = socket.socket(socket.AF_UNIX)
            os.chdir(rig.state)
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)
            s.connect("sbxd.sock")
            s.sendall(b"GET /v1/sandboxes HTTP/1.1\r\nHost: a\r\n\r\n")
            s.settimeout(10)
            code = 0 if not s.recv(100) else 2
        except OSError:
            code = 0
        os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_a_client_that_says_nothing(rig):
    """Half a request holds up nobody else."""
    rig.ok("ls")
    stuck = []
    for _ in range(20):
        s = socket.socket(socket.AF_UNIX)
        s.connect(str(rig.state / "sbxd.sock"))
        s.sendall(b"POST /v1/sandboxes HTTP/1.1\r\n")
        stuck.append(s)
    assert rig.ok("ls", timeout=5).seconds < 2
    for s in stuck:
        s.close()
    assert json.dumps(rig.boxes()) == "{}"


def test_state_is_private(rig):
    rig.ok("ls")
    for path in [rig.state, *pathlib.Path(rig.state).rglob("*")]:
        mode = path.lstat().st_mode
        assert path.is_symlink() or not mode & 0o077, f"{path}: {oct(mode)}"
