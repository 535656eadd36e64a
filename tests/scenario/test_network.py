"""The way out of a real guest: every client trusts what it meets, streams are faithful, changes count at once."""
import json
import hashlib
import http.server
import os
import pathlib
import pwd
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import threading
import time

import pytest

TEXT = b"hello from the host\n"
BIG = os.urandom(1 << 20) * 6


class Pages(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, status, body):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        if self.path == "/cut":
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            self.wfile.write(b"only this")
            self.close_connection = True
            return
        self.answer(200, BIG if self.path == "/big" else TEXT)

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.answer(200, hashlib.sha256(body).hexdigest().encode())

    def log_message(self, *_args):
        pass


def serve_pages(context=None):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Pages)
    if context:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


class Ends:
    """Says a line, and then ends as it is told by the first byte it hears: r(eset), e(nd)."""

    def __init__(self):
        self.sock = socket.create_server(("127.0.0.1", 0), backlog=16)
        self.port = self.sock.getsockname()[1]
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        while True:
            try:
                conn, _ = self.sock.accept()
            except OSError:
                return
            with conn:
                conn.settimeout(30)
                conn.sendall(b"ready\n")
                if conn.recv(1) == b"r":
                    conn.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                else:
                    conn.shutdown(socket.SHUT_WR)
                    conn.recv(1)


class Echo:
    """Says a line first; sends back what it hears once that has ended; knows how connections ended."""

    def __init__(self):
        self.sock = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port = self.sock.getsockname()[1]
        self.ends = []
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        while True:
            try:
                conn, _ = self.sock.accept()
            except OSError:
                return
            threading.Thread(target=self.one, args=(conn,), daemon=True).start()

    def one(self, conn):
        with conn:
            conn.settimeout(30)
            conn.sendall(b"ready\n")
            got = []
            try:
                while chunk := conn.recv(65536):
                    got.append(chunk)
                conn.sendall(b"".join(got))
                self.ends.append("end")
            except OSError as e:
                self.ends.append(type(e).__name__)


def openssl(where, *args):
    subprocess.run(["openssl", *args], cwd=where, check=True, capture_output=True, timeout=30)


@pytest.fixture(scope="module")
def tls(tmp_path_factory):
    """A context with a certificate for localhost, and the PEM of who has signed it."""
    where = tmp_path_factory.mktemp("tls")
    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    openssl(where, "req", "-x509", *key, "-days", "2", "-subj", "/CN=test authority", "-keyout", "ca.key", "-out", "ca.pem")
    openssl(where, "req", *key, "-subj", "/CN=localhost", "-keyout", "key.pem", "-out", "csr.pem")
    (where / "ext").write_text("subjectAltName=DNS:localhost\n")
    openssl(where, "x509", "-req", "-in", "csr.pem", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2",
            "-extfile", "ext", "-out", "cert.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(where / "cert.pem", where / "key.pem")
    return context, where / "ca.pem"


@pytest.fixture(scope="module")
def net(rig, image, tls):
    """A running sandbox that may reach the three servers."""
    context, ca = tls
    assert rig.sbx("settings", "set", "tls.extraCA", ca).code == 0
    box = rig.create("box-net", size=("--cpus", "2", "--memory", "768m")).start()
    box.http, box.https, box.echo = serve_pages(), serve_pages(context), Echo()
    for port in (box.http.server_port, box.https.server_port, box.echo.port):
        run = rig.sbx("policy", "allow", "--sandbox", box.name, f"localhost:{port}")
        assert run.code == 0, run
    box.url = f"https://host.sbx.internal:{box.https.server_port}/x"
    yield box
    box.http.shutdown()
    box.https.shutdown()
    box.echo.sock.close()


CLIENTS = {
    "curl": 'curl -sS -m 20 "$U"',
    "curl-h1": 'curl -sS -m 20 --http1.1 "$U"',
    "curl-proxy": 'curl -sS -m 20 -x http://gateway.sbx.internal:3128 "$U"',
    "curl-v4": 'curl -sS -m 20 -4 "$U"',
    "python": 'python3 -c "import os,urllib.request as u; print(u.urlopen(os.environ[\'U\']).read().decode(), end=\'\')"',
    "python-bare": 'env -i U="$U" /usr/bin/python3 -c "import os,urllib.request as u;'
                   ' print(u.urlopen(os.environ[\'U\']).read().decode(), end=\'\')"',
    "sudo-curl": 'sudo curl -sS -m 20 "$U"',
    "node-fetch": 'node -e "fetch(process.env.U).then(r=>r.text()).then(t=>process.stdout.write(t))"',
    "node-https": 'node -e "require(\'https\').get(process.env.U,r=>r.pipe(process.stdout))"',
}


@pytest.mark.parametrize("client", CLIENTS)
def test_clients_trust_what_they_meet(net, client):
    if client.startswith("node") and net.sh("command -v node").code != 0:
        pytest.skip("the image has no node")
    run = net.sh(f"export U={net.url}; {CLIENTS[client]}", timeout=60)
    assert run.out == TEXT, run


def test_git_and_openssl(net):
    run = net.sh(f"git ls-remote {net.url}", timeout=60)
    assert "is this a git repository" in run.errors and "certificate" not in run.errors, run
    port = net.https.server_port
    run = net.sh(f"openssl s_client -connect host.sbx.internal:{port} -servername host.sbx.internal </dev/null", timeout=60)
    assert "Verify return code: 0 (ok)" in run.text and "sbx sandbox" in run.text, run


def test_python_requests(net):
    """Debian's own package, with the variables and without them."""
    wanted = [pathlib.Path("/usr/lib/python3/dist-packages", n) for n in ("requests", "urllib3", "idna", "chardet", "certifi")]
    if not all(w.is_dir() for w in wanted):
        pytest.skip("python3-requests is not installed on this host")
    for package in wanted:
        shutil.copytree(package, net.ws / "python" / package.name)
    run = net.sh(f"export PYTHONPATH={net.ws}/python; U={net.url}\n"
                 "get='import sys,requests; r = requests.get(sys.argv[1], timeout=30); print(r.status_code, r.text, end=str())'\n"
                 'python3 -c "$get" $U && env -i PYTHONPATH=$PYTHONPATH /usr/bin/python3 -c "$get" $U', timeout=120)
    assert run.text == 2 * f"200 {TEXT.decode()}", run
    shutil.rmtree(net.ws / "python")


@pytest.fixture(scope="module")
def sshd(net, tmp_path_factory):
    """An SSH server on the host's loopback, for a key that was made inside; its log shows who came."""
    if not shutil.which("dropbear") or not shutil.which("unshare") or os.geteuid() != 0:
        pytest.skip("needs dropbear, and root to give it a home of its own")
    where = tmp_path_factory.mktemp("ssh")
    net.ok("mkdir -p -m 700 ~/.ssh && ssh-keygen -q -t ed25519 -N '' -f ~/.ssh/id_ed25519")
    home, port = where / "home", free_port()
    (home / ".ssh").mkdir(0o700, parents=True)
    home.chmod(0o700)
    (home / ".ssh" / "authorized_keys").write_text(net.ok("cat ~/.ssh/id_ed25519.pub"))
    git = ["git", "-c", "user.name=x", "-c", "user.email=x@x", "-c", "init.defaultBranch=main"]
    subprocess.run([*git, "init", "-q", "--bare", home / "demo.git"], check=True)
    subprocess.run(["dropbearkey", "-t", "ed25519", "-f", where / "host_key"], check=True, capture_output=True)
    me = pwd.getpwuid(0)
    log = open(where / "log", "wb")
    child = subprocess.Popen(
        ["unshare", "-m", "sh", "-c", 'mount --bind "$1" "$2" && shift 2 && exec "$@"', "sh", home, me.pw_dir, "dropbear", "-F", "-E",
         "-s", "-r", where / "host_key", "-P", where / "pid", "-p", f"127.0.0.1:{port}"], stdin=subprocess.DEVNULL, stderr=log)
    yield port, me.pw_name, where / "log", home / "demo.git"
    child.terminate()
    child.wait(10)
    log.close()


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as s:
        return s.getsockname()[1]


def test_ssh_and_git_over_it(rig, net, sshd):
    """A protocol that the way out knows nothing of: by host and port alone, and not without a rule."""
    port, who, log, repository = sshd
    ssh = f"ssh -p {port} -o BatchMode=yes -o StrictHostKeyChecking=accept-new -o ConnectTimeout=20 {who}@host.sbx.internal"
    run = net.sh(f"{ssh} echo in", timeout=60)
    assert run.code == 255 and run.text == "", run
    assert b"onnection from" not in log.read_bytes()
    assert rig.sbx("policy", "allow", "--sandbox", net.name, f"localhost:{port}").code == 0
    want = hashlib.sha256(BIG).hexdigest()
    (net.ws / "big").write_bytes(BIG)
    run = net.sh(f"{ssh} 'cat; exit 7' <{net.ws}/big | sha256sum; {ssh} exit 9; echo $?", timeout=120)
    assert run.text.split() == [want, "-", "9"], run
    assert b"onnection from" in log.read_bytes()
    run = net.sh(f"export GIT_SSH_COMMAND='ssh -o BatchMode=yes' && cd /tmp && git clone -q ssh://{who}@host.sbx.internal:{port}/~/demo.git 2>&1"
                 " && cd demo && echo x >file && git add file && git -c user.name=x -c user.email=x@x commit -qm one"
                 " && git push -q origin HEAD:refs/heads/main 2>&1", timeout=180)
    assert run.code == 0, run
    out = subprocess.run(["git", "-C", repository, "-c", "safe.directory=*", "log", "--format=%s", "main"], stdout=subprocess.PIPE, check=True)
    assert out.stdout == b"one\n"


# a container's network as engines make it: a bridge, a veth pair, a namespace with a default route
BRIDGE = """
for i in $(seq 150); do [ -d /sys/module/bridge ] && [ -d /sys/module/veth ] && break; sleep 0.2; done
set -e
ip link add br0 type bridge
ip addr add 172.30.0.1/24 dev br0
ip -6 addr add fd99::1/64 dev br0 nodad
ip link set br0 up
ip netns add c
ip link add v0 type veth peer name eth0 netns c
ip link set v0 master br0 up
ip -n c addr add 172.30.0.2/24 dev eth0
ip -n c -6 addr add fd99::2/64 dev eth0 nodad
ip -n c link set eth0 up
ip -n c route add default via 172.30.0.1
ip -n c -6 route add default via fd99::1
"""

VERDICTS = r"""
import socket, sys
allowed, denied = int(sys.argv[1]), int(sys.argv[2])
def names(name):
    try: return sorted({x[4][0] for x in socket.getaddrinfo(name, 1)})
    except OSError: return "none"
def tcp(to, port, name):
    s = socket.socket(socket.AF_INET6 if ":" in to else socket.AF_INET)
    s.settimeout(20)
    try:
        s.connect((to, port))
        s.sendall(f"GET / HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n".encode())
        return s.recv(12).decode() or "closed"
    except OSError as e: return type(e).__name__
def udp(to):
    s = socket.socket(socket.AF_INET6 if ":" in to else socket.AF_INET, socket.SOCK_DGRAM)
    s.settimeout(5)
    try:
        s.connect((to, 443))
        s.send(b"x" * 40)
        return s.recv(10)
    except OSError as e: return type(e).__name__
for name in ("host.sbx.internal", "gateway.sbx.internal", "evil.test"): print(names(name))
for to in ("198.18.0.254", "fd53:6278::fe"): print(tcp(to, allowed, f"host.sbx.internal:{allowed}"), tcp(to, denied, f"host.sbx.internal:{denied}"))
for to in ("8.8.8.8", "10.0.0.5", "169.254.169.254", "2001:4860:4860::8888", "fd00:ec2::254"): print(tcp(to, 80, to), udp(to))
"""


def test_a_container_behind_a_bridge(net):
    """What comes from a bridge gets the verdicts of what starts in the sandbox itself; nothing is forwarded."""
    other = serve_pages()
    seen = []
    other.RequestHandlerClass = type("Seen", (Pages,), {"do_GET": lambda self: seen.append(self.path)})
    net.root_ok(BRIDGE, timeout=90)
    try:
        ports = (net.http.server_port, other.server_port)
        here = net.python(VERDICTS, *ports, timeout=120)
        there = net.run("ip", "netns", "exec", "c", "python3", "-c", VERDICTS, *ports, flags=("-u", "0"), timeout=120)
        assert here.code == 0 and there.text == here.text, (here, there)
        lines = there.text.splitlines()
        assert lines[:3] == ["['198.18.0.254', 'fd53:6278::fe']", "['198.18.0.1', 'fd53:6278::1']", "none"], there
        assert lines[3:5] == 2 * ["HTTP/1.1 200 HTTP/1.1 403"], there
        assert all(not line.startswith("HTTP/1.1 200") and line.endswith("ConnectionRefusedError") for line in lines[5:]) and len(lines) == 10, there
        assert net.root("ip netns exec c ping -c 1 -W 1 8.8.8.8").code != 0
        assert net.ok("cat /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv6/conf/all/forwarding").split() == ["0", "0"]
        assert seen == []
    finally:
        net.root("ip netns del c; ip link del br0")
        other.shutdown()


def test_no_name_of_the_host_inside(net):
    """The answer to a look-up is an address of the way out, not one of the host's."""
    for name in ("host.sbx.internal", "host.docker.internal"):
        assert net.ok(f"getent ahostsv4 {name} | awk '{{print $1; exit}}'").strip() == "198.18.0.254"
    assert net.ok("cat /etc/resolv.conf").startswith("nameserver 198.18.0.1\n")


def test_large_both_ways(net):
    url = f"http://host.sbx.internal:{net.http.server_port}"
    want = hashlib.sha256(BIG).hexdigest()
    assert net.ok(f"curl -sS -m 60 {url}/big | sha256sum", timeout=90).split()[0] == want
    assert net.ok(f"curl -sS -m 60 {url}/big | curl -sS -m 60 --data-binary @- {url}/up", timeout=90) == want


def test_a_body_that_is_cut_is_no_whole_one(rig, net):
    before = rig.network_of(net.name)
    run = net.sh(f"curl -sSf -m 20 http://host.sbx.internal:{net.http.server_port}/cut")
    assert run.code != 0, run
    after = rig.network_of(net.name)
    assert all(after[w]["restarts"] == before[w]["restarts"] for w in ("front", "vault")), (before, after)


def test_half_close_and_reset(net):
    """What the server says first arrives; what was sent before the end comes back; a reset is no end."""
    seen = len(net.echo.ends)
    run = net.python(f"""
import socket, struct
s = socket.create_connection(("host.sbx.internal", {net.echo.port})); s.settimeout(20)
f = s.makefile("rb")
print(f.readline())
s.sendall(b"x" * 300000); s.shutdown(socket.SHUT_WR)
print(len(f.read()))
s = socket.create_connection(("host.sbx.internal", {net.echo.port})); s.settimeout(20)
print(s.recv(6))
s.sendall(b"y"); s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)); s.close()
""", timeout=60)
    assert run.text == "b'ready\\n'\n300000\nb'ready\\n'\n", run
    end = time.monotonic() + 20
    while len(net.echo.ends) < seen + 2 and time.monotonic() < end:
        time.sleep(0.05)
    assert net.echo.ends[seen:] == ["end", "ConnectionResetError"]


def test_a_servers_reset_is_no_end(rig, net):
    """What had come before is there; then a reset is an error inside, and an end is an end."""
    ends = Ends()
    assert rig.sbx("policy", "allow", "--sandbox", net.name, f"localhost:{ends.port}").code == 0
    run = net.python(f"""
import socket
for how in (b"r", b"e") * 3:
    s = socket.create_connection(("host.sbx.internal", {ends.port}), timeout=60)
    s.settimeout(60)
    first = s.recv(6)
    s.sendall(how)
    try: print(how.decode(), first.decode().strip(), s.recv(10))
    except ConnectionResetError: print(how.decode(), first.decode().strip(), "reset")
    s.close()
""", timeout=120)
    ends.sock.close()
    assert run.text == "r ready reset\ne ready b''\n" * 3, run


def test_many_at_once(net):
    run = net.python(f"""
import concurrent.futures, urllib.request
def one(i):
    r = urllib.request.urlopen("http://host.sbx.internal:{net.http.server_port}/x", timeout=60)
    return r.status, r.read(), str(r.headers)
with concurrent.futures.ThreadPoolExecutor(60) as pool:
    got = list(pool.map(one, range(150)))
print(len(got), [g for g in got if g[:2] != (200, {TEXT!r})])
""", timeout=120)
    assert run.text == "150 []\n", run


def test_changes_count_at_once(rig, net):
    """A rule that goes takes with it what it had let through."""
    child = rig.popen("exec", net.name, "--", "python3", "-c", f"""
import socket
s = socket.create_connection(("host.sbx.internal", {net.echo.port}))
print(s.recv(6), flush=True)
try: print(s.recv(1), flush=True)
except ConnectionResetError: print("reset", flush=True)
""", stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    assert child.stdout.readline() == b"b'ready\\n'\n"
    rules = rig.json("policy", "ls", "--sandbox", net.name, "--json")["rules"]
    mine = [r["id"] for r in rules if r["resource"] == f"localhost:{net.echo.port}"]
    assert len(mine) == 1, rules
    started = time.monotonic()
    assert rig.sbx("policy", "rm", mine[0]).code == 0
    assert child.stdout.readline() in (b"reset\n", b"b''\n")
    assert time.monotonic() - started < 2
    child.wait(20)
    run = net.python(f"""
import socket
s = socket.create_connection(("host.sbx.internal", {net.echo.port})); s.settimeout(10)
try: print(s.recv(6))
except ConnectionResetError: print("reset")
""")
    assert run.text in ("reset\n", "b''\n"), run


def test_front_and_vault_come_back(rig, net):
    for which in ("front", "vault"):
        before = rig.network_of(net.name)[which]
        os.kill(before["pid"], signal.SIGKILL)
        end = time.monotonic() + 5
        while True:
            run = net.sh(f"curl -sS -m 10 {net.url}")
            if run.out == TEXT:
                break
            assert time.monotonic() < end, run
        after = rig.network_of(net.name)[which]
        assert after["pid"] != before["pid"] and after["restarts"] == before["restarts"] + 1
        assert after["jail"], "what is in force is written down"
    # What the killed front had not handed on is a gap, and that is in the record.
    records = [json.loads(line) for line in rig.ok("policy", "log", "--json", net.name).text.splitlines()]
    assert [r.get("note") for r in records if r.get("reason") == "lost"] == ["sbx-front ended by itself: its last records are missing"]


def test_renewed_authority_replaces_the_old(rig, net):
    old = net.ok("cat /usr/local/share/ca-certificates/sbx.crt")
    assert rig.sbx("stop", net.name, timeout=60).code == 0
    where = rig.state / "sandboxes" / rig.boxes()[net.name]["id"]
    (where / "ca.crt").write_text("")
    net.start()
    new = net.ok("cat /usr/local/share/ca-certificates/sbx.crt")
    bundle = net.ok("cat /etc/ssl/certs/ca-certificates.crt")
    assert new != old and new in bundle and old not in bundle
    assert net.sh(f"curl -sS -m 20 {net.url}").out == TEXT


JAVA = """
public class Get {
	public static void main(String[] a) throws Exception {
		System.out.write(new java.net.URL(a[0]).openStream().readAllBytes());
		System.out.flush();
	}
}
"""


def test_a_jvm_trusts_it_from_the_start(net):
    """One that was unpacked into /opt before this start, with the store that it came with; no variable says anything to it."""
    jdk = pathlib.Path(shutil.which("javac") or "/none").resolve().parent.parent
    if not (jdk / "jmods").is_dir():
        pytest.skip("there is no JDK on this host to make a small JVM from")
    (net.ws / "Get.java").write_text(JAVA)
    for words in (("jlink", "--add-modules", "java.base,jdk.crypto.ec", "--strip-debug", "--no-man-pages", "--no-header-files", "--output", net.ws / "jvm"),
                  ("javac", "-d", net.ws, net.ws / "Get.java")):
        subprocess.run([jdk / "bin" / words[0], *words[1:]], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=180)
    subprocess.run([net.ws / "jvm/bin/java", "-Xshare:dump"], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=60)
    net.ok(f"sudo cp -r {net.ws}/jvm /opt/jvm", timeout=90)
    came = net.ok("stat -c %s /opt/jvm/lib/security/cacerts")
    assert net.rig.sbx("stop", net.name, timeout=60).code == 0
    net.start()
    assert int(net.ok("stat -c %s /opt/jvm/lib/security/cacerts")) > int(came)
    run = net.sh(f"cd {net.ws} && /opt/jvm/bin/java -Xint -XX:+UseSerialGC -cp . Get {net.url}", timeout=180)
    assert run.out == TEXT, run
