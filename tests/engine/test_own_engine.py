"""An engine of one's own that gives what is no class map: a run and an evaluation end, whoever opened it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from drivenet.data import open_dataset
from drivenet.engine.base import Engine
from drivenet.engine.null import SPEC
from drivenet.errors import EngineError
from drivenet.evaluation import evaluate
from drivenet.frame import Image
from drivenet.pipeline import Pipeline
from drivenet.sources import open_source

BAD = [
    (np.full(SPEC.output, 11, np.uint8), "mine gave the id 11; expected ids below 11"),
    (np.zeros((3, 5), np.uint8), "mine gave uint8 of 5x3; expected uint8 of 256x144"),
    (np.zeros(SPEC.output, np.int64), "mine gave int64 of 256x144; expected uint8"),
    (None, "mine gave NoneType; expected uint8"),
]


class Mine(Engine):
    """Gives the same for every picture."""

    spec, file = SPEC, "mine"

    def __init__(self, given: Any) -> None:
        self.given = given

    def infer(self, image: Image) -> Any:
        return self.given


@pytest.mark.parametrize(("given", "told"), BAD)
def test_what_is_no_class_map_ends_a_run(given: Any, told: str) -> None:
    with pytest.raises(EngineError, match=told):
        Pipeline(open_source("synthetic://96x64@30?frames=2"), Mine(given), [], policy="every").run()


@pytest.mark.parametrize(("given", "told"), BAD)
def test_what_is_no_class_map_has_no_score(given: Any, told: str) -> None:
    with pytest.raises(EngineError, match=told):
        evaluate(Mine(given), open_dataset("synthetic", None, "val"))


def test_pixels_without_a_class_are_no_fault() -> None:
    nowhere = Mine(np.full(SPEC.output, 255, np.uint8))
    assert Pipeline(open_source("synthetic://96x64@30?frames=2"), nowhere, [], policy="every").run().published == 2
