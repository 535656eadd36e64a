"""The built-in kits: each is valid, and what it opens is what is written down (tests/kits/built-in.txt).

A change of what an agent may reach, holds or runs as root is seen by whoever reads that file's difference.
SBX_TEST_WRITE=1 writes it anew.
"""
import os
import pathlib
import re
import shutil

import pytest

import rig as rigs

KITS = rigs.ROOT / "kits"
NAMES = sorted(p.name for p in KITS.iterdir() if (p / "spec.yaml").exists())
MIXINS = {"docker"}  # the others are agents
WRITTEN = pathlib.Path(__file__).resolve().parent.parent / "kits" / "built-in.txt"


def asks_for(rig, name):
    """What the kit would ask for if it came from elsewhere, under another name."""
    top = rig.new_dir(f"outside-{name}")
    shutil.copytree(KITS / name, top, dirs_exist_ok=True)
    text = (top / "spec.yaml").read_text()
    (top / "spec.yaml").write_text(re.sub(rf"^name: {name}$", f"name: outside-{name}", text, flags=re.M))
    if name in MIXINS:
        return rig.json("kit", "inspect", "--json", "shell", "--kit", top)["asks_for"]
    words = rig.base / "words"
    if not words.exists():
        words.mkdir()
        (words / "spec.yaml").write_text('schemaVersion: "2"\nkind: mixin\nname: words\n')
    return rig.json("kit", "inspect", "--json", top, "--kit", words)["asks_for"]


@pytest.mark.parametrize("name", NAMES)
def test_it_is_valid_and_run_acts_on_all_of_it(rig, name):
    told = rig.json("kit", "validate", "--json", name)
    assert told["valid"] and told["name"] == name and told["kind"] == ("mixin" if name in MIXINS else "sandbox")
    assert told["warnings"] == [] and told["not_supported_by_run"] is None, told
    shown = rig.json("kit", "inspect", "--json", name)
    assert shown["description"] and (name in MIXINS or shown["entrypoint"])


def test_what_they_open_is_what_is_written_down(rig):
    now = "".join(f"{name}\n" + "".join(f"\t{line}\n" for line in asks_for(rig, name)) for name in NAMES)
    if os.environ.get("SBX_TEST_WRITE"):
        WRITTEN.write_text(now)
    assert now == WRITTEN.read_text()


def test_agents_share_one_way_of_fetching(rig):
    tools = sorted(KITS.glob("*/files/home/.local/lib/npm-get"))
    assert len(tools) >= 7 and len({t.read_bytes() for t in tools}) == 1
    for tool in tools:
        assert os.access(tool, os.X_OK)
    assert rig.json("kit", "ls", "--json")["kits"] and {k["name"] for k in rig.json("kit", "ls", "--json")["kits"]} == set(NAMES)
