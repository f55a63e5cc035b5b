import numpy as np
import pytest

from nirfire.core import templates
from nirfire.errors import DataError
from nirfire.products.template_store import TEMPLATE_SETS, load_templates


def test_age_of_the_universe():
    # Planck 2018: 13.79 Gyr today (astropy Planck18: 13.787; z = 3: 2.145; z = 8: 0.636)
    for z, age in ((0.0, 13.79), (3.0, 2.15), (8.0, 0.64)):
        assert templates.age_of_universe(z) == pytest.approx(age, rel=0.01)
        assert templates.redshift_of_age(np.array([templates.age_of_universe(z)]))[0] == pytest.approx(z, abs=1e-9)


@pytest.mark.parametrize("name", TEMPLATE_SETS)
def test_sets_load_with_sane_shapes(name):
    stored = load_templates(name)
    flux = stored.continua.flux
    assert flux.shape == (len(stored.continua.names), stored.continua.wave.size)
    assert np.all(np.isfinite(flux)) and np.all(flux >= 0) and np.all(flux.max(axis=1) > 0)
    assert stored.continua.wave[0] < 0.0912 and stored.continua.wave[-1] > 5.6
    assert np.all(flux[:, stored.continua.wave < 0.0911] == 0)


def test_stellar_continua_hold_known_physics():
    stored = load_templates("default").continua
    wave = stored.wave

    def ratio(name, red, blue):
        row = stored.flux[stored.names.index(name)]
        return np.mean(row[(wave > red[0]) & (wave < red[1])]) / np.mean(row[(wave > blue[0]) & (wave < blue[1])])

    d4000 = {name: ratio(name, (0.4000, 0.4100), (0.3850, 0.3950)) for name in ("young_10Myr", "old_6Gyr")}
    assert d4000["young_10Myr"] < 1.15 and d4000["old_6Gyr"] > 1.5
    assert ratio("post_300Myr", (0.40, 0.41), (0.35, 0.36)) > 1.5  # Balmer break
    assert ratio("young_30Myr_av3", (1.0, 1.1), (0.15, 0.2)) > 20 * ratio("young_10Myr", (1.0, 1.1), (0.15, 0.2))


def test_old_templates_end_when_the_universe_is_younger():
    stored = load_templates("default").continua
    limits = dict(zip(stored.names, stored.z_max, strict=True))
    assert 0.9 < limits["old_6Gyr"] < 1.1
    assert limits["burst_3Myr"] > 20 and np.isinf(limits["blackbody_2500K"])


def test_grid_form_is_shared_and_consistent():
    stored = load_templates("default")
    grid = templates.on_grid(stored, "PRISM", 500.0, 12.0, 0.6)
    assert grid is templates.on_grid(stored, "PRISM", 500.0, 12.0, 0.6)
    assert len(grid.names) == grid.n_continua + grid.table.n_groups == grid.z_max.size
    z = np.expm1(grid.step * np.arange(grid.uv.shape[0]))
    wave = grid.wave_min * np.exp(grid.step * np.arange(grid.uv.shape[1]))
    assert grid.uv[np.searchsorted(z, 8.0), np.searchsorted(wave, 0.11)] < 0.05
    assert grid.uv[np.searchsorted(z, 8.0), -1] > 0.9


def test_unknown_set_names_the_known_ones():
    with pytest.raises(DataError, match="free-lines"):
        load_templates("nonsense")
