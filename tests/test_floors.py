"""What may be imported with what: the runtime path without torch, the public names, and quiet imports."""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import subprocess
import sys
from email.message import Message
from importlib.util import find_spec
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PACKAGE = Path(__file__).resolve().parents[1] / "drivenet"
#: The only packages whose modules may need the extra [train].
TRAINING = ("drivenet.models", "drivenet.training", "drivenet.export", "drivenet.convert", "drivenet.onnx_graph")

#: Where a file may need the package of an extra; it is imported when its kind is named.
EDGES = ("drivenet.build.", "drivenet.engine.", "drivenet.sinks.", "drivenet.sources.")

#: Imports modules while every top-level name in ``blocked`` looks as if it were not installed. Modules that
#: miss one of ``optional`` are left out and told.
IMPORT_ALL = """
import importlib, json, sys
modules, blocked, optional = json.loads(sys.argv[1])
left_out = []

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in blocked:
            raise ModuleNotFoundError(f"No module named {name!r} in the base install", name=name)

sys.meta_path.insert(0, Absent())
for module in modules:
    try:
        importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name.partition(".")[0] not in optional:
            raise
        left_out.append(module)
print(json.dumps([sorted(sys.modules), left_out]))
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
    owners: dict[str, set[str]] = {}
    for dist in importlib.metadata.distributions():
        code = (f for f in dist.files or [] if f.suffix in (".py", ".so"))
        for top in {f.parts[0].partition(".")[0] for f in code}:  # Python 3.10's own list misses some
            owners.setdefault(top, set()).add(canonicalize_name(dist.metadata["Name"]))
    ours = {top for top, names in owners.items() if top and not names & allowed}
    return sorted(ours - sys.stdlib_module_names)  # backports bear the names of what they stand in for


@pytest.fixture(scope="module")
def optional(metadata: Message) -> list[str]:
    """Top-level module names that the extras for running bring."""
    extras = set(metadata.get_all("Provides-Extra", [])) - {"train", "test", "lint"}
    requirements = [Requirement(r) for r in metadata.get_all("Requires-Dist", [])]
    wanted = [r.name for r in requirements if r.marker and any(r.marker.evaluate({"extra": e}) for e in extras)]
    base = [r.name for r in requirements if r.marker is None]
    return sorted({m for name in set(wanted) - set(base) for m in (name.replace("-", "_"), name.split("-")[0])})


def import_all(names: list[str], blocked: list[str], optional: list[str]) -> tuple[set[str], list[str]]:
    """Import in a process of its own; the modules that are loaded then, and those left out."""
    command = [sys.executable, "-W", "error", "-c", IMPORT_ALL, json.dumps([names, blocked, optional])]
    done = subprocess.run(command, cwd=PACKAGE.parent, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    loaded, left_out = json.loads(done.stdout)
    return set(loaded), left_out


def test_runtime_modules_need_the_base_install_only(base_requirements: set[str], optional: list[str]) -> None:
    _, left_out = import_all(runtime_modules(), outside_base(base_requirements), optional)
    assert [m for m in left_out if not m.startswith(EDGES)] == []


def test_runtime_modules_leave_torch_alone_when_it_is_there(optional: list[str]) -> None:
    loaded, _ = import_all(runtime_modules(), [], optional)
    assert not loaded & {"torch", "torchvision", "onnx", "tensorboard"}


def test_naming_no_backend_loads_none() -> None:
    """Heavy libraries wait until a kind that needs them is named."""
    names = ["drivenet.cli", "drivenet.pipeline", "drivenet.sources", "drivenet.engine", "drivenet.sinks"]
    loaded, _ = import_all(names, [], [])
    assert not loaded & {"av", "onnxruntime", "openvino", "tensorrt", "torch"}


@pytest.mark.skipif(find_spec("torch") is None, reason="torch (extra [train]) is not installed")
def test_training_modules_import_without_a_warning() -> None:
    import_all([m for m in modules() if m.startswith(TRAINING)], [], [])


PUBLIC = {
    "drivenet": ["__version__"],
    "drivenet.classmap": ["ClassMap", "Ids"],
    "drivenet.cli": ["main"],
    "drivenet.engine": ["BACKENDS", "open_engine"],
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
    "drivenet.latency": ["Histogram", "Timeline"],
    "drivenet.modelspec": ["ModelSpec"],
    "drivenet.pipeline": ["Pipeline"],
    "drivenet.prepare": ["prepare", "resize_ids"],
    "drivenet.record": ["Record"],
    "drivenet.resources": ["configs_dir", "engines_dir"],
    "drivenet.result": ["Result", "Totals"],
    "drivenet.scene": ["Region", "Scene", "analyse"],
    "drivenet.sinks": ["open_sink"],
    "drivenet.sinks.base": ["Sink"],
    "drivenet.stages": ["Stage", "default_stages", "run_stages"],
    "drivenet.sources": ["open_source"],
    "drivenet.sources.base": ["Source"],
}


@pytest.mark.parametrize("module", PUBLIC)
def test_public_names(module: str) -> None:
    """Names that other programs import stay where they are."""
    loaded = importlib.import_module(module)
    assert [n for n in PUBLIC[module] if not hasattr(loaded, n)] == []
