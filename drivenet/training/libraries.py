"""The few libraries that a pack brings: those that are installed here, and the compiled one for other Pythons."""

from __future__ import annotations

import importlib.metadata
import io
import platform
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from drivenet.errors import UsageError
from drivenet.training.pack import python_tag, this_python

#: Read as Python source; PyYAML does without its compiled part.
PURE = ("annotated-types", "pydantic", "PyYAML", "typing-extensions", "typing-inspection")
COMPILED = "pydantic-core"
_CODE = (".py", ".so", ".pyd")
_WEIGHTS = ".pth"


def libraries(pythons: Sequence[str], weights: Iterable[str] = ()) -> dict[str, bytes]:
    """ZIP archives: ``any`` for all Pythons, and one named ``cp312`` and so on for each.

    Args:
        pythons: versions, as ``3.12``. Another than this one is fetched from the package index.
        weights: distributions that carry trained weights, which are brought too.

    Raises:
        UsageError: if one cannot be had.
    """
    wanted = (*PURE, *sorted(set(weights)))
    pure = {n: code for dist in wanted for n, code in _installed(dist).items() if n.endswith((".py", _WEIGHTS))}
    found = {"any": _zipped(pure)}
    for python in pythons:
        files = _installed(COMPILED) if python == this_python() else _fetched(COMPILED, python)
        found[python_tag(python)] = _zipped(files)
    return found


def _installed(distribution: str) -> dict[str, bytes]:
    """The code and weights of an installed distribution by path."""
    try:
        files = importlib.metadata.files(distribution) or []
    except importlib.metadata.PackageNotFoundError as error:
        raise UsageError(f"{distribution} is not installed", cure=f"pip install {distribution}") from error
    kept = [f for f in files if f.suffix in (*_CODE, _WEIGHTS) and ".." not in f.parts]
    return {str(f): Path(str(f.locate())).read_bytes() for f in kept}


def _fetched(distribution: str, python: str) -> dict[str, bytes]:
    """The code of the same version for another Python, by path."""
    wanted = f"{distribution}=={importlib.metadata.version(distribution)}"
    machine = platform.machine()
    command = [
        sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", "download", "--no-deps",
        "--only-binary=:all:", "--implementation=cp", f"--python-version={python}",
        f"--platform=manylinux_2_17_{machine}", f"--platform=manylinux2014_{machine}",
    ]  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run([*command, "--dest", folder, wanted], capture_output=True, text=True, check=False)
        wheels = list(Path(folder).glob("*.whl"))
        if done.returncode or len(wheels) != 1:
            said = done.stderr.strip().splitlines()
            raise UsageError(
                f"cannot fetch {wanted} for Python {python}: {said[-1] if said else 'pip says nothing'}",
                cure=f"pack where the package index can be reached, or with --python {this_python()} alone",
            )
        with zipfile.ZipFile(wheels[0]) as wheel:
            return {n: wheel.read(n) for n in wheel.namelist() if n.endswith(_CODE)}


def _zipped(files: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_LZMA) as archive:
        for name in sorted(files):
            # weights are noise to a compressor
            archive.writestr(name, files[name], zipfile.ZIP_STORED if name.endswith(_WEIGHTS) else None)
    return buffer.getvalue()
