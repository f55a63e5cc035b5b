"""summary: one row per source and grating."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from astropy.io import fits
from astropy.table import Table

from nirfire.products import provenance
from nirfire.products.atomic import atomic_path, write_fits
from nirfire.products.columns import Cards, Column, describe, primary_hdu, table_hdu
from nirfire.products.joint_redshift import JointFit
from nirfire.products.line_table import EXTENSION as LINES
from nirfire.products.line_table import (
    FLUX_COLUMNS,
    LINE_COLUMNS,
    all_lines,
    catalogue_blends,
    catalogue_fluxes,
    detected,
)
from nirfire.products.spectrum import Spectrum
from nirfire.products.zfit import RedshiftFit

CATALOGUE = "CATALOGUE"
COLUMNS = {
    "source_id": (int, Column("", "meta.id;meta.main", "source number in the MSA metafile")),
    "grating": (str, Column("", "instr.setup", "disperser")),
    "filter": (str, Column("", "instr.setup;instr.filter", "filter")),
    "ra": (float, Column("deg", "pos.eq.ra;meta.main", "planned right ascension, ICRS")),
    "dec": (float, Column("deg", "pos.eq.dec;meta.main", "planned declination, ICRS")),
    "redshift_auto": (float, Column("", "src.redshift", "best redshift of the fit; NaN where there is none")),
    "redshift_error": (float, Column("", "stat.error;src.redshift", "its standard error")),
    "redshift_confidence": (float, Column("", "stat.probability;src.redshift", "share of p(z) within 0.03 of it")),
    "redshift_probability": (float, Column("", "stat.probability;src.redshift", "that redshift_auto is right")),
    "redshift_warning": (int, Column("", "meta.code.qual;src.redshift", "bits of ZWARN of the fit; 0 none")),
    "redshift_second": (float, Column("", "src.redshift", "next distinct redshift; NaN where there is none")),
    "redshift_dchi2": (float, Column("", "stat.fit.chi2;arith.diff", "chi-squared of redshift_second over the best")),
    "template_class": (str, Column("", "src.class", "what the best model is")),
    "redshift_joint": (
        float,
        Column("", "src.redshift", "of all gratings of the source; NaN where there is one"),
    ),
    "redshift_joint_error": (float, Column("", "stat.error;src.redshift", "standard error of redshift_joint")),
    "redshift_joint_probability": (float, Column("", "stat.probability;src.redshift", "that redshift_joint is right")),
    "redshift_joint_warning": (
        int,
        Column("", "meta.code.qual;src.redshift", "bits of ZWARN of redshift_joint; 0 none"),
    ),
    "redshift_joint_gratings": (int, Column("", "meta.number", "spectra of the source that support redshift_joint")),
    "redshift_consensus": (float, Column("", "src.redshift", "of all gratings by the published rule")),
    "chi2_min": (float, Column("", "stat.fit.chi2", "chi-squared of the best model")),
    "n_pix": (int, Column("", "meta.number", "pixels fitted")),
    "n_lines": (int, Column("", "meta.number;spect.line", "emission lines above 5 sigma at redshift_auto")),
    **{name: (float, column) for name, column in FLUX_COLUMNS.items()},
    "lines_blended": (str, Column("", "meta.id.assoc;spect.line", "fluxes above that have other lines in them")),
    "exposure_time": (float, Column("s", "time.duration;obs.exposure", "effective exposure time")),
    "signal_to_noise": (float, Column("", "stat.snr;stat.median", "median over the pixels of the spectrum")),
    "n_exposures": (int, Column("", "meta.number;obs.exposure", "exposures that went in")),
    "nod_overlap": (float, Column("", "phot.flux;arith.ratio", "share of the source's light that other nods remove")),
    "method": (str, Column("", "meta.code", "extraction: model, or horne as published")),
    "profile": (str, Column("", "meta.code", "profile of horne: measured, or boxcar where the data gave none")),
    "size": (float, Column("arcsec", "phys.angSize", "standard deviation of the source as a round Gaussian")),
    "size_error": (float, Column("arcsec", "stat.error;phys.angSize", "its standard error")),
    "offset": (float, Column("arcsec", "pos.cartesian.y", "place along the slitlet, from the planned one")),
    "offset_error": (float, Column("arcsec", "stat.error;pos.cartesian.y", "its standard error")),
    "slit_loss": (float, Column("", "phot.flux;arith.ratio", "light that passes, over a centred point's; median")),
    "n_sources": (int, Column("", "meta.number", "sources of the slitlet that were fitted together")),
    "file": (str, Column("", "meta.id;meta.file", "spectrum")),
}
DESCRIPTIONS = {name: column for name, (_, column) in COLUMNS.items()}
SHARED = ("TELESCOP", "INSTRUME", "PROGRAM", "OBSERVTN", "CAL_VER", "CRDS_CTX")  # cards, where all spectra agree

Row = dict[str, object]


def summary(pairs: list[tuple[Path, Path | None]], targets: list[Path], joints: Sequence[Path] = ()) -> Table:
    """Collect the results of an observation.

    Parameters
    ----------
    pairs : list of (Path, Path or None)
        Each ``_spec.fits`` with its ``_zfit.fits``, None where there is no fit.
    targets : list of Path
        Files to write; the format follows the extension (``.ecsv`` or ``.fits``, which has all lines in LINES).
    joints : sequence of Path
        The ``_joint_zfit.fits`` there are.

    Returns
    -------
    Table
        The catalogue.
    """
    agreed = {int(fit.meta["SOURCEID"][0]): fit for fit in map(JointFit.read, joints)}
    found = [measure(spec, zfit, agreed) for spec, zfit in pairs]
    table, lines = tables_of(found)
    headers = [one.cards for one in found]
    cards, references = _shared_cards(headers), _references(headers)
    write: dict[str, Callable[[Path, Table, Cards, list[tuple[str, str]]], None]]
    write = {".ecsv": _write_ecsv, ".fits": partial(_write_fits, lines=lines)}
    for target in targets:
        write[target.suffix](target, table, cards, references)
    return table


class Measured(NamedTuple):
    """What the catalogue takes from one spectrum."""

    row: Row
    lines: Table | None
    cards: Cards


def measure(spec: Path, zfit: Path | None, joints: Mapping[int, JointFit]) -> Measured:
    """Read a spectrum and its redshift fit; `joints` are the redshifts of all gratings, by source.

    Raises
    ------
    DataError
        One of the two cannot be read.
    """
    spectrum = Spectrum.read(spec)
    fit = RedshiftFit.read(zfit) if zfit else None
    row = _row(spec, spectrum, fit) | _joint(joints.get(int(spectrum.meta["SOURCEID"][0])))
    return Measured(row, fit.lines if fit else None, spectrum.meta)


def tables_of(found: Sequence[Measured]) -> tuple[Table, Table]:
    """The catalogue and all emission lines of some spectra."""
    rows = [one.row for one in found]
    table = Table({name: np.array([row[name] for row in rows], dtype=kind) for name, (kind, _) in COLUMNS.items()})
    describe(table, DESCRIPTIONS)
    return table, all_lines(rows, [one.lines for one in found])


def _write_ecsv(path: Path, table: Table, cards: Cards, references: list[tuple[str, str]]) -> None:
    """Write ECSV; the cards and all that is known of how it was made go into its metadata."""
    made = provenance.current()
    rows = (made.rows() if made else []) + [("reference", *one) for one in references]
    meta: dict[str, Any] = {key: value for key, (value, _) in cards.items()}
    if made:
        meta |= {provenance.FINGERPRINT: made.fingerprint}
    full = Table(table, copy=False)
    full.meta = meta | {provenance.EXTENSION: [list(row) for row in rows]}
    with atomic_path(path) as part:
        full.write(part, format="ascii.ecsv", overwrite=True)


def _write_fits(path: Path, table: Table, cards: Cards, references: list[tuple[str, str]], *, lines: Table) -> None:
    hdus = fits.HDUList([primary_hdu(cards), table_hdu(table, CATALOGUE, DESCRIPTIONS)])
    hdus.append(table_hdu(lines, LINES, DESCRIPTIONS | LINE_COLUMNS))
    if references and provenance.current():
        hdus.append(provenance.table_of_references(references))
    write_fits(path, hdus)


def _row(spec: Path, spectrum: Spectrum, fit: RedshiftFit | None) -> Row:
    meta = {k: v[0] for k, v in spectrum.meta.items()}
    good = ~spectrum.mask
    ratio = spectrum.flux[good] / spectrum.err[good]
    return {
        "source_id": int(meta["SOURCEID"]),
        "grating": meta["GRATING"],
        "filter": meta["FILTER"],
        "ra": meta.get("RA", np.nan),
        "dec": meta.get("DEC", np.nan),
        "redshift_auto": fit.z if fit else np.nan,
        "redshift_error": fit.z_err if fit else np.nan,
        "redshift_confidence": fit.confidence if fit else np.nan,
        "redshift_probability": fit.probability if fit else np.nan,
        "redshift_warning": fit.warning if fit else 0,
        "redshift_second": fit.z2 if fit else np.nan,
        "redshift_dchi2": fit.dchi2 if fit else np.nan,
        "template_class": fit.template_class if fit else "",
        **_line_values(fit.lines if fit else None),
        "chi2_min": fit.chi2_min if fit else np.nan,
        "n_pix": fit.n_pix if fit else 0,
        "exposure_time": meta.get("EXPTIME", np.nan),
        "signal_to_noise": float(np.median(ratio)) if ratio.size else np.nan,
        "n_exposures": len(spectrum.exposures) if spectrum.exposures is not None else 0,
        "nod_overlap": _overlap(spectrum.exposures),
        "method": meta.get("NFMETHOD", ""),
        "profile": meta.get("NFPROFIL", ""),
        "size": meta.get("NFSIZE", np.nan),
        "size_error": meta.get("NFSIZERR", np.nan),
        "offset": meta.get("NFOFFSET", np.nan),
        "offset_error": meta.get("NFOFFERR", np.nan),
        "slit_loss": np.nan if spectrum.slitloss is None else float(np.median(spectrum.slitloss)),
        "n_sources": meta.get("NFSOURCE", 1),
        "file": spec.name,
    }


def _line_values(lines: Table | None) -> Row:
    n_lines = 0 if lines is None else len(detected(lines))
    return {"n_lines": n_lines, **catalogue_fluxes(lines), "lines_blended": catalogue_blends(lines)}


def _joint(fit: JointFit | None) -> Row:
    return {
        "redshift_joint": fit.z if fit else np.nan,
        "redshift_joint_error": fit.z_err if fit else np.nan,
        "redshift_joint_probability": fit.probability if fit else np.nan,
        "redshift_joint_warning": fit.warning if fit else 0,
        "redshift_joint_gratings": fit.n_agree if fit else 0,
        "redshift_consensus": fit.consensus if fit else np.nan,
    }


def _overlap(exposures: Table | None) -> float:
    """Mean over the exposures whose sky is from other nods; NaN where it is not known."""
    if exposures is None or not {"sky", "nod_overlap"} <= set(exposures.colnames):
        return np.nan
    known = np.array([str(sky) == "nods" for sky in exposures["sky"]]) & np.isfinite(exposures["nod_overlap"])
    return float(np.mean(exposures["nod_overlap"][known])) if known.any() else np.nan


def _shared_cards(headers: list[Cards]) -> Cards:
    """Cards that all spectra have in common."""
    values = {key: {header[key][0] for header in headers if key in header} for key in SHARED}
    return {key: (found.pop(), "") for key, found in values.items() if len(found) == 1}


def _references(headers: list[Cards]) -> list[tuple[str, str]]:
    """Type and file of every reference that any of the spectra names."""
    cards = {(key, str(value)) for header in headers for key, (value, _) in header.items()}
    return sorted((key, value) for key, value in cards if provenance.is_reference(key, value))
