"""``drivenet run``: standard streams that nobody reads, the page beside it, and its help."""

from __future__ import annotations

import fcntl
import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from cli_parts import LONG_S, balanced, call, decoded, started, stats, wait_until
from onnx_models import palette_model

import drivenet
from drivenet import cli
from drivenet.cli import output

pytestmark = pytest.mark.usefixtures("in_a_folder_and_nothing_left_running")
DRIVE = "synthetic://96x64@30"
NULL = ("--backend", "null", "--headless")


def test_a_signal_while_nobody_reads_the_stats(tmp_path: Path) -> None:
    """The pipe is full and the write would never return; the recording beside it is finished all the same."""
    reader, writer = os.pipe()
    room = fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    filler = b"x" * (room - 1)
    os.write(writer, filler)
    how = ("--policy", "every", "--out", "o.mp4", "--stats", "-")
    with started("run", DRIVE, *NULL, *how, cwd=tmp_path, stdout=writer) as process:
        os.close(writer)
        wait_until((tmp_path / "o.mp4").exists)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=LONG_S)
    with open(reader, "rb") as pipe:
        assert pipe.read() == filler, "no torn line"
    assert process.returncode == 5
    assert err.splitlines()[-1].startswith(b"drivenet: cannot write standard output")
    assert decoded(tmp_path / "o.mp4")


def test_a_reader_that_has_seen_enough(tmp_path: Path) -> None:
    with started("models", "--json", "-", cwd=tmp_path) as process:
        assert process.stdout is not None
        process.stdout.close()
        process.wait(LONG_S)
        assert process.stderr is not None
        assert b"Traceback" not in process.stderr.read()


def in_a_shell(redirection: str, *args: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    """The command line with standard streams as a shell leaves them."""
    command = shlex.join([sys.executable, "-W", "error", "-m", "drivenet", *map(str, args)])
    environment = {**os.environ, "PYTHONPATH": str(Path(drivenet.__file__).parents[1])}
    return subprocess.run(
        ["sh", "-c", f"exec {command} {redirection}"], cwd=cwd, env=environment, capture_output=True, text=True,
        timeout=LONG_S, check=False,
    )  # fmt: skip


def test_closed_standard_streams_harm_no_recording(tmp_path: Path) -> None:
    """The recording would be the first file that is opened, and get the number that libraries print to."""
    how = ("--policy", "every", "--out", "o.mp4", "--stats", "s.jsonl")
    assert in_a_shell("<&- >&- 2>&-", "run", f"{DRIVE}?frames=3", *NULL, *how, cwd=tmp_path).returncode == 0
    assert len(decoded(tmp_path / "o.mp4")) == 3
    assert balanced(*stats((tmp_path / "s.jsonl").read_bytes()))


@pytest.mark.parametrize("command", [("models", "--json", "-"), ("run", f"{DRIVE}?frames=3", *NULL, "--stats", "-")])
def test_a_closed_standard_output_is_told(tmp_path: Path, command: tuple[str, ...]) -> None:
    done = in_a_shell(">&-", *command, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (
        5, "drivenet: standard output is closed; write to a file instead of -\n"
    )  # fmt: skip


def test_a_table_for_nobody_and_an_error_for_nobody(tmp_path: Path) -> None:
    done = in_a_shell(">&-", "models", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    done = in_a_shell("2>&-", "run", "gone.mp4", *NULL, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (3, "")


@pytest.mark.parametrize("gone", ["reader", "room"])
def test_a_run_goes_on_and_ends_as_it_would_although_nobody_can_be_told(tmp_path: Path, gone: str) -> None:
    """Standard error is a pipe without a reader, or a full disk; the codes are those of a run that is listened to."""
    reader, writer = os.pipe()
    os.close(reader)
    how = ("--headless", "--out", "o.mp4", "--stats", "s.jsonl", "--policy", "every")
    for source, code in ((f"{DRIVE}?frames=3", 0), ("gone.mp4", 3)):
        stderr = writer if gone == "reader" else os.open("/dev/full", os.O_WRONLY)
        with started("run", source, "--engine", "fast", *how, cwd=tmp_path, stderr=stderr) as process:
            assert process.wait(LONG_S) == code
        os.close(stderr) if gone == "room" else None
    os.close(writer)
    assert len(decoded(tmp_path / "o.mp4")) == 3
    assert balanced(*stats((tmp_path / "s.jsonl").read_bytes()))


def test_a_table_with_letters_that_standard_output_lacks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "ü").mkdir()
    palette_model(tmp_path / "ü")
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    done = in_a_shell("", "bench", "ü/palette.onnx", "--backend", "null", "--n", 10, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "\\xfc/palette.onnx null" in done.stdout


def test_a_run_needs_no_torch_and_names_what_the_page_needs(tmp_path: Path) -> None:
    program = (
        "import sys\n"
        "sys.modules.update({'starlette': None, 'torch': None, 'onnx': None})\n"
        "import drivenet.cli\n"
        f"sys.argv = ['drivenet', 'run', '{DRIVE}', '--backend', 'null', '--serve', '127.0.0.1:0']\n"
        "drivenet.cli.main()\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=LONG_S, check=False)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "drivenet[web]" in line


def test_a_live_page_beside_the_stats(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for module in ("starlette", "uvicorn", "websockets", "prometheus_client"):
        pytest.importorskip(module, reason=f"{module} (extra [web]) is not installed")
    how = ("--serve", "127.0.0.1:0", "--policy", "every", "--stats", "s.jsonl")
    assert call("run", f"{DRIVE}?frames=5", *NULL, *how) == 0
    assert balanced(*stats((tmp_path / "s.jsonl").read_bytes()))
    assert "live page at http://127.0.0.1:" in capsys.readouterr().err


def test_help_is_there_whatever_parsed_the_command_before(capsys: pytest.CaptureFixture[str]) -> None:
    from drivenet.cli.schema import schema

    schema.make_context("schema", [], resilient_parsing=True).close()
    assert call("schema", "-h") == 0
    assert "-h, --help" in capsys.readouterr().out


def test_help_has_examples(capsys: pytest.CaptureFixture[str]) -> None:
    for command in cli.COMMANDS:
        assert call(command, "-h") == 0
        printed = capsys.readouterr()
        below = printed.out.split("\n", 1)[1]
        assert f"drivenet {command}" in below, command
        examples = [line for line in below.splitlines() if line.startswith("  drivenet ")]
        assert max(map(len, examples)) <= 80, f"{command}: click does not wrap examples"
        assert printed.err == ""
    assert call("-h") == 0
    printed = capsys.readouterr()
    assert set(cli.COMMANDS) <= set(printed.out.split())
    assert call("--version") == 0


@pytest.mark.parametrize("command", ["models", "doctor"])
def test_notes_are_wrapped_between_words(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))  # nothing is built: the last line is a note
    monkeypatch.setattr(output.console, "width", 1000)
    wide = call(command), capsys.readouterr().out
    output.console.width = 60
    assert call(command) == wide[0]
    *_, last = wide[1].splitlines()
    notes = capsys.readouterr().out.splitlines()
    assert last not in notes, "too long for it"
    assert last.split() == " ".join(notes).split()[-len(last.split()) :]
    assert all(len(line) <= 60 for line in notes[-2:])


def test_backends_are_imported_only_when_they_are_named() -> None:
    """Nor is anything else that takes long: Ctrl-C in an import before that writes a traceback."""
    late = ("av", "cv2", "numpy", "onnx", "onnxruntime", "pydantic", "rich", "torch")
    program = f"import sys, drivenet.cli; print([m for m in sys.modules if m in {late}])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=LONG_S, check=False)
    assert done.stdout.strip() == "[]", done.stderr
