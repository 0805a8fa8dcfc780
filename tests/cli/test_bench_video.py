"""``drivenet bench --dataset``: figures of a video set as JSON and tables, in every mode."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from bench_parts import BENCH, figures
from cli_parts import call
from onnx_models import paint, palette_model

from drivenet.labels import CITYSCAPES

SET = """
name: mine
sequences:
  - {frames: a, labels: a-labels, group: town}
  - {frames: b, group: village}
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two sequences of eight frames, one label, and a model that knows the colours."""
    monkeypatch.chdir(tmp_path)
    palette_model(tmp_path, "city", CITYSCAPES)
    ids = np.full((32, 48), CITYSCAPES.id_of("sky"), np.uint8)
    ids[16:] = CITYSCAPES.id_of("road")
    for folder in ("a", "b", "a-labels"):
        (tmp_path / folder).mkdir()
    for folder in ("a", "b"):
        for i in range(8):
            assert cv2.imwrite(f"{folder}/{i:03d}.png", paint(ids, CITYSCAPES))
    assert cv2.imwrite("a-labels/005.png", ids)
    Path("set.yaml").write_text(SET)
    return tmp_path


def test_the_engines_alone(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = figures()
    (row,) = found["rows"]
    part = row["overall"]
    assert (part["captured"], part["published"], part["dropped"]) == (16, 16, {})
    assert set(part["latency_ms"]) == {"infer"}
    low, high = part["latency_ms"]["infer"]["p50_interval"]
    assert low <= part["latency_ms"]["infer"]["p50"] <= high
    assert (part["scores"]["miou"], part["scores"]["labelled"], part["scores"]["flicker"]) == (1.0, 1, 0.0)
    assert part["scores"]["pq"] is None, "there are no instances in this set"
    assert set(row["groups"]) == {"town", "village"}
    assert set(row["sequences"]) == {"a", "b"}
    assert row["floor"]["multiple"] > 0
    assert set(row["usage"]) == {
        "cpu_percent", "rss_mb", "rss_peak_mb", "clock_mhz", "power_w", "throttled", "gpu"
    }  # fmt: skip
    assert found["provenance"]["command"][1:3] == ["bench", "city.onnx"]
    assert found["contract"]["flow"] == "dis"
    told = capsys.readouterr().out
    assert told.startswith("mine, 1 of 16 frames labelled, in %"), "a listed set has no split"
    assert "captured 16, published 16, dropped: none" in told


def test_the_whole_node_in_closed_and_open_loop(here: Path) -> None:
    closed = figures("--mode", "closed")["rows"][0]["overall"]
    assert set(closed["latency_ms"]) == {"end_to_end", "queue", "prepare", "infer", "postprocess", "draw", "publish"}
    assert (closed["published"], closed["scores"]["miou"]) == (16, 1.0)
    found = figures("--mode", "open", "--rate", 40, "--slow-down", 60)
    part = found["rows"][0]["overall"]
    assert part["captured"] == 16 == part["published"] + sum(part["dropped"].values())
    assert sum(part["dropped"].values()) > 0
    assert part["scores"]["streaming_miou"] <= part["scores"]["miou"]
    assert part["deadline_misses"] > 0
    assert found["rows"][0]["engine"]["slower_ms"] == 60


def test_against_what_was_written_before(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    figures()
    Path("found.json").rename("before.json")
    found = figures("--slow-down", 40, "--against", "before.json")
    (one,) = found["against"]["rows"]
    assert one["p50"]["verdict"] == "slower"
    assert one["miou"] == 0.0
    assert one["same_machine"] is True
    assert ", slower; mIoU +0.000" in capsys.readouterr().out


def test_what_is_no_run_of_the_same_is_told_before_the_work(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Other sets were compared without a word, and what else was wrong cost the run that it was told after."""
    figures()
    Path("found.json").rename("before.json")
    Path("set.yaml").write_text(SET.replace("  - {frames: b, group: village}\n", ""))
    for options, says in (
        ((), "an earlier run on mine: frames 16, not 8; sequences 2, not 1; expected one on the same set"),
        (("--mode", "closed"), "an earlier run in mode infer; expected closed loop, at the same rate"),
    ):
        assert call(*BENCH, *options, "--against", "before.json", "--predictions", "found") == 3
        assert says in capsys.readouterr().err
    assert not Path("found").exists()


@pytest.mark.parametrize(
    ("name", "cure"), [("manifest.json", "name a new folder"), ("a.json", "delete it: its sequence is done again")]
)
def test_what_was_kept_and_is_damaged_is_told(
    here: Path, capsys: pytest.CaptureFixture[str], name: str, cure: str
) -> None:
    pytest.importorskip("pyarrow", reason="pyarrow (extra [batch]) is not installed")
    figures("--out", "kept")
    (here / "kept" / name).write_text("")
    assert call(*BENCH, "--out", "kept") == 2
    told = capsys.readouterr().err
    assert f"{name} cannot be read" in told
    assert told.endswith(f"; {cure}\n")


def test_figures_are_not_written_over_what_is_scored(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = Path("a-labels/005.png").read_bytes()
    assert call(*BENCH, "--json", "a-labels/005.png") == 2
    assert "a-labels/005.png" in capsys.readouterr().err
    assert Path("a-labels/005.png").read_bytes() == before


def test_sustained_compares_the_end_with_the_beginning(here: Path) -> None:
    sustained = figures("--sustained", 0.02)["rows"][0]["sustained"]
    assert sustained["first"]["n"] > 0
    assert sustained["ratio"]["verdict"] in ("slower", "faster", "no more than noise")


@pytest.mark.parametrize(
    ("code", "says", "options"),
    [
        (2, "--mode open without --rate; expected frames a second", ("--mode", "open")),
        (2, "mode infer with a rate; expected a rate for open loop alone", ("--rate", 5)),
        (2, "exact flow of a; expected a set that knows it", ("--flow", "exact")),
        (3, "nowhere", ("--flow", "nowhere")),
        (3, "gone.json", ("--against", "gone.json")),
        (3, "set.yaml cannot be read", ("--against", "set.yaml")),
        (2, "--n with --dataset listed", ("--n", 5)),
    ],
)
def test_what_cannot_be_right_is_one_line(
    here: Path, capsys: pytest.CaptureFixture[str], code: int, says: str, options: tuple[object, ...]
) -> None:
    assert call(*BENCH, *options) == code
    printed = capsys.readouterr().err
    assert says in printed
    assert printed.count("\n") == 1


def test_options_of_a_video_set_need_one(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("bench", "city.onnx", "--mode", "closed", "--flow", "dis") == 2
    assert "--mode, --flow with no --dataset; expected the video set that they are for" in capsys.readouterr().err


def test_predictions_and_a_page(here: Path) -> None:
    palette_model(here, "other", CITYSCAPES)
    command = (*BENCH[:2], "other.onnx", *BENCH[2:], "--predictions", "found", "--report", "page", "--json", "f.json")
    assert call(*command, "--format", "coco-panoptic") == 0
    for name in ("city", "other"):
        listed = json.loads((here / "found" / name / "panoptic.json").read_text())
        written = [entry["file_name"] for entry in listed["annotations"]]
        assert written == ["a_005.png", *(f"b_{i:03d}.png" for i in range(8))]
    page = (here / "page" / "index.html").read_text(encoding="utf-8")
    for heading in ("Figures", "Latency over time", "Accuracy against latency", "IoU by class", "Worst frames of city",
                    "Most flickering seconds of other", "What was run"):  # fmt: skip
        assert f"<h2>{heading}</h2>" in page
    assert "<h2>Stages</h2>" not in page, "there is one stage, the engine"
    assert "48x32" in page, "a size as people write it"
    assert "http://" not in page.replace("http://www.w3.org/2000/svg", "")
    assert page.count("<svg") == page.count("</svg>")


def test_ids_in_step_predictions_last_over_the_sequence(here: Path) -> None:
    """A car passes a larger one, so that it is first of two by size only in some frames."""
    ids = np.full((32, 48), CITYSCAPES.id_of("road"), np.uint8)
    for i in range(8):
        frame = ids.copy()
        frame[4:14, 2 : 10 + 3 * (i % 2)] = CITYSCAPES.id_of("car")
        frame[18:28, 30:40] = CITYSCAPES.id_of("car")
        assert cv2.imwrite(f"b/{i:03d}.png", paint(frame, CITYSCAPES))
    assert call(*BENCH, "--predictions", "found", "--format", "step") == 0
    maps = [cv2.imread(str(here / "found" / "b" / f"{i:03d}.png")).astype(int) for i in range(8)]
    upper, lower = ([set((m[rows, columns, 1] * 256 + m[rows, columns, 0]).ravel().tolist()) for m in maps[1:]]
                    for rows, columns in ((slice(6, 12), slice(4, 8)), (slice(20, 26), slice(32, 38))))  # fmt: skip
    assert upper == [upper[0]] * 7
    assert lower == [lower[0]] * 7
    assert len(upper[0]) == len(lower[0]) == 1
    assert upper[0] != lower[0]
    assert 0 not in upper[0] | lower[0]


def test_predictions_of_an_engine_with_other_classes_are_refused(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    palette_model(here, "camvid")
    command = ("bench", "camvid.onnx", *BENCH[2:], "--predictions", "found")
    assert call(*command) == 2
    assert "predictions of camvid in classes of cityscapes; expected an engine that has them" in capsys.readouterr().err


@pytest.mark.parametrize("on", [(), ("--dataset", "listed", "--root", "set.yaml", "--mode", "infer")])
def test_the_null_engine_is_named_as_models_are(on: tuple[str, ...], here: Path) -> None:
    assert call("bench", "null", *(on or ("--n", 10)), "--json", "null.json") == 0
    found = json.loads(Path("null.json").read_text(encoding="utf-8"))
    assert [row["engine"]["backend"] for row in found["rows"]] == ["null"]
