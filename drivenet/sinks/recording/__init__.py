"""What all recordings share: names that write over nothing, segments on one clock, syncs, locks and a disk budget."""

from drivenet.sinks.recording.files import RecordingFiles
from drivenet.sinks.recording.options import RecordingOptions
from drivenet.sinks.recording.session import RecordingSession

__all__ = ["RecordingFiles", "RecordingOptions", "RecordingSession"]
