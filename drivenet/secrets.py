"""Passwords that stand in the environment or in a file, and not on the command line: ``rtsp://cam:${CAM_PW}@host``."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import quote

from drivenet.address import scheme_of
from drivenet.errors import ConfigError, UsageError, nearest

_NAME = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_LINE = re.compile(r"\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=(.*)")

log = logging.getLogger(__name__)


def read_secrets(path: Path) -> dict[str, str]:
    """``NAME=VALUE`` lines of a file; empty lines and those that begin with ``#`` are left out, quotes taken off.

    Raises:
        ConfigError: naming the line, never its value.
    """
    try:
        text = path.read_text(encoding="utf-8")
        if path.stat().st_mode & 0o004:
            log.warning("%s can be read by every user of this machine; chmod 600 keeps it to yourself", path)
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {(error.strerror or str(error)).lower()}", "a file") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is no text in UTF-8", "lines of NAME=VALUE") from error
    found: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        match = _LINE.fullmatch(line)
        if not match:
            raise ConfigError(f"line {number} of {path}", "NAME=VALUE")
        value = match[2].strip()
        found[match[1]] = value[1:-1] if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"" else value
    return found


def fill_in(text: str, secrets: Mapping[str, str], used: Callable[[str], object] = lambda _: None) -> str:
    """A text with the values of its ``${NAME}``; in an address they are escaped, so that they may hold any character.

    Args:
        text: an address, a path or a token.
        secrets: values by name, which win over the environment.
        used: given each value that was filled in, as it is and as it was escaped.

    Raises:
        UsageError: for a name that nothing defines.

    >>> fill_in("rtsp://cam:${CAM_PW}@host/1", {"CAM_PW": "p@ss/word"})
    'rtsp://cam:p%40ss%2Fword@host/1'
    """

    def value(match: re.Match[str]) -> str:
        name = match[1]
        found = secrets.get(name, os.environ.get(name))
        if not found:
            raise UsageError(
                f"${{{name}}} is not defined", "a variable of the environment, or a line of --secrets FILE",
                nearest(name, secrets) if secrets else "",
            )  # fmt: skip
        used(found)
        escaped = quote(found, safe="") if scheme_of(text) else found
        used(escaped)
        return escaped

    return _NAME.sub(value, text)
