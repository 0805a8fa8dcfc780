"""The run's curves in TensorBoard's event files, where TensorBoard is installed."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol


class Board(Protocol):
    """Where scalars are written."""

    def add_scalar(self, tag: str, scalar_value: float, global_step: int) -> None:
        """One point of a curve."""


class NoBoard:
    """For processes that do not report, and where there is no TensorBoard: ``history.json`` holds the curves too."""

    def add_scalar(self, tag: str, scalar_value: float, global_step: int) -> None:
        """Written nowhere."""


@contextlib.contextmanager
def open_board(folder: Path, first: int) -> Iterator[Board]:
    """The event files in ``folder``; what a killed run wrote from iteration ``first`` on is dropped."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "tensorboard":
            raise
        yield NoBoard()
        return
    with SummaryWriter(str(folder), purge_step=first) as board:
        yield board
