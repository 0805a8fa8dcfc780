"""A node that runs: memory, descriptors and threads stay as they are, segments are whole, every frame is counted.

``DRIVENET_SOAK_MINUTES`` says for how long; a third of a minute without it. ``make soak`` takes an hour.
"""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import av
import numpy as np
import pytest
from mqtt_broker import Broker, free_port

import drivenet
from drivenet.sinks.recording.names import segments_of

pytestmark = pytest.mark.slow

pytest.importorskip("uvicorn", reason="the extra [web] is not installed")
pytest.importorskip("mcap.writer", reason="mcap is not installed (extra [robotics])")
pytest.importorskip("paho.mqtt.client", reason="paho-mqtt is not installed (extra [mqtt])")

MINUTES = float(os.environ.get("DRIVENET_SOAK_MINUTES", "0.33"))
#: Memory settles before its slope counts.
WARM_UP = 1 / 6
PATIENCE_S = 90.0


def healthy(port: int) -> int:
    """The status of /healthz; 0 if nobody answers."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().status
    except OSError:
        return 0
    finally:
        connection.close()


def state_of(pid: int) -> tuple[float, int, int]:
    """MiB of memory, descriptors and threads of a process."""
    status = Path(f"/proc/{pid}/status").read_text()
    values = {line.split(":")[0]: line.split()[1] for line in status.splitlines() if len(line.split()) > 1}
    return int(values["VmRSS"]) / 1024, len(os.listdir(f"/proc/{pid}/fd")), int(values["Threads"])


@pytest.mark.timeout(MINUTES * 60 + 300)
def test_a_node_stays_as_it_is(tmp_path: Path, broker: Broker) -> None:
    port = free_port()
    outs = ["--stats", "rec/s.jsonl", "--segment", "5s", "--keep", "100MB"]
    for out in ("rec/d.mkv", "rec/d.mcap", f"mqtt://127.0.0.1:{broker.port}/car"):
        outs += ["--out", out]
    command = [sys.executable, "-m", "drivenet", "run", "synthetic://320x192@15", "--backend", "null", "--headless"]
    environment = {**os.environ, "PYTHONPATH": str(Path(drivenet.__file__).parents[1])}
    with (
        (tmp_path / "err").open("w") as errors,
        subprocess.Popen(
            [*command, *outs, "--serve", f"127.0.0.1:{port}"], cwd=tmp_path, stderr=errors, env=environment
        ) as node,
    ):
        try:
            until = time.monotonic() + PATIENCE_S
            while healthy(port) != 200:
                assert time.monotonic() < until, (tmp_path / "err").read_text()
                time.sleep(0.2)
            seen, statuses = watch(node.pid, port, MINUTES * 60)
            node.send_signal(signal.SIGTERM)
            assert node.wait(30) == 0, (tmp_path / "err").read_text()
        finally:
            node.kill()
    report(seen, statuses)
    check_recordings(tmp_path / "rec")


def watch(pid: int, port: int, seconds: float) -> tuple[list[tuple[float, float, int, int]], list[int]]:
    """Seconds, MiB, descriptors and threads once a second, and what health said."""
    seen, statuses, began = [], [], time.monotonic()
    while (at := time.monotonic() - began) < seconds:
        statuses.append(healthy(port))
        seen.append((at, *state_of(pid)))
        time.sleep(1.0)
    return seen, statuses


def report(seen: list[tuple[float, float, int, int]], statuses: list[int]) -> None:
    settled = [row for row in seen if row[0] >= WARM_UP * seen[-1][0]]
    at, mib, fds, threads = (np.array(column, float) for column in zip(*settled, strict=True))
    slope = float(np.polyfit(at, mib, 1)[0] * 3600)
    print(
        f"{seen[-1][0] / 60:.1f} min: {mib[0]:.1f} to {mib[-1]:.1f} MiB, slope {slope:.1f} MiB/h, descriptors "
        f"{fds.min():.0f} to {fds.max():.0f}, threads {threads.min():.0f} to {threads.max():.0f} (usually, in "
        f"the first and the last third: {usual(fds)}, {usual(threads)}), "
        f"health 200 in {statuses.count(200)} of {len(statuses)}"
    )
    assert mib[-1] - mib[0] < 8 + MINUTES / 60, "memory grows"
    assert fds.max() - fds.min() <= 8, "descriptors pile up"  # segments open and close, health is asked
    assert threads.max() - threads.min() <= 8, "threads pile up"
    for counts in (fds, threads):
        before, after = usual(counts)
        assert MINUTES < 10 or after <= before, "what was opened is kept"
    if MINUTES >= 30:
        assert slope < 1.0


def usual(counts: np.ndarray) -> tuple[int, int]:
    """The median of the first and of the last third: while segments change, more and less is open for a moment."""
    third = max(1, len(counts) // 3)
    return int(np.median(counts[:third])), int(np.median(counts[-third:]))


def check_recordings(folder: Path) -> None:
    """Every segment that is left plays, and holds the frames that the stats say, marked pictures apart."""
    lines = {
        number: [json.loads(line) for line in path.read_text().splitlines()]
        for number, path in segments_of(folder / "s.jsonl")
    }
    frames = {number: sum(line["type"] == "frame" for line in told) for number, told in lines.items()}
    pictures = {number: pictures_of(path) for number, path in segments_of(folder / "d.mkv")}
    summary = lines[max(lines)][-1]
    assert summary["type"] == "summary"
    assert summary["captured"] == summary["published"] + sum(summary["dropped"].values())
    assert summary["errors"] == []
    counts = summary["sinks"]["video"]
    marked = counts.get("marked", 0)  # while a busy machine makes the source look lost
    if min(pictures) == 1:  # nothing was deleted
        assert sum(pictures.values()) == counts["published"] + marked
    both = pictures.keys() & frames.keys()
    assert sum(abs(pictures[n] - frames[n]) for n in both) <= counts["dropped"] + marked
    print(
        f"{len(pictures)} segments hold {sum(pictures.values())} pictures; {summary['captured']} frames captured, "
        f"{summary['published']} published, dropped {summary['dropped']}; by output {summary['sinks']}"
    )


def pictures_of(video: Path) -> int:
    with av.open(str(video)) as container:
        return sum(1 for _ in container.decode(video=0))
