"""Defects of MSA metafiles: each is found, and mended or left to the user."""

import numpy as np
import pytest

from nirfire.products.msa import Metafile, SourceOptions
from nirfire.products.msa_check import ERROR, NOTE, WARNING, check_metafile, shown
from nirfire.products.msa_repair import repaired
from nirfire.products.msa_rows import X, Y
from nirfire.products.msa_sky import separation
from tests.products.msa_tables import catalogue, field, nodded, row, sky, write

GOOD = [*nodded(1, 11), *nodded(2, 21, line=140), *nodded(3, -1, line=150), *(row(4, 80, 0, d) for d in (1, 2, 3))]


def without_position(rows, source, dither):
    return [(*r[:8], np.nan, np.nan, *r[10:]) if r[5] == source and r[10] == dither else r for r in rows]


def nameless(rows):
    return [(*r[:5], 0, *r[6:]) if r[5] == 11 and r[10] == 1 else r for r in rows]


# kind: rows, severity, (slitlet, source), mended
DEFECTS = {
    "two-primaries": ([*GOOD, row(1, 51, 12, 1, primary=True)], ERROR, (1, None), True),
    "source-0": (nameless(GOOD), ERROR, (1, None), True),
    "primary-background": ([(*r[:6], "Y", *r[7:]) if r[5] == 11 else r for r in GOOD], ERROR, (1, None), True),
    "primary-not-first": ([row(1, 49, 12, 1, x=0.2), *GOOD], WARNING, (1, None), True),
    "closed": ([*GOOD, *(row(1, 52, 0, d, state="CLOSED") for d in (1, 2, 3))], WARNING, (1, None), True),
    "closed-at-times": (
        [*GOOD, *(row(1, 52, 0, d, state="CLOSED" if d == 2 else "OPEN") for d in (1, 2, 3))],
        WARNING,
        (1, None),
        False,
    ),
    "several-quadrants": ([*GOOD, *nodded(1, 12, quadrant=4)], ERROR, (1, None), True),
    "several-rows": ([*GOOD, *nodded(1, 12, line=101)], ERROR, (1, None), True),
    "detached": ([*GOOD, *(row(1, 60, 0, d) for d in (1, 2, 3))], WARNING, (1, None), True),
    "gap": ([*GOOD, *(row(1, 53, 0, d) for d in (1, 2, 3))], NOTE, (1, None), False),
    "repeated-row": ([*GOOD, GOOD[0], GOOD[1]], WARNING, (1, None), True),
    "no-position": (without_position(GOOD + field(), 11, 2), ERROR, (1, 11), True),
    "outside": ([*GOOD, row(1, 51, 12, 1, x=1.04)], WARNING, (1, 12), False),
    "dither-point": ([r for r in GOOD if (r[0], r[4], r[10]) != (1, 49, 3)], WARNING, (1, None), True),
    "several-slitlets": ([*GOOD, row(5, 150, 11, 1, x=0.5, line=150)], WARNING, (None, 11), False),
    "two-places": ([*GOOD, row(1, 51, 11, 1, x=0.5)], ERROR, (None, 11), False),
    "no-such-shutter": ([*GOOD, *(row(6, 172, 0, d) for d in (1, 2, 3))], ERROR, (6, None), False),
    "duplicate": ([*GOOD, row(1, 50, 12, 1, x=0.41)], NOTE, (None, 12), False),
}


@pytest.fixture
def make(tmp_path):
    def made(rows, sources=None, fixed=(), name="jw09999001001_01_msa.fits"):
        return Metafile.read(write(tmp_path / name, rows, sources, fixed))

    return made


def test_a_good_metafile(make):
    made = make(GOOD)
    assert check_metafile(made) == []
    same, log = repaired(made)
    assert log == []
    assert sorted(map(str, same.shutters)) == sorted(map(str, made.shutters))


@pytest.mark.parametrize("kind", DEFECTS)
def test_defect(make, kind):
    rows, severity, where, mended = DEFECTS[kind]
    made = make(rows)
    before = made.shutters.as_array().tobytes()
    (found,) = (f for f in check_metafile(made) if f.kind == kind)
    assert found.severity == severity and found.where[1:] == where
    assert found.where.metadata_id == (None if kind == "duplicate" else 1)
    assert found.message and (found.remedy or severity == NOTE) and found.repairable == mended
    better, log = repaired(made)
    assert made.shutters.as_array().tobytes() == before
    assert (kind in {f.kind for f in check_metafile(better)}) != mended
    assert (kind in {f.kind for f in log}) == mended
    if mended:
        assert not [f for f in check_metafile(better) if f.severity == ERROR]
        assert repaired(better)[1] == []  # nothing is left to do


def test_two_primaries_leave_that_which_is_primary_more_often(make):
    better, log = repaired(make(DEFECTS["two-primaries"][0]))
    assert better.primaries(1) == {11, 21} and 12 in better.source_ids(1)
    (said,) = (f for f in log if f.kind == "two-primaries")
    assert said.where == (1, 1, 12) and said.message == "no longer primary at dither point 1: source 11 is"


def test_primary_without_number_gets_the_only_one_there_is(make):
    better, _ = repaired(make(nameless(GOOD)))
    assert (better.configuration(1)["source_id"] == 11).sum() == 3
    ambiguous = [*nameless(GOOD), row(1, 51, 12, 2, x=0.2)]
    better, log = repaired(make(ambiguous, name="ambiguous_msa.fits"))
    rows = better.configuration(1)
    assert (rows["source_id"] == 11).sum() == 2
    now = rows[(rows["slitlet_id"] == 1) & (rows["dither_point_index"] == 1)]
    assert set(now["background"]) == {"Y"} and np.isnan(now[X]).all()
    assert any("is background now" in f.message for f in log)


def test_slitlets_across_quadrants_get_numbers_of_their_own(make):
    better, log = repaired(make(DEFECTS["several-quadrants"][0]))
    assert better.slitlets_of(12, 1) == {5} and better.slitlets_of(11, 1) == {1}
    assert [f.message for f in log] == ["quadrant 4 row 100 columns 49-51 is now slitlet 5"]


def test_position_follows_from_the_others(make):
    better, _ = repaired(make(DEFECTS["no-position"][0]))
    rows = better.configuration(1)
    own = rows[(rows["source_id"] == 11) & (rows["dither_point_index"] == 2)]
    np.testing.assert_allclose((own[X][0], own[Y][0]), 0.4, atol=0.002)


def test_position_that_does_not_follow_stays_an_error(make):
    better, log = repaired(make(without_position(GOOD, 11, 2)))
    assert log == []
    assert [f.kind for f in check_metafile(better)] == ["no-position"]


def test_missing_source(make):
    rows = GOOD + field()
    made = make(rows, catalogue(rows, leave_out=[11, -1]))
    found = {f.where.source: f for f in check_metafile(made)}
    assert found[11].severity == WARNING and found[11].repairable and found[-1].severity == NOTE
    better, log = repaired(made)
    assert [(f.kind, f.where.source) for f in log] == [("missing-source", 11)]
    assert separation(better.sky[11], sky(3, 100.4, 50.4)) < 1e-3
    assert better.name(11) == "9999_11"


def test_missing_source_that_cannot_be_placed(make):
    (found,) = check_metafile(make(GOOD, catalogue(GOOD, leave_out=[11])))
    assert (found.kind, found.severity, found.repairable) == ("missing-source", ERROR, False)


def test_catalogue(make):
    rows = GOOD + field()
    sources = catalogue(rows)
    sources.add_row(sources[sources["source_id"] == 21][0])
    sources["ra"][-1] += 1
    sources["ra"][sources["source_id"] == 11] = np.nan
    made = make(rows, sources)
    assert {(f.kind, f.where.source) for f in check_metafile(made)} == {
        ("catalogued-twice", 21),
        ("no-coordinates", 11),
    }
    better, log = repaired(made)
    assert check_metafile(better) == [] and len(log) == 2
    assert separation(better.sky[11], sky(3, 100.4, 50.4)) < 1e-3
    assert better.sky[21] == made.sky[21]


def test_fixed_slits_are_noted_and_kept(make):
    made = make([*GOOD, row(0, 0, 77, 1, primary=True)], fixed=["S200A1"])
    (found,) = check_metafile(made)
    assert (found.kind, found.severity) == ("fixed-slit", NOTE)
    better, log = repaired(made)
    assert log == [] and list(better.shutters["fixed_slit"]).count("S200A1") == 1


def test_a_repaired_metafile_can_be_written_and_used(make, tmp_path):
    rows = [*DEFECTS["two-primaries"][0], *field()]
    better, _ = repaired(make(rows, catalogue(rows, leave_out=[11])))
    better.write(tmp_path / "mended_msa.fits")
    back = Metafile.read(tmp_path / "mended_msa.fits")
    assert check_metafile(back) == []
    assert len(back.for_source(12, 1, SourceOptions(pad=1)).shutters) == 15


def test_long_lists_are_cut():
    assert shown([1, 1, 2]) == "1, 2"
    assert shown(range(12)) == "0, 1, 2, 3, 4, 5, 6, 7 and 4 more"


def test_flight_metafiles(real_data):
    """No errors; in three of the four programmes the stock pipeline misplaces sources, and a repair prevents that."""
    expected = {
        "jw02736007001_01_msa.fits": {("primary-not-first", WARNING): 12},
        "jw02565007001_01_msa.fits": {("primary-not-first", WARNING): 1, ("several-slitlets", NOTE): 4},
        "jw02609009001_04_msa.fits": {("primary-not-first", WARNING): 6},
        "jw02561002003_01_msa.fits.gz": {},
    }
    for name, counts in expected.items():
        (path,) = real_data.glob(f"*/{name}")
        metafile = Metafile.read(path)
        kinds = [(f.kind, f.severity) for f in check_metafile(metafile)]
        assert {k: kinds.count(k) for k in kinds} == counts, name
        if len(metafile.metadata_ids) < 3:
            assert {f.kind for f in check_metafile(repaired(metafile)[0])} <= {"several-slitlets"}
