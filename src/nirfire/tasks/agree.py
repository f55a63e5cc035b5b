"""agree: the redshifts of a source in all gratings to one."""

from __future__ import annotations

from functools import reduce
from operator import and_
from pathlib import Path

from astropy.table import Table

from nirfire import __version__
from nirfire.core.consensus import Scan, consensus
from nirfire.core.joint_redshift import Curve, JointRedshift, check_curve, joint_redshift, velocity_error
from nirfire.core.lsf import GRATINGS
from nirfire.core.posterior import tempered_scale
from nirfire.errors import DataError, NoWork
from nirfire.products.joint_redshift import SUPPORT, JointFit
from nirfire.products.zfit import RedshiftFit

RIVAL = 4  # the bit of ZWARN for another redshift that fits nearly as well
NEARLY = 0.1  # of the probability of the best
COPIED = ("SOURCEID", "SRCNAME", "TELESCOP", "INSTRUME")


def agree(inputs: list[Path], agreed: Path) -> None:
    """Find the redshift that the fits of all gratings of a source agree on.

    Parameters
    ----------
    inputs : list of Path
        The ``_zfit.fits`` of one source in all gratings.
    agreed : Path
        The ``_joint_zfit.fits`` to write.

    Raises
    ------
    NoWork
        Fewer than two fits.
    DataError
        An unknown grating, no probability, or a scan that cannot be used.
    """
    if len(inputs) < 2:
        text = f"{len(inputs)} gratings with a redshift fit, agreeing needs two"
        raise NoWork(text, file=inputs[0] if inputs else None)
    fits = [RedshiftFit.read(path) for path in inputs]
    gratings = [_grating(path, fit) for path, fit in zip(inputs, fits, strict=True)]
    curves = [_curve(*each) for each in zip(inputs, fits, gratings, strict=True)]
    found = joint_redshift(curves)
    scans = [Scan(g, fit.z, fit.z_grid, fit.chi2, fit.n_pix) for g, fit in zip(gratings, fits, strict=True)]
    published = consensus(scans)
    peaks = Table(found.peaks, names=("z", "z_err", "probability"))
    cards = {key: fits[0].meta[key] for key in COPIED if key in fits[0].meta}
    JointFit(
        z=found.z,
        z_err=found.z_err,
        probability=found.probability,
        warning=_warning(fits, found, peaks),
        consensus=published.z,
        said_by=published.said_by,
        gratings=_views(inputs, fits, curves, found),
        peaks=peaks,
        z_grid=found.z_grid,
        density=found.density,
        meta=cards | {"NFVERS": (__version__, "version of nirfire")},
    ).write(agreed)


def _grating(path: Path, fit: RedshiftFit) -> str:
    grating = str(fit.meta.get("GRATING", ("", ""))[0]).upper()
    if grating not in GRATINGS:
        remedy = f"give fits of {', '.join(GRATINGS)}"
        raise DataError(f"grating {grating!r} is unknown", file=path, key="GRATING", remedy=remedy)
    return grating


def _curve(path: Path, fit: RedshiftFit, grating: str) -> Curve:
    if not 0.0 <= fit.probability <= 1.0:
        raise DataError("no probability of its redshift", file=path, key="ZPROB", remedy="fit this spectrum anew")
    scale = tempered_scale(fit.chi2_min, fit.dof)
    curve = Curve(fit.z_grid, fit.chi2, scale, velocity_error(grating), fit.probability)
    try:
        check_curve(curve)
    except ValueError as error:
        raise DataError(str(error), file=path, key="CHI2", remedy="fit this spectrum anew") from error
    return curve


def _warning(fits: list[RedshiftFit], found: JointRedshift, peaks: Table) -> int:
    """Warnings that all fits have that support the joint redshift; that of a rival from the joint p(z)."""
    bits = [fit.warning for fit, view in zip(fits, found.views, strict=True) if view.support > SUPPORT]
    shared = reduce(and_, bits or [fit.warning for fit in fits]) & ~RIVAL
    rival = len(peaks) > 1 and peaks["probability"][1] > NEARLY * peaks["probability"][0]
    return shared | (RIVAL if rival else 0)


def _views(paths: list[Path], fits: list[RedshiftFit], curves: list[Curve], found: JointRedshift) -> Table:
    rows = []
    for path, fit, curve, view in zip(paths, fits, curves, found.views, strict=True):
        mode = (str(fit.meta[key][0]) if key in fit.meta else "" for key in ("GRATING", "FILTER"))
        own = (fit.z, fit.z_err, curve.trust, curve.velocity)
        rows.append((*mode, path.name, *own, view.offset, view.offset_err, view.support))
    names = ("grating", "filter", "filename", "z", "z_err", "probability", "velocity_err")
    kinds = ["S8", "S8", f"S{max(len(path.name) for path in paths)}", *(7 * ["f8"])]
    return Table(rows=rows, names=(*names, "offset", "offset_err", "support"), dtype=kinds)
