"""The stages of a run, as its settings ask for them."""

from __future__ import annotations

from drivenet.config import NodeSettings
from drivenet.engine.base import Engine
from drivenet.stages import Stage, default_stages


def open_stages(settings: NodeSettings, engine: Engine, *, track: bool) -> list[Stage]:
    """The default ones, and those that are asked for; anew for every source, since they remember its frames."""
    on_ids: list[Stage] = []
    on_scene: list[Stage] = []
    if settings.smooth:
        from drivenet.stages.smooth import Smooth

        on_ids.append(Smooth())
    return default_stages(engine, track=track, on_ids=on_ids, on_scene=on_scene)
