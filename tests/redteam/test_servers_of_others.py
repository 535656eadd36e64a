"""Servers that people run, behind the way out: nginx over HTTP/1.1 and HTTP/2, nghttpd, with curl as the guest's client."""
import gzip
import hashlib
import os
import shutil
import subprocess
import tempfile
import time

import pytest

from inet import messages as m
from inet import world as worlds
from inet.guest import Guest
from inet.relay import Relay

ADDRESSES = {"nginx.test": "45.77.3.10", "nghttpd.test": "45.77.3.11"}
TEXT = b"The quick brown fox jumps over the lazy dog.\n" * 500

NGINX = """
daemon off; master_process off; worker_processes 1; pid {base}/nginx.pid; error_log {base}/nginx.err;
events {{ worker_connections 256; }}
http {{
	access_log {base}/nginx.log; default_type application/octet-stream; types {{ text/plain txt; }}
	client_body_temp_path {base}/t1; proxy_temp_path {base}/t2; fastcgi_temp_path {base}/t3; uwsgi_temp_path {base}/t4; scgi_temp_path {base}/t5;
	gzip on; gzip_types text/plain; gzip_min_length 100;
	server {{
		listen {address}:443 ssl http2; server_name nginx.test; root {base}/www;
		ssl_certificate {cert}; ssl_certificate_key {cert};
		location /moved {{ return 302 https://evil.test/; }}
		location /cut {{ limit_rate 200k; }}
	}}
}}
"""


def wait_for(address, child):
    """Until it listens: a connection from its own namespace."""
    end = time.monotonic() + 20
    while child.poll() is None and time.monotonic() < end:
        said = subprocess.run(["ip", "netns", "exec", child.netns, "bash", "-c", f"</dev/tcp/{address}/443"], stderr=subprocess.DEVNULL)
        if said.returncode == 0:
            return
        time.sleep(0.05)
    raise AssertionError("the server does not listen")


@pytest.fixture(scope="module", params=["nginx", "nghttpd"])
def server(request, world):
    """(name, directory that it serves)"""
    program, name = request.param, f"{request.param}.test"
    if not shutil.which(program, path=os.environ["PATH"] + ":/usr/sbin"):
        pytest.skip(f"{program} is not installed")
    base = world.base / program
    (base / "www").mkdir(parents=True)
    base.chmod(0o755)
    (base / "www/big.bin").write_bytes(os.urandom(8 << 20))
    (base / "www/text.txt").write_bytes(TEXT)
    worlds.ip("-n", world.inet, "addr", "add", f"{ADDRESSES[name]}/32", "dev", "lo")
    world.set_zone({name: {"A": [ADDRESSES[name]]}})
    cert = world.ca.issue(name, f"DNS:{name}")
    if program == "nginx":
        conf = base / "nginx.conf"
        conf.write_text(NGINX.format(base=base, address=ADDRESSES[name], cert=cert))
        argv = [shutil.which("nginx", path=os.environ["PATH"] + ":/usr/sbin"), "-c", conf]
    else:
        argv = ["nghttpd", "-a", ADDRESSES[name], "-d", base / "www", "443", cert, cert]
    child = subprocess.Popen(["ip", "netns", "exec", world.inet, *argv], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                             stderr=subprocess.DEVNULL)
    child.netns = world.inet
    try:
        wait_for(ADDRESSES[name], child)
        yield name, base / "www"
    finally:
        child.terminate()
        child.wait(20)


@pytest.fixture(params=["--http1.1", "--http2"])
def curl(request, make_pair, server):
    """curl inside, by one protocol; each is (status, head, body)."""
    name, _ = server
    pair = make_pair([m.Rule(f"{name}:443", m.DENY, path="/secret/**", id="no-secret"), m.Rule(f"{name}:443")])
    where = Guest(pair).address(name)
    with Relay(lambda: pair.stream(where, 443)) as relay, tempfile.TemporaryDirectory(dir="/tmp") as tmp:
        tmp_ca = os.path.join(tmp, "ca")
        with open(tmp_ca, "w", encoding="ascii") as f:
            f.write(pair.authority())

        def run(path, *more):
            done = subprocess.run(
                ["curl", "-sS", "-m", "60", request.param, "--cacert", tmp_ca, "--connect-to", f"{name}:443:127.0.0.1:{relay.port}",
                 "-D", os.path.join(tmp, "head"), "-o", os.path.join(tmp, "body"), "-w", "%{http_code} %{http_version}", *more,
                 f"https://{name}{path}"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            assert done.returncode == 0, done
            status, version = done.stdout.split()
            assert version == request.param[len("--http"):], done
            body = os.path.join(tmp, "body")
            data = b""
            if os.path.exists(body):
                with open(body, "rb") as f:
                    data = f.read()
                os.unlink(body)
            with open(os.path.join(tmp, "head"), encoding="latin-1") as f:
                return int(status), f.read().lower(), data
        run.pair = pair
        yield run


def test_files_whole_and_in_pieces(curl, server):
    _, www = server
    big = (www / "big.bin").read_bytes()
    status, head, body = curl("/big.bin")
    assert status == 200 and hashlib.sha256(body).digest() == hashlib.sha256(big).digest()
    assert f"content-length: {len(big)}" in head
    status, head, body = curl("/big.bin", "-I")
    assert status == 200 and f"content-length: {len(big)}" in head
    status, _, _ = curl("/missing")
    assert status == 404
    if server[0] == "nginx.test":  # nghttpd knows no ranges
        status, head, body = curl("/big.bin", "-r", "1000-1999")
        assert status == 206 and body == big[1000:2000]
        status, _, _ = curl("/big.bin", "-r", f"{len(big)}-")
        assert status == 416


def test_what_is_compressed_and_what_is_not_modified(curl, server):
    status, head, body = curl("/text.txt", "-H", "Accept-Encoding: gzip")
    if server[0] != "nginx.test":  # nghttpd does neither
        assert status == 200 and "content-encoding" not in head and body == TEXT
        return
    assert status == 200 and "content-encoding: gzip" in head and gzip.decompress(body) == TEXT
    tag = next(line.split(": ", 1)[1].strip() for line in head.splitlines() if line.startswith("etag:")).replace("w/", "W/")
    status, head, body = curl("/text.txt", "-H", "Accept-Encoding: gzip", "-H", f"If-None-Match: {tag}")
    assert (status, body) == (304, b"")
    status, head, _ = curl("/moved")
    assert status == 302 and "location: https://evil.test/" in head


def test_refused_before_the_server(curl, server):
    before = curl.pair.settled()
    status, head, body = curl("/secret/x")
    assert status == 403 and "x-sbx-decision: deny" in head and b"no-secret" in body
    assert [(r.decision, r.path) for r in curl.pair.new_audit(before)] == [("deny", "/secret/x")]
    for log in server[1].parent.glob("nginx.log"):
        assert "secret" not in log.read_text()


def test_an_upload_that_the_server_refuses(curl, server, tmp_path):
    """Static files take no POST; the answer comes before the body is through."""
    (tmp_path / "up").write_bytes(os.urandom(3 << 20))
    status, _, body = curl("/text.txt", "--data-binary", f"@{tmp_path}/up", "-H", "Expect:")
    if server[0] == "nginx.test":
        assert status in (405, 413)
    else:  # nghttpd looks at no method
        assert (status, body) == (200, TEXT)
    assert curl("/text.txt")[2] == TEXT, "the next request is not disturbed"
