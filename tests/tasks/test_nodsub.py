"""nodsub on files: units, pathloss, alignment, errors, what is left out."""

import numpy as np
import pytest
from astropy.io import fits

from nirfire.errors import DataError, NoWork
from nirfire.products.slitcal import SlitCal
from nirfire.tasks.nodsub import NodsubSettings, nodsub

SHAPE = (15, 40)


def slit_file(path, sci, *, var=1.0, pathloss=None, kind="POINT", start=(1, 1), unit="MJy", srcflux=True):
    shape = sci.shape
    header = fits.Header({"BUNIT": unit, "SLTSTRT1": start[0], "SLTSTRT2": start[1], "PTHLOSS": kind})
    planes = {"SCI": sci, "ERR": np.full(shape, np.sqrt(var)), "DQ": np.zeros(shape, np.uint32)}
    planes |= {"VAR_POISSON": np.full(shape, var / 2), "VAR_RNOISE": np.full(shape, var / 2)}
    planes |= {"VAR_FLAT": np.zeros(shape), "WAVELENGTH": np.full(shape, 2.0)}
    if pathloss is not None:
        planes["PATHLOSS_PS"] = np.full(shape, pathloss)
        planes["PATHLOSS_UN"] = np.full(shape, 2 * pathloss)
    hdus = [fits.PrimaryHDU(header=fits.Header({"SRCFLUX": srcflux}))]
    for name, data in planes.items():
        kept = data if name == "DQ" else data.astype(np.float32)
        hdus.append(fits.ImageHDU(kept, name=name, header=header if name == "SCI" else None))
    fits.HDUList(hdus).writeto(path)
    return path


def run(paths):
    outputs = [p.with_name(p.name.replace("_cal", "_cal_bkgsub")) for p in paths]
    nodsub(paths, outputs, NodsubSettings())
    return [SlitCal.read(p) for p in outputs]


def test_sky_goes_source_stays_with_pathloss_inverted_around_it(tmp_path):
    paths, rows, losses = [], (4, 7, 10), (0.8, 0.5, 0.9)
    for k, (row, loss) in enumerate(zip(rows, losses, strict=True)):
        raw = np.full(SHAPE, 3.0)
        raw[row] += 10 * loss  # what reaches the detector; divided by the loss it is 10
        paths.append(slit_file(tmp_path / f"{k}_cal.fits", raw / loss, pathloss=loss))
    for out, row in zip(run(paths), rows, strict=True):
        assert out.sci[row] == pytest.approx(np.full(SHAPE[1], 10.0), rel=1e-5)
        clear = [r for r in range(SHAPE[0]) if r not in rows]
        assert np.abs(out.sci[clear]).max() < 1e-5


def test_a_sourceless_nod_corrected_for_a_uniform_source_is_on_the_same_scale(tmp_path):
    sky = np.full(SHAPE, 3.0)
    paths = [
        slit_file(tmp_path / "0_cal.fits", sky / 0.8, pathloss=0.8),
        slit_file(tmp_path / "1_cal.fits", sky / 1.6, pathloss=0.8, kind="UNIFORM", srcflux=False),
    ]
    for out in run(paths):
        assert np.abs(out.sci).max() < 1e-5


def test_errors_include_the_background(tmp_path):
    paths = [slit_file(tmp_path / f"{k}_cal.fits", np.zeros(SHAPE), var=4.0, pathloss=0.5) for k in range(3)]
    out = run(paths)[0]
    assert out.err == pytest.approx(np.full(SHAPE, 2 * np.sqrt(1.5)), rel=1e-5)
    assert out.variance == pytest.approx(out.err**2, rel=1e-5)


def test_cutouts_of_different_extent_are_aligned_on_the_detector(tmp_path):
    ramp = np.arange(60.0)[np.newaxis, :] + 100 * np.arange(20.0)[:, np.newaxis]
    paths = [
        slit_file(tmp_path / "0_cal.fits", ramp[2:17, 5:45], start=(6, 3)),
        slit_file(tmp_path / "1_cal.fits", ramp[3:18, 10:50], start=(11, 4)),
    ]
    first, second = run(paths)
    assert np.nanmax(np.abs(first.sci)) < 1e-3
    assert np.isnan(first.sci[0]).all()
    assert first.bad[0].all()  # row without background
    assert np.isnan(first.sci[:, :5]).all()
    assert np.isfinite(second.sci[:14, :35]).all()


def test_a_bad_pixel_in_one_nod_does_not_spoil_the_others(tmp_path):
    paths = []
    for k in range(3):
        path = slit_file(tmp_path / f"{k}_cal.fits", np.full(SHAPE, 3.0))
        paths.append(path)
    with fits.open(paths[0], mode="update") as hdus:
        hdus["SCI"].data[5, 5] = 1e6
        hdus["DQ"].data[5, 5] = 1
    first, second, third = run(paths)
    assert np.isnan(first.sci[5, 5])
    for out in (second, third):
        assert out.sci[5, 5] == pytest.approx(0.0, abs=1e-5)
        assert out.variance[5, 5] > out.variance[5, 6]


def test_one_nod_is_no_work_and_leaves_nothing(tmp_path):
    path = slit_file(tmp_path / "0_cal.fits", np.zeros(SHAPE))
    with pytest.raises(NoWork, match="1 nod"):
        run([path])
    assert [p.name for p in tmp_path.iterdir()] == ["0_cal.fits"]


def test_no_source_in_any_nod_is_no_work(tmp_path):
    paths = [slit_file(tmp_path / f"{k}_cal.fits", np.zeros(SHAPE), srcflux=False) for k in range(2)]
    with pytest.raises(NoWork, match="SRCFLUX"):
        run(paths)


def test_all_nan_and_wrong_units_are_named(tmp_path):
    paths = [slit_file(tmp_path / f"{k}_cal.fits", np.full(SHAPE, np.nan)) for k in range(2)]
    with pytest.raises(DataError, match=r"(?s)no usable pixel.*0_cal"):
        run(paths)
    paths = [slit_file(tmp_path / f"{k}u_cal.fits", np.zeros(SHAPE), unit="MJy/sr") for k in range(2)]
    with pytest.raises(DataError, match=r"(?s)unit is 'MJy/sr'.*BUNIT"):
        run(paths)
