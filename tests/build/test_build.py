"""Building: a passport with figures, a gate that holds, nothing half-written, and artefacts that engines accept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from onnx_models import SIZE, palette_model, palette_spec, things_model

from drivenet.artefacts.built import list_built
from drivenet.artefacts.catalog import list_models
from drivenet.artefacts.compiled import find_built
from drivenet.artefacts.passport import passport_path, read_passport
from drivenet.build.build import build
from drivenet.build.request import BuildRequest
from drivenet.classmap import ThingMaps
from drivenet.cli.models import models
from drivenet.data.pictures import synthetic_pictures
from drivenet.engine import choose, open_engine
from drivenet.engine.onnxruntime.engine import OnnxRuntimeEngine
from drivenet.engine.parity import compare
from drivenet.errors import EngineError, UsageError
from drivenet.host.cpu_features import native_precisions

needs_bf16 = pytest.mark.skipif("bf16" not in native_precisions(), reason="this processor lacks bf16")


def test_a_build_has_a_passport_with_figures_and_runs(openvino: None, onnx: Path) -> None:
    steps: list[str] = []
    built = build(BuildRequest(onnx, "openvino", "fp32"), steps.append)
    assert built.file == onnx.with_name("palette-fp32.xml")
    parity = read_passport(built.file).parity
    assert parity is not None
    assert parity.agreement == 1
    assert parity.worst_iou == 1
    assert parity.images == 8
    assert steps[0] == "building palette-fp32.xml with openvino"
    assert sorted(p.name for p in onnx.parent.iterdir() if "-fp32" in p.name) == [
        "palette-fp32.bin",
        "palette-fp32.xml",
        "palette-fp32.xml.json",
    ]
    assert not list(onnx.parent.glob(".*"))
    engine = open_engine(built.file)
    assert (engine.backend, engine.precision, engine.spec) == ("openvino", "fp32", palette_spec())
    assert choose("auto", built.file).backend == "openvino"
    image = synthetic_pictures(engine.spec.input)[3]
    np.testing.assert_array_equal(engine.infer(image), OnnxRuntimeEngine(onnx).infer(image))


def test_what_was_built_stands_in_the_list_of_models(openvino: None, onnx: Path) -> None:
    built = build(BuildRequest(onnx, "openvino", "fp32"))
    (row,) = list_models(onnx.parent)
    (told,) = row["built"]
    assert (told["file"], told["backend"], told["precision"]) == (str(built.file), "openvino", "fp32")
    assert (told["parity"]["agreement"], told["parity"]["accepted"]) == (1, False)
    assert (told["admitted"], told["why_not"]) == (True, None)
    palette_model(onnx.parent, val_miou=0.5)
    (told,) = list_built(onnx)
    assert told["parity"]["agreement"] == 1
    assert not told["admitted"]
    assert "was built from another palette.onnx" in told["why_not"]
    passport_path(built.file).unlink()
    (told,) = list_built(onnx)
    assert (told["parity"], told["admitted"]) == (None, False)
    assert "has no passport" in told["why_not"]


def test_a_plan_is_listed_where_there_is_no_gpu(onnx: Path) -> None:
    plan = onnx.with_name("palette-fp16.plan")
    plan.write_bytes(b"compiled elsewhere")
    (told,) = list_built(onnx)
    assert (told["backend"], told["precision"], told["admitted"]) == ("tensorrt", "fp16", False)


def test_the_command_lists_what_was_built(openvino: None, onnx: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures for people, and the reason and the cure where an artefact would be refused."""
    file = build(BuildRequest(onnx, "openvino", "fp32")).file
    onnx.with_name("palette-bf16.xml").write_text("no passport beside it")
    monkeypatch.delenv("DRIVENET_ENGINES")
    monkeypatch.setattr("drivenet.artefacts.store.engines_dir", lambda: onnx.parent)
    done = CliRunner().invoke(models)
    assert done.exit_code == 0
    table = done.stdout
    assert "licence" in table
    assert f"{file.name}  openvino       fp32  100.00%" in table
    words = " ".join(table.split())  # notes wrap where the path of this test ends
    assert "palette-bf16.xml has no passport" in words
    assert "build it again: drivenet build" in words


def test_an_onnx_that_changes_while_it_is_built_is_not_the_one_in_the_passport(openvino: None, onnx: Path) -> None:
    def export_again(step: str) -> None:
        if step.startswith("building"):
            palette_model(onnx.parent, val_miou=0.5)

    before = sorted(onnx.parent.iterdir())
    with pytest.raises(EngineError, match=r"palette.onnx was changed while it was built"):
        build(BuildRequest(onnx, "openvino", "fp32"), export_again)
    assert sorted(onnx.parent.iterdir()) == before


def test_the_reference_is_computed_by_the_processor(
    openvino: None, onnx: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A GPU rounds in its own way."""
    asked: list[object] = []

    class Recorded(OnnxRuntimeEngine):
        def __init__(self, file: Path, **options: Any) -> None:
            asked.append(options["providers"])
            super().__init__(file, **options)

    monkeypatch.setattr("drivenet.build.build.OnnxRuntimeEngine", Recorded)
    build(BuildRequest(onnx, "openvino", "fp32"))
    assert asked == [("CPUExecutionProvider",)]


def test_things_are_held_against_those_of_the_reference(openvino: None, tmp_path: Path) -> None:
    built = build(BuildRequest(things_model(tmp_path), "openvino", "fp32"))
    parity = read_passport(built.file).parity
    assert parity is not None
    assert (parity.things, parity.min_things) == (1.0, 0.95)
    assert "100.0% of its things (at least 95%)" in str(parity)
    image = synthetic_pictures(SIZE)[3][: SIZE[0], : SIZE[1]]
    _, maps = open_engine(built.file).infer_things(image)
    assert maps is not None
    np.testing.assert_array_equal(maps.offsets, image[::2, ::2, 1:].transpose(2, 0, 1))


def test_other_offsets_fall_short(tmp_path: Path) -> None:
    """Equal ids are not enough where an engine parts things."""
    exact, other = (OnnxRuntimeEngine(things_model(tmp_path, name)) for name in ("exact", "other"))
    infer = other.infer_things

    def swapped(image: np.ndarray) -> tuple[np.ndarray, Any]:
        ids, maps = infer(image)
        return ids, ThingMaps(maps.centres, 255 - maps.offsets)

    other.infer_things = swapped  # type: ignore[method-assign]
    parity = compare(exact, other, synthetic_pictures(SIZE), "the drive")
    assert (parity.agreement, parity.passed) == (1.0, False)
    assert parity.things < 0.95
    with pytest.raises(EngineError, match=r"palette.onnx gives no things; expected cells="):
        compare(exact, OnnxRuntimeEngine(palette_model(tmp_path)), synthetic_pictures(SIZE), "the drive")


def test_pictures_of_one_class_prove_nothing(onnx: Path, tmp_path: Path) -> None:
    """What always gives that class would pass."""
    engine = OnnxRuntimeEngine(onnx)
    grey = [np.full((*SIZE, 3), 128, np.uint8)]
    with pytest.raises(UsageError, match=r"sees nothing but \w+ on grey; expected two classes; give --calibration"):
        compare(engine, engine, grey, "grey")


@needs_bf16
def test_a_build_that_falls_short_leaves_nothing_unless_it_is_accepted(openvino: None, onnx: Path) -> None:
    before = sorted(onnx.parent.iterdir())
    request = BuildRequest(onnx, "openvino", "bf16")
    with pytest.raises(EngineError, match=r"falls short .*--accept-parity"):
        build(request)
    assert sorted(onnx.parent.iterdir()) == before
    built = build(BuildRequest(onnx, "openvino", "bf16", accept_parity=True))
    assert built.passport.parity is not None
    assert built.passport.parity.accepted
    engine = open_engine(onnx, "openvino", "bf16")
    assert (engine.file, engine.precision) == (str(built.file), "bf16")
    assert find_built(onnx, "openvino") == built.file
    palette_model(onnx.parent, val_miou=0.5)
    with pytest.raises(EngineError, match=r"was built from another palette\.onnx; build it again: drivenet build"):
        open_engine(onnx, "openvino", "bf16")


@needs_bf16
def test_what_was_not_named_is_built_more_exactly_if_it_falls_short(openvino: None, onnx: Path) -> None:
    """The colours of this model are too close for bf16."""
    told: list[str] = []
    built = build(BuildRequest(onnx, "openvino"), told.append)
    assert built.file == onnx.with_name("palette-fp32.xml")
    assert not list(onnx.parent.glob("palette-bf16*"))
    (line,) = [text for text in told if "falls short" in text]
    assert line.startswith("palette-bf16.xml falls short of its reference")
    assert line.endswith("building with --precision fp32 instead")
    with pytest.raises(EngineError, match="falls short"):
        build(BuildRequest(onnx, "openvino", "bf16"))
