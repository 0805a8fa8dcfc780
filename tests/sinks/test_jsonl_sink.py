"""The stats file: whole lines, strict JSON, whatever happens."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from sink_results import make_result

from drivenet.errors import SinkError
from drivenet.latency import STAGES
from drivenet.result import Totals
from drivenet.sinks.jsonl import JsonlSink, to_json

_WRITER = """
import sys
from drivenet.sinks.jsonl import JsonlSink
class Result:
    def __init__(self, index): self.index = index
    def to_dict(self): return {"type": "frame", "frame": self.index, "padding": "x" * 80}
sink = JsonlSink(sys.argv[1])
"""


def lines_of(text: str) -> list[dict[str, object]]:
    assert text.endswith("\n")
    return [json.loads(line) for line in text.splitlines()]


def test_a_line_a_frame_and_last_the_summary(tmp_path: Path) -> None:
    path = tmp_path / "new" / "stats.jsonl"
    sink = JsonlSink(path)
    assert (sink.needs_view, sink.records) == (False, True)
    totals = Totals(captured=3, published=2, dropped={"superseded": 1})
    for index in (0, 2):
        sink.publish(make_result(index, view=False))
        assert lines_of(path.read_text())[-1]["frame"] == index  # there as soon as it is published
    sink.close(totals)
    first, second, summary = lines_of(path.read_text())
    assert first == make_result(0).to_dict()
    assert second["classes"] == {"Sky": 0.41667, "Road": 0.4375, "Car": 0.0625}
    assert summary == json.loads(json.dumps(totals.to_dict()))


def test_a_dash_is_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    sink = JsonlSink("-")
    sink.publish(make_result())
    sink.close(Totals())
    assert [line["type"] for line in lines_of(capsys.readouterr().out)] == ["frame", "summary"]


def test_a_run_without_frames_still_has_its_summary(tmp_path: Path) -> None:
    sink = JsonlSink(tmp_path / "s.jsonl")
    sink.close(Totals())
    assert [line["type"] for line in lines_of((tmp_path / "s.jsonl").read_text())] == ["summary"]


def test_an_earlier_file_stands_and_the_next_free_name_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "s.jsonl"
    path.write_text("old\n")
    sink = JsonlSink(path)
    assert sink.target == str(tmp_path / "s-2.jsonl")
    sink.publish(make_result())
    sink.close(Totals())
    assert path.read_text() == "old\n"
    assert len(lines_of((tmp_path / "s-2.jsonl").read_text())) == 2


def test_numbers_that_json_does_not_know_become_null() -> None:
    line = {"a": math.nan, "b": [math.inf, 1.5, (2, -math.inf)], "c": {"d": math.nan, "e": "NaN"}}
    assert to_json(line) == '{"a":null,"b":[null,1.5,[2,null]],"c":{"d":null,"e":"NaN"}}'


def test_a_file_whose_name_is_no_text_can_be_told_from_its_line(tmp_path: Path) -> None:
    name = "a\udcff.png"  # what Python makes of the bytes a, 255, .png
    result = make_result()
    sink = JsonlSink(tmp_path / "s.jsonl")
    sink.publish(replace(result, frame=replace(result.frame, file=name)))
    sink.close(Totals(errors=[f"{name} is damaged"]))
    frame, summary = lines_of((tmp_path / "s.jsonl").read_text(encoding="utf-8"))
    assert (frame["file"], summary["errors"]) == (name, [f"{name} is damaged"])


def test_lines_have_no_spaces_and_no_stage_is_lost() -> None:
    result = make_result()
    text = to_json(result.to_dict())
    assert " " not in text
    assert set(json.loads(text)["stages_ms"]) == {*STAGES} - {"publish"}


def test_a_kill_leaves_whole_lines(tmp_path: Path) -> None:
    path = tmp_path / "s.jsonl"
    code = _WRITER + "index = 0\nwhile True:\n    sink.publish(Result(index)); index += 1\n    print(index, flush=True)"
    with subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout
        while writer.stdout.readline() != "200\n":
            pass
        writer.send_signal(signal.SIGKILL)
    frames = [line["frame"] for line in lines_of(path.read_text())]
    assert frames == list(range(len(frames)))
    assert len(frames) >= 200


def test_a_disk_that_fills_up_is_a_sink_error_and_leaves_whole_lines(tmp_path: Path) -> None:
    path = tmp_path / "s.jsonl"
    code = _WRITER + (
        "import resource\n"
        "from drivenet.errors import SinkError\n"
        "from drivenet.result import Totals\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "try:\n    for index in range(100): sink.publish(Result(index))\n"
        "except SinkError as error:\n    print(error)\n"
        "sink.close(Totals())\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    assert done.stdout.startswith(f"cannot write {path}: ")
    frames = [line["frame"] for line in lines_of(path.read_text())]
    assert frames == list(range(len(frames)))
    assert 5 <= len(frames) <= 10


def test_a_reader_that_goes_away_is_one_sink_error_and_no_second_complaint() -> None:
    code = _WRITER + (
        "from drivenet.errors import SinkError\n"
        "from drivenet.result import Totals\n"
        "try:\n    while True: sink.publish(Result(0))\n"
        "except SinkError as error:\n    print(error, file=sys.stderr)\n"
        "sink.close(Totals())\n"
    )
    command = [sys.executable, "-c", code, "-"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as writer:
        assert writer.stdout
        assert writer.stderr
        writer.stdout.readline()
        writer.stdout.close()
        said = writer.stderr.read()
    assert said == "standard output was closed by its reader; write to a file instead of -\n"
    assert writer.returncode == 0


def test_a_pipe_that_does_not_block_is_waited_for() -> None:
    """It is full when the node begins, and its reader takes so little at a time that lines go through in parts."""
    code = _WRITER + (
        "from drivenet.result import Totals\n"
        "long = Result(0); long.to_dict = lambda: {'type': 'frame', 'frame': 0, 'padding': 'x' * 300_000}\n"
        "sink.publish(long)\n"
        "for index in range(1, 2000): sink.publish(Result(index))\n"
        "sink.close(Totals())\n"
    )
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with suppress(BlockingIOError):
        while os.write(writer, b"\n" * 4096):
            pass
    with subprocess.Popen([sys.executable, "-c", code, "-"], stdout=writer, stderr=subprocess.PIPE) as process:
        assert process.stderr
        os.close(writer)
        with open(reader, "rb", buffering=0) as pipe:
            taken = b"".join(iter(lambda: pipe.read(1000), b""))
        assert process.stderr.read() == b""
        assert process.wait(60) == 0
    *frames, summary = lines_of(taken.decode().lstrip("\n"))
    assert [line["frame"] for line in frames] == list(range(2000))
    assert summary["type"] == "summary"


def test_a_folder_or_a_place_that_is_none_is_a_sink_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SinkError, match="it is a folder"):
        JsonlSink(tmp_path)
    with pytest.raises(SinkError, match="cannot write"):
        JsonlSink(tmp_path / "file" / "s.jsonl")


def test_a_device_can_be_written_to() -> None:
    sink = JsonlSink("/dev/null")
    sink.publish(make_result())
    sink.close(Totals())


@pytest.mark.parametrize("replaced", [False, True], ids=["removed", "replaced"])
def test_a_file_that_is_gone_at_its_end_is_a_sink_error(tmp_path: Path, replaced: bool) -> None:
    path = tmp_path / "s.jsonl"
    sink = JsonlSink(path)
    sink.publish(make_result())
    path.unlink()
    if replaced:
        path.write_text("another")
    with pytest.raises(SinkError, match=r"s\.jsonl was removed or replaced while it was written; leave it"):
        sink.close(Totals())


def test_a_pipe_need_not_be_there_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "s.jsonl"
    os.mkfifo(path)
    with subprocess.Popen(["cat", str(path)], stdout=subprocess.PIPE, text=True) as reader:
        sink = JsonlSink(path)
        sink.publish(make_result())
        path.unlink()
        sink.close(Totals())
        taken, _ = reader.communicate(timeout=60)
    assert [line["type"] for line in lines_of(taken)] == ["frame", "summary"]


@pytest.mark.parametrize("target", ["s.jsonl", "-"])
def test_a_closed_sink_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], target: str
) -> None:
    monkeypatch.chdir(tmp_path)
    sink = JsonlSink(target)
    sink.close(Totals())
    with pytest.raises(SinkError, match=r"(s\.jsonl|standard output) is closed$"):
        sink.publish(make_result())
    sink.close(Totals())
    written = capsys.readouterr().out if target == "-" else Path(target).read_text()
    assert [line["type"] for line in lines_of(written)] == ["summary"]
