"""What is checked of every observation, without a truth: limits, the reason for each, and the verdicts."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

PASS, LOOK, FAIL, UNKNOWN = "pass", "look", "fail", "unknown"
VERDICTS = (PASS, LOOK, FAIL, UNKNOWN)
SIGMAS = 5.0
"""A value counts as outside its limits when it is so by more than this times its standard error."""
OBSERVATION = ""  # the subject of what is checked of the observation as a whole

_FLUX = "the requirement on absolute flux of JWST spectroscopy is 10 % (JDox, data calibration considerations)"


@dataclass(frozen=True)
class Check:
    """One thing that is measured, and what it should be.

    Attributes
    ----------
    name : str
        Short name, unique.
    stage : str
        The stage whose work it judges.
    per : str
        ``exposure``, ``visit``, ``spectrum``, ``source`` or ``observation``.
    about : str
        What is measured.
    unit : str
    low, high : float
        Limits, which still pass.
    outside : str
        The verdict on what is outside: `FAIL` where a requirement is missed, `LOOK` where a person should look.
    reason : str
        Why these limits.
    """

    name: str
    stage: str
    per: str
    about: str
    unit: str = ""
    low: float = -math.inf
    high: float = math.inf
    outside: str = LOOK
    reason: str = ""

    def verdict(self, value: float, error: float = 0.0) -> str:
        """Judge a value.

        Parameters
        ----------
        value : float
            NaN: not known.
        error : float
            Its standard error; 0 where it is exact.

        Returns
        -------
        str
            `PASS`, `UNKNOWN`, or what `outside` says.
        """
        if not (math.isfinite(value) and math.isfinite(error)):
            return UNKNOWN
        beyond = max(self.low - value, value - self.high)
        return self.outside if beyond > SIGMAS * error else PASS

    @property
    def limits(self) -> str:
        """The limits as text, with the unit."""
        unit = f" {self.unit}" if self.unit else ""
        if not math.isfinite(self.low):
            return f"≤ {self.high:g}{unit}" if self.high else "0"  # of a count
        if not math.isfinite(self.high):
            return f"≥ {self.low:g}{unit}"
        return (f"±{self.high:g}" if self.low == -self.high else f"{self.low:g} to {self.high:g}") + unit


CHECKS: dict[str, Check] = {
    check.name: check
    for check in (
        Check(
            "ramp_steps", "detector", "exposure", "steps of the stock ramp pipeline that were not done",
            high=0, outside=FAIL,
            reason="the flux references hold for rates that had all of them (JWST pipeline, calwebb_detector1)",
        ),
        Check(
            "bad_pixels", "detector", "exposure", "share of pixels that cannot be used", high=0.1,
            reason="with 1 in 10 bad, 1 in 1,000 pixels of a spectrum is bad in all of three nods",
        ),
        Check(
            "background_change", "clean", "exposure", "change of the background in the last pass, over the noise",
            high=0.1, reason="it adds the square of this, 1 %, to the variance of a pixel",
        ),
        Check(
            "sky_level", "clean", "exposure", "median of the sky that is left, over the noise of a pixel",
            low=-0.1, high=0.1,
            reason="over the 5 rows of a spectrum it adds (5 x 0.1)² / 5 = 5 % to the variance",
        ),
        Check(
            "stripes", "clean", "exposure", "rms of column and row offsets that are left, over the noise of a pixel",
            high=0.1, reason="over the 5 rows of a spectrum it adds (5 x 0.1)² / 5 = 5 % to the variance",
        ),
        Check(
            "noise_width", "clean", "exposure", "scatter of the sky over its errors", low=0.9, high=1.1,
            reason="errors that are wrong by 10 % make chi-squared wrong by 20 %",
        ),
        Check(
            "visit_offset", "offsets", "visit", "mean place of the sources along their slitlets, from the plan",
            "arcsec", low=-0.02, high=0.02,
            reason="MSA target acquisition places targets to 20 mas (Keyes et al. 2018, SPIE)",
        ),
        Check(
            "closed_shutters", "shutters", "source", "shutters of the slitlet that were found closed", high=0,
            reason="behind a closed shutter there is neither source nor sky",
        ),
        Check(
            "stock_steps", "calibrate", "spectrum", "steps of the stock calibration that were not done", high=0,
            outside=FAIL,
            reason="wavelength, cutout, flat, path loss and flux make f_nu of a source (JWST pipeline, calwebb_spec2)",
        ),
        Check(
            "nod_overlap", "nodsub", "spectrum", "share of the source's light that the other nods remove", high=0.1,
            reason=f"{_FLUX}; the model makes good what is the source's own, not what is its neighbour's",
        ),
        Check(
            "pixels", "extract", "spectrum", "pixels with a flux", low=60, outside=FAIL,
            reason="with fewer the redshift fit says that it has too few",
        ),
        Check(
            "rejected", "extract", "spectrum", "share of detector pixels left out as outliers", high=0.05,
            reason="a Gaussian without the 5 % in its tails has lost a quarter of its variance: errors do not hold",
        ),
        Check(
            "place", "extract", "spectrum", "place of the source along its slitlet, from the plan", "arcsec",
            low=-0.23, high=0.23,
            reason="a shutter is open over 0.46 arcsec (JDox): further off is behind a bar, or another source",
        ),
        Check(
            "boxcar_ratio", "extract", "spectrum", "boxcar over optimal flux", low=0.9, high=1.1,
            reason=f"both mean the total flux, and {_FLUX}",
        ),
        Check(
            "negative", "extract", "spectrum", "mean flux over its error", "sigma", low=0,
            reason="light is positive: sky was subtracted that is not there, or another source",
        ),
        Check(
            "error_width", "extract", "spectrum", "scatter between neighbouring pixels, over their errors",
            low=0.9, high=1.1, reason="errors that are wrong by 10 % make chi-squared wrong by 20 %",
        ),
        Check(
            "warnings", "redshift", "spectrum", "warnings of the redshift fit", high=0,
            reason="each says what else the redshift might be, or why the fit is bad",
        ),
        Check(
            "probability", "redshift", "spectrum", "probability that the redshift is right", low=0.95,
            reason="what the published grade 'secure' asks for: right in more than 95 of 100",
        ),
        Check(
            "disagree", "agree", "source", "gratings that are sure of another redshift than the joint one", high=0,
            reason="at probability 0.95 and more each, at most one is right",
        ),
        Check(
            "failed_jobs", "run", "observation", "jobs that failed, or whose data could not be used", high=0,
            outside=FAIL, reason="what should have been made is missing",
        ),
        Check(
            "typical_error_width", "extract", "observation", "median of error_width of all spectra", low=0.9, high=1.1,
            outside=FAIL, reason="single spectra say it to some per cent only, all together to better than one",
        ),
    )
}  # fmt: skip


@dataclass(frozen=True)
class Measured:
    """A value that a check asks for.

    Attributes
    ----------
    check : str
        Name of the check.
    value, error : float
        NaN where it is not known; the error is 0 where the value is exact.
    subject : str
        What it is of: an exposure, a visit and activity, a source, or a source and grating.
    """

    check: str
    value: float
    error: float = 0.0
    subject: str = OBSERVATION

    @property
    def verdict(self) -> str:
        return CHECKS[self.check].verdict(self.value, self.error)

    @property
    def shown(self) -> str:
        """The value with its error."""
        if not math.isfinite(self.value):
            return "–"
        return f"{self.value:.4g}" + (f" ± {self.error:.2g}" if self.error > 0 else "")


def counted(found: Iterable[Measured]) -> dict[str, int]:
    """Number of values by verdict."""
    counts = dict.fromkeys(VERDICTS, 0)
    for one in found:
        counts[one.verdict] += 1
    return counts


def typical(found: Sequence[Measured]) -> list[Measured]:
    """What follows for the observation from the values of its spectra.

    Returns
    -------
    list of Measured
        The median of ``error_width`` with the standard error of a median, 1.25 times that of the mean.
    """
    known = [m for m in found if m.check == "error_width" and math.isfinite(m.value)]
    if not known:
        return [Measured("typical_error_width", math.nan)]
    errors = np.array([m.error for m in known])
    middle = float(np.median([m.value for m in known]))
    return [Measured("typical_error_width", middle, 1.25 * float(np.sqrt(np.sum(errors**2))) / len(known))]


def as_json(found: Sequence[Measured]) -> dict[str, Any]:
    """Everything for ``metrics.json``.

    Parameters
    ----------
    found : sequence of Measured

    Returns
    -------
    dict
        ``checks``: for each its limits and reason, the number of values by verdict, and their median; ``findings``:
        each value that did not pass. Numbers that do not exist are None.
    """
    by_check: dict[str, list[Measured]] = defaultdict(list)
    for one in found:
        by_check[one.check].append(one)
    checks = []
    for name, check in CHECKS.items():
        values = [m.value for m in by_check[name] if math.isfinite(m.value)]
        row = {key: _plain(value) for key, value in asdict(check).items()}
        checks.append(row | counted(by_check[name]) | {"median": float(np.median(values)) if values else None})
    findings = [
        {"check": m.check, "subject": m.subject, "value": m.value, "error": m.error, "verdict": m.verdict}
        for m in found
        if m.verdict in (LOOK, FAIL)
    ]
    return {"checks": checks, "findings": findings}


def _plain(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
