"""What a request comes to: the precision that is built, and the FP32 ONNX that it is compared with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import get_args

from drivenet.artefacts.family import beside
from drivenet.backends import BACKENDS
from drivenet.build.request import BuildRequest
from drivenet.engine.onnxruntime.file import read_spec
from drivenet.engine.parity import check_alike
from drivenet.errors import UsageError, nearest
from drivenet.modelspec import ModelSpec, Precision


@dataclass(frozen=True)
class Attempt:
    """One way to fulfil a request.

    Args:
        request: with the options of this way.
        precision: that is built.
        flag: of ``drivenet build``, which would ask for just this way; empty for the usual one.
    """

    request: BuildRequest
    precision: Precision
    flag: str = ""

    def is_like(self, precision: str, options: Mapping[str, str]) -> bool:
        """Whether it would make what was built in this precision with these options."""
        return self.precision == precision and all(options.get(k) == v for k, v in self.request.options.items())


def attempts(request: BuildRequest, spec: ModelSpec) -> list[Attempt]:
    """The usual build, and those that are made instead if it falls short: closer to the reference, and slower.

    What was asked for by name is never changed. UsageError if the ONNX cannot give what is asked for.
    """
    usual = Attempt(request, decide_precision(request, spec))
    if request.accept_parity:
        return [usual]
    backend = BACKENDS[request.backend]
    if usual.precision == "int8":
        exact = [o for o in backend.options if o.exact and request.options.get(o.name) is None]
        options = {**request.options, **{o.name: o.exact for o in exact}}
        flag = " ".join(f"--{o.name.replace('_', '-')} {o.exact}" for o in exact)
        return [usual, Attempt(replace(request, options=options), "int8", flag)] if exact else [usual]
    if request.precision == "auto" and spec.precision == "fp32" != usual.precision and "fp32" in backend.builds("fp32"):
        return [usual, Attempt(request, "fp32", "--precision fp32")]
    return [usual]


def decide_precision(request: BuildRequest, spec: ModelSpec) -> Precision:
    """What is to be built; UsageError if the ONNX cannot give it."""
    if request.size not in (None, spec.input):
        h, w = request.size or spec.input
        have = "{1}x{0}".format(*spec.input)
        cure = f"drivenet export --size {w}x{h} writes one of that size"
        if (w, h) == spec.input:
            cure = f"did you mean {have}?"
        raise UsageError(f"size {w}x{h} for {request.onnx}", f"{have}, width x height", cure)
    asked = request.precision
    if asked not in ("auto", *get_args(Precision)):
        raise UsageError(f"no precision {asked!r}", cure=nearest(asked, ["auto", *get_args(Precision)]))
    if (asked == "int8" and spec.precision != "int8") or (spec.precision != "fp32" and asked not in ("auto", "int8")):
        raise UsageError(
            f"precision {asked} from {request.onnx}, which is {spec.precision}",
            f"{'int8' if spec.precision == 'int8' else 'fp32, fp16 or bf16'}",
            "drivenet export --precision int8 writes the ONNX that int8 is built from",
        )
    if asked != "auto":
        return _known(asked)
    if spec.precision != "fp32":
        return spec.precision
    return _known(next(iter(BACKENDS[request.backend].builds(spec.precision)), spec.precision))


def _known(precision: str) -> Precision:
    return next(p for p in get_args(Precision) if p == precision)


def find_reference(request: BuildRequest, spec: ModelSpec) -> Path:
    """The FP32 ONNX that the artefact must keep to; it takes and gives the same."""
    if request.reference is not None:
        found = read_spec(request.reference)
        if found.precision != "fp32":
            raise UsageError(f"{request.reference} is {found.precision}", "an fp32 ONNX as reference")
        check_alike(spec, request.onnx, found, request.reference)
        return request.reference
    if spec.precision == "fp32":
        return request.onnx
    exact = beside(request.onnx, spec, "fp32")
    if exact is not None:
        check_alike(spec, request.onnx, read_spec(exact), exact)
        return exact
    raise UsageError(
        f"{request.onnx} is {spec.precision} and no fp32 ONNX of the same checkpoint and outputs is beside it",
        "something to compare the build with",
        "name it with --reference",
    )
