"""servers.py - what answers on the rig's Internet; run inside of its namespace, standard library only

servers.py SPEC: a JSON file with `listen` ([address, port, certificate or null] each), `dns` (addresses),
`keys` (what models.py takes for real), `relay` ([address, port, path of a socket] to elsewhere), `dir`.
Everything that arrives is a line of JSON in DIR/wire.log, before it is answered. The zone of the DNS is DIR/zone.json, read anew for each query: name → type → list of answers, or a list of lists, of
which the n-th query gets the n-th (rebinding). A name that is not in it does not exist.
"""
import base64
import gzip
import hashlib
import ipaddress
import json
import os
import re
import socket
import ssl
import struct
import subprocess
import sys
import threading
import time
import urllib.parse

import models
import relay

SPEC = json.load(open(sys.argv[1]))
DIR = SPEC["dir"]
LOG = os.open(DIR + "/wire.log", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
TYPES = {1: "A", 28: "AAAA", 5: "CNAME", 16: "TXT", 12: "PTR", 33: "SRV", 65: "HTTPS", 255: "ANY", 10: "NULL",
         15: "MX", 2: "NS", 6: "SOA"}
counts = {}


def log(**what):
    os.write(LOG, (json.dumps({"t": time.time(), **what}) + "\n").encode())


# ---- DNS ----


def name_bytes(name):
    return b"".join(bytes([len(p)]) + p.encode("latin-1") for p in name.rstrip(".").split(".") if p) + b"\0"


def rdata(kind, value):
    if kind in ("A", "AAAA"):
        return ipaddress.ip_address(value).packed
    if kind == "CNAME":
        return name_bytes(value)
    if kind == "TXT":
        return bytes([len(value)]) + value.encode()
    return base64.b64decode(value)


def answer(query, how):
    at, labels = 12, []
    while query[at]:
        labels.append(query[at + 1:at + 1 + query[at]].decode("latin-1"))
        at += query[at] + 1
    name, qtype = ".".join(labels).lower(), struct.unpack_from(">H", query, at + 1)[0]
    kind, question = TYPES.get(qtype, str(qtype)), query[12:at + 5]
    zone = json.load(open(DIR + "/zone.json"))
    found, code = [], 0
    entry = zone.get(name)
    if entry is None:
        code = 3
    elif "raw" in entry:  # a hostile answer: these bytes behind the header's id
        log(dns=name, type=kind, how=how, gave="raw")
        return query[:2] + base64.b64decode(entry["raw"])
    else:
        seen, hops = name, 0
        while "CNAME" in entry and kind != "CNAME" and hops < 60:
            target = entry["CNAME"][0]
            found.append((seen, 5, rdata("CNAME", target)))
            seen, entry, hops = target, zone.get(target, {}), hops + 1
        values = entry.get(kind, [])
        if values and isinstance(values[0], list):
            n = counts[(seen, kind)] = counts.get((seen, kind), -1) + 1
            values = values[min(n, len(values) - 1)]
        found += [(seen, qtype, rdata(kind, v)) for v in values]
    log(dns=name, type=kind, how=how, gave=len(found))
    out = query[:2] + struct.pack(">HHHHH", 0x8580 | code, 1, len(found), 0, 0) + question
    for owner, kind_no, data in found:
        out += name_bytes(owner) + struct.pack(">HHIH", kind_no, 1, 1, len(data)) + data
    return out


def dns_udp(address):
    s = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
    s.bind((address, 53))
    while True:
        query, peer = s.recvfrom(65536)
        try:
            out = answer(query, "udp")
            s.sendto(out if len(out) <= 1200 else out[:2] + b"\x87\x80" + out[4:6] + bytes(6) +
                     out[12:12 + query.index(b"\0", 12) - 12 + 5], peer)
        except (IndexError, struct.error):
            log(dns="?", raw=query.hex())


def dns_tcp(connection):
    while True:
        head = connection.recv(2, socket.MSG_WAITALL)
        if len(head) < 2:
            return
        query = connection.recv(struct.unpack(">H", head)[0], socket.MSG_WAITALL)
        out = answer(query, "tcp")
        connection.sendall(struct.pack(">H", len(out)) + out)


# ---- HTTP ----


class Peer:
    """One connection: bytes in with a memory, and the request that was read from it."""

    def __init__(self, sock, place, cert):
        self.sock, self.place, self.cert, self.rest = sock, place, cert, b""

    def more(self):
        part = self.sock.recv(65536)
        if not part:
            raise EOFError
        self.rest += part

    def until(self, end):
        while end not in self.rest:
            self.more()
        at = self.rest.index(end) + len(end)
        got, self.rest = self.rest[:at], self.rest[at:]
        return got

    def exactly(self, n):
        while len(self.rest) < n:
            self.more()
        got, self.rest = self.rest[:n], self.rest[n:]
        return got

    def request(self):
        self.raw = self.until(b"\r\n\r\n")
        lines = self.raw.decode("latin-1").split("\r\n")
        self.line = lines[0]
        self.method, self.target = (self.line.split(" ") + ["", ""])[:2]
        self.fields = [tuple(x.strip() for x in one.partition(":")[::2]) for one in lines[1:] if one]
        self.field = {n.lower(): v for n, v in self.fields}
        self.url = urllib.parse.urlsplit(self.target if self.target.startswith("/") else "/")
        self.query = dict(urllib.parse.parse_qsl(self.url.query, keep_blank_values=True))
        if self.field.get("expect", "").lower() == "100-continue" and "hold" not in self.query:
            self.sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")

    def pieces(self):
        """The body, piece by piece."""
        if self.field.get("transfer-encoding", "").lower() == "chunked":
            while True:
                size = int(self.until(b"\r\n").split(b";")[0], 16)
                if size == 0:
                    break
                yield self.exactly(size)
                self.until(b"\r\n")
            self.trailer = b""
            while True:
                line = self.until(b"\r\n")
                if line == b"\r\n":
                    return
                self.trailer += line
        left = int(self.field.get("content-length") or 0)
        while left:
            if not self.rest:
                self.more()
            part, self.rest = self.rest[:left], self.rest[left:]
            left -= len(part)
            yield part

    def send(self, status, body=b"", headers=(), chunked=False):
        head = f"HTTP/1.1 {status} Something\r\n" + "".join(f"{n}: {v}\r\n" for n, v in headers)
        if chunked:
            self.sock.sendall((head + "transfer-encoding: chunked\r\n\r\n").encode("latin-1"))
            return
        head += f"content-length: {len(body)}\r\n\r\n"
        self.sock.sendall(head.encode("latin-1") + (b"" if self.method == "HEAD" else body))

    def chunk(self, part):
        self.sock.sendall(f"{len(part):x}\r\n".encode() + part + b"\r\n")


HOSTILE = {
    "split": b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nx-a: 1\r\n\r\nokHTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nPOISON",
    "extra": b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokHTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nPOISON",
    "short": b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nonly this",
    "two-lengths": b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 5\r\n\r\nokbad",
    "length-and-chunked": b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    "http09": b"<html>no head at all</html>\n",
    "bare-lf": b"HTTP/1.1 200 OK\nx: y\ncontent-length: 2\n\nok",
    "nul": b"HTTP/1.1 200 OK\r\nx-a: b\0c\r\ncontent-length: 2\r\n\r\nok",
    "cr": b"HTTP/1.1 302 Found\r\nlocation: https://echo.test/\rx-set: 1\r\ncontent-length: 0\r\n\r\n",
    "fold": b"HTTP/1.1 200 OK\r\nx-a: b\r\n c\r\ncontent-length: 2\r\n\r\nok",
    "chunk-size": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nfffffffffffffffff\r\nok",
    "chunk-0x": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0x2\r\nok\r\n0\r\n\r\n",
    "switch": b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\nSECRET-CHANNEL",
    "many-fields": b"HTTP/1.1 200 OK\r\n" + b"".join(b"x-%d: y\r\n" % i for i in range(5000)) + b"content-length: 2\r\n\r\nok",
}


def forms(value):
    """A value in every encoding that a server might return it in."""
    raw = value.encode("latin-1")
    return {"raw": raw, "base64": base64.b64encode(raw), "base64-1": base64.b64encode(b"x" + raw + b"y"),
            "base64-2": base64.b64encode(b"xy" + raw), "base64url": base64.urlsafe_b64encode(raw),
            "percent": urllib.parse.quote(raw, safe="").encode(),
            "percent-all": b"".join(b"%%%02x" % c for c in raw), "hex": raw.hex().encode(),
            "json": json.dumps(value).encode(), "json-u": b"".join(b"\\u%04x" % c for c in raw)}


def echo(p, body):
    seen = p.field.get("authorization") or p.field.get("x-api-key") or p.query.get("key") or "-"
    want = p.query.get("form")
    if want == "json-all":
        p.send(200, json.dumps({"line": p.line, "fields": p.fields, "body": body.decode("latin-1")}).encode(),
               [("content-type", "application/json")])
        return
    if seen.startswith("Basic "):
        seen = base64.b64decode(seen[6:]).decode("latin-1")
    value = seen.split(" ", 1)[-1]
    out = forms(value).get(want or "raw", b"?")
    how = p.query.get("via", "body")
    if how == "header":
        p.send(200, b"ok", [("x-back", out.decode("latin-1"))])
    elif how == "gzip":
        p.send(200, gzip.compress(b"before " + out + b" after"), [("content-encoding", "gzip")])
    elif how == "unknown":
        p.send(200, b"before " + out + b" after", [("content-encoding", "zstd")])
    elif how == "bytes":  # one byte a chunk
        p.send(200, chunked=True)
        for one in b"before " + out + b" after":
            p.chunk(bytes([one]))
        p.chunk(b"")
    elif how == "error":
        p.send(500, b"cannot use " + out)
    else:
        p.send(200, b"before " + out + b" after", [("content-type", "text/plain")])


def websocket(p):
    key = p.field["sec-websocket-key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
    accept = base64.b64encode(hashlib.sha1(key.encode()).digest()).decode()
    p.sock.sendall(("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                    f"Sec-WebSocket-Accept: {accept}\r\n\r\n").encode())
    while True:
        one, two = p.exactly(2)
        size = two & 127
        if size == 126:
            size = struct.unpack(">H", p.exactly(2))[0]
        elif size == 127:
            size = struct.unpack(">Q", p.exactly(8))[0]
        mask = p.exactly(4) if two & 128 else b"\0\0\0\0"
        data = bytes(b ^ mask[i % 4] for i, b in enumerate(p.exactly(size)))
        log(at=p.place, ws=one & 15, size=size, masked=bool(two & 128), text=data[:200].decode("latin-1"))
        head = bytes([one]) + (bytes([size]) if size < 126 else struct.pack(">BH", 126, size) if size < 65536 else struct.pack(">BQ", 127, size))
        p.sock.sendall(head + data)
        if one & 15 == 8:
            return


def git(p, body):
    want = "Basic " + base64.b64encode(b"x-access-token:" + SPEC["git_token"].encode()).decode()
    if p.field.get("authorization") != want:
        p.send(401, b"no", [("www-authenticate", 'Basic realm="git"')])
        return
    env = {"PATH": os.environ["PATH"], "GIT_PROJECT_ROOT": DIR + "/git", "GIT_HTTP_EXPORT_ALL": "1",
           "REQUEST_METHOD": p.method, "PATH_INFO": p.url.path, "QUERY_STRING": p.url.query,
           "CONTENT_TYPE": p.field.get("content-type", ""), "CONTENT_LENGTH": str(len(body)),
           "HTTP_CONTENT_ENCODING": p.field.get("content-encoding", ""), "REMOTE_USER": "x",
           "HTTP_GIT_PROTOCOL": p.field.get("git-protocol", ""), "HOME": DIR}
    out = subprocess.run(["git", "http-backend"], input=body, env=env, stdout=subprocess.PIPE).stdout
    head, _, rest = out.partition(b"\r\n\r\n")
    fields = [tuple(x.strip() for x in one.partition(":")[::2]) for one in head.decode().split("\r\n")]
    status = [v.split()[0] for n, v in fields if n.lower() == "status"] or ["200"]
    p.send(int(status[0]), rest, [f for f in fields if f[0].lower() not in ("status", "content-length")])


def sized(p):
    """/bytes/N: N bytes of a fixed pattern, with their length known."""
    left, block = int(p.url.path.split("/")[2]), bytes(range(256)) * 256
    p.sock.sendall(f"HTTP/1.1 200 OK\r\ncontent-length: {left}\r\n\r\n".encode())
    while left:
        part = block[:left]
        p.sock.sendall(part)
        left -= len(part)


def pieces(p):
    """/pieces: the credential that came, between two rows of dots, or the span of that which Range names."""
    whole = b"." * 40 + p.field.get("authorization", "").encode() + b"." * 40
    span = re.fullmatch(r"bytes=(\d*)-(\d*)", p.field.get("range", ""))
    if not span:
        p.send(200, whole)
        return
    first, last = span.groups()
    first, last = (max(0, len(whole) - int(last)), len(whole) - 1) if not first else (int(first), min(int(last or len(whole)), len(whole) - 1))
    if first >= len(whole):
        p.send(416, b"", [("content-range", f"bytes */{len(whole)}")])
    else:
        p.send(206, whole[first:last + 1], [("content-range", f"bytes {first}-{last}/{len(whole)}")])


def events(p):
    p.send(200, headers=[("content-type", "text/event-stream")], chunked=True)
    for n in range(int(p.query.get("n", 5))):
        p.chunk(f"data: {n} {time.time()}\n\n".encode())
        time.sleep(float(p.query.get("gap", 0.2)))
    p.chunk(b"")


def token(p, device):
    """A token endpoint, or where a login by device code begins."""
    keys = {"device_code", "user_code"}
    answer = {k: v for k, v in SPEC["oauth"].items() if (k in keys) == device}
    p.send(200, json.dumps(answer).encode(), [("content-type", "application/json")])


def respond(p):
    if p.field.get("upgrade", "").lower() == "websocket" and p.url.path.startswith("/ws"):
        log(at=p.place, line=p.line, head=p.raw.decode("latin-1"), body="", size=0)
        websocket(p)
        raise EOFError
    digest, size, kept = hashlib.sha256(), 0, b""
    log(at=p.place, begun=p.line)
    for part in p.pieces():
        digest.update(part)
        size += len(part)
        if size <= 4 << 20:
            kept += part
    log(at=p.place, tls=bool(p.cert), line=p.line, head=p.raw.decode("latin-1"), body=kept[:4096].decode("latin-1"),
        size=size, sha256=digest.hexdigest())
    path = p.url.path
    if models.respond(p, kept, SPEC.get("keys", {}), log):
        return
    if path.startswith("/git/") or path.endswith((".git/info/refs", "/git-upload-pack", "/git-receive-pack")):
        git(p, kept)
    elif path == "/echo":
        echo(p, kept)
    elif path == "/sum":
        p.send(200, digest.hexdigest().encode())
    elif path.startswith("/bytes/"):
        sized(p)
    elif path == "/pieces":
        pieces(p)
    elif path == "/sse":
        events(p)
    elif path in ("/token", "/device"):
        token(p, path == "/device")
    elif path.startswith("/status/"):
        p.send(int(path.split("/")[2]), b"as asked")
    elif path == "/redirect":
        p.send(int(p.query.get("code", 302)), b"", [("location", p.query["to"])])
    elif path == "/slow":
        time.sleep(float(p.query["s"]))
        p.send(200, b"late")
    elif path.startswith("/hostile/"):
        p.sock.sendall(HOSTILE[path.split("/")[2]])
        time.sleep(0.2)
        raise EOFError
    else:
        p.send(200, json.dumps({"method": p.method, "target": p.target, "host": p.field.get("host"),
                                "at": p.place}).encode(), [("content-type", "application/json")])


def serve(sock, place, cert):
    try:
        sock.settimeout(300)
        log(at=place, connected=True, tls=bool(cert))
        if place[1] == 53:
            dns_tcp(sock)
            return
        if place[1] in SPEC.get("lines", ()):  # a protocol of lines, the server speaks first
            sock.sendall(b"220 ready\r\n")
            while True:
                part = sock.recv(65536)
                log(at=place, raw=part.decode("latin-1"))
                if not part:
                    sock.sendall(b"221 bye\r\n")  # the other direction is still open
                    return
                if part == b"QUIT\r\n":
                    sock.sendall(b"221 bye\r\n")
                    sock.shutdown(socket.SHUT_WR)
                    while part:  # the client's direction may go on
                        part = sock.recv(65536)
                        log(at=place, raw=part.decode("latin-1"))
                    return
                sock.sendall(b"250 " + part)
        if cert:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(cert)
            context.set_alpn_protocols(["http/1.1"])
            sock = context.wrap_socket(sock, server_side=True)
        peer = Peer(sock, place, cert)
        while True:
            peer.request()
            respond(peer)
            if peer.field.get("connection", "").lower() == "close":
                return
    except (EOFError, OSError, ValueError, KeyError) as why:
        if not isinstance(why, EOFError):
            log(at=place, trouble=f"{type(why).__name__}: {why}")
    finally:
        try:
            sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        sock.close()


def listen(address, port, cert):
    s = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind((address, port))
    s.listen(256)

    def loop():
        while True:
            connection, _peer = s.accept()
            threading.Thread(target=serve, args=(connection, [address, port], cert), daemon=True).start()

    threading.Thread(target=loop, daemon=True).start()


def unix(path):
    s = socket.socket(socket.AF_UNIX)
    s.connect(path)
    return s


def main():
    for address, port, cert in SPEC["listen"]:
        listen(address, port, cert)
    for address in SPEC.get("dns", ()):
        threading.Thread(target=dns_udp, args=(address,), daemon=True).start()
        listen(address, 53, None)
    if "relay" in SPEC:  # a server outside of this network: who knows the way to it listens at a path
        address, port, path = SPEC["relay"]
        relay.Relay(lambda: unix(path), socket.create_server((address, port), backlog=64))
    print("ready", flush=True)
    sys.stdin.read()


main()
