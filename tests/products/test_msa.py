"""MSA metafiles: sources, and the per-source metafile."""

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from nirfire.errors import DataError
from nirfire.products.msa import Metafile

DITHERS = (1, 2, 3)


def row(slitlet, column, source, dither, *, primary=False, inside=False, metadata_id=1):
    x = 0.4 if inside else np.nan
    flags = ("N", "OPEN", x, x, dither, "Y") if primary else ("N" if inside else "Y", "OPEN", x, x, dither, "N")
    return (slitlet, metadata_id, 3, 100, column, source, *flags)


def write(path, rows, sources):
    names = "slitlet_id msa_metadata_id shutter_quadrant shutter_row shutter_column source_id background"
    names += " shutter_state estimated_source_in_shutter_x estimated_source_in_shutter_y dither_point_index"
    names += " primary_source"
    kinds = ("i2", "i2", "i2", "i2", "i2", "i4", "U1", "U6", "f4", "f4", "i2", "U1")
    shutters = Table(rows=rows, names=names.split(), dtype=kinds)
    catalogue = Table(
        rows=[(9999, s, f"9999_{s}", str(s), 53.0, -27.0, "None", 0.2) for s in sources],
        names=("program", "source_id", "source_name", "alias", "ra", "dec", "preimage_id", "stellarity"),
    )
    hdus = [fits.PrimaryHDU(), fits.ImageHDU(np.zeros((3, 3)), name="SHUTTER_IMAGE")]
    hdus += [fits.BinTableHDU(shutters, name="SHUTTER_INFO"), fits.BinTableHDU(catalogue, name="SOURCE_INFO")]
    fits.HDUList(hdus).writeto(path)
    return path


@pytest.fixture
def metafile(tmp_path):
    """Slitlet 1: primary 11 and, one shutter up, 12. Slitlet 2: primary 21. Configuration 2: primary 31."""
    rows = []
    for dither, shift in zip(DITHERS, (0, -1, 1), strict=True):
        for column in (49, 50, 51):
            here = column == 50 + shift
            above = column == 51 + shift
            rows.append(row(1, column, 11 if here else 0, dither, primary=here, inside=here))
            if above:
                rows.append(row(1, column, 12, dither, inside=True))
            rows.append(row(2, column, 21 if here else 0, dither, primary=here, inside=here))
        rows.append(row(1, 60, 0, dither))
    rows.append(row(1, 80, 31, 1, primary=True, inside=True, metadata_id=2))
    return write(tmp_path / "jw09999001001_01_msa.fits", rows, (11, 12, 21, 31))


def test_every_source_is_listed_primary_or_not(metafile):
    m = Metafile.read(metafile)
    assert m.source_ids(1) == [11, 12, 21]
    assert m.primaries(1) == {11, 21}
    assert m.source_ids(2) == [31]
    assert m.name(12) == "9999_12"


@pytest.mark.parametrize("source", [11, 12])
def test_per_source_metafile_has_one_primary_and_no_detached_shutter(metafile, tmp_path, source):
    mine = Metafile.read(metafile).for_source(source, 1)
    path = tmp_path / "mine.fits"
    mine.write(path)
    back = Metafile.read(path).configuration(1)
    assert set(back["source_id"]) == {0, source}
    assert set(back["shutter_column"]) == {49, 50, 51}  # 60 is detached
    for dither in DITHERS:
        now = back[back["dither_point_index"] == dither]
        assert len(now) == len(set(now["shutter_column"])) == 3
        assert np.sum(now["primary_source"] == "Y") <= 1
    own = back[back["primary_source"] == "Y"]
    assert (own["background"] == "N").all()
    assert np.isfinite(own["estimated_source_in_shutter_x"]).all()
    assert list(Metafile.read(path).sources["stellarity"]) == [1.0]


def test_stuck_shutters_are_dropped(metafile):
    mine = Metafile.read(metafile).for_source(11, 1, closed=(1,))
    assert set(mine.shutters["shutter_column"]) == {50, 51}
    with pytest.raises(DataError, match="all shutters"):
        Metafile.read(metafile).for_source(11, 1, closed=(1, 2, 3))


def test_unknown_configuration_is_named(metafile):
    with pytest.raises(DataError, match=r"(?s)no MSAMETID 7.*\[1, 2\].*MSAMETID"):
        Metafile.read(metafile).configuration(7)


def test_unknown_source_is_refused(metafile):
    with pytest.raises(DataError, match="0 slitlets"):
        Metafile.read(metafile).for_source(99, 1)


def test_absent_and_foreign_metafiles(tmp_path):
    with pytest.raises(DataError, match="metafile not found"):
        Metafile.read(tmp_path / "none_msa.fits")
    path = tmp_path / "empty_msa.fits"
    fits.HDUList([fits.PrimaryHDU()]).writeto(path)
    with pytest.raises(DataError, match="SHUTTER_INFO"):
        Metafile.read(path)


def test_flight_metafiles(real_data, tmp_path):
    """Every source of real programmes can be given its own metafile, which reads back."""
    for path in sorted((real_data / "msa").glob("*_msa.fits")):
        m = Metafile.read(path)
        identity = int(m.shutters["msa_metadata_id"][0])
        sources = m.source_ids(identity)
        assert len(sources) > 20
        for source in sources[:5]:
            m.for_source(source, identity).write(tmp_path / "one.fits")
            back = Metafile.read(tmp_path / "one.fits")
            assert back.source_ids(identity) == [source]
