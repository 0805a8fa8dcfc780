"""An engine that serves with ONNX Runtime while the wanted artefact is built in the background, then swaps."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import threading
from collections.abc import Callable
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from pathlib import Path

from drivenet.artefacts.compiled import artefact_path
from drivenet.artefacts.passport import NotAdmittedError
from drivenet.build.build import build, scratch_prefix
from drivenet.build.plan import decide_precision
from drivenet.build.request import BuildRequest
from drivenet.classmap import Confidence, Ids, ThingMaps
from drivenet.engine import open_engine
from drivenet.engine.base import Engine
from drivenet.engine.onnxruntime.file import read_spec
from drivenet.errors import DrivenetError
from drivenet.frame import Image

Tell = Callable[[str], None]
#: How much the build steps back from what serves meanwhile, as ``nice`` counts.
_NICE = 10
#: How long the end waits for an artefact that is just being opened.
_PATIENCE_S = 1.0


class RebuildingEngine(Engine):
    """Serves every frame: with the ONNX until the artefact is there, with the artefact from then on.

    The build runs in a process of its own, so that it takes no turn from the frames but processor time. A build that
    fails is told, and the ONNX serves on.

    Args:
        request: what is to be built; its ONNX serves meanwhile.
        threads: of the processor, for both engines; None = one a physical core.
        tell: called with one line when the engines are swapped, or the build fails; from any thread.

    Raises:
        EngineError: if not even the ONNX can be run.
    """

    def __init__(self, request: BuildRequest, threads: int | None = None, tell: Tell = lambda text: None) -> None:
        self._serving = open_engine(request.onnx, "onnxruntime", threads=threads)
        self._next: Engine | None = None
        self._ending, self._turn = threading.Lock(), threading.Lock()
        self._threads, self._tell, self._closed, self._frames = threads, tell, False, 0
        self._folder = request.folder
        self._adopt(self._serving, {})
        context = multiprocessing.get_context("spawn")
        receiving, sending = context.Pipe(duplex=False)
        self._process = context.Process(target=_build, args=(request, sending), daemon=True)
        _start_deaf(self._process)
        sending.close()  # so that the end of the process ends the wait for it
        self._watch = threading.Thread(target=self._wait, args=(receiving,), name="rebuild", daemon=True)
        self._watch.start()

    def infer(self, image: Image) -> Ids:
        """See :meth:`Engine.infer`; between two pictures the engines are swapped once."""
        with self._turn:
            return self._at_work().infer(image)

    def infer_things(self, image: Image) -> tuple[Ids, ThingMaps | None]:
        """See :meth:`Engine.infer_things`; swaps as :meth:`infer` does."""
        with self._turn:
            return self._at_work().infer_things(image)

    def infer_confident(self, image: Image) -> tuple[Ids, Confidence | None]:
        """See :meth:`Engine.infer_confident`; swaps as :meth:`infer` does."""
        with self._turn:
            return self._at_work().infer_confident(image)

    def _at_work(self) -> Engine:
        """The engine whose turn this picture is."""
        if self._next is not None:
            former, self._serving, self._next = self._serving, self._next, None
            before = {"backend": former.backend, "precision": former.precision, "frames": self._frames}
            self._adopt(self._serving, {"before": before})
            former.close()
            self._tell(f"{self.backend} {self.precision} takes over after {self._frames} frames: {self.file}")
        self._frames += 1
        return self._serving

    def describe(self) -> dict[str, object]:
        """See :meth:`Engine.describe`: what serves now, and what served ``before`` it for how many frames."""
        return dict(self._description)

    def close(self) -> None:
        """Stop the build, if it still runs, with all it has half done, and release both engines."""
        with self._ending:
            if self._closed:
                return
            self._closed = True
        if self._process.is_alive():
            self._process.kill()  # a compiler in the middle of its work hears nothing less
        self._watch.join(_PATIENCE_S)  # else it closes what it opens, if the process lives so long
        self._process.join()
        _tidy(self._folder, self._process.pid or 0)
        for engine in (self._serving, self._next):
            if engine is not None:
                engine.close()

    def built(self, timeout: float | None = None) -> bool:
        """Wait for the build to end, well or badly; whether it has."""
        self._watch.join(timeout)
        return not self._watch.is_alive()

    def _adopt(self, engine: Engine, more: dict[str, object]) -> None:
        self.spec, self.file = engine.spec, engine.file
        self.backend, self.precision, self.worker = engine.backend, engine.precision, engine.worker
        self._description = {**engine.describe(), **more}  # other threads ask, and must not meet a half-made one

    def _wait(self, receiving: Connection) -> None:
        """Open what was built, off the thread that serves."""
        with receiving:
            try:
                file, problem = receiving.recv()
            except (EOFError, OSError):
                self._process.join()
                file, problem = None, f"its process ended with {self._process.exitcode} and without a word"
        if self._closed:
            return
        if file is None:
            self._tell(f"the build failed, {self._serving.backend} serves on: {problem}")
            return
        try:
            built = open_engine(file, threads=self._threads)
        except Exception as error:  # noqa: BLE001 - whatever it is, the frames go on
            self._tell(f"what was built cannot be opened, {self._serving.backend} serves on: {_told(error)}")
            return
        with self._ending:
            if not self._closed:
                self._next = built
                return
        built.close()


def open_or_rebuild(
    request: BuildRequest, threads: int | None = None, tell: Tell = lambda text: None, lanes: int = 1
) -> Engine:
    """The artefact of a request if its passport admits it, as one of so many lanes, else a :class:`RebuildingEngine`,
    which has all threads; tells why it rebuilds.

    Raises:
        UsageError: for a precision that the ONNX does not have.
        DrivenetError: as :func:`drivenet.engine.open_engine`, for what no build would mend, such as a missing GPU.
    """
    precision = decide_precision(request, read_spec(request.onnx))
    artefact = artefact_path(request.onnx, request.backend, precision, request.folder)
    try:
        return open_engine(artefact, request.backend, threads=threads, lanes=lanes)
    except NotAdmittedError as error:
        reason = error.received if artefact.is_file() else f"{artefact} is not there yet"
    tell(f"{reason}; it is built in the background while onnxruntime serves")
    return RebuildingEngine(request, threads, tell)


def _start_deaf(process: multiprocessing.process.BaseProcess) -> None:
    """Start a process that the terminal's Ctrl-C does not reach: whoever started it ends it."""
    resource_tracker.ensure_running()  # else it is started below, and unblocks the signal again
    former = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        process.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, former)


def _build(request: BuildRequest, sending: Connection) -> None:
    """In the process of its own: build, and send the file, or None and what went wrong."""
    os.nice(_NICE)
    threading.Thread(target=_end_with_parent, args=(request.folder,), daemon=True).start()
    with sending:
        try:
            sending.send((build(request).file, ""))
        except Exception as error:  # noqa: BLE001 - told by the process that serves
            sending.send((None, _told(error)))


def _told(error: Exception) -> str:
    return str(error) if isinstance(error, DrivenetError) else f"{type(error).__name__}: {error}"


def _end_with_parent(folder: Path) -> None:
    """End this process, with all it has half done, once the one that started it was killed."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    _tidy(folder, os.getpid())
    os._exit(1)


def _tidy(folder: Path, process: int) -> None:
    """Remove what a process that builds has half done."""
    for left in folder.glob(f"{scratch_prefix(process)}*"):
        shutil.rmtree(left, ignore_errors=True)
