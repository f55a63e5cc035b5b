"""The reader of any 1D spectrum: what others write, in their units, and what cannot be used."""

from __future__ import annotations

import gzip
import sys

import numpy as np
import pytest
from astropy import units as u
from astropy.io import fits
from astropy.table import Table

from nirfire.errors import DataError
from nirfire.products.any_spectrum import read_all, read_any, read_each
from nirfire.products.redshift_table import RedshiftRow, read_redshifts, write_redshifts, zfit_of_part, zfit_paths
from nirfire.products.spectrum import Spectrum
from nirfire.products.spectrum_units import Units, is_flux, is_wavelength, read_unit

pytestmark = pytest.mark.usefixtures("quick_disk")

WAVE = np.linspace(1.0, 5.0, 60)
FLUX = 1.0 + 0.2 * np.sin(3 * WAVE)
ERR = 0.05 + 0.01 * WAVE
FLAM = u.erg / u.s / u.cm**2 / u.AA
SHAPE = {"GRATING": "PRISM", "FILTER": "CLEAR"}


def flam(values, unit=FLAM):
    return (values * u.uJy).to_value(unit, u.spectral_density(WAVE * u.um))


def table_hdu(columns, name="SPEC1D", cards=None, ver=1):
    """Columns: name to (values, unit)."""
    made = []
    for key, (values, unit) in columns.items():
        values = np.asarray(values)
        kind = {"f": "D", "i": "J", "b": "L"}[values.dtype.kind]
        made.append(
            fits.Column(key, f"{values.shape[1] if values.ndim > 1 else ''}{kind}", unit=unit or None, array=values)
        )
    hdu = fits.BinTableHDU.from_columns(made, name=name)
    hdu.ver = ver
    hdu.header.update(cards or {})
    return hdu


def write(path, *hdus, **cards):
    primary = fits.PrimaryHDU()
    primary.header.update(cards)
    fits.HDUList([primary, *hdus]).writeto(path)
    return path


def simple(path, *, wave=WAVE, flux=FLUX, err=ERR, units=("um", "uJy", "uJy"), grating="PRISM"):
    columns = {"wave": (wave, units[0]), "flux": (flux, units[1]), "err": (err, units[2])}
    return write(path, table_hdu(columns, cards={"GRATING": grating}))


def ours(folder):
    meta = {
        "SOURCEID": (7, "number"),
        "GRATING": ("PRISM", ""),
        "FILTER": ("CLEAR", ""),
        "CRDS_CTX": ("jwst_1.pmap", ""),
    }
    boxes, neighbours = {3: (2 * FLUX, ERR)}, np.full((1, 60), 0.3)
    spectrum = Spectrum(WAVE, FLUX, ERR, np.zeros(60, bool), boxes, correlation=neighbours, meta=meta)
    spectrum.write(folder / "a_spec.fits")
    return folder / "a_spec.fits"


def stock(folder):
    """As the stock pipeline writes an x1d: Jy, many columns, the disperser in the primary header."""
    columns = {"WAVELENGTH": (WAVE, "um"), "FLUX": (FLUX / 1e6, "Jy"), "FLUX_ERROR": (ERR / 1e6, "Jy")}
    columns |= {"FLUX_VAR_POISSON": (ERR, "Jy^2"), "SURF_BRIGHT": (9 * FLUX, "MJy/sr"), "SB_ERROR": (ERR, "MJy/sr")}
    columns |= {"DQ": (np.zeros(60, np.int32), ""), "BACKGROUND": (FLUX, "MJy/sr"), "NPIXELS": (FLUX, "")}
    return write(folder / "b_x1d.fits", table_hdu(columns, "EXTRACT1D", {"SOURCEID": 7}), **SHAPE)


def combined(folder):
    columns = {"WAVELENGTH": (WAVE, "um"), "FLUX": (FLUX / 1e6, "Jy"), "ERROR": (ERR / 1e6, "Jy")}
    return write(folder / "b_c1d.fits", table_hdu(columns, "COMBINE1D", {"SOURCEID": 7}), **SHAPE)


def msaexp(folder):
    columns = {"wave": (WAVE, "um"), "flux": (FLUX, "uJy"), "err": (ERR, "uJy"), "aper_flux": (3 * FLUX, "uJy")}
    cards = SHAPE | {"SRCID": 7, "CUNIT1": "Angstrom"}
    image = fits.ImageHDU(np.zeros((9, 60)), name="SCI")
    return write(folder / "field_prism-clear_1345_7.spec.fits", table_hdu(columns, cards=cards), image)


def jades(folder):
    """As the notes of the data release describe it, with and without units."""
    names = ("WAVELENGTH", "FLUX", "FLUX_ERR", "FLUX_NOD2", "FLUX_NOD2_ERR")
    tables = []
    for name, unit, factor in (("EXTRACT5PIX1D", "", 1.0), ("EXTRACT3PIX1D", "", 0.8)):
        values = (WAVE, factor * flam(FLUX), flam(ERR), 2 * flam(FLUX), flam(ERR))
        tables.append(table_hdu({n: (v, unit) for n, v in zip(names, values, strict=True)}, name))
    exposures = table_hdu({"WAVELENGTHS": (WAVE, ""), "FLUX_1_1_1": (WAVE, "")}, "INTERMEDIATE")
    name = "hlsp_jades_jwst_nirspec_goods-n-mediumhst-00000007_clear-prism_v1.0_x1d.fits"
    return write(folder / name, *tables, exposures, TARGET="7")


def jades_images(folder):
    images = {"DATA": (flam(FLUX, u.W / u.m**3), "W m-3"), "ERR": (flam(ERR, u.W / u.m**3), "W m-3")}
    images["WAVELENGTH"] = (WAVE * 1e-6, "m")
    hdus = [fits.ImageHDU(values, name=name) for name, (values, _) in images.items()]
    for hdu, (_, unit) in zip(hdus, images.values(), strict=True):
        hdu.header["BUNIT"] = unit
    return write(folder / "000007_prism_clear_v5.1_1D.fits", *hdus, SOURCEID=7)


def inverse_variances(folder):
    columns = {"lambda": (1e4 * WAVE, "Angstrom"), "flux": (flam(FLUX) * 1e19, "1e-19 erg/s/cm2/A")}
    columns["ivar"] = (1 / (flam(ERR) * 1e19) ** 2, "")
    return write(folder / "c.fits", table_hdu(columns, "COADD"), SOURCEID=7, **SHAPE)


def ecsv(folder):
    table = Table({"wavelength": 1e3 * WAVE, "fnu": 1e3 * FLUX, "fnu_err": 1e3 * ERR})
    table["wavelength"].unit, table["fnu"].unit, table["fnu_err"].unit = "nm", "nJy", "nJy"
    table.meta = {"grating": "PRISM", "filter": "CLEAR", "source": 7}
    table.write(folder / "d.ecsv")
    return folder / "d.ecsv"


def csv(folder):
    rows = [f"{w!r},{f!r},{e!r}" for w, f, e in zip(WAVE.tolist(), FLUX.tolist(), ERR.tolist(), strict=True)]
    (folder / "7.prism-clear.csv").write_text("\n".join(["# a remark", "wave_um,flux_ujy,err (uJy)", *rows]))
    return folder / "7.prism-clear.csv"


def plain(folder):
    text = "\n".join(f"{w!r} {f!r} {e!r}" for w, f, e in zip(WAVE.tolist(), FLUX.tolist(), ERR.tolist(), strict=True))
    (folder / "7.prism_clear.txt").write_text(f"# wave[um] flux[uJy] flux_err[uJy]\n{text}\n")
    return folder / "7.prism_clear.txt"


FORMS = (ours, stock, combined, msaexp, jades, jades_images, inverse_variances, ecsv, csv, plain)


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.__name__)
def test_all_forms_are_the_same_spectrum(tmp_path, form):
    found = read_any(form(tmp_path))
    np.testing.assert_allclose(found.wave, WAVE, rtol=1e-12)
    np.testing.assert_allclose(found.flux, FLUX, rtol=1e-10)
    np.testing.assert_allclose(found.ivar, ERR**-2, rtol=1e-10)
    assert (found.grating, found.filter, found.source) == ("PRISM", "CLEAR", "7")


def test_references_and_correlation_of_a_spectrum_are_kept(tmp_path):
    found = read_any(ours(tmp_path))
    assert found.correlation.tolist() == [[0.3] * 60]
    assert found.references == {"CRDS_CTX": ("jwst_1.pmap", "")}
    assert found.meta["SOURCEID"][0] == 7


def test_slits_of_a_file_come_one_by_one_and_a_bad_one_spoils_no_other(tmp_path):
    def slit(k, flux):
        columns = {"WAVELENGTH": (WAVE, "um"), "FLUX": (flux, "Jy"), "FLUX_ERROR": (ERR, "Jy")}
        return table_hdu(columns, "EXTRACT1D", {"SOURCEID": k, "SLTNAME": str(k)}, ver=k)

    path = write(tmp_path / "x1d.fits", slit(1, FLUX), slit(2, FLUX * np.nan), slit(3, 3 * FLUX), **SHAPE)
    found = read_each(path)
    assert [(f.label, f.source, f.grating) for f in found] == [(str(k), str(k), "PRISM") for k in (1, 2, 3)]
    assert isinstance(found[1].spectrum, DataError)
    assert found[1].spectrum.key == "EXTRACT1D,2.FLUX_ERROR"
    np.testing.assert_allclose(found[2].spectrum.flux, 3e6 * FLUX)
    with pytest.raises(DataError, match="none of 60 pixels"):
        read_all(path)
    with pytest.raises(DataError, match="3 spectra, not one"):
        read_any(write(tmp_path / "good.fits", slit(1, FLUX), slit(2, FLUX), slit(1, FLUX), **SHAPE))
    assert [f.label for f in read_each(tmp_path / "good.fits")] == ["1", "2", "3"]  # sources are not unique


def test_labels_differ_and_cards_are_ascii(tmp_path):
    columns = {"wave": (WAVE, "um"), "flux": (FLUX, "uJy"), "err": (ERR, "uJy")}
    slits = [
        table_hdu(columns, cards={"SRCNAME": name}, name="EXTRACT1D", ver=k) for k, name in enumerate(("a b", "a-b"), 1)
    ]
    found = read_each(write(tmp_path / "x.fits", *slits, **SHAPE))
    assert len({one.label for one in found}) == 2
    path = simple(tmp_path / "é_prism.fits")
    assert read_any(path).source == "é_prism"
    assert read_any(path).meta["SRCNAME"][0] == "?_prism"


def test_sources_may_be_rows_of_one_table(tmp_path):
    wave = np.array([WAVE, WAVE + 0.1])
    wave[1, 50:] = np.nan  # rows are filled up
    columns = {"SOURCE_ID": (np.array([11, 12]), ""), "WAVELENGTH": (wave, "um")}
    columns |= {"FLUX": (np.array([FLUX, 2 * FLUX]), "Jy"), "FLUX_ERROR": (np.array([ERR, ERR]), "Jy")}
    first, second = read_all(write(tmp_path / "a.fits", table_hdu(columns, "EXTRACT1D"), **SHAPE))
    assert first.meta["GRATING"][0] == "PRISM"
    assert (first.source, second.source) == ("11", "12")
    assert (first.wave.size, second.wave.size) == (60, 50)
    np.testing.assert_allclose(second.flux, 2e6 * FLUX[:50])


def test_data_quality_and_masks_count(tmp_path):
    columns = {"wave": (WAVE, "um"), "flux": (FLUX, "uJy"), "err": (ERR, "uJy")}
    quality, mask = np.zeros(60, np.int32), np.zeros(60, bool)
    quality[[3, 4]] = 1, 2  # DO_NOT_USE, saturated in some group
    mask[5] = True
    one = read_any(write(tmp_path / "a.fits", table_hdu(columns | {"dq": (quality, "")}), **SHAPE))
    two = read_any(write(tmp_path / "b.fits", table_hdu(columns | {"mask": (mask, "")}), **SHAPE))
    assert np.flatnonzero(one.ivar == 0).tolist() == [3]
    assert np.flatnonzero(two.ivar == 0).tolist() == [5]
    assert one.flux[3] == 0


def test_pixels_without_information_have_no_weight(tmp_path):
    flux, err = FLUX.copy(), ERR.copy()
    flux[1], err[2], err[3], err[4], err[5], flux[6] = np.nan, 0.0, -1.0, np.nan, np.inf, np.inf
    found = read_any(simple(tmp_path / "a.fits", flux=flux, err=err))
    assert np.flatnonzero(found.ivar == 0).tolist() == [1, 2, 3, 4, 5, 6]
    assert np.isfinite(found.flux).all()
    assert np.isfinite(found.ivar).all()


def test_falling_wavelengths_are_turned_round(tmp_path):
    found = read_any(simple(tmp_path / "a.fits", wave=WAVE[::-1], flux=FLUX[::-1], err=ERR[::-1]))
    np.testing.assert_allclose(found.wave, WAVE)
    np.testing.assert_allclose(found.flux, FLUX)


def test_frequencies_will_do(tmp_path):
    found = read_any(simple(tmp_path / "a.fits", wave=2.99792458e14 / WAVE, units=("Hz", "uJy", "uJy")))
    np.testing.assert_allclose(found.wave, WAVE)


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        *((text, u.um) for text in ("um", "micron", "Microns", "MICRON", "µm", "μm", "micrometer")),
        *((text, u.AA) for text in ("Angstrom", "angstroms", "A", "Å", "AA", "ANGSTROM")),
        *((text, u.uJy) for text in ("uJy", "ujy", "µJy", "muJy", "microJy", "microjansky", "UJY")),
        *((text, u.nJy) for text in ("nJy", "njy")),
        *(
            (text, FLAM)
            for text in ("erg/s/cm2/A", "erg s-1 cm-2 Angstrom-1", "ergs/s/cm^2/A", "erg s^{-1} cm^{-2} A^{-1}")
        ),
        ("1e-20 erg/s/cm2/Angstrom", 1e-20 * FLAM),
        ("mJy", u.mJy),
        ("MJy", u.MJy),
        ("W/m2/um", u.W / u.m**2 / u.um),
    ],
)
def test_units_as_people_write_them(text, meaning):
    unit = read_unit(text)
    assert unit.to(meaning) == pytest.approx(1.0, rel=1e-12)
    assert is_flux(unit) or is_wavelength(unit)


@pytest.mark.parametrize("text", ["", "px", "adu/s", "no unit", "MJy/sr", "3"])
def test_other_units_are_neither(text):
    unit = read_unit(text)
    assert unit is None or not (is_flux(unit) or is_wavelength(unit))


def shuffled(path):
    simple(path, wave=np.roll(WAVE, 7))


def twice(path):
    simple(path, wave=np.where(np.arange(60) == 30, WAVE[29], WAVE))


def three_columns(path):
    write(path, table_hdu({"wave": (WAVE, "um"), "flux": (FLUX, "uJy"), "gain": (ERR, "")}), **SHAPE)


def two_dimensional(path):
    columns = {"wave": (WAVE, "um"), "flux": (np.ones((60, 3)), "uJy"), "err": (ERR, "uJy")}
    write(path, table_hdu(columns), **SHAPE)


def later(path):
    write(path, table_hdu({"wave": (WAVE, "um"), "flux": (FLUX, "uJy"), "err": (ERR, "uJy")}), NFSCHEMA="9.0", **SHAPE)


BAD = {
    "no rows": (lambda p: simple(p, wave=WAVE[:0], flux=FLUX[:0], err=ERR[:0]), "SPEC1D", "empty"),
    "all NaN": (lambda p: simple(p, flux=np.nan * FLUX), "SPEC1D.err", "none of 60 pixels"),
    "no wavelength": (lambda p: simple(p, wave=np.nan * WAVE), "SPEC1D", "no finite, positive wavelength"),
    "zero errors": (lambda p: simple(p, err=0 * ERR), "SPEC1D.err", "none of 60 pixels"),
    "negative errors": (lambda p: simple(p, err=-ERR), "SPEC1D.err", "none of 60 pixels"),
    "counts": (lambda p: simple(p, units=("um", "adu/s", "adu/s")), "SPEC1D.flux", "not a unit of flux density"),
    "other errors": (lambda p: simple(p, units=("um", "uJy", "s")), "SPEC1D.err", "not a unit of the flux"),
    "pixels": (lambda p: simple(p, units=("pixel", "uJy", "uJy")), "SPEC1D.wave", "not a unit of wavelength"),
    "odd unit": (lambda p: simple(p, units=("um", "furlong", "uJy")), "SPEC1D.flux", "no unit that is known"),
    "no unit": (lambda p: simple(p, units=("um", "", "")), "SPEC1D.flux", "has no unit"),
    "wrong unit": (lambda p: simple(p, wave=1e4 * WAVE), "SPEC1D", "PRISM has 0.6 to 5.3 um"),
    "shuffled": (shuffled, "SPEC1D", "neither rise nor fall throughout: see row 8, 1 um"),
    "twice": (twice, "SPEC1D", "see row 31"),
    "grating": (lambda p: simple(p, grating="GR150R"), "GRATING", "unknown grating 'GR150R'"),
    "no grating": (lambda p: simple(p, grating=""), "GRATING", "neither the headers nor"),
    "columns": (three_columns, "SPEC1D", "no columns of wavelength, flux and error among: wave, flux, gain"),
    "arrays": (two_dimensional, "SPEC1D.flux", r"shape \(3,\)"),
    "format": (later, "NFSCHEMA", "format 9.0"),
    "empty file": (lambda p: p.write_bytes(b""), None, "the file is empty"),
    "no FITS": (lambda p: p.write_text("no FITS\n" * 999), None, "cannot be read as FITS"),
    "absent": (lambda p: None, None, "file not found"),
    "folder": (lambda p: p.mkdir(), None, "a folder"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_wrong_is_named(tmp_path, name):
    make, key, said = BAD[name]
    path = tmp_path / "a.fits"
    make(path)
    with pytest.raises(DataError, match=said) as caught:
        read_any(path)
    assert caught.value.file == path
    assert caught.value.key == key


def test_truncated_files_are_told_wherever_they_end(tmp_path):
    whole = stock(tmp_path).read_bytes()
    for cut in (100, 2880, 4000, 5760, len(whole) - 2880, len(whole) - 3000, len(whole) - 8000):
        (tmp_path / "cut.fits").write_bytes(whole[:cut])
        with pytest.raises(DataError, match=r"cut\.fits"):
            read_any(tmp_path / "cut.fits")
    (tmp_path / "cut.fits.gz").write_bytes(gzip.compress(whole)[:-500])
    with pytest.raises(DataError, match="cannot be read as FITS"):
        read_any(tmp_path / "cut.fits.gz")
    (tmp_path / "whole.fits.gz").write_bytes(gzip.compress(whole))
    np.testing.assert_allclose(read_any(tmp_path / "whole.fits.gz").flux, FLUX)


@pytest.mark.parametrize("text", ["", "wave flux\n1 2 3\n4", "1 2 3\n4 5 6\n", '# %ECSV 1.0\n# ---\nx y\n"'])
def test_texts_that_are_no_table_of_a_spectrum(tmp_path, text):
    (tmp_path / "a_prism.txt").write_text(text)
    with pytest.raises(DataError, match=r"a_prism\.txt"):
        read_any(tmp_path / "a_prism.txt")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "latin-1"])
def test_texts_of_spreadsheets(tmp_path, encoding):
    rows = [f"{w},{f},{e}" for w, f, e in zip(WAVE, FLUX, ERR, strict=True)]
    (tmp_path / "a_prism.csv").write_bytes("\r\n".join(["wave (µm),flux (µJy),err", *rows]).encode(encoding))
    np.testing.assert_allclose(read_any(tmp_path / "a_prism.csv").flux, FLUX)


def test_units_may_be_given(tmp_path):
    path = simple(tmp_path / "a.fits", wave=1e4 * WAVE, units=("", "", ""))
    found = read_any(path, units=Units("Angstrom", "nJy"))
    np.testing.assert_allclose(found.wave, WAVE)
    np.testing.assert_allclose(found.flux, FLUX / 1e3)
    named = simple(tmp_path / "b.fits")
    np.testing.assert_allclose(read_any(named, units=Units("nm", "Jy")).flux, FLUX)  # those of the file win


@pytest.mark.parametrize(
    ("name", "header", "given", "grating"),
    [
        ("a.fits", "G395M", "PRISM", "G395M"),
        ("a_prism-clear_7.fits", "", "G395M", "PRISM"),
        ("a_f290lp-g395m.fits", "N/A", None, "G395M"),
        ("prism_or_g395m.fits", "", "g235m", "G235M"),
        ("a.fits", "CLEAR/PRISM", None, "PRISM"),
    ],
)
def test_the_grating_is_looked_for_in_header_name_and_option(tmp_path, name, header, given, grating):
    path = simple(tmp_path / name, wave=np.linspace(2.9, 3.1, 60), grating=header)
    assert read_any(path, given).grating == grating


def test_specutils_reads_the_rest(tmp_path):
    """Here an image with a linear scale of wavelengths."""
    pytest.importorskip("specutils")
    image = fits.PrimaryHDU(FLUX)
    image.header.update(CTYPE1="WAVE", CUNIT1="um", CRPIX1=1.0, CRVAL1=1.0, CDELT1=WAVE[1] - WAVE[0], BUNIT="uJy")
    fits.HDUList([image, fits.ImageHDU(ERR, name="STD")]).writeto(tmp_path / "a.fits")
    found = read_any(tmp_path / "a.fits", "PRISM")
    np.testing.assert_allclose(found.wave, WAVE, rtol=1e-9)
    np.testing.assert_allclose(found.flux, FLUX)
    np.testing.assert_allclose(found.ivar, ERR**-2)


def test_without_specutils_the_remedy_is_told(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "specutils", None)
    with pytest.raises(DataError, match=r"pip install nirfire\[specutils\]"):
        read_any(write(tmp_path / "a.fits", fits.ImageHDU(FLUX, name="SCI")))


@pytest.mark.realdata
def test_real_files(real_data):
    stock_file = read_any(real_data / "ero_6355" / "jw02736-o007_s06355_nirspec_f290lp-g395m_x1d.fits")
    assert (stock_file.grating, stock_file.filter, stock_file.source) == ("G395M", "F290LP", "6355")
    assert np.count_nonzero(stock_file.ivar) > 1000
    peak = stock_file.wave[np.argmax(stock_file.flux * (stock_file.ivar > 0))]
    assert peak == pytest.approx(0.50082 * (1 + 7.6651), abs=0.01)
    for path in (real_data / "nods").glob("*/*.spec.fits"):
        spectrum = read_any(path)
        assert spectrum.grating == "PRISM"
        assert np.count_nonzero(spectrum.ivar) > 300


def test_fits_of_files_of_one_name_do_not_overwrite_each_other(tmp_path):
    names = ("a/x_spec.fits", "b/x_spec.fits", "a/y.csv", "a/y.fits", "z.spec.fits")
    files = [tmp_path / name for name in names]
    beside = zfit_paths(files)
    assert [beside[f].relative_to(tmp_path).as_posix() for f in files] == [
        *("a/x_zfit.fits", "b/x_zfit.fits", "a/y.csv_zfit.fits", "a/y.fits_zfit.fits", "z_zfit.fits"),
    ]
    together = zfit_paths(files, tmp_path / "out")
    assert [together[f].name for f in files] == [
        *("a-x_spec.fits_zfit.fits", "b-x_spec.fits_zfit.fits", "y.csv_zfit.fits", "y.fits_zfit.fits", "z_zfit.fits"),
    ]
    assert zfit_of_part(files[-1], "12", together).name == "z_12_zfit.fits"
    assert zfit_of_part(files[-1], "", together) == together[files[-1]]
    several, single = tmp_path / "b.fits", tmp_path / "b_1.csv"
    both = zfit_paths([several, single])
    assert zfit_of_part(several, "1", both).name == "b.fits_1_zfit.fits"
    assert zfit_paths([]) == {}


def test_the_table_of_redshifts(tmp_path):
    rows = [RedshiftRow("a.fits", "PRISM", 4.23411234, 3e-4, zprob=0.99, zwarn=0), RedshiftRow("b.fits", reason="why")]
    write_redshifts(tmp_path / "redshifts.ecsv", rows, {"made_by": "a test"})
    table = read_redshifts(tmp_path / "redshifts.ecsv")
    needed = "file grating z z_err zconf zprob zwarn z2 dchi2_12 snr template_class time_ms"
    assert table.colnames[:12] == needed.split()
    assert table["z"][0] == pytest.approx(4.234112)
    assert np.isnan(table["z"][1])
    assert list(table["reason"]) == ["", "why"]
    assert list(table["zwarn"]) == [0, -1]
    assert all(table[name].description for name in table.colnames)
    assert table.meta["made_by"] == "a test"
