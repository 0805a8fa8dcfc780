"""Results of a benchmark on disk, sequence by sequence: a run that was killed goes on with the next one."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from drivenet.benchmark.passes import Run, Timed
from drivenet.benchmark.video import SequenceResult
from drivenet.errors import SinkError, UsageError
from drivenet.evaluation.comparison import Comparison
from drivenet.evaluation.score_state import matrix_of, matrix_state, score_of, score_state
from drivenet.files import read_kept, write_atomic
from drivenet.latency import END_TO_END, STAGES

#: What was run, and in it every sequence that is done, once.
MANIFEST = "manifest.json"
_COLUMNS: dict[str, type] = {
    "engine": int, "sequence": str, "group": str, "frame": str, "index": int, "published": bool,
    **dict.fromkeys(("miou", "mtc", "flicker", f"{END_TO_END}_ms", *(f"{stage}_ms" for stage in STAGES)), float),
}  # fmt: skip


class Store:
    """A folder with, for each sequence, exact counts as JSON and a row a frame and engine as Parquet.

    Args:
        folder: made if it is not there.
        run: what identifies the run: engines, set, mode. A folder of another run is refused.
        commons: by engine what it is compared on.

    Raises:
        UsageError: for a folder that holds another run, or without pyarrow.
        SinkError: if it cannot be written to.
    """

    def __init__(self, folder: Path, run: Mapping[str, Any], commons: Sequence[Comparison]) -> None:
        self.folder, self._commons = folder, tuple(commons)
        try:
            import pyarrow  # noqa: F401
        except ModuleNotFoundError as error:
            raise UsageError("--out needs pyarrow", cure="pip install 'drivenet[batch]'") from error
        file = folder / MANIFEST
        self._run = json.loads(json.dumps(run))
        if file.is_file():
            before = read_kept(file, "name a new folder").get("run", {})
            if before != self._run:
                changed = sorted(k for k in self._run if before.get(k) != self._run[k])
                raise UsageError(
                    f"{folder} holds another run ({', '.join(changed)})", "the same run", "name a new folder"
                )
        else:
            self._write_manifest([])

    def get(self, sequence: str) -> list[SequenceResult] | None:
        """The results of a sequence by engine; None if it is not done."""
        file = self.folder / f"{_safe(sequence)}.json"
        if not file.is_file():
            return None
        told = read_kept(file, "delete it: its sequence is done again")
        return [_result(one, common) for one, common in zip(told["engines"], self._commons, strict=True)]

    def put(self, results: Sequence[SequenceResult]) -> None:
        """Keep a sequence: its rows, then its counts, which make it done, then the manifest."""
        name = _safe(results[0].sequence)
        self._write(f"{name}.parquet", _parquet(results))
        self._write(f"{name}.json", json.dumps({"engines": [_state(result) for result in results]}))
        done = sorted(f.stem for f in self.folder.glob("*.parquet") if f.with_suffix(".json").is_file())
        self._write_manifest(done)

    def _write_manifest(self, done: list[str]) -> None:
        self._write(MANIFEST, json.dumps({"run": self._run, "sequences": done}, indent=1) + "\n")

    def _write(self, name: str, content: str | bytes) -> None:
        try:
            write_atomic(self.folder / name, content)
        except OSError as error:
            raise SinkError(
                f"cannot write {self.folder / name}: {error.strerror or error}", "a writable folder"
            ) from None


def _state(result: SequenceResult) -> dict[str, Any]:
    run = result.run
    return {
        "sequence": result.sequence, "group": result.group, "score": score_state(result.score), "frames": result.frames,
        "timed": [asdict(one) for one in run.timed], "captured": run.captured, "published": run.published,
        "dropped": run.dropped, "fps": run.fps,
        "streaming": matrix_state(result.streaming) if result.streaming else None,
        "at_due": matrix_state(result.at_due) if result.at_due else None,
    }  # fmt: skip


def _result(state: Mapping[str, Any], common: Comparison) -> SequenceResult:
    counts = {name: state[name] for name in ("captured", "published", "dropped", "fps")}
    run = Run([Timed(**one) for one in state["timed"]], {}, **counts)
    streaming, at_due = (matrix_of(state[name], common) if state[name] else None for name in ("streaming", "at_due"))
    score = score_of(state["score"], common)
    return SequenceResult(state["sequence"], state["group"], score, run, streaming, at_due, state["frames"])


def _parquet(results: Sequence[SequenceResult]) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = [{"engine": i, **{k: v for k, v in frame.items() if k != "stages_ms"},
             **{f"{stage}_ms": ms for stage, ms in dict(frame["stages_ms"]).items()}}  # type: ignore[call-overload]
            for i, result in enumerate(results) for frame in result.frames]  # fmt: skip
    kinds = {str: pa.string(), int: pa.int64(), bool: pa.bool_(), float: pa.float64()}
    # the same for every sequence: readers take a folder's from the first file
    schema = pa.schema([(name, kinds[kind]) for name, kind in sorted(_COLUMNS.items())])
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(rows, schema), sink, compression="zstd")
    return bytes(sink.getvalue().to_pybytes())


def _safe(sequence: str) -> str:
    """A file name of a sequence's name; names that differ stay apart."""
    plain = "".join(c if c.isalnum() or c in "-_." else "-" for c in sequence).lstrip(".")
    return plain if plain == sequence else f"{plain}-{hashlib.sha256(sequence.encode()).hexdigest()[:8]}"
