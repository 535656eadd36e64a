"""sbx cp: files go in and out unchanged, and nothing from inside is written anywhere else."""
import hashlib
import os
import pathlib
import stat

from rig import canaries, tree_hash


def test_200_megabytes_in_and_out(box):
    source = box.rig.base / "big"
    digest = hashlib.sha256()
    with open(source, "wb") as out:
        for _ in range(200):
            block = os.urandom(1 << 20)
            digest.update(block)
            out.write(block)
    box.rig.ok("cp", source, f"{box.name}:/tmp/big", timeout=240)
    assert box.ok("sha256sum /tmp/big", timeout=120).split()[0] == digest.hexdigest()
    back = box.rig.base / "back"
    box.rig.ok("cp", f"{box.name}:/tmp/big", back, timeout=240)
    assert hashlib.sha256(back.read_bytes()).hexdigest() == digest.hexdigest()
    box.ok("sudo rm /tmp/big")
    source.unlink()
    back.unlink()


def test_a_directory_there_and_back(box):
    top = box.rig.new_dir("tree")
    (top / "sub").mkdir()
    (top / "sub" / "run").write_text("#!/bin/sh\n")
    (top / "sub" / "run").chmod(0o755)
    (top / "ü name").write_bytes(bytes(range(256)))
    os.symlink("sub/run", top / "link")
    (top / "empty").mkdir()
    box.rig.ok("cp", top, f"{box.name}:/tmp/tree")
    assert box.ok("cd /tmp/tree && stat -c %a sub/run && readlink link && test -d empty && wc -c < 'ü name'") \
        == "755\nsub/run\n256\n"
    back = box.rig.base / "returned"
    box.rig.ok("cp", f"{box.name}:/tmp/tree", back)
    assert sorted(p.relative_to(back) for p in back.rglob("*")) == sorted(p.relative_to(top) for p in top.rglob("*"))
    assert (back / "ü name").read_bytes() == bytes(range(256))
    assert stat.S_IMODE((back / "sub" / "run").stat().st_mode) == 0o755


def test_into_an_existing_directory(box):
    file = box.rig.base / "one"
    file.write_text("1")
    box.ok("mkdir -p /tmp/dir")
    box.rig.ok("cp", file, f"{box.name}:/tmp/dir")
    assert box.ok("cat /tmp/dir/one") == "1"
    box.rig.ok("cp", file, f"{box.name}:/tmp/dir/two")
    assert box.ok("cat /tmp/dir/two") == "1"
    where = box.rig.new_dir()
    box.rig.ok("cp", f"{box.name}:/tmp/dir/two", where)
    assert (where / "two").read_text() == "1"


def test_what_cannot_be_copied_is_said(box):
    rig = box.rig
    rig.fails("cp", f"{box.name}:/no/such", rig.base)
    rig.fails("cp", rig.base / "no-such", f"{box.name}:/tmp/")
    rig.fails("cp", rig.base / "a", rig.base / "b")
    rig.fails("cp", f"{box.name}:/etc/passwd", f"{box.name}:/tmp/x")
    rig.fails("cp", f"{box.name}:relative", rig.base)
    rig.fails("cp", "no-box:/etc/passwd", rig.base)
    rig.fails("cp", f"{box.name}:/etc/passwd", rig.base / "no" / "parent")


def test_links_out_of_a_sandbox_stay_links(box):
    """FS-28: what comes out is unpacked beneath the destination, whatever it says."""
    outside = canaries(box.rig.base)
    before = tree_hash(outside)
    box.ok(f"rm -rf /tmp/evil; mkdir /tmp/evil; ln -s {outside} /tmp/evil/dir; ln -s /etc/shadow /tmp/evil/f;"
           f"ln -s ../../../../.. /tmp/evil/up; echo x > /tmp/evil/ok; mkfifo /tmp/evil/pipe")
    back = box.rig.base / "evil"
    run = box.rig.sbx("cp", f"{box.name}:/tmp/evil", back)
    assert run.code >= 0
    assert tree_hash(outside) == before
    if back.exists():
        for path in back.rglob("*"):
            assert not path.is_symlink() or path.name in ("dir", "f", "up")
            assert not stat.S_ISFIFO(path.lstat().st_mode)
    # a second copy over links that lead out must not write through them
    box.ok("rm /tmp/evil/dir && mkdir /tmp/evil/dir && echo overwritten > /tmp/evil/dir/secret")
    box.rig.sbx("cp", f"{box.name}:/tmp/evil/.", back)
    assert tree_hash(outside) == before


def test_set_id_bits_and_devices_do_not_come_out(box):
    box.root_ok("rm -rf /tmp/s; mkdir /tmp/s; cp /bin/true /tmp/s/suid; chmod 6755 /tmp/s/suid;"
                "mknod /tmp/s/null c 1 3; touch /tmp/s/plain")
    back = box.rig.base / "setid"
    box.rig.sbx("cp", f"{box.name}:/tmp/s", back)
    for path in pathlib.Path(back).rglob("*"):
        st = path.lstat()
        assert not st.st_mode & 0o6000
        assert not stat.S_ISCHR(st.st_mode) and not stat.S_ISBLK(st.st_mode)
        assert st.st_uid == os.getuid()
