"""A recording whose scenes go to a broker alone: a moment without it costs some of them, and not the run."""

from __future__ import annotations

import gc
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest
from mqtt_broker import Broker, Listener, wait_until

from drivenet.engine import open_engine
from drivenet.errors import SinkError
from drivenet.pipeline import Pipeline, dispatcher
from drivenet.result import Totals
from drivenet.sinks import open_sink
from drivenet.sinks.mqtt import MqttSink
from drivenet.sinks.resilient import Resilient
from drivenet.sources import open_source

pytest.importorskip("paho.mqtt.client", reason="paho-mqtt is not installed (extra [mqtt])")


def _sockets() -> set[str]:
    """Which sockets this process has; what earlier tests left may go at any time."""
    found = set()
    for descriptor in os.listdir("/proc/self/fd"):
        with suppress(FileNotFoundError):
            found.add(os.readlink(f"/proc/self/fd/{descriptor}"))
    return {name for name in found if name.startswith("socket:")}


def _close_while_away(broker: Broker) -> None:
    sink = MqttSink(f"mqtt://127.0.0.1:{broker.port}/cars")
    broker.stop()
    wait_until(lambda: not sink._client.is_connected())
    sink.close(Totals())


@contextmanager
def _no_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def test_a_sink_that_is_closed_lets_go_of_its_sockets_at_once(broker: Broker) -> None:
    """And not when the garbage collector comes by: an output that is opened again and again has new ones each time."""
    with _no_collector():
        before = _sockets()
        for _ in range(3):
            open_sink(f"mqtt://127.0.0.1:{broker.port}/cars", fps=0, visualize="overlay").close(Totals())
        assert not _sockets() - before


def test_a_sink_whose_broker_is_away_when_it_is_closed_lets_go_of_its_sockets_too(broker: Broker) -> None:
    """As soon as its thread sees that there is nothing to come back for."""
    with _no_collector():
        before = _sockets()
        _close_while_away(broker)
        wait_until(lambda: not _sockets() - before)


@pytest.mark.parametrize("comes_back", [True, False])
def test_a_recording_waits_for_a_broker_that_is_started_anew(
    broker: Broker, monkeypatch: pytest.MonkeyPatch, comes_back: bool
) -> None:
    """Where it is the only output: as long as a broker needs for that, and not for ever."""
    if not comes_back:
        monkeypatch.setattr(dispatcher, "_PATIENCE_S", 1.0)
    uri, listener = f"mqtt://127.0.0.1:{broker.port}/cars", Listener(broker.port, "cars")
    source = open_source("synthetic://96x64@50?frames=300")
    sinks = [Resilient(lambda: open_sink(uri, fps=0, visualize="overlay"), MqttSink, uri)]
    run = Pipeline(source, open_engine(None, "null", "auto"), sinks, policy="every")

    def watch() -> None:
        listener.next(lambda topic, _: topic.endswith("/scene"))
        broker.stop()
        wait_until(lambda: "output.away" in run.accounting.totals().events)
        if comes_back:
            broker.start()

    watcher = threading.Thread(target=watch)
    watcher.start()
    with pytest.raises(SinkError, match=r"the MQTT broker at 127\.0\.0\.1:\d+ is away"):
        run.run()
    watcher.join()
    listener.close()
    totals = run.accounting.totals()
    assert totals.captured == totals.published + sum(totals.dropped.values())
    assert totals.sinks["mqtt"]["failed"] < 100, "frames wait for it"
    assert (totals.captured == 300, "output.back" in totals.events) == (comes_back, comes_back)
