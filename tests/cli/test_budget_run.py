"""``--budget-ms``: a node that is late takes on less, and what does not go with it is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from cli_parts import call, stats

from drivenet.cli.budget import smaller_than
from drivenet.engine import open_engine

NULL = ("--backend", "null", "--headless")


def test_a_node_that_is_always_late_leaves_out_frames_and_says_so(tmp_path: Path) -> None:
    file = tmp_path / "s.jsonl"
    source = "synthetic://96x64@100"
    assert call("run", source, *NULL, "--budget-ms", "0.001", "--max-frames", "300", "--stats", file) == 0
    _, summary = stats(file.read_bytes())
    assert summary is not None
    assert summary["dropped"]["budget"] > 0
    assert summary["captured"] == summary["published"] + sum(summary["dropped"].values())
    assert summary["events"]["budget.down"] >= 1
    assert summary["health"]["parts"]["engine"]["state"] == "degraded"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--budget-ms", "50", "--policy", "every"), "the policy latest"),
        (("--budget-engine", "fast"), "--budget-ms MS"),
        (("--engine", "fast", "--budget-ms", "50", "--budget-engine", "accurate"), "a smaller one for the budget"),
        (("--budget-ms", "0"), "budget_ms"),
    ],
)
def test_what_does_not_go_with_a_budget_is_refused(
    options: tuple[str, ...], said: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert call("run", "synthetic://96x64@30?frames=3", *NULL, *options) == 2
    assert said in capfd.readouterr().err


def test_the_next_smaller_model_of_the_same_classes_is_taken() -> None:
    accurate = open_engine("accurate", "null", "auto").spec
    assert smaller_than(accurate) == "fast"
    assert smaller_than(open_engine("fast", "null", "auto").spec) is None
