"""What a run is selected on: the weighted mean of the mIoU of its sources, each in its own classes."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch (extra [train]) is not installed")

from drivenet.data.base import Sample  # noqa: E402
from drivenet.errors import UsageError  # noqa: E402
from drivenet.label_mapping import LabelMapping  # noqa: E402
from drivenet.labels import CAMVID, CITYSCAPES  # noqa: E402
from drivenet.training.selection import Selection  # noqa: E402
from drivenet.training.sources import Val  # noqa: E402

SIZE = (32, 64)
SAME = LabelMapping.of(CAMVID, CAMVID)
CPU = torch.device("cpu")


class Always(torch.nn.Module):
    """Calls every pixel one class of Cityscapes."""

    stride = 8

    def __init__(self, name: str) -> None:
        super().__init__()
        self.found = CITYSCAPES.id_of(name)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits = torch.zeros(len(x), len(CITYSCAPES), x.shape[2] // 8, x.shape[3] // 8)
        logits[:, self.found] = 1
        return logits


def halves(upper: int, lower: int) -> Sample:
    ids = np.full(SIZE, lower, np.uint8)
    ids[:16] = upper
    return Sample(np.zeros((*SIZE, 3), np.uint8), ids, "x")


def test_the_mean_is_weighted_and_each_source_counts_in_its_own_classes() -> None:
    """A truck is right where it is a Car of CamVid, and wrong where it is a car of Cityscapes."""
    car, tree = CAMVID.id_of("Car"), CAMVID.id_of("Tree")
    theirs = halves(car, tree)
    mine = halves(CITYSCAPES.id_of("car"), CITYSCAPES.id_of("truck"))
    vals = [
        Val("camvid", [theirs], LabelMapping.of(CAMVID, CITYSCAPES), 3),
        Val("cityscapes", [mine], LabelMapping.of(CITYSCAPES, CITYSCAPES), 1),
    ]
    score = Selection(vals, SIZE, CPU)(Always("truck"))
    assert score.iou()["camvid"]["Car"] == pytest.approx(0.5)
    assert score.iou()["cityscapes"]["truck"] == pytest.approx(0.5)
    assert score.iou()["cityscapes"]["car"] == 0
    assert score.by_source() == pytest.approx({"camvid": 0.25, "cityscapes": 0.25})
    score = Selection(vals, SIZE, CPU)(Always("terrain"))
    assert score.by_source() == pytest.approx({"camvid": 0.25, "cityscapes": 0.0})
    assert score.miou == pytest.approx((3 * 0.25 + 1 * 0.0) / 4)


def test_nothing_to_select_on_is_refused() -> None:
    with pytest.raises(UsageError, match="no val pictures to select on; expected select above 0"):
        Selection([], SIZE, CPU)


def test_val_without_a_label_that_counts_is_refused_before_the_training() -> None:
    """It has no mIoU: no average would ever be the best, and the run would end without best.pt."""
    nothing = {name: frozenset[int]() for name in ("Car", "Tree")}
    members = tuple(nothing.get(name, frozenset({i})) for i, name in enumerate(CAMVID.classes))
    untold = LabelMapping(CAMVID, CAMVID, members)
    for ids, mapping in ((halves(255, 255), SAME), (halves(CAMVID.id_of("Car"), CAMVID.id_of("Tree")), untold)):
        with pytest.raises(UsageError, match="val of mine holds no label that counts"):
            Selection([Val("mine", [ids], mapping, 1)], SIZE, CPU)
        Selection([Val("mine", [ids, halves(255, CAMVID.id_of("Sky"))], mapping, 1)], SIZE, CPU)
