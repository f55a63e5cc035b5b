"""What the simulated telescope looks at: sources in slitlets, sky, failed shutters; and the standard demo scene."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nirfire.errors import DataError
from nirfire.simulate import seds
from nirfire.simulate.operability import msa_operability
from nirfire.simulate.seds import Galaxy, Spectrum

Array = NDArray[np.float64]

NOD_SHUTTERS: dict[int, tuple[int, ...]] = {1: (0,), 2: (0, 1), 3: (0, -1, 1), 5: (0, -1, 1, -2, 2)}
"""Shutter of the source at each nod, relative to its shutter at the first; together they are the open slitlet."""

# ln(surface brightness [uJy/arcsec2]) of the sky as a polynomial in ln(wave [um]), highest power first: scattered
# sunlight, stray light and thermal emission; our fit (12 %) to the JWST background tool for a dark field.
_LN_SKY = (0.5857, -0.6069, 0.0251, -0.6463, -0.0857, 1.7867)


@dataclass(frozen=True)
class Source:
    """A source in the field.

    Attributes
    ----------
    source_id : int
    kind : str
        point, galaxy, agn, star.
    z : float
        Redshift; NaN where there is none (flux standards, stars have 0).
    spectrum : Spectrum
        Total f_nu.
    dx, dy : float [pitch]
        Position from the centre of the shutter it is planned in, at the first nod.
    shutter : int
        That shutter, relative to the slitlet's central one.
    size : float [arcsec]
        Standard deviation of a round Gaussian; zero is a point.
    primary : bool
        The slitlet was placed on this source.
    catalogued : bool
        The source is in the MSA metafile.
    """

    source_id: int
    kind: str
    z: float
    spectrum: Spectrum
    dx: float = 0.0
    dy: float = 0.0
    shutter: int = 0
    size: float = 0.0
    primary: bool = True
    catalogued: bool = True


@dataclass(frozen=True)
class Slitlet:
    """A row of open shutters.

    Attributes
    ----------
    slitlet_id : int
    quadrant, xcen, ycen : int
        The shutter in which the source lies at the first nod (1..365 along, 1..171 across the dispersion).
    sources : tuple of Source
        Empty in a slitlet that sees sky only.
    stuck_closed : tuple of int
        Shutters, relative to `ycen`, that were commanded open and stayed closed.
    blank : str
        How a slitlet without source stands in the metafile: ``virtual`` (negative source number, planned as if a
        source sat at its centre) or ``background`` (source number 0, no primary).
    """

    slitlet_id: int
    quadrant: int
    xcen: int
    ycen: int
    sources: tuple[Source, ...] = ()
    stuck_closed: tuple[int, ...] = ()
    blank: str = "virtual"


@dataclass(frozen=True)
class Sky:
    """Surface brightness of the sky over the MSA.

    Attributes
    ----------
    level : float
        Factor on the standard dark sky.
    gradient : tuple of 2 floats
        Relative change over the MSA plane's half-width along x and y.
    ripple : float
        Amplitude of a relative variation on a scale of a quarter of the MSA.
    """

    level: float = 1.0
    gradient: tuple[float, float] = (0.06, -0.04)
    ripple: float = 0.02

    def brightness(self, wave: ArrayLike, x: ArrayLike, y: ArrayLike) -> Array:
        """Surface brightness [uJy/arcsec2] at wavelengths [um] and positions in the MSA plane [m]."""
        u, v = np.asarray(x, float) / 0.043, np.asarray(y, float) / 0.043
        place = 1.0 + self.gradient[0] * u + self.gradient[1] * v + self.ripple * np.sin(6.0 * u) * np.cos(5.0 * v)
        return self.level * place * np.exp(np.polyval(_LN_SKY, np.log(np.asarray(wave, float))))


@dataclass(frozen=True)
class Scene:
    """Everything that shines, and the shutters it shines through.

    Attributes
    ----------
    slitlets : tuple of Slitlet
    sky : Sky
    failed_open : bool
        Paint the sky through the instrument's failed-open shutters and the fixed slits.
    ra, dec, roll : float [deg]
        Pointing of the reference aperture at the first nod.
    """

    slitlets: tuple[Slitlet, ...]
    sky: Sky = field(default_factory=Sky)
    failed_open: bool = True
    ra: float = 53.1500
    dec: float = -27.8000
    roll: float = 312.0

    def __post_init__(self) -> None:
        ids = [s.source_id for _, s in self.sources()]
        numbers = [s.slitlet_id for s in self.slitlets]
        if len(set(ids)) != len(ids) or len(set(numbers)) != len(numbers):
            raise DataError("source and slitlet numbers of a scene must differ", key="source_id")
        for slitlet in self.slitlets:
            if sum(s.primary for s in slitlet.sources) > 1:
                raise DataError("a slitlet has at most one primary source", key=f"slitlet {slitlet.slitlet_id}")

    def sources(self) -> list[tuple[Slitlet, Source]]:
        """Every source with its slitlet."""
        return [(slitlet, source) for slitlet in self.slitlets for source in slitlet.sources]


def standard_sky(wave: ArrayLike) -> Array:
    """Surface brightness of the standard sky at the centre of the MSA [uJy/arcsec2]."""
    return Sky(gradient=(0.0, 0.0), ripple=0.0).brightness(wave, 0.0, 0.0)


def _point(source_id: int, fnu: float, slope: float, dx: float, dy: float) -> Source:
    return Source(source_id, "point", float("nan"), seds.power_law(fnu, slope), dx, dy)


def _galaxy(source_id: int, model: Galaxy, dx: float, dy: float, size: float = 0.0) -> Source:
    return Source(source_id, "galaxy", model.z, seds.galaxy(model), dx, dy, size=size)


def _standard_sources() -> dict[str, tuple[Source, ...]]:
    """Sources of the demo, by slitlet name."""
    quiescent = Galaxy(2.10, 22.0, old=0.9, balmer=0.5, a_v=0.2)
    companion = replace(_galaxy(208, Galaxy(5.20, 5.0, hbeta=20.0), 0.10, 0.10, 0.05), shutter=1, primary=False)
    contaminant = replace(_point(913, 6.0, 0.3, -0.1, -0.05), shutter=1, primary=False, catalogued=False)
    return {
        "standard": (_point(101, 20.0, 0.0, 0.0, 0.0),),
        "standard_off": (_point(102, 18.0, 0.5, 0.25, -0.2),),
        "cosmic_noon": (_galaxy(103, Galaxy(3.00, 7.0, hbeta=35.0), -0.10, 0.15, 0.08),),
        "break_seven": (_galaxy(104, Galaxy(7.30, 5.0, hbeta=22.0, old=0.0, a_v=0.05), -0.15, 0.05),),
        "agn": (Source(105, "agn", 4.50, seds.broad_line_agn(4.50, 7.0, 14.0), 0.10, -0.10),),
        "quiescent": (_galaxy(106, quiescent, 0.05, 0.20, 0.10),),
        "star": (Source(107, "star", 0.0, seds.cool_star(30.0), -0.05, -0.25),),
        "pair": (_galaxy(108, Galaxy(1.40, 14.0, hbeta=45.0, old=0.3, balmer=0.5), 0.0, -0.1, 0.06), companion),
        "line_point": (_galaxy(109, Galaxy(4.20, 10.0, hbeta=30.0), 0.10, 0.30),),
        "stuck": (_galaxy(110, Galaxy(2.60, 12.0, hbeta=45.0), -0.05, 0.0, 0.05),),
        "late": (_galaxy(111, Galaxy(5.90, 4.0, hbeta=22.0), 0.20, 0.10, 0.06),),
        "nearby": (_galaxy(112, Galaxy(0.80, 30.0, hbeta=90.0, old=0.4, a_v=0.5), 0.0, -0.05, 0.15),),
        "contaminated": (_galaxy(113, Galaxy(3.70, 8.0, hbeta=30.0), -0.1, -0.15, 0.04), contaminant),
        "standard_edge": (_point(114, 25.0, -0.5, -0.30, 0.10),),
        "break_nine": (_galaxy(115, Galaxy(9.40, 5.0, hbeta=16.0, old=0.0, a_v=0.0), 0.0, 0.0),),
    }


# name: quadrant, xcen, ycen. Slitlets of a pair of quadrants (1, 3) or (2, 4) differ in ycen by more than their
# height, so that the traces of long dispersions never meet. Quadrants 3 and 4 fall on NRS1, 1 and 2 on NRS2 (PRISM).
_PLACES: dict[str, tuple[int, int, int]] = {
    "standard": (3, 180, 30),
    "cosmic_noon": (3, 250, 56),
    "agn": (3, 140, 80),
    "star": (3, 300, 105),
    "blank_background": (3, 220, 145),
    "pair": (4, 120, 25),
    "standard_off": (4, 200, 60),
    "break_seven": (4, 160, 92),
    "quiescent": (4, 260, 130),
    "blank_virtual": (4, 230, 158),
    "line_point": (1, 150, 40),
    "late": (1, 220, 68),
    "contaminated": (1, 100, 93),
    "blank_virtual_2": (1, 180, 132),
    "standard_edge": (2, 100, 15),
    "stuck": (2, 140, 73),
    "nearby": (2, 200, 110),
    "break_nine": (2, 80, 145),
}
_GAIN = {"PRISM": (1.0, 2.0), "M": (4.0, 8.0), "H": (8.0, 16.0)}  # of continua, of lines
_SMALL = ("standard", "cosmic_noon", "agn", "blank_virtual")


def demo_scene(size: str = "standard", grating: str = "PRISM", seed: int = 1) -> Scene:
    """The scene of the demo and of the tests.

    Parameters
    ----------
    size : {"small", "standard", "large"}
        ``small``: three sources and one blank slitlet, all on NRS1. ``standard``: 16 catalogued sources on both
        detectors with every special case. ``large``: the standard one and 24 more galaxies (with a grating, traces from
        quadrants 1 and 3, or 2 and 4, may then overlap).
    grating : str
        With a grating the light is spread over 7 to 20 times more pixels: continua and lines are 4 (medium
        resolution) or 8 (high) times brighter than for the prism.
    seed : int
        For the galaxies that ``large`` adds.

    Raises
    ------
    DataError
        For an unknown size.
    """
    if size not in ("small", "standard", "large"):
        raise DataError(f"unknown size of scene {size!r}", key="size", remedy="small, standard or large")
    sources = _standard_sources()
    slitlets = []
    for number, (name, place) in enumerate(_PLACES.items(), start=1):
        if size == "small" and name not in _SMALL:
            continue
        blank = "background" if name == "blank_background" else "virtual"
        stuck = (1,) if name == "stuck" else ()
        slitlets.append(Slitlet(number, *place, sources.get(name, ()), stuck, blank))
    if size == "large":
        slitlets += _more_galaxies(slitlets, 24, seed)
    return Scene(tuple(_brighter(s, grating) for s in slitlets))


def _brighter(slitlet: Slitlet, grating: str) -> Slitlet:
    """The same slitlet with sources bright enough for a minute's exposures."""
    continuum, line = _GAIN["PRISM" if grating == "PRISM" else grating[-1]]
    sources = []
    for source in slitlet.sources:
        old = source.spectrum
        lines = tuple(replace(x, flux=x.flux * line) for x in old.lines)
        sources.append(replace(source, spectrum=Spectrum(old.wave, old.continuum * continuum, lines)))
    return replace(slitlet, sources=tuple(sources))


def _more_galaxies(taken: Sequence[Slitlet], count: int, seed: int) -> list[Slitlet]:
    """Star-forming galaxies at random free places, brightnesses and redshifts; the same number in each quadrant."""
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(77,)))
    extra: list[Slitlet] = []
    for k in range(count):
        quadrant = k % 4 + 1
        used = {s.ycen for s in (*taken, *extra) if s.quadrant == quadrant}
        used |= {bad.ycen for bad in msa_operability() if bad.quadrant == quadrant}
        free = [y for y in range(8, 164) if all(abs(y - other) > 6 for other in used)]
        z = float(np.round(rng.uniform(1.0, 8.5), 4))
        fnu, hbeta = float(10 ** rng.uniform(0.3, 1.1)), float(10 ** rng.uniform(0.9, 1.6))
        dx, dy = (float(v) for v in rng.uniform(-0.3, 0.3, 2))
        source = _galaxy(301 + k, Galaxy(z, fnu, hbeta=hbeta), dx, dy, float(rng.uniform(0.0, 0.1)))
        place = (quadrant, int(rng.integers(100, 250)), int(rng.choice(free)))
        extra.append(Slitlet(len(taken) + 1 + k, *place, (source,)))
    return extra
