"""``drivenet run --rebuild``: an artefact that cannot be used is built while frames go on, and then takes over."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
from cli_parts import LONG_S, balanced, line_count, started, stats, wait_until
from onnx_models import palette_model

from drivenet.artefacts.passport import passport_path, read_passport
from drivenet.build.build import build
from drivenet.build.request import BuildRequest
from drivenet.engine import open_engine

SOURCE = ("synthetic://96x64@30", "--policy", "every", "--rate", "30", "--headless", "--stats", "s.jsonl")
REBUILD = ("--backend", "openvino", "--precision", "fp32", "--rebuild")


@pytest.fixture
def onnx(tmp_path: Path) -> Path:
    pytest.importorskip("openvino", reason="openvino (extra [openvino]) is not installed")
    return palette_model(tmp_path)


def broken(onnx: Path, how: str) -> Path:
    """An OpenVINO artefact that its passport does not admit."""
    file = build(BuildRequest(onnx, "openvino", "fp32")).file
    if how == "flipped byte":
        weights = bytearray(file.with_suffix(".bin").read_bytes())
        weights[7] ^= 1
        file.with_suffix(".bin").write_bytes(weights)
    else:
        passport = read_passport(file)
        machine = {**passport.machine, "openvino": "2024.0.0"}
        passport_path(file).write_text(passport.model_copy(update={"machine": machine}).sealed().to_json())
    return file


def ended(process: subprocess.Popen[str], lines: Path, after: int) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Interrupt a run once so many more frames have gone by; its frames and its summary, in which none is lost."""
    seen = line_count(lines)
    wait_until(lambda: line_count(lines) > seen + after or process.poll() is not None)
    process.send_signal(signal.SIGINT)
    assert process.wait(LONG_S) == 0
    frames, summary = stats(lines.read_text())
    assert balanced(frames, summary)
    assert summary is not None
    assert set(summary["dropped"]) <= {"stopped"}
    return frames, summary


@pytest.mark.timeout(240)
@pytest.mark.parametrize("how", ["flipped byte", "other version"])
def test_a_broken_artefact_is_replaced_while_frames_go_on(onnx: Path, tmp_path: Path, how: str) -> None:
    artefact = broken(onnx, how)
    told, lines = tmp_path / "told", tmp_path / "s.jsonl"
    with (
        told.open("wb") as stderr,
        started("run", *SOURCE, "--engine", onnx, *REBUILD, cwd=tmp_path, stderr=stderr.fileno()) as process,
    ):
        wait_until(lambda: b"takes over" in told.read_bytes() or process.poll() is not None)
        frames, summary = ended(process, lines, 3)
    assert [f["frame"] for f in frames] == list(range(len(frames)))
    assert (summary["engine"]["backend"], summary["engine"]["file"]) == ("openvino", str(artefact))
    before = summary["engine"]["before"]
    assert before["backend"] == "onnxruntime"
    assert 0 < before["frames"] < len(frames)
    reason, swap = told.read_text().splitlines()[:2]
    assert reason.endswith("; it is built in the background while onnxruntime serves")
    assert ("is damaged" if how == "flipped byte" else "was built for openvino 2024.0.0") in reason
    assert swap == f"openvino fp32 takes over after {before['frames']} frames: {artefact}"
    assert f"the first {before['frames']} frames went through onnxruntime fp32" in told.read_text()
    open_engine(artefact).close()


@pytest.mark.timeout(240)
def test_an_interrupt_ends_the_build_and_leaves_nothing_behind(onnx: Path, tmp_path: Path) -> None:
    there = {p.name for p in tmp_path.iterdir()}
    told = tmp_path / "told"
    with (
        told.open("wb") as stderr,
        started(
            "run", *SOURCE, "--engine", onnx, *REBUILD, cwd=tmp_path, stderr=stderr.fileno(), session=True
        ) as process,
    ):
        wait_until(lambda: line_count(tmp_path / "s.jsonl") > 0 or process.poll() is not None)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does
        assert process.wait(LONG_S) == 0
    assert "Traceback" not in told.read_text()
    assert balanced(*stats((tmp_path / "s.jsonl").read_text()))
    left = {p.name for p in tmp_path.iterdir()} - there - {"told", "s.jsonl"}
    assert left <= {"palette-fp32.xml", "palette-fp32.bin", "palette-fp32.xml.json"}, "at most a whole artefact"


@pytest.mark.timeout(240)
def test_the_engines_are_swapped_although_nobody_can_be_told(onnx: Path, tmp_path: Path) -> None:
    """Whoever reads standard error has seen enough after the first line, as ``head -1`` has."""
    lines, reader = tmp_path / "s.jsonl", os.pipe()
    with started("run", *SOURCE, "--engine", onnx, *REBUILD, cwd=tmp_path, stderr=reader[1]) as process:
        os.close(reader[1])
        assert os.read(reader[0], 1000)
        os.close(reader[0])
        wait_until(lambda: (tmp_path / "palette-fp32.xml.json").exists() or process.poll() is not None)
        _, summary = ended(process, lines, 60)
    assert summary["engine"]["backend"] == "openvino"


@pytest.mark.timeout(240)
def test_a_build_ends_with_a_node_that_is_killed(onnx: Path, tmp_path: Path) -> None:
    told = tmp_path / "told"
    with (
        told.open("wb") as stderr,
        started("run", *SOURCE, "--engine", onnx, *REBUILD, cwd=tmp_path, stderr=stderr.fileno()) as process,
    ):
        wait_until(lambda: list(tmp_path.glob(".build-*")) or process.poll() is not None)
        (scratch,) = tmp_path.glob(".build-*")
        builder = Path("/proc", scratch.name.split("-")[1])
        process.kill()
        process.wait(LONG_S)
    wait_until(lambda: not builder.exists())
    assert not list(tmp_path.glob(".build-*"))
    assert "Traceback" not in told.read_text()
