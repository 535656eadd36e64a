"""messages.py - the control messages, configuration and records of docs/protocol/egress.md, in Python

Only what a test needs to play the daemon and the machine. Written from the text of the protocol, so
that it disagrees with the C codec where the text does.
"""
import dataclasses
import ipaddress
import struct

HELLO, CONFIG, PEER, STREAMS, SECRET, ASK, VERDICT, AUDIT, CAUGHT, STATS, REPLY, DRAIN = range(1, 13)
PORT_TCP, PORT_DNS = 2, 3
EVENTS = {1: "dns", 2: "tcp", 3: "tls", 4: "http", 5: "websocket", 6: "grpc"}
DECISIONS = {1: "allow", 2: "deny", 3: "refused"}
DENY, ASKS, ALLOW = 0, 1, 2
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE")


def text(value):
    raw = value.encode() if isinstance(value, str) else value
    return struct.pack("<H", len(raw)) + raw + b"\0"


def blob(raw):
    return struct.pack("<I", len(raw)) + raw


def address(value):
    """An address as family and 16 bytes; None is no address."""
    if value is None:
        return bytes(17)
    ip = ipaddress.ip_address(value)
    return bytes([ip.version]) + ip.packed.ljust(16, b"\0")


def message(op, seq, body=b""):
    return struct.pack("<4sHHII", b"SBXE", 1, op, seq, 0) + body


def stream_head(to, port, way=0):
    """The 32 bytes in front of a guest's connection."""
    where = address(to)
    return struct.pack("<4sBBH16sB7x", b"SBXT", 1, where[0], port, where[1:], way)


def link_stream(port, seq=1):
    """The machine's message that a stream of @port comes with it (docs/protocol/link.md)."""
    return struct.pack("<4sHHIIiI5Q", b"SBXL", 1, 3, seq, port, 0, 0, 0, 0, 0, 0, 0).ljust(192, b"\0")


class Reader:
    def __init__(self, raw):
        self.raw, self.at = raw, 0

    def take(self, form):
        got = struct.unpack_from("<" + form, self.raw, self.at)
        self.at += struct.calcsize("<" + form)
        return got if len(got) > 1 else got[0]

    def text(self):
        n = self.take("H")
        got = self.raw[self.at:self.at + n]
        assert len(got) == n and self.raw[self.at + n] == 0
        self.at += n + 1
        return got.decode()

    def blob(self):
        n = self.take("I")
        got = self.raw[self.at:self.at + n]
        assert len(got) == n
        self.at += n
        return got


@dataclasses.dataclass
class Record:
    """One decision as the audit gets it."""
    time_ms: int
    event: str
    decision: str
    way: int
    host: str
    port: int
    method: str
    path: str
    rule: str
    reason: str
    status: int
    up: int
    down: int
    credential: str
    note: str


def records(raw):
    """The records of an AUDIT's body."""
    outer, found = Reader(raw), []
    outer = Reader(outer.blob())
    while outer.at < len(outer.raw):
        size = outer.take("H")
        r = Reader(outer.raw[outer.at:outer.at + size])
        outer.at += size
        time_ms, event, decision, way = r.take("QBBB")
        host, port = r.text(), r.take("H")
        method, path, rule, reason = r.text(), r.text(), r.text(), r.text()
        status, up, down = r.take("HQQ")
        found.append(Record(time_ms, EVENTS[event], DECISIONS[decision], way, host, port, method, path,
                            rule, reason, status, up, down, r.text(), r.text()))
        assert r.at == size
    return found


@dataclasses.dataclass
class Rule:
    """A rule of the policy, its texts in canonical form."""
    resource: str
    decision: int = ALLOW
    methods: tuple = ()
    path: str = None
    websocket: bool = False
    id: str = ""
    grpc: str = None


def policy(rules, bypass=()):
    """One layer, as the front and the vault take it."""
    out = struct.pack("<4sHB", b"SBXP", 1, 1) + struct.pack("<BI", 0, len(bypass))
    out += b"".join(blob(b.encode()) for b in bypass) + struct.pack("<I", len(rules))
    for n, rule in enumerate(rules, 1):
        flags = (1 if rule.websocket else 0) | (2 if rule.path is not None else 0) | (4 if rule.grpc else 0)
        bits = sum(1 << METHODS.index(m) for m in rule.methods)
        out += struct.pack("<BBBH", 2, rule.decision, flags, bits)
        texts = [rule.id or f"r{n}", rule.resource, rule.path, rule.grpc, "test"]
        out += b"".join(blob(t.encode()) for t in texts if t is not None)
    return out


HEADER, BASIC, QUERY, PLACEHOLDER, SIGV4 = range(1, 6)


@dataclasses.dataclass
class Slot:
    host: str
    kind: int = HEADER
    header: str = "authorization"
    format: str = "Bearer %s"
    path: str = ""
    username: str = ""


@dataclasses.dataclass
class Credential:
    name: str
    sentinel: str
    slots: list
    pass_body: bool = False
    claims: bool = False


@dataclasses.dataclass
class Config:
    rules: list = dataclasses.field(default_factory=list)
    bypass: list = dataclasses.field(default_factory=list)  # hosts whose TLS is not inspected
    credentials: list = dataclasses.field(default_factory=list)
    # (credential, host, path, access, refresh, 2 sentinels[, id, its sentinel, device path, device, its sentinel])
    oauth: list = dataclasses.field(default_factory=list)
    oauth_claims: bool = False
    proxies: list = dataclasses.field(default_factory=list)
    servers: list = dataclasses.field(default_factory=list)
    hosts: list = dataclasses.field(default_factory=list)
    extra_ca: str = ""
    authz: str = ""
    authz_ms: int = 1000
    ask_ms: int = 3000
    id: str = "box"

    def pack(self, generation, vault):
        """The parts of one of the two programs; the other's are empty."""
        out = struct.pack("<4sHQ", b"SBXC", 2, generation) + text(self.id) + text(self.id) + text("shell")
        out += blob(policy(self.rules, self.bypass)) + struct.pack("<I", self.ask_ms) + text("sbx policy allow")
        out += blob(self.extra_ca.encode() + b"\0" if vault and self.extra_ca else b"")
        out += text(self.authz if vault else "") + struct.pack("<I", self.authz_ms)
        if not vault:
            return out + struct.pack("<6I", 0, 0, 0, 0, 0, 0)
        out += struct.pack("<I", len(self.servers))
        out += b"".join(address(a) + struct.pack("<H", p) for a, p in self.servers)
        out += struct.pack("<I", len(self.hosts)) + b"".join(text(n) + address(a) for n, a in self.hosts)
        out += struct.pack("<I", len(self.credentials))
        for c in self.credentials:
            out += text(c.name) + text(c.sentinel) + struct.pack("<BBH", c.pass_body, c.claims, len(c.slots))
            for s in c.slots:
                out += bytes([s.kind]) + b"".join(
                    map(text, (s.host, s.path, s.header, s.format, s.username)))
        out += struct.pack("<I", len(self.oauth))
        for o in self.oauth:
            out += b"".join(map(text, o)) + text("") * (12 - len(o)) + bytes([self.oauth_claims])
        out += struct.pack("<I", len(self.proxies)) + b"".join(text(t) for p in self.proxies for t in p)
        return out + struct.pack("<I", 0)
