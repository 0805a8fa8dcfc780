"""The log: standard ``logging`` under ``drivenet``, without secrets and without floods, as text or as JSON lines.

Modules log to ``logging.getLogger(__name__)``. As a library drivenet sets up nothing; :func:`configure` does it for the
command line.
"""

from __future__ import annotations

import json
import logging
import re
import time
from collections.abc import Callable, Hashable
from typing import Any

from drivenet.address import WITHOUT_USER, mask_uri

LEVELS = ("debug", "info", "warning", "error")
FORMATS = ("plain", "json")
#: Loggers that are written: ours, and FFmpeg's messages as PyAV passes them on.
_ROOTS = ("drivenet", "libav")
#: Least seconds between two lines of one kind, so that what is broken does not fill a disk.
_EVERY_S = 1.0
#: With one slash too: that is what is left of two in a path.
_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://?[^\s'\"<>]+")
#: User and password of an address, also where they hold what should have been escaped: all before the last ``@``.
_CREDENTIALS = re.compile(rf"(\b(?!(?i:{'|'.join(WITHOUT_USER)}):)[A-Za-z][A-Za-z0-9+.-]*://?)(?:(?!:/)[^\n])*@")
#: Attributes of a record that go into a JSON line.
_FIELDS = ("code", "source_id", "totals")

_hidden: set[str] = set()

logging.getLogger("drivenet").addHandler(logging.NullHandler())


def hide(secret: str) -> None:
    """Never write this text; an empty one is no secret."""
    if secret:
        _hidden.add(secret)


def mask_text(text: str) -> str:
    """The same text without hidden secrets, and with every address as :func:`~drivenet.address.mask_uri` shows it.

    >>> mask_text("cannot open 'rtsp://admin:s3cret@10.0.0.7/main': refused")
    "cannot open 'rtsp://***@10.0.0.7/main': refused"
    """
    for secret in sorted(_hidden, key=len, reverse=True):
        text = text.replace(secret, "***")
    text = _CREDENTIALS.sub(r"\1***@", text)
    return _URI.sub(lambda found: mask_uri(found[0]), text)


class MaskSecrets(logging.Filter):
    """Takes secrets out of the message and the traceback of every record."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Mask in place; no record is left out."""
        record.msg, record.args = mask_text(record.getMessage()), ()
        if record.exc_info:
            record.exc_text = mask_text(logging.Formatter().formatException(record.exc_info))
            record.exc_info = None
        return True


class LimitedHandler(logging.Handler):
    """Writes at most one line a second of each kind; the newest of those that it held back follows later.

    Records of one kind have the same ``source_id`` and the same first word of their ``code``, or else the same logger
    and message template.

    Args:
        write: takes each finished line.
        clock: seconds that never go back.
    """

    def __init__(self, write: Callable[[str], object], clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._write, self._clock = write, clock
        self._due: dict[Hashable, float] = {}
        self._held: dict[Hashable, tuple[logging.LogRecord, int]] = {}
        self._ended = False
        self.addFilter(MaskSecrets())

    def filter(self, record: logging.LogRecord) -> Any:
        """As the base class; the kind is read before the template is masked away."""
        record.kind = _kind(record)
        return super().filter(record)

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record, or hold it back."""
        if self._ended:
            return
        self.write_due()
        kind = getattr(record, "kind", _kind(record))
        if self._clock() < self._due.get(kind, 0.0):
            self._held[kind] = record, self._held.get(kind, (record, -1))[1] + 1
        else:
            self._put(kind, record, 0)

    def write_due(self) -> None:
        """Write what was held back and is due by now."""
        now = self._clock()
        for kind in [kind for kind in self._held if now >= self._due[kind]]:
            self._put(kind, *self._held.pop(kind))

    def close(self) -> None:
        """Write all that is held back, and nothing any more."""
        with self.lock:  # type: ignore[union-attr]
            self._ended = True
            for kind in list(self._held):
                self._put(kind, *self._held.pop(kind))
        super().close()

    def _put(self, kind: Hashable, record: logging.LogRecord, skipped: int) -> None:
        self._due[kind] = self._clock() + _EVERY_S
        if skipped:
            record.msg = f"{record.msg} ({skipped} more like this left out)"
        self._write(self.format(record))


def _kind(record: logging.LogRecord) -> Hashable:
    code, source = getattr(record, "code", ""), getattr(record, "source_id", "")
    return (source, code.partition(".")[0]) if code else (record.name, record.msg)


class PlainFormatter(logging.Formatter):
    """``12:00:00 WARNING text``, by the local clock."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(message)s", "%H:%M:%S")


class JsonFormatter(logging.Formatter):
    """One JSON object a line: ``time`` (UTC), ``level``, ``logger``, ``message``, and what the record has of ``code``,
    ``source_id``, ``totals`` and ``traceback``.
    """

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        at = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        line: dict[str, Any] = {
            "time": f"{at}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= {name: value for name in _FIELDS if (value := getattr(record, name, ""))}
        if record.exc_text:
            line["traceback"] = record.exc_text
        return json.dumps(line)


def formatter(form: str) -> logging.Formatter:
    """What makes lines of one of :data:`FORMATS`."""
    return JsonFormatter() if form == "json" else PlainFormatter()


def configure(write: Callable[[str], object], level: str, lines: logging.Formatter) -> LimitedHandler:
    """Write the log from now on, in place of an earlier set-up.

    Args:
        write: takes each line, without its end.
        level: one of :data:`LEVELS`.
        lines: makes a line of each record.

    Returns:
        The handler; to close it is to write what it holds back.
    """
    handler = LimitedHandler(write)
    handler.setFormatter(lines)
    for name in _ROOTS:
        logger = logging.getLogger(name)
        for old in [h for h in logger.handlers if isinstance(h, LimitedHandler)]:
            logger.removeHandler(old)
            old.close()
        logger.addHandler(handler)
        logger.setLevel(level.upper())
    return handler


def release() -> None:
    """Write lines that were held back and are due by now; costs next to nothing."""
    for handler in logging.getLogger("drivenet").handlers:
        if isinstance(handler, LimitedHandler):
            with handler.lock:  # type: ignore[union-attr]
                handler.write_due()
