"""Hosts whose TLS is not inspected: whom that means (TL-06, NW-13), and that no credential is ever for one (CR-15)."""
import contextlib
import os
import ssl

from inet import messages as m
from inet import oracles
from inet.guest import Guest, read_response
from inet.world import NAMES

GET = b"GET /bypass HTTP/1.1\r\nHost: api.test\r\nConnection: close\r\n"


def hello(name, *extensions):
    """A ClientHello made by hand: OpenSSL 3.0 knows nothing of ECH."""
    def ext(kind, body):
        return kind.to_bytes(2, "big") + len(body).to_bytes(2, "big") + body

    extra = ext(0, (len(name) + 3).to_bytes(2, "big") + b"\0" + len(name).to_bytes(2, "big") + name)
    extra += ext(10, b"\0\2\0\x17") + ext(13, b"\0\2\4\3") + ext(43, b"\2\3\4") + b"".join(ext(*e) for e in extensions)
    body = b"\3\3" + os.urandom(32) + b"\0" + b"\0\4\x13\1\xc0\x2b" + b"\1\0" + len(extra).to_bytes(2, "big") + extra
    hand = b"\1" + len(body).to_bytes(3, "big") + body
    return b"\x16\3\1" + len(hand).to_bytes(2, "big") + hand


def whose(world, pair, name="api.test", sni="api.test"):
    """Who ends a TLS connection to that name: "origin", "front", or nobody."""
    with pair.stream(NAMES[name], 443) as raw, contextlib.suppress(OSError):
        s = pair.tls(raw, sni, check=False)
        issuer = ssl.DER_cert_to_PEM_cert(s.getpeercert(True)) in world.certs[name].read_text()
        s.close()
        return "origin" if issuer else "front"
    return None


def test_tl06_who_is_not_inspected_by_canonical_name(world, make_pair):
    pair = make_pair([m.Rule("api.test"), m.Rule("echo.test"), m.Rule("other.test")], bypass=["api.test", "*.echo.test"])
    g = Guest(pair)
    for name in ("api.test", "echo.test"):
        g.address(name)
    assert whose(world, pair) == "origin"
    for same in ("API.test", "Api.Test", "api.test."):
        assert whose(world, pair, sni=same) in ("origin", None), same
    assert whose(world, pair, sni="API.TEST") == "origin"
    assert whose(world, pair, "echo.test", "echo.test") == "front"
    # another name to that address is none of the exclusion's
    mark = world.mark()
    assert whose(world, pair, sni="other.test") == "front" and whose(world, pair, "echo.test", "api.test") == "front"
    assert not [e for e in world.since(mark) if "connected" in e]


def test_nw13_ech_hides_who_is_meant(world, make_pair):
    """What is not inspected must at least say whom it is for; where TLS ends in the front, its own handshake decides."""
    pair = make_pair([m.Rule("api.test"), m.Rule("echo.test")], bypass=["api.test"])
    g, before, mark = Guest(pair), pair.settled(), world.mark()
    for name in ("api.test", "echo.test"):
        g.address(name)
    with pair.stream(NAMES["api.test"], 443) as s:
        s.sendall(hello(b"api.test", (0xfe0d, os.urandom(100))))
        s.settimeout(20)
        with contextlib.suppress(ConnectionResetError):
            assert s.recv(10) == b""
    assert {r.reason for r in pair.new_audit(before) if r.event == "tls"} == {"ech"}
    assert not [e for e in world.since(mark) if "connected" in e and e["at"][1] == 443]
    # the positive twins: without it the origin answers (if only that it misses a key share); where we end TLS, we do
    for name in ("api.test", "echo.test"):
        with pair.stream(NAMES[name], 443) as s:
            s.sendall(hello(name.encode(), *([(0xfe0d, os.urandom(100))] if name == "echo.test" else ())))
            s.settimeout(20)
            assert s.recv(1) in (b"\x15", b"\x16")
    assert {e["at"][0] for e in world.since(mark) if "connected" in e and e["at"][1] == 443} == {NAMES["api.test"]}


def test_cr15_no_credential_for_a_host_that_is_not_inspected(world, make_pair):
    """Credential and exclusion at once: such connections are refused, in whichever order the two came."""
    secret, stand_in = "Real" + os.urandom(16).hex(), "SBXS" + os.urandom(20).hex()
    pair = make_pair([m.Rule("api.test"), m.Rule("echo.test")], bypass=["api.test"])
    g = Guest(pair)
    g.address("api.test")
    assert whose(world, pair) == "origin"
    with pair.tls(pair.stream(NAMES["api.test"], 443), "api.test", check=False) as kept:
        # the first credential of a sandbox that runs: the exclusion is void for that host, from the reply on
        pair.config.credentials = [m.Credential("api", stand_in, [m.Slot("api.test:443")])]
        pair.put_config()
        pair.put_secret("api", secret)
        mark, before = world.mark(), pair.settled()
        kept.settimeout(20)
        with contextlib.suppress(OSError):
            kept.sendall(GET + f"Authorization: Bearer {stand_in}\r\n\r\n".encode())
            assert kept.recv(100) == b"", "a connection that nobody looks into goes on"
    assert whose(world, pair) is None
    assert "uninspected" in {r.reason for r in pair.new_audit(before)}
    assert not [e for e in world.since(mark) if "head" in e]
    # without the exclusion it is used at once
    pair.config.bypass = []
    pair.put_config()
    with g.connect("api.test") as s:
        s.sendall(GET + f"Authorization: Bearer {stand_in}\r\n\r\n".encode())
        assert read_response(s).status == 200
    [head] = [e["head"] for e in world.since(mark) if "head" in e]
    assert secret in head and stand_in not in head


def test_cr15_the_first_credential_of_a_running_sandbox(world, make_pair):
    """TLS was inspected before there was any credential, so the first one finds it so."""
    secret, stand_in = "Real" + os.urandom(16).hex(), "SBXS" + os.urandom(20).hex()
    pair = make_pair([m.Rule("api.test")])
    g = Guest(pair)
    with g.connect("api.test") as s:
        s.sendall(GET.replace(b"Connection: close\r\n", b"") + b"\r\n")
        assert read_response(s).status == 200
        pair.config.credentials = [m.Credential("api", stand_in, [m.Slot("api.test:443")])]
        pair.put_config()
        pair.put_secret("api", secret)
        mark = world.mark()
        with contextlib.suppress(OSError):  # the connection that was there may go on or end; it is never without rules
            s.sendall(GET + f"Authorization: Bearer {stand_in}\r\n\r\n".encode())
            answer = read_response(s)
            assert answer.status in (0, 200)
    for head in (e["head"] for e in world.since(mark) if "head" in e):
        assert secret in head and oracles.scan_bytes(head.encode(), oracles.needles(stand_in)) == []
    assert g.request("api.test", fields=[("Authorization", f"Bearer {stand_in}")]).status == 200
