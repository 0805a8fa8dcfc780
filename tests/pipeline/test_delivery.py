"""Whatever order sinks finish in, each frame is settled once, in order, and all counts add up."""

from __future__ import annotations

import threading

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from drivenet.frame import Frame
from drivenet.labels import CAMVID
from drivenet.latency import Timeline
from drivenet.pipeline.accounting import FrameAccounting
from drivenet.pipeline.delivery import MAX_UNSETTLED, Delivery, DeliveryTracker, Outcome
from drivenet.pipeline.sink_queue import SinkQueue, unique
from drivenet.result import Result
from drivenet.sinks.base import Sink

OUTCOMES: list[Outcome] = ["published", "dropped", "stopped", "failed"]


def result(index: int) -> Result:
    frame = Frame(np.zeros((2, 2, 3), np.uint8), index, 1)
    return Result(frame, CAMVID, Timeline(1))


def expected(outcomes: set[Outcome]) -> str:
    """What a frame counts as."""
    for outcome, counts_as in (("published", "published"), ("failed", "failed"), ("stopped", "stopped")):
        if outcome in outcomes:
            return counts_as
    return "sink"


@given(st.integers(0, 12), st.integers(1, 3), st.data())
def test_any_interleaving_adds_up(frames: int, sinks: int, data: st.DataObject) -> None:
    """Frames are begun in order; each sink books its frames when it likes, as it likes."""
    names = [f"s{n}" for n in range(sinks)]
    recorded: list[int] = []
    accounting = FrameAccounting({})
    for name in names:
        accounting.enlist(name)
    tracker = DeliveryTracker(accounting, names, lambda r: recorded.append(r.frame.index))
    deliveries: list[Delivery] = []
    held: list[tuple[int, str]] = []
    said: dict[int, set[Outcome]] = {n: set() for n in range(frames)}
    forced: dict[int, str] = {}
    while len(deliveries) < frames or held:
        if len(deliveries) < frames and (not held or data.draw(st.booleans(), "begin")):
            if len(tracker) == MAX_UNSETTLED:
                oldest = next(n for n, delivery in enumerate(deliveries) if not delivery.settled)
                forced[oldest] = expected(said[oldest])
            deliveries.append(tracker.begin(result(len(deliveries))))
            accounting.captured(1)
            held += [(len(deliveries) - 1, name) for name in names]
        else:
            index, name = held.pop(data.draw(st.integers(0, len(held) - 1), "who"))
            outcome = data.draw(st.sampled_from(OUTCOMES), "outcome")
            if index not in forced:
                said[index].add(outcome)
            tracker.book(deliveries[index], name, outcome, at_ns=5)
            tracker.book(deliveries[index], name, "published", at_ns=6)  # the first word counts
        assert len(tracker) <= MAX_UNSETTLED
        assert recorded == sorted(recorded)
    totals = accounting.totals()
    assert totals.captured == frames == totals.published + sum(totals.dropped.values())
    assert all(sum(counts.values()) == frames for counts in totals.sinks.values())
    verdicts = {n: forced.get(n, expected(said[n])) for n in range(frames)}
    assert recorded == [n for n in range(frames) if verdicts[n] == "published"]
    for reason, count in totals.dropped.items():
        assert count == list(verdicts.values()).count(reason)
    assert all(delivery.settled for delivery in deliveries)
    assert all(at == 5 for delivery in deliveries for at in delivery.published_ns)


def test_what_comes_after_the_settling_counts_for_the_sink_and_leaves_the_times() -> None:
    accounting = FrameAccounting({})
    for name in ("quick", "slow"):
        accounting.enlist(name)
    recorded: list[Result] = []
    tracker = DeliveryTracker(accounting, ["quick", "slow"], recorded.append)
    deliveries = []
    for n in range(MAX_UNSETTLED + 1):
        deliveries.append(tracker.begin(result(n)))
        tracker.book(deliveries[n], "quick", "published", at_ns=3)
    (first,) = recorded
    times = first.timeline
    tracker.book(deliveries[0], "slow", "published", at_ns=10**12)
    assert first.timeline == times
    assert times.stages_ms() == {"publish": 2e-6}
    assert accounting.totals().sinks["slow"]["published"] == 1


def test_without_timed_sinks_a_frame_is_published_at_once() -> None:
    accounting, recorded = FrameAccounting({}), []
    DeliveryTracker(accounting, [], recorded.append).begin(result(0))
    assert accounting.totals().published == len(recorded) == 1


class Live(Sink):
    """Wants what is new."""

    overflow = "drop"


def test_a_queue_keeps_the_newest_results_and_the_order_of_all_that_is_told() -> None:
    queue = SinkQueue(Live(), "live", "every", threading.Condition())
    assert (queue.blocks, queue.idle, queue.depth) == (False, True, 2)
    first, second, third = (Delivery(result(n), {"live"}) for n in range(3))
    with queue.changed:
        assert queue.offer(first) is None
        queue.tell("status", lambda _: None)
        assert queue.offer(second) is None
        assert not queue.has_room()
        queue.tell("lost", lambda _: None)
        queue.tell("status", lambda _: None)
        assert queue.offer(third) is first
        assert queue.take().delivery is second
        assert not queue.idle
        assert [queue.take().kind for _ in range(3)] == ["lost", "status", "publish"]
        queue.done()
    assert queue.idle


def test_what_waits_is_taken_back_but_for_the_closing() -> None:
    queue = SinkQueue(Live(), "live", "latest", threading.Condition())
    delivery = Delivery(result(0), {"live"})
    with queue.changed:
        queue.offer(delivery)
        queue.tell("status", lambda _: None)
        queue.tell("close", lambda _: None)
        assert queue.clear() == [delivery]
        assert queue.take().kind == "close"
        assert not queue.ended
        queue.done()
    assert queue.ended


def test_names_are_told_apart() -> None:
    assert unique(["video", "stats", "video", "video-2", "video"]) == [
        "video",
        "stats",
        "video-2",
        "video-2-2",
        "video-3",
    ]
