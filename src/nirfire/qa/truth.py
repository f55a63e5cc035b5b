"""The simulator's truth, asked the questions that figures and metrics have."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from astropy.table import Table

from nirfire.errors import DataError
from nirfire.products.fitsfile import open_fits
from nirfire.qa.canvas import step_edges
from nirfire.simulate.truth import CATALOGUE, LINES, SPECTRA, TruthSpectra

GALAXIES = ("galaxy", "agn")


@dataclass(frozen=True)
class TrueSource:
    """What is known of a source.

    Attributes
    ----------
    source : int
    kind : str
        point, galaxy, agn or star.
    z : float
        NaN where there is none.
    catalogued, primary : bool
        Whether the MSA metafile knows it, and whether its slitlet was placed on it.
    line_wave : ndarray, shape (n_line,) [um]
        Observed wavelengths of its emission lines.
    line_flux : ndarray, shape (n_line,) [1e-18 erg / (s cm2)]
    line_sigma : ndarray, shape (n_line,) [km/s]
        Intrinsic width.
    line_name : tuple of str
    """

    source: int
    kind: str
    z: float
    catalogued: bool
    primary: bool
    line_wave: np.ndarray
    line_flux: np.ndarray
    line_sigma: np.ndarray
    line_name: tuple[str, ...]

    @property
    def has_redshift(self) -> bool:
        return bool(np.isfinite(self.z)) and self.kind in GALAXIES


@dataclass(frozen=True)
class Truth:
    """The truth tables of a simulated observation."""

    sources: dict[int, TrueSource]
    spectra: TruthSpectra
    grating: str

    @classmethod
    def read(cls, folder: Path) -> Truth:
        """Read the truth folder of a simulated observation.

        Raises
        ------
        DataError
            A table is absent.
        """
        for name in (CATALOGUE, LINES, SPECTRA):
            if not (folder / name).is_file():
                raise DataError("truth table not found", file=folder / name, remedy="simulate the observation again")
        lines = Table.read(folder / LINES)
        sources = {}
        for row in Table.read(folder / CATALOGUE):
            mine = lines[lines["source_id"] == row["source_id"]]
            z = row["z"]
            sources[int(row["source_id"])] = TrueSource(
                source=int(row["source_id"]),
                kind=str(row["kind"]),
                z=float("nan") if np.ma.is_masked(z) else float(z),
                catalogued=bool(row["catalogued"]),
                primary=bool(row["primary"]),
                line_wave=np.array(mine["wave"], dtype=float),
                line_flux=np.array(mine["flux"], dtype=float),
                line_sigma=np.array(mine["sigma_v"], dtype=float),
                line_name=tuple(str(n) for n in mine["line"]),
            )
        with open_fits(folder / SPECTRA) as hdus:
            grating = str(hdus[0].header.get("GRATING", ""))
        return cls(sources, TruthSpectra.read(folder / SPECTRA), grating)

    def of(self, source: int) -> TrueSource | None:
        """The source's truth; None for a number that is not in the scene."""
        return self.sources.get(source)

    def on_grid(self, source: int, wave: np.ndarray, grating: str) -> np.ndarray | None:
        """True f_nu at the instrument's resolution, averaged over pixels.

        Parameters
        ----------
        source : int
            Source number.
        wave : ndarray, shape (n_wave,) [um]
            Pixel centres, increasing.
        grating : str
            Disperser of the spectrum.

        Returns
        -------
        ndarray, shape (n_wave,) [uJy] or None
            NaN outside the range of the tables; None when source or disperser are not in them.
        """
        if source not in self.sources or grating.upper() != self.grating.upper():
            return None
        grid, fnu = self.spectra.of(source)
        cells = step_edges(grid)
        running = np.concatenate([[0.0], np.cumsum(fnu * np.diff(cells))])
        edges = step_edges(wave)
        mean = np.diff(np.interp(edges, cells, running)) / np.diff(edges)
        return np.where((edges[:-1] >= cells[0]) & (edges[1:] <= cells[-1]), mean, np.nan)
