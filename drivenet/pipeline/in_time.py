"""What a budget changes in a run, and what is said of it."""

from __future__ import annotations

from drivenet.engine.base import Engine
from drivenet.engine.stepped import Stepped
from drivenet.errors import UsageError
from drivenet.pipeline.budget import Budget, Step
from drivenet.pipeline.health import HealthMonitor


class InTime:
    """Carries out what a budget decides; without one it changes nothing. Each method belongs to one thread.

    Args:
        budget: decides.
        policy: of the run.
        engine: has its smaller one serve.
        monitor: hears of every change.

    Raises:
        UsageError: for a budget where every frame is processed.
    """

    def __init__(self, budget: Budget | None, policy: str, engine: Engine, monitor: HealthMonitor) -> None:
        if budget:
            check_budget(policy)
        self._budget, self._engine, self._monitor = budget, engine, monitor
        self._serving = 0

    def passes_over(self, index: int) -> bool:
        """Whether a captured frame is left out."""
        return self._budget is not None and self._budget.passes_over(index)

    def choose_engine(self) -> None:
        """Have the engine serve that the budget leaves, from the next frame on."""
        wanted = self._budget.step.engine if self._budget else 0
        if wanted != self._serving and isinstance(self._engine, Stepped):
            self._engine.choose(wanted)
            self._serving = wanted

    def look(self, now_ns: int) -> None:
        """Take on less or more where that is due, and say so."""
        if self._budget is None:
            return
        before = self._budget.step
        said = self._budget.decide(now_ns)
        step = self._budget.step
        if not said:
            return
        if (step.engine, step.stride) > (before.engine, before.stride):
            self._monitor.happened("warning", "budget.down", said)
        else:
            self._monitor.happened("info", "budget.up", said)
        if step == Step():
            self._monitor.withdraw("budget")
        else:
            self._monitor.report("budget", "engine", "degraded", f"to be in time: {step}")


def check_budget(policy: str) -> None:
    """Raise UsageError for a policy that no budget can change anything of."""
    if policy == "every":
        what = "a budget for a run that processes every frame"
        raise UsageError(what, "the policy latest", "--policy latest, for a recording with --rate HZ")
