"""Attacks of group D of the cases: one canonical request, judged and sent (promise P4).

Against a real front and vault; what was sent upstream is what the rig's servers logged (O2).
"""
import itertools
import pathlib
import random
import re
import struct
import time

import pytest

from inet import messages as m
from inet.guest import Guest, Refused, read_response
from inet.pair import read_all
from inet.world import NAMES

HOSTS = ["echo.test", "other.test", "evil.test"]


@pytest.fixture(scope="module")
def pair(make_pair):
    return make_pair([m.Rule("echo.test"), m.Rule("other.test"), m.Rule("api.test", path="/repos/o/r/**"),
                      m.Rule("github.test:443", methods=("GET",)), m.Rule("ws.test:443", websocket=True, path="/ws/**"),
                      m.Rule("ws.test:443", methods=("GET",), path="/plain")])


@pytest.fixture(scope="module")
def guest(pair):
    g = Guest(pair)
    for name in ("echo.test", "other.test", "api.test", "github.test", "ws.test"):
        g.address(name)
    return g


def sent(world, mark):
    """Request lines with their Host, as servers saw them."""
    out = []
    for e in world.since(mark):
        if "head" in e:
            host = [f.split(":", 1)[1].strip() for f in e["head"].split("\r\n")[1:] if f.lower().startswith("host:")]
            out.append((e["line"], host[0] if host else None))
    return out


def one(guest, name, raw, **more):
    """The first answer to these bytes on a connection of its own."""
    with guest.connect(name, **more) as s:
        try:
            s.sendall(raw)
        except OSError:
            pass
        return read_response(s, timeout=5)


# ---- hosts ----

ODD_HOSTS = [
    "evil-echo.test", "echo.test.evil.test", "echoxtest", "evil.test", "xecho.test", "cho.test", "test", "", ".", "..",
    ".echo.test", "echo..test", "echo.test..", "evil.test@echo.test", "echo.test@evil.test", "user:pw@echo.test",
    "evil#@echo.test", "echo.test#evil.test", "echo.test/evil", "echo.test\\evil.test", "echo.test?x", "echo.test evil.test",
    "echo.test\tevil.test", "echo.test,evil.test", "echo.test;evil.test", "echo.test:443:80", "echo.test:x", "echo.test:-1",
    "echo.test:65536", "echo.test:80", "echo.test:0443", "[echo.test]", "echo.test]", "[::1]", "127.0.0.1", "%65cho.test",
    "echo%2etest", "xn--cho-9la.test", "xn--echo.test", "ech\u00f3.test", "\u0435cho.test", "\uff45cho.test",
    "e\u00adcho.test", "echo\u3002test", "echo.te\u200bst", "echo.test\u0000", "e" * 64 + ".test", "e." * 126 + "test", "a" * 300,
    "*.test", "**", "echo.*", "-echo.test", "echo_.test", "echo.test\x7f", "echo.test'", 'echo.test"', "(echo.test)",
    "https://echo.test", "//echo.test", "echo.test:443@evil.test:443", "sub.echo.test", "localhost", "gateway.sbx.internal",
]
SAME_HOSTS = ["ECHO.TEST", "Echo.Test", "echo.test.", "echo.test:443", "ECHO.test:443"]


def test_hx01_a_host_is_compared_exactly(world, guest, pair):
    mark, wrong = world.mark(), []
    for host in ODD_HOSTS:
        answer = one(guest, "echo.test", b"GET /hx01 HTTP/1.1\r\nHost: " + host.encode() + b"\r\n\r\n")
        if answer.status not in (400, 403, 421):
            wrong.append((host, answer))
    assert not wrong
    assert [e for e in world.since(mark) if "head" in e] == []
    for host in SAME_HOSTS:
        assert guest.request("echo.test", "/same", host=host).status == 200
    assert set(sent(world, mark)) == {("GET /same HTTP/1.1", "echo.test")}


def test_hx01_the_same_table_through_the_proxy(world, pair):
    mark, wrong = world.mark(), []
    for host in ODD_HOSTS:
        for request in (f"CONNECT {host}:443 HTTP/1.1\r\nHost: {host}:443\r\n\r\n", f"GET http://{host}/ HTTP/1.1\r\nHost: {host}\r\n\r\n"):
            with pair.proxy() as s:
                s.sendall(request.encode())
                answer = read_response(s, timeout=5)
                # port 80 of echo.test is allowed, and userinfo is none of the names'
                if answer.status == 200 and host not in ("echo.test:80",):
                    wrong.append((request, answer))
    assert not wrong
    assert [e for e in world.since(mark) if "head" in e and "echo.test:80" not in e["head"] and e["at"][1] != 80] == []


def test_hx03_wildcards_mean_what_they_say(world, make_pair):
    world.set_zone({"echo.test": {"A": [NAMES["echo.test"]]}})
    pair = make_pair(["*.echo.test:443"])
    g = Guest(pair)
    reach = {}
    for rule in ("*.echo.test:443", "**.echo.test:443", "**.sub.echo.test:443", "s?b.echo.test:443", "s*.echo.test:443",
                 "[st]ub.echo.test:443", "echo.test:443"):
        pair.rules(rule)
        g.known = {}
        got = []
        for name in ("echo.test", "sub.echo.test", "deep.sub.echo.test", "other.test"):
            try:
                got.append(g.request(name).status == 200)
            except (LookupError, OSError):
                got.append(False)
        reach[rule] = got
    assert reach == {"*.echo.test:443": [False, True, False, False], "**.echo.test:443": [True, True, True, False],
                     "**.sub.echo.test:443": [False, True, True, False], "s?b.echo.test:443": [False, True, False, False],
                     "s*.echo.test:443": [False, True, False, False], "[st]ub.echo.test:443": [False, True, False, False],
                     "echo.test:443": [True, False, False, False]}


@pytest.mark.parametrize("bad", ["*", "*.com", "**.io", "*.*", "echo.*", "a.**.test", "http://echo.test", "echo.test:0",
                                 "echo.test:70000", "127.1", "0x7f.1", "::1", "10.0.0.1/8", "echo test", "", "echo.test:443:1"])
def test_hx03_bad_patterns_are_refused_when_they_are_set(make_pair, pair, bad):
    before = pair.config.rules
    with pytest.raises(ValueError):
        pair.rules(bad)
    pair.config.rules = before
    pair.put_config()


def test_hx04_all_authorities_must_agree(world, pair, guest):
    """Domain fronting: destination × SNI × Host, redirected and by CONNECT; only the equal and allowed pass."""
    wrong = []
    for to, sni, host in itertools.product(HOSTS, HOSTS, HOSTS):
        for way in ("redirect", "connect"):
            mark, good = world.mark(), to == sni == host != "evil.test"
            try:
                if way == "redirect":
                    s = guest.connect(to, sni=sni, to=NAMES[to])
                else:
                    s = guest.connect_proxy(to, sni=sni)
                s.sendall(f"GET /hx04 HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
                status = read_response(s, timeout=5).status
                s.close()
            except (Refused, OSError):
                status = 0
            if (status == 200) != good or bool(sent(world, mark)) != good or status not in (0, 200, 403, 421):
                wrong.append((way, to, sni, host, status, sent(world, mark)))
    assert not wrong


def test_hx04_the_certificate_upstream_is_part_of_it(world, pair, make_pair):
    """The server at the name's address shows the certificate of another name: 502, no request."""
    p = make_pair(["swap.test:443"])
    world.set_zone({"swap.test": {"A": [NAMES["evil.test"]]}})
    mark = world.mark()
    assert Guest(p).request("swap.test").status == 502
    assert sent(world, mark) == []


def test_hx05_other_authorities_in_absolute_form_and_connect_inside(world, guest):
    mark = world.mark()
    for target, host in (("https://evil.test/", "echo.test"), ("http://evil.test/", "echo.test"), ("https://echo.test/", "evil.test"),
                         ("http://echo.test:80/", "echo.test"), ("https://other.test/", "echo.test"), ("ftp://echo.test/", "echo.test"),
                         ("//evil.test/", "evil.test"), ("https://x@evil.test/", "echo.test"), ("echo.test/", "echo.test"), ("*", "echo.test"),
                         ("", "echo.test")):
        answer = one(guest, "echo.test", f"GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        assert answer.status in (400, 403, 421), (target, host, answer)
    for line in ("CONNECT evil.test:443 HTTP/1.1", "CONNECT echo.test:443 HTTP/1.1"):
        answer = one(guest, "echo.test", f"{line}\r\nHost: echo.test\r\n\r\n".encode())
        assert answer.status in (400, 403, 405, 421, 501), answer
    assert sent(world, mark) == []


BROKEN = {
    "two hosts": b"GET / HTTP/1.1\r\nHost: echo.test\r\nHost: echo.test\r\n\r\n",
    "two other hosts": b"GET / HTTP/1.1\r\nHost: echo.test\r\nHost: evil.test\r\n\r\n",
    "list": b"GET / HTTP/1.1\r\nHost: echo.test, evil.test\r\n\r\n",
    "fold": b"GET / HTTP/1.1\r\nHost: echo.test\r\n evil.test\r\n\r\n",
    "fold first": b"GET / HTTP/1.1\r\n Host: echo.test\r\n\r\n",
    "space": b"GET / HTTP/1.1\r\nHost : echo.test\r\n\r\n",
    "tab": b"GET / HTTP/1.1\r\nHost\t: echo.test\r\n\r\n",
    "missing": b"GET / HTTP/1.1\r\nAccept: */*\r\n\r\n",
    "empty": b"GET / HTTP/1.1\r\nHost:\r\n\r\n",
    "no version": b"GET /\r\nHost: echo.test\r\n\r\n",
    "version 2": b"GET / HTTP/2.0\r\nHost: echo.test\r\n\r\n",
    "version 1.10": b"GET / HTTP/1.10\r\nHost: echo.test\r\n\r\n",
    "lower version": b"GET / http/1.1\r\nHost: echo.test\r\n\r\n",
    "two spaces": b"GET  / HTTP/1.1\r\nHost: echo.test\r\n\r\n",
    "tab in the line": b"GET\t/ HTTP/1.1\r\nHost: echo.test\r\n\r\n",
    "bare LF": b"GET / HTTP/1.1\nHost: echo.test\n\n",
    "lone CR": b"GET / HTTP/1.1\r\nHost: echo.test\rX: y\r\n\r\n",
    "NUL": b"GET / HTTP/1.1\r\nHost: echo.test\r\nX: a\0b\r\n\r\n",
    "NUL in the target": b"GET /\0 HTTP/1.1\r\nHost: echo.test\r\n\r\n",
    "no name": b"GET / HTTP/1.1\r\nHost: echo.test\r\n: x\r\n\r\n",
    "no colon": b"GET / HTTP/1.1\r\nHost: echo.test\r\nnonsense\r\n\r\n",
    "bad name": b"GET / HTTP/1.1\r\nHost: echo.test\r\nX(y): z\r\n\r\n",
    "8 bit name": b"GET / HTTP/1.1\r\nHost: echo.test\r\nX\xe9: z\r\n\r\n",
    "bad method": b"G(T / HTTP/1.1\r\nHost: echo.test\r\n\r\n",
    "fragment": b"GET /x#y HTTP/1.1\r\nHost: echo.test\r\n\r\n",
    "space in the target": b"GET /a b HTTP/1.1\r\nHost: echo.test\r\n\r\n",
    "8 bit target": b"GET /\xe9 HTTP/1.1\r\nHost: echo.test\r\n\r\n",
    "two lengths": b"POST / HTTP/1.1\r\nHost: echo.test\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    "length list": b"POST / HTTP/1.1\r\nHost: echo.test\r\nContent-Length: 1, 2\r\n\r\nab",
    "length sign": b"POST / HTTP/1.1\r\nHost: echo.test\r\nContent-Length: +1\r\n\r\na",
    "length minus": b"POST / HTTP/1.1\r\nHost: echo.test\r\nContent-Length: -1\r\n\r\na",
    "length hex": b"POST / HTTP/1.1\r\nHost: echo.test\r\nContent-Length: 0x1\r\n\r\na",
    "length huge": b"POST / HTTP/1.1\r\nHost: echo.test\r\nContent-Length: 18446744073709551617\r\n\r\na",
    "both": b"POST / HTTP/1.1\r\nHost: echo.test\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "coding": b"POST / HTTP/1.1\r\nHost: echo.test\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "coding twice": b"POST / HTTP/1.1\r\nHost: echo.test\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
    "coding identity": b"POST / HTTP/1.1\r\nHost: echo.test\r\nTransfer-Encoding: identity\r\n\r\n",
    "coding odd": b"POST / HTTP/1.1\r\nHost: echo.test\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "coding in 1.0": b"POST / HTTP/1.0\r\nHost: echo.test\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "two codings": b"POST / HTTP/1.1\r\nHost: echo.test\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
}


def test_hx06_hx10_broken_messages_are_refused_before_a_byte_goes_up(world, pair, guest):
    mark, wrong, before = world.mark(), [], pair.settled()
    for name, raw in BROKEN.items():
        answer = one(guest, "echo.test", raw)
        # inside of TLS, what does not begin like HTTP at all is closed without a word
        silent = name in ("no version", "bad method")
        if answer.status not in ((0,) if silent else (400, 421, 431, 501, 505)):
            wrong.append((name, answer))
    assert not wrong
    assert [e for e in world.since(mark) if "head" in e] == []
    assert len(pair.new_audit(before, len(BROKEN))) == len(BROKEN)
    assert all(r.decision != "allow" for r in pair.audit[before:])


def test_hx06_a_host_in_a_trailer_is_not_passed_on(world, guest):
    mark = world.mark()
    one(guest, "echo.test", b"POST /t HTTP/1.1\r\nHost: echo.test\r\nTransfer-Encoding: chunked\r\nTrailer: host\r\nConnection: close\r\n\r\n"
        b"1\r\na\r\n0\r\nHost: evil.test\r\nAuthorization: Bearer x\r\nContent-Length: 3\r\n\r\n")
    for e in world.since(mark):
        assert "evil.test" not in e.get("head", "")
        assert "trouble" not in e


# ---- paths ----

ESCAPES = [
    "/repos/o/r/../../other", "/repos/o/r/%2e%2e/%2e%2e/other", "/repos/o/r/.%2e/.%2e/other", "/repos/o/r/%2E%2E/x", "/repos/o/r/..;/x",
    "/repos/o/r/..%2fx", "/repos/o/r/%2e%2e%2fx", "/repos/o/r%2f..%2f..%2fx", "/repos/o/r/..%5cx", "/repos/o/r\\..\\..\\x",
    "/repos/o/r/%5c..%5cx", "//repos/o/r/x", "/repos//o/r/x/..//..", "/repos/o/r//../x", "/repos/o/r/./../../x", "/repos/o/r/x/../../../y",
    "/./repos/o/r2", "/repos/o/r;x/../y", "/repos/o/r/%00", "/repos/o/r/x%00.json", "/repos/o/r/%252e%252e/x", "/repos/o/r/%25%32%65/x",
    "/repos/o/r/%c0%ae%c0%ae/x", "/repos/o/r/%e0%80%ae/x", "/repos/o/r/%u002e/x", "/repos/o/r/%2", "/repos/o/r/%zz", "/repos/o/r/%",
    "/repos/o/r2", "/repos/o/r2/x", "/repos/o/R/x", "/REPOS/o/r/x", "/repos/O/r/x", "/repos/o", "/repos", "/", "/repos/o/rr", "/repos/o/r.git",
    "/x/repos/o/r/y", "/repos/o/r/..", "/repos/o/r/../", "/repos/o/r/../r2/x", "/repos/o//r/x", "/repos/o/r%20/x", "/repos/o/r%2F", "/repos/o/r;",
    "/repos/o/r%3b/x/..%3b/..%3b", "/repos/o/r/x/..%00/y", "/repos/o/r/\x7f", "/repos/o/r/%7f..", "/repos/o/%72%32", "/repos/p/r/x", "/repos/*/r/x",
    "/repos/o/r/%0d%0aX: y", "/repos/o/r/%0a", "/repos/o/r/x/%2e%2e/%2e%2e/%2e%2e/z", "/%72epos/o/r2", "/repos/o/r/..\\..", "/repos/o/r/%ef%bc%8e%ef%bc%8e/x/..",
    "/repos/o/r/x%2f..%2f..%2f..%2fy", "/repos/o/r/%%32%65%%32%65/x", "/../repos/o/r2", "/repos/o/r/....//x/../../..", "/repos/o/r/ /x", "repos/o/r/x",
    "?/repos/o/r/x", "/?/repos/o/r/x", "/;/repos/o/r/x", "/repos/o/r\t/x",
]
FINE = {"/repos/o/r": "/repos/o/r", "/repos/o/r/x": "/repos/o/r/x", "/repos/o/r/a/b/c?q=../../x": "/repos/o/r/a/b/c?q=../../x",
        "/repos/o/%72/x": "/repos/o/r/x", "/repos/o/r/a%20b": "/repos/o/r/a%20b", "/repos/o/r/%C3%A9": "/repos/o/r/%C3%A9"}


def test_hx07_path_scopes_hold_against_every_spelling(world, guest):
    assert len(ESCAPES) >= 70 - 6
    mark, wrong = world.mark(), []
    for path in ESCAPES:
        answer = one(guest, "api.test", b"GET " + path.encode("latin-1") + b" HTTP/1.1\r\nHost: api.test\r\n\r\n")
        if answer.status not in (400, 403):
            wrong.append((path, answer))
    went = sent(world, mark)
    assert not went and not wrong, (went, wrong)
    for path, becomes in FINE.items():
        mark = world.mark()
        assert guest.request("api.test", path).status == 200, path
        assert sent(world, mark) == [(f"GET {becomes} HTTP/1.1", "api.test")]


def test_hx09_the_method_that_was_judged_is_sent(world, guest):
    mark, wrong = world.mark(), []
    for method in ("POST", "PUT", "DELETE", "PATCH", "get", "Get", "GETX", "GE", "TRACE", "CONNECT", "OPTIONS", "HEAD", "PROPFIND"):
        try:
            answer = one(guest, "github.test", f"{method} / HTTP/1.1\r\nHost: github.test\r\nContent-Length: 0\r\n\r\n".encode())
        except OSError:
            continue
        if answer.status not in (400, 403, 405, 501):
            wrong.append((method, answer))
    assert not wrong and sent(world, mark) == []
    for name in ("X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"):
        guest.request("github.test", "/o", fields=[(name, "DELETE")])
        got = [e for e in world.since(mark) if "head" in e]
        assert all("delete" not in e["head"].lower() for e in got), name
    answer = one(guest, "echo.test", b"TRACE / HTTP/1.1\r\nHost: echo.test\r\n\r\n")
    assert answer.status in (400, 403, 405, 501)


# ---- smuggling ----

HIDDEN = b"GET /repos/hidden HTTP/1.1\r\nHost: api.test\r\n\r\n"


def smuggles():
    """Framings that two servers could read differently, each with a request hidden behind."""
    names = ["Transfer-Encoding", "transfer-encoding", "Transfer-Encoding ", "Transfer_Encoding", " Transfer-Encoding", "X\r\nTransfer-Encoding",
             "Transfer-Encoding\t", "Transfer-Encoding\x0b", "\x00Transfer-Encoding", "Transfer\u2010Encoding", "X: y\rTransfer-Encoding", "X: y\nTransfer-Encoding"]
    values = ["chunked", " chunked", "\tchunked", "chunked ", "Chunked", "CHUNKED", "chunked, identity", "identity, chunked", "chunked,", ",chunked", "chunked;q=1",
              "\"chunked\"", "xchunked", "chunkedx", "chunked\x0b", "chunked\x00", "chunk", "\r\n chunked", "gzip", "chunked\r\nTransfer-Encoding: x", "\x0cchunked"]
    lengths = ["", "Content-Length: 4\r\n", "Content-Length: 0\r\n", "Content-Length: {n}\r\n", "Content-Length : {n}\r\n", "Content_Length: {n}\r\n",
               "Content-Length: {n}\r\nContent-Length: 0\r\n", "Content-Length: {n},{n}\r\n", "content-length: 0{n}\r\n"]
    for name, value, length in itertools.product(names, values, lengths):
        body = b"0\r\n\r\n" + HIDDEN
        head = f"POST /repos/o/r/s HTTP/1.1\r\nHost: api.test\r\n{length.format(n=len(body))}{name}:{value}\r\n\r\n"
        yield head.encode() + body
    sizes = ["0x0", "+0", "-0", "_0", "0_0", " 0", "0 ", "00", "000000000000000000000", "10000000000000000", "fffffffffffffff1", "ffffffff", "0;x", "0;" + "x" * 9000,
             "0\t", "0\n", "g", "", "0,0", "0\x00", "5;a\nb", "0;\r", "0\r\r"]
    for size in sizes:
        yield (b"POST /repos/o/r/c HTTP/1.1\r\nHost: api.test\r\nTransfer-Encoding: chunked\r\n\r\n" + size.encode() + b"\r\n\r\n" + HIDDEN)
        yield (b"POST /repos/o/r/c HTTP/1.1\r\nHost: api.test\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n" + size.encode() + b"\r\n\r\n" + HIDDEN)
    for end in (b"\n", b"\r", b"", b"X\r\n", b"\r\n\r\n"):
        yield b"POST /repos/o/r/e HTTP/1.1\r\nHost: api.test\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc" + end + b"0\r\n\r\n" + HIDDEN
    yield b"GET /repos/o/r/g HTTP/1.1\r\nHost: api.test\r\nContent-Length: %d\r\n\r\n" % len(HIDDEN) + HIDDEN
    yield b"POST /repos/o/r/z HTTP/1.1\r\nHost: api.test\r\nContent-Length: 0\r\n\r\n" + HIDDEN


def test_hx10_no_framing_hides_a_request(world, guest, pair):
    """At most one request of each attempt goes up, normalised, and never the hidden one."""
    attempts = list(smuggles())
    assert len(attempts) > 1770
    random.Random(7).shuffle(attempts)
    mark = world.mark()
    for raw in attempts:
        with guest.connect("api.test", 80, tls=False) as s:
            try:
                s.sendall(raw)
                s.settimeout(0.02)
                s.recv(4096)
            except (TimeoutError, OSError):
                pass
    time.sleep(0.5)
    seen = [e for e in world.since(mark) if "head" in e]
    assert len(seen) <= len(attempts)
    for e in seen:
        assert "/repos/hidden" not in e["line"]
        head = e["head"].lower()
        assert e["line"].startswith(("POST /repos/o/r/", "GET /repos/o/r/")), e
        assert head.count("content-length:") + head.count("transfer-encoding:") <= 1, e
        assert head.count("\nhost:") == 1
        assert "transfer-encoding: chunked\r\n" in head or "transfer-encoding" not in head
    assert not [e for e in world.since(mark) if "trouble" in e and "ValueError" in e["trouble"]]
    assert guest.request("api.test", "/repos/o/r/after").status == 200


def test_hx11_limits_of_heads(world, guest):
    mark = world.mark()
    many = b"".join(b"X-%d: y\r\n" % i for i in range(10000))
    for head in (many, b"X: " + b"y" * (1 << 20) + b"\r\n", b"Cookie: " + b"a" * 70000 + b"\r\n", b"X" * 70000 + b": y\r\n"):
        assert one(guest, "echo.test", b"GET / HTTP/1.1\r\nHost: echo.test\r\n" + head + b"\r\n").status in (400, 431)
    assert one(guest, "echo.test", b"GET /" + b"a" * (1 << 17) + b" HTTP/1.1\r\nHost: echo.test\r\n\r\n").status in (400, 414, 431)
    assert [e for e in world.since(mark) if "head" in e] == []


def test_hx11_connection_nominates_nothing_away(world, guest):
    mark = world.mark()
    answer = guest.request("echo.test", "/n", fields=[("Connection", "close, host, authorization, x-mine, content-length"), ("Authorization", "Bearer mine"),
                                                      ("X-Mine", "1"), ("Keep-Alive", "1"), ("Proxy-Authorization", "Basic eDp5"), ("Proxy-Connection", "x"),
                                                      ("TE", "gzip"), ("Upgrade", "h2c"), ("HTTP2-Settings", "AAMAAABkAAQAAP__")])
    seen = [e["head"].lower() for e in world.since(mark) if "head" in e]
    if answer.status == 200:
        assert len(seen) == 1 and "host: echo.test" in seen[0]
        for gone in ("proxy-authorization", "proxy-connection", "keep-alive:", "http2-settings", "upgrade:", "x-mine, "):
            assert gone not in seen[0], gone
    else:
        assert answer.status in (400, 403) and not seen


def test_hx12_what_is_denied_in_a_pipeline_never_goes_up(world, guest):
    mark = world.mark()
    with guest.connect("api.test") as s:
        s.sendall(b"GET /repos/o/r/1 HTTP/1.1\r\nHost: api.test\r\n\r\nGET /repos/x/2 HTTP/1.1\r\nHost: api.test\r\n\r\n"
                  b"GET /repos/o/r/3 HTTP/1.1\r\nHost: evil.test\r\n\r\nGET /repos/o/r/4 HTTP/1.1\r\nHost: api.test\r\nConnection: close\r\n\r\n")
        got = read_all(s, 5)
    assert re.findall(rb"HTTP/1\.1 (\d+)", got) == [b"200", b"403", b"421"]
    assert {line for line, _ in sent(world, mark)} <= {"GET /repos/o/r/1 HTTP/1.1", "GET /repos/o/r/4 HTTP/1.1"}


def test_hx12_a_withheld_body_of_a_denied_request(world, guest):
    mark = world.mark()
    answer = one(guest, "api.test", b"POST /repos/x HTTP/1.1\r\nHost: api.test\r\nContent-Length: 10\r\nExpect: 100-continue\r\n\r\n")
    assert answer.status == 403 and b"100 Continue" not in answer.raw
    assert sent(world, mark) == []
    with guest.connect("api.test") as s:
        s.sendall(b"POST /repos/o/r/e HTTP/1.1\r\nHost: api.test\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n")
        s.settimeout(5)
        assert s.recv(100).startswith(b"HTTP/1.1 100")
        s.sendall(b"body")
        assert read_response(s).status == 200
    assert one(guest, "api.test", b"POST /repos/o/r HTTP/1.1\r\nHost: api.test\r\nContent-Length: 1\r\nExpect: 200-maybe\r\n\r\na").status in (200, 400, 417)


def test_hx13_each_request_of_a_connection_is_judged(world, pair, guest):
    mark = world.mark()
    with guest.connect("api.test") as s:
        for path, host, status in (("/repos/o/r/1", "api.test", 200), ("/repos/x", "api.test", 403), ("/repos/o/r/2", "api.test", 200),
                                   ("/repos/o/r/3", "api.test", 200), ("/repos/o/r/4", "echo.test", 421)):
            s.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
            assert read_response(s).status == status, (path, host)
    assert [line for line, _ in sent(world, mark)] == [f"GET /repos/o/r/{n} HTTP/1.1" for n in (1, 2, 3)]


# ---- HTTP/2 ----


def frame(kind, flags=0, stream=0, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def literal(name, value):
    """HPACK: literal without indexing, new name."""
    def text(raw):
        return (bytes([len(raw)]) if len(raw) < 127 else bytes([127]) + varint(len(raw) - 127)) + raw
    return b"\0" + text(name) + text(value)


def varint(n):
    out = b""
    while n >= 128:
        out, n = out + bytes([n & 127 | 128]), n >> 7
    return out + bytes([n])


def block(*fields):
    return b"".join(literal(n.encode("latin-1"), v.encode("latin-1")) for n, v in fields)


GOOD = [(":method", "GET"), (":scheme", "https"), (":authority", "echo.test"), (":path", "/h2")]
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4)


def h2(guest, raw, name="echo.test", timeout=3):
    """Frames that come back after @raw: list of (kind, flags, stream, payload), until the end or silence."""
    with guest.connect(name, alpn=["h2"]) as s:
        assert s.selected_alpn_protocol() == "h2"
        s.settimeout(timeout)
        got, frames = b"", []
        try:
            s.sendall(PREFACE + raw)
            while True:
                part = s.recv(65536)
                if not part:
                    break
                got += part
                while len(got) >= 9 and len(got) >= 9 + int.from_bytes(got[:3], "big"):
                    size = int.from_bytes(got[:3], "big")
                    frames.append((got[3], got[4], int.from_bytes(got[5:9], "big"), got[9:9 + size]))
                    got = got[9 + size:]
                if any(k == 0 and f & 1 or k in (3, 7) for k, f, _, _ in frames):
                    break
        except (TimeoutError, OSError):
            pass
        return frames


BAD_H2 = {
    "no path": [GOOD[0], GOOD[1], GOOD[2]], "no method": GOOD[1:], "no scheme": [GOOD[0], GOOD[2], GOOD[3]],
    "two paths": GOOD + [(":path", "/b")], "two authorities": GOOD + [(":authority", "evil.test")], "pseudo last": GOOD[:3] + [("x", "y"), GOOD[3]],
    "unknown pseudo": GOOD + [(":evil", "1")], "status": GOOD + [(":status", "200")], "upper": GOOD + [("X-Upper", "1")], "CRLF": GOOD + [("x", "a\r\nb: c")],
    "NUL": GOOD + [("x", "a\0b")], "connection": GOOD + [("connection", "close")], "te": GOOD + [("transfer-encoding", "chunked")],
    "te gzip": GOOD + [("te", "gzip")], "host differs": GOOD + [("host", "evil.test")], "authority differs": GOOD[:2] + [(":authority", "evil.test"), GOOD[3]],
    "scheme": [GOOD[0], (":scheme", "http"), *GOOD[2:]], "scheme ftp": [GOOD[0], (":scheme", "ftp"), *GOOD[2:]], "path absolute": GOOD[:3] + [(":path", "https://evil.test/")],
    "path empty": GOOD[:3] + [(":path", "")], "path space": GOOD[:3] + [(":path", "/a b")], "path CRLF": GOOD[:3] + [(":path", "/a\r\nX: y")],
    "method space": [(":method", "GET /x"), *GOOD[1:]], "length": GOOD + [("content-length", "5")], "userinfo": GOOD[:2] + [(":authority", "x@echo.test"), GOOD[3]],
    "connect": [(":method", "CONNECT"), (":authority", "evil.test:443")], "extended connect": [(":method", "CONNECT"), (":protocol", "websocket"), *GOOD[1:]],
    "empty name": GOOD + [("", "x")], "space name": GOOD + [("a b", "x")],
}


def test_hx14_h2_malformed_requests_never_go_up(world, guest, pair):
    assert any(k == 1 for k, _, _, _ in h2(guest, frame(1, 5, 1, block(*GOOD)))), "the positive twin"
    mark, wrong = world.mark(), []
    for name, fields in BAD_H2.items():
        frames = h2(guest, frame(1, 5, 1, block(*fields)))
        heads = [p for k, _, _, p in frames if k == 1]
        if heads and heads[0][:1] == b"\x88":  # :status 200
            wrong.append(name)
    assert not wrong
    assert [e for e in world.since(mark) if "head" in e] == []


def rss_kib(pid):
    for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1])
    return 0


FLOODS = {
    "rapid reset": lambda: b"".join(frame(1, 5, i, block(*GOOD)) + frame(3, 0, i, b"\0\0\0\x08") for i in range(1, 20001, 2)),
    "continuation": lambda: frame(1, 1, 1, block(*GOOD)) + b"".join(frame(9, 0, 1, b"\0\1x\1y" * 2000) for _ in range(500)),
    "settings": lambda: frame(4, 0, 0, struct.pack(">HI", 3, 100) * 100) * 5000, "ping": lambda: frame(6, 0, 0, b"12345678") * 50000,
    "priority": lambda: b"".join(frame(2, 0, i, struct.pack(">IB", i - 2 if i > 2 else 0, 1)) for i in range(1, 60001, 2)),
    "hpack bomb": lambda: b"".join(frame(1, 5, i, block(*GOOD) + b"\x40\1a" + b"\x7f\xe1\x1e" + b"b" * 4000 + b"\xbe" * 12000) for i in range(1, 100, 2)),
    "window": lambda: frame(8, 0, 0, b"\x7f\xff\xff\xff") * 3, "window zero": lambda: frame(8, 0, 0, b"\0\0\0\0"),
    "giant frame": lambda: b"\xff\xff\xff\x00\0\0\0\0\1" + b"x" * 100000, "data on 0": lambda: frame(0, 1, 0, b"x"), "even stream": lambda: frame(1, 5, 2, block(*GOOD)),
    "push": lambda: frame(5, 4, 1, b"\0\0\0\2" + block(*GOOD)), "goaway": lambda: frame(7, 0, 0, bytes(8)) * 1000,
    "empty data": lambda: frame(1, 4, 1, block(*GOOD)) + frame(0, 0, 1) * 50000, "unknown": lambda: frame(200, 0, 1, b"z" * 100) * 20000,
    "bad index": lambda: frame(1, 5, 1, b"\xff\xff\xff\xff\x0f"), "table size": lambda: frame(1, 5, 1, b"\x3f\xff\xff\xff\x7f" + block(*GOOD)),
}


@pytest.mark.parametrize("kind", FLOODS)
def test_hx14_h2_floods_are_bounded(world, guest, pair, kind):
    raw = FLOODS[kind]()
    ticks = cpu(pair.front.pid)
    h2(guest, raw, timeout=2)
    assert cpu(pair.front.pid) - ticks < 300, "seconds of CPU for one flood"
    assert rss_kib(pair.front.pid) + rss_kib(pair.vault.pid) < 64 << 10
    assert guest.request("echo.test", "/alive").status == 200


def cpu(pid):
    text = pathlib.Path(f"/proc/{pid}/stat").read_text()
    rest = text[text.rindex(")") + 2:].split()
    return int(rest[11]) + int(rest[12])


# ---- upgrades, redirects, hostile servers ----


def test_hx16_upgrades_only_where_a_rule_says_so(world, guest):
    mark = world.mark()
    shake = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    assert one(guest, "ws.test", f"GET /plain HTTP/1.1\r\nHost: ws.test\r\n{shake}\r\n".encode()).status in (400, 403)
    assert one(guest, "api.test", f"GET /other HTTP/1.1\r\nHost: api.test\r\n{shake}\r\n".encode()).status == 403
    assert [e for e in world.since(mark) if "head" in e] == []
    answer = one(guest, "echo.test", b"GET /h2c HTTP/1.1\r\nHost: echo.test\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n")
    assert answer.status != 101
    assert all("h2c" not in e["head"].split("\r\n", 1)[1] for e in world.since(mark) if "head" in e)
    with guest.connect("ws.test") as s:
        s.sendall(f"GET /ws/1 HTTP/1.1\r\nHost: ws.test\r\n{shake}\r\n".encode())
        answer = read_response(s)
        assert answer.status == 101 and answer.fields["sec-websocket-accept"] == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
        s.sendall(b"\x81\x85\1\2\3\4" + bytes(b ^ m_ for b, m_ in zip(b"hello", b"\1\2\3\4\1")))
        got = b""
        while len(got) < 7:
            got += s.recv(100)
        assert got == b"\x81\x05hello"
        s.sendall(b"\x81\x05hello")  # unmasked from a client: a fault, closed
        rest = read_all(s, 5)
        assert b"hello" not in rest


def test_hx16_data_after_101_is_frames(world, guest):
    """A WebSocket to an allowed host is not a tunnel for anything else."""
    mark = world.mark()
    with guest.connect("ws.test") as s:
        s.sendall(b"GET /ws/2 HTTP/1.1\r\nHost: ws.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                  b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
        assert read_response(s).status == 101
        s.sendall(b"GET /plain/../smuggled HTTP/1.1\r\nHost: evil.test\r\n\r\n")
        read_all(s, 5)
    assert not any("smuggled" in str(e) for e in world.since(mark))


def test_hx17_redirects_are_the_client_s_business(world, guest):
    for to in ("https://evil.test/", "http://169.254.169.254/", "http://echo.test/", "https://api.test/repos/x"):
        mark = world.mark()
        answer = guest.request("echo.test", f"/redirect?to={to}")
        assert answer.status == 302 and answer.fields["location"] == to
        assert len([e for e in world.since(mark) if "head" in e]) == 1
    assert guest.request("echo.test", "/hostile/cr").status == 502


@pytest.mark.parametrize("kind", ["split", "extra", "short", "two-lengths", "length-and-chunked", "http09", "bare-lf", "nul", "cr", "fold", "chunk-size", "chunk-0x",
                                  "switch", "many-fields"])
def test_hx18_hostile_servers_poison_nothing(world, guest, pair, kind):
    with guest.connect("echo.test") as s:
        s.sendall(f"GET /hostile/{kind} HTTP/1.1\r\nHost: echo.test\r\n\r\n".encode())
        first = read_response(s, timeout=8)
        if kind not in ("split", "extra", "short", "chunk-size"):
            assert first.status in (502, 503, 504), first
        assert b"POISON" not in first.body and first.status != 101
        assert b"SECRET-CHANNEL" not in first.raw
    for n in range(3):
        got = guest.request("echo.test", f"/clean{n}")
        assert got.status == 200 and f"/clean{n}".encode() in got.body, "an answer of another request"


def test_hx21_the_port_of_a_host_counts(world, guest):
    mark = world.mark()
    for name, port, host, good in (("echo.test", 443, "echo.test:443", True), ("echo.test", 443, "echo.test:8443", False), ("echo.test", 8443, "echo.test:8443", True),
                                   ("echo.test", 8443, "echo.test", False), ("echo.test", 443, "echo.test:80", False)):
        status = guest.request(name, "/port", port=port, host=host).status
        assert (status == 200) == good and status in (200, 400, 421), (port, host, status)
    assert len([e for e in world.since(mark) if "head" in e]) == 2


def test_o5_one_record_for_each_decision(world, pair, guest):
    before = pair.settled()
    g = Guest(pair)
    g.request("echo.test", "/rec")
    g.request("api.test", "/nope")
    assert one(guest, "echo.test", BROKEN["two hosts"]).status == 400
    with pytest.raises(LookupError):
        g.request("evil.test", "/")
    records = pair.audit[before:pair.settled()]
    https = [r for r in records if r.event == "http"]
    assert [(r.host, r.path, r.decision, r.rule, r.status) for r in https] == [
        ("echo.test", "/rec", "allow", "r1", 200), ("api.test", "/nope", "deny", "", 403), ("echo.test", "", "refused", "", 400)]
    dns = [(r.host, r.decision) for r in records if r.event == "dns"]
    assert dns.count(("echo.test", "allow")) == 1 and ("evil.test", "deny") in dns
    assert len([r for r in records if r.event not in ("dns", "http")]) == 0
