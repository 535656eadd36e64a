"""urls.py - odd URLs, and whom the clients of this world would dial for each (case HX-20)

Each client is the real one, stopped where it opens a connection: curl asks a SOCKS server that writes the
name down and refuses, Python's urllib and requests stop in getaddrinfo(), Node's fetch() and http.get() in
connect(). A view is (host, port) in one canonical form, or None when the client refuses the URL.
"""
import ipaddress
import json
import pathlib
import random
import re
import socket
import struct
import subprocess
import sys
import tempfile
import threading

HERE = pathlib.Path(__file__).resolve().parent

SCHEMES = ["https://"] * 9 + ["HTTP://", "http:", "http:/", "http:///", "http:\\\\", "http:/\\", " http://", "h\tttp://", "http//",
                                                 "http:// ", "http:\n//", "//", "", "ws://", "http://http://", "ftp://", "http%3a//"]
USERS = ["u@", "u:p@", "{o}@", "{o}:80@", "{o}%40", "{o}\\@", "{o}#@", "{o}?@", "{o}/@", "{o};@", "{o}&@", "{o}:@", "a@b@", "@", ":@", "%00@",
                     "{o}%2f@", "{o}%5c@", "{o}%23@", "{o}\t@", "{o} @", "{o},", "[{o}]@", "{o}\uff20", "{o}\u2044@", "{o}\u3002@"]
PORTS = [":80", ":443", ":080", ":", ":0", ":65616", ":+80", ":-80", ":8 0", ":80\t", ":\u0668\u0660", ":0x50", ":80:443", ":80@{o}", ":@{o}",
                     ":80#@{o}", ":80\\@{o}", ":%38%30", ":1e2", ":80.", ":99999"]
TAILS = ["", "", "?x", "?@{o}/", "#", "#@{o}/", "\\@{o}/", "/@{o}/", "/\\@{o}", ";@{o}/", "\\\\{o}/", "//{o}/", "/../{o}", "\t@{o}/", " @{o}/",
                     "%2f@{o}/", "%5c@{o}/", "%23@{o}/", "\u2100/", "\uff0f@{o}/", "\uff03@{o}/", "%00.{o}/", "%0d%0a.{o}/", "&@{o}/", "'@{o}/"]
INSERTS = ["\t", "\n", "\r", " ", "\0", "\x0b", "\x0c", "\x7f", "\xa0", "\xad", "\u200b", "\u200d", "\u3002", "\uff0e", "\uff61", "%", "%2e", "%00", "%09", ".", "..",
           "-", "_", "\\", "/", "|", "^", "<", "\"", "'", "`", "{{", "[", "]", "*", ",", ";", "!", "$", "&", "(", "~", "+", "=", "\u0130", "\u0131", "\xdf", "\u212a"]


def number_forms(address):
    """Spellings of one IPv4 address."""
    a, b, c, d = map(int, address.split("."))
    whole = struct.unpack(">I", socket.inet_aton(address))[0]
    return [str(whole), hex(whole), f"0{whole:o}", f"{a}.{whole & 0xffffff}", f"{a}.{b}.{c * 256 + d}", f"{a:#x}.{b:#x}.{c:#x}.{d:#x}",
            f"0{a:o}.0{b:o}.0{c:o}.0{d:o}", f"0{a}.{b}.{c}.{d}", f"{a}.{b}.{c}.{d}.", f"{whole + (1 << 32)}", f"[::ffff:{address}]",
            f"[::ffff:{a * 256 + b:x}:{c * 256 + d:x}]", f"[::{address}]", f"[64:ff9b::{address}]", address, f"{address}%25eth0", f"[{address}]"]


def host_forms(r, name, address):
    def spell(host):
        what = r.randrange(9)
        at = r.randrange(len(host) + 1)
        if what <= 1:
            return host[:at] + r.choice(INSERTS) + host[at:]
        if what == 2:
            return "".join(f"%{ord(c):02x}" if r.randrange(3) == 0 else c for c in host)
        if what == 3:
            return "".join(chr(ord(c) + 0xfee0) if c.isalnum() and r.randrange(3) == 0 else c for c in host)
        if what == 4:
            return host.replace(".", r.choice(["\u3002", "\uff0e", "\uff61", "%2e", "..", "%252e"]), 1)
        if what == 5:
            return r.choice([host.upper(), host + ".", host + "..", "." + host, host + ".evil.test", "x" + host, f"xn--{host}", host.replace("e", "\u0435", 1)])
        if what == 6:
            return r.choice(["[fe80::1%25eth0]", "[fe80::1%eth0]", "[::1]", "[::]", "[2a0e:77:1::10]", "[::1", "::1", "[v1.x]", "[]", "[::1]x", "localhost",
                             "0", "127.1", "0x7f.1"])
        if what == 7:
            return r.choice(number_forms(address))
        return host
    return spell(name)


def make(seed, count, good, evil):
    """@good, @evil: (name, address). The same URLs for the same seed."""
    r, out = random.Random(seed), []
    while len(out) < count:
        (name, address), (other, _) = (good, evil) if r.randrange(3) else (evil, good)
        parts = ["http://", "", name, "", "/"]
        for at in r.sample(range(5), r.choice((0, 1, 1, 1, 1, 2, 2, 3))):
            parts[at] = host_forms(r, name, address) if at == 2 else r.choice((SCHEMES, USERS, (), PORTS, TAILS)[at])
        url = "".join(p.replace("{o}", other) for p in parts)
        if r.randrange(12) == 0:
            at = r.randrange(len(url) + 1)
            url = url[:at] + r.choice(INSERTS) + url[at:]
        out.append(url)
    return out


def canonical(host, port):
    """One form for what the resolver and the kernel take as the same."""
    if isinstance(host, bytes):
        host = host.decode("latin-1")
    host = host.strip("[]").split("%")[0] if ":" in host else host
    try:
        host = host.encode("idna").decode() if not host.isascii() else host
    except UnicodeError:
        pass
    host = host.lower()
    host = host[:-1] if host.endswith(".") else host
    if re.fullmatch(r"[0-9a-fx.]*[0-9a-f]", host):
        try:
            host = socket.inet_ntoa(socket.inet_aton(host))
        except OSError:
            pass
    try:
        ip = ipaddress.ip_address(host)
        host = str(getattr(ip, "ipv4_mapped", None) or ip)
    except ValueError:
        pass
    return host, int(port)


class Socks:
    """A SOCKS5 server that learns who asks for whom, and refuses."""

    def __init__(self):
        self.asked = {}
        self.sock = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self.sock.getsockname()[1]
        threading.Thread(target=self.loop, daemon=True).start()

    def loop(self):
        while True:
            try:
                s, _ = self.sock.accept()
            except OSError:
                return
            with s:
                s.settimeout(10)
                try:
                    self.serve(s, lambda n: s.recv(n, socket.MSG_WAITALL))
                except (OSError, IndexError, struct.error):
                    pass

    def serve(self, s, take):
        take(take(2)[1])
        s.sendall(b"\5\2")
        user = take(take(2)[1]).decode()
        take(take(1)[0])
        s.sendall(b"\1\0")
        kind = take(4)[3]
        host = socket.inet_ntop(socket.AF_INET if kind == 1 else socket.AF_INET6, take(4 if kind == 1 else 16)) if kind != 3 else take(take(1)[0])
        self.asked[int(user)] = (host, struct.unpack(">H", take(2))[0])
        s.sendall(b"\5\2\0\1\0\0\0\0\0\0")

    def close(self):
        self.sock.close()


def run_curl(urls, proxy):
    """curl for each URL through proxy(n), one after the other: n → HTTP status, 0 for none."""
    status, todo = {}, [n for n, url in enumerate(urls) if "\0" not in url]
    while todo:
        parts = []
        for n in todo:
            text = urls[n].replace("\\", "\\\\").replace('"', '\\"').replace("\t", "\\t").replace("\n", "\\n").replace("\r", "\\r").replace("\x0b", "\\v")
            parts.append(f'url = "{text}"\noutput = "/dev/null"\ngloboff\nsilent\nmax-time = 5\nproxy = "{proxy(n)}"\n'
                         f'write-out = "{n} %{{http_code}}\\n"\n')
        with tempfile.NamedTemporaryFile("w", encoding="utf-8") as config:
            config.write("next\n".join(parts))
            config.flush()
            done = subprocess.run(["curl", "-q", "-K", config.name], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=120,
                                  env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"})
        told = dict(map(int, line.split()) for line in done.stdout.decode().splitlines())
        assert told, "curl did nothing"
        status.update(told)
        # some names end it as a whole ("Out of memory", which is not so): on with those behind
        todo = [n for n in todo if n > max(told)]
    return status


def curl(urls):
    socks = Socks()
    run_curl(urls, lambda n: f"socks5h://{n}:x@127.0.0.1:{socks.port}")
    socks.close()
    return [socks.asked.get(n) for n in range(len(urls))]


def child(argv, urls):
    done = subprocess.run(argv, input=json.dumps(urls).encode(), stdout=subprocess.PIPE, timeout=120, check=True,
                          env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"})
    return json.loads(done.stdout)


def views(urls):
    """client → for each URL (host, port) or None"""
    raw = {"curl": curl(urls), **child([sys.executable, __file__], urls), **child(["node", HERE / "dial.js"], urls)}
    return {name: [canonical(*v) if v else None for v in found] for name, found in raw.items()}


# ---- as a program: Python's own clients, stopped at getaddrinfo() ----------------------------------------

def main():
    import ssl
    import urllib.request

    import requests

    asked = []

    def stop(host, port, *_more, **_options):
        asked.append((host.decode("latin-1") if isinstance(host, bytes) else host, port))
        raise OSError("written down")

    socket.getaddrinfo = stop
    socket.gethostbyname = lambda host: stop(host, 21)  # FTP's
    session = requests.Session()
    session.trust_env = False
    tls = urllib.request.HTTPSHandler(context=ssl.create_default_context())
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), tls)
    clients = {"urllib": lambda url: opener.open(url, timeout=5), "requests": lambda url: session.get(url, timeout=5, allow_redirects=False)}
    out = {}
    for name, get in clients.items():
        out[name] = []
        for url in json.loads(INPUT):
            asked.clear()
            try:
                get(url)
            except Exception:  # whatever it says about the URL, it did not go there
                pass
            out[name].append(asked[0] if asked else None)
    print(json.dumps(out))


if __name__ == "__main__":
    INPUT = sys.stdin.read()
    main()
