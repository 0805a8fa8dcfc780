"""The null backend: no network, a fixed pattern. Measures everything of a node but its network."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from drivenet.backends import Backend
from drivenet.classmap import Ids
from drivenet.engine.base import Engine
from drivenet.engine.checks import check_image, check_precision
from drivenet.errors import EngineError
from drivenet.frame import Image
from drivenet.labels import CAMVID
from drivenet.modelspec import LabelsSpec, ModelSpec

BACKEND = Backend("null", "drivenet.engine.null:NullEngine", runs_onnx=True)

#: The spec of a null engine without a file.
SPEC = ModelSpec(
    name="null",
    architecture="none",
    input=(288, 512),
    output=(144, 256),
    mean=(0.0, 0.0, 0.0),
    std=(1.0, 1.0, 1.0),
    labels=LabelsSpec.of(CAMVID),
    params=0,
    gmac=0.0,
)


class NullEngine(Engine):
    """Gives the same ids for every picture: one horizontal band a class, id 0 at the top, bands equally high.

    The bands cannot be taken for a street: every class is there, sky or not. Every output is a fresh array that
    belongs to the caller.

    Args:
        file: an ONNX whose sizes and labels are taken on; None for CamVid's at 288x512 with ids at 144x256.
        precision: ``auto`` or what the spec has.
        threads: of no effect, since nothing is computed.

    Raises:
        UsageError: for a precision that the spec does not have.
        ModelSpecError, EngineError: for a file that is not ours or cannot be read.
    """

    backend = "null"

    def __init__(self, file: Path | None = None, precision: str = "auto", threads: int | None = None) -> None:
        self.spec = SPEC if file is None else _spec_of(file)
        self.file = "" if file is None else str(file)
        self.precision = self.spec.precision
        check_precision(precision, self.spec, self.file or "the null engine")
        (h, w), n = self.spec.output, len(self.spec.labels.classes)
        bands = (np.arange(h) * n // h).astype(np.uint8)
        self._ids: Ids | None = np.repeat(bands[:, None], w, axis=1)

    def infer(self, image: Image) -> Ids:
        """See :meth:`Engine.infer`; looks at nothing but the shape."""
        if self._ids is None:
            raise EngineError("the null engine is closed", cure="open the engine again")
        check_image(image, self.spec)
        ids: Ids = self._ids.copy()
        return ids

    def close(self) -> None:
        """Release the pattern."""
        self._ids = None


def _spec_of(file: Path) -> ModelSpec:
    from drivenet.engine.onnxruntime.file import read_spec  # without a file no backend is imported

    return read_spec(file)
