"""Captures what is queued on a stream once, and launches it as one CUDA graph from then on.

Straight on the driver library, since pycuda has no graphs.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable

from drivenet.errors import EngineError
from drivenet.host.nvidia import message

_THREAD_LOCAL = 1  # CU_STREAM_CAPTURE_MODE_THREAD_LOCAL: other threads may use CUDA meanwhile
_NEEDED = (
    "cuStreamBeginCapture_v2",
    "cuStreamEndCapture",
    "cuGraphInstantiateWithFlags",
    "cuGraphLaunch",
    "cuGraphDestroy",
    "cuGraphExecDestroy",
)


class Graph:
    """A captured sequence.

    Args:
        driver: the driver library.
        executable: the instantiated graph.
    """

    def __init__(self, driver: ctypes.CDLL, executable: ctypes.c_void_p) -> None:
        self._driver, self._executable = driver, executable

    def launch(self, stream: int) -> None:
        """Queue the whole sequence on a stream; EngineError if the device refuses."""
        status = self._driver.cuGraphLaunch(self._executable, ctypes.c_void_p(stream))
        if status:
            raise EngineError(f"CUDA failed at a graph launch: {message(self._driver, status)}")

    def close(self) -> None:
        """Release the graph."""
        self._driver.cuGraphExecDestroy(self._executable)


def capture(stream: int, enqueue: Callable[[], None], library: str = "libcuda.so.1") -> tuple[Graph | None, str]:
    """Capture what ``enqueue`` queues on a stream.

    Returns:
        The graph, or None and why the driver allows none; the stream can be used as before then.
    """
    driver = ctypes.CDLL(library)
    missing = [name for name in _NEEDED if not hasattr(driver, name)]
    if missing:
        return None, f"the driver lacks {missing[0]}"
    status = driver.cuStreamBeginCapture_v2(ctypes.c_void_p(stream), _THREAD_LOCAL)
    if status:
        return None, message(driver, status)
    graph, executable = ctypes.c_void_p(), ctypes.c_void_p()
    failed = ""
    try:
        enqueue()
    except EngineError as error:
        failed = str(error)
    finally:  # a stream that stays in capture could not be used again
        status = driver.cuStreamEndCapture(ctypes.c_void_p(stream), ctypes.byref(graph))
    if failed or status:
        if graph.value:
            driver.cuGraphDestroy(graph)
        return None, failed or message(driver, status)
    status = driver.cuGraphInstantiateWithFlags(ctypes.byref(executable), graph, ctypes.c_ulonglong(0))
    driver.cuGraphDestroy(graph)
    return (None, message(driver, status)) if status else (Graph(driver, executable), "")
