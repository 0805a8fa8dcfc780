"""What a model from elsewhere gives by its own rules: declared preprocessing in NumPy, the original in ONNX Runtime."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from drivenet.classmap import Ids
from drivenet.convert.declaration import Declaration
from drivenet.convert.ports import Input, Output
from drivenet.errors import EngineError, UsageError
from drivenet.frame import Image

#: Least fraction of pixels on which the imported model and the original agree.
LEAST = 0.999

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Agreement:
    """An imported model held against its original.

    Args:
        pictures: how many were compared.
        source: where they are from.
        equal: fraction of equal ids over all pixels.
        classes: names of the classes that the original gives on them.
    """

    pictures: int
    source: str
    equal: float
    classes: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.equal:.4%} of pixels equal the original's on {self.pictures} pictures of {self.source}"


class Reference:
    """The original behind NumPy preprocessing.

    Args:
        session: ONNX Runtime's, of the original file.
        taken, given: its input and output.
        declared: the preprocessing.
        output: (height, width) of the class map.
        classes: how many there are.
    """

    def __init__(
        self, session: Any, taken: Input, given: Output, declared: Declaration, output: tuple[int, int], classes: int
    ) -> None:  # fmt: skip
        self.session, self.taken, self.given, self.declared = session, taken, given, declared
        self.output, self.classes = output, classes

    def ids(self, image: Image) -> Ids:
        """Class ids of a picture that has the input's size, (H, W, 3) uint8 BGR; UsageError for one without a class."""
        declared = self.declared
        pixels = image[..., ::-1] if declared.colour == "rgb" else image
        x = (pixels.astype(np.float64) * declared.scale - declared.mean) / declared.std
        x = x[None] if self.taken.layout == "nhwc" else x.transpose(2, 0, 1)[None]
        (found,) = self.session.run([self.given.name], {self.taken.name: x.astype(self.taken.dtype)})
        return self._decide(np.asarray(found))

    def _decide(self, found: npt.NDArray[Any]) -> Ids:
        given = self.given
        if given.kind == "ids":
            return self._named(found.reshape(given.size))
        if given.kind == "sigmoid":
            plane = resize(found.reshape(1, *given.size).astype(np.float32), self.output)[0]
            return np.asarray(plane > given.threshold, np.uint8)
        scores = found[0].astype(np.float32)
        scores = scores if given.channel == 1 else scores.transpose(2, 0, 1)
        return np.asarray(resize(scores, self.output).argmax(0), np.uint8)

    def _named(self, ids: npt.NDArray[Any]) -> Ids:
        for found in (ids.min(), ids.max()):
            if not 0 <= found < self.classes:
                told = f"the original gives class id {found:g}"
                raise UsageError(told, f"ids 0..{self.classes - 1} of its labels",
                                 "give the --labels that it was trained with")  # fmt: skip
        return np.asarray(ids, np.uint8)


def resize(planes: Floats, size: tuple[int, int]) -> Floats:
    """(C, H, W) resized bilinearly with half-pixel centres and repeated edges."""
    out = planes
    for axis, wanted in ((1, size[0]), (2, size[1])):
        had = out.shape[axis]
        if had == wanted:
            continue
        at = np.clip((np.arange(wanted) + 0.5) * had / wanted - 0.5, 0, had - 1)
        low = np.floor(at).astype(np.intp)
        high = np.minimum(low + 1, had - 1)
        part = (at - low).astype(np.float32).reshape((-1, 1) if axis == 1 else (-1,))
        out = out.take(low, axis) * (1 - part) + out.take(high, axis) * part
    return out


def compare(
    wanted: Sequence[Ids], infer: Callable[[Image], Ids], images: Sequence[Image], source: str, classes: Sequence[str]
) -> Agreement:  # fmt: skip
    """Hold an imported model against its original.

    Args:
        wanted: what the original gives for each image.
        infer: the imported model.
        images: (H, W, 3) uint8 BGR of the input's size.
        source: what they are, for messages.
        classes: names by id.

    Raises:
        UsageError: for one class only on all of them, which would prove nothing.
        EngineError: if fewer than :data:`LEAST` of the pixels are equal.
    """
    equal = total = 0
    seen: set[int] = set()
    for image, expected in zip(images, wanted, strict=True):
        got = infer(image)
        equal, total = equal + int((expected == got).sum()), total + expected.size
        seen |= set(np.unique(expected).tolist())
    names = tuple(classes[i] for i in sorted(seen))
    result = Agreement(len(images), source, equal / total, names)
    if result.equal < LEAST:
        raise EngineError(f"the imported model differs: {result}", f"at least {LEAST:.1%}",
                          "please report it with the model's exporter and version")  # fmt: skip
    if len(seen) < 2:
        raise UsageError(f"the original sees nothing but {names[0]} on {source}", "two classes to compare",
                         "give --samples DIR with pictures like those it was trained on; if they are, "
                         "the declared preprocessing is wrong")  # fmt: skip
    return result
