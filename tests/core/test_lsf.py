import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import ndtr

from nirfire.core import lsf


def make_response(step=100.0 / lsf.C_KMS, n=60):
    wave = 3.0 + 0.0018 * np.arange(n)
    low, high = lsf.pixel_edges(wave)
    sigma = np.full(n, 0.0013)
    return wave, low, high, sigma, lsf.response_matrix(low, high, sigma, step=step, wave_zero=0.08)


def test_pixel_edges_meet_half_way():
    wave = np.array([1.0, 1.2, 1.6, 1.8])
    low, high = lsf.pixel_edges(wave)
    assert np.allclose(low, [0.9, 1.1, 1.4, 1.7])
    assert np.allclose(high, [1.1, 1.4, 1.7, 1.9])


def test_response_keeps_a_flat_spectrum_and_moves_a_slope_by_nothing():
    wave, _, _, _, response = make_response()
    cells = 0.08 * np.exp(response_index(response) * 100.0 / lsf.C_KMS)
    assert np.allclose(lsf.apply_response(response, np.ones(response.n_cells)), 1.0, atol=1e-12)
    assert np.allclose(lsf.apply_response(response, cells), wave, atol=2e-6)


def response_index(response):
    return response.start + np.arange(response.n_cells)


def test_response_weights_equal_numerical_integration():
    _, low, high, sigma, response = make_response(step=300.0 / lsf.C_KMS)
    p, j = 30, int(response.length[30] // 2)
    step = 300.0 / lsf.C_KMS
    index = response.start + response.first[p] + j
    edges = 0.08 * np.exp((index + np.array([-0.5, 0.5])) * step)
    inner = lambda x: ndtr((high[p] - x) / sigma[p]) - ndtr((low[p] - x) / sigma[p])  # noqa: E731
    expected = quad(inner, *edges, epsabs=1e-14)[0] / (high[p] - low[p])
    assert response.weights[p, j] == pytest.approx(expected, rel=1e-5)


def test_response_broadens_a_step_by_the_lsf():
    _, low, high, sigma, response = make_response()
    centre = 0.08 * np.exp(response_index(response) * 100.0 / lsf.C_KMS)
    pixels = lsf.apply_response(response, (centre > 3.05).astype(float))
    edge = 0.08 * np.exp((response_index(response)[centre > 3.05][0] - 0.5) * 100.0 / lsf.C_KMS)
    expected = [
        quad(lambda x, s=s: ndtr((x - edge) / s), a, b)[0] / (b - a) for a, b, s in zip(low, high, sigma, strict=True)
    ]
    assert np.allclose(pixels, expected, atol=1e-4)


@pytest.mark.parametrize(
    ("grating", "wave", "expected"),
    [("PRISM", 1.3, 31), ("PRISM", 4.0, 180), ("G395M", 4.0, 1013), ("G140H", 1.3, 2496), ("G235M", 2.4, 1022)],
)
def test_resolving_power_near_the_tabulated_values(grating, wave, expected):
    assert lsf.resolving_power(grating, np.array([wave]), 1.0)[0] == pytest.approx(expected, rel=0.04)


def test_lsf_factor_multiplies_and_unknown_grating_fails():
    wave = np.linspace(1, 5, 5)
    assert np.allclose(lsf.resolving_power("PRISM", wave), 1.3 * lsf.resolving_power("prism", wave, 1.0))
    with pytest.raises(KeyError):
        lsf.resolving_power("G999X", wave)


def test_resolving_power_follows_the_public_dispersion_tables(real_data):
    from astropy.io import fits

    for grating in lsf.GRATINGS:
        path = real_data / "instrument" / "lsf" / f"jwst_nirspec_{grating.lower()}_disp.fits"
        table = fits.getdata(path, 1)
        low, high = {"P": (0.55, 5.5), "1": (0.7, 1.9), "2": (1.65, 3.2), "3": (2.8, 5.5)}[
            "P" if grating == "PRISM" else grating[1]
        ]
        inside = (table["WAVELENGTH"] > low) & (table["WAVELENGTH"] < high)
        ours = lsf.resolving_power(grating, table["WAVELENGTH"][inside], 1.0)
        assert np.max(np.abs(ours / table["R"][inside] - 1)) < 0.01
