"""A node with a live page, driven by hand: the drawn drive with its true ids as results."""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from types import TracebackType
from typing import Any

from sink_results import fares, timeline

from drivenet.classmap import ClassMap, Ids
from drivenet.frame import Frame, Image
from drivenet.health import State
from drivenet.labels import CAMVID, LabelSet
from drivenet.latency import now_ns
from drivenet.overlay import Painter
from drivenet.prepare import resize_ids
from drivenet.result import Result, Totals
from drivenet.scene import analyse
from drivenet.sinks.web import WebSink
from drivenet.synthetic import SyntheticDrive

ENGINE = {"file": "engines/drawn.onnx", "backend": "null", "precision": "fp32"}
SIZE = (180, 320)
MAP = (90, 160)
#: A bound on waits for another thread; nothing takes this long.
PATIENCE_S = 10.0


@lru_cache(maxsize=1)
def pictures() -> list[tuple[Image, Ids]]:
    """Six pictures of one street."""
    drive = SyntheticDrive(SIZE[1], SIZE[0], seed=7)
    return [drive.render(200 + 6 * i) for i in range(6)]


class Node:
    """Publishes into a real WebSink on a free port of the loopback."""

    def __init__(self, port: int = 0, host: str = "127.0.0.1", labels: LabelSet = CAMVID, **options: Any) -> None:
        source = "synthetic://320x180@30"
        options = {"token": None, "allow_anonymous": False, "source": source, **options}
        self.sink = WebSink(host, port, painter=Painter(labels), engine=ENGINE, **options)
        self.port = self.sink.port
        self.labels = labels
        self.totals = Totals(dropped={"superseded": 0}, sinks={"web": {"published": 0, "dropped": 0}})
        self.index = 0
        self._closed = False
        self._stop = threading.Event()
        self._player: threading.Thread | None = None

    def __enter__(self) -> Node:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self.still()
            self.sink.close(self.totals)

    def publish(self, count: int = 1) -> Result:
        """Publish, with stage times of 1, 2, 3 and 4 ms, and tell the counts."""
        for _ in range(count):
            result = self._result()
            self.sink.publish(result)
            self.fare("ok")
            drawn = result.timeline.end
            result = replace(result, timeline=result.timeline.then("publish", drawn, drawn + 1_000_000))
            self.sink.settled(result)
            self.totals.captured += 1
            self.totals.published += 1
            self.totals.sinks["web"]["published"] += 1
            self.totals.latency.add(result.timeline)
            self.index += 1
        self.totals.fps = {"source": 30.0, "processed": 29.5, "published": 29.25}
        self.totals.live = {"window_s": 10.0, "fps": dict(self.totals.fps), "p50_ms": {"infer": 3.0}}
        self.sink.status(self.totals)
        return result

    def _result(self) -> Result:
        image, ids = pictures()[self.index % len(pictures())]
        at = now_ns()
        times = timeline(at, (1, 3, 6, 10, 10))
        classmap = ClassMap(resize_ids(ids, MAP), self.index, at)
        layers = {"classmap": classmap, "scene": analyse(classmap, self.labels, SIZE)}
        return Result(Frame(image, self.index, at), self.labels, times, layers)

    def play(self, hz: float = 20.0) -> None:
        """Publish from a thread of its own until :meth:`still`."""
        self._stop.clear()
        self._player = threading.Thread(target=self._play, args=(1 / hz,), daemon=True)
        self._player.start()

    def _play(self, period_s: float) -> None:
        while not self._stop.wait(period_s):
            self.publish()

    def still(self) -> None:
        """Publish nothing more."""
        self._stop.set()
        if self._player:
            self._player.join()
            self._player = None

    def lose(self, seconds: float) -> None:
        """The source has fallen silent."""
        self.fare("lost", seconds)

    def fare(self, state: State, seconds: float = 0.0, reason: str = "") -> None:
        """The run says how it is."""
        self.sink.health(fares(state, seconds, reason))

    def get(
        self, path: str, headers: dict[str, str] | None = None, method: str = "GET"
    ) -> tuple[int, http.client.HTTPMessage, bytes]:
        """Status, headers and body of one request."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)
        try:
            connection.request(method, path, headers=headers or {})
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()
        finally:
            connection.close()

    @property
    def ws(self) -> str:
        """Where the WebSocket is."""
        return f"ws://127.0.0.1:{self.port}/live"


def wait_for(condition: Callable[[], bool]) -> None:
    """Until another thread has done something that tells nobody."""
    until = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < until, "it did not happen"
        time.sleep(0.01)
