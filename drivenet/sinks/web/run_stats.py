"""The page's figures: what the run counted, and percentiles over the last seconds as well as the whole run."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from drivenet.address import one_line
from drivenet.latency import END_TO_END, P99_MIN_SAMPLES, STAGES, Stamps, now_ns
from drivenet.result import Result, Totals
from drivenet.sinks.web.snapshot import describe

#: Spans that can be chosen, in seconds; the whole run is one more.
WINDOWS_S = (10, 60, 300)
RUN = "run"
#: No new result for so long is unhealthy.
STALE_AFTER_S = 2.0
#: Edges of the histograms, in ms: four a doubling, from half a millisecond to 8 seconds.
EDGES_MS = tuple(round(0.5 * 2 ** (k / 4), 4) for k in range(57))
NAMES = (*STAGES, END_TO_END)
#: Frames that are kept for the windows: 300 s at 60 Hz.
_KEPT = 18_000


class Samples:
    """The last frames' stage times, in a ring of fixed size, and bucket counts of all frames. Not locked."""

    def __init__(self) -> None:
        self.count = 0
        self._rows: npt.NDArray[np.float64] = np.zeros((_KEPT, 1 + len(NAMES)))
        self.buckets = np.zeros((len(NAMES), len(EDGES_MS) + 1), np.int64)
        self.sums_ms = np.zeros(len(NAMES))

    def add(self, stamps: Stamps) -> None:
        """Record a frame all of whose stamps are there."""
        stages = stamps.stages_ms()
        values = [max(0.0, stages[s]) for s in STAGES] + [max(0.0, stamps.end_to_end_ms())]
        self._rows[self.count % _KEPT] = (stamps.last_published() / 1e6, *values)
        self.buckets[np.arange(len(NAMES)), np.searchsorted(EDGES_MS, values)] += 1
        self.sums_ms += values
        self.count += 1

    def since(self, count: int) -> npt.NDArray[np.float64]:
        """Rows ``time_ms, *NAMES`` of the frames after the first ``count``, as far as they are kept."""
        first = max(count, self.count - _KEPT)
        return self._rows[np.arange(first, self.count) % _KEPT]


class RunStats:
    """Everything that the page, ``/stats.json`` and ``/metrics`` say.

    ``published``, ``status`` and ``lost`` are called by the sink's thread, the rest by the server's.

    Args:
        source: what the frames come from, without credentials.
        engine: what they go through at first; the counts tell of another one.
    """

    def __init__(self, source: str, engine: Mapping[str, Any]) -> None:
        self.source, self.engine = one_line(source), dict(engine)  # JSON has no place for other text
        self.samples = Samples()
        self.lock = threading.Lock()
        self._started_ns = now_ns()
        self._result: Result | None = None
        self._unfinished: deque[Stamps] = deque()
        self._newest_ns = 0
        self._published_ns = 0
        self._lost_ns: int | None = None
        self._run: dict[str, Any] = Totals().to_dict()
        self._windows: dict[int, tuple[float, int, dict[str, Any]]] = {}

    def published(self, result: Result) -> None:
        """A result passed. Its stamps are taken once they are settled: other sinks may still have it."""
        with self.lock:
            self._take_settled()
            self._unfinished.append(result.stamps)
            self._result = result
            if result.frame.captured_ns > self._newest_ns:
                self._newest_ns, self._published_ns = result.frame.captured_ns, now_ns()
                self._lost_ns = None

    def status(self, totals: Totals) -> None:
        """The run's counts."""
        run = totals.to_dict()
        with self.lock:
            self._take_settled()
            self._run = run
            self.engine = run["engine"] or self.engine

    def lost(self, seconds: float) -> None:
        """The source has given nothing for so long."""
        with self.lock:
            self._lost_ns = now_ns() - round(seconds * 1e9)

    def _take_settled(self) -> None:
        while self._unfinished and self._unfinished[0].settled:
            self.samples.add(self._unfinished.popleft())

    def state(self) -> tuple[str, float]:
        """``starting``, ``ok``, ``stale`` (nothing new comes out) or ``lost`` (nothing comes in), since seconds."""
        with self.lock:
            return self._state(now_ns())

    def _state(self, now: int) -> tuple[str, float]:
        if self._lost_ns is not None:
            return "lost", (now - self._lost_ns) / 1e9
        if not self._published_ns:
            return "starting", (now - self._started_ns) / 1e9
        silent_s = (now - self._published_ns) / 1e9
        return ("stale", silent_s) if silent_s > STALE_AFTER_S else ("ok", 0.0)

    def hud(self) -> dict[str, Any]:
        """The figures that the server-side overlay shows, as :class:`~drivenet.hud.Hud` names them."""
        with self.lock:
            run = self._run
        p50 = {name: figures["p50"] for name, figures in run["latency_ms"].items() if figures["n"]}
        label = " ".join(str(self.engine[k]) for k in ("backend", "precision") if k in self.engine)
        figures = {"p50_ms": p50, "fps": run["fps"], "dropped": run["dropped"]}
        return {**figures, "source": self.source, "engine": label}

    def document(self) -> dict[str, Any]:
        """``/stats.json``: :meth:`counts`, and latency over each of :data:`WINDOWS_S` and the run."""
        document = self.counts()
        windows = {str(s): self._window(s) for s in WINDOWS_S}
        with self.lock:
            buckets = self.samples.buckets[-1].tolist()
        windows[RUN] = {"latency_ms": document.pop("latency_ms"), "histogram": buckets}
        return {**document, "windows": windows, "histogram_edges_ms": EDGES_MS}

    def _window(self, span_s: int) -> dict[str, Any]:
        """The figures of a window, made anew when a hundredth of it has passed or of its frames have come."""
        now_ms, (made_ms, count, window) = now_ns() / 1e6, self._windows.get(span_s, (0.0, 0, {}))
        come = self.samples.count - count
        if not window or now_ms - made_ms > 10 * span_s or 100 * come > window["latency_ms"][END_TO_END]["n"]:
            with self.lock:
                kept, count = self.samples.since(0), self.samples.count
            window = _window(kept[kept[:, 0] >= now_ms - 1000 * span_s])
            self._windows[span_s] = (now_ms, count, window)
        return window

    def counts(self) -> dict[str, Any]:
        """State, counts, rates, the newest frame, and the run's latency."""
        with self.lock:
            now = now_ns()
            state, seconds = self._state(now)
            frame = describe(self._result) if self._result else None
            if frame is not None:
                frame["age_ms"] = round(now / 1e6 - frame["captured_ms"], 1)
            run = dict(self._run)
        run.pop("type"), run.pop("engine")
        return {
            "state": {"name": state, "seconds": round(seconds, 2)},
            "source": self.source,
            "engine": self.engine,
            "uptime_s": round((now - self._started_ns) / 1e9, 1),
            **run,
            "frame": frame,
        }


def _window(rows: npt.NDArray[np.float64]) -> dict[str, Any]:
    """Percentiles by stage, exact and as :meth:`drivenet.latency.Histogram.summary` names them, and end-to-end
    times by bucket.
    """
    values, n = rows[:, 1:], len(rows)
    counts = np.bincount(np.searchsorted(EDGES_MS, values[:, -1]), minlength=len(EDGES_MS) + 1)
    names = ("p50", "p90", "p99", "max") if n >= P99_MIN_SAMPLES else ("p50", "p90", "max")
    percents = [100.0 if name == "max" else float(name[1:]) for name in names]
    figures = np.percentile(values, percents, axis=0) if n else np.zeros((len(names), len(NAMES)))
    by_name = dict(zip(NAMES, figures.round(3).T.tolist(), strict=True))
    latency = {name: {"n": n, **dict(zip(names, by_name[name], strict=True))} for name in (END_TO_END, *STAGES)}
    return {"latency_ms": latency, "histogram": counts.tolist()}
