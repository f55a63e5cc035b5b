"""Override references of wavelengths: wavecorr with a measured correction added, and a wider wavelength range.

References of CRDS are read, never written. What is made gets a name that says what it was made from, so the same
inputs give the same file, once; several processes may ask for it at the same time.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nirfire.core.wavecal import FEWEST_PER_TERM, Surface, bilinear, fit_surface, refine, runs_along_x
from nirfire.errors import DataError
from nirfire.products.atomic import atomic_path
from nirfire.products.rate import read_exposure_header
from nirfire.stsci.pipelines import Steps
from nirfire.stsci.traces import BLUE_END, find_references

Array = NDArray[np.float64]

MOS = "MOS"
ECSV = ".ecsv"
COLUMNS = ("x_offset", "wavelength", "shift")
METHOD = "2"  # of making references; part of the name of what is made
X_LIMIT, WAVE_LIMITS, SHIFT_LIMIT = 0.5, (0.3, 10.0), 5.0  # pitch, um, px: beyond these the unit is another
FETCH = "fetch it anew into the CRDS cache"
FORM = "an ASDF file with wavelength, x_offset and S, or an ECSV table with x_offset, wavelength and shift"


@dataclass(frozen=True)
class WavecorrTable:
    """The zero-point correction of the micro-shutters.

    Attributes
    ----------
    x : ndarray, shape (n_x,) [pitch]
    wave : ndarray, shape (n_wave,) [um]
    shift : ndarray, shape (n_wave, n_x) [px]
    """

    x: Array
    wave: Array
    shift: Array


@dataclass(frozen=True)
class MeasuredShifts:
    """A measured correction, cell by cell.

    Attributes
    ----------
    x : ndarray, shape (n,) [pitch]
    wave : ndarray, shape (n,) [um]
    shift : ndarray, shape (n,) [px]
    ivar : ndarray, shape (n,) [px^-2]
        From the column ``error``, else 1.
    """

    x: Array
    wave: Array
    shift: Array
    ivar: Array

    def surface(self) -> Surface:
        """Fit the smooth surface."""
        return fit_surface(self.x, self.wave, self.shift, self.ivar)


def read_wavecorr(reference: Path) -> WavecorrTable:
    """Read the correction of the micro-shutters from a wavecorr reference.

    Parameters
    ----------
    reference : Path

    Returns
    -------
    WavecorrTable

    Raises
    ------
    DataError
        Not such a file, one for fixed slits, or one whose shifts do not grow with x.

    Notes
    -----
    The first reference of the fixed slits (``jwst_nirspec_wavecorr_0001``) has the axes of its tables exchanged (jwst
    issue 5964). The last check finds such a table, and one of the opposite sign.
    """
    with _opened("WaveCorrModel", reference) as model:
        aperture = _aperture(model, reference)
        wave, x = (np.array(points, dtype=float) for points in aperture.zero_point_offset.points)
        shift = np.array(aperture.zero_point_offset.lookup_table, dtype=float)
    if shift.shape != (wave.size, x.size) or not runs_along_x(x, shift):
        raise DataError(
            "the wavelength shifts of this reference do not grow with the position of the source across its shutter",
            file=reference,
            key="zero_point_offset",
            remedy="its axes are exchanged, or its sign; use a reference of a current CRDS context",
        )
    return WavecorrTable(x, wave * 1e6, shift)


def read_measured(path: Path) -> MeasuredShifts:
    """Read a measured correction.

    Parameters
    ----------
    path : Path
        ASDF with ``wavelength`` (n_wave) [um], ``x_offset`` (n_x) [pitch] and ``S`` (n_x, n_wave) [px], NaN where there
        is no measurement; or ECSV with a row for each measurement and the columns ``x_offset`` [pitch], ``wavelength``
        [um unless it has a unit], ``shift`` [px] and, optional, ``error`` [px].

    Returns
    -------
    MeasuredShifts
        Finite ones only.

    Raises
    ------
    DataError
        The file cannot be read, lacks something, or has values in other units.
    """
    x, wave, shift, error = _ecsv_cells(path) if path.suffix.lower() == ECSV else _asdf_cells(path)
    good = np.isfinite(x) & np.isfinite(wave) & np.isfinite(shift) & np.isfinite(error) & (error > 0)
    x, wave, shift, error = x[good], wave[good], shift[good], error[good]
    if x.size < FEWEST_PER_TERM:
        raise DataError("fewer measurements than a surface needs", file=path, remedy=f"give {FORM}")
    limits = (("x_offset", x, (-X_LIMIT, X_LIMIT), "pitches of the shutters, from the centre"),
              ("wavelength", wave, WAVE_LIMITS, "um"),
              ("shift", shift, (-SHIFT_LIMIT, SHIFT_LIMIT), "detector pixels"))  # fmt: skip
    for key, values, (low, high), unit in limits:
        if values.min() < low or values.max() > high:
            found = f"{values.min():g} to {values.max():g}"
            raise DataError(f"{key} runs from {found}", file=path, key=key, remedy=f"give it in {unit}")
    return MeasuredShifts(x, wave, shift, error**-2)


def merged_wavecorr(reference: Path, empirical: Path, folder: Path) -> Path:
    """Add a measured correction to the wavecorr reference of the micro-shutters.

    Parameters
    ----------
    reference : Path
        Wavecorr reference of CRDS, with the aperture MOS. It is not changed.
    empirical : Path
        See `read_measured`.
    folder : Path
        Where the override reference is made, if it is not there already.

    Returns
    -------
    Path
        The override reference; other apertures and the variance are those of `reference`.

    Raises
    ------
    DataError
        See `read_wavecorr` and `read_measured`.

    Notes
    -----
    The table gets all nodes of the reference and, within the measured range, nodes so close that interpolation between
    them is the smooth surface to 1e-3 px. Beyond the range the surface keeps the value of its edge.
    """
    place = folder / f"nirfire_wavecorr_{_digest((reference, empirical), (METHOD,))}.asdf"
    if place.is_file():
        return place
    table, measured = read_wavecorr(reference), read_measured(empirical)
    surface = measured.surface()
    x, wave = refine(table.x, surface.x_range), refine(table.wave, surface.wave_range)
    merged = bilinear(table.x, table.wave, table.shift, x, wave) + surface(x, wave[:, None])
    note = (
        f"{reference.name} plus {empirical.name} (sha256 {_sha256(empirical)[:12]}), smoothed: {measured.x.size} "
        f"measurements, scatter {surface.scatter:.3f} px, constant beyond x {surface.x_range[0]:.3f} to "
        f"{surface.x_range[1]:.3f} pitch and {surface.wave_range[0]:.3f} to {surface.wave_range[1]:.3f} um"
    )
    with _opened("WaveCorrModel", reference) as model:
        aperture = _aperture(model, reference)
        variance = bilinear(table.x, table.wave, np.array(aperture.variance, dtype=float), x, wave)
        _put(aperture, WavecorrTable(x, wave, merged), variance.astype(np.float32))
        _save(model, place, note)
    return place


def extended_wavelengthrange(
    reference: Path, filter: str, grating: str, limits: tuple[float, float], folder: Path
) -> Path:
    """Widen the wavelength range of one mode.

    Parameters
    ----------
    reference : Path
        Wavelengthrange reference of CRDS. It is not changed.
    filter, grating : str
    limits : tuple of 2 floats [um]
        Wanted; the range becomes the smallest that holds these and its own limits, but for what the filter blocks.
    folder : Path
        Where the override reference is made, if it is not there already.

    Returns
    -------
    Path
        The override reference; the other modes keep their ranges.

    Raises
    ------
    DataError
        Not such a file, no such mode, or limits that are no range of wavelengths.
    """
    low, high = (float(v) for v in limits)
    if not WAVE_LIMITS[0] <= low < high <= WAVE_LIMITS[1]:
        wanted = f"give two wavelengths in um between {WAVE_LIMITS[0]:g} and {WAVE_LIMITS[1]:g}, the smaller first"
        raise DataError(f"{low:g} to {high:g} is no range of wavelengths", key="wave_range", remedy=wanted)
    facts = (filter, grating, f"{low:.6g}", f"{high:.6g}", METHOD)
    place = folder / f"nirfire_wavelengthrange_{_digest((reference,), facts)}.asdf"
    if place.is_file():
        return place
    with _opened("WavelengthrangeModel", reference) as model:
        modes, mode = list(model.waverange_selector), f"{filter}_{grating}"
        if mode not in modes:
            raise DataError(f"no wavelength range of {mode}", file=reference, key="waverange_selector")
        ranges = [[float(edge) for edge in pair] for pair in model.wavelengthrange]
        own = ranges[modes.index(mode)]
        blue = max(low * 1e-6, BLUE_END.get(filter, 0.0))
        ranges[modes.index(mode)] = [min(own[0], blue), max(own[1], high * 1e-6)]
        model.wavelengthrange = ranges
        _save(model, place, f"{reference.name}, {mode} widened from {own} m to {ranges[modes.index(mode)]} m")
    return place


def wave_overrides(
    rate: Path, folder: Path, *, empirical: Path | None = None, limits: tuple[float, float] | None = None
) -> Steps:
    """Parameters of the stock steps of Spec2 that bring in the override references of one exposure.

    Parameters
    ----------
    rate : Path
        Only its header is read: CRDS selects the references by it.
    folder : Path
        Where override references are made, once; one folder for all exposures of a run.
    empirical : Path, optional
        Measured wavelength correction, see `read_measured`.
    limits : tuple of 2 floats, optional [um]
        Wavelengths that are to be in the range; one setting does for exposures of several modes.

    Returns
    -------
    dict of dict
        Empty if neither is wanted.

    Raises
    ------
    DataError
        See `merged_wavecorr` and `extended_wavelengthrange`; or CRDS has no such reference.
    """
    wanted = {"wavecorr": empirical, "wavelengthrange": limits}
    types = [name for name, value in wanted.items() if value is not None]
    if not types:
        return {}
    found = {name: Path(file) for name, file in find_references(rate, types).items() if file != "N/A"}
    for name in types:
        if name not in found:
            raise DataError(f"CRDS has no {name} reference for this exposure", file=rate, remedy="use a newer context")
    steps: Steps = {}
    if empirical is not None:
        made = merged_wavecorr(found["wavecorr"], empirical, folder)
        steps["wavecorr"] = {"override_wavecorr": str(made)}
    if limits is not None:
        made = extended_wavelengthrange(found["wavelengthrange"], *_mode(rate), limits, folder)
        for name in ("assign_wcs", "extract_2d"):
            steps[name] = {"override_wavelengthrange": str(made)}
    return steps


def _mode(rate: Path) -> tuple[str, str]:
    header = read_exposure_header(rate)
    return header.filter, header.grating


@contextmanager
def _opened(model_name: str, path: Path) -> Iterator[Any]:
    """Open a reference with its data model; what is wrong with the file is said with its name."""
    from stdatamodels.jwst import datamodels

    try:
        model = getattr(datamodels, model_name)(path)
    except (OSError, ValueError, TypeError) as error:
        raise DataError(f"cannot be read as a reference ({error})", file=path, remedy=FETCH) from error
    with model:
        yield model


def _aperture(model: Any, reference: Path) -> Any:
    """Return the entry of the micro-shutters."""
    apertures = list(getattr(model, "apertures", None) or ())
    for aperture in apertures:
        if aperture.aperture_name == MOS:
            return aperture
    names = ", ".join(a.aperture_name for a in apertures) or "none"
    raise DataError(
        f"no wavelength correction of the micro-shutters (aperture {MOS}), only of: {names}",
        file=reference,
        key="apertures",
        remedy="use the wavecorr reference that CRDS gives for EXP_TYPE=NRS_MSASPEC",
    )


def _put(aperture: Any, table: WavecorrTable, variance: NDArray[np.float32]) -> None:
    """Put a new table into the entry of the micro-shutters."""
    from astropy.modeling.models import Tabular2D

    points = (table.wave * 1e-6, table.x)
    aperture.zero_point_offset = Tabular2D(points=points, lookup_table=table.shift, name="zero_point_offset")
    aperture.variance = variance


def _save(model: Any, place: Path, note: str) -> None:
    """Save what was made of a reference of CRDS, with a note that says what; whole or not at all."""
    model.meta.author = "nirfire"
    model.meta.description = note
    model.meta.filename = place.name
    model.add_history_entry(f"nirfire: {note}")
    with atomic_path(place) as part:
        model.save(str(part))


def _sha256(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise DataError(f"cannot be read ({error.strerror})", file=path, remedy="check the path") from error


def _digest(files: Iterable[Path], facts: Sequence[str]) -> str:
    """Short name of what is made from these files in this way."""
    return hashlib.sha256("|".join([*map(_sha256, files), *facts]).encode()).hexdigest()[:12]


def _asdf_cells(path: Path) -> tuple[Array, Array, Array, Array]:
    """Position, wavelength, shift and error of each cell of a grid."""
    import asdf

    try:
        with asdf.open(path) as content:
            x, wave, shift = (np.array(content[key], dtype=float) for key in ("x_offset", "wavelength", "S"))
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise DataError(f"no table of wavelength shifts ({error})", file=path, remedy=f"give {FORM}") from error
    if x.ndim != 1 or wave.ndim != 1 or shift.shape != (x.size, wave.size):
        found = f"S has the shape {shift.shape}, expected ({x.size}, {wave.size}): x_offset, wavelength"
        raise DataError(found, file=path, key="S", remedy=f"give {FORM}")
    across, along = np.meshgrid(x, wave, indexing="ij")
    return across.ravel(), along.ravel(), shift.ravel(), np.ones(shift.size)


def _ecsv_cells(path: Path) -> tuple[Array, Array, Array, Array]:
    """Position, wavelength, shift and error of each row."""
    from astropy.table import Table
    from astropy.units import UnitConversionError, um

    try:
        table = Table.read(path, format="ascii.ecsv")
        x, wave, shift = (table[key] for key in COLUMNS)
        if wave.unit is not None:
            wave = wave.quantity.to(um)
        error = table["error"] if "error" in table.colnames else np.ones(len(table))
        return _filled(x), _filled(wave), _filled(shift), _filled(error)
    except (OSError, ValueError, TypeError, KeyError, UnitConversionError) as error:
        raise DataError(f"no table of wavelength shifts ({error})", file=path, remedy=f"give {FORM}") from error


def _filled(column: Any) -> Array:
    """Values of a column, NaN where it is masked."""
    return np.asarray(np.ma.filled(np.ma.asarray(column).astype(float), np.nan))
