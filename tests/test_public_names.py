"""The names that ``drivenet`` itself offers: all there, seen by editors, and imported when they are used."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import drivenet


def run(code: str) -> str:
    """What a fresh interpreter prints."""
    cwd = Path(drivenet.__file__).parents[1]
    done = subprocess.run([sys.executable, "-c", code], cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("name", drivenet.__all__)
def test_a_public_name_is_there_and_documented(name: str) -> None:
    assert getattr(drivenet, name).__doc__
    assert name in dir(drivenet)


def test_editors_see_what_programs_get() -> None:
    tree = ast.parse(Path(drivenet.__file__).read_text())
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    seen = {alias.name: imported.module for imported in block.body for alias in imported.names}  # type: ignore[attr-defined]
    assert seen == drivenet._HOMES
    assert sorted(drivenet._HOMES) == drivenet.__all__


def test_the_package_alone_costs_nothing() -> None:
    assert run("import sys, drivenet; print({'numpy', 'cv2', 'pydantic'} & set(sys.modules))") == "set()"


def test_what_segments_needs_no_backend_and_no_torch() -> None:
    heavy = "{'torch', 'onnx', 'av', 'openvino', 'onnxruntime', 'click'}"
    code = f"import sys; from drivenet import Pipeline, Segmenter, open_source; print({heavy} & set(sys.modules))"
    assert run(code) == "set()"


def test_an_unknown_name_is_no_attribute() -> None:
    with pytest.raises(AttributeError, match="module 'drivenet' has no attribute 'Segmentor'"):
        _ = drivenet.Segmentor
