"""What is said and written of training runs: lines of progress, a table of rows, curves."""

from __future__ import annotations

import io
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from drivenet.training.trainer import Progress, Trainer

#: Seconds between two lines of progress.
SAY_EVERY = 5.0

#: What is known of a finished run, as JSON has it.
Row = dict[str, Any]


class Lines:
    """Says now and then how far a run is.

    Args:
        trainer: the run.
        name: of it.
        say: takes a line.
    """

    def __init__(self, trainer: Trainer, name: str, say: Callable[[str], None]) -> None:
        self.trainer, self.name, self.say = trainer, name, say
        self._last, self._iteration = time.monotonic(), trainer.progress.iteration

    def __call__(self, progress: Progress) -> None:
        """Called after every iteration."""
        now = time.monotonic()
        if now - self._last < SAY_EVERY:
            return
        speed = (progress.iteration - self._iteration) / (now - self._last)
        self._last, self._iteration = now, progress.iteration
        share = min(1.0, self.trainer.share_done())
        best = f"val mIoU {progress.best:.4f}" if progress.best >= 0 else "not scored yet"
        self.say(
            f"{self.name}: {share:4.0%}, iteration {progress.iteration}, {speed:.1f} a second, "
            f"loss {progress.loss:.3f}, {best}"
        )


def summary(rows: Sequence[Row]) -> dict[str, Any]:
    """The rows, and over the seeds of each configuration the mean and spread of what was reached on val."""
    scores: dict[str, list[float]] = {}
    for row in rows:
        scores.setdefault(row["config"], []).append(row["val_miou"])
    return {"rows": list(rows), "val_miou": {name: _spread(values) for name, values in scores.items()}}


def _spread(values: Sequence[float]) -> Mapping[str, float | int]:
    deviation = statistics.stdev(values) if len(values) > 1 else 0.0
    return {"seeds": len(values), "mean": round(statistics.mean(values), 4), "deviation": round(deviation, 4)}


def curves(progress: Progress) -> str:
    """The loss and val's mIoU by iteration, as CSV."""
    loss, val = dict(progress.curve), {int(h["iteration"]): h["val_miou"] for h in progress.history}
    out = io.StringIO("iteration,loss,val_miou\n")
    out.seek(0, io.SEEK_END)
    for i in sorted(loss.keys() | val.keys()):
        out.write(f"{i},{loss.get(i, '')},{val.get(i, '')}\n")
    return out.getvalue()
