"""What is said of a spectrum beside its plots."""

from __future__ import annotations

from typing import Any

import numpy as np

from nirfire.inspect.points import Points
from nirfire.inspect.quickfits import QuickFits

Fact = list[str]
MAS = 0.01  # arcsec below which angles are told in mas


def facts_of(spec: QuickFits, points: Points, entry: dict[str, Any]) -> list[Fact]:
    """Label and text of each fact that a product knows, the most telling first.

    Parameters
    ----------
    spec : QuickFits
        The ``_spec.fits``.
    points : Points
        Of it.
    entry : dict
        What is known of its fit.
    """
    head = spec.primary
    exposures = spec.table("EXPOSURES") if "EXPOSURES" in spec else {}
    facts = [
        ("exposure time", _time(head.get("EXPTIME"))),
        ("exposures", _text(head.get("NEXPOSUR"))),
        ("observed", _text(head.get("DATE-OBS"))),
        ("median S/N", _number(entry.get("snr"), ".3g")),
        ("chi2 / dof", _ratio(entry.get("chi2"), entry.get("dof"))),
        ("extraction", _text(head.get("NFMETHOD") or head.get("PROFTYPE"))),
        ("size", _with_error(head.get("NFSIZE"), head.get("NFSIZERR"))),
        ("offset", _with_error(head.get("NFOFFSET"), head.get("NFOFFERR"))),
        ("light passed", _passed(points.table.get("slitloss"))),
        ("lost to other nods", _share(exposures.get("nod_overlap"))),
        ("stuck shutters", _stuck(exposures.get("stuck_shutter_list"))),
        ("shutters", _distinct(exposures.get("shutter_state"))),
        ("sky", _distinct(exposures.get("sky"))),
        ("sources in slitlet", _text(head.get("NFSOURCE"))),
        ("pixels left out", _number(head.get("NFREJECT"), ".1%")),
        ("program", _text(head.get("PROGRAM"))),
        ("references", _text(head.get("CRDS_CTX"))),
        ("nirfire", _text(head.get("NFVERS"))),
    ]
    return [[label, text] for label, text in facts if text]


def _text(value: Any) -> str:
    return "" if value is None else str(value).strip()


def _number(value: Any, form: str) -> str:
    return "" if value is None or not np.isfinite(value) else format(value, form)


def _time(seconds: Any) -> str:
    if seconds is None:
        return ""
    return f"{seconds / 3600:.2f} h" if seconds >= 3600 else f"{seconds:.0f} s"


def _ratio(value: Any, over: Any) -> str:
    return "" if value is None or not over else f"{value / over:.2f}"


def _with_error(value: Any, error: Any) -> str:
    """An angle [arcsec] with its error, to two digits of the error; small ones in thousandths."""
    if value is None or not np.isfinite(value):
        return ""
    known = error is not None and np.isfinite(error) and error > 0
    scale, unit = (1e3, " mas") if max(abs(value), error if known else 0.0) < MAS else (1.0, "″")
    if not known:
        return f"{value * scale:.3g}{unit}"
    digits = max(0, 1 - int(np.floor(np.log10(error * scale))))
    return f"{value * scale:.{digits}f} ± {error * scale:.{digits}f}{unit}"


def _passed(shares: np.ndarray | None) -> str:
    """Of the light that the shutters let through, how much it is of that of a point in their centre."""
    if shares is None or not np.isfinite(shares).any():
        return ""
    return f"{np.nanmedian(shares):.0%} of a centred point"


def _share(values: np.ndarray | None) -> str:
    return "" if values is None or not np.isfinite(values).any() else f"{np.nanmax(values):.1%}"


def _distinct(values: np.ndarray | None) -> str:
    return "" if values is None else ", ".join(dict.fromkeys(str(one) for one in values))


def _stuck(values: np.ndarray | None) -> str:
    listed = [] if values is None else [str(one) for one in dict.fromkeys(values.tolist())]
    return ", ".join(one for one in listed if one not in ("N/A", "", "none"))
