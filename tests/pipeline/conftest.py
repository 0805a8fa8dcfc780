"""What tests of pipelines share: no thread outlives a run."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest


@pytest.fixture
def nothing_left_running() -> Iterator[None]:
    """Every thread that a test has started has ended with it."""
    before = set(threading.enumerate())
    yield
    assert set(threading.enumerate()) <= before
