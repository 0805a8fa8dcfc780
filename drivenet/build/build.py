"""Builds an artefact from an ONNX, compares it with its reference, and only then puts it where engines look."""

from __future__ import annotations

import os
import platform
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

from drivenet._version import __version__
from drivenet.artefacts.catalog import find
from drivenet.artefacts.compiled import artefact_path
from drivenet.artefacts.passport import Parity, Passport, passport_path
from drivenet.backends import BACKENDS, compiling
from drivenet.build.plan import decide_precision, find_reference
from drivenet.build.request import BuildRequest, Product
from drivenet.data.pictures import folder_pictures, synthetic_pictures
from drivenet.engine import open_unproven
from drivenet.engine.onnxruntime.engine import OnnxRuntimeEngine
from drivenet.engine.onnxruntime.file import CPU, read_spec
from drivenet.engine.parity import compare
from drivenet.errors import EngineError, UsageError, nearest
from drivenet.files import sha256_of, write_atomic
from drivenet.modelspec import ModelSpec, Precision

#: Told what is being done now.
Tell = Callable[[str], None]
#: Writes (request, precision, target) and says what it has written.
Builder = Callable[[BuildRequest, str, Path], Product]


@dataclass(frozen=True)
class Built:
    """A finished artefact.

    Args:
        file: what to name to an engine.
        passport: as it lies beside the file.
        seconds: how long the builder took, without the comparison.
    """

    file: Path
    passport: Passport
    seconds: float

    def to_dict(self) -> dict[str, object]:
        """What ``drivenet build --json`` writes."""
        return {
            "file": str(self.file),
            "seconds": round(self.seconds, 2),
            "passport": self.passport.model_dump(mode="json"),
        }


def build(request: BuildRequest, tell: Tell = lambda text: None) -> Built:
    """Build, compare, and put in place. Nothing is left behind by a build that fails.

    Args:
        request: what is wanted.
        tell: called with one line whenever another step begins.

    Raises:
        UsageError: for a request that contradicts itself, the ONNX or this machine.
        ModelSpecError: for an ONNX without a spec.
        EngineError: for a failed build, or one that falls short of its reference.
    """
    builders = [backend.name for backend in compiling()]
    if request.backend not in builders:
        raise UsageError(f"no builder for the backend {request.backend!r}", cure=nearest(request.backend, builders))
    spec = read_spec(request.onnx)
    digest = sha256_of(request.onnx)
    precision = decide_precision(request, spec)
    reference = find_reference(request, spec)
    folder = request.folder
    target = artefact_path(request.onnx, request.backend, precision, folder)
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(_scratch(folder)))
        builder: Builder = BACKENDS[request.backend].load("build")
        tell(f"building {target.name} with {request.backend}")
        started = time.monotonic()
        product = builder(request, precision, scratch / target.name)
        seconds = time.monotonic() - started
        if sha256_of(request.onnx) != digest:
            raise EngineError(f"{request.onnx} was changed while it was built", "a file that stays", "build it again")
        passport = _passport(request, spec, digest, precision, product, seconds)
        write_atomic(passport_path(product.files[0]), passport.to_json())
        parity = _measure(request, reference, product.files[0], tell)
        passport = passport.model_copy(update={"parity": _gate(parity, request, target)}).sealed()
        _put_in_place(product.files, folder, passport)
    return Built(target, passport, seconds)


def build_engine(
    model: str | Path,
    backend: str,
    precision: str = "auto",
    *,
    out: Path | None = None,
    calibration: Path | None = None,
    accept_parity: bool = False,
    **options: object,
) -> Built:
    """Compile a model for this machine, compare it with its FP32 ONNX, and put it where engines are looked for.

    Args:
        model: an ONNX file, or a name that ``drivenet models`` lists.
        backend: ``openvino`` or ``tensorrt``.
        precision: ``auto`` takes int8 for an int8 ONNX, else what is usual for the backend.
        out: folder of the artefact; None for the default place.
        calibration: folder of images to compare on; None for the synthetic drive.
        accept_parity: keep an artefact that differs too much from its reference.
        options: of the backend, by the names that ``drivenet build --help`` lists.

    Raises:
        UsageError, ModelSpecError, EngineError: as :func:`build`.
    """
    request = BuildRequest(find(str(model)), backend, precision, out=out, calibration=calibration,
                           accept_parity=accept_parity, options=options)  # fmt: skip
    return build(request)


def _scratch(folder: Path) -> tempfile.TemporaryDirectory[str]:
    """A folder on the same disk as the target, so that a rename is enough; UsageError if it cannot be made."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return tempfile.TemporaryDirectory(dir=folder, prefix=scratch_prefix(os.getpid()))
    except OSError as error:
        raise UsageError(
            f"cannot write to {folder}: {error.strerror}", "a writable folder", "name one with --out"
        ) from error


def scratch_prefix(process: int) -> str:
    """How the folders begin that a process builds in: who kills it can find what it leaves behind."""
    return f".build-{process}-"


def _passport(
    request: BuildRequest, spec: ModelSpec, digest: str, precision: Precision, product: Product, seconds: float
) -> Passport:
    """The passport of what was just built, its parity still unknown. Paths in it hold from any working directory."""
    named = {"calibration": request.calibration, "reference": request.reference}
    paths = {name: str(path.resolve()) for name, path in named.items() if path is not None}
    recorded = {"drivenet": __version__, "system": platform.platform(), "seconds": f"{seconds:.1f}"}
    beside = request.folder.resolve() == request.onnx.parent.resolve()
    return Passport.model_validate(
        {
            "backend": request.backend,
            "precision": precision,
            "files": {file.name: sha256_of(file) for file in product.files},
            "onnx": request.onnx.name if beside else str(request.onnx.resolve()),
            "onnx_sha256": digest,
            "spec": spec,
            "machine": product.machine,
            "recorded": {**recorded, **product.recorded},
            "options": {**product.options, **paths},
        }
    ).sealed()


def _measure(request: BuildRequest, reference: Path, artefact: Path, tell: Tell) -> Parity:
    """Open what was built as a run would, and compare."""
    with (
        closing(OnnxRuntimeEngine(reference, providers=CPU)) as exact,
        closing(open_unproven(artefact, request.backend)) as ours,
    ):
        if request.calibration is None:
            pictures, source = synthetic_pictures(exact.spec.input), "the synthetic drive"
        else:
            pictures, source = folder_pictures(request.calibration), str(request.calibration)
        total = len(pictures)
        tell(f"comparing with {reference.name} on {total} pictures of {source}")
        return compare(exact, ours, pictures, source, lambda done, of: tell(f"compared {done} of {of} pictures"))


def _gate(parity: Parity, request: BuildRequest, target: Path) -> Parity:
    """The parity as it goes into the passport; EngineError if it falls short and was not accepted."""
    if parity.passed:
        return parity
    if not request.accept_parity:
        raise EngineError(
            f"{target.name} falls short of its reference: {parity}",
            cure="try another precision, or keep it with --accept-parity",
        )
    return parity.model_copy(update={"accepted": True})


def _put_in_place(files: tuple[Path, ...], folder: Path, passport: Passport) -> None:
    """Move the artefact in, its passport last: whatever stops this half-way leaves something that is refused."""
    for file in files:
        os.replace(file, folder / file.name)
    write_atomic(passport_path(folder / files[0].name), passport.to_json())
