"""The process that pushes, as seen from the node: it is given pictures and never waited for without a limit."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import select
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path

from drivenet.frame import Image
from drivenet.sinks.i420 import BT601, LIMITED_RANGE

#: How long a server may leave the process waiting, before and while it streams.
PATIENCE_S = 5
_PUSHER = Path(__file__).with_name("pusher.py")
_STREAMING = "streaming"
_PIPE_BYTES = 1 << 20
_END_S = 1.0


class PushProcess:
    """One attempt to stream.

    Args:
        uri: where to, with credentials; handed over through a pipe, so that no list of processes shows it.
        size: (height, width) of the pictures, both even.
    """

    #: Whether the server has taken the stream.
    streaming = False
    #: Why the stream has ended, empty while it has not.
    failure = ""

    def __init__(self, uri: str, size: tuple[int, int]) -> None:
        self.size = size
        self._said = ""
        self._process = subprocess.Popen(
            [sys.executable, str(_PUSHER)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            bufsize=0, start_new_session=True,  # an interrupt at the terminal is for the node alone
        )  # fmt: skip
        assert self._process.stdin
        assert self._process.stdout
        self._in, self._out = self._process.stdin, self._process.stdout
        os.set_blocking(self._in.fileno(), False)
        with contextlib.suppress(OSError, AttributeError):  # beyond the system's limit, or not Linux
            fcntl.fcntl(self._in, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        order = {"uri": uri, "size": size, "colour": (BT601, LIMITED_RANGE), "patience": PATIENCE_S}
        self._pending = memoryview(json.dumps(order).encode() + b"\n")
        self._hand_over(0.0)

    def offer(self, at_ns: int, planes: Image, patience_s: float) -> None:
        """Hand a picture over; it is given up if the process is busy with earlier ones for so long."""
        if self._hand_over(patience_s):
            self._pending = memoryview(struct.pack("<q", at_ns) + planes.tobytes())
            self._hand_over(patience_s)

    def listen(self, patience_s: float = 0.0) -> None:
        """Take note of what the process says, waiting for so long until it streams or has failed."""
        deadline = time.monotonic() + patience_s
        while not self.failure and _ready(self._out.fileno(), select.POLLIN, deadline - time.monotonic()):
            data = os.read(self._out.fileno(), 4096)
            self._said += data.decode()
            if not data:
                self._ended()
            elif not self.streaming and _STREAMING in self._said.splitlines():
                self.streaming, deadline = True, 0.0

    def close(self, patience_s: float) -> None:
        """Let the process take leave of the server for so long, then kill it."""
        self._hand_over(patience_s)
        self._in.close()
        try:
            self._process.wait(patience_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._out.close()

    def _hand_over(self, patience_s: float) -> bool:
        """Write what is pending; whether that is done now."""
        deadline = time.monotonic() + patience_s
        while self._pending and not self.failure:
            try:
                self._pending = self._pending[os.write(self._in.fileno(), self._pending) :]
            except BlockingIOError:
                if not _ready(self._in.fileno(), select.POLLOUT, deadline - time.monotonic()):
                    return False
            except BrokenPipeError:
                self.listen(_END_S)
                self.failure = self.failure or "its process does not read on"
        return not self.failure

    def _ended(self) -> None:
        """The process has closed its output: note why."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_END_S)
        status = self._process.poll()
        reasons = [line for line in self._said.splitlines() if line != _STREAMING]
        if status == -signal.SIGALRM:
            reasons = [f"no answer for {PATIENCE_S} s"]
        self.failure = reasons[-1] if reasons else f"its process ended with status {status}"


def _ready(descriptor: int, event: int, patience_s: float) -> bool:
    poll = select.poll()
    poll.register(descriptor, event)
    return bool(poll.poll(max(0.0, patience_s) * 1000))
