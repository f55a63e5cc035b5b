"""What the exported tables of shutters and pointings rest on: where the telescope pointed in each exposure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np

from nirfire.core.attitude import Attitude
from nirfire.core.grids import RANGES
from nirfire.products.exposures import merged_header
from nirfire.products.fitsfile import open_fits, require
from nirfire.products.naming import RATE, RATERAW, ExposureName, Workspace
from nirfire.products.rate import is_simulated

WAVE_ELSE = 3.0  # um, for modes that have no range
WHY = "where the shutters are in the sky"


@dataclass(frozen=True)
class Pointed:
    """One exposure, both detectors.

    Attributes
    ----------
    name : ExposureName
        Of one of the two.
    path : Path
        Its count rates.
    metafile : Path
    configuration, dither_point : int
        MSAMETID, PATT_NUM.
    grating, filter : str
    program, date : str
    exposure_time : float [s]
        Effective; NaN where the header does not say it.
    attitude : Attitude
    pa_aper : float [deg]
        Card PA_APER; NaN where there is none.
    simulated : bool
        True for exposures of the embedded instrument.
    """

    name: ExposureName
    path: Path
    metafile: Path
    configuration: int
    dither_point: int
    grating: str
    filter: str
    program: str
    date: str
    exposure_time: float
    attitude: Attitude
    pa_aper: float
    simulated: bool = False

    @property
    def wave(self) -> float:
        """Middle of the wavelength range of the mode [um]."""
        return float(np.mean(RANGES.get((self.grating, self.filter), (WAVE_ELSE,))))

    @property
    def mode(self) -> str:
        """Grating and filter as one word."""
        return f"{self.grating}_{self.filter}".lower()

    @classmethod
    def read(cls, name: ExposureName, path: Path) -> Pointed:
        """Read the headers of a ``_rate`` or ``_rateraw`` file.

        Raises
        ------
        DataError
            The file cannot be read, or a keyword is missing.
        """
        with open_fits(path) as hdus:
            header = merged_header(hdus[0].header, hdus["SCI"].header) if "SCI" in hdus else hdus[0].header

        def number(key: str) -> float:
            return float(cast(Any, require(header, key, file=path, why=WHY)))

        ra, dec, roll, v2, v3 = (number(f"{key}_REF") for key in ("RA", "DEC", "ROLL", "V2", "V3"))
        return cls(
            name=name,
            path=path,
            metafile=path.parent / Path(str(require(header, "MSAMETFL", file=path, why=WHY))).name,
            configuration=int(number("MSAMETID")),
            dither_point=int(number("PATT_NUM")),
            grating=str(header.get("GRATING", "")),
            filter=str(header.get("FILTER", "")),
            program=str(header.get("PROGRAM", "")),
            date=str(header.get("DATE-OBS", "")),
            exposure_time=float(header.get("EFFEXPTM", np.nan)),
            attitude=Attitude(ra, dec, roll, v2, v3, float(header.get("VA_SCALE") or 1.0)),
            pa_aper=float(header.get("PA_APER", np.nan)),
            simulated=is_simulated(header),
        )


def read_exposures(place: Workspace) -> list[Pointed]:
    """The exposures of a workspace that have count rates, each once though it may be on both detectors.

    Raises
    ------
    DataError
        A file cannot be used.
    """
    found: dict[str, Pointed] = {}
    for suffix in (RATE, RATERAW):
        for name in place.find_exposures(suffix):
            if name.both not in found:
                found[name.both] = Pointed.read(name, place.exposure(name, suffix))
    return [found[both] for both in sorted(found)]


def by_configuration(exposures: Sequence[Pointed]) -> dict[tuple[str, Path, int], list[Pointed]]:
    """Exposures by visit, metafile and number of the MSA configuration."""
    found: dict[tuple[str, Path, int], list[Pointed]] = {}
    for one in exposures:
        found.setdefault((one.name.visit, one.metafile, one.configuration), []).append(one)
    return found
