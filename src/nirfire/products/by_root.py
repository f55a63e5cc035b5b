"""TOML files with a table for each visit and activity, which people write."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

from nirfire.errors import DataError

ROOT = re.compile(r"jw\d{11}_\d{5}")


def read_by_root(path: Path) -> dict[str, dict[str, Any]]:
    """Read the tables of a file by visit and activity, ``jwPPPPPOOOVVV_GGSAA``; an absent file has none.

    Raises
    ------
    DataError
        The file is not TOML in UTF-8, or something in it is not the table of a visit and activity.
    """
    if not path.is_file():
        return {}
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8-sig"))  # some editors begin a file with a mark
    except UnicodeDecodeError as error:
        raise DataError(f"not a text file: {error}", file=path, remedy="save it as UTF-8") from error
    except tomllib.TOMLDecodeError as error:
        raise DataError(f"not valid TOML: {error}", file=path, remedy="correct the line named") from error
    for root, table in content.items():
        if not (ROOT.fullmatch(root) and isinstance(table, dict)):
            raise DataError("not a visit and activity", file=path, key=root, remedy="use [jwPPPPPOOOVVV_GGSAA]")
    return content
