"""Source, engine and sinks put together; the only place that sees all three."""

from drivenet.pipeline.mailbox import POLICIES, Mailbox
from drivenet.pipeline.pipeline import Pipeline
from drivenet.pipeline.state import RunState

__all__ = ["POLICIES", "Mailbox", "Pipeline", "RunState"]
