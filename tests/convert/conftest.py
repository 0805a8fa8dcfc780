"""One thread for PyTorch where it is installed."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True, scope="session")
def _one_torch_thread(one_torch_thread: None) -> None:
    """Tests run side by side, and each core already has one."""
