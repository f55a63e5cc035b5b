"""The product of `shutters`."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from nirfire.errors import DataError
from nirfire.products.shutters import VERDICT_COLUMNS, ShutterTable, read_closed


def shutter_table() -> ShutterTable:
    """Two sources of three shutters and plain sky, in three nods; shutter 3 of source 8 is closed."""
    said, levels, images = [], [], []
    for slitlet, source in ((1, 7), (2, 8), (3, 0)):
        for k in (1, 2, 3):
            place = (source, slitlet, k, 3, 100, 29 + k)
            dark = (source, k) in ((8, 3), (0, 1))
            level = 0.01 if dark else 1.02
            said.append((*place, level, 0.03, 0.05, 1e-9 if dark else 0.6, 40.0, "closed" if dark else "open", dark))
            levels += [(f"jw09999001001_02101_{n:05d}_nrs1", *place, k == n, level, 0.05) for n in (1, 2, 3)]
        for n in (1, 2, 3):
            image = np.ones((38, 12), dtype=np.float32)
            image[26:, :] = 0.0 if source == 8 else 1.0
            row = (source, slitlet, 30, 0.1, -0.9, 38, np.linspace(1, 5, 13), np.ones(12, np.float32), image)
            images.append((f"jw09999001001_02101_{n:05d}_nrs1", *row))
    place = ("source", "slitlet", "ordinal", "quadrant", "shutter_row", "shutter_column")
    names = (*("exposure", "source", "slitlet", "first", "step", "start", "rows"), *("wave", "sky", "image"))
    meta = {"NFSHOPEN": (0.5, "level"), "NFSHFALS": (1e-3, "chance"), "NFSHDET": (True, "looked")}
    return ShutterTable(
        Table(rows=said, names=tuple(VERDICT_COLUMNS)),
        Table(rows=levels, names=("exposure", *place, "sourced", "level", "error")),
        Table(rows=images, names=names),
        meta,
    )


@pytest.fixture
def written(tmp_path: Path, quick_disk: None) -> Path:
    path = tmp_path / "jw09999001001_02101_shutters.fits"
    shutter_table().write(path)
    return path


def test_it_comes_back_as_it_was_written(written):
    old, new = shutter_table(), ShutterTable.read(written)
    assert new.meta == old.meta
    assert new.sources == [7, 8]
    assert list(new.verdicts["state"]) == list(old.verdicts["state"])
    assert np.allclose(new.levels["level"], old.levels["level"])
    assert np.array_equal(new.images["image"], old.images["image"])


def test_columns_are_described(written):
    header = fits.getheader(written, "VERDICTS")
    described = {header[f"TTYPE{k}"]: header.get(f"TUCD{k}") for k in range(1, header["TFIELDS"] + 1)}
    assert all(described.values())
    assert described["chance"] == "stat.probability"


def test_closed_shutters_of_sources(written):
    assert read_closed(written) == {8: (3,)}
    best = np.inf
    for _ in range(5):
        started = time.process_time()
        read_closed(written)
        best = min(best, time.process_time() - started)
    assert best < 0.03  # planning asks for it


def test_a_damaged_product_is_named(tmp_path):
    path = tmp_path / "jw09999001001_02101_shutters.fits"
    with pytest.raises(DataError, match="not found"):
        read_closed(path)
    fits.HDUList([fits.PrimaryHDU()]).writeto(path)
    for read in (read_closed, ShutterTable.read):
        with pytest.raises(DataError, match="VERDICTS is missing"):
            read(path)
