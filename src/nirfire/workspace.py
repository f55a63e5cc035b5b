"""The results of an observation in Python: `from nirfire import Workspace`."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import warnings
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
from nirfire.products.catalogue_columns import LINES, POINTINGS, SHUTTERS, SOURCES, SPECTRA, TABLES
from nirfire.products.joint import JointSpectrum
from nirfire.products.joint_redshift import JointFit
from nirfire.products.naming import SPEC, zfit_of
from nirfire.products.zfit import RedshiftFit
from nirfire.qa.metrics import read_metrics

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["Catalogue", "Source", "SourceFit", "SourceSpectrum", "Workspace"]
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


class Catalogue:
    """The tables that ``nirfire export`` writes, in memory, with units and descriptions; made when they are asked for.

    They are of the products and votes as these are when the first table is asked for, whether anything was exported or
    not: ``Workspace.catalogue`` gives a new one.

    Parameters
    ----------
    place : naming.Workspace
    """

    def __init__(self, place: naming.Workspace) -> None:
        self.place = place

    @property
    def sources(self) -> Table:
        """One row per source, with what people say of it.

        Raises
        ------
        DataError
            There is no spectrum that can be read.
        """
        return self._measured[SOURCES]

    @property
    def spectra(self) -> Table:
        """One row per source and grating; raises as `sources`."""
        return self._measured[SPECTRA]

    @property
    def lines(self) -> Table:
        """One row per emission line of a spectrum; raises as `sources`."""
        return self._measured[LINES]

    @property
    def shutters(self) -> Table:
        """One row per open micro-shutter and exposure.

        Raises
        ------
        DataError
            The workspace has no exposures, or the reference files that say where shutters are cannot be had.
        """
        return self._sky[SHUTTERS]

    @property
    def pointings(self) -> Table:
        """One row per configuration of the micro-shutters; raises as `shutters`."""
        return self._sky[POINTINGS]

    @cached_property
    def _measured(self) -> dict[str, Table]:
        from nirfire.commands.export import measured

        found, _ = measured(self.place, (SOURCES, SPECTRA, LINES), _warn)
        return {name: short(table) for name, table in found.items()}

    @cached_property
    def _sky(self) -> dict[str, Table]:
        """Made by another process: the stock pipeline, which knows the sky, wants an environment of its own."""
        names = (SHUTTERS, POINTINGS)
        with tempfile.TemporaryDirectory(prefix="nirfire-") as folder:
            options = ["-o", folder, "--format", "parquet", "--table", ",".join(names)]
            line = [sys.executable, "-m", "nirfire", "export", str(self.place.folder), *options]
            done = subprocess.run(line, capture_output=True, text=True, check=False)
            paths = {name: naming.exported(Path(folder), self.observation, name, "parquet") for name in names}
            if done.returncode or not all(path.is_file() for path in paths.values()):
                said = " ".join(done.stderr.split())
                raise DataError(f"no table of shutters: {said}", file=self.place.folder)
            return {name: short(Table.read(path)) for name, path in paths.items()}

    @property
    def observation(self) -> str:
        """Name of the observation."""
        return self.place.observation

    def __repr__(self) -> str:
        return f"<catalogue of {self.observation}: {', '.join(f'.{name}' for name in TABLES)}>"


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

    def catalogue(self) -> Catalogue:
        """The tables that ``nirfire export`` writes, of the products and votes as they are now."""
        return Catalogue(self.place)

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


def _warn(text: str) -> None:
    warnings.warn(text, stacklevel=2)


def _flags(flags: Mapping[str, int]) -> list[str]:
    return [f"{key}: {', '.join(flags_said(bits))}" for key, bits in flags.items() if bits]


def _consensus(place: naming.Workspace) -> dict[int, Consensus]:
    with Store.open(place.inspection, read_only=True) as store:
        return store.consensus()
