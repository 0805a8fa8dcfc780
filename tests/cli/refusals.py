"""What a refused command leaves: one line, its exit code and no file."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from cli_parts import call

NULL = ("--backend", "null", "--headless", "--strict")


def refused(capsys: pytest.CaptureFixture[str], code: int, pattern: str, *args: object) -> None:
    """The command ends with that code, one line on standard error, and no file that was not there before."""
    before = {p: p.stat().st_size for p in Path().rglob("*")}
    assert call(*args) == code
    printed = capsys.readouterr()
    assert printed.out == ""
    assert re.fullmatch(r"drivenet: [^\n]+\n", printed.err), printed.err
    assert re.search(pattern, printed.err), printed.err
    assert {p: p.stat().st_size for p in Path().rglob("*")} == before
