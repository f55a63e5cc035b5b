"""Override references of wavelengths: what is merged, that the stock pipeline reads it so, what is refused."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import asdf
import numpy as np
import pytest
from astropy.modeling.models import Tabular2D
from astropy.table import Table
from jwst.wavecorr.wavecorr import calculate_wavelength_correction_transform
from numpy.typing import NDArray
from stdatamodels.jwst import datamodels

from nirfire.core.wavecal import OVERLAP_FLAG
from nirfire.errors import DataError
from nirfire.stsci import wave_references
from nirfire.stsci.wave_references import (
    extended_wavelengthrange,
    merged_wavecorr,
    read_measured,
    read_wavecorr,
    wave_overrides,
)
from nirfire.stsci.wcs_files import save_wavelengthrange

X, WAVE = np.linspace(-0.5, 0.5, 21), np.linspace(0.6, 5.3, 21)  # pitch, um: as in the flight reference
CELLS_X, CELLS_WAVE = np.linspace(0.325, -0.325, 14), np.linspace(1.3, 4.9, 9)
PX_PER_PITCH = 2.605  # of the geometry: the most by which light can move


def theory(x: NDArray, wave: NDArray) -> NDArray:
    return (2.2 - 0.2 * wave) * np.sin(3 * x) / 3


def added(x: NDArray, wave: NDArray) -> NDArray:
    return -0.2 - 0.5 * np.asarray(x) - 0.02 * np.asarray(wave)


def aperture(name: str, table: NDArray) -> dict:
    model = Tabular2D(points=(WAVE * 1e-6, X), lookup_table=table, name="zero_point_offset")
    variance = np.full(table.shape, 0.01, np.float32)
    return {"aperture_name": name, "zero_point_offset": model, "variance": variance, "width": 1.05e-4}


def write_reference(path: Path, apertures: list[dict]) -> Path:
    with datamodels.WaveCorrModel(apertures=apertures) as model:
        model.meta.description, model.meta.reftype, model.meta.telescope = "test", "wavecorr", "JWST"
        model.meta.author, model.meta.pedigree, model.meta.useafter = "test", "DUMMY", "2015-11-01"
        model.meta.exposure.type = "NRS_MSASPEC"
        model.save(str(path))
    return path


def write_cells(path: Path, shift: NDArray, **changes: NDArray) -> Path:
    asdf.AsdfFile({"wavelength": CELLS_WAVE, "x_offset": CELLS_X, "S": shift} | changes).write_to(path)
    return path


@pytest.fixture
def reference(tmp_path: Path) -> Path:
    """A reference of the micro-shutters that holds a fixed slit too."""
    table = theory(X, WAVE[:, None])
    return write_reference(tmp_path / "reference.asdf", [aperture("S200A1", table + 5), aperture("MOS", table)])


@pytest.fixture
def cells() -> NDArray:
    """Measured shifts, some missing."""
    shift = added(CELLS_X[:, None], CELLS_WAVE)
    shift[0, 0] = shift[3:, -1] = np.nan
    return shift


@pytest.fixture
def empirical(tmp_path: Path, cells: NDArray) -> Path:
    return write_cells(tmp_path / "measured.asdf", cells)


def stock_correction(file: Path, x: float) -> tuple[NDArray, NDArray]:
    """Wavelengths [um], and the shift [px] that the stock step gives a source at `x`."""
    wave = np.linspace(0.55, 5.4, 300)
    step = np.gradient(wave)
    model = calculate_wavelength_correction_transform(
        np.tile(wave * 1e-6, (3, 1)), np.tile(step * 1e-6, (3, 1)), str(file), x, "MOS"
    )
    return wave, (np.asarray(model.lookup_table) * 1e6 - wave) / step


@pytest.mark.parametrize("x", [-0.45, -0.2, 0.0, 0.33, 0.5])
def test_the_stock_step_applies_reference_plus_clamped_table(
    x: float, reference: Path, empirical: Path, tmp_path: Path
) -> None:
    made = merged_wavecorr(reference, empirical, tmp_path / "made")
    wave, merged = stock_correction(made, x)
    _, before = stock_correction(reference, x)
    expected = added(np.clip(x, -0.325, 0.325), np.clip(wave, 1.3, 4.9))
    assert np.abs(merged - before - expected).max() < 1e-4
    outside = (wave > 4.9) | (wave < 1.3)
    assert np.ptp((merged - before)[wave > 4.9]) < 1e-6  # also where the stock step extrapolates
    assert outside.any()


def test_what_is_made_says_what_it_is_and_changes_nothing_else(
    reference: Path, empirical: Path, tmp_path: Path
) -> None:
    content = reference.read_bytes()
    made = merged_wavecorr(reference, empirical, tmp_path / "made")
    assert reference.read_bytes() == content
    with datamodels.WaveCorrModel(made) as model:
        model.validate()
        assert "reference.asdf plus measured.asdf" in model.meta.description
        assert model.meta.filename == made.name
        assert model.meta.exposure.type == "NRS_MSASPEC"
        fixed, shutters = model.apertures
        assert np.array_equal(fixed.zero_point_offset.lookup_table, theory(X, WAVE[:, None]) + 5)
        assert np.allclose(shutters.variance, 0.01)
        assert shutters.variance.shape == shutters.zero_point_offset.lookup_table.shape


def test_it_is_made_once_also_by_several_at_a_time(reference: Path, empirical: Path, tmp_path: Path) -> None:
    folder = tmp_path / "made"
    with ThreadPoolExecutor(4) as pool:
        paths = set(pool.map(lambda _: merged_wavecorr(reference, empirical, folder), range(4)))
    assert [*folder.iterdir()] == [*paths]
    stamp = next(iter(paths)).stat().st_mtime_ns
    assert merged_wavecorr(reference, empirical, folder).stat().st_mtime_ns == stamp


def test_another_table_gets_another_name(reference: Path, cells: NDArray, tmp_path: Path) -> None:
    one, other = (write_cells(tmp_path / f"{k}.asdf", cells + k) for k in (0, 1))
    assert merged_wavecorr(reference, one, tmp_path) != merged_wavecorr(reference, other, tmp_path)


def test_ecsv_says_the_same_in_any_unit(cells: NDArray, empirical: Path, tmp_path: Path) -> None:
    x, wave = (a.ravel() for a in np.meshgrid(CELLS_X, CELLS_WAVE, indexing="ij"))
    table = Table({"x_offset": x, "wavelength": wave * 1e3, "shift": cells.ravel(), "error": np.full(x.size, 0.05)})
    table["wavelength"].unit = "nm"
    path = tmp_path / "measured.ecsv"
    table.write(path)
    found, other = read_measured(path), read_measured(empirical)
    assert np.allclose(found.wave, other.wave)
    assert np.allclose(found.ivar, 400)
    assert np.allclose(found.surface()(0.1, 3.0), other.surface()(0.1, 3.0))


def ecsv_without_shift(path: Path) -> None:
    Table({"x_offset": [0.1], "wavelength": [2.0]}).write(path)


@pytest.mark.parametrize(
    ("name", "write", "said"),
    [
        ("none.asdf", lambda p: None, "no table of wavelength shifts"),
        ("text.asdf", lambda p: p.write_text("no table"), "no table of wavelength shifts"),
        ("lacks.ecsv", ecsv_without_shift, "no table of wavelength shifts"),
        ("metres.asdf", lambda p: write_cells(p, np.zeros((14, 9)), wavelength=CELLS_WAVE * 1e-6), "wavelength runs"),
        ("arcsec.asdf", lambda p: write_cells(p, np.zeros((14, 9)), x_offset=CELLS_X * 3), "x_offset runs"),
        ("km_s.asdf", lambda p: write_cells(p, np.full((14, 9), 30.0)), "shift runs"),
        ("turned.asdf", lambda p: write_cells(p, np.zeros((9, 14))), "S has the shape"),
        ("empty.asdf", lambda p: write_cells(p, np.full((14, 9), np.nan)), "fewer measurements"),
    ],
)
def test_unusable_tables_are_refused(name: str, write: Callable[[Path], None], said: str, tmp_path: Path) -> None:
    write(tmp_path / name)
    with pytest.raises(DataError, match=said):
        read_measured(tmp_path / name)


@pytest.mark.parametrize(
    ("apertures", "said"),
    [
        ([aperture("S200A1", theory(X, WAVE[:, None]))], "only of: S200A1"),
        ([aperture("MOS", theory(X, WAVE[:, None]).T)], "do not grow"),
        ([aperture("MOS", -theory(X, WAVE[:, None]))], "do not grow"),
    ],
    ids=["fixed slits", "axes exchanged", "sign"],
)
def test_unusable_references_are_refused(apertures: list[dict], said: str, empirical: Path, tmp_path: Path) -> None:
    path = write_reference(tmp_path / "bad.asdf", apertures)
    with pytest.raises(DataError, match=said):
        merged_wavecorr(path, empirical, tmp_path / "made")
    assert not (tmp_path / "made").exists()


@pytest.fixture
def ranges(tmp_path: Path) -> Path:
    path = tmp_path / "ranges.asdf"
    save_wavelengthrange(path, {"F100LP_G140M": (0.97e-6, 1.89e-6), "CLEAR_PRISM": (0.6e-6, 5.3e-6)}, -1)
    return path


def test_one_mode_is_widened_never_narrowed(ranges: Path, tmp_path: Path) -> None:
    content = ranges.read_bytes()
    made = extended_wavelengthrange(ranges, "F100LP", "G140M", (1.2, 3.2), tmp_path / "made")
    assert ranges.read_bytes() == content
    assert extended_wavelengthrange(ranges, "F100LP", "G140M", (1.2, 3.2), tmp_path / "made") == made
    with datamodels.WavelengthrangeModel(made) as model:
        assert np.allclose(model.wavelengthrange, [[0.97e-6, 3.2e-6], [0.6e-6, 5.3e-6]])
        assert list(model.order) == [-1, -1]
        assert "F100LP_G140M widened" in model.meta.description


def test_what_the_filter_blocks_is_left_out(ranges: Path, tmp_path: Path) -> None:
    made = extended_wavelengthrange(ranges, "F100LP", "G140M", (0.6, 1.5), tmp_path / "made")
    with datamodels.WavelengthrangeModel(made) as model:
        assert np.allclose(model.wavelengthrange[0], [0.9e-6, 1.89e-6])


@pytest.mark.parametrize("limits", [(3.2, 0.9), (0.9e-6, 3.2e-6), (float("nan"), 3.0)])
def test_limits_that_are_none_are_refused(limits: tuple[float, float], ranges: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no range"):
        extended_wavelengthrange(ranges, "F100LP", "G140M", limits, tmp_path)


def test_an_unknown_mode_is_refused(ranges: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no wavelength range of F070LP_G140M"):
        extended_wavelengthrange(ranges, "F070LP", "G140M", (0.7, 1.8), tmp_path)


def test_the_steps_get_what_was_asked_for(
    reference: Path, ranges: Path, empirical: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {"wavecorr": str(reference), "wavelengthrange": str(ranges)}
    monkeypatch.setattr(wave_references, "find_references", lambda rate, types: {t: files[t] for t in types})
    monkeypatch.setattr(wave_references, "_mode", lambda rate: ("F100LP", "G140M"))
    rate, made = tmp_path / "rate.fits", tmp_path / "made"
    assert wave_overrides(rate, made) == {}
    steps = wave_overrides(rate, made, empirical=empirical, limits=(0.9, 3.2))
    assert set(steps) == {"wavecorr", "assign_wcs", "extract_2d"}
    assert Path(steps["wavecorr"]["override_wavecorr"]).parent == made
    assert Path(steps["assign_wcs"]["override_wavelengthrange"]).is_file()
    assert set(wave_overrides(rate, made, empirical=empirical)) == {"wavecorr"}
    files["wavecorr"] = "N/A"
    with pytest.raises(DataError, match="CRDS has no wavecorr"):
        wave_overrides(rate, made, empirical=empirical)


def test_the_mark_of_overlapping_orders_is_not_do_not_use() -> None:
    assert datamodels.dqflags.pixel["OTHER_BAD_PIXEL"] == OVERLAP_FLAG
    assert not OVERLAP_FLAG & datamodels.dqflags.pixel["DO_NOT_USE"]


# --- real files ----------------------------------------------------------------------------------------------


def real_slit(real_data: Path) -> tuple[NDArray, NDArray, NDArray]:
    """Table of the slit that is as wide as a shutter (0.2 arcsec): x [pitch], wavelength [um], shift [px].

    The flight reference of the micro-shutters is not among the real files. This is the same model for a slit of
    nearly the same width; x is a fraction of the slit's width there, of the pitch of 0.268 arcsec here.
    """
    with datamodels.WaveCorrModel(real_data / "crds" / "jwst_nirspec_wavecorr_0001.asdf") as model:
        slit = next(a for a in model.apertures if a.aperture_name == "S200A1")
        wave, x = (np.array(points) for points in slit.zero_point_offset.points)
        table = np.array(slit.zero_point_offset.lookup_table)
    return x * 0.2 / 0.268, wave * 1e6, table.T  # its axes are exchanged: jwst issue 5964


def test_the_real_reference_grows_with_x(real_data: Path, empirical: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="only of: S1600A1, S200A1"):
        merged_wavecorr(real_data / "crds" / "jwst_nirspec_wavecorr_0001.asdf", empirical, tmp_path)
    x, _, shift = real_slit(real_data)
    slope = (shift[:, 12] - shift[:, 8]) / (x[12] - x[8])
    assert np.all((slope > 1.2) & (slope < PX_PER_PITCH))  # what the shutter cuts off moves the light less


def test_the_real_table_has_the_sign_of_source_xpos(real_data: Path) -> None:
    """With x the other way round, light at the blue end would move more than the source."""
    x, wave, shift = real_slit(real_data)
    surface = read_measured(real_data / "crds" / "jades_dr4_empirical_wavecorr.asdf").surface()
    middle = np.argmin(np.abs(wave - 1.305))
    slope = (shift[middle, 12] - shift[middle, 8]) / (x[12] - x[8])
    measured = float(surface(0.1, 1.305) - surface(-0.1, 1.305)) / 0.2
    assert measured < 0
    assert 0.5 * PX_PER_PITCH < slope + measured < PX_PER_PITCH
    assert slope - measured > PX_PER_PITCH


def test_the_real_table_is_smoothed_and_merged(real_data: Path, tmp_path: Path) -> None:
    empirical = real_data / "crds" / "jades_dr4_empirical_wavecorr.asdf"
    measured = read_measured(empirical)
    surface = measured.surface()
    assert measured.shift.size == 110
    assert 0.05 < surface.scatter < 0.07
    assert np.median(measured.shift - surface(measured.x, measured.wave)) == pytest.approx(0, abs=0.01)
    assert np.count_nonzero(surface.coefficients) <= 6
    x, _, shift = real_slit(real_data)
    onto = np.array([np.interp(X, x, row) for row in shift])
    reference = write_reference(tmp_path / "flight.asdf", [aperture("MOS", onto)])
    made = merged_wavecorr(reference, empirical, tmp_path / "made")
    table = read_wavecorr(made)
    probe, merged = stock_correction(made, 0.1)
    _, before = stock_correction(reference, 0.1)
    assert np.abs(merged - before - surface(0.1, probe)).max() < 1e-3
    assert np.abs(table.shift).max() < 1.0


def test_the_real_ranges_are_widened(real_data: Path, tmp_path: Path) -> None:
    reference = real_data / "crds" / "jwst_nirspec_wavelengthrange_0004.asdf"
    made = extended_wavelengthrange(reference, "F100LP", "G140M", (0.9, 3.2), tmp_path)
    with datamodels.WavelengthrangeModel(made) as model, datamodels.WavelengthrangeModel(reference) as before:
        changed = [
            name
            for name, one, two in zip(
                model.waverange_selector, model.wavelengthrange, before.wavelengthrange, strict=True
            )
            if not np.array_equal(one, two)
        ]
    assert changed == ["F100LP_G140M"]
