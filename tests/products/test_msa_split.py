"""Long slits: each shutter becomes a slitlet with a source of its own."""

import numpy as np

from nirfire.products.msa import Metafile, SourceOptions
from nirfire.products.msa_check import ERROR, check_metafile
from nirfire.products.msa_rows import X, Y
from nirfire.products.msa_sky import separation
from nirfire.products.msa_split import split_slitlets

from .msa_tables import catalogue, field, nodded, row, sky, write


def test_each_shutter_is_a_source(tmp_path):
    rows = [*nodded(1, 11, range(40, 51)), row(1, 45, 12, 1, x=0.2), *nodded(2, 21, line=140), *field()]
    rows += [(*r[:1], 2, *r[2:]) for r in nodded(1, 11, range(40, 51))]
    unused = row(50, 10, 920, x=0.5)  # in the catalogue, but in no slitlet
    metafile = Metafile.read(write(tmp_path / "a_msa.fits", rows, catalogue([*rows, unused])))
    before = metafile.shutters.as_array().tobytes()
    better, log = split_slitlets(metafile, 5)
    assert metafile.shutters.as_array().tobytes() == before
    assert [(f.kind, f.where.metadata_id, f.where.slitlet) for f in log] == [("split", 1, 1), ("split", 2, 1)]
    ids = list(range(921, 932))
    assert better.source_ids(1) == [21, *range(900, 912), *ids] and better.source_ids(2) == ids
    assert not [f for f in check_metafile(better) if f.severity == ERROR]
    for column, source in zip(range(40, 51), ids, strict=True):
        mine = better.for_source(source, 1, SourceOptions(source_type="catalogue"))
        assert set(mine.shutters["shutter_column"]) == {column} and set(mine.shutters["dither_point_index"]) == {
            1,
            2,
            3,
        }
        assert set(mine.shutters["primary_source"]) == {"Y"} and set(mine.shutters[X]) == set(mine.shutters[Y]) == {0.5}
        assert mine.sources["stellarity"][0] == 0 and mine.sources["alias"][0] == f"Q3_100_{column}"
        at_nods = [sky(3, 100.5, column + 0.5 - step) for step in (0, -1, 1)]
        assert separation(at_nods[0], better.sky[source]) < 0.6  # the median of the nods, a shutter apart
    better.write(tmp_path / "b_msa.fits")
    assert Metafile.read(tmp_path / "b_msa.fits").source_ids(2) == ids


def test_a_long_slit_alone(tmp_path):
    """Nothing to derive coordinates from: they are those of its source."""
    metafile = Metafile.read(write(tmp_path / "a_msa.fits", nodded(1, 11, range(1, 172))))
    better, _ = split_slitlets(metafile, 10)
    assert len(better.source_ids(1)) == 171 and len(np.unique(better.shutters["slitlet_id"])) == 171
    assert {better.sky[k] for k in better.source_ids(1)} == {metafile.sky[11]}


def test_nothing_to_split(tmp_path):
    metafile = Metafile.read(write(tmp_path / "a_msa.fits", nodded(1, 11)))
    same, log = split_slitlets(metafile, 3)
    assert log == [] and same.sources is metafile.sources
    np.testing.assert_array_equal(same.shutters["source_id"], metafile.shutters["source_id"])
