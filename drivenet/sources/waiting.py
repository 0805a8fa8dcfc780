"""Which pictures a decoder owes: those whose packets it got, in the order they are shown."""

from __future__ import annotations

import heapq

from av.packet import Packet
from av.video.stream import VideoStream

#: Decoders that leave out, without an error, what is damaged or refers to a lost picture.
_SILENT = frozenset({"hevc", "mjpeg", "vvc"})


def is_silent(stream: VideoStream) -> bool:
    """Whether the decoder of a stream leaves pictures out without an error."""
    context = stream.codec_context
    return context is not None and context.name in _SILENT


class Waiting:
    """Pictures between packet and decoder's output, by their time stamps in the stream's time base."""

    def __init__(self) -> None:
        self._stamps: list[int] = []
        self._shown = False

    def sent(self, packet: Packet[VideoStream]) -> None:
        """A packet went into the decoder. What an edit list leaves out is decoded, but never shown, and not owed."""
        if packet.pts is not None and packet.size and not packet.is_discard:
            heapq.heappush(self._stamps, packet.pts)

    def failed(self, pts: int | None) -> None:
        """The decoder refused a packet, which is counted elsewhere."""
        if pts in self._stamps:
            self._stamps.remove(pts)
            heapq.heapify(self._stamps)

    def came(self, pts: int | None) -> int:
        """A picture came out; returns how many before it never will. None are owed before the first one."""
        lost = 0
        while pts is not None and self._stamps and self._stamps[0] <= pts:
            lost += heapq.heappop(self._stamps) < pts
        lost, self._shown = (lost if self._shown else 0), True
        return lost

    def left(self) -> int:
        """How many never came, once the decoder is empty."""
        return len(self._stamps) if self._shown else 0
