"""The parent: starts the child, listens to its heart, ends it when it hangs, and starts it again."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from types import FrameType

from drivenet.backoff import Backoff
from drivenet.supervise.beat import DESCRIPTOR, HISTORY, Restarts, parse
from drivenet.supervise.notify import Notifier
from drivenet.supervise.policy import RestartLimit, Watch, describe, is_final, shell_code

_TICK_S = 0.1
#: From SIGTERM to SIGKILL: for a child that hangs, whose recordings survive a kill, and for one that ends in order.
_HUNG_S, _STOP_S = 1.0, 8.0
_FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Parent:
    """Runs children one after the other.

    Args:
        arguments: of ``drivenet run``.
        command: what is started with them; None = this Python's ``drivenet run``.
    """

    def __init__(self, arguments: Sequence[str], command: Sequence[str] | None = None) -> None:
        self._command = [*(command or [sys.executable, "-m", "drivenet", "run"]), *arguments]
        self._backoff, self._limit, self._notifier = Backoff(), RestartLimit(), Notifier()
        self._restarts = Restarts()
        self._child: subprocess.Popen[bytes] | None = None
        self._asked_s = self._alive_s = 0.0
        self._asked = 0
        self._ready = False
        self._json = "--log-format=json" in arguments or "json" in arguments

    def run(self) -> int:
        """Until a child ends for good, or too many did not; the exit code."""
        before = {number: signal.signal(number, self._forward) for number in _FORWARDED if _is_ours(number)}
        try:
            while True:
                code, reason = self._one_child()
                if self._asked_s or is_final(code):
                    return shell_code(code)
                if not self._limit.allows(time.monotonic()):
                    self._say(f"the node {reason}; started again too often within a minute, giving up")
                    return shell_code(code)
                self._restarts = Restarts(self._restarts.count + 1, reason, time.time())
                self._say(f"the node {reason}; restart {self._restarts.count}")
                if not self._wait(self._backoff.next_s()):
                    return shell_code(code)
        finally:
            self._notifier.stopping()
            for number, handler in before.items():
                signal.signal(number, handler)

    def _one_child(self) -> tuple[int, str]:
        """Start a child and watch it to its end: its exit code, and why it ended."""
        reader, writer = os.pipe()
        environment = {**os.environ, DESCRIPTOR: str(writer), HISTORY: json.dumps(asdict(self._restarts))}
        try:
            self._child = subprocess.Popen(self._command, pass_fds=(writer,), env=environment)
        finally:
            os.close(writer)
        if self._asked:  # just before the child was there to be told
            self._child.send_signal(self._asked)
        try:
            verdict = self._watch(self._child, reader)
        finally:
            os.close(reader)
        code = self._child.wait()
        return code, f"was ended: {verdict}" if verdict else describe(code)

    def _watch(self, child: subprocess.Popen[bytes], reader: int) -> str:
        """Listen until the child has ended; why it had to be ended, if so."""
        watch, verdict, kill_s, buffered = Watch(time.monotonic()), "", 0.0, b""
        os.set_blocking(reader, False)
        before_s = time.monotonic()
        while child.poll() is None:
            buffered = self._listen(reader, buffered, watch)
            now_s = time.monotonic()
            watch.excuse(max(0.0, now_s - before_s - 3 * _TICK_S))
            before_s = now_s
            self._tell(watch, now_s)
            if not kill_s:
                verdict = "" if self._asked_s else watch.verdict(now_s)
                if verdict:
                    child.terminate()
                if verdict or self._asked_s:
                    kill_s = now_s + (_HUNG_S if verdict else _STOP_S)
            elif now_s > kill_s:
                child.kill()
        return verdict

    def _listen(self, reader: int, buffered: bytes, watch: Watch) -> bytes:
        """Take what the child says within a tick; what is left of an unfinished line."""
        if select.select([reader], [], [], _TICK_S)[0]:
            with suppress(BlockingIOError):
                said = os.read(reader, 65536)
                if not said:  # it has closed the pipe, and is about to end
                    time.sleep(_TICK_S)
                *lines, buffered = (buffered + said).split(b"\n")
                for beat in filter(None, map(parse, lines)):
                    watch.hear(beat, time.monotonic())
        return buffered

    def _tell(self, watch: Watch, now_s: float) -> None:
        """Pass on to systemd how the child is."""
        if watch.is_well:
            self._backoff.reset()
        if watch.beat and not self._ready:
            self._ready = True
            self._notifier.ready()
        if watch.beat:
            again = f", restart {self._restarts.count} ({self._restarts.reason})" if self._restarts.count else ""
            self._notifier.status(f"{watch.beat.state}{again} {watch.beat.reason}")
        self._live(now_s)

    def _live(self, now_s: float) -> None:
        if now_s - self._alive_s >= self._notifier.every_s:
            self._alive_s = now_s
            self._notifier.alive()

    def _wait(self, seconds: float) -> bool:
        """Wait before a restart; whether nobody asked to stop meanwhile."""
        until_s = time.monotonic() + seconds
        while (now_s := time.monotonic()) < until_s and not self._asked_s:
            self._live(now_s)
            time.sleep(min(_TICK_S, until_s - now_s))
        return not self._asked_s

    def _forward(self, number: int, _: FrameType | None) -> None:
        """Somebody asks to stop: the child ends in order, and so does this process."""
        self._asked, self._asked_s = number, self._asked_s or time.monotonic()
        if self._child and self._child.poll() is None:
            self._child.send_signal(number)

    def _say(self, text: str) -> None:
        self._notifier.status(text)
        with suppress(OSError, ValueError, AttributeError):
            line = json.dumps({"level": "warning", "code": "node.restarted", "message": text}) if self._json else text
            print(line if self._json else f"drivenet: {text}", file=sys.stderr, flush=True)


def _is_ours(number: signal.Signals) -> bool:
    return signal.getsignal(number) is not signal.SIG_IGN
