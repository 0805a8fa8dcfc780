"""On two cores a light engine of a recorded run leaves one to the encoder; else it has them all."""

from __future__ import annotations

import pytest

from drivenet.cli.served import spared
from drivenet.config import NodeSettings

OUT = ("o.mp4",)


@pytest.mark.parametrize(
    ("cores", "ms", "settings", "threads"),
    [
        (2, 5, NodeSettings(source="drive.mp4", out=OUT), 1),
        (2, 5, NodeSettings(source="folder/", out=("out/",)), 1),
        (2, 5, NodeSettings(source="synthetic://96x64", out=OUT, policy="every"), 1),
        (2, 20, NodeSettings(source="drive.mp4", out=OUT), None),
        (2, 5, NodeSettings(source="drive.mp4"), None),
        (2, 5, NodeSettings(source="drive.mp4", out=OUT, policy="latest"), None),
        (2, 5, NodeSettings(source="rtsp://camera/1", out=OUT), None),
        (2, 5, NodeSettings(sources=("a.mp4", "b.mp4"), out=OUT), None),
        (1, 5, NodeSettings(source="drive.mp4", out=OUT), None),
        (4, 5, NodeSettings(source="drive.mp4", out=OUT), None),
    ],
)
def test_who_leaves_a_core(
    cores: int, ms: float, settings: NodeSettings, threads: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("drivenet.cli.served.physical_cores", lambda: cores)
    assert spared(settings, ms) == threads
