"""What could be built of a model on this machine and was not yet."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from drivenet.artefacts.timings import build_folder, build_key, lock_path, read_timings, write_timings
from drivenet.backends import Backend, ranked
from drivenet.build.request import BuildRequest
from drivenet.engine.candidates import candidates, sources_of
from drivenet.errors import DrivenetError
from drivenet.modelspec import ModelSpec

Tell = Callable[[str], None]
#: Bytes that a build leaves free.
_SPARE = 4 << 20
#: What the lock of a builder says that takes idle time only.
_IDLE = " idle"
#: Seconds that a killed process has to let go of its lock.
_END_S = 5.0


def missing(onnx: Path, threads: int | None = None) -> list[BuildRequest]:
    """The usual build of each backend from a model and its int8 sibling that is neither there nor known to fail.

    Args:
        onnx: the model.
        threads: as a run would use, for whose timings failures are noted.
    """
    known = read_timings(onnx, threads)
    usable = {(c.backend, c.precision) for c in candidates(onnx) if f"{c.file} {c.seal}" not in known.refused}
    wanted = [request for source in sources_of(onnx) for request in _usual(*source, build_folder(onnx))]
    return [
        request
        for request in wanted
        if (request.backend, request.precision) not in usable
        and build_key(request.onnx, request.backend, request.precision) not in known.refused
    ]


def _usual(onnx: Path, spec: ModelSpec, folder: Path) -> Iterator[BuildRequest]:
    for backend in ranked():
        precision = _precision(backend, spec)
        if precision and not backend.against(precision):
            yield BuildRequest(onnx, backend.name, precision, out=folder)


def _precision(backend: Backend, spec: ModelSpec) -> str:
    """What the backend builds of a model unless asked otherwise; empty if that is nothing but the model again."""
    precision = next(iter(backend.builds(spec.precision)), "") if backend.build else ""
    as_it_is = backend.runs_onnx and precision == spec.precision == "fp32"
    return "" if as_it_is else precision


def build_missing(onnx: Path, threads: int | None = None, tell: Tell = lambda text: None) -> None:
    """Build what is missing, one after the other; what fails is noted and not tried again for this model here.

    But for want of room, which may come: then it ends.
    """
    from drivenet.build.build import NoRoomError, build  # not at the top: every run imports this module, and few build

    for request in missing(onnx, threads):
        if not has_room(onnx):
            tell(f"no room in {build_folder(onnx)} for {request.backend} {request.precision}")
            return
        try:
            build(request, tell)
        except (NoRoomError, OSError) as error:
            tell(str(error))
            return
        except DrivenetError as error:
            tell(str(error))
            known = read_timings(onnx, threads)
            key = build_key(request.onnx, request.backend, request.precision)
            write_timings(onnx, known.model_copy(update={"refused": {**known.refused, key: str(error)}}))


def has_room(onnx: Path) -> bool:
    """Whether the disk has room for what is built of a model: twice the model, and a little."""
    with contextlib.suppress(OSError):  # is told where it is written
        return shutil.disk_usage(build_folder(onnx)).free > 2 * onnx.stat().st_size + _SPARE
    return True


@contextlib.contextmanager
def sole_builder(onnx: Path, idle: bool = False) -> Iterator[bool]:
    """Whether nobody else builds everything from a model meanwhile; False as well where nothing can be written.

    The lock holds the number of the process that has it, and whether it takes idle time only.
    """
    try:
        lock_path(onnx).parent.mkdir(parents=True, exist_ok=True)
        file = lock_path(onnx).open("a+")
    except OSError:
        yield False
        return
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield False
            return
        file.truncate(0)
        file.write(f"{os.getpid()}{_IDLE if idle else ''}")
        file.flush()
        yield True


def end_idle_builder(onnx: Path) -> None:
    """End the process that builds from a model in idle time, of which a busy machine may have none, and tidy up."""
    try:
        number, _, kind = lock_path(onnx).read_text().partition(" ")
        if kind != _IDLE.strip() or not being_built(onnx):
            return
        os.kill(int(number), signal.SIGKILL)
    except (OSError, ValueError):
        return
    from drivenet.build.build import scratch_prefix

    ends = time.monotonic() + _END_S
    while being_built(onnx) and time.monotonic() < ends:
        time.sleep(0.05)
    for left in build_folder(onnx).glob(f"{scratch_prefix(int(number))}*"):
        shutil.rmtree(left, ignore_errors=True)


def being_built(onnx: Path) -> bool:
    """Whether somebody builds from a model unasked at this moment."""
    try:
        file = lock_path(onnx).open("r")
    except OSError:
        return False
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return True
    return False
