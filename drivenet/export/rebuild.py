"""An engine that serves with ONNX Runtime while the wanted artefact is built in the background, then swaps."""

from __future__ import annotations

import multiprocessing
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection

from drivenet.classmap import Ids
from drivenet.engine import open_engine
from drivenet.engine.base import Engine
from drivenet.errors import DrivenetError, EngineError, UsageError
from drivenet.export.build import build
from drivenet.export.request import BuildRequest
from drivenet.frame import Image

Tell = Callable[[str], None]


class RebuildingEngine(Engine):
    """Serves every frame: with the ONNX until the artefact is there, with the artefact from then on.

    The build runs in a process of its own, so that it takes no turn from the frames but processor time. A build that
    fails is told, and the ONNX serves on.

    Args:
        request: what is to be built; its ONNX serves meanwhile.
        threads: of the processor, for both engines; None = one a physical core.
        tell: called with one line when the engines are swapped, or the build fails; from another thread.

    Raises:
        EngineError: if not even the ONNX can be run.
    """

    def __init__(self, request: BuildRequest, threads: int | None = None, tell: Tell = lambda text: None) -> None:
        self._serving = open_engine(request.onnx, "onnxruntime", threads=threads)
        self._next: Engine | None = None
        self._threads, self._tell, self._closed = threads, tell, False
        self._adopt(self._serving)
        context = multiprocessing.get_context("spawn")
        receiving, sending = context.Pipe(duplex=False)
        self._process = context.Process(target=_build, args=(request, sending), daemon=True)
        self._process.start()
        sending.close()  # so that the end of the process ends the wait for it
        self._watch = threading.Thread(target=self._wait, args=(receiving,), name="rebuild", daemon=True)
        self._watch.start()

    def infer(self, image: Image) -> Ids:
        """See :meth:`Engine.infer`; between two pictures the engines are swapped once."""
        if self._next is not None:
            former, self._serving, self._next = self._serving, self._next, None
            self._adopt(self._serving)
            former.close()
        return self._serving.infer(image)

    def describe(self) -> dict[str, object]:
        """See :meth:`Engine.describe`: what serves now."""
        return self._serving.describe()

    def close(self) -> None:
        """Stop the build, if it still runs, and release both engines."""
        if self._closed:
            return
        self._closed = True
        self._process.terminate()
        self._watch.join()
        self._process.join()
        for engine in (self._serving, self._next):
            if engine is not None:
                engine.close()

    def built(self, timeout: float | None = None) -> bool:
        """Wait for the build to end, well or badly; whether it has."""
        self._watch.join(timeout)
        return not self._watch.is_alive()

    def _adopt(self, engine: Engine) -> None:
        self.spec, self.file = engine.spec, engine.file
        self.backend, self.precision = engine.backend, engine.precision

    def _wait(self, receiving: Connection) -> None:
        """Open what was built, off the thread that serves."""
        try:
            file, problem = receiving.recv()
        except EOFError:
            file, problem = None, "the build was stopped"
        if self._closed:
            return
        if file is None:
            self._tell(f"the build failed, {self._serving.backend} serves on: {problem}")
            return
        try:
            self._next = open_engine(file, threads=self._threads)
        except DrivenetError as error:
            self._tell(f"what was built cannot be opened, {self._serving.backend} serves on: {error}")
            return
        self._tell(f"{self._next.backend} {self._next.precision} takes over: {file}")


def open_or_rebuild(request: BuildRequest, threads: int | None = None, tell: Tell = lambda text: None) -> Engine:
    """The artefact beside the ONNX if it can be used, else a :class:`RebuildingEngine`; tells why it rebuilds.

    Raises:
        DrivenetError: as :func:`drivenet.engine.open_engine`, for an ONNX that cannot be run either.
    """
    try:
        return open_engine(request.onnx, request.backend, request.precision, threads)
    except (EngineError, UsageError) as error:
        tell(f"building again in the background: {error}")
    return RebuildingEngine(request, threads, tell)


def _build(request: BuildRequest, sending: Connection) -> None:
    """In the process of its own: build, and send the file, or None and what went wrong."""
    try:
        sending.send((build(request).file, ""))
    except DrivenetError as error:
        sending.send((None, str(error)))
    finally:
        sending.close()
