"""The steps that every frame takes between its capture and the outputs, as a list."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from drivenet.errors import EngineError, UsageError, nearest, wrapped
from drivenet.inference import Inference
from drivenet.latency import now_ns
from drivenet.record import CONFIDENCE, THING_MAPS, Record
from drivenet.stages.base import Stage
from drivenet.stages.infer import Analyse, Infer, Prepare

__all__ = ["Inference", "Stage", "default_stages", "run_stages", "stage_names"]

#: Layers beside the class ids that an engine may give.
_GIVEN = frozenset({CONFIDENCE, THING_MAPS})


def default_stages(
    engine: Inference, *, track: bool = False, on_ids: Sequence[Stage] = (), on_scene: Sequence[Stage] = ()
) -> list[Stage]:
    """``prepare``, ``infer`` and ``postprocess``, with others where they belong.

    Args:
        engine: finds class ids; it stays the caller's.
        track: whether things get ids that last: where frames follow each other.
        on_ids: stages that change class ids, before the scene is made of them.
        on_scene: stages that need the scene, or replace the picture.

    Raises:
        UsageError: for two stages of one name, or one that needs a layer that no engine gives.
    """
    others = (*on_ids, *on_scene)
    wanted = frozenset[str]().union(*(stage.needs for stage in others))
    if unknown := sorted(wanted - _GIVEN):
        raise UsageError(
            f"a stage needs the layer {unknown[0]!r}, which no engine gives", cure=nearest(unknown[0], _GIVEN)
        )
    stages = [Prepare(engine), Infer(engine, wanted), *on_ids, Analyse(track=track), *on_scene]
    names = [stage.name for stage in stages]
    if twice := {name for name in names if names.count(name) > 1}:
        raise UsageError(f"two stages named {', '.join(sorted(twice))}", "a name of its own for each")
    return stages


def stage_names(stages: Sequence[Stage]) -> tuple[str, ...]:
    """All that a frame's timeline has at the end of a run with these stages, in order."""
    return ("queue", *(stage.name for stage in stages), "draw", "publish")


def run_stages(record: Record, stages: Sequence[Stage], begins: Callable[[str], None] = lambda _: None) -> Record:
    """Send a record through stages, with a span of its timeline for each.

    Args:
        record: with its frame.
        stages: in order.
        begins: called with the name of each stage before it.

    Raises:
        EngineError: for a stage that fails, or gives no record. What an engine raises stays as it is.
    """
    for stage in stages:
        begins(stage.name)
        start = now_ns()
        record = _passed(record, stage)
        record = record.with_timeline(record.timeline.then(stage.name, start))
    return record


def _passed(record: Record, stage: Stage) -> Record:
    """A record after a stage; EngineError with the stage's name where that fails."""
    try:
        found = stage(record)
    except Exception as error:  # noqa: BLE001 - raised again
        ours = error if isinstance(stage, Infer) else wrapped(EngineError, f"stage {stage.name}", error)
        raise ours from ours.__cause__
    if not isinstance(found, Record):
        what = f"stage {stage.name} gave {type(found).__name__}"
        raise EngineError(what, "a drivenet.Record", "return record.with_layers(...), with_ids(...) or with_image(...)")
    return found
