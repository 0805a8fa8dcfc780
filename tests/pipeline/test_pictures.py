"""A camera that gives the same picture, or none to speak of, is suspect: on the page, in the log, everywhere."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from drivenet.engine import open_engine
from drivenet.frame import Frame, Image
from drivenet.health import Health, State
from drivenet.pipeline import Pipeline
from drivenet.pipeline.pictures import BLANK_S, FROZEN_S, PictureWatch, blank
from drivenet.result import Result
from drivenet.sinks.base import Sink
from drivenet.sources.base import Source

NOISE = np.random.default_rng(0)


def noise(mean: float = 120.0, spread: float = 30.0) -> Image:
    return np.clip(NOISE.normal(mean, spread, (96, 128, 3)), 0, 255).astype(np.uint8)


class Reports:
    """What is said, in order; empty for a withdrawal."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def report(self, code: str, part: str, state: State, reason: str) -> None:
        assert (code, part, state) == ("picture", "source", "suspect")
        self.said.append(reason)

    def withdraw(self, code: str) -> None:
        self.said.append("")


def told(*pictures: tuple[float, Image]) -> list[str]:
    reports = Reports()
    watch = PictureWatch(reports)
    for seconds, picture in pictures:
        watch.see(Frame(picture, 0, round((1000 + seconds) * 1e9)))
    return reports.said


def test_a_street_with_its_noise_is_fine() -> None:
    assert told(*((n / 10, noise()) for n in range(100))) == []


def test_a_frozen_picture_is_suspect_until_it_moves() -> None:
    still = noise()
    assert told(*((n / 10, still) for n in range(int(FROZEN_S * 10)))) == []
    assert told(*((n / 10, still) for n in range(60)), (6.0, noise())) == ["the picture is frozen", ""]


@pytest.mark.parametrize(("mean", "what"), [(3.0, "black"), (250.0, "white"), (90.0, "covered")])
def test_a_picture_that_shows_nothing_is_suspect_for_all_its_noise(mean: float, what: str) -> None:
    frames = [(n / 10, noise(mean, 2.0)) for n in range(int(BLANK_S * 10) + 2)]
    assert told(*frames, (9.0, noise())) == [f"the picture is {what}", ""]
    assert told(*frames[: int(BLANK_S * 10)]) == []


@pytest.mark.parametrize("mean", [25.0, 60.0, 200.0])
def test_a_night_with_lamps_and_a_bright_fog_are_not_blank(mean: float) -> None:
    picture = noise(mean, 2.0)
    picture[40:60, 30:70] = 255 - picture[40:60, 30:70]
    assert blank(picture[::16, ::16]) == ""


class Camera(Source):
    """Gives black pictures of a live camera, six seconds of them in no time."""

    live, fps, name = True, 30.0, "camera"

    def __iter__(self) -> Iterator[Frame]:
        for n in range(180):
            yield Frame(noise(2.0, 1.0), n, round((1000 + n / 30) * 1e9))


class Keeper(Sink):
    """States of the source, and events."""

    name, needs_view = "keeper", False

    def __init__(self) -> None:
        self.states: set[str] = set()

    def publish(self, result: Result) -> None:
        """Nothing."""

    def health(self, health: Health) -> None:
        self.states.add(health.parts["source"].state)


def test_every_output_hears_that_a_black_picture_is_suspect() -> None:
    keeper = Keeper()
    run = Pipeline(Camera(), open_engine(None, "null", "auto"), [keeper], policy="every")
    totals = run.run()
    assert "suspect" in keeper.states
    assert totals.events.get("source.suspect", 0) >= 1
