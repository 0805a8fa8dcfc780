"""What ``drivenet run`` serves when nothing is said: from the second run on the fastest that was measured."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from cli_parts import call
from onnx_models import palette_model

from drivenet.artefacts.timings import read_timings
from drivenet.build.missing import being_built, build_missing, end_idle_builder, missing
from drivenet.engine.fastest import fastest
from drivenet.host.cpu_features import native_precisions
from drivenet.resources import engines_dir

pytest.importorskip("openvino")

RUN = ("run", "synthetic://320x192@30?frames=3", "--policy", "every", "--headless", "--overwrite", "--stats", "s.jsonl")


def served(folder: Path) -> tuple[str, str]:
    engine = json.loads((folder / "s.jsonl").read_text().splitlines()[-1])["engine"]
    return engine["backend"], engine["precision"]


def wait_for(condition: Callable[[], bool]) -> None:
    ends = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < ends
        time.sleep(0.1)


@pytest.mark.skipif(
    not {"bf16", "int8"} & set(native_precisions()), reason="this processor has neither bf16 nor int8 of its own"
)
def test_the_second_run_serves_what_the_first_one_had_built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.delenv("DRIVENET_ENGINES")
    env = {**os.environ, "DRIVENET_BACKGROUND_BUILD": "1"}
    command = [sys.executable, "-m", "drivenet", *RUN, "--engine", "fast"]
    first = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=True)
    assert "built in the background for the next run: openvino" in first.stderr
    assert served(tmp_path)[1] == "fp32"
    onnx = engines_dir() / "fast.onnx"
    wait_for(lambda: being_built(onnx) or not missing(onnx))
    end_idle_builder(onnx)  # there may be no idle time here
    assert not being_built(onnx)
    assert not list((tmp_path / "data/drivenet/engines").glob(".build-*"))
    build_missing(onnx)
    second = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=True)
    assert "the fastest measured here" in second.stderr
    rows = read_timings(onnx, None).rows
    assert len(rows) > 2
    best = fastest(rows, "fp32")
    assert served(tmp_path) == (best.backend, best.precision)
    exact = subprocess.run([*command, "--precision", "fp32"], cwd=tmp_path, env=env, capture_output=True, check=True)
    assert b"in the background" not in exact.stderr
    assert served(tmp_path)[1] == "fp32"


def test_a_run_whose_figures_could_not_be_kept_measures_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a file").touch()
    monkeypatch.setenv("DRIVENET_ENGINES", str(tmp_path / "a file"))
    assert call(*RUN, "--engine", "fast", "--background-build") == 0
    told = capsys.readouterr().err
    assert "measured" not in told
    assert "in the background" not in told
    assert served(tmp_path)[1] == "fp32"


def test_build_all_tells_what_was_timed_and_what_a_run_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    onnx = palette_model(tmp_path)
    assert call("build", "palette.onnx", "--all", "--json", "-") == 0
    told = capsys.readouterr()
    report = json.loads(told.out)
    assert {(row["backend"], row["precision"]) for row in report["rows"]} == {
        ("openvino", "fp32"), ("onnxruntime", "fp32"),
    }  # fmt: skip
    assert bool(report["refused"]) == ("bf16" in native_precisions())  # its colours are too close for bf16
    assert "drivenet run takes" in told.err
    assert call(*RUN, "--engine", str(onnx)) == 0
    assert served(tmp_path) == (report["chosen"]["backend"], report["chosen"]["precision"])
    for wrong, told_why in (
        (("--all", "--precision", "fp32"), "--precision with --all"),
        ((), "no --backend; expected openvino or tensorrt, or --all"),
    ):
        assert call("build", "palette.onnx", *wrong) == 2
        assert told_why in capsys.readouterr().err
