"""One published result and its encodings: each made when somebody asks for it, and once for all who do."""

from __future__ import annotations

import json
import struct
import zlib
from asyncio import Future
from collections.abc import Hashable, Mapping
from typing import Any

from drivenet.frame import Image
from drivenet.health import State
from drivenet.hud import Hud
from drivenet.latency import now_ns
from drivenet.overlay import Painter, ended_view, lost_view
from drivenet.palette_png import encode_palette_png
from drivenet.prepare import prepare
from drivenet.result import Result
from drivenet.sinks.jpeg import encode_jpeg

#: Wider pictures are shrunk for the page (not for /frame.jpg): a phone's radio carries no more.
PAGE_WIDTH = 1280
_QUALITY = 80
# level 1 takes half a millisecond a 512x256 map; higher ones save a tenth of a few kilobytes
_DEFLATE_LEVEL = 1


class Snapshot:
    """A result, numbered for the viewers.

    Args:
        result: as published.
        seq: counts snapshots from 1.
    """

    def __init__(self, result: Result, seq: int) -> None:
        self.result, self.seq = result, seq
        #: The last encoding of each kind, running or finished, and how it is marked; only the server's event loop looks
        #: here.
        self.encodings: dict[str, tuple[Hashable, Future[bytes]]] = {}

    def packet(self) -> bytes:
        """Camera picture and class map for the page, with what belongs to them.

        ``uint32`` little-endian length of the header, the header as JSON, a JPEG, then deflated and by rows: the ids,
        and which of the header's ``things`` each pixel belongs to, from 1 on.
        """
        result = self.result
        jpeg = encode_jpeg(_page_size(result.frame.image), _QUALITY)
        ids = result.classmap.ids
        maps = ids.tobytes() + (b"" if result.scene.instances is None else result.scene.instances.tobytes())
        header = {
            "seq": self.seq,
            "jpeg": len(jpeg),
            "map": list(ids.shape),
            **describe(result),
        }
        head = json.dumps(header, separators=(",", ":")).encode()
        return b"".join((struct.pack("<I", len(head)), head, jpeg, zlib.compress(maps, _DEFLATE_LEVEL)))

    def frame_jpeg(self) -> bytes:
        """The picture as captured."""
        return encode_jpeg(self.result.frame.image, _QUALITY)

    def overlay_jpeg(self, painter: Painter, hud: Mapping[str, Any], old: tuple[State, int] | None) -> bytes:
        """The picture with overlay and figures; greyed and marked where it is old: in which state, since seconds."""
        r = self.result
        age_ms = (now_ns() - r.frame.captured_ns) / 1e6
        view = painter.draw(r.frame, r.classmap, r.scene, Hud(age_ms=age_ms, **hud))
        if old:
            state, seconds = old
            view = ended_view(view) if state == "ended" else lost_view(view, seconds, state.upper())
        return encode_jpeg(view, _QUALITY)

    def mask_png(self) -> bytes:
        """The class ids at engine size, with the label colours as palette."""
        return encode_palette_png(self.result.classmap.ids, self.result.labels.rgb_table)


def describe(result: Result) -> dict[str, Any]:
    """What the page says about a frame: index, capture time (monotonic ms), size and the scene."""
    height, width = result.frame.size
    return {
        "frame": result.frame.index,
        "captured_ms": round(result.frame.captured_ns / 1e6, 3),
        "size": [height, width],
        **result.scene.to_dict(),
    }


def _page_size(image: Image) -> Image:
    height, width = image.shape[:2]
    if width <= PAGE_WIDTH:
        return image
    return prepare(image, (max(1, round(height * PAGE_WIDTH / width)), PAGE_WIDTH))
