"""Where results go. A kind is imported only when it is named."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path

from drivenet.errors import UsageError, nearest
from drivenet.sinks.base import Sink

#: Module and class by kind.
KINDS = {
    "images": "drivenet.sinks.images:ImageFolderSink",
    "jsonl": "drivenet.sinks.jsonl:JsonlSink",
    "video": "drivenet.sinks.video:VideoSink",
    "web": "drivenet.sinks.web:WebSink",
    "window": "drivenet.sinks.window:WindowSink",
}
VIDEO_SUFFIXES = (".mp4", ".mkv")
_EXPECTED = "FILE.mp4, FILE.mkv or FOLDER/"


def sink_class(kind: str) -> Callable[..., Sink]:
    """The class of a kind of sink; UsageError with the nearest kind if there is none of that name."""
    if kind not in KINDS:
        raise UsageError(f"no sink {kind!r}", cure=nearest(kind, KINDS))
    module, name = KINDS[kind].split(":")
    found: Callable[..., Sink] = getattr(importlib.import_module(module), name)
    return found


def open_sink(target: str, *, fps: float, visualize: str) -> Sink:
    """The sink that a path names: a video file, or a folder of pictures.

    Args:
        target: ``*.mp4`` or ``*.mkv``; or a folder: one that exists, a path that ends in ``/`` or has no suffix.
        fps: frames a second of a recorded source, 0 for a live one, whose capture times are kept instead.
        visualize: ``overlay``, ``mask`` or ``side-by-side``.

    Raises:
        UsageError: for any other target.
        SinkError: where nothing can be written.
    """
    path = Path(target)
    suffix = path.suffix.lower()
    if target in ("", "-") or "://" in target:
        raise UsageError(f"output {target!r}", _EXPECTED)
    if target.endswith(("/", "\\")) or not suffix or path.is_dir():
        return sink_class("images")(path, visualize=visualize)
    if suffix in VIDEO_SUFFIXES:
        return sink_class("video")(path, fps=fps)
    raise UsageError(f"output {target} ends in {path.suffix}", _EXPECTED, f"a folder of that name is {target}/")
