"""int8 for networks that were not made for it: the front stays float until the ids agree with the float model's."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from pathlib import Path

import numpy as np

from drivenet.engine.onnxruntime.engine import OnnxRuntimeEngine
from drivenet.engine.onnxruntime.file import CPU
from drivenet.export.int8 import PARTS, quantise
from drivenet.export.stored import load, store
from drivenet.frame import Image
from drivenet.modelspec import ModelSpec
from drivenet.prepare import prepare_for

#: Fractions of the convolutions, from the input on, that stay float: one try after the other. The first tenth always
#: does, since what it rounds goes through the whole network.
FRONTS = (0.1, 0.4, 0.8)
#: Fraction of equal ids that ends the search. A build is refused below 0.97, and its backend rounds a little more.
ENOUGH = 0.98
#: Images that the ids are compared on, evenly taken.
COMPARED = 16


def quantise_agreeing(
    source: Path, out: Path, pictures: Sequence[Image], tell: Callable[[str], None] = lambda text: None
) -> ModelSpec:
    """Write an int8 version that agrees with the float model, or of all tries the one that agrees best.

    Args:
        source, out, pictures: as for :func:`~drivenet.export.int8.quantise`.
        tell: called with one line for each try beyond the first.

    Raises:
        UsageError, ModelSpecError, SinkError: as :func:`~drivenet.export.int8.quantise`.
    """
    best, chosen = -1.0, load(source)
    with tempfile.TemporaryDirectory() as folder:
        for front in FRONTS:
            trial = Path(folder) / str(front) / out.name
            quantise(source, trial, pictures, PARTS, front)
            agreement = _agreement(source, trial, pictures)
            if agreement > best:
                best, chosen = agreement, load(trial)
            if agreement >= ENOUGH:
                break
            tell(f"{agreement:.2%} of pixels as in float with {front:.0%} of the layers in float, {ENOUGH:.0%} wanted")
    model, spec = chosen
    store(model, spec, out, full_check=False)
    return spec


def _agreement(source: Path, trial: Path, pictures: Sequence[Image]) -> float:
    """Fraction of equal ids."""
    chosen = pictures[:: max(1, len(pictures) // COMPARED)]
    with ExitStack() as opened:
        exact, ours = (opened.enter_context(closing(OnnxRuntimeEngine(f, providers=CPU))) for f in (source, trial))
        images = [prepare_for(picture, exact.spec) for picture in chosen]
        return float(np.mean([np.mean(exact.infer(image) == ours.infer(image)) for image in images]))
