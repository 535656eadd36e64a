"""Volumes of kits: off the overlay, of memory, filled from the root, kept, gone with the sandbox; bad places refused."""
import pytest

SPEC = """\
schemaVersion: "2"
kind: mixin
name: disks
volumes:
  - {path: /var/lib/engine, size: 1g, mode: "0711"}
  - {path: /var/lib/engine/fast, type: tmpfs, size: 16m, mode: "0750"}
  - {path: /home/agent/.cache/tool}
  - {path: /scratch, type: tmpfs}
  - {path: /usr/share/doc/bash}
"""

SPEC_V1 = """\
schemaVersion: "1"
kind: mixin
name: old
volumes:
  - {path: /var/lib/old, size: 600m}
tmpfs:
  - {path: /old-tmp, size: 8m, mode: "0700"}
"""


def make_kit(rig, name, text):
    where = rig.new_dir(name)
    (where / "spec.yaml").write_text(text)
    return where


@pytest.fixture(scope="module")
def disks(rig, image):
    first = make_kit(rig, "kit-disks", SPEC)
    second = make_kit(rig, "kit-old", SPEC_V1)
    return rig.create("box-disks", more=("--kit", str(first), "--kit", str(second), "--approve-kits")).start()


def fs_of(box, path):
    return box.root_ok("stat -f -c %T " + path).strip()


def test_off_the_overlay_and_of_memory(disks):
    assert fs_of(disks, "/") == "overlayfs"
    for path in ("/var/lib/engine", "/home/agent/.cache/tool", "/usr/share/doc/bash", "/var/lib/old"):
        assert fs_of(disks, path) in ("ext2/ext3", "ext4"), path
    for path in ("/var/lib/engine/fast", "/scratch", "/old-tmp"):
        assert fs_of(disks, path) == "tmpfs", path
    modes = disks.root_ok("stat -c '%a %U' /var/lib/engine /var/lib/engine/fast /home/agent/.cache/tool /scratch /old-tmp")
    assert modes.split("\n")[:5] == ["711 root", "750 root", "755 agent", "1777 root", "700 root"]
    size = disks.root_ok("df --output=size -k /var/lib/engine/fast /old-tmp | tail -n 2").split()
    assert [int(s) for s in size] == [16 << 10, 8 << 10]
    # what an engine of containers does in its volume: an overlay of its own
    disks.root_ok("cd /var/lib/engine && mkdir -p l u w m && echo low > l/f && "
                  "mount -t overlay overlay -o lowerdir=l,upperdir=u,workdir=w m && echo up >> m/f && cat u/f && umount m")
    assert disks.ok("touch /home/agent/.cache/tool/mine && stat -c %U /home/agent/.cache/tool/mine") == "agent\n"
    assert disks.ok("stat -c %U /home/agent/.cache") == "agent\n"


def test_filled_from_the_root(disks):
    names = disks.ok("ls /usr/share/doc/bash").split()
    assert "copyright" in names
    disks.root_ok("rm /usr/share/doc/bash/copyright; echo own > /usr/share/doc/bash/own")


def test_kept_over_a_stop(rig, disks):
    disks.root_ok("echo kept > /var/lib/engine/file; echo lost > /scratch/file; sync")
    rig.ok("stop", disks.name)
    disks.start()
    assert disks.root_ok("cat /var/lib/engine/file; ls /scratch | wc -l; ls /usr/share/doc/bash | grep -c -e copyright -e own; "
                         "cat /usr/share/doc/bash/own") == "kept\n0\n1\n" "own\n"
    assert disks.ok("ls /home/agent/.cache/tool") == "mine\n"
    assert disks.root_ok("stat -c %a /var/lib/engine") == "711\n"


@pytest.mark.parametrize("volume, why", [
    ("{path: /}", "must be absolute"),
    ("{path: /etc}", "own system"),
    ("{path: /usr}", "own system"),
    ("{path: /run}", "own system"),
    ("{path: /proc/sys/x}", "kernel"),
    ("{path: /sys}", "kernel"),
    ("{path: /dev/shm}", "kernel"),
    ("{path: /etc/ssl/certs}", "trusted"),
    ("{path: /usr/local/share/ca-certificates}", "trusted"),
    ("{path: /usr/local/share}", "trusted"),
    ("{path: /run/.sbx-exports}", "start's own"),
    ("{path: WORKSPACE}", "shared folder"),
    ("{path: WORKSPACE/node_modules}", "shared folder"),
    ("{path: /var/lib/x, size: 900g}", "larger than the sandbox's disk"),
    ("{path: /var/lib/x, type: tmpfs, size: 900g}", "larger than the sandbox's memory"),
    ("{path: relative}", "path"),
    ("{path: /a/../etc}", "path"),
])
def test_bad_places(rig, image, volume, why):
    workspace = rig.new_dir()
    kit = make_kit(rig, "kit-" + workspace.name, "schemaVersion: \"2\"\nkind: mixin\nname: bad\nvolumes:\n  - "
                   + volume.replace("WORKSPACE", str(workspace)) + "\n")
    answer = rig.fails("create", "--name", "box-bad", "--approve-kits", "--kit", str(kit), "shell", workspace)
    assert why in answer.errors and "spec.yaml:5:" in answer.errors, answer
    assert "box-bad" not in rig.boxes()


def test_two_owners_of_one_place(rig, image):
    one = make_kit(rig, "kit-one", "schemaVersion: \"2\"\nkind: mixin\nname: one\nvolumes:\n  - {path: /data}\n")
    two = make_kit(rig, "kit-two", "schemaVersion: \"2\"\nkind: mixin\nname: two\nvolumes:\n  - {path: /data, size: 1g}\n")
    # of one path the later kit's is taken: there is one volume
    rig.ok("ls")  # there is a daemon from here on
    wish = {"name": "box-x", "agent": "shell", "kits": [str(one), str(two)]}
    digest = rig.api("POST", "/v1/sandboxes?plan=1", wish)[1]["kits_digest"]
    plan = rig.api("POST", "/v1/sandboxes?plan=1", {**wish, "approve": digest})[1]
    assert [(v["path"], v["kit"], v["bytes"]) for v in plan["volumes"]] == [("/data", "two", 1 << 30)]


def test_gone_with_the_sandbox(rig, disks):
    where = list((rig.state / "sandboxes").iterdir())
    assert len(where) == 1
    disks.remove()
    assert not list((rig.state / "sandboxes").iterdir())
