"""What a spectrum says of its exposures."""

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from nirfire.errors import DataError, NoWork
from nirfire.products.exposures import (
    EXPOSURE_COLUMNS,
    cutout_header,
    exposure_groups,
    exposure_table,
    lit_headers,
    spectrum_cards,
)


def cutout(folder, name, **cards):
    path = folder / f"{name}_7_cal_bkgsub.fits"
    primary = fits.PrimaryHDU()
    primary.header.update({"GRATING": "G395M", "FILTER": "F290LP", "EFFEXPTM": 10.0, "PATT_NUM": 2, "R_AREA": "a"})
    primary.header.update(cards)
    image = fits.ImageHDU(np.zeros((2, 2)), name="SCI")
    image.header.update({"SRCRA": 10.0, "SHUTSTA": "1x1", "SRCYPOS": -0.2, "PA_V3": 30.0})
    fits.HDUList([primary, image]).writeto(path)
    return path


def test_a_row_for_each_cutout_that_has_the_source(tmp_path):
    root = "jw00001001001_02101"
    paths = [
        cutout(tmp_path, f"{root}_00001_nrs1", PATTTYPE="NONE", NOD_TYPE="3-SHUTTER-SLITLET", PRIDTPTS=3, STKSHTRS="2"),
        cutout(tmp_path, f"{root}_00001_nrs2", NFSKY="nods", NODOVLP=0.01, NUMDTHPT=5),
        cutout(tmp_path, f"{root}_00002_nrs1", SRCFLUX=False),
    ]
    headers = lit_headers({path: cutout_header(path) for path in paths})
    table = exposure_table(headers)
    assert table.colnames == list(EXPOSURE_COLUMNS)
    assert list(table["filename"]) == [p.name for p in paths[:2]]
    assert list(table["nod_number"]) == [3, 5]
    assert list(table["dither_number"]) == [2, 2]
    assert list(table["stuck_shutter_list"]) == ["2", "N/A"]
    assert list(table["group"]) == [root, root]
    np.testing.assert_array_equal(table["source_ypos"], -0.2)
    np.testing.assert_array_equal(table["v3pa"], 30.0)
    cards = spectrum_cards(headers, 7, "model")
    assert cards["EXPTIME"][0] == 10.0  # both detectors at once
    assert (cards["NEXPOSUR"][0], cards["NFGROUPS"][0], cards["SOURCEID"][0]) == (1, 1, 7)
    assert cards["NFMETHOD"][0] == "model"
    assert cards["R_AREA"][0] == "a"
    assert "DEC" not in cards


def test_groups_are_visits_activities_sub_dithers_and_configurations():
    names = [f"jw00001001001_0{g}101_0000{k}_nrs{d}_7_cal.fits" for g in (2, 4) for k in (1, 2) for d in (1, 2)]
    plain = {Path(name): fits.Header({"PATT_NUM": 1}) for name in names}
    assert set(exposure_groups(plain).values()) == {"jw00001001001_02101", "jw00001001001_04101"}
    dithered = {
        p: fits.Header({"PATTTYPE": "2-POINT-WITH-NIRCAM", "SUBPXPTS": 2, "PATT_NUM": 1 + k % 2})
        for k, p in enumerate(plain)
    }
    assert sorted(set(exposure_groups(dithered).values()))[:2] == ["jw00001001001_02101", "jw00001001001_02101_dither2"]
    shuffled = {p: fits.Header({"MSAMETID": 1 + k // 2}) for k, p in enumerate(plain)}
    assert len(set(exposure_groups(shuffled).values())) == 4
    assert exposure_groups({Path("other.fits"): fits.Header()}) == {Path("other.fits"): "other"}


def test_what_is_missing_is_said(tmp_path):
    unlit = cutout(tmp_path, "jw00001001001_02101_00001_nrs1", NFUSABLE=0)
    with pytest.raises(NoWork):
        lit_headers({unlit: cutout_header(unlit)})
    path = tmp_path / "x.fits"
    fits.PrimaryHDU().writeto(path)
    with pytest.raises(DataError, match="SCI"):
        cutout_header(path)
