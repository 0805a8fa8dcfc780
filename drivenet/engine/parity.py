"""The gate that every build passes through: the artefact against its FP32 reference on the same pictures."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path

from drivenet.artefacts.passport import Parity
from drivenet.engine.base import Engine
from drivenet.engine.things import infer_instances
from drivenet.errors import EngineError, UsageError
from drivenet.frame import Image
from drivenet.metrics import ConfusionMatrix
from drivenet.prepare import prepare_for
from drivenet.things.agreement import ThingAgreement

#: By precision: least share of equal pixels, least IoU of the worst class.
THRESHOLDS = {"fp32": (0.999, 0.95), "fp16": (0.995, 0.80), "bf16": (0.995, 0.80), "int8": (0.97, 0.50)}
#: By precision: least share of the reference's things that are found again.
LEAST_THINGS = {"fp32": 0.95, "fp16": 0.85, "bf16": 0.85, "int8": 0.8}
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
        EngineError: if the two differ in classes, sizes, letterbox or things, or an inference fails.
    """
    ours, theirs = candidate.spec, reference.spec
    if (ours.labels, ours.input, ours.output) != (theirs.labels, theirs.input, theirs.output):
        raise EngineError(
            f"{candidate.file} gives {ours.output} ids of {ours.labels.name} from {ours.input}",
            f"{theirs.output} of {theirs.labels.name} from {theirs.input} as {reference.file}",
        )
    if ours.letterbox != theirs.letterbox:
        told = f"{candidate.file} with letterbox {ours.letterbox}"
        raise EngineError(told, f"{theirs.letterbox} as {reference.file}")
    if ours.things != theirs.things:
        told = f"{candidate.file} gives {ours.things or 'no things'}"
        raise EngineError(told, f"{theirs.things or 'none'} as {reference.file}", "name its own --reference")
    if not pictures:
        raise UsageError("no pictures to compare on")
    matrix, things = ConfusionMatrix.empty(theirs.label_set), ThingAgreement()
    for done, picture in enumerate(pictures, 1):
        image, size = prepare_for(picture, theirs), (picture.shape[0], picture.shape[1])
        exact, wanted = infer_instances(reference, image, size)
        found, instances = infer_instances(candidate, image, size)
        matrix.add(exact, found)
        if wanted is not None and instances is not None:
            things.add(wanted, instances)
        if progress is not None:
            progress(done, len(pictures))
    if theirs.things is not None and not things.counted:
        raise UsageError(f"the reference sees no things on {source}", "one", "give --calibration other pictures")
    return _parity(matrix, things, Path(reference.file).name, candidate.precision, len(pictures), source)


def _parity(
    matrix: ConfusionMatrix, things: ThingAgreement, reference: str, precision: str, images: int, source: str
) -> Parity:
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
