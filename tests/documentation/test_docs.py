"""The documentation: commands that exist, a README that is short, a site that builds without a warning."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import click
import pytest

import drivenet
from drivenet.cli import cli
from drivenet.errors import DrivenetError
from tests.documentation.documented import PAGES, REPOSITORY, commands, name_of

#: What a page leaves to its reader.
_FILLED = {"ENGINE": "fast", "$PWD": "."}
DOCUMENTED = [
    (name_of(page), line)
    for page in PAGES
    for line in commands(page)
    if re.match(r"(\S+=\S+ |\S+=\$\(.*\) )*drivenet ", line)
]


def test_there_are_commands() -> None:
    assert len(DOCUMENTED) > 40
    assert {page for page, _ in DOCUMENTED} >= {"README.md", "docs/convert.md", "docs/quickstart.md"}


@pytest.mark.parametrize(("page", "line"), DOCUMENTED, ids=[f"{page}: {line[:60]}" for page, line in DOCUMENTED])
def test_a_documented_command_has_these_arguments_and_options(page: str, line: str) -> None:
    """Names and choices; nothing is run."""
    words = [_FILLED.get(word, word) for word in shlex.split(line, comments=True)]
    words = words[words.index("drivenet") + 1 :]
    words = words[: next((i for i, word in enumerate(words) if word in ("|", ">", "&&", ";")), len(words))]
    if words[0].startswith("-"):
        return
    command = cli.get_command(click.Context(cli), words[0])
    assert command is not None, f"{page}: no command {words[0]}"
    try:
        command.make_context(words[0], words[1:])
    except click.exceptions.Exit:
        pass
    except (click.ClickException, DrivenetError) as error:
        pytest.fail(f"{page}: {line}: {error}")


def test_the_readme_is_short() -> None:
    assert len((REPOSITORY / "README.md").read_text(encoding="utf-8").split()) <= 700


def test_every_public_name_has_a_place_on_the_api_page() -> None:
    page = (REPOSITORY / "docs/reference/api.md").read_text(encoding="utf-8")
    named = set(re.findall(r"^::: drivenet\.[\w.]*?(\w+)$", page, flags=re.M))
    others = {"Result", "Segmentation"}  # other names of Record
    assert set(drivenet.__all__) - named - others - {"__version__"} == set()


def test_pages_name_no_file_that_is_not_there() -> None:
    """Relative links of the README and of pages outside the site; MkDocs checks the others."""
    missing = []
    for page in [REPOSITORY / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "examples/README.md")]:
        for target in re.findall(r"\]\(([^)#:]+)[^):]*\)", page.read_text(encoding="utf-8")):
            if not (page.parent / target).exists():
                missing.append(f"{page.name}: {target}")
        for target, anchor in re.findall(r"\]\(([^)#:]+\.md)#([^)]+)\)", page.read_text(encoding="utf-8")):
            titles = re.findall(r"^#+ (.*)$", (page.parent / target).read_text(encoding="utf-8"), flags=re.M)
            if anchor not in {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}:
                missing.append(f"{page.name}: {target}#{anchor}")
    assert missing == []


@pytest.mark.slow
def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    if find_spec("mkdocs") is None:
        pytest.skip("mkdocs (extra [docs]) is not installed")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", tmp_path / "site"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    for page in ("index.html", "reference/cli/index.html", "reference/node/index.html", "reference/api/index.html"):
        assert (tmp_path / "site" / page).stat().st_size > 5000, page
    texts = {page.parent.name: page.read_text(encoding="utf-8") for page in (tmp_path / "site").rglob("index.html")}
    assert [name for name, text in texts.items() if "](#" in text] == []  # a link that is shown as text
    assert [name for name, text in texts.items() if re.search(r"<code>[^<]*\\[\[|]", text)] == []  # a backslash
