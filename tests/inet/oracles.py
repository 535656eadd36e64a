"""oracles.py - judges that know nothing of the product's inside: O1 secret scan, O5 record, O9 equality

O2 is World.since() and World.packets().
"""
import base64
import gzip
import json
import os
import pathlib
import re
import urllib.parse

# ---- O1 ----


def needles(secret):
    """Every form in which a secret could lie about: name → bytes."""
    raw = secret.encode() if isinstance(secret, str) else secret
    found = {"raw": raw, "reversed": raw[::-1], "hex": raw.hex().encode(), "HEX": raw.hex().upper().encode(),
             "percent": b"".join(b"%%%02X" % c for c in raw), "percent-lower": b"".join(b"%%%02x" % c for c in raw),
             "json-u": b"".join(b"\\u%04x" % c for c in raw), "utf16": raw.decode().encode("utf-16-le")}
    quoted = urllib.parse.quote(raw, safe="").encode()
    escaped = json.dumps(raw.decode())[1:-1].encode()
    found.update({"quoted": quoted} if quoted != raw else {}, **({"json": escaped} if escaped != raw else {}))
    for shift in range(3):  # the part of it that does not depend on what stands around it
        inside = base64.b64encode(b"x" * shift + raw)
        first = -(-shift * 8 // 6) if shift else 0
        last = (shift + len(raw)) * 8 // 6
        part = inside[first:last]
        found[f"base64-{shift}"] = part
        url = part.translate(bytes.maketrans(b"+/", b"-_"))
        if url != part:
            found[f"base64url-{shift}"] = url
    return found


def scan_bytes(data, forms):
    hits = [name for name, needle in forms.items() if needle in data]
    for at in (m.start() for m in re.finditer(b"\x1f\x8b\x08", data[:8 << 20])):
        try:
            inner = gzip.decompress(data[at:at + (1 << 20)])
        except Exception:  # noqa: BLE001 - random bytes that look like gzip
            continue
        hits += [f"gzip {name}" for name, needle in forms.items() if needle in inner]
    return hits


def scan_file(path, forms, block=8 << 20):
    """Hits in one file, which may be large and sparse."""
    hits, tail = set(), b""
    keep = max(map(len, forms.values())) - 1
    with open(path, "rb") as f:
        size = os.fstat(f.fileno()).st_size
        at = 0
        while at < size:
            try:
                data_at = os.lseek(f.fileno(), at, os.SEEK_DATA)
            except OSError:
                break  # nothing but a hole
            if data_at > at:
                tail = b""
            at = data_at
            part = os.pread(f.fileno(), block, at)
            if not part:
                break
            hits.update(n for n, needle in forms.items() if needle in tail + part)
            tail, at = part[-keep:], at + len(part)
    return sorted(hits)


def scan_tree(top, forms, skip=()):
    """Hits in all files below @top: path → forms; names of files count too."""
    found = {}
    for where, dirs, files in os.walk(top):
        for name in files:
            path = os.path.join(where, name)
            if os.path.basename(path) in skip or not os.path.isfile(path) or os.path.islink(path):
                continue
            hits = scan_file(path, forms)
            if hits:
                found[path] = hits
    return found


def scan_process(pid, forms):
    """Hits in the memory, the environment and the command line of a process; -1 bytes: not readable."""
    hits, seen = set(), 0
    for name in ("environ", "cmdline"):
        try:
            data = pathlib.Path(f"/proc/{pid}/{name}").read_bytes()
        except OSError:
            continue
        hits.update(f"{name} {h}" for h in scan_bytes(data, forms))
    keep = max(map(len, forms.values())) - 1
    with open(f"/proc/{pid}/mem", "rb", 0) as mem:
        for line in pathlib.Path(f"/proc/{pid}/maps").read_text().splitlines():
            first, last = (int(x, 16) for x in line.split()[0].split("-"))
            if "r" not in line.split()[1] or line.endswith(("[vvar]", "[vsyscall]")):
                continue
            tail, at = b"", first
            while at < last:
                try:
                    data = os.pread(mem.fileno(), min(8 << 20, last - at), at)
                except OSError:
                    break
                if not data:
                    break
                seen += len(data)
                hits.update(f"memory {n}" for n, needle in forms.items() if needle in tail + data)
                tail, at = data[-keep:], at + len(data)
    return sorted(hits), seen


def descendants(pid):
    """The process and everything below it."""
    table = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                text = pathlib.Path("/proc", entry, "stat").read_text(errors="replace")
            except OSError:
                continue
            table[int(entry)] = int(text[text.rindex(")") + 2:].split()[1])
    found = [pid]
    for one in found:
        found += [p for p, parent in table.items() if parent == one]
    return found


# ---- O5 ----


def one_decision(records, decision, **wanted):
    """Exactly one record of that decision, with these members."""
    fits = [r for r in records if r.decision == decision and all(getattr(r, k) == v for k, v in wanted.items())]
    assert len(fits) == 1, f"{len(fits)} records of {decision} {wanted} in {records}"
    return fits[0]


# ---- O9 ----


def vectors_equal(vectors):
    """@vectors: way → {request: verdict}; all must be the same."""
    ways = list(vectors)
    for way in ways[1:]:
        differing = {k: (vectors[ways[0]][k], vectors[way].get(k)) for k in vectors[ways[0]]
                     if vectors[ways[0]][k] != vectors[way].get(k)}
        assert not differing, f"{ways[0]} and {way} differ: {differing}"
