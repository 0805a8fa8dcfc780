"""The page's figures: what the run counted, and percentiles over the last seconds as well as the whole run."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from drivenet.address import display_name, one_line
from drivenet.health import Event, Health, Part, State
from drivenet.hud import engine_label
from drivenet.latency import END_TO_END, P99_MIN_SAMPLES, STAGES, Timeline, now_ns
from drivenet.recent import WINDOW_S
from drivenet.result import Result, Totals
from drivenet.sinks.web.snapshot import describe

#: Spans that can be chosen, in seconds; the whole run is one more.
WINDOWS_S = (10, 60, 300)
RUN = "run"
#: A run that says nothing for so long, not even how it is, has come to a stop itself.
SILENT_AFTER_S = 2.0
#: How many events are kept.
_EVENTS = 50
#: Edges of the histograms, in ms: four a doubling, from half a millisecond to 8 seconds.
EDGES_MS = tuple(round(0.5 * 2 ** (k / 4), 4) for k in range(57))
#: Frames that are kept for the windows: 300 s at 60 Hz.
_KEPT = 18_000


class Samples:
    """The last frames' stage times, in a ring of fixed size, and bucket counts of all frames. Not locked.

    Args:
        stages: the stages of the run; ``names`` are these and ``end_to_end``, the columns of all that is kept.
    """

    def __init__(self, stages: Sequence[str] = STAGES) -> None:
        self.count = 0
        self.names = (*stages, END_TO_END)
        self._rows: npt.NDArray[np.float64] = np.zeros((_KEPT, 1 + len(self.names)))
        self.buckets = np.zeros((len(self.names), len(EDGES_MS) + 1), np.int64)
        self.sums_ms = np.zeros(len(self.names))

    def add(self, timeline: Timeline) -> None:
        """Record a frame all of whose times are there."""
        times = {**timeline.stages_ms(), END_TO_END: timeline.end_to_end_ms()}
        values = [max(0.0, times.get(name, 0.0)) for name in self.names]
        self._rows[self.count % _KEPT] = (timeline.end / 1e6, *values)
        self.buckets[np.arange(len(values)), np.searchsorted(EDGES_MS, values)] += 1
        self.sums_ms += values
        self.count += 1

    def since(self, count: int) -> npt.NDArray[np.float64]:
        """Rows ``time_ms, *names`` of the frames after the first ``count``, as far as they are kept."""
        first = max(count, self.count - _KEPT)
        return self._rows[np.arange(first, self.count) % _KEPT]


class RunStats:
    """Everything that the page, ``/stats.json`` and ``/metrics`` say.

    ``published``, ``settled``, ``status``, ``fares``, ``happened`` and ``end`` are called by the sink's thread, the
    rest by the server's.

    Args:
        source: what the frames come from, without credentials.
        engine: what they go through at first; the counts tell of another one.
        stages: what frames pass.
    """

    def __init__(self, source: str, engine: Mapping[str, Any], stages: Sequence[str] = STAGES) -> None:
        self.source, self.engine = one_line(display_name(source)), dict(engine)  # JSON has no place for other text
        #: Whether the source is a recording; also known from frames that have a time or file of one.
        self.replay = False
        self.samples, self.stages = Samples(stages), tuple(stages)
        self.lock = threading.Lock()
        self._started_ns = now_ns()
        self._result: Result | None = None
        self._newest_ns = 0
        self._published_ns = 0
        self._health: Health | None = None
        self._heard_ns = self._ended_ns = 0
        self.events: deque[Event] = deque(maxlen=_EVENTS)
        self._run: dict[str, Any] = Totals().to_dict()
        self._live: dict[str, Any] = {"window_s": WINDOW_S, "fps": self._run["fps"], "p50_ms": {}}
        self._windows: dict[int, tuple[float, int, dict[str, Any]]] = {}

    def published(self, result: Result) -> None:
        """A result passed; other sinks may still have it."""
        self.replay = self.replay or result.frame.media_ns is not None or bool(result.frame.file)
        with self.lock:
            self._result = result
            if result.frame.captured_ns > self._newest_ns:
                self._newest_ns, self._published_ns = result.frame.captured_ns, now_ns()

    def status(self, totals: Totals) -> None:
        """The run's counts."""
        run = totals.to_dict()
        with self.lock:
            self._run, self._live = run, totals.live or self._live
            self.engine = run["engine"] or self.engine

    def fares(self, health: Health) -> None:
        """How the run is."""
        with self.lock:
            self._health, self._heard_ns = health, now_ns()

    def happened(self, event: Event) -> None:
        """Keep an event, but for what is expected."""
        if event.severity != "debug":
            with self.lock:
                self.events.append(event)

    def end(self, totals: Totals) -> None:
        """The run is over, with these counts; other sources of the page may go on."""
        self.status(totals)
        with self.lock:
            self._ended_ns = now_ns()

    def settled(self, result: Result) -> None:
        """Take the final times of a result that passed before."""
        with self.lock:
            self.samples.add(result.timeline)

    def state(self) -> tuple[State, float]:
        """The run's state by its health, and for how many seconds it has been so."""
        health = self.health()
        return health.state, health.seconds()

    def health(self) -> Health:
        """How the run is; ended where it is over without an error, stalled where it has not said so for 2 s."""
        with self.lock:
            now, health, heard_ns = now_ns(), self._health, self._heard_ns or self._published_ns
            began_ns, ended_ns = self._started_ns, self._ended_ns
        run = Part("ended", ended_ns, "the run has ended") if ended_ns else None
        if not run and heard_ns and (now - heard_ns) / 1e9 > SILENT_AFTER_S:
            run = Part("stalled", heard_ns, "the run does not say how it is")
        if run:
            return replace(health or Health(), parts={**(health.parts if health else {}), "run": run})
        return health or Health({"run": Part("ok", heard_ns) if heard_ns else Part("starting", began_ns)})

    def hud(self) -> dict[str, Any]:
        """The figures that the server-side overlay shows, as :class:`~drivenet.hud.Hud` names them."""
        with self.lock:
            run, live = self._run, self._live
        figures = {"p50_ms": live["p50_ms"], "fps": live["fps"], "dropped": run["dropped"]}
        about = {"source": self.source, "engine": engine_label(self.engine), "warning": self.health().warning}
        return {**figures, **about}

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
            window = _window(kept[kept[:, 0] >= now_ms - 1000 * span_s], self.samples.names)
            self._windows[span_s] = (now_ms, count, window)
        return window

    def counts(self) -> dict[str, Any]:
        """State, counts, rates, the newest frame, and the run's latency."""
        health = self.health().to_dict()
        with self.lock:
            now = now_ns()
            events = [event.to_dict() for event in self.events]
            frame = describe(self._result) if self._result else None
            if frame is not None:
                frame["age_ms"] = round(now / 1e6 - frame["captured_ms"], 1)
            run, live = dict(self._run), self._live
        for name in ("type", "engine", "health", "events"):
            run.pop(name)
        return {
            "state": {"name": health.pop("state"), **health},
            "events": events,
            "live": live,
            "source": self.source,
            "replay": self.replay,
            "engine": self.engine,
            "uptime_s": round((now - self._started_ns) / 1e9, 1),
            **run,
            "frame": frame,
        }


def _window(rows: npt.NDArray[np.float64], columns: Sequence[str]) -> dict[str, Any]:
    """Percentiles by stage, exact and as :meth:`drivenet.latency.Histogram.summary` names them, and end-to-end
    times by bucket.
    """
    values, n = rows[:, 1:], len(rows)
    counts = np.bincount(np.searchsorted(EDGES_MS, values[:, -1]), minlength=len(EDGES_MS) + 1)
    names = ("p50", "p90", "p99", "max") if n >= P99_MIN_SAMPLES else ("p50", "p90", "max")
    percents = [100.0 if name == "max" else float(name[1:]) for name in names]
    figures = np.percentile(values, percents, axis=0) if n else np.zeros((len(names), len(columns)))
    by_name = dict(zip(columns, figures.round(3).T.tolist(), strict=True))
    latency = {name: {"n": n, **dict(zip(names, by_name[name], strict=True))} for name in (END_TO_END, *columns[:-1])}
    return {"latency_ms": latency, "histogram": counts.tolist()}
