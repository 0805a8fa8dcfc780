"""TensorRT itself on a GPU: every way through the runner gives the same ids, and a device that fails says so."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx_models import SIZE, paint, palette_model

from drivenet.artefacts.catalog import find
from drivenet.artefacts.passport import passport_path, read_passport
from drivenet.build.build import build
from drivenet.build.request import BuildRequest
from drivenet.build.tensorrt_network import ARGMAX
from drivenet.engine import choose, open_engine
from drivenet.engine.cuda import driver as cuda
from drivenet.engine.tensorrt import engine as tensorrt
from drivenet.engine.tensorrt import lane as tensorrt_lane
from drivenet.errors import EngineError
from drivenet.labels import CAMVID
from drivenet.metrics import agreement
from drivenet.modelspec import spec_path
from drivenet.prepare import prepare
from drivenet.resources import engines_dir
from drivenet.synthetic import SyntheticDrive

pytestmark = [pytest.mark.gpu("tensorrt"), pytest.mark.timeout(600)]

DRIVERS = dict(cuda.DRIVERS)
TIMINGS = "kernels.timing"
GOLDEN = Path(__file__).parents[1] / "golden" / "default.npz"

#: Ends with the device's message: TensorRT is shown memory that is not there.
LOSE_THE_DEVICE = """
import sys
import numpy as np
from drivenet.engine import open_engine
from drivenet.engine.tensorrt import lane as tensorrt_lane
from drivenet.errors import EngineError

tensorrt_lane.capture = lambda stream, enqueue: (None, "not in this test")
engine = open_engine(sys.argv[1])
picture = np.zeros((*engine.spec.input, 3), np.uint8)
engine.infer(picture)
engine._own.call(engine._session._lanes[0]._context.set_tensor_address, "classes", 0x1000)
for _ in range(2):
    try:
        engine.infer(picture)
        print("nothing happened")
    except EngineError as error:
        print(error)
try:
    engine.close()
except EngineError as error:
    print("close:", error)
sys.stdout.flush()
"""


@pytest.fixture(scope="module")
def palette(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small ONNX with an fp32 plan beside it."""
    onnx = palette_model(tmp_path_factory.mktemp("palette"))
    build(BuildRequest(onnx, "tensorrt", "fp32"))
    return onnx


@pytest.fixture(scope="module")
def default(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The fp16 plan of the default engine, with the timings of its kernels beside it."""
    folder, onnx = tmp_path_factory.mktemp("default"), onnx_of_default()
    for file in (onnx, spec_path(onnx)):
        shutil.copy(file, folder)
    request = BuildRequest(
        folder / onnx.name, "tensorrt", "fp16", options={"argmax": "topk", "timing_cache": folder / TIMINGS}
    )
    return build(request).file


def onnx_of_default() -> Path:
    return find("fast", engines_dir())


def plan_of(onnx: Path) -> Path:
    return onnx.with_name("palette-fp32.plan")


def pictures(count: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Pictures and the ids that they were painted from."""
    for seed in range(count):
        ids = np.random.default_rng(seed).integers(0, len(CAMVID), (SIZE[0] // 2, SIZE[1] // 2), np.uint8)
        yield paint(ids.repeat(2, 0).repeat(2, 1)), ids


def golden_pictures(size: tuple[int, int]) -> list[np.ndarray]:
    """What the golden ids are of."""
    stored = np.load(GOLDEN)
    width, height, fps, seed = stored["clip"].tolist()
    drive = SyntheticDrive(int(width), int(height), fps, int(seed))
    return [prepare(drive.render(i)[0], size) for i in range(len(stored["ids"]))]


def test_the_ids_are_those_of_the_network(palette: Path) -> None:
    with closing(open_engine(plan_of(palette))) as engine:
        assert engine.describe()["cuda_graph"] is True
        for image, ids in pictures(20):
            np.testing.assert_array_equal(engine.infer(image), ids)
    passport = read_passport(plan_of(palette))
    assert passport.recorded["argmax"] in ARGMAX
    assert set(passport.machine) == {"gpu", "compute_capability", "tensorrt"}


@pytest.fixture(scope="module")
def expected(default: Path) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Pictures, and what the default engine makes of them when nothing is changed."""
    with closing(open_engine(default)) as engine:
        shown = golden_pictures(engine.spec.input)
        assert engine.describe()["cuda_graph"] is True
        return shown, [engine.infer(image) for image in shown]


@pytest.mark.parametrize("package", DRIVERS)
@pytest.mark.parametrize("graph", [True, False])
@pytest.mark.parametrize("mapped", [True, False])
def test_every_way_to_the_device_gives_the_same_ids(
    default: Path, expected: tuple[list[np.ndarray], list[np.ndarray]], package: str, graph: bool, mapped: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    pytest.importorskip(package, reason=f"{package} is not installed")
    monkeypatch.setattr(cuda, "DRIVERS", {package: DRIVERS[package]})
    monkeypatch.setattr(tensorrt, "require_gpu", lambda: replace(cuda.require_gpu(), integrated=mapped))
    if not graph:
        monkeypatch.setattr(tensorrt_lane, "capture", lambda stream, enqueue: (None, "not in this test"))
    shown, ids = expected
    with closing(open_engine(default)) as engine:
        assert engine.describe()["cuda_graph"] == (True if graph else "not in this test")
        np.testing.assert_array_equal([engine.infer(image) for image in shown], ids)
        np.testing.assert_array_equal(list(engine.infer_many(shown * 3)), ids * 3)


def test_a_chain_of_comparisons_gives_the_same_ids(
    default: Path, expected: tuple[list[np.ndarray], list[np.ndarray]], tmp_path: Path
) -> None:
    onnx, cache = default.with_name(onnx_of_default().name), default.with_name(TIMINGS)
    request = BuildRequest(onnx, "tensorrt", "fp16", out=tmp_path, options={"argmax": "select", "timing_cache": cache})
    shown, ids = expected
    with closing(open_engine(build(request).file)) as engine:
        chained = np.stack([engine.infer(image) for image in shown])
    assert agreement(chained.reshape(-1, 1), np.stack(ids).reshape(-1, 1)) >= 0.999  # kernels may round otherwise


def test_int8_keeps_to_the_gate(default: Path, tmp_path: Path) -> None:
    onnx = find("fast-int8", engines_dir())
    request = BuildRequest(
        onnx, "tensorrt", out=tmp_path, options={"argmax": "topk", "timing_cache": default.with_name(TIMINGS)}
    )
    built = build(request)
    with closing(open_engine(built.file)) as engine:
        assert (engine.precision, engine.describe()["cuda_graph"]) == ("int8", True)
    assert built.passport.parity is not None
    assert built.passport.parity.passed


def test_an_engine_serves_many_threads_and_a_second_one_lives_beside_it(palette: Path) -> None:
    shown = list(pictures(40))
    with closing(open_engine(plan_of(palette))) as second:
        with closing(open_engine(plan_of(palette))) as first, ThreadPoolExecutor(8) as pool:
            results = list(pool.map(lambda i: (first, second)[i % 2].infer(shown[i][0]), range(len(shown))))
        np.testing.assert_array_equal(results, [ids for _, ids in shown])
        np.testing.assert_array_equal(second.infer(shown[0][0]), shown[0][1])


def test_the_default_engine_keeps_to_its_reference_and_its_golden_ids(default: Path) -> None:
    stored = np.load(GOLDEN)
    with closing(open_engine(default)) as engine, closing(open_engine(onnx_of_default(), "onnxruntime")) as reference:
        shown = golden_pictures(engine.spec.input)
        ids, wanted = (np.stack([e.infer(image) for image in shown]) for e in (engine, reference))
    assert agreement(ids.reshape(-1, 1), wanted.reshape(-1, 1)) >= 0.995
    assert agreement(ids.reshape(-1, 1), stored["ids"].reshape(-1, 1)) >= 0.995
    parity = read_passport(default).parity
    assert parity is not None
    assert parity.agreement >= 0.995


def test_auto_takes_what_was_built_and_another_gpu_refuses_it(palette: Path, tmp_path: Path) -> None:
    assert choose("auto", palette).backend == "tensorrt"
    for file in (palette, spec_path(palette), plan_of(palette), passport_path(plan_of(palette))):
        shutil.copy(file, tmp_path)
    plan = tmp_path / plan_of(palette).name
    passport = read_passport(plan)
    other = passport.model_copy(update={"machine": {**passport.machine, "gpu": "Orin"}})
    passport_path(plan).write_text(other.sealed().to_json())
    with pytest.raises(EngineError, match=r"Orin.*drivenet build"):
        open_engine(plan)
    passport_path(plan).write_text(passport.to_json())
    content = bytearray(plan.read_bytes())
    content[len(content) // 2] ^= 1
    plan.write_bytes(content)
    with pytest.raises(EngineError, match=r"is damaged.*drivenet build"):
        open_engine(plan)


def test_a_timing_cache_is_written_and_read(palette: Path, tmp_path: Path) -> None:
    cache = tmp_path / "kernels.timing"
    for folder in (tmp_path / "first", tmp_path / "second"):
        built = build(
            BuildRequest(palette, "tensorrt", "fp32", out=folder, options={"timing_cache": cache, "argmax": "topk"})
        )
        assert cache.stat().st_size > 0
        image, ids = next(pictures(1))
        with closing(open_engine(built.file)) as engine:
            np.testing.assert_array_equal(engine.infer(image), ids)


def test_a_device_that_fails_ends_in_its_own_message(palette: Path) -> None:
    command: list[Any] = [sys.executable, "-c", LOSE_THE_DEVICE, plan_of(palette)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    first, second, *_ = done.stdout.splitlines()
    assert "illegal" in first.lower() or "invalid" in first.lower(), done
    assert first.startswith("CUDA failed at")
    assert second != "nothing happened"
