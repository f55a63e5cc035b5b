"""agree: redshift fits of several gratings in, one redshift out."""

import numpy as np
import pytest
from astropy.table import Table

from nirfire.core.joint_redshift import velocity_error
from nirfire.core.lsf import C_KMS
from nirfire.errors import DataError, NoWork
from nirfire.products.joint_redshift import JointFit
from nirfire.products.spectrum import Spectrum
from nirfire.products.zfit import RedshiftFit
from nirfire.simulate.mocks import MODES, draw
from nirfire.tasks.agree import agree
from nirfire.tasks.redshift import redshift
from nirfire.tasks.settings import RedshiftSettings
from nirfire.tasks.summary import summary

N_PIX = 400


@pytest.fixture
def fitted(tmp_path):
    """Write the fit of one grating: a curve with one minimum, and the given chi2 per pixel."""

    def build(grating, z, *, probability=0.99, bad=1.0, depth=300.0, z_max=15.0, **changes):
        u = np.arange(0.0, np.log1p(z_max), 100.0 / C_KMS)
        u = np.unique(np.concatenate([u, np.log1p(z) + np.arange(-3000.0, 3001.0, 10.0) / C_KMS]))
        width = 400.0 if grating == "PRISM" else 100.0
        chi2 = bad * N_PIX + depth * (1.0 - np.exp(-0.5 * (C_KMS * (u - np.log1p(z)) / width) ** 2))
        facts = {
            "z": z,
            "z_err": (1 + z) * width / np.sqrt(depth) / C_KMS,
            "confidence": 0.99,
            "chi2_min": bad * N_PIX,
            "n_pix": N_PIX,
            "dof": N_PIX,
            "probability": probability,
            "wave": np.array([1.0, 2.0]),
            "model": np.ones(2),
            "z_grid": np.expm1(u),
            "chi2": chi2,
            "peaks": Table({"z": [z], "z_err": [1e-3], "chi2": [bad * N_PIX], "dchi2": [0.0]}),
            "meta": {"SOURCEID": (7, ""), "GRATING": (grating, ""), "FILTER": ("CLEAR", "")},
        }
        path = tmp_path / f"obs_{grating.lower()}_clear_7_zfit.fits"
        RedshiftFit(**(facts | changes)).write(path)
        return path

    return build


def test_two_gratings_agree(fitted, tmp_path):
    out = tmp_path / "obs_7_joint_zfit.fits"
    shifted = np.expm1(np.log1p(5.0) + 80.0 / C_KMS)
    agree([fitted("PRISM", shifted, z_max=20.0), fitted("G395M", 5.0)], out)
    joint = JointFit.read(out)
    assert C_KMS * abs(np.log((1 + joint.z) / 6.0)) < 15.0
    assert joint.probability > 0.99
    assert joint.n_agree == 2
    assert list(joint.gratings["grating"]) == ["PRISM", "G395M"]
    assert joint.gratings["offset"][0] == pytest.approx(75.0, abs=20.0)
    assert list(joint.gratings["velocity_err"]) == [velocity_error("PRISM"), velocity_error("G395M")]
    assert (joint.consensus, joint.said_by) == (pytest.approx(5.0, abs=1e-6), "G395M")
    assert joint.meta["SOURCEID"][0] == 7


def test_a_fit_that_is_bad_and_doubtful_yields(fitted, tmp_path):
    out = tmp_path / "obs_7_joint_zfit.fits"
    agree([fitted("PRISM", 3.0, probability=0.2, bad=10.0), fitted("G395M", 6.0, probability=0.95)], out)
    joint = JointFit.read(out)
    assert joint.z == pytest.approx(6.0, abs=0.001)
    assert joint.probability > 0.9
    assert joint.n_agree == 1
    assert (joint.consensus, joint.said_by) == (pytest.approx(3.0), "PRISM")  # the rule cannot know


def test_a_warning_holds_if_no_grating_that_supports_the_redshift_is_free_of_it(fitted, tmp_path):
    out = tmp_path / "obs_7_joint_zfit.fits"
    for first, second, both in ((64, 64, 64), (64, 0, 0), (64 + 32, 64 + 4, 64)):
        agree([fitted("PRISM", 5.0, warning=first), fitted("G395M", 5.0, warning=second)], out)
        assert JointFit.read(out).warning == both
    agree([fitted("PRISM", 3.0, warning=64), fitted("G395M", 6.0, probability=0.98)], out)
    assert JointFit.read(out).warning & 4  # they contradict each other


def test_one_is_no_work_and_what_is_wrong_is_named(fitted, tmp_path):
    good, out = fitted("PRISM", 3.0), tmp_path / "x.fits"
    with pytest.raises(NoWork, match="needs two"):
        agree([good], out)
    with pytest.raises(NoWork, match="needs two"):
        agree([], out)
    with pytest.raises(DataError, match="no probability"):
        agree([good, fitted("G395M", 3.0, probability=np.nan)], out)
    with pytest.raises(DataError, match="MIRROR"):
        agree([good, fitted("MIRROR", 3.0)], out)
    nothing = np.full(9, np.nan)
    with pytest.raises(DataError, match=r"g395m(.|\n)*CHI2"):
        agree([good, fitted("G395M", 3.0, z_grid=np.arange(9.0), chi2=nothing)], out)
    assert not out.exists()


def test_the_catalogue_has_it_in_each_row_of_the_source(fitted, tmp_path):
    joint = tmp_path / "obs_7_joint_zfit.fits"
    agree([fitted("PRISM", 3.0), fitted("G395M", 3.0)], joint)
    pairs = []
    for source, grating in ((7, "PRISM"), (7, "G395M"), (8, "PRISM")):
        spec = tmp_path / f"obs_{grating.lower()}_clear_{source}_spec.fits"
        meta = {"SOURCEID": (source, ""), "GRATING": (grating, ""), "FILTER": ("CLEAR", "")}
        wave = np.linspace(1.0, 2.0, 30)
        Spectrum(wave, np.ones(30), np.full(30, 0.1), np.zeros(30, dtype=bool), meta=meta).write(spec)
        pairs.append((spec, None))
    table = summary(pairs, [tmp_path / "obs_summary.ecsv"], [joint])
    assert list(table["redshift_joint"][:2]) == pytest.approx([3.0, 3.0], abs=1e-3)
    assert list(table["redshift_joint_gratings"]) == [2, 2, 0]
    assert np.isnan(table["redshift_joint"][2])
    assert np.isnan(table["redshift_consensus"][2])
    assert (table["redshift_joint_error"][:2] > 0).all()


@pytest.mark.slow
def test_from_spectra_of_two_gratings_to_one_redshift(tmp_path):
    """Two mock galaxies, their PRISM wavelengths off by 200 km/s: the fits, and what they agree on."""
    modes = {"PRISM": (200.0, draw("PRISM", 16, 5)), "G395M": (0.0, draw("G395M", 16, 5))}
    lit = np.flatnonzero(np.min([mocks.n_lines for _, mocks in modes.values()], axis=0) >= 2)[:2]
    assert lit.size == 2
    for i in lit:
        fits = []
        for grating, (shift, mocks) in modes.items():
            spec, zfit = (tmp_path / f"obs_{grating.lower()}_{i}_{kind}.fits" for kind in ("spec", "zfit"))
            meta = {"SOURCEID": (int(i), ""), "GRATING": (grating, ""), "FILTER": (MODES[grating].filter, "")}
            mask = mocks.ivar[i] == 0
            wave = mocks.wave * (1.0 + shift / C_KMS)
            Spectrum(wave, mocks.flux[i], np.where(mask, np.nan, mocks.err[i]), mask, meta=meta).write(spec)
            redshift(spec, zfit, RedshiftSettings())
            fits.append(zfit)
        out = tmp_path / f"obs_{i}_joint_zfit.fits"
        agree(fits, out)
        joint, z = JointFit.read(out), modes["PRISM"][1].z[i]
        assert abs(joint.z - z) < max(5.0 * joint.z_err, 1e-3 * (1 + z))
        assert joint.z_err < 2e-4 * (1 + z)
        assert joint.probability > 0.95
        assert joint.n_agree == 2
        assert joint.gratings["offset"][0] > 0
