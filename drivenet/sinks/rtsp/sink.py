"""The view of every result, live at an RTSP server."""

from __future__ import annotations

import socket
import time
from urllib.parse import urlsplit

from drivenet.address import ESCAPES, check_credentials, mask_uri
from drivenet.backoff import Backoff
from drivenet.errors import SinkError, UsageError
from drivenet.frame import Image
from drivenet.health import Health
from drivenet.latency import now_ns
from drivenet.result import Result, Totals
from drivenet.sinks.base import Sink, SinkAwayError, view_of
from drivenet.sinks.i420 import i420
from drivenet.sinks.rtsp.process import PATIENCE_S, PushProcess

#: The first connection may take as long as the server's answers, and the time that a process needs to begin.
_BEGIN_S = 3 * PATIENCE_S
_LONGEST_WAIT_S = 8.0
#: How long one result waits for a server that is away or slow.
_AWAY_S = 0.5
_LEAVE_S = 1.0
_CURE = "start an RTSP server that takes streams there, such as mediamtx, or mend the address"


class RtspSink(Sink):
    """Pushes the view as H.264 over TCP (ANNOUNCE and RECORD), paced by capture times.

    The first result, and the first of another size, waits until the server has taken the stream. If the server goes
    away later, it is tried again after 0.5 s, then 1, 2, 4, and every 8 s. Meanwhile a result waits half a second and
    counts as failed, so that the others are dropped and counted in the queue. While the source is lost the marked view
    is pushed.

    Args:
        uri: ``rtsp://[user:password@]host[:port]/path``.

    Raises:
        UsageError: if the address is wrong.
        SinkError: if nobody listens there; later, from ``publish``, if the server does not take the first stream.
        SinkAwayError: from ``publish``, while a server that took it before is away.
    """

    name = "rtsp"
    overflow = "drop"

    def __init__(self, uri: str) -> None:
        self.check_address(uri)
        self._uri, self.target = uri, mask_uri(uri)
        self._check_answer(*_host_and_port(uri))
        self._process: PushProcess | None = None
        #: Whether a stream has been taken before, and whether a new one begins that nothing speaks against yet.
        self._streamed, self._begins, self._why = False, True, "no answer"
        self._backoff, self._next_s = Backoff(longest_s=_LONGEST_WAIT_S), 0.0

    @classmethod
    def check_address(cls, uri: str) -> None:
        """See :meth:`Sink.check_address`."""
        check_credentials(uri)
        _host_and_port(uri)

    def publish(self, result: Result) -> None:
        """Push one picture; SinkError if the server takes not even the first."""
        if not self._push(view_of(result), result.frame.captured_ns, _AWAY_S):
            raise SinkAwayError(f"{self.target} is away: {self._why}", cure=_CURE)

    def marked(self, view: Image, health: Health) -> None:
        """Push the marked view, so that who watches sees that it is old."""
        self._push(view, now_ns(), 0.0)

    def close(self, totals: Totals) -> None:
        """Take leave of the server, within two seconds, whatever it does."""
        self._drop()

    def _push(self, view: Image, at_ns: int, patience_s: float) -> bool:
        """Hand a picture to the process that streams; whether there is one."""
        planes = i420(view)
        size = planes.shape[0] * 2 // 3, planes.shape[1]
        if self._process and self._process.size != size:
            self._drop()
            self._begins = True
        process = self._connected(size, patience_s)
        if process:
            process.offer(at_ns, planes, patience_s)
        return process is not None

    def _connected(self, size: tuple[int, int], patience_s: float) -> PushProcess | None:
        """The process once it streams; None while the server is away, after so long at most."""
        waits = self._begins and (patience_s > 0 or not self._streamed)
        deadline = time.monotonic() + (_BEGIN_S if waits else patience_s)
        while True:
            process = self._process or self._begun(size, deadline)
            if process is None:
                return None
            process.listen(0.0 if process.streaming else deadline - time.monotonic())
            if process.failure:
                self._failed(process.failure)
                deadline = min(deadline, time.monotonic() + patience_s)
            elif process.streaming:
                self._streamed, self._begins = True, False
                self._backoff.reset()
                return process
            elif time.monotonic() >= deadline:
                return None

    def _begun(self, size: tuple[int, int], deadline: float) -> PushProcess | None:
        """A new attempt when it is time for one; None if that is after the deadline."""
        if self._next_s > deadline:
            time.sleep(max(0.0, deadline - time.monotonic()))
            return None
        time.sleep(max(0.0, self._next_s - time.monotonic()))
        self._process = PushProcess(self._uri, size)
        return self._process

    def _failed(self, why: str) -> None:
        """Plan the next attempt; if none has ever succeeded there is none."""
        self._drop()
        self._begins, self._why = False, why
        if not self._streamed:
            raise SinkError(f"{self.target} takes no stream: {why}", cure=_CURE)
        self._next_s = time.monotonic() + self._backoff.next_s()

    def _drop(self) -> None:
        if self._process:
            self._process.close(_LEAVE_S)
        self._process = None

    def _check_answer(self, host: str, port: int) -> None:
        try:
            socket.create_connection((host, port), timeout=PATIENCE_S).close()
        except (OSError, ValueError) as error:  # ValueError for a name that no host can have
            said = getattr(error, "strerror", None) or str(error) or "no answer"
            raise SinkError(f"nothing answers at {self.target}: {said.lower()}", cure=_CURE) from None


def _host_and_port(uri: str) -> tuple[str, int]:
    try:
        parts = urlsplit(uri)
        host, port = parts.hostname, parts.port
    except ValueError:
        parts, host, port = urlsplit(""), None, None
    if not host or port == 0 or not parts.path.strip("/"):
        raise UsageError(f"output {mask_uri(uri)}", "rtsp://HOST[:PORT]/PATH", ESCAPES)
    return host, port or 554
