"""Whether a run can go on from the checkpoint in its folder."""

from __future__ import annotations

from typing import Any

from drivenet.errors import UsageError
from drivenet.labels import LabelSet
from drivenet.models.checkpoint import check_classes
from drivenet.training.selection import check_selection
from drivenet.training.settings import TrainSettings

#: What to do about a folder with a checkpoint that does not fit.
CURE = "choose another folder, or remove the old run"


def check_run(state: dict[str, Any], settings: TrainSettings, labels: LabelSet, where: str) -> None:
    """UsageError naming ``where`` unless a checkpoint is of a run that these settings continue.

    Args:
        state: ``last.pt``.
        settings: of the run.
        labels: the network's classes.
        where: its file.
    """
    if "optimiser" not in state:
        raise UsageError(f"{where} holds no state of an optimiser", "last.pt of a run; best.pt is exported", CURE)
    mine = settings.model_dump(mode="json")
    theirs = state["settings"]
    keys = ("architecture", "options")
    ours, before = ({key: one.get("model", {}).get(key) for key in keys} for one in (mine, theirs))
    if before != ours:
        raise UsageError(f"{where} is of {before}", f"{ours}", CURE)
    name = theirs.get("optimiser", {}).get("name", settings.optimiser.name)
    if name != settings.optimiser.name:
        raise UsageError(f"{where} was trained with optimiser {name}", settings.optimiser.name, CURE)
    check_classes(state, labels, where, CURE)
    check_selection(theirs, mine, where, CURE)
