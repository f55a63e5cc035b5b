"""SkyModel: the sky of one exposure, and where the pixels of its cutouts look."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from nirfire.core.global_sky import GlobalSky
from nirfire.core.sky_design import Blocks, Grids
from nirfire.errors import DataError
from nirfire.products.atomic import write_fits
from nirfire.products.fitsfile import open_fits

Array = NDArray[np.float64]
Y_ORDER, SHIFT_ORDER = (2, 6), (1, 6)  # of the polynomials in (row, column)
VECTORS = ("spectrum", "slope_of_calibration", "bars", "wings", "field")


class CutoutPlace(NamedTuple):
    """Where the pixels of a cutout look.

    Attributes
    ----------
    name : str
        File name of the ``_cal.fits``.
    slitlet : int
        Its index in the model.
    shape : tuple of 2 ints
        (n_spat, n_wave)
    shutters : tuple of int
        Open shutters, relative to the one in which slit coordinates begin.
    place : ndarray, shape (2,) [arcsec]
        V2, V3 of the middle of that shutter.
    y : ndarray, shape (3, 7) [pitch]
        Chebyshev coefficients of the slit coordinate over (row, column), the cutout going from -1 to 1.
    shift : ndarray, shape (2, 7) [um]
        The same of the calibrated wavelength minus that of light that fills the shutter.
    """

    name: str
    slitlet: int
    shape: tuple[int, int]
    shutters: tuple[int, ...]
    place: Array
    y: Array
    shift: Array

    def edges(self) -> Array:
        """Slit coordinate of the edges of the pixels, shape (n_spat + 1, n_wave) [pitch]."""
        n_spat, n_wave = self.shape
        return on_grid(self.y, scaled(np.arange(n_spat + 1) - 0.5, n_spat), scaled(np.arange(n_wave), n_wave))

    def shifts(self) -> Array:
        """Shift of the pixels, shape (n_spat, n_wave) [um]."""
        n_spat, n_wave = self.shape
        return on_grid(self.shift, scaled(np.arange(n_spat), n_spat), scaled(np.arange(n_wave), n_wave))


def on_grid(coefficients: Array, row: Array, column: Array) -> Array:
    """Chebyshev series at scaled rows and columns, shape (n_row, n_column)."""
    across, along = (
        np.polynomial.chebyshev.chebvander(at, n - 1) for at, n in zip((row, column), coefficients.shape, strict=True)
    )
    return np.asarray(across @ coefficients @ along.T, dtype=float)


def scaled(pixel: NDArray[Any], n: int) -> Array:
    """Pixels 0 to n - 1 as -1 to 1."""
    return (2 * np.asarray(pixel, dtype=float) - (n - 1)) / max(n - 1, 1)


@dataclass(frozen=True)
class SkyModel:
    """The sky of one exposure.

    Attributes
    ----------
    sky : GlobalSky
        In MJy per pixel of a fifth of the pitch.
    cutouts : dict of str to CutoutPlace
        By file name.
    """

    sky: GlobalSky
    cutouts: dict[str, CutoutPlace]

    def write(self, path: Path) -> None:
        """Write the product; the spectrum and the slitlets are tables that anyone can read."""
        sky, grids = self.sky, self.sky.grids
        blocks = sky.blocks
        header = fits.Header()
        header["CHI2"] = (sky.chi2, "per blank pixel, after clipping")
        header["SCATTER"] = (sky.scatter[0], "of the scale among slitlets")
        header["SCATSLOP"] = (sky.scatter[1], "of its slope along the wavelength")
        header["NPIX"] = (int(sky.blank.sum()), "blank pixels used")
        header["NTERMS"] = (grids.n_terms, "terms of the field")
        for k, axis in enumerate("23"):
            header[f"V{axis}MID"] = (float(grids.centre[k]), "[arcsec] middle of the field")
            header[f"V{axis}HALF"] = (float(grids.half[k]), "[arcsec] half width of the field")
        spectrum = _table(
            "SPECTRUM", wave=grids.nodes, step=grids.native, flux=sky.spectrum, flux_error=np.sqrt(sky.variance)
        )
        slope = _table("CALSLOPE", wave=grids.coarse, slope=sky.values[blocks.slope_of_calibration])
        images = {
            "BARS": sky.values[blocks.bars],
            "BARS_VAR": sky.bars_variance,
            "WINGS": sky.values[blocks.wings],
            "FIELD": sky.values[blocks.field],
            "FIELD_VAR": sky.elsewhere,
        }
        scales = _table(
            "SLITLETS", scale=sky.factors[:, 0], slope=sky.factors[:, 1], covariance=sky.covariance, pixels=sky.blank
        )
        hdus = [fits.PrimaryHDU(header=header), spectrum, slope, scales, self._cutout_table()]
        hdus += [fits.ImageHDU(data if data.size else None, name=name) for name, data in images.items()]
        write_fits(path, fits.HDUList(hdus))

    def _cutout_table(self) -> fits.BinTableHDU:
        c = list(self.cutouts.values())
        return _table(
            "CUTOUTS",
            name=np.array([x.name for x in c]),
            slitlet=np.array([x.slitlet for x in c]),
            shape=np.array([x.shape for x in c]),
            shutters=np.array([",".join(map(str, x.shutters)) for x in c]),
            place=np.array([x.place for x in c]),
            y=np.array([x.y for x in c]),
            shift=np.array([x.shift for x in c]),
        )

    @classmethod
    def read(cls, path: Path) -> SkyModel:
        """Read the product.

        Raises
        ------
        DataError
            The file is damaged or lacks an extension.
        """
        with open_fits(path) as hdus:
            try:
                header = hdus[0].header
                tables = {n: np.array(hdus[n].data) for n in ("SPECTRUM", "CALSLOPE", "SLITLETS", "CUTOUTS")}
                images = {n: _image(hdus[n]) for n in ("BARS", "BARS_VAR", "WINGS", "FIELD", "FIELD_VAR")}
                grids = _grids(header, tables)
                scatter = (float(header["SCATTER"]), float(header["SCATSLOP"]))
                chi2 = float(header["CHI2"])
            except KeyError as error:
                raise DataError(f"not a sky model: {error}", file=path, remedy="redo sky") from error
        return cls(_sky(grids, tables, images, scatter, chi2), _cutouts(tables["CUTOUTS"]))


def _table(extension: str, /, **columns: NDArray[Any]) -> fits.BinTableHDU:
    names, arrays = list(columns), list(columns.values())
    kinds = [(n, a.dtype if a.dtype.kind == "U" else ("i8" if a.dtype.kind == "i" else "f8"), a.shape[1:])
             for n, a in zip(names, arrays, strict=True)]  # fmt: skip
    rows = np.zeros(len(arrays[0]), dtype=kinds)
    for n, a in columns.items():
        rows[n] = a
    return fits.BinTableHDU(rows, name=extension)


def _image(hdu: fits.ImageHDU) -> Array:
    return np.zeros(0) if hdu.data is None else np.array(hdu.data, dtype=float)


def _grids(header: fits.Header, tables: dict[str, np.ndarray]) -> Grids:
    spectrum = tables["SPECTRUM"]
    return Grids(
        nodes=np.array(spectrum["wave"], dtype=float),
        native=np.array(spectrum["step"], dtype=float),
        coarse=np.array(tables["CALSLOPE"]["wave"], dtype=float),
        n_terms=int(header["NTERMS"]),
        centre=np.array([header["V2MID"], header["V3MID"]], dtype=float),
        half=np.array([header["V2HALF"], header["V3HALF"]], dtype=float),
    )


def _sky(
    grids: Grids,
    tables: dict[str, np.ndarray],
    images: dict[str, Array],
    scatter: tuple[float, float],
    chi2: float,
) -> GlobalSky:
    blocks = Blocks.of(grids, 0)
    parts = (tables["SPECTRUM"]["flux"], tables["CALSLOPE"]["slope"], images["BARS"], images["WINGS"], images["FIELD"])
    values = np.zeros(blocks.size)
    for name, part in zip(VECTORS, parts, strict=True):
        values[blocks.parts()[name]] = part
    slitlets = tables["SLITLETS"]
    return GlobalSky(
        grids=grids,
        values=values,
        variance=np.array(tables["SPECTRUM"]["flux_error"], dtype=float) ** 2,
        bars_variance=images["BARS_VAR"],
        factors=np.column_stack([slitlets["scale"], slitlets["slope"]]).astype(float),
        covariance=np.array(slitlets["covariance"], dtype=float),
        elsewhere=images["FIELD_VAR"],
        scatter=scatter,
        blank=np.array(slitlets["pixels"], dtype=int),
        chi2=chi2,
    )


def _cutouts(table: np.ndarray) -> dict[str, CutoutPlace]:
    found = {}
    for row in table:
        name = row["name"].decode()
        shutters = tuple(int(k) for k in row["shutters"].decode().split(",") if k)
        place, y, shift = (np.array(row[key], dtype=float) for key in ("place", "y", "shift"))
        shape = (int(row["shape"][0]), int(row["shape"][1]))
        found[name] = CutoutPlace(name, int(row["slitlet"]), shape, shutters, place, y, shift)
    return found
