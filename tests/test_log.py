"""The log: no secret gets out, a fault that repeats writes a line a second, and JSON lines are JSON."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterator

import pytest

from drivenet.log import LimitedHandler, configure, formatter, hide, mask_text

LOG = logging.getLogger("drivenet.test")


class Clock:
    """Stands still until it is set."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def written() -> Iterator[list[str]]:
    """Lines of a log that is set up for one test."""
    lines: list[str] = []
    handler = configure(lines.append, "debug", formatter("json"))
    yield lines
    for name in ("drivenet", "libav"):
        logging.getLogger(name).removeHandler(handler)
        logging.getLogger(name).setLevel(logging.NOTSET)


def limited() -> tuple[LimitedHandler, list[str], Clock]:
    lines: list[str] = []
    clock = Clock()
    handler = LimitedHandler(lines.append, clock)
    return handler, lines, clock


def record(text: str, source_id: str = "", code: str = "") -> logging.LogRecord:
    made = logging.LogRecord("drivenet.test", logging.WARNING, "", 0, text, None, None)
    made.source_id, made.code = source_id, code
    return made


def test_a_broken_camera_writes_a_line_a_second_and_the_newest_follows() -> None:
    handler, lines, clock = limited()
    for n in range(40):
        clock.now = 100 + n / 10
        handler.handle(record(f"lost {n}", "cam", "source.lost" if n % 2 else "source.found"))
    assert len(lines) == 4
    assert lines[0] == "lost 0"
    assert all(line.endswith("more like this left out)") for line in lines[1:])
    clock.now = 110
    handler.write_due()
    assert lines[-1].startswith("lost 39"), "how it stands in the end is not left out"


def test_what_is_held_back_is_written_at_the_end() -> None:
    handler, lines, _ = limited()
    handler.handle(record("first", "cam", "source.lost"))
    handler.handle(record("last", "cam", "source.found"))
    assert lines == ["first"]
    handler.close()
    assert lines == ["first", "last"]
    handler.handle(record("late", "other", "source.lost"))
    assert lines == ["first", "last"], "what is closed writes nothing more"


def test_other_sources_and_other_parts_are_not_held_back() -> None:
    handler, lines, _ = limited()
    for source_id, code in (("a", "source.lost"), ("b", "source.lost"), ("a", "output.failed"), ("a", "source.found")):
        handler.handle(record(f"{source_id} {code}", source_id, code))
    assert lines == ["a source.lost", "b source.lost", "a output.failed"]


def test_secrets_are_masked_in_messages_arguments_and_tracebacks(written: list[str]) -> None:
    hide("token-of-the-page")
    try:
        raise OSError("rtsp://admin:s3cret@10.0.0.7/main")
    except OSError:
        LOG.exception("cannot open %s with %s", "rtsp://admin:s3cret@10.0.0.7/main", "token-of-the-page")
    logging.getLogger("libav.rtsp").warning("DESCRIBE rtsp://admin:s3cret@10.0.0.7:554/main?token=abc failed")
    text = "\n".join(written)
    assert "s3cret" not in text
    assert "token-of-the-page" not in text
    assert "abc" not in text
    lines = [json.loads(line) for line in written]
    assert lines[0]["message"] == "cannot open rtsp://***@10.0.0.7/main with ***"
    assert "OSError: rtsp://***@10.0.0.7/main" in lines[0]["traceback"]
    assert lines[1]["logger"] == "libav.rtsp"


def test_json_lines_say_when_how_bad_and_where_from(written: list[str]) -> None:
    LOG.warning("lost for %d s", 3, extra={"source_id": "cam", "code": "source.lost"})
    (line,) = map(json.loads, written)
    assert line.pop("time").endswith("Z")
    assert line == {
        "level": "warning",
        "logger": "drivenet.test",
        "message": "lost for 3 s",
        "code": "source.lost",
        "source_id": "cam",
    }


@pytest.mark.parametrize("text", ["no address here", "12:00 http://host/path?ch=1", "a@b is no secret"])
def test_other_text_stays_as_it_is(text: str) -> None:
    assert mask_text(text) == text


def test_two_threads_write_one_after_the_other(written: list[str]) -> None:
    """The lock that a handler takes for a line is given back, or the second thread would wait for ever."""
    log = logging.getLogger("drivenet.threads")
    done = threading.Event()

    def write() -> None:
        log.warning("from the second")
        done.set()

    log.warning("from the first")
    threading.Thread(target=write, daemon=True).start()
    assert done.wait(30)
    assert len(written) == 2


def test_the_totals_of_a_run_are_a_field_of_its_last_line(written: list[str]) -> None:
    logging.getLogger("drivenet.cli").info("the run has ended", extra={"code": "run.ended", "totals": {"captured": 3}})
    assert json.loads(written[-1])["totals"] == {"captured": 3}
