"""Every YAML file that ships is what its command takes; and how a file and the command line go together."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cli_parts import call, write_clip

from drivenet.cli.run import resolve, run
from drivenet.config import NodeSettings, load_labels, load_yaml
from drivenet.errors import ConfigError, UsageError
from drivenet.evaluation.suite import SuiteSettings
from drivenet.resources import configs_dir
from drivenet.sources import kind_of

FILES = sorted(configs_dir().rglob("*.yaml"))
NODES = [f for f in FILES if f.parent.name == "node"]


def name_of(file: Path) -> str:
    return f"{file.parent.name}/{file.name}"


def test_all_kinds_are_there() -> None:
    assert {f.parent.name for f in FILES} == {"labels", "node", "suite", "train"}
    assert {f.stem for f in NODES} >= {"webcam", "dashcam", "rtsp", "jetson", "benchmark"}


@pytest.mark.parametrize("file", FILES, ids=name_of)
def test_it_loads(file: Path) -> None:
    if file.parent.name == "labels":
        assert len(load_labels(str(file))) > 1
    elif file.parent.name == "train":
        pytest.importorskip("torch", reason="torch (extra [train]) is not installed")
        from drivenet.training.settings import TrainSettings

        load_yaml(file, TrainSettings)
    elif file.parent.name == "suite":
        load_yaml(file, SuiteSettings).check_names(file)
    else:
        assert kind_of(resolve(file, {}).source or "")


def test_what_ships_is_found_from_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shipped = resolve(Path("configs/node/benchmark.yaml"), {})
    assert shipped == resolve(configs_dir() / "node" / "benchmark.yaml", {})
    with pytest.raises(ConfigError, match=r"cannot read configs/node/gone\.yaml: no such file"):
        resolve(Path("configs/node/gone.yaml"), {})
    (tmp_path / "configs" / "node").mkdir(parents=True)
    (tmp_path / "configs" / "node" / "benchmark.yaml").write_text("source: mine.mp4\n")
    assert resolve(Path("configs/node/benchmark.yaml"), {}).source == "mine.mp4"


def test_every_setting_has_an_option() -> None:
    """``sources`` are several arguments; a parent of the node and a check without one are none of its settings."""
    settings = {*NodeSettings.model_fields} - {"sources"}
    assert {p.name for p in run.params} == {*settings, "config", "print_config", "supervise", "blur_check"}


def test_the_command_line_wins_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "node.yaml"
    file.write_text("source: 0\nshow: true\nout: [a.mp4, b.mkv]\nalpha: 0.25\nrate: 5\n")
    read = resolve(file, {})
    assert (read.source, read.show, read.out, read.alpha) == ("0", True, ("a.mp4", "b.mkv"), 0.25)
    mixed = resolve(file, {"source": "1", "headless": True, "show": None, "out": (), "alpha": 0.75})
    assert (mixed.source, mixed.show, mixed.headless, mixed.alpha, mixed.rate) == ("1", False, True, 0.75, 5)
    assert mixed.out == ("a.mp4", "b.mkv"), "an option that was not given wins over nothing"
    assert resolve(file, {"out": ("c.mp4",)}).out == ("c.mp4",)
    with pytest.raises(UsageError, match="both --show and --headless"):
        resolve(file, {"show": True, "headless": True})


def test_plain_words_are_texts(tmp_path: Path) -> None:
    """YAML 1.1, which PyYAML reads, makes false, 8 and a date of these."""
    file = tmp_path / "node.yaml"
    file.write_text("source: 2026-11-30\nhud: off\nclasses: [no, on]\nstats: 010\nheadless: yes\nstrict: off\n")
    read = load_yaml(file, NodeSettings)
    assert (read.source, read.hud, read.classes, read.stats) == ("2026-11-30", "off", ("no", "on"), "010")
    assert (read.headless, read.strict) == (True, False)


def test_numbers_merges_and_nothing(tmp_path: Path) -> None:
    file = tmp_path / "node.yaml"
    file.write_text("<<: {max_frames: 0x10, budget_ms: 1e2}\nsource: 0\nalpha: .5\nthreads: 010\nstats: ~\nengine:\n")
    read = load_yaml(file, NodeSettings)
    assert (read.max_frames, read.budget_ms, read.source, read.alpha, read.threads) == (16, 100.0, "0", 0.5, 10)
    assert read.stats is None
    assert read.engine is None


def test_one_output_needs_no_list(tmp_path: Path) -> None:
    file = tmp_path / "node.yaml"
    file.write_text("out: a.mp4\n")
    assert load_yaml(file, NodeSettings).out == ("a.mp4",)


def test_a_merge_may_be_overridden(tmp_path: Path) -> None:
    """Twice is a key only where it is written twice."""
    file = tmp_path / "mine.yaml"
    rows = "- &lane {name: lane, colour: [1, 2, 3], group: road}\n- &kerb {<<: *lane, name: kerb, colour: [3, 2, 1]}"
    file.write_text(f"name: mine\nclasses:\n{rows}\n- {{<<: *kerb, name: rest, colour: [0, 2, 1]}}\n")
    assert load_labels(str(file)).classes == ("lane", "kerb", "rest")


def test_printed_settings_can_be_read_again_and_hide_the_token(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DRIVENET_TOKEN", "a-very-hushed-token")
    assert call("run", "drive.mp4", "--rate", "12.5", "--serve", "127.0.0.1:0", "--print-config") == 0
    printed = capsys.readouterr().out
    assert "hushed" not in printed
    read = json.loads(printed)
    assert (read["source"], read["rate"], read["serve"]) == ("drive.mp4", 12.5, "127.0.0.1:0")
    assert NodeSettings.model_validate(read).rate == 12.5


def test_printed_settings_hide_the_credentials_in_addresses(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "node.yaml"
    outputs = "[mqtt://me:hushed@broker/cars, 'rtsp://me:hushed@server:8554/live', plain.mp4]"
    file.write_text(f"source: rtsp://me:hushed@camera/1?token=hushed&channel=2\nout: {outputs}\n")
    assert call("run", "--config", file, "--print-config") == 0
    printed = capsys.readouterr().out
    assert "hushed" not in printed
    read = json.loads(printed)
    assert read["source"] == "rtsp://***@camera/1?token=***&channel=2"
    assert read["out"] == ["mqtt://***@broker/cars", "rtsp://***@server:8554/live", "plain.mp4"]
    assert resolve(file, {}).source == "rtsp://me:hushed@camera/1?token=hushed&channel=2", (
        "only what is shown is masked"
    )


def test_a_file_that_is_no_yaml_is_refused_without_its_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "node.yaml"
    file.write_text("show: true\nsource: rtsp://me:hushed@camera/1: 2\n")
    assert call("run", "--config", file) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "secret" not in line
    assert "node.yaml is no YAML: mapping values are not allowed here in line 2, column" in line


def test_a_run_from_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_clip(tmp_path / "drive.mp4", frames=3)
    assert call("run", "--config", next(f for f in NODES if f.stem == "dashcam"), "--backend", "null") == 0
    assert (tmp_path / "out" / "dashcam.mp4").exists()
    assert (tmp_path / "out" / "dashcam.jsonl").read_text().count("\n") == 4


def test_a_tilde_is_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a file, where no shell sees it, and on the command line, where a shell leaves ``--stats=~/s.jsonl`` alone."""
    monkeypatch.setenv("HOME", str(tmp_path))
    write_clip(tmp_path / "drive.mp4", frames=3)
    (tmp_path / "node.yaml").write_text("source: ~/drive.mp4\nout: [~/o.mp4, rtsp://host/~/x]\nengine: ~/fast.onnx\n")
    read = resolve(Path("~/node.yaml"), {"stats": "~/s.jsonl"})
    assert (read.source, read.engine, read.stats) == tuple(
        str(tmp_path / name) for name in ("drive.mp4", "fast.onnx", "s.jsonl")
    )
    assert read.out == (str(tmp_path / "o.mp4"), "rtsp://host/~/x")
    monkeypatch.chdir(tmp_path)
    outputs = ("--out", "~/a.mp4", "--stats", "~/s.jsonl")
    assert call("run", "~/drive.mp4", "--backend", "null", "--headless", *outputs) == 0
    assert (tmp_path / "a.mp4").exists()
    assert (tmp_path / "s.jsonl").exists()
    assert not (tmp_path / "~").exists()
    (tmp_path / "mine.yaml").write_text("name: mine\nclasses: [{name: lane, colour: [200, 10, 10], group: road}]\n")
    assert load_labels("~/mine.yaml").classes == ("lane",)


def test_a_tilde_in_a_training_file_is_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch", reason="torch (extra [train]) is not installed")
    from drivenet.training.settings import TrainSettings

    monkeypatch.setenv("HOME", str(tmp_path))
    model = "model: {architecture: bisenetv2, start: ~/best.pt}\n"
    (tmp_path / "train.yaml").write_text(
        f"name: x\niterations: 1\n{model}data: [{{dataset: camvid, root: ~/CamVid}}]\n"
    )
    read = load_yaml(tmp_path / "train.yaml", TrainSettings)
    assert (read.model.start, read.data[0].root) == (str(tmp_path / "best.pt"), str(tmp_path / "CamVid"))
