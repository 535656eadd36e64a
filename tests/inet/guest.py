"""guest.py - what a program inside does with a Pair: look up, connect, speak HTTP byte by byte"""
import ipaddress
import random
import socket
import ssl
import struct

TYPES = {"A": 1, "AAAA": 28, "TXT": 16, "PTR": 12, "SRV": 33, "HTTPS": 65, "ANY": 255, "NULL": 10, "MX": 15, "CNAME": 5}


def dns_name(name):
    return b"".join(bytes([len(p)]) + p for p in name.encode("latin-1").rstrip(b".").split(b".") if p) + b"\0"


def dns_query(name, kind="A", edns=False, number=None):
    number = random.randrange(65536) if number is None else number
    out = struct.pack(">HHHHHH", number, 0x0100, 1, 0, 0, 1 if edns else 0)
    out += dns_name(name) + struct.pack(">HH", TYPES.get(kind, kind), 1)
    return out + (b"\0\0\x29\x10\0\0\0\0\0\0\0" if edns else b"")


def skip_name(raw, at):
    while raw[at] and raw[at] < 0xc0:
        at += raw[at] + 1
    return at + (2 if raw[at] else 1)


def dns_answer(raw):
    """(rcode, [(type, rdata)])"""
    _number, flags, questions, answers, _, _ = struct.unpack_from(">HHHHHH", raw)
    at, found = 12, []
    for _ in range(questions):
        at = skip_name(raw, at) + 4
    for _ in range(answers):
        at = skip_name(raw, at)
        kind, _klass, _ttl, size = struct.unpack_from(">HHIH", raw, at)
        found.append((kind, raw[at + 10:at + 10 + size]))
        at += 10 + size
    return flags & 15, found


class Answer:
    """A response: status, fields (lower case), body; `raw` is every byte."""

    def __init__(self, raw, method="GET"):
        self.raw = raw
        head, _, self.body = raw.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        words = lines[0].split(" ", 2)
        self.status = int(words[1]) if len(words) > 1 and words[0].startswith("HTTP/1.") else 0
        self.fields = {}
        for line in lines[1:]:
            name, _, value = line.partition(":")
            self.fields.setdefault(name.lower(), value.strip())
        if self.status in (100, 103):
            self.__init__(self.body, method)
        elif "chunked" in self.fields.get("transfer-encoding", ""):
            self.body = unchunk(self.body)

    @property
    def decision(self):
        return self.fields.get("x-sbx-decision")

    def __repr__(self):
        return f"Answer({self.raw[:600]!r})"


def unchunk(raw):
    out = b""
    while raw:
        size, _, raw = raw.partition(b"\r\n")
        n = int(size.split(b";")[0] or b"0", 16)
        if n == 0:
            break
        out, raw = out + raw[:n], raw[n + 2:]
    return out


def read_response(sock, method="GET", timeout=10):
    """One response of a connection that may be kept."""
    sock.settimeout(timeout)
    got = b""
    try:
        while True:
            while b"\r\n\r\n" not in got:
                part = sock.recv(65536)
                if not part:
                    return Answer(got, method)
                got += part
            head, _, rest = got.partition(b"\r\n\r\n")
            if not head.startswith((b"HTTP/1.1 100", b"HTTP/1.1 103")):
                break
            got = rest
        low = head.lower()
        if b"transfer-encoding: chunked" in low:
            while not got.endswith(b"0\r\n\r\n"):
                part = sock.recv(65536)
                if not part:
                    break
                got += part
        elif b"content-length:" in low:
            size = int(low.split(b"content-length:")[1].split(b"\r\n")[0])
            while len(got) - len(head) - 4 < size and method != "HEAD":
                part = sock.recv(65536)
                if not part:
                    break
                got += part
        elif not low.startswith((b"http/1.1 204", b"http/1.1 304", b"http/1.1 101")):
            while True:
                part = sock.recv(65536)
                if not part:
                    break
                got += part
    except (ConnectionResetError, ssl.SSLEOFError, ssl.SSLZeroReturnError):
        pass
    return Answer(got, method)


class Guest:
    """A guest of a pair. Names are looked up through the pair, as a client would."""

    def __init__(self, pair):
        self.pair, self.known = pair, {}

    def resolve(self, name, kind="A", edns=False, timeout=10):
        """(rcode, addresses or raw data)"""
        raw = self.pair.dns(dns_query(name, kind, edns), timeout)
        assert raw is not None, "the stream of the DNS was closed"
        code, found = dns_answer(raw)
        wanted = TYPES[kind]
        return code, [str(ipaddress.ip_address(d)) if kind in ("A", "AAAA") else d for t, d in found if t == wanted]

    def address(self, name):
        if name not in self.known:
            code, found = self.resolve(name)
            if not found:
                code, found = self.resolve(name, "AAAA")
            if not found:
                raise LookupError(f"{name}: rcode {code}")
            self.known[name] = found[0]
        return self.known[name]

    def connect(self, name, port=443, tls=True, sni=None, alpn=None, to=None):
        """A connection as the redirected client has it; a guest's TLS when @tls."""
        raw = self.pair.stream(to or self.address(name), port)
        return self.pair.tls(raw, sni or name, alpn) if tls else raw

    def connect_proxy(self, name, port=443, tls=True, sni=None):
        """The same through CONNECT; ConnectionError with the answer when it is refused."""
        s = self.pair.proxy()
        s.sendall(f"CONNECT {name}:{port} HTTP/1.1\r\nHost: {name}:{port}\r\n\r\n".encode("latin-1"))
        got = b""
        while b"\r\n\r\n" not in got:
            part = s.recv(1)
            if not part:
                break
            got += part
        answer = Answer(got)
        if answer.status != 200:
            s.settimeout(5)
            try:
                answer = Answer(got + s.recv(65536))
            except OSError:
                pass
            s.close()
            raise Refused(answer)
        return self.pair.tls(s, sni or name) if tls else s

    def request(self, name, target="/", method="GET", fields=(), body=b"", port=443, tls=True, host=None, way="redirect",
                timeout=10):
        """One request, its connection closed afterwards."""
        host = host if host is not None else name + ("" if port == (443 if tls else 80) else f":{port}")
        if way == "absolute":
            s, target = self.pair.proxy(), f"{'https' if tls else 'http'}://{name}{':%d' % port}{target}"
        elif way == "connect":
            s = self.connect_proxy(name, port, tls)
        else:
            s = self.connect(name, port, tls)
        with s:
            head = f"{method} {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n"
            head += "".join(f"{n}: {v}\r\n" for n, v in fields)
            if body and not any(n.lower() in ("content-length", "transfer-encoding") for n, _ in fields):
                head += f"Content-Length: {len(body)}\r\n"
            s.sendall(head.encode("latin-1") + b"\r\n" + body)
            return read_response(s, method, timeout)

    def raw(self, name, data, port=443, tls=True, timeout=5, end=False):
        """Send @data as it is; all that comes back until the end (or until nothing comes for @timeout)."""
        with self.connect(name, port, tls) as s:
            try:
                s.sendall(data)
            except OSError:
                pass
            if end and not tls:
                s.shutdown(socket.SHUT_WR)
            s.settimeout(timeout)
            got = b""
            try:
                while True:
                    part = s.recv(65536)
                    if not part:
                        break
                    got += part
            except (TimeoutError, ConnectionResetError, ssl.SSLError):
                pass
            return got


class Refused(Exception):
    def __init__(self, answer):
        super().__init__(repr(answer))
        self.answer = answer
