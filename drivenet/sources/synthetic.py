"""The synthetic drive as a source."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator

from drivenet.address import split_settings
from drivenet.frame import Frame
from drivenet.latency import now_ns
from drivenet.sources.base import Source
from drivenet.sources.options import Options
from drivenet.sources.uri import parse_count, parse_rate, parse_size
from drivenet.synthetic import SyntheticDrive

#: How far the camera drives from one frame to the next where an address states no rate.
_UNPACED_FPS = 30.0


class Synthetic(Source):
    """A :class:`~drivenet.synthetic.SyntheticDrive`, deterministic by its seed.

    Paced, it behaves like a camera: it is live and its frames come at their rate, or later if drawing takes
    longer. Otherwise they come as fast as they are drawn, and have the times of a recording.

    Args:
        drive: draws the frames.
        frames: how many there are; None for no end.
        paced: whether frames wait until they fall due.
    """

    def __init__(self, drive: SyntheticDrive, frames: int | None = None, paced: bool = True) -> None:
        self._drive, self.frames, self.paced = drive, frames, paced
        self.name = f"synthetic://{drive.width}x{drive.height}@{drive.fps:g}"
        self.live = paced
        self.fps, self.size = drive.fps, (drive.height, drive.width)
        self._stop = threading.Event()

    def __iter__(self) -> Iterator[Frame]:
        due_ns, period_ns = now_ns(), round(1e9 / self.fps) if self.paced else 0
        for index in itertools.count() if self.frames is None else range(self.frames):
            image, _ = self._drive.render(index)
            if self._stop.wait(max(0.0, (due_ns - now_ns()) / 1e9)):
                return
            # as with a camera, a frame that comes late moves those after it
            captured_ns = now_ns()
            due_ns = max(due_ns + period_ns, captured_ns)
            yield Frame(image, index, captured_ns, None if self.live else round(index * 1e9 / self.fps))

    def close(self) -> None:
        """End the drive, also in mid-wait."""
        self._stop.set()


def open_synthetic(uri: str, options: Options) -> Synthetic:
    """Open ``synthetic://WxH[@FPS][?seed=N&frames=N]``; without a rate every frame comes as soon as it is drawn."""
    address, settings = split_settings(uri, ("seed", "frames"))
    size, at, rate = address.partition("://")[2].partition("@")
    width, height = parse_size(size, uri)
    seed = parse_count(settings["seed"], uri) if "seed" in settings else options.seed
    frames = parse_count(settings["frames"], uri, least=1) if "frames" in settings else None
    fps = parse_rate(rate, uri) if at else _UNPACED_FPS
    return Synthetic(SyntheticDrive(width, height, fps, seed), frames, options.paced and bool(at))
