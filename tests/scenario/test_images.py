"""Images of others: OCI layouts and archives become root images, and hostile ones do not.

The oracle is a naive reader that applies layers from the lowest up to a tree of names, as programs do that extract
them; fsck.erofs reads what sbx-image wrote.
"""
import json
import os
import pathlib
import random
import shutil
import signal
import stat
import subprocess
import time

import pytest
import rig as rigs
from layouts import Entry, Layout, Store, archive
from rig import SBX

@pytest.fixture
def store(rig, image, tmp_path):
    if not shutil.which("fsck.erofs"):
        pytest.skip("erofs-utils is not installed")
    return Store(rig, rig.base / f"cache-{os.urandom(4).hex()}")


# ---- the oracle ----------------------------------------------------------------------------------------------------

class Node:
    def __init__(self, kind, data=b"", mode=0o755, uid=0):
        self.kind, self.data, self.mode, self.uid, self.names = kind, data, mode, uid, {}


class Tree:
    """Layers applied from the lowest up, as they are when something extracts them."""

    def __init__(self):
        self.root = Node("d")

    def directory(self, path, make):
        """The directory of a path; symlinks on the way are followed within the root."""
        at, todo, hops = [self.root], [p for p in path.split("/") if p], 0
        while todo:
            part = todo.pop(0)
            if part == "..":
                at = at[:-1] or at
                continue
            if part in ("", "."):
                continue
            node = at[-1].names.get(part)
            if node is None or node.kind not in "dl":
                if not make or node is not None:
                    return None
                node = at[-1].names[part] = Node("d")
            if node.kind == "l":
                hops += 1
                assert hops < 40
                target = node.data.decode()
                if target.startswith("/"):
                    at = [self.root]
                todo = [p for p in target.split("/") if p] + todo
            else:
                at.append(node)
        return at[-1]

    def apply(self, entries):
        mine = set()
        for e in entries:
            where, _, name = e.name.rpartition("/")
            parent = self.directory(where, not name.startswith(".wh."))
            if parent is None:
                continue
            if name == ".wh..wh..opq":
                self.purge(parent, mine)
            elif name.startswith(".wh."):
                old = parent.names.get(name[4:])
                if old is not None and id(old) not in mine:
                    self.remove(parent, name[4:], mine)
            else:
                self.put(parent, name, e, mine)

    def purge(self, node, mine):
        """Nothing in there stays but what the same layer has put there."""
        for name, child in list(node.names.items()):
            self.purge(child, mine)
            if id(child) not in mine and not child.names:
                del node.names[name]

    def remove(self, parent, name, mine):
        self.purge(parent.names[name], mine)
        if not parent.names[name].names:
            del parent.names[name]

    def put(self, parent, name, e, mine):
        if e.kind == "c":
            return
        if e.kind == "h":
            where, _, base = e.data.decode().rpartition("/")
            node = self.directory(where, False).names[base]
        else:
            old = parent.names.get(name)
            node = Node(e.kind, e.data, e.info().mode, e.uid)
            if old is not None and old.kind == "d" and e.kind == "d":
                node.names = old.names
        parent.names[name] = node
        mine.add(id(node))

    def flat(self, node=None, at=""):
        out = {}
        for name, child in (node or self.root).names.items():
            path = f"{at}/{name}"
            kind = {"l": "l", "d": "d", "f": "f", "p": "p"}[child.kind]
            out[path] = (kind, child.data if kind in "fl" else b"",
                         child.mode & 0o7777 if kind != "l" else 0, child.uid if kind != "l" else 0)
            if kind == "d":
                out |= self.flat(child, path)
        return out


def on_disk(top):
    out = {}
    for where, dirs, files in os.walk(top):
        for name in dirs + files:
            path = pathlib.Path(where) / name
            st = path.lstat()
            kind = {stat.S_IFDIR: "d", stat.S_IFREG: "f", stat.S_IFLNK: "l", stat.S_IFIFO: "p"}[stat.S_IFMT(st.st_mode)]
            data = path.read_bytes() if kind == "f" else os.readlink(path).encode() if kind == "l" else b""
            out["/" + str(path.relative_to(top))] = (kind, data, st.st_mode & 0o7777 if kind != "l" else 0,
                                                     st.st_uid if kind != "l" else 0)
    return out


def random_layer(r, before):
    """A consistent layer: parents before what is in them, links to files of its own; it often meets what is there."""
    entries, dirs, files, links = [], {""}, {}, set()
    for _ in range(r.randint(1, 25)):
        parent = r.choice(sorted(dirs))
        kind = r.choice("dddifffffhlpwo")
        name = r.choice("mn" if kind == "i" else "abcde")  # implied ones meet no file or symlink: extractors differ then
        path = f"{parent}/{name}".lstrip("/")
        if path in dirs or path in links or path in files and kind not in "fh":
            continue
        if kind == "d":
            entries.append(Entry(path, "d", mode=r.choice([0o700, 0o755, 0o1777]), uid=r.choice([0, 0, 1000])))
            dirs.add(path)
        elif kind == "i" and f"{path}/f" not in files:
            entries.append(Entry(f"{path}/f", "f", str(r.random())))
            files[f"{path}/f"] = True
        elif kind == "f":
            size = r.choice([0, 1, 100, 4000, 4050, 4096, 4097, 9000])
            entries.append(Entry(path, "f", bytes(r.getrandbits(8) for _ in range(size)), mode=r.choice([0o644, 0o755])))
            files[path] = True
        elif kind == "h" and files.keys() - {path}:
            entries.append(Entry(path, "h", r.choice(sorted(files.keys() - {path}))))
            files[path] = True
        elif kind == "l":
            entries.append(Entry(path, "l", r.choice(["a", "/b", "../c", "nowhere/x"])))
            dirs.discard(path)
            links.add(path)
        elif kind == "p":
            entries.append(Entry(path, "p"))
            links.add(path)
        elif kind == "w":
            entries.append(Entry(f"{parent}/.wh.{name}".lstrip("/"), "f"))
        elif kind == "o" and parent:
            entries.append(Entry(f"{parent}/.wh..wh..opq", "f"))
    return entries


def test_layers_make_what_an_extractor_makes(store, tmp_path):
    """Random layers, read from the topmost down by us and from the lowest up by the oracle."""
    seed = int.from_bytes(os.urandom(4), "big")
    r = random.Random(seed)
    for i in range(25):
        layers = []
        for _ in range(r.randint(1, 5)):
            layers.append(random_layer(r, layers))
        tree = Tree()
        for layer in layers:
            tree.apply(layer)
        run = store.load(Layout(tmp_path / f"l{i}", layers, pack=r.choice(["", "+gzip"])))
        assert run.code == 0, (seed, i, run)
        out = store.unpack(tmp_path)
        assert on_disk(out) == tree.flat(), (seed, i, [[(e.name, e.kind, e.data[:20]) for e in layer] for layer in layers])
        shutil.rmtree(out)


def test_behind_a_symlink_of_a_layer_below(store, tmp_path):
    """/lib is a symlink below; what a layer above puts into lib/ belongs where it leads, unless lib/ is made anew."""
    base = [Entry("usr", "d"), Entry("usr/lib", "d"), Entry("lib", "l", "usr/lib"), Entry("opt", "l", "/usr/opt"),
            Entry("usr/lib/a", "f", "a")]
    layers = [base, [Entry("lib/b", "f", "b"), Entry("opt/deep/c", "f", "c")], [Entry("lib/a", "f", "newer")]]
    assert store.load(Layout(tmp_path / "l", layers)).code == 0
    found = on_disk(store.unpack(tmp_path))
    assert found["/lib"][:2] == ("l", b"usr/lib")
    assert found["/usr/lib/a"][1] == b"newer" and found["/usr/lib/b"][1] == b"b"
    assert found["/usr/opt/deep/c"][1] == b"c"
    shutil.rmtree(tmp_path / "out")
    layers[1].insert(0, Entry("lib", "d"))
    assert store.load(Layout(tmp_path / "l2", layers)).code == 0
    found = on_disk(store.unpack(tmp_path))
    assert found["/lib"][0] == "d" and found["/lib/a"][1] == b"newer" and found["/usr/lib/a"][1] == b"a"


def test_hard_links_to_what_is_hidden(store, tmp_path):
    layers = [[Entry("a", "f", "one"), Entry("d", "d"), Entry("d/x", "f", "two" * 3000)],
              [Entry("a", "f", "new"), Entry("b", "h", "a"), Entry("c", "h", "b"), Entry(".wh.d", "f"),
               Entry("f", "f", "far"), Entry("g", "h", "f"), Entry("h", "h", "g"), Entry("i", "h", "h")],
              [Entry("a", "f", "newest"), Entry("e", "l", "a"), Entry(".wh.f", "f"), Entry(".wh.g", "f"), Entry(".wh.h", "f")]]
    assert store.load(Layout(tmp_path / "l", layers)).code == 0
    found = on_disk(store.unpack(tmp_path))
    assert {n: v[1] for n, v in found.items()} == {"/a": b"newest", "/b": b"new", "/c": b"new", "/e": b"a", "/i": b"far"}


def test_the_same_path_twice(store, tmp_path):
    """Hard links are bound by order, as by who extracts a layer, even where an upper layer hides the file."""
    layers = [[Entry("a", "f", "below")],
              [Entry("b0", "h", "a"), Entry("a", "f", "first"), Entry("b1", "h", "a"), Entry("a", "f", "second" * 2000),
               Entry("b2", "h", "a"), Entry("c", "h", "b1"), Entry("b1", "f", "other"), Entry("d", "h", "b1"), Entry("e", "h", "c")],
              [Entry("a", "f", "top"), Entry(".wh.c", "f")]]
    assert store.load(Layout(tmp_path / "l", layers)).code == 0
    found = on_disk(store.unpack(tmp_path))
    assert {n: v[1] for n, v in found.items()} == {"/a": b"top", "/b0": b"below", "/b1": b"other", "/b2": b"second" * 2000,
                                                   "/d": b"other", "/e": b"first"}


def test_what_the_image_says_is_kept(store, tmp_path):
    config = {"Env": ["PATH=/bin", "A=ü"], "Entrypoint": ["/bin/x"], "Cmd": ["y"], "User": "1000:100", "WorkingDir": "/w",
              "ExposedPorts": {"80/tcp": {}}, "Volumes": {"/data": {}}, "Labels": {"a": "b"}}
    run = store.load(Layout(tmp_path / "l", [[Entry("a", "f", "a"), Entry("null", "c")]], config, pack="+zstd"))
    assert run.code == 0, run
    meta = store.meta()
    assert meta["format"] == "erofs" and run.text.strip() == meta["id"]
    assert meta["run"] == {"env": ["PATH=/bin", "A=ü"], "entrypoint": ["/bin/x"], "cmd": ["y"], "user": "1000:100", "workdir": "/w",
                           "ports": ["80/tcp"], "volumes": ["/data"], "stop_signal": None}
    assert on_disk(store.unpack(tmp_path)).keys() == {"/a"}, "device nodes are left out"
    again = store.load(Layout(tmp_path / "l2", [[Entry("a", "f", "a"), Entry("null", "c")]], config, pack="+zstd"))
    assert again.text == run.text, "the same input is the same image"


def spoil(what, edit):
    def change(now, o):
        if now == what:
            edit(o)
        return o
    return change


def wrong_size(o):
    o["layers"][0]["size"] += 1


def many_layers(o):
    o["layers"] *= 200


def elsewhere(o):
    o["layers"][0]["urls"] = ["http://127.0.0.1:9/layer"]


ZOO = {
    "layer elsewhere": (dict(change=spoil("manifest", elsewhere)), "lies elsewhere"),
    "digest": (dict(change=spoil("config", lambda o: o["rootfs"].update(diff_ids=["sha256:" + "0" * 64]))),
               "has not the digest that the configuration names"),
    "algorithm": (dict(change=spoil("manifest", lambda o: o["layers"][0].update(digest="md5:00"))), "not SHA-256"),
    "path in a digest": (dict(change=spoil("manifest", lambda o: o["layers"][0].update(
        digest="sha256:../../../../../../../../etc/passwd"))), "not SHA-256"),
    "size": (dict(change=spoil("manifest", wrong_size)), "smaller than its manifest says"),
    "no layers": (dict(change=spoil("manifest", lambda o: o.update(layers=[]))), "there is nothing in it"),
    "too many layers": (dict(change=spoil("manifest", many_layers)), "more than 127 layers"),
    "layers and ids": (dict(change=spoil("config", lambda o: o["rootfs"]["diff_ids"].append("sha256:" + "0" * 64))),
                       "does not name as many layers"),
    "another machine": (dict(change=spoil("config", lambda o: o.update(architecture="arm64"))), "linux/arm64"),
    "kind of layer": (dict(change=spoil("manifest", lambda o: o["layers"][0].update(mediaType="x/y"))), "kind that is not supported"),
    "index": (dict(change=spoil("index", lambda o: o.update(manifests=[]))), "no manifests"),
    "index of blobs that are not there": (dict(change=spoil("index", lambda o: o["manifests"][0].update(
        digest="sha256:" + "1" * 64))), "has no 'blobs/sha256/1111"),
    "environment": (dict(config={"Env": [1]}), "malformed"),
    "up": (dict(layers=[[Entry("../x", "f", "x")]]), "leaves the directory"),
    "up inside": (dict(layers=[[Entry("a/../../x", "f", "x")]]), "leaves the directory"),
    "absolute": (dict(layers=[[Entry("/x", "f", "x")]]), "leaves the directory"),
    "hard link out": (dict(layers=[[Entry("x", "h", "../../etc/passwd")]]), "leaves the directory"),
    "hard link to nothing": (dict(layers=[[Entry("x", "h", "etc/passwd")]]), "leads to nothing"),
    "hard link to itself": (dict(layers=[[Entry("x", "h", "x")]]), "leads to nothing"),
    "through a file": (dict(layers=[[Entry("x", "f", "x"), Entry("x/y", "f", "y")]]), "no directory"),
    "symlink loop": (dict(layers=[[Entry("x", "l", "x")], [Entry("x/y", "f", "y")]]), "no directory"),
    "long name": (dict(layers=[[Entry("n" * 256, "f", "x")]]), "longer than 255"),
    "deep": (dict(layers=[[Entry("d/" * 300 + "x", "f", "x")]]), "too deep"),
    "no archive": (dict(layers=[], raw=[os.urandom(20000)]), "checksum"),
    "half an archive": (dict(layers=[], raw=[archive([Entry("x", "f", "x" * 9000)])[:4096]]), "ends in the middle"),
    "sparse": (dict(layers=[[Entry("x", "f", "x", pax={"GNU.sparse.major": "1"})]]), "not supported"),
}


@pytest.mark.parametrize("case", ZOO)
def test_zoo(store, tmp_path, case):
    how, says = ZOO[case]
    run = store.load(Layout(tmp_path / "l", how.pop("layers", [[Entry("a", "f", "a")]]) if "layers" in how
                            else [[Entry("a", "f", "a")]], **how))
    assert run.code == 1, run
    assert says in run.err.decode() and len(run.err.decode().strip().splitlines()[-1]) < 600, run
    store.nothing_made()


def worker(libexec, layout, image, report, *more):
    """sbx-image as `sbx image load` starts it, but for its jail, which it makes itself in namespaces of ours."""
    top = os.open(layout.dir, os.O_RDONLY | os.O_DIRECTORY)
    script = 'exec "$0" "$@" 3>&"$REPORT" 4<&"$LAYOUT" 5>&"$IMAGE"'
    try:
        return subprocess.run(
            ["unshare", "--user", "--map-current-user", "--keep-caps", "--mount", "bash", "-c", script,
             f"{libexec}/sbx-image", *more],
            env={**os.environ, "REPORT": str(report.fileno()), "LAYOUT": str(top), "IMAGE": str(image.fileno())},
            pass_fds=(top, image.fileno(), report.fileno()), capture_output=True)
    finally:
        os.close(top)


def test_a_bomb(store, tmp_path):
    """100 MB of zeros in 100 KB, the limit is of the uncompressed data, not of the blob."""
    zeros = archive([Entry(f"z{i}", "f", b"\0" * (1 << 20)) for i in range(100)])
    layout = Layout(tmp_path / "l", [], raw=[zeros])
    libexec = store.rig.env.get("SBX_LIBEXEC_DIR") or str(SBX.parent)
    with open(tmp_path / "image", "w+b") as image, open(tmp_path / "report", "w+b") as report:
        run = worker(libexec, layout, image, report, "--max-bytes", "50000000")
        assert run.returncode == 1
        report.seek(0)
        last = report.read().decode().splitlines()[-1]
        assert last.startswith("E ") and json.loads(last[2:])["error"]["code"] == "limit", last


def test_the_worker_dies(store, tmp_path):
    """kill -9 of sbx-image, before a word or in the midst of its work: said so, and nothing half made."""
    real = pathlib.Path(store.rig.env.get("SBX_LIBEXEC_DIR") or SBX.parent)
    libexec = tmp_path / "libexec"
    libexec.mkdir()
    for program in real.iterdir():
        if program.is_file() and program.name.startswith("sbx"):
            (libexec / program.name).symlink_to(program)
    layout = Layout(tmp_path / "l", [[Entry("a", "f", "a" * 100000)]])
    (libexec / "sbx-image").unlink()
    for what in ("", 'dprintf(5, "half of an image"); dprintf(3, "P 1 2\\n");'):
        (tmp_path / "die.c").write_text(f"#include <stdio.h>\n#include <unistd.h>\nint main(void)\n{{\n{what}\npause();\n}}\n")
        subprocess.run(["cc", "-o", libexec / "sbx-image", tmp_path / "die.c"], check=True)
        with subprocess.Popen([SBX, "image", "load", layout.dir, "--name", "im"], stderr=subprocess.PIPE,
                              env={**store.env, "SBX_LIBEXEC_DIR": str(libexec)}) as child:
            found = []
            end = time.monotonic() + 60
            while not found and time.monotonic() < end:
                found = [pid for pid, (name, parent, _) in rigs.processes().items() if name == "sbx-image" and parent == child.pid]
            os.kill(found[0], signal.SIGKILL)
            said = child.communicate(timeout=60)[1]
        assert child.returncode == 1 and b"sbx-image ended without a result (signal 9)" in said, said
        store.nothing_made()
    assert store.load(layout).code == 0


def test_damaged_compression(store, tmp_path):
    for pack in ("+gzip", "+zstd"):
        layout = Layout(tmp_path / pack, [[Entry("a", "f", os.urandom(50000))]], pack=pack)
        blob = max((layout.dir / "blobs/sha256").iterdir(), key=lambda p: p.stat().st_size)
        data = bytearray(blob.read_bytes())
        for spoilt in (data[:len(data) // 2], data[:200] + bytes([data[200] ^ 1]) + data[201:]):
            blob.write_bytes(spoilt)
            run = store.load(layout)
            assert run.code == 1, run
            assert any(t in run.err.decode() for t in ("damaged", "smaller", "digest", "checksum", "middle")), run
        store.nothing_made()


def test_symlinks_in_a_layout_are_not_followed(store, tmp_path):
    layout = Layout(tmp_path / "l", [[Entry("a", "f", "a")]])
    for what in ("index.json", "blobs/sha256", "blobs"):
        path = layout.dir / what
        moved = tmp_path / "away"
        path.rename(moved)
        path.symlink_to(moved)
        run = store.load(layout)
        assert run.code == 1, run
        path.unlink()
        moved.rename(path)
    store.nothing_made()
    assert store.load(layout).code == 0


def test_archives(store, tmp_path):
    """An OCI archive and what `docker save` writes, both by skopeo."""
    if not shutil.which("skopeo"):
        pytest.skip("skopeo is not installed")
    layout = Layout(tmp_path / "l", [[Entry("bin", "d"), Entry("bin/x", "f", "x", mode=0o755)]])
    for i, kind in enumerate(("docker-archive", "oci-archive")):
        made = tmp_path / f"{kind}.tar"
        subprocess.run(["skopeo", "copy", "-q", f"oci:{layout.dir}", f"{kind}:{made}:a/b:1"], check=True)
        run = store.load(made if kind == "docker-archive" else f"oci-archive:{made}", f"im{i}")
        assert run.code == 0, run
        assert on_disk(store.unpack(tmp_path, f"im{i}")).keys() == {"/bin", "/bin/x"}
        shutil.rmtree(tmp_path / "out")
    run = store.load(tmp_path / "none.tar")
    assert run.code == 1 and b"neither an archive nor an OCI layout" in run.err, run
    (tmp_path / "bad.tar").write_bytes(b"no archive")
    run = store.load(tmp_path / "bad.tar")
    assert run.code == 1 and b"skopeo could not fetch" in run.err, run


def test_names(store, tmp_path):
    layout = Layout(tmp_path / "my_tool:1.2", [[Entry("a", "f", "a")]])
    run = store.rig.sbx("image", "load", layout.dir, env=store.env)
    assert run.code == 0 and store.root("my-tool-1.2").exists(), run
    for name in ("../x", "default", "-x", "a/b"):
        run = store.load(layout, name)
        assert run.code != 0, (name, run)


PROGRAM = r"""
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>
int main(int argc, char **argv)
{
	struct stat st;
	FILE *f = fopen("made", "w");

	if (!f || fputs("by a program without a shell", f) < 0 || fclose(f) || stat("/tool", &st))
		return 9;
	printf("%d words, uid %d, mode %o, links %d\n", argc, getuid(), st.st_mode & 07777, (int)st.st_nlink);
	return 7;
}
"""


def test_an_image_without_a_shell(store, tmp_path):
    """One static program is a whole image: it is started, as a user that the image does not know, in the folder."""
    if not shutil.which("musl-gcc"):
        pytest.skip("musl-gcc is not installed")
    (tmp_path / "p.c").write_text(PROGRAM)
    subprocess.run(["musl-gcc", "-static", "-o", tmp_path / "p", tmp_path / "p.c"], check=True)
    layout = Layout(tmp_path / "l", [[Entry("hello", "f", (tmp_path / "p").read_bytes(), mode=0o755),
                                      Entry("tool", "f", "x", mode=0o4711), Entry("tool2", "h", "tool"),
                                      Entry("etc", "d"), Entry("etc/passwd", "l", "/nowhere/passwd"),
                                      Entry("etc/group", "f", "other:x:1000:"), Entry("etc/hosts", "l", "loop"),
                                      Entry("etc/loop", "l", "hosts")]])
    assert store.load(layout).code == 0
    id = store.meta()["id"]
    work = store.rig.base / "image-work"
    work.mkdir()
    own = rigs.Rig()
    own.env["SBX_CACHE_DIR"] = str(store.cache)
    try:
        run = own.sbx("run", "shell", "-t", id, "--name", "box-image", work, "--", "/hello", "a", timeout=120)
        assert run.code == 7 and run.text == "2 words, uid 1000, mode 4711, links 2\n", run
        assert (work / "made").read_text() == "by a program without a shell"
        run = own.sbx("exec", "-u", "0", "box-image", "--", "/hello")
        assert run.code == 7 and "uid 0" in run.text, run
        run = own.sbx("exec", "box-image", "--", "sh")
        assert run.code == 127 or b"command not found" in run.err, run
        assert own.sbx("rm", "-f", "box-image").code == 0
    finally:
        left = own.close()
    assert not left, left
