"""Scenes and states on a real broker: what subscribers get, and what becomes of it when either side goes away."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from mqtt_broker import LONG_S, Broker, Listener, free_port, wait_until
from sink_results import fares, make_result

import drivenet
from drivenet.cli.run import run_node
from drivenet.config import NodeSettings
from drivenet.engine import open_engine
from drivenet.errors import SinkError, UsageError
from drivenet.health import Event
from drivenet.latency import now_ns
from drivenet.pipeline import Pipeline
from drivenet.result import Result, Totals
from drivenet.scene import Scene
from drivenet.sinks import mqtt, open_sink
from drivenet.sinks.base import Sink, SinkAwayError
from drivenet.sinks.recording.shared import NodeRecordings
from drivenet.sinks.resilient import Resilient
from drivenet.sources import open_source

pytest.importorskip("paho.mqtt.client", reason="paho-mqtt is not installed (extra [mqtt])")

TOTALS = Totals(captured=3, published=2, dropped={"superseded": 1}, engine={"backend": "null", "precision": "fp32"})


@pytest.fixture
def listen() -> Iterator[Callable[..., Listener]]:
    opened: list[Listener] = []

    def one(*args: Any, **more: Any) -> Listener:
        opened.append(Listener(*args, **more))
        return opened[-1]

    yield one
    for listener in opened:
        listener.close()


def opened(uri: str) -> Sink:
    return open_sink(uri, fps=0, visualize="overlay")


def scene(topic: str, payload: Any) -> bool:
    return topic.endswith("/scene")


def state(name: str) -> Callable[[str, Any], bool]:
    return lambda topic, payload: topic.endswith("/state") and payload["state"] == name


def test_subscribers_get_scenes_and_late_ones_the_state(broker: Broker, listen: Callable[..., Listener]) -> None:
    listener = listen(broker.port, "cars/front")
    uri = f"mqtt://127.0.0.1:{broker.port}/cars/front"
    sink = opened(uri)
    assert (sink.name, sink.target, sink.overflow, sink.needs_view) == ("mqtt", uri, "drop", False)
    listener.next(state("online"))
    captured, wall_ns = now_ns(), time.time_ns()
    result = make_result(7, captured_ns=captured, view=False)
    sink.publish(result)
    heard, _ = listener.next(scene)
    expected = result.to_dict()
    assert abs(heard.pop("captured_unix_ns") - wall_ns) < 1e9
    assert heard.pop("end_to_end_ms") >= 0
    assert heard["stages_ms"].pop("publish") == pytest.approx((now_ns() - captured) / 1e6, abs=LONG_S * 1e3)
    del expected["end_to_end_ms"]
    assert heard == expected

    sink.status(TOTALS)
    listener.next(lambda topic, payload: payload.get("engine") == TOTALS.engine)
    late, retained = listen(broker.port, "cars/front").next(state("online"))
    assert retained
    assert late["engine"] == TOTALS.engine
    assert late["labels"] == {"name": "camvid", "classes": list(result.labels.classes)}
    assert abs(late["since"] - time.time()) < LONG_S

    sink.health(fares("lost", 2.0))
    sink.health(fares("lost", 2.3))
    lost, _ = listener.next(state("lost"))
    assert lost["since"] <= time.time() - 1.9
    sink.health(fares("ok"))
    sink.publish(make_result(8, captured_ns=now_ns(), view=False))
    listener.next(state("online"))
    assert listener.next(scene)[0]["frame"] == 8
    sink.close(TOTALS)
    gone, _ = listener.next(state("offline"))
    counts = {"reason": "ended", "captured": 3, "published": 2, "dropped": {"superseded": 1}, "missed": 0}
    assert {key: gone[key] for key in counts} == counts


def test_a_run_that_does_not_begin_says_goodbye(
    broker: Broker, listen: Callable[..., Listener], tmp_path: Path
) -> None:
    listener = listen(broker.port, "cars/front")
    stats = tmp_path / "kept.jsonl"
    stats.write_text("of an earlier run")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        settings = NodeSettings(
            source="synthetic://96x64@30",
            backend="null",
            out=(f"mqtt://127.0.0.1:{broker.port}/cars/front",),
            serve=f"127.0.0.1:{taken.getsockname()[1]}",
            stats=str(stats),
        )
        with pytest.raises(SinkError, match="cannot serve on"):
            run_node(settings, NodeRecordings())
    assert listener.next(state("offline"))[0]["reason"] == "ended"
    assert stats.read_text() == "of an earlier run"
    settings = settings.model_copy(update={"serve": None, "policy": "every", "budget_ms": 50.0})
    with pytest.raises(UsageError, match="a budget for a run that processes every frame"):
        run_node(settings, NodeRecordings())
    assert listener.next(state("offline"))[0]["reason"] == "ended"


def test_the_last_will_after_a_kill(broker: Broker, tmp_path: Path, listen: Callable[..., Listener]) -> None:
    uri = f"mqtt://127.0.0.1:{broker.port}/cars/front"
    environment = os.environ | {"PYTHONPATH": str(Path(drivenet.__file__).parents[1])}
    arguments = ("synthetic://96x64@30", "--backend", "null", "--headless", "--out", uri)
    command = [sys.executable, "-W", "error", "-m", "drivenet", "run", *arguments]
    listener = listen(broker.port, "cars/front")
    with subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.DEVNULL) as node:
        try:
            first, second = listener.next(scene)[0], listener.next(scene)[0]
        finally:
            node.kill()
    assert first["frame"] < second["frame"]
    assert set(first["groups"]) >= {"road", "sign", "pedestrian", "vehicle"}
    will, _ = listener.next(state("offline"))
    assert will == {"state": "offline", "reason": "connection lost"}
    late, retained = listen(broker.port, "cars/front").next(state("offline"))
    assert (late, retained) == (will, True)


def test_a_broker_that_comes_back_gets_the_state_and_the_newest_scenes(
    broker: Broker, listen: Callable[..., Listener]
) -> None:
    sink = opened(f"mqtt://127.0.0.1:{broker.port}/cars")
    sink.publish(make_result(0, view=False))
    broker.stop()
    wait_until(lambda: not sink._client.is_connected())  # type: ignore[attr-defined]
    for index in range(1, 200):
        with pytest.raises(SinkAwayError, match=f"^the MQTT broker at 127.0.0.1:{broker.port} is away; check"):
            sink.publish(make_result(index, view=False))
    broker.start()
    listener = listen(broker.port, "cars")
    assert listener.next(state("online"))[0]["labels"]["name"] == "camvid"
    sink.publish(make_result(500, view=False))
    assert listener.next(scene)[0]["frame"] == 500
    sink.close(Totals())
    assert listener.next(state("offline"))[0]["missed"] == 199


class Codes(Sink):
    """The codes of what happened."""

    needs_view = False

    def __init__(self) -> None:
        self.codes: list[str] = []

    def publish(self, result: Result) -> None:
        """Nothing."""

    def event(self, event: Event) -> None:
        self.codes.append(event.code)


def test_scenes_that_find_no_broker_are_told_and_counted(broker: Broker, listen: Callable[..., Listener]) -> None:
    uri, told, listener = f"mqtt://127.0.0.1:{broker.port}/cars", Codes(), listen(broker.port, "cars")
    sinks = [Resilient(lambda: opened(uri), mqtt.MqttSink, uri), told]
    run = Pipeline(open_source("synthetic://96x64@50"), open_engine(None, "null", "auto"), sinks)

    def watch() -> None:
        listener.next(scene)
        broker.stop()
        wait_until(lambda: "output.away" in told.codes)
        broker.start()
        wait_until(lambda: "output.back" in told.codes)
        run.stop()

    watcher = threading.Thread(target=watch)
    watcher.start()
    with pytest.raises(SinkError, match=r"the MQTT broker at 127\.0\.0\.1:\d+ is away"):
        run.run()
    watcher.join()
    totals = run.accounting.totals()
    counts = totals.sinks["mqtt"]
    assert counts["failed"] > 0
    assert counts["published"] > 0
    assert {"output.away", "outputs.degraded", "output.back"} <= set(told.codes)


def test_a_network_that_takes_nothing_holds_one_scene_and_no_more(
    broker: Broker, listen: Callable[..., Listener], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mqtt, "_WRITE_S", 0.1)
    # a broker that stands still for so long is given up, and on a busy machine all this may take longer
    monkeypatch.setattr(mqtt, "_KEEPALIVE_S", 3600)
    sink = opened(f"mqtt://127.0.0.1:{broker.port}/cars")
    assert broker.process
    big = Scene(0, {f"class {n}": 0.5 for n in range(100_000)}, {}, {})
    broker.process.send_signal(signal.SIGSTOP)
    client = sink._client  # type: ignore[attr-defined]
    while not client.want_write():
        sink.publish(make_result(0, view=False).with_layers(scene=big))
    assert [sink.publish(make_result(index, view=False)) for index in range(1, 100)] == [False] * 99
    assert len(client._out_packet) == 1
    broker.process.send_signal(signal.SIGCONT)
    wait_until(lambda: not sink._is_waiting())  # type: ignore[attr-defined]
    listener = listen(broker.port, "cars")
    sink.publish(make_result(100, view=False))
    assert listener.next(lambda topic, payload: payload.get("frame") == 100)
    sink.close(Totals())
    assert listener.next(state("offline"))[0]["missed"] == 99


def test_closing_does_not_wait_for_a_network_that_is_gone(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mqtt, "_WRITE_S", 0.1)
    sink = opened(f"mqtt://127.0.0.1:{broker.port}/cars")
    broker.stop()
    wait_until(lambda: not sink._client.is_connected())  # type: ignore[attr-defined]
    sink.close(Totals())


def test_no_broker_is_one_sink_error_without_the_password() -> None:
    port = free_port()
    with pytest.raises(SinkError, match=f"^no MQTT broker at 127.0.0.1:{port}: Connection refused; ") as caught:
        opened(f"mqtt://me:s3cret@127.0.0.1:{port}/cars")
    assert "s3cret" not in str(caught.value)
    with pytest.raises(SinkError, match=r"^no MQTT broker at no\.such\.host\.invalid:1883: "):
        opened("mqtt://no.such.host.invalid/cars")


def test_the_command_line_says_so_too(tmp_path: Path) -> None:
    port = free_port()
    environment = os.environ | {"PYTHONPATH": str(Path(drivenet.__file__).parents[1])}
    arguments = ("synthetic://96x64@30", "--backend", "null", "--headless", "--strict")
    outs = ("--out", f"mqtt://me:s3cret@127.0.0.1:{port}/cars")
    command = [sys.executable, "-W", "error", "-m", "drivenet", "run", *arguments, *outs]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 5
    assert f"no MQTT broker at 127.0.0.1:{port}" in done.stderr
    assert "s3cret" not in done.stderr + done.stdout
    again = subprocess.run(
        [*command, *outs], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert again.returncode == 2
    assert "s3cret" not in again.stderr + again.stdout


def test_what_is_no_broker_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mqtt, "_ANSWER_S", 0.2)
    monkeypatch.setattr(mqtt, "_WRITE_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(SinkError, match=f"listens at 127.0.0.1:{port} does not answer as an MQTT broker"):
            opened(f"mqtt://127.0.0.1:{port}/cars")


def test_a_password_is_needed_and_never_shown(tmp_path: Path, listen: Callable[..., Listener]) -> None:
    passwd = shutil.which("mosquitto_passwd")
    if passwd is None:
        pytest.skip("mosquitto_passwd (Debian package mosquitto) is not installed")
    secret = "p@ss/w?rd#1"
    subprocess.run([passwd, "-b", "-c", str(tmp_path / "users"), "me", secret], check=True, capture_output=True)
    broker = Broker(tmp_path, "allow_anonymous false", f"password_file {tmp_path}/users")
    broker.start()
    try:
        sink = opened(f"mqtt://me:p%40ss%2Fw%3Frd%231@127.0.0.1:{broker.port}/cars")
        assert sink.target == f"mqtt://***@127.0.0.1:{broker.port}/cars"
        listener = listen(broker.port, "cars", "me", secret)
        assert listener.next(state("online"))
        sink.close(Totals())
        with pytest.raises(SinkError, match=r"refuses: .*; check user and password") as caught:
            opened(f"mqtt://me:wrong@127.0.0.1:{broker.port}/cars")
        assert "wrong" not in str(caught.value)
    finally:
        broker.stop()


def test_a_broker_that_refuses_a_node_that_it_knew_is_told_as_that(tmp_path: Path) -> None:
    """As after its passwords were changed: nobody would look at the network then."""
    broker = Broker(tmp_path, "allow_anonymous true")
    broker.start()
    sink = opened(f"mqtt://127.0.0.1:{broker.port}/cars")
    try:
        restart(broker, tmp_path, "allow_anonymous false")
        wait_until(lambda: why_away(sink).endswith("refuses: Not authorized; check user and password"))
        restart(broker, tmp_path, "allow_anonymous true")
        wait_until(lambda: not why_away(sink))
    finally:
        sink.close(Totals())
        broker.stop()


def restart(broker: Broker, folder: Path, setting: str) -> None:
    """The broker with another setting."""
    broker.stop()
    (folder / "mosquitto.conf").write_text(f"listener {broker.port} 127.0.0.1\nuser root\n{setting}\n")
    broker.start()


def why_away(sink: Sink) -> str:
    """Why a scene is not taken; empty if it is."""
    try:
        sink.publish(make_result())
    except SinkAwayError as error:
        return str(error)
    return ""


@pytest.mark.filterwarnings("ignore:unclosed <ssl:ResourceWarning")  # paho leaves what failed to the collector
def test_an_encrypted_connection_trusts_only_whom_it_is_told_to(
    tmp_path: Path, listen: Callable[..., Listener]
) -> None:
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl (Debian package openssl) is not installed")
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    made = "req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=localhost -addext subjectAltName=IP:127.0.0.1"
    command = [openssl, *made.split(), "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True)
    broker = Broker(tmp_path, "allow_anonymous true", f"certfile {certificate}", f"keyfile {key}")
    broker.start()
    try:
        sink = opened(f"mqtts://127.0.0.1:{broker.port}/cars?ca={certificate}")
        sink.publish(make_result(0, view=False))
        assert listen(broker.port, "cars", ca=str(certificate)).next(state("online"))
        sink.close(Totals())
        with pytest.raises(SinkError, match="certificate verify failed"):
            opened(f"mqtts://127.0.0.1:{broker.port}/cars")
        with pytest.raises(SinkError, match=r"cannot read the certificates /no/file"):
            opened(f"mqtts://127.0.0.1:{broker.port}/cars?ca=/no/file")
    finally:
        broker.stop()
