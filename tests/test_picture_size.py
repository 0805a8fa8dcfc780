"""Pictures that ask for more memory than there is are refused by what their header says."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest

from drivenet.decoding import read_picture
from drivenet.errors import SourceError
from drivenet.picture_size import is_too_large, stated_size

PICTURE = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)


@pytest.mark.parametrize("kind", ["png", "jpg", "bmp"])
def test_the_header_says_what_the_decoder_finds(kind: str) -> None:
    content = cv2.imencode(f".{kind}", PICTURE)[1].tobytes()
    assert stated_size(content) == (48, 64)
    assert not is_too_large(content)
    assert all(stated_size(content[:n]) in (None, (48, 64)) for n in range(200))


def bomb(side: int) -> bytes:
    """A whole PNG of one bit a pixel, all black: some hundred kilobytes for more than a billion pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    packer = zlib.compressobj(9)
    row = bytes(1 + (side + 7) // 8)
    data = b"".join(packer.compress(row) for _ in range(side)) + packer.flush()
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def test_a_picture_that_asks_for_gigabytes_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    path = tmp_path / "bomb.png"
    path.write_bytes(bomb(20_000))
    assert path.stat().st_size < 200_000
    with pytest.raises(SourceError, match=r"bomb\.png states 20000x20000 pixels; expected at most 134 million"):
        read_picture(path)
