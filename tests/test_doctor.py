"""The doctor: a row a part, a cure for each that is not ok, and no check that ends the others."""

from __future__ import annotations

import json
import os
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner
from onnx_models import palette_model

import drivenet.doctor as doctor_package
from drivenet.artefacts.timings import Timing, empty, write_timings
from drivenet.cli.doctor import doctor
from drivenet.doctor import examine, libraries, machine
from drivenet.doctor.row import Row
from drivenet.engine import tensorrt
from drivenet.engine.candidates import candidates
from drivenet.engine.onnxruntime import engine as onnxruntime
from drivenet.errors import EngineError, SinkError
from drivenet.host.nvidia import Gpu


def test_every_part_has_a_row_and_what_is_not_ok_has_a_cure() -> None:
    rows = examine()
    parts = [row.part for row in rows]
    for part in ("Python", "processor", "GPU and driver", "pycuda", "TensorRT", "OpenVINO", "ONNX Runtime", "OpenCV"):
        assert part in parts
    assert {"PyAV", "cameras", "display", "disk", "models"} <= set(parts)
    assert all(bool(row.cure) == (row.state != "ok") for row in rows)
    assert next(row for row in rows if row.part == "ONNX Runtime").state == "ok"
    assert "libx264" in next(row for row in rows if row.part == "PyAV").found


def test_json_and_exit_code_tell_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    done = CliRunner().invoke(doctor, ["--json", "-"])
    report = json.loads(done.stdout)
    assert {tuple(row) for row in report["rows"]} == {("part", "state", "found", "cure")}
    assert report["auto"]["backend"] in ("tensorrt", "openvino", "onnxruntime")
    broken = any(row["state"] == "broken" for row in report["rows"])
    assert done.exit_code == int(broken)
    monkeypatch.setattr(doctor_package, "CHECKS", (machine.check_python,))
    assert CliRunner().invoke(doctor, []).exit_code == 0


def test_a_check_that_fails_is_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    def check_of_something() -> Row:
        raise OSError("libfoo.so.1 is missing")

    monkeypatch.setattr(doctor_package, "CHECKS", (check_of_something, machine.check_python))
    broken, python = examine()
    assert (broken.part, broken.state) == ("of something", "broken")
    assert "libfoo" in broken.found
    assert python.state == "ok"


def test_a_jetson_tells_its_jetpack_and_clocks(tmp_path: Path) -> None:
    assert machine.check_jetson(tmp_path) is None
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/nv_tegra_release").write_text("# R36 (release), REVISION: 4.3", encoding="utf-8")
    row = machine.check_jetson(tmp_path)
    assert row is not None
    assert row.state == "missing"
    assert "JetPack 6 (Jetson Linux R36)" in row.found
    assert "jetson_clocks" in row.cure
    clocks = tmp_path / "sys/devices/system/cpu/cpu0/cpufreq"
    clocks.mkdir(parents=True)
    for name in ("scaling_min_freq", "scaling_max_freq"):
        (clocks / name).write_text("1984000", encoding="utf-8")
    locked = machine.check_jetson(tmp_path)
    assert locked is not None
    assert locked.state == "ok"


def test_a_driver_comes_by_the_way_of_the_machine(tmp_path: Path) -> None:
    """A container gets it from its host, a Jetson from JetPack; both may lack the release file."""
    assert "nvidia.com/drivers" in machine._driver_cure(tmp_path)
    tree = tmp_path / "proc/device-tree"
    tree.mkdir(parents=True)
    (tree / "compatible").write_bytes(b"nvidia,p3768-0000\0nvidia,tegra234\0")
    assert machine.is_jetson(tmp_path)
    assert "nvidia-jetpack" in machine._driver_cure(tmp_path)
    (tmp_path / ".dockerenv").touch()
    assert "--gpus all" in machine._driver_cure(tmp_path)


def test_tensorrt_is_no_matter_of_pip_on_a_jetson(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libraries.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(libraries, "is_jetson", lambda: False)
    for processor, cure in (("x86_64", 'pip install "drivenet[tensorrt]"'), ("aarch64", "docs/jetson.md; on other")):
        monkeypatch.setattr(libraries.platform, "machine", lambda processor=processor: processor)
        assert libraries.check_tensorrt().cure.startswith(cure)


def test_two_onnx_runtimes_in_one_folder_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [SimpleNamespace(name=name) for name in ("numpy", "onnxruntime", "onnxruntime-gpu")]
    monkeypatch.setattr(libraries.importlib.metadata, "distributions", lambda: found)
    row = libraries.check_onnxruntime()
    assert row.state == "broken"
    assert "installed twice: onnxruntime, onnxruntime-gpu" in row.found
    assert row.cure.startswith("pip uninstall -y onnxruntime onnxruntime-gpu")


def test_a_cuda_package_is_tried_on_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """To be imported is not enough: cuda-bindings for a newer CUDA fails at its first call."""

    def too_new() -> None:
        raise EngineError("cuda-bindings: Failed to get cuGetProcAddress_v2", "those for CUDA 11.4", "the right ones")

    works = SimpleNamespace(package="cuda-bindings", close=lambda: None)
    monkeypatch.setattr(libraries, "probe", lambda: Gpu(name="Xavier", cuda="11.4"))
    monkeypatch.setattr(libraries, "_version", lambda name: "12.9.8" if name == "cuda-bindings" else None)
    monkeypatch.setattr(libraries, "open_driver", too_new)
    row = libraries.check_cuda_package()
    assert (row.state, row.cure) == ("broken", "the right ones")
    assert "cuGetProcAddress_v2" in row.found
    monkeypatch.setattr(libraries, "open_driver", lambda: works)
    row = libraries.check_cuda_package()
    assert (row.state, row.found) == ("ok", "cuda-bindings 12.9.8")


def test_cuda_that_is_listed_and_does_not_start_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnxruntime, "usable_providers", lambda: ("CUDAExecutionProvider", "CPUExecutionProvider"))
    row = libraries.check_onnxruntime()
    assert row.state == "broken"
    assert "CUDA does not start: this ONNX Runtime has no CUDAExecutionProvider" in row.found


def test_auto_is_told_for_the_model_that_a_run_takes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A GPU with TensorRT is not enough: nothing was built from it. What was measured counts before that."""
    monkeypatch.setenv("DRIVENET_ENGINES", str(tmp_path))
    onnx = palette_model(tmp_path)
    (tmp_path / "catalog.json").write_text('{"default": "palette"}')
    monkeypatch.setattr(tensorrt, "probe", lambda: Gpu(name="RTX"))
    monkeypatch.setattr(tensorrt.importlib.util, "find_spec", lambda name: ModuleSpec(name, None))
    report = json.loads(CliRunner().invoke(doctor, ["--json", "-"]).stdout)
    assert report["auto"]["backend"] == "openvino"
    assert "no engine was built from it" in report["auto"]["why"]
    found = candidates(onnx)
    rows = [Timing(file=str(c.file), backend=c.backend, precision="fp32", ms=9 if c.backend == "openvino" else 3)
            for c in found]  # fmt: skip
    write_timings(onnx, empty(onnx, None).model_copy(update={"rows": tuple(rows)}))
    report = json.loads(CliRunner().invoke(doctor, ["--json", "-"]).stdout)
    assert report["auto"]["backend"] == "onnxruntime"
    assert "the fastest measured here: 3.0 ms; openvino fp32 9.0 ms" in report["auto"]["why"]


def test_cameras_are_listed_or_said_to_be_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert machine.check_cameras(tmp_path).state == "missing"
    (tmp_path / "video0").touch()
    assert machine.check_cameras(tmp_path) == Row("cameras", "ok", str(tmp_path / "video0"))
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    closed = machine.check_cameras(tmp_path)
    assert closed.state == "broken"
    assert "usermod" in closed.cure


def test_a_display_is_what_the_session_names(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    assert machine.check_display().state == "missing"
    monkeypatch.setenv("DISPLAY", ":7")
    assert machine.check_display().found == "DISPLAY=:7"


def test_a_library_that_is_there_and_does_not_load_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libraries, "_import_error", lambda module: f"{module} cannot be imported: libGL.so.1")
    for check in (libraries.check_opencv, libraries.check_onnxruntime, libraries.check_pyav):
        row = check()
        assert row.state == "broken"
        assert "libGL" in row.found


def test_an_opencv_of_another_numpy_is_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    told = "cv2 cannot be imported: numpy.core.multiarray failed to import"
    monkeypatch.setattr(libraries, "_import_error", lambda module: told)
    assert libraries.check_opencv() == Row("OpenCV", "broken", told, 'pip install "numpy<2"')


def test_outputs_are_told_by_the_extras_that_bring_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libraries, "_OUTPUTS", {"web": ("json",), "ros2": ("rclpy_of_nobody or json",)})
    assert libraries.check_outputs() == Row("outputs", "ok", "web, ros2")
    monkeypatch.setattr(libraries, "_OUTPUTS", {"web": ("json", "gone_a"), "mqtt": ("json",), "zenoh": ("gone_b",)})
    row = libraries.check_outputs()
    assert (row.state, row.found) == ("ok", "mqtt; not web, zenoh")  # none of them is needed
    assert row.cure == 'pip install "drivenet[web,zenoh]"'
    monkeypatch.setattr(libraries, "_OUTPUTS", {"zenoh": ("gone_b",)})
    assert libraries.check_outputs().state == "missing"


def test_a_json_that_cannot_be_written_is_told_first(tmp_path: Path) -> None:
    done = CliRunner().invoke(doctor, ["--json", str(tmp_path)])
    assert isinstance(done.exception, SinkError)
    assert done.output == ""
