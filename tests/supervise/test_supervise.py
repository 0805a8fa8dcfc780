"""The parent of a node: real nodes that hang, fail and end; systemd's socket; a parent that is killed."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from supervised import NODE, PATIENCE_S, ROOT, published, started, the_child, wait_until

from drivenet.supervise.parent import Parent

#: A parent with a child of a test's own, and short waits.
PARENT = """
import sys
from drivenet.supervise import parent, policy
from drivenet.backoff import Backoff
parent.Backoff = lambda: Backoff(0.01, 0.02)
sys.exit(parent.Parent(sys.argv[2:], [sys.executable, "-c", sys.argv[1]]).run())
"""
#: A node whose engine hangs on its 20th frame, once.
HANGING = """
import sys, time
from pathlib import Path
from drivenet import Pipeline, open_engine, open_source
from drivenet.cli.heartbeat import heart_of, tell_restarts
from drivenet.cli.signals import ended_by_signals
from drivenet.sinks.jsonl import JsonlSink
engine = open_engine(backend="null")
count, infer = 0, engine.infer
def hanging(image):
    global count
    count += 1
    if count == 20 and not Path("again").exists():
        Path("again").touch()
        time.sleep(1000)
    return infer(image)
engine.infer = hanging
run = Pipeline(open_source("synthetic://96x64@30"), engine, [JsonlSink("s.jsonl")])
tell_restarts(run)
with ended_by_signals(run), heart_of([run]):
    run.run()
"""


def test_a_node_that_is_frozen_is_started_again(tmp_path: Path) -> None:
    with started("-m", "drivenet", *NODE, "--stats", "s.jsonl", "--supervise", cwd=tmp_path) as parent:
        wait_until(
            lambda: (tmp_path / "s.jsonl").exists() and (tmp_path / "s.jsonl").read_bytes().count(b'"frame"') > 40
        )
        frozen = the_child(parent)
        os.kill(frozen, signal.SIGSTOP)
        wait_until(lambda: published(tmp_path / "s-2.jsonl"))
        parent.send_signal(signal.SIGINT)
        assert parent.wait(PATIENCE_S) == 0
        assert not Path(f"/proc/{frozen}").exists()
    assert "the node was ended: gave no sign of life" in (tmp_path / "err").read_text()


def test_a_node_whose_engine_hangs_is_started_again_and_says_so(tmp_path: Path) -> None:
    with started("-c", PARENT, HANGING, cwd=tmp_path) as parent:
        wait_until(lambda: published(tmp_path / "s-2.jsonl"))
        assert "the node was ended: its engine hung; restart 1" in (tmp_path / "err").read_text()
        assert "the node was ended: its engine hung" in (tmp_path / "s-2.jsonl").read_text()
        parent.terminate()
        parent.wait(PATIENCE_S)


@pytest.mark.parametrize("code", [0, 2, 3, 5])
def test_an_ending_that_is_final_is_the_parents_too(tmp_path: Path, code: int) -> None:
    with started("-c", PARENT, f"open('n', 'a').write('x'); raise SystemExit({code})", cwd=tmp_path) as parent:
        assert parent.wait(PATIENCE_S) == code
    assert (tmp_path / "n").read_text() == "x"


@pytest.mark.parametrize(("end", "code"), [("raise SystemExit(4)", 4), ("import os; os.kill(os.getpid(), 11)", 139)])
def test_a_node_that_never_comes_up_is_given_up_with_its_code_and_reason(tmp_path: Path, end: str, code: int) -> None:
    with started("-c", PARENT, f"open('n', 'a').write('x'); {end}", cwd=tmp_path) as parent:
        assert parent.wait(PATIENCE_S) == code
    assert (tmp_path / "n").read_text() == "x" * 6
    assert re.search(
        r"(exit code 4|SIGSEGV); started again too often within a minute, giving up", (tmp_path / "err").read_text()
    )


def test_a_wrong_option_is_the_nodes_to_refuse_and_help_is_help(tmp_path: Path) -> None:
    with started("-m", "drivenet", "run", "--supervise", "--polcy", "every", cwd=tmp_path) as parent:
        assert parent.wait(PATIENCE_S) == 2
    assert "--policy" in (tmp_path / "err").read_text()
    done = subprocess.run(
        [sys.executable, "-m", "drivenet", "run", "--supervise", "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "--supervise" in done.stdout


def test_a_check_that_fails_is_not_made_again(tmp_path: Path) -> None:
    """The null engine's pattern hides too little of a drive."""
    command = [sys.executable, "-m", "drivenet", "run", "--supervise", "--blur-check", "--blur", "vehicle"]
    how = {"cwd": tmp_path, "capture_output": True, "text": True, "env": {**os.environ, "PYTHONPATH": str(ROOT)}}
    told = subprocess.run([*command, "--backend", "null"], timeout=PATIENCE_S, **how)  # type: ignore[call-overload]
    assert told.returncode == 4
    assert told.stderr.count("leaves too much clear") == 1
    assert "started again" not in told.stderr


def test_a_node_ends_when_its_parent_is_killed(tmp_path: Path) -> None:
    with started("-m", "drivenet", *NODE, "--stats", "s.jsonl", "--supervise", cwd=tmp_path) as parent:
        wait_until(lambda: published(tmp_path / "s.jsonl"))
        child = the_child(parent)
        os.kill(parent.pid, signal.SIGKILL)
        wait_until(lambda: '"type":"summary"' in (tmp_path / "s.jsonl").read_text(), "it runs without a parent")
        wait_until(
            lambda: not Path(f"/proc/{child}").exists() or "\nState:\tZ" in Path(f"/proc/{child}/status").read_text()
        )


def test_a_signal_that_comes_just_before_the_child_is_there_reaches_it() -> None:
    """It was killed 8 s later instead."""
    ends_late = Parent([], [sys.executable, "-c", "import time; time.sleep(1000)"])
    ends_late._forward(signal.SIGTERM, None)
    assert ends_late.run() == 128 + signal.SIGTERM


def test_systemd_hears_ready_alive_how_it_is_and_the_end(tmp_path: Path) -> None:
    address = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as bus:
        bus.bind(address)
        bus.settimeout(PATIENCE_S)
        command = ("-m", "drivenet", *NODE, "--stats", "s.jsonl", "--supervise")
        heard: list[str] = []

        def until(text: str) -> None:
            while not any(text in line for line in heard):
                heard.append(bus.recv(4096).decode())

        with started(*command, cwd=tmp_path, NOTIFY_SOCKET=address, WATCHDOG_USEC="600000") as parent:
            until("READY=1")
            until("STATUS=ok")
            os.kill(the_child(parent), signal.SIGKILL)
            until("STATUS=ok, restart 1 (was killed by SIGKILL)")
            assert heard.count("READY=1") == 1
            assert heard.count("WATCHDOG=1") >= 2
            parent.terminate()
            until("STOPPING=1")
            assert parent.wait(PATIENCE_S) == 0


def test_the_parent_needs_nothing_that_may_fail_in_the_node(tmp_path: Path) -> None:
    with started("-m", "drivenet", *NODE, "--stats", "s.jsonl", "--supervise", cwd=tmp_path) as parent:
        wait_until(lambda: published(tmp_path / "s.jsonl"))
        maps = Path(f"/proc/{parent.pid}/maps").read_text()
        kilobytes = int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{parent.pid}/status").read_text())[1])  # type: ignore[index]
        parent.terminate()
        assert parent.wait(PATIENCE_S) == 0
    assert not re.search(r"numpy|cv2|onnxruntime|/av/|pydantic|yaml", maps)
    print(f"the parent has {kilobytes / 1024:.0f} MiB")
    assert kilobytes < 64 * 1024
