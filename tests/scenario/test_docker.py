"""The kit `docker`: the distribution's own engine inside, and containers under the sandbox's rules.

Long (the archive's lists and 60 MB of packages, unpacked by an emulated processor): SBX_TEST_LONG=1 runs it.
"""
import http.server
import os
import shutil
import subprocess
import threading
import time
import urllib.parse
import urllib.request

import pytest

from test_workspace import allow_hosts

pytestmark = pytest.mark.skipif(os.environ.get("SBX_TEST_LONG") != "1", reason="takes minutes: SBX_TEST_LONG=1")

# The only program of the container's image: says something, or fetches http://HOST:PORT/ and prints the answer.
PROGRAM = r"""
#include <netdb.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>
int main(int argc, char **argv)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *a;
	char bytes[4096];
	int fd, n;

	if (argc < 3)
		return puts("hello from a container") < 0;
	n = getaddrinfo(argv[1], argv[2], &hints, &a);
	if (n)
		return printf("no name: %s\n", gai_strerror(n)), 3;
	fd = socket(a->ai_family, SOCK_STREAM, 0);
	if (connect(fd, a->ai_addr, a->ai_addrlen) < 0)
		return perror("connect"), 4;
	dprintf(fd, "GET / HTTP/1.0\r\nHost: %s:%s\r\n\r\n", argv[1], argv[2]);
	while ((n = (int)read(fd, bytes, sizeof(bytes))) > 0)
		fwrite(bytes, 1, (size_t)n, stdout);
	return n < 0 ? perror("read"), 5 : 0;
}
"""


def archives():
    """Where this host's apt has Debian 12 from; skips where that is out of reach."""
    run = ["apt-get", "indextargets", "--format", "$(REPO_URI) $(RELEASE)", "Identifier: Packages"]
    seen = subprocess.run(run, capture_output=True, text=True, timeout=60, check=False) if shutil.which("apt-get") else None
    found = {tuple(line.split()) for line in (seen.stdout if seen else "").splitlines()}
    found = sorted((url, suite) for url, suite in found if suite == "bookworm" and url.startswith("http"))
    if not found:
        pytest.skip("this host's apt has no archive of Debian 12")
    try:
        urllib.request.urlopen(f"{found[0][0]}dists/bookworm/InRelease", timeout=10).close()
    except OSError:
        pytest.skip("the archive that apt is set up with cannot be reached from this host")
    return found[0][0]


@pytest.fixture
def local_server():
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            body = b"from the host"
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_address[1]
    server.shutdown()


def wait_for_engine(box):
    end = time.monotonic() + 180
    while box.sh("docker info >/dev/null 2>&1").code:
        assert time.monotonic() < end, box.root_ok("tail -n 40 /var/log/dockerd.log")
        time.sleep(2)


def test_containers_under_the_sandboxs_rules(rig, image, local_server, tmp_path):
    archive = urllib.parse.urlsplit(archives())
    box = rig.create("box-docker", size=("--cpus", "2", "--memory", "2g"), more=("--kit", "docker"))
    allow_hosts(rig, box, {archive})
    rig.ok("policy", "allow", "network", "--sandbox", box.name, f"localhost:{local_server}")
    began = time.monotonic()
    rig.ok("start", box.name, timeout=900)
    installed = time.monotonic() - began
    wait_for_engine(box)
    up = time.monotonic() - began - installed
    (tmp_path / "box.c").write_text(PROGRAM)
    subprocess.run(["gcc", "-static", "-Os", "-w", "-o", tmp_path / "box", tmp_path / "box.c"], check=True, timeout=60)
    rig.ok("cp", tmp_path / "box", f"{box.name}:/tmp/")
    assert "Storage Driver: overlay2" in box.ok("docker info 2>/dev/null")
    box.ok("tar -C /tmp -c box | docker import - tiny")
    began = time.monotonic()
    assert box.ok("docker run --rm tiny /box", timeout=120) == "hello from a container\n"
    run = time.monotonic() - began
    answer = box.ok(f"docker run --rm tiny /box host.sbx.internal {local_server}", timeout=120)
    assert answer.startswith("HTTP/1.1 200") and answer.endswith("from the host"), answer
    # what no rule allows: the name is refused, and a plain address is, too
    answer = box.sh("docker run --rm tiny /box denied.example.com 80", timeout=120)
    assert "HTTP/1.1 200" not in answer.text and answer.code in (0, 3, 5) and ("no name" in answer.text or "403" in answer.text), answer
    answer = box.sh("docker run --rm tiny /box 192.0.2.7 80", timeout=120)
    assert "x-sbx-decision: deny" in answer.text.lower(), answer
    # a service of a container, by the engine's own publishing and ours
    print(f"installed in {installed:.0f} s, engine up in {up:.1f} s, docker run in {run:.1f} s")
    rig.ok("stop", box.name, timeout=90)
    box.start()
    wait_for_engine(box)  # by the startup command, with what it had
    assert box.ok("docker run --rm tiny /box", timeout=120) == "hello from a container\n"
    box.remove()
