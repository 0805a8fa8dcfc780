"""How large a picture says it is, read before it is decoded: a PNG of 100 kB may ask for gigabytes."""

from __future__ import annotations

#: More pixels than any camera has.
MOST_PIXELS = 1 << 27
_PNG, _JPEG, _BMP, _GIF = b"\x89PNG\r\n\x1a\n", b"\xff\xd8", b"BM", b"GIF8"
#: Markers of JPEG frames (ITU-T T.81, table B.1): SOF0 to SOF15 without DHT, JPG and DAC.
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


def stated_size(content: bytes) -> tuple[int, int] | None:
    """(height, width) as the header of a PNG, JPEG, BMP or WebP states it; None for others and for headers cut short.

    >>> stated_size(bytes.fromhex("89504e470d0a1a0a0000000d49484452000000400000003000"))
    (48, 64)
    """
    if content.startswith(_PNG) and len(content) >= 24:
        return int.from_bytes(content[20:24], "big"), int.from_bytes(content[16:20], "big")
    if content.startswith(_JPEG):
        return _of_jpeg(content)
    if content.startswith(_BMP) and len(content) >= 26:
        height = int.from_bytes(content[22:26], "little", signed=True)
        return abs(height), int.from_bytes(content[18:22], "little")
    if content.startswith(b"RIFF") and content[8:16] == b"WEBPVP8X" and len(content) >= 30:
        return int.from_bytes(content[27:30], "little") + 1, int.from_bytes(content[24:27], "little") + 1
    return None


def is_too_large(content: bytes) -> bool:
    """Whether a picture states more than :data:`MOST_PIXELS`."""
    size = stated_size(content)
    return size is not None and size[0] * size[1] > MOST_PIXELS


def _of_jpeg(content: bytes) -> tuple[int, int] | None:
    at = 2
    while at + 9 <= len(content) and content[at] == 0xFF:
        marker = content[at + 1]
        if marker in _FRAMES:
            return int.from_bytes(content[at + 5 : at + 7], "big"), int.from_bytes(content[at + 7 : at + 9], "big")
        at += 1 if marker == 0xFF else 2 + int.from_bytes(content[at + 2 : at + 4], "big")
    return None
