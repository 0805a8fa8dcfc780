"""Models by name: the default, a misspelt name, a damaged catalogue."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from onnx_models import palette_model

from drivenet.artefacts.catalog import CATALOG, default_of, find, list_models
from drivenet.errors import EngineError, ModelSpecError
from drivenet.resources import engines_dir


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    palette_model(tmp_path, "alpha", val_miou=0.5, trained_on="nothing", data_licence="none")
    palette_model(tmp_path, "beta.v2")
    (tmp_path / CATALOG).write_text('{"default": "beta.v2"}', encoding="utf-8")
    return tmp_path


def test_finds_by_name_by_file_and_by_default(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert find("alpha", folder) == folder / "alpha.onnx"
    assert find("beta.v2", folder) == folder / "beta.v2.onnx"
    assert find(None, folder) == folder / "beta.v2.onnx"
    assert find(str(folder / "alpha.onnx"), folder / "elsewhere") == folder / "alpha.onnx"
    monkeypatch.chdir(folder)
    assert find("alpha.onnx", folder) == Path("alpha.onnx")


def test_a_name_goes_before_a_file(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "alpha").touch()
    monkeypatch.chdir(other)
    assert find("alpha", folder) == folder / "alpha.onnx"


@pytest.mark.parametrize("name", ["alpa", "missing/alpa.onnx", "\0", "x" * 5000])
def test_an_unknown_name_lists_what_exists(folder: Path, name: str) -> None:
    with pytest.raises(EngineError, match=r"did you mean alpha\?|choose from alpha, beta.v2"):
        find(name, folder)


def test_the_only_model_is_the_default(tmp_path: Path) -> None:
    file = palette_model(tmp_path, "alone")
    assert find(None, tmp_path) == file
    assert default_of(tmp_path) == "alone"


def test_without_a_default_none_is_made_up(folder: Path, tmp_path: Path) -> None:
    (folder / CATALOG).unlink()
    with pytest.raises(EngineError, match=r"2 models and no catalog.json.*--engine"):
        find(None, folder)
    assert [row["default"] for row in list_models(folder)] == [False, False]
    with pytest.raises(EngineError, match="no models"):
        find(None, tmp_path / "nowhere")
    with pytest.raises(EngineError, match="no models"):
        find("alpha", tmp_path / "nowhere")


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        '{"default": 1}',
        '{"default": "alpha", "where": [{"has": [], "default": "alpha"}]}',
        '{"default": "gamma"}',
        '{"other": "alpha"}',
        "[" * 100_000,
    ],
)
def test_a_damaged_catalogue_is_named(folder: Path, content: str) -> None:
    (folder / CATALOG).write_text(content, encoding="utf-8")
    for call in (lambda: find(None, folder), lambda: list_models(folder)):
        with pytest.raises(EngineError, match=CATALOG):
            call()


@pytest.mark.parametrize(
    ("facts", "default"),
    [
        (["fp32"], "alpha"),
        (["fp32", "onnxruntime"], "alpha"),
        (["fp32", "int4"], "beta.v2"),
        (["no-backend"], "beta.v2"),
    ],
)
def test_a_machine_that_has_more_has_another_default(folder: Path, facts: list[str], default: str) -> None:
    rule = {"has": facts, "default": "alpha"}
    (folder / CATALOG).write_text(json.dumps({"default": "beta.v2", "where": [rule]}), encoding="utf-8")
    assert default_of(folder) == default


def test_what_ships_names_a_default_for_every_machine() -> None:
    content = json.loads((engines_dir() / CATALOG).read_text(encoding="utf-8"))
    assert content["default"] == "fast"
    assert default_of(engines_dir()) in {"fast", *(rule["default"] for rule in content["where"])}


def test_the_default_comes_first_then_the_others_by_name(folder: Path) -> None:
    palette_model(folder, "alpha-int8")
    assert [row["name"] for row in list_models(folder)] == ["beta.v2", "alpha", "alpha-int8"]


def test_lists_what_every_model_is(folder: Path) -> None:
    rows = list_models(folder)
    assert [row["name"] for row in rows] == ["beta.v2", "alpha"]
    assert rows[1] == {
        "name": "alpha",
        "file": str(folder / "alpha.onnx"),
        "default": False,
        "architecture": "nearest-colour",
        "precision": "fp32",
        "input": [32, 48],
        "labels": "camvid",
        "params": 44,
        "gmac": 1e-6,
        "val_miou": 0.5,
        "trained_on": "nothing",
        "data_licence": "none",
        "built": [],
    }
    json.dumps(rows)


def test_a_json_without_its_artefact_is_no_model_and_a_damaged_one_is_named(folder: Path) -> None:
    (folder / "notes.json").write_text("{}", encoding="utf-8")
    assert len(list_models(folder)) == 2
    (folder / "alpha.json").write_text("{}", encoding="utf-8")
    assert find("beta.v2", folder).exists()
    with pytest.raises(ModelSpecError, match=r"alpha\.json"):
        list_models(folder)
