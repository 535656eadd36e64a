"""A terminal: through a real pty, as a person sits before it.

Two things that a person does without thinking, and a test must be told:
- A joined session replays what was there before. A word that an earlier line printed is no answer to
  the line just typed: ask() waits for a word that was never typed before.
- A key means what the terminal's mode of that moment says. An end-of-file key typed before the
  shell's line editor is at work is lost, as it is on any Linux terminal: first the prompt, then keys.
"""
import itertools
import os
import re
import signal
import termios
import time

import pexpect
import pytest

from rig import SBX, assert_printable

PROMPT = r"[$#] "
DETACH = "\x1c"
COUNT = itertools.count(1)


def spawn(rig, *args, rows=24, cols=80):
    return pexpect.spawn(str(SBX), [str(a) for a in args], env=rig.env, cwd=str(rig.base), timeout=30,
                         dimensions=(rows, cols), encoding="utf-8", codec_errors="replace")


def end(child):
    child.close(force=True)


def ask(child, line=":", show=""):
    """Type a line to the shell and wait until it was carried out; returns what `show` is after it."""
    number = next(COUNT)
    # The echo of what is typed does not hold the word that is waited for.
    child.sendline(f"{line}; echo an''swer{number}\"<{show}>\"")
    child.expect(f"answer{number}<([^>]*)>")
    return child.match.group(1)


def wait_for_size(child, wanted):
    """A new size takes its way to the inside while the terminal's bytes do."""
    deadline = time.monotonic() + 20
    while (size := ask(child, show="$(stty size)")) != wanted:
        assert time.monotonic() < deadline, f"{size}, not {wanted}"


def test_size_and_resize(box):
    child = spawn(box.rig, "exec", "-it", box.name, "--", "bash", "--norc", rows=31, cols=97)
    try:
        child.expect(PROMPT)
        assert ask(child, show="$(stty size)") == "31 97"
        child.setwinsize(50, 133)
        wait_for_size(child, "50 133")
        child.sendline("for i in $(seq 40); do :; done")
        for i in range(40):
            child.setwinsize(20 + i, 80 + i)
        wait_for_size(child, "59 119")
        child.sendline("exit 9")
        child.expect(pexpect.EOF)
        child.wait()
        assert child.exitstatus == 9
    finally:
        end(child)


def in_foreground(child):
    """A command that says when it has the terminal, and then waits for a key."""
    number = next(COUNT)
    child.sendline(f"sh -c 'echo wait\"\"ing{number}; exec sleep 1000'")
    child.expect(f"waiting{number}\r\n")


def test_ctrl_c_and_ctrl_z(box):
    child = spawn(box.rig, "exec", "-it", box.name, "--", "bash", "--norc")
    try:
        child.expect(PROMPT)
        in_foreground(child)
        child.sendcontrol("c")
        child.expect(PROMPT)
        assert ask(child, "S=$?", "$S") == "130"
        in_foreground(child)
        child.sendcontrol("z")
        child.expect("Stopped")
        ask(child, "kill %1; wait %1")
        child.expect(PROMPT)
        child.sendcontrol("d")
        child.expect(pexpect.EOF)
    finally:
        end(child)


def test_the_terminal_is_as_before(box):
    """Raw mode ends with the command, also when it is killed inside or sbx gets a signal."""
    for how in ("exit", "TERM", "killed inside"):
        child = spawn(box.rig, "exec", "-it", box.name, "--", "bash", "--norc")
        try:
            before = None
            child.expect(PROMPT)
            raw = termios.tcgetattr(child.child_fd)
            assert not raw[3] & termios.ICANON, "the terminal is raw while attached"
            if how == "exit":
                child.sendline("exit")
            elif how == "TERM":
                os.kill(child.pid, signal.SIGTERM)
            else:
                child.sendline("kill -9 $$")
            child.expect(pexpect.EOF)
            before = termios.tcgetattr(child.child_fd) if not child.closed else None
            assert before is None or before[3] & termios.ICANON, how
        finally:
            end(child)


def test_a_command_s_status_through_a_terminal(box):
    child = spawn(box.rig, "exec", "-t", box.name, "--", "sh", "-c", "tty; exit 42")
    child.expect("/dev/pts/")
    child.expect(pexpect.EOF)
    child.wait()
    assert child.exitstatus == 42
    end(child)


@pytest.fixture(scope="module")
def agent_box(rig, image):
    """A sandbox whose agent is an interactive shell; made by the first `run`."""
    folder = rig.new_dir("project")
    return folder


def run_agent(rig, folder, *more):
    return spawn(rig, "run", "--cpus", "2", "--memory", "1g", "--name", "agent-box", *more, "shell", folder)


def reattach(rig, *more):
    return spawn(rig, "run", *more, "--name", "agent-box")


def test_run_detach_and_attach_again(rig, agent_box):
    child = run_agent(rig, agent_box)
    try:
        child.expect(PROMPT, timeout=120)
        ask(child, "X=kept")
        child.send(DETACH)
        child.expect(pexpect.EOF)
        child.wait()
        assert child.exitstatus == 0
    finally:
        end(child)
    assert rig.boxes()["agent-box"]["status"] == "running"
    child = reattach(rig)
    try:
        child.expect(PROMPT)
        assert ask(child, show="$X") == "kept"
        child.send(DETACH)
        child.expect(pexpect.EOF)
    finally:
        end(child)


def test_a_closed_terminal_detaches(rig, agent_box):
    """The window is closed while raw: the agent goes on, the client ends."""
    child = reattach(rig)
    child.expect(PROMPT)
    ask(child, "Y=closed")
    pid = child.pid
    child.ptyproc.fileobj.close()  # hang-up, as when a window closes
    child.closed = child.ptyproc.closed = True  # its number is soon somebody else's
    deadline = time.monotonic() + 10
    while True:
        gone, _status = os.waitpid(pid, os.WNOHANG)
        if gone:
            break
        assert time.monotonic() < deadline, "sbx does not notice that its terminal has gone"
        time.sleep(0.1)
    again = reattach(rig)
    try:
        again.expect(PROMPT)
        assert ask(again, show="$Y") == "closed"
        again.send(DETACH)
        again.expect(pexpect.EOF)
    finally:
        end(again)


def test_a_second_client_takes_over(rig, agent_box):
    first = reattach(rig)
    first.expect(PROMPT)
    ask(first)
    second = reattach(rig)
    try:
        first.expect(pexpect.EOF)
        second.expect(PROMPT)
        ask(second)
        second.send(DETACH)
        second.expect(pexpect.EOF)
    finally:
        end(first)
        end(second)


def test_kill_of_the_client_and_the_daemon_keeps_the_agent(rig, agent_box):
    child = reattach(rig)
    child.expect(PROMPT)
    ask(child, "Z=alive")
    os.kill(child.pid, signal.SIGKILL)
    os.kill(rig.daemon_pid(), signal.SIGKILL)
    end(child)
    again = reattach(rig)
    try:
        again.expect(PROMPT)
        assert ask(again, show="$Z") == "alive"
        again.sendline("exit 17")
        again.expect(pexpect.EOF)
        again.wait()
        assert again.exitstatus == 17
    finally:
        end(again)


def test_running_again_starts_the_agent_again(rig, agent_box):
    child = reattach(rig)
    try:
        child.expect(PROMPT, timeout=60)
        assert ask(child, show="$X") == ""
        child.sendline("exit")
        child.expect(pexpect.EOF)
    finally:
        end(child)


def test_own_detach_keys(rig, agent_box):
    child = reattach(rig, "--detach-keys", "ctrl-p,ctrl-q")
    try:
        child.expect(PROMPT, timeout=60)
        child.send("\x10\x11")
        child.expect(pexpect.EOF)
        child.wait()
        assert child.exitstatus == 0
    finally:
        end(child)


def test_no_terminal_at_all(rig, agent_box):
    """The same verb in a pipe: no raw mode, no escape sequences of ours, the agent's own output."""
    run = rig.sbx("run", "--name", "agent-box", "--", "-c", "true")
    assert run.code == 125 and "already" in run.errors, run  # detached by the test before, it runs on
    rig.sbx("exec", "agent-box", "--", "pkill", "-9", "-x", "bash")
    deadline = time.monotonic() + 20
    while True:
        run = rig.sbx("run", "--name", "agent-box", "--", "-c", "echo in a pipe; echo apart >&2; exit 3",
                      timeout=60)
        if run.code != 125 or "already" not in run.errors:
            break
        assert time.monotonic() < deadline, run  # it is killed, but not yet gone
        time.sleep(0.1)
    assert run.code == 3 and b"in a pipe\n" in run.out, run
    assert_printable(run.err)
    run = rig.sbx("exec", "-t", "agent-box", "--", "true")
    assert run.code != 0 and re.search("terminal", run.errors), run
