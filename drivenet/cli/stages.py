"""The stages of a run, as its settings ask for them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from drivenet.config import NodeSettings
from drivenet.engine.base import Engine
from drivenet.labels import LabelSet
from drivenet.overlay import Painter
from drivenet.palettes import with_palette
from drivenet.sources import kind_of
from drivenet.stages import Stage, default_stages


def open_painter(settings: NodeSettings, labels: LabelSet) -> Painter:
    """What draws pictures as asked for; by default without figures where they are for other programs or of folders."""
    plain = settings.visualize == "mask" or all(kind_of(uri) == "images" for uri in _addresses(settings))
    hud = settings.hud or ("off" if plain else "full")
    return Painter(with_palette(labels, settings.palette), settings.visualize, settings.alpha, hud, settings.trail)


def _addresses(settings: NodeSettings) -> tuple[str, ...]:
    """Of the one source, or of all that a node has."""
    if settings.source is not None:
        return (settings.source,)
    return tuple(settings.sources.values() if isinstance(settings.sources, dict) else settings.sources)


def open_stages(settings: NodeSettings, engine: Engine, *, track: bool) -> list[Stage]:
    """The default ones, and those that are asked for; anew for every source, since they remember its frames."""
    on_ids: list[Stage] = []
    on_scene: list[Stage] = []
    if settings.smooth:
        from drivenet.stages.smooth import Smooth

        on_ids.append(Smooth())
    labels = engine.spec.label_set
    if settings.classes:
        from drivenet.stages.choose import ChooseClasses

        on_ids.append(ChooseClasses(labels, names_in(settings.classes), keeps=bool(settings.blur)))
    if settings.zones:
        from drivenet.stages.zones import CountZones
        from drivenet.zones import load_zones

        on_scene.append(CountZones(load_zones(Path(settings.zones)), labels))
    if settings.stage:
        from drivenet.stages.own import open_stage

        own = [open_stage(named) for named in settings.stage]
        on_ids += [stage for stage in own if stage.on_ids]
        on_scene += [stage for stage in own if not stage.on_ids]
    if settings.blur:  # the last: what comes after it never sees the clear picture
        from drivenet.stages.blur import Blur

        on_scene.append(Blur(names_in(settings.blur), labels))
    return default_stages(engine, track=track, on_ids=on_ids, on_scene=on_scene)


def names_in(texts: Sequence[str]) -> tuple[str, ...]:
    """The groups and classes of an option that may be repeated and holds names between commas."""
    return tuple(name.strip() for text in texts for name in text.split(",") if name.strip())
