"""Spectra and redshift fits that draw themselves, as a notebook gets them."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy.table import Table

from nirfire.inspect.index import spectrum_key
from nirfire.products.naming import zfit_of
from nirfire.products.spectrum import Spectrum
from nirfire.products.zfit import RedshiftFit
from nirfire.qa.plots import FNU, new_axes, plot_chi2, plot_density, plot_spectrum

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CHI2, DENSITY = "chi2", "p"
TITLE_PAD = 44  # points, with room for the names of lines


@dataclass(frozen=True, repr=False, eq=False)
class SourceFit(RedshiftFit):
    """A redshift fit that can be drawn; all else as `nirfire.products.zfit.RedshiftFit`."""

    @classmethod
    def open(cls, path: Path) -> SourceFit:
        """Read a ``_zfit.fits``."""
        found = cls.read(path)
        for table in (found.peaks, found.lines):
            if table is not None:
                short(table)
        return cls(**_fields(found))

    def plot(self, axes: Axes | None = None, *, what: str = CHI2) -> Axes:
        """Draw chi-squared against redshift, or with ``what="p"`` the probability density.

        Parameters
        ----------
        axes : Axes, optional
            Where; a new figure by default.
        what : str
            ``chi2`` or ``p``.
        """
        if what not in (CHI2, DENSITY):
            raise ValueError(f"what is {CHI2} or {DENSITY}, not {what}")
        return (plot_chi2 if what == CHI2 else plot_density)(axes or new_axes(6.0), self)

    def __repr__(self) -> str:
        kind, warned = self.template_class or "fit", f", warnings: {'; '.join(self.warnings)}" if self.warning else ""
        return f"<{kind}, z = {self.z:.5f} ± {said(self.z_err, '.2g')}, {said_probability(self.probability)}{warned}>"


@dataclass(frozen=True, repr=False, eq=False)
class SourceSpectrum(Spectrum):
    """A spectrum that can be drawn; all else as `nirfire.products.spectrum.Spectrum`.

    Attributes
    ----------
    path : Path
        Its file.
    fit : SourceFit or None
        Its redshift fit.
    """

    path: Path = Path()
    fit: SourceFit | None = None

    @classmethod
    def open(cls, path: Path) -> SourceSpectrum:
        """Read a ``_spec.fits`` with the fit beside it, where there is one."""
        zfit, found = zfit_of(path), cls.read(path)
        fit = SourceFit.open(zfit) if zfit.exists() else None
        return cls(**_fields(found) | {"path": path, "fit": fit})

    @property
    def source(self) -> int:
        """Number of the source."""
        return int(self.meta["SOURCEID"][0])

    @property
    def key(self) -> str:
        """Grating and filter, for example ``prism_clear``."""
        return spectrum_key(self.grating, str(self.meta.get("FILTER", ("", ""))[0]))

    @property
    def snr(self) -> float:
        """Median signal-to-noise ratio of a pixel."""
        good = ~self.mask & (self.err > 0)
        return float(np.median(self.flux[good] / self.err[good])) if good.any() else float("nan")

    def plot(
        self,
        axes: Axes | None = None,
        *,
        model: bool = True,
        unit: str = FNU,
        z: float | None = None,
        between: tuple[float, float] | None = None,
    ) -> Axes:
        """Draw the spectrum.

        Parameters
        ----------
        axes : Axes, optional
            Where; a new figure by default.
        model : bool
            With the model of its redshift fit and the lines that were found.
        unit : str
            ``fnu`` [uJy] or ``flam`` [1e-20 erg / (s cm2 Angstrom)].
        z : float, optional
            Mark the main lines at this redshift instead.
        between : (float, float), optional [um]
            Wavelengths to show; all by default.
        """
        fit = self.fit if model else None
        axes = plot_spectrum(axes or new_axes(), self, fit, unit=unit, z=z, between=between)
        axes.set_title(f"source {self.source}   {self.key}", loc="left", fontsize="medium", pad=TITLE_PAD)
        return axes

    def __repr__(self) -> str:
        said = f"{len(self.wave)} pixels, {self.wave[0]:.2f} to {self.wave[-1]:.2f} um, S/N {self.snr:.1f}"
        return f"<source {self.source}, {self.key}: {said}>"


def _fields(product: Spectrum | RedshiftFit) -> dict[str, Any]:
    return {one.name: getattr(product, one.name) for one in fields(product)}


def short(table: Table) -> Table:
    """Let numbers be shown with as many digits as mean something; the values stay."""
    for column in table.itercols():
        if column.dtype.kind == "f" and column.ndim == 1:
            column.info.format = ".6f" if column.name in ("ra", "dec") else ".5g"
    return table


def said(value: float, form: str) -> str:
    """A number as text; a dash where it is not known."""
    return format(value, form) if np.isfinite(value) else "–"


def said_probability(probability: float) -> str:
    """A probability in words."""
    return f"probability {probability:.3f}" if np.isfinite(probability) else "probability unknown"
