"""The view reaches a real RTSP server, which writes down what it gets; servers that refuse, hang, die and return."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
from rtsp_servers import rtsp_process, rtsp_server
from sink_results import fares, make_result, opened

from drivenet.errors import SinkError, UsageError
from drivenet.frame import Image
from drivenet.sinks import open_sink
from drivenet.sinks.base import Sink, SinkAwayError

PATIENT_S = 60
FRAME_NS = 40_000_000


def push(sink: Sink, index: int, colour: tuple[int, int, int] = (40, 90, 200)) -> None:
    sink.publish(make_result(index, (49, 63), 1_000_000_000 + index * FRAME_NS, colour))


def decoded(file: Path) -> list[Image]:
    """The pictures in what a server wrote so far, BGR."""
    if not file.exists() or not file.stat().st_size:
        return []
    try:
        with av.open(str(file), format="h264") as container:
            return [frame.to_ndarray(format="bgr24") for frame in container.decode(video=0)]
    except av.FFmpegError:  # the beginning of the first picture
        return []


def push_until(sink: Sink, file: Path, index: int = 0) -> None:
    """Push pictures until the server has written one: under load it may miss the first."""
    deadline = time.monotonic() + PATIENT_S
    while not decoded(file):
        assert time.monotonic() < deadline
        push(sink, index)
        index += 1
        time.sleep(0.05)


def until(there: Callable[[], object]) -> None:
    """Wait for what a server does in its own time."""
    deadline = time.monotonic() + PATIENT_S
    while not there():
        assert time.monotonic() < deadline, there()
        time.sleep(0.05)


def is_away(sink: Sink) -> bool:
    """Whether a picture finds no server, and says so."""
    try:
        push(sink, 10_000)
    except SinkAwayError as error:
        return bool(re.match(r"rtsp://127\.0\.0\.1:\d+/live is away: .+; start an RTSP server", str(error)))
    return False


def pushers() -> list[str]:
    """Command lines of the processes of this one that push."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            parent = (folder / "stat").read_text().rpartition(")")[2].split()[1]
            line = (folder / "cmdline").read_text()
            if int(parent) == os.getpid() and "pusher.py" in line:
                found.append(line)
    return found


def test_a_server_gets_a_stream_that_decodes(tmp_path: Path) -> None:
    file = tmp_path / "got.h264"
    with rtsp_server(record=file) as port, opened(f"rtsp://127.0.0.1:{port}/live") as sink:
        assert (sink.name, sink.target, sink.overflow) == ("rtsp", f"rtsp://127.0.0.1:{port}/live", "drop")
        for index in range(20):
            push(sink, index, (40, 90, 200) if index < 10 else (200, 90, 40))
        until(lambda: len(decoded(file)) == 20)
        sink.marked(np.full((49, 63, 3), 90, np.uint8), fares("lost", 1.0))
        until(lambda: len(decoded(file)) == 21)
    pictures = decoded(file)
    assert {picture.shape for picture in pictures} == {(50, 64, 3)}
    for index, colour in ((0, (40, 90, 200)), (19, (200, 90, 40)), (20, (90, 90, 90))):
        assert np.abs(pictures[index].astype(int) - colour).mean() < 4
    assert not pushers()


def test_a_server_that_dies_and_comes_back_gets_the_stream_again(tmp_path: Path) -> None:
    first, second = tmp_path / "first.h264", tmp_path / "second.h264"
    with contextlib.ExitStack() as stack:
        with rtsp_server(record=first) as port:
            sink = stack.enter_context(opened(f"rtsp://127.0.0.1:{port}/live"))
            push_until(sink, first)
        until(lambda: is_away(sink))
        with rtsp_server(port, record=second):
            until(lambda: not is_away(sink))
            push_until(sink, second, 10_001)
    assert decoded(second)[0].shape == (50, 64, 3)


def test_another_size_is_a_new_stream_and_no_server_that_is_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes longer to begin than a result waits for a server that is away."""
    monkeypatch.setattr("drivenet.sinks.rtsp.sink._AWAY_S", 0.001)
    file = tmp_path / "got.h264"
    with rtsp_server(record=file) as port, opened(f"rtsp://127.0.0.1:{port}/live") as sink:
        push(sink, 0)
        sink.publish(make_result(1, (99, 63), 2_000_000_000, (40, 90, 200)))
    assert not pushers()


def test_passwords_are_used_and_never_shown(tmp_path: Path) -> None:
    file = tmp_path / "got.h264"
    with rtsp_server(0, "cam", "s3cret", record=file) as port:
        with opened(f"rtsp://cam:s3cret@127.0.0.1:{port}/live") as sink:
            assert sink.target == f"rtsp://***@127.0.0.1:{port}/live"
            push(sink, 0)
            (line,) = pushers()
            assert "s3cret" not in line
            push_until(sink, file, 1)
        for wrong, why in ((f"cam:wr0ng@127.0.0.1:{port}/live", "401"), (f"cam:s3cret@127.0.0.1:{port}/no", "404")):
            with (
                opened(f"rtsp://{wrong}") as sink,
                pytest.raises(SinkError, match=rf"takes no stream: .*{why}") as caught,
            ):
                push(sink, 0)
            assert "wr0ng" not in str(caught.value)
            assert "s3cret" not in str(caught.value)


def test_nobody_there_is_told_before_the_run() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(
        SinkError, match=r"nothing answers at rtsp://\*\*\*@127.0.0.1:\d+/live: connection refused; start an"
    ) as caught:
        open_sink(f"rtsp://cam:s3cret@127.0.0.1:{port}/live", fps=0, visualize="overlay")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("host", ["a..b", "a" * 64 + ".de"])
def test_a_name_that_no_host_can_have_is_told_in_a_line(host: str) -> None:
    with pytest.raises(SinkError, match=r"nothing answers at rtsp://\*\*\*@.*label") as caught:
        open_sink(f"rtsp://cam:s3cret@{host}/live", fps=0, visualize="overlay")
    assert "\n" not in str(caught.value)


def test_a_server_that_never_answers_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("drivenet.sinks.rtsp.process.PATIENCE_S", 1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        uri = f"rtsp://127.0.0.1:{silent.getsockname()[1]}/live"
        with opened(uri) as sink, pytest.raises(SinkError, match="takes no stream: no answer for 1 s"):
            push(sink, 0)
    assert not pushers()


def test_a_server_that_hangs_holds_up_neither_results_nor_the_end(tmp_path: Path) -> None:
    file = tmp_path / "got.h264"
    noise = np.random.default_rng(0).integers(0, 255, (720, 1280, 3), np.uint8)
    with rtsp_process(record=file) as (port, process), opened(f"rtsp://127.0.0.1:{port}/live") as sink:
        push(sink, 0)
        os.kill(process, signal.SIGSTOP)
        for _ in range(3):
            sink.marked(noise, fares("lost", 1.0))
    assert not pushers()


@pytest.mark.parametrize(
    "uri",
    ["rtsp://", "rtsp://host", "rtsp://host/", "rtsp:///live", "rtsp://u:s3cret@host:port/live", "rtsp://h:0/live"],
)
def test_an_address_that_is_none_is_told_in_a_line(uri: str) -> None:
    with pytest.raises(UsageError, match=r"expected (rtsp://HOST\[:PORT\]/PATH|1 to 65535)") as caught:
        open_sink(uri, fps=0, visualize="overlay")
    assert "s3cret" not in str(caught.value)
