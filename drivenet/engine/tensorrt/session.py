"""A deserialised TensorRT engine and its lanes. All of it belongs to one thread."""

from __future__ import annotations

import contextlib
import functools
import traceback
from typing import Any

from drivenet.engine.cuda.driver import Driver
from drivenet.engine.tensorrt.lane import INPUT, Lane, Outputs
from drivenet.errors import EngineError
from drivenet.frame import Image
from drivenet.modelspec import ModelSpec


def import_tensorrt() -> Any:
    """The package; EngineError with the cure where it is missing."""
    try:
        import tensorrt
    except ImportError as error:
        cure = 'pip install "drivenet[tensorrt]"; on a Jetson use JetPack\'s own: see docs/jetson.md'
        raise EngineError(f"TensorRT cannot be imported: {error}", cure=cure) from error
    return tensorrt


@functools.cache
def make_log(trt: Any) -> Any:
    """The logger: keeps the reason of what fails, for our own message; prints nothing.

    The reason is the first error, since what follows it only tells how far up it was noticed; as long as there is none,
    the last warning.

    One for the process and never freed: TensorRT registers the first that it is given and may go on using it for
    whatever is made later, also when what it was given for is long gone.
    """
    errors = (trt.ILogger.ERROR, trt.ILogger.INTERNAL_ERROR)

    class Log(trt.ILogger):  # type: ignore[misc]
        """Keeps ``reason``, and whether it is an error."""

        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.begin()

        def begin(self) -> None:
            """What was logged before is no reason for what comes."""
            self.reason, self.failed = "", False

        def log(self, severity: Any, msg: str) -> None:
            """Called by TensorRT."""
            if not self.failed and (severity in errors or severity == trt.ILogger.WARNING):
                self.reason, self.failed = " ".join(msg.split())[:300], severity in errors

    return Log()


def start(trt: Any, name: str, log: Any) -> Any:
    """``trt.Runtime`` or ``trt.Builder``; EngineError where the bindings raise that they were given a null pointer."""
    log.begin()
    try:
        return getattr(trt, name)(log)
    except TypeError as error:
        raise EngineError(
            f"TensorRT {trt.__version__} does not start: {log.reason or error}", cure="drivenet doctor"
        ) from error


class Session:
    """One engine with one lane; :meth:`widen` adds others.

    Args:
        trt: the TensorRT package.
        driver: CUDA, opened by this thread; the session closes it, also if it does not come up itself.
        plan: the serialised engine, whose passport was checked.
        spec: what it must take and give.
        where: how messages name it.
        mapped: whether host and device share memory, as on a Jetson.
        dla: the core of the deep-learning accelerator that it was built for.

    Raises:
        EngineError: if TensorRT refuses the plan, or the plan is not what its spec says.
    """

    def __init__(
        self,
        trt: Any,
        driver: Driver,
        plan: bytes,
        spec: ModelSpec,
        where: str,
        mapped: bool = False,
        dla: int | None = None,
    ) -> None:
        self._trt, self._driver, self._where, self._mapped = trt, driver, where, mapped
        self._shapes: dict[str, tuple[int, ...]] = {INPUT: (1, *spec.input, 3)}
        self._shapes.update((name, tuple(shape)) for name, shape in spec.outputs())
        self._lanes: list[Lane] = []
        self._runtime: Any = None
        self._engine: Any = None
        self._log = make_log(trt)
        try:
            self._load(plan, dla)
            self.widen(1)
        except BaseException as error:
            traceback.clear_frames(error.__traceback__)  # a context held there would outlive the device's
            with contextlib.suppress(EngineError):  # what went wrong first is what counts
                self.close()
            raise

    @property
    def without_graph(self) -> str:
        """Why the inference is not launched as a CUDA graph, empty if it is."""
        return self._lanes[0].without_graph

    def widen(self, lanes: int) -> None:
        """Have at least so many lanes. The shapes are fixed, so no further optimisation profile is needed."""
        while len(self._lanes) < lanes:
            self._log.begin()
            context = self._made(self._engine.create_execution_context(), "prepare")
            lane = Lane(context, self._driver, self._shapes, self._mapped, self._log, self._where)
            self._lanes.append(lane)

    def start(self, lane: int, image: Image) -> None:
        """See :meth:`Lane.start`."""
        self._lanes[lane].start(image)

    def finish(self, lane: int) -> Outputs:
        """See :meth:`Lane.finish`."""
        return self._lanes[lane].finish()

    def run(self, image: Image) -> Outputs:
        """(H, W, 3) uint8 in; EngineError with the device's message if it fails."""
        self._lanes[0].start(image)
        return self._lanes[0].finish()

    def close(self) -> None:
        """Release everything, what others rest on last."""
        for lane in self._lanes:
            lane.close()
        self._lanes.clear()
        self._engine = None
        self._runtime = None
        self._driver.close()

    def _load(self, plan: bytes, dla: int | None) -> None:
        self._runtime = start(self._trt, "Runtime", self._log)
        if dla is not None:
            self._runtime.DLA_core = dla
        self._engine = self._made(self._runtime.deserialize_cuda_engine(plan), "deserialise")
        self._check()

    def _check(self) -> None:
        """EngineError unless the engine takes and gives what its passport says."""
        trt, engine = self._trt, self._engine
        got = {}
        for i in range(engine.num_io_tensors):
            name = engine.get_tensor_name(i)
            mode = "in" if engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT else "out"
            uint8 = engine.get_tensor_dtype(name) == trt.DataType.UINT8
            got[name] = (mode, uint8, tuple(int(n) for n in engine.get_tensor_shape(name)))
        wanted = {name: ("in" if name == INPUT else "out", True, shape) for name, shape in self._shapes.items()}
        if got != wanted:
            raise EngineError(f"{self._where} has the tensors {got}", f"{wanted} as in its passport", "build it again")

    def _made(self, thing: Any, step: str) -> Any:
        """What TensorRT made; it gives None where others raise."""
        if thing is None:
            told = self._log.reason or "it does not say why"
            raise EngineError(
                f"TensorRT cannot {step} {self._where}: {told}", cure="build it again with drivenet build"
            )
        return thing
