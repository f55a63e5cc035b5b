"""The figures' arithmetic: limits, ticks, marks, medians; and that each figure is drawn whatever its input lacks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from PIL import Image

from nirfire.errors import DataError
from nirfire.products.naming import SPEC
from nirfire.qa import canvas
from nirfire.qa.canvas import new_figure, percentiles, save_png, step_edges, wave_ticks
from nirfire.qa.compare import binned_ratio, compare_with_published, published_redshift
from nirfire.qa.exposure_figures import binned, exposure_figure, line_medians
from nirfire.qa.extraction_figure import extraction_figure
from nirfire.qa.marks import line_positions, mark_lines
from nirfire.qa.redshift_figure import Known, redshift_figure
from nirfire.qa.spectrum_figures import flux_limits, spectrum_figure


def test_limits_show_a_line_but_not_a_lone_wild_pixel():
    rng = np.random.default_rng(2)
    err = np.full(400, 0.1)
    flux = 1.0 + rng.normal(0, err)
    flux[200:203] = (5.0, 12.0, 6.0)  # a line
    err[300], flux[300] = 50.0, 400.0  # a wild pixel that knows it
    low, high = flux_limits(flux, err)
    assert 12.0 < high < 20.0
    assert -2.0 < low <= 0.0


def test_limits_of_nothing():
    assert flux_limits(np.full(50, np.nan), np.full(50, np.nan)) == (-1.0, 1.0)
    assert percentiles(np.array([np.nan]), 1, 99) == (0.0, 1.0)
    low, high = percentiles(np.full(5, 3.0), 1, 99)
    assert low < 3.0 < high


def test_ticks_stand_at_round_wavelengths():
    wave = np.geomspace(0.6, 5.3, 400)
    axes = new_figure(4, 2).subplots()
    wave_ticks(axes, wave)
    names = [float(t.get_text()) for t in axes.get_xticklabels()]
    np.testing.assert_allclose(np.interp(axes.get_xticks(), np.arange(400), wave), names, rtol=1e-3)
    assert {1.0, 2.0, 3.0} <= set(names)


def test_edges_are_half_way():
    np.testing.assert_allclose(step_edges(np.array([1.0, 2.0, 4.0])), [0.5, 1.5, 3.0, 5.0])


def test_lines_are_marked_at_vacuum_wavelengths():
    found = {label: wave for wave, label in reversed(line_positions(3.0, 0.6, 5.3))}
    assert found[r"H$\alpha$"] == pytest.approx(4 * 0.656461, abs=1e-5)
    assert found["[O III]"] == pytest.approx(4 * 0.500824, abs=1e-5)
    assert r"Ly$\alpha$" not in found


def test_medians_and_blocks_leave_nan_out():
    image = np.tile(np.arange(40.0), (50, 1))
    image[:10] = np.nan
    image[:, 7] = np.nan
    np.testing.assert_allclose(np.delete(line_medians(image, 0), 7), np.delete(np.arange(40.0), 7))
    assert np.isnan(line_medians(image, 0)[7])
    assert np.isnan(line_medians(image, 1)[:10]).all()
    assert binned(image)[-1, 1] == pytest.approx((4 + 5 + 6) / 3)
    assert np.isnan(binned(image)[0, 0])


def test_png_keeps_greys_and_colours(tmp_path):
    from PIL import Image

    figure = new_figure(2, 2, constrained=False)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.imshow(np.linspace(0, 1, 200)[None, :], cmap="gray", aspect="auto")
    axes.set_axis_off()
    image = np.asarray(Image.open(save_png(figure, tmp_path / "a.png")).convert("RGB"), dtype=int)
    assert np.ptp(image, axis=2).max() <= 6, "grey stays grey"
    assert len(np.unique(image[100, :, 0])) > 50, "no visible steps"


def test_a_figure_that_is_used_again_keeps_nothing_of_the_last(make_spectrum, make_fit, wave, tmp_path):
    nothing = np.full(wave.shape, np.nan)
    full, other = make_spectrum(103), make_spectrum(101)
    empty = replace(
        other, flux=nothing, err=nothing, mask=np.ones(wave.shape, bool), err2d=None, boxes={}, apertures={}
    )
    fits = make_fit(3.0, np.nan_to_num(full.flux)), replace(make_fit(0.5, nothing), chi2=np.full(6000, 5.0), dof=0)
    drawn = (
        lambda png: extraction_figure(full, png, "a"),
        lambda png: extraction_figure(empty, png, "b"),
        lambda png: redshift_figure(fits[0], png, title="a", spectrum=full, true=Known(3.0, full.flux)),
        lambda png: redshift_figure(fits[1], png, title="b", spectrum=other),
        lambda png: spectrum_figure(full, png, title="a", truth=full.flux),
        lambda png: spectrum_figure(empty, png, title="b"),
    )
    fresh = []
    for draw in drawn:
        canvas._KEPT.clear()
        fresh.append(draw(tmp_path / "a.png").read_bytes())
    for _ in range(2):
        assert [draw(tmp_path / "a.png").read_bytes() == one for draw, one in zip(drawn, fresh, strict=True)] == [
            True
        ] * 6


def test_a_rate_without_background_has_no_figure(tmp_path):
    path = tmp_path / "x_rate.fits"
    fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(np.zeros((8, 8)), name="SCI")]).writeto(path)
    assert exposure_figure(path, tmp_path / "x.png") is None


def test_an_empty_spectrum_is_drawn(make_spectrum, make_fit, wave, tmp_path):
    nothing = np.full(wave.shape, np.nan)
    empty = replace(make_spectrum(103), flux=nothing, err=nothing, mask=np.ones(wave.shape, bool))
    assert spectrum_figure(empty, tmp_path / "a.png", title="a").is_file()
    assert extraction_figure(replace(empty, sci=np.full((12, wave.size), np.nan), err2d=None), tmp_path / "b.png", "b")
    assert extraction_figure(replace(empty, sci=None), tmp_path / "c.png", "c") is None


def test_the_ratio_to_a_published_spectrum(workspace, make_spectrum, tmp_path):
    ours = make_spectrum(103)
    theirs = replace(make_spectrum(103, 0.8), meta={})
    _, ratio, _ = binned_ratio(ours, theirs)
    assert np.median(ratio) == pytest.approx(1.25, rel=0.01)
    spec, published = workspace.combined(103, "PRISM", "CLEAR", SPEC), tmp_path / "pub.spec.fits"
    replace(theirs, meta={"REDSHIFT": (3.0, "")}).write(published)
    assert published_redshift(published) == 3.0
    assert published_redshift(spec) is None
    assert compare_with_published(spec, published, tmp_path / "cmp.png").stat().st_size > 5000
    replace(theirs, wave=theirs.wave + 50.0).write(published)
    with pytest.raises(DataError, match="no wavelength in common"):
        compare_with_published(spec, published, tmp_path / "cmp.png")


def test_a_long_title_and_the_names_of_lines_are_there_whole(make_spectrum, make_fit, wave, tmp_path):
    """A title goes on below rather than beyond the edge, and no name of lines that blend reaches up to it."""
    spectrum, fit = make_spectrum(103), make_fit(3.0, np.nan_to_num(make_spectrum(103).flux))
    short = Image.open(redshift_figure(fit, tmp_path / "a.png", title="a", spectrum=spectrum))
    for title in ("warnings; " * 20, "warnings; " * 40):
        long = Image.open(redshift_figure(fit, tmp_path / "b.png", title=title, spectrum=spectrum))
        assert long.height > short.height
        assert np.asarray(long.convert("L"))[:, -3:].min() > 240
    axes = new_figure(4, 4).subplots()
    axes.set_xlim(1.0, 3.0)
    lines = Table({"name": ["[NeIII]3869+H9+HeI3889+H8", "Ha+NII6585"], "wave_obs": [1.5, 2.5], "snr": [9.0, 9.0]})
    mark_lines(axes, 3.0, lines=lines)
    assert all(text.get_text().count("+") < 2 for text in axes.texts) and len(axes.texts) == 2
