"""What is kept of frames while a video set is run: predictions in files, and pictures for the page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from drivenet.benchmark.video import Visit
from drivenet.data.base import Sample
from drivenet.data.predictions import Prediction, PredictionWriter, open_writer
from drivenet.data.sequences.base import FrameSequence, VideoSet
from drivenet.errors import UsageError
from drivenet.evaluation import Scored
from drivenet.evaluation.comparison import Comparison
from drivenet.evaluation.gallery import Gallery
from drivenet.evaluation.sequence_scorer import Seen, things_of
from drivenet.frame import Image
from drivenet.labels import LabelSet
from drivenet.panoptic import thing_classes
from drivenet.prepare import prepare, resize_ids

#: Width of the small overlays of a strip, and how many of the most flickering seconds are kept.
THUMB, STRIPS = 192, 10


class Predictions:
    """Writes the predictions of labelled frames, or of every frame of a sequence without labels.

    Args:
        folder: one folder below it for each engine, if there are several.
        form: one of :data:`~drivenet.data.predictions.FORMATS`.
        names: of the engines.
        commons: by engine what it is compared on.

    Raises:
        UsageError: for an engine whose classes no mapping leads from, or a format that cannot hold them.
    """

    def __init__(self, folder: Path, form: str, names: Sequence[str], commons: Sequence[Comparison],
                 video: VideoSet) -> None:  # fmt: skip
        for name, common in zip(names, commons, strict=True):
            if common.on != "classes":
                raise UsageError(f"predictions of {name} in classes of {video.labels.name}", "an engine that has them")
        self._things = video.things or thing_classes(video.labels)
        self._commons = commons
        self._writers: list[PredictionWriter] = [
            open_writer(form, folder / name if len(names) > 1 else folder, video.labels, self._things) for name in names
        ]

    def visit(self, engine: int, sequence: FrameSequence, index: int, image: Image, seen: Seen) -> None:
        """Write one frame, if it is one to be written."""
        writer, common = self._writers[engine], self._commons[engine]
        if seen.predicted is None and sequence.labelled:
            return
        size = image.shape[0], image.shape[1]
        ids = common.predicted[resize_ids(seen.found.ids, size)] if seen.predicted is None else seen.predicted
        lasting = seen.followed.at((ids.shape[0], ids.shape[1])) if writer.lasting else None
        parted, instances = lasting or seen.things or things_of(seen.found, ids, common, self._things)
        name, place = sequence.names[index], sequence.place(index)
        writer.add(Prediction(name, sequence.name, sequence.group, ids, instances, parted, place))

    def close(self) -> None:
        """Write what lists them."""
        for writer in self._writers:
            writer.close()


@dataclass(frozen=True)
class Strip:
    """About a second of one sequence: small overlays and the mean flicker rate, 0..1."""

    sequence: str
    first: str
    rate: float
    thumbs: tuple[bytes, ...]


@dataclass
class EngineGallery:
    """The worst frames and the most flickering seconds of one engine."""

    labels: LabelSet
    worst: Gallery = field(default_factory=Gallery)
    strips: list[Strip] = field(default_factory=list)
    sequences: set[str] = field(default_factory=set)
    _second: list[tuple[str, float | None, bytes]] = field(default_factory=list)
    _sequence: str = ""

    def visit(self, sequence: FrameSequence, index: int, image: Image, seen: Seen, colours: LabelSet) -> None:
        """Keep what may be shown of one frame."""
        self.sequences.add(sequence.name)
        if seen.truth is not None and seen.predicted is not None:
            height, width = seen.truth.shape
            sample = Sample(prepare(image, (height, width)), seen.truth, sequence.names[index])
            miou = seen.figures.get("miou", float("nan"))
            self.worst.visit(Scored(sample, seen.truth, seen.predicted, self.labels, miou))
        if sequence.name != self._sequence or len(self._second) >= max(2, round(sequence.fps or 10)):
            self.end_second()
            self._sequence = sequence.name
        self._second.append((sequence.names[index], seen.figures.get("flicker"), _thumb(image, seen, colours)))

    def end_second(self) -> None:
        """Close the second at hand; keeps the :data:`STRIPS` that flicker most."""
        rates = [rate for _, rate, _ in self._second if rate is not None]
        if rates:
            step = max(1, len(self._second) // 6)
            thumbs = tuple(thumb for _, _, thumb in self._second[::step][:6])
            self.strips.append(Strip(self._sequence, self._second[0][0], float(np.mean(rates)), thumbs))
            self.strips = sorted(self.strips, key=lambda strip: -strip.rate)[:STRIPS]
        self._second = []


class Galleries:
    """One :class:`EngineGallery` an engine."""

    def __init__(self, labels: Sequence[LabelSet], commons: Sequence[Comparison]) -> None:
        self.engines = [EngineGallery(common.labels) for common in commons]
        self._colours = tuple(labels)

    def visit(self, engine: int, sequence: FrameSequence, index: int, image: Image, seen: Seen) -> None:
        """Keep what may be shown of one frame."""
        self.engines[engine].visit(sequence, index, image, seen, self._colours[engine])

    def close(self) -> None:
        """No more frames come."""
        for engine in self.engines:
            engine.end_second()


def together(*visits: Visit | None) -> Visit | None:
    """One visit that calls those that there are."""
    present = [visit for visit in visits if visit is not None]
    if not present:
        return None

    def visit(engine: int, sequence: FrameSequence, index: int, image: Image, seen: Seen) -> None:
        for one in present:
            one(engine, sequence, index, image, seen)

    return visit


def _thumb(image: Image, seen: Seen, labels: LabelSet) -> bytes:
    size = max(1, round(image.shape[0] * THUMB / image.shape[1])), THUMB
    colours = np.asarray(labels.bgr_table[resize_ids(seen.found.ids, size)])
    blend = cv2.addWeighted(prepare(image, size), 0.5, colours, 0.5, 0)
    return cv2.imencode(".jpg", blend, [cv2.IMWRITE_JPEG_QUALITY, 75])[1].tobytes()
