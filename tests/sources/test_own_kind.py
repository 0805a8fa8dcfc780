"""A kind of source is added in one table: runs, help and messages take it from there."""

from __future__ import annotations

import itertools
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from drivenet.address import split_settings
from drivenet.errors import SourceError, UsageError
from drivenet.frame import Frame
from drivenet.latency import now_ns
from drivenet.sources import KINDS, files_of, kind_of, open_source
from drivenet.sources.base import Source
from drivenet.sources.kinds import Kind
from drivenet.sources.options import Options

ROOT = Path(__file__).parents[2]


class Grey(Source):
    """Three frames; a live one is lost after them."""

    size = (8, 8)

    def __init__(self, name: str, live: bool) -> None:
        self.name, self.live = name, live

    def __iter__(self) -> Iterator[Frame]:
        for index in range(3):
            yield Frame(np.zeros((8, 8, 3), np.uint8), index, now_ns())
        if self.live:
            raise SourceError("grey is lost")


def open_raw(path: str, options: Options) -> Source:
    file, _ = split_settings(path, ("size",))
    return Grey(Path(file).name, live=False)


def open_radio(uri: str, options: Options) -> Source:
    return Grey("radio", live=True)


@pytest.fixture(autouse=True)
def added(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(KINDS, "raw", Kind(f"{__name__}:open_raw", "a.raw", suffixes=(".raw",), recorded=True))
    radio = Kind(f"{__name__}:open_radio", "radio://HOST", ("radio",), streams=("radio",), blocks=True)
    monkeypatch.setitem(KINDS, "radio", radio)


def test_a_file_is_known_by_its_suffix_and_can_be_played_again(tmp_path: Path) -> None:
    file = tmp_path / "a.RAW"
    file.touch()
    for place in (str(file), f"{file}?size=8x8", file.as_uri()):
        assert kind_of(place) == "raw"
        assert files_of(place) == [file]
        assert len(list(open_source(place))) == 3
    with open_source(file, loop=True) as source:
        assert [f.index for f in itertools.islice(source, 7)] == list(range(7))


def test_a_live_one_is_opened_again_when_it_is_lost() -> None:
    with open_source("radio://host") as source:
        assert [f.index for f in itertools.islice(source, 5)] == list(range(5))
        assert source.status().reconnects >= 1
    with pytest.raises(UsageError, match="--loop for radio://host"):
        open_source("radio://host", loop=True)
    with pytest.raises(UsageError, match="unknown scheme radios; did you mean radio"):
        open_source("radios://host")


def test_help_shows_how_it_is_written() -> None:
    code = (
        "from drivenet.sources.kinds import KINDS, Kind; KINDS['raw'] = Kind('a:b', 'a.raw')\n"
        "from drivenet.cli.run import run; run(['--help'])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert ", a.raw drivenet run 0" in " ".join(done.stdout.split())


def test_every_scheme_that_ships_is_in_the_quick_start() -> None:
    page = (ROOT / "docs" / "quickstart.md").read_text(encoding="utf-8")
    schemes = {scheme for name, kind in KINDS.items() if name not in ("raw", "radio") for scheme in kind.schemes}
    assert schemes
    assert [scheme for scheme in sorted(schemes) if f"`{scheme}://" not in page] == []
