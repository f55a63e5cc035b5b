"""Emission lines as tables: extension LINES of a ``_zfit.fits`` and of the catalogue, and columns of the catalogue."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from astropy.table import Table

from nirfire.core.line_fluxes import Lines
from nirfire.products.columns import Column

EXTENSION = "LINES"
FLUX, FLUX_UCD = "erg s-1 cm-2", "phot.flux;spect.line"
LINE_COLUMNS = {
    "name": Column("", "meta.id;spect.line;meta.main", "line, or lines joined by + of which only the sum is known"),
    "line": Column("", "meta.id;spect.line", "the one that the wavelengths are of"),
    "blended_with": Column("", "meta.id.assoc;spect.line", "the others of the sum, by comma"),
    "wave_rest": Column("um", "em.wl;spect.line", "vacuum wavelength at rest"),
    "wave_obs": Column("um", "em.wl;spect.line", "the same at the redshift of the fit"),
    "flux": Column(FLUX, FLUX_UCD, "of the line; negative: noise or absorption"),
    "flux_err": Column(FLUX, f"stat.error;{FLUX_UCD}", "standard error of flux"),
    "snr": Column("", "stat.snr;spect.line", "flux over flux_err"),
    "limit": Column(FLUX, f"{FLUX_UCD};stat.max", "upper limit: max(flux, 0) + 3 flux_err"),
    "ew_rest": Column("Angstrom", "spect.line.eqWidth", "equivalent width at rest, > 0 in emission"),
    "ew_err": Column("Angstrom", "stat.error;spect.line.eqWidth", "standard error of ew_rest"),
    "flux_broad": Column(FLUX, FLUX_UCD, "share of flux in a broad component; 0 without"),
    "sigma_v": Column("km s-1", "phys.veloc.dispersion", "width used, without that of the instrument"),
    "chi2_dof": Column("", "stat.fit.chi2;arith.ratio", "chi-squared over pixels within 3 widths"),
    "coverage": Column("", "phot.flux;arith.ratio;spect.line", "share of the light that falls on valid pixels"),
    "n_pix": Column("", "meta.number", "valid pixels within 2 widths"),
}
TEXT = ("name", "line", "blended_with")
ROW_COLUMNS = {"source_id": int, "grating": str, "filter": str, "redshift_auto": float}  # of the catalogue
DETECTED = 5.0
# Fluxes in the catalogue: column, and the lines that go into it.
CATALOGUED: dict[str, tuple[str, ...]] = {
    "lya": ("Lya",), "ciii": ("CIII]",), "oii": ("OII3727", "OII3730"), "neiii": ("NeIII3869",), "hb": ("Hb",),
    "oiii": ("OIII5008",), "ha": ("Ha",), "sii": ("SII6718", "SII6733"), "siii": ("SIII9533",), "hei": ("HeI10833",),
    "pab": ("Pab",), "paa": ("Paa",),
}  # fmt: skip
TEXTS = {
    "lya": "Lyman-alpha", "ciii": "C III] 1909", "oii": "[O II] 3727, 3730", "neiii": "[Ne III] 3869", "hb": "H-beta",
    "oiii": "[O III] 5008", "ha": "H-alpha", "sii": "[S II] 6718, 6733", "siii": "[S III] 9533", "hei": "He I 10833",
    "pab": "Paschen-beta", "paa": "Paschen-alpha",
}  # fmt: skip
FLUX_COLUMNS = {
    name: column
    for key, text in TEXTS.items()
    for name, column in (
        (f"flux_{key}", Column(FLUX, FLUX_UCD, f"of {text}, with those in lines_blended")),
        (f"flux_{key}_err", Column(FLUX, f"stat.error;{FLUX_UCD}", f"standard error of flux_{key}")),
    )
}


def line_table(lines: Lines) -> Table:
    """The LINES table of a measurement; widths that all lines share are in its metadata."""
    table = Table({name: getattr(lines, name) for name in LINE_COLUMNS})
    table.meta = {"LSFSCALE": float(lines.lsf_scale), "FWHMBRD": float(lines.fwhm_broad)}
    return table


def all_lines(rows: Sequence[Mapping[str, object]], tables: Sequence[Table | None]) -> Table:
    """One table of the lines of all sources, with `ROW_COLUMNS` of their rows in the catalogue first."""
    kept = [(row, table) for row, table in zip(rows, tables, strict=True) if table is not None]
    out = Table()
    for name, kind in ROW_COLUMNS.items():
        values = [np.full(len(table), row[name]) for row, table in kept]
        out[name] = np.concatenate(values) if values else np.zeros(0, dtype=kind)
    for name in LINE_COLUMNS:
        kind = str if name in TEXT else int if name == "n_pix" else float
        out[name] = np.concatenate([np.asarray(t[name], dtype=kind) for _, t in kept]) if kept else np.zeros(0, kind)
    return out


def detected(lines: Table) -> Table:
    """The rows above 5 sigma."""
    return lines[np.asarray(lines["snr"]) > DETECTED]


def catalogue_fluxes(lines: Table | None) -> dict[str, float]:
    """Values of `FLUX_COLUMNS`; NaN where the spectrum does not have the line."""
    found = dict.fromkeys(FLUX_COLUMNS, float("nan"))
    if lines is None or len(lines) == 0:
        return found
    members = [set(str(name).split("+")) for name in lines["name"]]
    for key, wanted in CATALOGUED.items():
        mine = [k for k, have in enumerate(members) if have & set(wanted)]
        if mine:
            found[f"flux_{key}"] = float(np.sum(lines["flux"][mine]))
            found[f"flux_{key}_err"] = float(np.sqrt(np.sum(np.square(lines["flux_err"][mine]))))
    return found


def catalogue_blends(lines: Table | None) -> str:
    """Names of the sums that are in `catalogue_fluxes` and have other lines in them, by space."""
    wanted = {line for group in CATALOGUED.values() for line in group}
    groups = [set(group) for group in CATALOGUED.values()]
    names = [] if lines is None else [str(name) for name in lines["name"]]
    return " ".join(n for n in names if set(n.split("+")) & wanted and not any(set(n.split("+")) <= g for g in groups))
