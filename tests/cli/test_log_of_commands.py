"""Every command writes the log, not ``drivenet run`` alone."""

from __future__ import annotations

from pathlib import Path

import pytest
from cli_parts import call
from onnx_models import palette_model
from two_cameras import two_cameras

from drivenet.labels import CITYSCAPES


@pytest.mark.parametrize(
    "command",
    [
        ("run", "{clip}", "--engine", "{engine}", "--headless"),
        ("eval", "{engine}", "--flicker", "{clip}"),
        ("eval", "{engine}", "--agreement", "{clip}"),
    ],
    ids=lambda command: " ".join(command[:1] + command[2:3]),
)
def test_a_file_with_two_cameras(tmp_path: Path, capsys: pytest.CaptureFixture[str], command: tuple[str, ...]) -> None:
    palette_model(tmp_path, "city", CITYSCAPES)
    engine = next(tmp_path.glob("*.onnx"))
    assert call(*(part.format(clip=two_cameras(tmp_path / "two.mp4"), engine=engine) for part in command)) == 0
    assert "has 2 video streams (0: 64x48, 1: 128x96)" in " ".join(capsys.readouterr().err.split())


def test_a_batch_tells_it_once_for_a_file_not_for_each_segment(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("pyarrow", reason="pyarrow (extra [batch]) is not installed")
    palette_model(tmp_path, "city", CITYSCAPES)
    engine, out = next(tmp_path.glob("*.onnx")), tmp_path / "found"
    assert call("batch", two_cameras(tmp_path / "two.mp4"), "--engine", engine, "--out", out) == 0
    assert capsys.readouterr().err.count("has 2 video streams") == 1
