"""Masks that are drawn in the page: polygons added to an exposure's region file; what stands there by hand is kept."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nirfire.errors import DataError
from nirfire.inspect.edits import Unchanged, editing, read_text, rewrite
from nirfire.inspect.toml_text import BOM, with_line_ends
from nirfire.products.naming import SUGGESTED, ExposureName, Workspace
from nirfire.products.regions import (
    DETECTOR_SHAPE,
    HEADER,
    IMAGE,
    SKY,
    canonical_mask,
    check_mask,
    draw_mask,
    join_masks,
    read_region_file,
)

Points = Sequence[Sequence[float]]
DRAWN = re.compile(r"\s*polygon\([^()]*\)\s*#.*text=\{inspect\b.*")
POLYGON = re.compile(r"\s*(?P<sign>[-+]?)\s*polygon\s*\(?(?P<numbers>[-+0-9.eE,\s]+)\)?\s*", re.IGNORECASE)
LABEL = re.compile(r"[^\w .@-]")


@dataclass(frozen=True)
class Region:
    """A line of a region file.

    Attributes
    ----------
    text : str
        The line.
    points : list of [x, y] [px], or None
        Corners, the centre of the first pixel being (0, 0); None for what is no polygon.
    excluded : bool
        It is taken out of the other regions.
    drawn : bool
        It was drawn in the page, which can take it back.
    """

    text: str
    points: list[list[float]] | None
    excluded: bool
    drawn: bool


@dataclass(frozen=True)
class Mask:
    """The mask of an exposure, from its region file and from ``observations.toml``.

    Attributes
    ----------
    regions : list of Region
        Those in the file.
    runs : ndarray of int32, shape (n, 3) [px]
        Row, first column, and the column after the last, of masked pixels, from 0.
    problem : str or None
        Why the file cannot be used.
    """

    regions: list[Region]
    runs: np.ndarray
    problem: str | None


def read_mask(place: Workspace, name: ExposureName, listed: str = "") -> Mask:
    """Read the mask of an exposure.

    Parameters
    ----------
    place : Workspace
    name : ExposureName
    listed : str
        Its regions in ``observations.toml``.
    """
    path = place.mask(name)
    try:
        text = read_text(path).removeprefix(BOM)
    except Unchanged as error:
        return Mask([], np.zeros((0, 3), np.int32), error.message)
    drawn = draw_mask(join_masks((listed, text)), DETECTOR_SHAPE, file=path)
    problem = drawn.problems[0].message if drawn.problems else None
    return Mask([r for line in text.splitlines() if (r := _region(line))], runs_of(drawn.mask), problem)


def read_suggested(place: Workspace, name: ExposureName) -> list[Region]:
    """Outlines of what might be masked, as `nirfire mask suggest` wrote them; none where it was not asked."""
    path = place.mask(name, SUGGESTED)
    if not path.is_file():
        return []
    try:
        lines = read_region_file(path).splitlines()
    except DataError:  # another tool's file; nothing hangs on it
        return []
    return [r for line in lines if (r := _region(line)) and r.points]


def _region(line: str) -> Region | None:
    statement = canonical_mask(line)
    if not statement or statement.lower() in IMAGE or SKY.fullmatch(statement.lower()):
        return None
    match = POLYGON.fullmatch(statement)
    points = None
    if match:
        numbers = [float(v) for v in re.findall(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?", match["numbers"])]
        points = [[x - 1, y - 1] for x, y in zip(numbers[::2], numbers[1::2], strict=False)]
    drawn = DRAWN.fullmatch(line) is not None
    return Region(line.strip(), points, statement.startswith("-"), drawn)


def runs_of(mask: np.ndarray) -> np.ndarray:
    """Row, first column and the one after the last of each run of True, shape (n, 3)."""
    padded = np.zeros((mask.shape[0], mask.shape[1] + 2), np.int8)
    padded[:, 1:-1] = mask
    change = np.diff(padded, axis=1)
    rows, first = np.nonzero(change == 1)
    return np.stack([rows, first, np.nonzero(change == -1)[1]], axis=1).astype(np.int32)


def polygon_text(points: Points) -> str:
    """A polygon as DS9 writes it, to a hundredth of a pixel."""
    return f"polygon({','.join(f'{round(v + 1, 2):g}' for point in points for v in point)})"


def check_polygon(points: Points) -> None:
    """Refuse a polygon that masks nothing.

    Raises
    ------
    DataError
        It has no area, or lies outside of the detector.
    """
    drawn = draw_mask(f"image\n{polygon_text(points)}", DETECTOR_SHAPE)
    if drawn.problems:
        told = drawn.problems[0]
        raise DataError(told.message.rpartition(": ")[2], key="polygons", remedy=told.remedy)


def change_mask(
    place: Workspace, name: ExposureName, polygons: Sequence[Points], removed: Sequence[str], label: str
) -> Path:
    """Add polygons to the mask of an exposure, and take back some that were drawn in the page.

    Parameters
    ----------
    place : Workspace
    name : ExposureName
    polygons : sequence of polygons
        Corners (x, y), the centre of the first pixel being (0, 0). One that is there already is not added again.
    removed : sequence of str
        Lines of polygons that were drawn in the page; one that is gone already is passed over.
    label : str
        Who drew them.

    Returns
    -------
    Path
        The region file; removed when no region is left.

    Raises
    ------
    DataError
        A polygon masks nothing.
    Unchanged
        The file cannot be used as it stands, or cannot be written.
    """
    for points in polygons:
        check_polygon(points)
    path, gone = place.mask(name), set(removed)

    def change(before: str) -> str | None:
        lines = before.splitlines(keepends=True)
        kept = "".join(line for line in lines if not (line.strip() in gone and DRAWN.match(line)))
        text = with_line_ends(before, _with(kept, polygons, f"inspect {LABEL.sub('', label)}".strip()))
        if text == before:
            return text
        bare = text.removeprefix(BOM)
        if not any(_region(line) for line in bare.splitlines()):
            return text if _has_notes(bare) else None
        if problems := check_mask(bare, path).problems:
            raise Unchanged(problems[0].message, file=path, key=problems[0].key, remedy=problems[0].remedy)
        return text

    rewrite(path, change, read_text)
    return path


def _with(text: str, polygons: Sequence[Points], label: str) -> str:
    """Regions with polygons added behind them, in image coordinates."""
    there = {canonical_mask(line).replace(" ", "") for line in text.splitlines()}
    new = [line for line in dict.fromkeys(map(polygon_text, polygons)) if line not in there]
    if not new:
        return text
    if not text:
        text = HEADER
    if not text.endswith("\n"):
        text += "\n"
    words = [part.strip().lower() for part in canonical_mask(text).replace(";", "\n").splitlines()]
    systems = [word for word in words if word in IMAGE or SKY.fullmatch(word)]
    if not systems or systems[-1] not in IMAGE:
        text += "image\n"
    return text + "".join(f"{line} # text={{{label}}}\n" for line in new)


def _has_notes(text: str) -> bool:
    """There are comments in it, beside the one that every region file begins with."""
    lines = [line.strip() for line in text.splitlines()]
    return any(line.startswith("#") and line not in HEADER for line in lines)


def clear_mask(place: Workspace, name: ExposureName) -> Path | None:
    """Remove the mask of an exposure; None when there is none.

    Raises
    ------
    Unchanged
        It cannot be removed.
    """
    path = place.mask(name)
    if not path.is_file():
        return None
    with editing(path):
        path.unlink(missing_ok=True)
    return path
