"""world.py - two network namespaces: `inet` plays the Internet, `host` is where the way out ends

One veth pair joins them, whose counters tell what left. Addresses look public because the product
refuses all others; nothing of it is reachable from anywhere. Where namespaces cannot be made the
tests are skipped, never passed.
"""
import base64
import json
import os
import pathlib
import random
import socket
import subprocess
import sys
import tempfile
import time

from . import certs, relay

LINK_INET, LINK_HOST = "45.77.0.1", "45.77.0.2"
DNS = "45.77.0.53"
PRIVATE = "192.168.77.1"  # the host's own, in its LAN

# name → address; each has a listener on 80, 443
NAMES = {
    "echo.test": "45.77.1.1", "api.test": "45.77.1.2", "github.test": "45.77.1.3", "llm.test": "45.77.1.4",
    "ws.test": "45.77.1.5", "oauth.test": "45.77.1.6", "evil.test": "45.77.1.7", "other.test": "45.77.1.8",
    "sub.echo.test": "45.77.1.9", "deep.sub.echo.test": "45.77.1.10",
    # names that built-in services speak of
    "github.com": "45.77.1.11", "api.github.com": "45.77.1.12", "api.anthropic.com": "45.77.1.13",
}
# where models of the large services answer (models.py)
MODELS = {"api.openai.com": "45.77.5.1", "generativelanguage.googleapis.com": "45.77.5.2", "api.githubcopilot.com": "45.77.5.3",
          "dashscope-intl.aliyuncs.com": "45.77.5.4"}
BAD = {
    "expired.bad.test": "45.77.2.1", "wronghost.bad.test": "45.77.2.2", "selfsigned.bad.test": "45.77.2.3",
    "unknown.bad.test": "45.77.2.4", "nosan.bad.test": "45.77.2.5", "a.wild.bad.test": "45.77.2.6",
    "ipsan.bad.test": "45.77.2.7", "future.bad.test": "45.77.2.8", "nulname.bad.test": "45.77.2.9",
    "sha1.bad.test": "45.77.2.10",
}
V6 = "2a0e:77:1::10"
TRAPS = ["169.254.169.254", "100.100.100.200", "168.63.129.16", "192.0.0.192", "fd00:ec2::254", "10.0.0.5",
         "172.16.0.5", "192.168.77.5", "fd12::5", "198.51.100.7", "100.64.0.5"]


def can_make():
    if os.geteuid() != 0:
        return False
    name = f"sbxt{random.randrange(1 << 20):x}"
    if subprocess.run(["ip", "netns", "add", name], stderr=subprocess.DEVNULL).returncode:
        return False
    subprocess.run(["ip", "netns", "del", name], check=True)
    return True


def ip(*args):
    subprocess.run(["ip", *args], check=True)


def id_token():
    """A signed JWT, as issuers of logins give: header, claims and a signature that nobody can guess."""
    parts = [json.dumps(p).encode() for p in ({"alg": "RS256"}, {"sub": "someone", "account": "acc-1"})]
    return ".".join(base64.urlsafe_b64encode(p).decode().rstrip("=") for p in (*parts, os.urandom(128)))


class World:
    def __init__(self):
        tag = f"{os.getpid():x}"
        self.inet, self.host = f"sbxi{tag}", f"sbxh{tag}"
        self.base = pathlib.Path(tempfile.mkdtemp(prefix="sbxw-", dir="/tmp"))
        self.etc = pathlib.Path("/etc/netns") / self.host
        self.running = []
        self.git_token = "gho_" + os.urandom(15).hex()
        self.keys = {"anthropic": "sk-ant-api03-" + os.urandom(30).hex(), "openai": "sk-proj-" + os.urandom(30).hex(),
                     "google": "AIza" + os.urandom(17).hex(), "github": self.git_token,
                     "dashscope": "sk-" + os.urandom(16).hex()}
        self.relays, self.ways = 0, []
        self.oauth = {"access_token": "at-" + os.urandom(16).hex(), "refresh_token": "rt-" + os.urandom(16).hex(),
                      "token_type": "Bearer", "expires_in": 3600, "id_token": id_token(),
                      "device_code": "dc-" + os.urandom(16).hex(), "user_code": "WDJB-MJHT"}
        try:
            self.link()
            self.certificates()
            self.zone = {n: {"A": [a]} for n, a in {**NAMES, **MODELS, **BAD}.items()}
            self.zone["v6.test"] = {"AAAA": [V6]}
            self.set_zone()
            self.serve()
        except BaseException:
            self.close()
            raise

    def link(self):
        for name in (self.inet, self.host):
            ip("netns", "add", name)
            ip("-n", name, "link", "set", "lo", "up")
        ip("-n", self.host, "link", "add", "out", "type", "veth", "peer", "name", "in", "netns", self.inet)
        ip("-n", self.host, "addr", "add", f"{LINK_HOST}/24", "dev", "out")
        ip("-n", self.host, "addr", "add", "2a0e:77::2/64", "dev", "out", "nodad")
        ip("-n", self.host, "addr", "add", f"{PRIVATE}/32", "dev", "lo")
        ip("-n", self.inet, "addr", "add", f"{LINK_INET}/24", "dev", "in")
        ip("-n", self.inet, "addr", "add", "2a0e:77::1/64", "dev", "in", "nodad")
        for a in [DNS, *NAMES.values(), *MODELS.values(), *BAD.values(), *(t for t in TRAPS if ":" not in t)]:
            ip("-n", self.inet, "addr", "add", f"{a}/32", "dev", "lo")
        for a in [V6, *(t for t in TRAPS if ":" in t)]:
            ip("-n", self.inet, "addr", "add", f"{a}/128", "dev", "lo", "nodad")
        ip("-n", self.host, "link", "set", "out", "up")
        ip("-n", self.inet, "link", "set", "in", "up")
        ip("-n", self.host, "route", "add", "default", "via", LINK_INET)
        ip("-n", self.host, "-6", "route", "add", "default", "via", "2a0e:77::1")
        self.etc.mkdir(parents=True)
        (self.etc / "resolv.conf").write_text(f"nameserver {DNS}\n")
        (self.etc / "hosts").write_text("127.0.0.1 localhost\n")

    def certificates(self):
        self.ca = certs.Authority(self.base / "ca", "rig authority")
        other = certs.Authority(self.base / "other", "an authority nobody knows")
        issue = self.ca.issue
        elsewhere = ("-addext", "authorityInfoAccess=OCSP;URI:http://evil.test/ocsp,caIssuers;URI:http://10.0.0.5/ca.crt",
                     "-addext", "crlDistributionPoints=URI:http://evil.test/crl")
        self.certs = {n: issue(n, f"DNS:{n}", more=elsewhere) for n in (*NAMES, *MODELS)}
        self.certs["v6.test"] = issue("v6.test", "DNS:v6.test")
        past = ("-startdate", "20200101000000Z", "-enddate", "20210101000000Z")
        future = ("-startdate", "20490101000000Z", "-enddate", "20491231000000Z")
        bad = {
            "expired.bad.test": issue("expired.bad.test", "DNS:expired.bad.test", past),
            "future.bad.test": issue("future.bad.test", "DNS:future.bad.test", future),
            "wronghost.bad.test": issue("wronghost.bad.test", "DNS:right.bad.test"),
            "selfsigned.bad.test": certs.self_signed(self.base, "selfsigned.bad.test"),
            "unknown.bad.test": other.issue("unknown.bad.test", "DNS:unknown.bad.test"),
            "nosan.bad.test": issue("nosan.bad.test", ""),
            "a.wild.bad.test": issue("wild", "DNS:*.bad.test"),
            "ipsan.bad.test": issue("ipsan.bad.test", "IP:45.77.2.7"),
            "nulname.bad.test": issue("nulname.bad.test", "DNS:nulname.bad.test.evil.test"),
            "sha1.bad.test": issue("sha1.bad.test", "DNS:sha1.bad.test", digest="sha1"),
        }
        self.certs.update(bad)

    def set_zone(self, changes=()):
        """Change what the DNS says: name → type → answers, from the next query on."""
        self.zone.update(changes)
        new = self.base / "zone.new"
        new.write_text(json.dumps(self.zone))
        new.rename(self.base / "zone.json")

    def start(self, netns, name, spec):
        path = self.base / f"{name}.json"
        path.write_text(json.dumps({"dir": str(self.base), "git_token": self.git_token, "oauth": self.oauth, "keys": self.keys, **spec}))
        child = subprocess.Popen(
            ["ip", "netns", "exec", netns, sys.executable, pathlib.Path(__file__).with_name("servers.py"), path],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=open(self.base / f"{name}.err", "wb"))
        self.running.append(child)
        assert child.stdout.readline() == b"ready\n", (self.base / f"{name}.err").read_text()

    def serve(self):
        (self.base / "git").mkdir()
        listen = []
        for name, a in {**NAMES, **MODELS, **BAD, "v6.test": V6}.items():
            listen += [[a, 80, None], [a, 443, str(self.certs[name])]]
        listen += [[NAMES["echo.test"], 8443, str(self.certs["echo.test"])], [NAMES["echo.test"], 2525, None],
                   [NAMES["echo.test"], 22, None], [NAMES["echo.test"], 7000, None]]
        listen += [[t, p, None] for t in TRAPS for p in (80,)]
        listen += [[t, 443, str(self.certs["echo.test"])] for t in ("10.0.0.5", "169.254.169.254")]
        self.start(self.inet, "inet", {"listen": listen, "dns": [DNS], "lines": [2525, 22]})
        self.start(self.host, "host", {"listen": [["127.0.0.1", 8099, None], ["0.0.0.0", 8098, None],
                                                  ["::1", 8099, None]]})

    def outside(self, name, port):
        """A server that is really out there as one of this Internet: its name, and a relay to it for each connection."""
        self.relays += 1
        address = f"45.77.4.{self.relays}"
        ip("-n", self.inet, "addr", "add", f"{address}/32", "dev", "lo")
        path = self.base / f"outside{self.relays}"
        way = socket.socket(socket.AF_UNIX)
        way.bind(str(path))
        way.listen(64)
        self.ways.append(relay.Relay(lambda: socket.create_connection((name, port), 30), way))
        self.start(self.inet, f"relay{self.relays}", {"listen": [], "relay": [address, port, str(path)]})
        self.set_zone({name: {"A": [address]}})

    # -- what arrived

    def log(self):
        path = self.base / "wire.log"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def mark(self):
        return len(self.log())

    def since(self, mark):
        """Everything that has reached any server since then: connections, requests, DNS questions."""
        return self.log()[mark:]

    def requests(self, mark, name=None):
        """Whole requests since then, of one server if named."""
        return [e for e in self.since(mark) if "head" in e and (name is None or e["at"][0] == NAMES[name])]

    def questions(self, mark):
        return [e["dns"] for e in self.since(mark) if "dns" in e]

    def packets(self):
        """Packets that have left the host's namespace."""
        out = subprocess.run(["ip", "-n", self.host, "-s", "-j", "link", "show", "out"], check=True,
                             stdout=subprocess.PIPE).stdout
        return json.loads(out)[0]["stats64"]["tx"]["packets"]

    def repository(self, name):
        """An empty bare repository with one commit, served at https://github.test/git/NAME.git"""
        where = self.base / "git" / "git" / f"{name}.git"
        where.parent.mkdir(exist_ok=True)
        git = ["git", "-c", "user.name=x", "-c", "user.email=x@x", "-c", "init.defaultBranch=main"]
        subprocess.run([*git, "init", "-q", "--bare", where], check=True)
        subprocess.run([*git, "-C", where, "config", "http.receivepack", "true"], check=True)
        tree = subprocess.run([*git, "-C", where, "hash-object", "-t", "tree", "-w", "/dev/null"], check=True,
                              stdout=subprocess.PIPE).stdout.strip()
        commit = subprocess.run([*git, "-C", where, "commit-tree", "-m", "first", tree], check=True,
                                stdout=subprocess.PIPE).stdout.strip()
        subprocess.run([*git, "-C", where, "update-ref", "refs/heads/main", commit], check=True)
        return where

    def close(self):
        for child in self.running:
            child.stdin.close()
            try:
                child.wait(5)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
            child.stdout.close()
        for way in self.ways:
            way.close()
        for name in (self.inet, self.host):
            subprocess.run(["ip", "netns", "del", name], stderr=subprocess.DEVNULL)
        subprocess.run(["rm", "-rf", self.base, self.etc], check=True)


def wait_for(condition, timeout=5, text="it did not happen"):
    end = time.monotonic() + timeout
    while True:
        got = condition()
        if got:
            return got
        assert time.monotonic() < end, text
        time.sleep(0.02)
