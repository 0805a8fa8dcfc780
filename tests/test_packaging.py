"""The wheel: what it carries, what it asks for, and that it works away from the repository."""

from __future__ import annotations

import json
import os
import re
import site
import subprocess
import sys
import zipfile
from email.message import Message
from pathlib import Path

import av
import pytest
import yaml

import drivenet
from drivenet.host.cpu_features import native_precisions

REPOSITORY = Path(__file__).resolve().parents[1]


#: Runs the command line and says whether that brought torch in.
COMMAND = """
import atexit, sys
from drivenet.cli import main
sys.argv[0] = "drivenet"
atexit.register(lambda: print("torch" in sys.modules, file=sys.stderr))
main()
"""


@pytest.fixture(scope="module")
def names(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel in a folder of its own, without its dependencies."""
    target = tmp_path_factory.mktemp("installed")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--no-index", "--no-deps"]
    subprocess.run([*pip, "--quiet", "--target", target, wheel], check=True)
    return target


def run_installed(installed: Path, cwd: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Python in an empty folder, seeing the installed wheel and this environment's packages but not this checkout."""
    env = os.environ | {"PYTHONPATH": os.pathsep.join([str(installed), *site.getsitepackages()])}
    command = [sys.executable, "-S", "-W", "error", *arguments]
    return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=False)


def test_wheel_carries_engines_with_their_specs_and_configs(names: set[str]) -> None:
    for folder, patterns in {"engines": ("*.onnx", "*.json"), "configs": ("**/*.yaml", "**/*.json")}.items():
        for pattern in patterns:
            for path in (REPOSITORY / folder).glob(pattern):
                if path.name.endswith((".plan.json", ".xml.json")):  # passports of what was built on this machine
                    continue
                assert f"drivenet/_{folder}/{path.relative_to(REPOSITORY / folder).as_posix()}" in names
    models = {n for n in names if n.endswith(".onnx")}
    assert models, "no engine in the wheel"
    assert {m.replace(".onnx", ".json") for m in models} <= names


def test_wheel_carries_the_whole_package_and_nothing_else(names: set[str]) -> None:
    files = (p.relative_to(REPOSITORY) for p in (REPOSITORY / "drivenet").rglob("*") if p.is_file())
    package = {p.as_posix() for p in files if p.suffix != ".pyc" and not any(part[0] == "." for part in p.parts)}
    shipped = {n for n in names if n.startswith(("drivenet/_engines/", "drivenet/_configs/"))}
    about = {n for n in names if ".dist-info/" in n}
    assert names - shipped - about == package


def of_git(*arguments: str) -> set[str]:
    """What git lists of this checkout."""
    if not (REPOSITORY / ".git").exists():
        pytest.skip("this is no checkout of git")
    listed = subprocess.run(["git", "ls-files", *arguments], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    return set(listed.stdout.split("\n")[:-1])


def test_the_source_distribution_carries_what_its_tests_and_pages_run(tmp_path: Path) -> None:
    command = [sys.executable, "-W", "ignore", "setup.py", "--quiet", "egg_info", "--egg-base", tmp_path]
    subprocess.run(command, cwd=REPOSITORY, check=True, capture_output=True)
    carried = set((tmp_path / "drivenet.egg-info/SOURCES.txt").read_text().splitlines())
    kept = {name for name in of_git() if not name.startswith(".") and (REPOSITORY / name).exists()}
    assert kept - carried == set()


def test_git_keeps_nothing_that_a_run_writes() -> None:
    assert of_git("--cached", "--ignored", "--exclude-standard") == set()


def test_metadata(metadata: Message) -> None:
    assert metadata["Name"] == "drivenet"
    assert metadata["Version"] == drivenet.__version__
    assert metadata["License-Expression"] == "Apache-2.0 AND MIT AND LicenseRef-CamVid-Non-Commercial"
    assert set(metadata.get_all("License-File")) == {
        "LICENSE", "drivenet/sinks/web/static/vendor/uPlot.LICENSE", "engines/LICENSE.txt",
    }  # fmt: skip
    assert metadata["Requires-Python"] == ">=3.10"


def test_the_release_is_the_same_in_version_citation_and_changelog() -> None:
    citation = yaml.safe_load((REPOSITORY / "CITATION.cff").read_text(encoding="utf-8"))
    changelog = (REPOSITORY / "CHANGELOG.md").read_text(encoding="utf-8")
    newest = re.findall(r"^## \[(\d+\.\d+\.\d+)\] - (\d{4}-\d{2}-\d{2})$", changelog, flags=re.M)[0]
    assert (citation["version"], str(citation["date-released"])) == newest
    assert newest[0] == drivenet.__version__


def test_base_install_asks_for_no_training_packages(metadata: Message, base_requirements: set[str]) -> None:
    assert {"numpy", "onnxruntime"} <= base_requirements
    assert not base_requirements & {"torch", "torchvision", "onnx", "onnxscript", "tensorboard"}
    assert any(r.startswith("torch>=") and "train" in r for r in metadata.get_all("Requires-Dist", []))


def test_console_script(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (n for n in archive.namelist() if n.endswith(".dist-info/entry_points.txt"))
        assert "drivenet = drivenet.cli:main" in archive.read(name).decode()


def test_installed_wheel_finds_its_own_resources(installed: Path, tmp_path: Path) -> None:
    code = "from drivenet.resources import engines_dir, configs_dir; print(engines_dir()); print(configs_dir())"
    done = run_installed(installed, tmp_path, "-c", code)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [str(installed / "drivenet" / f) for f in ("_engines", "_configs")]


def test_installed_wheel_lists_its_models(installed: Path, tmp_path: Path) -> None:
    done = run_installed(installed, tmp_path, "-c", COMMAND, "models", "--json", "-")
    assert done.returncode == 0, done.stderr
    models = json.loads(done.stdout)["models"]
    assert [m["default"] for m in models].count(True) == 1
    assert all(Path(m["file"]).is_relative_to(installed) for m in models)
    assert done.stderr.splitlines()[-1] == "False"


def test_installed_wheel_runs_its_default_engine(installed: Path, tmp_path: Path) -> None:
    target = ["--policy", "every", "--out", "drive.mp4", "--stats", "drive.jsonl", "--headless"]
    done = run_installed(installed, tmp_path, "-c", COMMAND, "run", "synthetic://320x192@30?frames=4", *target)
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines()[-1] == "False"
    lines = [json.loads(line) for line in (tmp_path / "drive.jsonl").read_text().splitlines()]
    assert [line["type"] for line in lines] == ["frame"] * 4 + ["summary"]
    assert Path(lines[-1]["engine"]["file"]).is_relative_to(installed)
    with av.open(tmp_path / "drive.mp4") as recording:
        assert sum(1 for _ in recording.decode(video=0)) == 4


def test_what_an_installed_wheel_builds_is_outside_of_it_and_found_by_name(installed: Path, tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    precision = "bf16" if "bf16" in native_precisions() else "fp32"
    carried = sorted(path for path in installed.rglob("*") if "__pycache__" not in path.parts)
    for path in (installed / "drivenet/_engines").rglob("*"):
        path.chmod(0o444)
    (installed / "drivenet/_engines").chmod(0o555)
    wanted = ["--backend", "openvino", "--precision", precision]
    done = run_installed(installed, tmp_path, "-c", COMMAND, "build", "fast", *wanted, "--json", "-")
    assert done.returncode == 0, done.stderr
    built = Path(json.loads(done.stdout)["file"])
    assert built.parent == Path(os.environ["DRIVENET_ENGINES"])
    run = ["run", "synthetic://320x192@30?frames=2", "--headless", "--stats", "s.jsonl", "--engine", "fast"]
    done = run_installed(installed, tmp_path, "-c", COMMAND, *run, "--precision", precision)
    assert done.returncode == 0, done.stderr
    engine = json.loads((tmp_path / "s.jsonl").read_text().splitlines()[-1])["engine"]
    assert (engine["backend"], engine["precision"]) == ("openvino", precision)
    assert precision == "fp32" or engine["file"] == str(built)  # OpenVINO runs an fp32 ONNX as it is
    done = run_installed(installed, tmp_path, "-c", COMMAND, "models", "--json", "-")
    (row,) = [row for row in json.loads(done.stdout)["models"] if row["name"] == "fast"]
    assert [(told["file"], told["admitted"]) for told in row["built"]] == [(str(built), True)]
    assert sorted(path for path in installed.rglob("*") if "__pycache__" not in path.parts) == carried
