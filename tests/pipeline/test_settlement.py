"""Whatever order sinks finish in, each frame is settled once, in order, and all counts add up."""

from __future__ import annotations

import threading

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from drivenet.classmap import ClassMap
from drivenet.frame import Frame
from drivenet.labels import CAMVID
from drivenet.latency import Stamps
from drivenet.pipeline.ledger import Ledger
from drivenet.pipeline.settlement import PATIENCE, Outcome, Settlement, Turn
from drivenet.pipeline.worker import Worker, unique
from drivenet.result import Result
from drivenet.scene import Scene
from drivenet.sinks.base import Sink

OUTCOMES: list[Outcome] = ["published", "dropped", "stopped", "failed"]


def result(index: int) -> Result:
    frame = Frame(np.zeros((2, 2, 3), np.uint8), index, 1)
    return Result(frame, ClassMap(np.zeros((2, 2), np.uint8), index, 1), Scene({}, {}, {}), CAMVID, Stamps(1, drawn=1))


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
    ledger = Ledger({})
    for name in names:
        ledger.enlist(name)
    settlement = Settlement(ledger, names, lambda r: recorded.append(r.frame.index))
    turns: list[Turn] = []
    held: list[tuple[int, str]] = []
    said: dict[int, set[Outcome]] = {n: set() for n in range(frames)}
    forced: dict[int, str] = {}
    while len(turns) < frames or held:
        if len(turns) < frames and (not held or data.draw(st.booleans(), "begin")):
            if len(settlement) == PATIENCE:
                oldest = next(n for n, turn in enumerate(turns) if not turn.result.stamps.settled)
                forced[oldest] = expected(said[oldest])
            turns.append(settlement.begin(result(len(turns))))
            ledger.captured(1)
            held += [(len(turns) - 1, name) for name in names]
        else:
            index, name = held.pop(data.draw(st.integers(0, len(held) - 1), "who"))
            outcome = data.draw(st.sampled_from(OUTCOMES), "outcome")
            if index not in forced:
                said[index].add(outcome)
            settlement.book(turns[index], name, outcome, at_ns=5)
            settlement.book(turns[index], name, "published", at_ns=6)  # the first word counts
        assert len(settlement) <= PATIENCE
        assert recorded == sorted(recorded)
    totals = ledger.totals()
    assert totals.captured == frames == totals.published + sum(totals.dropped.values())
    assert all(sum(counts.values()) == frames for counts in totals.sinks.values())
    verdicts = {n: forced.get(n, expected(said[n])) for n in range(frames)}
    assert recorded == [n for n in range(frames) if verdicts[n] == "published"]
    for reason, count in totals.dropped.items():
        assert count == list(verdicts.values()).count(reason)
    assert all(turn.result.stamps.settled for turn in turns)
    assert all(at == 5 for turn in turns for at in turn.result.stamps.published.values())


def test_what_comes_after_the_settling_counts_for_the_sink_and_leaves_the_stamps() -> None:
    ledger = Ledger({})
    for name in ("quick", "slow"):
        ledger.enlist(name)
    recorded: list[Result] = []
    settlement = Settlement(ledger, ["quick", "slow"], recorded.append)
    turns = []
    for n in range(PATIENCE + 1):
        turns.append(settlement.begin(result(n)))
        settlement.book(turns[n], "quick", "published", at_ns=3)
    (first,) = recorded
    stamps = dict(first.stamps.published)
    settlement.book(turns[0], "slow", "published", at_ns=10**12)
    assert first.stamps.published == stamps == {"quick": 3}
    assert ledger.totals().sinks["slow"]["published"] == 1


def test_without_timed_sinks_a_frame_is_published_at_once() -> None:
    ledger, recorded = Ledger({}), []
    Settlement(ledger, [], recorded.append).begin(result(0))
    assert ledger.totals().published == len(recorded) == 1


class Live(Sink):
    """Wants what is new."""

    overflow = "drop"


def test_a_queue_keeps_the_newest_results_and_the_order_of_all_that_is_told() -> None:
    worker = Worker(Live(), "live", "every", threading.Condition())
    assert (worker.blocks, worker.idle, worker.depth) == (False, True, 2)
    first, second, third = (Turn(result(n), {"live"}) for n in range(3))
    with worker.changed:
        assert worker.offer(first) is None
        worker.tell("status", lambda _: None)
        assert worker.offer(second) is None
        assert not worker.has_room()
        worker.tell("lost", lambda _: None)
        worker.tell("status", lambda _: None)
        assert worker.offer(third) is first
        assert worker.take().turn is second
        assert not worker.idle
        assert [worker.take().kind for _ in range(3)] == ["lost", "status", "publish"]
        worker.done()
    assert worker.idle


def test_what_waits_is_taken_back_but_for_the_closing() -> None:
    worker = Worker(Live(), "live", "latest", threading.Condition())
    turn = Turn(result(0), {"live"})
    with worker.changed:
        worker.offer(turn)
        worker.tell("status", lambda _: None)
        worker.tell("close", lambda _: None)
        assert worker.clear() == [turn]
        assert worker.take().kind == "close"
        assert not worker.ended
        worker.done()
    assert worker.ended


def test_names_are_told_apart() -> None:
    assert unique(["video", "stats", "video", "video-2", "video"]) == [
        "video",
        "stats",
        "video-2",
        "video-2-2",
        "video-3",
    ]
