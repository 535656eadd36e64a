"""Fixtures of the scenario and redteam suites."""
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import rig as rigs  # noqa: E402


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item):
    """A failure says what the sandboxes and their logs said: it may not come again."""
    report = (yield).get_result()
    if not report.failed:
        return
    for rig in list(rigs.LIVE):
        try:
            report.sections.append((f"sandboxes of {rig.base}", rig.kept or rig.evidence()))
            rig.kept = None
        except Exception as why:  # whatever it is, the test's own failure is what counts
            report.sections.append((f"sandboxes of {rig.base}", f"not to be had: {why!r}"))


@pytest.fixture(scope="session")
def programs():
    if not rigs.SBX.exists():
        pytest.fail(f"{rigs.SBX} is not built")


@pytest.fixture(scope="module")
def rig(programs):
    """One state directory and daemon for each file of tests; it must leave nothing behind."""
    made = rigs.Rig()
    yield made
    left = made.close()
    assert not left, "left behind: " + "\n".join(left)


@pytest.fixture(scope="module")
def image(programs):
    if not rigs.have_image():
        pytest.fail("there is no root image: run `sbx image build`")


@pytest.fixture(scope="module")
def box(rig, image):
    """A running sandbox with one shared folder, used by all tests of a file."""
    return rig.create("box-a").start()


@pytest.fixture(scope="session")
def world(programs):
    """The small Internet of tests/inet; whoever needs it is skipped where there can be none."""
    from inet import world as worlds
    if not worlds.can_make():
        pytest.skip("network namespaces cannot be made here (needs root)")
    made = worlds.World()
    yield made
    made.close()


@pytest.fixture(scope="module")
def make_pair(world):
    """A function: a front and a vault with these rules and credentials; both must live to the end."""
    from inet import messages, pair as pairs, world as worlds
    made = []

    def make(rules, credentials=(), **more):
        config = messages.Config(
            rules=[r if isinstance(r, messages.Rule) else messages.Rule(r) for r in rules],
            credentials=list(credentials), servers=[(worlds.DNS, 53)],
            extra_ca=world.ca.cert.read_text(), **more)
        made.append(pairs.Pair(config, world.host))
        return made[-1]

    yield make
    wrong = [w for p in made for w in p.close()]
    assert not wrong, "\n".join(wrong)
