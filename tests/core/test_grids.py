"""The wavelength grids."""

from pathlib import Path

import numpy as np
import pytest

from nirfire.core.grids import RANGES, bin_coordinate, bin_edges, covering_grid, wave_grid
from nirfire.core.lsf import resolving_power

DISPERSION = {0.6: 0.004263, 0.8: 0.009079, 1.0: 0.014284, 1.5: 0.020278, 2.0: 0.018679, 3.0: 0.013472, 5.0: 0.007952}
"""The prism's um per pixel in the public table."""


@pytest.mark.parametrize(("grating", "filter_"), RANGES)
def test_every_mode_has_a_grid_inside_its_range(grating, filter_):
    grid = wave_grid(grating, filter_)
    low, high = RANGES[grating, filter_]
    step = np.diff(grid.edges)
    assert (step > 0).all()
    assert low - 1e-9 <= grid.edges[0] < low + step[0]
    assert high - step[-1] < grid.edges[-1] <= high + 1e-9
    np.testing.assert_allclose(grid.wave, 0.5 * (grid.edges[1:] + grid.edges[:-1]))
    pixels = grid.wave / resolving_power(grating, grid.wave, 1.0) / step
    assert pixels.min() > 1.9  # of a uniformly lit slit, whose image is 2.2 pixels wide
    assert pixels.max() < 2.6


@pytest.mark.parametrize("grating", ["PRISM", "G395M"])
def test_a_piece_of_a_grid_is_the_same_grid(grating):
    filter_ = next(f for g, f in RANGES if g == grating)
    whole, piece = wave_grid(grating, filter_), wave_grid(grating, filter_, (3.0, 4.0))
    start = piece.first - whole.first
    np.testing.assert_array_equal(piece.edges, whole.edges[start : start + piece.edges.size])
    wider = wave_grid(grating, filter_, (2.0, 5.6))
    np.testing.assert_array_equal(piece.wave, wider.wave[piece.first - wider.first :][: piece.wave.size])


def test_edges_are_whole_numbers_of_the_lattice():
    grid = wave_grid("PRISM", "CLEAR", (0.4, 7.0))
    np.testing.assert_allclose(bin_coordinate("PRISM", grid.edges), grid.first + np.arange(grid.edges.size), atol=1e-9)
    np.testing.assert_array_equal(bin_edges("PRISM", np.array([grid.first])), grid.edges[:1])


def test_bins_of_the_prism_are_as_wide_as_its_pixels():
    grid = wave_grid("PRISM", "CLEAR", (0.5, 5.6))
    for wave, step in DISPERSION.items():
        assert np.interp(wave, grid.wave, np.diff(grid.edges)) == pytest.approx(step, rel=0.003)


def test_a_grid_is_longer_only_where_data_go_clearly_beyond():
    usual = wave_grid("G395M", "F290LP")
    for low, high in ((2.84, 5.30), (3.0, 4.0)):
        np.testing.assert_array_equal(covering_grid("G395M", "F290LP", low, high).edges, usual.edges)
    longer = covering_grid("G395M", "F290LP", 2.84, 5.5)
    assert longer.first == usual.first
    assert 5.498 < longer.edges[-1] <= 5.5
    assert covering_grid("PRISM", "F100LP", 1.0, 5.0).edges[0] >= 1.0


def test_what_has_no_grid_is_refused():
    with pytest.raises(ValueError, match="unknown grating"):
        wave_grid("G000X", "CLEAR", (1.0, 2.0))
    with pytest.raises(ValueError, match="no nominal range"):
        wave_grid("PRISM", "F290LP")
    with pytest.raises(ValueError, match="no bin"):
        wave_grid("PRISM", "CLEAR", (2.0, 2.001))


def test_the_page_says_how_long_the_grids_are():
    page = (Path(__file__).parents[2] / "docs" / "spectrum.md").read_text()
    for grating, filter_ in RANGES:
        line = next(line for line in page.splitlines() if line.startswith(f"| {grating} ") and filter_ in line)
        assert str(wave_grid(grating, filter_).wave.size) in line
