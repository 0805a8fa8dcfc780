"""Files: digests, whole files or none, and what others may read of them."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from drivenet.files import digest_of, sha256_of, write_atomic


def test_hashes_a_file(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"content" * 1000)
    assert sha256_of(tmp_path / "x") == hashlib.sha256(b"content" * 1000).hexdigest()


def test_writes_a_whole_file(tmp_path: Path) -> None:
    file = tmp_path / "new" / "a.json"
    write_atomic(file, "für alle")
    assert file.read_text(encoding="utf-8") == "für alle"
    write_atomic(file, b"other")
    assert file.read_bytes() == b"other"
    assert os.listdir(file.parent) == ["a.json"]


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    write_atomic(file, "old")
    with pytest.raises(UnicodeEncodeError):
        write_atomic(file, "\ud800")
    assert file.read_text(encoding="utf-8") == "old"
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match="folder"):
        write_atomic(tmp_path / "folder", "new")
    assert sorted(os.listdir(tmp_path)) == ["a.json", "folder"]


@pytest.mark.parametrize(("umask", "mode"), [("022", 0o644), ("077", 0o600), ("002", 0o664)])
@pytest.mark.parametrize("durable", [True, False])
def test_a_new_file_gets_what_the_umask_leaves(tmp_path: Path, umask: str, mode: int, durable: bool) -> None:
    """In a process of its own: the umask is one for all threads."""
    file = tmp_path / "street.jpg"
    code = (
        "from pathlib import Path; from drivenet.files import write_atomic;"
        f"write_atomic(Path({str(file)!r}), b'x', durable={durable})"
    )
    subprocess.run(["sh", "-c", 'umask "$1" && exec "$2" -c "$3"', "sh", umask, sys.executable, code], check=True)
    assert file.stat().st_mode & 0o777 == mode
    assert file.read_bytes() == b"x"


def test_a_digest_is_of_what_the_file_holds_now(tmp_path: Path) -> None:
    file = tmp_path / "model.onnx"
    for content in (b"one", b"two", b"one"):
        write_atomic(file, content)
        assert digest_of(file) == digest_of(file) == hashlib.sha256(content).hexdigest()
