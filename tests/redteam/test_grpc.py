"""gRPC with a client and a server of others (grpcio), TLS inspected on the way: calls of every kind, rules by method."""
import json
import pathlib
import subprocess
import sys
import tempfile

import pytest

from inet import messages as m
from inet import world as worlds
from inet.guest import Guest
from inet.relay import Relay

ADDRESS = "45.77.3.2"
PEER = pathlib.Path(worlds.__file__).with_name("grpc_peer.py")
HEALTHY = {"answer": "ping", "code": "OK", "head": "first", "tail": "last", "binary": [0, 255]}


@pytest.fixture(scope="module")
def server(world):
    pytest.importorskip("grpc")
    worlds.ip("-n", world.inet, "addr", "add", f"{ADDRESS}/32", "dev", "lo")
    world.set_zone({"grpc.test": {"A": [ADDRESS]}})
    log = world.base / "grpc.log"
    child = subprocess.Popen(["ip", "netns", "exec", world.inet, sys.executable, PEER, "server", ADDRESS,
                              world.ca.issue("grpc.test", "DNS:grpc.test"), log], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert child.stdout.readline() == b"ready\n"
    yield lambda: [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
    child.stdin.close()
    child.wait(20)
    child.stdout.close()


def calls(pair):
    """What the client was told by each call."""
    where = Guest(pair).address("grpc.test")
    with Relay(lambda: pair.stream(where, 443)) as relay, tempfile.NamedTemporaryFile("w") as ca:
        ca.write(pair.authority())
        ca.flush()
        done = subprocess.run([sys.executable, PEER, "client", str(relay.port), ca.name], stdout=subprocess.PIPE, timeout=150, check=True)
    return json.loads(done.stdout)


def test_grpc_calls_of_every_kind_and_a_method_that_is_denied(make_pair, server):
    pair = make_pair([m.Rule("grpc.test:443", grpc="demo.Echo/*"), m.Rule("grpc.test:443", m.DENY, grpc="demo.Echo/Secret", id="no-secret")])
    before, audit = len(server()), pair.settled()
    got = calls(pair)
    assert got["unary"] == HEALTHY and got["after"] == HEALTHY
    assert got["down"] == ["0", "1", "2", "3", "4"]
    assert got["up"] == "100 1000000"
    assert got["both"] == [f"A{n}" for n in range(20)]
    assert (got["fail"]["code"], got["fail"]["details"]) == ("NOT_FOUND", "n\u00f6 such thing 100%")
    assert ["x-tail", "last"] in got["fail"]["tail"]
    assert got["late"] == ["one", "DATA_LOSS", "half way"]
    assert got["big"] is True
    assert got["slow"]["code"] == "DEADLINE_EXCEEDED"
    # in the client's own terms, with the reason and what a person can do
    for name in ("secret", "secret stream", "other service"):
        assert got[name]["code"] == "PERMISSION_DENIED", got[name]
        assert "denied" in got[name]["details"], got[name]
    assert "no-secret" in got["secret"]["details"]
    assert "sbx policy allow" in got["other service"]["details"]
    seen = [e["method"] for e in server()[before:]]
    assert "Secret" not in seen and set(seen) == {"Unary", "Down", "Up", "Both", "Fail", "LateFail", "Slow"}
    assert server()[before]["fields"]["x-mine"] == "1"
    records = pair.new_audit(audit, 12)
    assert {(r.event, r.decision, r.status) for r in records if r.path.endswith("/Secret")} == {("grpc", "deny", 403)}
    assert any(r.event == "grpc" and r.decision == "allow" and r.path == "/demo.Echo/Both" for r in records)


def test_grpc_a_host_that_is_allowed_whole(make_pair, server):
    got = calls(make_pair([m.Rule("grpc.test:443")]))
    assert got["unary"] == got["after"] == HEALTHY and got["secret"] == "x" and got["big"] is True, got
    assert got["up"] == "100 1000000" and got["both"] == [f"A{n}" for n in range(20)] and len(got["down"]) == 5, got


def test_grpc_without_a_rule_for_it(make_pair, server):
    """A rule of methods and paths that does not speak of gRPC's request allows none."""
    before = len(server())
    got = calls(make_pair([m.Rule("grpc.test:443", methods=("GET",))]))
    assert {v["code"] for v in got.values() if isinstance(v, dict)} == {"PERMISSION_DENIED"}
    assert got["late"][0] == "PERMISSION_DENIED" and len(server()) == before
