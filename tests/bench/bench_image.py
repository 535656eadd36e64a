"""bench_image.py - how fast a layer becomes a root image, in processor time of one core, and in how much memory

The layer is what the default image holds, some 600 MB: raw, gzip, zstd. The figure is uncompressed data over the time
that sbx and its worker had a processor for, digests of what came and of what was written included.
"""
import json
import os
import pathlib
import shutil
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
import rig as rigs  # noqa: E402
from layouts import Store, sha  # noqa: E402

RATE, MEMORY = 150, 64  # MB/s, MiB
PACKERS = {"raw": ["cat"], "gzip": ["gzip", "-1c"], "zstd": ["zstd", "-qc"]}


def layout(where, layer, pack, diff_id):
    """An OCI layout around one packed layer."""
    blobs = where / "blobs/sha256"
    blobs.mkdir(parents=True)
    with open(layer, "rb") as source, open(where / "blob", "wb") as out:
        subprocess.run(PACKERS[pack], stdin=source, stdout=out, check=True)

    def keep(data):
        (blobs / sha(data)[7:]).write_bytes(data)
        return {"digest": sha(data), "size": len(data)}
    size = (where / "blob").stat().st_size
    digest = subprocess.run(["sha256sum", where / "blob"], check=True, capture_output=True).stdout[:64].decode()
    (where / "blob").rename(blobs / digest)
    kind = "application/vnd.oci.image."
    config = keep(json.dumps({"os": "linux", "architecture": "amd64", "config": {},
                              "rootfs": {"type": "layers", "diff_ids": [diff_id]}}).encode())
    manifest = keep(json.dumps({"schemaVersion": 2, "config": {"mediaType": kind + "config.v1+json", **config}, "layers": [
        {"mediaType": kind + "layer.v1.tar" + {"raw": ""}.get(pack, "+" + pack), "digest": "sha256:" + digest,
         "size": size}]}).encode())
    (where / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [
        {"mediaType": kind + "manifest.v1+json", **manifest}]}))
    (where / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')


def load(rig, store, where):
    """Processor seconds and the most memory of `sbx image load` and all below it."""
    argv = [str(rigs.SBX), "image", "load", "-q", str(where), "--name", "bench-x"]
    env = {**rig.env, "SBX_CACHE_DIR": str(store.cache)}
    pid = os.posix_spawn(argv[0], argv, env, file_actions=[(os.POSIX_SPAWN_OPEN, 1, "/dev/null", os.O_WRONLY, 0)])
    _pid, status, used = os.wait4(pid, 0)
    if status:
        raise SystemExit(f"bench: sbx image load ended with {status}")
    return used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


def run(runs, record):
    rig = rigs.Rig()
    try:
        store = Store(rig, rig.base / "cache")
        root = store.root("default")
        layer = rig.base / "layer.tar"
        with open(layer, "wb") as out:
            subprocess.run(["sqfs2tar", root], stdout=out, check=True)
        size = layer.stat().st_size
        diff_id = "sha256:" + subprocess.run(["sha256sum", layer], check=True, capture_output=True).stdout[:64].decode()
        most = 0
        for pack in PACKERS:
            where = rig.base / pack
            where.mkdir()
            layout(where, layer, pack, diff_id)
            rates = []
            for _ in range(max(3, min(runs, 5))):
                seconds, memory = load(rig, store, where)
                rates.append(size / 1e6 / seconds)
                most = max(most, memory)
            record(f"image of a layer, {pack}", rates, "MB/s of a core", at_least=RATE, bytes=size)
            shutil.rmtree(where)
        record("image of a layer, most memory", most, "MiB", target=MEMORY)
    finally:
        left = rig.close()
    if left:
        print("bench: left behind:", *left, sep="\n  ", file=sys.stderr)
