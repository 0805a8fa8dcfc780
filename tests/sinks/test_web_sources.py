"""A page of several sources: all at once, and each with all that a single one has."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator

import cv2
import numpy as np
import pytest
from sink_results import fares, make_result

from drivenet.health import State
from drivenet.labels import CAMVID
from drivenet.latency import STAGES, now_ns
from drivenet.overlay import Painter
from drivenet.result import Totals
from drivenet.sinks.web.page import MultiPage

PATIENCE_S = 10.0


@pytest.fixture
def page() -> Iterator[MultiPage]:
    made = MultiPage(
        "127.0.0.1", 0, token=None, allow_anonymous=False, painter=Painter(CAMVID),
        sources={"front": "rtsp://cam/1", "rear": "clip.mp4"}, engine={"backend": "null"}, stages=STAGES,
    )  # fmt: skip
    yield made
    made.close()


def get(page: MultiPage, path: str) -> tuple[int, bytes]:
    try:
        with urllib.request.urlopen(page.url + path, timeout=PATIENCE_S) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def publish(page: MultiPage, name: str, state: State = "ok", index: int = 0) -> None:
    sink = page.sinks[name]
    sink.publish(make_result(index, captured_ns=now_ns()))
    sink.health(fares(state))


def is_marked_red(jpeg: bytes) -> bool:
    """Whether a greyed overlay has a red bar; it has no other colours."""
    image = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    spread = np.ptp(image.astype(int), axis=2)
    assert np.median(spread) < 5, "it is not greyed"
    return bool((spread > 100).any())


def test_health_is_that_of_all_and_of_each(page: MultiPage) -> None:
    assert get(page, "healthz")[0] == 200
    assert get(page, "readyz")[0] == 503
    publish(page, "front")
    assert get(page, "readyz")[0] == 503, "one is still without a result"
    publish(page, "rear", "degraded")
    status, body = get(page, "readyz")
    assert (status, json.loads(body)["state"]) == (200, "degraded")
    publish(page, "rear", "lost")
    status, body = get(page, "healthz")
    told = json.loads(body)
    assert (status, told["state"]) == (503, "lost")
    assert {name: one["state"] for name, one in told["sources"].items()} == {"front": "ok", "rear": "lost"}
    assert get(page, "live/front/healthz")[0] == 200
    assert get(page, "live/rear/healthz")[0] == 503
    assert get(page, "live/nobody/healthz")[0] == 404


def test_a_source_that_has_ended_is_told_and_makes_nobody_ill(page: MultiPage) -> None:
    for name in ("front", "rear"):
        publish(page, name)
    page.sinks["rear"].close(Totals(captured=1, published=1))
    for path in ("healthz", "readyz"):
        status, body = get(page, path)
        told = json.loads(body)
        assert (status, told["state"]) == (200, "ok")
        assert (told["sources"]["rear"]["state"], told["sources"]["rear"]["reason"]) == ("ended", "the run has ended")
    assert get(page, "live/rear/frame.jpg")[0] == 503, "its picture is old"
    assert is_marked_red(get(page, "live/rear/overlay.jpg")[1]) is False, "nothing is wrong with it"
    publish(page, "front", "lost")
    assert get(page, "healthz")[0] == 503
    assert is_marked_red(get(page, "live/front/overlay.jpg")[1]) is True


def test_a_source_that_has_failed_is_ill_for_good(page: MultiPage) -> None:
    publish(page, "front")
    publish(page, "rear", "failed")
    page.sinks["rear"].close(Totals())
    status, body = get(page, "healthz")
    assert (status, json.loads(body)["state"]) == (503, "failed")


@pytest.mark.parametrize("name", ["https:evil.example", "nobody", "javascript:alert(1)", "%0d%0aset-cookie:a=b"])
def test_nobody_is_sent_elsewhere(page: MultiPage, name: str) -> None:
    assert get(page, f"live/{name}")[0] == 404


def test_each_source_has_its_own_pictures_and_page(page: MultiPage) -> None:
    publish(page, "front", index=7)
    with urllib.request.urlopen(f"{page.url}live/front/overlay.jpg", timeout=PATIENCE_S) as answer:
        assert answer.headers["x-frame-index"] == "7"
    assert get(page, "live/rear/overlay.jpg")[0] == 503
    assert b"main.js" in get(page, "live/front/")[1]
    assert b"sources.js" in get(page, "")[1]
    assert list(json.loads(get(page, "sources.json")[1])["sources"]) == ["front", "rear"]
    assert get(page, "live/front")[0] == 200, "the slash is added"
    assert get(page, "live/rear/healthz/")[0] == 200 == get(page, "healthz/")[0], "it is taken away"
    assert json.loads(get(page, "stats.json")[1])["sources"]["front"]["source"] == "rtsp://cam/1"


def test_metrics_name_their_source(page: MultiPage) -> None:
    from prometheus_client.parser import text_string_to_metric_families

    publish(page, "front")
    page.sinks["front"].status(Totals(captured=5, published=4))
    families = {family.name: family for family in text_string_to_metric_families(get(page, "metrics")[1].decode())}
    captured = {sample.labels["source"]: sample.value for sample in families["drivenet_captured_frames"].samples}
    assert captured == {"front": 5, "rear": 0}
    healthy = {sample.labels["source"]: sample.value for sample in families["drivenet_healthy"].samples}
    assert healthy == {"front": 1, "rear": 0}


def test_the_server_ends_with_the_last_source(page: MultiPage) -> None:
    page.sinks["front"].close(Totals())
    assert get(page, "healthz")[0] == 200
    page.sinks["rear"].close(Totals())
    with pytest.raises(urllib.error.URLError):
        get(page, "healthz")


def test_each_source_locks_its_own_recording(page: MultiPage) -> None:
    locked: list[str] = []
    page.sinks["front"].lock_with(lambda: locked.append("front"))
    asked = urllib.request.Request(f"{page.url}live/front/lock", method="POST")
    with urllib.request.urlopen(asked, timeout=PATIENCE_S) as answer:
        assert answer.status == 204
    with pytest.raises(urllib.error.HTTPError, match="404"):
        urllib.request.urlopen(urllib.request.Request(f"{page.url}live/rear/lock", method="POST"), timeout=PATIENCE_S)
    assert locked == ["front"]
