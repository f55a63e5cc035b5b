"""What tells that a file is another one than before."""

from __future__ import annotations

import os

Stamp = tuple[int, int, int]


def stamp(look: os.stat_result) -> Stamp:
    """Size, time of the last change [ns] and number of a file.

    File systems count time in ticks, some in seconds. A product that takes the place of another has another number, so
    it is told from one of the same size that was written in the same tick.
    """
    return look.st_size, look.st_mtime_ns, look.st_ino
