"""The commands that the documentation tells its readers to type."""

from __future__ import annotations

import re
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
PAGES = [
    *(REPOSITORY / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")),
    *sorted((REPOSITORY / "docs").rglob("*.md")),
    *sorted((REPOSITORY / "examples").glob("*.md")),
]
_PROGRAMS = "drivenet|make|pip|python3?|torchrun|docker|sudo|systemctl|journalctl|curl|ffplay|pytest"
_COMMAND = re.compile(rf" {{4,}}(\w+=\S+ |\w+=\$\([^)]*\) )*({_PROGRAMS}) ")


def commands(page: Path) -> list[str]:
    """The lines of a page's code that start with a program, as a shell would join them."""
    text = page.read_text(encoding="utf-8").replace("\\\n", " ")
    fenced = re.sub(r"^```.*?^```", lambda m: re.sub(r"^", "    ", m[0], flags=re.M), text, flags=re.M | re.S)
    return [line.strip() for line in fenced.splitlines() if _COMMAND.match(line)]


def name_of(page: Path) -> str:
    """The page as the repository names it."""
    return page.relative_to(REPOSITORY).as_posix()
