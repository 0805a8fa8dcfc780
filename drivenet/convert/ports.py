"""What an ONNX from elsewhere takes and gives, held against what is declared of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from drivenet.convert.declaration import Declaration, Kind, Layout
from drivenet.engine.onnxruntime.file import reason
from drivenet.errors import UsageError

#: ONNX Runtime's names of the types that class ids may have.
_INTEGERS = tuple(
    f"tensor({kind})" for kind in ("uint8", "int8", "int16", "uint16", "int32", "uint32", "int64", "bool")
)
_FLOATS = {"tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(uint8)": np.uint8}
_FLOAT_OUTPUTS = ("tensor(float)", "tensor(float16)", "tensor(double)")


@dataclass(frozen=True)
class Input:
    """The one input.

    Args:
        name: in the graph.
        dtype: float32, float16 or uint8.
        layout: order of its axes.
        size: height and width that it is run at.
    """

    name: str
    dtype: npt.DTypeLike
    layout: Layout
    size: tuple[int, int]

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """At batch 1."""
        return (1, 3, *self.size) if self.layout == "nchw" else (1, *self.size, 3)


@dataclass(frozen=True)
class Output:
    """The output that holds the classes.

    Args:
        name: in the graph.
        kind: what it holds.
        shape: at the input's size, batch 1.
        channel: the axis of the classes for logits; None for ids and a single channel.
        threshold: a sigmoid's single channel above it is class 1.
    """

    name: str
    kind: Kind
    shape: tuple[int, ...]
    channel: int | None = None
    threshold: float = 0.0

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        if self.channel is not None:
            first = 2 if self.channel == 1 else 1
            return self.shape[first], self.shape[first + 1]
        plane = _plane(self.shape)
        assert plane is not None, "checked when it was made"
        return plane


def read_input(session: Any, declared: Declaration, size: tuple[int, int] | None, file: Path) -> Input:
    """The one input of an open session, at a size.

    Args:
        session: ONNX Runtime's, of the original.
        declared: says the layout.
        size: (height, width) wanted; None for the model's own.
        file: how messages name it.

    Raises:
        UsageError: for several inputs, another type, rank, number of channels or batch, or a size that is missing or
            is not the model's.
    """
    ports = session.get_inputs()
    if len(ports) != 1:
        names = ", ".join(port.name for port in ports)
        raise UsageError(f"{file} has {len(ports)} inputs: {names}", "one, the picture", "export the network alone")
    port = ports[0]
    what = f"the input {port.name} of {file} is {port.type} {list(port.shape)}"
    if port.type not in _FLOATS or len(port.shape) != 4:
        raise UsageError(what, "float, half or uint8 pictures with 4 axes")
    batch, *axes = port.shape
    channels, height, width = axes if declared.layout == "nchw" else (axes[2], axes[0], axes[1])
    if isinstance(channels, int) and channels != 3:
        other = "nhwc" if declared.layout == "nchw" else "nchw"
        raise UsageError(what, f"3 channels as {declared.layout}", f"did you mean --layout {other}?")
    if isinstance(batch, int) and batch != 1:
        raise UsageError(what, "a batch of 1", "export it with batch 1 or a dynamic batch")
    return Input(port.name, _FLOATS[port.type], declared.layout, _size(what, height, width, size))


def _size(what: str, height: Any, width: Any, asked: tuple[int, int] | None) -> tuple[int, int]:
    """(height, width); what the graph leaves open is asked for, what it states must be met."""
    stated = tuple(side if isinstance(side, int) and side > 0 else None for side in (height, width))
    if asked is None:
        if stated[0] is None or stated[1] is None:
            raise UsageError(f"{what}, of any size", "the size to run it at", "give --size WIDTHxHEIGHT")
        return stated[0], stated[1]
    if any(own not in (None, wanted) for own, wanted in zip(stated, asked, strict=True)):
        raise UsageError(f"--size {asked[1]}x{asked[0]}, but {what}", f"{width}x{height}", "leave --size out")
    return asked


def choose_output(session: Any, declared: Declaration, file: Path) -> str:
    """The name of the output that holds the classes.

    Raises:
        UsageError: if none of the declared names is there, or there are several and none is declared.
    """
    names = [port.name for port in session.get_outputs()]
    known = [name for name in declared.outputs if name in names]
    if known or len(names) == 1:
        return known[0] if known else names[0]
    wanted = f"one of {', '.join(names)}"
    raise UsageError(f"{file} has {len(names)} outputs", wanted, f"give --output NAME, such as --output {names[0]}")


def read_output(
    session: Any, name: str, taken: Input, declared: Declaration, classes: int, probable: bool, file: Path
) -> Output:  # fmt: skip
    """What an output holds, found out by running the model once on grey.

    Args:
        session: ONNX Runtime's, of the original.
        name: of the output.
        taken: the input.
        declared: may say what kind it is.
        classes: of the label set.
        probable: whether a sigmoid made it.
        file: how messages name it.

    Raises:
        UsageError: if its shape fits neither ids, nor logits of so many classes, nor one channel for two classes.
    """
    kind = next(port.type for port in session.get_outputs() if port.name == name)
    try:
        (found,) = session.run([name], {taken.name: np.full(taken.shape, 0, taken.dtype)})
    except Exception as error:  # ONNX Runtime's exceptions share no base class of their own
        height, width = taken.size
        raise UsageError(
            f"{file} does not run at {width}x{height}: {reason(error)}", "a size that it takes", "give another --size"
        ) from error
    shape = tuple(np.asarray(found).shape)
    what = f"the output {name} of {file} is {kind} {list(shape)}"
    return _interpret(what, kind, name, shape, declared, classes, probable)


def _interpret(
    what: str, kind: str, name: str, shape: tuple[int, ...], declared: Declaration, classes: int, probable: bool
) -> Output:  # fmt: skip
    said = declared.kind
    single = _plane(shape) is not None
    if said == "ids" or (said is None and kind in _INTEGERS):
        if not single:
            raise UsageError(what, "class ids as 1 x height x width", "give --output logits if these are scores")
        return Output(name, "ids", shape)
    if kind not in _FLOAT_OUTPUTS:
        raise UsageError(what, f"floats for {said or 'logits'}", "give --output ids")
    if single:
        if classes != 2:
            raise UsageError(what, f"one channel for each of {classes} classes",
                             "give --labels with two classes for a single channel, or --output ids")  # fmt: skip
        threshold = (0.5 if probable else 0.0) if declared.threshold is None else declared.threshold
        return Output(name, "sigmoid", shape, threshold=threshold)
    axes = [axis for axis in (1, 3) if len(shape) == 4 and shape[0] == 1 and shape[axis] == classes]
    if not axes or said == "sigmoid":
        expected = "one channel" if said == "sigmoid" else f"{classes} channels, one for each class of the labels"
        raise UsageError(what, expected, "give the --labels that it was trained with")
    return Output(name, "logits", shape, axes[0] if len(axes) == 1 or declared.layout == "nchw" else axes[1])


def _plane(shape: Sequence[int]) -> tuple[int, int] | None:
    """Height and width of a single plane: (H, W), (1, H, W), (1, 1, H, W) or (1, H, W, 1)."""
    if len(shape) == 4 and shape[0] == 1 and shape[1] == 1:
        return shape[2], shape[3]
    if len(shape) == 4 and shape[0] == 1 and shape[3] == 1:
        return shape[1], shape[2]
    if len(shape) == 2 or (len(shape) == 3 and shape[0] == 1):
        return shape[-2], shape[-1]
    return None
