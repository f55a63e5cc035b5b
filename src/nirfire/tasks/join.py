"""join: the spectra of a source in all gratings to one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from astropy.table import Table

from nirfire import __version__
from nirfire.core.cross_grating import Joint, Mode, join_spectra
from nirfire.core.lsf import resolving_power
from nirfire.errors import DataError, NoWork
from nirfire.products.columns import Cards
from nirfire.products.extraction import on_disk
from nirfire.products.joint import GRATING_BITS, JointSpectrum
from nirfire.products.spectrum import Spectrum
from nirfire.tasks.settings import JoinSettings

COPIED = ("SOURCEID", "SRCNAME", "RA", "DEC", "TELESCOP", "INSTRUME", "PROGRAM", "CAL_VER", "SPECSYS", "VELOSYS")


def join(inputs: list[Path], joined: Path, settings: JoinSettings) -> None:
    """Bring the spectra of a source to one flux scale and make one spectrum of them.

    Parameters
    ----------
    inputs : list of Path
        The ``_spec.fits`` of one source in all gratings.
    joined : Path
        The file to write.
    settings : JoinSettings
        Configuration.

    Raises
    ------
    NoWork
        Fewer than two spectra have valid pixels.
    DataError
        An unknown grating, or the reference is none of the gratings.
    """
    spectra = [(path, Spectrum.read(path)) for path in inputs]
    spectra = [(path, spectrum) for path, spectrum in spectra if spectrum.ivar.any()]
    if len(spectra) < 2:
        raise NoWork(f"{len(spectra)} gratings with a spectrum, joining needs two", file=inputs[0] if inputs else None)
    modes = [_mode(path, spectrum) for path, spectrum in spectra]
    reference = _reference([spectrum for _, spectrum in spectra], settings, spectra[0][0])
    prior = (settings.level_prior, *(settings.max_order * (settings.slope_prior,)))
    found = join_spectra(modes, reference=reference, prior=prior, least_sn=settings.least_sn, alike=settings.alike)
    flux, err = on_disk(found.flux, found.ivar)
    JointSpectrum(
        wave=found.wave,
        flux=flux,
        err=err,
        mask=found.ivar <= 0,
        grating=found.bits,
        resolution=found.resolution,
        scale=found.scale,
        scale_err=found.scale_err,
        modes=_modes_table(spectra, found, reference),
        meta=_cards(spectra[reference][1]),
    ).write(joined)


def _mode(path: Path, spectrum: Spectrum) -> Mode:
    if spectrum.grating not in GRATING_BITS:
        remedy = f"give spectra of {', '.join(GRATING_BITS)}"
        raise DataError(f"grating {spectrum.grating!r} is unknown", file=path, key="GRATING", remedy=remedy)
    ivar = spectrum.ivar
    flux = np.where(ivar > 0, spectrum.flux, 0.0)
    power = resolving_power(spectrum.grating, spectrum.wave)
    return Mode(spectrum.wave, flux, ivar, power, GRATING_BITS[spectrum.grating])


def _reference(spectra: list[Spectrum], settings: JoinSettings, file: Path) -> int:
    """Index of the spectrum whose flux scale holds."""
    gratings = [spectrum.grating for spectrum in spectra]
    wanted = settings.reference and settings.reference.upper()
    if wanted and wanted not in gratings:
        remedy = f"one of {', '.join(sorted(set(gratings)))}"
        raise DataError(f"no spectrum of {wanted}", file=file, key="join.reference", remedy=remedy)
    name = wanted or ("PRISM" if "PRISM" in gratings else None)
    able = [k for k, grating in enumerate(gratings) if name in (None, grating)]
    return max(able, key=lambda k: _signal_to_noise(spectra[k]))


def _signal_to_noise(spectrum: Spectrum) -> float:
    good = spectrum.ivar > 0
    return float(np.median(spectrum.flux[good] / spectrum.err[good]))


def _modes_table(spectra: list[tuple[Path, Spectrum]], found: Joint, reference: int) -> Table:
    rows = []
    for k, ((path, spectrum), scale) in enumerate(zip(spectra, found.scales, strict=True)):
        middle = len(spectrum.wave) // 2
        mode = (spectrum.grating, str(spectrum.meta.get("FILTER", ("", ""))[0]), GRATING_BITS[spectrum.grating])
        factor = (scale.scale[middle], scale.scale_err[middle], scale.order, scale.chi2, scale.n_used)
        rows.append((*mode, path.name, k == reference, *factor))
    names = ("grating", "filter", "bit", "filename", "reference", "scale", "scale_err", "order", "chi2", "n_bins")
    kinds = ("S8", "S8", "i4", f"S{max(len(p.name) for p, _ in spectra)}", bool, "f8", "f8", "i4", "f8", "i4")
    return Table(rows=rows, names=names, dtype=kinds)


def _cards(spectrum: Spectrum) -> Cards:
    cards = {key: spectrum.meta[key] for key in COPIED if key in spectrum.meta} | spectrum.references
    scale = f"{spectrum.grating} {spectrum.meta.get('FILTER', ('', ''))[0]}".strip()
    cards["NFJOIN"] = (scale, "grating and filter whose flux scale holds")
    cards["NFVERS"] = (__version__, "version of nirfire")
    return cards
