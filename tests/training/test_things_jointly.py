"""A head for single things that is trained with the network: what it learns from, resume, export."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch (extra [train]) is not installed")
pytest.importorskip("onnx", reason="onnx (extra [train]) is not installed")

from drivenet.data.base import Sample  # noqa: E402
from drivenet.engine import open_engine  # noqa: E402
from drivenet.errors import UsageError  # noqa: E402
from drivenet.export.onnx import export_checkpoint, export_onnx, parameters  # noqa: E402
from drivenet.label_mapping import LabelMapping  # noqa: E402
from drivenet.labels import CITYSCAPES, IGNORE_ID, LabelSet  # noqa: E402
from drivenet.models import checkpoint, create  # noqa: E402
from drivenet.modelspec import LabelsSpec  # noqa: E402
from drivenet.prepare import prepare_for  # noqa: E402
from drivenet.synthetic import SyntheticDrive  # noqa: E402
from drivenet.things import UNSURE  # noqa: E402
from drivenet.training.assemble import assemble  # noqa: E402
from drivenet.training.augment import Augment  # noqa: E402
from drivenet.training.instances import batch_loss, numbered  # noqa: E402
from drivenet.training.sets import SetCodes  # noqa: E402
from drivenet.training.settings import AugmentSettings  # noqa: E402
from drivenet.training.sources import Val  # noqa: E402
from tests.training.tiny_runs import UNVARIED, losses, material_of, tiny  # noqa: E402

OPTIONS = {"width": 16, "head": 16, "things": 16}
GROUND = LabelSet("ground", ("way", "rest"), ((1, 2, 3), (4, 5, 6)), {"way": "road", "rest": "background"})
MODEL: dict[str, Any] = {"architecture": "efficientnet_fpn", "options": OPTIONS}


def settings(**changes: Any) -> Any:
    return tiny(model=MODEL, labels="cityscapes", **changes)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[int, float]]:
    folder = tmp_path_factory.mktemp("jointly")
    return folder, losses(folder, settings(iterations=6))[1]


def test_a_resumed_run_has_the_same_losses(run: tuple[Path, dict[int, float]], tmp_path: Path) -> None:
    before = losses(tmp_path, settings(iterations=6), stop_after=3)[1]
    after = losses(tmp_path, settings(iterations=6))[1]
    assert {**before, **after} == pytest.approx(run[1], rel=1e-3)
    learnt, fresh = checkpoint.load(run[0] / "best.pt")["network"], create("efficientnet_fpn", 19, OPTIONS)
    moved = [name for name, value in fresh.state_dict().items() if name.startswith("things.")]
    assert moved
    assert all(name in learnt for name in moved)


def test_the_network_learns_where_things_are(tmp_path: Path) -> None:
    """The head's loss falls on frames that it sees again and again, and so does that of the features below it."""
    plain = {**UNVARIED, "crop": [96, 160], "scale": [1, 1], "aspect": [1, 1]}
    joint = settings(augment=plain, iterations=60, validate_every=60, checkpoint_every=60, input=[96, 160])
    drive = SyntheticDrive(160, 96, seed=4, labels=CITYSCAPES)
    frames = [drive.frame(i) for i in (0, 40)]
    samples = [Sample(f.image, f.ids, str(i), f.instances) for i, f in enumerate(frames)]
    material = replace(
        material_of(CITYSCAPES, samples), vals=[Val("drawn", samples, LabelMapping.of(CITYSCAPES, CITYSCAPES), 1)]
    )
    trainer = assemble(joint, material, tmp_path, torch.device("cpu"))
    images, _, instances = trainer.batches.at(0)
    scaled = images.float() / 128 - 1

    def of_things() -> float:
        trainer.network.train()
        with torch.no_grad():
            return float(batch_loss(trainer.network(scaled)[-1], instances))

    before = of_things()
    trainer.run()
    assert of_things() < 0.8 * before


def test_its_export_parts_things_and_gives_the_ids_of_the_network(
    run: tuple[Path, dict[int, float]], tmp_path: Path
) -> None:
    best = run[0] / "best.pt"
    spec = export_checkpoint(best, tmp_path / "joint.onnx")
    assert spec.things is not None
    assert spec.training["things"]["jointly"]
    state = checkpoint.load(best)
    alone = {name: value for name, value in state["network"].items() if not name.startswith("things.")}
    plain = {**state["settings"]["model"], "options": {**OPTIONS, "things": 0}}
    checkpoint.save(
        tmp_path / "alone.pt", {**state, "network": alone, "settings": {**state["settings"], "model": plain}}
    )
    bare = export_checkpoint(tmp_path / "alone.pt", tmp_path / "alone.onnx")
    assert (bare.things, bare.params) == (None, spec.params)
    image = prepare_for(SyntheticDrive(96, 64, seed=1).frame(0).image, spec)
    files = (tmp_path / "joint.onnx", tmp_path / "alone.onnx")
    with closing(open_engine(files[0], "onnxruntime")) as joint, closing(open_engine(files[1], "onnxruntime")) as other:
        ids, maps = joint.infer_things(image)
        np.testing.assert_array_equal(ids, other.infer(image))
    assert maps is not None
    assert maps.centres.shape == spec.things.cells


def test_parameters_are_those_of_the_logits() -> None:
    with_head, without = (create("efficientnet_fpn", 19, {**OPTIONS, "things": width}) for width in (16, 0))
    assert parameters(with_head) == parameters(without)


def test_things_move_with_the_picture_and_end_under_the_bonnet() -> None:
    """Every pixel of a thing stays one of its class; what covers it makes it unknown."""
    drawn = SyntheticDrive(160, 96, seed=4, labels=CITYSCAPES).frame(0)
    instances = numbered(drawn.instances)
    varied = AugmentSettings.model_validate({**UNVARIED, "crop": (64, 96), "flip": 0.5, "bonnet": 1.0})
    covered = 0
    for seed in range(12):
        rng = np.random.default_rng(seed)
        _, ids, parts = Augment(varied, SetCodes(CITYSCAPES)).parted(
            drawn.image, drawn.ids, instances, (96, 160), rng, drawn=True
        )
        assert (parts[ids == IGNORE_ID] == UNSURE).all()
        covered += int((ids == IGNORE_ID).sum())
        for number in set(np.unique(parts).tolist()) - {0, UNSURE}:
            assert set(ids[parts == number]) <= set(drawn.ids[instances == number])
    assert covered


def test_a_run_without_single_things_is_refused(tmp_path: Path) -> None:
    sample = Sample(np.zeros((64, 96, 3), np.uint8), np.zeros((64, 96), np.uint8), "x")
    with pytest.raises(UsageError, match=r"options\.things without single things; .*; give its instances: FOLDER"):
        assemble(settings(), material_of(CITYSCAPES, [sample]), tmp_path, torch.device("cpu"))


def test_batches_on_the_device_hold_no_things(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="device_augment with a head for single things"):
        losses(tmp_path, settings(device_augment=True))


def test_labels_that_count_nothing_are_told_before_the_training(tmp_path: Path) -> None:
    nothing = np.zeros((64, 96), np.uint8)
    sample = Sample(np.zeros((64, 96, 3), np.uint8), nothing, "x", nothing)
    with pytest.raises(UsageError, match=r"options\.things for ground, which counts nothing; expected classes of the"):
        assemble(settings(), material_of(GROUND, [sample]), tmp_path, torch.device("cpu"))


def test_labels_that_count_nothing_have_no_things_to_export(tmp_path: Path) -> None:
    spec = {"name": "ground", "architecture": "efficientnet_fpn", "labels": LabelsSpec.of(GROUND)}
    with pytest.raises(UsageError, match="whose label set ground counts nothing"):
        export_onnx(create("efficientnet_fpn", 2, OPTIONS).eval(), spec, tmp_path / "ground.onnx", (64, 96))
