"""A signal ends a run although the sink that its own thread serves would never return."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from cli_parts import LONG_S

from drivenet.cli.signals import _told_at_once, ended_by_signals
from drivenet.engine.null import NullEngine
from drivenet.errors import SinkError
from drivenet.pipeline import Pipeline
from drivenet.result import Result, Totals
from drivenet.sinks.base import Sink
from drivenet.sources import open_source


def ended(program: str) -> subprocess.CompletedProcess[str]:
    """A program of Python, run to its end."""
    command = [sys.executable, "-c", program]
    return subprocess.run(command, capture_output=True, text=True, timeout=LONG_S, check=False)


class Silent(Sink):
    """Reads from a pipe into which nobody writes."""

    name = "window"
    needs_view = False
    main_thread = True

    def __init__(self) -> None:
        self.reached, self.closed = threading.Event(), False
        self._ends = os.pipe()

    def publish(self, result: Result) -> None:
        self.reached.set()
        os.read(self._ends[0], 1)

    def close(self, totals: Totals) -> None:
        self.closed = True
        for end in self._ends:
            os.close(end)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_is_heard_while_no_handler_can_run(number: signal.Signals) -> None:
    """Other signals are not; the thread is gone and the descriptor as before when it is over."""
    told = threading.Event()
    before = {n: signal.signal(n, lambda *_: None) for n in (number, signal.SIGUSR1)}
    try:
        with _told_at_once((number,), told.set):
            signal.raise_signal(signal.SIGUSR1)
            assert not told.wait(0.2)
            signal.raise_signal(number)
            assert told.wait(LONG_S)
    finally:
        for n, handler in before.items():
            signal.signal(n, handler)
    assert signal.set_wakeup_fd(-1) == -1
    assert "signals" not in {thread.name for thread in threading.enumerate()}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_sink_that_never_returns(number: signal.Signals) -> None:
    sink = Silent()
    pipeline = Pipeline(open_source("synthetic://96x64@30"), NullEngine(), [sink])
    sender = threading.Thread(target=lambda: sink.reached.wait(LONG_S) and os.kill(os.getpid(), number))
    sender.start()
    handlers = [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGALRM)]
    with ended_by_signals(pipeline), pytest.raises(SinkError, match="window: it did not end within"):
        pipeline.run()
    sender.join(LONG_S)
    assert sink.closed
    assert handlers == [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGALRM)]


def test_a_thread_that_is_left_behind_does_not_abort_the_process() -> None:
    """The interpreter would end it inside OpenCV, in C++ that cannot be unwound: 134 instead of the exit code."""
    program = (
        "import sys, threading, cv2, numpy, drivenet.cli as cli\n"
        "def work():\n"
        "    while True: begun.set(), cv2.resize(picture, (1280, 960))\n"
        "picture, begun = numpy.zeros((480, 640, 3), numpy.uint8), threading.Event()\n"
        "threading.Thread(target=work, daemon=True).start()\n"
        "begun.wait()\n"
        "cli._run = lambda: print('told') or 130\n"
        "cli.main()\n"
    )
    done = ended(program)
    assert (done.returncode, done.stdout, done.stderr) == (130, "told\n", "")


def test_a_library_that_aborts_at_the_end_does_not_change_the_exit_code(tmp_path: Path) -> None:
    """What Python would do at its end is done; the destructors of C++ libraries are left out."""
    program = (
        "import atexit, ctypes, os, sys, tempfile, threading, time, drivenet.cli as cli\n"
        "c = ctypes.CDLL(None)\n"
        "assert c['__cxa_atexit'](ctypes.cast(c.abort, ctypes.c_void_p), None, None) == 0\n"
        "atexit.register(print, 'atexit')\n"
        f"kept = tempfile.TemporaryDirectory(dir={str(tmp_path)!r})\n"
        "threading.Thread(target=lambda: (time.sleep(0.2), print('thread'))).start()\n"
        "cli._run = lambda: print('told') or 3\n"
        "cli.main()\n"
    )
    done = ended(program)
    assert (done.returncode, done.stdout) == (3, "told\nthread\natexit\n"), done.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("where", ["right after the run", "while a thread is waited for"])
def test_ctrl_c_after_the_run_ends_without_a_traceback(where: str) -> None:
    """A second one of an impatient user comes whenever it likes."""
    stop = "os.kill(os.getpid(), signal.SIGINT)"
    program = (
        "import os, signal, threading, time, drivenet.cli as cli\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "cli._run = lambda: print('told') or 0\n"
    )
    if where == "right after the run":
        program += f"threading.enumerate = lambda: {stop} or time.sleep(9)\n"
    else:
        program += f"threading.Thread(target=lambda: (time.sleep(0.2), {stop}, time.sleep(9))).start()\n"
    done = ended(f"{program}cli.main()\n")
    assert (done.returncode, done.stdout, done.stderr) == (130, "told\n", "")


def test_ctrl_c_that_python_loses_while_all_is_opened_still_ends_the_run() -> None:
    """What a callback for a weak reference raises is printed and forgotten."""
    program = (
        "import os, signal, sys, threading, weakref, drivenet.cli as cli, drivenet.cli.run\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "def lost():\n"
        "    thing = threading.Thread()\n"
        "    reference = weakref.ref(thing, lambda _: [os.kill(os.getpid(), signal.SIGINT) for _ in range(1)])\n"
        "    del thing\n"
        "sys.modules['drivenet.cli.run'].begin_alone = lost\n"
        "sys.argv = ['drivenet', 'run', 'synthetic://96x64@30', '--backend', 'null', '--headless']\n"
        "cli.main()\n"
    )
    done = ended(program)
    assert done.returncode == 0
    assert "KeyboardInterrupt" in done.stderr, "it was lost"
    assert "captured" in done.stderr


@pytest.mark.parametrize("error", ["EngineError('OpenVINO cannot be imported')", "RuntimeError('it failed')"])
def test_ctrl_c_in_a_library_that_makes_an_error_of_it(error: str) -> None:
    program = (
        "import sys, drivenet.cli as cli\n"
        "from drivenet.errors import EngineError\n"
        "def interrupted(**_):\n"
        "    try:\n"
        "        raise ImportError('initialization failed') from KeyboardInterrupt()\n"
        f"    except ImportError as cause: raise {error} from cause\n"
        "cli.cli.main = interrupted\n"
        "cli.main()\n"
    )
    done = ended(program)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


def test_what_nobody_thought_of_is_told_and_cleaned_up_after(tmp_path: Path) -> None:
    program = (
        "import tempfile, drivenet.cli as cli\n"
        f"kept = tempfile.TemporaryDirectory(dir={str(tmp_path)!r})\n"
        "cli._run = lambda: 1 / 0\n"
        "cli.main()\n"
    )
    done = ended(program)
    assert done.returncode == 1
    assert done.stderr.startswith("Traceback")
    assert done.stderr.endswith("ZeroDivisionError: division by zero\n")
    assert not list(tmp_path.iterdir())
