"""Attacks of groups E and F of the cases: credentials and TLS (promises P4, P5), against a real front and vault.

Every test has a fresh canary as its secret. O1: it is nowhere but in the vault and in the one slot of
the one server. The guest holds a stand-in, which is worth nothing anywhere else.
"""
import base64
import gzip
import itertools
import json
import os
import pathlib
import socket
import ssl
import subprocess
import time
import urllib.parse

import pytest

from inet import messages as m
from inet import oracles
from inet.guest import Guest, read_response
from inet.pair import read_all
from inet.world import BAD, NAMES, wait_for


def sentinel():
    return "SBXS" + os.urandom(20).hex()


class Held:
    """Two credentials: one for api.test (a header), one for github.test (Basic); keys as a query for other.test."""

    def __init__(self, make_pair, **more):
        self.api, self.git, self.key = sentinel(), sentinel(), sentinel()
        self.secret = "Real/+" + os.urandom(18).hex() + '"=&%'
        self.git_secret, self.key_secret = "ghp_" + os.urandom(18).hex(), "AIza" + os.urandom(18).hex()
        self.pair = make_pair(
            [m.Rule("echo.test"), m.Rule("api.test"), m.Rule("github.test"), m.Rule("other.test"), m.Rule("oauth.test:443"),
             *(m.Rule(n) for n in BAD)],
            [m.Credential("api", self.api, [m.Slot("api.test:443"), m.Slot("*.bad.test:443"), m.Slot("a.wild.bad.test:443")]),
             m.Credential("git", self.git, [m.Slot("github.test:443", m.BASIC, "", "", "", "x-access-token")]),
             m.Credential("key", self.key, [m.Slot("other.test:443", m.QUERY, "key", "%s")])], **more)
        for name, value in (("api", self.secret), ("git", self.git_secret), ("key", self.key_secret)):
            self.pair.put_secret(name, value)
        self.guest = Guest(self.pair)
        self.secrets = [self.secret, self.git_secret, self.key_secret]

    def bearer(self, value=None):
        return [("Authorization", f"Bearer {value or self.api}")]


@pytest.fixture(scope="module")
def held(make_pair):
    return Held(make_pair)


def heads(world, mark):
    return [e["head"] for e in world.since(mark) if "head" in e]


def nothing_sent(world, mark, *secrets):
    """No request has gone up, and no secret in any form."""
    assert heads(world, mark) == []
    assert_no_secret(world, mark, secrets)


def assert_no_secret(world, mark, secrets):
    seen = repr(world.since(mark)).encode()
    for secret in secrets:
        assert oracles.scan_bytes(seen, oracles.needles(secret)) == []


def clean(data, secrets):
    """O1 on bytes which the guest got."""
    for secret in secrets:
        hits = oracles.scan_bytes(data, {n: v for n, v in oracles.needles(secret).items()
                                         if n not in ("reversed", "utf16", "hex", "HEX")})
        assert hits == [], (hits, data[:2000])


def test_the_positive_twin_each_slot_gets_the_real_value(world, held):
    g, mark = held.guest, world.mark()
    assert g.request("api.test", "/a", fields=held.bearer()).status == 200
    assert g.request("api.test", "/b").status == 200  # none sent: it is added
    basic = base64.b64encode(f"x-access-token:{held.git}".encode()).decode()
    assert g.request("github.test", "/c", fields=[("Authorization", f"Basic {basic}")]).status == 200
    assert g.request("other.test", f"/d?a=1&key={held.key}&b=2").status == 200
    seen = heads(world, mark)
    assert len(seen) == 4
    assert all(f"authorization: Bearer {held.secret}\r\n" in s for s in seen[:2])
    assert "authorization: Basic " + base64.b64encode(f"x-access-token:{held.git_secret}".encode()).decode() in seen[2]
    assert f"/d?a=1&key={held.key_secret}&b=2 " in seen[3]
    assert [r.credential for r in held.pair.audit[:held.pair.settled()] if r.event == "http"][-4:] == ["api", "api", "git", "key"]


def test_cr01_the_secret_is_nowhere_but_in_the_vault(world, held):
    pair, g = held.pair, held.guest
    for form in ("raw", "base64", "json", "percent"):
        g.request("api.test", f"/echo?form={form}", fields=held.bearer())
    g.request("api.test", "/status/500", fields=held.bearer())
    g.request("github.test", "/x")
    resolvers = [p for p in oracles.descendants(pair.vault.pid) if p != pair.vault.pid]
    assert resolvers, "the resolver is a process of its own"
    for secret in held.secrets:
        forms = oracles.needles(secret)
        assert oracles.scan_tree(pair.base, forms) == {}
        assert oracles.scan_bytes(repr(pair.audit).encode(), forms) == []
        for pid in (pair.front.pid, pair.front.spawner.pid, pair.vault.spawner.pid, *resolvers):
            hits, seen = oracles.scan_process(pid, forms)
            assert hits == [] and seen > 100000, (pid, hits)
        assert oracles.scan_process(pair.vault.pid, forms)[0], "the scan finds it where it is"
        for name in ("environ", "cmdline"):
            data = pathlib.Path(f"/proc/{pair.vault.pid}/{name}").read_bytes()
            assert oracles.scan_bytes(data, forms) == []


def test_cr16_no_core_and_not_dumpable(held):
    for program in (held.pair.vault, held.pair.front):
        limits = pathlib.Path(f"/proc/{program.pid}/limits").read_text()
        assert "Max core file size 0 0" in " ".join(limits.split())
        status = pathlib.Path(f"/proc/{program.pid}/status").read_text()
        assert "NoNewPrivs:\t1" in status and "Seccomp:\t2" in status and "CapEff:\t0000000000000000" in status


def test_cr02_a_stand_in_at_a_host_that_it_is_not_for(world, held):
    mark = world.mark()
    for name, tls in itertools.product(("echo.test", "other.test", "github.test"), (True, False)):
        for field in (held.bearer(), [("X-Api-Key", held.api)], [("Cookie", f"t={held.api}")]):
            answer = held.guest.request(name, "/x", fields=field, tls=tls, port=443 if tls else 80)
            assert answer.status == 403, (name, tls, answer)
    nothing_sent(world, mark, *held.secrets, held.api)


def test_cr03_two_credentials_do_not_mix(world, held):
    mark = world.mark()
    g = held.guest
    for name, fields in (("api.test", held.bearer(held.git)), ("api.test", held.bearer() + [("X-Other", held.git)]),
                         ("api.test", held.bearer() + [("Authorization", f"Bearer {held.api}")]),
                         ("api.test", held.bearer() + [("Authorization", "Bearer mine")]), ("api.test", held.bearer(f"{held.api}{held.git}")),
                         ("api.test", held.bearer(f"{held.api}, Bearer {held.api}"))):
        assert g.request(name, "/x", fields=fields).status in (400, 403), fields
    assert g.request("other.test", f"/d?key={held.key}&key={held.key}").status in (400, 403)
    assert g.request("other.test", f"/d?key={held.key}&x={held.api}").status == 403
    nothing_sent(world, mark, *held.secrets)


def test_cr04_a_stand_in_anywhere_but_in_its_slot(world, held):
    g, mark, s = held.guest, world.mark(), held.api
    quoted = "".join(f"%{ord(c):02x}" for c in s)
    body = lambda kind, raw: dict(method="POST", fields=[*held.bearer(), ("Content-Type", kind)], body=raw.encode())  # noqa: E731
    table = [("/x/" + s, {}), ("/x?q=" + s, {}), ("/x?" + s + "=1", {}), ("/x/" + quoted, {}), ("/x?q=" + quoted, {}),
             ("/x", dict(fields=[("Cookie", "a=" + s)])), ("/x", dict(fields=[("Referer", "https://x/" + s)])),
             ("/x", dict(fields=[("User-Agent", s)])), ("/x", dict(fields=[(s, "x")])), ("/x", dict(fields=[("X-Y", f"a {s} b")])),
             ("/x", body("application/x-www-form-urlencoded", f"token={s}")), ("/x", body("application/json", f'{{"token": "{s}"}}')),
             ("/x", body("application/json", f'{{"{s}": 1}}'))]
    for path, more in table:
        answer = g.request("api.test", path, **more)
        assert answer.status in (400, 403), (path, more, answer)
    assert g.request("api.test", "/x", method=s[:20]).status in (400, 403, 501, 200)
    assert all(held.secret not in h or "authorization: Bearer" in h for h in heads(world, mark))
    assert not [h for h in heads(world, mark) if h.startswith(("POST /x ", "GET /x/", "GET /x?"))]


def test_cr04_a_model_may_be_told_of_its_own_stand_in(world, make_pair):
    """`bodies: pass`: what an agent printed goes to its model as it is, and the record says so."""
    model, other, secrets = sentinel(), sentinel(), ["m" + os.urandom(18).hex(), "o" + os.urandom(18).hex()]
    pair = make_pair(["api.test:443", "github.test:443", "echo.test:443"],
                     [m.Credential("model", model, [m.Slot("api.test:443")], pass_body=True), m.Credential("other", other, [m.Slot("github.test:443")])])
    pair.put_secret("model", secrets[0])
    pair.put_secret("other", secrets[1])
    g, mark = Guest(pair), world.mark()
    post = lambda host, what, **more: g.request(host, "/v1/messages", method="POST", body=json.dumps({"history": [f"KEY={what}"]}).encode(),  # noqa: E731
                                                fields=[("Content-Type", "application/json")], **more)
    answer = post("api.test", model)
    assert answer.status == 200
    (seen,) = [e for e in world.since(mark) if "head" in e]
    assert f"Bearer {secrets[0]}\r\n" in seen["head"] and seen["body"] == json.dumps({"history": [f"KEY={model}"]})
    wait_for(lambda: any(r.event == "http" for r in pair.audit))
    (record,) = [r for r in pair.audit if r.event == "http"]
    assert record.credential == "model" and "stand-in in body" in record.note
    mark = world.mark()
    for host, what in (("api.test", other), ("api.test", model + other), ("github.test", model), ("echo.test", model), ("github.test", other)):
        assert post(host, what).status == 403, (host, what)
    assert post("api.test", model, tls=False, port=80).status == 403
    nothing_sent(world, mark, *secrets, model, other)


def test_cr04_a_stand_in_in_a_trailer_or_in_websocket_frames_is_never_replaced(world, held):
    mark = world.mark()
    with held.guest.connect("api.test") as s:
        s.sendall(f"POST /tr HTTP/1.1\r\nHost: api.test\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n1\r\na\r\n0\r\nX-T: {held.api}\r\n\r\n".encode())
        read_response(s, timeout=5)
    for e in world.since(mark):
        text = repr(e)
        assert text.count(held.secret) <= 1 and "X-T: " + held.secret not in text


@pytest.mark.parametrize("via", ["body", "header", "gzip", "bytes", "error"])
@pytest.mark.parametrize("form", ["raw", "base64", "percent", "json", "base64url"])
def test_cr05_reflection_is_masked(world, held, via, form):
    answer = held.guest.request("api.test", f"/echo?form={form}&via={via}", fields=held.bearer())
    assert answer.status in (200, 500, 502), answer
    body = answer.body
    if answer.fields.get("content-encoding") == "gzip":
        body = gzip.decompress(body)
    clean(answer.raw, held.secrets)
    clean(body, held.secrets)
    if answer.status == 200 and via in ("body", "bytes", "gzip"):
        assert body.startswith(b"before ") and body.endswith(b" after")


def test_placeholders_of_one_s_own_in_declared_places_only(world, make_pair):
    """A field, the path and small bodies, each where a slot says so; the same stand-in elsewhere is refused."""
    marks, secrets = [sentinel() for _ in range(3)], ["Own/+ " + os.urandom(18).hex() + '"?' for _ in range(3)]
    pair = make_pair(["api.test:443", "echo.test:443"], [m.Credential(f"own{n}", marks[n], [m.Slot("api.test:443", m.PLACEHOLDER, place)])
                                                         for n, place in enumerate(("x-hook", ":path", ":body"))])
    for n, secret in enumerate(secrets):
        pair.put_secret(f"own{n}", secret)
    g, mark = Guest(pair), world.mark()
    assert g.request("api.test", "/a", fields=[("X-Hook", f"key={marks[0]};v=1")]).status == 200
    assert g.request("api.test", f"/bot{marks[1]}/send").status == 200
    assert g.request("api.test", "/c", method="POST", fields=[("Content-Type", "application/json")], body=json.dumps({"s": marks[2]}).encode()).status == 200
    assert g.request("api.test", "/d", method="POST", fields=[("Content-Type", "application/x-www-form-urlencoded")], body=f"s={marks[2]}&x".encode()).status == 200
    seen = [e for e in world.since(mark) if "head" in e]
    assert f"x-hook: key={secrets[0]};v=1\r\n" in seen[0]["head"]
    assert seen[1]["head"].startswith(f"GET /bot{urllib.parse.quote(secrets[1], safe='')}/send HTTP")
    assert json.loads(seen[2]["body"]) == {"s": secrets[2]}
    assert urllib.parse.parse_qs(seen[3]["body"])["s"] == [secrets[2]]
    records = [r for r in pair.audit[:pair.settled()] if r.event == "http"]
    assert [r.credential for r in records] == ["own0", "own1", "own2", "own2"] and not any(s in repr(records) for s in secrets)
    answer = g.request("api.test", "/echo?form=raw", method="POST", fields=[("Content-Type", "application/json")], body=json.dumps({"s": marks[2]}).encode())
    assert answer.status == 200
    clean(answer.raw, secrets)
    mark = world.mark()
    for n, value in enumerate(marks):
        places = [("/x", dict(fields=[("X-Hook", value)])), (f"/{value}", {}), (f"/?q={value}", {}), ("/x", dict(fields=[("Cookie", value)])),
                  ("/x", dict(method="POST", body=value.encode(), fields=[("Content-Type", "text/plain")]))]
        own = {0: 0, 1: 1, 2: 4}[n]
        for at, (path, more) in enumerate(places):
            for host in ("api.test", "echo.test"):
                if host == "echo.test" or at != own:
                    assert g.request(host, path, **more).status == 403, (host, n, path, more)
    nothing_sent(world, mark, *secrets, *marks)


def test_cr05_a_reflection_asked_for_piece_by_piece(world, held):
    """Pieces by Range are those of the masked whole, from one byte to all that is left."""
    whole = held.guest.request("api.test", "/pieces", fields=held.bearer()).body
    clean(whole, held.secrets)
    assert whole.startswith(b"." * 40 + b"Bearer *") and whole.endswith(b"*" + b"." * 40)

    def piece(span):
        return held.guest.request("api.test", "/pieces", fields=[*held.bearer(), ("Range", f"bytes={span}")])
    for first, last in [(n, n) for n in range(38, len(whole) - 38, 5)] + [(n, n + 6) for n in range(30, len(whole) - 30, 7)]:
        got = piece(f"{first}-{last}")
        assert (got.status, got.body) == (206, whole[first:last + 1])
        assert got.fields["content-range"] == f"bytes {first}-{last}/{len(whole)}"
    for first in (0, 47, 50, len(whole) - 41, len(whole) - 1):
        assert piece(f"{first}-").body == whole[first:] and piece(f"-{first + 1}").body == whole[-first - 1:]
    assert piece(f"{len(whole)}-").status == 416
    several = piece("40-50,60-70")
    assert (several.status, several.body) == (200, whole)


def test_cr05_whole_requests_echoed_back_and_unknown_encodings(world, held):
    for path in ("/echo?form=json-all", "/echo?via=unknown&form=raw"):
        answer = held.guest.request("api.test", path, fields=held.bearer())
        clean(answer.raw, held.secrets)
    assert answer.status == 502, "a body that cannot be looked into is refused"
    basic = base64.b64encode(f"x-access-token:{held.git}".encode()).decode()
    for form in ("raw", "base64", "json-all"):
        clean(held.guest.request("github.test", f"/echo?form={form}", fields=[("Authorization", f"Basic {basic}")]).raw, held.secrets)
    clean(held.guest.request("other.test", f"/echo?key={held.key}&form=raw").raw, held.secrets)
    clean(held.guest.request("other.test", f"/redirect?to=/x&key={held.key}").raw, held.secrets)


def test_hx07_a_credential_for_some_paths_and_spellings_of_others(world, make_pair):
    """No rule looks at paths here: that the credential does is enough for a path to need one reading."""
    stand_in, secret = sentinel(), "path" + os.urandom(16).hex()
    pair = make_pair(["api.test:443"], [m.Credential("scoped", stand_in, [m.Slot("api.test:443", path="/repos/o/r/**")])])
    pair.put_secret("scoped", secret)
    g, mark = Guest(pair), world.mark()
    for path in ("/repos/o/r/..%2f..%2fx", "/repos/o/r/..%5cx", "/repos/o/r/..;/..;/x", "/repos/o/r/%252e%252e/x", "/repos/o/r//x",
                 "/repos/o/r/a;b", "/repos/o/r/%c0%ae%c0%ae/x", "//repos/o/r/x", "/repos/o%2fr/x", "/repos/o/r/a%3fb", "/repos/o/r/%01",
                 "/repos/o/r/../../x", "/repos/o/r/%2e%2e/x", "/repos/o/R/x", "/repos/o/r2"):
        for fields in ([("Authorization", f"Bearer {stand_in}")], []):
            assert g.request("api.test", path, fields=fields).status in ((400, 403) if fields else (200, 400, 403)), path
    assert all(secret not in h and stand_in not in h for h in heads(world, mark))
    assert g.request("api.test", "/repos/o/r/./x/../y", fields=[("Authorization", f"Bearer {stand_in}")]).status == 200
    assert heads(world, mark)[-1].startswith("GET /repos/o/r/y ") and f"Bearer {secret}\r\n" in heads(world, mark)[-1]


def test_cr07_encoded_stand_ins_are_replaced_whole_or_refused(world, held):
    g, mark, s = held.guest, world.mark(), held.api
    half = len(s) // 2
    table = ["".join(f"%{ord(c):02X}" for c in s), base64.b64encode(s.encode()).decode(), "".join(f"\\u{ord(c):04x}" for c in s),
             urllib.parse.quote(urllib.parse.quote("".join(f"%{ord(c):02X}" for c in s))), s[:half], s[half:], s[:-1], s + "x", "x" + s, s.lower(), s.upper() + "x", s[::-1]]
    for value in table:
        assert g.request("api.test", "/enc", fields=held.bearer(value)).status == 403, value
    for user in (f"x:{base64.b64encode(held.git.encode()).decode()}", f"{held.git[:10]}:{held.git[10:]}", f"x-access-token:{held.git}x", "a:b", f"x-access-token:{held.api}"):
        basic = base64.b64encode(user.encode()).decode()
        assert g.request("github.test", "/enc", fields=[("Authorization", f"Basic {basic}")]).status == 403, user
    nothing_sent(world, mark, *held.secrets)
    with g.connect("api.test") as c:  # split across writes: one value all the same
        raw = f"GET /split HTTP/1.1\r\nHost: api.test\r\nConnection: close\r\nAuthorization: Bearer {s}\r\n\r\n".encode()
        for i in range(0, len(raw), 7):
            c.sendall(raw[i:i + 7])
            time.sleep(0.001)
        assert read_response(c).status == 200
    assert f"authorization: Bearer {held.secret}\r\n" in heads(world, mark)[0]


def test_cr08_stand_ins_of_others_and_guesses(world, make_pair):
    """On the wire; a million guesses in memory: tests/unit/egress/test_cred.c."""
    held, other = Held(make_pair), Held(make_pair)
    mark, before = world.mark(), held.pair.settled()
    for value in (other.api, other.git, sentinel(), "SBXS" + "0" * 40, held.api[:-1] + "g"):
        assert held.guest.request("api.test", "/g", fields=held.bearer(value)).status == 403
    with held.guest.connect("api.test") as s:
        for _ in range(3000):
            s.sendall(f"GET /g HTTP/1.1\r\nHost: api.test\r\nAuthorization: Bearer {sentinel()}\r\n\r\n".encode())
            assert read_response(s).status == 403
    nothing_sent(world, mark, *held.secrets, *other.secrets)
    # each is recorded, and that there are many within a minute once more
    held.pair.front.wait(lambda: sum(r.reason in ("foreign_credential", "sentinel") for r in held.pair.audit[before:]) >= 3005, 30)
    alarms = [r for r in held.pair.audit[before:] if r.reason == "guessing"]
    assert 1 <= len(alarms) <= 3 and alarms[0].host == "api.test" and alarms[0].decision == "refused"


def test_cr10_exactly_one_authorization_goes_up(world, held):
    mark, wrong = world.mark(), []
    s = held.api
    for name, fields in {"two": f"Authorization: Bearer {s}\r\nAuthorization: Bearer x\r\n", "case": f"authorization: Bearer {s}\r\nAUTHORIZATION: Bearer x\r\n",
                         "space": f"Authorization : Bearer {s}\r\n", "fold": f"Authorization: Bearer\r\n {s}\r\n", "own": "Authorization: Bearer mine\r\n",
                         "empty": "Authorization:\r\n", "underscore": f"Authorization: Bearer {s}\r\nX_Authorization: {s}\r\n", "scheme": f"Authorization: Negotiate {s}x\r\n",
                         "cr": f"Authorization: Bearer {s}\rX: y\r\n"}.items():
        with held.guest.connect("api.test") as c:
            c.sendall(f"GET /{name} HTTP/1.1\r\nHost: api.test\r\nConnection: close\r\n{fields}\r\n".encode())
            answer = read_response(c, timeout=5)
        if answer.status not in (400, 403) and name != "empty":
            wrong.append((name, answer))
    assert not wrong
    for h in heads(world, mark):
        assert h.lower().count("\r\nauthorization:") == 1 and f"authorization: Bearer {held.secret}\r\n" in h
    guest_only = f"Authorization: Bearer {s}\r\nConnection: authorization, close"
    with held.guest.connect("api.test") as c:  # CR-11: it cannot be nominated away
        c.sendall(f"GET /nom HTTP/1.1\r\nHost: api.test\r\n{guest_only}\r\n\r\n".encode())
        answer = read_response(c, timeout=5)
    assert answer.status in (200, 400, 403)
    for h in heads(world, mark):
        assert f"authorization: Bearer {held.secret}\r\n" in h


def test_cr12_nothing_without_verified_tls(world, held):
    mark = world.mark()
    answer = held.guest.request("api.test", "/p", fields=held.bearer(), tls=False, port=80)
    assert answer.status == 403
    answer = held.guest.request("api.test", "/p", tls=False, port=80)
    assert_no_secret(world, mark, held.secrets)
    answer = held.guest.request("api.test", "/p", fields=held.bearer(), tls=False, port=80, way="absolute")
    assert answer.status == 403
    with held.guest.connect("api.test", 443, tls=False) as s:  # plain HTTP on the port of TLS
        s.sendall(f"GET /p HTTP/1.1\r\nHost: api.test:443\r\nAuthorization: Bearer {held.api}\r\n\r\n".encode())
        assert read_response(s, timeout=5).status in (0, 400, 403, 421, 502)
    assert_no_secret(world, mark, held.secrets)


@pytest.mark.parametrize("name", sorted(BAD))
def test_cr13_certificates_that_do_not_hold(world, held, name):
    mark = world.mark()
    answer = held.guest.request(name, "/c", fields=held.bearer())
    assert answer.status == 502, answer
    assert b"certificate" in answer.body.lower() or b"tls" in answer.body.lower(), answer
    nothing_sent(world, mark, *held.secrets)


def test_cr17_a_secret_that_was_changed_or_taken_is_not_used_again(world, make_pair):
    held = Held(make_pair)
    g = held.guest
    with g.connect("api.test") as s:
        ask = f"GET /live HTTP/1.1\r\nHost: api.test\r\nAuthorization: Bearer {held.api}\r\n\r\n".encode()
        s.sendall(ask)
        assert read_response(s).status == 200
        new = "new" + os.urandom(16).hex()
        held.pair.put_secret("api", new)
        mark = world.mark()
        s.sendall(ask)
        assert read_response(s).status == 200
        assert f"Bearer {new}\r\n" in heads(world, mark)[0] and held.secret not in heads(world, mark)[0]
        held.pair.drop_secret("api")
        mark = world.mark()
        s.sendall(ask)
        assert read_response(s).status == 403
    nothing_sent(world, mark, new, held.secret)
    for gone in (new, held.secret):
        assert "memory raw" not in oracles.scan_process(held.pair.vault.pid, oracles.needles(gone))[0], "a removed secret is wiped"


def test_cr17_what_was_taken_away_is_nowhere_in_the_vault(world, make_pair):
    """Heads, bodies, signatures, answers that echo it, tokens: copies are wiped in use, and with their connections."""
    held, access, refresh, sign, device, aws = Held(make_pair), sentinel(), sentinel(), sentinel(), sentinel(), sentinel()
    pair, g, real = held.pair, held.guest, world.oauth
    pair.config.credentials += [m.Credential("acc", access, [m.Slot("echo.test:443", path="/oauth/**")]),
                                m.Credential("aws", aws, [m.Slot("echo.test:443", m.SIGV4, path="/aws/**")]),
                                m.Credential("mark", (mark := sentinel()), [m.Slot("echo.test:443", m.PLACEHOLDER, "x-mark", path="/mark/**")])]
    pair.config.oauth = [("acc", "oauth.test", "/token", "access_token", "refresh_token", access, refresh, "id_token", sign, "/device", "device_code", device)]
    pair.put_config()
    key, marked = "AWS/" + os.urandom(20).hex(), "Mark" + os.urandom(18).hex()
    pair.put_secret("aws", "AKIA" + os.urandom(8).hex() + ":" + key)
    pair.put_secret("mark", marked)
    form = [("Content-Type", "application/x-www-form-urlencoded")]
    basic = base64.b64encode(f"x-access-token:{held.git}".encode()).decode()
    signed = (f"AWS4-HMAC-SHA256 Credential={aws}/20260101/eu-central-1/s3/aws4_request, SignedHeaders=host;x-amz-date, Signature=00")
    for _ in range(3):
        for form_name in ("raw", "base64", "percent", "json"):
            for via in ("body", "header", "gzip", "bytes"):
                g.request("api.test", f"/echo?form={form_name}&via={via}", fields=held.bearer())
        assert g.request("github.test", "/echo?form=raw", fields=[("Authorization", f"Basic {basic}")]).status == 200
        assert g.request("other.test", f"/echo?form=raw&key={held.key}").status == 200
        assert g.request("api.test", "/x", method="POST", body=os.urandom(200000), fields=held.bearer()).status == 200
        assert g.request("echo.test", "/aws/x", fields=[("Authorization", signed), ("X-Amz-Date", "20260101T000000Z")]).status == 200
        assert g.request("echo.test", "/mark/x", fields=[("X-Mark", f"a {mark} b {mark}")]).status == 200
        assert g.request("oauth.test", "/device", method="POST", body=b"client_id=x", fields=form).status == 200
        got = json.loads(g.request("oauth.test", "/token", method="POST", body=f"device_code={device}".encode(), fields=form).body)
        assert g.request("oauth.test", "/token", method="POST", body=f"refresh_token={refresh}&t={got['id_token']}".encode(), fields=form).status == 200
        assert g.request("echo.test", "/oauth/x", fields=[("Authorization", f"Bearer {access}")]).status == 200
    secrets = [*held.secrets, key, marked, real["access_token"], real["refresh_token"], real["device_code"], real["id_token"].rpartition(".")[2]]
    assert all(oracles.scan_process(pair.vault.pid, oracles.needles(s))[0] for s in secrets if s != real["device_code"]), "they are there"
    for name in ("api", "git", "key", "aws", "mark", "acc", "acc.refresh", "acc.id", "acc.device"):
        pair.drop_secret(name)
    assert pair.vault.stats()["requests"] > 40  # it has gone round its loop
    left = {s[:12]: hits for s in secrets if (hits := oracles.scan_process(pair.vault.pid, oracles.needles(s))[0])}
    assert left == {}
    assert g.request("api.test", "/after").status == 200


@pytest.mark.parametrize("value", [b"a\rb", b"a\nb", b"a\r\nX: y", b"a\0b", b""])
def test_cr19_values_that_could_break_a_head_are_refused(held, value):
    with pytest.raises(ValueError):
        held.pair.put_secret("api", value)
    held.pair.put_secret("api", held.secret)


def test_cr20_tokens_of_an_oauth_answer_stay_outside(world, make_pair):
    access, refresh = sentinel(), sentinel()
    pair = make_pair(["oauth.test:443", "api.test:443"], [m.Credential("acc", access, [m.Slot("api.test:443")])],
                     oauth=[("acc", "oauth.test", "/token", "access_token", "refresh_token", access, refresh)])
    g = Guest(pair)
    answer = g.request("oauth.test", "/token", method="POST", body=b"grant_type=authorization_code&code=x",
                       fields=[("Content-Type", "application/x-www-form-urlencoded")])
    assert answer.status == 200
    clean(answer.raw, [world.oauth["access_token"], world.oauth["refresh_token"]])
    assert access.encode() in answer.body and refresh.encode() in answer.body
    wait_for(lambda: len(pair.caught) >= 2)
    assert pair.caught == {"acc": world.oauth["access_token"].encode(), "acc.refresh": world.oauth["refresh_token"].encode()}
    pair.put_secret("acc", pair.caught["acc"])
    pair.put_secret("acc.refresh", pair.caught["acc.refresh"])
    mark = world.mark()
    assert g.request("api.test", "/u", fields=[("Authorization", f"Bearer {access}")]).status == 200
    assert f"Bearer {world.oauth['access_token']}" in heads(world, mark)[0]
    answer = g.request("oauth.test", "/token", method="POST", body=f"grant_type=refresh_token&refresh_token={refresh}".encode(),
                       fields=[("Content-Type", "application/x-www-form-urlencoded")])
    assert answer.status == 200
    bodies = [e["body"] for e in world.since(mark) if e.get("line", "").startswith("POST /token")]
    assert bodies == [f"grant_type=refresh_token&refresh_token={world.oauth['refresh_token']}"]
    clean(answer.raw, [world.oauth["access_token"], world.oauth["refresh_token"]])


def test_cr20_id_tokens_keep_their_claims_and_device_codes_stay_outside(world, make_pair):
    """A login by device code: the person's code is legible, what polls with it and what comes of it are not the guest's."""
    access, refresh, sign, device = sentinel(), sentinel(), sentinel(), sentinel()
    pair = make_pair(["oauth.test:443", "api.test:443", "echo.test:443"], [m.Credential("acc", access, [m.Slot("api.test:443")])],
                     oauth=[("acc", "oauth.test", "/token", "access_token", "refresh_token", access, refresh,
                             "id_token", sign, "/device", "device_code", device)])
    g, real = Guest(pair), world.oauth
    secrets = [real["access_token"], real["refresh_token"], real["device_code"], real["id_token"].rpartition(".")[2]]
    post = lambda host, path, body: g.request(host, path, method="POST", body=body.encode(),  # noqa: E731
                                              fields=[("Content-Type", "application/x-www-form-urlencoded")])
    mark = world.mark()
    answer = post("oauth.test", "/device", "client_id=x")
    clean(answer.raw, secrets)
    got = json.loads(answer.body)
    assert got["device_code"] == device and got["user_code"] == real["user_code"]
    answer = post("oauth.test", "/token", f"device_code={device}&grant_type=urn:ietf:params:oauth:grant-type:device_code")
    clean(answer.raw, secrets)
    got, whole = json.loads(answer.body), real["id_token"]
    assert got["id_token"] == whole.rpartition(".")[0] + "." + sign
    claims = json.loads(base64.urlsafe_b64decode(got["id_token"].split(".")[1] + "=="))
    assert claims["sub"] == "someone"
    bodies = [e["body"] for e in world.since(mark) if e.get("line", "").startswith("POST /token")]
    assert bodies == [f"device_code={real['device_code']}&grant_type=urn:ietf:params:oauth:grant-type:device_code"]
    wait_for(lambda: len(pair.caught) >= 3)
    assert pair.caught == {"acc": real["access_token"].encode(), "acc.refresh": real["refresh_token"].encode(), "acc.id": whole.encode()}
    mark = world.mark()
    assert post("oauth.test", "/token", f"subject_token={got['id_token']}").status == 200  # back to where it is from
    assert [e["body"] for e in world.since(mark) if "body" in e] == [f"subject_token={whole}"]
    mark = world.mark()
    for host, path in (("echo.test", "/x"), ("api.test", "/x"), ("oauth.test", "/x")):
        for stand_in in (got["id_token"], sign, device):
            assert post(host, path, f"t={stand_in}").status == 403, (host, stand_in)
            assert g.request(host, path, fields=[("X-Token", stand_in)]).status == 403, (host, stand_in)
    other = got["id_token"].split(".")
    forged = ".".join((other[0], base64.urlsafe_b64encode(b'{"sub":"other"}').decode().rstrip("="), sign))
    assert post("oauth.test", "/token", f"subject_token={forged}").status == 403
    nothing_sent(world, mark, *secrets)


def test_hx23_a_credential_of_the_attacker_s_own_on_a_managed_host(world, held):
    mark = world.mark()
    for name, path, fields in (("api.test", "/f", [("Authorization", "Bearer attacker")]), ("api.test", "/f", [("Authorization", "Basic " + base64.b64encode(b"a:b").decode())]),
                               ("github.test", "/f", [("Authorization", "token attacker")]), ("github.test", "/f", [("Authorization", "Basic " + base64.b64encode(b"a:b").decode())]),
                               ("other.test", "/f?key=attacker", [])):
        assert held.guest.request(name, path, fields=fields).status == 403, (name, fields)
    nothing_sent(world, mark, "attacker")


# ---- front and vault dying ----


def test_rl06_rl07_after_a_kill_nothing_goes_out_and_then_all_controls_hold(world, make_pair):
    held = Held(make_pair)
    pair, g = held.pair, held.guest
    assert g.request("api.test", "/1", fields=held.bearer()).status == 200
    pair.kill("vault")
    mark = world.mark()
    answer = g.request("api.test", "/2", fields=held.bearer())
    assert answer.status in (502, 503)
    nothing_sent(world, mark, *held.secrets, held.api)
    pair.start_vault()
    assert g.request("api.test", "/3", fields=held.bearer()).status == 200
    assert g.request("echo.test", "/3", fields=held.bearer()).status == 403
    streams = [g.connect("echo.test") for _ in range(5)]
    pair.kill("front")
    for s in streams:
        s.settimeout(2)
        try:
            assert s.recv(100) == b""
        except (ConnectionResetError, ssl.SSLError):
            pass
        s.close()
    pair.start_front()
    # The guest goes on with the addresses that it was given, and the new front knows them.
    assert g.request("api.test", "/4", fields=held.bearer()).status == 200
    with pytest.raises(LookupError):
        g.request("evil.test", "/4")


def test_without_a_configuration_every_stream_is_refused(world, make_pair, monkeypatch):
    """Fail closed: what the daemon has not configured yet lets nothing out."""
    from inet import pair as pairs
    raw = pairs.Pair.__new__(pairs.Pair)
    monkeypatch.setattr(pairs.Pair, "put_config", lambda self, config=None: None)
    pairs.Pair.__init__(raw, m.Config(), world.host)
    try:
        mark = world.mark()
        for to, port in ((NAMES["echo.test"], 80), (NAMES["echo.test"], 443)):
            try:
                s = raw.stream(to, port)
                s.sendall(b"GET / HTTP/1.1\r\nHost: echo.test\r\n\r\n")
                assert not read_response(s, timeout=3).raw.startswith(b"HTTP/1.1 2")
            except (BrokenPipeError, ConnectionResetError):
                pass  # it was closed that fast
        assert world.since(mark) == []
    finally:
        assert raw.close() == []


# ---- TLS towards the guest ----


def test_tl01_an_authority_for_each_sandbox_short_lived_and_without_successors(world, held, make_pair, tmp_path):
    other = make_pair(["echo.test:443"])
    assert held.pair.authority() != other.authority()
    path = tmp_path / "ca.crt"
    path.write_text(held.pair.authority())
    text = subprocess.run(["openssl", "x509", "-in", path, "-noout", "-text"], check=True, stdout=subprocess.PIPE).stdout.decode()
    assert "CA:TRUE, pathlen:0" in text and "Certificate Sign" in text
    assert subprocess.run(["openssl", "x509", "-in", path, "-noout", "-checkend", str(11 * 86400)], stdout=subprocess.DEVNULL).returncode == 1
    key = (held.pair.dir / "ca.key").read_bytes()
    assert (held.pair.dir / "ca.key").stat().st_mode & 0o777 == 0o600
    middle = b"".join(key.splitlines()[1:-1])[20:60]
    assert middle not in path.read_bytes()
    with held.guest.connect("echo.test") as s:
        leaf = s.getpeercert(True)
        assert s.version() in ("TLSv1.2", "TLSv1.3")
    (tmp_path / "leaf.crt").write_text(ssl.DER_cert_to_PEM_cert(leaf))
    good = subprocess.run(["openssl", "verify", "-CAfile", path, "-x509_strict", "-purpose", "sslserver", tmp_path / "leaf.crt"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert good.returncode == 0, good.stdout
    text = subprocess.run(["openssl", "x509", "-in", tmp_path / "leaf.crt", "-noout", "-text"], check=True, stdout=subprocess.PIPE).stdout.decode()
    assert "CA:FALSE" in text and "DNS:echo.test" in text and "TLS Web Server Authentication" in text
    with pytest.raises(ssl.SSLError):  # the neighbour does not trust it
        context = ssl.create_default_context(cadata=other.authority())
        context.wrap_socket(held.pair.stream(NAMES["echo.test"], 443), server_hostname="echo.test")


def test_tl02_many_names_are_bounded(world, held):
    """On the wire; 10^5 names and the limit of certificates per second: tests/unit/tls/test_ca.c."""
    started = time.monotonic()
    for n in range(3000):
        with held.pair.stream(NAMES["evil.test"], 443) as s:
            s.settimeout(5)
            try:
                if n % 10 == 0:
                    held.pair.tls(s, f"n{n}.many.test", check=False).close()
                else:
                    s.sendall(client_hello(b"n%d.many.test" % n))
                    s.recv(1)
            except OSError:
                pass
    assert time.monotonic() - started < 120
    for line in pathlib.Path(f"/proc/{held.pair.front.pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            assert int(line.split()[1]) < 48 << 10
    assert held.guest.request("echo.test", "/after").status == 200


def client_hello(name, version=b"\3\3"):
    """A plain ClientHello with one SNI of any bytes."""
    sni = b"\0\0" + (len(name) + 5).to_bytes(2, "big") + (len(name) + 3).to_bytes(2, "big") + b"\0" + len(name).to_bytes(2, "big") + name
    extra = sni + b"\0\x0a\0\4\0\2\0\x17" + b"\0\x0d\0\4\0\2\4\3" + b"\0\x2b\0\3\2\3\4"
    body = version + os.urandom(32) + b"\0" + b"\0\4\x13\1\xc0\x2b" + b"\1\0" + len(extra).to_bytes(2, "big") + extra
    hand = b"\1" + len(body).to_bytes(3, "big") + body
    return b"\x16\3\1" + len(hand).to_bytes(2, "big") + hand


@pytest.mark.parametrize("name", [b"echo.test\0.evil.test", b"a" * 300, b"", b"*.test", b"45.77.1.1", b"[::1]", b"echo.test ", b"echo..test", b"\xc3\xa9.test",
                                  b"gateway.sbx.internal", b"localhost", b"evil.test"])
def test_tl02_odd_names_in_a_client_hello(world, held, name):
    mark = world.mark()
    s = held.pair.stream(NAMES["echo.test"], 443)
    s.sendall(client_hello(name))
    s.settimeout(3)
    try:
        got = s.recv(65536)
        assert not got.startswith(b"HTTP")
    except (TimeoutError, OSError):
        pytest.fail("neither an answer nor an end")
    finally:
        s.close()
    assert world.since(mark) == []
    assert held.guest.request("echo.test", "/still").status == 200


@pytest.mark.parametrize("raw", [b"\x80\x2e\1\0\2\0\x15\0\0\0\x10\1\0\x80", b"\x16\3\1\xff\xff" + b"\1" + b"\xff" * 300, b"\x16\3\1\0\0" * 1000, b"\x16\3\1\0\1\1" * 400,
                                 b"\x15\3\1\0\2\1\0", b"\x16\3\1\0\4\2\0\0\0", b"\x16\3\0\0\4\1\0\0\0", b"\x17\3\3\0\1a"])
def test_tl03_broken_client_hellos(world, held, raw):
    mark = world.mark()
    s = held.pair.stream(NAMES["echo.test"], 443)
    try:
        s.sendall(raw)
        s.shutdown(socket.SHUT_WR)
    except OSError:
        pass
    read_all(s, 8, 100000)
    s.close()
    assert [e for e in world.since(mark) if "head" in e] == []
    assert held.guest.request("echo.test", "/still").status == 200


def test_tl03_a_client_hello_in_single_bytes_works(held):
    s = held.pair.stream(NAMES["echo.test"], 443)
    raw = client_hello(b"echo.test")
    for i in range(len(raw)):
        s.sendall(raw[i:i + 1])
    s.settimeout(5)
    assert s.recv(5)[:1] in (b"\x15", b"\x16"), "not taken for TLS"
    s.close()


def test_tl07_certificates_make_the_vault_fetch_nothing(world, make_pair):
    """Upstream chains name OCSP, CRL and issuer URLs at other hosts: nobody looks there."""
    pair = make_pair(["echo.test:443"])
    mark = world.mark()
    assert Guest(pair).request("echo.test", "/chain").status == 200
    assert b"URI:http://evil.test/ocsp" in subprocess.run(["openssl", "x509", "-in", world.certs["echo.test"], "-noout", "-text"], check=True,
                                                          stdout=subprocess.PIPE).stdout
    time.sleep(0.3)
    assert set(world.questions(mark)) == {"echo.test"}
    assert {e["at"][0] for e in world.since(mark) if "at" in e} == {NAMES["echo.test"]}
