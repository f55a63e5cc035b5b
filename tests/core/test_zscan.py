from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import nnls as scipy_nnls

from nirfire.core import lines, lsf, zcolumns, zgram, zscan, zsearch, zshelf
from nirfire.core.templates import on_grid
from nirfire.products.template_store import load_templates

OPTIONS = zscan.ScanOptions(z_min=2.0, z_max=6.0, lines=False)


def prism_grid():
    """Two pixels per resolution element of the slit, as the detector has."""
    wave = [0.6]
    while wave[-1] < 5.3:
        wave.append(wave[-1] * (1 + 0.5 / lsf.resolving_power("PRISM", np.array([wave[-1]]), 1.0)[0]))
    return np.array(wave)


def medium_grid():
    return np.arange(2.87, 5.27, 0.0018)


def galaxy(wave, grating, z, *, line_flux=1.0, level=0.2):
    """Truth on 20-fold oversampled pixels, not by the code under test: lines and a sloped continuum [uJy]."""
    low, high = lsf.pixel_edges(wave)
    share = (np.arange(40) + 0.5) / 40
    fine = low[:, None] + (high - low)[:, None] * share
    width = fine * lsf.FWHM_TO_SIGMA / lsf.resolving_power(grating, wave)[:, None]
    flux = level * (fine / 2.0) ** 0.3
    ratio = {
        "Ha": 2.86, "Hb": 1.0, "Hg": 0.468, "OIII5008": 4.0, "OIII4960": 1.342, "OII3727": 0.6, "OII3730": 0.8,
        "NII6585": 0.2, "SII6718": 0.2, "SII6733": 0.15, "SIII9533": 0.4, "SIII9071": 0.16, "HeI10833": 0.3,
    }  # fmt: skip
    for name, strength in ratio.items():
        center = lines.WAVE[name] * (1 + z)
        sigma = np.hypot(width, center * 120.0 / lsf.C_KMS)
        profile = np.exp(-0.5 * ((fine - center) / sigma) ** 2) / (sigma * np.sqrt(2 * np.pi))
        flux = flux + line_flux * strength * 0.01 * profile * (center / 3.0) ** 2
    return flux.mean(axis=1)


def problem(grating, wave, n=9):
    """Spectra with noise and gaps, as the scans take them."""
    rng = np.random.default_rng(5)
    err = 0.03 + 0.04 * rng.random((n, wave.size))
    flux = np.array([galaxy(wave, grating, z) for z in rng.uniform(2, 6, n)]) + rng.normal(0, err)
    weight = np.where(rng.random(err.shape) < 0.03, 0.0, err**-2.0)
    level = np.full(wave.size, 0.2)
    poly = np.array([zscan.specprep.legendre_columns(np.linspace(0, 1, wave.size), level, 4).T] * n)
    return weight, flux, poly


def dense_chi2(columns, weight, flux, poly, prior):
    """The same fit as one dense non-negative problem: polynomials in both signs, with their prior as data."""
    n_poly = poly.shape[0]
    ends = np.hstack([np.zeros((n_poly, columns.shape[1])), np.eye(n_poly) / prior])
    root = np.sqrt(weight)
    dense = np.vstack([np.hstack([columns, poly.T]) * root[:, None], ends])
    dense = np.hstack([dense, -dense[:, columns.shape[1] :]])
    norm = np.linalg.norm(dense, axis=0)
    dense = dense[:, norm > 0] / norm[norm > 0]
    return scipy_nnls(dense, np.concatenate([flux * root, np.zeros(n_poly)]), maxiter=5000)[1] ** 2


def as_scanned(basis, sampling, shift, held, n_pix, width):
    """Columns on pixels as a scan has them: broad ones at `held` on blocks, narrow ones on bins."""
    out = np.zeros((n_pix, basis.order.size))
    pixel = np.arange(n_pix) // width
    broad = zcolumns.broad_columns(basis, sampling.blocks, held)
    out[:, broad.columns] = broad.values[pixel // sampling.block]
    narrow = zcolumns.narrow_columns(basis, sampling.bins, shift)
    bins = np.zeros((sampling.bins.low.size, narrow.columns.size))
    bins[narrow.rows] = narrow.values
    out[:, narrow.columns] = bins[pixel]
    return out


@pytest.mark.parametrize(("grating", "wave"), [("PRISM", prism_grid()), ("G395M", medium_grid())])
@pytest.mark.parametrize("n_spec", [1, 9])
def test_scans_equal_scipy_on_the_dense_problem(grating, wave, n_spec):
    weight, flux, poly = problem(grating, wave, n_spec)
    scan = zscan.SCANS[grating]
    grid = on_grid(load_templates(), grating, scan.coarse, 6.0, 0.5)
    basis = zcolumns.basis_of(grid)
    sampling = zcolumns.sampling_of(wave, grating, grid, width=scan.width, block=scan.block)
    spectra = zgram.gather(weight, flux, poly, 0.1).binned(scan.width, scan.block)
    first = int(np.log1p(4.0) / grid.step)
    shifts = np.arange(first, first + 3 * scan.hold)
    found = zsearch.coarse_scan(spectra, zshelf.Shelf(basis, sampling), shifts, hold=scan.hold)
    rng = np.random.default_rng(1)
    for _ in range(8):
        i, k = rng.integers(n_spec), rng.integers(shifts.size)
        held = float(zsearch.held_at(int(shifts[k]), scan.hold))
        columns = as_scanned(basis, sampling, float(shifts[k]), held, wave.size, scan.width)
        assert found[i, k] == pytest.approx(dense_chi2(columns, weight[i], flux[i], poly[i], 0.1), rel=1e-9)


@pytest.mark.parametrize(("grating", "wave"), [("PRISM", prism_grid()), ("G395M", medium_grid())])
def test_fits_equal_scipy_on_the_dense_problem_at_any_redshift(grating, wave):
    weight, flux, poly = problem(grating, wave, 3)
    grid = on_grid(load_templates(), grating, zscan.SCANS[grating].coarse, 6.0, 0.5)
    basis, sampling = zcolumns.basis_of(grid), zcolumns.sampling_of(wave, grating, grid)
    spectra = zgram.gather(weight, flux, poly, 0.1)
    shelf = zshelf.Shelf(basis, sampling)
    for i, z in enumerate((2.2, 4.1003, 5.7)):
        shift = np.log1p(z) / grid.step
        found = zsearch.solve_at(spectra.only(i), basis, sampling, shift)
        columns = zcolumns.dense_columns(basis, sampling.bins, shift)
        expected = dense_chi2(columns, weight[i], flux[i], poly[i], 0.1)
        assert found.chi2 == pytest.approx(expected, rel=1e-9)
        near = zsearch.fine_scan(spectra.only(i), shelf, {}, np.array([shift]))[0]
        assert near == pytest.approx(expected, rel=1e-5, abs=0.1)  # interpolated


def test_a_batch_gives_what_single_fits_give():
    wave = prism_grid()
    weight, flux, _ = problem("PRISM", wave, 8)
    both = zscan.fit_redshifts(wave, flux, weight, grating="PRISM", templates=load_templates(), options=OPTIONS)
    for i in (0, 5):
        alone = zscan.fit_redshift(
            wave, flux[i], weight[i], grating="PRISM", templates=load_templates(), options=OPTIONS
        )
        assert alone.z_best == pytest.approx(both[i].z_best, abs=1e-9)
        np.testing.assert_allclose(alone.chi2, both[i].chi2, rtol=1e-9)
        assert alone.probability == pytest.approx(both[i].probability, abs=1e-6)


def test_one_bad_spectrum_does_not_stop_the_others():
    wave = prism_grid()
    weight, flux, _ = problem("PRISM", wave, 2)
    weight[0] = 0.0
    bad, good = zscan.fit_redshifts(wave, flux, weight, grating="PRISM", templates=load_templates(), options=OPTIONS)
    assert isinstance(bad, ValueError) and "usable" in str(bad)
    assert 2 < good.z_best < 6


@pytest.mark.parametrize(("grating", "wave", "fine"), [("PRISM", prism_grid(), 30.0), ("G395M", medium_grid(), 10.0)])
def test_injected_lines_return_unbiased_redshifts(grating, wave, fine):
    rng = np.random.default_rng(11)
    truth = rng.uniform(4.6, 5.4, 8)
    velocity, pull = [], []
    for z in truth:
        clean = galaxy(wave, grating, z)
        err = np.full(wave.size, 0.02 * np.median(clean) + 0.01 * (clean.max() - np.median(clean)))
        flux = clean + rng.normal(0, err)
        options = replace(OPTIONS, z_min=z - 0.4, z_max=6.0, n_minima=2)
        result = zscan.fit_redshift(wave, flux, err**-2.0, grating=grating, templates=load_templates(), options=options)
        velocity.append((result.z_best - z) / (1 + z) * lsf.C_KMS)
        pull.append((result.z_best - z) / result.z_err)
    assert abs(np.mean(velocity)) < fine
    assert np.std(velocity) < 2 * fine
    assert np.median(np.abs(pull)) < 3


def test_fine_curve_is_smooth_with_one_minimum():
    wave = medium_grid()
    flux = galaxy(wave, "G395M", 5.0123)
    ivar = np.full(wave.size, 0.02**-2)
    result = zscan.fit_redshift(
        wave, flux, ivar, grating="G395M", templates=load_templates(), options=replace(OPTIONS, z_min=4.9, n_minima=1)
    )
    near = np.abs(result.z - result.z_best) < 0.006
    slope = np.sign(np.diff(result.chi2[near]))
    assert np.count_nonzero(np.diff(slope)) == 1
    assert result.z_best == pytest.approx(5.0123, abs=6e-5)  # 3 km/s: doublet ratios differ
    assert result.confidence > 0.999


def test_result_is_complete_and_input_is_untouched():
    wave = prism_grid()
    flux = galaxy(wave, "PRISM", 3.2)
    ivar = np.full(wave.size, 0.02**-2)
    flux[50], ivar[60] = np.nan, 0.0
    for one in (wave, flux, ivar):
        one.flags.writeable = False
    result = zscan.fit_redshift(wave, flux, ivar, grating="prism", templates=load_templates(), options=OPTIONS)
    assert result.model.shape == result.continuum.shape == result.used.shape == wave.shape
    assert np.all(np.isfinite(result.model))
    assert not result.used[50] and not result.used[60] and not result.used[:5].any() and not result.used[-5:].any()
    assert result.n_pix == result.used.sum()
    assert np.all(np.diff(result.z) > 0) and result.z.shape == result.chi2.shape
    assert len(result.names) == result.coefficients.size
    assert result.peaks[0, 0] == result.z_best and np.all(np.diff(result.peaks[:, 2]) >= 0)
    residual = (flux - result.model)[result.used]
    assert np.std(residual) < 0.03 * flux[result.used].max()
    assert 0 <= result.probability <= 1 and 0 <= result.confidence <= 1


def test_spike_does_not_become_a_line():
    wave = prism_grid()
    rng = np.random.default_rng(2)
    flux = galaxy(wave, "PRISM", 3.2, line_flux=0.3) + rng.normal(0, 0.02, wave.size)
    flux[150] += 3.0
    result = zscan.fit_redshift(
        wave, flux, np.full(wave.size, 0.02**-2), grating="PRISM", templates=load_templates(), options=OPTIONS
    )
    assert not result.used[150]
    assert result.z_best == pytest.approx(3.2, abs=0.01)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda w, f, i: (w, f[:-1], i), "one length"),
        (lambda w, f, i: (w[::-1], f, i), "increasing"),
        (lambda w, f, i: (w[:3], f[:3], i[:3]), "at least 20"),
        (lambda w, f, i: (w, f * np.nan, i), "0 usable"),
        (lambda w, f, i: (w, f, i * 0), "0 usable"),
    ],
)
def test_bad_input_is_named(change, message):
    wave = prism_grid()
    spectrum = change(wave, np.ones(wave.size), np.ones(wave.size))
    with pytest.raises(ValueError, match=message):
        zscan.fit_redshift(*spectrum, grating="PRISM", templates=load_templates())


def test_unknown_grating_is_named():
    wave = prism_grid()
    with pytest.raises(ValueError, match="G999X"):
        zscan.fit_redshift(wave, wave, wave, grating="G999X", templates=load_templates())


def test_a_spectrum_of_zeros_has_no_confidence():
    wave = prism_grid()
    result = zscan.fit_redshift(
        wave, np.zeros(wave.size), np.ones(wave.size), grating="PRISM", templates=load_templates(), options=OPTIONS
    )
    assert result.confidence < 0.05
    assert result.chi2_min == 0


@pytest.mark.parametrize("limits", [(5.0, 2.0), (21.0, None), (3.0, 3.001), (0.0, 0.001)])
def test_a_range_without_redshifts_is_named(limits):
    wave = prism_grid()
    options = zscan.ScanOptions(z_min=limits[0], z_max=limits[1])
    with pytest.raises(ValueError, match="no redshifts to try"):
        zscan.fit_redshift(
            wave, np.ones(wave.size), np.ones(wave.size), grating="PRISM", templates=load_templates(), options=options
        )


def test_redshift_and_error_are_those_of_fits_without_interpolation():
    wave, err = prism_grid(), 0.01
    flux = galaxy(wave, "PRISM", 3.3) + np.random.default_rng(8).normal(0, err, wave.size)
    ivar = np.full(wave.size, err**-2.0)
    found = zscan.fit_redshift(wave, flux, ivar, grating="PRISM", templates=load_templates(), options=OPTIONS)
    shared = zscan.field_of(wave, "PRISM", load_templates(), OPTIONS)
    one = zscan.prepare(wave, flux, ivar, "PRISM", OPTIONS)
    exact = zgram.gather(one.ivar[None], one.flux[None], one.poly[None], OPTIONS.polynomial_prior)
    place = np.log1p(found.z_best) + np.array([-1, 0, 1]) * found.z_err / (1 + found.z_best)
    chi2 = [zsearch.solve_at(exact, shared.basis, shared.exact, u / shared.grid.step).chi2 for u in place]
    assert found.chi2_min == pytest.approx(chi2[1], rel=1e-9)
    assert chi2[0] - chi2[1] == pytest.approx(1.0, abs=0.2)
    assert chi2[2] - chi2[1] == pytest.approx(1.0, abs=0.2)
