"""``drivenet schema``: what a YAML file may hold, for editors."""

from __future__ import annotations

import json
from importlib import import_module

import click

from drivenet.config import json_schema
from drivenet.errors import UsageError

#: Kind of file to ``module:class`` of its settings.
KINDS = {
    "labels": "drivenet.config:LabelSettings",
    "mapping": "drivenet.label_mapping:MappingSettings",
    "node": "drivenet.config:NodeSettings",
    "suite": "drivenet.evaluation.suite:SuiteSettings",
    "train": "drivenet.training.settings:TrainSettings",
    "video": "drivenet.data.sequences.listed:VideoSettings",
    "zones": "drivenet.zones:ZoneSettings",
}


@click.command()
@click.argument("kind", type=click.Choice(list(KINDS)))
def schema(kind: str) -> None:
    """Print the JSON Schema of a YAML file: those in configs/schema, for editors and checkers.

    \b
    drivenet schema node > node.json
    first line of a YAML file:  # yaml-language-server: $schema=node.json
    """
    module, name = KINDS[kind].split(":")
    try:
        settings = getattr(import_module(module), name)
    except ModuleNotFoundError as error:
        raise UsageError(f"the settings of training need {error.name}", cure="pip install 'drivenet[train]'") from error
    click.echo(json.dumps(json_schema(settings), indent=1))
