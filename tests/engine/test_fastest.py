"""``auto`` by measurement: what can serve a model, what is kept of the figures, and what is chosen by them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from onnx_models import palette_model

from drivenet import engine as engine_module
from drivenet.artefacts.compiled import artefacts_of
from drivenet.artefacts.passport import passport_path, read_passport
from drivenet.artefacts.timings import Timing, read_timings, write_timings
from drivenet.build.build import build
from drivenet.build.missing import being_built, build_missing, end_idle_builder, missing, sole_builder
from drivenet.build.request import BuildRequest
from drivenet.engine import fastest as fastest_module
from drivenet.engine.base import Engine
from drivenet.engine.candidates import candidates
from drivenet.engine.fastest import fastest, measure_and_open, open_measured, why
from drivenet.host.cpu_features import native_precisions
from drivenet.resources import engines_dir

pytest.importorskip("openvino")

needs_bf16 = pytest.mark.skipif("bf16" not in native_precisions(), reason="this processor lacks bf16")


@pytest.fixture
def onnx(tmp_path: Path) -> Path:
    return palette_model(tmp_path)


def timed(*rows: tuple[str, str, float]) -> tuple[Timing, ...]:
    return tuple(Timing(file="x", backend=backend, precision=precision, ms=ms) for backend, precision, ms in rows)


def test_the_fastest_serves_and_the_exact_one_where_it_is_about_as_fast() -> None:
    rows = timed(("onnxruntime", "fp32", 9), ("openvino", "fp32", 7), ("openvino", "int8", 3))
    assert fastest(rows, "fp32") == rows[2]
    rows = timed(("onnxruntime", "fp32", 3.1), ("openvino", "fp32", 7), ("openvino", "int8", 3))
    assert fastest(rows, "fp32") == rows[0]
    rows = timed(("onnxruntime", "int8", 9), ("openvino", "int8", 3))
    assert fastest(rows, "int8") == rows[1]
    assert why(rows, rows[1], "99.00%") == (
        "the fastest measured here: 3.0 ms; onnxruntime int8 9.0 ms; 99.00% of pixels as the reference"
    )


def test_what_can_serve_a_model(onnx: Path) -> None:
    assert [(c.file, c.backend, c.precision, c.seal) for c in candidates(onnx)] == [
        (onnx, "openvino", "fp32", ""), (onnx, "onnxruntime", "fp32", ""),
    ]  # fmt: skip
    built = build(BuildRequest(onnx, "openvino", "fp32"))
    found = candidates(onnx)[-1]
    assert (found.file, found.seal, found.parity) == (built.file, built.passport.seal, "100.00%")
    assert {c.backend for c in candidates(onnx, "onnxruntime")} == {"onnxruntime"}
    assert candidates(onnx, precision="int8") == []
    assert candidates(built.file) == []
    passport_path(built.file).write_text("{}")
    assert len(candidates(onnx)) == 2


def test_a_shipped_model_is_served_by_its_int8_sibling_once_that_is_built(tmp_path: Path) -> None:
    int8 = [(r.onnx.name, r.backend) for r in missing(engines_dir() / "fast.onnx") if r.precision == "int8"]
    assert int8 == ([("fast-int8.onnx", "openvino")] if "int8" in native_precisions() else [])


def test_figures_are_measured_once_and_kept(onnx: Path) -> None:
    found = candidates(onnx)
    assert open_measured(onnx, found, None, may_measure=False) is None
    measured = open_measured(onnx, found, None, may_measure=True)
    assert measured is not None
    engine, told = measured
    engine.close()
    rows = read_timings(onnx, None).rows
    assert {(row.backend, row.precision) for row in rows} == {("openvino", "fp32"), ("onnxruntime", "fp32")}
    assert engine.backend == fastest(rows, "fp32").backend
    assert told.startswith("the fastest measured here: ")
    slow = next(row for row in rows if row.backend == engine.backend)
    known = read_timings(onnx, None)
    other = tuple(row.model_copy(update={"ms": 1e6}) if row == slow else row for row in rows)
    write_timings(onnx, known.model_copy(update={"rows": other}))
    again = open_measured(onnx, found, None, may_measure=False)
    assert again is not None
    assert again[0].backend != engine.backend
    again[0].close()
    third = open_measured(onnx, found, None, may_measure=False, lanes=64)
    assert third is not None
    third[0].close()
    assert third[0].describe()["threads"] == 1
    assert read_timings(onnx, 3).rows == ()  # other threads, other figures
    palette_model(onnx.parent, val_miou=0.25)
    assert read_timings(onnx, None).rows == ()  # another model


def test_what_is_timed_on_all_threads_serves_with_as_many_as_it_is_to_have(
    onnx: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[int, int]] = []
    real = fastest_module.open_engine

    def opens(*what: object, threads: int, lanes: int) -> Engine:
        asked.append((threads, lanes))
        return real(*what, threads=threads, lanes=lanes)  # type: ignore[arg-type]

    for module in (fastest_module, engine_module):
        monkeypatch.setattr(module, "open_engine", opens)
    measured = open_measured(onnx, candidates(onnx), 2, may_measure=True, lanes=2)
    assert measured is not None
    measured[0].close()
    assert asked == [(2, 1), (2, 1), (2, 2)]
    assert measured[0].describe()["threads"] == 1


def test_an_artefact_of_another_machine_is_left_out_and_noted(onnx: Path) -> None:
    file = build(BuildRequest(onnx, "openvino", "fp32")).file
    passport = read_passport(file).model_copy(update={"machine": {"cpu": "another"}})
    passport_path(file).write_text(passport.sealed().to_json())
    found = candidates(onnx)
    assert len(found) == 3
    measured = measure_and_open(onnx, found, read_timings(onnx, None), None, 0)
    assert measured is not None
    measured[0].close()
    known = read_timings(onnx, None)
    assert len(known.rows) == 2
    ((name, reason),) = known.refused.items()
    assert name.startswith(str(file))
    assert "was built for" in reason
    again = open_measured(onnx, found, None, may_measure=False)  # not tried, not measured again
    assert again is not None
    again[0].close()


@needs_bf16
def test_a_build_that_falls_short_is_tried_once(onnx: Path) -> None:
    """The colours of this model are too close for bf16."""
    assert [(request.backend, request.precision) for request in missing(onnx)] == [("openvino", "bf16")]
    told: list[str] = []
    build_missing(onnx, None, told.append)
    assert "falls short of its reference" in told[-1]
    assert artefacts_of(onnx) == []
    assert "falls short" in read_timings(onnx, None).refused["palette.onnx openvino bf16"]
    assert missing(onnx) == []


@needs_bf16
@pytest.mark.parametrize("filled", ["before", "meanwhile"])
def test_a_build_without_room_is_tried_again_once_there_is_some(
    tmp_path_factory: pytest.TempPathFactory, onnx: Path, filled: str
) -> None:
    """It began at every run, or was noted as one that fails for good."""
    small = tmp_path_factory.mktemp("small")
    inside = ["unshare", "--mount", "sh", "-c", f'mount -t tmpfs -o size=24k none {small} && exec "$@"', "sh"]
    if subprocess.run([*inside, "true"], capture_output=True, check=False).returncode:
        pytest.skip("may not mount a file system")
    program = f"""
import shutil, sys
from pathlib import Path
from drivenet.artefacts.timings import read_timings
from drivenet.build import missing
onnx = Path(shutil.copytree({str(onnx.parent)!r}, {str(small)!r}, dirs_exist_ok=True)) / {onnx.name!r}
if {filled == "meanwhile"}:
    missing.has_room = lambda onnx: True
wanted = missing.missing(onnx)
missing.build_missing(onnx, None, print)
assert read_timings(onnx, None).refused == {{}}, read_timings(onnx, None).refused
assert missing.missing(onnx) == wanted
"""
    command = [*inside, sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    told = done.stdout.splitlines()
    assert f"no room in {small}" in told[-1]
    assert len([line for line in told if line.startswith("building ")]) == (filled == "meanwhile")


def test_one_builds_at_a_time(onnx: Path) -> None:
    assert not being_built(onnx)
    with sole_builder(onnx) as alone:
        assert alone
        assert being_built(onnx)
        with sole_builder(onnx) as another:
            assert not another
        end_idle_builder(onnx)  # this one is asked for
        assert being_built(onnx)
    assert not being_built(onnx)
