"""What `policy check` says is what a client inside meets: one list of requests, both ways of asking."""
import http.server
import json
import socket
import threading
import time

import pexpect
import pytest

from rig import SBX


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    seen = []

    def answer(self):
        self.seen.append((self.command, self.path))
        length = int(self.headers.get("content-length") or 0)
        self.rfile.read(length)
        self.send_response(200)
        self.send_header("content-length", "2")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(b"ok")

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_PATCH = do_OPTIONS = answer

    def log_message(self, *words):
        pass


@pytest.fixture(scope="module")
def server():
    made = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=made.serve_forever, daemon=True)
    thread.start()
    yield made.server_address[1]
    made.shutdown()
    made.server_close()


@pytest.fixture(autouse=True)
def closed(rig, box):
    rig.ok("policy", "reset", "-f")
    rig.ok("policy", "init", "locked-down")


CURL = r"""while read -r method url; do
	head=; [ "$method" = HEAD ] && head=-I
	curl -sS --path-as-is -m 10 -o /dev/null -X "$method" $head -w '%{http_code} %header{x-sbx-decision}' "$url" 2>/dev/null
	echo " $?"
done"""


def live_all(box, requests):
    """For each (method, url): "allow" or "deny" by status, header, or the name that is not there; and what curl said."""
    run = box.run("sh", "-c", CURL, flags=("-i",), input="".join(f"{m} {u}\n" for m, u in requests).encode(), timeout=300)
    lines = run.text.splitlines()
    assert len(lines) == len(requests), run
    told = []
    for line in lines:
        words = line.split()
        denied = words[-1] == "6" or "deny" in words or words[0] in ("400", "421")
        told.append(("deny" if denied else "allow", line))
    return told


def live(box, url, method="GET"):
    return live_all(box, [(method, url)])[0]


def said(rig, url, method):
    run = rig.sbx("policy", "check", url, "--method", method, "--sandbox", "box-a", "--json")
    if not run.out or "error" in json.loads(run.out):
        return "deny"  # malformed: answered with 400
    return json.loads(run.out)["decision"]


REQUESTS = [("GET", path) for path in (
    "/", "/a", "/a/", "/a/b", "/A/b", "/ab", "/a/b/c?x=/secret", "/a/secret", "/a/SECRET", "/a/secret/", "/a/secret/x",
    "/a/../b", "/b/../a/x", "/a/./x", "/a//x", "//a/x", "/a/%2e%2e/b", "/a/%2fx", "/a/..%2fb", "/a/x;y", "/a/..;/b", "/a/%252e",
    "/a/%00", "/a/%5cx", "/a/%c0%ae", "/%61/x", "/a/%7Ex", "/a/x%20y", "/a/%zz", "/b/x", "/b/secret", "/b//x", "/b/x;y")]
REQUESTS += [(method, path) for method in ("HEAD", "POST", "PUT", "DELETE", "get", "GETX") for path in ("/a/x", "/b/x", "/a/secret")]


def test_check_agrees_with_enforcement(rig, box, server):
    where = f"localhost:{server}"
    rig.ok("policy", "allow", where, "--method", "GET,HEAD", "--path", "/a/**")
    rig.ok("policy", "allow", where, "--method", "POST,GET", "--path", "/b/*")
    rig.ok("policy", "deny", where, "--path", "/a/secret")
    Handler.seen.clear()
    asked = [(method, f"http://host.sbx.internal:{server}{path}") for method, path in REQUESTS]
    vector = [(m, u, said(rig, u, m), saw) for (m, u), saw in zip(asked, live_all(box, asked))]
    differ = [v for v in vector if v[2] != v[3][0]]
    assert not differ, differ
    assert {v[2] for v in vector} == {"allow", "deny"}
    # and the wire: as many requests arrived as were allowed, none that was not
    assert len(Handler.seen) == sum(v[2] == "allow" for v in vector)
    assert not [path for _, path in Handler.seen if path.split("?")[0].lower().rstrip("/") == "/a/secret"]


def test_names_and_addresses(rig, box, server):
    rig.ok("policy", "init", "open")
    for target in ("http://169.254.169.254/", "http://100.100.100.200/", "http://[fd00:ec2::254]/", "http://10.255.255.1/",
                   f"http://host.sbx.internal:{server}/", f"http://127.0.0.1:{server}/", "http://gateway.sbx.internal:80/",
                   "http://198.18.0.1:3128/", "http://192.168.255.1/", "http://0.0.0.0/", "http://224.0.0.1/"):
        assert said(rig, target, "GET") == "deny", target
        if "127.0.0.1" in target:
            continue  # inside, that is the guest's own
        verdict, saw = live(box, target)
        # where the guest's own network has no way there is nobody to say no
        assert verdict == "deny" or saw.startswith("000"), (target, saw)
    assert Handler.seen[-1:] != [("GET", "/")]


def test_changes_are_in_force_at_once(rig, box, server):
    url = f"http://host.sbx.internal:{server}/x"
    assert live(box, url)[0] == "deny"
    for _ in range(3):
        rig.ok("policy", "allow", f"localhost:{server}")
        assert live(box, url)[0] == "allow"
        rig.ok("policy", "rm", f"localhost:{server}")
        assert live(box, url)[0] == "deny"


def test_a_stream_that_is_not_allowed_any_more_is_cut(rig, box):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        rig.ok("policy", "allow", f"localhost:{port}")
        client = rig.popen("exec", "-i", "box-a", "--", "python3", "-c",
                           "import socket,sys\n"
                           f"s = socket.create_connection(('host.sbx.internal', {port}), 10)\n"
                           "s.sendall(bytes(5))\n"
                           "try: sys.exit(0 if s.recv(1) == b'' else 3)\n"
                           "except ConnectionError: sys.exit(0)\n")
        listener.settimeout(20)
        peer, _ = listener.accept()
        with peer:
            peer.settimeout(10)
            assert peer.recv(5) == bytes(5)
            begin = time.monotonic()
            rig.ok("policy", "deny", "**", "--sandbox", "box-a")
            assert client.wait(10) == 0
            took = time.monotonic() - begin
            with pytest.raises(ConnectionResetError):  # what was cut has not ended
                peer.recv(1)
    assert took < 5, took


def test_a_question_is_held_until_it_is_answered(rig, box, server):
    url = f"http://host.sbx.internal:{server}/asked"
    rig.ok("policy", "ask", f"localhost:{server}")
    for answer, wanted in (((), "200"), (("--deny",), "403")):
        client = rig.popen("exec", "box-a", "--", "curl", "-sS", "-m", "60", "-o", "/dev/null", "-w", "%{http_code}", url,
                           stdout=-1)
        end = time.monotonic() + 20
        while not (waiting := rig.json("approve", "ls", "--json")["approvals"]) and time.monotonic() < end:
            time.sleep(0.1)
        assert [(w["sandbox"], w["port"]) for w in waiting] == [("box-a", server)], waiting
        assert client.poll() is None
        rig.ok("approve", str(waiting[0]["id"]), *answer)
        out, _ = client.communicate(timeout=20)
        assert out.decode() == wanted


def test_a_name_is_not_looked_up_before_the_answer(rig, box):
    """Names carry data out: under a wildcard question nobody outside hears of one unasked."""
    rig.ok("policy", "ask", "**")
    client = rig.popen("exec", "box-a", "--", "getent", "ahosts", "c2VjcmV0.example.net", stdout=-1)
    end = time.monotonic() + 20
    while not (waiting := rig.json("approve", "ls", "--json")["approvals"]) and time.monotonic() < end:
        time.sleep(0.1)
    assert [(w["host"], w["method"]) for w in waiting] == [("c2vjcmv0.example.net", "DNS")], waiting
    rig.ok("approve", str(waiting[0]["id"]), "--deny")
    client.communicate(timeout=60)
    assert client.returncode != 0
    records = [json.loads(line) for line in rig.ok("policy", "log", "--json").text.splitlines()]
    told = {r["decision"] for r in records if r.get("host") == "c2vjcmv0.example.net"}
    assert told == {"deny"}, told


def test_what_is_open_at_the_end_is_in_the_record(rig, box):
    """A tunnel is recorded when it ends: here, because the sandbox does."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        rig.ok("policy", "allow", f"localhost:{port}")
        client = rig.popen("exec", "-i", "box-a", "--", "python3", "-c",
                           "import socket\n"
                           f"s = socket.create_connection(('host.sbx.internal', {port}), 10)\n"
                           "s.sendall(bytes(5))\n"
                           "s.recv(1)\n", stderr=-1)
        listener.settimeout(20)
        peer, _ = listener.accept()
        with peer:
            peer.settimeout(10)
            assert peer.recv(5) == bytes(5)
            assert rig.sbx("stop", "box-a", timeout=60).code == 0
        client.communicate(timeout=20)
    records = [json.loads(line) for line in rig.ok("policy", "log", "--json", "box-a").text.splitlines()]
    assert [r["bytes_up"] for r in records if r.get("port") == port] == [5], records
    assert not [r for r in records if r.get("reason") == "lost"]
    assert rig.sbx("start", "box-a", timeout=90).code == 0


def waiting_for(rig, port):
    """The question about that port, once there is one."""
    end = time.monotonic() + 30
    while time.monotonic() < end:
        if found := [w for w in rig.json("approve", "ls", "--json")["approvals"] if w["port"] == port]:
            return found[0]
        time.sleep(0.1)
    pytest.fail("nothing is asked")


def terminal(rig, *args):
    return pexpect.spawn(str(SBX), [str(a) for a in args], env={**rig.env, "TERM": "xterm-256color"}, cwd=str(rig.base),
                         timeout=40, dimensions=(24, 80), encoding="utf-8", codec_errors="replace")


def test_a_question_is_answered_in_the_agent_s_terminal(rig, box, server):
    """It takes the screen; what was typed ahead neither answers it nor gets lost, its key stays out of the shell."""
    url = f"http://host.sbx.internal:{server}/asked"
    rig.ok("policy", "ask", f"localhost:{server}")
    child = terminal(rig, "run", "--name", "box-a")
    try:
        child.expect(r"[$#] ")
        child.sendline(f"curl -sS -m 100 -o /dev/null -w 'got-%{{http_code}}\\n' {url}; echo do''ne")
        child.expect_exact(f"localhost:{server}")
        child.expect_exact("GET /asked")
        child.send("y")  # meant for the shell, too late
        child.expect_exact("keys are ignored")
        child.expect_exact("y: yes")
        assert waiting_for(rig, server)["path"] == "/asked"
        child.send("y")
        child.expect_exact("got-200")
        child.expect_exact("done")
        child.sendline("echo li''ne:$(echo ok)")
        assert child.expect_exact(["line:ok", "yecho", "command not found"]) == 0
        # Refused with the next; and what somebody else answers goes away.
        child.sendline(f"curl -sS -m 100 -o /dev/null -w 'got-%{{http_code}}\\n' {url}")
        child.expect_exact("y: yes")
        child.send("n")
        child.expect_exact("got-403")
        child.sendline(f"curl -sS -m 100 -o /dev/null -w 'got-%{{http_code}}\\n' {url}")
        child.expect_exact("y: yes")
        rig.ok("approve", str(waiting_for(rig, server)["id"]))
        child.expect_exact("answered elsewhere")
        child.expect_exact("got-200")
        # Always: beside a rule that asks by name that cannot be, and is told.
        child.sendline(f"curl -sS -m 100 -o /dev/null -w 'got-%{{http_code}}\\n' {url}")
        child.expect_exact("y: yes")
        child.send("a")
        child.expect_exact(f"(ask localhost:{server})")
        child.expect_exact("got-200")
    finally:
        child.close(force=True)


FULL_SCREEN = r"""
import os, signal, subprocess, sys, time
drawn = 0
def draw(*_):
    global drawn
    drawn += 1
    sys.stdout.write(f"\x1b[2J\x1b[Hdrawn-{drawn}-{os.get_terminal_size().lines}.")
    sys.stdout.flush()
signal.signal(signal.SIGWINCH, draw)
# What a hostile program would try: letters that are lines, no colours, reports of its own making, a title to be read back.
sys.stdout.write("\x1b[?1049h\x1b(0\x1b[8m\x1b[?1003h\x1b[?1006h\x1b]0;y\x07\x1b[21t\x1b[c")
draw()
code = subprocess.run(["curl", "-sS", "-m", "100", "-o", "/dev/null", "-w", "%{http_code}", sys.argv[1]], capture_output=True).stdout
end = time.time() + 20
while drawn < 2 and time.time() < end:
    time.sleep(0.1)
time.sleep(1)
sys.stdout.write(f"\x1b(B\x1b[0m\x1b[?1003l\x1b[?1049lcode-{code.decode()} drawn-{drawn}\n")
"""


def test_a_full_screen_program_is_drawn_anew(rig, box, server):
    url = f"http://host.sbx.internal:{server}/asked"
    rig.ok("policy", "ask", f"localhost:{server}")
    child = terminal(rig, "exec", "-it", "--approve", "box-a", "--", "python3", "-c", FULL_SCREEN, url)
    try:
        child.expect_exact("drawn-1-24.")
        child.expect_exact("\x1b(B")  # before anything is told: letters are letters
        child.expect_exact(f"localhost:{server}")
        child.expect_exact("y: yes")
        child.send("\x1b]ly\x1b\\")  # what a terminal says to the request for its title
        child.expect_exact("keys are ignored")
        child.expect_exact("y: yes")
        child.send("n")
        child.expect_exact("\x1b[?1003h")  # as the program had it
        child.expect(r"drawn-\d+-24\.")
        child.expect(r"code-403 drawn-\d+")
        child.expect(pexpect.EOF)
    finally:
        child.close(force=True)


def test_without_a_terminal_a_line_says_how_to_answer(rig, box, server):
    rig.ok("policy", "ask", f"localhost:{server}")
    client = rig.popen("exec", "--approve", "box-a", "--", "curl", "-sS", "-m", "60", "-o", "/dev/null", "-w", "%{http_code}",
                       f"http://host.sbx.internal:{server}/asked", stdout=-1, stderr=-1)
    number = waiting_for(rig, server)["id"]
    line = client.stderr.readline().decode()
    assert f"localhost:{server} GET /asked" in line and line.endswith(f"sbx approve [--deny] {number}\n"), line
    rig.ok("approve", str(number))
    out, err = client.communicate(timeout=30)
    assert (out.decode(), err.decode()) == ("200", "")
