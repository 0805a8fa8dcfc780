"""Bad input of training, export and other commands is one line, and nothing is written."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

import pytest
from cli_parts import call, started, write_checkpoint, write_clip
from onnx_models import palette_model
from refusals import NULL, refused

from drivenet.resources import configs_dir


@pytest.mark.parametrize("name", ["color", "colours", "colr"])
def test_the_colour_of_a_label_by_another_name(here: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    rows = "".join(f"- {{name: c{i}, {name}: [{i}, 0, 0]}}\n" for i in range(11))
    (here / "labels.yaml").write_text(f"name: mine\nclasses:\n{rows}")
    keys = ", ".join(f"classes.{i}.{name}" for i in range(3))
    told = rf"labels.yaml: unknown keys {keys} and 8 more, did you mean colour\?\n"
    refused(capsys, 2, told, "eval", "--dataset", "folder", "--root", ".", "--labels", "labels.yaml")


def test_what_a_training_cannot_be(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("torch", reason="torch (extra [train]) is not installed")
    text = (configs_dir() / "train" / "short.yaml").read_text()
    (here / "good.yaml").write_text(text)
    both, wide = text + "\nminutes: 2\n", text.replace("\ninput: [", "\ninput: [32, ")
    for bad, told in ((both, "give either iterations or minutes"), (wide, "input: must have at most 2 values, got 3")):
        (here / "bad.yaml").write_text(bad)
        refused(capsys, 2, rf"drivenet: bad\.yaml: {told}\n", "train", "--config", "bad.yaml")
    for place in ("good.yaml", "good.yaml/run/of/today"):
        told = f"drivenet: cannot write {place}: Not a directory; name a place that is writable"
        refused(capsys, 5, told, "train", "--config", "good.yaml", "--out", place)


def test_settings_of_a_training_are_sent_to_it(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("run", "clip.mp4", "--config", configs_dir() / "train" / "accurate.yaml") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.count("max_frames") == 1, "the known keys stand there once"
    assert re.search("unknown keys name, model, .*; settings of a training go to drivenet train$", line)


def test_a_wrong_option_is_not_the_fault_of_the_file(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "node.yaml").write_text("source: clip.mp4\n")
    refused(capsys, 2, "options: alpha: .*got 2.0", "run", *NULL, "--config", "node.yaml", "--alpha", "2")


def test_a_configuration_that_is_not_there(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    refused(capsys, 2, "cannot read gone.yaml: no such file", "run", "--config", "gone.yaml")


@pytest.mark.parametrize(
    ("command", "code", "pattern"),
    [
        (("rn",), 2, "no command 'rn'; did you mean run"),
        (("run",), 2, "no SOURCE"),
        (("eval", "--dataset", "camvid"), 2, "--root DIR"),
        (("eval", "--dataset", "camvid", "--root", "gone"), 3, "gone"),
        (("eval", "--dataset", "kitty"), 2, "cityscapes"),
        (("eval", "--split", "tests"), 2, "'test'"),
        (("eval", "--backend", "null", "--json", "file/s.json"), 5, "cannot write file/s.json"),
        (("eval", "--backend", "null", "--json", "."), 5, "it is a folder"),
        (("bench", "--backend", "null", "--json", "file/s.json"), 5, "cannot write file/s.json"),
        (("build", "palette.onnx", "--backend", "openvino", "--json", "."), 5, "it is a folder"),
        (
            ("build", "palette.onnx", "--backend", "openvino", "--dla", "0", "--no-gpu-fallback"),
            2,
            "--dla, --no-gpu-fallback with --backend openvino; expected --backend tensorrt",
        ),
        (
            (
                "build",
                "palette.onnx",
                "--backend",
                "openvino",
                *["--timing-cache", "t", "--workspace", "9", "--argmax", "auto"],
            ),
            2,
            "--workspace, --timing-cache, --argmax with --backend openvino",
        ),
        (
            ("build", "palette.onnx", "--backend", "tensorrt", "--floats", "fp32"),
            2,
            "--floats with --backend tensorrt; expected --backend openvino",
        ),
        (
            ("build", "palette.onnx", "--backend", "openvino", "--size", "32x48"),
            2,
            r"size 32x48 for palette.onnx; expected 48x32, width x height; did you mean 48x32\?",
        ),
        (
            ("build", "palette.onnx", "--backend", "openvino", "--size", "48x3²"),
            2,
            "size '48x3²'; expected WIDTHxHEIGHT",
        ),
        (
            ("export", "palette.onnx", "--out", "m.bin", "--precision", "int8", "--calibration", "gone"),
            2,
            r"output m\.bin; expected a file that ends in \.onnx",
        ),
        (("bench", "--n", "0"), 2, "--n"),
        (("bench", "gone.onnx"), 4, "no engine 'gone.onnx'"),
        (("models", "--json", "file/s.json"), 5, "cannot write file/s.json"),
        (("models", "extra"), 2, "extra"),
        (("--frobnicate",), 2, "--frobnicate"),
    ],
)
def test_commands(
    here: Path, capsys: pytest.CaptureFixture[str], command: tuple[str, ...], code: int, pattern: str
) -> None:
    (here / "file").write_text("x")
    refused(capsys, code, pattern, *command)


@pytest.mark.parametrize(
    "command",
    [
        ("eval", "palette.onnx", "--json", "hard.onnx"),
        ("eval", "--dataset", "folder", "--root", ".", "--labels", "mine.yaml", "--json", "mine.yaml"),
        ("eval", "--flicker", "clip.mp4", "--json", "clip.mp4"),
        ("eval", "--agreement", "file://{here}/clip.mp4", "--json", "./clip.mp4"),
        ("bench", "palette.onnx", "--json", "palette.onnx"),
        ("bench", "palette.onnx", "--table", "hard.onnx"),
        ("build", "palette.onnx", "--backend", "openvino", "--json", "hard.onnx"),
    ],
)
def test_figures_that_would_write_over_what_is_read(
    here: Path, capsys: pytest.CaptureFixture[str], command: tuple[str, ...]
) -> None:
    (here / "hard.onnx").hardlink_to(here / "palette.onnx")
    (here / "mine.yaml").write_text("x")
    refused(
        capsys, 2, "output .* is what is read; expected a place of its own", *(a.format(here=here) for a in command)
    )


def test_export_of_an_impossible_size(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("torch", reason="torch (extra [train]) is not installed")
    write_checkpoint(here / "best.pt", (96, 160))
    sizes = (("100x100", "use 96x96"), ("100", "WIDTHxHEIGHT such as"), ("0x0", "multiple"))
    order = r"size 288x512, width x height, for best.pt, whose input is 160x96; .*did you mean 512x288\?"
    for size, pattern in (*sizes, ("5²x32", "WIDTHxHEIGHT such as"), ("288x512", order)):
        refused(capsys, 2, pattern, "export", "best.pt", "--out", "m.onnx", "--size", size)
    refused(capsys, 2, "checkpoint", "export", "clip.mp4", "--out", "m.onnx")


def test_the_name_of_a_model_may_have_a_dot_and_be_that_of_a_folder(here: Path) -> None:
    (here / "engines").mkdir(exist_ok=True)
    for name in ("mine-1.0", "mine"):
        palette_model(here / "engines", name)
        (here / name).mkdir()
        assert call("export", name, "--confidence", "--out", f"{name}-sure.onnx") == 0


def test_export_of_what_cannot_be_exported(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """No message advises to run the code in a file."""
    pytest.importorskip("torch", reason="torch (extra [train]) is not installed")
    (here / "text.pt").write_text("no checkpoint\n")
    refused(capsys, 4, "no engine 'palete'.*a name that drivenet models lists", "export", "palete", "--out", "m.onnx")
    told = "cannot read checkpoint text.pt: no checkpoint, or one that holds more than tensors; expected a .pt file"
    refused(capsys, 2, told, "export", "text.pt", "--out", "m.onnx")
    told = "output palette.onnx is what is read; expected a place of its own"
    refused(capsys, 2, told, "export", "palette.onnx", "--out", "./palette.onnx", "--confidence")
    told = "export of palette.onnx as it is; expected a checkpoint, or what to make of an ONNX; give --confidence"
    refused(capsys, 2, told, "export", "palette.onnx", "--out", "m.onnx")


@pytest.mark.parametrize(
    ("source", "output", "what"),
    [
        ("file://{here}/q%20r.mp4", "q r.mp4", "the source"),
        ("file://localhost{here}/clip.mp4", "clip.mp4", "the source"),
        ("FILE://{here}/clip.mp4", "clip.mp4", "the source"),
        ("clip.mp4", "hard.mp4", "the source"),
        ("link.mp4", "hard.mp4", "the source"),
        ("a", "a/", "the folder of the source"),
        ("file://{here}/a", "a", "the folder of the source"),
        ("a/*.jpg", "a/", "the folder of the source"),
        ("?/*.jpg", "b", "the folder of the source"),
        ("**/000000.jpg", "folder/../a/", "the folder of the source"),
        ("a/000000.jpg", "a/", "the folder of the source"),
        ("a/000000.jpg", "folder/", "the folder of the source"),
        ("linked/*.jpg", "linked/", "the folder of the source"),
        ("linked/*.jpg", "a/", "the folder of the source"),
    ],
)
def test_an_output_that_would_write_over_the_source(
    here: Path, capsys: pytest.CaptureFixture[str], source: str, output: str, what: str
) -> None:
    (here / "q r.mp4").write_bytes((here / "clip.mp4").read_bytes())
    (here / "hard.mp4").hardlink_to(here / "clip.mp4")
    (here / "link.mp4").symlink_to("clip.mp4")
    for name in ("a", "b", "linked"):
        (here / name).mkdir()
    for name in ("a", "b"):
        (here / name / "000000.jpg").write_bytes(b"x")
    (here / "folder").symlink_to("a")
    (here / "linked" / "1.jpg").symlink_to("../a/000000.jpg")
    refused(capsys, 2, f"output .* is {what}", "run", source.format(here=here), *NULL, "--out", output)


def test_stats_that_would_write_over_what_is_read(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "a").mkdir()
    (here / "a" / "1.jpg").write_bytes(b"x")
    (here / "node.yaml").write_text("source: a\n")
    refused(capsys, 2, "is the source", "run", "a", *NULL, "--stats", "a/1.jpg")
    refused(capsys, 2, "is the source", "run", "?/1.jpg", *NULL, "--stats", "a/1.jpg")
    refused(capsys, 2, "is the configuration", "run", *NULL, "--config", "node.yaml", "--stats", "node.yaml")
    (here / "hard.onnx").hardlink_to(here / "palette.onnx")
    for file in ("hard.onnx", "palette.json"):
        refused(capsys, 2, "is the engine", "run", "a", *NULL, "--engine", "palette.onnx", "--stats", file)
        for command in ("bench", "eval", "build"):
            backend = ("--backend", "openvino" if command == "build" else "null")
            refused(capsys, 2, "is what is read", command, "palette.onnx", *backend, "--json", file)


def test_a_configuration_in_the_home_folder_is_not_written_over(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(here))
    (here / "node.yaml").write_text("source: clip.mp4\n")
    told = "is the configuration"
    refused(capsys, 2, told, "run", *NULL, "--config", "~/node.yaml", "--stats", "~/node.yaml")


def test_figures_and_table_need_a_place_each(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = "--json b.out and --table ./b.out; expected one of them there"
    refused(capsys, 2, told, "bench", "--backend", "null", "--json", "b.out", "--table", "./b.out")


def test_a_source_in_memory_is_not_written_over(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What lies in /dev/shm is a file and no device."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        clip = write_clip(Path(folder) / "clip.mp4")
        refused(capsys, 2, "is the source", "run", clip, *NULL, "--out", clip)


@pytest.mark.parametrize(
    ("command", "pattern"),
    [
        (("export", "palette.onnx", "--confidence", "--size", "9x9", "--tail", "half", "--machine", "mine"),
         "--size, --tail, --machine with palette.onnx; expected a checkpoint"),
        (("export", "palette.onnx", "--precision", "int8", "--size", "64x64"), "--size with palette.onnx"),
        (("export", "palette.onnx", "--confidence", "--calibration", "."),
         "--calibration with --precision fp32; expected --precision int8"),
        (("import", "palette.onnx", "--from", "drivenet", "--size", "999x1", "--tail", "full"),
         "--size, --tail with --from drivenet"),
        (("import", "x.pth", "--from", "coincheung-bisenetv2", "--calibration", "."),
         "--calibration with --from coincheung-bisenetv2; expected --from drivenet"),
        (("import", "x.pth", "--from", "nosuch"), "no publisher 'nosuch'; choose from .*, drivenet, "),
        (("import", "x.pth", "--from", "coincheung-bisenetv2", "--out", "m.pt", "--tail", "full"), "--tail with m.pt"),
    ],
)  # fmt: skip
def test_options_that_would_do_nothing(
    here: Path, capsys: pytest.CaptureFixture[str], command: tuple[str, ...], pattern: str
) -> None:
    pytest.importorskip("torch", reason="torch (extra [train]) is not installed")
    refused(capsys, 2, pattern, *command, *(() if "--out" in command else ("--out", "m.onnx")))


def test_memory_that_is_not_there(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def none_left(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr("drivenet.cli.run.check_outputs", none_left)
    refused(capsys, 1, "out of memory", "run", "clip.mp4", *NULL)


def test_as_users_see_it(here: Path) -> None:
    with started("run", "gone.mp4", "--out", "o.mp4", cwd=here) as process:
        out, err = process.communicate(timeout=90)
    assert (process.returncode, out) == (3, b"")
    assert re.fullmatch(rb"drivenet: no file gone.mp4[^\n]*\n", err)
