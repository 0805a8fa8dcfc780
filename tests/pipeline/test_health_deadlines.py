"""When a source is lost, an engine or the outputs stalled, and when they are found again, by a clock of the test."""

from __future__ import annotations

import pytest

from drivenet.pipeline import health
from drivenet.pipeline.health import LOST_AFTER_S, STALLED_AFTER_S, HealthMonitor
from drivenet.sources import open_source
from drivenet.sources.base import Source

S = 1_000_000_000


class Camera(Source):
    name, live, fps = "camera", True, 30.0


class Clock:
    """Goes on when it is told to."""

    def __init__(self) -> None:
        self.ns = 1000 * S

    def __call__(self) -> int:
        return self.ns

    def after(self, seconds: float) -> None:
        self.ns += round(seconds * S)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(health, "now_ns", clock)
    return clock


def works(monitor: HealthMonitor, clock: Clock) -> None:
    """A frame goes all the way."""
    monitor.source_gave((48, 64))
    monitor.published(clock.ns)
    monitor.source_asked()


def state(monitor: HealthMonitor, part: str) -> str:
    return monitor.check()[0].parts[part].state


def test_a_silent_camera_is_lost_and_found_by_the_next_picture_that_is_published(clock: Clock) -> None:
    monitor = HealthMonitor(Camera())
    works(monitor, clock)
    assert state(monitor, "source") == "ok"
    clock.after(LOST_AFTER_S - 0.1)
    assert state(monitor, "source") == "ok"
    clock.after(0.2)
    assert state(monitor, "source") == "lost"
    assert monitor.health.cause == "silent"
    monitor.source_gave((48, 64))
    assert state(monitor, "source") == "lost", "nobody has seen it yet"
    monitor.published(clock.ns)
    assert state(monitor, "source") == "ok"


def test_a_camera_whose_picture_is_at_the_engine_for_long_is_not_lost_for_that(clock: Clock) -> None:
    monitor = HealthMonitor(Camera())
    monitor.source_asked()
    clock.after(5.0)
    assert state(monitor, "source") == "lost"
    monitor.source_gave((48, 64))
    clock.after(1.1)
    assert state(monitor, "source") == "ok"


def test_an_engine_that_does_not_return_is_stalled_until_something_of_it_is_published(clock: Clock) -> None:
    monitor = HealthMonitor(Camera(), p99_ms=lambda: 200.0)
    works(monitor, clock)
    clock.after(0.1)
    monitor.working("infer")
    clock.after(STALLED_AFTER_S + 1.9)
    assert state(monitor, "engine") == "ok", "it takes its time as a rule: 20 times the p99"
    clock.after(0.2)
    assert state(monitor, "engine") == "stalled"
    monitor.working("")
    assert state(monitor, "engine") == "stalled"
    works(monitor, clock)
    assert state(monitor, "engine") == "ok"


def test_outputs_that_take_nothing_are_stalled(clock: Clock) -> None:
    monitor = HealthMonitor(Camera())
    works(monitor, clock)
    monitor.blocked(True)
    clock.after(STALLED_AFTER_S - 0.1)
    monitor.blocked(True)
    assert state(monitor, "outputs") == "ok"
    clock.after(0.2)
    assert state(monitor, "outputs") == "stalled"
    monitor.blocked(False)
    assert state(monitor, "outputs") == "ok"


@pytest.mark.parametrize(("source_id", "name"), [("front", "front"), ("", "synthetic://96x64@30")])
def test_the_log_names_one_of_several_sources_by_its_id(
    caplog: pytest.LogCaptureFixture, source_id: str, name: str
) -> None:
    """Two may have the same address, but for what is masked or left out."""
    with open_source("synthetic://96x64@30?seed=1") as source, caplog.at_level("INFO", "drivenet.health"):
        HealthMonitor(source, source_id).happened("info", "source.retry", "still away")
    assert caplog.messages == [f"{name}: still away"]
