"""The results of an observation in Python: `from nirfire import Workspace`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from astropy.table import Table

from nirfire.drawable import SourceFit, SourceSpectrum, said, said_probability, short
from nirfire.errors import DataError
from nirfire.inspect.index import Redshift, best_redshift
from nirfire.inspect.quality import QUALITY_SAID, Quality, flags_said
from nirfire.inspect.store import Store
from nirfire.inspect.votes import Consensus
from nirfire.pipeline.target import read_origin
from nirfire.products import naming
from nirfire.products.joint import JointSpectrum
from nirfire.products.joint_redshift import JointFit
from nirfire.products.naming import SPEC, zfit_of
from nirfire.products.zfit import RedshiftFit
from nirfire.qa.metrics import read_metrics

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["Source", "SourceFit", "SourceSpectrum", "Workspace"]
VOTE_COLUMNS = ("source", "user", "quality", "said", "z", "flags", "comment", "tags", "time")
FINDING_COLUMNS = ("check", "subject", "value", "error", "verdict")
LISTED = 20  # sources that a notebook shows of a workspace


class Source:
    """One source: its spectra, redshifts and votes, each read when it is asked for.

    Parameters
    ----------
    place : naming.Workspace
    number : int
        Its number.
    """

    def __init__(self, place: naming.Workspace, number: int) -> None:
        self.place, self.number = place, number

    @cached_property
    def spectra(self) -> dict[str, SourceSpectrum]:
        """Its spectra, by grating and filter; PRISM first."""
        found = [SourceSpectrum.open(path) for path in self.place.find_combined(self.number, SPEC)]
        found.sort(key=lambda one: (one.grating.upper() != "PRISM", one.key))
        return {one.key: one for one in found}

    def spectrum(self, grating: str = "") -> SourceSpectrum:
        """One spectrum: that of a grating (``prism``, ``g395m``), or the first.

        Raises
        ------
        DataError
            There is none.
        """
        for key, one in self.spectra.items():
            if key == grating.lower() or key.startswith(f"{grating.lower()}_") or not grating:
                return one
        remedy = f"use {', '.join(self.spectra)}" if self.spectra else "see nirfire show"
        raise DataError(f"no spectrum of source {self.number}" + (f" in {grating}" if grating else ""), remedy=remedy)

    def fit(self, grating: str = "") -> SourceFit:
        """The redshift fit of a grating, or of the first.

        Raises
        ------
        DataError
            There is none.
        """
        found = self.spectrum(grating)
        if found.fit is None:
            raise DataError("no redshift fit", file=zfit_of(found.path), remedy="see nirfire show")
        return found.fit

    @cached_property
    def joint(self) -> JointSpectrum | None:
        """The spectrum of all gratings; None where there is one grating."""
        path = self.place.joint(self.number)
        return JointSpectrum.read(path) if path.exists() else None

    @cached_property
    def joint_fit(self) -> JointFit | None:
        """The redshift of all gratings; None where there is one grating."""
        path = self.place.joint_zfit(self.number)
        return JointFit.read(path) if path.exists() else None

    @property
    def redshift(self) -> Redshift | None:
        """The redshift that stands for it: joint, else PRISM, else the most probable; None where there is none."""
        fits = {key: _told(one.fit, key) for key, one in self.spectra.items() if one.fit is not None}
        joint = self.joint_fit
        return best_redshift(fits, _told(joint, "joint") if joint is not None else None)

    @property
    def vote(self) -> Consensus | None:
        """What the people who inspected it agree on; None where nobody did."""
        return _consensus(self.place).get(self.number)

    def plot(self, **options: object) -> list[Axes]:
        """Draw all its spectra, each in a figure of its own; `options` are those of `SourceSpectrum.plot`."""
        return [one.plot(**options) for one in self.spectra.values()]  # type: ignore[arg-type]

    def __repr__(self) -> str:
        best = self.redshift
        z = f", z = {best.z:.5f} ({said_probability(best.probability)})" if best else ", no redshift"
        return f"<source {self.number}: {', '.join(self.spectra) or 'no spectrum'}{z}>"


class Workspace:
    """The results of an observation, read only.

    Parameters
    ----------
    folder : Path or str
        A workspace, for example ``nirfire-demo``.
    observation : str, optional
        Name of the observation; by default what the workspace says.

    Raises
    ------
    DataError
        The folder is no workspace.

    Examples
    --------
    >>> w = Workspace("nirfire-demo")
    >>> w.source(103).spectrum().plot()
    """

    def __init__(self, folder: Path | str = ".", observation: str = "") -> None:
        place = naming.Workspace(Path(folder).absolute(), observation)
        name = observation or str(read_origin(place).get("observation", ""))
        if not name:
            raise DataError(
                "no workspace",
                file=place.folder,
                remedy="give one that nirfire run made, or the name of its observation",
            )
        self.place = naming.Workspace(place.folder, name)

    @property
    def observation(self) -> str:
        """Name of the observation."""
        return self.place.observation

    @property
    def sources(self) -> list[int]:
        """Numbers of the sources."""
        return self.place.find_sources()

    def source(self, number: int) -> Source:
        """One source.

        Raises
        ------
        DataError
            There is no such source.
        """
        if not self.place.source_folder(number).is_dir():
            raise DataError(f"no source {number}", file=self.place.sources, remedy="see .sources")
        return Source(self.place, number)

    def __iter__(self) -> Iterator[Source]:
        return (self.source(number) for number in self.sources)

    def __len__(self) -> int:
        return len(self.sources)

    @property
    def spectra(self) -> Iterator[SourceSpectrum]:
        """All spectra, read one after the other."""
        for source in self:
            yield from source.spectra.values()

    def catalogue(self) -> Table:
        """The catalogue: one row per source and grating, with units and descriptions.

        Raises
        ------
        DataError
            It has not been made.
        """
        path = self.place.summary("ecsv")
        if not path.is_file():
            raise DataError("no catalogue", file=path, remedy=f"nirfire run {self.place.folder}")
        return short(Table.read(path, format="ascii.ecsv"))

    def lines(self) -> Table:
        """All emission lines that were measured, one row each.

        Raises
        ------
        DataError
            They have not been.
        """
        path = self.place.summary("fits")
        if not path.is_file():
            raise DataError("no catalogue", file=path, remedy=f"nirfire run {self.place.folder}")
        table = Table.read(path, hdu="LINES")
        table.convert_bytestring_to_unicode()
        return short(table)

    def votes(self) -> Table:
        """The latest vote of each person on each source, by source; no row where nobody inspected it."""
        with Store.open(self.place.inspection, read_only=True) as store:
            votes = store.latest()
        rows = [
            (
                *(v.source, v.user, v.quality, QUALITY_SAID[Quality(v.quality)].split(":")[0]),
                *(np.nan if v.z is None else v.z, "; ".join(_flags(v.flags)), v.comment, ", ".join(v.tags), v.time),
            )
            for v in sorted(votes, key=lambda v: (v.source, v.user))
        ]
        types = (int, str, int, str, float, str, str, str, str)
        return short(Table(rows=rows or None, names=VOTE_COLUMNS, dtype=types))

    def findings(self) -> Table:
        """What did not pass the checks of the report: check, subject, value, error, verdict.

        Raises
        ------
        DataError
            There is no report.
        """
        found = read_metrics(self.place)
        if "findings" not in found:
            remedy = f"nirfire report {self.place.folder}"
            raise DataError("no report", file=self.place.report, remedy=remedy)
        rows = [tuple(row[name] for name in FINDING_COLUMNS) for row in found["findings"]]
        types = (str, str, float, float, str)
        return short(Table(rows=rows or None, names=FINDING_COLUMNS, dtype=types))

    def consensus(self) -> dict[int, Consensus]:
        """What people agree on, by source."""
        return _consensus(self.place)

    def __repr__(self) -> str:
        return f"<{self.observation}: {len(self)} sources, in {self.place.folder.name}>"

    def _repr_html_(self) -> str:
        """A table of the first sources with their redshifts."""
        shown = [self.source(number) for number in self.sources[:LISTED]]
        rows = "".join(_row(source) for source in shown)
        left = len(self) - len(shown)
        more = f"<p>and {left} more</p>" if left else ""
        head = "".join(f"<th>{name}</th>" for name in ("source", "spectra", "z", "± z", "probability", "of"))
        return f"<p>{escape(repr(self)[1:-1])}</p><table><tr>{head}</tr>{rows}</table>{more}"


def _row(source: Source) -> str:
    best = source.redshift
    z = ("", "", "", "")
    if best is not None:
        z = (f"{best.z:.5f}", said(best.z_err, ".2g"), said(best.probability, ".3f"), best.origin)
    cells = (str(source.number), ", ".join(source.spectra), *z)
    return "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in cells) + "</tr>"


def _told(fit: RedshiftFit | JointFit, origin: str) -> Redshift:
    return Redshift(fit.z, fit.z_err, fit.probability, fit.warning, origin)


def _flags(flags: Mapping[str, int]) -> list[str]:
    return [f"{key}: {', '.join(flags_said(bits))}" for key, bits in flags.items() if bits]


def _consensus(place: naming.Workspace) -> dict[int, Consensus]:
    with Store.open(place.inspection, read_only=True) as store:
        return store.consensus()
