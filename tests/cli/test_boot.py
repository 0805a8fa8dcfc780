"""A node whose camera and broker are not there when it starts: it runs, says why nothing comes, and ends in order."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cli_parts import started, wait_until
from mqtt_broker import free_port


def events(path: Path) -> dict[str, str]:
    lines = path.read_text().splitlines() if path.exists() else []
    found = [json.loads(line) for line in lines if line.endswith("}")]
    return {line["code"]: line["text"] for line in found if line["type"] == "event"}


def test_a_camera_that_is_not_there_is_lost_with_its_cause(tmp_path: Path) -> None:
    source = f"rtsp://cam:hushed@127.0.0.1:{free_port()}/live"
    with started("run", source, "--backend", "null", "--headless", "--stats", "s.jsonl", cwd=tmp_path) as node:
        wait_until(lambda: "source.lost" in events(tmp_path / "s.jsonl") or node.poll() is not None)
        assert node.poll() is None
        node.terminate()
        assert node.wait(30) == 0
    assert "refused" in events(tmp_path / "s.jsonl")["source.lost"]
    assert "hushed" not in (tmp_path / "s.jsonl").read_text()


def test_a_mistyped_camera_ends_with_a_line_and_is_waited_for_where_that_is_asked(tmp_path: Path) -> None:
    how = ("run", "/dev/video97", "--backend", "null", "--headless", "--stats", "s.jsonl")
    with started(*how, cwd=tmp_path) as node:
        assert node.wait(60) == 3
        assert node.stderr
        (said,) = node.stderr.read().decode().strip().splitlines()
    assert "--wait waits for it" in said
    for flag in ("--wait", "--supervise"):
        stats = tmp_path / f"{flag}.jsonl"
        with started(*how[:-1], stats.name, flag, cwd=tmp_path) as node:
            wait_until(lambda stats=stats: "source.lost" in events(stats))  # type: ignore[misc]
            node.terminate()
            assert node.wait(30) == 0


def test_what_may_be_a_recording_is_waited_for_where_that_is_asked(tmp_path: Path) -> None:
    """A camera that sends motion JPEG or a playlist has an address as a film on a server has."""
    how = ("run", f"http://127.0.0.1:{free_port()}/video", "--backend", "null", "--headless", "--stats", "s.jsonl")
    with started(*how, cwd=tmp_path) as node:
        assert node.wait(60) == 3
        assert node.stderr
        (said,) = node.stderr.read().decode().strip().splitlines()
    assert said.endswith("; --wait waits for it")
    for flag in ("--wait", "--supervise"):
        stats = tmp_path / f"{flag}.jsonl"
        with started(*how[:-1], stats.name, flag, cwd=tmp_path) as node:
            wait_until(lambda: "source.lost" in events(stats) or node.poll() is not None)  # noqa: B023
            assert node.poll() is None
            node.terminate()
            assert node.wait(30) == 0
        assert "refused" in events(stats)["source.lost"]


def test_a_broker_that_is_not_there_costs_no_frame_of_the_others(tmp_path: Path) -> None:
    pytest.importorskip("paho.mqtt", reason="paho-mqtt is not installed (extra [mqtt])")
    out = f"mqtt://127.0.0.1:{free_port()}/car"
    how = ("--backend", "null", "--headless", "--stats", "s.jsonl", "--out", out, "--max-frames", "60")
    with started("run", "synthetic://96x64@30", *how, "--out", "o.mkv", cwd=tmp_path) as node:
        assert node.wait(90) == 5
        assert node.stderr
        said = node.stderr.read().decode()
    assert "no MQTT broker at 127.0.0.1" in said
    summary = json.loads((tmp_path / "s.jsonl").read_text().splitlines()[-1])
    assert summary["sinks"]["mqtt"]["published"] == 0
    assert summary["sinks"]["video"]["published"] > 30
    assert "output.away" in events(tmp_path / "s.jsonl")
