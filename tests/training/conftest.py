"""One thread for PyTorch."""

from __future__ import annotations

import pytest

pytest.importorskip("torch", reason="torch (extra [train]) is not installed")


@pytest.fixture(autouse=True, scope="session")
def _one_torch_thread(one_torch_thread: None) -> None:
    """Tests run side by side, and each core already has one."""
