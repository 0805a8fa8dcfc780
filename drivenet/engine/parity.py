"""The gate that every build passes through: the artefact against its FP32 reference on the same pictures."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from drivenet.artefacts.passport import Parity
from drivenet.classmap import Confidence
from drivenet.engine.base import Engine
from drivenet.engine.things import infer_instances
from drivenet.errors import EngineError, UsageError
from drivenet.frame import Image
from drivenet.metrics import ConfusionMatrix
from drivenet.modelspec import ModelSpec
from drivenet.prepare import Size, crop_bars, prepare_for
from drivenet.things.agreement import ThingAgreement

#: By precision: least share of equal pixels, least IoU of the worst class.
THRESHOLDS = {"fp32": (0.999, 0.95), "fp16": (0.995, 0.80), "bf16": (0.995, 0.80), "int8": (0.97, 0.50)}
#: By precision: least share of the reference's things that are found again.
LEAST_THINGS = {"fp32": 0.95, "fp16": 0.85, "bf16": 0.85, "int8": 0.8}
#: By precision: least share of the pixels that the reference or the artefact is not sure of, whose confidence is alike.
LEAST_CONFIDENCE = {"fp32": 0.99, "fp16": 0.95, "bf16": 0.95, "int8": 0.7}
#: A confidence below this is unsure, and two that differ by no more than this are alike: 0.9 and 0.1, of 255.
UNSURE, ALIKE = 230, 25
#: A class that fills less of the reference is too few pixels for an IoU.
MIN_SHARE = 0.001

Progress = Callable[[int, int], None]


def compare(
    reference: Engine,
    candidate: Engine,
    pictures: Sequence[Image],
    source: str,
    progress: Progress | None = None,
) -> Parity:
    """Show the same pictures to two engines.

    Args:
        reference: the FP32 ONNX.
        candidate: what was built; its precision chooses the thresholds.
        pictures: uint8 BGR of any size.
        source: what they are, for the passport.
        progress: called with (done, total) after every picture.

    Raises:
        UsageError: for no pictures, none that tell classes apart, or none with things for an engine that parts them.
        EngineError: if the two differ in classes, sizes, letterbox, confidence or things, or an inference fails.
    """
    check_alike(candidate.spec, candidate.file, reference.spec, reference.file)
    if not pictures:
        raise UsageError("no pictures to compare on")
    theirs = reference.spec
    matrix, things, sure = ConfusionMatrix.empty(theirs.label_set), ThingAgreement(), ConfidenceAgreement()
    for done, picture in enumerate(pictures, 1):
        image, size = prepare_for(picture, theirs), (picture.shape[0], picture.shape[1])
        exact, wanted = infer_instances(reference, image, size)
        found, instances = infer_instances(candidate, image, size)
        matrix.add(exact, found)
        if wanted is not None and instances is not None:
            things.add(wanted, instances)
        if theirs.confidence:
            sure.add(*(_confidence(engine, image, size) for engine in (reference, candidate)))
        if progress is not None:
            progress(done, len(pictures))
    if theirs.things is not None and not things.counted:
        raise UsageError(f"the reference sees no things on {source}", "one", "give --calibration other pictures")
    share = sure.share if theirs.confidence else None
    return _parity(matrix, things, share, Path(reference.file).name, candidate.precision, len(pictures), source)


def check_alike(ours: ModelSpec, file: str | Path, theirs: ModelSpec, reference: str | Path) -> None:
    """EngineError unless two models take and give the same."""
    if (ours.labels, ours.input, ours.output) != (theirs.labels, theirs.input, theirs.output):
        raise EngineError(
            f"{file} gives {ours.output} ids of {ours.labels.name} from {ours.input}",
            f"{theirs.output} of {theirs.labels.name} from {theirs.input} as {reference}",
        )
    if ours.letterbox != theirs.letterbox:
        raise EngineError(f"{file} with letterbox {ours.letterbox}", f"{theirs.letterbox} as {reference}")
    if ours.things != theirs.things:
        told = f"{file} gives {ours.things or 'no things'}"
        raise EngineError(told, f"{theirs.things or 'none'} as {reference}", "name its own --reference")
    if ours.confidence != theirs.confidence:
        told = f"{file} gives {'a' if ours.confidence else 'no'} confidence"
        wanted = f"{'one' if theirs.confidence else 'none'} as {reference}"
        raise EngineError(told, wanted, "name its own --reference")


def _confidence(engine: Engine, image: Image, size: Size) -> Confidence:
    """(h, w) uint8 without the bars of a letterbox; EngineError from an engine that gives none."""
    found = engine.infer_confident(image)[1]
    if found is None:
        raise EngineError(f"{engine.file} gives no confidence in {engine.backend}", "that of its model",
                          "use the model without it")  # fmt: skip
    return crop_bars(found, engine.spec, size)


@dataclass
class ConfidenceAgreement:
    """Counts over images. Where both are sure they say the same, and most pixels are like that: those do not count.

    Args:
        counted: pixels that one of the two is not sure of.
        alike: of these, those whose confidence differs by :data:`ALIKE` at most.
    """

    counted: int = 0
    alike: int = 0

    def add(self, reference: Confidence, candidate: Confidence) -> None:
        """Count one image; both (H', W')."""
        one, other = (found.astype(np.int16) for found in (reference, candidate))
        unsure = np.minimum(one, other) < UNSURE
        self.counted += int(np.count_nonzero(unsure))
        self.alike += int(np.count_nonzero(unsure & (np.abs(one - other) <= ALIKE)))

    @property
    def share(self) -> float:
        """Of the counted pixels those that are alike, 0..1; 1 where none was counted."""
        return self.alike / self.counted if self.counted else 1.0


def _parity(
    matrix: ConfusionMatrix, things: ThingAgreement, sure: float | None, reference: str, precision: str, images: int,
    source: str,
) -> Parity:  # fmt: skip
    worst, iou = _worst(matrix, source)
    agreement, least_iou = THRESHOLDS[precision]
    share = things.share
    return Parity(
        reference=reference,
        pictures=source,
        images=images,
        agreement=round(matrix.pixel_accuracy(), 6),
        worst_class=worst,
        worst_iou=round(iou, 6),
        min_agreement=agreement,
        min_iou=least_iou,
        things=None if share is None else round(share, 4),
        min_things=None if share is None else LEAST_THINGS[precision],
        confidence=None if sure is None else round(sure, 4),
        min_confidence=None if sure is None else LEAST_CONFIDENCE[precision],
    )


def _worst(matrix: ConfusionMatrix, source: str) -> tuple[str, float]:
    """The class with the lowest IoU among those that fill :data:`MIN_SHARE` of the reference.

    Raises:
        UsageError: for fewer than two of them: whatever gives that class alone would pass.
    """
    share = matrix.counts.sum(1) / max(1, matrix.counts.sum())
    rows = zip(matrix.iou().items(), share, strict=True)
    counted = [(iou, name) for (name, iou), part in rows if part >= MIN_SHARE and not math.isnan(iou)]
    if len(counted) < 2:
        only = f"nothing but {counted[0][1]}" if counted else "nothing"
        raise UsageError(f"the reference sees {only} on {source}", "two classes", "give --calibration other pictures")
    iou, name = min(counted)
    return name, iou
