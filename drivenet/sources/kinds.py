"""The kinds of sources, in one table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import cast

from drivenet.picture_files import IMAGE_SUFFIXES
from drivenet.sources.base import Source
from drivenet.sources.options import Options


@dataclass(frozen=True)
class Kind:
    """What the rest of the program knows of a kind of source.

    Args:
        home: ``module:function`` that opens an address with its options; imported when a source is opened.
        examples: how it is written, as ``drivenet run --help`` shows it.
        schemes: of its addresses. What stands before an ``@`` is masked, but for those in
            :data:`drivenet.address.WITHOUT_USER`.
        suffixes: of its files, in lower case; a path with any other is a video.
        device: whether it is one program's at a time: it is opened when all else is well, and may be away at first.
        streams: schemes that only live streams have; any other may name a recording.
        blocks: whether a read may take seconds: it has a thread of its own, and is opened again when it is lost.
        recorded: whether it is a file or a folder: it can be played again, and nothing is written over it.
    """

    home: str
    examples: str
    schemes: tuple[str, ...] = ()
    suffixes: tuple[str, ...] = ()
    device: bool = False
    streams: tuple[str, ...] = ()
    blocks: bool = False
    recorded: bool = False

    def opener(self) -> Callable[[str, Options], Source]:
        """The function that opens a source, imported now."""
        module, _, name = self.home.partition(":")
        return cast("Callable[[str, Options], Source]", getattr(import_module(module), name))


_LIVE = ("rtsp", "rtsps", "rtmp", "udp", "tcp")

#: Every kind by its name.
KINDS = {
    "camera": Kind("drivenet.sources.camera:open_camera", "0, /dev/video0", ("v4l2",), device=True, blocks=True),
    "csi": Kind("drivenet.sources.csi:open_csi", "csi://0", ("csi",), device=True, blocks=True),
    "stream": Kind(
        "drivenet.sources.stream:open_stream", "rtsp://..., http(s)://...", (*_LIVE, "http", "https"), streams=_LIVE,
        blocks=True,
    ),
    "video": Kind("drivenet.sources.video:open_video", "clip.mp4", ("file",), recorded=True),
    "images": Kind(
        "drivenet.sources.images:open_images", 'folder/, "glob/*.png"', suffixes=tuple(IMAGE_SUFFIXES), recorded=True
    ),
    "synthetic": Kind("drivenet.sources.synthetic:open_synthetic", "synthetic://1280x720@30", ("synthetic",)),
}  # fmt: skip


def by_scheme() -> dict[str, str]:
    """The kinds' names by scheme."""
    return {scheme: name for name, kind in KINDS.items() for scheme in kind.schemes}


def by_suffix(suffix: str) -> str:
    """The name of the kind whose files end so; video if none has this suffix for its own."""
    return next((name for name, kind in KINDS.items() if suffix.lower() in kind.suffixes), "video")
