"""A proxy of the company behind the way out (case HX-22): policy comes before that hop, and the verdicts are the same.

The parent answers for every name and would dial anything; whatever it is asked for, it writes down. Automatic
configuration (PAC) is not supported: docs/policy.md.
"""
import json
import pathlib
import subprocess
import sys

import pytest

from inet import messages as m
from inet.guest import Guest, Refused, read_response
from inet.world import NAMES
from inet import world as worlds

ADDRESS = "45.77.3.1"
LOGIN = "corp:pa%25ss@"
KINDS = {"http": "http://{}parent.test:3128", "https": "https://{}parent.test:3129", "socks5": "socks5://{}parent.test:1080",
         "socks5h": "socks5h://{}parent.test:1080"}
RULES = [m.Rule("echo.test"), m.Rule("api.test", path="/repos/o/r/**"), m.Rule("github.test:443", methods=("GET",)),
         m.Rule("other.test:7000"), m.Rule("private.test"), m.Rule("**.sub.echo.test", m.DENY), m.Rule("**.echo.test")]


class Parent:
    def __init__(self, world):
        worlds.ip("-n", world.inet, "addr", "add", f"{ADDRESS}/32", "dev", "lo")
        world.set_zone({"parent.test": {"A": [ADDRESS]}, "private.test": {"A": ["10.0.0.5"]}})
        self.path = world.base / "parent.log"
        self.child = subprocess.Popen(
            ["ip", "netns", "exec", world.inet, sys.executable, pathlib.Path(worlds.__file__).with_name("parent.py"), ADDRESS,
             world.ca.issue("parent.test", "DNS:parent.test"), self.path, world.base],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self.child.stdout.readline() == b"ready\n"

    def asked(self):
        lines = self.path.read_text().splitlines() if self.path.exists() else []
        return [e for e in map(json.loads, lines) if "trouble" not in e]

    def close(self):
        self.child.stdin.close()
        self.child.wait(10)
        self.child.stdout.close()


@pytest.fixture(scope="module")
def parent(world):
    made = Parent(world)
    yield made
    made.close()


def text_of(s):
    """What a protocol of lines says first; the client does not wait for it."""
    s.settimeout(10)
    try:
        s.sendall(b"EHLO x\r\n")
        return s.recv(4).decode() or "closed"
    except OSError:
        return "closed"


def vector(pair):
    """What a guest gets by each way: status and code, or what a connection did."""
    g, out = Guest(pair), {}

    def note(key, ask):
        try:
            answer = ask()
            code = json.loads(answer.body)["error"]["code"] if answer.decision else ""
            out[key] = (answer.status, answer.decision, code)
        except Refused as no:
            out[key] = ("refused", no.answer.status)
        except LookupError:
            out[key] = "no such name"
        except OSError as fault:
            out[key] = type(fault).__name__

    for way in ("redirect", "connect", "absolute"):
        for name, path, method, port, tls in (
                ("echo.test", "/a", "GET", 443, True), ("echo.test", "/a", "GET", 80, False), ("echo.test", "/a", "POST", 8443, True),
                ("api.test", "/repos/o/r/x", "GET", 443, True), ("api.test", "/repos/o/x", "GET", 443, True),
                ("api.test", "/repos/o/r/..%2f..%2fx", "GET", 80, False), ("github.test", "/", "GET", 443, True),
                ("github.test", "/", "DELETE", 443, True), ("github.test", "/", "GET", 80, False), ("evil.test", "/", "GET", 443, True),
                ("evil.test", "/", "GET", 80, False), ("sub.echo.test", "/", "GET", 443, True), ("nowhere.test", "/", "GET", 443, True)):
            if way != "absolute" or not tls:
                note((way, name, path, method, port), lambda: g.request(name, path, method, port=port, tls=tls, way=way, body=b"x" * (method == "POST")))
    for to, port in (("10.0.0.5", 80), ("169.254.169.254", 80), ("127.0.0.1", 8099), (NAMES["evil.test"], 80), ("fd00:ec2::254", 80)):
        host = f"[{to}]" if ":" in to else to
        g.known[host] = to
        note(("address", to), lambda: g.request(host, "/", port=port, tls=False))
        note(("address by proxy", to), lambda: g.request(host, "/", port=port, tls=False, way="absolute"))
    for name, port in (("echo.test", 2525), ("evil.test", 2525), ("api.test", 2525)):
        try:
            address = g.address(name)
        except LookupError:
            address = NAMES[name]
        with pair.stream(address, port) as s:
            out["raw", name, port] = text_of(s)
    return out


@pytest.fixture(scope="module")
def direct(make_pair, parent):
    return vector(make_pair(RULES))


@pytest.mark.parametrize("kind", KINDS)
def test_hx22_the_verdicts_are_those_without_a_parent(world, make_pair, parent, direct, kind):
    assert sum(v == (200, None, "") for v in direct.values()) >= 8, direct
    before, mark = len(parent.asked()), world.mark()
    got = vector(make_pair(RULES, proxies=[("**", KINDS[kind].format(LOGIN))]))
    assert {k: (direct[k], got[k]) for k in direct if direct[k] != got[k]} == {}
    asked = parent.asked()[before:]
    assert asked and all(e["authorized"] for e in asked)
    allowed = {"echo.test", "api.test", "github.test", *(NAMES[n] for n in ("echo.test", "api.test", "github.test"))}
    for e in asked:
        target = e["target"].removeprefix("http://").split("/")[0]
        name = target.rpartition(":")[0] if ":" in target else target
        assert name in allowed, e
        assert kind != "socks5" or not e["name"], "socks5 is told addresses"
        assert kind == "socks5" or not name[0].isdigit(), "the others are told names"
    # nothing but the parent was dialled, and what is refused was not looked up
    reached = {e["at"][0] for e in world.since(mark) if "connected" in e and e["at"][1] != 53}
    assert reached <= {NAMES[n] for n in ("echo.test", "api.test", "github.test")}
    assert "evil.test" not in world.questions(mark)


def test_hx22_who_resolves_vets(world, make_pair, parent):
    """A name for a private address, by the explicit proxy: refused here where this side resolves. A parent that
    is told names resolves itself: such a name is the company's to answer (docs/policy.md)."""
    for kind in (None, "socks5"):
        pair = make_pair(RULES, proxies=[("**", KINDS[kind].format(LOGIN))] if kind else ())
        mark, before = world.mark(), len(parent.asked())
        answer = Guest(pair).request("private.test", port=80, tls=False, way="absolute")
        assert (answer.status, answer.decision) == (403, "deny"), answer
        assert not world.requests(mark) and len(parent.asked()) == before
    pair = make_pair(RULES, proxies=[("**", KINDS["http"].format(LOGIN))])
    with pytest.raises(LookupError):  # redirected, the guest is not even given such an address
        Guest(pair).request("private.test", port=80, tls=False)
    before = len(parent.asked())
    assert Guest(pair).request("private.test", port=80, tls=False, way="absolute").status == 200
    assert [e["target"] for e in parent.asked()[before:]] == ["http://private.test/"]


def test_hx22_hosts_that_need_no_parent(world, make_pair, parent):
    """NO_PROXY, as the daemon hands it on: a pattern with an empty URL goes direct, the same rules hold."""
    pair = make_pair(RULES, proxies=[("**.echo.test", ""), ("api.test:443", ""), ("45.77.1.0/24", ""), ("**", KINDS["http"].format(LOGIN))])
    before, g = len(parent.asked()), Guest(pair)
    assert g.request("echo.test").status == 200
    assert g.request("api.test", "/repos/o/r/x").status == 200
    assert parent.asked()[before:] == []
    assert g.request("api.test", "/repos/o/x").status == 403
    with pytest.raises(LookupError):
        g.request("evil.test")
    assert g.request("api.test", "/repos/o/r/x", port=80, tls=False).status == 200
    assert g.request("github.test").status == 200
    assert [e["target"] for e in parent.asked()[before:]] == ["http://api.test/repos/o/r/x", "github.test:443"]


def test_hx22_a_parent_that_is_not_there_or_refuses_is_said(make_pair, parent):
    pair = make_pair(RULES, proxies=[("**", "http://parent.test:9")])
    answer = Guest(pair).request("echo.test")
    assert answer.status == 502 and b"parent.test" in answer.body
    with pair.proxy() as s:
        s.sendall(b"GET http://echo.test/ HTTP/1.1\r\nHost: echo.test\r\n\r\n")
        assert read_response(s).status == 502
