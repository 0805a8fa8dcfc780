"""Recordings that begin again at their end."""

from __future__ import annotations

import itertools
from pathlib import Path

import cv2
import numpy as np
import pytest
from source_clips import write_clip

from drivenet.errors import SourceNotFoundError, UsageError
from drivenet.sources import open_source


def test_indices_and_times_go_on_counting_over_the_seam(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "a.mp4", frames=10)
    with open_source(clip) as once:
        played = list(once)
    with open_source(clip, loop=True) as source:
        assert (source.live, source.frames, source.size, source.fps) == (False, None, once.size, once.fps)
        frames = list(itertools.islice(source, 25))
    assert [frame.index for frame in frames] == list(range(25))
    assert all(np.array_equal(frame.image, played[n % 10].image) for n, frame in enumerate(frames))
    steps = np.diff([frame.media_ns or 0 for frame in frames])
    assert np.allclose(steps, 1e9 / once.fps, rtol=0.01)


def test_it_can_be_replayed_at_a_rate_and_ends_when_it_is_closed(tmp_path: Path) -> None:
    source = open_source(write_clip(tmp_path / "a.mp4", frames=5), loop=True, rate=500.0)
    indices = []
    for frame in source:
        indices.append(frame.index)
        if frame.index == 12:
            source.close()
    assert indices == list(range(13))


def test_a_folder_begins_again_and_keeps_the_names(tmp_path: Path) -> None:
    for name in ("1.png", "2.png"):
        cv2.imwrite(str(tmp_path / name), np.zeros((4, 6, 3), np.uint8))
    with open_source(tmp_path, loop=True) as source:
        assert [frame.file for frame in itertools.islice(source, 5)] == ["1.png", "2.png", "1.png", "2.png", "1.png"]


def test_a_file_that_is_removed_meanwhile_ends_it_with_its_reason(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "a.mp4", frames=5)
    with open_source(clip, loop=True) as source:
        frames = iter(source)
        next(frames)
        clip.unlink()
        with pytest.raises(SourceNotFoundError, match=r"a\.mp4"):
            list(frames)


@pytest.mark.parametrize("uri", ["rtsp://cam/1", "0", "synthetic://96x64@30"])
def test_what_has_no_end_does_not_begin_again(uri: str) -> None:
    with pytest.raises(UsageError, match="--loop for"):
        open_source(uri, loop=True)
