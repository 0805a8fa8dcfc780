"""``drivenet import --from onnx`` as a command: options, messages, and no PyTorch anywhere."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("onnx", reason="onnx (extra [import]) is not installed")

from tests.cli.cli_parts import call
from tests.convert.foreign_models import Net

#: The command line where importing torch fails as if it were not installed.
WITHOUT_TORCH = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "torchvision"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Absent())
sys.argv[0] = "drivenet"
from drivenet.cli import main
main()
"""


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return Net(classes=11).write(tmp_path / "model.onnx")


def test_from_the_original_to_int8_without_torch(model: Path, tmp_path: Path) -> None:
    mine, int8 = tmp_path / "mine.onnx", tmp_path / "mine-int8.onnx"
    run = [sys.executable, "-c", WITHOUT_TORCH]
    subprocess.run([*run, "import", model, "--from", "onnx", "--preset", "smp", "--labels", "camvid", "--out", mine],
                   check=True)  # fmt: skip
    frames = f"{tmp_path}/frames"
    subprocess.run([*run, "run", "synthetic://160x96@5?frames=4", "--engine", mine, "--out", frames], check=True)
    subprocess.run([*run, "export", mine, "--out", int8, "--precision", "int8", "--calibration", frames], check=True)
    assert (mine.exists(), int8.exists(), len(list(Path(frames).iterdir()))) == (True, True, 4)


def test_what_came_of_it_is_said(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--mean", "0.4", "--std", "0.2,0.2,0.2", "--scale", "1/255", "--output", "logits", "--tail", "half"]
    assert call("import", model, "--from", "onnx", "--labels", "camvid", "--out", tmp_path / "mine.onnx", *options) == 0
    said = capsys.readouterr().err
    assert "input 96x64" in said
    assert "of pixels equal the original's on 8 pictures of the synthetic drive" in said


@pytest.mark.parametrize(("options", "message"), [
    (["--labels", "camvid", "--preset", "smq"], "no preset 'smq'; did you mean smp"),
    (["--preset", "smp"], "no labels; expected the classes of its ids; give --labels cityscapes"),
    (["--labels", "camvid", "--mean", "1,2"], "--mean '1,2'; expected three numbers with commas, or one"),
    (["--labels", "camvid", "--scale", "1/0"], "--scale '1/0'; expected a number or a fraction"),
    (["--labels", "camvid", "--scale", "nan"], "scale nan, std"),
    (["--labels", "camvid", "--std", "inf"], "std (inf, inf, inf); expected numbers above 0"),
    (["--labels", "camvid", "--mean", "nan"], "mean (nan, nan, nan); expected three numbers"),
    (["--labels", "camvid", "--std", "0"], "std (0.0, 0.0, 0.0); expected numbers above 0"),
    (["--labels", "camvid", "--calibration", "x"], "--calibration with --from onnx; expected --from drivenet"),
])  # fmt: skip
def test_bad_options_are_answered_in_one_line(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], message: str
) -> None:
    assert call("import", model, "--from", "onnx", "--out", tmp_path / "mine.onnx", *options) == 2
    said = capsys.readouterr().err
    assert message in said.replace("\n", " ")
    assert not (tmp_path / "mine.onnx").exists()


def test_an_onnx_of_another_program_is_sent_here(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("run", "synthetic://160x96@5?frames=1", "--engine", model) == 4
    assert "import it first: drivenet import" in capsys.readouterr().err
