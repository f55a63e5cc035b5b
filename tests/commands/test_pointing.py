"""`pointing`: the user's table, and what is said when nothing can be measured."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from nirfire.cli import app
from nirfire.commands import pointing as command
from nirfire.core.pointing import Frame
from nirfire.core.slit_shift import Shift
from nirfire.errors import DataError
from nirfire.products.naming import Workspace
from nirfire.products.positions import Position, read_positions
from nirfire.tasks.pointing import Measured
from tests.core.test_pointing import PER_PITCH, PIVOT

from ..conftest import nirfire
from ..pipeline.survey import ROOT, Bench

pytestmark = pytest.mark.usefixtures("quick_disk")


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    return Bench(tmp_path, monkeypatch)


def ask(*arguments: object) -> str:
    done = CliRunner().invoke(app, ["pointing", *map(str, arguments)], catch_exceptions=False)
    assert done.exit_code == 0
    return done.output


def sources(shift: tuple[float, float], n: int = 5) -> list[Measured]:
    x, y = (Shift(s / p, 0.001 / p) for s, p in zip(shift, (0.268, 0.529), strict=True))
    return [
        Measured(7 + k, PIVOT + np.array([20.0 * k, -15.0 * k * k]), PER_PITCH, x, y, 90.0, 0.02, 3) for k in range(n)
    ]


VISIT = "jw09999001001"
FRAME = Frame.of(PER_PITCH[None], PIVOT)
ROWS = [Position(f"{VISIT}_02101_00001", 7, 0.7, -0.08)]


def test_a_visit_that_is_off_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = Workspace(tmp_path, "ws")
    kept = command._visit(place, VISIT, sources((0.0268, -0.0529)), FRAME)
    assert kept is not None and command._facts(kept)["fitted"] == ["x", "y"]
    assert place.pointing_figure(VISIT).is_file()
    said = capsys.readouterr().err
    assert "x +26.8 ±" in said and "significant: x +26.8" in said


def test_a_visit_that_is_on_target_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command._visit(Workspace(tmp_path, "ws"), VISIT, sources((0.0, 0.001)), FRAME) is None
    assert "not significant" in capsys.readouterr().err
    assert command._visit(Workspace(tmp_path, "ws"), VISIT, [], FRAME) is None


def test_only_apply_writes_and_other_visits_keep_their_positions(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = Workspace(tmp_path, "ws")
    table = "exposure,source,x,y\njw09999001002_02101_00001,7,0.3,0.3\njw09999001001_02101_00009,7,0.1,0.1\n"
    place.positions.write_text(table)
    command._finish(place, ROWS, {VISIT: {}}, apply=False)
    assert place.positions.read_text() == table
    command._finish(place, ROWS, {VISIT: {}}, apply=True)
    assert sorted(read_positions(place.positions)) == ["jw09999001001_02101_00001", "jw09999001002_02101_00001"]
    said = capsys.readouterr().err
    assert "nothing is changed; --apply" in said and "--rerun stale" in said


def test_places_in_force_are_those_of_the_table_else_of_the_plan(bench: Bench) -> None:
    inputs = bench.observation.inputs()
    before = command._used(inputs, bench.place)
    exposure, source = next(iter(before))
    place = bench.place
    place.folder.mkdir(parents=True, exist_ok=True)
    place.positions.write_text(f"exposure,source,x,y\n{exposure},{source},0.31,1.2\n")
    after = command._used(inputs, place)
    assert (after[exposure, source].x, after[exposure, source].y) == (0.31, 1.2)
    assert after[exposure, source].shutter_column == before[exposure, source].shutter_column
    assert all(after[k] == before[k] for k in before if k != (exposure, source))


def test_the_users_table_is_taken_when_applied(bench: Bench, tmp_path: Path) -> None:
    table = tmp_path / "mine.csv"
    table.write_text(f"exposure,source,x,y\n{ROOT}_00001,3,0.41,0.93\n{ROOT}_00002,3,0.41,0.92\n")
    place = bench.place
    said = ask(bench.raw, "-w", place.folder, "--table", table)
    assert "2 positions in 2 exposures" in said and "nothing is changed" in said
    assert not place.positions.exists()
    ask(bench.raw, "-w", place.folder, "--table", table, "--apply")
    assert read_positions(place.positions)[f"{ROOT}_00002"] == {3: (0.41, 0.92)}


def test_without_calibrated_sources_it_says_so(bench: Bench) -> None:
    with pytest.raises(DataError, match="no source is calibrated yet"):
        ask(bench.raw, "-w", bench.place.folder)


@pytest.mark.slow
def test_the_pointing_of_a_demo_is_as_planned(small_demo) -> None:
    folder = small_demo.place.folder
    done = nirfire("pointing", folder, "--apply", cwd=folder)
    assert done.returncode == 0
    assert "x not known, y" in done.stderr and "not significant" in done.stderr
    assert not small_demo.place.positions.exists()
