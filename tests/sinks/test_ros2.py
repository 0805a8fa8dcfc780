"""Another process on the bus gets every topic, and reads what the result held with another implementation."""

from __future__ import annotations

import base64
import contextlib
import importlib.util
import json
import random
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from sink_results import fares, make_result, opened

from drivenet.errors import SinkError, UsageError
from drivenet.latency import now_ns
from drivenet.result import Totals
from drivenet.sinks import open_sink

pytest.importorskip("cyclonedds", reason="cyclonedds is not installed (extra [ros2], x86 only)")
typesys = pytest.importorskip("rosbags.typesys", reason="rosbags is not installed (extra [test])")

LISTENER = Path(__file__).with_name("ros2_listener.py")
LOOPBACK = """
<CycloneDDS><Domain>
  <General><Interfaces><NetworkInterface name="lo" multicast="false"/></Interfaces></General>
  <Discovery><ParticipantIndex>auto</ParticipantIndex><Peers><Peer address="127.0.0.1"/></Peers></Discovery>
</Domain></CycloneDDS>
"""
VISION = {
    "vision_msgs/msg/VisionClass": "uint16 class_id\nstring class_name",
    "vision_msgs/msg/LabelInfo": "std_msgs/Header header\nvision_msgs/VisionClass[] class_map\nfloat32 threshold",
    # vision_msgs 4.1, as in Humble and later
    "vision_msgs/msg/Point2D": "float64 x\nfloat64 y",
    "vision_msgs/msg/Pose2D": "vision_msgs/Point2D position\nfloat64 theta",
    "vision_msgs/msg/BoundingBox2D": "vision_msgs/Pose2D center\nfloat64 size_x\nfloat64 size_y",
    "vision_msgs/msg/ObjectHypothesis": "string class_id\nfloat64 score",
    "vision_msgs/msg/ObjectHypothesisWithPose": (
        "vision_msgs/ObjectHypothesis hypothesis\ngeometry_msgs/PoseWithCovariance pose"
    ),
    "vision_msgs/msg/Detection2D": (
        "std_msgs/Header header\nvision_msgs/ObjectHypothesisWithPose[] results\nvision_msgs/BoundingBox2D bbox\n"
        "string id"
    ),
    "vision_msgs/msg/Detection2DArray": "std_msgs/Header header\nvision_msgs/Detection2D[] detections",
}
PICTURES, LABELS = ("rt/car/front/overlay/compressed", "rt/car/front/class_map"), "rt/car/front/label_info"
DIAGNOSTICS, THINGS = "rt/diagnostics", "rt/car/front/things"


@pytest.fixture
def domain(monkeypatch: pytest.MonkeyPatch) -> int:
    """A domain that no other test is in, and that does not leave this machine."""
    monkeypatch.setenv("CYCLONEDDS_URI", LOOPBACK)
    return random.SystemRandom().randrange(100, 230)


@pytest.fixture(scope="module")
def ros() -> Any:
    """The types of ROS 2 Humble, by an implementation that is not ours."""
    store = typesys.get_typestore(typesys.Stores.ROS2_HUMBLE)
    for name, text in VISION.items():
        store.register(typesys.get_types_from_msg(text, name))
    return store


def heard(domain: int, topics: tuple[str, ...], speak: Callable[[], object]) -> dict[str, dict[str, Any]]:
    """What another process hears on each topic, first message only, while this one goes on speaking."""
    command = [sys.executable, str(LISTENER), str(domain), *topics]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as listener:
        try:
            assert listener.stdout
            assert listener.stdout.readline() == "ready\n"
            deadline = time.monotonic() + 90
            while time.monotonic() < deadline:
                speak()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    listener.wait(0.02)
                    break
            lines = [json.loads(line) for line in listener.communicate(timeout=1)[0].splitlines()]
        finally:
            listener.kill()
    return {line["topic"]: line for line in lines}


def decode(ros: Any, line: dict[str, Any]) -> Any:
    package, name = line["type"].removesuffix("_").split("::msg::dds_::")
    return ros.deserialize_cdr(base64.b64decode(line["cdr"]), f"{package}/msg/{name}")


def nanoseconds(message: Any) -> int:
    return int(message.header.stamp.sec) * 1_000_000_000 + int(message.header.stamp.nanosec)


def test_another_process_gets_every_topic_and_reads_the_same_values(domain: int, ros: Any) -> None:
    captured = now_ns()
    wall_ns = time.time_ns()
    result = make_result(17, captured_ns=captured)
    things = tuple(replace(thing, id=12) for thing in result.scene.things)
    result = result.with_layers(scene=replace(result.scene, things=things))
    totals = Totals(captured=20, published=18, dropped={"superseded": 2}, engine={"backend": "null"})
    totals.latency.add(result.timeline)

    with opened(f"ros2://{domain}/car/front?frame_id=front_camera") as sink:
        assert (sink.name, sink.target, sink.overflow) == (
            "ros2",
            f"ros2://{domain}/car/front?frame_id=front_camera",
            "drop",
        )

        def speak() -> None:
            sink.publish(result)
            sink.status(totals)

        lines = heard(domain, (*PICTURES, LABELS, DIAGNOSTICS, THINGS), speak)

    (seen,) = decode(ros, lines[THINGS]).detections
    (car,) = result.scene.things
    x, y, w, h = car.box
    assert (seen.id, seen.results[0].hypothesis.class_id, seen.header.frame_id) == ("12", "Car", "front_camera")
    assert (seen.bbox.center.position.x, seen.bbox.center.position.y) == (x + w / 2, y + h / 2)
    assert (seen.bbox.size_x, seen.bbox.size_y) == (w, h)
    overlay, class_map, labels, diagnostics = (decode(ros, lines[t]) for t in (*PICTURES, LABELS, DIAGNOSTICS))
    assert {m.header.frame_id for m in (overlay, class_map, labels, diagnostics)} == {"front_camera"}
    assert nanoseconds(overlay) == nanoseconds(class_map) == nanoseconds(labels)
    assert abs(nanoseconds(overlay) - wall_ns) < 60_000_000_000
    assert overlay.format == "jpeg"
    assert np.abs(cv2.imdecode(overlay.data, cv2.IMREAD_COLOR).astype(int) - result.view).mean() < 3
    assert (class_map.encoding, class_map.step, class_map.is_bigendian) == ("mono8", 32, 0)
    assert np.array_equal(class_map.data.reshape(class_map.height, class_map.width), result.classmap.ids)
    assert [(c.class_id, c.class_name) for c in labels.class_map] == list(enumerate(result.labels.classes))
    values = {f"{s.name}/{v.key}": v.value for s in diagnostics.status for v in s.values}
    assert (values["car/front: node/captured"], values["car/front: node/dropped superseded"]) == ("20", "2")
    assert values["car/front: node/fps published"] == "nan", "no frame was booked"
    assert float(values["car/front: latency in ms/end_to_end p50"]) == pytest.approx(
        totals.latency.by_stage["end_to_end"].percentile(50), rel=0.01
    )
    assert {s.level for s in diagnostics.status} == {0}


def test_writers_offer_what_readers_of_such_topics_expect_and_say_their_types_hash(domain: int, ros: Any) -> None:
    with opened(f"ros2://{domain}/car/front") as sink:

        def speak() -> None:
            sink.publish(make_result())
            sink.status(Totals())

        lines = heard(domain, (*PICTURES, LABELS, DIAGNOSTICS, THINGS), speak)

    offered = {topic: " ".join(line["offered"]) for topic, line in lines.items()}
    assert all("BestEffort" in offered[t] and "KeepLast(depth=5)" in offered[t] for t in PICTURES)
    assert "Reliability.Reliable" in offered[LABELS]
    assert "Durability.TransientLocal" in offered[LABELS]
    assert "Reliability.Reliable" in offered[DIAGNOSTICS]
    for topic, line in lines.items():
        package, name = line["type"].removesuffix("_").split("::msg::dds_::")
        assert f"typehash={ros.hash_rihs01(f'{package}/msg/{name}')};" in offered[topic]


def test_labels_are_said_once_and_reach_who_comes_later(domain: int, ros: Any) -> None:
    with opened(f"ros2://{domain}/car/front") as sink:
        sink.publish(make_result(captured_ns=now_ns()))
        labels = decode(ros, heard(domain, (LABELS,), lambda: None)[LABELS])
    assert labels.class_map[3].class_name == "Road"


def test_a_lost_source_is_an_error_with_a_picture_and_without_a_class_map(domain: int, ros: Any) -> None:
    view = np.full((48, 64, 3), 90, np.uint8)
    with opened(f"ros2://{domain}/car/front") as sink:
        sink.publish(make_result(captured_ns=now_ns()))

        def speak() -> None:
            sink.health(fares("lost", 3.2, "no frame from the source"))
            sink.marked(view, fares("lost", 3.2))
            sink.status(Totals())

        lines = heard(domain, (PICTURES[0], DIAGNOSTICS), speak)
    assert cv2.imdecode(decode(ros, lines[PICTURES[0]]).data, cv2.IMREAD_COLOR)[20, 20].tolist() == [90, 90, 90]
    node = decode(ros, lines[DIAGNOSTICS]).status[0]
    assert (node.level, node.message) == (2, "lost for 3 s: no frame from the source")


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("ros2://0", "expected ros2://DOMAIN/NAMESPACE such as ros2://0/drivenet"),
        ("ros2://0/", "expected ros2://DOMAIN/NAMESPACE"),
        ("ros2://zero/drivenet", "expected ros2://DOMAIN/NAMESPACE"),
        ("ros2:///drivenet", "expected ros2://DOMAIN/NAMESPACE"),
        ("ros2://233/drivenet", "ROS domain 233 .*expected 0 to 232"),
        ("ros2://0/9lives", "namespace '9lives'"),
        ("ros2://0/a__b", "namespace 'a__b'"),
        ("ros2://0/a//b", "namespace 'a//b'"),
        ("ros2://0/a?frame=x", r"no setting 'frame'; did you mean frame_id\?"),
        ("ros2://0/a?frame_id=", "sets 'frame_id' twice or to nothing"),
    ],
)
def test_an_address_that_is_none_is_told_in_a_line(uri: str, said: str) -> None:
    with pytest.raises(UsageError, match=said) as caught:
        open_sink(uri, fps=0, visualize="overlay")
    assert "\n" not in str(caught.value)


def test_a_network_that_cannot_be_joined_is_a_sink_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CYCLONEDDS_URI", LOOPBACK.replace('name="lo"', 'name="no-such-interface"'))
    with pytest.raises(SinkError, match=r"DDS domain \d+ cannot be joined: .*check the network interfaces"):
        open_sink(f"ros2://{random.SystemRandom().randrange(100, 230)}/a", fps=0, visualize="overlay")


def test_without_ros_and_cyclone_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(
        UsageError, match=r"neither rclpy nor cyclonedds; source ROS 2 .*pip install 'drivenet\[ros2\]'"
    ):
        open_sink("ros2://0/a", fps=0, visualize="overlay")


RCLPY = {
    "rclpy/__init__.py": """
        said = []
        def init(args, context, domain_id): said.append(f"init {domain_id}")
        def shutdown(context): said.append("shutdown")
        class Publisher:
            def __init__(self, kind, topic, qos):
                self.topic = topic
                said.append(f"{topic} {kind.__name__} {' '.join(map(str, qos.values()))}")
            def get_subscription_count(self): return self.topic != "/car/class_map"
            def publish(self, cdr): said.append(f"{self.topic} {type(cdr).__name__} {cdr[:4].hex()}")
        class Node:
            def create_publisher(self, kind, topic, qos): return Publisher(kind, topic, qos)
            def destroy_node(self): said.append("destroy")
        def create_node(name, context): return Node()
    """,
    "rclpy/context.py": "class Context: pass",
    "rclpy/qos.py": """
        class ReliabilityPolicy: RELIABLE, BEST_EFFORT = "reliable", "best-effort"
        class DurabilityPolicy: TRANSIENT_LOCAL, VOLATILE = "latched", "volatile"
        class HistoryPolicy: KEEP_LAST = "last"
        QoSProfile = dict
    """,
    "sensor_msgs/msg.py": "class Image: pass\nclass CompressedImage: pass",
    "diagnostic_msgs/msg.py": "class DiagnosticArray: pass",
    "vision_msgs/msg.py": "class LabelInfo: pass\nclass Detection2DArray: pass",
}
RUN_RCLPY = """
import rclpy
from drivenet.errors import UsageError
from drivenet.result import Totals
from drivenet.sinks import open_sink
from sink_results import fares, make_result
try:
    sink = open_sink("ros2://7/car", fps=0, visualize="overlay")
    sink.publish(make_result())
    sink.close(Totals())
    print(*rclpy.said, sep="\\n")
except UsageError as error:
    print(error)
"""


def run_with_rclpy(folder: Path, parts: dict[str, str]) -> list[str]:
    """What a stand-in for ROS 2 was asked for; that the real one does the same is not tested here."""
    for name, text in parts.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("\n".join(line.removeprefix(" " * 8) for line in text.splitlines()))
    paths = [str(folder), str(LISTENER.parent), *sys.path]
    code = f"import sys; sys.path[:0] = {paths!r}\n{RUN_RCLPY}"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.splitlines()


def test_where_ros_is_sourced_its_own_rclpy_gets_the_same_bytes(tmp_path: Path) -> None:
    assert run_with_rclpy(tmp_path, RCLPY) == [
        "init 7",
        "/car/overlay/compressed CompressedImage last 5 best-effort volatile",
        "/car/class_map Image last 5 best-effort volatile",
        "/car/things Detection2DArray last 5 best-effort volatile",
        "/car/label_info LabelInfo last 1 reliable latched",
        "/diagnostics DiagnosticArray last 5 reliable volatile",
        "/car/label_info bytes 00010000",
        "/car/overlay/compressed bytes 00010000",
        "/car/things bytes 00010000",
        "/diagnostics bytes 00010000",
        "destroy",
        "shutdown",
    ]


def test_a_message_package_that_ros_lacks_is_named(tmp_path: Path) -> None:
    parts = {name: text for name, text in RCLPY.items() if "vision" not in name}
    (said,) = run_with_rclpy(tmp_path, parts)
    assert "vision_msgs cannot be imported" in said
    assert "apt install ros-" in said
