"""Arrays for the browser: a JSON header, then the numbers as they lie in memory."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from starlette.responses import Response

MAGIC = b"NFB1"
MEDIA_TYPE = "application/octet-stream"
ALIGNED = 8
TYPES = ("f4", "f8", "i1", "u1", "u2", "i4", "u4")
"""What the arrays may be of."""


def pack(meta: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> bytes:
    """One answer in bytes.

    Parameters
    ----------
    meta : mapping
        What JSON can say; NaN and infinity become null, numpy scalars plain numbers.
    arrays : mapping of str to ndarray
        Of any shape, of `TYPES` or bool (which becomes u1).

    Returns
    -------
    bytes
        ``NFB1``, the length of the header (uint32), the header in UTF-8 filled up with blanks, and the data; all
        little-endian, each array at a multiple of 8 bytes. An array whose elements are all the same, which is told by
        ``"same": true``, has only the first of them.

    Raises
    ------
    TypeError
        An array of another type, or something in `meta` that JSON does not have.
    """
    entries: dict[str, dict[str, Any]] = {}
    pieces: list[bytes] = []
    offset = 0
    for name, array in arrays.items():
        kind, data = _plain_bytes(name, array)
        entries[name] = {"dtype": kind, "shape": list(array.shape), "offset": offset}
        one = data[: np.dtype(kind).itemsize]
        if array.size > 1 and data == one * array.size:  # columns of the list that nothing was said of yet
            entries[name]["same"], data = True, one
        padded = data + b"\0" * (-len(data) % ALIGNED)
        pieces.append(padded)
        offset += len(padded)
    told = {"meta": plain(meta), "arrays": entries}
    header = json.dumps(told, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    header += b" " * (-(len(header) + ALIGNED) % ALIGNED)
    return b"".join((MAGIC, struct.pack("<I", len(header)), header, *pieces))


def unpack(raw: bytes) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Meta and arrays of what `pack` gave.

    Raises
    ------
    ValueError
        It is no such thing.
    """
    if len(raw) < ALIGNED or raw[:4] != MAGIC:
        raise ValueError("no NFB1 payload")
    start = ALIGNED + struct.unpack_from("<I", raw, 4)[0]
    header = json.loads(raw[ALIGNED:start])
    arrays = {}
    for name, entry in header["arrays"].items():
        same, shape = entry.get("same", False), entry["shape"]
        count = 1 if same else math.prod(shape)
        flat = np.frombuffer(raw, dtype=f"<{entry['dtype']}", count=count, offset=start + entry["offset"])
        arrays[name] = np.full(shape, flat[0]) if same else flat.reshape(shape)
    return header["meta"], arrays


def answer(
    meta: Mapping[str, Any], arrays: Mapping[str, np.ndarray], headers: Mapping[str, str] | None = None
) -> Response:
    """The answer of a route."""
    return Response(pack(meta, arrays), media_type=MEDIA_TYPE, headers=dict(headers or {}))


def plain(value: Any) -> Any:
    """The same in what JSON has: numpy scalars as numbers, keys as text, null for what is not finite.

    Raises
    ------
    TypeError
        There is no such form.
    """
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, Mapping):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, (bytes, bytearray)):
        return [plain(one) for one in value]
    raise TypeError(f"{type(value).__name__} has no form in JSON")


def _plain_bytes(name: str, array: np.ndarray) -> tuple[str, bytes]:
    values = array.view(np.uint8) if array.dtype == bool else array
    kind = values.dtype.str[1:]
    if kind not in TYPES:
        raise TypeError(f"array {name} is of {array.dtype}: one of {', '.join(TYPES)} is needed")
    return kind, np.ascontiguousarray(values, dtype=f"<{kind}").tobytes()
