"""WebSockets with a client and a server of others (python3-websockets), TLS inspected and frames walked on the way."""
import json
import pathlib
import subprocess
import sys
import tempfile

import pytest

from inet import messages as m
from inet import world as worlds
from inet.guest import Guest
from inet.relay import Relay

ADDRESS = "45.77.3.3"
PEER = pathlib.Path(worlds.__file__).with_name("ws_peer.py")


@pytest.fixture(scope="module")
def server(world):
    pytest.importorskip("websockets")
    worlds.ip("-n", world.inet, "addr", "add", f"{ADDRESS}/32", "dev", "lo")
    world.set_zone({"socket.test": {"A": [ADDRESS]}})
    log = world.base / "ws.log"
    child = subprocess.Popen(["ip", "netns", "exec", world.inet, sys.executable, PEER, "server", ADDRESS,
                              world.ca.issue("socket.test", "DNS:socket.test"), log], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert child.stdout.readline() == b"ready\n"
    yield lambda: [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
    child.stdin.close()
    child.wait(20)
    child.stdout.close()


def calls(pair):
    where = Guest(pair).address("socket.test")
    with Relay(lambda: pair.stream(where, 443)) as relay, tempfile.NamedTemporaryFile("w") as ca:
        ca.write(pair.authority())
        ca.flush()
        done = subprocess.run([sys.executable, PEER, "client", str(relay.port), ca.name], stdout=subprocess.PIPE, timeout=400, check=True)
    return json.loads(done.stdout)


def test_websockets_of_every_kind_and_a_path_that_is_denied(make_pair, server):
    pair = make_pair([m.Rule("socket.test:443", websocket=True, path="/ws/**")])
    before = len(server())
    got = calls(pair)
    talk = {"text": "t\u00e9xt", "binary": [0, 1, 255], "big": True, "fragments": 200001, "pieces": "in three pieces", "ping": "you are",
            "many": True}
    assert got["deflate"] == {"protocol": "chat.v1", "extensions": ["permessage-deflate"], **talk}
    assert got["plain"] == {"protocol": None, "extensions": [], **talk}
    assert got["close"] == {"closed": 4321, "reason": "as asked \u00e9"}
    assert got["denied"] == {"status": 403, "decision": "deny"}
    assert got["spelled"] == {"status": 403, "decision": "deny"}
    # the server closes when both have said so, and the client (which would wait 60 s for that) sees it
    assert got["seconds"] < 50
    seen = server()[before:]
    assert [(e["path"], e["protocol"], e["extensions"]) for e in seen] == [
        ("/ws/talk", "chat.v1", ["permessage-deflate"]), ("/ws/talk", None, []), ("/ws/close", None, ["permessage-deflate"])]
    assert all(e["fields"]["host"] == "socket.test" for e in seen)
