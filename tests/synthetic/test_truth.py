"""Thing ids and optical flow of the synthetic drive."""

from __future__ import annotations

import cv2
import numpy as np

from drivenet.labels import CITYSCAPES
from drivenet.synthetic import SyntheticDrive
from drivenet.synthetic.camera import Camera
from drivenet.synthetic.canvas import Canvas
from drivenet.synthetic.things import draw_thing
from drivenet.synthetic.world import Thing, World

WIDTH, HEIGHT = 256, 144


def drive(seed: int, fps: float = 30.0) -> SyntheticDrive:
    return SyntheticDrive(WIDTH, HEIGHT, fps, seed, CITYSCAPES)


def test_an_id_is_one_class_for_the_whole_drive() -> None:
    for seed in (0, 9):
        classes: dict[int, int] = {}
        for index in range(0, 600, 20):
            frame = drive(seed).frame(index)
            for thing in np.unique(frame.instances[frame.instances > 0]):
                (cls,) = np.unique(frame.ids[frame.instances == thing])
                assert classes.setdefault(int(thing), int(cls)) == cls
        assert len(classes) > 20


def test_ids_last_from_frame_to_frame() -> None:
    """What is well in sight in one frame has its id in the next, at nearly the same place."""
    for seed in (0, 3):
        one, other = drive(seed).frame(40), drive(seed).frame(41)
        for thing in np.unique(one.instances[one.instances > 0]):
            mask = one.instances == thing
            if mask.sum() > 100 and not mask[:, [0, -1]].any():
                assert np.mean(other.instances[mask] == thing) > 0.5


def test_a_thing_behind_another_keeps_its_own_pixels_alone() -> None:
    """Drawn after it, the nearer of two cars hides the farther one exactly; a pole over both has no id."""
    world = World(0)
    camera = Camera.at(world, WIDTH, HEIGHT, 0.0)
    size = (1.8, 1.5, 4.2)
    middle = world.lane_x
    far, near = (
        Thing("car", middle + x, z, 1, size, (30.0, 30.0, 200.0), 0.5, i) for x, z, i in ((0, 14, 1), (0.8, 8, 2))
    )
    lamp = Thing("lamp", middle + 0.4, 5.0, 1, (0.2, 5.0, 0.3), (120.0, 120.0, 120.0), 0.5, 3)

    def ids(*things: Thing) -> np.ndarray:
        canvas = Canvas.blank(WIDTH, HEIGHT, 0.002)
        for thing in things:
            draw_thing(canvas, camera, thing)
        return canvas.instances()

    alone, front, post = ids(far) == 2, ids(near) == 4, ids(lamp)
    both = ids(far, near, lamp)
    assert not post.any()
    hidden = ids(far, near) != ids(far, near, lamp)
    assert hidden.any()
    np.testing.assert_array_equal(both == 4, front & ~hidden)
    np.testing.assert_array_equal(both == 2, alone & ~front & ~hidden)


def test_riders_and_what_they_ride_have_ids_of_their_own() -> None:
    frame = next(
        f for seed in range(40) if (f := drive(seed).frame(0)) and np.sum(f.ids == CITYSCAPES.id_of("rider")) > 40
    )
    rider = np.unique(frame.instances[frame.ids == CITYSCAPES.id_of("rider")])
    ridden = np.isin(frame.ids, [CITYSCAPES.id_of("bicycle"), CITYSCAPES.id_of("motorcycle")])
    assert len(rider) >= 1
    assert not set(rider) & set(np.unique(frame.instances[ridden]))


def test_flow_brings_each_surface_to_its_place_in_the_next_frame() -> None:
    """Where a surface is still seen, the next frame has its class and its thing there; most of the image is."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
    for seed, index in ((0, 10), (2, 333), (9, 50)):
        moved = drive(seed)
        one, other = moved.frame(index), moved.frame(index + 1)
        flow, seen = moved.flow(index)
        assert (flow.shape, flow.dtype, seen.shape, seen.dtype) == ((HEIGHT, WIDTH, 2), np.float32, seen.shape, bool)
        place = np.where(seen[..., None], flow, 0) + np.stack([columns, rows], -1)
        arrived = cv2.remap(other.ids, place, None, cv2.INTER_NEAREST)
        assert np.mean((arrived == one.ids)[seen]) > 0.995
        assert seen.mean() > 0.6


def test_flow_explains_the_images() -> None:
    """Four frames on, the warped image is much nearer to the first one than the image itself is."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
    moved = drive(2)
    one, other = (moved.frame(i).image.astype(np.float32) for i in (100, 104))
    flow, seen = moved.flow(100, 104)
    place = np.where(seen[..., None], flow, 0) + np.stack([columns, rows], -1)
    warped = cv2.remap(other, place, None, cv2.INTER_LINEAR)
    still, followed = (np.abs(i - one).mean(-1)[seen].mean() for i in (other, warped))
    assert followed < 0.6 * still


def test_there_and_back_again_is_no_flow() -> None:
    """The flow of a frame to itself is nothing, and the sky only follows the horizon."""
    flow, seen = drive(4).flow(17, 17)
    np.testing.assert_allclose(flow, 0, atol=1e-4)
    assert seen.mean() > 0.99
    sky = drive(4).frame(17).ids == CITYSCAPES.id_of("sky")
    onward = drive(4).flow(17)[0][sky]
    assert np.ptp(onward[:, 1]) == 0
    assert not onward[:, 0].any()
