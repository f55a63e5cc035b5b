"""Spectra of the simulated sources: stellar continua with breaks, dust, the intergalactic medium, emission lines.

These are our own simple populations, made independently of the templates that the redshift fit uses: a stellar
population is a sum of black bodies with the Balmer and 4000 A breaks and the strong absorption lines, reddened by the
law of Calzetti et al. (2000), with gas lines in case B ratios (Osterbrock & Ferland 2006, 10^4 K) and usual metal-line
ratios, and the mean intergalactic transmission of Madau (1995). Wavelengths are in vacuum.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import erf

Array = NDArray[np.float64]

C_KMS = 299792.458
LYMAN_ALPHA, LYMAN_LIMIT = 0.1215670, 0.0911763
UJY_UM_PER_CGS = 1e25 / 2.99792458e10  # a line of 1 erg/s/cm2 at 1 um has this integral of f_nu over wave [uJy um]
_GRID = (0.30, 6.5, 24000)  # um, um, points: logarithmic, 40 km/s apart

# Rest wavelength [um], strength relative to H-beta in a star-forming region of moderate metallicity.
NEBULAR: dict[str, tuple[float, float]] = {
    "LyA": (0.1215670, 4.0),
    "CIII]": (0.1908734, 0.25),
    "MgII": (0.2799117, 0.10),
    "[OII]3727": (0.3727092, 0.75),
    "[OII]3730": (0.3729875, 1.00),
    "[NeIII]3870": (0.3869860, 0.40),
    "H8": (0.3890166, 0.107),
    "[NeIII]3969": (0.3968590, 0.12),
    "Hepsilon": (0.3971200, 0.159),
    "Hdelta": (0.4102892, 0.259),
    "Hgamma": (0.4341684, 0.469),
    "[OIII]4364": (0.4364436, 0.05),
    "HeII4687": (0.4687020, 0.01),
    "Hbeta": (0.4862683, 1.000),
    "[OIII]4960": (0.4960295, 1.34),
    "[OIII]5008": (0.5008240, 4.00),
    "HeI5877": (0.5877249, 0.115),
    "[OI]6302": (0.6302046, 0.06),
    "[NII]6550": (0.6549860, 0.10),
    "Halpha": (0.6564614, 2.860),
    "[NII]6585": (0.6585270, 0.30),
    "[SII]6718": (0.6718290, 0.25),
    "[SII]6733": (0.6732670, 0.19),
    "[ArIII]7138": (0.7137770, 0.08),
    "[SIII]9071": (0.9071100, 0.22),
    "[SIII]9533": (0.9533200, 0.55),
    "Padelta": (1.0052100, 0.0555),
    "HeI10833": (1.0833200, 0.45),
    "Pagamma": (1.0941100, 0.0904),
    "Pabeta": (1.2821600, 0.163),
    "Paalpha": (1.8756100, 0.339),
    "Brgamma": (2.1661200, 0.0277),
}


@dataclass(frozen=True)
class Line:
    """An emission line as observed.

    Attributes
    ----------
    name : str
    wave : float [um]
        Observed wavelength.
    flux : float [1e-18 erg/s/cm2]
    width : float [km/s]
        Intrinsic standard deviation.
    """

    name: str
    wave: float
    flux: float
    width: float

    @property
    def area(self) -> float:
        """Integral of f_nu over wavelength [uJy um]."""
        return self.flux * 1e-18 * self.wave**2 * UJY_UM_PER_CGS

    def integral(self, edges: Array) -> Array:
        """Running integral of f_nu up to `edges` [um]; [uJy um]."""
        s = max(self.width / C_KMS * self.wave, 1e-7)
        return 0.5 * self.area * (1.0 + erf((edges - self.wave) / (np.sqrt(2.0) * s)))

    def density(self, wave: Array) -> Array:
        """f_nu [uJy] at wavelengths [um]."""
        s = max(self.width / C_KMS * self.wave, 1e-7)
        return self.area * np.exp(-0.5 * ((wave - self.wave) / s) ** 2) / (np.sqrt(2.0 * np.pi) * s)


@dataclass(frozen=True, eq=False)
class Spectrum:
    """Total f_nu of a source, before any aperture or resolution. Compared by identity.

    Attributes
    ----------
    wave, continuum : ndarray, shape (n,) [um], [uJy]
    lines : tuple of Line
    """

    wave: Array
    continuum: Array
    lines: tuple[Line, ...] = ()

    def integral(self, edges: Array) -> Array:
        """Running integral of f_nu over wavelength up to each of `edges` [um]; [uJy um].

        The continuum is integrated exactly as a piecewise linear function on its own (fine) grid and the running
        integral interpolated linearly; beyond the grid the continuum is zero. Lines are exact.
        """
        steps = 0.5 * (self.continuum[1:] + self.continuum[:-1]) * np.diff(self.wave)
        total = np.interp(edges, self.wave, np.concatenate([[0.0], np.cumsum(steps)]))
        for line in self.lines:
            total = total + line.integral(edges)
        return total

    def density(self, wave: ArrayLike) -> Array:
        """f_nu [uJy] at infinite resolution."""
        lam = np.asarray(wave, dtype=float)
        total = np.interp(lam, self.wave, self.continuum, left=0.0, right=0.0)
        for line in self.lines:
            total = total + line.density(lam)
        return total


def observed_grid() -> Array:
    """The grid on which continua are kept [um]."""
    return np.geomspace(*_GRID)


def _planck_fnu(wave: Array, temperature: float) -> Array:
    """Black body in f_nu, normalised to one at 0.55 um rest."""
    x = np.clip(1.438777e4 / (wave * temperature), 1e-6, 600.0)
    x0 = 1.438777e4 / (0.55 * temperature)
    return (0.55 / wave) ** 3 * np.expm1(x0) / np.expm1(x)


def _step(wave: Array, centre: float, width: float) -> Array:
    """Smooth rise from 0 to 1."""
    return 0.5 * (1.0 + np.tanh((wave - centre) / width))


def stellar_continuum(rest: Array, old: float, balmer: float) -> Array:
    """f_nu of a stellar population, one at 0.55 um rest.

    Parameters
    ----------
    rest : ndarray [um]
        Rest wavelength.
    old : float
        Share of the light at 0.55 um from an old population (0 to 1), which sets the 4000 A break.
    balmer : float
        Depth of the Balmer break of the young part: f_nu below it is multiplied by ``1 - balmer``.

    Notes
    -----
    Below the Lyman limit nothing escapes.
    """
    young = 0.75 * _planck_fnu(rest, 40000.0) + 0.25 * _planck_fnu(rest, 9500.0)
    young *= 1.0 - balmer * (1.0 - _step(rest, 0.371, 0.006))
    aged = 0.8 * _planck_fnu(rest, 4700.0) + 0.2 * _planck_fnu(rest, 3200.0)
    aged *= 1.0 - 0.45 * (1.0 - _step(rest, 0.3985, 0.005)) - 0.25 * (1.0 - _step(rest, 0.29, 0.02))
    for centre, width, depth in (
        (0.39347, 0.0010, 0.35),
        (0.39696, 0.0010, 0.35),
        (0.43050, 0.0012, 0.20),
        (0.51750, 0.0040, 0.18),
        (0.52700, 0.0018, 0.10),
        (0.58943, 0.0010, 0.15),
        (0.85444, 0.0010, 0.15),
        (0.86645, 0.0010, 0.12),
    ):
        aged *= 1.0 - depth * np.exp(-0.5 * ((rest - centre) / width) ** 2)
    for centre, depth in ((0.41029, 0.22), (0.43417, 0.22), (0.48627, 0.20), (0.65646, 0.12), (0.39712, 0.22)):
        young *= 1.0 - depth * np.exp(-0.5 * ((rest - centre) / 0.0011) ** 2)
    total = (1.0 - old) * young + old * aged
    bump = 1.0 + 0.25 * old * np.exp(-0.5 * ((rest - 1.6) / 0.22) ** 2)  # the H- opacity minimum
    return total * bump * (rest > LYMAN_LIMIT)


def dust(rest: ArrayLike, a_v: float) -> Array:
    """Transmission of the starburst law of Calzetti et al. (2000), R_V = 4.05, held at its red end beyond 2.2 um."""
    lam = np.clip(np.asarray(rest, dtype=float), 0.09, 2.2)
    blue = 2.659 * (-2.156 + 1.509 / lam - 0.198 / lam**2 + 0.011 / lam**3) + 4.05
    red = 2.659 * (-1.857 + 1.040 / lam) + 4.05
    return 10 ** (-0.4 * a_v * np.clip(np.where(lam < 0.63, blue, red), 0.0, None) / 4.05)


def igm(wave: ArrayLike, z: float) -> Array:
    """Mean intergalactic transmission: Madau (1995), equations 12 and 15 and footnote 3.

    Gas beyond redshift 5.5 is opaque to Lyman alpha.
    """
    lam = np.asarray(wave, dtype=float) * 1e4
    tau = np.zeros_like(lam)
    for rest, strength in ((1215.67, 3.6e-3), (1025.72, 1.7e-3), (972.537, 1.2e-3), (949.743, 9.3e-4)):
        tau += np.where(lam < rest * (1 + z), strength * (lam / rest) ** 3.46, 0.0)
    x_c, x_e = lam / 911.75, 1.0 + z
    photo = (
        0.25 * x_c**3 * (x_e**0.46 - x_c**0.46)
        + 9.4 * x_c**1.5 * (x_e**0.18 - x_c**0.18)
        - 0.7 * x_c**3 * (x_c**-1.32 - x_e**-1.32)
        - 0.023 * (x_e**1.68 - x_c**1.68)
    )
    tau += np.where(x_c < x_e, np.clip(photo, 0.0, None), 0.0)
    neutral = (lam < 1215.67 * (1 + z)) & (lam > 1215.67 * 6.5)
    return np.exp(-np.where(neutral, tau + 8.0, tau))


def nebular_lines(
    z: float, hbeta: float, width: float = 90.0, scale: Mapping[str, float] | None = None
) -> tuple[Line, ...]:
    """Emission lines of a star-forming region.

    Parameters
    ----------
    z : float
    hbeta : float [1e-18 erg/s/cm2]
    width : float [km/s]
        Standard deviation.
    scale : mapping, optional
        Factors on the standard ratios by line name or by ion prefix (for example ``{"[OIII]": 0.3, "LyA": 0.0}``);
        the key ``"dust"`` is A_V [mag] of the gas.
    """
    scale = dict(scale or {})
    a_v = scale.pop("dust", 0.0)
    lines = []
    for name, (rest, ratio) in NEBULAR.items():
        factor = scale.get(name, next((v for k, v in scale.items() if k.endswith("]") and name.startswith(k)), 1.0))
        flux = hbeta * ratio * factor * float(dust(rest, a_v) / dust(NEBULAR["Hbeta"][0], a_v))
        if flux > 0:
            lines.append(Line(name, rest * (1 + z), flux, width))
    return tuple(lines)


@dataclass(frozen=True)
class Galaxy:
    """Parameters of a galaxy's spectrum.

    Attributes
    ----------
    z : float
    fnu : float [uJy]
        Continuum at `pivot`.
    pivot : float [um]
        Observed wavelength of `fnu`.
    hbeta : float [1e-18 erg/s/cm2]
        Observed flux of H-beta, after dust.
    old, balmer, a_v : float
        See :func:`stellar_continuum` and :func:`dust`.
    """

    z: float
    fnu: float
    pivot: float = 2.5
    hbeta: float = 0.0
    old: float = 0.1
    balmer: float = 0.15
    a_v: float = 0.2


def galaxy(model: Galaxy, scale: Mapping[str, float] | None = None) -> Spectrum:
    """Spectrum of a galaxy; `scale` as in :func:`nebular_lines`."""
    wave = observed_grid()
    rest = wave / (1 + model.z)
    shape = stellar_continuum(rest, model.old, model.balmer) * dust(rest, model.a_v) * igm(wave, model.z)
    continuum = model.fnu * shape / np.interp(model.pivot, wave, shape)
    ratios = {"dust": model.a_v, "LyA": 0.15 if model.z < 6 else 0.0, **(scale or {})}
    lines = nebular_lines(model.z, model.hbeta, scale=ratios) if model.hbeta > 0 else ()
    return Spectrum(wave, continuum, lines)


def broad_line_agn(z: float, fnu: float, hbeta: float, fwhm: float = 3200.0) -> Spectrum:
    """A power law with broad Balmer, helium and magnesium lines and narrow forbidden lines.

    `hbeta` [1e-18 erg/s/cm2] is the narrow line's; the broad one is four times stronger.
    """
    wave = observed_grid()
    continuum = fnu * (wave / 2.5) ** 0.8 * igm(wave, z) * (wave / (1 + z) > LYMAN_LIMIT)
    narrow = nebular_lines(z, hbeta, 150.0, {"LyA": 0.0, "[OIII]": 1.6})
    width = fwhm / 2.354820045
    broad = tuple(
        Line(f"{name} broad", NEBULAR[name][0] * (1 + z), 4.0 * hbeta * ratio, width)
        for name, ratio in (
            ("MgII", 1.0),
            ("Hgamma", 0.4),
            ("Hbeta", 1.0),
            ("Halpha", 3.6),
            ("HeI10833", 0.5),
            ("Pabeta", 0.2),
        )
    )
    return Spectrum(wave, continuum, narrow + broad)


def cool_star(fnu: float, temperature: float = 3300.0) -> Spectrum:
    """A cool star: black body with titanium-oxide and water bands; f_nu [uJy] at 1.65 um."""
    wave = observed_grid()
    shape = _planck_fnu(wave, temperature)
    for centre, width, depth in (
        (0.67, 0.02, 0.35),
        (0.715, 0.02, 0.45),
        (0.765, 0.02, 0.40),
        (0.855, 0.02, 0.30),
        (0.94, 0.02, 0.20),
        (1.13, 0.04, 0.15),
        (1.40, 0.08, 0.30),
        (1.90, 0.11, 0.30),
        (2.70, 0.16, 0.30),
        (4.60, 0.20, 0.15),
    ):
        shape *= 1.0 - depth * np.exp(-0.5 * ((wave - centre) / width) ** 2)
    return Spectrum(wave, fnu * shape / np.interp(1.65, wave, shape))


def power_law(fnu: float, slope: float = 0.0, lines: tuple[Line, ...] = ()) -> Spectrum:
    """f_nu = `fnu` (wave / 2.5 um)^slope [uJy]: the simplest flux standard."""
    wave = observed_grid()
    return Spectrum(wave, fnu * (wave / 2.5) ** slope, lines)
