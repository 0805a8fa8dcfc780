"""What another zenoh peer gets: scenes, pictures, the state, and whether the node lives."""

from __future__ import annotations

import io
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from mqtt_broker import free_port, wait_until
from PIL import Image
from sink_results import fares, make_result

import drivenet
from drivenet.errors import SinkError, UsageError
from drivenet.result import Totals
from drivenet.sinks import open_sink
from drivenet.sinks.base import Sink
from drivenet.sinks.zenoh import _parse

zenoh = pytest.importorskip("zenoh", reason="eclipse-zenoh is not installed (extra [zenoh])")

TOTALS = Totals(captured=3, published=2, dropped={"superseded": 1}, engine={"backend": "null", "precision": "fp32"})


class Peer:
    """Another peer, on a port of the loopback; multicast is left alone."""

    def __init__(self) -> None:
        self.port = free_port()
        config = zenoh.Config()
        config.insert_json5("listen/endpoints", json.dumps([f"tcp/127.0.0.1:{self.port}"]))
        config.insert_json5("scouting/multicast/enabled", "false")
        self.session = zenoh.open(config)

    def hear(self, key: str) -> Callable[[], Any]:
        """Gives the samples below a key, one a call; fails after a long time without one."""
        return _within(self.session.declare_subscriber(key))

    def lives(self, key: str) -> Callable[[], Any]:
        return _within(self.session.liveliness().declare_subscriber(key, history=True))


def _within(subscriber: Any) -> Callable[[], Any]:
    def take() -> Any:
        found: list[Any] = []

        def there() -> bool:
            found.extend(filter(None, [subscriber.try_recv()]))
            return bool(found)

        wait_until(there)
        return found[0]

    return take


@pytest.fixture
def peer() -> Iterator[Peer]:
    one = Peer()
    yield one
    one.session.close()


@pytest.fixture
def sink(peer: Peer) -> Iterator[Sink]:
    one = open_sink(f"zenoh://127.0.0.1:{peer.port}/cars/front", fps=0, visualize="overlay")
    yield one
    one.close(TOTALS)


def said(sample: Any) -> Any:
    return json.loads(sample.payload.to_bytes())


def test_another_peer_gets_scenes_and_pictures_of_one_frame(peer: Peer, sink: Sink) -> None:
    assert (sink.name, sink.overflow, sink.needs_view) == ("zenoh", "drop", True)
    heard = {name: peer.hear(f"cars/front/{name}") for name in ("scene", "class_map", "overlay")}
    wait_until(lambda: sink._wanted("class_map") and sink._wanted("overlay") and sink._wanted("scene"))
    result = make_result(7)
    sink.publish(result)
    scene = heard["scene"]()
    assert str(scene.encoding) == "application/json"
    document = said(scene)
    assert {k: document[k] for k in ("frame", "classes", "groups")} == {
        k: result.to_dict()[k] for k in ("frame", "classes", "groups")
    }
    assert document["stages_ms"]["infer"] == result.to_dict()["stages_ms"]["infer"]
    ids, overlay = heard["class_map"](), heard["overlay"]()
    assert (str(ids.encoding), str(overlay.encoding)) == ("image/png", "image/jpeg")
    for picture in (ids, overlay):
        assert json.loads(picture.attachment.to_bytes()) == {
            "frame": 7,
            "captured_unix_ns": document["captured_unix_ns"],
        }
    with Image.open(io.BytesIO(ids.payload.to_bytes())) as png:
        assert np.array_equal(np.asarray(png), result.classmap.ids)
    jpeg = cv2.imdecode(np.frombuffer(overlay.payload.to_bytes(), np.uint8), cv2.IMREAD_COLOR)
    assert jpeg is not None
    assert np.abs(jpeg.astype(int) - result.view).mean() < 6


def test_nothing_is_encoded_that_nobody_wants(sink: Sink, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object) -> bytes:
        raise AssertionError("a picture that nobody subscribes to")

    monkeypatch.setattr("drivenet.sinks.zenoh.encode_jpeg", never)
    monkeypatch.setattr("drivenet.sinks.zenoh.encode_palette_png", never)
    sink.publish(make_result(0))


def test_the_state_changes_answers_and_ends(peer: Peer) -> None:
    state, alive = peer.hear("cars/front/state"), peer.lives("cars/*/alive")
    sink = open_sink(f"zenoh://127.0.0.1:{peer.port}/cars/front", fps=0, visualize="overlay")
    assert alive().kind == zenoh.SampleKind.PUT
    wait_until(lambda: sink._wanted("state"))
    sink.status(TOTALS)
    while (now := said(state()))["engine"] != TOTALS.engine:
        assert now["state"] == "online"
    (answer,) = peer.session.get("cars/front/state")
    assert said(answer.ok) == now
    result = make_result(3)
    sink.publish(result)
    said(state())
    sink.health(fares("lost", 2.0))
    lost = said(state())
    assert (lost["state"], lost["since"] < now["since"]) == ("lost", True)
    sink.health(fares("ok"))
    back = said(state())
    assert (back["state"], back["labels"]["classes"]) == ("online", list(result.labels.classes))
    sink.close(TOTALS)
    gone = said(state())
    assert (gone["state"], gone["reason"], gone["published"]) == ("offline", "ended", 2)
    assert alive().kind == zenoh.SampleKind.DELETE


def test_the_token_goes_with_a_node_that_is_killed(peer: Peer, tmp_path: Path) -> None:
    scene, alive = peer.hear("cars/front/scene"), peer.lives("cars/front/alive")
    environment = os.environ | {"PYTHONPATH": str(Path(drivenet.__file__).parents[1])}
    uri = f"zenoh://127.0.0.1:{peer.port}/cars/front"
    arguments = ("synthetic://96x64@30", "--backend", "null", "--headless", "--out", uri)
    command = [sys.executable, "-W", "error", "-m", "drivenet", "run", *arguments]
    with subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.DEVNULL) as node:
        try:
            first, second = said(scene()), said(scene())
            assert alive().kind == zenoh.SampleKind.PUT
        finally:
            node.kill()
    assert first["frame"] < second["frame"]
    assert alive().kind == zenoh.SampleKind.DELETE


def test_nobody_there_is_told_before_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("drivenet.sinks.zenoh._CONNECT_MS", 300)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(SinkError, match=rf"zenoh does not open zenoh://127.0.0.1:{port}/cars: Unable to connect") as e:
        open_sink(f"zenoh://127.0.0.1:{port}/cars", fps=0, visualize="overlay")
    assert "\n" not in str(e.value)


def test_addresses() -> None:
    assert _parse("zenoh://router/cars/front/") == ("tcp/router:7447", "cars/front")
    assert _parse("zenoh://[::1]:7000/cars") == ("tcp/[::1]:7000", "cars")
    assert _parse("zenoh:///cars") == ("", "cars")
    for wrong in ("zenoh://router", "zenoh://", "zenoh://u:s3cret@router/cars", "zenoh://r:0/c", "zenoh://r/c?x=1"):
        with pytest.raises(UsageError, match="expected zenoh://") as caught:
            _parse(wrong)
        assert "s3cret" not in str(caught.value)
    with pytest.raises(UsageError, match="without"):
        _parse("zenoh://router/cars/*")
