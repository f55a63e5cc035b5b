"""Count-rate images: the scene as the optical model throws it on the detectors.

For every aperture (slitlet, failed shutter, fixed slit) the forward model is evaluated on a grid of wavelength and
slit position and inverted numerically: each pixel gets the wavelengths of its left and right edge and the slit
coordinates of its lower and upper edge. Spectra are then integrated between the first and slit profiles between the
second. The stock pipeline's WCS, which this is to test, has no part in it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline

from nirfire.simulate import lsf, psf, response
from nirfire.simulate.optics import FIXED_SLITS, MODES, Optics, Pointing
from nirfire.simulate.scene import NOD_SHUTTERS, Scene, Slitlet, Source
from nirfire.simulate.seds import Spectrum

Array = NDArray[np.float64]
Locate = Callable[[Array, Array, Array], tuple[Array, Array]]  # (x, y, wave) of an aperture -> (col, row)

N_PIX = 2048
_BORDER = 4  # reference pixels
_N_WAVE, _N_SLIT = 420, 5
_MARGIN = 0.6  # pitch beyond the outermost open shutter: covers the profile of a pixel that straddles the bar


@dataclass(frozen=True)
class Setup:
    """The spectrograph and the telescope during one exposure.

    Attributes
    ----------
    grating, filter, detector : str
    pointing : Pointing
    n_nods : int
        Sets which shutters of a slitlet are open.
    """

    grating: str
    filter: str
    detector: str
    pointing: Pointing
    n_nods: int = 3

    @property
    def wave_range(self) -> tuple[float, float]:
        """Wavelengths that are painted [um]: the calibrated range and a little more, as light ends gradually."""
        low, high = MODES[(self.filter, self.grating)]
        return 0.96 * low, 1.06 * high

    @property
    def wave_mid(self) -> float:
        """Wavelength [um] at which positions on the sky and in the MSA plane correspond."""
        return float(np.mean(MODES[(self.filter, self.grating)]))


@dataclass(frozen=True)
class Geometry:
    """Pixels of an aperture and what falls on them.

    Attributes
    ----------
    row, col : ndarray of int, shape (n_row, 1) and (1, n_col)
    wave : ndarray, shape (n_row, n_col) [um]
        At pixel centres.
    wave_lo, wave_hi : ndarray, shape (n_row, n_col) [um]
        At the pixel's edges, ``wave_lo < wave_hi``.
    y_lo, y_hi : ndarray, shape (n_row, n_col)
        Slit coordinate at the pixel's edges, ``y_lo < y_hi``.
    """

    row: NDArray[np.int64]
    col: NDArray[np.int64]
    wave: Array
    wave_lo: Array
    wave_hi: Array
    y_lo: Array
    y_hi: Array


@dataclass(frozen=True)
class Placement:
    """Where a source lies in one exposure.

    Attributes
    ----------
    shutter : int
        ``ycen`` of the shutter that it is in.
    dx, dy : float [pitch]
        From the centre of that shutter.
    """

    shutter: int
    dx: float
    dy: float


def _lagrange(nodes: Array, values: Array, at: Array) -> Array:
    """Polynomial through `values` (k, n) at `nodes` (k, n), evaluated at `at` (m, n)."""
    total = np.zeros(at.shape)
    for i in range(len(nodes)):
        basis = np.ones(at.shape)
        for j in range(len(nodes)):
            if j != i:
                basis *= (at - nodes[j]) / (nodes[i] - nodes[j])
        total += basis * values[i]
    return total


def aperture_geometry(
    locate: Locate, x_of_wave: Callable[[Array], Array], y_range: tuple[float, float], wave_range: tuple[float, float]
) -> Geometry | None:
    """Invert the forward model over the pixels of one aperture.

    Parameters
    ----------
    locate : callable
        (x, y, wave) -> (col, row), all broadcasting; x and y in the aperture's own units.
    x_of_wave : callable
        Where across the aperture the light of a wavelength enters.
    y_range : tuple of 2 floats
        Extent along the aperture.
    wave_range : tuple of 2 floats [um]

    Returns
    -------
    Geometry or None
        None when no light falls on the sensitive pixels.

    Notes
    -----
    Along the dispersion a cubic spline of wavelength over column for each of five slit positions; across it a quartic
    through those five. The error is below 1e-3 px for NIRSpec's smooth distortion.
    """
    wave = np.geomspace(wave_range[0] * 0.99, wave_range[1] * 1.01, _N_WAVE)
    slit = np.linspace(*y_range, _N_SLIT)
    col, row = locate(x_of_wave(wave), slit[:, None], wave)
    first = max(_BORDER, int(np.ceil(col[:, 0].max() + 0.5)))
    last = min(N_PIX - 1 - _BORDER, int(np.floor(col[:, -1].min() - 0.5)))
    low, high = max(_BORDER, int(np.floor(row.min()))), min(N_PIX - 1 - _BORDER, int(np.ceil(row.max())))
    if last < first or high < low:
        return None
    halves = np.arange(2 * first - 1, 2 * last + 2) / 2.0  # edges and centres of the columns
    waves = np.array([CubicSpline(c, wave)(halves) for c in col])
    rows = np.array([CubicSpline(c, r)(halves) for c, r in zip(col, row, strict=True)])
    band = rows.min() - 1, rows.max() + 1
    low, high = max(low, int(np.floor(band[0]))), min(high, int(np.ceil(band[1])))
    if high < low:
        return None
    pixel = np.arange(low, high + 1)[:, None].astype(float)
    edges = np.arange(low - 0.5, high + 1.0)[:, None]
    at_edge = _lagrange(rows[:, ::2], waves[:, ::2], np.broadcast_to(pixel, (len(pixel), last - first + 2)))
    shape = (len(pixel), last - first + 1)
    centre = _lagrange(rows[:, 1::2], waves[:, 1::2], np.broadcast_to(pixel, shape))
    y_nodes = np.broadcast_to(slit[:, None], rows[:, 1::2].shape)
    y_edge = _lagrange(rows[:, 1::2], y_nodes, np.broadcast_to(edges, (len(edges), shape[1])))
    return Geometry(
        row=np.arange(low, high + 1)[:, None],
        col=np.arange(first, last + 1)[None, :],
        wave=centre,
        wave_lo=at_edge[:, :-1],
        wave_hi=at_edge[:, 1:],
        y_lo=np.minimum(y_edge[:-1], y_edge[1:]),
        y_hi=np.maximum(y_edge[:-1], y_edge[1:]),
    )


def place_source(optics: Optics, setup: Setup, slitlet: Slitlet, sky: tuple[float, float]) -> Placement:
    """Shutter and position in it of a sky position (RA, Dec [deg]) under the exposure's pointing."""
    v2, v3 = optics.sky_to_v2v3(*sky, setup.pointing)
    x, y = optics.v2v3_to_msa(v2, v3, setup.wave_mid, filter=setup.filter)
    along, across = optics.msa_to_shutter(slitlet.quadrant, x, y)
    shutter = int(np.rint(across))
    return Placement(shutter, float(along) - slitlet.xcen, float(across) - shutter)


def source_sky(optics: Optics, setup: Setup, slitlet: Slitlet, source: Source) -> tuple[float, float]:
    """RA, Dec [deg] of a source from its planned place in the slitlet; `setup` is the first nod's."""
    x, y = optics.shutter_to_msa(slitlet.quadrant, slitlet.xcen, slitlet.ycen + source.shutter, source.dx, source.dy)
    v2, v3 = optics.msa_to_v2v3(x, y, setup.wave_mid, filter=setup.filter)
    ra, dec = optics.sky(v2, v3, setup.pointing)
    return float(ra), float(dec)


@lru_cache(maxsize=128)
def _blurred(spectrum: Spectrum, size: float, grating: str, wave_range: tuple[float, float]) -> lsf.Blurred:
    grid = lsf.natural_grid(grating, (wave_range[0] * 0.95, wave_range[1] * 1.05), size)
    return lsf.blur(grid, spectrum.integral(grid))


class Painter:
    """Paints one exposure on one detector; add what shines, then take `image` [DN/s]."""

    def __init__(self, optics: Optics, setup: Setup) -> None:
        self.optics, self.setup = optics, setup
        self.image = np.zeros((N_PIX, N_PIX))

    def _add(self, g: Geometry, value: Array, shutter: tuple[int, int, int]) -> None:
        """Add uJy per pixel (as a centred point source would count) after throughput and flats."""
        s = self.setup
        mode = {"filter": s.filter, "grating": s.grating}
        inside = (g.wave > s.wave_range[0]) & (g.wave < s.wave_range[1])
        wave = np.clip(g.wave, *s.wave_range)
        reference = psf.transmission(wave, 0.0, 0.0, (-1, 0, 1))
        flat = (
            response.dflat(g.col, g.row, wave, detector=s.detector)
            * response.sflat(g.col, g.row, wave, detector=s.detector, **mode)
            * response.fflat(wave, *shutter, **mode)
        )
        rate = np.where(inside, value / reference * flat / response.photom(wave, **mode), 0.0)
        self.image[g.row, g.col] += rate

    def _locate(self, quadrant: int, xcen: int, ycen: int) -> Locate:
        s = self.setup

        def locate(x: Array, y: Array, wave: Array) -> tuple[Array, Array]:
            msa = self.optics.shutter_to_msa(quadrant, xcen, ycen, x, y)
            return self.optics.msa_to_detector(*msa, wave, grating=s.grating, detector=s.detector)

        return locate

    def source(self, slitlet: Slitlet, source: Source, place: Placement, shutters: tuple[int, ...]) -> None:
        """Add a source; `shutters` are those open, relative to the slitlet's central one."""
        offset = place.shutter - slitlet.ycen
        relative = tuple(k - offset for k in shutters)
        if not relative or min(abs(k) for k in relative) > 3 or abs(place.dx) > 3:
            return
        locate = self._locate(slitlet.quadrant, slitlet.xcen, place.shutter)
        extent = (min(relative) - 0.5 - _MARGIN, max(relative) + 0.5 + _MARGIN)

        def entry(wave: Array) -> Array:
            return psf.centroid_x(wave, place.dx, source.size)

        g = aperture_geometry(locate, entry, extent, self.setup.wave_range)
        if g is None:
            return
        wave = np.clip(g.wave, *self.setup.wave_range)
        share = psf.row_fractions(wave, g.y_lo, g.y_hi, place.dx, place.dy, relative, source.size)
        spectrum = _blurred(source.spectrum, source.size, self.setup.grating, self.setup.wave_range)
        fnu = spectrum.mean(g.wave_lo, g.wave_hi)
        self._add(g, fnu * share, (slitlet.quadrant, slitlet.xcen, place.shutter))

    def sky(self, quadrant: int, xcen: int, ycen: int, shutters: tuple[int, ...], sky: Callable[..., Array]) -> None:
        """Add sky through open shutters (relative to `ycen`); `sky` is surface brightness over (wave, x, y)."""
        if not shutters:
            return
        extent = (min(shutters) - 0.5 - _MARGIN, max(shutters) + 0.5 + _MARGIN)
        g = aperture_geometry(self._locate(quadrant, xcen, ycen), np.zeros_like, extent, self.setup.wave_range)
        if g is None:
            return
        x, y = self.optics.shutter_to_msa(quadrant, xcen, ycen, 0.0, 0.5 * (g.y_lo + g.y_hi))
        brightness = sky(np.clip(g.wave, *self.setup.wave_range), x, y)
        area = psf.OPEN[0] * psf.PITCH[0] * psf.PITCH[1] * psf.open_share(g.y_lo, g.y_hi, shutters)
        self._add(g, brightness * area, (quadrant, xcen, ycen))

    def fixed_slit(self, name: str, sky: Callable[..., Array]) -> None:
        """Add sky through one of the slits that are always open (y in units of its height)."""
        s, slit = self.setup, self.optics.fixed_slits[name]

        def locate(x: Array, y: Array, wave: Array) -> tuple[Array, Array]:
            msa = self.optics.fixed_slit_to_msa(name, x, y)
            return self.optics.msa_to_detector(*msa, wave, grating=s.grating, detector=s.detector)

        g = aperture_geometry(locate, np.zeros_like, (-0.55, 0.55), s.wave_range)
        if g is None:
            return
        pitch = self.optics.quadrants[1]["pitch"]
        width, height = slit["width"] / pitch[0] * psf.PITCH[0], slit["height"] / pitch[1] * psf.PITCH[1]
        share = np.clip(g.y_hi, -0.5, 0.5) - np.clip(g.y_lo, -0.5, 0.5)
        x, y = self.optics.fixed_slit_to_msa(name, 0.0, 0.5 * (g.y_lo + g.y_hi))
        brightness = sky(np.clip(g.wave, *s.wave_range), x, y)
        self._add(g, brightness * width * height * share, (3, 183, 86))


def open_shutters(slitlet: Slitlet, n_nods: int) -> tuple[int, ...]:
    """Shutters of a slitlet that let light in, relative to its central one, in increasing order."""
    return tuple(sorted(set(NOD_SHUTTERS[n_nods]) - set(slitlet.stuck_closed)))


def paint(scene: Scene, optics: Optics, setup: Setup, places: dict[int, Placement]) -> Array:
    """Count-rate image of a scene.

    Parameters
    ----------
    scene : Scene
    optics : Optics
    setup : Setup
    places : dict
        Placement of each source, by number.

    Returns
    -------
    ndarray, shape (2048, 2048) [DN/s]
    """
    painter = Painter(optics, setup)
    for slitlet in scene.slitlets:
        shutters = open_shutters(slitlet, setup.n_nods)
        painter.sky(slitlet.quadrant, slitlet.xcen, slitlet.ycen, shutters, scene.sky.brightness)
        for source in slitlet.sources:
            painter.source(slitlet, source, places[source.source_id], shutters)
    if scene.failed_open:
        for bad in response.msa_operability():
            if bad.state == "open":
                painter.sky(bad.quadrant, bad.xcen, bad.ycen, (0,), scene.sky.brightness)
        for name in FIXED_SLITS:
            painter.fixed_slit(name, scene.sky.brightness)
    return painter.image
