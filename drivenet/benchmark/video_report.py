"""The rows of a benchmark on a video set: figures over all, by group and by sequence, and what they belong to."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import reduce
from operator import add
from pathlib import Path
from typing import Any

from drivenet.benchmark import environment
from drivenet.benchmark.bootstrap import Interval, Ratio, ratio, summary
from drivenet.benchmark.passes import end_to_end, jitter_ms
from drivenet.benchmark.usage import Usage
from drivenet.benchmark.video import CONTRACTS, WARMUP, Plan, SequenceResult
from drivenet.data.sequences.base import VideoSet
from drivenet.engine.base import Engine
from drivenet.errors import SourceError
from drivenet.evaluation.calibration import as_number
from drivenet.files import sha256_of
from drivenet.latency import STAGES

_Row = Mapping[str, Any]
_PACKAGE = Path(__file__).resolve().parents[1]


def report(video: VideoSet, plan: Plan, engines: Sequence[Engine], results: Sequence[Sequence[SequenceResult]],
           usages: Sequence[Usage]) -> dict[str, Any]:  # fmt: skip
    """All that was found, as JSON."""
    return {
        "contract": {**CONTRACTS[plan.mode], "clock": "time.monotonic_ns", "unit": "ms", "rate_hz": plan.rate,
                     "warmup": WARMUP, "flow": plan.flow.name,
                     "interval": "95 %, moving-block bootstrap"},
        "set": {**_set(video), "missing": list(video.missing)},
        "environment": environment(),
        "provenance": provenance(),
        "rows": [row(engine, plan, found, usage)
                 for engine, found, usage in zip(engines, results, usages, strict=True)],
    }  # fmt: skip


def _set(video: VideoSet) -> dict[str, Any]:
    return {"name": video.name, "split": video.split, "labels": video.labels.name, "frames": video.frames,
            "labelled": video.labelled, "sequences": len(video.sequences)}  # fmt: skip


def set_title(told: Mapping[str, Any]) -> str:
    """Name and, where it has one, split of a report's ``set``."""
    return f"{told['name']} {told['split']}".strip()


def row(engine: Engine, plan: Plan, results: Sequence[SequenceResult], usage: Usage) -> dict[str, Any]:
    """One engine: ``overall``, ``groups`` and ``sequences``, each with scores, latencies and counts."""
    groups = list(dict.fromkeys(result.group for result in results))
    return {
        "engine": {**engine.describe(), "sha256": digest_of(engine)},
        "overall": figures(plan, results),
        "groups": {name: figures(plan, [r for r in results if r.group == name]) for name in groups},
        "sequences": {result.sequence: figures(plan, [result]) for result in results},
        "usage": usage.to_dict(),
    }


def figures(plan: Plan, results: Sequence[SequenceResult]) -> dict[str, Any]:
    """Scores, latencies by stage, and counts, of some sequences."""
    runs = [result.run for result in results]
    samples = end_to_end(runs)
    stages = {
        stage: summary([t.stages_ms[stage] for run in runs for t in run.timed if stage in t.stages_ms])
        for stage in STAGES
    }
    captured, published = sum(run.captured for run in runs), sum(run.published for run in runs)
    out: dict[str, Any] = {
        "scores": reduce(add, (result.score for result in results)).to_dict(),
        "latency_ms": {"end_to_end": summary(samples)} | {name: found for name, found in stages.items() if found},
        "captured": captured, "published": published, "dropped": _dropped(results), "jitter_ms": jitter_ms(runs),
    }  # fmt: skip
    if plan.mode == "infer":
        out["fps"] = round(1e3 * len(samples) / sum(samples), 3) if samples else None
        del out["latency_ms"]["end_to_end"]
    else:
        out["fps"] = _rate(results)
    if plan.rate is not None:
        out["deadline_misses"] = sum(ms > 1e3 / plan.rate for ms in samples)
        for name in ("streaming", "at_due"):
            matrix = reduce(add, [getattr(result, name) for result in results])
            out["scores"][f"{name}_miou"] = (
                as_number(matrix.miou(), 10) if results[0].score.common.on == "classes" else None
            )
    return out


def latency(found: Mapping[str, Any]) -> Interval:
    """The p50 that a row is compared by: end to end, or of the inference alone."""
    ms = found["latency_ms"].get("end_to_end") or found["latency_ms"]["infer"]
    return Interval(ms["p50"], *ms["p50_interval"])


def check_earlier(video: VideoSet, plan: Plan, engines: Sequence[Engine], before: Mapping[str, Any]) -> None:
    """SourceError for an earlier report in another mode, on other frames, or of other engines: before the work."""
    mode = CONTRACTS[plan.mode]["mode"]
    if (mode, plan.rate) != (before["contract"]["mode"], before["contract"]["rate_hz"]):
        raise SourceError(f"an earlier run in mode {before['contract']['mode']}", f"{mode}, at the same rate")
    told, now = before["set"], {name: value for name, value in _set(video).items() if value != ""}
    other = [f"{name} {told.get(name)}, not {now[name]}" for name in now if told.get(name) != now[name]]
    if other:
        raise SourceError(f"an earlier run on {set_title(told)}: {'; '.join(other)}", "one on the same set")
    mine = [{"engine": {**engine.describe(), "sha256": digest_of(engine)}} for engine in engines]
    if not any(_earlier(one, mine, before["rows"]) for one in mine):
        raise SourceError("an earlier run of other engines", f"one of {', '.join(_names(before['rows']))}")


def against(now: Mapping[str, Any], before: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Each row of a report over the row of an earlier one with the same engine, backend and precision."""
    found = []
    for one, name in zip(now["rows"], _names(now["rows"]), strict=True):
        if (row := _earlier(one, now["rows"], before["rows"])) is not None:
            old = row["overall"]
            found.append({"engine": name, "p50": _ratio(one["overall"], old).to_dict(),
                          "miou": _difference(one["overall"], old),
                          "same_machine": now["environment"]["cpu"] == before["environment"]["cpu"]})  # fmt: skip
    return found


def _earlier(one: _Row, now: Sequence[_Row], before: Sequence[_Row]) -> _Row | None:
    """The earlier row of an engine: of those of its name the one of its folder, or content, else the only one."""
    alike = [old for old in before if _key(old) == _key(one)]
    for what in ("file", "sha256"):
        for old in alike:
            if one["engine"].get(what) is not None and old["engine"].get(what) == one["engine"][what]:
                return old
    is_only = len(alike) == 1 == sum(_key(other) == _key(one) for other in now)
    return alike[0] if is_only else None


def _names(rows: Sequence[_Row]) -> list[str]:
    """What rows are called: file, backend and precision, with the folder where another file is called alike."""
    keys = [_key(row) for row in rows]
    return [" ".join((row["engine"]["file"] if keys.count(key) > 1 else key[0], *key[1:]))
            for row, key in zip(rows, keys, strict=True)]  # fmt: skip


def provenance() -> dict[str, Any]:
    """Commit of the checkout, machine and command line."""
    return {"commit": _commit(), "machine": platform.node(), "command": ["drivenet", *sys.argv[1:]],
            "affinity": len(os.sched_getaffinity(0))}  # fmt: skip


def _commit() -> str | None:
    """The commit of the checkout that drivenet runs from, ``-dirty`` if it was changed; None for an installed one."""
    try:
        done = subprocess.run(
            ["git", "-C", str(_PACKAGE), "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"],
            capture_output=True, text=True, timeout=10, check=True,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None


def digest_of(engine: Engine) -> str | None:
    """SHA-256 of an engine's file; None for one without."""
    file = Path(engine.file)
    return sha256_of(file) if file.is_file() else None


def _dropped(results: Sequence[SequenceResult]) -> dict[str, int]:
    out: dict[str, int] = {}
    for result in results:
        for reason, n in result.run.dropped.items():
            out[reason] = out.get(reason, 0) + n
    return out


def _rate(results: Sequence[SequenceResult]) -> float | None:
    """Frames that were published in a second, sequence by sequence; None where no sequence has two."""
    timed = [[t.published_ns for t in result.run.timed if t.published_ns] for result in results]
    spans = [(len(stamps) - 1, stamps[-1] - stamps[0]) for stamps in timed if len(stamps) > 1]
    seconds = sum(ns for _, ns in spans) / 1e9
    return round(sum(n for n, _ in spans) / seconds, 3) if seconds else None


def _key(one: Mapping[str, Any]) -> tuple[str, str, str]:
    engine = one["engine"]
    return Path(engine["file"]).name, engine["backend"], engine["precision"]


def _ratio(now: Mapping[str, Any], before: Mapping[str, Any]) -> Ratio:
    return ratio(latency(now), latency(before))


def _difference(now: Mapping[str, Any], before: Mapping[str, Any]) -> float | None:
    ours, theirs = now["scores"]["miou"], before["scores"]["miou"]
    return None if ours is None or theirs is None else round(ours - theirs, 6)
