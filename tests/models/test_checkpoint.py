"""Checkpoints: exact round trips; what is torn or would run code is refused in one line."""

from __future__ import annotations

import hashlib
import os
import pickle
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="torch (extra [train]) is not installed")

pytest.importorskip("onnx", reason="onnx (extra [train]) is not installed")

from drivenet.errors import UsageError  # noqa: E402
from drivenet.export.onnx import export_checkpoint  # noqa: E402
from drivenet.files import sha256_of  # noqa: E402
from drivenet.labels import CAMVID  # noqa: E402
from drivenet.models import checkpoint, create  # noqa: E402


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "last.pt"
    checkpoint.save(path, {"network": {"w": torch.arange(300.0)}, "settings": {"name": "x"}, "labels": "camvid"})
    return path


def test_a_checkpoint_comes_back_as_it_was(file: Path) -> None:
    state = checkpoint.load(file)
    assert torch.equal(state["network"]["w"], torch.arange(300.0))
    assert (state["settings"], state["labels"]) == ({"name": "x"}, "camvid")
    assert os.listdir(file.parent) == ["last.pt"]


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.9, 0.999])
def test_a_torn_file_is_refused(file: Path, share: float) -> None:
    content = file.read_bytes()
    file.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(UsageError, match="cannot read checkpoint") as caught:
        checkpoint.load(file)
    told = "it is cut short" if share else "it is empty"
    assert str(caught.value) == f"cannot read checkpoint {file}: {told}; expected a .pt file that drivenet train wrote"


@pytest.mark.parametrize("content", [b"hello world\n", b"{}", b"\x00" * 100, b"\x89PNG\r\n"])
def test_a_file_of_another_kind_is_told_in_words(tmp_path: Path, content: bytes) -> None:
    (file := tmp_path / "last.pt").write_bytes(content)
    with pytest.raises(UsageError, match=r"last\.pt: no checkpoint, or one that holds more than tensors; expected"):
        checkpoint.load(file)


class Evil:
    """Makes a folder when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("zipped", [True, False])
def test_code_in_a_file_is_not_run(tmp_path: Path, zipped: bool) -> None:
    file, mark = tmp_path / "evil.pt", tmp_path / "it_ran"
    evil = {"network": Evil(mark), "settings": {}}
    if zipped:
        torch.save(evil, file)
    else:
        file.write_bytes(pickle.dumps(evil, protocol=2))
    with pytest.raises(UsageError, match="cannot read checkpoint"):
        checkpoint.load(file)
    assert not mark.exists()


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot read checkpoint"):
        checkpoint.load(tmp_path / "missing.pt")
    torch.save({"state_dict": {}}, tmp_path / "other.pt")
    with pytest.raises(UsageError, match="no drivenet checkpoint"):
        checkpoint.load(tmp_path / "other.pt")


def test_what_a_run_builds_on_is_known_without_paths_of_this_machine(file: Path) -> None:
    digest = hashlib.sha256(file.read_bytes()).hexdigest()[:12]
    settings = {"model": {"start": str(file)}, "distil": {"teacher": "/gone/large/best.pt"}}
    assert checkpoint.lineage(settings) == {
        "start": {"name": f"{file.parent.name}/last", "sha256": digest}, "teacher": {"name": "large/best"}
    }  # fmt: skip
    assert checkpoint.lineage({"model": {"start": "best.pt"}, "distil": None}) == {"start": {"name": "best"}}
    assert checkpoint.lineage({"model": {}}) == {}


def written(folder: Path, name: str, value: float, **changes: object) -> Path:
    state = {
        "network": {"w": torch.full((3,), value), "count": torch.tensor(int(value))},
        "settings": {"name": name, "model": {"architecture": "x", "options": {"width": 1}}},
        "labels": "camvid",
        "progress": {"best": 0.5, "iteration": 7},
        **changes,
    }
    checkpoint.save(folder / f"{name}.pt", state)
    return folder / f"{name}.pt"


def test_the_mean_of_checkpoints_weighs_them_and_names_them(tmp_path: Path) -> None:
    files = [written(tmp_path, "one", 1.0), written(tmp_path, "two", 5.0)]
    mean = checkpoint.average(files, [3, 1])
    assert torch.equal(mean["network"]["w"], torch.full((3,), 2.0))
    assert mean["network"]["count"] == 5  # no mean of what is counted
    assert mean["progress"] == {"best": None, "iteration": 7}
    assert [(m["name"].split("/")[-1], m["share"]) for m in mean["lineage"]["mean_of"]] == [
        ("one", 0.75),
        ("two", 0.25),
    ]
    assert torch.equal(checkpoint.average(files)["network"]["w"], torch.full((3,), 3.0))


def test_the_mean_of_imported_networks_is_none_of_them(tmp_path: Path) -> None:
    """Their record has a score, and the digest by which a build finds its reference: both are of others."""
    options = {"width": 0.25, "semantic": 0.5, "head": 16}
    settings = {"name": "n", "model": {"architecture": "bisenetv2", "options": options}, "input": [32, 64]}
    spec = {"trained_on": "camvid train", "val_miou": 0.7, "source_sha256": "ab", "training": {"minutes": 3.0}}
    files = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        network = create("bisenetv2", len(CAMVID), options).state_dict()
        files.append(tmp_path / f"{seed}.pt")
        checkpoint.save(files[-1], {"network": network, "settings": settings, "labels": "camvid", "spec": spec})
    checkpoint.save(tmp_path / "mean.pt", checkpoint.average(files))
    found = export_checkpoint(tmp_path / "mean.pt", tmp_path / "mean.onnx")
    assert (found.val_miou, found.source_sha256) == (None, sha256_of(tmp_path / "mean.pt"))
    assert (found.trained_on, found.training["minutes"]) == ("camvid train", 3.0)
    assert [one["share"] for one in found.training["mean_of"]] == [0.5, 0.5]
    alone = export_checkpoint(files[0], tmp_path / "alone.onnx")
    assert (alone.val_miou, alone.source_sha256) == (0.7, "ab")


def test_what_has_no_mean_is_refused(tmp_path: Path) -> None:
    one = written(tmp_path, "one", 1.0)
    other = written(tmp_path, "other", 1.0, settings={"name": "o", "model": {"architecture": "y", "options": {}}})
    with pytest.raises(UsageError, match=r"one\.pt is of .*x.*expected .*y"):
        checkpoint.average([one, other])
    for files, shares in (([one], None), ([one, one], [1.0]), ([one, one], [0.0, 0.0]), ([one, one], [2.0, -1.0])):
        with pytest.raises(UsageError, match="two or more"):
            checkpoint.average(files, shares)


def test_a_checkpoint_with_flipped_bytes_is_refused(tmp_path: Path) -> None:
    """PyTorch reads it as it is: a run went on from, or exported, weights that nobody trained."""
    file = tmp_path / "best.pt"
    checkpoint.save(file, {"network": {"w": torch.ones(5000)}, "settings": {}})
    content = bytearray(file.read_bytes())
    at = content.index(torch.ones(100).numpy().tobytes()) + 400
    content[at] ^= 0x40
    file.write_bytes(content)
    with pytest.raises(UsageError, match=r"cannot read checkpoint .*best\.pt: .*data/0 in it is damaged; expected"):
        checkpoint.load(file)
