"""The figure of nod subtraction."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from astropy.io import fits
from PIL import Image

from nirfire.products.slitcal import DO_NOT_USE, OUTLIER, SlitCal
from nirfire.qa.nod_figure import CLEAR, Rows, blank_pixels, nod_figure, rejected_pixels
from tests.qa.conftest import N_SPAT, N_WAVE, ROOT, write_cal

SPIKE = (7, 40)


def _nods(folder: Path, n: int) -> tuple[list[Path], list[Path]]:
    """Cutouts with sky and without; in the first a pixel was taken for a spike."""
    cals = [folder / f"{ROOT}_{k:05d}_nrs1_103_cal.fits" for k in range(1, n + 1)]
    subs = [cal.with_name(cal.name.replace("_cal", "_cal_bkgsub")) for cal in cals]
    for cal, sub in zip(cals, subs, strict=True):
        write_cal(cal, 2e-12)
        write_cal(sub, 0.0)
    with fits.open(subs[0], mode="update") as hdus:
        hdus["DQ"].data[SPIKE] |= OUTLIER | DO_NOT_USE
    return cals, subs


def test_it_is_drawn_for_any_number_of_nods(tmp_path):
    heights = []
    for n in (2, 5):
        (tmp_path / str(n)).mkdir()
        png = tmp_path / f"{n}.png"
        nod_figure(*_nods(tmp_path / str(n), n), png)
        with Image.open(png) as image:
            assert image.width > 1000
            heights.append(image.height)
            assert len(np.unique(np.asarray(image.convert("L")))) > 20
    assert heights[1] > 2 * heights[0]


def test_a_nod_without_product_is_left_blank(tmp_path):
    cals, subs = _nods(tmp_path, 3)
    subs[1].unlink()
    nod_figure(cals, subs, tmp_path / "n.png")
    assert (tmp_path / "n.png").stat().st_size > 10_000


def test_spikes_and_nothing_else_are_marked(tmp_path):
    cals, subs = _nods(tmp_path, 2)
    rejected = [rejected_pixels(SlitCal.read(c), SlitCal.read(s)) for c, s in zip(cals, subs, strict=True)]
    assert np.argwhere(rejected[0]).tolist() == [list(SPIKE)]
    assert not rejected[1].any()


def test_blank_is_what_is_far_from_the_source_in_all_nods(tmp_path):
    _, subs = _nods(tmp_path, 2)
    blank = blank_pixels(SlitCal.read(subs[0]), Rows(np.full(N_WAVE, 3.0), [np.full(N_WAVE, 9.0)]))
    rows = np.arange(N_SPAT)
    clear = (np.abs(rows - 3.0) >= CLEAR) & (np.abs(rows - 9.0) >= CLEAR)
    expected = np.repeat(clear[:, None], N_WAVE, axis=1)
    expected[SPIKE] = False
    assert (blank == expected).all()
