"""How often an address may do something that costs the node or tries a token."""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from collections.abc import Callable

from drivenet.latency import now_ns

#: Addresses that are remembered; a flood from more of them shares what is left of the oldest.
_REMEMBERED = 1024


class Ration:
    """A token bucket for each address, and one for all of them together. For one thread.

    Args:
        burst: how many at once, for an address.
        per_s: how many a second after that, for an address.
        crowd: how many times as much all addresses have together.
        clock_ns: nanoseconds that never go back.
    """

    def __init__(self, burst: float, per_s: float, crowd: float = 8.0, clock_ns: Callable[[], int] = now_ns) -> None:
        self._burst, self._per_s, self._crowd, self._clock_ns = burst, per_s, crowd, clock_ns
        self._left: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def has(self, address: str) -> bool:
        """Whether an address has one left."""
        return min(self._now(_network(address), 1.0), self._now("", self._crowd)) >= 1

    def spend(self, address: str) -> None:
        """Take one from an address."""
        for key, times in ((_network(address), 1.0), ("", self._crowd)):
            left = max(0.0, self._now(key, times) - 1)
            self._left[key] = left, self._clock_ns()
            self._left.move_to_end(key)
        while len(self._left) > _REMEMBERED:
            self._left.popitem(last=False)

    def take(self, address: str) -> bool:
        """Take one, if there is one."""
        if not self.has(address):
            return False
        self.spend(address)
        return True

    def _now(self, key: str, times: float) -> float:
        left, at_ns = self._left.get(key, (self._burst * times, self._clock_ns()))
        return min(self._burst * times, left + (self._clock_ns() - at_ns) / 1e9 * self._per_s * times)


def _network(address: str) -> str:
    """What one stranger has: an IPv4 address, or the 64 bits of an IPv6 network."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    return str(ipaddress.ip_network((found, 64), strict=False)) if found.version == 6 else address
