"""Rows of a summary, and what people say, for tests of the exported tables."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
from astropy.table import Table

from nirfire.products.catalogue_columns import LINE_TABLE_COLUMNS
from nirfire.products.catalogue_sources import Inspection, Results
from nirfire.tasks.summary import COLUMNS

FLAG_WORDS = {2: "contamination", 4: "stuck shutter"}
EMPTY = {int: 0, float: np.nan, str: ""}


def summary_row(source, grating="PRISM", filter="CLEAR", **values):
    row = {name: EMPTY[kind] for name, (kind, _) in COLUMNS.items()}
    row |= {"source_id": source, "grating": grating, "filter": filter, "ra": 150.0 + source / 1e4, "dec": 2.5}
    mode = f"{grating}_{filter}".lower()
    return row | {"file": f"obs_{mode}_{source}_spec.fits"} | values


def results(rows, people=None, automatic=None, observation="obs"):
    table = Table({name: np.array([r[name] for r in rows], dtype=kind) for name, (kind, _) in COLUMNS.items()})
    names = [name for name in LINE_TABLE_COLUMNS if name != "observation"]
    lines = Table({name: np.zeros(0, dtype=LINE_TABLE_COLUMNS[name][0]) for name in names})
    spectra = [
        {"key": f"{r['grating']}_{r['filter']}".lower(), "program": "01345", "name": f"1345_{r['source_id']}"}
        | {"version": "0.1.0", "cal_version": "3.0.0", "crds_context": "jwst_1.pmap", "date_obs": "2026-01-01"}
        | {"fingerprint": f"f{k}", "fit_fingerprint": f"z{k}"}
        for k, r in enumerate(rows)
    ]
    return Results(observation, table, COLUMNS, lines, spectra, automatic or {}, people or {}, FLAG_WORDS)


def redshift(z, z_err=1e-3, probability=0.9, warning=0, origin="prism_clear"):
    return SimpleNamespace(z=z, z_err=z_err, probability=probability, warning=warning, origin=origin)


def catalogue_results(observation="obs"):
    """Three sources: agreed upon, impossible, and not looked at."""
    rows = [
        summary_row(
            7,
            redshift_auto=3.001,
            redshift_error=1e-3,
            exposure_time=100.0,
            signal_to_noise=5.0,
            n_lines=2,
            flux_ha=2e-17,
            flux_ha_err=1e-19,
            lines_blended="Ha+NII6585",
        ),
        summary_row(
            7,
            "G395M",
            "F290LP",
            redshift_auto=3.0,
            redshift_error=1e-4,
            exposure_time=50.0,
            signal_to_noise=1.5,
            n_lines=3,
            flux_ha=1.5e-17,
            flux_ha_err=3e-19,
            flux_hb=5e-18,
            flux_hb_err=2e-19,
        ),
        summary_row(8, redshift_auto=0.5, signal_to_noise=0.1, flux_ha=1e-18, flux_ha_err=1e-18),
        summary_row(9),
    ]
    people = {
        7: Inspection(
            quality=4,
            z=3.0,
            n_voters=2,
            n_agree=2,
            users=("Ève", "bo"),
            flags={"prism_clear": 4},
            comment='Ève: "clear"\nbo: z, Hα → sure # 1',
            tags=("LRD", "AGN"),
            time="2026-11-22T07:00:00.000001Z",
        ),
        8: Inspection(quality=1, n_voters=1, n_agree=1, users=("bo",), flags={"prism_clear": 6}, stale=True),
    }
    automatic = {7: redshift(3.0002, 9e-5, 0.99, origin="joint"), 8: redshift(0.5)}
    return results(rows, people, automatic, observation)
