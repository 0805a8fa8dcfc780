"""``drivenet run --supervise``: a small parent that starts the node, watches it and starts it again.

It imports the standard library only: no engine, codec or page can take it down with them.
"""

from __future__ import annotations

from collections.abc import Sequence

FLAG = "--supervise"


def supervise(arguments: Sequence[str]) -> int:
    """Run ``drivenet run`` with these arguments in a child until it ends for good.

    Returns:
        The exit code of the child; 128 and the signal's number if a signal ended it.
    """
    from drivenet.supervise.parent import Parent

    return Parent([a for a in arguments if a != FLAG]).run()
