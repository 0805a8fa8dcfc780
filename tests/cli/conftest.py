"""Folders to be in."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from batch_parts import clip
from cli_parts import write_clip
from onnx_models import palette_model

from drivenet.labels import CITYSCAPES


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to be in, with a good clip and a good model, on a machine without a display."""
    monkeypatch.chdir(tmp_path)
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM"):
        monkeypatch.delenv(name, raising=False)
    write_clip(tmp_path / "clip.mp4")
    palette_model(tmp_path)
    return tmp_path


@pytest.fixture
def in_a_folder_and_nothing_left_running(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An empty one; threads and handlers of signals are afterwards as they were."""
    monkeypatch.chdir(tmp_path)
    before = set(threading.enumerate())
    handlers = [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
    yield
    assert set(threading.enumerate()) <= before
    assert handlers == [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]


@pytest.fixture
def three_clips(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to be in, with three clips to cut and a model."""
    monkeypatch.chdir(tmp_path)
    palette_model(tmp_path, "city", CITYSCAPES)
    for i, name in enumerate(("town/one.mp4", "town/two.mp4", "village/one.mkv")):
        clip(tmp_path / "videos" / name, 7 * i)
    return tmp_path
