"""Where engines are looked for, and where what is built from one goes."""

from __future__ import annotations

from pathlib import Path

import pytest
from onnx_models import palette_model

from drivenet.artefacts import store
from drivenet.artefacts.catalog import default_of, find, list_models
from drivenet.artefacts.compiled import artefacts_of, find_built
from drivenet.artefacts.passport import passport_path
from drivenet.build.build import build
from drivenet.build.request import BuildRequest
from drivenet.engine import open_engine
from drivenet.errors import UsageError
from drivenet.resources import engines_dir


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The folders of the search path, without what ships, in the order that is promised."""
    folders = [tmp_path / "here" / "engines", tmp_path / "a", tmp_path / "b", tmp_path / "data/drivenet/engines"]
    for folder in folders:
        folder.mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("DRIVENET_ENGINES", f"{tmp_path / 'a'}:{tmp_path / 'b'}:{tmp_path / 'not there'}")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    return folders


def homeless(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container that runs as a mere number, without HOME."""
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    monkeypatch.delenv("DRIVENET_ENGINES", raising=False)

    def unknown(number: int) -> None:
        raise KeyError(number)

    monkeypatch.setattr("pwd.getpwuid", unknown)


def test_a_user_without_a_home_has_what_ships(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    homeless(monkeypatch)
    monkeypatch.chdir(tmp_path)
    assert store.search_path() == (engines_dir(),)
    assert store.own_folder() == engines_dir()
    assert find("fast") == engines_dir() / "fast.onnx"


def test_a_home_that_nobody_has_is_no_folder_or_one_line(places: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DRIVENET_ENGINES", f"~nobody-has-this-name/engines:{places[1]}")
    assert [folder.resolve() for folder in store.search_path()] == [places[0], places[1], places[3], engines_dir()]
    homeless(monkeypatch)
    monkeypatch.setenv("DRIVENET_ENGINES", "~/engines")
    with pytest.raises(UsageError, match=r"~/engines names a home folder, and this user has none; set HOME"):
        store.search_path()


def test_the_order(places: list[Path]) -> None:
    assert [folder.resolve() for folder in store.search_path()] == [*places, engines_dir()]
    for folder in reversed(places):  # of one name, the first on the path
        file = palette_model(folder, "mine")
        assert find("mine").resolve() == file
        assert find("fast") == engines_dir() / "fast.onnx"
    assert {Path(row["file"]).resolve() for row in list_models() if row["name"] == "mine"} == {places[0] / "mine.onnx"}


def test_the_first_catalogue_names_the_default(places: list[Path]) -> None:
    shipped = default_of()
    palette_model(places[1], "mine")
    assert default_of() == shipped
    (places[1] / "catalog.json").write_text('{"default": "mine"}')
    assert find(None) == places[1] / "mine.onnx"


def test_what_an_installation_carries_is_built_into_the_users_folder(
    places: list[Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    package = tmp_path / "site-packages" / "drivenet"
    (package / "_engines").mkdir(parents=True)
    onnx = palette_model(package / "_engines")
    assert store.home_of(onnx) == onnx.parent
    monkeypatch.setattr("drivenet.resources._PACKAGE", package)
    assert store.home_of(onnx) == places[1]
    monkeypatch.delenv("DRIVENET_ENGINES")
    assert store.home_of(onnx) == places[3]
    assert store.home_of(palette_model(tmp_path, "own")) == tmp_path


def test_a_folder_that_is_not_there_yet_can_be_written_to_where_its_parents_can(tmp_path: Path) -> None:
    assert store.can_write(tmp_path / "new" / "folder")
    (tmp_path / "file").touch()
    assert not store.can_write(tmp_path / "file" / "folder")


def test_an_artefact_in_any_folder_of_the_path_is_found_by_the_name_of_its_model(places: list[Path]) -> None:
    pytest.importorskip("openvino")
    onnx = palette_model(places[2])
    built = build(BuildRequest(onnx, "openvino", "fp32", out=places[3])).file
    assert built.parent == places[3]
    assert find_built(onnx, "openvino", "fp32") == built
    assert artefacts_of(onnx) == [(built, "openvino", "fp32")]
    assert find_built(onnx, "openvino", "bf16") is None
    (told,) = next(row["built"] for row in list_models() if row["name"] == "palette")
    assert (told["file"], told["admitted"]) == (str(built), True)
    other = palette_model(places[0], "palette", val_miou=0.25)  # of the same name, and another model
    assert find_built(other, "openvino", "fp32") is None
    assert artefacts_of(other) == []
    passport_path(built).unlink()
    assert artefacts_of(onnx) == []
    open_engine(onnx).close()
