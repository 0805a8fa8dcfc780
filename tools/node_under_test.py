"""A real ``drivenet run`` in a process of its own, what it says of itself, and what it takes; for Linux."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Any

import av

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_START_S = 60


class NodeUnderTest:
    """Plays a clip at a fixed rate under ``latest``, with stats lines in a file; a context.

    Args:
        clip: what it plays.
        rate: Hz.
        stats: where the lines go.
        options: more of ``drivenet run``; with ``--serve``, :attr:`port` is that of the page.
    """

    def __init__(self, clip: Path, rate: float, stats: Path, options: Iterable[str]) -> None:
        self.stats = stats
        stats.unlink(missing_ok=True)
        command = [sys.executable, "-m", "drivenet", "run", str(clip), "--policy", "latest", "--rate", f"{rate:g}",
                   "--headless", "--stats", str(stats), *options]  # fmt: skip
        self.port = 0
        self._said: queue.Queue[str] = queue.Queue()
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        threading.Thread(target=self._listen, daemon=True).start()
        if "--serve" in command:
            self.port = self._page_port()

    def __enter__(self) -> NodeUnderTest:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def lines(self) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        """The stats lines of all frames, and the summary, after the end."""
        *frames, summary = (json.loads(line) for line in self.stats.read_text().splitlines())
        return frames, summary

    def first_captured_ns(self) -> int:
        """When the first frame was captured; waits for it."""
        until = time.monotonic() + _START_S
        while True:
            line, end, _ = (self.stats.read_text() if self.stats.exists() else "").partition("\n")
            if end:
                return int(json.loads(line)["captured_ns"])
            if time.monotonic() > until or self.process.poll() is not None:
                raise SystemExit("the node gives no frame")
            time.sleep(0.05)

    def cpu_s(self) -> float:
        return cpu_s([self.process.pid])

    def rss_mb(self) -> float:
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return round(pages * _PAGE_BYTES / 1e6, 1)

    def _listen(self) -> None:
        assert self.process.stderr
        for line in self.process.stderr:
            self._said.put(line)
        self._said.put("")

    def _page_port(self) -> int:
        said = []
        while line := self._said.get(timeout=_START_S):
            if line.startswith("live page at "):
                return int(line.rstrip("/\n").rpartition(":")[2])
            said.append(line)
        raise SystemExit(f"the node ended: {''.join(said)}")


def repeated(clip: Path, times: int, out: Path) -> int:
    """Write a clip so many times in a row, packet by packet; how many frames that are."""
    frames = 0
    with av.open(str(out), "w") as target:
        stream = None
        end = 0
        for _ in range(times):
            with av.open(str(clip)) as source:
                video = source.streams.video[0]
                stream = stream or target.add_stream_from_template(video)
                start, begin = end, None
                for packet in source.demux(video):
                    if packet.dts is None or packet.pts is None:
                        continue
                    begin = packet.dts if begin is None else begin
                    packet.dts, packet.pts = packet.dts - begin + start, packet.pts - begin + start
                    end = max(end, packet.dts + (packet.duration or 1))
                    packet.stream = stream
                    target.mux(packet)
                    frames += 1
    return frames


def cpu_s(processes: Iterable[int]) -> float:
    """Processor seconds of processes so far; those that have ended count nothing."""
    ticks = 0
    for process in processes:
        try:
            fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        ticks += int(fields[11]) + int(fields[12])
    return ticks / _TICKS


def descendants(process: int) -> list[int]:
    """All processes below one."""
    parents: dict[int, int] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
    found = [process]
    for parent in found:
        found += [child for child, its_parent in parents.items() if its_parent == parent]
    return found[1:]
