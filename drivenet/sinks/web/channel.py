"""What a page of several sources knows of one of them."""

from __future__ import annotations

from typing import NamedTuple

from drivenet.sinks.web.hub import Hub
from drivenet.sinks.web.run_stats import RunStats


class Channel(NamedTuple):
    """Where the viewers of a source find its results, and its figures."""

    hub: Hub
    stats: RunStats
