"""Whatever is wrong: one line that says what, the right exit code, and nothing left behind."""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path

import pytest
from cli_parts import call, started, write_checkpoint, write_clip
from onnx_models import palette_graph, palette_model, palette_spec, write_onnx

from drivenet.labels import CAMVID
from drivenet.resources import configs_dir

NULL = ("--backend", "null", "--headless", "--strict")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to be in, with a good clip and a good model, on a machine without a display."""
    monkeypatch.chdir(tmp_path)
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM"):
        monkeypatch.delenv(name, raising=False)
    write_clip(tmp_path / "clip.mp4")
    palette_model(tmp_path)
    return tmp_path


def refused(capsys: pytest.CaptureFixture[str], code: int, pattern: str, *args: object) -> None:
    """The command ends with that code, one line on standard error, and no file that was not there before."""
    before = {p: p.stat().st_size for p in Path().rglob("*")}
    assert call(*args) == code
    printed = capsys.readouterr()
    assert printed.out == ""
    assert re.fullmatch(r"drivenet: [^\n]+\n", printed.err), printed.err
    assert re.search(pattern, printed.err), printed.err
    assert {p: p.stat().st_size for p in Path().rglob("*")} == before


@pytest.mark.parametrize(
    ("source", "code", "pattern"),
    [
        ("clop.mp4", 3, "no file clop.mp4; did you mean clip.mp4"),
        ("text.mp4", 3, "text.mp4 is no video"),
        ("empty.mp4", 3, "empty.mp4 is empty"),
        ("sound.mp4", 3, "sound.mp4 holds sound but no video"),
        ("pictures", 3, "pictures holds no pictures"),
        ("none/*.png", 3, "no file"),
        ("", 2, "empty source"),
        ("ftp://host/x.mp4", 2, "unknown scheme ftp"),
        ("rtsp://", 2, "rtsp:// names no host; expected an address such as rtsp://HOST/PATH"),
        ("tcp://127.0.0.1:1", 3, "nothing at tcp://127.0.0.1:1"),
        ("rtsp://user:secret@127.0.0.1:1/x", 3, r"rtsp://\*\*\*@127.0.0.1"),
        ("synthetic://1x1@30", 2, "1x1; expected 32 to 8192"),
        ("synthetic://99999x99999@30", 2, "99999x99999; expected 32 to 8192"),
        ("synthetic://64x64@0", 2, "rate '0'"),
        ("synthetic://64x64@30?sed=1", 2, "no setting 'sed'; did you mean seed"),
        ("v4l2:///dev/video63", 3, "no camera"),
    ],
)
def test_sources(here: Path, capsys: pytest.CaptureFixture[str], source: str, code: int, pattern: str) -> None:
    (here / "text.mp4").write_text("not a video\n")
    (here / "empty.mp4").touch()
    write_clip(here / "sound.mp4", sound_only=True)
    (here / "pictures").mkdir()
    refused(capsys, code, pattern, "run", source, *NULL, "--out", "o.mp4", "--stats", "new/s.jsonl")


@pytest.mark.skipif(os.geteuid() == 0, reason="needs a user other than root, who may read every file")
def test_an_unreadable_source(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "clip.mp4").chmod(0)
    refused(capsys, 3, "clip.mp4 cannot be read: permission denied", "run", "clip.mp4", *NULL)


def test_a_bad_source_is_told_before_a_bad_engine(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    refused(capsys, 3, "no file gone.mp4", "run", "gone.mp4", "--engine", "gone.onnx", "--out", "o.mp4")
    refused(capsys, 4, "no engine 'gone.onnx'", "run", "0", "--engine", "gone.onnx", "--out", "o.mp4")


def write_models(folder: Path) -> None:
    """ONNX files with something wrong about each."""
    write_onnx(folder / "other.onnx", palette_graph(), None)
    write_onnx(folder / "size.onnx", palette_graph(size=(64, 64)), palette_spec(), beside=False)
    write_onnx(folder / "names.onnx", palette_graph(names=("x", "y")), palette_spec(), beside=False)
    more = [*CAMVID.palette, (9, 8, 7), (130, 130, 131)]
    write_onnx(folder / "classes.onnx", palette_graph(more), palette_spec(), beside=False)
    (folder / "text.onnx").write_text("no model\n")
    (folder / "cut.onnx").write_bytes((folder / "palette.onnx").read_bytes()[:300])


@pytest.mark.parametrize(
    ("engine", "pattern"),
    [
        ("gone.onnx", "no engine 'gone.onnx'"),
        ("other.onnx", "of another program: it has no drivenet.modelspec"),
        ("size.onnx", r"\[1, 64, 64, 3\]; expected frame tensor\(uint8\) \[1, 32, 48, 3\]"),
        ("names.onnx", "is x tensor"),
        ("classes.onnx", r"class id 1[12]; expected ids 0\.\.10"),
        ("text.onnx", "text.onnx cannot be loaded"),
        ("cut.onnx", "cut.onnx"),
    ],
)
def test_engines(here: Path, capsys: pytest.CaptureFixture[str], engine: str, pattern: str) -> None:
    write_models(here)
    how = ("--engine", engine, "--backend", "onnxruntime", "--threads", 1)
    refused(capsys, 4, pattern, "run", "clip.mp4", *how, "--headless", "--out", "o.mp4", "--stats", "s.jsonl")
    refused(capsys, 4, pattern, "eval", engine, "--backend", "onnxruntime", "--threads", 1, "--json", "scores.json")


def test_artefacts_of_another_backend(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("openvino", reason="openvino (extra [openvino]) is not installed")
    assert call("build", "palette.onnx", "--backend", "openvino", "--precision", "fp32") == 0
    capsys.readouterr()
    (here / "palette-fp16.plan").write_bytes(b"a plan")
    for artefact, backend in (("palette-fp32.xml", "openvino"), ("palette-fp16.plan", "tensorrt")):
        told = f"{artefact} is made for {backend}; expected an ONNX; run it with --backend {backend}"
        refused(capsys, 4, told, "run", "clip.mp4", "--engine", artefact, "--backend", "onnxruntime", "--headless")
        refused(capsys, 4, told, "build", artefact, "--backend", backend)


def test_engines_without_a_default(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (here / "engines").mkdir()
    monkeypatch.delenv("DRIVENET_ENGINES")
    monkeypatch.setattr("drivenet.artefacts.store.engines_dir", lambda: here / "engines")
    for command in (("run", "clip.mp4", "--headless"), ("eval",), ("bench",)):
        refused(capsys, 4, "engines holds no models; expected a default model", *command)
    palette_model(here / "engines", "one")
    palette_model(here / "engines", "two")
    refused(capsys, 4, "2 models and no catalog.json", "run", "clip.mp4", "--headless")
    refused(capsys, 4, "no engine 'too'.*did you mean two", "run", "clip.mp4", "--headless", "--engine", "too")


@pytest.mark.parametrize(
    ("options", "code", "pattern"),
    [
        (("--out", "clip.mp4"), 2, "output clip.mp4 is the source"),
        (("--stats", "./clip.mp4"), 2, "is the source"),
        (("--out", "o.mp4", "--stats", "o.mp4"), 2, "output o.mp4 is named twice"),
        (("--out", "o.mp4", "--out", "o.mkv", "--out", "./o.mp4"), 2, "named twice"),
        (("--out", "mqtt://me:pw@h/t", "--out", "mqtt://me:pw@h/t"), 2, r"output mqtt://\*\*\*@h/t is named twice"),
        (("--out", "mqtt://h"), 2, r"mqtt://h; expected mqtt://HOST\[:PORT\]/TOPIC, or mqtts:// for TLS; in a user or"),
        (("--out", "rtsp://h"), 2, r"rtsp://h; expected rtsp://HOST\[:PORT\]/PATH; in a user or .* : / \? # %\n"),
        (("--engine", "palette.onnx", "--stats", "palette.onnx"), 2, "is the engine"),
        (("--stats", "a.jsonl", "--stats", "b.jsonl"), 2, "--stats a.jsonl and b.jsonl; expected one of them"),
        (("--out", "o.avi"), 2, "ends in .avi"),
        (("--out", "mqtt:/h/t"), 2, "an address that begins with mqtt:/; expected mqtt://..."),
        (("--out", "ros2//0/drive"), 2, "an address that begins with ros2//; expected ros2://..."),
        (("--out", "mqtt://h/cars/#"), 2, "mqtt://h/cars/#; expected mqtt://HOST"),
        (("--out", "zenoh:///cars/#"), 2, "zenoh:///cars/#; expected zenoh://"),
        (("--out", "file"), 5, "cannot write file"),
        (("--out", "file/"), 5, "cannot write file"),
        (("--out", "file/o.mp4"), 5, "cannot write file/o.mp4"),
        (("--stats", "file/s.jsonl"), 5, "cannot write file/s.jsonl"),
        (("--stats", "folder"), 5, "folder: it is a folder"),
        (("--rate", "0"), 2, "rate: .*got 0.0"),
        (("--rate", "nan"), 2, "rate"),
        (("--alpha", "2"), 2, "alpha: must be at most 1, got 2.0; did you mean 0.02"),
        (("--alpha", "50"), 2, "alpha: must be at most 1, got 50.0; did you mean 0.5"),
        (("--alpha", "-1"), 2, "alpha: must be at least 0, got -1.0\n"),
        (("--threads", "0"), 2, "threads"),
        (("--max-frames", "0"), 2, "max_frames"),
        (("--max-frames", "x"), 2, "--max-frames"),
        (("--policy", "newest"), 2, "'latest', 'every'"),
        (("--precision", "int9"), 2, "int8"),
        (("--polisy", "every"), 2, "--policy"),
        (("--show",), 2, "both --show and --headless"),
        (("--serve", "8080"), 2, "HOST:PORT"),
        (("--allow-anonymous",), 2, "--serve HOST:PORT"),
        (("--segment", "60s", "--out", "o/", "--stats", "-"), 2, "--segment without a recording; expected --out FILE"),
        (("another.mp4",), 3, "no file another.mp4"),
        (("1.png", "2.png", "3.png"), 2, "3 picture files as sources; expected one SOURCE; quote a glob"),
        (("rtsp://me:pw@127.0.0.1:1/x",), 3, r"rtsp://\*\*\*@127.0.0.1"),
    ],
)
def test_options_of_a_run(
    here: Path, capsys: pytest.CaptureFixture[str], options: tuple[str, ...], code: int, pattern: str
) -> None:
    (here / "file").write_text("x")
    (here / "folder").mkdir()
    for name in ("1.png", "2.png", "3.png"):
        (here / name).write_bytes(b"x")
    refused(capsys, code, pattern, "run", "clip.mp4", *NULL, *options)


@pytest.mark.parametrize(
    ("options", "pattern"),
    [
        (("--classes", "cars"), "no class or group 'cars'"),
        (("--blur", "faces"), "--blur faces; expected groups or classes"),
        (("--segment", "10", "--out", "o.mp4"), "a segment"),
        (("--keep", "2GB", "--out", "o.mp4"), "a disk budget for one file"),
        (("--lock-when", "cars>5%", "--segment", "60s", "--out", "o.mp4"), "names cars; expected a group or a class"),
        (("--serve", "8080"), "HOST:PORT"),
        (("--serve", "127.0.0.1:0", "--token", "short"), "a token that is too short"),
        (("--serve", "127.0.0.1:0", "--root-path", "cars"), "--root-path 'cars'"),
        (("--serve", "127.0.0.1:0", "--trusted-proxy", "proxy"), "'proxy'"),
        (("--out", "o.avi"), "ends in .avi"),
        (("--out", "mqtt://h"), "mqtt://h; expected mqtt://HOST"),
        (("--out", "zenoh:///cars/#"), "zenoh:///cars/#; expected zenoh://"),
        (("--out", "ros2://999/cars"), "ROS domain 999"),
        (("--out", "rtsp://h"), "rtsp://h; expected rtsp://HOST"),
        (("--out", "o.mov"), "o.mov of the view overlay"),
        (("--visualize", "cutout", "--out", "o/"), "--visualize cutout alone"),
        (("--visualize", "panoptic", "--out", "o.mp4"), "--visualize panoptic without an output for it"),
        (("--zones", "gone.yaml"), "gone.yaml"),
        (("--stage", "gone.py:Mine"), "stage gone.py:Mine cannot be imported"),
        (("--budget-engine", "fast"), "--budget-engine without a budget"),
        (("--budget-ms", "50"), "a budget for a run that processes every frame"),
    ],
)
def test_a_wrong_option_is_told_before_an_engine_that_takes_long_to_load(
    here: Path, capsys: pytest.CaptureFixture[str], options: tuple[str, ...], pattern: str
) -> None:
    """Or cannot be loaded at all; of several sources too."""
    (here / "palette.onnx").write_bytes((here / "palette.onnx").read_bytes()[:300])
    how = ("--engine", "palette.onnx", "--backend", "onnxruntime", "--headless")
    refused(capsys, 2, pattern, "run", "clip.mp4", *how, *options)
    if "--out" not in options:
        refused(capsys, 2, pattern, "run", "clip.mp4", "clip.mp4", *how, *options)


@pytest.mark.parametrize(
    "option",
    ["--blur", "--classes", "--stats", "--out", "--zones", "--serve", "--token", "--secrets", "--keep", "--lock-when"],
)
@pytest.mark.parametrize("value", ["", " ", ","])
def test_a_variable_of_a_shell_that_is_not_set(
    here: Path, capsys: pytest.CaptureFixture[str], option: str, value: str
) -> None:
    name = option.removeprefix("--").replace("-", "_")
    refused(capsys, 2, f"options: {name}.*: must not be empty", "run", "clip.mp4", *NULL, option, value)


@pytest.mark.skipif(os.geteuid() == 0, reason="needs a user other than root, who may write everywhere")
def test_a_folder_that_is_not_writable(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "locked").mkdir(mode=0o500)
    refused(capsys, 5, "locked", "run", "clip.mp4", *NULL, "--out", "locked/o.mp4")


def test_no_display(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for wish in ((), ("--show",)):
        refused(capsys, 5, "no window.*--out FILE.mp4, or --headless", "run", "clip.mp4", "--backend", "null", *wish)


@pytest.mark.parametrize(
    ("text", "pattern"),
    [
        ("sorce: 0\n", "unknown key sorce, did you mean source"),
        ("polcy: every\nrats: 3\n", "unknown key polcy, did you mean policy.*unknown key rats, did you mean rate"),
        ("nonsense: 1\njunk: 2\nsorce: 0\n", "unknown keys nonsense, junk, choose from [^;]*; unknown key sorce, did"),
        ("model: fast.onnx\n", r"unknown key model, choose from [^;]*\n"),
        ("out: a\nalpha: 1\nout: b\n", "no YAML: key out is given twice, the second time in line 3, column 1"),
        (
            "source: {{camera}}\n",
            r"no YAML: a key that is a mapping \(a text with . or . stands in quotes\) in line 1, c",
        ),
        ("? [a, b]\n: 1\n", "no YAML: a key that is a list .* in line 1, column 3;"),
        ("token: !secret page\n", "no YAML: a tag that means nothing here .* in line 1, column 8;"),
        (
            "token: !Passw0rd\n",
            r"no YAML: a tag that means nothing here \(a text with ! at its start stands in quotes\) in",
        ),
        (
            "token: *Passw0rd\n",
            r"no YAML: an alias of nothing \(a text with . at its start stands in quotes\) in line 1",
        ),
        ("out:\n", "out: must be a text or a list, got nothing"),
        ("out: {a: b}\n", "out: must be a text or a list\n"),
        ("policy: newest\n", "policy: .*'latest' or 'every'.*got 'newest'"),
        ("alpha: much\n", "alpha"),
        ("source: [\n", "is no YAML"),
        ("- source\n", "holds list"),
        ("", "holds nothing"),
        ("loop: true\nsource: Stra\xdfe.mp4\n", "no YAML: byte 0xdf in line 2 is not UTF-8; .*; save it in UTF-8"),
        ("loop: true\nout: a\x07b\n", "no YAML: character U[+]0007 in line 2;"),
        ("1: clip.mp4\n", "unknown key 1, choose from"),
        ("true: clip.mp4\n~: 2\n", "unknown keys true, null, choose from|unknown key true, choose.* key null, choose"),
        ("token: 5\nserve: 127.0.0.1:0\n", "token: must be a text; what is meant as a text stands in quotes"),
        ("segment: 60\n", "segment: must be a text, got 60; what is meant as a text stands in quotes"),
        ("palette: null\n", "palette: must be .*got nothing; what is meant as a text stands in quotes"),
        ("threads: 1.5\n", "threads: must be a whole number, got 1.5\n"),
        ("loop: often\n", "loop: must be true or false, got 'often'\n"),
        (f"max_frames: {'9' * 5000}\n", "is no YAML: "),
        ("stats: !!timestamp 2026-13-45\n", "is no YAML: "),
        ("loop: !!bool maybe\n", "is no YAML: "),
    ],
)
def test_configurations(here: Path, capsys: pytest.CaptureFixture[str], text: str, pattern: str) -> None:
    (here / "node.yaml").write_bytes(text.encode("latin-1"))
    refused(capsys, 2, pattern, "run", "clip.mp4", *NULL, "--config", "node.yaml")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "\u200bpolicy: every\n",
            "did you mean policy.*; type line 1 anew: its column 1 is U[+]200B, a zero width space",
        ),
        ("loop: true\nsource:\u00a0clip.mp4\n", "type line 2 anew: its column 8 is U[+]00A0, a no-break space"),
        ("loop: true # \u00a0\npolicy: every\u00a0\n", "'every.*'; type line 2 anew: its column 14 is U[+]00A0"),
        ("loop: true\n\ufeffpolicy: every\n", "type line 2 anew: its column 1 is U[+]FEFF"),
        ("\ufeffpolcy: every\n", r"unknown key polcy, did you mean policy\?\n"),  # at the start it is no fault
        ("polcy: every # 1\u00a0s\n", r"unknown key polcy, did you mean policy\?\n"),
    ],
)
def test_characters_that_nobody_sees_are_told(
    here: Path, capsys: pytest.CaptureFixture[str], text: str, told: str
) -> None:
    """The line looked right, and the message gave back what it looked like."""
    (here / "node.yaml").write_text(text, encoding="utf-8")
    refused(capsys, 2, told, "run", "clip.mp4", *NULL, "--config", "node.yaml")


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
    """Nobody is told to run the code in a file."""
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
