"""One thread for PyTorch, and a run that several tests look at."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch", reason="torch (extra [train]) is not installed")


@pytest.fixture(autouse=True, scope="session")
def _one_torch_thread(one_torch_thread: None) -> None:
    """Tests run side by side, and each core already has one."""


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[int, float]]:
    """A run in one go."""
    from tiny_runs import losses, tiny  # not at the top: it needs torch

    folder = tmp_path_factory.mktemp("whole")
    return folder, losses(folder, tiny())[1]
