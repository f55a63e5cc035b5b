"""Measuring sources of cutouts, and the positions that follow."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from nirfire.core.centroid import Place
from nirfire.core.pointing import Frame, fit_pointing, significant_pointing
from nirfire.core.slit_shift import Shift
from nirfire.errors import DataError
from nirfire.products.naming import CAL, ExposureName
from nirfire.products.positions import Position
from nirfire.stsci.slit_geometry import SlitGeometry
from nirfire.tasks import pointing
from nirfire.tasks.pointing import (
    Measured,
    Planned,
    check_used,
    corrected_positions,
    frame_of,
    is_dithered,
    measure_source,
    shifts_of,
)
from tests.core.test_pointing import AXES, PER_PITCH, PIVOT

from ..conftest import Ran

CARDS = {"SHUTSTA": "1x1", "SHUTTRID": 29 * 365 + 180, "MSAQUAD": 3, "SRCXPOS": 0.1, "SRCYPOS": -0.48}
CARDS |= {"V2_REF": PIVOT[0], "V3_REF": PIVOT[1]}
TOP = ("SRCFLUX", "TITLE")


def headers(folder: Path, nod: int = 1, detector: str = "nrs1", **changed: object) -> Path:
    """A ``_cal.fits`` of headers alone."""
    path = folder / f"jw09999001001_02101_{nod:05d}_{detector}_7{CAL}"
    top = fits.Header({"DETECTOR": detector.upper(), "FILTER": "CLEAR", "GRATING": "PRISM"})
    cards = {k: v for k, v in {**CARDS, **changed}.items() if v is not None and k not in TOP}
    top.update({k: changed[k] for k in TOP if k in changed})
    image = fits.ImageHDU(np.zeros((2, 2), "f4"), fits.Header(cards), name="SCI")
    fits.HDUList([fits.PrimaryHDU(header=top), image]).writeto(path, overwrite=True)
    return path


def planned(folder: Path, **options: object) -> Planned:
    found = Planned.read(headers(folder, **options), 7)  # type: ignore[arg-type]
    assert found is not None
    return found


def measured(source: int, away: tuple[float, float], shift: tuple[float, float]) -> Measured:
    """A source at some distance from the pivot [arcsec], moved [arcsec]."""
    x, y = (Shift(s / p, 0.001 / p) for s, p in zip(shift, (0.268, 0.529), strict=True))
    return Measured(source, PIVOT + AXES @ away, PER_PITCH, x, y, 100.0, 0.02, 3)


def test_headers_say_where_a_source_was_planned(tmp_path: Path) -> None:
    found = planned(tmp_path)
    assert (found.x, found.y, found.shutter) == (0.1, -0.48, (3, 180, 30))
    assert found.mode == "NRS1 CLEAR PRISM"
    assert not found.simulated and planned(tmp_path, TITLE="nirfire simulation").simulated


def test_slits_without_source_are_passed_over(tmp_path: Path) -> None:
    assert Planned.read(headers(tmp_path, SRCFLUX=False), 7) is None
    assert Planned.read(headers(tmp_path, nod=2, SHUTSTA="111"), 7) is None
    with pytest.raises(DataError, match="SRCXPOS"):
        Planned.read(headers(tmp_path, nod=3, SRCXPOS=None), 7)


def test_dithers_are_told_from_nods(tmp_path: Path) -> None:
    one, nod, dither = (planned(tmp_path, nod=k, SRCXPOS=x) for k, x in ((1, 0.1), (2, 0.12), (3, 0.3)))
    other = planned(tmp_path, nod=3, detector="nrs2", SRCXPOS=0.3)
    assert not is_dithered([one, nod])
    assert not is_dithered([one, nod, other])  # another detector
    assert is_dithered([one, nod, dither])


def test_positions_carry_the_pointing_into_the_neighbour() -> None:
    places = [(0.0, 50.0), (60.0, 0.0), (-60.0, -50.0), (0.0, -50.0)]
    sources = [measured(7 + k, at, (0.0268, -0.0529)) for k, at in enumerate(places)]
    kept = significant_pointing(shifts_of(sources), frame_of_plain(sources))
    assert kept is not None
    used = [Position("jw09999001001_02101_00001", s, 0.6, 0.02, shutter_column=30) for s in (7, 99)]
    (row,) = corrected_positions(kept, sources, used)  # 99 is not there
    assert (row.exposure, row.source, row.shutter_column) == ("jw09999001001_02101_00001", 7, 30)
    assert np.allclose((row.x, row.y), (0.6 + 0.1, 0.02 - 0.1), atol=1e-6)  # y < 0: the shutter below
    assert np.allclose((row.x_before, row.y_before), (0.6, 0.02))
    assert 0 < row.y_err < 0.005


@pytest.mark.parametrize(("y", "column", "fits"), [(0.02, 30, True), (1.02, 29, True), (0.06, 30, False)])
def test_cutouts_must_have_been_made_with_the_places_in_force(
    tmp_path: Path, y: float, column: int, fits: bool
) -> None:
    mine = planned(tmp_path)  # column 30, y = 0.02
    used = {(mine.name.both, 7): Position(mine.name.both, 7, 0.6, y, shutter_column=column)}
    if fits:
        check_used([mine], used)
    else:
        with pytest.raises(DataError, match="calibrated at another place"):
            check_used([mine], used)


def test_sources_not_measured_count_for_nothing(tmp_path: Path) -> None:
    sources = [measured(k, (10.0 * k, -5.0 * k), (0.02, 0.01)) for k in range(6)]
    faint = Measured(9, PIVOT, PER_PITCH, None, None)
    shifts = shifts_of([*sources, faint])
    fit = fit_pointing(shifts, frame_of_plain(sources))
    assert np.allclose(frame_of([*sources, faint], planned(tmp_path)).axes, AXES)
    assert np.isinf(shifts.err[-1]).all() and not fit.used[-1].any()


def test_a_sliver_on_one_detector_does_not_hide_the_trace_on_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    geometry = SlitGeometry(np.zeros((2, 2)), (0,), 0.87, PIVOT, PER_PITCH)
    light = np.ones(3)

    def measure(one: Planned) -> pointing._Exposure:
        seen.append(str(one.name)[-10:])
        found = Place(one.y + 0.03, 0.001, 90.0, 1.0, 0.02, light, light) if one.name.detector == "nrs2" else None
        return pointing._Exposure(one, geometry, light, found)

    monkeypatch.setattr(pointing, "_measure", measure)
    both = [planned(tmp_path, nod=nod, detector=detector) for nod in (1, 2) for detector in ("nrs1", "nrs2")]
    found = measure_source(both)
    assert found.n_exposures == 2 and found.y is not None and np.isclose(found.y.value, 0.03)
    assert seen == ["00001_nrs1", "00001_nrs2", "00002_nrs2"]  # the second sliver is not read


def frame_of_plain(sources: list[Measured]) -> Frame:
    return Frame.of(np.array([m.per_pitch for m in sources]), PIVOT)


@pytest.mark.slow
def test_sources_of_a_demo_are_where_they_were_put(small_demo: Ran) -> None:
    place = small_demo.place
    for source in (101, 105):
        cals = [place.slit(n, source, CAL) for n in place.find_slits(source, CAL)]
        found = measure_source([p for c in cals if (p := Planned.read(c, source))])
        assert found.n_exposures == 3 and found.y is not None and found.x is None
        assert abs(found.y.value) * 0.53 < 0.002
        assert ExposureName.from_path(cals[0]) is not None
        assert np.allclose(np.hypot(*found.per_pitch), (0.268, 0.53), rtol=0.03)


def test_extended_sources_do_not_tell_x() -> None:
    sources = [measured(k, (10.0 * k, 0.0), (0.02, 0.01)) for k in range(4)]
    wide = [replace(s, source=9, floor=0.09) for s in sources[:1]]
    shifts = shifts_of([*sources, *wide])
    assert np.isfinite(shifts.err[:4]).all()
    assert np.isinf(shifts.err[4, 0]) and np.isfinite(shifts.err[4, 1])


@pytest.mark.slow
def test_nods_of_a_real_source_agree(real_data: Path, tmp_path: Path) -> None:
    from nirfire.stsci.slits import adopt_cutout

    shifts = []
    for cutout in sorted((real_data / "nods" / "rubies_44597").glob("*_nrs1_phot*.fits")):
        cal = tmp_path / f"{ExposureName.from_path(cutout)}_44597{CAL}"
        adopt_cutout(cutout, cal)
        found = measure_source([p for p in [Planned.read(cal, 44597)] if p])
        assert found.y is not None and found.snr > 100
        shifts.append(found.y.value * 529.0)
    assert len(shifts) == 3
    assert np.std(shifts) < 8.0  # mas
    assert abs(np.mean(shifts)) < 25.0
