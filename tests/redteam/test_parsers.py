"""One message, three readers: our HTTP/1 beside Node's and h11 (tests/inet/differ.py; cases HX-10, HX-18).

A request that two programs read differently is how one is smuggled past the judge of the other. `make
fuzz` runs the same for longer, with seeds of its own.
"""
import shutil

import pytest

from rig import BUILD

SAYS = BUILD / "tests" / "inet" / "h1_says"


@pytest.fixture(scope="module")
def differ():
    pytest.importorskip("h11")
    if not shutil.which("node"):
        pytest.skip("node is not installed")
    from inet import differ as module
    return module


def test_hx10_what_passes_means_the_same_to_node_and_h11(differ):
    maker = differ.Maker(20261122)
    counts, faults = differ.compare(SAYS, [maker.input() for _ in range(6000)])
    assert not faults, faults[:5]
    # neither refusing everything nor comparing nothing counts as agreement
    assert counts["taken"] > 1000 and counts["answers"] > 500, counts
    assert counts["node"] > 1000 and counts["h11"] > 1000, counts


def test_hx10_templates_pass_unmutated(differ):
    """The positive twin: every template without a change is taken, by way and as a proxy's request."""
    inputs = []
    for line, fields, body in differ.REQUESTS:
        if not line.startswith(b"CONNECT"):
            mode = differ.PROXY if b"://" in line else differ.DIRECT
            inputs.append((mode, 0, b"\r\n".join([line, *fields, b"", b""]) + body))
    told = differ.says(SAYS, inputs)
    assert [(i[2], t) for i, t in zip(inputs, told) if len(t["messages"]) != 1] == []


PLANTED = [
    # (what came, what a parser that repairs would say that it is)
    (b"POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 3\r\n\r\nabc", {"body": b"ab"}),
    (b"GET /a HTTP/1.1\r\nHost: a.test\r\n\r\n", {"target": b"/b"}),
    (b"GET /a HTTP/1.1\r\nHost: a.test\r\n\r\n", {"method": b"HEAD"}),
    (b"GET /a HTTP/1.1\r\nHost: a.test\r\n\r\n", {"fields": [(b"host", b"b.test")]}),
    (b"POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-T: 1\r\n\r\n", {"trailers": []}),
]


@pytest.mark.parametrize("raw,wrong", PLANTED)
def test_the_comparison_sees_a_difference(differ, raw, wrong):
    one = (differ.DIRECT, 0, raw)
    ours = differ.says(SAYS, [one])[0]
    for reader in (differ.node, differ.h11_all):
        theirs = reader([one])[0]
        assert differ.judge_original(*one[:2], ours, theirs) is None
        mine = {**ours, "messages": [{**ours["messages"][0], **wrong}]}
        assert differ.judge_original(*one[:2], mine, theirs) is not None


SENT = [
    b"GET / HTTP/1.1\r\nhost: a.test\r\nhost: b.test\r\n\r\n", b"GET / HTTP/1.1\r\nhost: b.test\r\n\r\n",
    b"GET / HTTP/1.1\r\nhost: a.test\r\ncontent-length: 4\r\n\r\n", b"GET / HTTP/1.1\r\nhost: a.test\r\n\r\nGET /x HTTP/1.1\r\nhost: a.test\r\n\r\n",
    b"GET / HTTP/1.1\r\nhost: a.test\r\ntransfer-encoding: chunked\r\n\r\n0\r\nx: y\r\n\r\n",
    b"GET /c HTTP/1.1\r\nhost: a.test\r\n\r\n", b"GET / HTTP/1.1\r\nhost: a.test\r\ntransfer-encoding: chunked\r\n\r\n",
]


@pytest.mark.parametrize("raw", SENT)
def test_the_comparison_sees_what_would_be_sent_wrongly(differ, raw):
    message = differ.says(SAYS, [(differ.DIRECT, 0, b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n")])[0]["messages"][0]
    message["usual"] = 80
    for reader in (differ.node, differ.h11_all):
        assert differ.judge_sent(message, reader([(differ.DIRECT, 0, message["sent"] + differ.CANARY)])[0]) is None
        assert differ.judge_sent(message, reader([(differ.DIRECT, 0, raw + differ.CANARY)])[0]) is not None
