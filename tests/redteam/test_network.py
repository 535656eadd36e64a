"""Attacks of groups C of the cases: the network and names (promise P3), against a real front and vault.

Every byte that a guest could say to the stream service is said here directly, so that no VM is in the way:
the forwarder of a guest is convenience, not a control. O2 is what the rig's servers, its DNS and the
counters of the only link saw.
"""
import base64
import random
import socket
import struct
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from inet import messages as m
from inet.guest import Guest, Refused, dns_query, read_response
from inet.pair import GATEWAY, read_all
from inet.world import DNS, LINK_HOST, NAMES, PRIVATE, TRAPS, V6, wait_for

ECHO = NAMES["echo.test"]
METADATA = ["169.254.169.254", "fd00:ec2::254", "100.100.100.200", "168.63.129.16", "192.0.0.192"]


@pytest.fixture(scope="module")
def strict(make_pair):
    """Only echo.test:443 is allowed."""
    return make_pair(["echo.test:443"])


@pytest.fixture(scope="module")
def everything(make_pair):
    """`**`: the widest thing a user can write."""
    return make_pair(["**"])


def ends(sock, within=2.0):
    """One answer, or the end; either must come soon."""
    started = time.monotonic()
    with sock:
        got = read_response(sock, timeout=within).raw
    assert time.monotonic() - started < within, "no end, a client would hang"
    return got


def no_traffic(world, mark, packets, slack=6):
    """O2: no server, no DNS, no packet on the link (but a few of the link's own: ND, ARP)."""
    assert world.since(mark) == []
    assert world.packets() - packets <= slack


def settled(world, quiet=0.5, within=15):
    """Mark and packets once the servers of earlier tests have nothing more to say."""
    end = time.monotonic() + within
    mark, packets = world.mark(), world.packets()
    while time.monotonic() < end:
        time.sleep(quiet)
        before, mark, packets = mark, world.mark(), world.packets()
        if mark == before:
            break
    return mark, packets


def test_nw01_any_address_and_port_is_refused_at_once_and_recorded(world, strict):
    mark, packets, before = world.mark(), world.packets(), strict.settled()
    targets = [(a, p) for a in (NAMES["evil.test"], NAMES["other.test"], "8.8.8.8", V6, *TRAPS)
               for p in (22, 80, 443, 7000, random.randrange(1, 65536))]
    for to, port in targets:
        s = strict.stream(to, port)
        s.sendall(b"GET / HTTP/1.1\r\nHost: echo.test\r\n\r\n")
        assert not ends(s).startswith(b"HTTP/1.1 2")
    records = strict.new_audit(before, len(targets))
    assert len(records) == len(targets)
    assert all(r.decision != "allow" for r in records)
    no_traffic(world, mark, packets)


def test_nw01_a_connection_that_says_nothing_is_ended_and_dials_nothing(world, strict):
    mark = world.mark()
    silent = strict.stream(NAMES["evil.test"], 7000)
    assert ends(silent, 5) == b""
    assert world.since(mark) == []


def test_nw_a_denied_name_is_not_reached_by_its_address(world, make_pair):
    """Beside `**`: its addresses are known to nobody, since it is never looked up. With a protocol that names nothing, too."""
    pair = make_pair(["**", m.Rule("evil.test", m.DENY)])
    g = Guest(pair)
    with pytest.raises(LookupError):
        g.address("evil.test")
    mark, before = world.mark(), pair.settled()
    for port, said in ((7000, b"\0raw"), (22, b"SSH-2.0-x\r\n"), (80, b"GET / HTTP/1.1\r\nHost: %s\r\n\r\n" % NAMES["evil.test"].encode())):
        s = pair.stream(NAMES["evil.test"], port)
        s.sendall(said)
        got = ends(s)
        assert got == b"" or got.startswith(b"HTTP/1.1 403"), got
    assert world.since(mark) == []
    assert [(r.decision, r.reason) for r in pair.new_audit(before, 3)] == [("deny", "address")] * 3
    # One whose name was looked up, and is allowed, is reached.
    with g.connect("echo.test", 22, tls=False) as s:
        s.sendall(b"SSH-2.0-x\r\n")
        s.shutdown(socket.SHUT_WR)
        assert read_all(s) == b"220 ready\r\n250 SSH-2.0-x\r\n221 bye\r\n"


def test_what_is_open_at_the_end_is_recorded_first(world, make_pair):
    pair = make_pair(["echo.test"])
    g = Guest(pair)
    streams = [g.connect("echo.test", 22, tls=False) for _ in range(20)]
    for s in streams:
        assert s.recv(11) == b"220 ready\r\n"
    before = pair.settled()
    assert pair.front.call(m.DRAIN)[0] == 0
    records = pair.audit[before:]  # when it is answered, without waiting
    assert [(r.host, r.port, r.decision) for r in records] == [("echo.test", 22, "allow")] * 20
    for s in streams:
        assert ends(s) == b""


def test_a_reset_of_the_guest_is_one_outside(world, make_pair):
    """As the machine hands it on: closed without an end before. What was sent before it arrives."""
    g = Guest(make_pair(["echo.test"]))
    for torn, seen in ((True, False), (False, True)):
        mark = world.mark()
        s = g.connect("echo.test", 22, tls=False)
        assert s.recv(11) == b"220 ready\r\n"
        s.sendall(b"last words")
        if not torn:
            s.shutdown(socket.SHUT_WR)
            assert read_all(s) == b"250 last words221 bye\r\n"
        else:
            assert s.recv(14) == b"250 last words"
        s.close()
        end = time.monotonic() + 10
        while not [e for e in world.since(mark) if e.get("raw") == "" or "trouble" in e] and time.monotonic() < end:
            time.sleep(0.05)
        got = world.since(mark)
        assert any(e.get("raw") == "last words" for e in got)
        assert any(e.get("raw") == "" for e in got) == seen, got  # the end as the server read it
        assert any("ConnectionResetError" in e.get("trouble", "") for e in got) == torn, got


def test_nw03_only_tcp_and_dns_streams_exist(world, strict):
    mark, packets = settled(world)
    for port in (0, 1, 4, 5, 53, 80, 443, 1024, 0xffffffff):
        s = strict.pass_stream(port)
        try:
            s.sendall(m.stream_head(ECHO, 443) + b"GET / HTTP/1.1\r\n\r\n")
        except OSError:
            pass
        assert ends(s) == b""
    good = bytearray(m.stream_head(ECHO, 443))
    heads = []
    for at, value in ((0, 0x54), (3, 0), (4, 2), (4, 0), (5, 0), (5, 5), (5, 255), (12, 1), (23, 1), (24, 2),
                      (24, 255), (25, 1), (31, 1)):
        one = bytearray(good)
        one[at] = value
        heads.append(bytes(one))
    heads.append(bytes(good[:6]) + b"\0\0" + bytes(good[8:]))  # port 0
    for head in heads:
        s = strict.pass_stream(m.PORT_TCP)
        s.sendall(head)
        assert ends(s) == b"", head
    no_traffic(world, mark, packets)


def test_nw03_a_header_that_never_comes_is_not_waited_for(strict):
    s = strict.pass_stream(m.PORT_TCP)
    s.sendall(b"SBXT\1\4")
    started = time.monotonic()
    assert read_all(s, 9) == b""
    assert 3 < time.monotonic() - started < 8


def test_nw05_nothing_of_the_host_and_its_networks_even_under_allow_all(world, everything):
    mark, before = world.mark(), everything.settled()
    where = ["127.0.0.1", "127.1.2.3", "::1", PRIVATE, "10.0.0.5", "172.16.0.5", "192.168.77.5", "fd12::5",
             "100.64.0.5", "0.0.0.0", "::", "224.0.0.1", "ff02::1", "255.255.255.255", "198.51.100.7", "fe80::1",
             "198.18.0.254", "fd53:6278::fe"]
    for to in where:
        for port in (80, 443, 8098, 8099):
            s = everything.stream(to, port)
            s.sendall(b"GET / HTTP/1.1\r\nHost: x.test\r\n\r\n")
            assert not ends(s).startswith(b"HTTP/1.1 2"), to
    assert world.since(mark) == []
    records = everything.new_audit(before, len(where) * 4)
    assert all(r.decision != "allow" for r in records)


def test_nw05_a_service_of_the_host_only_where_a_rule_says_so(world, make_pair):
    pair = make_pair(["localhost:8099"])
    for to in ("198.18.0.254", "fd53:6278::fe"):
        mark = world.mark()
        s = pair.stream(to, 8099)
        s.sendall(b"GET /x HTTP/1.1\r\nHost: host.sbx.internal:8099\r\nConnection: close\r\n\r\n")
        assert ends(s, 5).startswith(b"HTTP/1.1 200"), to
        assert len([e for e in world.since(mark) if "head" in e]) == 1
    for port in (8098, 80):
        mark = world.mark()
        s = pair.stream("198.18.0.254", port)
        s.sendall(b"GET /x HTTP/1.1\r\nHost: host.sbx.internal\r\n\r\n")
        assert not ends(s).startswith(b"HTTP/1.1 2")
        assert world.since(mark) == []


@pytest.mark.parametrize("to", METADATA)
def test_nw06_metadata_services_are_not_reached_by_any_wildcard(world, make_pair, everything, to):
    mark = world.mark()
    for pair in (everything, ):
        for port in (80, 443):
            s = pair.stream(to, port)
            s.sendall(b"GET /latest/meta-data/ HTTP/1.1\r\nHost: x.test\r\n\r\n")
            assert not ends(s).startswith(b"HTTP/1.1 2")
        text = f"[{to}]" if ":" in to else to
        for line in (f"CONNECT {text}:80 HTTP/1.1\r\nHost: {text}:80", f"GET http://{text}/ HTTP/1.1\r\nHost: {text}"):
            s = pair.proxy()
            s.sendall(f"{line}\r\n\r\n".encode())
            assert not ends(s).startswith(b"HTTP/1.1 2"), line
    assert world.since(mark) == []


def test_nw06_ranges_around_a_metadata_service_do_not_open_it(world, make_pair):
    pair = make_pair(["169.254.0.0/16", "100.64.0.0/10", "168.63.0.0/16", "192.0.0.0/24", "fd00:ec2::/32"])
    mark = world.mark()
    for to in METADATA:
        s = pair.stream(to, 80)
        s.sendall(b"GET / HTTP/1.1\r\nHost: x.test\r\n\r\n")
        assert not ends(s).startswith(b"HTTP/1.1 2"), to
    assert world.since(mark) == []


SPELLINGS = [
    "2130706433", "0x7f000001", "0x7f.1", "0177.0.0.1", "127.1", "127.0.1", "017700000001", "0x7f.0x0.0x0.0x1",
    "127.0.0.1", "127.0.0.1.", "127.000.000.001", "1.0.0.127.in-addr.arpa", "%31%32%37.0.0.1", "localhost", "localhost.",
    "LOCALHOST", "foo.localhost", "[::1]", "[0:0:0:0:0:0:0:1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::127.0.0.1]",
    "[::]", "0", "0.0.0.0", "00000000", "[::ffff:a9fe:a9fe]", "[::ffff:169.254.169.254]", "[::169.254.169.254]",
    "[64:ff9b::a9fe:a9fe]", "[64:ff9b::169.254.169.254]", "[2002:a9fe:a9fe::1]", "[2002:a00:5::1]", "[fe80::1%25eth0]",
    "[fe80::1%eth0]", "[fe80::1]", "2852039166", "0xa9fea9fe", "0xA9.0xFE.0xA9.0xFE", "0251.0376.0251.0376",
    "169.254.43518", "169.16689662", "169.254.169.254.", "169.254.169.254..", "169.254.169.254 ", "%31%36%39.254.169.254",
    "169。254。169。254", "①⑥⑨.254.169.254", "[fd00:ec2::254]", "[FD00:EC2::254]", "[fd00:ec2:0:0::254]", "0xa.0.0.5", "10.0.5",
    "012.0.0.5", "[::a00:5]", "[::ffff:10.0.0.5]", "[::ffff:0a00:0005]", "[::ffff:0:10.0.0.5]", "host.sbx.internal",
    "host.docker.internal", "gateway.sbx.internal", "198.18.0.254",
]


def test_nw07_every_spelling_of_an_inner_address_is_refused_on_every_way(world, everything):
    assert len(SPELLINGS) >= 60
    mark, wrong = world.mark(), []
    for spelling in SPELLINGS:
        for request in (f"CONNECT {spelling}:80 HTTP/1.1\r\nHost: {spelling}:80\r\n\r\n",
                        f"GET http://{spelling}/ HTTP/1.1\r\nHost: {spelling}\r\n\r\n",
                        f"GET http://{spelling}:8099/ HTTP/1.1\r\nHost: {spelling}:8099\r\n\r\n"):
            s = everything.proxy()
            s.sendall(request.encode())
            got = s.recv(65536)
            if got.startswith(b"HTTP/1.1 200 Connection"):  # a name that may be tried: then what is sent fails
                s.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
                got = ends(s, 5)
            s.close()
            if got.startswith(b"HTTP/1.1 2") or got == b"":
                wrong.append((request, got))
        code_a = Guest(everything).resolve(spelling.strip("[]. ").encode().decode("latin-1"))
        if code_a[1] and not spelling.endswith(".sbx.internal") and not spelling.endswith("docker.internal"):
            wrong.append((spelling, code_a))
    assert not wrong
    assert [e for e in world.since(mark) if "dns" not in e] == []


def test_nw08_rebinding_a_name_leads_to_no_inner_address(world, make_pair):
    pair = make_pair(["**.bind.test", "**.cname.test"])
    g = Guest(pair)
    world.set_zone({
        "flip.bind.test": {"A": [[ECHO], ["10.0.0.5"], ["169.254.169.254"], ["127.0.0.1"]]},
        "mixed.bind.test": {"A": ["10.0.0.5", ECHO, "169.254.169.254"]},
        "inner.bind.test": {"A": ["10.0.0.5"]}, "meta.bind.test": {"A": ["169.254.169.254"]},
        "mapped.bind.test": {"AAAA": ["::ffff:10.0.0.5"]}, "loop.bind.test": {"A": ["127.0.0.1"], "AAAA": ["::1"]},
        "ula.bind.test": {"AAAA": ["fd12::5"]}, "nat64.bind.test": {"AAAA": ["64:ff9b::a9fe:a9fe"]},
        "gate.bind.test": {"A": ["198.18.0.1", "198.18.0.254"]},
        "to.cname.test": {"CNAME": ["inner.bind.test"]}, "out.cname.test": {"CNAME": ["meta.elsewhere.test"]},
        "meta.elsewhere.test": {"A": ["169.254.169.254"]}})
    for name, kind in (("inner", "A"), ("meta", "A"), ("mapped", "AAAA"), ("loop", "A"), ("loop", "AAAA"), ("ula", "AAAA"),
                       ("nat64", "AAAA"), ("gate", "A")):
        assert g.resolve(f"{name}.bind.test", kind)[1] == [], name
    for name in ("to.cname.test", "out.cname.test"):
        assert g.resolve(name)[1] == []
    assert g.resolve("mixed.bind.test")[1] == [ECHO]
    mark = world.mark()
    first = g.resolve("flip.bind.test")[1]
    assert first == [ECHO]
    for _ in range(6):  # whatever the DNS says now: the address of before, or an error
        try:
            g.request("flip.bind.test", tls=False, port=80)
        except OSError:
            pass
        for name in ("inner.bind.test", "meta.bind.test", "loop.bind.test", "to.cname.test", "ula.bind.test"):
            for tls in (False, True):
                with pytest.raises((Refused, OSError)):
                    answer = g.request(name, tls=tls, port=443 if tls else 80, way="connect")
                    raise Refused(answer) if answer.status >= 400 else AssertionError(answer)
    reached = {e["at"][0] for e in world.since(mark) if "at" in e}
    assert reached <= {ECHO}


def test_nw08_a_name_is_not_an_open_door_to_the_address_of_another(world, make_pair):
    """Claimed destination and name must belong together: who was not given that address is refused."""
    pair = make_pair(["echo.test:443", "other.test:443"])
    g = Guest(pair)
    g.address("echo.test"), g.address("other.test")
    mark = world.mark()
    s = g.connect("echo.test", to=NAMES["evil.test"])
    s.sendall(b"GET / HTTP/1.1\r\nHost: echo.test\r\n\r\n")
    assert b" 421 " in ends(s).split(b"\r\n")[0]
    s = g.connect("echo.test", to=NAMES["other.test"])
    s.sendall(b"GET / HTTP/1.1\r\nHost: echo.test\r\n\r\n")
    assert b" 421 " in ends(s).split(b"\r\n")[0]
    assert world.since(mark) == []


def test_nw10_no_question_about_a_refused_name_leaves(world, strict):
    mark, packets, before = world.mark(), world.packets(), strict.settled()
    g = Guest(strict)
    asked = 0
    for kind in ("A", "AAAA", "TXT", "NULL", "ANY", "MX", "SRV", "HTTPS", "CNAME", "PTR"):
        for edns in (False, True):
            secret = base64.b32encode(random.randbytes(30)).decode().lower()
            for name in (f"{secret}.evil.test", f"{secret[:20]}.{secret[20:]}.t.evil.test", f"{secret}.echo.test",
                         f"{secret[:8]}.echo.test.evil.test", f"echo.test.{secret}.com"):
                code, found = g.resolve(name, kind, edns=edns)
                assert found == [] and code in (3, 4, 5), (name, kind, code)
                asked += 1
    assert world.questions(mark) == []
    no_traffic(world, mark, packets)
    assert len(strict.new_audit(before, asked)) == asked


def test_nw10_reverse_look_ups_carry_nothing_out(world, strict):
    mark = world.mark()
    g = Guest(strict)
    for name in ("1.2.3.4.in-addr.arpa", "254.169.254.169.in-addr.arpa", "x" * 60 + ".in-addr.arpa",
                 ".".join("0" * 32) + ".ip6.arpa"):
        assert g.resolve(name, "PTR")[1] == []
    assert world.since(mark) == []


def test_nw12_hostile_dns_answers_harm_nobody(world, make_pair):
    pair = make_pair(["**.hostile.test", "echo.test"])
    question = lambda name, kind=1: dns_query(name, kind)[12:]  # noqa: E731
    head = lambda n, flags=0x8580: struct.pack(">HHHHH", flags, 1, n, 0, 0)  # noqa: E731
    q = question("x.hostile.test")
    a_record = b"\xc0\x0c" + struct.pack(">HHIH", 1, 1, 60, 4)
    raw = {
        "self": head(1) + b"\xc0\x0c\0\1\0\1", "loop": head(1) + q + b"\xc0" + bytes([12 + len(q)]) + b"\0\1\0\1\0\0\0\1\0\4abcd",
        "nul": head(1) + question("nul.hostile.test") + b"\x03a\0b\x04test\0\0\1\0\1\0\0\0\1\0\4" + socket.inet_aton(ECHO),
        "other": head(1) + question("echo.test") + a_record + socket.inet_aton("45.77.1.7"),
        "count": head(65535) + question("count.hostile.test") + (a_record + socket.inet_aton(ECHO)) * 3,
        "short": head(1) + question("short.hostile.test")[:3], "empty": b"", "head": head(1),
        "long": head(4000) + question("long.hostile.test") + (a_record + socket.inet_aton(ECHO)) * 4000,
        "rdlen": head(1) + question("rdlen.hostile.test") + b"\xc0\x0c" + struct.pack(">HHIH", 1, 1, 60, 65535) + b"abcd",
        "v6len": head(1) + question("v6len.hostile.test") + b"\xc0\x0c" + struct.pack(">HHIH", 28, 1, 60, 3) + b"abc",
        "query": head(0, 0x0100) + question("query.hostile.test"),
    }
    world.set_zone({f"{n}.hostile.test": {"raw": base64.b64encode(b).decode()} for n, b in raw.items()})
    world.set_zone({f"c{i}.hostile.test": {"CNAME": [f"c{i + 1}.hostile.test"]} for i in range(50)})
    world.set_zone({"c50.hostile.test": {"A": [ECHO]}})
    g = Guest(pair)
    with ThreadPoolExecutor(len(raw)) as pool:  # some are waited for until the resolver's own limit
        for code, found in pool.map(lambda name: g.resolve(f"{name}.hostile.test", timeout=25), raw):
            assert "45.77.1.7" not in found
            assert code != 0 or len(found) <= 64
    g.resolve("c0.hostile.test")
    assert g.resolve("echo.test") == (0, [ECHO])
    assert g.request("echo.test").status == 200


def test_nw13_other_resolvers_are_not_reached(world, strict):
    mark = world.mark()
    for to in (DNS, "8.8.8.8", "1.1.1.1"):
        for port in (53, 853, 443, 5353):
            s = strict.stream(to, port)
            s.sendall(struct.pack(">H", 29) + dns_query("a.evil.test"))
            assert ends(s, 5) == b""
    assert world.since(mark) == []


def test_nw14_nw16_the_proxy_and_the_redirected_way_give_one_verdict(world, make_pair):
    """O9: one list of requests, each way, one vector."""
    pair = make_pair([m.Rule("echo.test"), m.Rule("api.test:443", path="/repos/o/r/**", methods=("GET",)),
                      m.Rule("deny.test", m.DENY), m.Rule("other.test:80")])
    world.set_zone({"deny.test": {"A": [NAMES["evil.test"]]}})
    g = Guest(pair)
    asks = [("echo.test", 443, "GET", "/a"), ("echo.test", 80, "GET", "/a"), ("echo.test", 8443, "GET", "/a"),
            ("api.test", 443, "GET", "/repos/o/r/x"), ("api.test", 443, "GET", "/repos/o/r2"),
            ("api.test", 443, "GET", "/repos/o/r/../../p"), ("api.test", 443, "POST", "/repos/o/r/x"),
            ("api.test", 80, "GET", "/repos/o/r/x"), ("deny.test", 443, "GET", "/"), ("deny.test", 80, "GET", "/"),
            ("evil.test", 443, "GET", "/"), ("evil.test", 80, "GET", "/"), ("other.test", 80, "GET", "/"),
            ("other.test", 443, "GET", "/"), ("sub.echo.test", 443, "GET", "/"), ("169.254.169.254", 80, "GET", "/"),
            ("10.0.0.5", 80, "GET", "/"), ("127.0.0.1", 8099, "GET", "/")]

    def verdict(way, name, port, method, path):
        tls = port in (443, 8443)
        try:
            if way == "redirect" and name[0].isdigit():
                s = pair.stream(name, port)
                s.sendall(f"{method} {path} HTTP/1.1\r\nHost: {name}\r\n\r\n".encode())
                return ends(s, 5).startswith(b"HTTP/1.1 2")
            return g.request(name, path, method, port=port, tls=tls, way=way).status == 200
        except (LookupError, Refused, OSError):
            return False

    vectors = {way: {a: verdict(way, *a) for a in asks} for way in ("redirect", "connect")}
    plain = [a for a in asks if a[1] not in (443, 8443)]
    vectors_plain = {way: {a: verdict(way, *a) for a in plain} for way in ("redirect", "connect", "absolute")}
    from inet.oracles import vectors_equal
    vectors_equal(vectors)
    vectors_equal(vectors_plain)
    assert [a for a, ok in vectors["redirect"].items() if ok] == [asks[0], asks[1], asks[2], asks[3], asks[12]]
    assert not any(e["at"][0] in (NAMES["evil.test"], *TRAPS) for e in world.log()[-60:] if "at" in e)


def test_nw16_connect_within_connect_and_to_the_proxy_itself(world, everything):
    mark = world.mark()
    for target in (f"{GATEWAY}:3128", "gateway.sbx.internal:3128", "[fd53:6278::1]:3128", f"{GATEWAY}:53"):
        s = everything.proxy()
        s.sendall(f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n".encode())
        assert not ends(s).startswith(b"HTTP/1.1 2"), target
        s = everything.stream(GATEWAY, int(target.rsplit(":", 1)[1]))  # redirected to itself
        s.sendall(b"GET / HTTP/1.1\r\nHost: gateway.sbx.internal\r\n\r\n")
        assert not ends(s, 5).startswith(b"HTTP/1.1 2")
    s = everything.proxy()
    s.sendall(b"CONNECT echo.test:80 HTTP/1.1\r\nHost: echo.test:80\r\n\r\n")
    s.settimeout(5)
    assert s.recv(4096).startswith(b"HTTP/1.1 200")
    s.sendall(b"CONNECT evil.test:80 HTTP/1.1\r\nHost: evil.test:80\r\n\r\n")
    assert not ends(s).startswith(b"HTTP/1.1 2")
    assert [e for e in world.since(mark) if "head" in e] == []


def test_nw17_ports_are_numbers_and_nothing_else(world, strict):
    mark = world.mark()
    for authority in ("echo.test:0", "echo.test:65536", "echo.test:65979", "echo.test:443:22", "echo.test:", "echo.test",
                      "echo.test:+443", "echo.test:-443", "echo.test: 443", "echo.test:443 ", "echo.test:4_43", "echo.test:0x1bb",
                      "echo.test:443#", "echo.test:443/", "echo.test:443@evil.test:443", "echo.test:22", "echo.test:8443",
                      "echo.test:80", "echo.test:4294967739", "echo.test:18446744073709552059", ":443", "echo.test:4４3"):
        s = strict.proxy()
        s.sendall(f"CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n".encode())
        assert not ends(s).startswith(b"HTTP/1.1 2"), authority
    Guest(strict).address("echo.test")
    for port in (22, 80, 8443, 444, 442, 1, 65535):
        s = strict.stream(ECHO, port)
        s.sendall(b"GET / HTTP/1.1\r\nHost: echo.test\r\n\r\n")
        assert not ends(s).startswith(b"HTTP/1.1 2"), port
    assert [e for e in world.since(mark) if "at" in e] == []


def test_nw21_another_sandbox_s_names_mean_nothing_here(world, make_pair, strict):
    """What one sandbox looked up opens nothing for its neighbour: pins are of one front."""
    neighbour = make_pair(["echo.test:443", "other.test:443"])
    Guest(neighbour).address("other.test")
    Guest(neighbour).address("echo.test")
    fresh = make_pair(["other.test:443"])
    mark = world.mark()
    s = fresh.stream(NAMES["other.test"], 443)
    t = fresh.tls(s, "other.test")
    t.sendall(b"GET / HTTP/1.1\r\nHost: other.test\r\n\r\n")
    assert b" 421 " in ends(t).split(b"\r\n")[0]
    assert world.since(mark) == []


def test_raw_tcp_by_rules_half_close_and_server_first(world, make_pair):
    """The positive twin: SSH-like protocols where the server speaks first, and half-close."""
    pair = make_pair(["echo.test:2525", f"{NAMES['other.test']}:80"])
    g = Guest(pair)
    mark = world.mark()
    s = g.connect("echo.test", 2525, tls=False)
    s.settimeout(5)
    assert s.recv(100) == b"220 ready\r\n"
    s.sendall(b"HELO\r\n")
    assert s.recv(100) == b"250 HELO\r\n"
    s.shutdown(socket.SHUT_WR)
    assert read_all(s, 5) == b"221 bye\r\n"
    s.close()
    assert [e["raw"] for e in world.since(mark) if "raw" in e] == ["HELO\r\n", ""]
    s = g.connect("echo.test", 22, tls=False)  # another port is not allowed
    assert read_all(s, 5) == b""


def test_a_server_that_ends_first_is_heard(world, make_pair):
    """Its end arrives while the client still has its own direction, which goes on."""
    g = Guest(make_pair(["echo.test:2525"]))
    mark = world.mark()
    s = g.connect("echo.test", 2525, tls=False)
    s.settimeout(5)
    assert s.recv(100) == b"220 ready\r\n"
    s.sendall(b"QUIT\r\n")
    assert s.recv(100) == b"221 bye\r\n"
    assert s.recv(100) == b""
    s.sendall(b"more")
    wait_for(lambda: [e for e in world.since(mark) if e.get("raw") == "more"])
    s.close()
    wait_for(lambda: [e for e in world.since(mark) if e.get("raw") == ""])


def test_the_rule_of_a_change_holds_at_once_and_cuts_what_it_forbids(world, make_pair):
    pair = make_pair(["echo.test"])
    g = Guest(pair)
    held = g.connect("echo.test", 2525, tls=False)
    held.settimeout(5)
    assert held.recv(100) == b"220 ready\r\n"
    web = g.connect("echo.test", 443)
    pair.rules("other.test:443")
    started = time.monotonic()
    assert read_all(held, 2) == b""
    assert time.monotonic() - started < 0.5
    mark = world.mark()
    try:
        web.sendall(b"GET / HTTP/1.1\r\nHost: echo.test\r\n\r\n")
        assert not ends(web).startswith(b"HTTP/1.1 2")
    except OSError:
        pass
    assert [e for e in world.since(mark) if "head" in e] == []


def test_nw09_the_host_s_own_public_address_is_not_a_way_in(world, make_pair):
    pair = make_pair(["own.test"])
    world.set_zone({"own.test": {"A": [LINK_HOST]}})
    mark = world.mark()
    try:
        answer = Guest(pair).request("own.test", port=8098, tls=False)
        assert answer.status >= 400
    except (LookupError, OSError):
        pass
    assert [e for e in world.since(mark) if "head" in e] == []
