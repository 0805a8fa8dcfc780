"""``drivenet eval`` as users call it: folders with labels of their own, the report page, the flicker rate."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from cli_parts import call, write_clip
from onnx_models import SIZE, paint, palette_model, sure_model

from drivenet.engine import open_engine
from drivenet.labels import LabelSet

MINE = LabelSet("mine", ("lane", "rest"), ((200, 10, 10), (10, 10, 200)), {"lane": "road", "rest": "background"})
YAML = """
name: mine
classes:
  - {name: lane, colour: [200, 10, 10], group: road}
  - {name: rest, colour: [10, 10, 200]}
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a model for two classes and three labelled pictures, the last one half wrong."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.yaml").write_text(YAML, encoding="utf-8")
    palette_model(tmp_path, "two", MINE)
    for folder in ("images", "labels"):
        (tmp_path / "data" / folder).mkdir(parents=True)
    for i in range(3):
        truth = np.zeros(SIZE, np.uint8)
        truth[:, 24:] = 1
        shown = truth.copy()
        if i == 2:
            shown[16:] = 0
        assert cv2.imwrite(f"data/images/{i}.png", paint(shown, MINE))
        assert cv2.imwrite(f"data/labels/{i}.png", truth)
    return tmp_path


FOLDER = ("eval", "two.onnx", "--backend", "onnxruntime", "--dataset", "folder", "--root", "data")


def test_a_folder_of_pictures_with_labels_of_ones_own(here: Path) -> None:
    assert call(*FOLDER, "--labels", "mine.yaml", "--json", "scores.json", "--report", "out/page") == 0
    scores = json.loads(Path("scores.json").read_text(encoding="utf-8"))
    assert scores["compared_on"] == "classes"
    assert scores["iou"] == {"lane": round(3 / 3.5, 5), "rest": round(2.5 / 3, 5)}
    assert scores["dataset"] == {"name": "folder", "split": "all", "labels": "mine"}
    assert set(scores["boundary"]["f_score"]) == {"lane", "rest"}
    assert "flicker" not in scores
    assert "confidence" not in scores
    page = Path("out/page/index.html").read_text(encoding="utf-8")
    assert page.count("<figure>") == 3
    assert "two.onnx on folder all" in page


def test_other_classes_have_the_miou_of_their_groups(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Lane is road, and road alone of the four groups occurs."""
    palette_model(here, "camvid")
    command = ("eval", "camvid.onnx", *FOLDER[2:], "--labels", "mine.yaml", "--json", "scores.json")
    assert call(*command) == 0
    scores = json.loads(Path("scores.json").read_text(encoding="utf-8"))
    assert scores["compared_on"] == "groups"
    lines = capsys.readouterr().out.splitlines()
    (line,) = [line for line in lines if line.startswith("mIoU ")]
    assert line.startswith(f"mIoU of groups {100 * scores['group_miou']:.2f} %, pixel accuracy ")
    assert "engine and labels have other classes: compared on groups, background not in the mIoU" in lines


def test_confidence_is_told_in_one_line_where_the_engine_offers_it(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A sixth of the pixels is wrong and as sure as the rest: the colours are those of the palette."""
    sure_model(here, "sure", MINE)
    command = ("eval", "sure.onnx", *FOLDER[2:], "--labels", "mine.yaml")
    assert call(*command, "--json", "scores.json", "--report", "out/page") == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("confidence ")]
    assert line == (
        "confidence 100.00 % where right, 100.00 % where wrong, calibration error 8.33 %; "
        "at 90% or more 100.00 % of the pixels, 91.67 % of them right"
    )
    found = json.loads(Path("scores.json").read_text(encoding="utf-8"))["confidence"]
    assert (found["pixels"], found["ece"], len(found["bins"])) == (3 * SIZE[0] * SIZE[1], 0.08333, 15)
    assert "Reliability diagram" in Path("out/page/index.html").read_text(encoding="utf-8")


def test_the_score_on_val_is_noted_in_the_model(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An engine takes the model with its record, and gives the ids that it gave before."""
    (here / "all").mkdir()
    (here / "data").rename(here / "all" / "val")
    command = (*FOLDER[:-1], "all", "--labels", "mine.yaml", "--json", "-")
    palette_model(here, "two", MINE, trained_on="folder train")
    assert call(*command, "--record") == 0
    scored = json.loads(capsys.readouterr().out)["miou"]
    engine = open_engine("two.onnx", "onnxruntime")
    assert engine.spec.val_miou == round(scored, 4) == json.loads(Path("two.json").read_text())["val_miou"]
    engine.close()
    assert call(*command) == 0
    assert json.loads(capsys.readouterr().out)["miou"] == scored


def test_a_score_that_the_record_has_no_place_for_is_refused(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:  # fmt: skip
    before = Path("two.onnx").read_bytes()
    assert call(*FOLDER, "--labels", "mine.yaml", "--record") == 2
    assert "the split all; expected val" in capsys.readouterr().err
    (here / "all").mkdir()
    (here / "data").rename(here / "all" / "val")
    assert call(*FOLDER[:-1], "all", "--labels", "mine.yaml", "--record") == 2
    assert "--record with folder; expected the data set that its record names first: unknown" in capsys.readouterr().err
    palette_model(here, "two", MINE, trained_on="folder train")
    before = Path("two.onnx").read_bytes()
    record = (*FOLDER[:-1], "all", "--labels", "mine.yaml", "--record")
    for option in (("--protocol", "24x16"), ("--ignore-fringes", "lane")):
        assert call(*record, *option) == 2  # the score of the small images was noted
        told = f"{option[0]} with --record; expected a score of all pixels at the labels' own size"
        assert told in capsys.readouterr().err
    for label in (here / "all" / "val" / "labels").iterdir():
        assert cv2.imwrite(str(label), np.full((SIZE[0], SIZE[1]), 255, np.uint8))
    assert call(*record) == 2  # the score that was there gave way to none
    assert "--record with pictures of which no pixel has a class; expected a score to note" in capsys.readouterr().err
    assert Path("two.onnx").read_bytes() == before


def test_a_score_on_other_pictures_or_without_the_network_is_not_noted(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The synthetic drive was mixed into what it was trained on, and is what is scored unless another one is named."""
    palette_model(here, "shipped", trained_on="camvid train + 35% synthetic drive")
    palette_model(here, "drawn", trained_on="synthetic train")
    before = {name: Path(name).read_bytes() for name in ("shipped.onnx", "drawn.onnx")}
    assert call("eval", "shipped.onnx", "--backend", "onnxruntime", "--record") == 2
    told = "--record with synthetic; expected the data set that its record names first: camvid; name it with --dataset"
    assert told in capsys.readouterr().err
    assert call("eval", "drawn.onnx", "--backend", "null", "--record") == 2
    assert "--record with the backend null" in capsys.readouterr().err
    assert {name: Path(name).read_bytes() for name in before} == before


def test_what_was_built_from_a_model_is_built_again_after_a_score_was_noted(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("openvino", reason="openvino (extra [openvino]) is not installed")
    (here / "all").mkdir()
    (here / "data").rename(here / "all" / "val")
    palette_model(here, "two", MINE, trained_on="folder train")
    command = ("build", "two.onnx", "--backend", "openvino", "--precision", "fp32")
    record = (*FOLDER[:-1], "all", "--labels", "mine.yaml", "--record")
    assert call(*command) == 0
    assert call(*record) == 0
    (told,) = [line for line in capsys.readouterr().err.splitlines() if "must be built again" in line]
    assert told == f"two-fp32.xml must be built again: drivenet {' '.join(command)} --out ."
    assert call("run", "synthetic://64x64@30?frames=1", "--engine", "two-fp32.xml", "--headless") == 4
    assert call(*told.partition(": drivenet ")[2].split()) == 0
    capsys.readouterr()
    assert call(*record) == 0
    assert "must be built again" not in capsys.readouterr().err, "the same score leaves the ONNX as it is"
    assert call("run", "synthetic://64x64@30?frames=1", "--engine", "two-fp32.xml", "--headless") == 0


def test_the_flicker_rate_of_a_clip(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_clip(here / "clip.mp4", frames=6)
    command = (*FOLDER, "--labels", "mine.yaml", "--flicker", "clip.mp4", "--flicker-frames", 4, "--json", "-")
    assert call(*command) == 0
    flicker = json.loads(capsys.readouterr().out)["flicker"]
    assert flicker["pairs"] == 3
    assert flicker["source"].endswith("clip.mp4")
    assert 0 <= flicker["covered"] <= 1


def test_snippets_that_follow_each_other_in_a_glob_have_no_pair_between_them(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every snippet shows one picture, the next one another: there is no flicker. Nothing else is scored."""
    for city in range(3):
        (here / "set" / f"city{city}").mkdir(parents=True)
        shown = np.zeros(SIZE, np.uint8)
        shown[:, 16 * city :] = 1
        for i in range(4):
            assert cv2.imwrite(f"set/city{city}/city{city}_{i:06d}_leftImg8bit.png", paint(shown, MINE))
    command = ("eval", "two.onnx", "--backend", "onnxruntime", "--flicker", "set/*/*.png")
    assert call(*command, "--json", "-") == 0
    found = json.loads(capsys.readouterr().out)
    assert set(found) == {"engine", "flicker"}
    assert (found["flicker"]["pairs"], found["flicker"]["rate"]) == (9, 0.0)
    assert call(*command) == 0
    assert capsys.readouterr().out.startswith("flicker 0.00 %")


def test_the_float_engines_agree_on_every_frame_of_a_clip(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """TensorRT has no plan of this model, and that is said."""
    pytest.importorskip("openvino", reason="openvino (extra [openvino]) is not installed")
    drive = "synthetic://96x64@30?frames=12"
    command = (*FOLDER, "--labels", "mine.yaml", "--agreement", drive)
    assert call(*command, "--json", "agree.json") == 0
    found = json.loads(Path("agree.json").read_text())["agreement"]
    one = found["backends"]["openvino"]
    assert (one["frames"], one["passed"], one["engine"]["precision"]) == (12, True, "fp32")
    assert one["agreement"] >= one["worst"] >= found["minimum"] == 0.999
    assert found["reference"]["backend"] == "onnxruntime"
    assert set(found["missing"]) == {"tensorrt"}
    told = capsys.readouterr().out
    assert "12 frames" in told
    assert "tensorrt fp32 not compared" in told


SUITE = """
sets:
  - {name: whole, root: data, labels: mine.yaml}
  - {name: seen at 96x64, root: data, labels: mine.yaml, protocol: 96x64, ignore_fringes: [lane]}
"""


def test_a_suite_is_one_table_of_all_engines_on_all_data_sets(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    palette_model(here, "camvid")
    Path("suite.yaml").write_text(SUITE, encoding="utf-8")
    command = ("eval", "two.onnx", "camvid.onnx", "--backend", "onnxruntime", "--suite", "suite.yaml")
    assert call(*command, "--json", "table.json") == 0
    rows = json.loads(Path("table.json").read_text(encoding="utf-8"))["scores"]
    assert [(row["model"], row["set"], row["compared_on"], row["compared_at"]) for row in rows] == [
        ("two.onnx", "whole", "classes", [32, 48]),
        ("two.onnx", "seen at 96x64", "classes", [64, 96]),
        ("camvid.onnx", "whole", "groups", [32, 48]),
        ("camvid.onnx", "seen at 96x64", "groups", [64, 96]),
    ]
    assert call(*FOLDER, "--labels", "mine.yaml", "--json", "one.json") == 0
    alone = json.loads(Path("one.json").read_text(encoding="utf-8"))
    assert alone == {name: value for name, value in rows[0].items() if name not in ("model", "set")}
    told = capsys.readouterr().out
    assert "whole: 3 pictures at 48x32, in %" in told
    assert "seen at 96x64: 3 pictures at 96x64, in %" in told
    (lane,) = [line.split() for line in told.splitlines() if line.split()[:1] == ["lane"]][:1]
    assert lane == ["lane", f"{100 * 3 / 3.5:.2f}", "-"]


def test_figures_are_not_written_over_what_is_scored(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    label = min((here / "data" / "labels").iterdir())
    before = label.read_bytes()
    Path("suite.yaml").write_text(SUITE, encoding="utf-8")
    for options in (
        (*FOLDER, "--labels", "mine.yaml", "--protocol", "24x16"),
        ("eval", "two.onnx", "--suite", "suite.yaml"),
    ):
        assert call(*options, "--json", label.relative_to(here)) == 2
        assert f"{label.name}" in capsys.readouterr().err
    assert label.read_bytes() == before


def test_a_suite_that_is_not_right_is_one_line(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for text, says in (
        ("sets: []", "sets: "),
        ("sets: [{name: a, rood: data}]", "suite.yaml: unknown key sets.0.rood, did you mean root?\n"),
        ("sets: [{name: a}, {name: a}]", "names two data sets 'a'"),
        ("sets: [{name: a, root: data}]", "no label set for a plain folder"),
        ("sets: [{name: a, root: gone, labels: mine.yaml}]", "gone"),
        (
            "sets: [{name: a, root: data, labels: mine.yaml, split: train}]",
            "split train of a: data has none of that name; expected train/images and train/labels in it, or no split",
        ),
    ):
        Path("suite.yaml").write_text(text, encoding="utf-8")
        assert call("eval", "two.onnx", "--suite", "suite.yaml") in (2, 3)
        printed = capsys.readouterr()
        assert says in printed.err
        assert printed.err.count("\n") == 1


@pytest.mark.parametrize(
    ("code", "says", "options"),
    [
        (2, "no label set for a plain folder; expected what its ids mean; give --labels NAME or FILE.yaml", ()),
        (3, "nowhere.mp4", ("--flicker", "nowhere.mp4")),  # before anything that the pictures lack
        (2, "no label set 'camvit'; did you mean camvid", ("--labels", "camvit")),
        (2, "cannot read none.yaml", ("--labels", "none.yaml")),
        (
            2,
            "for synthetic, which is drawn; expected camvid|cityscapes|folder|iddlite; leave root out",
            ("--dataset", "synthetic"),
        ),
        (
            2,
            "--split with data, which has no test; expected test/images and test/labels in it, or no --split",
            ("--labels", "mine.yaml", "--split", "test"),
        ),
        (3, "nowhere.mp4", ("--labels", "mine.yaml", "--flicker", "nowhere.mp4")),
        (3, "nowhere.mp4", ("--labels", "mine.yaml", "--agreement", "nowhere.mp4")),
        (
            2,
            "label set mine has no class 'lain'; did you mean lane",
            ("--labels", "mine.yaml", "--ignore-fringes", "lain"),
        ),
        (2, "protocol '480'; expected WIDTHxHEIGHT in pixels", ("--labels", "mine.yaml", "--protocol", "480")),
        (2, "cannot read no.yaml", ("--labels", "mine.yaml", "--mapping", "no.yaml")),
        (2, "2 engines: two.onnx, other; expected one; score several with --suite", ("other", "--labels", "mine.yaml")),
        (2, "--dataset, --root with --suite, which names its data sets", ("--suite", "s.yaml")),
        (5, "cannot write", ("--labels", "mine.yaml", "--report", "mine.yaml")),
    ],
)
def test_what_cannot_be_right_is_one_line(
    here: Path, capsys: pytest.CaptureFixture[str], code: int, says: str, options: tuple[str, ...]
) -> None:
    assert call(*FOLDER, *options) == code
    printed = capsys.readouterr()
    assert says in printed.err
    assert printed.err.startswith("drivenet: ")
    assert printed.err.count("\n") == 1
    assert not Path("out").exists()
