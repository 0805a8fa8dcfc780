"""Building: a passport with figures, a gate that holds, nothing half-written, and artefacts that engines accept."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from onnx import TensorProto, helper, numpy_helper
from onnx_models import SIZE, palette_graph, palette_model, palette_spec, things_model, write_onnx

from drivenet.artefacts.built import list_built
from drivenet.artefacts.catalog import list_models
from drivenet.artefacts.compiled import find_built
from drivenet.artefacts.passport import passport_path, read_passport
from drivenet.build.build import build
from drivenet.build.plan import attempts
from drivenet.build.request import BuildRequest
from drivenet.classmap import ThingMaps
from drivenet.cli.build import build as command
from drivenet.cli.models import models
from drivenet.data.pictures import folder_pictures, synthetic_pictures
from drivenet.engine import choose, open_engine
from drivenet.engine.onnxruntime.engine import OnnxRuntimeEngine
from drivenet.engine.parity import compare
from drivenet.errors import EngineError, SourceError, UsageError
from drivenet.host.cpu_features import native_precisions
from drivenet.labels import CAMVID

needs_bf16 = pytest.mark.skipif("bf16" not in native_precisions(), reason="this processor lacks bf16")


@pytest.fixture
def openvino() -> None:
    pytest.importorskip("openvino")


@pytest.fixture
def onnx(tmp_path: Path) -> Path:
    return palette_model(tmp_path)


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


def test_what_was_named_is_not_changed(onnx: Path) -> None:
    spec = palette_spec(precision="int8")
    request = BuildRequest(onnx, "openvino")
    usual, exact = attempts(request, spec)
    assert (usual.request, usual.flag) == (request, "")
    assert (exact.request.options, exact.flag) == ({"floats": "fp32"}, "--floats fp32")
    assert exact.is_like("int8", {"floats": "fp32"})  # where the processor has no bf16, that is the usual one
    assert not exact.is_like("int8", {"floats": "bf16"})
    for named in ({"options": {"floats": "bf16"}}, {"accept_parity": True}):
        assert len(attempts(BuildRequest(onnx, "openvino", **named), spec)) == 1
    assert len(attempts(BuildRequest(onnx, "tensorrt", "fp16"), palette_spec())) == 1
    assert [a.precision for a in attempts(BuildRequest(onnx, "tensorrt"), palette_spec())] == ["fp16", "fp32"]


def test_the_gate_names_the_class_that_suffers(onnx: Path, tmp_path: Path) -> None:
    swapped = [*CAMVID.palette]
    swapped[2], swapped[7] = (1, 1, 1), swapped[2]
    other = write_onnx(tmp_path / "other.onnx", palette_graph(swapped), palette_spec(name="other"))
    pictures = [CAMVID.bgr_table[np.arange(32 * 48).reshape(32, 48) % 11]]
    parity = compare(OnnxRuntimeEngine(onnx), OnnxRuntimeEngine(other), pictures, "stripes")
    assert parity.worst_class in ("Pole", "Fence")
    assert parity.worst_iou == 0
    assert not parity.passed


def test_calibration_pictures_take_the_place_of_the_synthetic_drive(openvino: None, onnx: Path) -> None:
    folder = onnx.parent / "pictures"
    folder.mkdir()
    with pytest.raises(UsageError, match="holds no pictures"):
        build(BuildRequest(onnx, "openvino", "fp32", calibration=folder))
    for i, picture in enumerate(synthetic_pictures((48, 64))[:3]):
        cv2.imwrite(str(folder / f"{i}.png"), picture)
    built = build(BuildRequest(onnx, "openvino", "fp32", calibration=folder, out=onnx.parent / "out"))
    assert built.file.parent == onnx.parent / "out"
    assert built.passport.parity is not None
    assert (built.passport.parity.images, built.passport.parity.pictures) == (3, str(folder))
    assert f"--calibration {folder}" in built.passport.rebuild(onnx.parent)
    (folder / "torn.png").write_bytes(b"no picture")
    with pytest.raises(SourceError, match=r"torn\.png is damaged or no picture"):
        folder_pictures(folder)


def test_an_int8_build_needs_an_int8_onnx_and_its_fp32_reference(onnx: Path) -> None:
    with pytest.raises(UsageError, match=r"precision int8 from .* which is fp32; .*drivenet export --precision int8"):
        build(BuildRequest(onnx, "openvino", "int8"))
    int8 = palette_model(onnx.parent, "small", precision="int8")
    with pytest.raises(UsageError, match="name it with --reference"):
        build(BuildRequest(int8, "openvino"))
    with pytest.raises(UsageError, match=r"precision fp16 from .* which is int8"):
        build(BuildRequest(int8, "openvino", "fp16"))
    with pytest.raises(UsageError, match="is int8; expected an fp32 ONNX"):
        build(BuildRequest(int8, "openvino", reference=int8))


def test_what_cannot_be_compared_is_told_before_the_build(onnx: Path, tmp_path: Path) -> None:
    """It may take minutes; so nothing was being built yet."""
    told: list[str] = []
    (tmp_path / "other").mkdir()
    other = palette_model(tmp_path / "other", "other", size=(64, 96))
    with pytest.raises(EngineError, match=rf"{onnx.name} gives .* from \(32, 48\); expected .* as .*other\.onnx"):
        build(BuildRequest(onnx, "openvino", "fp32", reference=other), told.append)
    (tmp_path / "empty").mkdir()
    for folder, error, message in (("gone", SourceError, "no folder"), ("empty", UsageError, "holds no pictures")):
        with pytest.raises(error, match=message):
            build(BuildRequest(onnx, "openvino", "fp32", calibration=tmp_path / folder), told.append)
    assert told == []


def test_wrong_requests_say_what_is_possible(onnx: Path) -> None:
    with pytest.raises(UsageError, match="did you mean openvino"):
        build(BuildRequest(onnx, "openvinos"))
    with pytest.raises(UsageError, match=r"size 64x64 .* expected 48x32"):
        build(BuildRequest(onnx, "openvino", size=(64, 64)))
    with pytest.raises(UsageError, match="no precision 'fp8'"):
        build(BuildRequest(onnx, "openvino", "fp8"))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_is_named(onnx: Path) -> None:
    onnx.parent.chmod(0o500)
    with pytest.raises(UsageError, match="cannot write to"):
        build(BuildRequest(onnx, "openvino", "fp32"))


def conv_model(folder: Path, name: str, quantised: bool) -> Path:
    """Two convolutions over the whole contract, in float or in symmetric QDQ with weights per channel."""
    rng = np.random.default_rng(0)
    kernels = [rng.normal(0, 0.3, (16, 3, 3, 3)), rng.normal(0, 0.3, (11, 16, 1, 1))]
    constants: dict[str, Any] = {"zero": np.int8(0), "scale": np.float32(1 / 100), "divisor": np.float32(255)}
    nodes = [
        helper.make_node("Cast", ["frame"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Div", ["float", "divisor"], ["scaled"]),
        helper.make_node("Transpose", ["scaled"], ["x0"], perm=[0, 3, 1, 2]),
    ]
    for i, kernel in enumerate(kernels):
        steps = np.abs(kernel).max(axis=(1, 2, 3)).astype(np.float32) / 127
        whole = np.round(kernel / steps[:, None, None, None]).astype(np.int8)
        constants |= {f"w{i}": (whole * steps[:, None, None, None]).astype(np.float32)}
        source, weights = f"x{i}", f"w{i}"
        if quantised:
            constants |= {f"q{i}": whole, f"s{i}": steps, f"z{i}": np.zeros(len(steps), np.int8)}
            nodes += [
                helper.make_node("QuantizeLinear", [source, "scale", "zero"], [f"xq{i}"]),
                helper.make_node("DequantizeLinear", [f"xq{i}", "scale", "zero"], [f"xd{i}"]),
                helper.make_node("DequantizeLinear", [f"q{i}", f"s{i}", f"z{i}"], [f"wd{i}"], axis=0),
            ]
            source, weights = f"xd{i}", f"wd{i}"
        pads = [1, 1, 1, 1] if i == 0 else [0, 0, 0, 0]
        nodes += [
            helper.make_node("Conv", [source, weights], [f"y{i}"], strides=[2 - i, 2 - i], pads=pads),
            helper.make_node("Relu", [f"y{i}"], [f"x{i + 1}"]),
        ]
    nodes += [
        helper.make_node("ArgMax", ["y1"], ["best"], axis=1, keepdims=0),
        helper.make_node("Cast", ["best"], ["classes"], to=TensorProto.UINT8),
    ]
    h, w = SIZE
    graph = helper.make_graph(
        nodes, name,
        [helper.make_tensor_value_info("frame", TensorProto.UINT8, [1, h, w, 3])],
        [helper.make_tensor_value_info("classes", TensorProto.UINT8, [1, h // 2, w // 2])],
        [numpy_helper.from_array(np.asarray(value), key) for key, value in constants.items()],
    )  # fmt: skip
    spec = palette_spec(name=name, precision="int8" if quantised else "fp32", source_sha256="ab" * 32)
    return write_onnx(folder / f"{name}.onnx", graph, spec)


@pytest.mark.skipif("int8" not in native_precisions(), reason="this processor lacks VNNI")
def test_an_int8_build_is_held_against_the_float_network_of_its_checkpoint(openvino: None, tmp_path: Path) -> None:
    conv_model(tmp_path, "net", quantised=False)
    onnx = conv_model(tmp_path, "net-int8", quantised=True)
    built = build(BuildRequest(onnx, "openvino", accept_parity=True))
    assert built.file.name == "net-int8-int8.xml"
    assert built.passport.parity is not None
    assert built.passport.parity.reference == "net.onnx"
    assert built.passport.options["floats"] == ("bf16" if "bf16" in native_precisions() else "fp32")
    engine = open_engine(built.file)
    assert engine.describe()["precision"] == "int8"
    plain = build(
        BuildRequest(onnx, "openvino", accept_parity=True, out=tmp_path / "plain", options={"floats": "fp32"})
    )
    assert open_engine(plain.file).describe()["floats"] == "fp32"
    assert "--floats fp32" in plain.passport.rebuild(tmp_path)


def test_the_command_builds_and_tells(openvino: None, onnx: Path) -> None:
    done = CliRunner().invoke(command, [str(onnx), "--backend", "openvino", "--precision", "fp32", "--json", "-"])
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)
    assert report["file"] == str(onnx.with_name("palette-fp32.xml"))
    assert report["passport"]["parity"]["agreement"] == 1
    wrong = CliRunner().invoke(command, [str(onnx), "--backend", "openvino", "--size", "64x64"])
    assert isinstance(wrong.exception, UsageError)
    assert "expected 48x32, width x height; drivenet export --size 64x64 writes" in str(wrong.exception)
