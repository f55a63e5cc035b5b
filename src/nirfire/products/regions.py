"""Masks drawn by hand: DS9 regions in image coordinates. Light to import; the numerics are loaded when used."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nirfire.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

REMEDY = "use polygon, box, circle or ellipse after a line 'image', as DS9 saves them with coordinate system 'image'"


def canonical_mask(text: str) -> str:
    """Regions without comments, blank lines and outer blanks: all that a mask depends on, for its fingerprint."""
    lines = (line.partition("#")[0].strip() for line in text.splitlines())
    return "\n".join(line for line in lines if line)


def mask_of_regions(text: str, shape: tuple[int, int], *, file: Path | str | None = None) -> NDArray[np.bool_]:
    """Pixels whose centres lie in DS9 regions.

    Parameters
    ----------
    text : str
        DS9 regions in image coordinates: the centre of the first pixel is (1, 1).
    shape : (int, int)
        Rows and columns of the image.
    file : Path or str, optional
        The exposure that the regions belong to, for messages.

    Returns
    -------
    ndarray of bool, shape `shape`
        True in a region; regions that begin with ``-`` are taken out of all others. No regions: all False.

    Raises
    ------
    DataError
        A line cannot be read, a region is in sky coordinates, has no area, or covers no pixel.
    """
    import numpy as np

    inside, outside = np.zeros(shape, bool), np.zeros(shape, bool)
    for region in _parse(canonical_mask(text), file):
        included = region.meta.pop("include", 1)  # out of the region, lest `contains` turns it inside out
        _add(region, inside if included else outside, file)
    return inside & ~outside


def _parse(text: str, file: Path | str | None) -> list[Any]:
    """Regions of a text; what the package would skip with a warning is an error."""
    from astropy.utils.exceptions import AstropyUserWarning
    from regions import PixelRegion, Regions

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            found = list(Regions.parse(text, format="ds9"))
        except (ValueError, TypeError, IndexError, KeyError, AttributeError) as error:
            raise DataError(f"mask regions cannot be read: {error}", file=file, key="masks", remedy=REMEDY) from error
    if skipped := [str(w.message) for w in caught if issubclass(w.category, AstropyUserWarning)]:
        raise DataError(f"mask regions cannot be read: {skipped[0]}", file=file, key="masks", remedy=REMEDY)
    for region in found:
        if not isinstance(region, PixelRegion):
            raise DataError(
                f"mask regions must be in image coordinates, not on the sky: {region}",
                file=file,
                key="masks",
                remedy=REMEDY,
            )
    return found


def _add(region: Any, mask: NDArray[np.bool_], file: Path | str | None) -> None:
    """Set the pixels whose centres a region covers."""
    import numpy as np
    from regions import PixCoord

    kind = type(region).__name__.removesuffix("PixelRegion").lower()
    try:
        box = region.bounding_box if region.area > 0 else None
    except ValueError:  # a coordinate that is not finite
        box = None
    if box is None:
        raise DataError(f"mask region without area: {kind}", file=file, key="masks", remedy=REMEDY)
    rows, columns = (
        slice(min(max(first, 0), size), min(max(last, 0), size))
        for first, last, size in zip((box.iymin, box.ixmin), (box.iymax, box.ixmax), mask.shape, strict=True)
    )
    y, x = np.mgrid[rows, columns]
    covered = region.contains(PixCoord(x, y))
    if not covered.any():
        raise DataError(
            f"mask region covers no pixel: {kind}", file=file, key="masks", remedy="mend its coordinates or remove it"
        )
    mask[rows, columns] |= covered
