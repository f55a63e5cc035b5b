import io
import sys

import numpy as np
import pytest

from nirfire.commands import templates as command
from nirfire.core.templates import age_of_universe
from nirfire.errors import DataError
from nirfire.products import template_build
from nirfire.products.template_build import PUBLISHED, cell_mean, knots, pack, published_at, rest_grid, vacuum
from nirfire.products.template_store import TEMPLATE_SETS, load_templates, read_continua


def parts(grid: np.ndarray) -> dict:
    """Two templates in two bins with a break and, in the ultraviolet, narrow features."""
    one = np.where(grid > 0.4, 2.0, 1.0) * (1.0 + 0.3 * np.sin(3000.0 * np.log(grid)) * (grid < 0.8))
    two = grid**-2.0
    return {
        "flux": np.array([[one, two], [2.0 * one, 3.0 * two]]),
        "names": np.array(["one", "two"]),
        "classes": np.array(["galaxy", "quasar"]),
        "z_nodes": np.array([0.5, 4.0]),
        "z_min": np.array([0.0, 1.0]),
        "z_max": np.array([np.inf, 9.0]),
        "recipes": [{"name": "one"}, {"name": "two"}],
    }


def test_file_of_a_set_gives_back_its_continua():
    grid = rest_grid()
    made = parts(grid)
    read = read_continua(pack(made, program="a test"), "x")
    assert read.names == ("one", "two") and read.classes == ("galaxy", "quasar")
    np.testing.assert_array_equal(read.z_nodes, [0.5, 4.0])
    np.testing.assert_array_equal(read.z_max, [np.inf, 9.0])
    np.testing.assert_allclose(read.wave, grid)
    fine = (grid > 0.15) & (grid < 0.85)
    for b in range(2):
        for t in range(2):
            shape = made["flux"][b, t] / made["flux"][b, t].max()
            np.testing.assert_allclose(read.flux[b, t][fine], shape[fine], rtol=1e-3)
            np.testing.assert_allclose(read.flux[b, t][grid > 1.0], shape[grid > 1.0], rtol=3e-3)


def test_damaged_file_is_refused():
    raw = pack(parts(rest_grid()), program="a test")
    with np.load(io.BytesIO(raw)) as stored:
        changed = {**stored, "flux": stored["flux"] * np.float16(1.01)}
    out = io.BytesIO()
    np.savez(out, **changed)
    with pytest.raises(DataError, match="damaged"):
        read_continua(out.getvalue(), "x")


def test_detail_is_stored_where_the_models_have_it():
    grid = rest_grid()
    cells = knots(grid)
    assert cells[0] == 0 and cells[-1] == grid.size - 1 and np.all(np.diff(cells) > 0)
    spacing = np.diff(cells)[np.searchsorted(grid[cells], [0.085, 0.4, 2.0])]
    np.testing.assert_array_equal(spacing, [4, 1, 6])


def test_published_recipes_follow_cosmic_time():
    half = next(one for one in PUBLISHED if one.name == "age0.5_av1")
    at_two = published_at(half, 2.0)
    assert at_two.age == pytest.approx(0.5 * age_of_universe(2.0)) and at_two.age == pytest.approx(1.65, rel=0.01)
    assert at_two.metallicity == pytest.approx(0.9) and published_at(half, 10.0).metallicity == pytest.approx(0.5)
    assert published_at(half, 14.0).metallicity == published_at(half, 10.0).metallicity
    assert published_at(half, 2.8).a_v == pytest.approx(4.0) and published_at(half, 17.5).a_v == pytest.approx(1.0)
    assert published_at(PUBLISHED[2], 2.0).age == 0.01
    assert published_at(PUBLISHED[0], 2.8).a_v == 0.8  # the steep law is not boosted


def test_wavelengths_in_vacuum():
    air = np.array([0.15, 0.486133, 0.656280, 1.083025])  # Lick values of H-beta, H-alpha; He I
    np.testing.assert_allclose(vacuum(air), [0.15, 0.486268, 0.656461, 1.083321], atol=1.5e-6)


def test_cells_keep_the_mean():
    grid = rest_grid()
    wave = np.linspace(0.07, 6.0, 200001)
    mean = cell_mean(wave, wave**2, grid)
    np.testing.assert_allclose(mean, grid**2, rtol=1e-6)


def test_without_bagpipes_the_user_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "bagpipes", None)
    with pytest.raises(DataError, match=r"nirfire\[templates\]"):
        template_build.build("default", print)


def test_command_writes_a_set(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(command, "compute", lambda name, say: pack(parts(rest_grid()), program=f"a test of {name}"))
    out = tmp_path / "new" / "set.npz"
    assert command.build("published", out) == 0
    assert "2 templates in 2 bins" in capsys.readouterr().err
    assert read_continua(out.read_bytes(), "x").names == ("one", "two")


@pytest.mark.parametrize("name", TEMPLATE_SETS)
def test_sets_load_with_sane_shapes(name):
    stored = load_templates(name)
    for one in (stored.continua, stored.stars):
        n = len(one.names)
        assert len(set(one.names)) == len(one.classes) == one.z_min.size == one.z_max.size == n
        assert one.flux.shape == (one.z_nodes.size, n, one.wave.size) and np.all(np.diff(one.z_nodes) > 0)
        assert np.all(np.isfinite(one.flux)) and np.all(one.flux >= 0) and np.all(one.flux.max(axis=2) > 0)
        assert one.wave[-1] > 5.7 and np.all(one.flux[..., one.wave < 0.0911] == 0)
    assert set(stored.stars.classes) == {"star"}
    assert set(stored.continua.classes) <= {"galaxy", "little red dot", "quasar"}


def test_unknown_set_names_the_known_ones():
    with pytest.raises(DataError, match="published"):
        load_templates("nonsense")


def test_published_set_is_complete():
    stored = load_templates("published")
    assert stored.continua.flux.shape[:2] == (11, 20)
    np.testing.assert_allclose(stored.continua.z_nodes, [0.25, 0.75, 1.5, 2.5, 3.5, 4.5, 6, 8, 10.5, 13.5, 17.5])
    groups = {one.name: one for one in stored.line_groups("PRISM")}
    assert len(groups) == 25 and sum(name.startswith("broad") for name in groups) == 4
    assert groups["Hb"].ratio == (1.0, 2.86) and groups["Hb"].sigma_v == 0.0
    assert groups["Hg"].ratio[2] / groups["Hg"].ratio[1] == pytest.approx(2.86)


def test_dust_of_the_published_set_peaks_near_cosmic_noon():
    stored = load_templates("published").continua
    row = stored.names.index("age0_av1")
    blue, red = (stored.wave > 0.2) & (stored.wave < 0.22), (stored.wave > 1.0) & (stored.wave < 1.1)
    colour = [flux[row][blue].mean() / flux[row][red].mean() for flux in stored.flux]
    assert 2 <= int(np.argmin(colour)) <= 4 and colour[-1] > 20 * min(colour)


def test_absorption_lines_stand_at_vacuum_wavelengths():
    stored = load_templates("default").continua
    flux = stored.flux[0, stored.names.index("post_300Myr")]
    for line in (0.486268, 0.434169, 0.410289):
        near = np.abs(stored.wave / line - 1.0) < 0.002
        depth = flux[near].max() - flux[near]
        assert np.average(stored.wave[near], weights=depth**4) == pytest.approx(line, rel=1.5e-4)


def test_stars_have_their_molecules():
    stars = load_templates("default").stars

    def mean(name, low, high):
        return stars.flux[0, stars.names.index(name), (stars.wave > low) & (stars.wave < high)].mean()

    for name in ("T_1000K", "T_800K"):  # methane at 1.65 and 3.3 um, water at 1.4 um
        assert mean(name, 1.64, 1.70) < 0.4 * mean(name, 1.56, 1.60)
        assert mean(name, 3.25, 3.40) < 0.1 * mean(name, 4.0, 4.2)
    assert mean("L_1900K", 1.38, 1.45) < 0.75 * mean("L_1900K", 1.65, 1.70)
    assert mean("M_3800K", 1.38, 1.45) > 0.85 * mean("M_3800K", 1.65, 1.70)


@pytest.mark.slow
def test_bagpipes_gives_the_shipped_numbers():
    pytest.importorskip("bagpipes")
    shipped = load_templates("published").continua
    stellar = template_build.Stellar()
    for name, node in (("age0.2_av1", 3), ("age0.5_av0.8_steep", 7)):
        recipe = next(one for one in PUBLISHED if one.name == name)
        made = stellar.fnu(published_at(recipe, float(shipped.z_nodes[node])))
        row = shipped.flux[node, shipped.names.index(name)]
        fine = (shipped.wave > 0.2) & (shipped.wave < 0.85)
        np.testing.assert_allclose(row[fine] / row[fine].mean(), made[fine] / made[fine].mean(), rtol=2e-3, atol=1e-4)
