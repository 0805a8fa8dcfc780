"""A budget: what is left out, when, and what is said of it."""

from __future__ import annotations

import time

import pytest
from pipeline_parts import Drive, Engine, Keeper, exact

from drivenet.engine.stepped import Stepped
from drivenet.errors import UsageError
from drivenet.labels import CITYSCAPES
from drivenet.latency import Timeline
from drivenet.modelspec import LabelsSpec
from drivenet.pipeline import Pipeline
from drivenet.pipeline.budget import CALM_S, COOL_S, SETTLE_S, Budget, Step, ladder

S = 1_000_000_000


class Clock:
    """Publishes frames of one latency, 20 a second, and asks four times a second."""

    def __init__(self, budget: Budget) -> None:
        self.budget, self.now, self.said = budget, 1000 * S, list[str]()

    def run(self, seconds: float, ms: float) -> list[Step]:
        """The steps that were taken within so many seconds."""
        taken = []
        for n in range(round(20 * seconds)):
            self.now += S // 20
            self.budget.see(Timeline(self.now - round(ms * 1e6)).then("infer", self.now - round(ms * 1e6), self.now))
            if n % 5 == 4 and (said := self.budget.decide(self.now)):
                self.said.append(said)
                taken.append(self.budget.step)
        return taken


def test_it_steps_down_the_ladder_while_it_is_late_and_stays_at_the_end() -> None:
    clock = Clock(Budget(50.0, ladder(2)))
    assert clock.run(30.0, 80.0) == list(ladder(2)[1:])
    assert clock.said[0] == "p90 is 80 ms, over the budget of 50: every second frame"
    assert clock.said[2] == "p90 is 80 ms, over the budget of 50: every frame with the smaller input"


def test_within_the_budget_nothing_changes_either_way() -> None:
    clock = Clock(Budget(50.0, ladder(2)))
    assert clock.run(60.0, 45.0) == []
    assert clock.run(5.0, 60.0)[0] == Step(2)
    where = clock.budget.step
    assert clock.run(120.0, 45.0) == [], "not calm enough to take on more"
    assert clock.budget.step == where


def test_it_takes_on_more_when_it_was_calm_and_waits_longer_after_a_step_that_was_too_much() -> None:
    clock = Clock(Budget(50.0, ladder(1)))
    assert clock.run(0.5, 80.0) == [Step(2)]
    assert clock.run(CALM_S + 2.0, 20.0) == [Step(1)]
    assert clock.said[-1] == "p90 is 20 ms, well within the budget of 50: every frame"
    while not clock.run(0.25, 80.0):  # until that was too much
        pass
    assert clock.budget.step == Step(2)
    assert clock.run(CALM_S + 2.0, 20.0) == []
    assert clock.run(CALM_S + 1.0, 20.0) == [Step(1)]


def test_frames_from_before_a_change_are_not_judged() -> None:
    budget = Budget(50.0, ladder(1))
    clock = Clock(budget)
    assert clock.run(SETTLE_S, 80.0) == [Step(2)]
    late = clock.now - 3 * S
    for n in range(40):
        budget.see(Timeline(late).then("infer", late, clock.now + n))
    assert budget.decide(clock.now + 2 * S) == ""


def test_a_machine_that_throttles_is_spared_and_given_time_to_cool() -> None:
    hot = [True]
    clock = Clock(Budget(50.0, ladder(1), lambda: hot[0]))
    assert clock.run(COOL_S - 1.0, 20.0) == [Step(2)]
    assert clock.said == ["the machine throttles: every second frame"]
    hot[0] = False
    assert clock.run(CALM_S + 1.0, 20.0) == [Step(1)]


def test_few_frames_say_nothing() -> None:
    budget = Budget(50.0)
    for n in range(5):
        budget.see(Timeline(n).then("infer", n, n + S))
    assert budget.decide(2 * S) == ""


class Late(Engine):
    """Takes longer than the budget."""

    def __init__(self) -> None:
        super().__init__(wait=lambda _: time.sleep(0.05))


def test_a_run_that_is_late_leaves_frames_out_then_takes_the_smaller_engine_and_says_so() -> None:
    small, keeper = Engine(), Keeper("keeper", overflow="drop")
    source = Drive(10**9, live=True, gate=lambda _: time.sleep(0.01))
    run = Pipeline(source, Stepped([Late(), small]), [keeper], policy="latest", budget=Budget(20.0, ladder(2)))
    small.wait = lambda call: call < 5 or run.stop()
    totals = run.run()
    assert exact(totals)
    assert totals.dropped["budget"] > 0
    assert small.calls > 5
    down = [event.text for event in keeper.events if event.code == "budget.down"]
    assert down[0].endswith("every second frame")
    assert down[2].endswith("every frame with the smaller input")
    assert any(health.parts["engine"].state == "degraded" for health in keeper.healths)
    assert small.times_closed == 1


def test_a_run_of_every_frame_has_no_budget() -> None:
    with pytest.raises(UsageError, match="the policy latest"):
        Pipeline(Drive(3), Engine(), [], policy="every", budget=Budget(20.0))


def test_engines_of_other_classes_do_not_take_turns() -> None:
    other = Engine()
    other.spec = other.spec.model_copy(update={"labels": LabelsSpec.of(CITYSCAPES)})
    with pytest.raises(UsageError, match="one label set"):
        Stepped([Engine(), other])
