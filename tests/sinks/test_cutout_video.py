"""Videos with a transparent background: opaque where the class is, every frame at its time."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
from sink_results import make_result

from drivenet.classmap import ClassMap
from drivenet.errors import UsageError
from drivenet.labels import CAMVID
from drivenet.result import Result, Totals
from drivenet.sinks import open_sink
from drivenet.sinks.cutout_video import CODINGS

CAR, ROAD = CAMVID.id_of("Car"), CAMVID.id_of("Road")


def car_at(index: int, left: int) -> Result:
    """A frame of one colour with a car of 24x24 in it."""
    result = make_result(index, colour=(40, 90, 200))
    ids = np.full((48, 64), ROAD, np.uint8)
    ids[12:36, left : left + 24] = CAR
    return result.with_layers(classmap=ClassMap(ids, index, result.frame.captured_ns))


def decoded(path: Path) -> list[tuple[float, np.ndarray]]:
    """Seconds and BGRA picture of every frame; the decoder that FFmpeg takes of itself for VP9 leaves alpha out."""
    out = []
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        codec = stream.codec_context
        if path.suffix == ".webm":
            codec = av.CodecContext.create("libvpx-vp9", "r")
            assert {key.lower(): value for key, value in stream.metadata.items()}["alpha_mode"] == "1"
        for packet in container.demux(stream):
            if packet.size:
                time = float(packet.pts * packet.time_base)
                out += [(time, f.to_ndarray(format="bgra")) for f in codec.decode(packet)]
    return out


@pytest.mark.parametrize("suffix", sorted(CODINGS))
def test_it_is_opaque_where_the_class_is(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"cars{suffix}"
    sink = open_sink(path, fps=25, visualize="cutout", classes=("Car",))
    for index in range(8):
        sink.publish(car_at(index, 4 + 4 * index))
    sink.close(Totals())
    frames = decoded(path)
    assert [time for time, _ in frames] == pytest.approx([i / 25 for i in range(8)], abs=1e-3)
    for index, (_, picture) in enumerate(frames):
        assert picture.shape == (48, 64, 4)
        left = 4 + 4 * index
        inner, alpha = picture[15:33, left + 3 : left + 21], picture[..., 3].astype(int)
        assert inner[..., 3].min() > 230
        assert np.abs(inner[..., :3].astype(int) - (40, 90, 200)).mean() < 12
        alpha[9:39, max(0, left - 3) : left + 27] = 0
        assert alpha.max() < 25


def test_a_view_that_is_no_cutout_has_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"of the view overlay; expected FILE.mp4 or FILE.mkv; --visualize cutout"):
        open_sink(tmp_path / "out.mov", fps=25, visualize="overlay")
    assert not list(tmp_path.iterdir())
