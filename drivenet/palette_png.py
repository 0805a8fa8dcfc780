"""PNG files whose pixels are class ids and whose palette is the label colours: OpenCV neither writes nor reads them."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

import cv2
import numpy as np
import numpy.typing as npt

from drivenet.classmap import Ids

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_EIGHT_BIT_PALETTE = (8, 3, 0, 0, 0)  # bit depth, colour type, then deflate, adaptive filters, no interlace
# long runs of ids shrink to a few per cent at any level; 3 takes 1 to 2 ms a 1024x512 map, 6 twice to thrice that
_LEVEL = 3
_GREY, _PALETTE = 0, 3  # colour types
#: What OpenCV multiplies grey values of so many bits by.
_STRETCH = {1: 255, 2: 85, 4: 17, 8: 1}


def encode_palette_png(ids: Ids, palette: npt.NDArray[np.uint8]) -> bytes:
    """A PNG that shows the colours and holds the ids.

    Args:
        ids: (H, W) uint8.
        palette: (256, 3) uint8 RGB, the colour of every id.
    """
    height, width = ids.shape
    rows = np.zeros((height, width + 1), np.uint8)  # each row starts with its filter: 0, none
    rows[:, 1:] = ids
    return b"".join(
        (
            _SIGNATURE,
            _chunk(b"IHDR", struct.pack(">2I5B", width, height, *_EIGHT_BIT_PALETTE)),
            _chunk(b"PLTE", palette.tobytes()),
            _chunk(b"IDAT", zlib.compress(rows.tobytes(), _LEVEL)),
            _chunk(b"IEND", b""),
        )
    )


def decode_palette_png(content: bytes) -> Ids | None:
    """The numbers, (H, W) uint8, that a PNG holds beside a palette; None for any other file.

    A palette of greys is taken only if its numbers are its greys: programs that make files smaller store grey values
    in that way, and then the numbers mean nothing.
    """
    bits, kind = png_format(content)
    if kind != _PALETTE or bits not in _STRETCH:
        return None
    chunks = list(_chunks(content))
    known = dict(chunks)  # of several chunks of one kind, IDAT alone, any will do here
    if not _tells_numbers(known.get(b"PLTE", b"")):
        return None
    header = bytearray(known[b"IHDR"])
    header[9] = _GREY
    pixels = b"".join(_chunk(name, data) for name, data in chunks if name in (b"IDAT", b"IEND"))
    grey = np.frombuffer(_SIGNATURE + _chunk(b"IHDR", bytes(header)) + pixels, np.uint8)
    ids = cv2.imdecode(grey, cv2.IMREAD_UNCHANGED)
    return None if ids is None else np.asarray(ids // _STRETCH[bits], np.uint8)


def png_format(content: bytes) -> tuple[int, int]:
    """Bits a value and colour type of a PNG; 0, 0 for any other file."""
    return (content[24], content[25]) if content.startswith(_SIGNATURE) and len(content) > 32 else (0, 0)


def _tells_numbers(palette: bytes) -> bool:
    if not palette or len(palette) % 3:
        return False
    red, green, blue = np.frombuffer(palette, np.uint8).reshape(-1, 3).T
    return bool((red != green).any() or (green != blue).any() or (red == np.arange(len(red))).all())


def _chunks(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Kind and data of every whole and undamaged chunk, up to the first that is not."""
    at = len(_SIGNATURE)
    while at + 12 <= len(content):
        end = at + 12 + int.from_bytes(content[at : at + 4], "big")
        kind, data = content[at + 4 : at + 8], content[at + 8 : end - 4]
        if content[at:end] != _chunk(kind, data):
            return
        yield kind, data
        at = end


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
