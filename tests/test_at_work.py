"""The interpreter ends while threads that nobody waits for are in a library of C++: an abort, where nothing is done."""

from __future__ import annotations

import subprocess
import sys
import threading
from importlib.util import find_spec

import pytest

from drivenet.at_work import AtWork
from drivenet.errors import EngineError

LONG_S = 100.0
INFER = "engine.infer(np.zeros((*engine.spec.input, 3), np.uint8))"
SEGMENT = "segmenter.segment(np.zeros((540, 960, 3), np.uint8))"
OPEN = 'open_engine("accurate", backend)'


def backend(name: str) -> str:
    if find_spec(name) is None:
        pytest.skip(f"{name} is not installed")
    return name


def run(program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=LONG_S)


def ended_at(call: str, setup: str) -> tuple[int, str]:
    """The exit code, 7 if all went well, and errors of a script that ends while a daemon thread calls something."""
    done = run(f"""
import threading, time
from pathlib import Path
import numpy as np
from drivenet import Segmenter, open_engine
{setup}
begun = threading.Event()
def work():
    while True:
        begun.set()
        {call}
threading.Thread(target=work, daemon=True).start()
begun.wait()
time.sleep(0.2)
raise SystemExit(7)
""")
    return done.returncode, done.stderr


@pytest.mark.parametrize("call", [INFER, SEGMENT, OPEN])
@pytest.mark.parametrize("name", ["onnxruntime", "openvino"])
def test_a_daemon_thread_that_infers_or_loads_does_not_abort_the_process(name: str, call: str) -> None:
    setup = f"""
backend = {backend(name)!r}
segmenter = Segmenter("fast", backend)
engine = segmenter.engine
"""
    assert ended_at(call, setup) == (7, "")


@pytest.mark.parametrize("call", ["read_model((str(file),), file)", "record.overlay()"])
def test_nor_does_one_that_reads_a_model_or_draws(call: str) -> None:
    """A model is read before it is compiled, by the thread that asks for it."""
    setup = f"""
from drivenet.artefacts.catalog import engine_file
from drivenet.engine.openvino.model import read_model
file = engine_file("accurate", {backend("openvino")!r})
record = Segmenter(backend="null").segment(np.zeros((1080, 1920, 3), np.uint8))
"""
    assert ended_at(call, setup) == (7, "")


def test_ctrl_c_in_a_script_does_not_abort_the_process() -> None:
    """What the engine's own thread computes then, nobody waits for any more."""
    program = f"""
import os, signal, threading
import numpy as np
from drivenet import open_engine
engine = open_engine("accurate", {backend("openvino")!r})
threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
while True:
    {INFER}
"""
    done = run(program)
    assert done.returncode == -2
    assert done.stderr.splitlines()[-1] == "KeyboardInterrupt"


def test_the_main_thread_may_infer_until_the_very_end() -> None:
    program = f"""
import atexit
ends = []
atexit.register(lambda: ends[0]())  # before all that drivenet registers, so it is called after it
import numpy as np
from drivenet import open_engine
engine = open_engine("fast", {backend("openvino")!r})
ends.append(lambda: print({INFER}.dtype))
"""
    done = run(program)
    assert (done.returncode, done.stdout, done.stderr) == (0, "uint8\n", "")


def test_who_is_at_work_may_go_deeper_while_the_interpreter_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("drivenet.at_work._EXIT_S", 0.01)
    work, inside, ended, seen = AtWork(), threading.Event(), threading.Event(), list[str]()

    def other() -> None:
        with work.on("x.onnx"):
            inside.set()
            assert ended.wait(LONG_S)
            with work.on("x.onnx"):
                seen.append("deeper")
        with pytest.raises(EngineError, match=r"x\.onnx is asked for something while the interpreter ends"):
            work._let_in("x.onnx")
        seen.append("held")

    thread = threading.Thread(target=other)
    thread.start()
    assert inside.wait(LONG_S)
    work.end()
    ended.set()
    thread.join(LONG_S)
    assert seen == ["deeper", "held"]


def test_a_forked_process_waits_for_no_thread_of_its_parent() -> None:
    program = """
import os, sys, threading
from drivenet.at_work import AT_WORK
inside, go_on = threading.Event(), threading.Event()
def other():
    with AT_WORK.on("x.onnx"):
        inside.set()
        go_on.wait()
threading.Thread(target=other).start()
inside.wait()
if child := os.fork():
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    go_on.set()
    sys.exit(code)
AT_WORK._changed.wait_for = lambda there, _: os._exit(7 if there() else 1)
AT_WORK.end()
"""
    assert run(program).returncode == 7


@pytest.mark.parametrize("way", ['on("x.onnx")', "for_another()"])
def test_a_process_that_is_forked_at_work_ends_once_that_is_done(way: str) -> None:
    """It counted one less than nothing, and its end waited for that."""
    program = f"""
import os, sys
from drivenet.at_work import AT_WORK
with AT_WORK.{way}:
    child = os.fork()
    at_work = set(AT_WORK._inside)
if child:
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
AT_WORK._changed.wait_for = lambda there, _: os._exit(7 if there() and len(at_work) == 1 else 1)
AT_WORK.end()
"""
    assert run(program).returncode == 7


def test_who_works_for_another_may_go_deeper_while_the_interpreter_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine's own thread was held by what it called, and the end waited for it in vain."""
    monkeypatch.setattr("drivenet.at_work._EXIT_S", 0.0)
    work, seen = AtWork(), list[str]()

    def own() -> None:
        with work.for_another():
            work.end()
            with work.on("x.onnx"):
                seen.append("deeper")

    thread = threading.Thread(target=own)
    thread.start()
    thread.join(LONG_S)
    assert seen == ["deeper"]
