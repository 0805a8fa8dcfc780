"""Augmentation on the device: aligned, in range, repeatable, and doing what its counterpart on the host does."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch (extra [train]) is not installed")

from tiny_runs import UNVARIED, losses, tiny  # noqa: E402

from drivenet.data.base import Sample  # noqa: E402
from drivenet.errors import UsageError  # noqa: E402
from drivenet.labels import CAMVID, IGNORE_ID, LabelSet  # noqa: E402
from drivenet.synthetic import SyntheticDrive  # noqa: E402
from drivenet.training.assemble import prepare_run  # noqa: E402
from drivenet.training.conditions import ON_HOST  # noqa: E402
from drivenet.training.on_device import recolour  # noqa: E402
from drivenet.training.on_device.batches import DeviceBatches  # noqa: E402
from drivenet.training.on_device.draws import A_SAMPLE, Draws  # noqa: E402
from drivenet.training.on_device.pixels import blur, jpeg, shift_hue  # noqa: E402
from drivenet.training.on_device.pool import Pool  # noqa: E402
from drivenet.training.ranks import Ranks  # noqa: E402
from drivenet.training.samples import Order, Source  # noqa: E402
from drivenet.training.sets import SetCodes  # noqa: E402

CPU = torch.device("cpu")
CROP = (64, 96)
ALL = {**dict.fromkeys(UNVARIED.keys() - set(ON_HOST), 1), "flip": 0.5, "dusk": 0.3, "night": 0.3}
SKY, ROAD, CAR, TREE = (CAMVID.id_of(name) for name in ("Sky", "Road", "Car", "Tree"))


def painted(seed: int = 0, height: int = 96, width: int = 128) -> Sample:
    """Squares of 16 pixels in the colours of their ids."""
    grid = np.random.default_rng(seed).integers(0, 11, (height // 16, width // 16), np.uint8)
    ids = grid.repeat(16, 0).repeat(16, 1)
    return Sample(np.ascontiguousarray(CAMVID.bgr_table[ids]), ids, "painted")


def driven(frame: int = 5) -> Sample:
    return Sample(*SyntheticDrive(160, 96, seed=3).render(frame), "driven")


def batches(
    real: list[Sample], drawn: list[Sample] | None = None, batch: int = 4, seed: int = 0, ranks: Ranks = Ranks(),  # noqa: B008
    labels: LabelSet = CAMVID, **changes: Any,
) -> DeviceBatches:  # fmt: skip
    augment = {"crop": CROP, **UNVARIED, **changes}
    settings = tiny(augment=augment, input=(real or drawn or [])[0].ids.shape, batch=batch, seed=seed)
    sources = [Source(real, 1), Source(drawn or [], 1, drawn=True)]
    order = Order([source for source in sources if source.pictures], seed)
    return DeviceBatches(order, settings, SetCodes(labels), CPU, ranks)


def picture(image: torch.Tensor) -> np.ndarray:
    return image.permute(1, 2, 0).numpy()


@pytest.mark.parametrize("flip", [0, 1])
@pytest.mark.parametrize("scale", [(0.5, 0.5), (1, 1), (2, 2)])
def test_picture_and_ids_stay_aligned(flip: float, scale: tuple[float, float]) -> None:
    """Away from edges the picture shows the colours of its ids, and black where it is ignored."""
    images, truths = batches([painted(0), painted(1)], flip=flip, scale=scale).at(3)
    for image, truth in zip(images, truths.numpy(), strict=True):
        away = cv2.morphologyEx(truth, cv2.MORPH_GRADIENT, np.ones((5, 5))) == 0
        away[[0, 1, -1, -2]] = away[:, [0, 1, -1, -2]] = False  # what lies beyond the crop is not known
        assert away.mean() > 0.1
        difference = np.abs(picture(image).astype(int) - CAMVID.bgr_table[truth])
        assert difference[away].max() <= 40
        assert picture(image)[away & (truth == IGNORE_ID)].sum() == 0


def test_unscaled_and_uncropped_it_is_the_picture() -> None:
    sample = painted(height=64, width=96)
    plain = {"scale": (1, 1), "aspect": (1, 1)}
    images, truths = batches([sample], batch=1, **plain).at(0)
    np.testing.assert_array_equal(picture(images[0]), sample.image)
    np.testing.assert_array_equal(truths[0].numpy(), sample.ids)
    images, truths = batches([sample], batch=1, flip=1, **plain).at(0)
    np.testing.assert_array_equal(picture(images[0]), sample.image[:, ::-1])
    np.testing.assert_array_equal(truths[0].numpy(), sample.ids[:, ::-1])


def test_batches_are_those_of_the_host_in_form() -> None:
    images, truths = batches([driven()], [driven(9)], **ALL).at(0)
    assert (images.dtype, tuple(images.shape)) == (torch.uint8, (4, 3, *CROP))
    assert images.is_contiguous(memory_format=torch.channels_last)
    assert (truths.dtype, tuple(truths.shape)) == (torch.uint8, (4, *CROP))
    assert set(truths.unique().tolist()) <= {*range(11), IGNORE_ID}


def test_seed_and_iteration_are_the_only_chance() -> None:
    args = ([driven(), driven(1), driven(2)], [driven(9)])
    stream = batches(*args, **ALL).start(7)
    for iteration in (7, 8):
        images, truths = next(stream)
        again = batches(*args, **ALL).at(iteration)
        assert torch.equal(images, again[0])
        assert torch.equal(truths, again[1])
    assert not torch.equal(images, batches(*args, seed=1, **ALL).at(8)[0])
    assert not torch.equal(images, again[0].roll(1, 0))


def test_two_processes_share_what_one_of_twice_the_batch_sees() -> None:
    """To rounding: the blur of a batch is as wide as its widest."""
    args = ([driven(i) for i in range(5)], [driven(9)])
    images, truths = batches(*args, batch=4, **ALL).at(6)
    for rank in range(2):
        mine = batches(*args, batch=2, ranks=Ranks(rank, 2, rank), **ALL).at(6)
        part = slice(2 * rank, 2 * rank + 2)
        assert torch.equal(mine[1], truths[part])
        assert (mine[0].int() - images[part].int()).abs().float().mean() < 1


def test_every_picture_is_shown_once_an_epoch() -> None:
    samples = [Sample(np.full((64, 96, 3), i * 10, np.uint8), np.zeros((64, 96), np.uint8), "x") for i in range(6)]
    made = batches(samples, batch=3, scale=(1, 1), aspect=(1, 1))
    for epoch in range(2):
        shown = [int(image[0, 32, 48]) for i in range(2) for image in made.at(2 * epoch + i)[0]]
        assert sorted(shown) == [0, 10, 20, 30, 40, 50]


def test_there_are_numbers_enough_for_all_that_can_happen() -> None:
    draws = Draws.of(0, 0, 2, slice(0, 2))
    draws.uniforms(0, 1, A_SAMPLE)
    with pytest.raises(IndexError, match=f"{A_SAMPLE + 1} numbers asked of {A_SAMPLE}"):
        draws.yes(0.5)


def test_only_the_sky_turns_blue_and_only_the_road_changes_its_brightness() -> None:
    ids = np.full((64, 96), ROAD, np.uint8)
    ids[:32] = SKY
    image = np.where(ids[..., None] == SKY, 230, 90).repeat(3, -1).astype(np.uint8)
    still = {"scale": (1, 1), "aspect": (1, 1)}
    blue = 0
    for found in batches([Sample(image, ids, "x")], batch=32, recolour_sky=1, **still).at(0)[0]:
        zenith = picture(found)[:8].mean((0, 1))
        blue += zenith[0] > zenith[2] + 8
        np.testing.assert_allclose(picture(found)[42:], 90, atol=1)
    assert 16 <= blue < 32
    means = set()
    for found in batches([Sample(image, ids, "x")], batch=8, recolour_road=1, **still).at(0)[0]:
        np.testing.assert_allclose(picture(found)[:22], 230, atol=1)
        means.add(round(float(picture(found)[48:].mean())))
    assert min(means) < 85
    assert max(means) > 95


def test_hills_rise_out_of_the_lowest_sky_and_are_trees() -> None:
    ids = np.full((64, 96), ROAD, np.uint8)
    ids[:32], ids[4:32, 40:50] = SKY, CAR
    image = np.where(ids[..., None] == SKY, 230, 90).repeat(3, -1).astype(np.uint8)
    images, truths = batches([Sample(image, ids, "x")], batch=16, hills=1, scale=(1, 1), aspect=(1, 1)).at(0)
    heights = set()
    for found, truth in zip(images, truths.numpy(), strict=True):
        hills = truth == TREE
        assert hills[31, :40].all()
        assert (truth[ids != SKY] == ids[ids != SKY]).all()
        assert (np.diff(hills[:32, :40].astype(int), axis=0) >= 0).all()
        np.testing.assert_allclose(picture(found)[36:], 90, atol=1)
        heights.add(int(hills.sum()))
    assert len(heights) > 8
    assert max(heights) < 0.4 * ids.size


def test_what_no_truth_counts_is_no_sky() -> None:
    """A label set without a class sky: its id is that of the void."""
    labels = LabelSet(
        "skyless", ("road", "tree"), ((128, 64, 128), (0, 128, 0)), {"road": "road", "tree": "background"}
    )
    ids = np.zeros((64, 96), np.uint8)
    ids[:32] = IGNORE_ID
    sample = Sample(np.full((64, 96, 3), 100, np.uint8), ids, "x")
    images, truths = batches([sample], labels=labels, hills=1, recolour_sky=1, scale=(1, 1), aspect=(1, 1)).at(0)
    np.testing.assert_array_equal(truths.numpy(), ids[None].repeat(4, 0))
    assert (images == 100).all()


def test_vegetation_dries_and_nothing_else() -> None:
    ids = np.full((64, 96), TREE, np.uint8)
    ids[:32] = ROAD
    sample = Sample(np.full((64, 96, 3), 100, np.uint8), ids, "x")
    for found in batches([sample], batch=4, dry=1, scale=(1, 1), aspect=(1, 1)).at(0)[0]:
        blue, _, red = picture(found)[42:].mean((0, 1))
        assert red > 1.1 * blue
        np.testing.assert_allclose(picture(found)[:22], 100, atol=1)


def test_each_car_gets_its_own_paint_and_nothing_else_any() -> None:
    ids = np.full((64, 96), ROAD, np.uint8)
    ids[20:44, 10:40] = ids[20:44, 56:86] = CAR
    image = np.full((64, 96, 3), 100, np.uint8)
    made = batches([Sample(image, ids, "x")], batch=16, recolour_cars=1, scale=(1, 1), aspect=(1, 1)).at(0)[0]
    colours = {tuple(picture(m)[32, x].tolist()) for m in made for x in (25, 70)}
    assert (100, 100, 100) in colours  # half of them stay
    assert len(colours) > 10
    assert (made[:, :, :14] == 100).all()
    assert (made[:, :, 32, 48] == 100).all()


@pytest.mark.parametrize(("look", "most"), [("dusk", 0.85), ("night", 0.75)])
def test_the_light_goes(look: str, most: float) -> None:
    """What is drawn keeps its own light."""
    plain, other = driven(), {"scale": (1, 1), "aspect": (1, 1), "batch": 8}
    before = float(batches([plain], **other).at(0)[0].float().mean())
    assert float(batches([plain], **other, **{look: 1}).at(0)[0].float().mean()) < most * before
    assert torch.equal(batches([], [plain], **other, **{look: 1}).at(0)[0], batches([], [plain], **other).at(0)[0])


def test_a_picture_without_sky_is_left_alone() -> None:
    images, none = torch.rand(2, 3, 32, 32) * 255, torch.zeros(2, 32, 32, dtype=torch.bool)
    colours, numbers = np.zeros((2, 3), np.float32), np.ones(2, np.float32)
    assert torch.equal(recolour.sky(images, none, colours, colours, numbers, numbers), images)


def as_batch(image: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(image).permute(2, 0, 1)[None].float()


def test_blur_is_that_of_opencv() -> None:
    image = driven().image
    found = picture(blur(as_batch(image), np.array([1.2], np.float32))[0])
    np.testing.assert_allclose(found, cv2.GaussianBlur(image.astype(np.float32), (0, 0), 1.2), atol=1.5)


@pytest.mark.parametrize("quality", [25, 50, 80])
def test_its_jpeg_is_nearer_to_jpeg_than_to_the_picture(quality: int) -> None:
    image = driven().image
    real = cv2.imdecode(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], cv2.IMREAD_COLOR)
    found = picture(jpeg(as_batch(image), np.array([quality], np.float32))[0])
    assert np.abs(found - real).mean() < 0.35 * np.abs(image.astype(int) - real).mean()


def test_hue_turns_as_in_opencv() -> None:
    image = driven().image
    hsv = cv2.cvtColor(image.astype(np.float32) / 255, cv2.COLOR_BGR2HSV)
    hsv[..., 0] = (hsv[..., 0] + 30) % 360
    expected = cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR) * 255
    np.testing.assert_allclose(picture(shift_hue(as_batch(image), np.array([30], np.float32))[0]), expected, atol=0.1)


def test_pictures_of_two_sizes_are_refused() -> None:
    with pytest.raises(UsageError, match="pictures of sizes 128x96, 160x96; expected one size"):
        Pool([painted(), driven()], np.zeros(256, bool), CPU)


def test_a_stopped_run_goes_on_with_the_same_losses(tmp_path: Any) -> None:
    settings = tiny(device_augment=True, iterations=4)
    trainer, whole = losses(tmp_path / "whole", settings)
    assert isinstance(trainer.batches, DeviceBatches)
    before = losses(tmp_path / "cut", settings, stop_after=3)[1]
    assert {**before, **losses(tmp_path / "cut", settings)[1]} == pytest.approx(whole, rel=1e-3)


def test_on_a_cpu_the_host_varies_by_default(tmp_path: Any) -> None:
    assert not isinstance(prepare_run(tiny(), None, tmp_path, "cpu").batches, DeviceBatches)
