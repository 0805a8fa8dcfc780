"""The TensorRT backend: runs a plan that ``drivenet build`` made on this very kind of GPU."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from drivenet.artefacts.admission import admit
from drivenet.artefacts.compiled import build_command, find_built
from drivenet.classmap import Ids, ThingMaps
from drivenet.engine.checks import check_ids, check_image, check_precision, check_things
from drivenet.engine.cuda.driver import open_driver, require_gpu
from drivenet.engine.own_thread import ThreadedEngine
from drivenet.engine.tensorrt.lane import CENTRES, OFFSETS, OUTPUT, Outputs
from drivenet.engine.tensorrt.session import Session, import_tensorrt
from drivenet.errors import EngineError, UsageError
from drivenet.frame import Image
from drivenet.host.nvidia import Gpu

T = TypeVar("T")


class TensorRtEngine(ThreadedEngine):
    """A plan on device 0. A thread of its own holds the CUDA context, so that any thread may call.

    Args:
        file: a ``.plan`` with its passport, or the ONNX that such a plan beside it was built from.
        precision: ``auto`` or what the plan computes.
        threads: of no effect, the GPU computes.
        unproven: whether a plan may run before it was compared with its reference.

    Raises:
        UsageError: for no file, or a precision that the plan does not have.
        EngineError: for no GPU, no TensorRT, no plan, one that its passport does not admit, or one that fails.
    """

    backend = "tensorrt"
    contexts = 2

    def __init__(
        self, file: Path | None, precision: str = "auto", threads: int | None = None, unproven: bool = False
    ) -> None:
        if file is None:
            raise UsageError("no engine file", "a plan of drivenet build --backend tensorrt, or its ONNX")
        gpu = require_gpu()
        trt = import_tensorrt()
        plan = _plan_of(file, precision)
        admitted = admit(plan, "tensorrt", machine(trt, gpu), unproven)
        passport = admitted.passport
        self.file, self.spec, self.precision = str(plan), passport.spec, passport.precision
        check_precision(precision, self.spec.model_copy(update={"precision": self.precision}), self.file)
        dla = passport.options.get("dla")
        self._session: Session | None = None
        self._without_graph = ""

        def load() -> None:
            content, core = admitted.contents[plan.name], None if dla is None else int(dla)
            self._session = Session(trt, open_driver(), content, self.spec, self.file, gpu.integrated, core)
            self._without_graph = self._session.without_graph
            self._own.leave(self._session.close)  # pycuda aborts a process whose thread ends with a context

        self._start(load)

    def infer(self, image: Image) -> Ids:
        """See :meth:`Engine.infer`. After a CUDA error the process must end: the context is lost."""
        check_image(image, self.spec)
        return self._checked(self._on_session(Session.run, image))

    def infer_things(self, image: Image) -> tuple[Ids, ThingMaps | None]:
        """See :meth:`Engine.infer_things`; all come from one inference."""
        if self.spec.things is None:
            return self.infer(image), None
        check_image(image, self.spec)
        found = self._on_session(Session.run, image)
        maps = ThingMaps(found[CENTRES], found[OFFSETS])
        check_things(maps, self.spec, self.file)
        return self._checked(found), maps

    def infer_many(self, images: Iterable[Image]) -> Iterator[Ids]:
        """See :meth:`Engine.infer_many`. While one picture is computed, the next goes up and the last comes down.

        A second execution context with its buffers and stream is made at the first call and kept.
        """
        self._on_session(Session.widen, self.contexts)
        started: deque[int] = deque()
        try:
            for i, image in enumerate(images):
                check_image(image, self.spec)
                lane = i % self.contexts
                done = None
                if len(started) == self.contexts:
                    done = self._on_session(Session.finish, started.popleft())
                started.append(lane)  # before: it may be on its way also where a Ctrl-C ends the waiting for it
                self._on_session(Session.start, lane, image)
                if done is not None:
                    yield self._checked(done)
            while started:
                yield self._checked(self._on_session(Session.finish, started.popleft()))
        finally:
            self._drain(started)

    def describe(self) -> dict[str, object]:
        """See :meth:`Engine.describe`; adds whether a CUDA graph is launched, or why not."""
        return {**super().describe(), "cuda_graph": self._without_graph or True}

    def _on_session(self, call: Callable[..., T], *arguments: object) -> T:
        """The result of one of the session's methods, on the thread that holds the device."""
        return self._own.call(call, self._session, *arguments)

    def _checked(self, found: Outputs) -> Ids:
        ids: Ids = found[OUTPUT]
        check_ids(ids, self.spec, self.file)
        return ids

    def _drain(self, started: deque[int]) -> None:
        """Wait for what nobody asks for any more, so that the lanes are free again."""
        while started:
            with contextlib.suppress(EngineError):  # closed, or the error that ended it is on its way already
                self._on_session(Session.finish, started.popleft())

    def _release(self) -> None:
        if self._session is not None:
            self._session.close()


def machine(trt: Any, gpu: Gpu) -> dict[str, str]:
    """What must be the same where a plan was built and where it runs."""
    name = gpu.name
    if gpu.integrated:  # all modules of a generation have one name: those of Orin have 4 to 16
        name += f" with {gpu.multiprocessors} multiprocessors"
    return {"gpu": name, "compute_capability": gpu.compute_capability, "tensorrt": str(trt.__version__)}


def _plan_of(file: Path, precision: str) -> Path:
    """The plan that a request means; EngineError with the command if it was not built."""
    if file.suffix == ".plan":
        return file
    if not file.is_file():
        raise EngineError(f"no engine {file}", cure="drivenet models lists those that ship with drivenet")
    built = find_built(file, "tensorrt", precision)
    if built is None:
        command = build_command(file, "tensorrt", "fp16" if precision == "auto" else precision)
        raise EngineError(f"no TensorRT engine was built from {file}", "a plan beside it", command)
    return built
