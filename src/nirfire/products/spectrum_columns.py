"""What is said of the columns and images of a ``_spec.fits``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from nirfire.products.columns import Column

FNU, FLAM = "uJy", "erg Angstrom-1 s-1 cm-2"  # as astropy spells them
FNU_UCD, FLAM_UCD = "phot.flux.density;em.freq", "phot.flux.density;em.wl"
WAVE = Column("um", "em.wl", "vacuum wavelength")


class Image(NamedTuple):
    """What is said of an image."""

    unit: str
    ucd: str


IMAGES = {
    "SCI": Image(FNU, FNU_UCD),
    "ERR": Image(FNU, f"stat.error;{FNU_UCD}"),
    "WAVELENGTH": Image("um", "em.wl"),
    "WHT": Image("", "stat.weight"),
    "DQ": Image("", "meta.code.qual"),
    "MODEL": Image(FNU, f"{FNU_UCD};meta.modelled"),
    "COVAR": Image("", "stat.correlation"),
}
SINGLE_COLUMNS = {
    "flux": Column(FNU, FNU_UCD, "flux density per frequency of one exposure alone"),
    "err": Column(FNU, f"stat.error;{FNU_UCD}", "standard error of flux"),
}


def spectrum_columns(widths: Sequence[int]) -> dict[str, Column]:
    """What is said of the columns of SPEC1D, with boxcars of these widths [pixels]."""
    kinds = {"": "optimal extraction"} | {f"_box{w}": f"boxcar of {w} pixels" for w in widths}
    columns = {"wave": WAVE}
    for kind, text in kinds.items():
        main = "" if kind else ";meta.main"
        columns |= {
            f"flux{kind}": Column(FNU, FNU_UCD + main, f"flux density per frequency, {text}"),
            f"err{kind}": Column(FNU, f"stat.error;{FNU_UCD}", f"standard error of flux{kind}"),
        }
        if not kind:
            columns["mask"] = Column("", "meta.code.qual", "true where there is no information")
    for kind, text in kinds.items():
        columns |= {
            f"flam{kind}": Column(FLAM, FLAM_UCD, f"flux density per wavelength, {text}"),
            f"flam_err{kind}": Column(FLAM, f"stat.error;{FLAM_UCD}", f"standard error of flam{kind}"),
        }
    ratio = "arith.ratio"
    columns |= {
        "slitloss": Column("", f"phot.flux;{ratio}", "light that passes, over a centred point's; divided out"),
        "slitloss_err": Column("", f"stat.error;phot.flux;{ratio}", "standard error of slitloss"),
        "shape_err": Column(
            "", f"stat.error;phot.flux;{ratio}", "relative error of flux by place and size, common to all"
        ),
    }
    for w in widths:
        columns[f"aper_box{w}"] = Column("", f"phot.flux;{ratio}", f"share of light in {w} pixels; divided out")
    return columns | {
        "n_used": Column("", "meta.number;obs.exposure", "exposures that have weight"),
        "scale": Column("", "arith.factor;phot.calib", "flux times this agrees with photometry; not applied"),
        "scale_err": Column("", "stat.error;phot.calib", "standard error of scale"),
    }


def profile_columns(widths: Sequence[int]) -> dict[str, Column]:
    """What is said of the columns of PROF1D, with boxcars of these widths [pixels]."""
    boxes = {f"{w}px": Column("", "stat.weight", f"share of each row in the boxcar of {w} pixels") for w in widths}
    return {
        "ypos": Column("pix", "pos.cartesian.y;instr.det", "row of the 2D stack, from the source"),
        "opt": Column("", "stat.weight", "profile of the optimal extraction"),
    } | boxes
