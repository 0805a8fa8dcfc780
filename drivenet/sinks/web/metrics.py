"""The figures in Prometheus' text format, read from the stats when somebody scrapes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from drivenet.health import CAUSES, STATES, WORKING
from drivenet.sinks.web.run_stats import EDGES_MS, RunStats

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
#: Every fourth edge: one bucket a doubling.
_STEP = 4


class RunStatsCollector(Collector):
    """Reads the run's figures.

    Args:
        stats: the page's figures.
        viewers: how many watch.
    """

    def __init__(self, stats: RunStats, viewers: Callable[[], int]) -> None:
        self._stats, self._viewers = stats, viewers

    def collect(self) -> Iterator[Metric]:
        """All families."""
        document = self._stats.counts()
        yield _counter("captured_frames", "Frames that came from the source", document["captured"])
        yield _counter("published_frames", "Frames that reached a sink", document["published"])
        dropped = CounterMetricFamily("drivenet_dropped_frames", "Frames captured, not published", labels=["reason"])
        for reason, n in document["dropped"].items():
            dropped.add_metric([reason], n)
        yield dropped
        text = "What became of the frames meant for a sink: published, dropped or failed"
        sinks = CounterMetricFamily("drivenet_sink_frames", text, labels=["sink", "outcome"])
        for sink, counts in document["sinks"].items():
            for outcome, n in counts.items():
                sinks.add_metric([sink, outcome], n)
        yield sinks
        fps = GaugeMetricFamily("drivenet_fps", "Frames a second over the last 10 seconds", labels=["point"])
        for point, value in document["live"]["fps"].items():
            fps.add_metric([point], float("nan") if value is None else value)
        yield fps
        yield from self._gauges(document)
        yield self._stages()

    def _gauges(self, document: dict[str, Any]) -> Iterator[Metric]:
        frame, state = document["frame"], document["state"]["name"]
        age_s = frame["age_ms"] / 1000 if frame else float("nan")
        yield _gauge("frame_age_seconds", "Age of the newest published frame, from its capture", age_s)
        yield _gauge("healthy", "1 while new results are published", float(state in WORKING))
        yield _gauge("source_lost", "1 while the source gives nothing", float(state == "lost"))
        yield from _health(document["state"])
        yield _gauge("viewers", "Live pages and MJPEG streams open", self._viewers())
        area = GaugeMetricFamily("drivenet_class_area_ratio", "Share of the newest picture by class", labels=["class"])
        for cls, share in (frame["classes"] if frame else {}).items():
            area.add_metric([cls], share)
        yield area
        things = GaugeMetricFamily("drivenet_things", "Things in the newest picture by class", labels=["class"])
        for cls, count in Counter(thing["class"] for thing in (frame["things"] if frame else [])).items():
            things.add_metric([cls], count)
        yield things

    def _stages(self) -> Metric:
        with self._stats.lock:
            buckets, sums = self._stats.samples.buckets.copy(), self._stats.samples.sums_ms / 1000
        text = "Time a frame spent in a stage; end_to_end: from its capture to the last sink"
        family = HistogramMetricFamily("drivenet_stage_seconds", text, labels=["stage"])
        for name, counts, total in zip(
            self._stats.samples.names, buckets.cumsum(axis=1).tolist(), sums.tolist(), strict=True
        ):
            edges = [(f"{EDGES_MS[i] / 1000:g}", counts[i]) for i in range(0, len(EDGES_MS), _STEP)]
            family.add_metric([name], [*edges, ("+Inf", counts[-1])], total)
        return family


def exposition(stats: RunStats, viewers: Callable[[], int]) -> Callable[[], bytes]:
    """What answers a scrape."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(RunStatsCollector(stats, viewers))
    return lambda: generate_latest(registry)


def _health(state: dict[str, Any]) -> Iterator[Metric]:
    """The state of each part, and what became of the source."""
    parts = GaugeMetricFamily("drivenet_state", "1 for the state that a part is in", labels=["part", "state"])
    for part, found in state["parts"].items():
        for name in STATES:
            parts.add_metric([part, name], float(found["state"] == name))
    yield parts
    away = GaugeMetricFamily("drivenet_source_away", "1 for the cause that keeps the source away", labels=["cause"])
    for cause in CAUSES:
        away.add_metric([cause], float(state.get("cause") == cause))
    yield away
    yield _counter("reconnects", "Times that the source was lost and found again", state["reconnects"])
    error = GaugeMetricFamily("drivenet_last_error_info", "Why the source was last lost", labels=["error"])
    if state["last_error"]:
        error.add_metric([state["last_error"]], 1.0)
    yield error


def _counter(name: str, text: str, value: float) -> Metric:
    return CounterMetricFamily(f"drivenet_{name}", text, value=value)


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(f"drivenet_{name}", text, value=value)
