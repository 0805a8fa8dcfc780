"""What is declared of a model from elsewhere: how its input is made of a picture, and what its output means."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal

from drivenet.errors import UsageError, nearest

Layout = Literal["nchw", "nhwc"]
Colour = Literal["rgb", "bgr"]
Kind = Literal["logits", "ids", "sigmoid"]
Fit = Literal["stretch", "letterbox"]
Three = tuple[float, float, float]

KINDS: tuple[Kind, ...] = ("logits", "ids", "sigmoid")
IMAGENET_MEAN: Three = (0.485, 0.456, 0.406)
IMAGENET_STD: Three = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Declaration:
    """The network's input is ``(pixel * scale - mean) / std`` of a picture resized to its input size.

    Args:
        layout: order of the input's axes.
        colour: order of its channels.
        scale: factor of the pixels, which are 0..255.
        mean, std: one number a channel, in the order of ``colour``, of scaled pixels.
        fit: ``stretch`` resizes width and height each by its own factor; ``letterbox`` keeps the proportions, centres
            the picture and fills the bars with ``pad``.
        pad: grey of the bars, 0..255.
        kind: what the output holds; None to read it from its type and shape: integers are ids, floats are logits, one
            float channel for two classes is a sigmoid's input or output.
        outputs: names of the output, the first of these that the model has; the only one if empty.
        threshold: a single channel above it is class 1; None for 0.5 behind a sigmoid, else 0.
        labels: the label set that the publisher trains on, None if it varies.
    """

    layout: Layout = "nchw"
    colour: Colour = "rgb"
    scale: float = 1 / 255
    mean: Three = (0.0, 0.0, 0.0)
    std: Three = (1.0, 1.0, 1.0)
    fit: Fit = "stretch"
    pad: int = 114
    kind: Kind | None = None
    outputs: tuple[str, ...] = field(default=())
    threshold: float | None = None
    labels: str | None = None

    def __post_init__(self) -> None:
        if not all(0 < number < math.inf for number in (self.scale, *self.std)):
            raise UsageError(f"scale {self.scale:g}, std {self.std}", "numbers above 0")
        if not all(map(math.isfinite, self.mean)):
            raise UsageError(f"mean {self.mean}", "three numbers")

    def with_options(self, **given: Any) -> Declaration:
        """The same with the values that are not None in place of its own; UsageError for a name that it has not."""
        known = [f.name for f in fields(self)]
        for name in given:
            if name not in known:
                raise UsageError(f"nothing to declare is called {name!r}", cure=nearest(name, known))
        return replace(self, **{name: v for name, v in given.items() if v is not None})

    @property
    def normalised_mean(self) -> Three:
        """``mean`` as a :class:`~drivenet.modelspec.ModelSpec` has it: RGB, of pixels divided by 255."""
        return self._rgb(tuple(m / (255 * self.scale) for m in self.mean))

    @property
    def normalised_std(self) -> Three:
        """``std`` as a :class:`~drivenet.modelspec.ModelSpec` has it: RGB, of pixels divided by 255."""
        return self._rgb(tuple(s / (255 * self.scale) for s in self.std))

    def _rgb(self, values: tuple[float, ...]) -> Three:
        first, second, third = values if self.colour == "rgb" else values[::-1]
        return first, second, third


def three(text: str | None, name: str) -> Three | None:
    """``0.485,0.456,0.406``, or one number for all three channels; None for None.

    Raises:
        UsageError: for anything else.
    """
    if text is None:
        return None
    try:
        values = [float(part) for part in text.split(",")]
    except ValueError:
        values = []
    if len(values) not in (1, 3):
        raise UsageError(f"{name} {text!r}", "three numbers with commas, or one", f"such as {name} 0.485,0.456,0.406")
    first, second, third = values * 3 if len(values) == 1 else values
    return first, second, third


def factor(text: str | None) -> float | None:
    """``1/255`` or ``0.0039`` as a number; None for None.

    Raises:
        UsageError: for anything else.
    """
    if text is None:
        return None
    above, _, below = text.partition("/")
    try:
        return float(above) / float(below or 1)
    except (ValueError, ZeroDivisionError):
        raise UsageError(f"--scale {text!r}", "a number or a fraction", "such as --scale 1/255") from None


_MMSEG = Declaration(scale=1.0, mean=(123.675, 116.28, 103.53), std=(58.395, 57.12, 57.375))
_IMAGENET = Declaration(mean=IMAGENET_MEAN, std=IMAGENET_STD)

#: What publishers state of their exports; docs/convert.md names the sources and which were run.
PRESETS: dict[str, Declaration] = {
    "smp": _IMAGENET,
    "torchvision": replace(_IMAGENET, outputs=("out",), labels="voc"),
    "mmseg": _MMSEG,
    "paddleseg": Declaration(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)),
    "ultralytics-semantic": Declaration(fit="letterbox", pad=114),
    "huggingface-segformer": replace(_IMAGENET, outputs=("logits",), kind="logits"),
    "nvidia-tao": replace(_MMSEG, std=(57.63, 57.63, 57.63)),
}


def preset(name: str | None) -> Declaration:
    """A preset by name; the defaults of :class:`Declaration` for None.

    Raises:
        UsageError: if there is none of that name.
    """
    if name is None:
        return Declaration()
    if name not in PRESETS:
        raise UsageError(f"no preset {name!r}", cure=nearest(name, PRESETS))
    return PRESETS[name]
