"""Extractions beside a published one: the figure, and its profile."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from nirfire.errors import DataError
from nirfire.qa.compare_spectra import collapsed, compare_spectra


def test_the_profile_is_that_of_model_and_data(make_spectrum):
    spectrum = make_spectrum(103)
    spectrum = replace(spectrum, model2d=np.nan_to_num(spectrum.sci) / 1.02)
    place, data, model, error = collapsed(spectrum)
    assert model.max() == pytest.approx(1.0)
    np.testing.assert_allclose(data, 1.02 * model, rtol=1e-6)
    assert place[np.argmax(model)] == pytest.approx(0.0)
    assert np.all(error > 0)


def test_the_figure_is_drawn_with_and_without_a_model(make_spectrum, tmp_path):
    ours = make_spectrum(103)
    with_model = replace(ours, model2d=np.nan_to_num(ours.sci))
    published = replace(make_spectrum(103, factor=0.8, seed=2), sci=None, err2d=None)
    for name, first in (("model", with_model), ("horne", ours), ("bare", published)):
        png = tmp_path / f"{name}.png"
        assert compare_spectra({name: first, "other": ours}, published, png, title="a source", said="why") == png
        assert png.stat().st_size > 20_000


def test_spectra_that_do_not_overlap_are_refused(make_spectrum, tmp_path):
    ours = make_spectrum(103)
    with pytest.raises(DataError, match="no wavelength in common"):
        compare_spectra({"ours": replace(ours, wave=ours.wave + 10.0)}, ours, tmp_path / "x.png")
