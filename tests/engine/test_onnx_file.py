"""What an ONNX says of itself is believed only where graph, metadata and JSON agree; damage is an error, no crash."""

from __future__ import annotations

import json
import os
import random
from pathlib import Path

import numpy as np
import pytest
from onnx_models import SIZE, paint, palette_graph, palette_model, palette_spec, write_onnx

from drivenet.engine import open_engine
from drivenet.engine.onnxruntime.file import open_session, read_spec
from drivenet.errors import EngineError, ModelSpecError
from drivenet.modelspec import spec_path


def test_reads_the_spec_inside(tmp_path: Path) -> None:
    file = palette_model(tmp_path)
    assert read_spec(file) == palette_spec()
    spec_path(file).unlink()
    assert read_spec(file) == palette_spec()


def test_a_spec_is_read_once_as_long_as_its_files_are_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, opened = palette_model(tmp_path), list[Path]()

    def noted(path: Path, *others: object) -> object:
        opened.append(path)
        return open_session(path, *others)  # type: ignore[arg-type]

    monkeypatch.setattr("drivenet.engine.onnxruntime.file.open_session", noted)
    for _ in range(2):
        assert read_spec(file) == palette_spec()
    assert len(opened) == 2, "what was just written may be written again without another time"
    for path in (file, spec_path(file)):
        os.utime(path, (1_000_000_000, 1_000_000_000))
    for _ in range(3):
        assert read_spec(file) == palette_spec()
    assert len(opened) == 3
    file.write_bytes(b"no model")
    os.utime(file, (1_000_000_000, 1_000_000_000))
    with pytest.raises(ModelSpecError):
        read_spec(file)


def test_a_missing_file_a_folder_and_an_empty_file_are_named(tmp_path: Path) -> None:
    (tmp_path / "empty.onnx").touch()
    (tmp_path / "folder.onnx").mkdir()
    for name, message in {
        "missing.onnx": "no engine .*missing.onnx",
        "folder.onnx": "folder.onnx is no file",
        "empty.onnx": "empty.onnx is empty",
        "empty.onnx/inside.onnx": "empty.onnx",
        "\0.onnx": "no engine|cannot be read",
        "x" * 300: "no engine|cannot be read",
    }.items():
        with pytest.raises(EngineError, match=message) as caught:
            read_spec(tmp_path / name)
        assert "\n" not in str(caught.value)


def test_a_named_pipe_does_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.onnx")
    with pytest.raises(EngineError, match="is no file"):
        read_spec(tmp_path / "pipe.onnx")


def test_a_file_that_is_no_onnx(tmp_path: Path) -> None:
    for name, content in {"text.onnx": b"hello\n", "picture.onnx": b"\x89PNG\r\n", "zeros.onnx": bytes(5000)}.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ModelSpecError) as caught:
            read_spec(tmp_path / name)
        assert "\n" not in str(caught.value)


def test_an_onnx_without_a_spec_is_not_ours(tmp_path: Path) -> None:
    file = write_onnx(tmp_path / "foreign.onnx", palette_graph(), None)
    with pytest.raises(ModelSpecError, match=r"of another program.*drivenet import"):
        read_spec(file)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mean": None}, "mean"),
        ({"colour": "rgb"}, "colour"),
        ({"surprise": 1}, "surprise"),
        ({"input": [0, 48]}, "positive"),
        ({"input": [10**6, 10**6]}, "at most 8192"),
        ({"format": 2}, "format"),
        (
            {"labels": {"name": "x", "classes": ["a", "a"], "palette": [[0, 0, 0]] * 2, "groups": {"a": "road"}}},
            "twice",
        ),
    ],
)
def test_a_spec_that_is_not_valid_names_the_field(tmp_path: Path, change: dict[str, object], message: str) -> None:
    text = json.dumps({**json.loads(palette_spec().to_json()), **change})
    file = write_onnx(tmp_path / "odd.onnx", palette_graph(), text)
    with pytest.raises(ModelSpecError, match=message) as caught:
        read_spec(file)
    assert "\n" not in str(caught.value)


def test_a_json_that_differs_from_the_file_is_refused(tmp_path: Path) -> None:
    file = palette_model(tmp_path)
    spec_path(file).write_text(palette_spec(mean=(0.5, 0.5, 0.5)).to_json(), encoding="utf-8")
    with pytest.raises(ModelSpecError, match="differs from the spec inside"):
        read_spec(file)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[]", b"null", b'{"name": 1}', b"[" * 100_000])
def test_a_damaged_json_beside_is_refused(tmp_path: Path, content: bytes) -> None:
    file = palette_model(tmp_path)
    spec_path(file).write_bytes(content)
    with pytest.raises(ModelSpecError, match=r"palette\.json"):
        read_spec(file)


def damaged(data: bytes, rng: random.Random) -> bytes:
    """Cut off, overwritten, doubled or with bits turned."""
    out, at = bytearray(data), rng.randrange(len(data))
    kind = rng.choice(("truncate", "flip", "overwrite", "double"))
    if kind == "truncate":
        return bytes(out[:at])
    if kind == "double":
        return bytes(out[:at] + out[at // 2 :])
    for _ in range(rng.choice((1, 1, 4, 32))):
        place = rng.randrange(len(out))
        out[place] = out[place] ^ 1 << rng.randrange(8) if kind == "flip" else rng.randrange(256)
    return bytes(out)


@pytest.mark.parametrize("victim", ["onnx", "json", "onnx without json"])
def test_no_damage_crashes_or_runs_with_ids_that_mean_nothing(
    tmp_path: Path, victim: str, capfd: pytest.CaptureFixture[str]
) -> None:
    file = palette_model(tmp_path)
    target = spec_path(file) if victim == "json" else file
    if victim == "onnx without json":
        spec_path(file).unlink()
    whole, rng, messages = target.read_bytes(), random.Random(7), []
    for _ in range(200):
        target.write_bytes(damaged(whole, rng))
        try:
            ids = open_engine(file, "onnxruntime", threads=1).infer(paint(np.zeros(SIZE, np.uint8)))
        except EngineError as error:  # anything else fails the test
            messages.append(str(error))
        else:
            assert ids.shape == (SIZE[0] // 2, SIZE[1] // 2)
            assert ids.max() < 11
    assert len(messages) > 50
    assert not [m for m in messages if "\n" in m]
    assert capfd.readouterr() == ("", "")
