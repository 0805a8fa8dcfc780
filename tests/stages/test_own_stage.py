"""``--stage FILE.py:CLASS``: a stage that nobody registered."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from drivenet.cli.stages import open_stages
from drivenet.config import NodeSettings
from drivenet.engine.null import NullEngine
from drivenet.errors import EngineError, UsageError
from drivenet.frame import Frame
from drivenet.latency import Timeline
from drivenet.record import Record
from drivenet.stages import run_stages
from drivenet.stages.own import open_stage

OWN = """
from dataclasses import dataclass
from drivenet import Stage

@dataclass
class Mean:
    value: float
    def to_dict(self):
        return {"mean": self.value}

class Brightness(Stage):
    name = "brightness"
    def __call__(self, record):
        return record.with_layers(brightness=Mean(float(record.frame.image.mean())))

class Early(Brightness):
    name, on_ids = "early", True

class Failing(Stage):
    name = "failing"
    def __call__(self, record):
        return record.layers["no such layer"]

class Empty(Stage):
    name = "empty"
    def __call__(self, record):
        record.frame.image.mean()

class Blind(Stage):
    name, on_ids = "blind", True
    def __call__(self, record):
        return record.with_ids(record.classmap.ids * 0)

class Hungry(Brightness):
    needs = frozenset({"confidance"})

class Needy(Stage):
    def __init__(self, limit):
        pass
"""


@pytest.fixture
def own(tmp_path: Path) -> Path:
    file = tmp_path / "own.py"
    file.write_text(OWN)
    return file


def test_a_run_takes_a_stage_of_a_file(own: Path, tmp_path: Path) -> None:
    stats = tmp_path / "s.jsonl"
    command = ["run", "synthetic://96x64@30?frames=3", "--backend", "null", "--policy", "every", "--stats", str(stats)]
    done = subprocess.run(
        [sys.executable, "-m", "drivenet", *command, "--stage", f"{own}:Brightness"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    first, *_, last = map(json.loads, stats.read_text().splitlines())
    assert 0 < first["brightness"]["mean"] < 255
    assert first["stages_ms"]["brightness"] >= 0
    assert last["latency_ms"]["brightness"]["n"] == 3


def test_stages_stand_where_they_say_and_hiding_is_the_last(own: Path) -> None:
    settings = NodeSettings(stage=(f"{own}:Brightness", f"{own}:Early"), blur=("vehicle",))
    names = [stage.name for stage in open_stages(settings, NullEngine(), track=False)]
    assert names == ["prepare", "infer", "early", "postprocess", "brightness", "blur"]


def after(*named: str) -> Record:
    """A grey frame after the default stages of the null engine and these."""
    engine, frame = NullEngine(), Frame(np.full((96, 64, 3), 128, np.uint8), 7, 11)
    stages = open_stages(NodeSettings(stage=named), engine, track=False)
    return run_stages(Record(frame, engine.spec.label_set, Timeline(frame.captured_ns)), stages)


def test_a_stage_changes_ids_before_the_scene_is_made_of_them(own: Path) -> None:
    found = after(f"{own}:Blind")
    assert found.scene.classes == {found.labels.classes[0]: 1.0}
    assert (found.classmap.index, found.classmap.captured_ns) == (7, 11)
    with pytest.raises(UsageError, match=r"class ids uint8 \(96, 64\); expected uint8 \(144, 256\); .* classmap.ids"):
        found.with_ids(found.ids)
    with pytest.raises(UsageError, match=r"class id 11; expected 0\.\.10 of camvid, or 255 for no class"):
        found.with_ids(found.classmap.ids * 0 + 11)
    with pytest.raises(UsageError, match=r"a layer called ids; .*with_ids\(ids\) replaces the class ids"):
        found.with_layers(ids=found.ids)
    nowhere = np.full_like(found.classmap.ids, 255)
    assert found.with_ids(nowhere).classmap.ids is not found.classmap.ids


def test_a_layer_does_not_replace_a_field_of_the_stats_file(own: Path) -> None:
    found = after(f"{own}:Brightness")
    layer = found.layers["brightness"]
    fields = found.to_dict().keys() - {"brightness"}
    assert len(fields) > 5
    for field in fields | {"source_id", "file", "media_time_s", "things"}:
        with pytest.raises(
            UsageError, match=f"a layer called {field}, as a field of the stats file is; expected another"
        ):
            found.with_layers(**{field: layer})
    assert found.with_layers(things=5).layers["things"] == 5  # not written


@pytest.mark.parametrize(
    ("stage", "told"),
    [
        ("Failing", "stage failing: KeyError: 'no such layer'"),
        ("Empty", r"stage empty gave NoneType; expected a drivenet.Record; return record.with_layers\(...\)"),
    ],
)
def test_a_stage_that_fails_is_named(stage: str, told: str, own: Path) -> None:
    with pytest.raises(EngineError, match=f"^{told}"):
        after(f"{own}:{stage}")


def test_a_stage_that_needs_what_no_engine_gives_is_refused(own: Path) -> None:
    with pytest.raises(UsageError, match="'confidance', which no engine gives; did you mean confidence"):
        after(f"{own}:Hungry")


def test_several_sources_have_stages_of_their_own_of_one_class(own: Path) -> None:
    a, b = open_stage(f"{own}:Brightness"), open_stage(f"{own}:Brightness")
    assert a is not b
    assert type(a) is type(b)


def test_a_stage_of_a_module() -> None:
    assert open_stage("drivenet.stages.smooth:Smooth").name == "smooth"


@pytest.mark.parametrize(
    ("named", "told"),
    [
        ("Brightness", "FILE.py:CLASS or MODULE:CLASS"),
        ("{own}:", "FILE.py:CLASS or MODULE:CLASS"),
        ("{own}:Brightnes", "did you mean Brightness"),
        ("{own}:Mean", "no stage 'Mean'"),
        ("{own}:Needy", "cannot be made: .*limit"),
        ("{own}.py:Brightness", "No such file"),
        ("no.such.module:Stage", "No module named 'no'"),
        ("drivenet.labels:LabelSet", "no stage 'LabelSet'"),
    ],
)
def test_what_is_no_stage_is_said(named: str, told: str, own: Path) -> None:
    with pytest.raises(UsageError, match=told):
        open_stage(named.format(own=own))


def test_a_file_that_fails_is_named_with_its_reason(tmp_path: Path) -> None:
    (tmp_path / "bad.py").write_text("raise RuntimeError('no camera calibration')\n")
    for _ in range(2):
        with pytest.raises(UsageError, match=r"bad\.py:A cannot be imported: no camera calibration"):
            open_stage(f"{tmp_path / 'bad.py'}:A")
