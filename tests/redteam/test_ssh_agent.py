"""The host's ssh-agent (case CR-21): it is not forwarded, in any form; what speaks to it would be signing as the user."""
import os
import socket
import threading

import pytest

import rig as rigs

# every vsock port of the host below 1024 and those of the field's agents' bridges: who answers?
KNOCK = """
import socket
open_ports = []
for port in [*range(1, 1024), 2222, 3333, 5000, 6000, 8080, 9000, 22022]:
    s = socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM)
    s.settimeout(2)
    try:
        s.connect((2, port))
        # SSH_AGENTC_REQUEST_IDENTITIES
        s.sendall(b"\\0\\0\\0\\1\\x0b")
        s.shutdown(socket.SHUT_WR)
        if s.recv(5)[4:5] == b"\\x0c":
            open_ports.append(port)
    except OSError:
        pass
    s.close()
print(open_ports)
"""


class Agent:
    """Stands where the user's agent is; nobody may come."""

    def __init__(self, path):
        self.came = 0
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.bind(path)
        self.sock.listen(8)
        threading.Thread(target=self.loop, daemon=True).start()

    def loop(self):
        while True:
            try:
                s, _ = self.sock.accept()
            except OSError:
                return
            self.came += 1
            s.close()


@pytest.fixture(scope="module")
def host(programs, tmp_path_factory):
    """A daemon and a sandbox of a user whose agent runs."""
    path = str(tmp_path_factory.mktemp("agent") / "sock")
    agent = Agent(path)
    rig = rigs.Rig(env={"SSH_AUTH_SOCK": path, "SSH_AGENT_PID": "4242", "SSH_ASKPASS": "/bin/false"})
    yield rig, agent, path
    agent.sock.close()
    left = rig.close()
    assert not left, left


def test_cr21_the_agent_of_the_host_is_out_of_reach(host, image):
    rig, agent, path = host
    box = rig.create("box-agent").start()
    assert "SSH_" not in box.ok("env") and "SSH_" not in box.root_ok("env; cat /proc/1/environ | tr '\\0' '\\n'")
    # nothing that looks like it anywhere inside: neither its path nor a socket of that kind
    found = box.root_ok("find / -xdev -type s 2>/dev/null; ls -d /tmp/ssh-* /run/ssh* /run/host-services 2>/dev/null || true")
    assert "ssh" not in found and "agent" not in found.replace("sbx", ""), found
    assert box.root_ok(f"test ! -e {os.path.dirname(path)} && echo none") == "none\n"
    run = box.python(KNOCK, timeout=180)
    assert run.code == 0 and run.text.strip() == "[]", run
    # nor do the processes of the sandbox on this host know of it
    group = {**rig.machine_of("box-agent"), **rig.egress_of("box-agent")}
    assert len(group) >= 4
    for pid, name in group.items():
        with open(f"/proc/{pid}/environ", "rb") as f:
            assert b"SSH_" not in f.read(), name
        assert not any(path in link for link in rigs.open_files(pid)), name
    assert agent.came == 0
