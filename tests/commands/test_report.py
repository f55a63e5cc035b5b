"""`nirfire report`: which workspace, which sources, and what it leaves alone."""

from __future__ import annotations

import json

import pytest

from nirfire.commands.report import report
from nirfire.demo import truth_folder
from nirfire.errors import DataError
from nirfire.products.naming import CAL, METRICS, PAGE, ExposureName, Workspace
from nirfire.qa import drawing
from nirfire.qa.drawing import Drawn

NAME = ExposureName("jw09999001001_02101_00001_nrs1")


@pytest.fixture
def place(tmp_path):
    """A workspace of two sources, with nothing that can be read."""
    made = Workspace(tmp_path / "ws", "obs")
    for source in (101, 103):
        path = made.slit(NAME, source, CAL)
        path.parent.mkdir(parents=True)
        path.write_bytes(b"")
    made.origin.write_text(json.dumps({"observation": "obs", "folder": str(tmp_path), "file": ""}))
    return made


@pytest.fixture
def draws(monkeypatch):
    keys = []
    monkeypatch.setattr(drawing, "draw", lambda task: keys.append(task.key) or Drawn())
    return keys


def test_all_sources_once(place, draws, capsys):
    assert report(place.folder, (), 1) == 0
    assert draws == ["101 unreadable", "103 unreadable"]
    assert f"report: {place.report / PAGE}" in capsys.readouterr().err
    assert report(place.folder, (), 1) == 0
    assert len(draws) == 2, "all is up to date"
    assert json.loads((place.report / METRICS).read_text())["observation"] == "obs"


def test_one_source(place, draws):
    report(place.folder, [103], 1)
    assert draws == ["103 unreadable"]
    assert not (place.report / "sources" / "101.html").exists()


def test_a_source_that_is_not_there(place, draws):
    with pytest.raises(DataError, match="no source 7, 999"):
        report(place.folder, [999, 103, 7], 1)
    assert draws == []
    assert not place.report.exists()


def test_what_is_no_workspace(tmp_path):
    with pytest.raises(DataError, match="no workspace"):
        report(tmp_path / "nowhere", (), 1)


def test_only_a_demo_has_a_truth(place):
    assert truth_folder(place) is None
    (place.folder / "raw" / "truth").mkdir(parents=True)
    assert truth_folder(place) == place.folder / "raw" / "truth"
