"""Units of cutouts, and marks of overlapping orders."""

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from nirfire.core.wavecal import OVERLAP_FLAG
from nirfire.errors import DataError
from nirfire.products.slitcal import POWERS, SlitCal, in_megajansky, mark_overlap

AREA, PHOTMJ = 4.9e-13, 0.7
CAL = Path("a_cal.fits")


def product(unit: str = "MJy/sr", **cards: object) -> fits.HDUList:
    """A slit of two DN/s in every pixel, with the stock conversion of a source that is no point."""
    factor = PHOTMJ / AREA if unit == "MJy/sr" else PHOTMJ
    header = fits.Header({"BUNIT": unit, "PIXAR_SR": AREA, "PHOTMJSR": factor, "PHOTUJA2": factor * 23.5, **cards})
    planes = [fits.ImageHDU(np.full((2, 3), 2 * factor**p, np.float32), name=name) for name, p in POWERS.items()]
    planes[0].header.update(header)
    return fits.HDUList([fits.PrimaryHDU(), *planes, fits.ImageHDU(np.zeros((2, 3), np.uint32), name="DQ")])


def test_surface_brightness_becomes_the_flux_of_a_pixel_by_its_true_area():
    hdus = product()
    in_megajansky(hdus, file=CAL)
    for name, power in POWERS.items():
        assert hdus[name].data == pytest.approx(np.full((2, 3), 2 * PHOTMJ**power), rel=1e-6)
    assert hdus["SCI"].header["BUNIT"] == "MJy"
    assert hdus["SCI"].header["PHOTMJSR"] == pytest.approx(PHOTMJ)
    assert hdus["SCI"].header["PHOTUJA2"] == pytest.approx(PHOTMJ * 23.5)


@pytest.mark.parametrize("unit", ["MJy/sr", "MJy"])
def test_what_is_in_megajansky_stays_as_it_is(unit):
    hdus = product(unit)
    in_megajansky(hdus, file=CAL)
    once = hdus["SCI"].data.copy(), hdus["SCI"].header.copy()
    in_megajansky(hdus, file=CAL)
    assert (hdus["SCI"].data == once[0]).all()
    assert hdus["SCI"].header == once[1]


def test_other_units_and_an_unknown_area_are_refused():
    with pytest.raises(DataError, match="unit is 'DN/s', expected MJy or MJy/sr"):
        in_megajansky(product(BUNIT="DN/s"), file=CAL)
    hdus = product()
    del hdus["SCI"].header["PIXAR_SR"]
    with pytest.raises(DataError, match="PIXAR_SR"):
        in_megajansky(hdus, file=CAL)


def test_overlap_is_marked_beside_other_flags():
    hdus = product()
    hdus["DQ"].data[0, 0] = 1
    mark_overlap(hdus, np.array([[True, False, False], [False, True, False]]))
    assert hdus["DQ"].data.tolist() == [[OVERLAP_FLAG + 1, 0, 0], [0, OVERLAP_FLAG, 0]]


def test_a_slit_without_a_flat_field_has_no_variance_of_one():
    hdus = product()
    del hdus["VAR_FLAT"]
    in_megajansky(hdus, file=CAL)
    assert hdus["SCI"].header["BUNIT"] == "MJy"


@pytest.mark.parametrize(("applied", "divisor"), [(True, 0.8 * 0.5), (False, 0.8)])
def test_bar_shadow_counts_where_it_was_applied(tmp_path, applied, divisor):
    hdus = product("MJy", PTHLOSS="UNIFORM", BARSHDW=applied)
    for name, value in {"WAVELENGTH": 2.0, "PATHLOSS_UN": 0.8, "PATHLOSS_PS": 0.9, "BARSHADOW": 0.5}.items():
        hdus.append(fits.ImageHDU(np.full((2, 3), value, np.float32), name=name))
    hdus.writeto(tmp_path / "a_cal.fits")
    assert SlitCal.read(tmp_path / "a_cal.fits").correction == pytest.approx(np.full((2, 3), divisor), rel=1e-6)
