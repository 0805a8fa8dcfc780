"""Files: the digest of one, and writing one whole or not at all."""

from __future__ import annotations

import functools
import hashlib
import json
import os
import secrets
from pathlib import Path
from typing import Any

from drivenet.errors import UsageError


def sha256_of(path: Path) -> str:
    """Hex SHA-256 of a file."""
    with path.open("rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest() if hasattr(hashlib, "file_digest") else _sha256(path)


def _sha256(path: Path) -> str:  # Python 3.10 has no hashlib.file_digest
    return hashlib.sha256(path.read_bytes()).hexdigest()


def state_of(path: Path) -> tuple[int, ...]:
    """Numbers that change when a file does: inode, size and time; empty where there is none that can be read."""
    try:
        status = path.stat()
    except (OSError, ValueError):
        return ()
    return status.st_ino, status.st_size, status.st_mtime_ns


def digest_of(path: Path) -> str:
    """Hex SHA-256 of a file, read once as long as it has not changed: a model is asked for its own several times."""
    return _digest(path, *state_of(path))


def read_kept(path: Path, cure: str) -> dict[str, Any]:
    """What an earlier run kept as JSON, keys and values; UsageError where it is damaged, as after a power cut."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} cannot be read: {error}", "what an earlier run wrote", cure) from error
    if not isinstance(found, dict):
        raise UsageError(f"{path} holds {type(found).__name__}", "what an earlier run wrote", cure)
    return found


@functools.lru_cache(maxsize=64)
def _digest(path: Path, *state: int) -> str:
    return sha256_of(path)


def write_atomic(path: Path, data: bytes | str, durable: bool = True) -> None:
    """Write a whole file or nothing: a temporary file in the same folder, then a rename.

    The file gets the permissions that the umask leaves to every new file.

    Args:
        path: where it goes; its folder is made if it is missing.
        data: all of it; text is written as UTF-8.
        durable: whether it is whole after a power cut too. That waits for the disk, which is too slow for every frame.

    Raises:
        OSError: if it cannot be written; what was there before stays.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    try:
        with os.fdopen(handle, "wb") as f:
            f.write(data.encode() if isinstance(data, str) else data)
            if durable:
                f.flush()
                os.fsync(f.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
