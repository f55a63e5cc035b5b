"""`stuck`: what was found, what is listed by hand, and what is said when nothing was looked at."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from nirfire.cli import app
from nirfire.errors import DataError
from nirfire.tasks.stuck import write_stuck

from ..pipeline.survey import ROOT, write_survey
from ..products.test_shutters import shutter_table


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    return tmp_path / "ws"


def ask(tmp_path: Path, *arguments: object) -> str:
    raw = tmp_path / "raw"
    if not raw.exists():
        write_survey(raw)
    words = ["stuck", str(raw), "-w", str(tmp_path / "ws"), *map(str, arguments)]
    done = CliRunner().invoke(app, words, catch_exceptions=False, env={"COLUMNS": "200"})
    assert done.exit_code == 0
    return " ".join(done.output.split())


def test_nothing_was_looked_at(tmp_path):
    with pytest.raises(DataError, match="--to shutters"):
        ask(tmp_path)


def test_what_was_found_and_what_people_say(tmp_path, workspace):
    (workspace / "exposures").mkdir(parents=True)
    shutter_table().write(workspace / "exposures" / f"{ROOT}_shutters.fits")
    said = ask(tmp_path)
    assert "automatic" in said
    assert "manual" not in said
    write_stuck(workspace / "stuck_closed_shutters.toml", {ROOT: {8: (1,), 999: (2,)}})
    said = ask(tmp_path)
    assert "overruled by hand" in said
    assert "999" in said
    assert "manual" in said


def test_figures_of_the_evidence(tmp_path, workspace):
    (workspace / "exposures").mkdir(parents=True)
    shutter_table().write(workspace / "exposures" / f"{ROOT}_shutters.fits")
    ask(tmp_path, "--figures", tmp_path / "figures")
    assert [p.name for p in (tmp_path / "figures").iterdir()] == [f"{ROOT}_{8}_shutters.png"]
