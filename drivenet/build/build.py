"""Builds an artefact from an ONNX, compares it with its reference, and only then puts it where engines look."""

from __future__ import annotations

import os
import platform
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from drivenet._version import __version__
from drivenet.artefacts.catalog import find
from drivenet.artefacts.compiled import artefact_path
from drivenet.artefacts.passport import Parity, Passport, passport_path
from drivenet.backends import BACKENDS, compiling
from drivenet.build.plan import Attempt, attempts, find_reference
from drivenet.build.request import BuildRequest, Product
from drivenet.data.pictures import chosen_files, folder_pictures, synthetic_pictures
from drivenet.engine import open_unproven
from drivenet.engine.onnxruntime.engine import OnnxRuntimeEngine
from drivenet.engine.onnxruntime.file import CPU, read_spec
from drivenet.engine.parity import compare
from drivenet.errors import EngineError, UsageError, nearest
from drivenet.files import sha256_of, write_atomic
from drivenet.modelspec import ModelSpec, Precision

#: A disk with fewer bytes left is full.
_NO_ROOM = 1 << 20
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
        SourceError: for pictures that cannot be read.
        EngineError: for a failed build, or one that falls short of its reference, or a reference of another model.
    """
    builders = [backend.name for backend in compiling()]
    if request.backend not in builders:
        raise UsageError(f"no builder for the backend {request.backend!r}", cure=nearest(request.backend, builders))
    spec = read_spec(request.onnx)
    digest = sha256_of(request.onnx)
    usual, *others = attempts(request, spec)
    if request.calibration is not None:
        chosen_files(request.calibration)  # told before the build, which may take minutes
    job = _Job(request, spec, digest, find_reference(request, spec), tell)
    try:
        return _attempt(job, usual)
    except FallsShortError as error:
        instead = [other for other in others if not other.is_like(error.precision, error.options)]
        if not instead:
            raise
        tell(f"{error.received}; building with {instead[0].flag} instead")
    return _attempt(job, instead[0])


class FallsShortError(EngineError):
    """A build that its backend gave, and that differs too much from its reference.

    Args:
        received, expected, cure: as for every error.
        precision: that was built.
        options: that it was built with.
    """

    def __init__(self, received: str, expected: str = "", cure: str = "", precision: str = "",
                 options: Mapping[str, str] | None = None) -> None:  # fmt: skip
        super().__init__(received, expected, cure)
        self.precision, self.options = precision, dict(options or {})


class NoRoomError(EngineError):
    """A build that failed on a full disk, and may go well once there is room."""


@dataclass(frozen=True)
class _Job:
    """What all attempts of one build share."""

    request: BuildRequest
    spec: ModelSpec
    digest: str
    reference: Path
    tell: Tell


def _attempt(job: _Job, attempt: Attempt) -> Built:
    request, precision = attempt.request, attempt.precision
    target = artefact_path(request.onnx, request.backend, precision, request.folder)
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(_scratch(request.folder)))
        builder: Builder = BACKENDS[request.backend].load("build")
        job.tell(f"building {target.name} with {request.backend}")
        started = time.monotonic()
        with _room_in(request.folder):
            product = builder(request, precision, scratch / target.name)
        seconds = time.monotonic() - started
        if sha256_of(request.onnx) != job.digest:
            raise EngineError(f"{request.onnx} was changed while it was built", "a file that stays", "build it again")
        passport = _passport(request, job.spec, job.digest, precision, product, seconds)
        with _room_in(request.folder):
            write_atomic(passport_path(product.files[0]), passport.to_json())
        parity = _measure(request, job.reference, product.files[0], job.tell)
        if not parity.passed and not request.accept_parity:
            raise FallsShortError(
                f"{target.name} falls short of its reference: {parity}",
                cure="try another precision, or keep it with --accept-parity",
                precision=precision, options=product.options,
            )  # fmt: skip
        parity = parity.model_copy(update={"accepted": not parity.passed})
        passport = passport.model_copy(update={"parity": parity}).sealed()
        with _room_in(request.folder):
            _put_in_place(product.files, request.folder, passport)
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


@contextmanager
def _room_in(folder: Path) -> Iterator[None]:
    """What fails on a full disk says so, whatever a library makes of that."""
    try:
        yield
    except (OSError, EngineError) as error:
        if shutil.disk_usage(folder).free >= _NO_ROOM:
            raise
        raise NoRoomError(f"no room in {folder}", cure="free some, or name another folder with --out") from error


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


def _put_in_place(files: tuple[Path, ...], folder: Path, passport: Passport) -> None:
    """Move the artefact in, its passport last: whatever stops this half-way leaves something that is refused."""
    for file in files:
        os.replace(file, folder / file.name)
    write_atomic(passport_path(folder / files[0].name), passport.to_json())
