"""Truth tables of a simulated observation: what a perfect pipeline would find."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.table import Table, vstack
from numpy.typing import NDArray

from nirfire.errors import DataError
from nirfire.products.atomic import atomic_path, write_fits
from nirfire.products.naming import TRUTH
from nirfire.simulate import lsf
from nirfire.simulate.detector import NoiseTruth
from nirfire.simulate.scene import NOD_SHUTTERS, Scene

Array = NDArray[np.float64]

FOLDER = TRUTH
CATALOGUE, LINES, STUCK = "catalogue.ecsv", "lines.ecsv", "stuck.ecsv"
SPECTRA, NOISE_SUFFIX, RATE_SUFFIX = "spectra.fits", "_noise.ecsv", "_truerate.fits"


@dataclass(frozen=True)
class TruthSpectra:
    """True spectra.

    Attributes
    ----------
    source_id : ndarray of int, shape (n_source,)
    wave : ndarray, shape (n_wave,) [um]
    fnu : ndarray, shape (n_source, n_wave) [uJy]
        At the resolution of the instrument for the source's size, before pixels.
    intrinsic : ndarray, shape (n_source, n_wave) [uJy]
        Unblurred, the mean over each wavelength cell.
    """

    source_id: NDArray[np.int64]
    wave: Array
    fnu: Array
    intrinsic: Array

    @classmethod
    def read(cls, path: Path) -> TruthSpectra:
        """Read ``spectra.fits``."""
        if not path.is_file():
            raise DataError("truth spectra not found", file=path, remedy="simulate the observation again")
        with fits.open(path, memmap=False) as hdus:
            arrays = [np.array(hdus[n].data, dtype=float) for n in ("WAVE", "FNU", "INTRINSIC")]
            return cls(np.array(hdus["SOURCES"].data["source_id"], dtype=int), *arrays)

    def of(self, source_id: int) -> tuple[Array, Array]:
        """Wavelength [um] and blurred f_nu [uJy] of one source."""
        match = np.flatnonzero(self.source_id == source_id)
        if match.size != 1:
            raise DataError(f"no true spectrum of source {source_id}", key="source_id")
        return self.wave, self.fnu[match[0]]


def catalogue(scene: Scene, sky: dict[int, tuple[float, float]], detectors: dict[int, str]) -> Table:
    """One row per source, catalogued or not."""
    records = [
        {
            "source_id": s.source_id,
            "kind": s.kind,
            "z": s.z,
            "ra": sky[s.source_id][0],
            "dec": sky[s.source_id][1],
            "slitlet_id": slitlet.slitlet_id,
            "quadrant": slitlet.quadrant,
            "xcen": slitlet.xcen,
            "ycen": slitlet.ycen + s.shutter,
            "detectors": detectors[slitlet.slitlet_id],
            "dx": s.dx,
            "dy": s.dy,
            "size": s.size,
            "primary": s.primary,
            "catalogued": s.catalogued,
            "stuck": bool(slitlet.stuck_closed),
        }
        for slitlet, s in scene.sources()
    ]
    table = Table(rows=records)
    for name, unit in (("ra", "deg"), ("dec", "deg"), ("size", "arcsec")):
        table[name].unit = unit
    table["dx"].description = table["dy"].description = "from the shutter's centre at the first nod, in pitches"
    table["size"].description = "standard deviation of a round Gaussian"
    return table


def lines(scene: Scene) -> Table:
    """One row per emission line."""
    rows = [(s.source_id, x.name, x.wave, x.flux, x.width) for _, s in scene.sources() for x in s.spectrum.lines]
    names = ["source_id", "line", "wave", "flux", "sigma_v"]
    table = Table(rows=rows or None, names=names, dtype=[int, "U16", float, float, float])
    for name, unit in (("wave", "um"), ("flux", "1e-18 erg / (s cm2)"), ("sigma_v", "km / s")):
        table[name].unit = unit
    return table


def stuck(scene: Scene, n_nods: int) -> Table:
    """Shutters that were commanded open and stayed closed; `ordinal` counts from 1 at the slitlet's lowest column."""
    opened = sorted(NOD_SHUTTERS[n_nods])
    rows = []
    for s in scene.slitlets:
        source = next((x.source_id for x in s.sources if x.primary), 0)
        for k in sorted(set(s.stuck_closed) & set(opened)):
            rows.append((s.slitlet_id, source, s.quadrant, s.xcen, s.ycen + k, opened.index(k) + 1))
    names = ["slitlet_id", "source_id", "quadrant", "shutter_row", "shutter_column", "ordinal"]
    return Table(rows=rows or None, names=names, dtype=[int] * len(names))


def noise_row(exposure: str, truth: NoiseTruth) -> Table:
    """Noise components of one exposure on one detector."""
    balls = ";".join(f"{g},{row},{col},{radius:.2f}" for g, row, col, radius in truth.snowballs)
    record = {
        "exposure": exposure,
        "frame_amplitude": truth.frame_amplitude,
        "flicker_rms": truth.flicker_rms,
        "drift_rms": truth.drift_rms,
        "read_noise": truth.read_noise,
        "n_cosmic_rays": truth.n_cosmic_rays,
        "snowballs": balls,
    }
    table = Table(rows=[record])
    for name in ("flicker_rms", "drift_rms", "read_noise"):
        table[name].unit = "DN"
    table["snowballs"].description = "group,row,col,radius [px] of each, separated by semicolons"
    return table


def read_noise_table(folder: Path) -> Table:
    """All noise rows of an observation, `folder` being its truth folder."""
    return vstack([Table.read(p) for p in sorted(folder.glob(f"*{NOISE_SUFFIX}"))])


def write_table(path: Path, table: Table) -> None:
    """Write an ECSV file atomically."""
    with atomic_path(path) as part:
        table.write(part, format="ascii.ecsv", overwrite=True)


def write_spectra(path: Path, scene: Scene, grating: str, wave_range: tuple[float, float]) -> None:
    """Write the true spectra of all sources, four cells per standard deviation of a point's line spread function."""
    sources = [s for _, s in scene.sources()]
    edges = lsf.natural_grid(grating, wave_range)[::5]
    wide = (wave_range[0] * 0.95, wave_range[1] * 1.05)
    blurred = []
    for s in sources:
        grid = lsf.natural_grid(grating, wide, s.size)
        blurred.append(lsf.blur(grid, s.spectrum.integral(grid)).mean(edges[:-1], edges[1:]))
    intrinsic = [np.diff(s.spectrum.integral(edges)) / np.diff(edges) for s in sources]
    ids: Sequence[int] = [s.source_id for s in sources]
    primary = fits.PrimaryHDU()
    primary.header["GRATING"] = grating
    hdus = [primary, fits.ImageHDU(0.5 * (edges[1:] + edges[:-1]), name="WAVE")]
    hdus[-1].header["BUNIT"] = "um"
    for name, rows in (("FNU", blurred), ("INTRINSIC", intrinsic)):
        hdus.append(fits.ImageHDU(np.array(rows).reshape(len(ids), -1), name=name))
        hdus[-1].header["BUNIT"] = "uJy"
    hdus.append(fits.BinTableHDU(Table([np.array(ids, dtype=int)], names=["source_id"]), name="SOURCES"))
    write_fits(path, fits.HDUList(hdus))
