"""A Ray cluster: each worker is an actor."""

from __future__ import annotations

import logging
import os
import socket
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

from drivenet.batch.crew import DeadError, Hand, through
from drivenet.batch.plan import Segment
from drivenet.batch.work import Job
from drivenet.errors import DrivenetError, EngineError, UsageError

_LOG = logging.getLogger(__name__)

#: The address that starts a cluster of this machine alone, for as long as the batch lasts.
LOCAL = "local"

#: An address where nobody answers is given up after so many seconds; Ray alone tries for minutes.
ANSWER_S = 10.0

#: While nothing ends, the nodes are looked at after so many seconds: without any, Ray waits for ever.
_LOOK_S = 10.0


def in_cluster(segments: Sequence[Segment], address: str, workers: int | None, opener: dict[str, Any], job: Job
               ) -> Iterator[Segment]:  # fmt: skip
    """Do the segments in a Ray cluster; see :func:`~drivenet.batch.crew.through`.

    Videos, engine and outputs are seen under the same paths on every node, and so is the current folder.

    Args:
        segments: the work.
        address: of :func:`ray.init`: ``ray://HOST:PORT``, ``HOST:PORT``, ``auto``, or :data:`LOCAL`.
        workers: how many actors; None for one for each processor, or for each ``opener["threads"]``.
        opener: the arguments of :func:`~drivenet.engine.open_engine`.
        job: what is done.

    Raises:
        EngineError: if no cluster answers, or it is lost.
        UsageError: for more threads than this machine has processors.
    """
    crew = _Actors(address, opener, job)
    yield from through(segments, workers or crew.room(), crew)


class _Actor:
    """A handle of an actor, and what it was asked last."""

    def __init__(self, ray: Any, handle: Any) -> None:
        self._ray, self.handle = ray, handle
        self.asked = handle.open.remote()

    def give(self, segment: Segment) -> None:
        """Hand a segment over."""
        self.asked = self.handle.do.remote(segment)

    def end(self) -> None:
        """Stop it, whatever it is at."""
        self._ray.kill(self.handle)


class _Actors:
    """The crew."""

    def __init__(self, address: str, opener: dict[str, Any], job: Job) -> None:
        self._ray: Any = _connect(address)
        self._address, self._told_small = address, False
        self._threads = opener.get("threads") or 1
        if address == LOCAL:
            self._check_room()
        # no restarts: an actor that died is replaced like any worker, which opens its engine anew
        self._actor = self._ray.remote(max_restarts=0, max_task_retries=0, num_cpus=self._threads)(Hand)
        self._arguments = opener, job, os.getcwd()
        errors = self._ray.exceptions
        self._deaths = (errors.RayActorError, errors.WorkerCrashedError, errors.NodeDiedError, errors.ObjectLostError,
                        errors.OutOfMemoryError)  # fmt: skip

    def room(self) -> int:
        """Actors that run at the same time."""
        return max(1, int(self._ray.cluster_resources().get("CPU", 1)) // self._threads)

    def _check_room(self) -> None:
        """UsageError for an actor that would wait for room for ever: no node joins a cluster of this machine."""
        processors = int(self._ray.cluster_resources().get("CPU", 0))
        if processors < self._threads:
            self.close()
            raise UsageError(f"--threads {self._threads} with --address local",
                             f"at most {processors}, the processors that Ray sees")  # fmt: skip

    def hire(self) -> _Actor:
        """Start an actor; it waits until a node has room."""
        return _Actor(self._ray, self._actor.remote(*self._arguments))

    def answers(self, workers: Sequence[_Actor]) -> list[tuple[_Actor, DrivenetError | None]]:
        """Those whose last task has ended. EngineError if no node is left."""
        asked = {worker.asked: worker for worker in workers}
        try:
            while not (ended := self._ray.wait(list(asked), num_returns=1, timeout=_LOOK_S)[0]):
                self._look()
        except ConnectionError as error:
            raise _lost(self._address, str(error)) from error
        return [(asked[task], self._answer(task)) for task in ended]

    def _look(self) -> None:
        alive = [node["Resources"].get("CPU", 0) for node in self._ray.nodes() if node["Alive"]]
        if not alive:
            raise _lost(self._address, "none of its nodes is alive")
        if max(alive) < self._threads and not self._told_small:
            self._told_small = True  # a larger node may join yet
            _LOG.warning("the Ray cluster at %s has nodes of at most %g processors; the batch waits for one of %d "
                         "(ray start --num-cpus %d, or --threads %g)", self._address, max(alive), self._threads,
                         self._threads, max(alive))  # fmt: skip

    def close(self) -> None:
        """Leave the cluster."""
        self._ray.shutdown()

    def _answer(self, task: Any) -> DrivenetError | None:
        try:
            answer: DrivenetError | None = self._ray.get(task)
        except self._deaths as error:
            return DeadError(f"an actor died: {error}")
        return answer


def _connect(address: str) -> Any:
    try:
        host, _, port = address.removeprefix("ray://").rpartition(":")
        if host and port.isdecimal():
            _call(host, int(port))
        return _joined(address)
    except Exception as error:  # Ray's own are bare, where a raylet does not start in time
        if address == LOCAL:
            raise EngineError(f"Ray does not start on this machine: {error}", *_ON_THIS_MACHINE) from error
        raise EngineError(f"no Ray cluster at {address}: {error}", "ray://HOST:PORT, HOST:PORT or local",
                          "start one (ray start --head), or set RAY_AUTH_MODE=token") from error  # fmt: skip


#: What is expected where Ray runs on this machine alone, and the cure.
_ON_THIS_MACHINE = ("a cluster that starts and stays", "ray/session_latest/logs in RAY_TMPDIR (/tmp) says why; "
                    "--workers N without --address does without Ray")  # fmt: skip


def _lost(address: str, why: str) -> EngineError:
    how = _ON_THIS_MACHINE if address == LOCAL else ("one that stays", "start it again; the same command goes on")
    return EngineError(f"the Ray cluster at {address} is lost: {why}", *how)


def _call(host: str, port: int) -> None:
    """Raise OSError where nobody listens or nobody speaks Ray's protocol, OverflowError for a port that cannot be."""
    socket.create_connection((host.strip("[]"), port), ANSWER_S).close()
    if os.environ.get("RAY_USE_TLS", "0").lower() in ("1", "true"):
        return  # such a server answers those with the certificates alone
    import grpc

    with grpc.insecure_channel(f"{host}:{port}", [("grpc.enable_http_proxy", 0)]) as channel:
        try:
            grpc.channel_ready_future(channel).result(ANSWER_S)
        except grpc.FutureTimeoutError:
            raise TimeoutError(f"what listens there does not answer as Ray does within {ANSWER_S:.0f} s") from None


def _joined(address: str) -> Any:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # a cluster of this machine sends no statistics
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # and its actors see the GPU
    import ray

    own = {"include_dashboard": False} if address == LOCAL else {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a client that gets no answer is told by its error
        ray.init(address, log_to_driver=False, logging_level="ERROR", **own)
    return ray
