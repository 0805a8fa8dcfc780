"""The ONNX Runtime engine on real models: right ids, fresh outputs, and no model that breaks its contract."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper
from onnx_models import SIZE, paint, palette_graph, palette_model, palette_spec, write_onnx

from drivenet.engine import open_engine
from drivenet.engine.base import Engine
from drivenet.engine.onnxruntime import engine as onnxruntime_engine
from drivenet.engine.onnxruntime.engine import OnnxRuntimeEngine
from drivenet.engine.onnxruntime.file import CPU, _exact
from drivenet.errors import EngineError, ModelSpecError, UsageError
from drivenet.host.cpu import physical_cores
from drivenet.host.nvidia import Gpu
from drivenet.labels import CAMVID, CITYSCAPES
from drivenet.modelspec import LabelsSpec


def opened(file: Path | None, precision: str = "auto", threads: int | None = None) -> Engine:
    return open_engine(file, "onnxruntime", precision, threads)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return palette_model(tmp_path)


def picture(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Blocks of two pixels of random classes, and their ids at output size."""
    ids = np.random.default_rng(seed).integers(0, len(CAMVID), (SIZE[0] // 2, SIZE[1] // 2), np.uint8)
    return paint(ids.repeat(2, 0).repeat(2, 1)), ids


def test_gives_the_ids_that_the_graph_computes(file: Path) -> None:
    image, ids = picture()
    engine = opened(file)
    np.testing.assert_array_equal(engine.infer(image), ids)
    assert engine.infer(image).dtype == np.uint8
    described = engine.describe()
    assert described["file"] == str(file)
    assert described["backend"] == "onnxruntime"
    assert described["precision"] == "fp32"
    assert described["input"] == list(SIZE)
    assert described["labels"] == "camvid"
    engine.close()


@pytest.mark.parametrize(
    "module", ["drivenet.engine.onnxruntime.engine", "drivenet.export.int8", "drivenet.doctor.libraries"]
)
def test_nobody_is_told_and_no_id_is_kept(file: Path, tmp_path: Path, module: str) -> None:
    """Whichever module of ours brings ONNX Runtime in; what it would keep it shows if it is asked to."""
    program = (
        f"import importlib, drivenet; importlib.import_module({module!r})\n"
        f"import onnxruntime; onnxruntime.InferenceSession({str(file)!r}, providers=['CPUExecutionProvider'])"
    )
    left = {}
    for disabled in (None, "0"):
        home = tmp_path / f"home-{disabled}"
        home.mkdir()
        names = ("ORT_DISABLE_TELEMETRY", "XDG_CACHE_HOME")
        environment = {k: v for k, v in os.environ.items() if k not in names}
        environment |= {"HOME": str(home), **({"ORT_DISABLE_TELEMETRY": disabled} if disabled else {})}
        subprocess.run([sys.executable, "-c", program], env=environment, timeout=60, check=True)
        left[disabled] = [path.name for path in home.rglob("*") if path.is_file()]
    if not left["0"]:
        pytest.skip(f"ONNX Runtime {ort.__version__} has no telemetry that keeps files")
    assert left[None] == []


def test_an_output_belongs_to_the_caller(file: Path) -> None:
    engine = opened(file)
    (first_image, first), (second_image, second) = picture(1), picture(2)
    kept = engine.infer(first_image)
    np.testing.assert_array_equal(engine.infer(second_image), second)
    np.testing.assert_array_equal(kept, first)
    kept[:] = 7
    np.testing.assert_array_equal(engine.infer(first_image), first)
    engine.close()
    assert (kept == 7).all()


def test_takes_a_picture_that_is_not_contiguous(file: Path) -> None:
    image, _ = picture()
    engine = opened(file)
    expected = engine.infer(np.ascontiguousarray(image[:, ::-1]))
    np.testing.assert_array_equal(engine.infer(image[:, ::-1]), expected)


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((SIZE[0], SIZE[1] + 1, 3), np.uint8),
        np.zeros((*SIZE, 4), np.uint8),
        np.zeros(SIZE, np.uint8),
        np.zeros((*SIZE, 3), np.float32),
        np.zeros((1, *SIZE, 3), np.uint8),
        None,
    ],
)
def test_refuses_another_picture(file: Path, image: np.ndarray) -> None:
    with pytest.raises(EngineError, match="prepare"):
        opened(file).infer(image)


def test_refuses_to_infer_when_closed(file: Path) -> None:
    engine = opened(file)
    engine.close()
    engine.close()
    with pytest.raises(EngineError, match="closed"):
        engine.infer(picture()[0])


def test_threads_are_the_physical_cores_or_what_was_asked(file: Path) -> None:
    assert opened(file).describe()["threads"] == physical_cores()
    assert opened(file, threads=1).describe()["threads"] == 1


def test_prints_nothing(file: Path, capfd: pytest.CaptureFixture[str]) -> None:
    opened(file).infer(picture()[0])
    assert capfd.readouterr() == ("", "")


def test_takes_only_the_precision_that_the_file_has(file: Path) -> None:
    assert opened(file, precision="fp32").precision == "fp32"
    with pytest.raises(UsageError, match=r"precision int8 .* which is fp32"):
        opened(file, precision="int8")


def test_needs_a_file() -> None:
    """The class itself; what opens engines by name takes the default model instead."""
    with pytest.raises(UsageError, match="no engine file"):
        OnnxRuntimeEngine(None)


@pytest.mark.parametrize(
    ("available", "missing", "expected"),
    [
        (["CPUExecutionProvider"], "", ("CPUExecutionProvider",)),
        (["CUDAExecutionProvider", "CPUExecutionProvider"], "no driver", ("CPUExecutionProvider",)),
        (
            ["TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"],
            "",
            ("CUDAExecutionProvider", "CPUExecutionProvider"),
        ),
    ],
)
def test_the_gpu_is_taken_where_there_is_one(
    monkeypatch: pytest.MonkeyPatch, available: list[str], missing: str, expected: tuple[str, ...]
) -> None:
    monkeypatch.setattr(onnxruntime_engine.ort, "get_available_providers", lambda: available)
    monkeypatch.setattr(onnxruntime_engine, "probe", lambda: Gpu(missing=missing))
    assert onnxruntime_engine.usable_providers() == expected


CUDA = ("CUDAExecutionProvider", "CPUExecutionProvider")


def test_cuda_that_does_not_start_leaves_it_to_the_processor_and_says_so(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """This ONNX Runtime stands for one whose CUDA libraries are missing."""
    monkeypatch.setattr(onnxruntime_engine, "usable_providers", lambda: CUDA)
    with pytest.warns(RuntimeWarning, match=r"CUDA provider does not start, the CPU is used .*has no CUDA"):
        engine = OnnxRuntimeEngine(file)
    described = engine.describe()
    assert described["provider"] == "CPUExecutionProvider"
    assert "has no CUDAExecutionProvider" in str(described["without_cuda"])
    image, ids = picture()
    np.testing.assert_array_equal(engine.infer(image), ids)
    with pytest.raises(EngineError, match="has no CUDAExecutionProvider"):
        OnnxRuntimeEngine(file, providers=CUDA)


def test_int8_stays_on_the_processor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened_on: list[tuple[str, ...]] = []
    really = onnxruntime_engine.open_session

    def with_cuda(file: Path, options: ort.SessionOptions, providers: tuple[str, ...]) -> ort.InferenceSession:
        opened_on.append(providers)
        return really(file, options, CPU)  # type: ignore[no-any-return]

    monkeypatch.setattr(onnxruntime_engine, "usable_providers", lambda: CUDA)
    monkeypatch.setattr(onnxruntime_engine, "open_session", with_cuda)
    assert OnnxRuntimeEngine(palette_model(tmp_path)).describe()["provider"] == CUDA[0]
    described = OnnxRuntimeEngine(palette_model(tmp_path, "int8", precision="int8")).describe()
    assert (described["precision"], described["provider"]) == ("int8", CPU[0])
    assert "no int8 convolution" in str(described["without_cuda"])
    assert opened_on == [CUDA, CUDA, CPU]


def test_cuda_computes_fp32_as_fp32() -> None:
    """Left to itself it rounds products to ten bits."""
    assert _exact(CUDA) == [(CUDA[0], {"use_tf32": "0"}), CUDA[1]]


def test_says_which_provider_runs_it(file: Path) -> None:
    assert OnnxRuntimeEngine(file, providers=CPU).describe()["provider"] == "CPUExecutionProvider"


def test_refuses_a_provider_that_is_not_there(file: Path) -> None:
    missing = "TensorrtExecutionProvider"
    if missing in ort.get_available_providers():
        missing = "QNNExecutionProvider"
    with pytest.raises(EngineError, match=f"has no {missing}"):
        OnnxRuntimeEngine(file, providers=(missing, "CPUExecutionProvider"))


def test_refuses_a_graph_with_more_classes_than_labels(tmp_path: Path) -> None:
    # Nineteen colours under eleven names: noise finds an id that has none.
    file = write_onnx(tmp_path / "odd.onnx", palette_graph(CITYSCAPES.palette), palette_spec())
    with pytest.raises(EngineError, match=r"gave class id 1\d; expected ids 0\.\.10"):
        opened(file)


def test_refuses_an_id_without_a_class_at_any_later_picture(tmp_path: Path) -> None:
    # A twelfth class that wins on pure blue alone, which neither noise nor grey shows at load.
    graph = palette_graph([*CAMVID.palette, (-(10**6), -(10**6), 10**6)])
    bias = next(i for i in graph.initializer if i.name == "bias")
    values = np.frombuffer(bias.raw_data, np.float32).copy()
    values[-1] = -2 * 10**6 * 254.5
    bias.raw_data = values.tobytes()
    engine = opened(write_onnx(tmp_path / "odd.onnx", graph, palette_spec()))
    with pytest.raises(EngineError, match="class id 11"):
        engine.infer(np.full((*SIZE, 3), (255, 0, 0), np.uint8))


def test_a_failing_inference_is_an_error_and_not_an_empty_road(tmp_path: Path) -> None:
    graph = palette_graph()
    starts = next(i for i in graph.initializer if i.name == "steps")
    starts.raw_data = np.array([2, 0]).tobytes()
    file = write_onnx(tmp_path / "fails.onnx", graph, palette_spec())
    with pytest.raises(EngineError) as caught:
        opened(file)
    assert "\n" not in str(caught.value)


def test_refuses_other_names_types_and_shapes(tmp_path: Path) -> None:
    cases = {
        "name": (palette_graph(names=("image", "classes")), palette_spec(), "the input of .* is image"),
        "output": (palette_graph(names=("frame", "ids")), palette_spec(), "the output of .* is ids"),
        "size": (palette_graph(), palette_spec(size=(64, 48)), "the input of"),
        "resolution": (palette_graph(), palette_spec(output=SIZE), "the output of"),
    }
    for name, (graph, spec, message) in cases.items():
        with pytest.raises(ModelSpecError, match=message):
            opened(write_onnx(tmp_path / f"{name}.onnx", graph, spec))


def test_refuses_a_second_output_and_another_type(tmp_path: Path) -> None:
    two = palette_graph()
    two.output.append(helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, SIZE[0] // 2, SIZE[1] // 2, 11]))
    with pytest.raises(ModelSpecError, match="logits"):
        opened(write_onnx(tmp_path / "two.onnx", two, palette_spec()))
    wide = palette_graph()
    wide.node[-1].attribute[0].i = TensorProto.INT64
    wide.output[0].type.tensor_type.elem_type = TensorProto.INT64
    with pytest.raises(ModelSpecError, match="int64"):
        opened(write_onnx(tmp_path / "wide.onnx", wide, palette_spec()))


def test_other_labels_than_the_built_in_ones_work(tmp_path: Path) -> None:
    file = palette_model(tmp_path, labels=CITYSCAPES)
    engine = opened(file)
    assert engine.spec.labels == LabelsSpec.of(CITYSCAPES)
    ids = np.arange(SIZE[0] * SIZE[1] // 4, dtype=np.uint8).reshape(SIZE[0] // 2, -1) % 19
    np.testing.assert_array_equal(engine.infer(paint(ids.repeat(2, 0).repeat(2, 1), CITYSCAPES)), ids)
