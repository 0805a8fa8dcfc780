"""Whatever is wrong: one line that says what, the right exit code, and nothing left behind."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from cli_parts import call, write_clip
from onnx_models import palette_graph, palette_model, palette_spec, write_onnx
from refusals import NULL, refused

from drivenet.labels import CAMVID


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
