"""The live page: what the node sees, how old it is and how sure the numbers are, in any browser."""

from __future__ import annotations

from drivenet.sinks.web.sink import WebSink

__all__ = ["WebSink"]
