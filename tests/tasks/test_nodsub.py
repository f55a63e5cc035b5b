"""nodsub on files: units, pathloss, alignment, errors, what is left out."""

import numpy as np
import pytest
from astropy.io import fits

from nirfire.errors import DataError, NoWork
from nirfire.products.slitcal import SlitCal, shut, source_rows
from nirfire.tasks import nodsub as task
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


def run(paths, n_science=None, **arguments):
    outputs = [p.with_name(p.name.replace("_cal", "_cal_bkgsub")) for p in paths[:n_science]]
    nodsub(paths, outputs, NodsubSettings(), **arguments)
    return [SlitCal.read(p) for p in outputs]


def exposure(k):
    return f"jw01345062001_03101_{k:05d}_nrs1"


def noisy(folder, n_nods, seed=1, sky=30.0):
    """Blank nods with true errors."""
    rng = np.random.default_rng(seed)
    shape, paths = (20, 300), []
    for k in range(1, n_nods + 1):
        path = folder / f"{exposure(k)}_7_cal.fits"
        paths.append(slit_file(path, sky + rng.normal(0, 2, shape), var=4.0))
    return paths


def change(path, **values):
    """Set pixels: ``SCI=(row, column, value)``."""
    with fits.open(path, mode="update") as hdus:
        for name, (row, column, value) in values.items():
            hdus[name].data[row, column] = value


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
    with pytest.raises(NoWork, match="usable nods: 1"):
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


def test_the_noise_of_the_background_is_added_by_component_and_kept(tmp_path):
    paths = noisy(tmp_path, 3)
    with fits.open(paths[0], mode="update") as hdus:
        hdus["VAR_RNOISE"].data[:] = 3.0
    first, second, _ = run(paths)
    assert first.var_rnoise == pytest.approx(np.full(first.shape, 3.0 + 0.5 * 2.0), rel=1e-5)
    assert first.var_poisson == pytest.approx(np.full(first.shape, 2.0 + 0.5 * 2.0), rel=1e-5)
    assert second.var_rnoise == pytest.approx(np.full(first.shape, 2.0 + 0.5 * 2.5), rel=1e-5)
    with fits.open(first.path) as hdus, fits.open(paths[0]) as before:
        assert hdus["SCI"].data + hdus["BKG"].data == pytest.approx(before["SCI"].data, abs=1e-4)
        assert hdus["VAR_BKG"].data == pytest.approx(np.full(first.shape, 2.0), rel=1e-5)
        assert (hdus["BKG_NODS"].data == 0b110).all()
        assert list(hdus["BKG_EXPOSURES"].data["exposure"]) == [exposure(k) for k in (1, 2, 3)]
        assert (hdus[0].header["NFSKY"], hdus[0].header["NFBKGNOD"]) == ("nods", 2)


@pytest.mark.parametrize("n_nods", [2, 3, 5])
def test_a_cosmic_ray_in_one_nod_is_not_printed_into_the_others(tmp_path, n_nods):
    clean = [out.sci for out in run(noisy(tmp_path, n_nods))]
    for path in tmp_path.iterdir():
        path.unlink()
    paths = noisy(tmp_path, n_nods)
    change(paths[0], SCI=(8, 77, 130.0))
    hit = run(paths)
    assert hit[0].bad[8, 77]
    assert hit[0].dq[8, 77] & 16
    for k, (before, after) in enumerate(zip(clean, hit, strict=True)):
        left = np.where(after.bad, 0.0, after.sci - before) / np.where(after.bad, 1.0, after.err)
        assert np.abs(left).max() < 0.5, k
    assert all((out.bad.sum() <= (1 if n_nods > 2 else 2)) for out in hit)


def test_a_line_of_the_source_stays_and_serves_not_as_background(tmp_path):
    paths = noisy(tmp_path, 3)
    for column, value in ((150, 430.0), (149, 180.0), (151, 180.0)):
        change(paths[1], SCI=(10, column, value))
    outs = run(paths)
    assert outs[1].sci[10, 150] == pytest.approx(400, abs=10)
    assert not outs[1].bad[10, 145:155].any()
    assert np.abs(outs[0].sci[10, 149:152]).max() < 12


def test_only_allowed_nods_serve_and_others_are_background_only(tmp_path):
    paths = noisy(tmp_path, 3)
    change(paths[1], SCI=(slice(None), slice(None), 50.0))
    change(paths[2], SCI=(slice(None), slice(None), 10.0))
    (only,) = run(paths, n_science=1, allowed={exposure(1): [exposure(3)]})
    assert np.nanmedian(only.sci) == pytest.approx(20, abs=0.5)
    assert sorted(p.name for p in tmp_path.glob("*bkgsub*")) == [f"{exposure(1)}_7_cal_bkgsub.fits"]


def test_a_source_outside_its_cutouts_has_no_overlap(tmp_path):
    paths = noisy(tmp_path, 2)
    for path in paths:
        placed(path, y=40.0)
    assert "NODOVLP" not in run(paths)[0].header


def test_no_science_nod_is_no_work(tmp_path):
    with pytest.raises(NoWork, match="science"):
        run(noisy(tmp_path, 2), n_science=0)


def test_its_own_output_is_subtracted_again_without_doubles(tmp_path):
    (first, *_) = run(noisy(tmp_path, 3))
    paths = sorted(tmp_path.glob("*_bkgsub.fits"))
    nodsub(paths, [p.with_name(f"again_{p.name}") for p in paths], NodsubSettings())
    with fits.open(tmp_path / f"again_{first.path.name}") as hdus:
        names = [hdu.name for hdu in hdus]
    assert len(names) == len(set(names))


def test_one_nod_without_a_pixel_does_not_stop_the_others(tmp_path):
    paths = noisy(tmp_path, 3)
    change(paths[0], SCI=(slice(None), slice(None), np.nan))
    first, second, _ = run(paths)
    assert first.bad.all()
    assert fits.getval(first.path, "NFUSABLE") == 0
    assert second.bad.sum() == 0


def placed(path, state="1x1", number=365 * 29 + 100, y=0.1):
    """Tell a file where its pixels and the source lie: row r is 5 pixels a shutter, columns 29 to 31."""
    with fits.open(path, mode="update") as hdus:
        shape = hdus["SCI"].data.shape
        rows = np.repeat(28.5 + (np.arange(shape[0])[:, np.newaxis] + 0.5) / 5, shape[1], axis=1)
        hdus.append(fits.ImageHDU(rows.astype(np.float32), name="SLIT_Y"))
        hdus["SCI"].header.update({"SHUTSTA": state, "SHUTTRID": number, "SRCYPOS": y})


def test_closed_shutters_of_adopted_cutouts_are_not_used(tmp_path):
    for k, (state, row) in enumerate((("1x1", 29), ("x11", 28), ("11x", 30)), start=1):
        path = slit_file(tmp_path / f"{exposure(k)}_7_cal.fits", np.full(SHAPE, 3.0))
        placed(path, state, 365 * row + 100)
        out = shut(SlitCal.read(path), (3,))
        assert out.header["SRCFLUX"] == (state != "11x")
        assert out.bad[10:].all()
        assert not out.bad[:10].any()
        assert out.header["STKSHTRS"] == "3"
        assert shut(SlitCal.read(path), ()).header["SRCFLUX"]


def test_shutters_that_were_commanded_closed_do_not_count(tmp_path):
    path = slit_file(tmp_path / "0_cal.fits", np.full(SHAPE, 3.0))
    placed(path, "10x", 365 * 30 + 100)  # columns 29 and 31 open, the source in 31
    out = shut(SlitCal.read(path), (2,))
    assert out.bad[10:].all()
    assert not out.bad[:10].any()
    assert out.header["SRCFLUX"] is False


def test_where_the_source_lies_and_how_much_of_it_nods_remove(tmp_path):
    rng, shape = np.random.default_rng(4), (15, 200)
    paths = []
    for k, number in ((1, 30), (2, 29), (3, 31)):
        row = (number - 28.5 + 0.1) * 5 - 0.5
        light = 40 * np.exp(-0.5 * ((np.arange(15) - row) / 1.5) ** 2)[:, np.newaxis]
        paths.append(slit_file(tmp_path / f"{exposure(k)}_7_cal.fits", 10 + light + rng.normal(0, 1, shape)))
        placed(paths[-1], "1x1" if k == 1 else "x11" if k == 2 else "11x", 365 * (number - 1) + 100)
    first = SlitCal.read(paths[0])
    assert source_rows(first) == pytest.approx(np.full(200, (30.1 - 28.5) * 5 - 0.5), abs=1e-3)
    out = run(paths)[0]
    assert 0.01 < out.header["NODOVLP"] < 0.06
    assert 0 < out.header["NODOVERR"] < 0.01


def test_a_single_nod_without_a_sky_says_both(tmp_path):
    (path,) = noisy(tmp_path, 1)
    with pytest.raises(NoWork, match=r"(?s)usable nods: 1.*no sky of blank shutters"):
        run([path])


@pytest.fixture
def known_sky(monkeypatch):
    """A global sky of 30 with a variance of 0.04 for whoever asks."""
    monkeypatch.setattr(task.SkyModel, "read", lambda path: path)

    def backgrounds(slits, models):
        assert [m.name.split("_sky")[0] for m in models] == [s.path.name.rsplit("_", 3)[0] for s in slits]
        return [(np.full(s.shape, 30.0), np.full(s.shape, 0.04)) for s in slits]

    monkeypatch.setattr(task, "global_backgrounds", backgrounds)


def skies(paths):
    return [p.with_name(p.name.rsplit("_", 3)[0] + "_sky.fits") for p in paths]


def with_skies(paths, **arguments):
    outputs = [p.with_name(p.name.replace("_cal", "_cal_bkgsub")) for p in paths]
    nodsub([*paths, *skies(paths)], outputs, NodsubSettings(), **arguments)
    return [SlitCal.read(p) for p in outputs]


@pytest.mark.parametrize("n_nods", [1, 3])
def test_a_global_sky_adds_little_noise_and_serves_a_single_nod(tmp_path, known_sky, n_nods):
    out = with_skies(noisy(tmp_path, n_nods), background="global")[0]
    assert out.err == pytest.approx(np.full(out.shape, np.sqrt(4.04)), rel=1e-5)
    assert np.std(out.sci / out.err) == pytest.approx(1, abs=0.03)
    assert out.header["NFSKY"] == "global"
    assert out.header["NFBKGNOD"] == 0


def test_the_better_sky_is_chosen(tmp_path, known_sky):
    rng, kinds = np.random.default_rng(4), {}
    for width in (0.8, 6.0):
        folder, paths = tmp_path / f"{width}", []
        folder.mkdir()
        for k, number in ((1, 30), (2, 29), (3, 31)):
            row = (number - 28.5 + 0.1) * 5 - 0.5
            light = 20 * np.exp(-0.5 * ((np.arange(15) - row) / width) ** 2)[:, np.newaxis]
            flux = 30 + light + rng.normal(0, 0.3, (15, 200))
            paths.append(slit_file(folder / f"{exposure(k)}_7_cal.fits", flux, var=0.09))
            placed(paths[-1], "1x1" if k == 1 else "x11" if k == 2 else "11x", 365 * (number - 1) + 100)
        kinds[width] = with_skies(paths, background="best")[0].header["NFSKY"]
    assert kinds == {0.8: "nods", 6.0: "global"}


def test_best_without_a_sky_is_nods_and_global_without_one_is_no_work(tmp_path):
    paths = noisy(tmp_path, 3)
    assert run(paths, background="best")[0].header["NFSKY"] == "nods"
    with pytest.raises(NoWork, match="no sky of blank shutters"):
        run(paths, background="global")
