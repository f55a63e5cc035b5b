"""The figure of a redshift fit."""

from dataclasses import replace

import numpy as np
import pytest

from nirfire.core.line_fluxes import measure_lines
from nirfire.core.lines import WAVE
from nirfire.products.line_table import line_table
from nirfire.qa.marks import label_of
from nirfire.qa.redshift_figure import Known, headline, redshift_figure


@pytest.fixture
def measured(make_spectrum, make_fit):
    """Spectrum of a galaxy with its fit and lines."""
    spectrum = make_spectrum(103)
    lines = line_table(measure_lines(spectrum.wave, spectrum.flux, spectrum.ivar, 3.0, grating="PRISM"))
    return spectrum, replace(make_fit(3.0, np.nan_to_num(spectrum.flux)), lines=lines, dof=380, probability=0.98)


def test_with_all_evidence(measured, tmp_path):
    spectrum, fit = measured
    png = redshift_figure(fit, tmp_path / "a.png", title="a", spectrum=spectrum, true=Known(3.001))
    assert png.stat().st_size > 30_000


def test_what_is_not_there_is_left_out(measured, tmp_path):
    spectrum, fit = measured
    nothing = np.full(spectrum.wave.size, np.nan)
    empty = replace(spectrum, flux=nothing, err=nothing, mask=np.ones(spectrum.wave.size, bool))
    flat = replace(fit, chi2=np.full(fit.z_grid.size, 5.0), z_err=np.nan, lines=None, model=nothing, dof=0)
    assert redshift_figure(flat, tmp_path / "a.png", title="a", spectrum=empty, true=Known(np.nan)).is_file()
    assert redshift_figure(
        replace(fit, lines=fit.lines[:0]), tmp_path / "b.png", title="b", spectrum=spectrum
    ).is_file()
    assert redshift_figure(fit, tmp_path / "c.png", title="c").is_file()


def test_the_headline_says_what_is_in_doubt(measured):
    _, fit = measured
    assert headline(fit) == "z = 3.00000 ± 0.00100   probability 0.980"
    doubtful = replace(fit, warning=64 + 128, z_err=np.nan, probability=np.nan, template_class="star")
    said = headline(doubtful)
    assert "error unknown" in said
    assert "probability unknown" in said
    assert said.endswith("star   Warning: rests on a single line; no error of z")


def test_names_of_lines():
    assert label_of("Ha+NII6550+NII6585") == r"H$\alpha$+[N II]"
    assert label_of("OII3730+OII3727") == "[O II]"
    assert label_of("HeII1640+OIII]1663") == "He II+O III]"
    assert label_of("SIII9533+Pae") == r"[S III]+Pa$\epsilon$"
    assert all(label_of(name) for name in WAVE)
