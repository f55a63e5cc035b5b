"""Which reference file goes with which exposure: the table behind one CRDS rule map."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

DETECTOR = "META.INSTRUMENT.DETECTOR"
FILTER = "META.INSTRUMENT.FILTER"
GRATING = "META.INSTRUMENT.GRATING"
EXP_TYPE = "META.EXPOSURE.TYPE"
READPATT = "META.EXPOSURE.READPATT"
MOS = "NRS_MSASPEC"


@dataclass(frozen=True)
class Selection:
    """Files of one reference type.

    Attributes
    ----------
    keys : tuple of str
        Header parameters that select, in CRDS's spelling; empty if one file serves all.
    files : mapping of tuple to str
        File name for the values of `keys`.
    """

    keys: tuple[str, ...]
    files: Mapping[tuple[str, ...], str]

    @classmethod
    def for_mos(cls, name: str) -> Selection:
        """One file for every multi-object exposure."""
        return cls((EXP_TYPE,), {(MOS,): name})

    @classmethod
    def for_all(cls, name: str) -> Selection:
        """One file for everything."""
        return cls((), {(): name})


def reference_name(reftype: str, number: int = 1, suffix: str = "fits") -> str:
    """File name in CRDS's form, ``jwst_nirspec_<type>_NNNN.<suffix>``."""
    return f"jwst_nirspec_{reftype}_{number:04d}.{suffix}"
