"""Choosing a backend by name: what exists is listed, and nothing is imported that was not named."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from onnx_models import palette_model

from drivenet import Segmenter
from drivenet.build.missing import missing
from drivenet.engine import BACKENDS, choose, open_engine
from drivenet.errors import UsageError


def test_auto_says_what_it_chose_and_why(tmp_path: Path) -> None:
    chosen = choose("auto")
    assert chosen.backend in BACKENDS
    assert chosen.why
    assert open_engine(palette_model(tmp_path)).backend == chosen.backend


@pytest.mark.parametrize("backend", ["null", "onnxruntime"])
def test_a_named_backend_opens_the_same_file(tmp_path: Path, backend: str) -> None:
    engine = open_engine(palette_model(tmp_path), backend)
    assert engine.backend == backend == choose(backend).backend
    assert engine.describe()["backend"] == backend
    engine.close()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"backend": "onnxrt"}, "no backend 'onnxrt'; did you mean onnxruntime"),
        ({"backend": "zzz"}, "choose from auto, null, onnxruntime, openvino, tensorrt"),
        ({"precision": "fp8"}, "no precision 'fp8'; choose from auto, bf16, fp16, fp32, int8"),
        ({"threads": 0}, "0 threads; expected a whole number of at least 1"),
        ({"threads": "2"}, "'2' threads; expected a whole number"),
        ({"backend": None}, "None"),
        ({"precision": None}, "None"),
    ],
)
def test_a_wrong_argument_says_what_exists(tmp_path: Path, arguments: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        open_engine(palette_model(tmp_path), **arguments)  # type: ignore[arg-type]


def test_a_backend_is_imported_only_when_it_is_named() -> None:
    code = (
        "import sys; from drivenet.artefacts import catalog; from drivenet.engine import open_engine;"
        "open_engine(None, 'null');"
        "heavy = {'onnxruntime', 'onnx', 'torch', 'openvino', 'tensorrt'} & set(sys.modules); sys.exit(repr(heavy)"
        " if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_what_could_be_built_is_known_without_what_builds(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from drivenet.build.missing import missing;"
        "print(len(missing(Path(sys.argv[1]))), {'onnxruntime', 'onnx', 'drivenet.build.build'} & set(sys.modules))"
    )
    model = palette_model(tmp_path)
    done = subprocess.run([sys.executable, "-c", code, model], capture_output=True, text=True, check=False)
    assert done.stdout == f"{len(missing(model))} set()\n", done.stderr


def test_the_null_engine_is_named_as_models_are() -> None:
    engine = open_engine("null")
    assert (engine.backend, engine.file) == ("null", "")
    engine.close()


@pytest.mark.parametrize("threads", [0, -1, 2.5, "2"])
@pytest.mark.parametrize("lanes", [1, 2])
def test_a_number_of_threads_that_is_none_whatever_the_lanes(tmp_path: Path, threads: object, lanes: int) -> None:
    model = palette_model(tmp_path)
    with pytest.raises(UsageError, match="threads; expected a whole number of at least 1"):
        open_engine(model, "onnxruntime", threads=threads, lanes=lanes)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="threads; expected a whole number of at least 1"):
        Segmenter(model, "onnxruntime", threads=threads, lanes=lanes)  # type: ignore[arg-type]


@pytest.mark.parametrize(("threads", "lanes", "each"), [(4, 1, 4), (4, 4, 1), (7, 2, 3), (2, 4, 1)])
def test_lanes_share_the_threads_of_the_processor(tmp_path: Path, threads: int, lanes: int, each: int) -> None:
    engine = open_engine(palette_model(tmp_path), "onnxruntime", threads=threads, lanes=lanes)
    assert engine.describe()["threads"] == each
    engine.close()
