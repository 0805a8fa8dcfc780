"""Tests marked ``gpu`` are skipped without a GPU, name what is missing, and fail where a GPU is required."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).resolve().parent
MARKED = "import pytest\n\n@pytest.mark.gpu('pytest', 'no_such_package')\ndef test_marked():\n    pass\n"


def run_marked(folder: Path, required: str) -> subprocess.CompletedProcess[str]:
    (folder / "test_marked.py").write_text(MARKED)
    hidden = {"CUDA_VISIBLE_DEVICES": "", "DRIVENET_REQUIRE_GPU": required}
    env = os.environ | {"PYTHONPATH": str(TESTS)} | hidden
    command = [sys.executable, "-m", "pytest", "-p", "conftest", "-c", TESTS.parent / "pyproject.toml", "-rs", folder]
    return subprocess.run(command, env=env, cwd=folder, capture_output=True, text=True, check=False)


def test_gpu_tests_are_skipped_or_fail_as_told(tmp_path: Path) -> None:
    skipped = run_marked(tmp_path, "")
    assert skipped.returncode == 0, skipped.stdout
    assert "needs a GPU: " in skipped.stdout
    assert "no_such_package is not installed" in skipped.stdout
    assert " pytest is not installed" not in skipped.stdout
    failed = run_marked(tmp_path, "1")
    assert failed.returncode == 1, failed.stdout
    assert "DRIVENET_REQUIRE_GPU=1, but " in failed.stdout
