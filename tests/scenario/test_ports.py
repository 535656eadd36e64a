"""Services inside that are published on the host's loopback: reached wherever they listen, live, byte for byte."""
import concurrent.futures
import hashlib
import os
import signal
import socket
import time
import urllib.request

import pytest

HTTP = """
import http.server, socket, sys
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        body = ("%s says %s" % (self.server.server_address[0], self.path)).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *args):
        pass
class Server(http.server.ThreadingHTTPServer):
    address_family = socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET
    request_queue_size = 256
Server((sys.argv[1], int(sys.argv[2])), Handler).serve_forever()
"""

# Takes everything until the other side has ended its direction, then gives it back and ends.
GIVE_BACK = """
import socket, threading
listener = socket.create_server(("127.0.0.1", 7001), backlog=64)
def serve(link):
    parts = []
    while part := link.recv(1 << 18):
        parts.append(part)
    link.sendall(b"".join(parts))
    link.close()
while True:
    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
"""

# 7002 never reads, 7003 floods whoever comes, 7004 resets, 7005 speaks first and ends.
HOSTILE = """
import socket, struct, threading
kept = []
def reset(link):
    link.recv(1)
    link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    link.close()
def flood(link):
    try:
        while True:
            link.sendall(b"x" * 65536)
    except OSError:
        pass
def hello(link):
    link.sendall(b"220 hello")
    link.close()
def run(port, what):
    listener = socket.create_server(("127.0.0.1", port), backlog=64)
    while True:
        threading.Thread(target=what, args=(listener.accept()[0],), daemon=True).start()
for port, what in ((7003, flood), (7004, reset), (7005, hello)):
    threading.Thread(target=run, args=(port, what), daemon=True).start()
run(7002, kept.append)
"""

WAIT = """
import socket, sys, time
for where in sys.argv[1:]:
    host, port = where.rsplit(":", 1)
    for _ in range(600):
        try:
            socket.create_connection((host, int(port)), 5).close()
            break
        except OSError:
            time.sleep(0.1)
    else:
        sys.exit("nothing listens on " + where)
"""


def serve(box, source, *args):
    """Run a server inside that outlives the command that began it."""
    box.ok('nohup python3 -c "$1" $2 >/tmp/server.log 2>&1 </dev/null &', source, " ".join(map(str, args)))


def wait_inside(box, *where):
    result = box.python(WAIT, *where, timeout=120)
    assert result.code == 0, result


def get(port, path="/x", host="127.0.0.1", timeout=60):
    with urllib.request.urlopen(f"http://{host}:{port}{path}", timeout=timeout) as answer:
        return answer.read().decode()


def published(rig, name):
    return {p["port"]: p for p in rig.json("ports", name, "--json", timeout=120)["ports"]}


def refused(port, host="127.0.0.1"):
    with socket.socket() as s:
        s.settimeout(30)
        return s.connect_ex((host, port)) != 0


def is_reset(port, timeout=60):
    """The listener takes the connection, and the sandbox does not."""
    with socket.create_connection(("127.0.0.1", port), 30) as s:
        s.settimeout(timeout)
        try:
            return s.recv(1) == b""  # an end without a word
        except ConnectionResetError:
            return True


@pytest.fixture(scope="module")
def web(rig, image):
    box = rig.create("box-web", more=("-p", "8001", "--publish", "127.0.0.1::8002", "-p", "8003", "-p", "8004/tcp")).start()
    for address, port in (("127.0.0.1", 8001), ("0.0.0.0", 8002), ("::1", 8003), ("198.18.0.2", 8004)):
        serve(box, HTTP, address, port)
    serve(box, GIVE_BACK)
    serve(box, HOSTILE)
    wait_inside(box, "127.0.0.1:8001", "127.0.0.1:8002", "::1:8003", "198.18.0.2:8004", "127.0.0.1:7001",
                "127.0.0.1:7002", "127.0.0.1:7003", "127.0.0.1:7004", "127.0.0.1:7005")
    return box


def test_reached_wherever_it_listens(rig, web):
    ports = published(rig, web.name)
    assert sorted(ports) == [8001, 8002, 8003, 8004]
    for inside, says in ((8001, "127.0.0.1"), (8002, "0.0.0.0"), (8003, "::1"), (8004, "198.18.0.2")):
        assert ports[inside]["listening"] and ports[inside]["host_port"] >= 1024
        assert get(ports[inside]["host_port"]) == f"{says} says /x"
    table = rig.ok("ls").text
    assert f"127.0.0.1:{ports[8001]['host_port']}->8001/tcp" in table
    assert f"127.0.0.1:{ports[8001]['host_port']}->8001/tcp" in rig.ok("inspect", web.name).text
    # "/tcp" is both families where the host has them; nothing listens on any other address
    rows = [p for p in rig.json("inspect", "--json", web.name)["ports"] if p["port"] == 8004]
    assert [r["address"] for r in rows] == ["127.0.0.1", "::1"] and rows[0]["host_port"] == rows[1]["host_port"]
    for table in ("tcp", "tcp6"):
        for line in open(f"/proc/net/{table}", encoding="ascii").read().splitlines()[1:]:
            address, port = line.split()[1].split(":")
            if line.split()[3] == "0A" and int(port, 16) in [p["host_port"] for p in ports.values()]:
                assert address in ("0100007F", "0" * 24 + "01000000")


def test_two_hundred_at_once(rig, web):
    port = published(rig, web.name)[8001]["host_port"]
    with concurrent.futures.ThreadPoolExecutor(200) as pool:
        answers = list(pool.map(lambda i: get(port, f"/{i}", timeout=120), range(200)))
    assert answers == [f"127.0.0.1 says /{i}" for i in range(200)]


def test_fifty_megabytes_both_ways_after_a_half_close(rig, web):
    rig.ok("ports", web.name, "--publish", "7001")
    port = published(rig, web.name)[7001]["host_port"]
    data = os.urandom(50 << 20)
    back = []
    with socket.create_connection(("127.0.0.1", port), 30) as s:
        s.settimeout(120)
        s.sendall(data)
        s.shutdown(socket.SHUT_WR)
        while part := s.recv(1 << 18):
            back.append(part)
    assert hashlib.sha256(b"".join(back)).digest() == hashlib.sha256(data).digest()


def test_live_publish_and_unpublish(rig, web):
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        free = s.getsockname()[1]
    assert f"127.0.0.1:{free}->8001/tcp" in rig.ok("ports", web.name, "--publish", f"{free}:8001").text
    assert get(free) == "127.0.0.1 says /x"
    # an open connection is cut with its port
    link = socket.create_connection(("127.0.0.1", free), 30)
    link.sendall(b"GET /kept HTTP/1.1\r\nHost: x\r\n\r\n")
    said = b""
    while b"says /kept" not in said:
        said += link.recv(4096)
        assert said
    rig.ok("ports", web.name, "--unpublish", f"{free}:8001")
    assert refused(free)
    link.settimeout(30)
    with pytest.raises(ConnectionResetError):
        link.recv(1)
    link.close()
    assert 8001 in published(rig, web.name)  # only that host port was taken back
    answer = rig.fails("ports", web.name, "--unpublish", str(free))
    assert "does not publish" in answer.errors


def test_taken_and_wrong_ports_are_told(rig, web):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        number = taken.getsockname()[1]
        answer = rig.fails("ports", web.name, "--publish", f"{number}:8001")
        assert f"port {number} of 127.0.0.1 is taken by another program" in answer.errors and "hint: " in answer.errors
        before = rig.json("ports", web.name, "--json")
        # nothing of a request is done when a part of it fails
        rig.fails("ports", web.name, "--publish", "8002", "--publish", f"{number}:8002", "--unpublish", "8001")
        assert rig.json("ports", web.name, "--json") == before
    for spec, why in (("0.0.0.0:80:8001", "loopback"), ("192.0.2.1::8001", "loopback"), ("[::]:1:8001", "loopback"),
                      ("8001/udp", "UDP"), ("0", "form"), ("70000", "form"), ("a:1", "form"), ("1:2:3:4", "form"),
                      ("8001/sctp", "form"), ("", "empty")):
        assert why in rig.fails("ports", web.name, "--publish", spec).errors, spec
    result = rig.fails("create", "--name", "box-bad", "-p", "53:53/udp", "shell", rig.new_dir())
    assert "only TCP" in result.errors and "box-bad" not in rig.boxes()


def test_nothing_listens_yet(rig, web):
    rig.ok("ports", web.name, "--publish", "6001")
    port = published(rig, web.name)[6001]["host_port"]
    started = time.monotonic()
    assert is_reset(port)
    assert time.monotonic() - started < 30
    serve(web, HTTP, "127.0.0.1", 6001)
    wait_inside(web, "127.0.0.1:6001")
    assert get(port) == "127.0.0.1 says /x"
    rig.ok("ports", web.name, "--unpublish", "6001")


def test_hostile_services(rig, web):
    """One that never reads, floods or resets hurts its own client alone."""
    rig.ok("ports", web.name, "--publish", "7002", "--publish", "7003", "--publish", "7004", "--publish", "7005")
    ports = {inside: p["host_port"] for inside, p in published(rig, web.name).items()}
    held = []
    for inside in (7002, 7003):  # a client that does not read, and a service that does not
        for _ in range(8):
            link = socket.create_connection(("127.0.0.1", ports[inside]), 30)
            link.setblocking(False)
            try:
                while inside == 7002:
                    link.send(b"y" * 65536)
            except BlockingIOError:
                pass
            held.append(link)
    with socket.create_connection(("127.0.0.1", ports[7004]), 30) as link:
        link.settimeout(60)
        link.sendall(b"x")
        with pytest.raises(ConnectionResetError):
            link.recv(1)
    with socket.create_connection(("127.0.0.1", ports[7005]), 30) as link:
        link.settimeout(60)
        assert link.recv(100) == b"220 hello" and link.recv(1) == b""
    assert get(ports[8001]) == "127.0.0.1 says /x"
    assert web.ok("echo on") == "on\n"
    assert web.name in rig.boxes()
    for link in held:
        link.close()
    # what they held is let go: memory of the daemon is that of no connection
    daemon = rig.daemon_pid()
    status = open(f"/proc/{daemon}/status", encoding="ascii").read()
    assert int(status.split("VmRSS:")[1].split()[0]) < 64 << 10
    rig.ok("ports", web.name, *[a for p in (7002, 7003, 7004, 7005) for a in ("--unpublish", str(p))])


def test_kept_over_kills_stops_and_taken_ports(rig, web):
    ports = published(rig, web.name)
    os.kill(rig.daemon_pid(), signal.SIGKILL)
    again = published(rig, web.name)  # starts another daemon
    assert {i: p["host_port"] for i, p in again.items()} == {i: p["host_port"] for i, p in ports.items()}
    assert get(ports[8001]["host_port"]) == "127.0.0.1 says /x"
    rig.ok("stop", web.name)
    assert refused(ports[8001]["host_port"]) and refused(ports[8002]["host_port"])
    stopped = {p["port"]: p for p in rig.boxes()[web.name]["ports"]}
    assert not stopped[8001]["listening"] and stopped[8001]["host_port"] is None
    rig.ok("ports", web.name, "--unpublish", "8003")  # changes what is to come, and starts nothing
    assert rig.boxes()[web.name]["status"] == "stopped"
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", ports[8002]["host_port"]))
        taken.listen()
        now = published(rig, web.name)  # starts it
    assert sorted(now) == [7001, 8001, 8002, 8004]
    assert now[8001]["host_port"] == ports[8001]["host_port"]  # it was free
    assert now[8002]["host_port"] != ports[8002]["host_port"] and now[8002]["listening"]


def test_fixed_port_that_is_taken_does_not_keep_from_starting(rig, image):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        number = taken.getsockname()[1]
        box = rig.create("box-fixed", more=("-p", f"{number}:8001")).start()
        port = published(rig, box.name)[8001]
        assert not port["listening"] and "is taken" in port["trouble"]
        assert any("is taken" in note for note in rig.json("inspect", "--json", box.name)["notes"])
        assert "is taken" in rig.fails("ports", box.name, "--publish", f"{number}:8001").errors
    rig.ok("ports", box.name, "--publish", f"{number}:8001")  # now it is free
    assert published(rig, box.name)[8001]["listening"]
    assert not refused(number)
    box.remove()
    assert refused(number)


KIT_PORTS = """\
schemaVersion: "2"
kind: mixin
name: web
ports:
  - {container: 8001, name: site}
  - {container: 8002, protocol: tcp}
"""


def test_ports_of_a_kit_wait_for_an_approval(rig, image):
    kit = rig.new_dir("kit-web")
    (kit / "spec.yaml").write_text(KIT_PORTS)
    made = rig.json("create", "--plan", "--name", "box-kit", "--kit", kit, "shell", rig.new_dir())
    assert "ports" not in made and any("port 8001" in line for line in made["withheld"])
    wish = {"name": "box-kit", "agent": "shell", "kits": [str(kit)], "approve": made["kits_digest"]}
    status, made = rig.api("POST", "/v1/sandboxes?plan=1", wish)
    assert status == 200 and not made.get("withheld")
    assert [(p["container"], p["protocol"], p.get("name"), p["kit"]) for p in made["ports"]] == [
        (8001, "", "site", "web"), (8002, "tcp", None, "web")]
    assert rig.api("POST", "/v1/sandboxes", wish)[0] == 201
    shown = rig.boxes()["box-kit"]["ports"]
    assert [(p["address"], p["port"], p["name"]) for p in shown] == [
        ("127.0.0.1", 8001, "site"), ("127.0.0.1", 8002, None), ("::1", 8002, None)]
    assert all(p["host_port"] is None and not p["listening"] for p in shown)
    rig.ok("ports", "box-kit", "--unpublish", "8001", "--unpublish", "8002")
    assert rig.boxes()["box-kit"]["ports"] == []
    (kit / "spec.yaml").write_text(KIT_PORTS.replace("protocol: tcp", "protocol: udp"))
    digest = rig.api("POST", "/v1/sandboxes?plan=1", {**wish, "approve": None})[1]["kits_digest"]
    status, said = rig.api("POST", "/v1/sandboxes?plan=1", {**wish, "approve": digest})
    assert status == 400 and "spec.yaml:6:" in said["error"]["message"] and "UDP" in said["error"]["message"]
    rig.ok("rm", "--force", "box-kit")
