"""Benchmarks on video sets: every sequence is a map that can run anywhere, and what it gives adds up."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

import numpy as np

from drivenet.benchmark.passes import Run, infer_pass, loop_pass, preload
from drivenet.benchmark.usage import Usage
from drivenet.classmap import Ids
from drivenet.data.sequences.base import FrameSequence, VideoSet
from drivenet.engine.base import Engine
from drivenet.engine.things import single_things
from drivenet.errors import UsageError
from drivenet.evaluation.comparison import Comparison, compare
from drivenet.evaluation.flow import FlowSource
from drivenet.evaluation.sequence_score import SequenceScore
from drivenet.evaluation.sequence_scorer import Found, Seen, SequenceScorer
from drivenet.frame import Image
from drivenet.label_mapping import LabelMapping
from drivenet.labels import IGNORE_ID
from drivenet.metrics import ConfusionMatrix
from drivenet.prepare import prepare_for, resize_ids

Mode = Literal["infer", "closed", "open"]
MODES: tuple[Mode, ...] = ("infer", "closed", "open")
#: What a row's latencies mean, by mode.
CONTRACTS = {
    "infer": {
        "mode": "infer", "start": "prepared uint8 BGR image in host memory", "end": "uint8 class ids in host memory",
        "order": "engines take turns frame by frame",
    },
    "closed": {
        "mode": "closed loop", "start": "frame in host memory", "end": "the output has its result",
        "order": "engines take turns sequence by sequence; every frame waits for the one before it",
    },
    "open": {
        "mode": "open loop", "start": "the frame falls due", "end": "the output has its result",
        "order": "engines take turns sequence by sequence; a frame that the node is too busy for is dropped",
    },
}  # fmt: skip
#: Inferences of each engine before anything is timed.
WARMUP = 5
#: Images that are held in memory at a time in mode infer.
_CHUNK = 60

#: Called with engine number, sequence, frame number, image, and what was found and compared there.
Visit = Callable[[int, FrameSequence, int, Image, Seen], None]


@dataclass(frozen=True)
class Plan:
    """How a set is run.

    Args:
        mode: one of :data:`MODES`.
        rate: frames that fall due in a second, in open loop.
        flow: for temporal consistency.
        mapping: a label mapping of one's own.
    """

    mode: Mode = "infer"
    rate: float | None = None
    flow: FlowSource = field(default_factory=FlowSource)
    mapping: Callable[[Engine], LabelMapping | None] = lambda _: None

    def __post_init__(self) -> None:
        if (self.rate is not None) != (self.mode == "open"):
            raise UsageError(f"mode {self.mode} with {'a' if self.rate else 'no'} rate", "a rate for open loop alone")


@dataclass
class SequenceResult:
    """One engine on one sequence.

    Args:
        sequence, group: names.
        score: what was counted.
        run: the frames as they were timed; without their ids.
        streaming, at_due: in open loop, truth against what the output had for the frame, and what it had when the
            frame fell due.
        frames: one row a frame.
    """

    sequence: str
    group: str
    score: SequenceScore
    run: Run
    streaming: ConfusionMatrix | None = None
    at_due: ConfusionMatrix | None = None
    frames: list[dict[str, object]] = field(default_factory=list)


class Kept(Protocol):
    """Where results of sequences are kept: a :class:`~drivenet.benchmark.store.Store`."""

    def get(self, sequence: str) -> list[SequenceResult] | None:
        """Results by engine; None for a sequence that is not done."""

    def put(self, results: Sequence[SequenceResult]) -> None:
        """Keep the results of one sequence, by engine."""


def run_set(
    engines: Sequence[Engine], video: VideoSet, plan: Plan, usages: Sequence[Usage],
    progress: Callable[[int], None] = lambda _: None, visit: Visit | None = None, kept: Kept | None = None,
) -> list[list[SequenceResult]]:  # fmt: skip
    """Run every sequence of a set; see :func:`run_sequence`. Gives, by engine, the results by sequence.

    Args:
        engines: not closed.
        video: the set.
        plan: how.
        usages: by engine.
        progress: called with the frames done.
        visit: called with every frame that was scored now.
        kept: results of sequences that are done, which are not run again; gets those of the others.
    """
    commons = [compare(engine.spec.label_set, video.labels, plan.mapping(engine)) for engine in engines]
    found: list[list[SequenceResult]] = [[] for _ in engines]
    done, warm = 0, False
    for turn, sequence in enumerate(video.sequences):
        ready = kept.get(sequence.name) if kept else None
        if ready is None:
            if not warm:
                _warm_up(engines, sequence)
            warm = True
            ready = run_sequence(engines, sequence, video.things, commons, plan, usages, turn, visit)
            if kept:
                kept.put(ready)
        for results, one in zip(found, ready, strict=True):
            results.append(one)
        done += len(sequence)
        progress(done)
    return found


def run_sequence(
    engines: Sequence[Engine], sequence: FrameSequence, things: tuple[str, ...], commons: Sequence[Comparison],
    plan: Plan, usages: Sequence[Usage], turn: int = 0, visit: Visit | None = None,
) -> list[SequenceResult]:  # fmt: skip
    """Time and score engines on one sequence; nothing is carried over from another one.

    Args:
        engines, commons, usages: one each for every engine.
        sequence: the frames.
        things: classes whose instances the truth tells.
        plan: how.
        turn: which engine begins, counted round.
        visit: called with every frame that was scored.
    """
    scorer = SequenceScorer(sequence, things, commons, plan.flow)
    runs = (_infer if plan.mode == "infer" else _loop)(engines, sequence, plan, usages, turn, scorer, visit)
    results = [
        SequenceResult(sequence.name, sequence.group, score, run, frames=_rows(sequence, run, scorer.frames(i)))
        for i, (score, run) in enumerate(zip(scorer.scores(), runs, strict=True))
    ]
    for result, common in zip(results, commons, strict=True):
        if plan.mode == "open":
            result.streaming, result.at_due = (
                _streamed(sequence, common, look) for look in (result.run.at_output, result.run.at_due)
            )
        result.run.ids, result.run.grouped = {}, {}
    return results


def _infer(engines: Sequence[Engine], sequence: FrameSequence, plan: Plan, usages: Sequence[Usage], turn: int,
           scorer: SequenceScorer, visit: Visit | None) -> list[Run]:  # fmt: skip
    runs = [Run([], {}) for _ in engines]
    done = 0
    for images in _chunks(sequence.frames()):
        for run, part in zip(runs, infer_pass(engines, images, usages, turn + done), strict=True):
            for one in part.timed:
                one.index += done
            run.timed += part.timed
            run.ids, run.grouped = part.ids, part.grouped
            run.captured += part.captured
            run.published += part.published
        for i, image in enumerate(images):
            _score(scorer, sequence, done + i, image, [run.found(i) for run in runs], visit)
        done += len(images)
    return runs


def _loop(engines: Sequence[Engine], sequence: FrameSequence, plan: Plan, usages: Sequence[Usage], turn: int,
          scorer: SequenceScorer, visit: Visit | None) -> list[Run]:  # fmt: skip
    images = preload(sequence)
    by_engine: dict[int, Run] = {}
    for k in range(len(engines)):
        i = (turn + k) % len(engines)
        by_engine[i] = loop_pass(engines[i], sequence, images, usages[i], plan.rate)
    runs = [by_engine[i] for i in range(len(engines))]
    for index, image in enumerate(images or sequence.frames()):
        if plan.mode == "closed":
            found = [run.found(index) for run in runs]
        else:
            found = [_alone(engine, image) for engine in engines]
        _score(scorer, sequence, index, image, found, visit)
    return runs


def _alone(engine: Engine, image: Image) -> Found:
    inferred = engine.infer_things(prepare_for(image, engine.spec))
    return Found(*single_things(engine.spec, *inferred, (image.shape[0], image.shape[1])))


def _score(scorer: SequenceScorer, sequence: FrameSequence, index: int, image: Image, found: list[Found],
           visit: Visit | None) -> None:  # fmt: skip
    for i, one in enumerate(scorer.add(index, image, found)):
        if visit is not None:
            visit(i, sequence, index, image, one)


def _streamed(sequence: FrameSequence, common: Comparison, look: Callable[[int], Ids | None]) -> ConfusionMatrix:
    matrix = ConfusionMatrix.empty(common.labels)
    for index in sequence.labelled:
        truth = sequence.truth(index).ids
        ids = look(index)
        size = truth.shape[0], truth.shape[1]
        seen = np.full(size, IGNORE_ID, np.uint8) if ids is None else common.predicted[resize_ids(ids, size)]
        matrix.add(common.truth[truth], seen)
    return matrix


def _rows(sequence: FrameSequence, run: Run, scored: list[dict[str, float]]) -> list[dict[str, object]]:
    return [
        {
            "sequence": sequence.name, "group": sequence.group, "frame": sequence.names[timed.index],
            "index": timed.index, "published": timed.end_to_end_ms is not None,
            "end_to_end_ms": timed.end_to_end_ms, "stages_ms": timed.stages_ms, **figures,
        }
        for timed, figures in zip(run.timed, scored, strict=True)
    ]  # fmt: skip


def _chunks(frames: Iterator[Image]) -> Iterator[list[Image]]:
    while images := list(itertools.islice(frames, _CHUNK)):
        yield images


def _warm_up(engines: Sequence[Engine], sequence: FrameSequence) -> None:
    image = next(iter(sequence.frames()))
    for engine in engines:
        for _ in range(WARMUP):
            engine.infer_things(prepare_for(image, engine.spec))
