"""``drivenet run A B``: a run for each source, told apart in outputs, and one page for all."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from urllib.request import urlopen

import pytest
from cli_parts import LONG_S, call, decoded, started, stats, wait_until, write_clip

from drivenet.cli.sources import settings_of, sources_of
from drivenet.cli.stages import open_painter
from drivenet.config import NodeSettings
from drivenet.labels import CAMVID

A, B = "synthetic://96x64@30?frames=4", "synthetic://128x96@30?frames=3"
LOOPBACK = """<CycloneDDS><Domain>
  <General><Interfaces><NetworkInterface name="lo" multicast="false"/></Interfaces></General>
  <Discovery><ParticipantIndex>auto</ParticipantIndex><Peers><Peer address="127.0.0.1"/></Peers></Discovery>
</Domain></CycloneDDS>"""
NULL = ("--backend", "null", "--policy", "every")


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_each_source_has_its_own_files(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert call("run", A, B, *NULL, "--out", "{source}.mp4", "--stats", "{source}.jsonl") == 0
    assert [len(decoded(tmp_path / f"{name}.mp4")) for name in ("synthetic", "synthetic-2")] == [4, 3]
    frames, summary = stats((tmp_path / "synthetic-2.jsonl").read_bytes())
    assert summary is not None
    assert {line["source_id"] for line in (*frames, summary)} == {"synthetic-2"}
    told = capfd.readouterr().err
    assert "source synthetic:\n" in told
    assert "captured 3, published 3" in told


def test_they_have_one_page_beside_their_recordings(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    outputs = ("--serve", "127.0.0.1:0", "--out", "{source}.mkv", "--segment", "60s", "--stats", "{source}.jsonl")
    assert call("run", A, B, *NULL, *outputs, "--blur", "vehicle") == 0
    assert "live page at http://127.0.0.1:" in capfd.readouterr().err
    for name, count in (("synthetic", 4), ("synthetic-2", 3)):
        assert [len(decoded(file)) for file in tmp_path.glob(f"{name}-????????T*.mkv")] == [count]


def test_several_sources_are_on_ros_2(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("cyclonedds", reason="cyclonedds is not installed (extra [ros2], x86 only)")
    monkeypatch.setenv("CYCLONEDDS_URI", LOOPBACK)
    config = tmp_path / "node.yaml"
    config.write_text(f"sources: {{front: '{A}', rear: '{B}'}}\n")
    assert call("run", "--config", config, *NULL, "--headless", "--out", "ros2://7/car/{source}") == 0


def test_a_source_is_on_ros_2_by_a_name_that_ros_2_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Its id was refused there, which the second of two like addresses has without asking."""
    pytest.importorskip("cyclonedds", reason="cyclonedds is not installed (extra [ros2], x86 only)")
    monkeypatch.setenv("CYCLONEDDS_URI", LOOPBACK)
    assert call("run", A, A, *NULL, "--headless", "--out", "ros2://7/car/{source}?frame_id={source}") == 0
    told = "the source synthetic-2 is at ros2://7/car/synthetic_2?frame_id=synthetic-2"
    assert capfd.readouterr().err.count(told) == 1


@pytest.mark.parametrize(("one", "other", "place"), [("a-b", "a_b", "a_b"), ("1", "source-1", "source_1")])
def test_two_sources_that_ros_2_would_take_for_one_are_refused(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], one: str, other: str, place: str
) -> None:
    config = tmp_path / "node.yaml"
    config.write_text(f"sources: {{'{one}': '{A}', '{other}': '{B}'}}\n")
    assert call("run", "--config", config, *NULL, "--headless", "--out", "ros2://7/car/{source}") == 2
    told = f"the sources {one} and {other} would both be at ros2://7/car/{place}; expected ids that differ in their"
    assert told in capfd.readouterr().err


def test_they_share_one_disk_budget(tmp_path: Path) -> None:
    drive = "synthetic://320x180@30?frames=150"
    how = ("--out", "{source}.mkv", "--segment", "1s", "--keep", "200KB")
    assert call("run", drive, drive, *NULL, *how) == 0
    kept = sorted(tmp_path.glob("*.mkv"), key=lambda path: path.stat().st_mtime_ns)
    newest = sum(path.stat().st_size for path in kept[-2:])  # those that are being written stay
    assert sum(path.stat().st_size for path in kept) <= 200_000 + newest


@pytest.mark.parametrize("outputs", [("--serve", "127.0.0.1:0"), ("--serve", "127.0.0.1:0", "--out", "a.mkv/x.mkv")])
def test_stages_of_ones_own_are_closed_as_often_as_they_are_made(tmp_path: Path, outputs: tuple[str, ...]) -> None:
    """Also where an output cannot be opened."""
    log = tmp_path / "log"
    (tmp_path / "a.mkv").write_bytes(b"")
    (tmp_path / "own.py").write_text(
        "from drivenet import Stage\n"
        "class Own(Stage):\n"
        "    name = 'own'\n"
        "    def tell(self, what):\n"
        f"        with open({str(log)!r}, 'a') as f: f.write(what)\n"
        "    def __init__(self): self.tell('o')\n"
        "    def __call__(self, record): return record\n"
        "    def close(self): self.tell('c')\n"
    )
    call("run", A, *NULL, *outputs, "--stage", "own.py:Own")
    call("run", A, B, *NULL, *(text.replace("x.", "{source}.") for text in outputs), "--stage", "own.py:Own")
    assert log.read_text().count("o") == log.read_text().count("c") > 0


def test_pictures_show_figures_but_those_of_folders() -> None:
    folder = str(Path(__file__).parent)
    settings = {uris: NodeSettings(sources=uris) for uris in ((A, B), (A, folder), (folder, folder))}
    assert [open_painter(made, CAMVID).hud for made in settings.values()] == ["full", "full", "off"]


def test_sources_of_a_file_have_the_ids_that_it_gives_them(tmp_path: Path) -> None:
    (tmp_path / "node.yaml").write_text(
        f'sources: {{front: "{A}", rear: "{B}"}}\nbackend: "null"\npolicy: every\nstats: "s-{{source}}.jsonl"\n'
    )
    assert call("run", "--config", "node.yaml") == 0
    assert stats((tmp_path / "s-front.jsonl").read_bytes())[1]["captured"] == 4  # type: ignore[index]
    assert call("run", B, "--config", "node.yaml", "--stats", "one.jsonl") == 0, "the command line's source wins"
    assert stats((tmp_path / "one.jsonl").read_bytes())[1]["captured"] == 3  # type: ignore[index]


@pytest.mark.parametrize(
    ("uris", "ids"),
    [
        (["0", "1"], ["camera0", "camera1"]),
        (["rtsp://u:p@host/front", "rtsp://host/rear?x=1"], ["front", "rear"]),
        (["a/drive.mp4", "b/drive.mp4"], ["drive", "drive-2"]),
        (["/dev/video0", "rtsp://host/"], ["video0", "rtsp"]),
        (["rtsp://[x/front?y#z", "file:///a/rear.mp4", "rtsp://[x"], ["front", "rear", "rtsp"]),
    ],
)
def test_ids_come_from_addresses(uris: list[str], ids: list[str]) -> None:
    assert list(sources_of(NodeSettings(sources=tuple(uris)))) == ids


def test_addresses_take_the_id_too() -> None:
    settings = NodeSettings(sources={"front": "0"}, out=("mqtt://broker/cars/{source}", "{source}/"))
    assert settings_of(settings, "front", "0").out == ("mqtt://broker/cars/front", "front/")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            (A, B, "--out", "a/one.mp4"),
            "one output a/one.mp4 for 2 sources; expected {source} in it; such as a/one-{source}.mp4",
        ),
        ((A, B, "--out", "many/"), "such as many/{source}/"),
        ((A, B, "--out", "mqtts://u:p@host/cars?ca=x.pem"), "such as mqtts://***@host/cars/{source}?ca=x.pem"),
        ((A, B, "--stats", "-"), "such as FILE-{source}.jsonl"),
        (("a.png", "b.png", "--headless"), "unquoted"),
        ((A, "nofile.mp4", "--headless"), "no file nofile.mp4"),
    ],
)
def test_what_cannot_be_meant_is_refused(
    tmp_path: Path, arguments: tuple[str, ...], said: str, capfd: pytest.CaptureFixture[str]
) -> None:
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(b"")
    assert call("run", *arguments, *NULL) in (2, 3)
    told = capfd.readouterr().err
    assert said in told or (said == "unquoted" and "quote a glob" in told)


def test_sources_of_a_file_that_are_wrong_are_told_by_their_keys(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "node.yaml").write_text("sources: {1: a.mp4, rear: [b.mp4]}\n")
    assert call("run", "--config", "node.yaml", *NULL, "--headless") == 2
    told = capfd.readouterr().err
    keys = 'sources: the key 1 must be a text; in quotes it is one, "1"; sources.rear: must be a text'
    assert told.strip().endswith(keys)


@pytest.mark.parametrize("overwrite", [(), ("--overwrite",)])
def test_the_output_of_one_source_is_no_other_source(
    tmp_path: Path, overwrite: tuple[str, ...], capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "front").mkdir()
    clips = [write_clip(tmp_path / name) for name in ("front/a.mp4", "a.mp4")]
    before = [clip.read_bytes() for clip in clips]
    assert call("run", "front/a.mp4", "a.mp4", *NULL, "--headless", "--out", "{source}.mp4", *overwrite) == 2
    assert "output a.mp4 is the source; expected a place of its own" in capfd.readouterr().err
    assert [clip.read_bytes() for clip in clips] == before


def test_the_pictures_of_one_source_go_into_no_other(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    clip = write_clip(tmp_path / "a.mp4")
    assert call("run", clip, *NULL, "--headless", "--out", "frames/") == 0
    assert call("run", clip, "frames", *NULL, "--headless", "--out", "frames/{source}/") == 2
    assert "output frames/a/ is within frames, which is read with its sub-folders" in capfd.readouterr().err


def test_one_source_has_an_id_too(tmp_path: Path) -> None:
    assert call("run", A, *NULL, "--stats", "{source}.jsonl") == 0
    assert (tmp_path / "synthetic.jsonl").exists()


def test_one_page_shows_all_sources(tmp_path: Path) -> None:
    endless = [uri.partition("?")[0] for uri in (A, B)]
    with started("run", *endless, "--backend", "null", "--serve", "127.0.0.1:0", cwd=tmp_path) as node:
        address = next(line.split()[-1] for line in node.stderr or () if b"live page at" in line).decode()
        with urlopen(f"{address}healthz", timeout=LONG_S) as answer:
            assert set(json.load(answer)["sources"]) == {"synthetic", "synthetic-2"}
        node.send_signal(signal.SIGINT)
        assert node.wait(LONG_S) == 130


def test_the_page_of_several_sources_does_not_call_recordings_live(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4")
    how = ("--policy", "latest", "--loop", "--rate", "10", "--backend", "null", "--serve", "127.0.0.1:0")
    with started("run", clip, clip, *how, cwd=tmp_path) as node:
        address = next(line.split()[-1] for line in node.stderr or () if b"live page at" in line).decode()

        def replays() -> list[bool]:
            with urlopen(f"{address}sources.json", timeout=LONG_S) as answer:
                return [one["replay"] for one in json.load(answer)["sources"].values()]

        wait_until(lambda: replays() == [True, True])


def test_a_camera_that_is_away_ends_the_start_of_several_as_of_one(capfd: pytest.CaptureFixture[str]) -> None:
    assert call("run", "rtsp://127.0.0.1:1/front", A, *NULL, "--stats", "{source}.jsonl") == 3
    assert "connection refused" in capfd.readouterr().err


def test_a_run_that_does_not_begin_leaves_no_figures_behind(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for stats_of in ("{source}.jsonl", "-"):
        assert call("run", A, "away.mp4", *NULL, "--stats", stats_of) in (2, 3)
    assert call("run", A, "away.mp4", *NULL, "--stats", "{source}.jsonl", "--segment", "5s") == 3
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr().out == ""


def test_print_config_masks_all_sources(capfd: pytest.CaptureFixture[str]) -> None:
    assert call("run", "rtsp://u:hushed@a/1", "rtsp://u:hushed@b/2", "--print-config") == 0
    printed = capfd.readouterr().out
    assert "hushed" not in printed
    assert json.loads(printed)["sources"] == ["rtsp://***@a/1", "rtsp://***@b/2"]
