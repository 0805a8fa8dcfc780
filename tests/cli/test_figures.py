"""Figures as JSON: the formats that other programs read, and tables for people beside them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cli_parts import call
from onnx_models import palette_model

import drivenet.data.synthetic as held_out
from drivenet.cli.output import write_json
from drivenet.host.cpu_features import native_precisions
from drivenet.labels import CAMVID, GROUPS


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of two models, of which the second is the default."""
    folder = tmp_path / "engines"
    folder.mkdir()
    palette_model(folder, "other")
    palette_model(folder, "standard", val_miou=0.5, trained_on="paint")
    (folder / "catalog.json").write_text('{"default": "standard"}')
    monkeypatch.delenv("DRIVENET_ENGINES")
    monkeypatch.setattr("drivenet.artefacts.store.engines_dir", lambda: folder)
    monkeypatch.chdir(tmp_path)
    return folder


@pytest.fixture
def few_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two small pictures instead of the whole split."""

    def few(root: Path | None, split: str, labels: object = None) -> held_out.SyntheticDataset:
        return held_out.SyntheticDataset(split, drives=1, frames=2, width=128, height=96)

    monkeypatch.setattr(held_out, "open_synthetic", few)


def test_figures_name_files_whose_names_are_no_utf_8(tmp_path: Path) -> None:
    name = "a\udcff.onnx"
    write_json(str(tmp_path / "scores.json"), {"engine": name, "grün": 1})
    assert json.loads((tmp_path / "scores.json").read_text(encoding="utf-8")) == {"engine": name, "grün": 1}


def test_models(models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("models", "--json", "-") == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    rows = json.loads(printed.out)["models"]
    assert [(r["name"], r["default"]) for r in rows] == [("standard", True), ("other", False)]
    assert set(rows[0]) >= {
        "name", "file", "default", "architecture", "precision", "input", "labels", "params", "gmac", "val_miou",
        "trained_on",
    }  # fmt: skip
    assert (rows[0]["input"], rows[0]["val_miou"], rows[0]["labels"]) == ([32, 48], 0.5, "camvid")


def test_models_as_a_table_and_in_a_file(models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("models", "--json", "new/models.json") == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    assert all(word in printed.out for word in ("standard", "other", "48x32", "0.500", "standard: trained on paint"))
    assert len(json.loads(Path("new/models.json").read_text())["models"]) == 2


@pytest.mark.parametrize("command", [("models",), ("bench", "--backend", "null", "--n", 10, "standard")])
def test_a_table_is_whole_in_a_narrow_terminal(
    models: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, command: tuple[object, ...]
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    assert call(*command) == 0
    printed = capsys.readouterr().out
    assert "48x32" in printed
    assert "…" not in printed


def test_the_null_engine_of_no_file_and_a_model_that_ships_have_short_names(
    models: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("bench", "--backend", "null", "--backend", "onnxruntime", "--threads", 1, "--n", 10) == 0
    printed = capsys.readouterr().out
    assert " standard.onnx onnxruntime fp32 48x32 " in printed
    assert str(models) not in printed


@pytest.mark.usefixtures("few_pictures")
def test_eval(models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    how = ("--dataset", "synthetic", "--backend", "onnxruntime", "--threads", 1)
    assert call("eval", *how, "--json", "-") == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    scores = json.loads(printed.out)
    assert set(scores) >= {"miou", "pixel_accuracy", "iou", "groups", "images", "engine"}
    assert set(scores["iou"]) == set(CAMVID.classes)
    assert set(scores["groups"]) >= set(GROUPS) - {"background"}
    assert scores["images"] == 2
    assert 0 <= scores["miou"] <= 1
    assert Path(scores["engine"]["file"]).name == "standard.onnx"
    assert call("eval", "other", *how, "--json", "scores.json") == 0
    printed = capsys.readouterr()
    assert "mIoU" in printed.out
    assert "Road" in printed.out
    other = json.loads(Path("scores.json").read_text())
    assert Path(other["engine"]["file"]).name == "other.onnx"
    assert other["iou"] == scores["iou"]


@pytest.mark.usefixtures("few_pictures")
def test_a_model_of_the_synthetic_drive_alone_has_its_score_noted(models: Path) -> None:
    file = palette_model(models, "drawn", trained_on="synthetic train")
    assert call("eval", "drawn", "--backend", "onnxruntime", "--threads", 1, "--record", "--json", "scores.json") == 0
    noted = json.loads(file.with_suffix(".json").read_text())["val_miou"]
    assert noted == pytest.approx(json.loads(Path("scores.json").read_text())["miou"], abs=1e-4)


def test_bench(models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    how = ("--n", 20, "--threads", 1, "--json", "-")
    assert call("bench", "standard", "--backend", "null", "--backend", "onnxruntime", *how) == 0
    found = json.loads(capsys.readouterr().out)
    assert set(found) == {"contract", "environment", "rows", "failed"}
    assert [r["engine"]["backend"] for r in found["rows"]] == ["null", "onnxruntime"]
    assert [r["n"] for r in found["rows"]] == [20, 20]
    assert call("bench", "--backend", "null", "--n", 10) == 0
    assert "closed loop" in capsys.readouterr().out


def test_a_table_on_standard_output(models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    how = ("bench", "--backend", "null", "--n", 10, "--table", "-")
    assert call(*how) == 0
    assert capsys.readouterr().out.startswith("| model | input | backend | ")
    assert not Path("-").exists()
    assert call(*how, "--json", "-") == 2
    assert "--json - and --table -; expected one of them there" in capsys.readouterr().err


def test_bench_throughput_is_labelled_as_such(models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("bench", "--backend", "null", "--n", 10, "--throughput", "--json", "-") == 0
    found = json.loads(capsys.readouterr().out)
    assert "no latency" in found["contract"]["throughput"]["unit"]
    assert found["rows"][0]["throughput"].keys() == {"fps", "n", "contexts"}
    assert call("bench", "--backend", "null", "--n", 10, "--throughput") == 0
    assert "throughput, 1 in flight" in " ".join(capsys.readouterr().out.split())


def test_bench_all(models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every precision of this processor in one run: JSON with each row against ONNX Runtime fp32, and a table."""
    pytest.importorskip("openvino", reason="openvino (extra [openvino]) is not installed")
    how = ("--n", 10, "--threads", 1)
    assert call("bench", "--all", *how, "--json", "all.json", "--table", "all.md") == 0
    found = json.loads(Path("all.json").read_text())
    each = [("onnxruntime", "fp32"), ("openvino", "fp32")]
    rows = [(r["model"], r["engine"]["backend"], r["engine"]["precision"]) for r in found["rows"]]
    assert [row for row in rows if row[2] == "fp32"] == [(name, *one) for name in ("other", "standard") for one in each]
    # colours are too close for bf16, which the gate keeps out where the processor has it at all
    others = sum(name in native_precisions() for name in ("bf16", "fp16"))
    assert len(rows) + len(found["failed"]) == 2 * (len(each) + others)
    for model in ("other", "standard"):
        one = [r for r in found["rows"] if r["model"] == model]
        assert one[0]["speedup"] == 1
        assert one[1]["speedup"] == pytest.approx(one[0]["latency_ms"]["p50"] / one[1]["latency_ms"]["p50"], abs=0.01)
    lines = Path("all.md").read_text().splitlines()
    assert sum(line.startswith("| standard |") for line in lines) == sum(row[0] == "standard" for row in rows)
    assert any("n = 10 each" in line and "1 threads" in line for line in lines)
    assert not list(Path("engines").glob("*.xml"))
    files = [(r["engine"]["backend"], r["engine"]["file"]) for r in found["rows"] if r["model"] == "standard"]
    assert set(files) == {("onnxruntime", str(models / "standard.onnx")), ("openvino", "standard")}
    (Path("engines") / "other.onnx").write_bytes(b"no model")
    capsys.readouterr()
    assert call("bench", "--all", *how, "--table", "all.md") == 0
    assert " standard openvino fp32 48x32 " in " ".join(capsys.readouterr().out.split())
    assert "Not timed:\n- other onnxruntime fp32: " in Path("all.md").read_text()
    capsys.readouterr()
    assert call("bench", "--all", "--backend", "null") == 2
    assert "--all with null" in capsys.readouterr().err


@pytest.mark.parametrize("engine", [None, "standard", "other", "engines/other.onnx"])
def test_run_takes_a_model_by_name_by_file_or_by_default(
    models: Path, engine: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    how = ("--backend", "onnxruntime", "--threads", 1, "--headless", "--policy", "every", "--stats", "s.jsonl")
    named = ("--engine", engine) if engine else ()
    assert call("run", "synthetic://64x64@30?frames=2", *how, *named) == 0
    summary = json.loads(Path("s.jsonl").read_text().splitlines()[-1])
    assert summary["engine"]["file"].endswith(f"{Path(engine or 'standard').stem}.onnx")
    assert summary["engine"]["backend"] == "onnxruntime"


def test_a_backend_that_was_chosen_is_told_with_its_reason(models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("run", "synthetic://64x64@30?frames=2", "--headless", "--policy", "every") == 0
    (told,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("backend ")]
    assert ": it " in told or ": the fastest measured here: " in told
