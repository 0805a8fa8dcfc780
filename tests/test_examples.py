"""Examples in documents and docstrings do what they say."""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
PROMPT = ">>> "


def holding_examples(folder: str, pattern: str) -> list[str]:
    files = sorted((REPOSITORY / folder).rglob(pattern))
    return [file.relative_to(REPOSITORY).as_posix() for file in files if PROMPT in file.read_text(encoding="utf-8")]


DOCUMENTS = holding_examples("docs", "*.md")
MODULES = [name.removesuffix(".py").replace("/", ".") for name in holding_examples("drivenet", "*.py")]


def test_there_are_examples() -> None:
    assert "docs/python.md" in DOCUMENTS
    assert "drivenet.segmenter" in MODULES


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_document(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = doctest.testfile(str(REPOSITORY / name), module_relative=False, encoding="utf-8")
    assert (done.attempted > 0, done.failed) == (True, 0)


@pytest.mark.parametrize("name", MODULES)
def test_a_module(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if name.startswith(("drivenet.models", "drivenet.training", "drivenet.export", "drivenet.convert")):
        pytest.importorskip("torch", reason="torch (extra [train]) is not installed")
    monkeypatch.chdir(tmp_path)
    done = doctest.testmod(importlib.import_module(name.removesuffix(".__init__")))
    assert (done.attempted > 0, done.failed) == (True, 0)
