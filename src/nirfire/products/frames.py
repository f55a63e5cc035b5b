"""Cutouts without sky, gathered for the extraction: one `Frames` for each detector and background group."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from nirfire.core.model_frames import Frames
from nirfire.core.running import running_median
from nirfire.errors import DataError
from nirfire.products.extraction import MJY_TO_UJY
from nirfire.products.naming import ExposureName
from nirfire.products.slitcal import SlitCal, open_shutters, shows_source, shutter_column, to_common_box

Array = NDArray[np.float64]
Bits = NDArray[np.int_]
PLANES = ("sci", "dq", "correction", "var_poisson", "var_rnoise", "var_flat", "bkg", "var_bkg", "bkg_nods")
SAME_PLACE = 0.15
"""[pitch] Sources closer than this along the slitlet are one to the fit."""
WILD = 100.0
"""Pixels whose photon noise is so many times the noise of their surroundings in the row carry no information."""
GEOMETRY = ("slit_y", "wave", "even", "passed")


def gather(slits: Iterable[SlitCal]) -> list[tuple[list[SlitCal], Frames]]:
    """Put the nods of a source together by detector and background group.

    Parameters
    ----------
    slits : iterable of SlitCal
        All its ``_cal_bkgsub.fits``.

    Returns
    -------
    list of (list of SlitCal, Frames)

    Raises
    ------
    DataError
        A file does not say where its pixels lie in the slitlet, or what was subtracted from it.
    """
    groups: dict[tuple[object, ...], list[SlitCal]] = defaultdict(list)
    slits = list(slits)
    others = _others(slits)
    for slit in slits:
        name = ExposureName.from_path(slit.path)
        key = slit.bkg_exposures if slit.bkg_nods is not None and slit.bkg_nods.any() else (str(name or slit.path),)
        groups[name and name.detector, slit.header.get("NFSKY"), *key].append(slit)
    return [(mine, make_frames(mine, others)) for _, mine in sorted(groups.items(), key=lambda item: str(item[0]))]


def _others(slits: Sequence[SlitCal]) -> list[int]:
    """Other sources planned in the slitlet; of those at one place, which nothing can tell apart, the first."""
    kept = sorted({source_number(slit) for slit in slits})
    own = len(kept)
    for number in sorted({number for slit in slits for number in slit.planned} - set(kept)):
        places = [(slit.planned[number][1], slit.planned) for slit in slits if number in slit.planned]
        apart = [[abs(y - planned[k][1]) for y, planned in places if k in planned] for k in kept]
        if all(not found or max(found) > SAME_PLACE for found in apart):
            kept.append(number)
    return kept[own:]


def source_number(slit: SlitCal) -> int:
    """Number of the source that a cutout is of."""
    return int(slit.slit_header.get("SOURCEID", 0))


def make_frames(slits: list[SlitCal], others: Sequence[int] = ()) -> Frames:
    """The nods of one slitlet on one detector and of one background group, as `gather` wants them.

    Parameters
    ----------
    slits : list of SlitCal
    others : sequence of int
        Other sources to look for in the slitlet.

    Raises
    ------
    DataError
    """
    for slit in slits:
        _require(slit)
    planes, _ = to_common_box([_with_passed(slit) for slit in slits], PLANES + GEOMETRY)
    factor = planes["correction"] * MJY_TO_UJY
    from_nods = bool(planes["bkg_nods"].any())
    mine = _own_bits(slits) if from_nods else []
    used = _weights(mine, planes["bkg_nods"]) if from_nods else None
    shared = from_nods and _all_serve_all(slits, mine, planes["bkg_nods"])
    flux = planes["sci"] + (planes["bkg"] if shared else 0.0)
    total = planes["var_poisson"] + planes["var_rnoise"]
    own = total - np.nan_to_num(planes["var_bkg"])
    light = np.divide(planes["var_poisson"], total, out=np.zeros(total.shape), where=total > 0)
    variance = {"photon": own * light, "read": own * (1.0 - light) + np.nan_to_num(planes["var_flat"])}
    known = ~planes["bad"] & np.isfinite(flux * factor) & np.isfinite(own)
    good = known & (own > 0) & np.isfinite(planes["slit_y"]) & np.isfinite(planes["wave"])
    usual, compared = running_median(np.where(good, np.maximum(planes["var_poisson"], planes["var_rnoise"]), 0.0), good)
    good &= ~compared | (planes["var_poisson"] <= WILD * usual)
    # a mean over nods: NaN only where none knows
    place, wave = _mean(planes["slit_y"]), _mean(planes["wave"])
    return Frames(
        flux=np.where(good, flux * factor, 0.0),
        photon=np.where(good, variance["photon"] * factor**2, 0.0),
        read=np.where(good, variance["read"] * factor**2, 0.0),
        sky=np.where(good, np.nan_to_num(planes["bkg"]) * factor, 0.0),
        good=good,
        shared=shared,
        backgrounds=used,
        sky_variance=np.where(good, np.nan_to_num(planes["var_bkg"]) * factor**2, 0.0),
        wave=_edges(wave, axis=1),
        place=_edges(place, axis=0),
        passed=planes["passed"],
        sources=_places(slits, others),
        shutters=_shutters(slits),
        even=_edges(_mean(planes["even"]), axis=1),
    )


class _Passed:
    """A cutout that also has the pathloss of a point as `passed`, and wavelengths of even light as `even`."""

    def __init__(self, slit: SlitCal) -> None:
        self._slit = slit
        known = slit.pathloss_point is not None
        self.passed = slit.pathloss_point if known else np.full(slit.shape, np.nan)
        self.even = slit.wave if slit.slit_wave is None else slit.slit_wave

    def __getattr__(self, name: str) -> object:
        return getattr(self._slit, name)


def _with_passed(slit: SlitCal) -> SlitCal:
    return _Passed(slit)  # type: ignore[return-value]


def _require(slit: SlitCal) -> None:
    missing = [
        name
        for name, value in (
            ("SLIT_Y", slit.slit_y),
            ("BKG", slit.bkg),
            ("VAR_BKG", slit.var_bkg),
            ("BKG_NODS", slit.bkg_nods),
        )
        if value is None
    ]
    if missing or not open_shutters(slit):
        raise DataError(
            "it lacks what the extraction needs",
            file=slit.path,
            key=(missing or ["SHUTSTA"])[0],
            remedy="redo calibrate and nodsub",
        )


def _own_bits(slits: list[SlitCal]) -> list[int]:
    """The bit of ``BKG_NODS`` that stands for each nod."""
    names = slits[0].bkg_exposures
    return [names.index(str(ExposureName.from_path(slit.path) or slit.path.name)) for slit in slits]


def _weights(mine: list[int], bits: Bits) -> Array:
    """Weight of each nod in the sky of each other, shape (n_exp, n_exp, n_spat, n_wave)."""
    count = np.bitwise_count(bits)
    taken = np.stack([(bits >> k) & 1 for k in mine], axis=1)
    return taken / np.maximum(count, 1)[:, np.newaxis]


def _all_serve_all(slits: list[SlitCal], mine: list[int], bits: Bits) -> bool:
    """True when every nod that has a usable pixel is in the sky of all others of these.

    Nods that are not here, or have none, may be in it too: what they say of the sky is lost, no more.
    """
    seen = [{k for k in mine if np.any((nod >> k) & 1)} for nod in bits]
    live = {k: found for k, slit, found in zip(mine, slits, seen, strict=True) if not slit.bad.all()}
    return len(live) > 1 and all(live.keys() - {k} <= found for k, found in live.items())


def _mean(values: Array) -> Array:
    known = np.isfinite(values)
    count = known.sum(axis=0)
    return np.where(count > 0, np.sum(np.where(known, values, 0.0), axis=0) / np.maximum(count, 1), np.nan)


def _edges(centres: Array, axis: int) -> Array:
    """Edges of pixels from their centres: half-way between two, and as far beyond the last that is known."""
    c = np.moveaxis(centres, axis, 0)
    nothing = np.full((1, *c.shape[1:]), np.nan)
    half = np.diff(c, axis=0) / 2
    before, after = np.concatenate([nothing, half]), np.concatenate([half, nothing])
    low = c - np.where(np.isfinite(before), before, after)
    high = c + np.where(np.isfinite(after), after, before)
    low, high = np.concatenate([low, nothing]), np.concatenate([nothing, high])
    return np.moveaxis(np.where(np.isfinite(low), low, high), 0, axis)


def _places(slits: list[SlitCal], others: Sequence[int]) -> Array:
    """Places of the source and of others in each nod, shape (n_source, n_exp, 2); NaN where one is not planned."""
    found = np.full((1 + len(others), len(slits), 2), np.nan)
    for k, slit in enumerate(slits):
        for n, number in enumerate((source_number(slit), *others)):
            found[n, k] = slit.planned.get(number, (np.nan, np.nan))
        x, y = slit.slit_header.get("SRCXPOS"), slit.slit_header.get("SRCYPOS")
        if shows_source(slit.header) and x is not None and y is not None:  # it may have been measured
            found[0, k] = float(x), float(y) + shutter_column(int(slit.slit_header["SHUTTRID"]))
    return found


def _shutters(slits: list[SlitCal]) -> tuple[int, ...]:
    """Shutters that are open in all nods."""
    return tuple(sorted(set.intersection(*(set(open_shutters(slit)) for slit in slits))))
