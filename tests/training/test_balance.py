"""Balanced classes: offsets raise the mean IoU, and the checkpoint that holds them computes with them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch (extra [train]) is not installed")

from tiny_runs import losses, tiny  # noqa: E402

from drivenet.data.base import Sample  # noqa: E402
from drivenet.data.synthetic import SyntheticDataset  # noqa: E402
from drivenet.errors import UsageError  # noqa: E402
from drivenet.label_mapping import LabelMapping  # noqa: E402
from drivenet.labels import CAMVID  # noqa: E402
from drivenet.models import create  # noqa: E402
from drivenet.models.checkpoint import load  # noqa: E402
from drivenet.training.balance import LARGEST, Pixels, balanced, fit, mean, pixels  # noqa: E402
from drivenet.training.settings import TrainSettings  # noqa: E402
from drivenet.training.sources import Val  # noqa: E402

N = len(CAMVID)
SAME = LabelMapping.of(CAMVID, CAMVID)
POLE, TREE = CAMVID.id_of("Pole"), CAMVID.id_of("Tree")


def a_shy_class(count: int = 4000) -> Pixels:
    """Trees, and a few poles whose logit is too low by about one half; the other classes never win."""
    rng = np.random.default_rng(0)
    truth = np.where(rng.random(count) < 0.05, POLE, TREE).astype(np.uint8)
    logits = np.full((count, N), -9, np.float32)
    logits[:, TREE] = rng.normal(0, 0.2, count)
    logits[:, POLE] = np.where(truth == POLE, -0.3, -1.2) + rng.normal(0, 0.2, count)
    return Pixels(logits, truth, SAME)


def test_a_class_that_is_too_shy_is_raised_and_others_stay() -> None:
    part = a_shy_class()
    offsets = fit([part])
    gained = part.miou(offsets) - part.miou(np.zeros(N))
    assert gained > 0.1
    assert 0.3 <= offsets[POLE] - offsets[TREE] <= 2 * LARGEST
    assert np.flatnonzero(offsets).tolist() in ([POLE], [POLE, TREE], [TREE])


def test_the_miou_is_that_of_the_confusion_matrix_and_the_mean_is_weighted() -> None:
    logits = np.full((4, N), -9, np.float32)
    logits[[0, 1, 2, 3], [POLE, TREE, TREE, TREE]] = 0
    part = Pixels(logits, np.array([POLE, POLE, TREE, TREE], np.uint8), SAME, weight=3)
    none = np.zeros(N)
    assert part.miou(none) == pytest.approx((1 / 2 + 2 / 3) / 2)
    right = Pixels(logits, logits.argmax(1).astype(np.uint8), SAME)
    assert mean([part, right], none) == pytest.approx((3 * part.miou(none) + 1) / 4)


def test_labels_that_the_network_cannot_tell_are_left_out() -> None:
    members = [frozenset({i}) if i != TREE else frozenset() for i in range(N)]
    val = Val(
        "drawn",
        [SyntheticDataset("val", 1, 1, width=192, height=108)[0]],
        LabelMapping(CAMVID, CAMVID, (*members,)),
        1.0,
    )
    network = create("efficientnet_fpn", N, {"width": 16, "head": 8})
    assert TREE in val.pictures[0].ids
    assert TREE not in pixels(network, val, (64, 96)).truth


def test_the_offsets_go_into_the_last_biases(tmp_path: Path) -> None:
    model = {"architecture": "efficientnet_fpn", "options": {"width": 16, "head": 8}}
    losses(tmp_path, tiny(model=model, iterations=2, validate_every=2))
    before = load(tmp_path / "best.pt")
    after, found = balanced(before, [(64, 96)])
    changed = [name for name in before["network"] if not torch.equal(before["network"][name], after["network"][name])]
    assert changed == ["classify.1.bias"]
    moved = (after["network"]["classify.1.bias"] - before["network"]["classify.1.bias"]).tolist()
    assert moved == pytest.approx([found.offsets.get(name, 0) for name in CAMVID.classes], abs=1e-5)
    assert found.after > found.before
    assert after["lineage"]["class_offsets"] == found.offsets
    settings = TrainSettings.model_validate(after["settings"])
    create(settings.model.architecture, N, settings.model.options).load_state_dict(after["network"])


def test_networks_without_such_biases_are_refused(tmp_path: Path) -> None:
    losses(tmp_path, tiny(iterations=2, validate_every=2))
    with pytest.raises(UsageError, match="bisenetv2 has no classify; expected an efficientnet_fpn"):
        balanced(load(tmp_path / "best.pt"), [(64, 96)])


def test_an_imported_network_has_no_val_to_balance_on() -> None:
    options = {"width": 16, "head": 8}
    settings = {"name": "x", "model": {"architecture": "efficientnet_fpn", "options": options}, "input": [64, 96]}
    network = create("efficientnet_fpn", N, options).state_dict()
    with pytest.raises(UsageError, match="a checkpoint that was not trained here; expected one of drivenet train"):
        balanced({"network": network, "settings": settings, "labels": "camvid", "spec": {}}, [(64, 96)])


def test_val_is_read_once_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = {"architecture": "efficientnet_fpn", "options": {"width": 16, "head": 8}}
    losses(tmp_path, tiny(model=model, iterations=2, validate_every=2))
    drawn, draw = [], SyntheticDataset.__getitem__

    def counted(self: SyntheticDataset, index: int) -> Sample:
        sample = draw(self, index)
        drawn.append((self.split, sample.name))
        return sample

    monkeypatch.setattr(SyntheticDataset, "__getitem__", counted)
    balanced(load(tmp_path / "best.pt"), [(64, 96)])
    assert {split for split, _ in drawn} == {"val"}
    assert len(drawn) == len(set(drawn)) == 4
