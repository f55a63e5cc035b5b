"""What may stand in the address of a request; all else is refused before any code sees it."""

from __future__ import annotations

import re
from typing import Annotated

from fastapi import Path
from pydantic import BeforeValidator

LARGEST = 2**31 - 1


def _digits(text: object) -> int:
    if not isinstance(text, str) or re.fullmatch(r"0|[1-9][0-9]{0,9}", text) is None:
        raise ValueError("a source is named by its number")
    return int(text)


Source = Annotated[int, BeforeValidator(_digits), Path(le=LARGEST)]
"""Number of a source, in decimal digits alone."""
Key = Annotated[str, Path(pattern=r"^[a-z0-9]{1,12}_[a-z0-9]{1,12}$")]
"""Which spectrum of a source: ``prism_clear``."""
ExposureId = Annotated[str, Path(pattern=r"^jw[0-9]{11}_[0-9]{5}_[0-9]{5}_nrs[12]$")]
"""Exposure and detector."""
Root = Annotated[str, Path(pattern=r"^jw[0-9]{11}_[0-9]{5}$")]
"""Visit and activity."""
