"""Checkpoints: exact round trips; what is torn or would run code is refused in one line."""

from __future__ import annotations

import hashlib
import os
import pickle
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="torch (extra [train]) is not installed")

from drivenet.errors import UsageError  # noqa: E402
from drivenet.models import checkpoint  # noqa: E402


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
    assert "\n" not in str(caught.value)


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
