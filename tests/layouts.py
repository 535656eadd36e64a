"""layouts.py - images of others for tests: archives of layers, OCI layouts on disk, and a store of the test's own."""
import gzip
import hashlib
import io
import json
import os
import pathlib
import shutil
import subprocess
import tarfile

LAYER = "application/vnd.oci.image.layer.v1.tar"


def sha(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


class Entry:
    """One member of a layer's archive: kind is d f l(symlink) h(ard link) p(fifo) c(device)."""

    def __init__(self, name, kind="f", data="", mode=None, uid=0, pax=None):
        self.name, self.kind, self.mode, self.uid, self.pax = name, kind, mode, uid, pax or {}
        self.data = data.encode() if isinstance(data, str) else data

    def info(self):
        t = tarfile.TarInfo(self.name)
        t.type = {"d": tarfile.DIRTYPE, "f": tarfile.REGTYPE, "l": tarfile.SYMTYPE, "h": tarfile.LNKTYPE,
                  "p": tarfile.FIFOTYPE, "c": tarfile.CHRTYPE}[self.kind]
        t.mode = self.mode if self.mode is not None else 0o755 if self.kind == "d" else 0o644
        t.uid, t.mtime, t.pax_headers = self.uid, 1700000000, self.pax
        if self.kind in "lh":
            t.linkname = self.data.decode()
        if self.kind == "f":
            t.size = len(self.data)
        return t


def archive(entries):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as t:
        for e in entries:
            t.addfile(e.info(), io.BytesIO(e.data) if e.kind == "f" else None)
    return out.getvalue()


class Layout:
    """An OCI layout on disk; `change` may spoil the JSON before it is written."""

    def __init__(self, where, layers, config=None, pack="+gzip", change=lambda what, o: o, raw=None):
        self.dir = pathlib.Path(where)
        (self.dir / "blobs/sha256").mkdir(parents=True)
        raws = raw or [archive(layer) for layer in layers]
        made = []
        for data in raws:
            blob = gzip.compress(data, 1) if pack == "+gzip" else self.zstd(data) if pack == "+zstd" else data
            made.append({"mediaType": LAYER + pack, **self.blob(blob)})
        o = {"os": "linux", "architecture": "amd64", "config": config or {},
             "rootfs": {"type": "layers", "diff_ids": [sha(data) for data in raws]}}
        config = self.blob(json.dumps(change("config", o)).encode())
        o = {"schemaVersion": 2, "layers": made,
             "config": {"mediaType": "application/vnd.oci.image.config.v1+json", **config}}
        manifest = self.blob(json.dumps(change("manifest", o)).encode())
        o = {"schemaVersion": 2, "manifests": [
            {"mediaType": "application/vnd.oci.image.manifest.v1+json", **manifest}]}
        (self.dir / "index.json").write_text(json.dumps(change("index", o)))
        (self.dir / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')

    @staticmethod
    def zstd(data):
        return subprocess.run(["zstd", "-q", "-c"], input=data, stdout=subprocess.PIPE, check=True).stdout

    def blob(self, data):
        (self.dir / "blobs/sha256" / sha(data)[7:]).write_bytes(data)
        return {"digest": sha(data), "size": len(data)}


class Store:
    """An image store of its own, with the default image's kernel in it."""

    def __init__(self, rig, where):
        self.rig, self.cache = rig, pathlib.Path(where)
        self.env = {**rig.env, "SBX_CACHE_DIR": str(self.cache)}
        shared = pathlib.Path(rig.env.get("SBX_CACHE_DIR") or
                              pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "sbx")
        images = self.cache / "images"
        (images / "names").mkdir(parents=True)
        for d in (self.cache, images, images / "names"):
            d.chmod(0o700)
        source = shared / "images" / (shared / "images/names/default").read_text().strip()
        shutil.copytree(source, images / source.name, copy_function=os.link)
        (images / "names/default").write_text(source.name + "\n")
        self.before = sorted(p.name for p in images.iterdir())

    def load(self, layout, name="im"):
        return self.rig.sbx("image", "load", str(layout.dir if isinstance(layout, Layout) else layout), "--name", name,
                            env=self.env)

    def root(self, name="im"):
        return self.cache / "images" / (self.cache / "images/names" / name).read_text().strip() / "root.img"

    def meta(self, name="im"):
        return json.loads((self.root(name).parent / "meta.json").read_text())

    def unpack(self, tmp, name="im"):
        out = tmp / "out"
        run = subprocess.run(["fsck.erofs", "-d1", f"--extract={out}", self.root(name)], capture_output=True, text=True)
        assert run.returncode == 0, run
        return out

    def nothing_made(self):
        """Nothing half-made stays, and no name means anything new."""
        names = sorted(p.name for p in (self.cache / "images").iterdir())
        assert [n for n in names if n not in (".lock", "build.log")] == self.before, names
        assert [p.name for p in (self.cache / "images/names").iterdir()] == ["default"]
