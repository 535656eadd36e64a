"""pair.py - a real sbx-front and a real sbx-vault, jailed as always, with the test as daemon and machine

No VM: what a guest would send comes over the stream socket that sbx-machine would hold. So a test says
every byte that a hostile guest could. Pair.stream() is a connection of the guest, Pair.resolve() its DNS;
`audit` collects the records, questions go to `on_ask`, captured tokens to `caught`.
"""
import contextlib
import os
import pathlib
import signal
import socket
import ssl
import struct
import subprocess
import tempfile
import threading
import time

from rig import BUILD, PROGRAMS

from . import messages as m

SPAWN = BUILD / "tests" / "inet" / "egress_spawn"
GATEWAY = "198.18.0.1"


def read_all(sock, timeout=10, limit=64 << 20):
    """Everything until the end; a reset is an end."""
    sock.settimeout(timeout)
    got = bytearray()
    while len(got) < limit:
        try:
            part = sock.recv(65536)
        except (ConnectionResetError, ssl.SSLEOFError, ssl.SSLZeroReturnError):
            break
        if not part:
            break
        got += part
    return bytes(got)


class Program:
    """One of the two: its process, its control socket, and whoever waits for its replies."""

    def __init__(self, pair, who, where, netns):
        self.pair, self.who, self.seq = pair, who, 0
        self.replies, self.lock, self.changed = {}, threading.Lock(), threading.Condition()
        self.log = pair.base / f"{who}.log"
        prefix = ["ip", "netns", "exec", netns] if netns else []
        path = where / f"{who}.sock"
        path.unlink(missing_ok=True)  # else the former one's could be taken for it
        self.spawner = subprocess.Popen(
            [*prefix, SPAWN, who, "box", PROGRAMS / f"sbx-{who}", where], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=open(self.log, "ab"), env={"PATH": os.environ["PATH"]})
        self.pid = int(self.spawner.stdout.readline() or 0)
        assert self.pid, self.log.read_text()
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.sock.settimeout(10)
        end = time.monotonic() + 20
        while True:
            try:
                self.sock.connect(str(path))
                break
            except OSError:
                assert self.alive() and time.monotonic() < end, self.log.read_text()
                time.sleep(0.01)
        self.sock.settimeout(None)
        self.hello = None
        self.thread = threading.Thread(target=self.read, daemon=True)
        self.thread.start()
        self.wait(lambda: self.hello, 20)

    def alive(self):
        return self.spawner.poll() is None

    def wait(self, condition, timeout=10):
        with self.changed:
            assert self.changed.wait_for(condition, timeout), \
                f"{self.who} did not say it in {timeout} s\n{self.log.read_text()}"

    def send(self, op, body=b"", fd=None):
        with self.lock:
            self.seq += 1
            raw = m.message(op, self.seq, body)
            if fd is None:
                self.sock.send(raw)
            else:
                socket.send_fds(self.sock, [raw], [fd])
            return self.seq

    def call(self, op, body=b"", fd=None):
        """Send and wait for the REPLY: (result, text, blob)."""
        seq = self.send(op, body, fd)
        self.wait(lambda: seq in self.replies)
        return self.replies.pop(seq)

    def read(self):
        while True:
            try:
                raw = self.sock.recv(16385)
            except OSError:
                raw = b""
            if not raw:
                return
            r = m.Reader(raw)
            magic, version, op, seq, zero = r.take("4sHHII")
            assert (magic, version, zero) == (b"SBXE", 1, 0)
            with self.changed:
                self.take(op, seq, r)
                self.changed.notify_all()

    def take(self, op, seq, r):
        if op == m.HELLO:
            who, pid = r.take("BI")
            self.hello = (who, pid, r.text(), r.take("Q"))
        elif op == m.REPLY:
            self.replies[seq] = (r.take("i"), r.text(), r.blob())
        elif op == m.AUDIT:
            self.pair.audit += m.records(r.raw[r.at:])
            self.sock.send(m.message(m.REPLY, seq, struct.pack("<i", 0) + m.text("") + m.blob(b"")))
        elif op == m.ASK:
            number, host, port = r.take("Q"), r.text(), r.take("H")
            question = (number, host, port, r.text(), r.text(), r.text())
            self.pair.asked.append(question)
            if self.pair.on_ask is not None:
                answer = self.pair.on_ask(question)
                self.sock.send(m.message(m.VERDICT, 0, struct.pack("<QB", number, bool(answer))))
        elif op == m.CAUGHT:
            name = r.text()
            self.pair.caught[name] = r.blob()
            self.sock.send(m.message(m.REPLY, seq, struct.pack("<i", 0) + m.text("") + m.blob(b"")))

    def stats(self):
        raw = self.call(m.STATS)[2]
        return dict(zip(("streams", "channels", "requests", "denials", "faults"),
                        struct.unpack("<IIQQQ", raw)))

    def close(self):
        self.sock.close()
        self.spawner.stdin.close()
        self.spawner.stdout.close()
        self.spawner.wait(10)


class Pair:
    def __init__(self, config=None, netns=None):
        self.base = pathlib.Path(tempfile.mkdtemp(prefix="sbxp-", dir="/tmp"))
        self.dir = self.base / "d"
        self.dir.mkdir(mode=0o700)
        self.netns, self.generation = netns, 0
        self.audit, self.asked, self.caught, self.on_ask = [], [], {}, None
        self.secrets = {}
        self.config = config or m.Config()
        self.front = self.vault = self.machine = None
        self.start_vault()
        self.start_front()

    # -- the daemon's part

    def start_vault(self):
        self.vault = Program(self, "vault", self.dir, self.netns)
        for name, value in self.secrets.items():
            self.put_secret(name, value)
        if self.front:
            self.put_config()
            self.join()

    def start_front(self):
        self.front = Program(self, "front", self.dir, self.netns)
        self.put_config()
        self.join()
        if self.machine:
            self.machine.close()
        self.machine, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with its:
            assert self.front.call(m.STREAMS, fd=its.fileno())[0] == 0

    def join(self):
        ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with ours, its:
            assert self.vault.call(m.PEER, fd=its.fileno())[0] == 0
            assert self.front.call(m.PEER, fd=ours.fileno())[0] == 0

    def put_config(self, config=None):
        """Put a configuration in force in both; it is when this returns."""
        self.config = config or self.config
        self.generation += 1
        for program in (self.vault, self.front):
            fd = os.memfd_create("config", os.MFD_ALLOW_SEALING | os.MFD_CLOEXEC)
            try:
                raw = self.config.pack(self.generation, program is self.vault)
                assert os.write(fd, raw) == len(raw)
                os.lseek(fd, 0, os.SEEK_SET)
                result, said, _ = program.call(m.CONFIG, fd=fd)
            finally:
                os.close(fd)
            if result < 0:
                raise ValueError(f"{program.who}: {said}")

    def rules(self, *rules):
        self.config.rules = [r if isinstance(r, m.Rule) else m.Rule(r) for r in rules]
        self.put_config()

    def put_secret(self, name, value):
        raw = value.encode() if isinstance(value, str) else value
        result, said, _ = self.vault.call(m.SECRET, m.text(name) + b"\1" + m.blob(raw))
        if result < 0:
            raise ValueError(said or os.strerror(-result))
        self.secrets[name] = raw

    def drop_secret(self, name):
        self.secrets.pop(name, None)
        assert self.vault.call(m.SECRET, m.text(name) + b"\0" + m.blob(b""))[0] == 0

    def kill(self, who):
        """SIGKILL, and what the daemon does then, but for the start of a new one."""
        program = getattr(self, who)
        os.kill(program.pid, signal.SIGKILL)
        program.spawner.wait(10)
        program.close()

    def authority(self):
        """The sandbox's CA, PEM."""
        return (self.dir / "ca.crt").read_text()

    def settled(self):
        """How many records there are, once what was on its way has come: they travel together, 50 ms late."""
        time.sleep(0.2)
        return len(self.audit)

    def new_audit(self, before, least=1, timeout=5):
        """Records since len(audit) was @before; waits for @least of them."""
        self.front.wait(lambda: len(self.audit) >= before + least, timeout)
        return self.audit[before:]

    # -- the machine's part

    def pass_stream(self, port):
        ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        with its:
            socket.send_fds(self.machine, [m.link_stream(port)], [its.fileno()])
        ours.settimeout(10)
        return ours

    def stream(self, to, port, way=0):
        """A TCP connection of the guest to an address."""
        s = self.pass_stream(m.PORT_TCP)
        with contextlib.suppress(BrokenPipeError): # it may be refused before a word was said
            s.sendall(m.stream_head(to, port, way))
        return s

    def proxy(self):
        """A connection of the guest to the explicit proxy."""
        return self.stream(GATEWAY, 3128, 1)

    def tls(self, sock, name, alpn=None, check=True):
        """A TLS client of the guest, which trusts the sandbox's CA."""
        context = ssl.create_default_context(cadata=self.authority())
        if not check:
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        if alpn:
            context.set_alpn_protocols(alpn)
        return context.wrap_socket(sock, server_hostname=name)

    def dns(self, raw, timeout=10):
        """DNS messages as the guest sends them: the answer to each that comes."""
        s = self.pass_stream(m.PORT_DNS)
        with s:
            s.settimeout(timeout)
            s.sendall(struct.pack(">H", len(raw)) + raw)
            head = b""
            while len(head) < 2:
                part = s.recv(2 - len(head))
                if not part:
                    return None
                head += part
            size, got = struct.unpack(">H", head)[0], b""
            while len(got) < size:
                part = s.recv(size - len(got))
                if not part:
                    return None
                got += part
            return got

    def close(self):
        """End both; tells what went wrong: one that had ended by itself."""
        wrong = [f"{p.who} had ended\n{p.log.read_text()}" for p in (self.front, self.vault)
                 if not p.alive()]
        for program in (self.front, self.vault):
            program.close()
        self.machine.close()
        subprocess.run(["rm", "-rf", self.base], check=True)
        return wrong
