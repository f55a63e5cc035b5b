"""A workspace of many sources and a catalogue of many rows, made from a finished one: to try the inspection page on.

    python benchmarks/_inspect_workspace.py FINISHED NEW [--sources 2000] [--rows 0]

The finished workspace, of `nirfire demo`, stays as it is. The new one has its exposures and sources as links, and more
sources of which each is one of the old ones, stretched in wavelength to another redshift and scaled to another flux:
spectra and fits are written anew, cutouts are links. After the first 64 they repeat, but for number, place and
fingerprint. Every twentieth also gets a finer spectrum in place of a second grating. Weights, data quality and the
fitted picture are left out of the new spectra. With --rows there are no sources at all, only a catalogue of so many.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.table import Table, vstack

from nirfire.products.atomic import write_fits
from nirfire.products.columns import primary_hdu, table_hdu
from nirfire.products.fitsbytes import card, read_units, write_units
from nirfire.products.naming import BKGSUB, CAL, SPEC, ZFIT, Workspace, zfit_of
from nirfire.products.provenance import FINGERPRINT, Provenance, recording
from nirfire.products.spectrum import Spectrum
from nirfire.products.zfit import RedshiftFit
from nirfire.tasks.summary import CATALOGUE, DESCRIPTIONS, summary

FIRST = 1001  # number of the first new source
VARIANTS, STEP = 64, 20  # sources that differ in more than number and place; every so many have a second grating
SECOND = ("G395M", "F290LP", 2.87, 5.27, 0.0018)  # disperser, filter, range and bin [um]
PER_BIN = 3  # trial redshifts of the second grating for each of the first
Product = tuple[Spectrum, RedshiftFit]


def make_workspace(finished: Path, folder: Path, n_sources: int) -> Workspace:
    """Make the workspace; `n_sources` counts those of the finished one too.

    Returns
    -------
    Workspace
    """
    old, new = open_workspaces(finished, folder)
    link_all(old, new)
    known = old.find_sources()
    bases = [read_pair(old.find_combined(source, SPEC)[0]) for source in known]
    added = range(FIRST, FIRST + max(0, n_sources - len(known)))
    draw = np.random.default_rng(9)
    for k, source in enumerate(added[:VARIANTS]):
        pair = changed(bases[k % len(known)], draw.uniform(0.9, 1.12), 10 ** draw.uniform(-0.7, 0.7))
        pair = placed(pair, source, *draw.uniform(-0.05, 0.05, 2))
        write_pair(new, source, pair)
        if k % STEP == 0:
            write_pair(new, source, finer(pair))
    specs = [path for source in new.find_sources() for path in new.find_combined(source, SPEC)]
    table = summary([(path, zfit_of(path)) for path in specs], [])
    rows = [table]
    for k, source in enumerate(added[VARIANTS:]):
        rows.append(copied(new, table, (FIRST + k % VARIANTS, source), draw.uniform(-0.05, 0.05, 2)))
    for k, source in enumerate(added):
        link_cutouts(old, new, known[k % VARIANTS % len(known)], source)
    write_catalogue(new, vstack(rows, metadata_conflicts="silent"))
    return new


def copied(place: Workspace, table: Table, numbers: tuple[int, int], by: np.ndarray) -> Table:
    """Copy a source under another number and to another place; its rows of the catalogue."""
    model, source = numbers
    rows = table[table["source_id"] == model]
    where = {"RA": float(rows["ra"][0] + by[0]), "DEC": float(rows["dec"][0] + by[1])}
    rows["source_id"], rows["ra"], rows["dec"] = source, where["RA"], where["DEC"]
    rows["file"] = [renamed(name, model, source) for name in rows["file"]]
    place.source_folder(source).mkdir()
    for suffix in (SPEC, ZFIT):
        for path in place.find_combined(model, suffix):
            target = place.source_folder(source) / renamed(path.name, model, source)
            told = {"SOURCEID": source, "SRCNAME": f"9999_{source}", "OBJECT": f"9999_{source}"}
            told |= {FINGERPRINT: mark_of(target)} | (where if suffix == SPEC else {})
            with read_units(path) as units:
                for key, value in told.items():
                    units[0].set(card(key, value))
                write_units(target, units)
    return rows


def renamed(name: str, model: int, source: int) -> str:
    return re.sub(rf"_{model}_(?=[a-z]+\.fits$)", f"_{source}_", name)


def mark_of(path: Path) -> str:
    """A fingerprint of its own for every file."""
    return hashlib.sha256(path.name.encode()).hexdigest()[:16]


def link_cutouts(old: Workspace, new: Workspace, model: int, source: int) -> None:
    for suffix in (CAL, BKGSUB):
        for name in old.find_slits(model, suffix):
            new.slit(name, source, suffix).symlink_to(old.slit(name, model, suffix))


def write_catalogue(place: Workspace, table: Table) -> None:
    place.catalogue.mkdir()
    hdus = [primary_hdu({}), table_hdu(table, CATALOGUE, DESCRIPTIONS)]
    write_fits(place.summary("fits"), fits.HDUList(hdus))


def make_catalogue(finished: Path, folder: Path, n_rows: int) -> Workspace:
    """Make a workspace that has nothing but a catalogue of `n_rows` sources.

    Returns
    -------
    Workspace
    """
    old, new = open_workspaces(finished, folder)
    rows = Table.read(old.summary("fits"), hdu=CATALOGUE)
    table = vstack([rows] * -(-n_rows // len(rows)), metadata_conflicts="silent")[:n_rows]
    draw = np.random.default_rng(9)
    table["source_id"] = np.arange(1, n_rows + 1)
    table["ra"] += draw.uniform(-0.2, 0.2, n_rows)
    table["dec"] += draw.uniform(-0.2, 0.2, n_rows)
    table["redshift_auto"] = draw.gamma(3, 1.2, n_rows)
    table["redshift_probability"] = draw.beta(2, 0.5, n_rows)
    table["signal_to_noise"] = 10 ** draw.normal(0.5, 0.5, n_rows)
    table["file"] = [new.combined(source, "PRISM", "CLEAR", SPEC).name for source in table["source_id"]]
    write_catalogue(new, table)
    return new


def open_workspaces(finished: Path, folder: Path) -> tuple[Workspace, Workspace]:
    """The finished workspace, and an empty new one of the same observation."""
    finished = finished.resolve()
    origin = json.loads((finished / "nirfire.json").read_text())
    old, new = (Workspace(path, origin["observation"]) for path in (finished, folder.resolve()))
    new.folder.mkdir(parents=True)
    shutil.copy2(old.origin, new.origin)
    return old, new


def link_all(old: Workspace, new: Workspace) -> None:
    """Link exposures and products of the sources one by one, so that what replaces one leaves the old as it is."""
    for place in (old.exposures, *(old.source_folder(source) for source in old.find_sources())):
        target = new.folder / place.relative_to(old.folder)
        target.mkdir(parents=True)
        for path in place.iterdir():
            (target / path.name).symlink_to(path)
    for path in (old.ledger, old.stuck_list, old.nod_list):
        if path.exists():
            shutil.copy2(path, new.folder)


def read_pair(path: Path) -> Product:
    return Spectrum.read(path), RedshiftFit.read(zfit_of(path))


def changed(pair: Product, stretch: float, factor: float) -> Product:
    """The same at 1 + z times `stretch` and flux times `factor`; bins that nothing falls into repeat the last one."""
    spectrum, fit = pair
    take = np.clip(np.searchsorted(spectrum.wave, spectrum.wave / stretch), 0, spectrum.wave.size - 1)
    assert spectrum.sci is not None and spectrum.err2d is not None and fit.lines is not None
    moved = replace(
        spectrum,
        flux=factor * spectrum.flux[take],
        err=factor * spectrum.err[take],
        mask=spectrum.mask[take],
        boxes={w: (factor * flux[take], factor * err[take]) for w, (flux, err) in spectrum.boxes.items()},
        sci=factor * spectrum.sci[:, take],
        err2d=factor * spectrum.err2d[:, take],
        **dict.fromkeys(("wave2d", "weight", "model2d", "dq2d")),
    )
    return moved, redshifted(fit, take, stretch, factor)


def redshifted(fit: RedshiftFit, take: np.ndarray, stretch: float, factor: float) -> RedshiftFit:
    """A fit in which every 1 + z is `stretch` times as large; what falls below zero is left out."""
    scan = stretch * (1 + fit.z_grid) - 1
    peaks, lines = fit.peaks.copy(), fit.lines.copy()
    peaks["z"] = stretch * (1 + peaks["z"]) - 1
    lines["wave_obs"] *= stretch
    for name in ("flux", "flux_err", "limit", "flux_broad"):
        lines[name] *= factor
    return replace(
        fit,
        z=stretch * (1 + fit.z) - 1,
        z2=stretch * (1 + fit.z2) - 1,
        z_grid=scan[scan >= 0],
        chi2=fit.chi2[scan >= 0],
        peaks=peaks[peaks["z"] >= 0],
        lines=lines,
        model=factor * fit.model[take],
    )


def placed(pair: Product, source: int, east: float, north: float) -> Product:
    """The same under another number and elsewhere, offsets in degrees."""
    spectrum, fit = pair
    name = dict.fromkeys(("OBJECT", "SRCNAME"), (f"9999_{source}", "")) | {"SOURCEID": (source, "")}
    where = {key: (spectrum.meta[key][0] + by, "") for key, by in (("RA", east), ("DEC", north))}
    named = {key: name[key] for key in ("SRCNAME", "SOURCEID")}
    return replace(spectrum, meta=spectrum.meta | name | where), replace(fit, meta=fit.meta | named)


def finer(pair: Product) -> Product:
    """The same on the bins of the second grating, with a finer scan."""
    spectrum, fit = pair
    grating, filter_, low, high, bin_ = SECOND
    wave = np.arange(low, high, bin_)
    take = np.clip(np.searchsorted(spectrum.wave, wave), 0, spectrum.wave.size - 1)
    assert spectrum.sci is not None and spectrum.err2d is not None
    cards = {"GRATING": (grating, ""), "FILTER": (filter_, "")}
    rows = {name: getattr(spectrum, name) for name in ("slitloss", "slitloss_err", "shape_err", "n_used")}
    seen = replace(
        spectrum,
        wave=wave,
        flux=spectrum.flux[take],
        err=spectrum.err[take],
        mask=spectrum.mask[take],
        boxes={w: (flux[take], err[take]) for w, (flux, err) in spectrum.boxes.items()},
        apertures={w: share[take] for w, share in spectrum.apertures.items()},
        **{name: None if value is None else value[take] for name, value in rows.items()},
        correlation=None,
        sci=spectrum.sci[:, take],
        err2d=spectrum.err2d[:, take],
        meta=spectrum.meta | cards,
    )
    scan = np.interp(np.arange(0, fit.z_grid.size - 1, 1 / PER_BIN), np.arange(fit.z_grid.size), fit.z_grid)
    return seen, replace(
        fit,
        wave=wave,
        model=fit.model[take],
        z_grid=scan,
        chi2=np.interp(scan, fit.z_grid, fit.chi2),
        meta=fit.meta | cards,
    )


def write_pair(place: Workspace, source: int, pair: Product) -> None:
    """Write the spectrum and its fit, each with a fingerprint of its own."""
    spectrum, fit = pair
    grating, filter_ = (str(spectrum.meta[key][0]) for key in ("GRATING", "FILTER"))
    place.source_folder(source).mkdir(parents=True, exist_ok=True)
    for product, suffix, task in ((spectrum, SPEC, "made up"), (fit, ZFIT, "made up too")):
        path = place.combined(source, grating, filter_, suffix)
        with recording(Provenance(json.dumps({"task": task}), mark_of(path), "logs/none.log")):
            product.write(path)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("finished", type=Path, help="a finished workspace")
    options.add_argument("new", type=Path, help="the folder to make")
    options.add_argument("--sources", type=int, default=2000)
    options.add_argument("--rows", type=int, default=0, help="make only a catalogue, of so many rows")
    given = options.parse_args()
    if given.rows:
        make_catalogue(given.finished, given.new, given.rows)
    else:
        make_workspace(given.finished, given.new, given.sources)


if __name__ == "__main__":
    main()
