"""What may be said in a vote: checked before it is saved."""

from __future__ import annotations

import unicodedata
from typing import Annotated
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from nirfire.inspect.index_rows import is_prism
from nirfire.inspect.quality import Flag, Quality
from nirfire.inspect.votes import Vote

Z_RANGE = (-0.1, 50.0)
LONGEST_COMMENT, LONGEST_TAG, MOST_TAGS, MOST_SPECTRA = 4000, 40, 20, 32
MOST_HEADS = 1000  # votes of one person that do not know of each other
ALL_FLAGS = sum(Flag)
LINE_ENDS = str.maketrans("\r\v\f\x85\u2028\u2029", "\n" * 6)


def _tag(text: str) -> str:
    """A tag with single blanks, and none about it."""
    kept = " ".join(unicodedata.normalize("NFC", text).split())
    if not 1 <= len(kept) <= LONGEST_TAG or _has_controls(kept) or "," in kept:
        raise ValueError(f"a tag has 1 to {LONGEST_TAG} characters and no comma")
    return kept


def _comment(text: str) -> str:
    """A comment in lines that all readers take for lines; whatever else can be typed or pasted is kept."""
    kept = unicodedata.normalize("NFC", text).replace("\r\n", "\n").translate(LINE_ENDS).strip()
    if _has_controls(kept.replace("\n", "").replace("\t", "")):
        raise ValueError("a comment has no control characters")
    return kept


def _has_controls(text: str) -> bool:
    """True where there are control characters or halves of one; marks that only shape others are none."""
    return any(unicodedata.category(letter) in ("Cc", "Cs") for letter in text)


Uuid = Annotated[str, Field(max_length=36), AfterValidator(lambda text: str(UUID(text)))]
Key = Annotated[str, Field(pattern=r"^[a-z0-9]{1,12}_[a-z0-9]{1,12}$")]
Fingerprint = Annotated[str, Field(max_length=64, pattern=r"^[0-9A-Za-z~]*$")]


class SeenProducts(BaseModel):
    """Fingerprints of one spectrum and of its fit."""

    model_config = ConfigDict(extra="forbid", strict=True)
    spec: Fingerprint | None = None
    fit: Fingerprint | None = None


class Ballot(BaseModel):
    """What a person says, before it is a vote; used for what the page sends, and for tables.

    Attributes
    ----------
    age : float
        Seconds since the key was pressed. A duration, since the clocks of browser and server may differ.

    Notes
    -----
    The others are those of `Vote`.
    """

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)
    uuid: Uuid
    source: Annotated[int, Field(ge=0, lt=2**31)]
    z: Annotated[float, Field(ge=Z_RANGE[0], le=Z_RANGE[1])] | None = None
    quality: Annotated[int, Field(ge=0, le=4)]
    flags: Annotated[dict[Key, Annotated[int, Field(ge=0, le=ALL_FLAGS)]], Field(max_length=MOST_SPECTRA)] = {}
    comment: Annotated[str, Field(max_length=LONGEST_COMMENT), AfterValidator(_comment)] = ""
    tags: Annotated[list[Annotated[str, AfterValidator(_tag)]], Field(max_length=MOST_TAGS)] = []
    seen: Annotated[dict[Key, SeenProducts], Field(max_length=MOST_SPECTRA)] = {}
    builds_on: Annotated[list[Uuid], Field(max_length=MOST_HEADS)] | None = None
    regrades: bool | None = None
    age: Annotated[float, Field(ge=0.0)] = 0.0

    @model_validator(mode="after")
    def _belongs_together(self) -> Ballot:
        if self.z is None and self.quality > Quality.IMPOSSIBLE:
            raise ValueError("quality 2, 3 or 4 is that of a redshift: z is missing")
        for key, bits in self.flags.items():
            other = Flag.GRATING_CORRUPTED if is_prism(key) else Flag.PRISM_CORRUPTED
            if bits & other:
                raise ValueError(f"flag {int(other)} is not for {key}")
        return self

    def vote(self, user: str) -> Vote:
        """The vote of this person; for quality 1 without a redshift, and without spectra that have no flag."""
        return Vote(
            uuid=self.uuid,
            user=user,
            source=self.source,
            z=None if self.quality == Quality.IMPOSSIBLE else self.z,
            quality=self.quality,
            flags={key: bits for key, bits in sorted(self.flags.items()) if bits},
            comment=self.comment,
            tags=tuple(sorted(set(self.tags))),
            seen={key: {"spec": one.spec, "fit": one.fit} for key, one in sorted(self.seen.items())},
            time="",
            builds_on=None if self.builds_on is None else tuple(sorted(set(self.builds_on))),
            regrades=self.regrades,
        )
