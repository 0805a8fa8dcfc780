"""A node that records is killed again and again: what is lost, and how soon it publishes again.

``DRIVENET_KILLS`` says how often; 3 times without it. ``make soak`` takes 200, one every 13 s.
"""

from __future__ import annotations

import json
import os
import random
import signal
import time
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from supervised import NODE, PATIENCE_S, published, started, the_child, wait_until

from drivenet.latency import now_ns

pytestmark = pytest.mark.slow

KILLS = int(os.environ.get("DRIVENET_KILLS", "3"))
#: Between two kills of the long form: the parent gives up a node that dies more than five times a minute.
BETWEEN_S = (11.0, 15.0)
IS_LONG = KILLS > 4
#: The contract of the long form. In the short one a node dies in its first seconds, and waits grow.
LOST_S, AGAIN_S = (1.5, 2.0) if IS_LONG else (10.0, 10.0)


@pytest.mark.timeout(KILLS * 60 + 120)
def test_a_node_that_is_killed_publishes_again_and_every_recording_plays(tmp_path: Path) -> None:
    luck, killed, moments = random.Random(17), [], []
    command = ("-m", "drivenet", *NODE, "--out", "o.mkv", "--stats", "s.jsonl", "--supervise")
    with started(*command, cwd=tmp_path) as parent:
        for n in range(KILLS):
            stats = stats_of(tmp_path, n)
            wait_until(
                lambda stats=stats: stats.exists() and stats.read_bytes().count(b'"frame"') > 60,
                (tmp_path / "err").read_text(),
            )
            killed.append(the_child(parent, *killed))
            time.sleep(luck.uniform(*BETWEEN_S) if IS_LONG else 0.0)
            moments.append((began_ns(killed[-1]), now_ns()))
            os.kill(killed[-1], signal.SIGKILL)
        wait_until(lambda: published(stats_of(tmp_path, KILLS)))
        last_began = began_ns(the_child(parent, *killed))
        parent.terminate()
        assert parent.wait(PATIENCE_S) == 0
    assert len(set(killed)) == KILLS
    said = (tmp_path / "err").read_text()
    assert said.count("drivenet: the node was killed by SIGKILL; restart") == KILLS
    assert '"code":"node.restarted"' in stats_of(tmp_path, KILLS).read_text()
    begins = [*(began for began, _ in moments[1:]), last_began]
    check(tmp_path, [died for _, died in moments], begins)


def check(folder: Path, died: list[int], begins: list[int]) -> None:
    """What was lost of each recording, and how soon the next one began; ``begins``: when its process was started."""
    frames = [frames_of(stats_of(folder, n)) for n in range(KILLS + 1)]
    first = [told[0]["captured_ns"] for told in frames]
    ends = [first[n] + length_ns(folder / ("o.mkv" if n == 0 else f"o-{n + 1}.mkv")) for n in range(KILLS + 1)]
    lost = {
        "MKV": [(at - end) / 1e9 for at, end in zip(died, ends, strict=False)],
        "JSONL": [(at - told[-1]["captured_ns"]) / 1e9 for at, told in zip(died, frames, strict=False)],
    }
    again = [(at - dead) / 1e9 for at, dead in zip(first[1:], died, strict=True)]
    load = [(at - began) / 1e9 for at, began in zip(first[1:], begins, strict=True)]
    beyond = np.subtract(again, load)  # what is not the loading itself
    told = ", ".join(f"{kind} {np.mean(of):.2f} s on average, {max(of):.2f} s at most" for kind, of in lost.items())
    pauses = [longest_pause_s(one) + max(frame["end_to_end_ms"] for frame in one) / 1000 for one in frames[:-1]]
    print(
        f"{KILLS} kills: lost {told}; frames were late by {np.median(pauses):.2f} s (median), "
        f"{max(pauses):.2f} s at most; the next frame {np.median(again):.2f} s after a kill, "
        f"{np.quantile(again, 0.95):.2f} s at p95; without the loading {np.median(beyond):.2f} and "
        f"{np.quantile(beyond, 0.95):.2f} s"
    )
    # while the machine gives the node no time, or its disk takes nothing, seconds pass that are nobody's loss
    assert all(max(0.0, gone - pause) <= LOST_S for of in lost.values() for gone, pause in zip(of, pauses, strict=True))
    assert np.quantile(beyond, 0.95) <= AGAIN_S


def longest_pause_s(frames: list[dict[str, Any]]) -> float:
    """Between two frames of a run that follow each other."""
    return float(np.diff([frame["captured_ns"] for frame in frames]).max() / 1e9)


def stats_of(folder: Path, number: int) -> Path:
    return folder / ("s.jsonl" if number == 0 else f"s-{number + 1}.jsonl")


def frames_of(stats: Path) -> list[dict[str, Any]]:
    """Its frame lines; the last one may be torn."""
    whole = stats.read_text().splitlines(keepends=True)
    lines = [json.loads(line) for line in whole if line.endswith("\n")]
    return [line for line in lines if line["type"] == "frame"]


def length_ns(video: Path) -> int:
    """When its last picture is shown, in ns; every picture decodes."""
    with av.open(str(video)) as container:
        return max(round(float(frame.time or 0) * 1e9) for frame in container.decode(video=0))


def began_ns(pid: int) -> int:
    """When a process was started, by the monotonic clock; in steps of a hundredth of a second."""
    ticks = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    asleep = time.clock_gettime_ns(time.CLOCK_BOOTTIME) - time.clock_gettime_ns(time.CLOCK_MONOTONIC)
    return ticks * 1_000_000_000 // os.sysconf("SC_CLK_TCK") - asleep
