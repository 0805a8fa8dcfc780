"""What a reader of the documentation has: recordings, images, data sets, a model of another program, settings."""

from __future__ import annotations

import re
import shutil
from importlib.util import find_spec
from pathlib import Path

import av
import cv2
import numpy as np

from drivenet.data.sequences.synthetic import SyntheticSequence
from drivenet.data.sequences.write import label_ids, write_cityscapes_video
from drivenet.labels import CITYSCAPES
from drivenet.synthetic import SyntheticDrive
from tests.documentation.documented import REPOSITORY

WIDTH, HEIGHT = 320, 192
#: Ids of CamVid's and IDD-Lite's classes are 0 to 10 and 0 to 6; that many of Cityscapes' serve as theirs.
_CAMVID, _IDDLITE = 11, 7


def make(folder: Path) -> None:
    """Write all of it; two to eight frames of the synthetic drive each."""
    drive = SyntheticDrive(WIDTH, HEIGHT, 30.0, 5, CITYSCAPES)
    drawn = [drive.frame(i * 5) for i in range(8)]
    for name in ("drive.mp4", "cam.mp4", "videos/town/a.mp4", "videos/b.mp4"):
        _video(folder / name, [frame.image for frame in drawn])
    pictures = [(frame.image, frame.ids) for frame in drawn]
    for i, (image, _) in enumerate(pictures):
        _image(folder / f"frames/{i:04}.png", image)
        _image(folder / f"drives/{i % 2}/{i:04}.jpg", image)
    _cityscapes(folder, pictures)
    _camvid(folder / "CamVid", pictures)
    _pairs(folder / "IDD-Lite/train", pictures, _IDDLITE)
    _pairs(folder / "mine", pictures, len(CITYSCAPES.classes))
    _suite(folder / "datasets", pictures)
    _settings(folder)
    _models(folder)
    built = shutil.ignore_patterns("*.plan*", "*.xml*", "*.bin", "openvino_cache", ".*")
    shutil.copytree(REPOSITORY / "engines", folder / "engines", ignore=built)
    (folder / "engines/catalog.json").write_text('{"default": "fast"}')  # whatever this processor has
    for suffix in ("onnx", "json"):
        shutil.copyfile(REPOSITORY / f"engines/fast.{suffix}", folder / f"engines/NAME.{suffix}")


def _models(folder: Path) -> None:
    """Models of other programs."""
    if find_spec("onnx") is not None:
        from tests.convert.foreign_models import Net

        net = Net(classes=32, axes=(96, 160))  # 32 channels inside, which int8 is for
        for channels in (32, len(CITYSCAPES.classes)):
            net.add("Relu").convolution(channels, 32, 1)
        net.write(folder / "model.onnx")
    if find_spec("torch") is not None:
        import torch

        from tests.convert.published import published

        torch.save(published("coincheung-bisenetv2"), folder / "model_final_v2_city.pth")


def _video(path: Path, images: list[np.ndarray]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=30)
        stream.width, stream.height = WIDTH, HEIGHT
        for image in images:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="bgr24")))
        container.mux(stream.encode())


def _image(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), pixels)


def _cityscapes(folder: Path, pictures: list[tuple[np.ndarray, np.ndarray]]) -> None:
    for i, (image, ids) in enumerate(pictures):
        _image(folder / f"cityscapes/leftImg8bit/val/town/town_{i:06}_000019_leftImg8bit.png", image)
        _image(folder / f"cityscapes/gtFine/val/town/town_{i:06}_000019_gtFine_labelIds.png", label_ids(ids))
    shutil.copytree(folder / "cityscapes/leftImg8bit", folder / "leftImg8bit")
    drives = [SyntheticSequence(seed, frames=30, size=(96, 160)) for seed in (1, 2)]
    write_cityscapes_video(folder / "cityscapes", "val", [("drawnham", drives[:1]), ("sketchford", drives[1:])])
    for labelled in (folder / "cityscapes/leftImg8bit_sequence").rglob("*_000019_leftImg8bit.png"):
        image = folder / "cityscapes/leftImg8bit" / labelled.relative_to(folder / "cityscapes/leftImg8bit_sequence")
        image.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(labelled, image)


def _camvid(root: Path, pictures: list[tuple[np.ndarray, np.ndarray]]) -> None:
    for split in ("train", "val"):
        for i, (image, ids) in enumerate(pictures):
            _image(root / split / f"{i:04}.png", image)
            _image(root / f"{split}annot" / f"{i:04}.png", (ids % _CAMVID).astype(np.uint8))


def _pairs(root: Path, pictures: list[tuple[np.ndarray, np.ndarray]], classes: int) -> None:
    for i, (image, ids) in enumerate(pictures):
        _image(root / "images" / f"{i:04}.png", image)
        _image(root / "labels" / f"{i:04}.png", (ids % classes).astype(np.uint8))


def _suite(root: Path, pictures: list[tuple[np.ndarray, np.ndarray]]) -> None:
    """The data sets of configs/suite/driving.yaml."""
    _camvid(root / "camvid", pictures)
    _pairs(root / "cityscapes256/val", pictures, len(CITYSCAPES.classes))
    _pairs(root / "iddlite/train", pictures, _IDDLITE)


def _settings(folder: Path) -> None:
    """The files that pages show: label, zone and node files; a camera becomes a short drive."""
    classes = "\n".join(
        f"- {{name: {name}, colour: [{i}, 60, 60], group: {CITYSCAPES.groups[name]}}}"
        for i, name in enumerate(CITYSCAPES.classes)
    )
    (folder / "mine.yaml").write_text(f"name: mine\nclasses:\n{classes}\n")
    outputs = (REPOSITORY / "docs/outputs.md").read_text(encoding="utf-8")
    (folder / "zones.yaml").write_text(re.findall(r"^```yaml\n(.*?)^```", outputs, flags=re.M | re.S)[0])
    (folder / "node.yaml").write_text("source: synthetic://320x192@30?frames=12\nheadless: true\nstats: node.jsonl\n")
    camera = (REPOSITORY / "configs/node/rtsp.yaml").read_text(encoding="utf-8")
    node = re.sub(r"^source: .*$", "source: synthetic://320x192@30?frames=12", camera, flags=re.M)
    (folder / "configs/node").mkdir(parents=True)
    (folder / "configs/node/rtsp.yaml").write_text(node.replace("127.0.0.1:8080", "127.0.0.1:0"))
    (folder / "drives.yaml").write_text("labels: cityscapes\nsequences:\n- {frames: drive.mp4, labels: drive-labels}\n")
    shutil.copytree(folder / "mine/labels", folder / "drive-labels")
