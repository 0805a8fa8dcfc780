"""A source that blocks never keeps anybody waiting."""

from __future__ import annotations

import gc
import signal
import subprocess
import sys
import threading
import weakref
from collections.abc import Iterator

import pytest
from source_scripts import Scripted
from source_servers import Request, serve

from drivenet.errors import SourceError, SourceLostError
from drivenet.frame import Frame
from drivenet.sources.base import Source
from drivenet.sources.detached import Detached

LONG_S = 60.0


def test_a_recording_passes_frame_by_frame() -> None:
    inner = Scripted(100, live=False)
    source = Detached(lambda: inner)
    assert (source.name, source.live, source.fps, source.size) == ("scripted", False, 10.0, (2, 2))
    frames = list(source)
    assert [f.index for f in frames] == list(range(100))
    assert [int(f.image[0, 0, 0]) for f in frames] == list(range(100))
    source.close()
    assert inner.closed == 1


def test_a_recording_is_not_read_before_it_is_wanted() -> None:
    inner = Scripted(1, live=False)
    source = Detached(lambda: inner)
    assert not inner.at_end.wait(0.05)
    assert len(list(source)) == 1


def test_another_rate_after_a_loss_is_taken_over() -> None:
    """How long a source may be silent goes by its rate."""

    class Slower(Scripted):
        def __iter__(self) -> Iterator[Frame]:
            for frame in super().__iter__():
                if frame.index == 3:
                    self.fps, self.size = 0.5, (4, 4)
                yield frame

    source = Detached(lambda: Slower(5, live=False))
    seen = [source.fps for _ in source]
    assert (source.fps, source.size) == (0.5, (4, 4))
    assert seen[0] == 10.0


def test_a_live_source_starts_with_its_newest_frame() -> None:
    inner = Scripted(50, "block")
    source = Detached(lambda: inner)
    assert inner.at_end.wait(LONG_S)
    first = next(iter(source))
    assert first.index == 0
    assert int(first.image[0, 0, 0]) == 49
    source.close()
    inner.unblock.set()


def test_an_iteration_that_is_left_half_way_lets_go_of_the_source() -> None:
    inner = Scripted(10**9)
    source = Detached(lambda: inner)
    thread, kept = source._thread, weakref.ref(source)
    frames = iter(source)
    assert next(frames).index == 0
    del frames, source
    gc.collect()
    thread.join(LONG_S)
    assert kept() is None
    assert inner.closed == 1


def test_a_with_statement_closes_it() -> None:
    inner = Scripted(10**9)
    with Detached(lambda: inner) as source:
        assert next(iter(source)).index == 0
    assert not source._thread.is_alive()
    assert inner.closed == 1


def test_errors_come_out_where_frames_are_asked_for() -> None:
    source = Detached(lambda: Scripted(0, "fail"))
    with pytest.raises(SourceLostError, match="scripted failed"):
        list(source)


def test_what_opening_raises() -> None:
    def refuse() -> Source:
        raise SourceError("no such luck")

    with pytest.raises(SourceError, match="no such luck"):
        Detached(refuse)


def test_closing_ends_a_blocked_iteration() -> None:
    inner = Scripted(1, "block")
    source = Detached(lambda: inner)
    frames: list[int] = []
    reader = threading.Thread(target=lambda: frames.extend(f.index for f in source))
    reader.start()
    assert inner.at_end.wait(LONG_S)
    source.close()
    reader.join(LONG_S)
    assert not reader.is_alive()
    inner.unblock.set()


def test_an_interrupt_ends_the_wait_for_a_server_that_says_nothing() -> None:
    asked = threading.Event()

    def silent(request: Request) -> None:
        asked.set()
        request.hold()

    code = "import sys; from drivenet.sources import open_source; open_source(sys.argv[1], timeout_s=600)"
    with serve({"/live": silent}) as address:
        process = subprocess.Popen([sys.executable, "-c", code, f"{address}/live"], stderr=subprocess.PIPE, text=True)
        assert asked.wait(LONG_S)
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=LONG_S)
    assert "KeyboardInterrupt" in told
    assert process.returncode == -signal.SIGINT


def test_what_is_opened_too_late_is_closed() -> None:
    inner, opening, opened = Scripted(1), threading.Event(), threading.Event()

    def slowly() -> Source:
        opening.set()
        opened.wait()
        return inner

    class Interrupted(Detached):
        def _wait_opened(self) -> None:
            assert opening.wait(LONG_S)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Interrupted(slowly)
    opened.set()
    assert inner.was_closed.wait(LONG_S)
