"""What may be imported with what: the runtime path without torch, the public names, and quiet imports."""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PACKAGE = Path(__file__).resolve().parents[1] / "drivenet"
#: The only packages whose modules may need the extra [train].
TRAINING = ("drivenet.models", "drivenet.training", "drivenet.export")

#: Imports modules while every top-level name in ``blocked`` looks as if it were not installed.
IMPORT_ALL = """
import importlib, json, sys
modules, blocked = json.loads(sys.argv[1])

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in blocked:
            raise ModuleNotFoundError(f"No module named {name!r} in the base install", name=name)

sys.meta_path.insert(0, Absent())
for module in modules:
    importlib.import_module(module)
print(json.dumps(sorted(sys.modules)))
"""


def modules() -> list[str]:
    """Every module of the package by its dotted name, read from the disk."""
    paths = (p.relative_to(PACKAGE.parent).with_suffix("") for p in PACKAGE.rglob("*.py"))
    names = (".".join(p.parts).removesuffix(".__init__") for p in paths)
    return sorted(n for n in names if not n.endswith(".__main__"))


def runtime_modules() -> list[str]:
    return [m for m in modules() if not m.startswith(TRAINING)]


def closure(roots: set[str]) -> set[str]:
    """Distributions that installing ``roots`` brings to this environment, themselves included."""
    found: set[str] = set()
    waiting = {canonicalize_name(r) for r in roots}
    while waiting:
        name = waiting.pop()
        found.add(name)
        for text in importlib.metadata.requires(name) or []:
            requirement = Requirement(text)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                waiting |= {canonicalize_name(requirement.name)} - found
    return found


def outside_base(base: set[str]) -> list[str]:
    """Top-level module names here that a base install would not have."""
    allowed = closure(base) | {"drivenet"}
    owners = importlib.metadata.packages_distributions()
    return sorted(m for m, dists in owners.items() if not {canonicalize_name(d) for d in dists} & allowed)


def import_all(names: list[str], blocked: list[str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", "-c", IMPORT_ALL, json.dumps([names, blocked])]
    return subprocess.run(command, cwd=PACKAGE.parent, capture_output=True, text=True, check=False)


def test_runtime_modules_need_the_base_install_only(base_requirements: set[str]) -> None:
    done = import_all(runtime_modules(), outside_base(base_requirements))
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""


def test_runtime_modules_leave_torch_alone_when_it_is_there() -> None:
    done = import_all(runtime_modules(), [])
    assert done.returncode == 0, done.stderr
    loaded = {m.partition(".")[0] for m in json.loads(done.stdout)}
    assert not loaded & {"torch", "torchvision", "onnx", "tensorboard"}


def test_naming_no_backend_loads_none() -> None:
    """Heavy libraries wait until a kind that needs them is named."""
    done = import_all(["drivenet.cli", "drivenet.sources", "drivenet.engine", "drivenet.sinks"], [])
    assert done.returncode == 0, done.stderr
    assert not {"av", "onnxruntime", "torch"} & set(json.loads(done.stdout))


def test_training_modules_import_without_a_warning() -> None:
    names = [m for m in modules() if m.startswith(TRAINING)]
    done = import_all(names, [])
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""


PUBLIC = {
    "drivenet": ["__version__"],
    "drivenet.classmap": ["ClassMap", "Ids"],
    "drivenet.engine.base": ["Engine"],
    "drivenet.errors": [
        "ConfigError",
        "DrivenetError",
        "EngineError",
        "ModelSpecError",
        "NoVideoError",
        "SinkError",
        "SourceError",
        "SourceLostError",
        "SourceNotFoundError",
        "UsageError",
    ],
    "drivenet.frame": ["Frame", "Image"],
    "drivenet.labels": ["CAMVID", "CITYSCAPES", "LabelSet"],
    "drivenet.latency": ["Histogram", "Stamps"],
    "drivenet.modelspec": ["ModelSpec"],
    "drivenet.prepare": ["prepare", "resize_ids"],
    "drivenet.resources": ["configs_dir", "engines_dir"],
    "drivenet.result": ["Result", "Totals"],
    "drivenet.scene": ["Region", "Scene", "analyse"],
    "drivenet.sinks.base": ["Sink"],
    "drivenet.sources.base": ["Source"],
}


@pytest.mark.parametrize("module", PUBLIC)
def test_public_names(module: str) -> None:
    """Names that other programs import stay where they are."""
    loaded = importlib.import_module(module)
    assert [n for n in PUBLIC[module] if not hasattr(loaded, n)] == []
