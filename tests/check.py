#!/usr/bin/python3
"""check.py - run every step of `make check` and sum up what they counted

Two lanes share the machine: one builds and then boots sandboxes (it mostly waits), the other one,
at a lower priority, runs lints, sanitizer builds and the second compiler. Each step writes its
log to build-check/log/STEP; a failed step's log tail is printed. The last line is the sum:
    N passed, N failed, N skipped
Exit status 1 when anything failed or nothing ran. `--only STEP[,STEP…]` runs a part.
"""
import argparse
import hashlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import threading
import time
import xml.etree.ElementTree as ElementTree

ROOT = pathlib.Path(__file__).resolve().parent.parent
OUT = ROOT / "build-check"
LOGS = OUT / "log"
PYTHON = "/usr/bin/python3"
SANITIZER = {"ASAN_OPTIONS": "abort_on_error=1:detect_stack_use_after_return=1",
             "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1",
             "TSAN_OPTIONS": "halt_on_error=1"}
LINTS = ["layers", "headers", "names", "format", "shell", "spelling"]


def tree(name):
    """Where a build is: beside `build`, since programs find the source tree two levels up."""
    return ROOT / f"build-{name}"


class Count:
    """What a step found. Skips and failures are (name, reason)."""

    def __init__(self):
        self.passed = 0
        self.failed = []
        self.skipped = []

    def add(self, other):
        self.passed += other.passed
        self.failed += other.failed
        self.skipped += other.skipped


# ---- how results are read ------------------------------------------------------------------

CMOCKA = re.compile(r"^\[ *(OK|FAILED|SKIPPED|ERROR) *\] (\S+)$")


def count_cmocka(name, text):
    """The cases of one cmocka program, from its ordinary output. A skip's reason is the last
    line before it that begins with `skip: `."""
    count = Count()
    failed, skipped = {}, {}
    reason = "no reason given"
    for line in text.splitlines():
        if line.startswith("skip: "):
            reason = line[6:]
        found = CMOCKA.match(line)
        if not found or found[2].isdigit():
            continue
        case = f"{name}: {found[2]}"
        if found[1] == "OK":
            count.passed += 1
        elif found[1] == "SKIPPED":
            skipped.setdefault(case, reason)
        else:
            failed[case] = "failed"
    count.failed = list(failed.items())
    count.skipped = [(k, v) for k, v in skipped.items() if k not in failed]
    return count


def count_meson(build, prefix):
    """Every test program of one meson run: cmocka cases one by one, others as one each."""
    total = Count()
    log = build / "meson-logs/testlog.json"
    lines = log.read_text().splitlines() if log.exists() else []
    for line in lines:
        run = json.loads(line)
        name = f"{prefix} {run['name'].split(' / ')[-1].split(':')[-1]}"
        text = (run.get("stdout") or "") + "\n" + (run.get("stderr") or "")
        count = count_cmocka(name, text)
        if run["result"] == "SKIP":
            reason = re.search(r"^skip: (.*)$", text, re.M)
            count.skipped.append((name, reason[1] if reason else "no reason given"))
        elif run["result"] not in ("OK", "EXPECTEDFAIL") and not count.failed:
            count.failed.append((name, run["result"].lower() + "\n" + text[-3000:]))
        elif not (count.passed or count.failed or count.skipped):
            count.passed = 1
        total.add(count)
    return total


def count_junit(path):
    count = Count()
    for case in ElementTree.parse(path).getroot().iter("testcase"):
        name = f"{case.get('classname', '').split('.')[-1]}: {case.get('name')}"
        bad = case.find("failure")
        if bad is None:
            bad = case.find("error")
        skip = case.find("skipped")
        if bad is not None:
            count.failed.append((name, (bad.get("message") or "")[:400]))
        elif skip is not None:
            count.skipped.append((name, skip.get("message") or "no reason given"))
        else:
            count.passed += 1
    return count


def count_tap(text, name):
    """The lines `ok …`, `not ok …` and `… # SKIP reason` of a program that tests itself."""
    count = Count()
    for found in re.finditer(r"^(not )?ok\b[ \d]*-? *(.*?)(?: # [Ss][Kk][Ii][Pp]\S*:? *(.*))?$", text, re.M):
        case = f"{name}: {found[2]}"
        if found[3] is not None:
            count.skipped.append((case, found[3]))
        elif found[1]:
            count.failed.append((case, "not ok"))
        else:
            count.passed += 1
    return count


# ---- steps -----------------------------------------------------------------------------------

class Step:
    """One command, or several, with a log. run() returns a Count; `needs` must have passed."""

    def __init__(self, name, work, needs=(), nice=None):
        self.name, self.work, self.needs = name, work, needs
        self.nice = nice  # None: as its lane
        self.count = Count()
        self.seconds = 0.0
        self.ok = False
        self.done = threading.Event()


class Runner:
    def __init__(self, nice):
        self.nice = nice
        self.log = None

    def sh(self, *argv, env=None, limit=1200, cwd=ROOT):
        """Run one command with its output in the step's log; returns its exit status."""
        self.log.write(("$ " + " ".join(map(str, argv)) + "\n").encode())
        self.log.flush()
        full = {**os.environ, "LC_ALL": "C.UTF-8", **SANITIZER, **(env or {})}
        # under nohup the tests of hang-ups would find SIGHUP ignored
        argv = ["env", "--default-signal=HUP", "nice", "-n", str(self.nice), *map(str, argv)]
        try:
            return subprocess.run(argv, cwd=cwd, env=full, stdin=subprocess.DEVNULL,
                                  stdout=self.log, stderr=subprocess.STDOUT, timeout=limit).returncode
        except subprocess.TimeoutExpired:
            self.log.write(f"\nno end within {limit} s\n".encode())
            return 124


def one(name, ok, reason="see the log"):
    count = Count()
    if ok:
        count.passed = 1
    else:
        count.failed.append((name, reason))
    return count


def build_step(name, compiler, *options, targets=()):
    """Configure (once) and compile. Warnings are errors by meson.build, except under a sanitizer,
    whose added code makes gcc warn of paths that are not there."""
    def work(run):
        where = tree(name)
        if not (where / "build.ninja").exists():
            shutil.rmtree(where, ignore_errors=True)
            if run.sh("meson", "setup", where, *options, env={"CC": compiler}):
                return one(f"build {name}", False)
        return one(f"build {name}", run.sh("ninja", "-C", where, *targets) == 0)
    return work


def test_step(name, suites, env=None):
    def work(run):
        where = tree(name)
        log = where / "meson-logs/testlog.json"
        log.unlink(missing_ok=True)
        args = [a for s in suites for a in ("--suite", s)]
        code = run.sh("meson", "test", "-C", where, "--print-errorlogs", *args, env=env)
        count = count_meson(where, name)
        if code and not count.failed:
            count.failed.append((f"{name}: meson test", f"exit status {code}"))
        return count
    return work


def tsan_step(run):
    """Only the tests that have threads (suite tsan) are built and run with ThreadSanitizer."""
    where = tree("tsan")
    listed = subprocess.run(["meson", "test", "-C", tree("gcc"), "--no-rebuild", "--list", "--suite", "tsan"],
                            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    if listed.returncode:
        count = Count()
        count.skipped.append(("tsan", "no test is in the suite tsan"))
        return count
    if not (where / "build.ninja").exists():
        if run.sh("meson", "setup", where, "-Db_sanitize=thread", "-Db_lundef=false", "-Dwerror=false", env={"CC": "clang"}):
            return one("build tsan", False)
    return test_step("tsan", ["tsan"])(run)


def lint_step(run):
    total = Count()
    for lint in LINTS:
        at = run.log.tell()
        code = run.sh(ROOT / "scripts" / f"check-{lint}", limit=240)
        if code == 77:
            said = (LOGS / "lints").read_bytes()[at:].decode(errors="replace")
            reason = re.search(r"^skip: (.*)$", said, re.M)
            total.skipped.append((f"lint {lint}", reason[1] if reason else "no reason given"))
        else:
            total.add(one(f"lint {lint}", code == 0, f"scripts/check-{lint}"))
    return total


def pytest_step(name, where, limit, env=None, without=()):
    def work(run):
        xml = OUT / f"{name}.xml"
        xml.unlink(missing_ok=True)
        code = run.sh(PYTHON, "-m", "pytest", "-q", "-rs", "--durations=15", "-p", "no:cacheprovider", "--junitxml", xml,
                      *(f"--ignore={ROOT / w}" for w in without), ROOT / where, limit=limit,
                      env={"SBX_TEST_BUILD": str(tree("gcc")), **(env or {})})
        count = count_junit(xml) if xml.exists() else Count()
        if code not in (0, 1) or (code and not count.failed):
            count.failed.append((name, f"pytest ended with status {code}"))
        return count
    return work


def jail_step(run):
    """Each jailed program closes its jail and tries what must not be possible from inside."""
    total = Count()
    for program in ("machine", "front", "vault"):
        at = run.log.tell()
        code = run.sh(tree("gcc") / f"src/sbx-{program}", "--selftest-jail", limit=120)
        said = (LOGS / "jail").read_bytes()[at:].decode(errors="replace")
        count = count_tap(said, "jail")
        if code and not count.failed:
            count.failed.append((f"jail self-test of sbx-{program}", f"exit status {code}"))
        if not code and not count.passed:
            count.failed.append((f"jail self-test of sbx-{program}", "it tried nothing"))
        total.add(count)
    return total


def image_stamp(cache):
    """What the default image in the cache was made from, and its id; None when it is not there."""
    try:
        image = (cache / "images/names/default").read_text().strip()
        recipe = hashlib.sha256(b"".join(p.read_bytes() for p in sorted((ROOT / "scripts").glob("image-*"))))
        return f"{recipe.hexdigest()} {image}" if (cache / "images" / image / "meta.json").exists() else None
    except OSError:
        return None


def image_step(run):
    """The default image, made once and kept in the cache that the sandboxes of the tests share. Whether
    there are newer packages is asked once for each state of the recipe: that takes longer than most tests."""
    cache = pathlib.Path(test_env()["SBX_CACHE_DIR"])
    checked = cache / "images/checked"
    stamp = image_stamp(cache)
    if stamp and checked.exists() and checked.read_text() == stamp:
        run.log.write(b"the image is there, made from this recipe\n")
        return one("default image", True)
    code = run.sh(tree("gcc") / "src/sbx", "image", "build", limit=900, env=test_env())
    stamp = image_stamp(cache)
    if code == 0 and stamp:
        checked.write_text(stamp)
    return one("default image", code == 0)


def test_env():
    cache = os.environ.get("SBX_CACHE_DIR") or str(pathlib.Path.home() / ".cache/sbx")
    return {"SBX_CACHE_DIR": cache, "SBX_STATE_DIR": str(OUT / "state"), "NO_COLOR": "1"}


KILLS = "tests/scenario/test_kill_loop.py"


def lanes():
    """The front lane is as long as the sandboxes that it boots one after the other; what it does not
    need stands in the back lane, the kill loop included, which mostly waits for boots of its own."""
    front = [
        Step("build gcc", build_step("gcc", "gcc")),
        Step("image", image_step, ["build gcc"]),
        Step("scenario", pytest_step("scenario", "tests/scenario", 3600, without=[KILLS]), ["image"]),
        Step("redteam", pytest_step("redteam", "tests/redteam", 1500), ["image"]),
    ]
    back = [
        Step("lints", lint_step),
        Step("lint tests", pytest_step("lint", "tests/lint", 120)),
        Step("unit", test_step("gcc", ["unit", "fuzz"]), ["build gcc"], nice=0),
        Step("jail", jail_step, ["build gcc"]),
        Step("build asan", build_step("asan", "gcc", "-Db_sanitize=address,undefined", "-Dwerror=false",
                                      "-Doptimization=1")),
        Step("unit asan", test_step("asan", ["unit", "fuzz"]), ["build asan"]),
        Step("build clang", build_step("clang", "clang")),
        Step("unit tsan", tsan_step, ["build gcc"]),
        Step("kills", pytest_step("kills", KILLS, 1200), ["image"], nice=0),
    ]
    return front, back


# ---- running and summing -----------------------------------------------------------------------

PRINT = threading.Lock()


def say(text):
    with PRINT:
        print(text, flush=True)


def run_step(step, steps, nice):
    run = Runner(nice if step.nice is None else step.nice)
    started = time.monotonic()
    path = LOGS / step.name.replace(" ", "-")
    for name in step.needs:
        if name in steps:
            steps[name].done.wait()
            if not steps[name].ok:
                step.count.failed.append((step.name, f"not run: '{name}' failed"))
                step.done.set()
                say(f"  {step.name:<12} not run, '{name}' failed")
                return
    with open(path, "w+b") as run.log:
        try:
            step.count = step.work(run)
        except (OSError, ValueError, ElementTree.ParseError) as fault:
            step.count = one(step.name, False, f"{type(fault).__name__}: {fault}")
    step.seconds = time.monotonic() - started
    step.ok = not step.count.failed
    step.done.set()
    c = step.count
    say(f"  {step.name:<12} {step.seconds:6.1f} s  {c.passed} passed, {len(c.failed)} failed, "
        f"{len(c.skipped)} skipped" + ("" if step.ok else f"   log: {path.relative_to(ROOT)}"))


def run_lane(lane, steps, nice):
    for step in lane:
        run_step(step, steps, nice)


REPORT_LINES = 600  # of pytest's failures with what the sandboxes said
TAIL_LINES = 60


def excerpt(text):
    """What of a failed step's log is shown: pytest's failures from their heading on, and its end."""
    lines = text.splitlines()
    heads = [i for i, line in enumerate(lines) if re.match(r"=+ (FAILURES|ERRORS) =+$", line)]
    end = max(0, len(lines) - TAIL_LINES)
    if not heads or heads[0] >= end:
        return lines[end:]
    shown = lines[heads[0]:min(heads[0] + REPORT_LINES, end)]
    left_out = end - heads[0] - len(shown)
    return shown + ([f"... {left_out} lines ..."] if left_out else []) + lines[end:]


def report(steps, seconds):
    total = Count()
    for step in steps:
        total.add(step.count)
    for name, reason in total.skipped:
        say(f"skipped: {name}: {reason}")
    for step in steps:
        if not step.count.failed:
            continue
        for name, reason in step.count.failed:
            say(f"FAILED: {step.name}: {name}: {reason}")
        path = LOGS / step.name.replace(" ", "-")
        if path.exists():
            text = "\n".join(excerpt(path.read_text(errors="replace")))
            say(f"--- of {path.relative_to(ROOT)}\n{text}\n---")
    say(f"took {seconds:.0f} s")
    say(f"{total.passed} passed, {len(total.failed)} failed, {len(total.skipped)} skipped")
    return 1 if total.failed or not total.passed else 0


def main():
    options = argparse.ArgumentParser(description="run the tests and sum them up")
    options.add_argument("--only", help="comma-separated names of steps")
    wanted = options.parse_args().only
    os.chdir(ROOT)
    LOGS.mkdir(parents=True, exist_ok=True)
    front, back = lanes()
    if wanted:
        names = [n.strip() for n in wanted.split(",")]
        unknown = set(names) - {s.name for s in front + back}
        if unknown:
            say(f"no such step: {', '.join(sorted(unknown))}; there are: "
                + ", ".join(s.name for s in front + back))
            return 2
        front = [s for s in front if s.name in names]
        back = [s for s in back if s.name in names]
    steps = {s.name: s for s in front + back}
    started = time.monotonic()
    second = threading.Thread(target=run_lane, args=(back, steps, 10))
    second.start()
    run_lane(front, steps, 0)
    second.join()
    return report(front + back, time.monotonic() - started)


if __name__ == "__main__":
    sys.exit(main())
