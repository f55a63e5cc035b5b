"""The local CRDS cache: built all or nothing, selected rightly by crds, applied rightly by the stock pipeline."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from scipy.ndimage import map_coordinates

from nirfire.errors import DataError
from nirfire.simulate import cache_place, crds_cache, psf, response
from nirfire.simulate.detector_maps import DQ_DO_NOT_USE
from nirfire.simulate.optics import MODES, load_optics
from nirfire.stsci.crds_check import check_cache

PROBE = Path(__file__).with_name("spec2_probe.py")


@pytest.fixture(autouse=True)
def probes_importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """The probes are scripts: some tests run them, and import them for the truth they used."""
    monkeypatch.syspath_prepend(str(PROBE.parent))


SELECT = """
import itertools, json, os, pathlib
import crds
types = json.loads(os.environ["TYPES"])
rows = {}
for detector, (optical_filter, grating) in itertools.product(("NRS1", "NRS2"), json.loads(os.environ["MODES"])):
    parameters = {
        "META.INSTRUMENT.NAME": "NIRSPEC", "META.INSTRUMENT.DETECTOR": detector,
        "META.INSTRUMENT.FILTER": optical_filter, "META.INSTRUMENT.GRATING": grating,
        "META.EXPOSURE.TYPE": "NRS_MSASPEC", "META.EXPOSURE.READPATT": "NRSRAPID",
        "META.OBSERVATION.DATE": "2024-05-01", "META.OBSERVATION.TIME": "00:00:00",
    }
    rows[f"{detector} {optical_filter} {grating}"] = crds.getreferences(parameters, reftypes=types, observatory="jwst")
print("ANSWER" + json.dumps(rows))
"""
TYPES = [
    "camera",
    "collimator",
    "ote",
    "fpa",
    "fore",
    "disperser",
    "msa",
    "wavelengthrange",
    "mask",
    "saturation",
    "superbias",
    "linearity",
    "dark",
    "readnoise",
    "gain",
    "pictureframe",
    "dflat",
    "sflat",
    "fflat",
    "pathloss",
    "barshadow",
    "photom",
    "area",
    "wavecorr",
    "msaoper",
    "extract1d",
    "apcorr",
]


def test_crds_selects_the_right_file_for_every_mode(
    run_with_cache: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TYPES", json.dumps([*TYPES, "refpix", "chromcorr", "pars-spec2pipeline", "bkg"]))
    monkeypatch.setenv("MODES", json.dumps(list(MODES)))
    answer = run_with_cache("-c", SELECT).partition("ANSWER")[2]
    rows = json.loads(answer)
    assert len(rows) == 18
    for setup, row in rows.items():
        detector, optical_filter, grating = setup.split()
        for reftype in TYPES:
            assert Path(row[reftype]).is_file(), (setup, reftype)
        for reftype in ("refpix", "chromcorr", "pars-spec2pipeline", "bkg"):
            assert row[reftype].upper() == "NOT FOUND N/A"
        for reftype in ("mask", "dflat", "sflat", "gain", "superbias"):
            assert fits.getval(row[reftype], "DETECTOR") == detector
        assert fits.getval(row["sflat"], "GRATING") == grating
        with fits.open(row["fflat"]) as hdus:
            table = hdus["FAST_VARIATION", 2].data[0]
            wave = table["wavelength"].astype(float)
            expected = response.fflat_curve(wave, 2, filter=optical_filter, grating=grating)
            np.testing.assert_allclose(table["data"], expected, rtol=1e-5)
    for reftype in ("sflat", "fflat", "disperser", "fore"):
        assert (
            len({row[reftype] for row in rows.values()})
            == {"sflat": 14, "fflat": 9, "disperser": 7, "fore": 5}[reftype]
        )


def test_complete_cache_passes_the_check(local_cache: Path) -> None:
    files = check_cache(local_cache, crds_cache.CONTEXT)
    names = {path.name for path in files}
    on_disk = {path.name for path in (local_cache / "references").rglob("*") if path.is_file()}
    assert on_disk <= names


@pytest.fixture
def damaged_cache(local_cache: Path, tmp_path: Path) -> Path:
    """A copy of the cache, references as links."""
    folder = tmp_path / "cache"
    shutil.copytree(local_cache / "config", folder / "config")
    shutil.copytree(local_cache / "mappings", folder / "mappings")
    references = folder / "references" / "jwst" / "nirspec"
    references.mkdir(parents=True)
    for path in (local_cache / "references" / "jwst" / "nirspec").iterdir():
        (references / path.name).symlink_to(path)
    return folder


@pytest.mark.parametrize(
    "name",
    ["references/jwst/nirspec/jwst_nirspec_dflat_0002.fits", "mappings/jwst/jwst_nirspec_photom_0001.rmap"],
)
def test_missing_file_is_named_with_a_remedy(damaged_cache: Path, name: str) -> None:
    (damaged_cache / name).unlink()
    with pytest.raises(DataError) as caught:
        check_cache(damaged_cache, crds_cache.CONTEXT)
    assert caught.value.file == damaged_cache / name
    assert caught.value.remedy


def test_missing_configuration_is_an_error_not_an_exit(damaged_cache: Path) -> None:
    (damaged_cache / "config" / "jwst" / "server_config").unlink()
    with pytest.raises(DataError, match="configuration"):
        check_cache(damaged_cache, crds_cache.CONTEXT)
    (damaged_cache / "config" / "jwst" / "server_config").write_text("{'half")
    with pytest.raises(DataError, match="damaged"):
        check_cache(damaged_cache, crds_cache.CONTEXT)


def test_exposure_without_a_reference_is_refused(run_with_cache: Callable[..., str]) -> None:
    code = """
from nirfire.errors import DataError
from nirfire.stsci.crds_check import check_exposure
parameters = {"META.INSTRUMENT.NAME": "NIRSPEC", "META.INSTRUMENT.DETECTOR": "NRS1",
              "META.EXPOSURE.READPATT": "NRSIRS2", "META.EXPOSURE.TYPE": "NRS_MSASPEC",
              "META.OBSERVATION.DATE": "2024-05-01", "META.OBSERVATION.TIME": "00:00:00"}
print(sorted(check_exposure(parameters, ["gain", "refpix"])))
try:
    check_exposure(parameters, ["superbias"])
except DataError as error:
    print("REFUSED", error.message, error.remedy)
"""
    out = run_with_cache("-c", code)
    assert "['gain']" in out
    assert "REFUSED no reference of type superbias" in out


def test_failed_build_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(root: Path, progress: object) -> None:
        (root / "half").write_text("")
        raise DataError("disk full")

    monkeypatch.setattr(crds_cache, "_fill", fail)
    with pytest.raises(DataError):
        crds_cache.build_cache(tmp_path / "cache")
    assert list(tmp_path.iterdir()) == []


def test_second_builder_gives_way_to_the_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "cache"

    def overtaken(root: Path, progress: object) -> None:
        (root / "late").write_text("")
        target.mkdir()
        (target / "early").write_text("")

    monkeypatch.setattr(crds_cache, "_fill", overtaken)
    assert crds_cache.build_cache(target) == target
    assert [path.name for path in tmp_path.iterdir()] == ["cache"]
    assert [path.name for path in target.iterdir()] == ["early"]


def test_cache_folder_follows_the_user_and_the_instrument(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    here = crds_cache.default_folder()
    assert here.parent == tmp_path / "nirfire"
    monkeypatch.setattr(cache_place, "VERSION", cache_place.VERSION + 1)
    assert crds_cache.default_folder() != here


@pytest.mark.slow
@pytest.mark.parametrize(
    ("mode", "detector", "quadrant"),
    [(("CLEAR", "PRISM"), "NRS1", 3), (("F290LP", "G395M"), "NRS2", 1), (("F100LP", "G140H"), "NRS1", 4)],
)
def test_stock_spec2_applies_exactly_the_response(
    run_with_cache: Callable[..., str], tmp_path: Path, mode: tuple[str, str], detector: str, quadrant: int
) -> None:
    """One DN/s everywhere must come out as photom over flats and pathloss, at the wavelength that the optics give."""
    import spec2_probe as probe

    run_with_cache(str(PROBE), str(tmp_path), *mode, detector, str(quadrant), cwd=tmp_path)
    names = {"filter": mode[0], "grating": mode[1]}
    with fits.open(tmp_path / "probe_cal.fits") as hdus:
        for number, (xcen, ycen) in enumerate((probe.POINT, probe.EXTENDED), start=1):
            data, wave = hdus["SCI", number].data, hdus["WAVELENGTH", number].data.astype(float)
            header = hdus["SCI", number].header
            first = header["SLTSTRT1"] - 1, header["SLTSTRT2"] - 1
            row, col = np.indices(data.shape)
            row, col = row + first[1], col + first[0]
            flats = (
                response.dflat(col, row, wave, detector=detector)
                * response.sflat(col, row, wave, detector=detector, **names)
                * response.fflat(wave, quadrant, xcen, ycen, **names)
            )
            expected = response.photom(wave, **names) / flats * 1e-12
            if number == 1:
                assert (header["SRCTYPE"], header["BUNIT"]) == ("POINT", "MJy")
                expected = expected / response.pathloss_point(wave, probe.DX, probe.DY, (-1, 0, 1))
            else:
                assert (header["SRCTYPE"], header["BUNIT"]) == ("EXTENDED", "MJy/sr")
                area = response.pixel_area(quadrant, xcen, ycen) * (np.pi / 180 / 3600) ** 2
                shadow = hdus["BARSHADOW", number].data
                expected = expected / response.pathloss_uniform(wave, 3) / area / shadow
            good = np.isfinite(data)
            assert good.mean() > 0.5
            np.testing.assert_allclose(data[good], expected[good], rtol=1e-3)
            _check_wavelength(wave, first, (quadrant, xcen, ycen), probe.DX if number == 1 else 0.0, mode, detector)


def _check_wavelength(
    wave: np.ndarray,
    first: tuple[int, int],
    shutter: tuple[int, int, int],
    dx: float,
    mode: tuple[str, str],
    detector: str,
) -> None:
    """Light of a source at dx must be found at its true wavelength, to 0.03 pixel."""
    optics = load_optics()
    low, high = np.nanmin(wave), np.nanmax(wave)
    true = np.linspace(low + 0.1 * (high - low), high - 0.1 * (high - low), 9)
    x, y = optics.shutter_to_msa(*shutter, psf.centroid_x(true, dx), 0.0)
    col, row = optics.msa_to_detector(x, y, true, grating=mode[1], detector=detector)
    place = [row - first[1], col - first[0]]
    found = map_coordinates(wave, place, order=1)
    step = map_coordinates(np.gradient(wave, axis=1), place, order=1)
    assert np.abs((found - true) / step).max() < 0.03


@pytest.mark.slow
def test_stock_detector1_recovers_the_rate(run_with_cache: Callable[..., str], tmp_path: Path) -> None:
    """Bias, nonlinearity (3 % at the end of the ramp), dark and gain are all undone."""
    import detector1_probe as probe

    run_with_cache(str(Path(probe.__file__)), str(tmp_path), "NRS2", cwd=tmp_path)
    with fits.open(tmp_path / "probe_rate.fits") as hdus:
        rate, dq, header = hdus["SCI"].data, hdus["DQ"].data, hdus[0].header
    for step in ("S_DQINIT", "S_SATURA", "S_SUPERB", "S_REFPIX", "S_LINEAR", "S_DARK", "S_RAMP"):
        assert header[step] == "COMPLETE"
    bad = response.bad_pixels("NRS2") & DQ_DO_NOT_USE > 0
    assert np.all(dq[bad] & DQ_DO_NOT_USE)
    residual = np.where((dq & DQ_DO_NOT_USE) | response.reference_pixels(), np.nan, rate - probe.true_rate())
    columns = np.nanmedian(residual.reshape(2048, 128, 16), axis=(0, 2))
    assert np.abs(columns[1:-1] / probe.true_rate()[0].reshape(128, 16).mean(axis=1)[1:-1]).max() < 2e-3
