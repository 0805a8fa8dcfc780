"""Validation counts what the node's own steps would find."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch (extra [train]) is not installed")

from drivenet.data.base import Dataset, Sample  # noqa: E402
from drivenet.evaluation.comparison import compare  # noqa: E402
from drivenet.label_mapping import LabelMapping  # noqa: E402
from drivenet.labels import CAMVID  # noqa: E402
from drivenet.metrics import ConfusionMatrix  # noqa: E402
from drivenet.models import create  # noqa: E402
from drivenet.models.deployed import Deployed  # noqa: E402
from drivenet.prepare import prepare, resize_ids  # noqa: E402
from drivenet.synthetic import SyntheticDrive  # noqa: E402
from drivenet.training.autocast import autocast  # noqa: E402
from drivenet.training.validation import AT_ONCE, Validation  # noqa: E402

SIZE = (64, 96)
SAME = LabelMapping.of(CAMVID, CAMVID)


class OnDemand(Dataset):
    """Samples that are made when asked for."""

    labels = CAMVID

    def __init__(self, samples: list[Sample]) -> None:
        self.samples = samples

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> Sample:
        return self.samples[index]


@pytest.mark.parametrize("kept", [True, False])
def test_it_counts_what_the_node_would_find(kept: bool) -> None:
    torch.manual_seed(0)
    network = create("bisenetv2", 11, {"width": 0.25, "semantic": 0.5, "head": 16}).eval()
    samples = [Sample(*SyntheticDrive(150 + 10 * i, 91, seed=i).render(3), str(i)) for i in range(3)]
    samples[0].ids[:20] = 255
    expected = ConfusionMatrix.empty(CAMVID)
    deployed = Deployed(network, "half").eval()
    for s in samples:
        with torch.no_grad(), autocast(torch.device("cpu")):
            found = deployed(torch.from_numpy(prepare(s.image, SIZE))[None])[0].numpy()
        expected.add(s.ids, resize_ids(found, (s.ids.shape[0], s.ids.shape[1])))
    validation = Validation(samples if kept else OnDemand(samples), SAME, SIZE, torch.device("cpu"))
    for _ in range(2):
        found = validation(network).counts
        np.testing.assert_array_equal(found.sum(1), expected.counts.sum(1))
        # where two classes are equally likely to the last bit, another memory layout may round the other way
        assert np.abs(found - expected.counts).sum() <= 2 * 0.0005 * expected.counts.sum()
    assert AT_ONCE > 1


class Coloured(torch.nn.Module):
    """Calls a pixel 0, 1 or 2 by its brightest channel, at 1/8 of the input."""

    stride = 8

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.pad(x[:, :, 4::8, 4::8], (0, 0, 0, 0, 0, 8))


@pytest.mark.parametrize(("size", "picture"), [((288, 512), (360, 480)), ((288, 512), (540, 960)), (SIZE, (90, 161))])
def test_pixels_that_two_are_equally_near_to_count_as_in_an_evaluation(
    size: tuple[int, int], picture: tuple[int, int]
) -> None:
    rng = np.random.default_rng(0)
    sample = Sample(rng.integers(0, 256, (*picture, 3), np.uint8), rng.integers(0, 3, picture, np.uint8), "noise")
    found = Deployed(Coloured(), "half")(torch.from_numpy(prepare(sample.image, size))[None])[0].numpy()
    expected = ConfusionMatrix.empty(CAMVID)
    expected.add(sample.ids, resize_ids(found, picture))
    counts = Validation([sample], SAME, size, torch.device("cpu"))(Coloured()).counts
    np.testing.assert_array_equal(counts, expected.counts)


def test_classes_without_counterpart_count_as_in_an_evaluation() -> None:
    """Sky is what class 0 of the network is; no label is its class 1, and it has nothing that Buildings may be."""
    members = [frozenset({0}), frozenset(), frozenset({2}), *[frozenset({i}) for i in range(3, 11)]]
    mapping = LabelMapping(CAMVID, CAMVID, tuple(members))
    rng = np.random.default_rng(0)
    sample = Sample(rng.integers(0, 256, (90, 161, 3), np.uint8), rng.integers(0, 3, (90, 161), np.uint8), "noise")
    found = Deployed(Coloured(), "half")(torch.from_numpy(prepare(sample.image, SIZE))[None])[0].numpy()
    common = compare(CAMVID, CAMVID, mapping)
    expected = ConfusionMatrix.empty(common.labels)
    expected.add(common.truth[sample.ids], common.predicted[resize_ids(found, (90, 161))])
    scored = Validation([sample], mapping, SIZE, torch.device("cpu"))(Coloured())
    assert expected.unlabelled[[0, 2]].all()
    np.testing.assert_array_equal(scored.counts, expected.counts)
    np.testing.assert_array_equal(scored.unlabelled, expected.unlabelled)
    assert scored.miou() == expected.miou()
    assert scored.iou()["Building"] != scored.iou()["Building"], "it was never there"
