"""The sum is what people believe: each way of counting is held against what the tools print."""
import importlib.util
import json
import pathlib

import pytest

SPEC = importlib.util.spec_from_file_location(
    "check", pathlib.Path(__file__).resolve().parent.parent / "check.py")
check = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(check)

CMOCKA = """[==========] Running 4 test(s).
[ RUN      ] test_a
[       OK ] test_a
[ RUN      ] test_b
skip: there is no moon
[  SKIPPED ] test_b
[ RUN      ] test_c
[  ERROR   ] --- 1 != 2
[   LINE   ] --- x.c:1: error: Failure!
[  FAILED  ] test_c
[ RUN      ] test_d
[       OK ] test_d
[==========] 4 test(s) run.
[  PASSED  ] 2 test(s).
[  SKIPPED ] 1 test(s), listed below:
[  SKIPPED ] test_b
[  FAILED  ] 1 test(s), listed below:
[  FAILED  ] test_c
"""


def test_cmocka():
    count = check.count_cmocka("x", CMOCKA)
    assert (count.passed, [n for n, _ in count.failed]) == (2, ["x: test_c"])
    assert count.skipped == [("x: test_b", "there is no moon")]


def meson(tmp_path, *runs):
    (tmp_path / "meson-logs").mkdir()
    (tmp_path / "meson-logs/testlog.json").write_text("".join(json.dumps(r) + "\n" for r in runs))
    return check.count_meson(tmp_path, "gcc")


@pytest.mark.parametrize("run, passed, failed, skipped", [
    ({"name": "a", "result": "OK", "stdout": CMOCKA.split("[==========] 4")[0].replace("[  FAILED  ]", "[       OK ]")}, 3, 0, 1),
    ({"name": "a", "result": "FAIL", "stdout": CMOCKA}, 2, 1, 1),
    ({"name": "sbx:fuzz / frames", "result": "OK", "stdout": "24 inputs replayed\n"}, 1, 0, 0),
    # it crashed after its second case: what passed counts, and the crash counts
    ({"name": "a", "result": "FAIL", "stdout": "[       OK ] test_a\n[       OK ] test_b\n"}, 2, 1, 0),
    ({"name": "a", "result": "TIMEOUT", "stdout": ""}, 0, 1, 0),
    ({"name": "a", "result": "SKIP", "stdout": "skip: no reason to run\n"}, 0, 0, 1),
    ({"name": "a", "result": "ERROR", "stderr": "not a program"}, 0, 1, 0),
])
def test_meson(tmp_path, run, passed, failed, skipped):
    count = meson(tmp_path, run)
    assert (count.passed, len(count.failed), len(count.skipped)) == (passed, failed, skipped)


def test_no_log_counts_nothing(tmp_path):
    count = check.count_meson(tmp_path, "gcc")
    assert (count.passed, count.failed, count.skipped) == (0, [], [])


def test_junit(tmp_path):
    path = tmp_path / "x.xml"
    path.write_text('<testsuites><testsuite><testcase classname="a.b" name="one"/>'
                    '<testcase classname="a.b" name="two"><failure message="no">x</failure></testcase>'
                    '<testcase classname="a.b" name="three"><skipped message="why not"/></testcase>'
                    '<testcase classname="a.b" name="four"><error message="setup"/></testcase>'
                    '</testsuite></testsuites>')
    count = check.count_junit(path)
    assert (count.passed, count.failed, count.skipped) == (
        1, [("b: two", "no"), ("b: four", "setup")], [("b: three", "why not")])


def test_tap():
    count = check.count_tap("1..4\nok 1 - open\nnot ok 2 - mount\nok 3 - bpf # SKIP the kernel has none\nok ptrace\n", "jail")
    assert (count.passed, [n for n, _ in count.failed]) == (2, ["jail: mount"])
    assert count.skipped == [("jail: bpf", "the kernel has none")]


def test_the_last_line_and_the_status(capsys):
    def step(passed, failed=(), skipped=()):
        made = check.Step("x", None)
        made.count.passed, made.count.failed, made.count.skipped = passed, list(failed), list(skipped)
        return made
    assert check.report([step(2), step(1, skipped=[("a", "b")])], 1) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[-1] == "3 passed, 0 failed, 1 skipped" and "skipped: a: b" in out
    assert check.report([step(2, failed=[("a", "b")])], 1) == 1
    assert check.report([step(0, skipped=[("a", "b")])], 1) == 1  # nothing ran


def test_image_is_asked_for_once(tmp_path, monkeypatch):
    """A second run finds the image without building; another recipe, or an image that is gone, builds."""
    asked = []

    class Run:
        def __init__(self):
            self.log = open(tmp_path / "log", "wb")

        def sh(self, *_argv, **_more):
            asked.append(1)
            (tmp_path / "images/names").mkdir(parents=True, exist_ok=True)
            (tmp_path / "images/aa").mkdir(exist_ok=True)
            (tmp_path / "images/aa/meta.json").write_text("{}")
            (tmp_path / "images/names/default").write_text("aa\n")
            return 0

    recipe = tmp_path / "root"
    (recipe / "scripts").mkdir(parents=True)
    (recipe / "scripts/image-build").write_text("one")
    monkeypatch.setattr(check, "ROOT", recipe)
    monkeypatch.setenv("SBX_CACHE_DIR", str(tmp_path))
    for expected in (1, 1):
        assert check.image_step(Run()).passed == 1
        assert len(asked) == expected
    (recipe / "scripts/image-build").write_text("two")
    assert check.image_step(Run()).passed == 1
    assert len(asked) == 2
    (tmp_path / "images/aa/meta.json").unlink()
    check.image_step(Run())
    check.image_step(Run())
    assert len(asked) == 3


def test_the_excerpt_of_a_failed_step():
    body = [f"line {i}" for i in range(check.REPORT_LINES + 200)]
    head = "=================================== FAILURES ==================================="
    plain = check.excerpt("\n".join(body))
    assert plain == body[-check.TAIL_LINES:]
    long = check.excerpt("\n".join(["dots"] * 5 + [head] + body))
    assert long[0] == head and long[-1] == body[-1] and long[-check.TAIL_LINES] == body[-check.TAIL_LINES]
    assert long[1:check.REPORT_LINES] == body[:check.REPORT_LINES - 1]
    assert long[check.REPORT_LINES] == "... 141 lines ..." and len(long) == check.REPORT_LINES + 1 + check.TAIL_LINES
    short = check.excerpt("\n".join([head] + body[:80]))
    assert short == [head] + body[:80]
    assert check.excerpt("\n".join(body[:10])) == body[:10]
