"""`pointing`: the user's table, and what is said when nothing can be measured."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from nirfire.cli import app
from nirfire.commands import pointing as command
from nirfire.commands.aim import Aim
from nirfire.core.pointing import Frame
from nirfire.core.slit_shift import Shift
from nirfire.errors import DataError
from nirfire.products.naming import Workspace
from nirfire.products.positions import Position, read_positions
from nirfire.tasks.pointing import Measured, Planned
from tests.core.test_pointing import PER_PITCH, PIVOT

from ..conftest import Ran, nirfire
from ..pipeline.survey import ROOT, Bench
from ..tasks.test_pointing import headers

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


def test_only_apply_writes_and_places_not_measured_anew_stay(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = Workspace(tmp_path, "ws")
    one, other = f"{VISIT}_02101_00001", "jw09999001002_02101_00001"
    table = f"exposure,source,x,y\n{other},7,0.3,0.3\n{one},7,0.1,0.1\n{one},8,0.4,1.1\n"
    place.positions.write_text(table)
    command._finish(place, ROWS, {VISIT: {}}, apply=False)
    assert place.positions.read_text() == table
    command._finish(place, ROWS, {VISIT: {}}, apply=True)
    assert read_positions(place.positions) == {one: {7: (0.7, -0.08), 8: (0.4, 1.1)}, other: {7: (0.3, 0.3)}}
    said = capsys.readouterr().err
    assert "keep the places of the earlier table: 8\n" in said
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


def dithered(folder: Path, **options: object) -> list[Planned]:
    cals = [headers(folder, nod=k + 1, SRCXPOS=x, **options) for k, x in enumerate((-0.2, 0.2))]  # type: ignore[arg-type]
    return [p for cal in cals if (p := Planned.read(cal, 7))]


def environments(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, bool]]:
    """The environments asked for: context, and whether it is that of the embedded references."""
    asked: list[tuple[str, bool]] = []

    def note(context: str, *, embedded: bool, say: object) -> dict[str, str]:
        asked.append((context, embedded))
        return {}

    monkeypatch.setattr(command, "reference_environment", note)
    return asked


@pytest.mark.parametrize("exposures", [True, False])
def test_real_sources_are_never_held_against_the_embedded_references(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], exposures: bool
) -> None:
    asked = environments(monkeypatch)
    monkeypatch.setattr(command, "context_name", lambda embedded, **_: "embedded" if embedded else "of the server")
    # where there are only cutouts, inputs count as embedded and the plan's context is theirs
    context = "of the run" if exposures else "embedded"
    plan = SimpleNamespace(crds=context)
    prospect: Any = SimpleNamespace(inputs=SimpleNamespace(embedded=not exposures), plan=plan)
    real = [dithered(tmp_path, TITLE="The real sky")]
    monkeypatch.delenv("CRDS_PATH", raising=False)
    assert command._references(prospect, real) is None
    said = capsys.readouterr().err
    assert "x is NOT measured" in said and "export CRDS_PATH=" in said
    monkeypatch.setenv("CRDS_PATH", str(tmp_path))
    assert command._references(prospect, real) == {}
    assert asked == [("of the run" if exposures else "of the server", False)]


def test_simulated_sources_have_the_embedded_references_and_nods_need_none(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked = environments(monkeypatch)
    monkeypatch.delenv("CRDS_PATH", raising=False)
    prospect = Aim(bench.raw, bench.place.folder).look(bench.observation)
    simulated = dithered(tmp_path, TITLE="nirfire simulation")
    assert command._references(prospect, [simulated[:1], simulated[1:]]) is None and asked == []
    assert command._references(prospect, [simulated]) == {} and [embedded for _, embedded in asked] == [True]


def test_without_calibrated_sources_it_says_so(bench: Bench) -> None:
    with pytest.raises(DataError, match="no source is calibrated yet"):
        ask(bench.raw, "-w", bench.place.folder)


@pytest.mark.slow
def test_the_pointing_of_a_demo_is_as_planned(small_demo: Ran) -> None:
    folder = small_demo.place.folder
    done = nirfire("pointing", folder, "--apply", cwd=folder)
    assert done.returncode == 0
    assert "x not known, y" in done.stderr and "not significant" in done.stderr
    assert not small_demo.place.positions.exists()
