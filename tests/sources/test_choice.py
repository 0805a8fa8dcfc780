"""Files with several video streams: the largest is shown, said, and another can be named."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from source_servers import recording, serve
from two_cameras import two_cameras

from drivenet.errors import NoVideoError, UsageError
from drivenet.sources import files_of, open_source


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
def test_the_largest_is_shown_and_said_and_another_can_be_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    path = two_cameras(tmp_path / name)
    with caplog.at_level(logging.INFO), open_source(path) as source:
        assert source.size == (96, 128)
    assert "has 2 video streams (0: 64x48, 1: 128x96); showing 1, ?stream=N names another" in caplog.text
    for place in (f"{path}?stream=0", f"{path.as_uri()}?stream=0"):
        assert files_of(place) == [path]
        with open_source(place) as source:
            assert source.size == (48, 64)
            assert len(list(source)) == 5


def test_a_stream_that_is_not_there(tmp_path: Path) -> None:
    path = two_cameras(tmp_path / "a.mp4")
    with pytest.raises(NoVideoError, match=r"no video stream 2; expected 0 to 1: 0: 64x48, 1: 128x96"):
        open_source(f"{path}?stream=2")
    with pytest.raises(UsageError, match=r"number 'rear' in .*; expected a whole number"):
        open_source(f"{path}?stream=rear")
    with pytest.raises(UsageError, match=r"no setting 'strem'; did you mean stream"):
        open_source(f"{path}?strem=1")


def test_a_file_whose_name_holds_a_question_mark(tmp_path: Path) -> None:
    path = two_cameras(tmp_path / "a.mp4").rename(tmp_path / "a?stream=0")
    with open_source(path) as source:
        assert source.size == (96, 128)


def test_a_stream_over_the_network_is_named_by_what_no_server_gets(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data = two_cameras(tmp_path / "a.mp4").read_bytes()
    with serve({"/a.mp4": recording(data)}) as address, caplog.at_level(logging.INFO):
        with open_source(f"{address}/a.mp4") as source:
            assert source.size == (96, 128)
        assert "#stream=N names another" in caplog.text
        with open_source(f"{address}/a.mp4#stream=0") as source:
            assert source.size == (48, 64)
