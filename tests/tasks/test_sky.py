"""sky on files: slitlets gathered, sources known from headers, product written and read, projected into cutouts."""

import numpy as np
import pytest
from astropy.io import fits

from nirfire.core.sky_design import open_share
from nirfire.errors import DataError, NoWork
from nirfire.products import sky as product
from nirfire.products.sky import CutoutPlace, SkyModel
from nirfire.products.slitcal import SlitCal
from nirfire.stsci import sky_projection
from nirfire.stsci.sky_projection import global_backgrounds, open_shutters
from nirfire.tasks import sky as task
from nirfire.tasks.settings import SkySettings

N_SPAT, N_WAVE, SIGMA, LOSS = 19, 100, 0.05, 0.8
MJY = 1e-13


def level(wave):
    return 1.0 + 0.3 * np.sin(2 * wave)


def place_of(slit, index):
    """Places of these synthetic cutouts: five rows to a shutter, rows against slit coordinates, no tilt."""
    half = (N_SPAT - 1) / 2 / 5
    y = np.zeros(tuple(n + 1 for n in product.Y_ORDER))
    y[1, 0] = -half
    shift = np.zeros(tuple(n + 1 for n in product.SHIFT_ORDER))
    shutters = open_shutters(slit.slit_header["SHUTSTA"])
    y[0, 0] = 0.5 * (min(shutters) + max(shutters))
    field = np.array([10.0 * slit.slit_header["SLITID"], 0.0])
    return CutoutPlace(slit.path.name, index, slit.shape, shutters, field, y, shift)


@pytest.fixture(autouse=True)
def places(monkeypatch):
    made = lambda slits: [place_of(slit, k) for k, slit in enumerate(slits)]  # noqa: E731
    monkeypatch.setattr(task, "read_places", made)
    monkeypatch.setattr(sky_projection, "read_places", made)


def write(path, slitlet, *, source=0, state="1x1", kind="POINT", rng=None, srcflux=True, bright=1.0):
    header = fits.Header({"BUNIT": "MJy", "SLTSTRT1": 11, "SLTSTRT2": 21, "PTHLOSS": kind, "SHUTSTA": state})
    header.update({"SLITID": slitlet, "SOURCEID": source, "SRCYPOS": 0.1})
    wave = np.broadcast_to(0.7 + 0.02 * np.arange(N_WAVE), (N_SPAT, N_WAVE))
    edges = -(np.arange(N_SPAT + 1)[:, None] - N_SPAT / 2) / 5 * np.ones(N_WAVE)
    shutters = open_shutters(state)
    edges = edges + 0.5 * (min(shutters) + max(shutters))
    even = level(wave) * open_share(edges, shutters) * (1 + 0.01 * slitlet)
    y = 0.5 * (edges[1:] + edges[:-1])
    light = bright * np.exp(-0.5 * ((y - 0.1) / 0.12) ** 2) * srcflux
    noise = 0 if rng is None else SIGMA * rng.standard_normal(wave.shape)
    loss = LOSS if kind == "POINT" else 2 * LOSS
    sci = (even + light + noise) / loss * MJY
    var = np.full(wave.shape, (SIGMA / loss * MJY) ** 2)
    planes = {"SCI": sci, "ERR": np.sqrt(var), "DQ": np.zeros(wave.shape, np.uint32)}
    planes |= {"VAR_POISSON": var / 2, "VAR_RNOISE": var / 2, "VAR_FLAT": 0 * var, "WAVELENGTH": wave}
    planes |= {"PATHLOSS_PS": np.full(wave.shape, LOSS), "PATHLOSS_UN": np.full(wave.shape, 2 * LOSS)}
    hdus = [fits.PrimaryHDU(header=fits.Header({"SRCFLUX": srcflux, "DETECTOR": "NRS1"}))]
    for name, data in planes.items():
        kept = data if name == "DQ" else data.astype(np.float32)
        hdus.append(fits.ImageHDU(kept, name=name, header=header if name == "SCI" else None))
    fits.HDUList(hdus).writeto(path)
    return path, even * MJY


def exposure(folder, n=6):
    rng = np.random.default_rng(4)
    made = [write(folder / f"{k}_cal.fits", k, source=100 + k, rng=rng) for k in range(1, n)]
    return [*made, write(folder / "blank_cal.fits", n, kind="UNIFORM", srcflux=False, rng=rng)]


def test_sky_of_an_exposure_in_its_cutouts(tmp_path):
    paths, truth = zip(*exposure(tmp_path), strict=True)
    task.sky(list(paths), tmp_path / "sky.fits", SkySettings())
    model = SkyModel.read(tmp_path / "sky.fits")
    slits = [SlitCal.read(path) for path in paths]
    for (value, variance), even in zip(global_backgrounds(slits, [model] * len(slits)), truth, strict=True):
        full = even > 0.9 * np.median(even[even > 0])
        assert (np.isfinite(value) & np.isfinite(variance)).all()
        assert np.mean((value / np.where(full, even, 1.0))[full]) == pytest.approx(1.0, abs=0.006)
        assert np.sqrt(np.mean(variance[full])) < 0.25 * SIGMA * MJY


def test_the_product_says_what_the_model_did(tmp_path):
    paths = [path for path, _ in exposure(tmp_path)]
    task.sky(paths, tmp_path / "sky.fits", SkySettings())
    model = SkyModel.read(tmp_path / "sky.fits")
    assert sorted(model.cutouts) == sorted(path.name for path in paths)
    assert [c.slitlet for c in model.cutouts.values()] == list(range(len(paths)))
    model.write(tmp_path / "again.fits")
    again = SkyModel.read(tmp_path / "again.fits")
    for name in ("values", "variance", "bars_variance", "factors", "covariance", "elsewhere", "blank"):
        assert np.array_equal(getattr(again.sky, name), getattr(model.sky, name))
    assert again.sky.grids.n_terms == model.sky.grids.n_terms
    assert again.sky.scatter == model.sky.scatter


def test_a_cutout_that_is_not_in_the_model_gets_the_field(tmp_path):
    paths = [path for path, _ in exposure(tmp_path)]
    task.sky(paths[:-1], tmp_path / "sky.fits", SkySettings())
    model = SkyModel.read(tmp_path / "sky.fits")
    value, variance = global_backgrounds([SlitCal.read(paths[-1])], [model])[0]
    inside = value > 0.5 * np.nanmedian(value)
    assert inside.sum() > 0.5 * value.size
    assert np.isfinite(variance[inside]).all()


def test_two_sources_of_one_slitlet_are_one_slitlet(tmp_path):
    rng = np.random.default_rng(6)
    paths = [write(tmp_path / f"{k}_cal.fits", k, source=100 + k, rng=rng)[0] for k in (1, 2, 3)]
    paths.append(write(tmp_path / "other_cal.fits", 2, source=208, state="11x", rng=rng)[0])
    task.sky(paths, tmp_path / "sky.fits", SkySettings())
    model = SkyModel.read(tmp_path / "sky.fits")
    assert model.cutouts["other_cal.fits"].slitlet == model.cutouts["2_cal.fits"].slitlet
    assert len(model.sky.factors) == 3
    used = model.sky.blank
    assert used[1] < 0.75 * used[0]  # a second shutter is taken


def test_no_blank_shutter_is_no_work(tmp_path):
    path, _ = write(tmp_path / "1_cal.fits", 1, source=101, state="x")
    with pytest.raises(NoWork, match="blank"):
        task.sky([path], tmp_path / "sky.fits", SkySettings())
    assert not (tmp_path / "sky.fits").exists()


def test_a_file_that_is_no_model_is_named(tmp_path):
    fits.HDUList([fits.PrimaryHDU()]).writeto(tmp_path / "sky.fits")
    with pytest.raises(DataError, match=r"(?s)not a sky model.*sky\.fits"):
        SkyModel.read(tmp_path / "sky.fits")


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ("1x1", (-1, 0, 1)),
        ("x11", (0, 1, 2)),
        ("11x", (-2, -1, 0)),
        ("x01", (0, 2)),
        ("11", (0, 1)),
        ("111", (-1, 0, 1)),
    ],
)
def test_open_shutters_of_a_state(state, expected):
    assert open_shutters(state) == expected
