"""parent.py - a company's proxy on the rig's Internet: HTTP, HTTPS and SOCKS 5; run inside of its namespace

parent.py ADDRESS CERTIFICATE LOG DIR: HTTP on port 3128, the same in TLS on 3129, SOCKS 5 on 1080. What it is
asked for is a line of JSON in LOG. Names are those of DIR/zone.json. "ready" when it listens.
"""
import base64
import json
import os
import socket
import ssl
import struct
import sys
import threading

ADDRESS, CERTIFICATE, LOG, DIR = sys.argv[1:5]
USER = base64.b64encode(b"corp:pa%ss").decode()
out = os.open(LOG, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)


def log(**what):
    os.write(out, (json.dumps(what) + "\n").encode())


def dial(host, port):
    zone = json.load(open(DIR + "/zone.json"))
    entry = zone.get(host, {})
    values = entry.get("A") or entry.get("AAAA") or [host]
    return socket.create_connection((values[0], port), 10)


def splice(a, b):
    def copy(x, y):
        try:
            while part := x.recv(65536):
                y.sendall(part)
            y.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    back = threading.Thread(target=copy, args=(b, a))
    back.start()
    copy(a, b)
    back.join()


def http(s, kind):
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        part = s.recv(1)
        if not part:
            return
        head += part
    line, *fields = head.decode("latin-1").split("\r\n")
    method, target, _ = line.split(" ")
    authorized = f"proxy-authorization: basic {USER}".lower() in head.decode("latin-1").lower()
    log(kind=kind, method=method, target=target, authorized=authorized)
    if method == "CONNECT":
        host, _, port = target.rpartition(":")
        with dial(host.strip("[]"), int(port)) as up:
            s.sendall(b"HTTP/1.1 200 go on\r\n\r\n")
            splice(s, up)
        return
    assert target.startswith("http://")
    authority, slash, path = target[7:].partition("/")
    host, _, port = authority.partition(":")
    fields = [f for f in fields if not f.lower().startswith(("proxy-", "connection:"))]
    with dial(host, int(port or 80)) as up:
        up.sendall("\r\n".join([f"{method} {slash}{path} HTTP/1.1", "Connection: close", *fields]).encode("latin-1"))
        splice(s, up)


def socks(s):
    def take(n):
        got = s.recv(n, socket.MSG_WAITALL)
        if len(got) < n:
            raise EOFError
        return got

    methods = take(take(2)[1])
    authorized = False
    if 2 in methods:
        s.sendall(b"\5\2")
        user = take(take(2)[1])
        authorized = user + b":" + take(take(1)[0]) == b"corp:pa%ss"
        s.sendall(b"\1\0")
    else:
        s.sendall(b"\5\0")
    kind = take(4)[3]
    if kind == 3:
        host = take(take(1)[0]).decode()
    else:
        host = socket.inet_ntop(socket.AF_INET if kind == 1 else socket.AF_INET6, take(4 if kind == 1 else 16))
    port = struct.unpack(">H", take(2))[0]
    log(kind="socks", method="CONNECT", target=f"{host}:{port}", name=kind == 3, authorized=authorized)
    with dial(host, port) as up:
        s.sendall(b"\5\0\0\1\0\0\0\0\0\0")
        splice(s, up)


def serve(s, kind):
    try:
        s.settimeout(60)
        if kind == "https":
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(CERTIFICATE)
            s = context.wrap_socket(s, server_side=True)
        socks(s) if kind == "socks" else http(s, kind)
    except (OSError, EOFError, ValueError) as why:
        log(kind=kind, trouble=str(why))
    finally:
        s.close()


def listen(port, kind):
    server = socket.create_server((ADDRESS, port), backlog=64)

    def loop():
        while True:
            s, _ = server.accept()
            threading.Thread(target=serve, args=(s, kind), daemon=True).start()

    threading.Thread(target=loop, daemon=True).start()


for port, kind in ((3128, "http"), (3129, "https"), (1080, "socks")):
    listen(port, kind)
print("ready", flush=True)
sys.stdin.read()
