"""One sequence through engines in one of three modes: infer, closed loop and open loop, never mixed."""

from __future__ import annotations

import bisect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from drivenet.benchmark.usage import Usage
from drivenet.classmap import Ids
from drivenet.data.sequences.base import FrameSequence
from drivenet.engine.base import Engine
from drivenet.engine.things import single_things
from drivenet.evaluation.sequence_scorer import Found
from drivenet.frame import Frame, Image
from drivenet.latency import now_ns
from drivenet.pipeline import Pipeline
from drivenet.prepare import prepare_for
from drivenet.record import THING_MAPS
from drivenet.result import Result
from drivenet.sinks.base import Sink
from drivenet.sources.base import Source
from drivenet.sources.replay import Replay
from drivenet.things.grouping import Grouped

#: A sequence whose images take no more than this is read before it is timed.
PRELOADED_BYTES = 2**30


@dataclass
class Timed:
    """One frame of a run.

    Args:
        index: in its sequence.
        stages_ms: by stage; empty for a frame that was dropped.
        end_to_end_ms: from capture or due time to the output; None for a frame that was dropped.
        due_ns, published_ns: monotonic.
    """

    index: int
    stages_ms: dict[str, float] = field(default_factory=dict)
    end_to_end_ms: float | None = None
    due_ns: int = 0
    published_ns: int = 0


@dataclass
class Run:
    """What one pass of one engine over one sequence gave.

    Args:
        timed: every frame, in order.
        ids: class ids (H', W') by the index of every frame that was published, bars of a letterbox cut off.
        grouped: single things by index, where the engine has centres.
        captured, published: frames; ``dropped`` by reason. ``captured`` is ``published`` and all dropped.
        fps: ``source``, ``processed`` and ``published``; empty where no run went through the node.
    """

    timed: list[Timed]
    ids: dict[int, Ids]
    grouped: dict[int, Grouped] = field(default_factory=dict)
    captured: int = 0
    published: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    fps: dict[str, float | None] = field(default_factory=dict)

    def found(self, index: int) -> Found:
        """What was found in a frame that was published."""
        return Found(self.ids[index], self.grouped.get(index))

    def keep(self, index: int, found: Found) -> None:
        """Note what was found in a frame that was published."""
        self.ids[index] = found.ids
        if found.grouped is not None:
            self.grouped[index] = found.grouped

    def at_output(self, index: int) -> Ids | None:
        """What a program that reads the output has for a frame: its own result, else the last one published when it
        fell due; None before the first.
        """
        return self.ids[index] if index in self.ids else self.at_due(index)

    def at_due(self, index: int) -> Ids | None:
        """The last result that was published when a frame fell due (Li et al. 2020); None before the first."""
        published = sorted((t.published_ns, t.index) for t in self.timed if t.index in self.ids)
        at = bisect.bisect_right(published, (self.timed[index].due_ns, len(self.timed)))
        return self.ids[published[at - 1][1]] if at else None


class _Frames(Source):
    """A sequence as a source; read before the run where that takes little memory."""

    def __init__(self, sequence: FrameSequence, images: Sequence[Image] | None) -> None:
        self.name, self.frames, self.fps = sequence.name, len(sequence), sequence.fps
        self._sequence, self._images, self._closed = sequence, images, False

    def __iter__(self) -> Iterator[Frame]:
        for index, image in enumerate(self._images or self._sequence.frames()):
            if self._closed:
                return
            yield Frame(image, index, now_ns())

    def close(self) -> None:
        """End at the next frame."""
        self._closed = True


class _Output(Sink):
    """The program that reads the node's output: it has each result at once."""

    name, needs_view = "output", False

    def publish(self, result: Result) -> None:
        """Nothing is left to be done."""


class _Record(Sink):
    """Keeps what was published, with its final times."""

    name, needs_view, records = "record", False, True

    def __init__(self) -> None:
        self.timed: dict[int, Timed] = {}
        self.ids: dict[int, Ids] = {}
        self.grouped: dict[int, Grouped] = {}

    def publish(self, result: Result) -> None:
        """Keep one."""
        line, index = result.timeline, result.frame.index
        self.timed[index] = Timed(index, line.stages_ms(), line.end_to_end_ms(), line.captured, line.end)
        self.ids[index] = result.classmap.ids
        scene = result.scene
        if THING_MAPS in result.layers and scene.instances is not None:
            self.grouped[index] = Grouped(scene.instances, np.array([thing.score or 0.0 for thing in scene.things]))


def preload(sequence: FrameSequence) -> list[Image] | None:
    """The images of a sequence; None if they take more than :data:`PRELOADED_BYTES`."""
    images: list[Image] = []
    for image in sequence.frames():
        images.append(image)
        if image.nbytes * len(sequence) > PRELOADED_BYTES:
            return None
    return images


def infer_pass(engines: Sequence[Engine], images: Sequence[Image], usages: Sequence[Usage], first: int) -> list[Run]:
    """The engines alone, frame by frame in turns.

    Args:
        engines: each is timed on the images resized for it beforehand.
        images: consecutive.
        usages: by engine.
        first: which engine begins with the first frame; another one with every next.
    """
    prepared = [[prepare_for(image, engine.spec) for image in images] for engine in engines]
    runs = [Run([], {}, captured=len(images), published=len(images)) for _ in engines]
    for index, image in enumerate(images):
        size = image.shape[0], image.shape[1]
        for turn in range(len(engines)):
            i = (first + index + turn) % len(engines)
            usages[i].start()
            started = now_ns()
            inferred = engines[i].infer_things(prepared[i][index])
            ended = now_ns()
            usages[i].pause()
            ms = (ended - started) / 1e6
            runs[i].timed.append(Timed(index, {"infer": ms}, ms, started, ended))
            runs[i].keep(index, Found(*single_things(engines[i].spec, *inferred, size)))
    return runs


def loop_pass(engine: Engine, sequence: FrameSequence, images: Sequence[Image] | None, usage: Usage,
              rate: float | None) -> Run:  # fmt: skip
    """The whole node on one sequence: in closed loop, where every frame waits for its turn, or at a fixed rate.

    Args:
        engine: which the run closes.
        sequence: whose state begins afresh.
        images: of it, if they were read before.
        usage: to count into.
        rate: frames that fall due in a second; None for closed loop.
    """
    frames = _Frames(sequence, images)
    record = _Record()
    policy = "every" if rate is None else "latest"
    pipeline = Pipeline(frames if rate is None else Replay(frames, rate), engine, [_Output(), record], policy=policy)
    usage.start()
    totals = pipeline.run()
    usage.pause()
    timed = [record.timed.get(i) or Timed(i) for i in range(len(sequence))]
    if rate is not None and record.timed:
        known = next(iter(record.timed.values()))
        for one in timed:
            one.due_ns = known.due_ns + round((one.index - known.index) * 1e9 / rate)
    return Run(
        timed, record.ids, record.grouped, totals.captured, totals.published, dict(totals.dropped), dict(totals.fps)
    )


def end_to_end(runs: Sequence[Run]) -> list[float]:
    """Of all frames that were published, in order, ms."""
    return [t.end_to_end_ms for run in runs for t in run.timed if t.end_to_end_ms is not None]


def jitter_ms(runs: Sequence[Run]) -> float | None:
    """Standard deviation of the time between consecutive outputs, within sequences; None with fewer than two."""
    gaps = [gap for run in runs for gap in np.diff([t.published_ns for t in run.timed if t.published_ns]).tolist()]
    return round(float(np.std(gaps)) / 1e6, 4) if gaps else None
