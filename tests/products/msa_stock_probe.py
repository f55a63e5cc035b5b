"""What the stock pipeline makes of metafiles; run as a process of its own, for jwst takes seconds to import.

Usage: python msa_stock_probe.py FILE METADATA_ID DITHER [FILE METADATA_ID DITHER ...]. Prints the open slits as JSON.
"""

from __future__ import annotations

import json
import logging
import sys

from jwst.assign_wcs.nirspec import get_open_msa_slits
from jwst.assign_wcs.util import MSAFileError

FIELDS = ("shutter_id", "xcen", "ycen", "ymin", "ymax", "quadrant", "source_id", "shutter_state", "source_name")
FIELDS += ("stellarity", "source_xpos", "source_ypos", "source_ra", "source_dec", "slit_id")


def slits(path: str, metadata_id: int, dither: int) -> dict[str, object]:
    """Slits of one exposure, or the error."""
    try:
        found = get_open_msa_slits("9999", path, metadata_id, dither)
    except (MSAFileError, IndexError) as error:
        return {"error": f"{type(error).__name__}: {error}"}
    return {
        str(int(s.name)): {k: v.item() if hasattr(v := getattr(s, k, None), "item") else v for k in FIELDS}
        for s in found
    }


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    wanted = sys.argv[1:]
    answer = [slits(wanted[k], int(wanted[k + 1]), int(wanted[k + 2])) for k in range(0, len(wanted), 3)]
    sys.stdout.write("\n" + json.dumps(answer) + "\n")
