"""The figure of the redshift of all gratings."""

import numpy as np
from astropy.table import Table
from PIL import Image

from nirfire.products.joint_redshift import JointFit
from nirfire.qa import canvas
from nirfire.qa.agree_figure import agree_figure


class Fit:
    """What the figure uses of a RedshiftFit."""

    def __init__(self, z, z_max):
        self.z, self.z_grid = z, np.linspace(0.0, z_max, 3000)
        self.chi2 = 500.0 - 300.0 * np.exp(-0.5 * ((self.z_grid - z) / 0.01) ** 2)


def make_joint(names):
    n = len(names)
    gratings = Table({"grating": names, "offset": [50.0] * n, "offset_err": [20.0] * n, "support": [5.0] * n})
    z = np.linspace(0.0, 15.0, 5000)
    density = np.exp(-0.5 * ((z - 4.0) / 0.003) ** 2)
    peaks = Table({"z": [4.0, 6.0], "z_err": [1e-3, 1e-3], "probability": [0.9, 0.05]})
    return JointFit(4.0, 1e-3, 0.9, 64, 4.0, "PRISM", gratings, peaks, z, density, {})


def test_a_row_for_each_grating_and_one_for_all(tmp_path):
    heights = []
    for names in (["PRISM", "G395M"], ["PRISM", "G235M", "G395M"]):
        fits = [Fit(4.0, 20.0 if name == "PRISM" else 15.0) for name in names]
        png = agree_figure(make_joint(names), fits, tmp_path / f"{len(names)}.png", "demo_7")
        picture = np.asarray(Image.open(png).convert("RGB"))
        heights.append(picture.shape[0])
        assert picture.std() > 5
    assert heights[1] > heights[0]


def test_fits_that_end_before_the_redshift_or_know_nothing_are_drawn(tmp_path):
    short, flat = Fit(1.0, 3.0), Fit(4.0, 15.0)
    flat.chi2 = np.full(flat.z_grid.size, 7.0)
    assert agree_figure(make_joint(["G140M", "G395M"]), [short, flat], tmp_path / "a.png", "demo_7").exists()


def test_a_figure_that_is_used_again_has_the_whole_range_of_redshifts(tmp_path):
    """Also that of the spectrum whose range is the longest, which is not in the first panel."""
    wide, narrow = ([Fit(4.0, 15.0), Fit(4.0, z_max)] for z_max in (20.0, 15.0))
    fresh = []
    for fits in (wide, narrow):
        canvas._KEPT.clear()
        fresh.append(agree_figure(make_joint(["G395M", "PRISM"]), fits, tmp_path / "a.png", "demo_7").read_bytes())
    for fits, first in zip((wide, narrow, wide), (*fresh, fresh[0]), strict=True):
        assert agree_figure(make_joint(["G395M", "PRISM"]), fits, tmp_path / "a.png", "demo_7").read_bytes() == first


def test_nothing_is_cut_off_at_the_left(tmp_path):
    """Where chi-squared has five digits."""
    deep = Fit(4.0, 20.0)
    deep.chi2 = 300.0 * deep.chi2
    png = agree_figure(make_joint(["G395M", "PRISM"]), [deep, deep], tmp_path / "a.png", "demo_7")
    assert np.asarray(Image.open(png).convert("L"))[:, :6].min() > 240
