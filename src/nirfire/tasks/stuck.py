"""stuck list: the stuck-closed shutters of an observation, a TOML file that people edit."""

from __future__ import annotations

from pathlib import Path

from nirfire.errors import DataError
from nirfire.products.atomic import write_text
from nirfire.products.by_root import read_by_root

HEADER = """# Stuck-closed shutters, by visit and source.
# [jwPPPPPOOOVVV_GGSAA]        visit and activity
# 101 = [3]                    source = ordinals of its closed shutters, 1 = lowest shutter_column
"""

StuckList = dict[str, dict[int, tuple[int, ...]]]


def read_stuck(path: Path) -> StuckList:
    """Read the list; an absent file is an empty list.

    Parameters
    ----------
    path : Path
        The TOML file.

    Returns
    -------
    dict
        root -> source -> ordinals.

    Raises
    ------
    DataError
        The file is not TOML, or an entry is not a list of whole numbers from 1.
    """
    found: StuckList = {}
    for root, sources in read_by_root(path).items():
        for source, ordinals in sources.items():
            whole = isinstance(ordinals, list) and all(isinstance(k, int) and k >= 1 for k in ordinals)
            if not (whole and source.removeprefix("-").isdigit()):
                raise DataError(
                    f"{source} = {ordinals!r} is not a source with a list of shutter ordinals",
                    file=path,
                    key=f"{root}.{source}",
                    remedy="write for example 101 = [3]",
                )
            found.setdefault(root, {})[int(source)] = tuple(ordinals)
    return found


def write_stuck(path: Path, stuck: StuckList) -> None:
    """Write the list."""
    lines = [HEADER]
    for root in sorted(stuck):
        lines.append(f"[{root}]")
        lines += [f"{source} = {list(ordinals)}" for source, ordinals in sorted(stuck[root].items())]
    write_text(path, "\n".join(lines) + "\n")
