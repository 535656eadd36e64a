"""The worst command there is, as root, inside: the host's tree is the same before and after."""
import os

from rig import canaries, tree_hash


def test_rm_rf_of_everything(rig, image):
    outside = canaries(rig.base)
    home = rig.base / "home"
    (home / ".profile").write_text("x")
    first, second = rig.new_dir(), rig.new_dir()
    (first / "file").write_text("shared and lost")
    (second / "file").write_text("shared read-only")
    box = rig.create("box-rm-rf", first, f"{second}:ro").start()
    skip = [rig.state, first]
    before = tree_hash(rig.base, skip)
    machine = tree_hash("/etc"), tree_hash("/boot")
    box.sh("sudo -n rm -rf --no-preserve-root / 2>/dev/null", timeout=240)
    box.sh("sudo -n dd if=/dev/zero of=/dev/vda bs=1M count=64 2>/dev/null;"
           "sudo -n dd if=/dev/zero of=/dev/vdb bs=1M count=64 2>/dev/null", timeout=60)
    assert tree_hash(rig.base, skip) == before
    assert (tree_hash("/etc"), tree_hash("/boot")) == machine
    assert os.listdir(first) == []  # this folder was given to it read-write
    assert (second / "file").read_text() == "shared read-only"
    assert (outside / "secret").read_text().startswith("canary-")
    # the next sandbox is born from an untouched image
    box.remove()
    fresh = rig.create("box-fresh", first).start()
    assert fresh.ok("command -v git && echo ok").endswith("ok\n")
    fresh.remove()
