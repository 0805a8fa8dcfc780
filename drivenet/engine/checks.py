"""What every backend checks before it computes: the picture, the precision asked for, the ids that came out."""

from __future__ import annotations

import numpy as np

from drivenet.classmap import Confidence, Ids, ThingMaps
from drivenet.engine.base import Engine
from drivenet.errors import EngineError, UsageError
from drivenet.frame import Image
from drivenet.modelspec import ModelSpec


def check_image(image: Image, spec: ModelSpec) -> None:
    """EngineError unless the picture is (H, W, 3) uint8 with (H, W) = ``spec.input``."""
    h, w = spec.input
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.shape != (h, w, 3):
        got = f"{image.dtype} {image.shape}" if isinstance(image, np.ndarray) else type(image).__name__
        raise EngineError(f"{spec.name} was given {got}", f"uint8 ({h}, {w}, 3)", "pass the picture through prepare")


def check_ids(ids: Ids, spec: ModelSpec, where: str) -> None:
    """EngineError unless ids are (H', W') uint8 with (H', W') = ``spec.output`` and all have a class."""
    if ids.dtype != np.uint8 or ids.shape != spec.output:
        raise EngineError(f"{where} gave {ids.dtype} {ids.shape}", f"uint8 {spec.output}", "export the model again")
    top, n = int(ids.max()), len(spec.labels.classes)
    if top >= n:
        raise EngineError(
            f"{where} gave class id {top}",
            f"ids 0..{n - 1} of its label set {spec.labels.name}",
            "export the model with the label set that it was trained on",
        )


def check_confidence(confidence: Confidence, spec: ModelSpec, where: str) -> None:
    """EngineError unless confidences are (H', W') uint8 with (H', W') = ``spec.output`` and possible.

    The class with the highest of n probabilities has at least 1/n; a little less by the rounding of bf16.
    """
    if confidence.dtype != np.uint8 or confidence.shape != spec.output:
        got = f"confidence {confidence.dtype} {confidence.shape}"
        raise EngineError(f"{where} gave {got}", f"uint8 {spec.output}", "export the model again")
    least, n = int(confidence.min()), len(spec.labels.classes)
    if least < 255 // (n + 1):
        raise EngineError(
            f"{where} gave a winning class the confidence {least}/255",
            f"at least {255 // (n + 1)}/255 with {n} classes",
            "export the model again from a sound checkpoint",
        )


def check_things(maps: ThingMaps, spec: ModelSpec, where: str) -> None:
    """EngineError unless the maps are uint8 and of the shapes that the spec says."""
    got = [(m.dtype, m.shape) for m in (maps.centres, maps.offsets)]
    cells = spec.things.cells if spec.things else (0, 0)
    if got != [(np.dtype(np.uint8), cells), (np.dtype(np.uint8), (2, *cells))]:
        raise EngineError(
            f"{where} gave centres {got[0][0]} {got[0][1]} and offsets {got[1][0]} {got[1][1]}",
            f"uint8 {cells} and {(2, *cells)}",
            "export the model again",
        )


def check_precision(asked: str, spec: ModelSpec, where: str) -> None:
    """UsageError if another precision was asked for than an artefact that is run as it is has."""
    if asked not in ("auto", spec.precision):
        raise UsageError(
            f"precision {asked} for {where}, which is {spec.precision}",
            f"auto or {spec.precision}",
            "drivenet models lists the precision of each engine",
        )


def warm_up(engine: Engine) -> None:
    """Run noise and a flat grey through an engine, so that what is wrong with it shows now and not on the road."""
    shape = (*engine.spec.input, 3)
    engine.infer(np.random.default_rng(0).integers(0, 256, shape, np.uint8))
    engine.infer(np.full(shape, 128, np.uint8))
