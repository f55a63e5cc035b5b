"""Masks drawn by hand: DS9 regions in image coordinates. Light to import; the numerics are loaded when used."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nirfire.errors import DataError
from nirfire.products.naming import REGIONS, SUGGESTED

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

DETECTOR_SHAPE = (2048, 2048)
NUMBERS: dict[str, tuple[str, Callable[[int], bool]]] = {
    "polygon": ("x and y of three or more corners", lambda n: n >= 6 and n % 2 == 0),
    "box": ("x, y, width, height, angle", lambda n: n >= 5 and n % 2 == 1),
    "circle": ("x, y, radius", lambda n: n == 3),
    "ellipse": ("x, y, two semi-axes, angle", lambda n: n >= 5 and n % 2 == 1),
    "annulus": ("x, y, two or more radii", lambda n: n >= 4),
}
IMAGE = ("image", "physical")  # one and the same in NIRSpec exposures, which are neither binned nor cut out
SKY = re.compile("fk4|b1950|fk5|j2000|icrs|galactic|ecliptic|wcs[a-z]?|linear|detector|amplifier")
STATEMENT = re.compile(r"[-+]?\s*(?P<shape>[a-z0-9]+)\s*(?P<numbers>\(.*\)|[^()]*)[ |]*")
SHOWN = 60  # characters of a line in a message
NEXT = "\f"  # stands between masks that are added up
REMEDY = "use polygon, box, circle, ellipse or annulus with coordinates in pixels, as DS9 saves them under 'image'"
ON_THE_SKY = "choose the coordinate system 'image' when saving the regions in DS9"
HEADER = '# Region file format: DS9 version 4.1\nglobal color=magenta font="helvetica 12 normal roman"\nimage\n'


def canonical_mask(text: str) -> str:
    """Regions without comments, global attributes, blank lines and outer blanks: all that a mask depends on.

    It goes into the fingerprint of a cleaned exposure: another colour or label in DS9 makes nothing stale.
    """
    lines = (line.partition("#")[0].strip() for line in text.splitlines())
    return "\n".join(line for line in lines if line and not line.lower().startswith("global "))


def join_masks(texts: Iterable[str]) -> str:
    """Put masks of one exposure together: each is drawn for itself, and a pixel is masked where any of them says so."""
    return f"\n{NEXT}\n".join(dict.fromkeys(filter(None, map(canonical_mask, texts))))


def read_region_file(path: Path) -> str:
    """Text of a region file.

    Raises
    ------
    DataError
        It is absent, or not text.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError("not a text file", file=path, remedy="save the regions in DS9's own format") from error
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
        raise DataError("no such region file", file=path, remedy="look at its name") from error


def read_masks(folder: Path) -> dict[str, str]:
    """Read the masks of a workspace.

    Parameters
    ----------
    folder : Path
        The folder ``masks``; it may be absent.

    Returns
    -------
    dict of str to str
        Text of each region file by the stem of its name, which should be an exposure; suggestions are left out.
    """
    files = sorted(folder.glob(f"*{REGIONS}"))
    return {f.name.removesuffix(REGIONS): read_region_file(f) for f in files if not f.name.endswith(SUGGESTED)}


@dataclass(frozen=True)
class DrawnMask:
    """What a region file masks.

    Attributes
    ----------
    mask : ndarray of bool
        True in a region.
    regions : int
        Number of regions, those that are taken out included.
    problems : list of DataError
        Lines that cannot be used; the mask lacks them.
    """

    mask: NDArray[np.bool_]
    regions: int = 0
    problems: list[DataError] = field(default_factory=list)


def mask_of_regions(text: str, shape: tuple[int, int], *, file: Path | str | None = None) -> NDArray[np.bool_]:
    """Pixels whose centres lie in DS9 regions.

    Parameters
    ----------
    text : str
        DS9 regions in image coordinates: the centre of the first pixel is (1, 1).
    shape : (int, int)
        Rows and columns of the image.
    file : Path or str, optional
        The region file, or the exposure that the regions belong to, for messages.

    Returns
    -------
    ndarray of bool, shape `shape`
        True in a region; regions that begin with ``-`` are taken out of all others. No regions: all False.

    Raises
    ------
    DataError
        A line cannot be read, a region is in sky coordinates, has no area, or covers no pixel.
    """
    drawn = draw_mask(text, shape, file=file)
    if drawn.problems:
        raise drawn.problems[0]
    return drawn.mask


def draw_mask(text: str, shape: tuple[int, int], *, file: Path | str | None = None) -> DrawnMask:
    """As `mask_of_regions`, but collect all that is wrong with the text instead of stopping at the first."""
    import numpy as np

    mask = np.zeros(shape, bool)
    count, problems = 0, []
    for part in text.split(NEXT):
        inside, outside = np.zeros(shape, bool), np.zeros(shape, bool)
        for number, statement in _statements(part):
            try:
                for region in _parse(statement):
                    included = region.meta.pop("include", 1)  # lest `contains` turns the region inside out
                    _add(region, inside if included else outside)
                    count += 1
            except _Unusable as error:
                shown = statement if len(statement) <= SHOWN else f"{statement[: SHOWN - 3]}..."
                told = f"mask regions, line {number}: {shown}: {error}"
                problems.append(DataError(told, file=file, key="masks", remedy=error.remedy))
        mask |= inside & ~outside
    return DrawnMask(mask, count, problems)


def check_mask(text: str, file: Path) -> DrawnMask:
    """Draw a mask for a whole detector; one that masks nothing is a problem as well."""
    drawn = draw_mask(text, DETECTOR_SHAPE, file=file)
    if not drawn.problems and not drawn.mask.any():
        what = "the regions mask no pixel" if drawn.regions else "no region in this file"
        drawn.problems.append(DataError(what, file=file, remedy="draw a region around what is to be left out"))
    return drawn


class _Unusable(Exception):
    """A line that cannot be used."""

    def __init__(self, message: str, remedy: str = REMEDY) -> None:
        super().__init__(message)
        self.remedy = remedy


def _statements(text: str) -> Iterator[tuple[int, str]]:
    """Line number, from 1, and text of each region; lines that name image coordinates are passed over.

    What follows a line with other coordinates is in them: that line alone is given.
    """
    usable = True
    for number, line in enumerate(text.splitlines(), 1):
        for statement in filter(None, map(str.strip, canonical_mask(line).split(";"))):
            word = statement.lower().split()[0]
            if word in IMAGE:
                usable = True
            elif SKY.fullmatch(word):
                usable = False
                yield number, statement
            elif usable:
                yield number, statement


def _parse(statement: str) -> list[Any]:
    """Regions of one statement, several for a multiple annulus; what the package would skip is an error."""
    from astropy.utils.exceptions import AstropyUserWarning
    from regions import Regions

    match = STATEMENT.fullmatch(statement.lower())
    shape = match["shape"] if match else statement.lower().lstrip("+- ").partition("(")[0]
    if SKY.fullmatch(shape):
        raise _Unusable("regions must be in pixels of the image, not on the sky", ON_THE_SKY)
    if shape not in NUMBERS:
        near = get_close_matches(shape, NUMBERS, 1)
        raise _Unusable(f"not a region that can be used{f'; did you mean {near[0]}?' if near else ''}")
    if match is None:
        raise _Unusable("cannot be read; is a parenthesis missing?")
    wanted, right = NUMBERS[shape]
    if not right(len(re.findall(r"[^\s,()]+", match["numbers"]))):
        raise _Unusable(f"{shape} takes {wanted}")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            found = list(Regions.parse(f"image\n{statement.rstrip(' |')}", format="ds9"))
        except (ValueError, TypeError, IndexError, KeyError, AttributeError) as error:
            raise _Unusable(f"cannot be read: {error}") from error
    if skipped := [str(w.message) for w in caught if issubclass(w.category, AstropyUserWarning)]:
        raise _Unusable(f"cannot be read: {skipped[0]}")
    return found


def _add(region: Any, mask: NDArray[np.bool_]) -> None:
    """Set the pixels whose centres a region covers."""
    import numpy as np
    from regions import PixCoord

    try:
        box = region.bounding_box if region.area > 0 else None
    except (ValueError, OverflowError):  # a number that is not finite
        box = None
    if box is None:
        raise _Unusable("region without area", "mend its size or remove it")
    rows, columns = (
        slice(min(max(first, 0), size), min(max(last, 0), size))
        for first, last, size in zip((box.iymin, box.ixmin), (box.iymax, box.ixmax), mask.shape, strict=True)
    )
    y, x = np.mgrid[rows, columns]
    covered = region.contains(PixCoord(x, y))
    if not covered.any():
        n_y, n_x = mask.shape
        raise _Unusable(
            f"covers no pixel of the detector (columns 1 to {n_x}, rows 1 to {n_y})",
            "mend its coordinates or remove it",
        )
    mask[rows, columns] |= covered


def write_polygons(path: Path, polygons: Iterable[tuple[NDArray[np.float64], str]]) -> None:
    """Write polygons as a DS9 region file.

    Parameters
    ----------
    path : Path
        The file.
    polygons : iterable of (ndarray, shape (n, 2) [pixel], str)
        Vertices as column and row, the centre of the first pixel being (0, 0), and a label.
    """
    from nirfire.products.atomic import write_text

    lines = [f"polygon({','.join(f'{v + 1:g}' for v in xy.ravel())}) # text={{{label}}}" for xy, label in polygons]
    write_text(path, HEADER + "".join(f"{line}\n" for line in lines))
