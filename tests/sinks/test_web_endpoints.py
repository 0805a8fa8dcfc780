"""Pictures, figures, metrics and health, as players, dashboards and monitors read them."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from typing import Any

import av
import cv2
import numpy as np
import pytest
from PIL import Image
from sink_results import fares

pytest.importorskip("uvicorn", reason="the extra [web] is not installed")

from prometheus_client.parser import text_string_to_metric_families
from web_node import MAP, SIZE, Node, pictures, wait_for

from drivenet.labels import CAMVID
from drivenet.latency import Histogram, Timeline
from drivenet.prepare import resize_ids
from drivenet.sinks.web import run_stats
from drivenet.sinks.web.snapshot import PAGE_WIDTH, _page_size


def decoded(data: bytes, flags: int = cv2.IMREAD_UNCHANGED) -> Any:
    return cv2.imdecode(np.frombuffer(data, np.uint8), flags)


def test_before_the_first_frame(node: Node) -> None:
    assert node.get("/healthz")[0] == 200
    for path in ("/readyz", "/frame.jpg", "/overlay.jpg", "/mask.png"):
        assert node.get(path)[0] == 503, path
    document = json.loads(node.get("/stats.json")[2])
    assert (document["state"]["name"], document["frame"], document["captured"]) == ("starting", None, 0)
    assert document["fps"] == {"source": None, "processed": None, "published": None}
    status, _, metrics = node.get("/metrics")
    assert (status, b'drivenet_fps{point="published"} NaN' in metrics) == (200, True)


def test_frame_is_the_camera_picture(node: Node) -> None:
    result = node.publish()
    status, headers, data = node.get("/frame.jpg")
    assert (status, headers["Content-Type"], headers["X-Frame-Index"]) == (200, "image/jpeg", "0")
    picture = decoded(data)
    assert picture.shape == (*SIZE, 3)
    assert np.abs(picture.astype(int) - result.frame.image).mean() < 6


def test_overlay_is_another_picture_of_the_same_size(node: Node) -> None:
    result = node.publish()
    picture = decoded(node.get("/overlay.jpg")[2])
    assert picture.shape == (*SIZE, 3)
    assert np.abs(picture.astype(int) - result.frame.image).mean() > 20


def test_mask_holds_the_ids_and_their_colours(node: Node) -> None:

    result = node.publish()
    data = node.get("/mask.png")[2]
    image = Image.open(io.BytesIO(data))
    assert np.array_equal(np.asarray(image), result.classmap.ids)
    assert image.size == (MAP[1], MAP[0])
    assert np.array_equal(np.asarray(image.convert("RGB")), CAMVID.rgb_table[result.classmap.ids])


def test_a_player_reads_the_stream(node: Node) -> None:
    node.play()
    changes, shown = 0, None
    with av.open(f"http://127.0.0.1:{node.port}/stream.mjpg", format="mpjpeg", timeout=10) as stream:
        for frame, _ in zip(stream.decode(video=0), range(100), strict=False):
            picture = frame.to_ndarray(format="bgr24").astype(int)
            assert picture.shape == (*SIZE, 3)
            # who skips a multiple of the drive's six pictures sees the same one again
            changes += shown is not None and np.abs(picture - shown).mean() > 1
            shown = picture
            if changes == 3:
                break
    assert changes == 3


def test_head_of_the_stream_ends(node: Node) -> None:
    status, headers, body = node.get("/stream.mjpg", method="HEAD")
    assert (status, body) == (200, b"")
    assert headers["Content-Type"].startswith("multipart/x-mixed-replace")
    wait_for(lambda: node.sink.viewers == 0)


def test_stats_are_the_runs(node: Node) -> None:
    node.totals.dropped["superseded"] = 5
    result = node.publish(30)
    document = json.loads(node.get("/stats.json")[2])
    assert (document["captured"], document["published"], document["dropped"]) == (30, 30, {"superseded": 5})
    assert document["fps"] == {"source": 30.0, "processed": 29.5, "published": 29.25}
    assert document["sinks"] == {"web": {"published": 30, "dropped": 0}}
    assert document["frame"]["classes"] == result.scene.to_dict()["classes"]
    assert document["frame"]["groups"] == result.scene.to_dict()["groups"]
    assert document["frame"]["frame"] == 29
    assert document["engine"]["backend"] == "null"
    run, window = document["windows"]["run"], document["windows"]["10"]
    assert run["latency_ms"] == node.totals.latency.summary()
    assert sum(run["histogram"]) == sum(window["histogram"]) == 30
    for stage, ms in {"queue": 1, "prepare": 2, "infer": 3, "postprocess": 4, "publish": 1, "end_to_end": 11}.items():
        assert window["latency_ms"][stage] == {"n": 30, "p50": ms, "p90": ms, "max": ms}, stage


def test_a_source_whose_name_is_no_text_is_told_with_question_marks() -> None:
    with Node(source="stra\udcdfe.mp4") as node:
        node.publish(1)
        status, _, body = node.get("/stats.json")
        assert (status, json.loads(body)["source"]) == (200, "stra?e.mp4")
        assert node.get("/overlay.jpg")[0] == 200
        node.totals.errors, node.totals.engine = ["stra\udcdfe.mp4 is cut short"], {"file": "stra\udcdfe.onnx"}
        node.publish()
        node.fare("failed", reason="stra\udcdfe.mp4 is cut short")
        assert [node.get(path)[0] for path in ("/stats.json", "/healthz", "/metrics")] == [200, 503, 200]


def test_windows_agree_with_the_runs_histogram_and_end(node: Node) -> None:
    samples, sketch = run_stats.Samples(), Histogram()
    line = node.publish().timeline
    for ms in np.random.default_rng(1).gamma(4, 5, 3000):
        line = Timeline(line.captured).then("publish", line.captured, line.captured + round(ms * 1e6))
        samples.add(line)
        sketch.add(ms)
    window = run_stats._window(samples.since(0), samples.names)["latency_ms"]["end_to_end"]
    for figure in ("p50", "p90", "p99", "max"):
        assert window[figure] == pytest.approx(sketch.summary()[figure], rel=0.01)
    assert len(samples.since(2990)) == 10
    for _ in range(20_000):
        samples.add(line)
    assert (len(samples.since(0)), samples.count) == (18_000, 23_000)


def test_metrics_parse_and_match_the_stats(node: Node) -> None:
    node.totals.dropped["superseded"] = 7
    node.publish(20)
    families = {f.name: f for f in text_string_to_metric_families(node.get("/metrics")[2].decode())}

    def value(name: str, **labels: str) -> float:
        samples = (s for f in families.values() for s in f.samples)
        (found,) = (s.value for s in samples if s.name == name and s.labels == labels)
        return found

    assert value("drivenet_captured_frames_total") == value("drivenet_published_frames_total") == 20
    assert value("drivenet_dropped_frames_total", reason="superseded") == 7
    assert value("drivenet_sink_frames_total", sink="web", outcome="published") == 20
    assert value("drivenet_sink_frames_total", sink="web", outcome="dropped") == 0
    assert value("drivenet_fps", point="published") == 29.25
    assert 0 <= value("drivenet_frame_age_seconds") < 10
    assert value("drivenet_healthy") == 1
    assert value("drivenet_class_area_ratio", **{"class": "Road"}) > 0.1
    assert families["drivenet_stage_seconds"].type == "histogram"
    assert value("drivenet_stage_seconds_count", stage="infer") == 20
    assert value("drivenet_stage_seconds_sum", stage="infer") == pytest.approx(20 * 0.003)
    assert value("drivenet_stage_seconds_bucket", stage="infer", le="0.004") == 20
    assert value("drivenet_stage_seconds_bucket", stage="infer", le="0.002") == 0


def health(node: Node) -> tuple[int, int, str]:
    status, _, body = node.get("/readyz")
    return node.get("/healthz")[0], status, json.loads(body)["state"]


def test_health_follows_the_source(node: Node) -> None:
    node.publish()
    assert health(node) == (200, 200, "ok")
    node.lose(3.0)
    assert health(node) == (503, 503, "lost")
    assert node.get("/frame.jpg")[0] == node.get("/mask.png")[0] == 503
    grey = cv2.cvtColor(cv2.resize(decoded(node.get("/overlay.jpg")[2]), (32, 18)), cv2.COLOR_BGR2HSV)
    assert np.median(grey[..., 1]) < 10
    node.publish()
    assert health(node) == (200, 200, "ok")


@pytest.mark.parametrize("path", ["/overlay.jpg", "/stream.mjpg"])
def test_overlays_are_marked_where_frames_come_that_may_be_worthless(node: Node, path: str) -> None:
    """Nobody sees on a dashboard or in a player that a camera is frozen on one picture."""

    def foot() -> np.ndarray:
        if path == "/overlay.jpg":
            return decoded(node.get(path)[2])[-4:]
        with av.open(f"http://127.0.0.1:{node.port}{path}", format="mpjpeg", timeout=10) as stream:
            return next(stream.decode(video=0)).to_ndarray(format="bgr24")[-4:]

    node.publish()
    blue, _, red = np.median(foot().reshape(-1, 3), axis=0)
    assert red - blue < 60
    node.fare("suspect", 5.0, "the picture is frozen")
    blue, _, red = np.median(foot().reshape(-1, 3), axis=0)
    assert red - blue > 120


def test_only_new_results_count_as_life(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    result = node.publish()
    monkeypatch.setattr(run_stats, "SILENT_AFTER_S", 0.0)
    node.sink.publish(result)
    assert health(node) == (503, 503, "stalled")
    told = json.loads(node.get("/healthz")[2])
    assert (told["former"], told["parts"]["run"]["state"]) == ("stale", "stalled")


def test_pictures_of_a_wide_camera_are_shrunk_for_the_page_only(node: Node) -> None:
    wide = np.zeros((1080, 1920, 3), np.uint8)
    assert _page_size(wide).shape == (720, PAGE_WIDTH, 3)
    assert _page_size(pictures()[0][0]) is pictures()[0][0]


def test_ids_reach_the_sink_as_drawn(node: Node) -> None:
    assert np.array_equal(node.publish().classmap.ids, resize_ids(pictures()[0][1], MAP))


def test_a_picture_that_stays_the_last_for_hours_is_kept_with_one_mark(node: Node) -> None:
    node.publish()
    seen = set()
    for second in range(20, 26):
        node.lose(second)
        seen.add(node.get("/overlay.jpg")[2])
    assert len(seen) == 6, "its seconds count"
    newest = node.sink._hub.newest
    assert newest is not None
    assert list(newest.encodings) == ["overlay"]


def test_a_recording_is_no_live_picture_and_no_folder_is_named() -> None:
    with Node(source="/home/me/drives/rain.mp4") as node:
        node.sink.shows(replay=True)
        stats = json.loads(node.get("/stats.json")[2])
        assert (stats["replay"], stats["source"]) == (True, "rain.mp4")
    with Node() as node:
        assert json.loads(node.get("/stats.json")[2])["replay"] is False


def test_metrics_say_why_the_source_is_away(node: Node) -> None:
    node.publish()
    node.sink.health(replace(fares("lost", 3.0), cause="refused"))
    lines = node.get("/metrics")[2].decode().splitlines()
    away = {line for line in lines if line.startswith("drivenet_source_away{") and line.endswith(" 1.0")}
    assert away == {'drivenet_source_away{cause="refused"} 1.0'}
