"""Mutated inputs of all kinds: each is refused in a line of ours or read; nothing crashes, hangs or writes a traceback.

``DRIVENET_FUZZ`` says how many inputs; 240 without it. ``make fuzz`` takes 10,000.
"""

from __future__ import annotations

import os
import random
import select
import subprocess
import sys
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

import drivenet
from drivenet.artefacts.passport import Passport
from drivenet.artefacts.spec_json import read_spec_json
from drivenet.resources import configs_dir, engines_dir

pytestmark = pytest.mark.slow

COUNT = int(os.environ.get("DRIVENET_FUZZ", "243"))
#: A machine that is busy with other things takes its time; what hangs takes for ever.
HANG_S = 60.0
#: The most that an input may cost, in seconds of a processor: that of the reader, whatever else the machine does.
WORK_S = 5.0
KINDS = ("mp4", "mkv", "png", "jpg", "yaml", "labels", "onnx", "json", "plan.json")

#: Reads paths from its input, one a line, and says what became of each, after the seconds of work that it cost.
READER = """
import itertools, sys, time
from pathlib import Path
from drivenet.config import NodeSettings, load_labels, load_yaml
from drivenet.engine.onnxruntime.file import read_spec
from drivenet.artefacts.passport import read_passport
from drivenet.artefacts.spec_json import read_spec_json
from drivenet.errors import DrivenetError
from drivenet.sources import open_source
def video(path):
    with open_source(str(path)) as source:
        for frame in itertools.islice(source, 30): frame.image.sum()
readers = {"yaml": lambda p: load_yaml(p, NodeSettings), "labels": lambda p: load_labels(str(p)),
           "onnx": read_spec, "json": read_spec_json, "plan.json": lambda p: read_passport(p.with_suffix(""))}
def outcome(kind, path):
    try:
        readers.get(kind, video)(path)
        return "read"
    except DrivenetError as error:
        return "refused" if "\\n" not in str(error) else "LINES " + repr(str(error))
    except Exception as error:
        return f"TRACEBACK {kind} {type(error).__name__} {str(error)[:300]!r}"
for line in sys.stdin:
    kind, path = line.split(" ", 1)
    began = time.process_time()
    said = outcome(kind, Path(path.strip()))
    print(f"{time.process_time() - began:.3f} {said}", flush=True)
"""


@pytest.fixture(scope="module")
def seeds(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """One whole input of each kind."""
    folder = tmp_path_factory.mktemp("seeds")
    picture = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    for suffix in ("mp4", "mkv"):
        with av.open(str(folder / f"a.{suffix}"), "w") as container:
            stream = container.add_stream("libx264", rate=10)
            stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
            for shift in range(12):
                container.mux(stream.encode(av.VideoFrame.from_ndarray(np.roll(picture, shift, 1), format="bgr24")))
            container.mux(stream.encode(None))
    files = {kind: (folder / f"a.{kind}").read_bytes() for kind in ("mp4", "mkv")}
    for kind in ("png", "jpg"):
        files[kind] = cv2.imencode(f".{kind}", picture)[1].tobytes()
    files["yaml"] = (configs_dir() / "node" / "rtsp.yaml").read_bytes()
    files["labels"] = next((configs_dir() / "labels").glob("*.yaml")).read_bytes()
    files["onnx"] = min(engines_dir().glob("*.onnx"), key=lambda p: p.stat().st_size).read_bytes()
    files["json"] = next(engines_dir().glob("fast.json")).read_bytes()
    passport = Passport(
        backend="tensorrt", precision="fp16", files={"input.plan": "0" * 64}, onnx="fast.onnx", onnx_sha256="0" * 64,
        spec=read_spec_json(engines_dir() / "fast.json"), machine={"gpu": "Orin"},
    )  # fmt: skip
    files["plan.json"] = passport.sealed().to_json().encode()
    return files


def mutated(data: bytes, luck: random.Random) -> bytes:
    """Bytes flipped, cut off, doubled, set to zero or replaced by nonsense."""
    changed = bytearray(data)
    for _ in range(luck.choice((1, 1, 3, 20))):
        at = luck.randrange(max(1, len(changed)))
        size = luck.choice((1, 1, 4, 64, 512))
        kind = luck.randrange(6)
        if kind == 0 and changed:
            changed[at] ^= 1 << luck.randrange(8)
        elif kind == 1:
            changed[at : at + size] = luck.randbytes(size)
        elif kind == 2:
            changed[at : at + size] = bytes(size)
        elif kind == 3:
            del changed[at : at + size]
        elif kind == 4:
            changed[at:at] = changed[at : at + size]
        elif luck.random() < 0.3:
            del changed[at:]
    return bytes(changed)


@pytest.mark.timeout(COUNT * 3 + 300)
def test_mutated_inputs_crash_and_hang_nothing(seeds: dict[str, bytes], tmp_path: Path) -> None:
    luck, found = random.Random(20261129), {"read": 0, "refused": 0}
    command = [sys.executable, "-c", READER]
    environment = {**os.environ, "PYTHONPATH": str(Path(drivenet.__file__).parents[1]), "OPENCV_LOG_LEVEL": "OFF"}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment, bufsize=0
    ) as reader:
        for kind, data in seeds.items():  # which also imports what reads them
            assert answer(reader, kind, data, tmp_path)[1] == "read", kind
        slowest = 0.0
        for number in range(COUNT):
            kind = KINDS[number % len(KINDS)]
            work_s, said = answer(reader, kind, mutated(seeds[kind], luck), tmp_path)
            assert said in found, f"input {number} ({kind}): {said or 'a crash'}"
            assert work_s < WORK_S, f"input {number} ({kind}) costs {work_s:.1f} s"
            slowest = max(slowest, work_s)
            found[said] += 1
        assert reader.stdin
        reader.stdin.close()
    print(f"{COUNT} inputs: {found['read']} read, {found['refused']} refused, the dearest cost {slowest:.2f} s of work")


def answer(reader: subprocess.Popen[bytes], kind: str, data: bytes, folder: Path) -> tuple[float, str]:
    """What an input costs the reader, in seconds, and what it says of it; nothing if it died."""
    assert reader.stdin
    assert reader.stdout
    path = folder / f"input.{'yaml' if kind == 'labels' else kind}"
    path.write_bytes(data)
    reader.stdin.write(f"{kind} {path}\n".encode())
    ready, _, _ = select.select([reader.stdout], [], [], HANG_S)
    if not ready:
        reader.kill()
        return HANG_S, f"hangs for {HANG_S:.0f} s"
    work, _, said = reader.stdout.readline().decode().strip().partition(" ")
    return float(work or 0), said
