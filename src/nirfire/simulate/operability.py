"""Micro-shutters of the embedded instrument that have failed."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class BadShutter:
    """A shutter that does not obey: `state` is ``open`` or ``closed``."""

    quadrant: int
    xcen: int
    ycen: int
    state: str


def msa_operability() -> tuple[BadShutter, ...]:
    """Shutters of the embedded instrument that are known to have failed, open or closed."""
    opened = ((1, 60, 120), (3, 212, 44), (4, 302, 101))
    closed = (
        (1, 200, 33),
        (1, 201, 33),
        (2, 85, 140),
        (3, 150, 90),
        (3, 300, 12),
        (4, 20, 61),
        (4, 222, 150),
    )
    return (
        *(BadShutter(*shutter, state="open") for shutter in opened),
        *(BadShutter(*shutter, state="closed") for shutter in closed),
    )
