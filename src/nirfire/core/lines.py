"""Emission lines: vacuum wavelengths, groups with tied flux ratios, and exact pixel integration."""

from __future__ import annotations

import math
from typing import NamedTuple

import numba
import numpy as np

from .lsf import C_KMS, FWHM_TO_SIGMA

REACH = 5.0
"""Sigmas from its centre up to which a line has light."""

# Vacuum wavelengths [um]. NIST Atomic Spectra Database; unresolved multiplets at their usual mean.
WAVE: dict[str, float] = {
    "Lya": 0.121567, "NV": 0.124080, "NIV]": 0.148650, "CIV": 0.154948, "HeII1640": 0.164042, "OIII]1663": 0.166350,
    "NIII]1750": 0.175000, "CIII]": 0.190873, "MgII2796": 0.279635, "MgII2803": 0.280353, "NeV3346": 0.334679,
    "NeV": 0.342685, "OII3727": 0.372709, "OII3730": 0.372988, "H9": 0.383647, "NeIII3869": 0.386986,
    "HeI3889": 0.388975, "H8": 0.389015, "NeIII3968": 0.396859, "Heps": 0.397120, "SII4070": 0.406975,
    "Hd": 0.410289, "Hg": 0.434168, "OIII4364": 0.436444, "HeI4473": 0.447273, "HeII4687": 0.468702,
    "Hb": 0.486268, "OIII4960": 0.496030, "OIII5008": 0.500824, "HeI5877": 0.587725, "OI6302": 0.630205,
    "OI6366": 0.636554, "NII6550": 0.654986, "Ha": 0.656461, "NII6585": 0.658527, "HeI6680": 0.667999,
    "SII6718": 0.671829, "SII6733": 0.673267, "HeI7067": 0.706720, "ArIII7138": 0.713780, "OII7320": 0.732201,
    "OII7330": 0.733169, "ArIII7753": 0.775319, "OI8449": 0.844868, "CaII8500": 0.850035, "CaII8544": 0.854444,
    "CaII8665": 0.866452, "P11": 0.886522, "P10": 0.901738, "SIII9071": 0.907110, "P9": 0.923155,
    "SIII9533": 0.953320, "Pae": 0.954859, "Pad": 1.005213, "HeI10833": 1.083321, "Pag": 1.094109, "OI11290": 1.129000,
    "FeII12570": 1.257020, "Pab": 1.282158, "FeII16440": 1.644000, "Bre": 1.817910, "Paa": 1.875613, "Brd": 1.945090,
    "HeI20587": 2.058690, "Brg": 2.166120, "Brb": 2.625870, "Pfd": 3.297000, "Pfg": 3.740560, "Bra": 4.052260,
    "Pfb": 4.653780,
}  # fmt: skip

# Case B, 10^4 K, 100 cm^-3, fluxes over H-beta: Osterbrock & Ferland 2006, table 4.4 (Storey & Hummer 1995).
CASE_B: dict[str, float] = {
    "Ha": 2.86, "Hb": 1.0, "Hg": 0.468, "Hd": 0.259, "Heps": 0.159, "H8": 0.105, "H9": 0.0731,
    "Paa": 0.339, "Pab": 0.163, "Pag": 0.0904, "Pad": 0.0555, "Pae": 0.0366, "P9": 0.0254, "P10": 0.0184, "P11": 0.0137,
    "Bra": 0.0802, "Brb": 0.0447, "Brg": 0.0275, "Brd": 0.0181, "Bre": 0.0126,
    "Pfb": 0.025, "Pfg": 0.0158, "Pfd": 0.0105,
}  # fmt: skip
# He I over H-beta for He/H = 0.085 at 10^4 K (Benjamin et al. 1999); 10833 grows by collisions with density.
HELIUM: dict[str, float] = {
    "HeI3889": 0.11, "HeI4473": 0.042, "HeI5877": 0.115, "HeI6680": 0.032, "HeI7067": 0.025, "HeI10833": 0.35,
    "HeI20587": 0.05,
}  # fmt: skip
# Doublets with a ratio fixed by atomic physics or taken at the low-density limit: secondary, share of primary.
_TIED = {
    "OIII5008": (("OIII4960", 1 / 2.98),), "NII6585": (("NII6550", 1 / 2.94),), "NeIII3869": (("NeIII3968", 0.30),),
    "SIII9533": (("SIII9071", 1 / 2.5),), "OI6302": (("OI6366", 1 / 3.0),), "NeV": (("NeV3346", 0.37),),
    "ArIII7138": (("ArIII7753", 0.24),), "SII6718": (("SII6733", 0.75),), "OII3727": (("OII3730", 1.3),),
    "MgII2796": (("MgII2803", 0.5),), "OII7320": (("OII7330", 0.8),),
    "CaII8544": (("CaII8500", 0.8), ("CaII8665", 0.8)),
}  # fmt: skip


class LineGroup(NamedTuple):
    """Lines that rise and fall together: flux ratios, one Gaussian velocity width."""

    name: str
    wave: tuple[float, ...]  # um, vacuum
    ratio: tuple[float, ...]  # fluxes, any common unit
    sigma_v: float  # km/s


def calzetti(wave: np.ndarray) -> np.ndarray:
    """Attenuation A(wave)/A_V of Calzetti et al. 2000 (equation 4), R_V = 4.05; zero where the fit turns negative."""
    inv = 1.0 / np.clip(np.asarray(wave, dtype=float), 0.1, None)
    blue = 2.659 * (-2.156 + 1.509 * inv - 0.198 * inv**2 + 0.011 * inv**3) + 4.05
    red = 2.659 * (-1.857 + 1.040 * inv) + 4.05
    return np.maximum(np.where(inv > 1 / 0.63, blue, red), 0.0) / 4.05


def group(name: str, fluxes: dict[str, float], *, sigma_v: float, a_v: float = 0.0) -> LineGroup:
    """Line group from fluxes by name; doublet partners are added, then dust of a_v magnitudes (Calzetti).

    Raises
    ------
    KeyError
        A line name that is not in `WAVE`.
    """
    full: dict[str, float] = {}
    for line, flux in fluxes.items():
        if flux > 0:
            full[line] = full.get(line, 0.0) + flux
            for partner, share in _TIED.get(line, ()):
                full[partner] = full.get(partner, 0.0) + flux * share
    wave = np.array([WAVE[line] for line in full])
    ratio = np.array(list(full.values())) * 10.0 ** (-0.4 * a_v * calzetti(wave))
    return LineGroup(name, tuple(wave.tolist()), tuple(ratio.tolist()), sigma_v)


# Metal lines over H-beta, dust-free, along the nebular sequence from metal-poor to metal-rich, and two harder sources.
# Round numbers typical of: EMP and extreme emitters (Cameron et al. 2023; Sanders et al. 2024), star-forming galaxies
# (Kewley et al. 2019 review), Seyfert 2 and LINER (Osterbrock & Ferland 2006; Ho 2008).
_METALS: dict[str, dict[str, float]] = {
    "metal_poor": {
        "OIII5008": 3.5, "OII3727": 0.12, "NeIII3869": 0.35, "OIII4364": 0.12, "SII6718": 0.02, "CIII]": 0.6,
        "OIII]1663": 0.4, "CIV": 0.3, "HeII1640": 0.1, "SIII9533": 0.06, "HeII4687": 0.02,
    },
    "extreme": {
        "OIII5008": 6.8, "OII3727": 0.35, "NeIII3869": 0.52, "OIII4364": 0.11, "NII6585": 0.08, "SII6718": 0.09,
        "OI6302": 0.03, "ArIII7138": 0.06, "SIII9533": 0.20, "CIII]": 0.5, "OIII]1663": 0.2, "HeI7067": 0.02,
    },
    "subsolar": {
        "OIII5008": 4.0, "OII3727": 1.0, "NeIII3869": 0.30, "NII6585": 0.30, "SII6718": 0.24, "OI6302": 0.06,
        "ArIII7138": 0.10, "SIII9533": 0.45, "CIII]": 0.15, "OII7320": 0.04, "FeII12570": 0.01,
    },
    "solar": {
        "OIII5008": 1.2, "OII3727": 1.15, "NeIII3869": 0.08, "NII6585": 0.85, "SII6718": 0.40, "OI6302": 0.06,
        "ArIII7138": 0.07, "SIII9533": 0.45, "FeII12570": 0.03, "FeII16440": 0.03,
    },
    "metal_rich": {
        "OIII5008": 0.35, "OII3727": 0.5, "NII6585": 1.15, "SII6718": 0.36, "SIII9533": 0.20, "FeII12570": 0.05,
        "FeII16440": 0.05,
    },
    "seyfert": {
        "OIII5008": 10.0, "OII3727": 1.3, "NeIII3869": 1.0, "OIII4364": 0.18, "NII6585": 2.5, "SII6718": 1.0,
        "OI6302": 0.5, "HeII4687": 0.25, "NeV": 0.5, "SIII9533": 1.0, "HeI10833": 0.8, "CIII]": 1.2, "CIV": 2.0,
        "HeII1640": 1.2, "MgII2796": 0.5, "SII4070": 0.12, "ArIII7138": 0.2, "FeII12570": 0.1, "FeII16440": 0.1,
        "NV": 0.5,
    },
    "liner": {
        "OIII5008": 1.8, "OII3727": 1.8, "NeIII3869": 0.4, "NII6585": 4.0, "SII6718": 2.0, "OI6302": 0.8,
        "SIII9533": 0.5, "FeII12570": 0.2, "FeII16440": 0.2,
    },
}  # fmt: skip
_NEBULAR = (
    ("metal_poor", 0.0), ("extreme", 0.0), ("subsolar", 0.3), ("solar", 0.5), ("solar", 2.5), ("metal_rich", 1.5),
    ("seyfert", 0.5), ("liner", 1.0),
)  # fmt: skip
_ULTRAVIOLET = {"CIV": 1.0, "HeII1640": 0.4, "OIII]1663": 0.6, "NIII]1750": 0.3, "CIII]": 1.0, "NIV]": 0.3, "NV": 0.1}
_INFRARED = {
    "HeI10833": 1.0, "Pag": 0.35, "Pab": 0.65, "Paa": 1.3, "Pad": 0.2, "SIII9533": 0.4, "OI8449": 0.15, "Brg": 0.1,
    "Brb": 0.17, "Bra": 0.3, "FeII12570": 0.1, "HeI20587": 0.1,
}  # fmt: skip
_BROAD_BALMER = {
    **{line: CASE_B[line] for line in ("Ha", "Hb", "Hg", "Hd", "Heps")},
    "HeI5877": 0.15,
    "HeI7067": 0.08,
}
_BROAD_INFRARED = {
    "OI8449": 0.25, "CaII8544": 0.05, "OI11290": 0.1, "P10": 0.06, "P9": 0.09, "Pae": 0.12, "Pad": 0.2,
    "Pag": 0.33, "Pab": 0.6, "Paa": 1.2, "Brg": 0.1, "Brb": 0.17, "Bra": 0.3,
}  # fmt: skip
_BROAD_HELIUM = {"HeI10833": 1.0, "HeI20587": 0.1, "HeI7067": 0.05}
_BROAD_ULTRAVIOLET = {"Lya": 3.0, "NV": 0.6, "CIV": 1.5, "CIII]": 0.8, "MgII2796": 0.5}


def broad_groups(fwhms: tuple[float, ...]) -> tuple[LineGroup, ...]:
    """Broad-line spectra of each width [km/s]: Balmer and He I bare and reddened (A_V = 3), infrared lines apart."""
    out = []
    for fwhm in fwhms:
        sigma = fwhm * FWHM_TO_SIGMA
        out.append(group(f"broad{fwhm:.0f}", _BROAD_BALMER, sigma_v=sigma))
        out.append(group(f"broad{fwhm:.0f}_av3", _BROAD_BALMER, sigma_v=sigma, a_v=3.0))
        out.append(group(f"broad{fwhm:.0f}_infrared", _BROAD_INFRARED, sigma_v=sigma))
        out.append(group(f"broad{fwhm:.0f}_helium", _BROAD_HELIUM, sigma_v=sigma))
    return tuple(out)


def composite_groups(sigma_v: float) -> tuple[LineGroup, ...]:
    """The default line set: whole nebular spectra with fixed ratios, Lyman-alpha, ultraviolet, infrared, broad."""
    out = [
        group(f"{name}_av{a_v:.1f}", {**CASE_B, **HELIUM, **_METALS[name]}, sigma_v=sigma_v, a_v=a_v)
        for name, a_v in _NEBULAR
    ]
    out.append(group("lya", {"Lya": 1.0}, sigma_v=sigma_v))
    out.append(group("ultraviolet", _ULTRAVIOLET, sigma_v=sigma_v))
    out.append(group("infrared", _INFRARED, sigma_v=sigma_v))
    out.append(group("broad_ultraviolet", _BROAD_ULTRAVIOLET, sigma_v=3500.0 * FWHM_TO_SIGMA))
    return (*out, *broad_groups((1500.0, 5000.0)))


class LineTable(NamedTuple):
    """Profiles (one per wavelength and width) and the groups each feeds, in CSR form."""

    wave: np.ndarray  # (n_profiles,) um
    sigma_v: np.ndarray  # (n_profiles,) km/s
    offset: np.ndarray  # (n_profiles + 1,) int64
    column: np.ndarray  # (n_entries,) int64, group index
    ratio: np.ndarray  # (n_entries,)
    n_groups: int


def line_table(groups: tuple[LineGroup, ...]) -> LineTable:
    """Collect the distinct profiles of some groups."""
    entries: dict[tuple[float, float], list[tuple[int, float]]] = {}
    for index, one in enumerate(groups):
        for wave, ratio in zip(one.wave, one.ratio, strict=True):
            entries.setdefault((one.sigma_v, wave), []).append((index, ratio))
    keys = sorted(entries)
    flat = [pair for key in keys for pair in entries[key]]
    offset = np.cumsum([0] + [len(entries[key]) for key in keys]).astype(np.int64)
    return LineTable(
        np.array([key[1] for key in keys]),
        np.array([key[0] for key in keys]),
        offset,
        np.array([pair[0] for pair in flat], dtype=np.int64),
        np.array([pair[1] for pair in flat]),
        len(groups),
    )


@numba.njit(cache=True)
def fill_lines(
    values: np.ndarray,
    first_column: int,
    stretch: float,
    table: LineTable,
    low: np.ndarray,
    high: np.ndarray,
    lsf: np.ndarray,
    row_of: np.ndarray,
) -> None:
    """Add line groups at one redshift to columns.

    Parameters
    ----------
    values : ndarray, shape (n_rows, n_columns)
        Columns first_column... are added to (f_nu).
    first_column : int
        Column of group 0.
    stretch : float
        1 + z.
    table : LineTable
        The lines.
    low, high : ndarray, shape (n_pix,) [um]
        Pixel edges, increasing (gaps allowed).
    lsf : ndarray, shape (n_pix,)
        Relative width of the LSF, sigma / wavelength.
    row_of : ndarray, shape (n_pix,) or (0,)
        Row of each pixel in `values`; empty where rows are pixels.

    Notes
    -----
    Mean f_nu of a line of flux F in pixel [a, b]: F lambda^2 / c [Phi((b-l)/s) - Phi((a-l)/s)] / (b - a), s from
    the LSF and sigma_v in quadrature. Exact for any sub-pixel position; the common factor is dropped.
    """
    n_pix = low.size
    for k in range(table.wave.size):
        center = table.wave[k] * stretch
        if center > high[n_pix - 1] * 1.05 or center < low[0] * 0.95:
            continue
        near = min(np.searchsorted(high, center), n_pix - 1)
        width = center * math.sqrt(lsf[near] ** 2 + (table.sigma_v[k] / C_KMS) ** 2)
        norm = 1.0 / (width * math.sqrt(2.0))
        p = np.searchsorted(high, center - REACH * width)
        edge, cdf = -1.0, 0.0
        while p < n_pix and low[p] < center + REACH * width:
            left = cdf if low[p] == edge else math.erf((low[p] - center) * norm)
            edge = high[p]
            cdf = math.erf((edge - center) * norm)
            value = 0.5 * (cdf - left) / (edge - low[p]) * center * center
            row = row_of[p] if row_of.size else p
            for entry in range(table.offset[k], table.offset[k + 1]):
                values[row, first_column + table.column[entry]] += value * table.ratio[entry]
            p += 1


@numba.njit(cache=True)
def find_rows(
    row_of: np.ndarray, stretch: float, table: LineTable, low: np.ndarray, high: np.ndarray, lsf: np.ndarray
) -> int:
    """Number the pixels that the lines of a table reach, in `row_of` (-1 elsewhere), as `fill_lines`; how many."""
    n_pix = low.size
    row_of[:] = -1
    for k in range(table.wave.size):
        center = table.wave[k] * stretch
        if center > high[n_pix - 1] * 1.05 or center < low[0] * 0.95:
            continue
        near = min(np.searchsorted(high, center), n_pix - 1)
        width = center * math.sqrt(lsf[near] ** 2 + (table.sigma_v[k] / C_KMS) ** 2)
        p = np.searchsorted(high, center - REACH * width)
        while p < n_pix and low[p] < center + REACH * width:
            row_of[p] = 0
            p += 1
    count = 0
    for p in range(n_pix):
        if row_of[p] == 0:
            row_of[p] = count
            count += 1
    return count
