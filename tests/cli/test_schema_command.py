"""The schemas for editors: as the settings are, and in agreement with what a command takes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, get_args

import jsonschema
import pytest
import yaml
from cli_parts import call

from drivenet.cli.schema import KINDS
from drivenet.config import NodeSettings, check
from drivenet.engine import BACKENDS, PRECISIONS
from drivenet.errors import ConfigError
from drivenet.overlay import PNG_VIEWS, VIEWS
from drivenet.pipeline import POLICIES
from drivenet.resources import configs_dir

FILES = sorted(f for kind in KINDS for f in (configs_dir() / kind).glob("*.yaml"))


def committed(kind: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((configs_dir() / "schema" / f"{kind}.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(found)
    return found


def fields(schema: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """Every key of a schema, those of nested settings included."""
    owners = [("", schema), *schema.get("$defs", {}).items()]
    return [(f"{owner}.{name}", field) for owner, part in owners for name, field in part["properties"].items()]


@pytest.mark.parametrize("kind", KINDS)
def test_the_committed_schema_is_what_the_command_prints(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    if kind == "train":
        pytest.importorskip("torch", reason="torch (extra [train]) is not installed")
    assert call("schema", kind) == 0
    again = f"drivenet schema {kind} > configs/schema/{kind}.json"
    assert json.loads(capsys.readouterr().out) == committed(kind), f"out of date; {again}"


@pytest.mark.parametrize("kind", KINDS)
def test_every_key_is_described(kind: str) -> None:
    assert [name for name, field in fields(committed(kind)) if not field.get("description")] == []


@pytest.mark.parametrize("file", FILES, ids=lambda f: f"{f.parent.name}/{f.name}")
def test_a_file_that_ships_names_its_schema_and_fits_it(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    assert text.splitlines()[0] == f"# yaml-language-server: $schema=../schema/{file.parent.name}.json"
    jsonschema.validate(yaml.safe_load(text), committed(file.parent.name), jsonschema.Draft202012Validator)


@pytest.mark.parametrize(
    ("text", "fits"),
    [
        ("{}", True),
        ("source: 0", True),
        ("source:", True),
        ("out: a.mp4", True),
        ("out: [a.mp4, b/]", True),
        ("{alpha: 1, rate: 29.97, max_frames: 5, token: a-long-token, serve: 'localhost:80'}", True),
        ("sorce: 0", False),
        ("source: [0]", False),
        ("out: {a: b}", False),
        ("out: [{a: b}]", False),
        ("alpha: 1.5", False),
        ("rate: 0", False),
        ("threads: 0", False),
        ("backend: cuda", False),
        ("precision: fp8", False),
        ("policy: newest", False),
        ("visualize: none", False),
    ],
)
def test_an_editor_and_the_command_agree(text: str, fits: bool) -> None:
    values = yaml.safe_load(text)
    assert jsonschema.Draft202012Validator(committed("node")).is_valid(values) is fits
    if fits:
        check(values, NodeSettings, "test")
    else:
        with pytest.raises(ConfigError):
            check(values, NodeSettings, "test")


def test_the_choices_are_those_of_the_parts() -> None:
    kinds = {name: get_args(field.annotation) for name, field in NodeSettings.model_fields.items()}
    assert committed("node")["properties"]["backend"]["enum"] == ["auto", *BACKENDS]
    assert kinds["precision"] == PRECISIONS
    assert kinds["visualize"] == (*VIEWS, *PNG_VIEWS)
    assert set(get_args(kinds["policy"][0])) == set(POLICIES)
