"""The doctor: a row a part, a cure for each that is not ok, and no check that ends the others."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from click.testing import CliRunner

import drivenet.doctor as doctor_package
from drivenet.cli.doctor import doctor
from drivenet.doctor import examine, libraries, machine
from drivenet.doctor.row import Row
from drivenet.errors import SinkError


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


def test_outputs_are_told_by_the_extras_that_bring_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libraries, "_OUTPUTS", {"web": ("json",), "ros2": ("rclpy_of_nobody or json",)})
    assert libraries.check_outputs() == Row("outputs", "ok", "web, ros2")
    monkeypatch.setattr(libraries, "_OUTPUTS", {"web": ("json", "gone_a"), "mqtt": ("json",), "zenoh": ("gone_b",)})
    row = libraries.check_outputs()
    assert (row.state, row.found) == ("missing", "mqtt; not web, zenoh")
    assert row.cure == 'pip install "drivenet[web,zenoh]"'


def test_a_json_that_cannot_be_written_is_told_first(tmp_path: Path) -> None:
    done = CliRunner().invoke(doctor, ["--json", str(tmp_path)])
    assert isinstance(done.exception, SinkError)
    assert done.output == ""
