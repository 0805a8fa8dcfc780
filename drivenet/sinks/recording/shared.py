"""What the recordings of all sources of a node share."""

from __future__ import annotations

from dataclasses import dataclass, field

from drivenet.sinks.recording.budget import DiskBudget
from drivenet.sinks.recording.options import RecordingOptions
from drivenet.sinks.recording.written import Written


@dataclass(frozen=True)
class NodeRecordings:
    """A disk budget, and the files that were written; one appears when it is made."""

    budget: DiskBudget = field(default_factory=DiskBudget)
    written: Written = field(default_factory=Written)

    @staticmethod
    def of(options: RecordingOptions) -> NodeRecordings:
        """Those of a run with these options, before any is opened."""
        return NodeRecordings(DiskBudget(options.keep_bytes, options.keep_free_bytes))
