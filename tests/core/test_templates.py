import numpy as np
import pytest

from nirfire.core import lines, templates
from nirfire.core.templates import Continua, TemplateSet, bin_weights, on_grid
from nirfire.products.template_store import load_templates


def test_age_of_the_universe():
    # Planck 2018: 13.79 Gyr today (astropy Planck18: 13.787; z = 3: 2.145; z = 8: 0.636)
    for z, age in ((0.0, 13.79), (3.0, 2.15), (8.0, 0.64)):
        assert templates.age_of_universe(z) == pytest.approx(age, rel=0.01)
        assert templates.redshift_of_age(np.array([templates.age_of_universe(z)]))[0] == pytest.approx(z, abs=1e-9)


def test_bins_blend_linearly_and_stay_flat_beyond():
    nodes = np.array([0.5, 1.5, 4.0])
    np.testing.assert_allclose(bin_weights(nodes, 0.0), [1, 0, 0])
    np.testing.assert_allclose(bin_weights(nodes, 0.75), [0.75, 0.25, 0])
    np.testing.assert_allclose(bin_weights(nodes, 1.5), [0, 1, 0])
    np.testing.assert_allclose(bin_weights(nodes, 3.5), [0, 0.2, 0.8])
    np.testing.assert_allclose(bin_weights(nodes, 20.0), [0, 0, 1])
    np.testing.assert_allclose(bin_weights(np.zeros(1), 3.0), [1])


def _small_set() -> TemplateSet:
    step = 100.0 / 299792.458
    wave = 0.08 * np.exp(step * np.arange(12800))
    flux = np.array([[wave, np.ones(wave.size)], [wave**2, np.ones(wave.size)]])
    limits = np.array([0.0, 0.5]), np.array([9.0, np.inf])
    made = Continua(("slope", "flat"), ("galaxy", "quasar"), flux, np.array([1.0, 3.0]), 0.08, step, *limits)
    star = Continua(("M",), ("star",), flux[:1, :1], np.zeros(1), 0.08, step, np.zeros(1), np.zeros(1))
    groups = (lines.group("narrow", {"Ha": 1.0}, sigma_v=100.0), lines.group("broad_x", {"Hb": 1.0}, sigma_v=1000.0))
    return TemplateSet("small", made, groups, groups, star)


def test_templates_between_bins():
    made = _small_set().continua
    np.testing.assert_allclose(made.at(2.0)[0], 0.5 * (made.wave + made.wave**2))
    np.testing.assert_allclose(made.at(0.2)[0], made.wave)


def test_grid_form_holds_bins_classes_limits_and_stars():
    grid = on_grid(_small_set(), "PRISM", 500.0, 3.0, 0.6)
    assert grid.names == ("slope", "flat", "narrow", "broad_x") and grid.n_continua == 2
    assert grid.classes == ("galaxy", "quasar", "galaxy", "broad-line")
    np.testing.assert_array_equal(grid.z_max, [9.0, np.inf, np.inf, np.inf])
    np.testing.assert_array_equal(grid.z_min, [0.0, 0.5, 0.0, 0.0])
    assert grid.rest.shape[0] == 2 and grid.rest.shape[2] == 2 and grid.rest.flags.c_contiguous
    wave = grid.wave_min * np.exp(grid.step * np.arange(grid.rest.shape[1]))
    inside = slice(1, -2)
    np.testing.assert_allclose(grid.rest[1, inside, 0], wave[inside] ** 2, rtol=1e-4)
    assert grid.star_names == ("M",) and grid.stars.shape == (wave.size, 1)
    np.testing.assert_allclose(grid.stars[inside, 0], wave[inside], rtol=1e-4)


def test_intergalactic_medium_of_a_scan():
    stored = load_templates("default")
    grid = on_grid(stored, "PRISM", 500.0, 12.0, 0.6)
    assert grid is on_grid(stored, "PRISM", 500.0, 12.0, 0.6)
    z = np.expm1(templates.uv_stride(grid.step) * grid.step * np.arange(grid.uv.shape[1]))
    wave = grid.wave_min * np.exp(grid.step * np.arange(grid.uv.shape[2]))
    for one in grid.uv:
        assert one[np.searchsorted(z, 8.0), np.searchsorted(wave, 0.11)] < 0.05
        assert one[np.searchsorted(z, 8.0), -1] > 0.9


def test_stellar_continua_hold_known_physics():
    stored = load_templates("default").continua
    wave = stored.wave

    def ratio(name, red, blue):
        row = stored.flux[0, stored.names.index(name)]
        return np.mean(row[(wave > red[0]) & (wave < red[1])]) / np.mean(row[(wave > blue[0]) & (wave < blue[1])])

    d4000 = {name: ratio(name, (0.4000, 0.4100), (0.3850, 0.3950)) for name in ("burst_3Myr", "old_6Gyr")}
    assert d4000["burst_3Myr"] < 1.15 and d4000["old_6Gyr"] > 1.5
    assert ratio("post_300Myr", (0.40, 0.41), (0.35, 0.36)) > 1.5  # Balmer break
    assert ratio("sf_300Myr_av2", (1.0, 1.1), (0.15, 0.2)) > 5 * ratio("burst_3Myr", (1.0, 1.1), (0.15, 0.2))


def test_old_templates_end_when_the_universe_is_younger():
    stored = load_templates("default").continua
    limits = dict(zip(stored.names, stored.z_max, strict=True))
    assert 0.9 < limits["old_6Gyr"] < 1.1
    assert limits["burst_3Myr"] > 20 and np.isinf(limits["quasar"])
    assert limits["blackbody_1200K"] == 4.0  # hot dust, which is not seen beyond


def test_default_set_is_small():
    stored = load_templates("default").continua
    for z in (0.0, 0.5, 1.0, 3.0, 6.0, 12.0):
        assert 8 <= np.count_nonzero((stored.z_min <= z) & (z <= stored.z_max)) <= 16


def test_quasar_has_its_lines_and_bumps():
    stored = load_templates("default").continua
    row = stored.flux[0, stored.names.index("quasar")]

    def above(centre, half, away):  # over the level on either side
        level = 0.5 * (np.interp(centre - away, stored.wave, row) + np.interp(centre + away, stored.wave, row))
        return (row[np.abs(stored.wave - centre) < half] / level - 1.0).max()

    assert above(0.656461, 0.001, 0.03) > 1.0 and above(0.279912, 0.001, 0.02) > 0.3
    near = np.abs(stored.wave - 0.656461) < 0.03
    level = np.interp(0.6, stored.wave, row) * (0.656461 / 0.6) ** 0.44
    step = np.gradient(stored.wave)
    assert np.sum((row / level - 1.0)[near] * step[near]) == pytest.approx(0.0195, abs=0.004)  # equivalent width
    assert np.interp(0.30, stored.wave, row) / np.interp(0.42, stored.wave, row) > (0.30 / 0.42) ** 0.44 * 1.1
