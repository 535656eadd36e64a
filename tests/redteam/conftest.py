"""Sandbox A is attacked; sandbox B beside it must not notice, and the host's tree must not change."""
import time

import pytest

from rig import canaries, tree_hash


@pytest.fixture(scope="module")
def a(rig, image):
    """The attacked sandbox: root inside is the attacker."""
    return rig.create("box-a").start()


@pytest.fixture(scope="module")
def b(rig, image):
    """The control sandbox."""
    return rig.create("box-b", size=("--cpus", "1", "--memory", "512m")).start()


@pytest.fixture(scope="module")
def outside(rig):
    return canaries(rig.base)


@pytest.fixture(autouse=True)
def unharmed(request):
    """O3, O4, O7 around every case: the tree outside, the processes, the neighbour."""
    if "a" not in request.fixturenames:
        yield
        return
    rig, outside = request.getfixturevalue("rig"), request.getfixturevalue("outside")
    a, b = request.getfixturevalue("a"), request.getfixturevalue("b")
    before = tree_hash(outside)
    machines = set(rig.machine_of(a.name)) | set(rig.machine_of(b.name))
    yield
    assert tree_hash(outside) == before, "a file outside of the shared folders changed"
    now = set(rig.machine_of(a.name)) | set(rig.machine_of(b.name))
    if "restarts_a" not in request.keywords:
        assert now == machines, "a process of a sandbox ended or was replaced"
    started = time.monotonic()
    assert b.run("true", timeout=10).code == 0, "the neighbour does not answer"
    assert time.monotonic() - started < 5
    started = time.monotonic()
    rig.ok("ls", timeout=10)
    assert time.monotonic() - started < 1


def pytest_configure(config):
    config.addinivalue_line("markers", "restarts_a: the case ends sandbox A")
