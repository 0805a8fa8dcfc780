"""Results to publish, as the pipeline makes them, and outputs to publish them to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from drivenet.classmap import ClassMap
from drivenet.frame import Frame, Image
from drivenet.health import Health, Part, State
from drivenet.labels import CAMVID
from drivenet.latency import STAGES, Timeline, now_ns
from drivenet.result import Result, Totals
from drivenet.scene import analyse
from drivenet.sinks import open_sink
from drivenet.sinks.base import Sink


def make_result(
    index: int = 0,
    size: tuple[int, int] = (48, 64),
    captured_ns: int = 1_000_000_000,
    colour: tuple[int, int, int] = (40, 90, 200),
    view: bool = True,
) -> Result:
    """A plain frame (H, W) of one BGR colour, with sky, road, a car and ignored pixels in its class map."""
    ids = np.zeros((24, 32), np.uint8)
    ids[12:] = CAMVID.id_of("Road")
    ids[14:20, 4:12] = CAMVID.id_of("Car")
    ids[:2] = 255
    frame = Frame(np.full((*size, 3), colour, np.uint8), index, captured_ns)
    classmap = ClassMap(ids, index, captured_ns)
    layers = {"classmap": classmap, "scene": analyse(classmap, CAMVID, size)}
    return Result(frame, CAMVID, timeline(captured_ns, range(1, 6)), layers, frame.image.copy() if view else None)


def timeline(captured_ns: int, ends_ms: Iterable[float]) -> Timeline:
    """The stages up to ``draw``, each of which ends so many ms after the capture."""
    line = Timeline(captured_ns)
    for name, ms in zip(STAGES[:-1], ends_ms, strict=True):
        line = line.then(name, line.end, captured_ns + round(ms * 1e6))
    return line


def fares(state: State, seconds: float = 0.0, reason: str = "") -> Health:
    """A run whose source is in a state for so long, and whose engine is well."""
    since_ns = now_ns() - round(seconds * 1e9)
    return Health({"source": Part(state, since_ns, reason), "engine": Part("ok", since_ns)})


@contextmanager
def opened(uri: str) -> Iterator[Sink]:
    """An output at an address, closed at the end."""
    sink = open_sink(uri, fps=0, visualize="overlay")
    try:
        yield sink
    finally:
        sink.close(Totals())


def result_at(seconds: float, index: int = 0, size: tuple[int, int] = (48, 64)) -> Result:
    return make_result(index, size=size, captured_ns=round((1000 + seconds) * 1e9))


def count(path: Path) -> int:
    """How many frames a video has."""
    import av  # not at the top: OpenCV's windows hang where it was loaded before them

    with av.open(str(path)) as container:
        return sum(1 for _ in container.decode(video=0))


def decoded(path: Path) -> list[tuple[float, Image]]:
    """Seconds and BGR picture of every frame."""
    import av

    with av.open(str(path)) as container:
        return [(float(f.time or 0), f.to_ndarray(format="bgr24")) for f in container.decode(video=0)]
