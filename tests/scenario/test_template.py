"""A sandbox's disk as an image: what was installed is in it, what was removed is not, and nothing of the host."""
import json
import shutil
import subprocess

import pytest
import rig as rigs
from layouts import Store
from rig import SIZE

PREPARE = r"""
set -e
sudo sh -c 'echo marked > /usr/local/marker; rm /usr/bin/yes; rm -r /usr/share/doc; mkdir /usr/share/doc; echo new > /usr/share/doc/only;
  mkdir -p /var/lib/docker; echo big > /var/lib/docker/layer; mkfifo /srv/pipe; ln /usr/local/marker /usr/local/again'
sudo setcap cap_net_raw+ep /usr/local/marker
echo mine > ~/mine
sudo sh -c 'echo "node:*:19000:0:99999:7:::" >> /etc/shadow; sed -i "1i node:x:1000:1000::/home/node:/bin/sh" /etc/passwd'
sudo -n true
echo in the workspace > made
(sleep 1000 & echo $! > /tmp/pid)
"""
LOOK = r"""
cat /usr/local/marker /usr/share/doc/only ~/mine
getcap /usr/local/marker
stat -c '%h %U' /usr/local/marker
test -p /srv/pipe && echo pipe
test ! -e /usr/bin/yes && test ! -e /usr/share/doc/bash && echo gone
ls -A /var/lib/docker | wc -l
test ! -e "$OLD/made" && echo no workspace
curl --version > /dev/null && sudo -n true && id -un
(cd /usr && find sbin -type f -print0 | sort -z | xargs -0 sha256sum | sha256sum)
"""
HASH = "(cd /usr && find sbin -type f -print0 | sort -z | xargs -0 sha256sum | sha256sum)"


@pytest.fixture
def own(rig, image):
    if not shutil.which("fsck.erofs"):
        pytest.skip("erofs-utils is not installed")
    store = Store(rig, rig.base / "cache-template")
    made = rigs.Rig(env={"SBX_CACHE_DIR": str(store.cache)})
    made.store = store
    yield made
    left = made.close()
    assert not left, left


def test_a_disk_becomes_an_image(own):
    box = own.create("box-t", more=("-e", "SECRET_OF_THE_SANDBOX=x"))
    own.ok("exec", "box-t", "--", "bash", "-c", f"cd {box.ws} && {PREPARE}", timeout=180)
    before = own.ok("exec", "box-t", "--", "bash", "-c", HASH, timeout=180).text
    assert "is running" in own.fails("template", "save", "box-t", "tpl").errors
    own.ok("stop", "box-t")
    made = own.ok("template", "save", "box-t", "tpl", "--description", "with a marker", timeout=400)
    assert own.boxes()["box-t"]["status"] == "stopped"
    meta = own.store.meta("tpl")
    assert made.text.strip() == meta["id"] and meta["run"]["description"] == "with a marker"
    assert "SECRET_OF_THE_SANDBOX" not in json.dumps(meta)
    assert subprocess.run(["fsck.erofs", own.store.root("tpl")], capture_output=True).returncode == 0
    assert not list(own.store.cache.glob("save-*"))

    own.ok("create", "--name", "box-u", *SIZE, "-t", "tpl", "shell")
    seen = own.ok("exec", "-e", f"OLD={box.ws}", "box-u", "--", "bash", "-c", LOOK, timeout=180).text.splitlines()
    assert seen[:-1] == ["marked", "new", "mine", "/usr/local/marker cap_net_raw=ep", "2 root", "pipe", "gone", "0", "no workspace",
                         "node"], seen
    assert seen[-1] == before.strip(), "the kernel inside reads the very bytes"
    assert own.boxes()["box-u"]["image"] == "tpl"
    own.ok("rm", "-f", "box-u", "box-t")
    own.ok("template", "rm", "tpl")
