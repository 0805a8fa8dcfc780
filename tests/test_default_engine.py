"""The engine that ships: its golden ids, its score on held-out drawn frames, its record."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from drivenet.artefacts.catalog import find, list_models
from drivenet.classmap import ThingMaps
from drivenet.data import open_dataset
from drivenet.engine import open_engine
from drivenet.engine.base import Engine
from drivenet.engine.things import infer_instances
from drivenet.evaluation import evaluate
from drivenet.files import sha256_of
from drivenet.metrics import agreement
from drivenet.pipeline import Pipeline
from drivenet.prepare import prepare
from drivenet.resources import engines_dir
from drivenet.result import Result
from drivenet.scene import parted
from drivenet.sinks.base import Sink
from drivenet.sources import open_source
from drivenet.synthetic import SyntheticDrive
from drivenet.things.agreement import ThingAgreement

GOLDEN = Path(__file__).parent / "golden" / "default.npz"


class Ids(Sink):
    """Keeps every class map."""

    needs_view = False

    def __init__(self) -> None:
        self.found: list[np.ndarray] = []

    def publish(self, result: Result) -> None:
        self.found.append(result.classmap.ids)


@pytest.fixture
def engine() -> Iterator[Engine]:
    loaded = open_engine(find("fast", engines_dir()), "onnxruntime")
    yield loaded
    loaded.close()


def replay(frames: int) -> np.ndarray:
    """The golden clip through a whole pipeline."""
    width, height, fps, seed = np.load(GOLDEN)["clip"].tolist()
    uri = f"synthetic://{width:.0f}x{height:.0f}@{fps:g}?seed={seed:.0f}&frames={frames}"
    sink = Ids()
    engine = open_engine(find("fast", engines_dir()), "onnxruntime")
    Pipeline(open_source(uri, paced=False), engine, [sink], policy="every").run()
    return np.stack(sink.found)


def test_golden_replay() -> None:
    """Two runs agree to the bit; with the stored ids on 99.9 % of pixels, since other processors round otherwise."""
    golden = np.load(GOLDEN)
    assert str(golden["engine"]) == sha256_of(find("fast", engines_dir())), "run tools/make_golden.py"
    first, second = replay(len(golden["ids"])), replay(len(golden["ids"]))
    assert np.array_equal(first, second)
    assert agreement(first.reshape(-1, first.shape[-1]), golden["ids"].reshape(-1, first.shape[-1])) >= 0.999


def test_golden_things(engine: Engine) -> None:
    """The golden maps part the same things, by a few pixels on other processors; none without a head."""
    golden, spec = np.load(GOLDEN), engine.spec
    assert ("centres" in golden) == ("offsets" in golden) == (spec.things is not None), "run tools/make_golden.py"
    if spec.things is None:
        return
    width, height, fps, seed = golden["clip"].tolist()
    drive, same = SyntheticDrive(int(width), int(height), fps, int(seed)), ThingAgreement()
    for i, ids in enumerate(golden["ids"]):
        _, found = infer_instances(engine, prepare(drive.render(i)[0], spec.input), spec.input)
        maps = ThingMaps(golden["centres"][i], golden["offsets"][i])
        same.add(parted(ids, maps, spec.things, spec.label_set).instances, found)
    assert same.counted > 5
    assert same.share >= 0.95


def test_the_score_on_held_out_drawn_frames_is_as_stated(engine: Engine) -> None:
    """At least 0.67 mIoU, in CamVid's classes, on seeds that are never trained on."""
    report = evaluate(engine, open_dataset("synthetic", None, "val"))
    assert report.miou >= 0.67
    assert report.images == 48


def test_the_default_says_what_it_is() -> None:
    rows = list_models(engines_dir())
    assert [row["default"] for row in rows].count(True) == 1
    for row in rows:
        assert row["trained_on"]
        assert row["data_licence"]
        file = Path(str(row["file"]))
        assert file.stat().st_size <= 20 * 2**20
    assert sum(p.stat().st_size for p in engines_dir().iterdir() if p.suffix in (".onnx", ".json")) <= 45 * 2**20
