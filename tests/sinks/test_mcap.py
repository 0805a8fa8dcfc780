"""MCAP recordings: read with the format's own reader, decoded by another implementation of CDR, cut by a kill."""

from __future__ import annotations

import io
import os
import struct
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image as Pillow
from sink_results import fares, make_result

import drivenet
from drivenet.engine import open_engine
from drivenet.errors import SinkError, UsageError
from drivenet.health import Event
from drivenet.pipeline import Pipeline
from drivenet.result import Result, Totals
from drivenet.sinks import open_sink
from drivenet.sinks.base import Sink
from drivenet.sinks.cdr import encode
from drivenet.sinks.mcap import (
    ANNOTATIONS,
    CAMERA,
    CLASS_COLOURS,
    CLASS_MAP,
    DIAGNOSTICS,
    FRAME,
    LABELS,
    THINGS,
    McapSink,
)
from drivenet.sinks.recording import RecordingSession
from drivenet.sources import open_source

reader = pytest.importorskip("mcap.reader", reason="mcap is not installed (extra [robotics])")
exceptions = pytest.importorskip("mcap.exceptions", reason="mcap is not installed (extra [robotics])")
stream = pytest.importorskip("mcap.stream_reader", reason="mcap is not installed (extra [robotics])")
typesys = pytest.importorskip("rosbags.typesys", reason="rosbags is not installed (extra [test])")
highlevel = pytest.importorskip("rosbags.highlevel", reason="rosbags is not installed (extra [test])")

LONG_S = 90.0


class Keeper(Sink):
    """What every sink of the run was given."""

    name = "keeper"
    needs_view = False

    def __init__(self) -> None:
        self.results: list[Result] = []

    def publish(self, result: Result) -> None:
        self.results.append(result)


def decoded(path: Path) -> dict[str, list[tuple[int, Any]]]:
    """Log time and message by topic, by the definitions that the file itself carries."""
    found: dict[str, list[tuple[int, Any]]] = {}
    with highlevel.AnyReader([path]) as bag:
        for connection, at, raw in bag.messages():
            found.setdefault(connection.topic, []).append((at, bag.deserialize(raw, connection.msgtype)))
    return found


def pairs(message: Any, status: int = 0) -> dict[str, str]:
    return {pair.key: pair.value for pair in message.status[status].values}


def stamp_ns(stamp: Any) -> int:
    return int(stamp.sec) * 1_000_000_000 + int(stamp.nanosec)


def cut_messages(path: Path) -> dict[str, list[bytes]]:
    """What a reader gets from a file that ends anywhere, by topic."""
    topics: dict[int, str] = {}
    found: dict[str, list[bytes]] = {}
    cut = (exceptions.McapError, struct.error)  # the last one: within a number
    with path.open("rb") as file, suppress(*cut):
        for record in stream.StreamReader(file).records:
            if type(record).__name__ == "Channel":
                topics[record.id] = record.topic
            elif type(record).__name__ == "Message":
                found.setdefault(topics[record.channel_id], []).append(record.data)
    return found


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Result], Totals, tuple[int, int]]:
    """A recorded run, what was published in it, its totals, and between which moments it was."""
    path, keeper = tmp_path_factory.mktemp("run") / "new" / "drive.mcap", Keeper()
    source = open_source("synthetic://96x64@30?frames=6", paced=False, seed=3)
    began = time.time_ns()
    sinks = [open_sink(path, fps=30, visualize="overlay"), keeper]
    totals = Pipeline(source, open_engine(None, "null", "auto"), sinks, policy="every").run()
    return path, keeper.results, totals, (began, time.time_ns())


def test_the_file_is_whole_and_says_what_ros_asks_for(run: Any) -> None:
    with run[0].open("rb") as file:
        opened = reader.make_reader(file, validate_crcs=True)
        assert opened.get_header().profile == "ros2"
        summary = opened.get_summary()
        messages = sum(1 for _ in opened.iter_messages())
    assert messages == summary.statistics.message_count
    assert {c.message_encoding for c in summary.channels.values()} == {"cdr"}
    assert all("offered_qos_profiles" in c.metadata for c in summary.channels.values())
    assert {s.encoding for s in summary.schemas.values()} == {"ros2msg"}
    types = {c.topic: summary.schemas[c.schema_id].name for c in summary.channels.values()}
    assert types == {
        CAMERA: "sensor_msgs/msg/CompressedImage",
        CLASS_MAP: "sensor_msgs/msg/Image",
        CLASS_COLOURS: "sensor_msgs/msg/CompressedImage",
        LABELS: "vision_msgs/msg/LabelInfo",
        ANNOTATIONS: "foxglove_msgs/msg/ImageAnnotations",
        THINGS: "vision_msgs/msg/Detection2DArray",
        FRAME: "diagnostic_msgs/msg/DiagnosticArray",
        DIAGNOSTICS: "diagnostic_msgs/msg/DiagnosticArray",
    }


def test_the_values_are_those_that_were_published(run: Any) -> None:
    path, results, totals, _ = run
    assert len(results) == 6
    bag = decoded(path)
    for n, result in enumerate(results):
        camera, ids, colours, boxes, frame = (
            bag[topic][n][1] for topic in (CAMERA, CLASS_MAP, CLASS_COLOURS, ANNOTATIONS, FRAME)
        )
        picture = cv2.imdecode(camera.data, cv2.IMREAD_COLOR)
        assert camera.format == "jpeg"
        assert np.abs(picture.astype(int) - result.frame.image).mean() < 8
        assert (ids.encoding, ids.step, ids.is_bigendian) == ("mono8", ids.width, 0)
        np.testing.assert_array_equal(ids.data.reshape(ids.height, ids.width), result.classmap.ids)
        np.testing.assert_array_equal(np.asarray(Pillow.open(io.BytesIO(colours.data))), result.classmap.ids)
        seen = cv2.imdecode(colours.data, cv2.IMREAD_COLOR)
        np.testing.assert_array_equal(seen, result.labels.bgr_table[result.classmap.ids])
        regions = result.scene.things
        detections = bag[THINGS][n][1].detections
        assert [d.results[0].hypothesis.class_id for d in detections] == [r.cls for r in regions]
        assert [(d.bbox.size_x, d.bbox.size_y) for d in detections] == [r.box[2:] for r in regions]
        drawn = [(p.points[0].x, p.points[0].y, p.points[2].x, p.points[2].y) for p in boxes.points]
        assert drawn == [(r.box[0], r.box[1], r.box[0] + r.box[2], r.box[1] + r.box[3]) for r in regions]
        assert [text.text for text in boxes.texts] == [f"{r.name} {r.area:.1%}" for r in regions]
        figures, line = pairs(frame), result.to_dict()
        assert int(figures["frame"]) == result.frame.index
        assert float(figures["infer ms"]) == pytest.approx(line["stages_ms"]["infer"], rel=1e-4)
        assert {k.removeprefix("class "): float(v) for k, v in figures.items() if k.startswith("class ")} == (
            pytest.approx(line["classes"], rel=1e-4)
        )
    assert any(bag[ANNOTATIONS][n][1].points for n in range(6)), "a drive without a thing in it shows nothing"
    ((_, labels),) = bag[LABELS]
    assert tuple((c.class_id, c.class_name) for c in labels.class_map) == tuple(enumerate(results[0].labels.classes))
    last = bag[DIAGNOSTICS][-1][1]
    assert last.status[0].level == 0
    assert pairs(last)["captured"] == str(totals.captured) == "6"
    assert pairs(last, 1)["end_to_end n"] == "6"
    assert pairs(last, 2)["backend"] == "null"


def test_headers_hold_the_capture_time_and_log_times_that_of_recording(run: Any) -> None:
    path, results, _, (began, ended) = run
    bag = decoded(path)
    offsets = set()
    for topic in (CAMERA, CLASS_MAP, CLASS_COLOURS, FRAME):
        for (at, message), result in zip(bag[topic], results, strict=True):
            captured = stamp_ns(message.header.stamp)
            offsets.add(captured - result.frame.captured_ns)
            assert began <= captured <= at <= ended
            assert message.header.frame_id == "camera"
    assert len(offsets) == 1


def test_ros_own_definitions_read_and_write_the_same_bytes(run: Any) -> None:
    store = typesys.get_typestore(typesys.Stores.ROS2_HUMBLE)
    checked = set()
    with run[0].open("rb") as file:
        for schema, _, message in reader.make_reader(file).iter_messages():
            if schema.name in store.types:
                again = store.serialize_cdr(store.deserialize_cdr(message.data, schema.name), schema.name)
                assert bytes(again) == message.data
                checked.add(schema.name)
    images = {"sensor_msgs/msg/CompressedImage", "sensor_msgs/msg/Image"}
    assert checked == images | {"diagnostic_msgs/msg/DiagnosticArray"}


def test_a_text_that_is_no_utf_8_is_written_all_the_same() -> None:
    value = encode("diagnostic_msgs/KeyValue", {"key": "file", "value": "a\udcff.onnx"})
    assert value.endswith(b"a?.onnx\0")


def test_a_kill_leaves_all_but_the_last_moment(tmp_path: Path) -> None:
    path = tmp_path / "drive.mcap"
    arguments = ("synthetic://96x64@30", "--backend", "null", "--headless", "--out", str(path))
    environment = os.environ | {"PYTHONPATH": str(Path(drivenet.__file__).parents[1])}
    command = [sys.executable, "-W", "error", "-m", "drivenet", "run", *arguments]
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE) as node:
        until = time.monotonic() + LONG_S
        while not (path.exists() and len(cut_messages(path).get(DIAGNOSTICS, [])) >= 2):
            assert node.poll() is None, node.stderr and node.stderr.read()
            assert time.monotonic() < until
            time.sleep(0.05)
        node.kill()
    left = cut_messages(path)
    store = typesys.get_typestore(typesys.Stores.ROS2_HUMBLE)
    frames = [pairs(store.deserialize_cdr(raw, "diagnostic_msgs/msg/DiagnosticArray")) for raw in left[FRAME]]
    assert len(frames) >= 2
    assert [int(f["frame"]) for f in frames] == sorted({int(f["frame"]) for f in frames})
    assert len(left[CAMERA]) == len(left[CLASS_MAP]) == len(left[ANNOTATIONS]) == len(frames)
    assert len(left[LABELS]) == 1


def test_a_lost_source_is_an_error_until_it_is_back(tmp_path: Path) -> None:
    sink = McapSink(tmp_path / "d.mcap")
    assert (sink.name, sink.target, sink.overflow, sink.needs_view) == (
        "mcap", str(tmp_path / "d.mcap"), "block", False,
    )  # fmt: skip
    sink.status(Totals())
    sink.publish(make_result(0, view=False))
    sink.health(fares("lost", 3.2, "no frame from the source"))
    sink.status(Totals())
    sink.event(Event("warning", "source.lost", "source lost"))
    sink.health(fares("ok"))
    sink.publish(make_result(1, view=False))
    sink.close(Totals())
    said = [(m.status[0].level, m.status[0].message) for _, m in decoded(tmp_path / "d.mcap")[DIAGNOSTICS]]
    assert said == [(2, "lost for 3 s: no frame from the source"), (1, "source lost"), (0, "ok")]


def test_without_a_frame_an_earlier_file_stands(tmp_path: Path) -> None:
    path = tmp_path / "d.mcap"
    path.write_text("old")
    sink = open_sink(path, fps=0, visualize="overlay")
    sink.status(Totals())
    sink.close(Totals())
    assert path.read_text() == "old"


def test_a_place_that_cannot_be_written_is_told_before_the_run(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(SinkError, match="cannot write"):
        McapSink(tmp_path / "file" / "d.mcap")


def test_a_disk_that_fills_up_is_one_sink_error_and_leaves_what_was_written(tmp_path: Path) -> None:
    path = tmp_path / "d.mcap"
    code = """
import resource, sys
sys.path.insert(0, sys.argv[2])
from pathlib import Path
from sink_results import fares, make_result
from drivenet.errors import SinkError
from drivenet.result import Totals
from drivenet.sinks.mcap import McapSink
sink = McapSink(Path(sys.argv[1]))
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    for index in range(1000):
        sink.publish(make_result(index, size=(480, 640), view=False))
        sink.status(Totals())
except SinkError as error:
    print(error)
sink.close(Totals())
"""
    command = [sys.executable, "-W", "error", "-c", code, str(path), str(Path(__file__).parent)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.startswith(f"cannot write {path}: ")
    assert done.stdout.count("\n") == 1
    assert done.stderr == ""
    assert len(cut_messages(path)[FRAME]) >= 3


@pytest.mark.parametrize("replaced", [False, True], ids=["removed", "replaced"])
def test_a_recording_that_is_gone_at_its_end_is_a_sink_error(tmp_path: Path, replaced: bool) -> None:
    path = tmp_path / "d.mcap"
    sink = McapSink(path)
    sink.publish(make_result(view=False))
    path.unlink()
    if replaced:
        path.write_text("another")
    with pytest.raises(SinkError, match=r"d\.mcap was removed or replaced while it was written; leave it"):
        sink.close(Totals())


@pytest.mark.parametrize("frames", [0, 1])
def test_a_closed_sink_says_so(tmp_path: Path, frames: int) -> None:
    path = tmp_path / "d.mcap"
    sink = McapSink(path)
    for index in range(frames):
        sink.publish(make_result(index, view=False))
    sink.close(Totals())
    with pytest.raises(SinkError, match=r"d\.mcap is closed$"):
        sink.publish(make_result(frames, view=False))
    sink.status(Totals())
    sink.close(Totals())
    assert path.exists() == bool(frames)


def test_a_missing_package_says_which_extra_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mcap.writer", None)
    with pytest.raises(UsageError, match=r'pip install "drivenet\[robotics\]"'):
        open_sink(str(tmp_path / "d.mcap"), fps=0, visualize="overlay")


def test_a_recorded_source_plays_as_fast_as_its_recording(tmp_path: Path) -> None:
    """However fast the node went through it."""
    path, times = tmp_path / "a.mcap", [0.0, 0.04, 1.5, 61.5]
    sink = McapSink(path, session=RecordingSession(fps=25.0))
    for index, seconds in enumerate(times):
        result = make_result(index, captured_ns=10**9 + index * 1000)
        sink.publish(replace(result, frame=replace(result.frame, media_ns=round(seconds * 1e9))))
    sink.status(Totals())
    sink.close(Totals())
    bag = decoded(path)
    for topic in (CAMERA, CLASS_MAP, FRAME):
        logged = [at for at, _ in bag[topic]]
        assert [(at - logged[0]) / 1e9 for at in logged] == pytest.approx(times, abs=1e-6)
        assert [stamp_ns(message.header.stamp) for _, message in bag[topic]] == logged
    assert bag[DIAGNOSTICS][-1][0] == bag[FRAME][-1][0]
