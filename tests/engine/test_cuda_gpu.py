"""pycuda and cuda-bindings on a GPU, in one process with PyTorch, whose context they share."""

from __future__ import annotations

import importlib
from collections.abc import Iterator

import numpy as np
import pytest

from drivenet.engine.cuda.driver import DRIVERS, Driver
from drivenet.engine.cuda.graph import capture
from drivenet.errors import EngineError

pytestmark = pytest.mark.gpu("torch")

SHAPE = (64, 96, 3)


@pytest.fixture(params=DRIVERS)
def driver(request: pytest.FixtureRequest) -> Iterator[Driver]:
    """Device 0, taken after PyTorch took it, and given back while PyTorch keeps it."""
    import torch

    pytest.importorskip(request.param, reason=f"{request.param} is not installed")
    matrix = torch.randn(512, 512, device="cuda")
    product = matrix @ matrix
    module, name = DRIVERS[request.param].split(":")
    opened = getattr(importlib.import_module(module), name)()
    yield opened
    assert torch.equal(matrix @ matrix, product)
    opened.close()
    assert torch.equal(matrix @ matrix, product)


def test_what_goes_up_comes_down_also_as_a_graph(driver: Driver) -> None:
    buffer, stream, event = driver.buffer(SHAPE, mapped=False), driver.stream(), driver.event()
    shown = np.random.default_rng(0).integers(0, 256, (2, *SHAPE), np.uint8)

    def there_and_back() -> None:
        driver.upload(buffer, stream)
        driver.download(buffer, stream)

    buffer.host[...] = shown[0]
    there_and_back()
    driver.wait(event, stream)
    np.testing.assert_array_equal(buffer.host, shown[0])
    graph, why = capture(driver.handle(stream), there_and_back)
    assert graph is not None, why
    buffer.host[...] = shown[1]
    graph.launch(driver.handle(stream))
    driver.wait(event, stream)
    np.testing.assert_array_equal(buffer.host, shown[1])
    graph.close()


def test_an_error_of_the_device_is_told_in_its_own_words(driver: Driver) -> None:
    buffer, stream = driver.buffer(SHAPE, mapped=False), driver.stream()
    buffer.device = 1
    with pytest.raises(EngineError, match=r"CUDA failed at the upload: .*invalid"):
        driver.upload(buffer, stream)
