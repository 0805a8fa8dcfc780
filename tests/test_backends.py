"""Backends are descriptors: ours are whole, and an installed package adds one in one place."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from onnx_models import palette_model

from drivenet.backends import BACKENDS, Backend, compiling, ranked
from drivenet.errors import EngineError

#: A package that adds a backend: engines of the null backend under another name, "compiled" by copying the ONNX.
MODULE = """
import shutil
import tempfile
from pathlib import Path

from drivenet.artefacts.admission import admit
from drivenet.backends import Backend, BuildOption
from drivenet.build.request import Product
from drivenet.engine.onnxruntime.engine import OnnxRuntimeEngine

BACKEND = Backend(
    "copier", "copier:Copier", "it was installed", rank=1, suffix=".copy", machine="copier:machine",
    build="copier:build", precisions="copier:precisions",
    options=(BuildOption("depth", "integer", "of it.", minimum=1),),
)


class Copier(OnnxRuntimeEngine):
    backend = "copier"

    def __init__(self, file, precision="auto", threads=None, unproven=False):
        admitted = admit(file, "copier", machine(), unproven)
        with tempfile.TemporaryDirectory() as folder:
            onnx = Path(folder) / "copied.onnx"
            onnx.write_bytes(admitted.contents[file.name])
            super().__init__(onnx, precision, threads)
        self.file = str(file)


def machine():
    return {"copier": "1"}


def precisions(of):
    return (of,)


def build(request, precision, target):
    shutil.copy(request.onnx, target)
    return Product((target,), machine(), options={"depth": str(request.option("depth"))})
"""


@pytest.fixture
def installed(tmp_path: Path) -> dict[str, str]:
    """The environment of a process in which the package is installed."""
    site = tmp_path / "site"
    (site / "copier-1.dist-info").mkdir(parents=True)
    (site / "copier.py").write_text(MODULE)
    (site / "copier-1.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: copier\nVersion: 1\n")
    (site / "copier-1.dist-info" / "entry_points.txt").write_text("[drivenet.backends]\ncopier = copier:BACKEND\n")
    paths = [str(site), str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    return os.environ | {"PYTHONPATH": os.pathsep.join(paths)}


def test_the_least_backend_of_the_documentation_runs_an_engine(tmp_path: Path) -> None:
    page = (Path(__file__).parents[1] / "docs/engines.md").read_text(encoding="utf-8")
    (written,) = [code for code in re.findall(r"```python\n(.*?)```", page, flags=re.S) if "BACKEND" in code]
    (told,) = re.findall(r"^    (\[project\.entry-points.*?)\n\n", page, flags=re.S | re.M)
    (tmp_path / "my_package").mkdir()
    (tmp_path / "my_package/__init__.py").write_text(written)
    (tmp_path / "my_package-1.dist-info").mkdir()
    (tmp_path / "my_package-1.dist-info/METADATA").write_text("Metadata-Version: 2.1\nName: my-package\nVersion: 1\n")
    name, reference = re.findall(r'(\w+) = "(.*)"', told)[0]
    (tmp_path / "my_package-1.dist-info/entry_points.txt").write_text(f"[drivenet.backends]\n{name} = {reference}\n")
    env = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(Path(__file__).parents[1])])}
    asked = ("--backend", name, "--engine", "fast", "--headless", "--stats", "-")
    done = drivenet(tmp_path, env, "run", "synthetic://320x180@30?frames=2", "--policy", "every", *asked)
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["classes"] for line in lines if line["type"] == "frame"] == [{"road": 1.0}, {"road": 1.0}]


def drivenet(folder: Path, env: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "drivenet", *arguments]
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)


def test_a_package_adds_a_backend_that_builds_and_runs_by_name(installed: dict[str, str], tmp_path: Path) -> None:
    palette_model(tmp_path)
    doctor = drivenet(tmp_path, installed, "doctor")
    assert re.search(r"^ backends +ok +of other packages: copier ", doctor.stdout, re.M)
    built = drivenet(tmp_path, installed, "build", "palette.onnx", "--backend", "copier", "--depth", "3", "--json", "-")
    assert built.returncode == 0, built.stderr
    passport = json.loads(built.stdout)["passport"]
    assert (passport["backend"], passport["options"]) == ("copier", {"depth": "3"})
    run = ["run", "synthetic://320x192@30?frames=2", "--policy", "every", "--headless", "--stats", "s.jsonl"]
    done = drivenet(tmp_path, installed, *run, "--engine", "palette-fp32.copy")
    assert done.returncode == 0, done.stderr
    summary = json.loads((tmp_path / "s.jsonl").read_text().splitlines()[-1])
    assert (summary["engine"]["backend"], summary["captured"]) == ("copier", 2)


def test_a_backend_that_cannot_be_imported_is_told_when_it_is_named(installed: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "site" / "copier.py").write_text("import a_library_that_is_not_there")
    palette_model(tmp_path)
    doctor = drivenet(tmp_path, installed, "doctor")
    assert re.search(r"^ backends +broken +the backend copier of copier:BACKEND cannot be", doctor.stdout, re.M)
    run = ["run", "synthetic://320x192@30?frames=1", "--engine", "palette.onnx", "--headless"]
    assert drivenet(tmp_path, installed, *run).returncode == 0
    done = drivenet(tmp_path, installed, *run, "--backend", "copier")
    assert done.returncode == 4
    assert "the backend copier of copier:BACKEND cannot be imported" in done.stderr
    assert "Traceback" not in done.stderr


#: An engine that does not say that it computes on the processor.
_ELSEWHERE = """
from drivenet.backends import Backend
from drivenet.engine.null import NullEngine

BACKEND = Backend("copier", "copier:Elsewhere", runs_onnx=True)


class Elsewhere(NullEngine):
    backend = "copier"

    def __init__(self, file, precision, threads):
        super().__init__(file, precision)
        self.threads = threads

    def describe(self):
        return {**super().describe(), "threads": self.threads}
"""


def test_a_backend_without_lanes_has_all_threads_for_a_recording(installed: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "site" / "copier.py").write_text(_ELSEWHERE)
    palette_model(tmp_path)
    run = ["run", "synthetic://320x192@30?frames=4", "--policy", "every", "--headless", "--stats", "s.jsonl"]
    done = drivenet(tmp_path, installed, *run, "--engine", "palette.onnx", "--backend", "copier", "--threads", "4")
    assert done.returncode == 0, done.stderr
    engine = json.loads((tmp_path / "s.jsonl").read_text().splitlines()[-1])["engine"]
    assert engine["threads"] == 4
    assert "lanes" not in engine


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ("def open_(file):\n    pass", "the backend copier cannot open .*palette.onnx: TypeError: open_"),
        ("def opened():\n    pass", "the backend copier cannot be imported: .*open_"),
    ],
)
def test_a_backend_whose_engine_cannot_be_made_is_told_in_one_line(
    wrong: str, told: str, installed: dict[str, str], tmp_path: Path
) -> None:
    descriptor = 'from drivenet.backends import Backend\nBACKEND = Backend("copier", "copier:open_", runs_onnx=True)\n'
    (tmp_path / "site" / "copier.py").write_text(descriptor + wrong)
    palette_model(tmp_path)
    run = ["run", "synthetic://320x192@30?frames=1", "--engine", "palette.onnx", "--headless", "--backend", "copier"]
    done = drivenet(tmp_path, installed, *run)
    assert done.returncode == 4
    assert re.match(f"drivenet: {told}", done.stderr)
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("name", BACKENDS)
def test_a_descriptor_is_whole(name: str) -> None:
    backend = BACKENDS[name]
    assert backend.name == name
    assert isinstance(backend.load("open"), type) or name == "openvino"
    compiles = bool(backend.suffix)
    assert [bool(part) for part in (backend.machine, backend.build, backend.precisions)] == [compiles] * 3
    assert compiles == bool(backend.builds("fp32"))


def test_the_null_engine_is_named_and_never_chosen() -> None:
    assert "null" in BACKENDS
    assert [backend.name for backend in ranked()] == ["tensorrt", "openvino", "onnxruntime"]
    assert {backend.suffix for backend in compiling()} == {".plan", ".xml"}


def test_a_reference_that_is_not_there_is_an_error_of_the_engine() -> None:
    with pytest.raises(EngineError, match="the backend x cannot be imported"):
        Backend("x", "a_library_that_is_not_there:Engine").load("open")
    with pytest.raises(EngineError, match="the backend x has no build"):
        Backend("x", "x:Engine").load("build")
