"""Whom a URL names: the judge beside curl, Python and Node (case HX-20).

2,000 odd URLs. What `policy check` allows, and what the explicit proxy passes on, must be a host that every one
of the clients would dial for that URL, if it dials at all. The rule allows one name, the URLs are made of
that name and of another.
"""
import contextlib
import json
import shutil
import subprocess
import tempfile

import pytest

from inet import messages as m
from inet.guest import read_response
from inet.relay import Relay
from inet.world import NAMES
from rig import UnixHTTP

GOOD, EVIL = "echo.test", "evil.test"
COUNT = 2000


@pytest.fixture(scope="module")
def urls():
    pytest.importorskip("requests")
    if not shutil.which("node") or not shutil.which("curl"):
        pytest.skip("curl and node are not installed")
    from inet import urls as module
    return module


@pytest.fixture(scope="module")
def odd(urls):
    return urls.make(20261122, COUNT, (GOOD, NAMES[GOOD]), (EVIL, NAMES[EVIL]))


@pytest.fixture(scope="module")
def views(urls, odd):
    return urls.views(odd)


def others(views, number, judged):
    """Clients that would dial somebody else than was judged."""
    return {name: found[number] for name, found in views.items() if found[number] not in (None, judged)}


def test_hx20_the_clients_themselves_disagree(views):
    """Otherwise nothing is tested: URLs of which one client makes one host, and another another."""
    split = [n for n in range(COUNT) if len({v[n] for v in views.values() if v[n]}) > 1]
    assert len(split) > 50
    for name, found in views.items():
        assert sum(v is not None and v[0] == GOOD for v in found) > 100, name
        assert sum(v is not None and v[0] == EVIL for v in found) > 50, name


def test_hx20_policy_check_allows_only_what_all_would_dial(rig, urls, odd, views):
    rig.ok("policy", "init", "locked-down")
    rig.ok("policy", "allow", GOOD)
    allowed, wrong = 0, []
    link = UnixHTTP(str(rig.state / "sbxd.sock"), 30)
    for number, url in enumerate(odd):
        link.request("POST", "/v1/policy/check", json.dumps({"target": url}), {"Content-Type": "application/json"})
        answer = link.getresponse()
        said = json.loads(answer.read())
        assert answer.status in (200, 400), (url, said)
        if answer.status == 200 and said["decision"] == "allow":
            allowed += 1
            judged = urls.canonical(*said["target"].rsplit(":", 1))
            if judged[0] != GOOD or others(views, number, judged):
                wrong.append((url, judged, others(views, number, judged)))
    link.close()
    rig.ok("policy", "reset", "-f")
    assert not wrong, wrong[:10]
    assert allowed > 100


@pytest.fixture(scope="module")
def pair(make_pair):
    made = make_pair([m.Rule(GOOD)])
    return made


def test_hx20_the_proxy_passes_only_what_all_would_dial(world, pair, odd, views):
    """The URL as it is in the request line, in HTTP/1.0: no Host says anything else."""
    mark, passed, wrong = world.mark(), 0, []
    for number, url in enumerate(odd):
        with pair.proxy() as s, contextlib.suppress(BrokenPipeError, ConnectionResetError):
            s.sendall(b"GET " + url.encode() + b" HTTP/1.0\r\n\r\n")
            answer = read_response(s)
            assert answer.status in (200, 400, 403, 502), (url, answer)
            if answer.status == 200:
                passed += 1
                if others(views, number, (GOOD, 80)):
                    wrong.append((url, others(views, number, (GOOD, 80))))
    assert not wrong, wrong[:10]
    assert passed > 100
    reached = {tuple(e["at"]) for e in world.since(mark) if "head" in e}
    assert reached == {(NAMES[GOOD], 80)}
    assert {q for q in world.questions(mark)} <= {GOOD}


@pytest.fixture
def door(pair):
    """The explicit proxy as a port of this host, for clients that are other programs."""
    with Relay(pair.proxy) as relay:
        yield f"http://127.0.0.1:{relay.port}"


PYTHON = """
import json, sys, urllib.request, requests
out, proxy = {"urllib": [], "requests": []}, {"http": sys.argv[1], "https": sys.argv[1]}
session = requests.Session()
session.trust_env, session.proxies, session.verify = False, proxy, sys.argv[2]
opener = urllib.request.build_opener(urllib.request.ProxyHandler(proxy))
for url in json.load(sys.stdin):
    try:
        out["urllib"].append(opener.open(url, timeout=10).status)
    except Exception:
        out["urllib"].append(None)
    try:
        out["requests"].append(session.get(url, timeout=10, allow_redirects=False).status_code)
    except Exception:
        out["requests"].append(None)
print(json.dumps(out))
"""


def test_hx20_real_clients_behind_the_proxy_reach_whom_they_would_dial(world, pair, door, urls, odd, views):
    """What a client makes of the URL on its way to a proxy may be something else again."""
    some, mark = odd[:600], world.mark()
    plain = [(n, u) for n, u in enumerate(some) if not u.lstrip().lower().startswith("https") and "\0" not in u]
    with tempfile.NamedTemporaryFile("w") as ca:
        ca.write(pair.authority())
        ca.flush()
        env = {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"}
        status = urls.run_curl([u for _, u in plain], lambda _n: door)
        got = {"curl": [status.get(i) for i in range(len(plain))]}
        done = subprocess.run(["/usr/bin/python3", "-c", PYTHON, door, ca.name], input=json.dumps([u for _, u in plain]).encode(),
                              stdout=subprocess.PIPE, env=env, timeout=180, check=True)
        got.update(json.loads(done.stdout))
    wrong = []
    for name, found in got.items():
        assert found.count(200) > 30, name
        wrong += [(name, u, views[name][n]) for (n, u), code in zip(plain, found) if code == 200 and views[name][n] not in (None, (GOOD, 80))]
    assert not wrong, wrong[:10]
    assert {tuple(e["at"]) for e in world.since(mark) if "head" in e} <= {(NAMES[GOOD], 80), (NAMES[GOOD], 443)}
