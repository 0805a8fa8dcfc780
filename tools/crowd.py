"""Viewers against each other: one that hardly reads, and two hundred at once."""

from __future__ import annotations

import json
import selectors
import socket
import time
from http import HTTPStatus
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

from node_under_test import NodeUnderTest
from watchers import REQUEST, MjpegReader, PageReader, SlowReader, rates

CROWD = 200
_WINDOW_S = 6.0
_WINDOWS = 4
_REFUSED_BACK_S = 1.0


def slow_viewer(port: int) -> dict[str, Any]:
    """Rates of three viewers, in windows without and with a fourth that reads a byte a second, in turns."""
    watchers = {"mjpeg": MjpegReader(port), "mjpeg 2": MjpegReader(port), "page": PageReader(port)}
    time.sleep(3)
    seen: dict[bool, list[dict[str, float]]] = {False: [], True: []}
    read = cut = 0
    for turn in range(_WINDOWS):
        there = turn % 2 == 1
        slow = SlowReader(port) if there else None
        seen[there].append(rates(watchers, _WINDOW_S))
        if slow:
            slow.close()
            read, cut = read + slow.read_bytes, cut + slow.cut
    for watcher in watchers.values():
        watcher.close()
    mean = {k: {who: round(sum(r[who] for r in rows) / len(rows), 2) for who in watchers} for k, rows in seen.items()}
    return {
        "windows": f"{_WINDOWS} of {_WINDOW_S:g} s in turns",
        "fps_without": mean[False],
        "fps_with": mean[True],
        "rate_ratio": {who: round(mean[True][who] / mean[False][who], 3) for who in watchers},
        "slow_viewer_read_bytes": read,
    }


class _Crowd:
    """Two hundred connections to ``/stream.mjpg``; who is refused comes back a second later."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._selector = selectors.DefaultSelector()
        self._waiting: list[float] = []
        self.answers: dict[str, int] = {}
        self.got_bytes = 0
        for _ in range(CROWD):
            self._come()

    def run(self, seconds: float) -> None:
        """Read what comes."""
        until = time.monotonic() + seconds
        while (now := time.monotonic()) < until:
            while self._waiting and self._waiting[0] <= now:
                self._waiting.pop(0)
                self._come()
            for key, _ in self._selector.select(0.1):
                self._read(key)

    def leave(self) -> None:
        for key in list(self._selector.get_map().values()):
            self._selector.unregister(key.fileobj)
            key.fileobj.close()  # type: ignore[union-attr]

    def _come(self) -> None:
        one = socket.create_connection(("127.0.0.1", self._port), timeout=30)
        one.sendall(REQUEST)
        one.setblocking(False)
        self._selector.register(one, selectors.EVENT_READ, {"answered": False})

    def _read(self, key: selectors.SelectorKey) -> None:
        one: Any = key.fileobj
        try:
            data = one.recv(1 << 18)
        except OSError:
            data = b""
        self.got_bytes += len(data)
        if not key.data["answered"]:
            key.data["answered"] = True
            answer = data[9:12].decode("latin-1") or "closed"
            self.answers[answer] = self.answers.get(answer, 0) + 1
            if answer == "200":
                return
            data = b""
        if not data:
            self._selector.unregister(one)
            one.close()
            self._waiting.append(time.monotonic() + _REFUSED_BACK_S)


def crowd(node: NodeUnderTest, seconds: float) -> dict[str, Any]:
    """What 200 viewers at once are told, and what becomes of the node meanwhile."""
    alone = _window(node, lambda: time.sleep(5))
    everybody = _Crowd(node.port)
    everybody.run(5)
    first = dict(everybody.answers)
    watched = _Window(node)
    everybody.run(seconds)
    there = watched.figures()
    viewers = _get(node.port, "/stats.json")["viewers"]
    everybody.leave()
    time.sleep(2)
    return {
        "connections": CROWD,
        "seconds": seconds,
        "answers_in_the_first_5_s": first,
        "answers": everybody.answers,
        "viewers_counted_by_the_node": viewers,
        "megabytes_read": round(everybody.got_bytes / 1e6),
        "alone": alone,
        "with_the_crowd": there,
        "rss_mb_afterwards": node.rss_mb(),
        "healthy_afterwards": _get(node.port, "/readyz")["state"],
    }


class _Window:
    """The node from now to :meth:`figures`."""

    def __init__(self, node: NodeUnderTest) -> None:
        self._node, self._rss = node, node.rss_mb()
        self._start, self._published = time.monotonic(), _get(node.port, "/stats.json")["published"]

    def figures(self) -> dict[str, Any]:
        published, took = _get(self._node.port, "/stats.json")["published"], time.monotonic() - self._start
        return {
            "published_fps": round((published - self._published) / took, 2),
            "rss_mb_before": self._rss,
            "rss_mb_after": self._node.rss_mb(),
        }


def _window(node: NodeUnderTest, act: Any) -> dict[str, Any]:
    window = _Window(node)
    act()
    return window.figures()


def _get(port: int, path: str) -> dict[str, Any]:
    """What a path answers, as soon as the crowd leaves a connection free for the question."""
    until = time.monotonic() + 30
    while True:
        try:
            with urlopen(f"http://127.0.0.1:{port}{path}", timeout=30) as answer:
                found: dict[str, Any] = json.load(answer)
                return found
        except HTTPError as error:
            if error.code != HTTPStatus.SERVICE_UNAVAILABLE or time.monotonic() > until:
                raise
            time.sleep(0.1)
