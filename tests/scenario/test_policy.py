"""The policy as a person meets it: rules, what they mean, what survives, what is refused. No guest is needed."""
import itertools
import json
import subprocess
import threading

import pytest

from rig import assert_printable


@pytest.fixture(autouse=True)
def clean(rig):
    rig.ok("policy", "reset", "-f")
    rig.ok("policy", "init", "locked-down")
    yield
    rig.ok("policy", "reset", "-f")


def verdict(rig, target, *more):
    run = rig.sbx("policy", "check", target, "--json", *more)
    said = json.loads(run.out)
    assert run.code == (0 if said["decision"] == "allow" else 1)
    return said["decision"], said["reason"], said["rule"] and said["rule"]["id"]


def add(rig, *words):
    return [r["id"] for r in json.loads(rig.ok("policy", *words, "--json").out)["rules"]]


def test_rules_and_their_order(rig):
    assert verdict(rig, "a.example.com") == ("deny", "default-deny", None)
    allow = add(rig, "allow", "A.Example.com., *.b.example.com:443", "10.0.0.0/8")
    assert len(allow) == 3
    assert verdict(rig, "a.example.com:80") == ("allow", "rule", allow[0])
    assert verdict(rig, "x.b.example.com") == ("allow", "rule", allow[1])
    assert verdict(rig, "x.b.example.com:80")[0] == "deny"
    assert verdict(rig, "10.9.9.9:22") == ("allow", "rule", allow[2])
    [deny] = add(rig, "deny", "network", "**.example.com")
    assert verdict(rig, "a.example.com") == ("deny", "rule", deny)
    rig.ok("policy", "rm", deny)
    assert verdict(rig, "a.example.com")[0] == "allow"
    rig.ok("policy", "rm", "a.example.com", "10.0.0.0/8")
    assert verdict(rig, "a.example.com")[0] == "deny"
    assert verdict(rig, "10.9.9.9:22") == ("deny", "address", None)


def test_requests(rig):
    [rule] = add(rig, "allow", "api.example.com", "--method", "get,head", "--path", "/repos/o/r/**")
    assert verdict(rig, "https://api.example.com/repos/o/r/x?q#f") == ("allow", "rule", rule)
    assert verdict(rig, "api.example.com", "--method", "POST", "--path", "/repos/o/r/x")[1] == "no-http-rule"
    assert verdict(rig, "https://api.example.com/repos/o/r/%2e%2e/x")[1] == "ambiguous-path"
    assert verdict(rig, "api.example.com", "--kind", "tunnel") == ("deny", "not-inspectable", rule)
    assert verdict(rig, "wss://api.example.com/repos/o/r")[1] == "no-http-rule"


def test_presets_and_what_no_wildcard_reaches(rig):
    rig.ok("policy", "init", "allow-all")
    assert verdict(rig, "any.example.net:12345")[0] == "allow"
    for target, reason in (("169.254.169.254:80", "metadata"), ("[fd00:ec2::254]:80", "metadata"),
                           ("10.0.0.1:80", "address"), ("localhost:80", "host-loopback"),
                           ("127.0.0.1:80", "host-loopback"), ("host.docker.internal:80", "host-loopback"),
                           ("gateway.sbx.internal:3128", "inside-name"), ("[::ffff:a9fe:a9fe]:80", "metadata")):
        assert verdict(rig, target)[1] == reason, target
    assert verdict(rig, "any.example.net", "--address", "127.0.0.1")[1] == "host-loopback"
    add(rig, "allow", "localhost:80")
    for target in ("localhost:80", "127.0.0.1:80", "[::1]:80", "host.sbx.internal:80", "host.docker.internal:80"):
        assert verdict(rig, target)[0] == "allow", target
    assert verdict(rig, "localhost:81")[0] == "deny"


@pytest.mark.parametrize("resource", ["*", "*.com", "https://a.example.com/", "a.example.com:0", "a.example.com:0443",
                                      "a.example.com:65536", "::1", "127.1", "0x7f.1", "10.0.0.1/8", "localhost",
                                      "a.example.com,", "ex\u00e4mple.com", "a..example.com", "\x1b[2Ja.example.com",
                                      "a.**.example.com", "user@a.example.com", ""])
def test_refused_when_it_is_set(rig, resource):
    run = rig.sbx("policy", "allow", resource)
    assert run.code == 1 and run.err and not run.out
    assert_printable(run.err)
    assert rig.json("policy", "ls", "--json")["rules"] == []


def test_refused_requests(rig):
    for words in (("--method", "GETX"), ("--path", "no-slash"), ("--path", "/a/../b"), ("--path", "/a%2f"),
                  ("--grpc", "x"), ("--grpc", "a/b", "--method", "GET")):
        assert rig.sbx("policy", "allow", "a.example.com", *words).code == 1, words
    assert rig.sbx("policy", "allow", "a.example.com", "--sandbox", "nobody").code == 1
    assert rig.sbx("policy", "allow").code == 2
    assert rig.sbx("policy", "init", "none").code == 1
    assert rig.sbx("policy", "rm", "r999999").code == 1
    assert rig.sbx("policy", "check", "a b").code == 1


def test_rules_survive_the_daemon(rig):
    [rule] = add(rig, "deny", "a.example.com")
    rig.ok("daemon", "stop")
    assert verdict(rig, "a.example.com") == ("deny", "rule", rule)
    assert rig.json("policy", "ls", "--json")["preset"] == "locked-down"


def test_listing(rig):
    rig.ok("policy", "init", "balanced")
    add(rig, "ask", "up.example.com")
    text = rig.ok("policy", "ls").text
    assert "up.example.com" in text and "resources" in text
    assert text.count("\n") < 10
    assert rig.ok("policy", "ls", "--wide").text.count("\n") > 50
    assert rig.ok("policy", "ls", "--decision", "ask").text.count("\n") == 2
    assert "ai" in rig.ok("policy", "inspect", "balanced").text
    assert rig.sbx("policy", "inspect", "nope").code == 1
    assert rig.ok("policy", "log").text.startswith("No blocked")


def test_changes_stand_in_the_log(rig):
    [rule] = add(rig, "allow", "a.example.com")
    rig.ok("policy", "rm", rule)
    lines = [json.loads(line) for line in rig.ok("policy", "log", "--json").text.splitlines()]
    done = [(r["what"], r["detail"]) for r in lines if r["event"] == "admin"]
    assert ("policy.allow", f"{rule} a.example.com") in done and ("policy.rm", rule) in done


NUMBERS = itertools.count(1000000)


def records(rig, *more):
    """Records as front and vault leave them; what reads them does not ask for the chain."""
    rig.ok("policy", "ls")
    base = {"decision": "deny", "sandbox": "box", "id": "0" * 16, "agent": "shell", "proxy": "transparent",
            "host": "x.example.com", "port": 443, "method": "", "path": "", "rule": "", "reason": "default-deny"}
    with open(rig.state / "audit" / "audit.jsonl", "a") as log:
        for record in more:
            seq = next(NUMBERS)
            line = {"seq": seq, "time": f"2026-01-29T10:15:{seq % 60:02}.000Z", "event": "tcp", **base, **record,
                    "prev": "0" * 64, "hash": "0" * 64}
            log.write(json.dumps(line, separators=(",", ":")) + "\n")


def test_log(rig):
    rig.ok("daemon", "stop")
    for old in (rig.state / "audit").iterdir():
        old.unlink()
    odd = {"host": "a\u001b[2Jb\u202e.example.com", "rule": "r7"}
    records(rig, {}, {}, odd, {"decision": "allow", "event": "http", "method": "GET", "path": "/\u001b]0;x\u0007",
                               "rule": "r1", "reason": "rule", "sandbox": "other"})
    run = rig.ok("policy", "log")
    assert_printable(run.out)
    blocked, allowed = run.text.split("Allowed requests:")
    assert blocked.startswith("Blocked requests:")
    [line] = [w for w in blocked.splitlines() if "x.example.com:443" in w]
    assert line.split()[0] == "box" and line.split()[-1] == "2" and "default-deny" in line
    assert "r1" in allowed and "other" in allowed
    assert "other" not in rig.ok("policy", "log", "box").text
    assert rig.ok("policy", "log", "other", "--json").text.count("\n") == 1
    follow = rig.popen("policy", "log", "-f", stdout=subprocess.PIPE)
    late = threading.Timer(20, follow.kill)
    late.start()
    records(rig, {"host": "late.example.com"})
    for line in follow.stdout:
        if b"late.example.com" in line:
            break
    else:
        raise AssertionError("the new record was not shown")
    late.cancel()
    follow.kill()
    follow.wait()
    rig.ok("daemon", "stop")
    for old in (rig.state / "audit").iterdir():
        old.unlink()


def test_many_at_once(rig):
    """Rules from several clients at a time: none is lost, none is there twice."""
    def one(n):
        rig.ok("policy", "allow", f"h{n}.example.com", "same.example.com")
    threads = [threading.Thread(target=one, args=(n,)) for n in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    resources = [r["resource"] for r in rig.json("policy", "ls", "--json")["rules"]]
    assert sorted(resources) == sorted([f"h{n}.example.com" for n in range(8)] + ["same.example.com"])


def test_bypass(rig):
    add(rig, "allow", "**.example.com")
    assert rig.ok("policy", "bypass").out == b""
    rig.ok("policy", "bypass", "add", "Pin.example.com", "*.p.example.com:443")
    said = json.loads(rig.ok("policy", "check", "pin.example.com", "--json").out)
    assert said["bypass"] and said["decision"] == "allow"
    add(rig, "deny", "pin.example.com", "--method", "POST")
    assert verdict(rig, "pin.example.com", "--kind", "tunnel")[1] == "not-inspectable"
    rig.ok("policy", "bypass", "rm", "pin.example.com")
    assert rig.ok("policy", "bypass").text == "*.p.example.com:443\n"
    for bad in ("**", "10.0.0.0/8", "*.com", "https://x"):
        assert rig.sbx("policy", "bypass", "add", bad).code == 1, bad
    assert rig.sbx("policy", "bypass", "pin.example.com").code == 1


def test_no_answer_waits(rig):
    assert rig.json("approve", "ls", "--json") == {"approvals": []}
    assert rig.sbx("approve", "1").code == 1
    assert rig.sbx("approve", "x").code == 1


def test_inspect_tells_what_may_be_reached(rig, image):
    """Names and numbers; no value of a credential."""
    value = "sk-ant-api03-" + "x" * 80
    rig.create("box-seen", more=("--allow", "one.example.com,two.example.com"))
    add(rig, "allow", "localhost:11434")
    add(rig, "deny", "three.example.com")
    rig.ok("policy", "bypass", "add", "pin.example.com")
    rig.ok("secret", "set", "anthropic", input=value + "\n")
    run = rig.ok("inspect", "box-seen", "--json")
    said = json.loads(run.out)["network"]
    assert said["policy"] == {"preset": "locked-down", "governed": False, "rules_by_source": {"user": 2, "sandbox": 2},
                              "rules_by_decision": {"allow": 3, "ask": 0, "deny": 1}, "host_services": ["localhost:11434"],
                              "bypass": ["pin.example.com"]}
    assert said["credentials"] == ["anthropic"]
    text = rig.ok("inspect", "box-seen").text
    assert ("locked-down, 3 rules allow, 1 deny, 0 ask; services of this host: localhost:11434; TLS not inspected: pin.example.com; "
            "credentials: anthropic") in text
    assert "2 user, 2 sandbox" in text
    assert value not in run.text and value not in text
    rig.ok("policy", "init", "open")
    assert json.loads(rig.ok("inspect", "box-seen", "--json").out)["network"]["policy"]["rules_by_source"]["preset"] == 1
    rig.ok("secret", "rm", "anthropic")
    assert "no credentials" in rig.ok("inspect", "box-seen").text
    rig.ok("policy", "bypass", "rm", "pin.example.com")
    rig.ok("rm", "-f", "box-seen")
