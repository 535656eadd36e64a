"""Fixtures of the scenario and redteam suites."""
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import rig as rigs  # noqa: E402


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
