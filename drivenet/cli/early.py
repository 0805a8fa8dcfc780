"""Options that are wrong are told at once, and not after the seconds that an engine takes to load."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from drivenet.artefacts.catalog import engine_file
from drivenet.artefacts.spec_json import read_spec_json
from drivenet.cli.outputs import check_views, parse_address, recording_options
from drivenet.cli.stages import names_in
from drivenet.config import NodeSettings
from drivenet.errors import EngineError, UsageError
from drivenet.labels import LabelSet
from drivenet.modelspec import spec_path
from drivenet.pipeline.in_time import check_budget
from drivenet.sinks import kind_of_output, kind_of_target
from drivenet.sinks.recording.conditions import any_of
from drivenet.sources import KINDS, kind_of
from drivenet.things.pictures import wanted_classes


def check_options(settings: NodeSettings, each: Sequence[NodeSettings]) -> None:
    """Check what can be without source, engine and outputs, which check the same again and more.

    Args:
        settings: of the node.
        each: of each of its sources, whose id is in the outputs.

    Raises:
        UsageError: for the first option that is wrong.
    """
    recording_options(settings)
    check_views(settings)
    for target in (target for one in each for target in one.out):
        kind_of_target(target, settings.visualize)
        kind_of_output(target).check_address(target)
    if settings.serve:
        _check_page(settings)
    _check_budget(settings, [one.source or "" for one in each])
    _check_stages(settings)
    labels = _labels(settings)
    if labels:
        _check_names(settings, labels)


def _check_page(settings: NodeSettings) -> None:
    from drivenet.sinks.web.access import check_binding
    from drivenet.sinks.web.served import proxy_of

    host, _ = parse_address(settings.serve or "")
    token = settings.token.get_secret_value() if settings.token else None
    check_binding(host, token, settings.allow_anonymous, settings.allowed_hosts)
    proxy_of(settings.root_path, settings.trusted_proxies)


def _check_budget(settings: NodeSettings, sources: Sequence[str]) -> None:
    if settings.budget_engine and settings.budget_ms is None:
        raise UsageError("--budget-engine without a budget", "--budget-ms MS")
    recorded = any(KINDS[kind_of(uri)].recorded for uri in sources)
    if settings.budget_ms is not None:
        check_budget(settings.policy or ("every" if recorded else "latest"))


def _check_stages(settings: NodeSettings) -> None:
    if settings.zones:
        from drivenet.zones import load_zones

        load_zones(Path(settings.zones))
    if settings.stage:
        from drivenet.stages.own import stage_class

        for named in settings.stage:
            stage_class(named)


def _check_names(settings: NodeSettings, labels: LabelSet) -> None:
    wanted_classes(names_in(settings.classes), labels)
    any_of(settings.lock_when, labels)
    if settings.blur:
        from drivenet.stages.blur import ids_of

        ids_of(names_in(settings.blur), labels)


def _labels(settings: NodeSettings) -> LabelSet | None:
    """The engine's labels by the JSON beside it; None where that does not tell."""
    try:
        file = engine_file(settings.engine, settings.backend)
        return read_spec_json(spec_path(file)).label_set if file else None
    except EngineError:  # to open it is to tell it
        return None
