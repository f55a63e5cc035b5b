"""MSA metafiles: sources, and the per-source metafile."""

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from nirfire.errors import DataError
from nirfire.products.msa import Metafile, SourceOptions
from nirfire.products.msa_rows import X, Y
from nirfire.products.msa_sky import separation
from tests.products.msa_tables import NODS, catalogue, field, nodded, row, sky, write

DITHERS = (1, 2, 3)


@pytest.fixture
def make(tmp_path):
    """Write rows to a metafile and read it."""

    def made(rows, sources=None, fixed=(), name="jw09999001001_01_msa.fits"):
        return Metafile.read(write(tmp_path / name, rows, sources, fixed))

    return made


@pytest.fixture
def metafile(make):
    """Slitlet 1: primary 11 and, one shutter up, 12. Slitlet 2: primary 21. Configuration 2: primary 31."""
    rows = nodded(1, 11) + nodded(2, 21, line=140)
    for dither, shift in zip(DITHERS, NODS, strict=True):
        if 51 + shift < 52:
            rows.append(row(1, 51 + shift, 12, dither, x=0.2))
        rows.append(row(1, 60, 0, dither))
    return make([*rows, row(1, 80, 31, 1, primary=True, metadata_id=2)])


def columns(table, dither=None):
    here = slice(None) if dither is None else table["dither_point_index"] == dither
    return sorted(table["shutter_column"][here].tolist())


def own_columns(metafile):
    """Column of the primary at each dither point."""
    rows = metafile.shutters[metafile.shutters["primary_source"] == "Y"]
    return dict(zip(rows["dither_point_index"].tolist(), rows["shutter_column"].tolist(), strict=True))


def test_every_source_is_listed_primary_or_not(metafile):
    assert metafile.metadata_ids == [1, 2]
    assert metafile.source_ids(1) == [11, 12, 21]
    assert metafile.primaries(1) == {11, 21}
    assert metafile.source_ids(2) == [31]
    assert metafile.name(12) == "9999_12"
    assert metafile.slitlets_of(12, 1) == {1}


@pytest.mark.parametrize("source", [11, 12])
def test_per_source_metafile_has_one_primary_and_no_detached_shutter(metafile, tmp_path, source):
    path = tmp_path / "mine.fits"
    metafile.for_source(source, 1).write(path)
    back = Metafile.read(path).configuration(1)
    assert set(back["source_id"]) == {0, source}
    assert set(back["shutter_column"]) == {49, 50, 51}  # 60 is detached
    for dither in DITHERS:
        now = back[back["dither_point_index"] == dither]
        assert len(now) == len(set(now["shutter_column"])) == 3
        assert np.sum(now["primary_source"] == "Y") <= 1
    own = back[back["primary_source"] == "Y"]
    assert (own["background"] == "N").all()
    assert np.isfinite(own[X]).all()
    assert np.isnan(back[X][back["primary_source"] == "N"]).all()
    assert list(Metafile.read(path).sources["stellarity"]) == [1.0]


def test_nothing_of_the_original_is_changed(metafile):
    before = metafile.shutters.copy(), metafile.sources.copy()
    options = SourceOptions(closed=(1,), position={1: (0.5, 1.2)}, source_type="extended", pad=2, longest=1)
    metafile.for_source(11, 1, options)
    for now, then in zip((metafile.shutters, metafile.sources), before, strict=True):
        assert now.as_array().tobytes() == then.as_array().tobytes()


def test_the_number_of_the_slitlet_in_its_background_rows_does_not_attach_them(make):
    """Some metafiles give all shutters of a slitlet the number of its source."""
    rows = [(*r[:5], 11, *r[6:]) for r in [*nodded(1, 11), *(row(1, 60, 0, d) for d in DITHERS)]]
    assert set(columns(make(rows).for_source(11, 1).shutters)) == {49, 50, 51}


def test_each_source_has_its_own_group_of_a_slitlet(make):
    rows = nodded(1, 11) + nodded(1, 12, (70, 71, 72)) + nodded(1, 13, line=101) + nodded(1, 14, quadrant=4)
    made = make(rows)
    for source, place in {11: (3, 100, 50), 12: (3, 100, 71), 13: (3, 101, 50), 14: (4, 100, 50)}.items():
        mine = made.for_source(source, 1).shutters
        found = {tuple(r) for r in mine["shutter_quadrant", "shutter_row", "shutter_column"]}
        assert found == {(*place[:2], place[2] + k) for k in (-1, 0, 1)}
    assert sorted(columns(made.for_source(11, 1).shutters, 1)) == [49, 50, 51]


def test_two_slitlets_with_a_closed_shutter_between_are_one_slit(make):
    """As the planning tool writes them: the source nods from one to the other."""
    rows = [row(k, c, 0, d) for k, c in ((13, 30), (13, 31), (14, 33), (14, 34)) for d in DITHERS]
    rows += [row(13, 31, 11, 1, primary=True), row(14, 33, 11, 3, primary=True)]
    mine = make(rows).for_source(11, 1)
    assert own_columns(mine) == {1: 31, 3: 33}
    assert all(columns(mine.shutters, d) == [30, 31, 33, 34] for d in DITHERS)
    assert set(mine.shutters["slitlet_id"]) == {13}


def test_fixed_slits_and_closed_shutters_hold_no_source(make):
    rows = nodded(1, 11) + [row(1, c, 0, d, state="CLOSED") for c in (52, 47) for d in DITHERS]
    rows += [row(2, 90, 15, d, primary=d == 1, state="CLOSED") for d in DITHERS]
    made = make([*rows, row(0, 0, 77, 1, primary=True)], fixed=["S200A1"])
    assert made.source_ids(1) == [11]
    assert set(columns(made.for_source(11, 1).shutters)) == {49, 50, 51}
    assert len(made.rows(1)) == len(rows) + 1
    with pytest.raises(DataError, match="no open slitlet"):
        made.for_source(15, 1)


def test_virtual_sources_and_background_slitlets_are_no_sources(make):
    rows = [*nodded(1, 11), *nodded(2, -1, line=120), *(row(3, 80, 0, d) for d in DITHERS)]
    made = make(rows)
    assert made.source_ids(1) == [11]
    assert made.primaries(1) == {11}
    assert own_columns(made.for_source(-1, 1)) == {1: 50, 2: 49, 3: 51}  # but one may be calibrated


def duplicates(make, arcsec, slitlets=(1, 1), metadata_ids=(1, 1)):
    rows = [row(k, 50, s, x=0.4, metadata_id=m) for k, s, m in zip(slitlets, (12, 11), metadata_ids, strict=True)]
    sources = catalogue(rows)
    sources["ra"][1] = (sources["ra"][0] - arcsec / 3600 / np.cos(np.radians(2))) % 360  # across the meridian
    sources["dec"][1] = sources["dec"][0]
    return make(rows, sources)


def test_duplicates_are_merged(make):
    made = duplicates(make, 0.095)
    assert made.duplicates == {12: 11}
    assert made.source_ids(1) == [11]
    assert made.for_source(12, 1).sources["source_id"][0] == 12  # when asked for, it is there


def test_of_duplicates_the_lowest_number_that_is_there_is_kept(make):
    rows = [row(1, 50, s, x=0.4) for s in (11, 12, 13)] + [row(1, 50, s, x=0.4, metadata_id=2) for s in (12, 13)]
    made = make([*rows, row(1, 50, 13, x=0.4, metadata_id=3)])
    assert [made.source_ids(k) for k in (1, 2, 3)] == [[11], [12], [13]]


def test_a_stellarity_that_is_nan_is_not_known(make):
    sources = catalogue(nodded(1, 11))
    sources["stellarity"] = np.nan
    made = make(nodded(1, 11), sources).for_source(11, 1, SourceOptions(source_type="catalogue"))
    assert made.sources["stellarity"].tolist() == [-1]


@pytest.mark.parametrize(
    "case", [(0.158, (1, 1), (1, 1)), (0.05, (1, 2), (1, 1)), (0.05, (1, 1), (1, 2))], ids=["far", "slitlet", "id"]
)
def test_neighbours_are_not_duplicates(make, case):
    made = duplicates(make, *case)
    assert made.duplicates == {}
    assert sorted(i for k in made.metadata_ids for i in made.source_ids(k)) == [11, 12]


def test_three_numbers_of_one_source(make):
    assert make([row(1, 50, s, x=0.4) for s in (11, 12, 13)]).duplicates == {12: 11, 13: 11}


def test_stuck_shutters_are_dropped(metafile):
    mine = metafile.for_source(11, 1, SourceOptions(closed=(1,)))
    assert set(mine.shutters["shutter_column"]) == {50, 51}
    assert own_columns(mine) == {1: 50, 3: 51}
    with pytest.raises(DataError, match="all shutters"):
        metafile.for_source(11, 1, SourceOptions(closed=(1, 2, 3)))


@pytest.mark.parametrize(("kind", "stellarity"), [("point", 1.0), ("extended", 0.0), ("catalogue", 0.2)])
def test_source_type(metafile, kind, stellarity):
    assert list(metafile.for_source(11, 1, SourceOptions(source_type=kind)).sources["stellarity"]) == [stellarity]


@pytest.mark.parametrize("wrong", [{"source_type": "galaxy"}, {"pad": -1}, {"longest": -3}])
def test_options_that_mean_nothing(wrong):
    with pytest.raises(ValueError):
        SourceOptions(**wrong)


@pytest.mark.parametrize(
    ("x", "y", "column", "inside"),
    [(0.3, 0.6, 50, 0.6), (0.3, 1.25, 51, 0.25), (0.3, -0.25, 49, 0.75), (0.3, 2.5, None, 0), (1.1, 0.5, None, 0)],
)
def test_measured_position(metafile, x, y, column, inside):
    mine = metafile.for_source(11, 1, SourceOptions(position={1: (x, y)}))
    assert own_columns(mine) == {2: 49, 3: 51} | ({1: column} if column else {})
    assert columns(mine.shutters, 1) == [49, 50, 51]
    if column:
        own = mine.shutters[(mine.shutters["dither_point_index"] == 1) & (mine.shutters["primary_source"] == "Y")]
        np.testing.assert_allclose((own[X][0], own[Y][0]), (x, inside), atol=1e-6)
        assert own["background"][0] == "N" and own["source_id"][0] == 11


def test_measured_position_where_none_was_planned(metafile):
    with pytest.raises(DataError, match=r"(?s)source 12 .* dither point 3.*position"):
        metafile.for_source(12, 1, SourceOptions(position={3: (0.5, 0.5)}))


@pytest.mark.parametrize(
    ("length", "kept"),
    [
        (3, {1: [49, 50, 51], 2: [48, 49, 50], 3: [50, 51, 52]}),
        (4, {1: [48, 49, 50, 51], 2: [48, 49, 50, 51], 3: [49, 50, 51, 52]}),
        (5, {d: [48, 49, 50, 51, 52] for d in DITHERS}),
        (1, {1: [50], 2: [49], 3: [51]}),
    ],
)
def test_long_slitlets_are_cut_around_the_source(make, length, kept):
    mine = make(nodded(1, 11, range(48, 53))).for_source(11, 1, SourceOptions(longest=length))
    assert {d: columns(mine.shutters, d) for d in DITHERS} == kept
    assert own_columns(mine) == {1: 50, 2: 49, 3: 51}


def test_cut_at_an_end_keeps_as_many_shutters_and_the_closed_neighbour(make):
    rows = [row(1, c, 11 if c == 48 else 0, primary=c == 48) for c in range(48, 53)]
    mine = make(rows).for_source(11, 1, SourceOptions(longest=3))
    assert columns(mine.shutters) == [48, 49, 50]


def test_long_slit_keeps_one_shutter(make):
    rows = nodded(1, 11, range(1, 172)) + [row(1, c, 0, 4) for c in range(1, 172)]
    rows = [r for r in rows if not (r[10] == 4 and r[4] == 86)]  # the usual shutter is closed there
    mine = make(rows).for_source(11, 1, SourceOptions(long_slit=True))
    assert {d: columns(mine.shutters, d) for d in (1, 2, 3)} == {1: [86], 2: [85], 3: [87]}
    assert columns(mine.shutters, 4) == [85]  # background only: the nearest to the source's own
    assert own_columns(mine) == {1: 86, 2: 85, 3: 87}


def test_padding(make):
    made = make(nodded(1, 11))
    assert all(
        columns(made.for_source(11, 1, SourceOptions(pad=1)).shutters, d) == [48, 49, 50, 51, 52] for d in DITHERS
    )
    mine = made.for_source(11, 1, SourceOptions(pad=2))
    assert all(columns(mine.shutters, d) == [47, 49, 50, 51, 53] for d in DITHERS)
    assert own_columns(mine) == {1: 50, 2: 49, 3: 51}
    added = mine.shutters[np.isin(mine.shutters["shutter_column"], (47, 53))]
    assert set(added["background"]) == {"Y"} and set(added["source_id"]) == {0} and np.isnan(added[X]).all()


def test_padding_stays_within_the_quadrant(make):
    rows = nodded(1, 11, (1, 2, 3)) + nodded(2, 12, (168, 169, 170), line=120)
    made = make(rows)
    assert set(columns(made.for_source(11, 1, SourceOptions(pad=3)).shutters)) == {1, 2, 3, 6}
    assert set(columns(made.for_source(12, 1, SourceOptions(pad=3)).shutters)) == {165, 168, 169, 170, 171}


def test_a_source_in_two_shutters_at_once_is_refused(make):
    with pytest.raises(DataError, match="source 11 is in 2 shutters at dither point 1"):
        make([row(1, 50, 11, primary=True), row(1, 51, 11, x=0.3)]).for_source(11, 1)


def test_position_of_a_source_that_is_not_in_the_catalogue(make):
    rows = nodded(1, 11) + field()
    truth = sky(3, 100.4, 50.4)
    mine = make(rows, catalogue(rows, leave_out=[11])).for_source(11, 1).sources
    assert list(mine["source_id"]) == [11]
    assert mine["source_name"][0] == "9999_11" and mine["alias"][0] == "11"
    assert separation(truth, (mine["ra"][0], mine["dec"][0])) < 1e-3


def test_position_of_a_source_without_coordinates(make):
    rows = nodded(1, 11) + field(5)
    sources = catalogue(rows)
    sources["ra"][0] = np.nan
    mine = make(rows, sources).for_source(11, 1).sources
    assert separation(sky(3, 100.4, 50.4), (mine["ra"][0], mine["dec"][0])) < 0.05  # five sources: linear only


def test_position_does_not_follow_an_outlier(make):
    rows = nodded(1, 11) + field(20)
    sources = catalogue(rows, leave_out=[11])
    sources["dec"][3] += 2 / 3600
    mine = make(rows, sources).for_source(11, 1).sources
    assert separation(sky(3, 100.4, 50.4), (mine["ra"][0], mine["dec"][0])) < 1e-3


@pytest.mark.parametrize("few", [field(3), [r for r in field() if (r[3] - 20) % 53 < 2]], ids=["few", "in a line"])
def test_position_that_cannot_be_had(make, few):
    rows = nodded(1, 11) + few + field(12, quadrant=4, first=700)
    with pytest.raises(DataError, match=r"(?s)no coordinates for source 11.*SOURCE_INFO"):
        make(rows, catalogue(rows, leave_out=[11])).for_source(11, 1)


def test_optional_columns_of_the_catalogue(make):
    rows = nodded(1, 11)
    sources = catalogue(rows)
    sources.keep_columns(["source_id", "ra", "dec"])
    made = make(rows, sources)
    assert made.name(11) == "11"
    assert made.for_source(11, 1, SourceOptions(source_type="catalogue")).sources["stellarity"][0] == -1  # a point


def test_an_empty_catalogue(make):
    """As for exposures of a lamp."""
    rows = [row(1, c, 0) for c in (49, 50)]
    made = make(rows, catalogue([]))
    assert made.source_ids(1) == [] and made.sky == {}


def test_unknown_configuration_is_named(metafile):
    with pytest.raises(DataError, match=r"(?s)no MSAMETID 7.*\[1, 2\].*MSAMETID"):
        metafile.configuration(7)


def test_unknown_source_is_refused(metafile):
    with pytest.raises(DataError, match="source 99 is in no open slitlet"):
        metafile.for_source(99, 1)


def test_absent_and_foreign_metafiles(tmp_path):
    with pytest.raises(DataError, match="metafile not found"):
        Metafile.read(tmp_path / "none_msa.fits")
    path = tmp_path / "empty_msa.fits"
    fits.HDUList([fits.PrimaryHDU()]).writeto(path)
    with pytest.raises(DataError, match="SHUTTER_INFO"):
        Metafile.read(path)
    write(path.with_name("short_msa.fits"), [row(1, 2, 3, x=0.5)], Table({"number": [3]}))
    with pytest.raises(DataError, match=r"(?s)columns missing: source_id.*SOURCE_INFO"):
        Metafile.read(path.with_name("short_msa.fits"))


def flight(real_data):
    return sorted([*(real_data / "msa").glob("*_msa.fits*"), *(real_data / "ero_6355").glob("*_msa.fits")])


def test_flight_metafiles(real_data, tmp_path):
    """Sources of real programmes can be given their own metafiles."""
    paths = flight(real_data)
    assert len(paths) == 4
    for path in paths:
        m = Metafile.read(path)
        for identity in m.metadata_ids[:2]:
            sources = m.source_ids(identity)
            assert len(sources) > 20 and min(sources) > 0
            for source in sources[::3]:
                mine = m.for_source(source, identity)
                points, counts = np.unique(
                    mine.shutters["dither_point_index"][mine.shutters["primary_source"] == "Y"], return_counts=True
                )
                assert len(points) > 0 and (counts == 1).all()
                assert len(mine.sources) == 1
        mine.write(tmp_path / "one.fits")
        assert Metafile.read(tmp_path / "one.fits").source_ids(identity) == [source]


def test_flight_sources_lie_where_the_others_say(real_data):
    """Left out of the catalogue, sources are found again to a few mas: 20 mas at the edge of a quadrant."""
    for path in flight(real_data):
        m = Metafile.read(path)
        identity = m.metadata_ids[0]
        off = []
        for source in m.source_ids(identity)[::11]:
            without = Metafile(m.path, m.shutters, m.sources[m.sources["source_id"] != source])
            found = without.for_source(source, identity).sources
            off.append(separation(m.sky[source], (found["ra"][0], found["dec"][0])))
        assert np.median(off) < 0.004 and max(off) < 0.025


def test_places_of_all_sources_of_a_slitlet(metafile):
    """The middle of a shutter is a whole number along the slitlet, and 0 across it."""
    found = metafile.places(11, 1, 1)
    assert found[11] == pytest.approx((-0.1, 49.9))
    assert found[12] == pytest.approx((-0.3, 50.9))
    assert metafile.places(12, 1, 1) == found
    assert metafile.places(21, 1, 1).keys() == {21}


def test_a_source_outside_the_shutters_is_placed_by_its_neighbour(metafile):
    """At the third point the source 12 is beyond the end of the slitlet, a shutter above 11 as ever."""
    found = metafile.places(11, 1, 3)
    assert found[11] == pytest.approx((-0.1, 50.9))
    assert found[12] == pytest.approx((-0.3, 51.9))


def test_places_that_nobody_knows_are_left_out(make):
    rows = [r for r in nodded(1, 11) if r[10] != 3 or r[5] != 11]  # not in the shutters of the third point
    assert make(rows).places(11, 1, 3) == {}
    alone = make([*rows, row(1, 51, 12, 3, x=0.2)], name="jw09999001001_02_msa.fits")
    assert alone.places(11, 1, 3).keys() == {12}  # never seen together with 11
    assert alone.places(11, 1, 2).keys() == {11}


def test_places_follow_a_chain_of_neighbours(make):
    """12 was seen with 11, 13 with 12; at the point where 11 alone is in a shutter both are known."""
    rows = [row(1, c, 0, n) for n in (1, 2, 3) for c in (48, 49, 50, 51, 52)]
    rows = [r for r in rows if (r[10], r[4]) not in {(1, 50), (2, 50), (2, 51), (3, 51), (3, 52)}]
    rows += [row(1, 50, 11, 1, primary=True), row(1, 50, 11, 2, primary=True), row(1, 51, 12, 2, x=0.4)]
    rows += [row(1, 51, 12, 3, x=0.4), row(1, 52, 13, 3, x=0.4)]
    found = make(rows).places(11, 1, 1)
    assert found.keys() == {11, 12, 13}
    assert found[13][1] == pytest.approx(found[11][1] + 2)
