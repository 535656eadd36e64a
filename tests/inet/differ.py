#!/usr/bin/python3
"""differ.py - our HTTP/1 beside Node's (llhttp) and h11: what we let pass means the same to all three

Requests: (a) the bytes that we would send upstream are to both exactly one request with our method,
target, Host, fields, body and trailers, and a request behind them is the next one; (b) what came from
the guest, where they take it, is to them what it is to us. Answers: what we take of an upstream's bytes is
what their clients take. That one of them refuses what we take is counted, not a fault.

As a program: `differ.py [-s SECONDS] [--seed N]`, for `make fuzz`; tests/redteam/test_parsers.py has a short run.
"""
import argparse
import json
import pathlib
import random
import struct
import subprocess
import sys
import time

import h11

HERE = pathlib.Path(__file__).resolve().parent
DIRECT, PROXY, TLS, ANSWER = range(4)
ASKED = ("GET", "HEAD", "POST", "CONNECT")
CANARY = b"GET /canary HTTP/1.1\r\nhost: canary.test\r\n\r\n"

# ---- messages ------------------------------------------------------------------------------------

KEY = b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
REQUESTS = [
    (b"GET /a/b?c=d HTTP/1.1", [b"Host: a.test", b"Accept: */*"], b""),
    (b"GET /%7Euser/x%20y/./z HTTP/1.1", [b"Host: A.test:80", b"Cookie: a=b", b"Cookie: c=d"], b""),
    (b"HEAD / HTTP/1.1", [b"Host: a.test", b"Connection: keep-alive, x-gone", b"X-Gone: 1"], b""),
    (b"OPTIONS * HTTP/1.1", [b"Host: a.test"], b""),
    (b"GET /old HTTP/1.0", [b"Host: a.test", b"X-Old: \xe9\xff"], b""),
    (b"DELETE /thing HTTP/1.1", [b"Host: a.test", b"Content-Length: 4"], b"body"),
    (b"POST /p HTTP/1.1", [b"Host: a.test", b"Content-Length: 11", b"Content-Type: text/plain"], b"hello world"),
    (b"POST /z HTTP/1.1", [b"Host: a.test", b"Content-Length: 0", b"Expect: 100-continue"], b""),
    (b"PUT /e HTTP/1.1", [b"Host: a.test", b"Expect: 100-continue", b"Content-Length: 3"], b"abc"),
    (b"POST /c HTTP/1.1", [b"Host: a.test", b"Transfer-Encoding: chunked"], b"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n"),
    (b"POST /t HTTP/1.1", [b"Host: a.test", b"Transfer-Encoding: chunked", b"TE: trailers", b"Trailer: X-Sum"],
     b"3\r\nabc\r\n0\r\nX-Sum: 1\r\nX-More: \r\n\r\n"),
    (b"POST /in HTTP/1.1", [b"Host: a.test", b"Content-Length: 44"], b"GET /inner HTTP/1.1\r\nHost: inner.test\r\nX: \r\n\r\n"[:44]),
    (b"POST /inc HTTP/1.1", [b"Host: a.test", b"Transfer-Encoding: Chunked"],
     b"1a\r\nGET /i HTTP/1.1\r\nHost: i\r\n\r\n"[:30] + b"\r\n0\r\n\r\n"),
    (b"GET /ws HTTP/1.1", [b"Host: a.test", b"Connection: Upgrade", b"Upgrade: websocket"] + KEY.split(b"\r\n")[:2], b""),
    (b"GET /h2c HTTP/1.1", [b"Host: a.test", b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c",
                            b"HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA"], b""),
    (b"GET /close HTTP/1.1", [b"Host: a.test", b"Connection: close"], b""),
    (b"GET http://a.test/abs?x HTTP/1.1", [b"Host: a.test"], b""),
    (b"POST http://a.test:8080/abs HTTP/1.1", [b"Host: a.test:8080", b"Content-Length: 2"], b"ok"),
    (b"GET http://[2001:db8::1]/six HTTP/1.1", [b"Host: [2001:db8::1]", b"Proxy-Connection: keep-alive"], b""),
    (b"CONNECT a.test:443 HTTP/1.1", [b"Host: a.test:443"], b""),
    (b"M-SEARCH /odd HTTP/1.1", [b"Host: a.test", b"X-Empty:", b"X-Tab:\ta\t"], b""),
    (b"QUERY /q HTTP/1.1", [b"Host: a.test", b"Content-Length: 1"], b"q"),
]
ANSWERS = [
    (b"HTTP/1.1 200 OK", [b"Content-Length: 5", b"Content-Type: text/plain"], b"hello"),
    (b"HTTP/1.1 200 OK", [b"Transfer-Encoding: chunked"], b"5\r\nhello\r\n0\r\n\r\n"),
    (b"HTTP/1.1 200 OK", [b"Transfer-Encoding: chunked", b"Trailer: x-sum"], b"a\r\n0123456789\r\n0\r\nX-Sum: 1\r\n\r\n"),
    (b"HTTP/1.1 200 OK", [b"X-Till: end"], b"all that comes"),
    (b"HTTP/1.0 200 OK", [b"Content-Length: 2"], b"ok"),
    (b"HTTP/1.0 404 Not Found", [], b"gone"),
    (b"HTTP/1.1 204 No Content", [b"X-A: b"], b""),
    (b"HTTP/1.1 304 Not Modified", [b"Content-Length: 50", b"ETag: \"x\""], b""),
    (b"HTTP/1.1 301 Moved Permanently", [b"Location: /x", b"Content-Length: 0", b"Connection: close"], b""),
    (b"HTTP/1.1 500 ", [b"Content-Length: 1", b"Set-Cookie: a=b", b"Set-Cookie: c=d"], b"x"),
    (b"HTTP/1.1 100 Continue", [], b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
    (b"HTTP/1.1 103 Early Hints", [b"Link: </a>"], b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    (b"HTTP/1.1 101 Switching Protocols", [b"Connection: Upgrade", b"Upgrade: websocket"], b"frames"),
    (b"HTTP/1.1 200", [b"Content-Length: 3"], b"abcHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx"),
]

BITS = [b"\0", b"\t", b"\n", b"\r", b"\r\n", b" ", b"\x0b", b"\x0c", b"\x7f", b"\x80", b"\xa0", b"\xff", b",", b";", b":", b"/", b"\\", b"#", b"?",
        b"%", b"%00", b"%2f", b"%0d%0a", b"..", b"//", b"@", b"[", b"]", b"*", b"\"", b"'", b"`", b"{", b"|", b"_", b"+", b"-", b"0", b"1", b"x",
        b"chunked", b"identity", b"close", b"HTTP/1.1", b"\r\n\r\n", b"\n\n", b"\r\r\n", b"\n\r\n"]
FIELDS = [b"Host: a.test", b"Host: b.test", b"host: a.test", b"Host : a.test", b"Host:a.test:80", b"Content-Length: 0", b"Content-Length: 3",
          b"Content-Length: 5", b"Content-Length: +3", b"Content-Length: 3, 3", b"Content-Length: 03", b"Content-Length: 0x3", b"Content-Length:",
          b"Content-Length: 3 3", b"Content-Length : 3", b"content_length: 3", b"Content-Length: 18446744073709551619", b"Content-Length: -1",
          b"Transfer-Encoding: chunked", b"transfer-encoding:chunked", b"Transfer-Encoding: CHUNKED", b"Transfer-Encoding: identity",
          b"Transfer-Encoding: gzip, chunked", b"Transfer-Encoding: chunked, chunked", b"Transfer-Encoding: chunked;q=1",
          b"Transfer-Encoding: \"chunked\"", b"Transfer-Encoding:\x0bchunked", b"Transfer-Encoding: xchunked", b"Transfer-Encoding:",
          b"Transfer-Encoding: chunked, identity", b"Transfer_Encoding: chunked", b"Transfer-Encoding : chunked", b" Transfer-Encoding: chunked",
          b"X: y\r\n Transfer-Encoding: chunked", b"X: y\nTransfer-Encoding: chunked", b"X: y\rTransfer-Encoding: chunked", b"Connection: close",
          b"Connection: content-length", b"Connection: transfer-encoding", b"Connection: host", b"Connection: te, close", b"Connection: upgrade",
          b"Upgrade: websocket", b"Upgrade: h2c", b"Expect: 100-continue", b"Expect: 200-ok", b"TE: trailers", b"Trailer: host", b"Keep-Alive: 5",
          b"Cookie: x=y", b"Authorization: Basic eDp5", b"X-Long: " + b"v" * 3000, b"X-Empty:", b": nameless", b"no colon", b"X(: y", b"X\xe9: y"]
FRAMING = [f for f in FIELDS if b"ontent" in f or b"ransfer" in f or b"chunked" in f]
VERSIONS = [b"HTTP/1.1", b"HTTP/1.0", b"HTTP/1.2", b"HTTP/0.9", b"HTTP/2.0", b"http/1.1", b"HTTP/1.10", b"HTTP/01.1", b"HTTP/1", b"ICE/1.1", b""]
METHODS = [b"GET", b"get", b"GETX", b"POST", b"PUT", b"PATCH", b"TRACE", b"CONNECT", b"PRI", b"M-SEARCH", b"PROPFIND", b"QUERY", b"", b"G ET"]
TARGETS = [b"/", b"//", b"//a.test/", b"/a b", b"/a#b", b"/a\\b", b"/%", b"/%zz", b"/a?b?c", b"?x", b"*", b"a.test", b"a.test:80", b"http://a.test",
           b"http://a.test?x", b"https://a.test/", b"HTTP://A.test/x", b"http:/a.test/", b"http://u@a.test/", b"http://b.test/", b"http://a.test:80/",
           b"/\xc3\xa9", b"/..;/x", b"/a/../b", b"/%2e%2e/b", b"/;x=y", b"/a%2Fb", b"ftp://a.test/", b"/a?x=[1]&y={}", b"/" + b"a" * 5000, b"/^|`"]
SIZES = [b"0", b"00", b"3", b"03", b"0x3", b"+3", b"-3", b" 3", b"3 ", b"3\t", b"3;x", b"3;x=y", b"3;x=\"\n\"", b"3 ;x", b"A", b"a", b"3\n", b"",
         b"ffffffffffffffff", b"10000000000000003", b"3_", b"3.0", b"3\x0b", b"3\r"]
ENDS = [b"\n", b"\r", b"\r\r\n", b" \r\n", b"\r\n ", b"\n\r", b"\r\n\r\n", b"\0\r\n", b""]
STATUS = [b"HTTP/1.1 200 OK", b"HTTP/1.1 2000 OK", b"HTTP/1.1 20 OK", b"HTTP/1.1  200 OK", b"HTTP/1.1 200", b"HTTP/1.1 200 \xe9", b"HTTP/1.1 000 x",
          b"HTTP/1.1 199 x", b"HTTP/1.1 600 x", b"HTTP/1.1 204 x", b"HTTP/1.1 205 x", b"HTTP/1.1 304 x", b"HTTP/1.1 101 x", b"HTTP/1.1 102 x",
          b"HTTP/1.1 +20 x", b"HTTP/1.2 200 OK", b"http/1.1 200 OK", b"HTTP/1.1 200 a\rb", b"HTTP/1.1\t200 OK", b"HTTP/1.0 200 OK", b"ICY 200 OK"]


class Maker:
    """Messages, mutated where messages have joints rather than anywhere."""

    def __init__(self, seed):
        self.r = random.Random(seed)

    def line(self, base):
        r, parts = self.r, base.split(b" ")
        at = r.randrange(3)
        if base.startswith(b"HTTP/") or len(parts) != 3:
            return r.choice(STATUS)
        parts[at] = r.choice((METHODS, TARGETS, VERSIONS)[at])
        return b" ".join(parts)

    def fields(self, fields):
        r, out = self.r, list(fields)
        what = r.randrange(6)
        at = r.randrange(len(out) + 1)
        if what <= 1:
            out.insert(at, r.choice(FRAMING if r.randrange(2) else FIELDS))
        elif what == 2 and out:
            out[at % len(out)] = r.choice(FIELDS)
        elif what == 3 and out:
            del out[at % len(out)]
        elif what == 4 and out:
            out.insert(at, out[r.randrange(len(out))])
        elif out:
            field = out[at % len(out)]
            cut = r.choice([0, field.find(b":"), field.find(b":") + 1, field.find(b":") + 2, len(field)])
            out[at % len(out)] = field[:cut] + r.choice(BITS) + field[cut:]
        return out

    def body(self, body):
        r = self.r
        lines = body.split(b"\r\n")
        sizes = [i for i, line in enumerate(lines) if line in (b"0", b"3", b"5", b"6", b"a", b"1a")]
        at = r.choice(sizes) if sizes and r.randrange(2) else r.randrange(len(lines))
        what = r.randrange(5)
        if what == 0:
            lines[at] = r.choice(SIZES)
        elif what == 1:
            lines[at] += r.choice(BITS)
        elif what == 2:
            lines.insert(at, r.choice(FIELDS))
        elif what == 3:
            return body + r.choice(BITS)
        else:
            return body[:r.randrange(len(body) + 1)]
        return b"\r\n".join(lines)

    def whole(self, raw):
        r = self.r
        at = r.randrange(len(raw) + 1)
        what = r.randrange(5)
        if what == 0:
            return raw[:at] + r.choice(BITS) + raw[at:]
        if what == 1:
            return raw[:at] + bytes([r.randrange(256)]) + raw[at + 1:]
        if what == 2:
            return raw[:at] + raw[at + r.randrange(4):]
        ends = [i for i in range(len(raw)) if raw.startswith(b"\r\n", i)] or [0]
        at = r.choice(ends)
        return raw[:at] + r.choice(ENDS) + raw[at + 2:]

    def message(self, answers=False):
        r = self.r
        known = ANSWERS if answers else REQUESTS
        if r.randrange(3) == 0:
            known = [k for k in known if k[2]]
        line, fields, body = r.choice(known)
        for _ in range(r.choice((0, 1, 1, 1, 2, 3))):
            what = r.randrange(4)
            if what == 0:
                line = self.line(line)
            elif what == 1:
                fields = self.fields(fields)
            elif what == 2:
                body = self.body(body)
        raw = b"\r\n".join([line, *fields, b"", b""]) + body
        return self.whole(raw) if r.randrange(3) == 0 else raw

    def input(self):
        """(mode, index of what was asked, bytes)"""
        r = self.r
        if r.randrange(4) == 0:
            return ANSWER, r.choice((0, 0, 0, 1, 2, 3)), b"".join(self.message(True) for _ in range(r.choice((1, 1, 2))))
        raw = b"".join(self.message() for _ in range(r.choice((1, 1, 1, 2, 3))))
        return r.choice((DIRECT, DIRECT, PROXY, TLS) if b"://" not in raw else (PROXY, PROXY, DIRECT)), 0, raw


# ---- readers ---------------------------------------------------------------------------------------

def pack(inputs):
    return b"".join(bytes([mode, asked]) + struct.pack("<I", len(raw)) + raw for mode, asked, raw in inputs)


def unhex(told):
    for message in told["messages"]:
        for key in ("method", "target", "canon_host", "path", "query", "sent", "body", "rest"):
            if key in message:
                message[key] = bytes.fromhex(message[key])
        for key in ("fields", "trailers"):
            message[key] = [(bytes.fromhex(n).lower(), bytes.fromhex(v)) for n, v in message[key]]
    return told


def run(argv, inputs):
    done = subprocess.run(argv, input=pack(inputs), stdout=subprocess.PIPE, timeout=120, check=True)
    told = [unhex(json.loads(line)) for line in done.stdout.splitlines()]
    assert len(told) == len(inputs)
    return told


def says(program, inputs):
    return run([program], inputs)


def node(inputs):
    return run(["node", HERE / "h1_node.js"], inputs)


def h11_one(mode, asked, raw):
    told = {"messages": [], "error": "", "upgrade": False}
    now = None
    c = h11.Connection(h11.CLIENT if mode == ANSWER else h11.SERVER, max_incomplete_event_size=70000)
    if mode == ANSWER:
        target = "a.test:443" if ASKED[asked] == "CONNECT" else "/"
        c.send(h11.Request(method=ASKED[asked], target=target, headers=[("host", "a.test")]))
        c.send(h11.EndOfMessage())
    try:
        c.receive_data(raw)
        c.receive_data(b"")
        while True:
            event = c.next_event()
            if isinstance(event, h11.Request):
                now = {"method": event.method, "target": event.target}
            elif isinstance(event, h11.Response):
                now = {"status": event.status_code}
            elif isinstance(event, h11.Data):
                now["body"] += bytes(event.data)
                continue
            elif isinstance(event, h11.EndOfMessage):
                now.update(complete=True, trailers=[(bytes(n), bytes(v)) for n, v in event.headers])
                if mode == ANSWER:
                    break
                if c.their_state is h11.MIGHT_SWITCH_PROTOCOL:
                    told["upgrade"] = now["upgrade"] = True
                    now["rest"] = c.trailing_data[0]
                    break
                if c.our_state is h11.SEND_RESPONSE:
                    c.send(h11.Response(status_code=200, headers=[("content-length", "0")]))
                    c.send(h11.EndOfMessage())
                if c.our_state is not h11.DONE or c.their_state is not h11.DONE:
                    break
                c.start_next_cycle()
                continue
            elif isinstance(event, h11.InformationalResponse):
                continue
            else:  # NEED_DATA, PAUSED, ConnectionClosed
                if event is h11.PAUSED and now and now.get("status"):
                    now.update(complete=True, upgrade=True)
                break
            now.update(fields=[(bytes(n), bytes(v)) for n, v in event.headers], body=b"", trailers=[], complete=False,
                       upgrade=False)
            told["messages"].append(now)
    except h11.RemoteProtocolError as fault:
        told["error"] = str(fault)
    return told


def h11_all(inputs):
    return [h11_one(*one) for one in inputs]


# ---- the comparison --------------------------------------------------------------------------------

# h11 gives these out in a form of its own
ODD = (b"transfer-encoding", b"content-length")


def plain(fields):
    return [(n, v) for n, v in fields if n not in ODD]


def differs(ours, theirs, what=("method", "target")):
    """What one message is to us and to them: the first thing that differs, or None."""
    for key in what:
        if ours[key] != theirs[key]:
            return f"{key} {ours[key]!r} {theirs[key]!r}"
    for key in ("body", "trailers"):
        if ours[key] != theirs[key]:
            return f"{key} {ours[key]!r} {theirs[key]!r}"
    if plain(ours["fields"]) != plain(theirs["fields"]):
        return f"fields {plain(ours['fields'])!r} {plain(theirs['fields'])!r}"
    return None


def judge_original(mode, asked, ours, theirs):
    """What came, read by us and by them."""
    if mode == ANSWER and ASKED[asked] == "CONNECT" and theirs["upgrade"]:
        return None  # Node hands over the connection whatever the status is
    what = ("status",) if mode == ANSWER else ("method", "target")
    for number, message in enumerate(ours["messages"]):
        if number >= len(theirs["messages"]):
            if not theirs["error"] and not theirs["upgrade"] and not (number and not ours["messages"][number - 1]["keep"]):
                return f"message {number} is none to them"
            return None
        other = theirs["messages"][number]
        if not other["complete"]:
            return None if theirs["error"] else f"message {number} is not whole to them"
        found = differs(message, other, what)
        if found:
            return f"message {number}: {found}"
        if other["upgrade"] or mode == ANSWER:
            return None
    whole = [m for m in theirs["messages"] if m["complete"]]
    if ours["end"] in ("clean", "cut") and len(whole) > len(ours["messages"]):
        return f"{len(whole)} messages to them, {len(ours['messages'])} to us"
    return None


def judge_sent(message, theirs):
    """What we would send, read by them."""
    got = theirs["messages"]
    if theirs["error"] == "HPE_INVALID_METHOD" and not got:
        return None  # it has a list of those it knows; ours are any tokens
    if theirs["error"]:
        return f"refused: {theirs['error']}"
    if not got or not all(m["complete"] for m in got):
        return "not whole"
    want = {**message, "target": message["path"] + message["query"]}
    one = got[0]
    for key in ("method", "target", "body"):
        if want[key] != one[key]:
            return f"{key} {want[key]!r} {one[key]!r}"
    host = message["canon_host"] if b":" not in message["canon_host"] else b"[" + message["canon_host"] + b"]"
    host += b"" if message["port"] == message["usual"] else b":%d" % message["port"]
    if [v for n, v in one["fields"] if n == b"host"] != [host]:
        return f"host {one['fields']!r}"
    if not set(one["trailers"]) <= set(message["trailers"]):
        return f"trailers {one['trailers']!r}"
    ours = {b"host", b"content-length", b"transfer-encoding"}
    if message["websocket"]:
        ours |= {b"connection", b"upgrade", b"sec-websocket-key", b"sec-websocket-version"}
    more = [(n, v) for n, v in one["fields"] if n not in ours and n != b"cookie"]
    if not set(more) <= set(message["fields"]):
        return f"fields {more!r}"
    if message["websocket"] != one["upgrade"]:
        return "an upgrade to one side only"
    if message["websocket"]:
        return "bytes after the upgrade" if one["rest"] or len(got) > 1 else None
    if len(got) != 2 or got[1]["target"] != b"/canary":
        return f"{len(got)} messages: {[m['target'] for m in got]}"
    return None


def compare(program, inputs):
    """(counts, faults): faults are (input, what)"""
    ours, faults = says(program, inputs), []
    readers = {"node": node, "h11": h11_all}
    counts = {"inputs": len(inputs), "taken": 0, "answers": 0}
    sent, sent_of = [], []
    for (mode, asked, raw), told in zip(inputs, ours):
        assert told["end"] != "unsent", (mode, raw)
        counts["answers" if mode == ANSWER else "taken"] += len(told["messages"])
        for message in told["messages"] if mode != ANSWER else ():
            message["usual"] = 443 if mode == TLS else 80
            sent.append((DIRECT, 0, message["sent"] + (b"" if message["websocket"] else CANARY)))
            sent_of.append((raw, message))
    for name, reader in readers.items():
        agreed = 0
        for one, mine, theirs in zip(inputs, ours, reader(inputs)):
            found = judge_original(*one[:2], mine, theirs)
            agreed += bool(mine["messages"] and theirs["messages"] and theirs["messages"][0]["complete"])
            if found:
                faults.append((one, f"{name}: {found}"))
        counts[name] = agreed
        for (raw, message), packed, theirs in zip(sent_of, sent, reader(sent)):
            found = judge_sent(message, theirs)
            if found:
                faults.append(((DIRECT, 0, raw), f"{name} of what is sent: {found}: {packed[2]!r}"))
    return counts, faults


def main():
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("-s", type=int, default=60, metavar="SECONDS")
    options.add_argument("--seed", type=int, default=None)
    options.add_argument("program", nargs="?", default=HERE.parents[1] / "build/tests/inet/h1_says")
    wanted = options.parse_args()
    seed = wanted.seed if wanted.seed is not None else random.SystemRandom().randrange(1 << 32)
    end, total, bad = time.monotonic() + wanted.s, {}, 0
    while time.monotonic() < end:
        maker = Maker(seed)
        counts, faults = compare(wanted.program, [maker.input() for _ in range(2000)])
        for key, value in counts.items():
            total[key] = total.get(key, 0) + value
        for (mode, asked, raw), what in faults[:20]:
            print(f"seed {seed}, mode {mode}, asked {ASKED[asked]}: {raw!r}\n\t{what}")
        bad += len(faults)
        seed += 1
    print(f"http1 beside node and h11: {total}, {bad} differ")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
