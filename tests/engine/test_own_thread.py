"""The thread of an engine's own: every call comes from it, in order, and it never outlives what it is for."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from drivenet.engine.own_thread import OwnThread
from drivenet.errors import EngineError

LONG_S = 60.0


def test_calls_come_from_one_thread_and_give_what_they_return_or_raise() -> None:
    own = OwnThread("engine", "x.onnx")
    assert own.call(divmod, 7, 2) == (3, 1)
    assert own.call(threading.get_native_id) == own.number != threading.get_native_id()
    with pytest.raises(ZeroDivisionError):
        own.call(divmod, 7, 0)
    with pytest.raises(SystemExit):
        own.call(exit)
    seen: list[int] = []
    own.end(lambda: seen.append(threading.get_native_id()))
    assert seen == [own.number]
    own.end(lambda: seen.append(0))
    assert len(seen) == 1
    with pytest.raises(EngineError, match=r"x\.onnx is closed; open the engine again"):
        own.call(int)


def test_a_last_call_that_fails_ends_it_all_the_same() -> None:
    own = OwnThread("engine", "x.onnx")
    with pytest.raises(ZeroDivisionError):
        own.end(lambda: 1 / 0)
    assert not own._thread.is_alive()


def test_it_ends_with_its_object() -> None:
    own = OwnThread("engine", "x.onnx")
    thread = own._thread
    del own
    gc.collect()
    thread.join(LONG_S)
    assert not thread.is_alive()


def test_what_it_leaves_to_be_done_is_done_there_unless_it_was_ended() -> None:
    seen: list[int] = []

    def last() -> None:
        seen.append(threading.get_native_id())

    for ended in (False, True):
        own = OwnThread("engine", "x.onnx")
        own.leave(last)
        thread, number = own._thread, own.number
        if ended:
            own.end(int)
        del own
        gc.collect()
        thread.join(LONG_S)
        assert not thread.is_alive()
        assert seen == [number] or ended
    assert len(seen) == 1


def test_nothing_of_a_call_is_held_afterwards() -> None:
    class Held:
        def __del__(self) -> None:
            gone.set()

    own, gone = OwnThread("engine", "x.onnx"), threading.Event()
    own.call(id, Held())
    gc.collect()
    assert gone.wait(LONG_S)
    own.end(int)


def test_a_call_that_is_given_up_is_done_before_the_last_one() -> None:
    """As a Ctrl-C does while a network is compiled."""
    own, go_on, order = OwnThread("engine", "x.onnx"), threading.Event(), []

    def slow() -> None:
        time.sleep(0.2)  # a signal just before the main thread waits would not wake it
        os.kill(os.getpid(), signal.SIGINT)
        assert go_on.wait(LONG_S)
        order.append("given up")

    with pytest.raises(KeyboardInterrupt):
        own.call(slow)
    threading.Thread(target=lambda: (time.sleep(0.05), go_on.set())).start()
    own.end(lambda: order.append("last"))
    assert order == ["given up", "last"]


def test_in_a_forked_process_it_is_told_at_once() -> None:
    program = """
import os, sys
from drivenet.engine.own_thread import OwnThread
from drivenet.errors import EngineError
own = OwnThread("engine", "x.onnx")
if child := os.fork():
    assert own.call(int) == 0
    own.end(int)
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
try:
    own.call(int)
except EngineError as error:
    own.end(int)
    os._exit(7 if "opened by another process" in str(error) else 1)
"""
    done = subprocess.run([sys.executable, "-c", program], timeout=LONG_S)
    assert done.returncode == 7


def test_whoever_closes_it_while_the_interpreter_ends_waits_for_nobody() -> None:
    """As an iteration that is left half-way at module level does."""
    program = """
import sys
from drivenet.engine.own_thread import OwnThread
from drivenet.errors import EngineError
def left(own=OwnThread("engine", "x.onnx"), finalizing=sys.is_finalizing, Error=EngineError):
    try:
        yield own.call(int)
    finally:
        assert finalizing()
        try:
            own.call(int)
        except Error as error:
            print(error, flush=True)
        own.end(int)
kept = left()
next(kept)
"""
    done = subprocess.run([sys.executable, "-c", program], timeout=LONG_S, capture_output=True, text=True)
    told = "x.onnx is asked for something while the interpreter ends\n"
    assert (done.returncode, done.stdout, done.stderr) == (0, told, "")
