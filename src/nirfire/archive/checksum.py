"""Checksums as the archive writes them, and of files."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Mapping
from pathlib import Path

OWN = "sha256"
BY_LENGTH = {32: "md5", 40: "sha1", 64: "sha256", 128: "sha512"}
BY_HEADER = {"md5": "md5", "sha": "sha1", "sha-1": "sha1", "sha-256": "sha256", "sha-512": "sha512"}
CHUNK = 1 << 20


def parse_checksum(text: str) -> str | None:
    """Bring a checksum to the form ``algorithm:hex``; None when it is not understood.

    Parameters
    ----------
    text : str
        Hexadecimal digits, alone or after ``md5:``, ``sha256:`` and the like.
    """
    digits = text.strip().lower().rpartition(":")[2]
    algorithm = BY_LENGTH.get(len(digits))
    return f"{algorithm}:{digits}" if algorithm and re.fullmatch("[0-9a-f]+", digits) else None


def header_checksum(headers: Mapping[str, str], *, whole: bool) -> str | None:
    """Read the checksum of the whole file from the headers of a reply (Repr-Digest, Digest, Content-MD5).

    Parameters
    ----------
    headers : Mapping
        Headers of the reply.
    whole : bool
        True when the reply carries the whole file; Content-MD5 means the reply's own bytes.

    Returns
    -------
    str or None
        ``algorithm:hex`` of the strongest checksum that is understood.
    """
    found = {}
    listed = [*headers.get("Digest", "").split(","), *headers.get("Repr-Digest", "").split(",")]
    if whole and "Content-MD5" in headers:
        listed.append(f"md5={headers['Content-MD5']}")
    for entry in listed:
        name, _, value = entry.strip().partition("=")
        algorithm = BY_HEADER.get(name.lower())
        digits = _hex(value.strip(" :"))
        if algorithm and BY_LENGTH.get(len(digits)) == algorithm:
            found[algorithm] = digits
    strongest = max(found, key=lambda name: len(found[name]), default=None)
    return f"{strongest}:{found[strongest]}" if strongest else None


def file_checksum(path: Path, algorithm: str = OWN) -> str:
    """Checksum of a file, as ``algorithm:hex``."""
    digest = hashlib.new(algorithm, usedforsecurity=False)
    with path.open("rb") as f:
        while block := f.read(CHUNK):
            digest.update(block)
    return f"{algorithm}:{digest.hexdigest()}"


def algorithm_of(checksum: str) -> str:
    """Name of the algorithm of a checksum."""
    return checksum.partition(":")[0]


def _hex(base64_text: str) -> str:
    try:
        return base64.b64decode(base64_text, validate=True).hex()
    except binascii.Error:
        return ""
