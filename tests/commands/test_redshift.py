"""`redshift`: any spectra, good and bad, to their fits and one table."""

from __future__ import annotations

from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from typer.testing import CliRunner

from nirfire.cli import app
from nirfire.commands import redshift_fits
from nirfire.commands.redshift_fits import Item, batches
from nirfire.errors import DataError
from nirfire.products.any_spectrum import Spectrum1D
from nirfire.products.provenance import read_facts
from nirfire.products.redshift_table import read_redshifts
from nirfire.products.zfit import RedshiftFit
from nirfire.tasks.settings import RedshiftSettings

pytestmark = pytest.mark.usefixtures("quick_disk")
WAVE = np.geomspace(0.7, 5.2, 300)
Z = 3.2


def galaxy(z: float = Z, seed: int = 1) -> np.ndarray:
    """A flat spectrum with bright lines, S/N 20 per pixel."""
    flux = np.full(WAVE.size, 1.0)
    for rest, height in ((0.65646, 6.0), (0.50082, 5.0), (0.49603, 1.7), (0.48627, 2.0), (0.37285, 2.0)):
        centre = rest * (1 + z)
        flux += height * np.exp(-0.5 * ((WAVE - centre) / (centre / 150 / 2.355)) ** 2)
    return flux + 0.05 * np.random.default_rng(seed).normal(size=WAVE.size)


def write(path: Path, wave=WAVE, flux=None, err=0.05, **cards: object) -> Path:
    flux = galaxy() if flux is None else flux
    table = Table({"wave": wave, "flux": flux, "err": np.full(wave.size, err)})
    for name, unit in (("wave", "um"), ("flux", "uJy"), ("err", "uJy")):
        table[name].unit = unit
    hdu = fits.BinTableHDU(table, name="SPEC1D")
    hdu.header.update({"GRATING": "PRISM"} | cards)
    path.parent.mkdir(parents=True, exist_ok=True)
    fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(path)
    return path


def ask(*arguments: object) -> tuple[int, str]:
    words = ["redshift", *map(str, arguments), "--z-min", "2", "--z-max", "4"]
    done = CliRunner().invoke(app, words, catch_exceptions=False, env={"COLUMNS": "250"})
    return done.exit_code, done.output


def two_slits(path: Path) -> Path:
    hdus = [fits.PrimaryHDU()]
    hdus[0].header["GRATING"] = "PRISM"
    for k, flux in ((8, galaxy()), (9, np.full(WAVE.size, np.nan))):
        columns = {"WAVELENGTH": WAVE, "FLUX": flux / 1e6, "FLUX_ERROR": np.full(WAVE.size, 0.05e-6)}
        hdus.append(fits.BinTableHDU(Table(columns), name="EXTRACT1D"))
        for name, unit in (("WAVELENGTH", "um"), ("FLUX", "Jy"), ("FLUX_ERROR", "Jy")):
            hdus[-1].columns[name].unit = unit
        hdus[-1].header["SOURCEID"] = k
    fits.HDUList(hdus).writeto(path)
    return path


@pytest.fixture
def many(tmp_path: Path) -> list[Path]:
    """Four spectra that can be fitted, and six that cannot."""
    files = [
        write(tmp_path / "a" / "x_spec.fits", flux=galaxy(3.1, 2)),
        write(tmp_path / "b" / "x_spec.fits", WAVE[::-1], galaxy()[::-1]),
        two_slits(tmp_path / "slits_x1d.fits"),
        tmp_path / "c_prism.csv",
        write(tmp_path / "three.fits", WAVE[:3], galaxy()[:3]),
        write(tmp_path / "nan.fits", flux=np.nan * WAVE),
        write(tmp_path / "zero.fits", err=0.0),
        write(tmp_path / "odd.fits", GRATING="GRISM"),
        tmp_path / "absent.fits",
    ]
    rows = [f"{w!r},{f!r},0.05" for w, f in zip(WAVE.tolist(), galaxy().tolist(), strict=True)]
    files[3].write_text("\n".join(["wave,flux,err", *rows]))
    return files


def test_bad_spectra_have_a_reason_and_others_go_on(many, tmp_path):
    out = tmp_path / "out"
    code, said = ask(*many, "--out", out, "--wave-unit", "um", "--flux-unit", "uJy")
    assert code == 3
    assert "4 fitted, 6 not" in said
    table = read_redshifts(out / "redshifts.ecsv")
    assert [Path(name).name for name in table["file"]] == [
        *("x_spec.fits", "x_spec.fits", "slits_x1d.fits", "slits_x1d.fits", "c_prism.csv", "three.fits"),
        *("nan.fits", "zero.fits", "odd.fits", "absent.fits"),
    ]
    good = np.array([0, 1, 2, 4])
    np.testing.assert_allclose(table["z"][good], [3.1, Z, Z, Z], atol=0.005)
    assert np.ptp(table["z"][good[1:]]) < 1e-5  # the same spectrum in three forms
    assert (table["z_err"][good] > 0).all()
    assert (table["zprob"][good] > 0.9).all()
    assert (table["zwarn"][good] >= 0).all()
    assert (table["dchi2_12"][good] > 100).all()
    assert (table["time_ms"][good] > 0).all()
    assert list(table["template_class"][good]) == ["galaxy"] * 4
    bad = np.setdiff1d(np.arange(10), good)
    assert np.isnan(table["z"][bad]).all()
    assert (table["zwarn"][bad] == -1).all()
    for k, reason in zip(bad, ("none of 300", "20", "none of 300", "none of 300", "'GRISM'", "not found"), strict=True):
        assert reason in table["reason"][k]
    products = [out / name for name in ("a-x_spec.fits_zfit.fits", "b-x_spec.fits_zfit.fits")]
    products += [out / "slits_x1d_8_zfit.fits", out / "c_prism_zfit.fits"]
    assert [Path(name) for name in table["product"][good]] == products
    for path, z in zip(products, table["z"][good], strict=True):
        assert RedshiftFit.read(path).z == pytest.approx(z, abs=2e-6)
    facts = read_facts(products[3])
    assert list(facts["inputs"]) == ["c_prism.csv"]
    assert facts["settings"]["z_max"] == 4
    assert sorted(p.name for p in out.iterdir()) == sorted([p.name for p in products] + ["redshifts.ecsv"])


def test_by_default_fits_are_beside_their_spectra_and_redone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    file = write(tmp_path / "a" / "x_spec.fits")
    (tmp_path / "a" / "x_zfit.fits").write_text("an earlier one")
    code, said = ask(file, file)  # named twice, fitted once
    assert code == 0
    assert "1 fitted, 0 not: redshifts.ecsv" in said
    assert len(read_redshifts(tmp_path / "redshifts.ecsv")) == 1
    assert RedshiftFit.read(tmp_path / "a" / "x_zfit.fits").z == pytest.approx(Z, abs=0.005)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--grating", "GRISM"), "unknown grating 'GRISM'"),
        (("--templates", "mine"), "mine"),
        (("--z-min", "5"), "no redshift between 5 and 4"),
        (("--flux-unit", "adu"), "'adu' is not such a unit"),
    ],
)
def test_options_that_cannot_be_used_are_told_before_anything_is_read(tmp_path, arguments, said):
    words = ["redshift", str(tmp_path / "absent.fits"), "--z-max", "4", *arguments, "--out", str(tmp_path / "out")]
    with pytest.raises(DataError, match=said):
        CliRunner().invoke(app, words, catch_exceptions=False)
    assert not (tmp_path / "out").exists()


def test_an_interrupt_keeps_the_table_of_what_is_done(tmp_path, monkeypatch):
    class Stop(BaseException):
        pass

    def fit_group(items, settings):
        if items[0].place[0] == 1:
            raise Stop
        return {item.place: redshift_fits._failed(item, "fitted") for item in items}

    monkeypatch.setattr(redshift_fits, "fit_group", fit_group)
    files = [write(tmp_path / "a.fits"), write(tmp_path / "b.fits", WAVE + 0.01)]
    with pytest.raises(Stop):
        ask(*files, "--out", tmp_path)
    assert [Path(f).name for f in read_redshifts(tmp_path / "redshifts.ecsv")["file"]] == ["a.fits"]


def items(n: int, **changes: object) -> list[Item]:
    wave = np.linspace(1, 2, 30) + (0.1 if changes else 0.0)
    one = Spectrum1D(wave, wave, wave, str(changes.get("grating", "PRISM")))
    return [Item((k, 0), f"{k}.fits", Path(f"{k}_zfit.fits"), one) for k in range(n)]


def test_spectra_of_one_grid_and_disperser_are_fitted_together():
    groups = batches([*items(130), *items(3, shifted=True), *items(2, grating="G395M")], 64)
    assert [len(group) for group in groups] == [64, 64, 2, 3, 2]
    for group in groups:
        assert len({(i.spectrum.grating, i.spectrum.wave.tobytes()) for i in group}) == 1


class Dies:
    """A pool whose process dies with its first group, after which nothing can be submitted."""

    def __init__(self):
        self.futures = []

    def submit(self, *arguments):
        if self.futures:
            raise BrokenProcessPool
        self.futures.append(Future())
        self.futures[0].set_exception(BrokenProcessPool())
        return self.futures[0]


def test_a_process_that_dies_is_the_reason():
    rows = {}
    for found in redshift_fits._in_pool(Dies(), [items(2), items(1)], RedshiftSettings()):
        rows |= found
    assert {place: row.reason for place, row in rows.items()} == dict.fromkeys([(0, 0), (1, 0)], redshift_fits.DIED)


@pytest.mark.slow
def test_processes_change_no_answer(many, tmp_path):
    tables = []
    for jobs in (1, 2):
        ask(*many, "--out", tmp_path / str(jobs), "-j", jobs, "--wave-unit", "um", "--flux-unit", "uJy")
        tables.append(read_redshifts(tmp_path / str(jobs) / "redshifts.ecsv"))
    for name in set(tables[0].colnames) - {"time_ms", "product"}:
        np.testing.assert_array_equal(tables[0][name], tables[1][name])
