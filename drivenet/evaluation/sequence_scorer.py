"""Scores engines on one sequence, frame by frame; what does not depend on the engine is computed once for all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
import numpy.typing as npt

from drivenet.classmap import Ids
from drivenet.data.sequences.base import Flow, FrameSequence, Mask, Truth
from drivenet.errors import SourceError
from drivenet.evaluation.comparison import Comparison
from drivenet.evaluation.consistency import VC_WINDOWS, Mean, SequenceConsistency, video_consistency
from drivenet.evaluation.flow import FlowSource, dis_flow
from drivenet.evaluation.followed import FollowedThings
from drivenet.evaluation.parted import compared
from drivenet.evaluation.sequence_score import SequenceScore
from drivenet.frame import Image
from drivenet.panoptic import Segments, segments, thing_table
from drivenet.panoptic.quality import VPQ_WINDOWS, add_tubes
from drivenet.panoptic.sequences import SequenceTracks
from drivenet.prepare import prepare, resize_ids
from drivenet.things import InstanceMap
from drivenet.things.components import components
from drivenet.things.grouping import Grouped

#: Consistency and flicker are taken at the frames' size, halved until it has no more pixels than this.
FOLLOWED_PIXELS = 600_000


@dataclass(frozen=True)
class Found:
    """What an engine found in one frame.

    Args:
        ids: (H', W') uint8 class ids of the engine.
        grouped: its single things; None where the engine has none, and connected components stand in.
    """

    ids: Ids
    grouped: Grouped | None = None


@dataclass(frozen=True, eq=False)
class Seen:
    """One frame as one engine found it.

    Args:
        found: what the engine gave.
        followed: its things with the ids of the tracker; of this frame until the next one is counted.
        figures: ``miou`` where it is labelled, ``mtc`` and ``flicker`` against the frame before.
        truth, predicted: (H, W) ids of the classes compared on, at the size of the label; None without one.
        things: of the prediction, as :func:`things_of` gives them; None where the truth has none.
    """

    found: Found
    followed: FollowedThings
    figures: dict[str, float]
    truth: Ids | None = None
    predicted: Ids | None = None
    things: tuple[Ids, InstanceMap] | None = None


@dataclass
class _Engine:
    """The state of one engine over the sequence."""

    score: SequenceScore
    consistency: SequenceConsistency
    tracks: SequenceTracks
    followed: FollowedThings
    before: Ids | None = None
    truths: list[Ids] = field(default_factory=list)
    predictions: list[Ids] = field(default_factory=list)
    true_segments: list[Segments] = field(default_factory=list)
    found_segments: list[Segments] = field(default_factory=list)
    frames: list[dict[str, float]] = field(default_factory=list)


class SequenceScorer:
    """One sequence and several engines. Give it every frame in order, then ask for :meth:`scores`.

    Args:
        sequence: the frames and their truth.
        things: the classes whose instances the truth tells.
        commons: by engine what it is compared on.
        flow: where the flow between consecutive frames comes from.
    """

    def __init__(self, sequence: FrameSequence, things: tuple[str, ...], commons: Sequence[Comparison],
                 flow: FlowSource) -> None:  # fmt: skip
        self.sequence, self.things, self.flow = sequence, things, flow
        self._labelled = set(sequence.labelled)
        self._dense = len(self._labelled) == len(sequence) and sequence.consecutive
        self._grey: Image | None = None
        self._sizes: dict[str, tuple[int, ...]] = {}
        self._engines = [
            _Engine(SequenceScore(common, self._things(common)), SequenceConsistency(common.labels),
                    SequenceTracks(common.labels, self._things(common)), FollowedThings(common, sequence.fps))
            for common in commons
        ]  # fmt: skip

    def add(self, index: int, image: Image, found: Sequence[Found]) -> list[Seen]:
        """Count one frame, as every engine found it, and give what was compared.

        Raises:
            SourceError: for a frame or label of another size than those before, or a label that lies on its side.
        """
        size = followed_size(image)
        grey = np.asarray(cv2.cvtColor(prepare(image, size), cv2.COLOR_BGR2GRAY), np.uint8)
        self._check_size(index, "frame", image.shape[:2])
        truth = self._truth(index, image) if index in self._labelled else None
        flows = self._flows(index, grey)
        seen = []
        for engine, one in zip(self._engines, found, strict=True):
            engine.score.frames += 1
            engine.frames.append({})
            engine.followed.see(index, one.ids, one.grouped)
            pair = self._compare(engine, truth, one) if truth is not None else ()
            seen.append(Seen(one, engine.followed, engine.frames[-1], *pair))
            if self.sequence.consecutive:
                self._follow(engine, grey, engine.score.common.predicted[resize_ids(one.ids, size)], flows)
        self._grey = grey
        return seen

    def scores(self) -> list[SequenceScore]:
        """The counts of the sequence, by engine."""
        for engine in self._engines:
            score = engine.score
            score.tc, score.mtc = Mean.of(engine.consistency.tc), engine.consistency.pairs
            if len(self._labelled) > 1:  # a track needs two frames
                score.tracking = engine.tracks.counts()
            if self._dense:
                starts = self.sequence.starts
                for window in VC_WINDOWS:
                    found = video_consistency(engine.truths, engine.predictions, window, starts)
                    score.vc[window] = Mean.of(found)
                for window in VPQ_WINDOWS if score.things else ():
                    add_tubes(score.tubes[window], engine.true_segments, engine.found_segments, window, starts)
        return [engine.score for engine in self._engines]

    def frames(self, engine: int) -> list[dict[str, float]]:
        """By frame of one engine: ``miou`` where it is labelled, ``mtc`` and ``flicker`` against the frame before."""
        return self._engines[engine].frames

    def _truth(self, index: int, image: Image) -> Truth:
        truth = self.sequence.truth(index)
        height, width = truth.ids.shape
        if height != width and (width, height) == image.shape[:2]:
            raise SourceError(f"{self.sequence.names[index]} is {height}x{width}, its label {width}x{height}",
                              "both turned alike", "store both upright")  # fmt: skip
        if self._dense:
            self._check_size(index, "label", truth.ids.shape)
        return truth

    def _check_size(self, index: int, kind: str, size: tuple[int, ...]) -> None:
        """What follows each other in time is compared pixel by pixel."""
        before = self._sizes.setdefault(kind, size)
        if size != before and self.sequence.consecutive:
            raise SourceError(f"{kind} {self.sequence.names[index]} is {size[1]}x{size[0]}",
                              f"{before[1]}x{before[0]}, as those before it in {self.sequence.name}",
                              "put what has another size into a sequence of its own")  # fmt: skip

    def _flows(self, index: int, grey: Image) -> tuple[tuple[Flow, Mask], tuple[Flow, Flow]] | None:
        """To the frame before, as asked for; and by DIS to it and back, for the flicker rate."""
        if self._grey is None or not self.sequence.consecutive or index in self.sequence.starts:
            return None
        backward = self.flow.backward(self.sequence, index, self._grey, grey)
        back = backward[0] if self.flow.name == "dis" else dis_flow(grey, self._grey)
        return backward, (back, dis_flow(self._grey, grey))

    def _follow(self, engine: _Engine, grey: Image, ids: Ids,
                flows: tuple[tuple[Flow, Mask], tuple[Flow, Flow]] | None) -> None:  # fmt: skip
        if flows is not None and engine.before is not None and self._grey is not None:
            flicker = engine.score.flicker
            changed, tracked = int(flicker.changed.sum()), int(flicker.tracked.sum())
            engine.frames[-1]["mtc"] = engine.consistency.add(engine.before, ids, flows[0])
            flicker.add((self._grey, engine.before), (grey, ids), flows[1])
            tracked = int(flicker.tracked.sum()) - tracked
            engine.frames[-1]["flicker"] = (int(flicker.changed.sum()) - changed) / tracked if tracked else 0.0
        engine.before = ids

    def _compare(self, engine: _Engine, truth: Truth, found: Found) -> tuple[Ids, Ids, tuple[Ids, InstanceMap] | None]:
        score, size = engine.score, (truth.ids.shape[0], truth.ids.shape[1])
        true, ids = score.common.truth[truth.ids], score.common.predicted[resize_ids(found.ids, size)]
        before = score.matrix.counts.copy(), score.matrix.unlabelled.copy()
        score.matrix.add(true, ids)
        one = type(score.matrix)(score.common.labels, score.matrix.counts - before[0],
                                 score.matrix.unlabelled - before[1])  # fmt: skip
        engine.frames[-1]["miou"] = one.miou()
        score.boundary.add(true, ids)
        score.labelled += 1
        if self._dense:
            engine.truths.append(true)
            engine.predictions.append(ids)
        if truth.instances is None or not score.things:
            return true, ids, None
        things = things_of(found, ids, score.common, score.things)
        score.instances.add(true, truth.instances, ids)
        self._compare_things(engine, (true, truth.instances), things)
        return true, ids, things

    def _compare_things(self, engine: _Engine, truth: tuple[Ids, npt.NDArray[np.int32]],
                        found: tuple[Ids, InstanceMap]) -> None:  # fmt: skip
        score = engine.score
        table = thing_table(score.common.labels, score.things)
        pair = segments(*truth, table, crowds=True), segments(*found, table)
        score.panoptic.add(*pair)
        followed = engine.followed.at((truth[0].shape[0], truth[0].shape[1]))
        engine.tracks.add(truth, followed)
        if self._dense:
            engine.true_segments.append(pair[0])
            engine.found_segments.append(segments(*followed, table))

    def _things(self, common: Comparison) -> tuple[str, ...]:
        return self.things if common.on == "classes" else ()


def things_of(found: Found, ids: Ids, common: Comparison, things: Sequence[str]) -> tuple[Ids, InstanceMap]:
    """The single things of a prediction: the engine's, each of one class, or connected components of each group.

    Args:
        found: of the engine.
        ids: (H, W) the same in the classes compared on, at the size wanted.
        common: what is compared.
        things: the classes that are counted.

    Returns:
        (H, W) class ids and instances.
    """
    if found.grouped is not None:
        return compared(found.ids, found.grouped.instances, common, (ids.shape[0], ids.shape[1]))
    kinds = np.where(thing_table(common.labels, tuple(things)), common.labels.countable_table, 0).astype(np.uint8)
    return ids, components(ids, kinds)[0]


def followed_size(image: Image) -> tuple[int, int]:
    """(height, width) that consistency is taken at; the same for every engine."""
    height, width = image.shape[:2]
    while height * width > FOLLOWED_PIXELS:
        height, width = height // 2, width // 2
    return height, width
