"""The grades and flags that a person gives: words, values and keys, said once for store, page, catalogue and docs."""

from __future__ import annotations

from enum import IntEnum, IntFlag


class Quality(IntEnum):
    """How sure a person is of a redshift."""

    NOT_INSPECTED = 0
    IMPOSSIBLE = 1
    TENTATIVE = 2
    PROBABLE = 3
    SECURE = 4


QUALITY_SAID = {
    Quality.NOT_INSPECTED: "not inspected",
    Quality.IMPOSSIBLE: "impossible: no redshift can be told",
    Quality.TENTATIVE: "tentative: right in about 1 of 2",
    Quality.PROBABLE: "probable: right in about 4 of 5",
    Quality.SECURE: "secure: right in more than 95 of 100",
}


class Flag(IntFlag):
    """What is amiss with a spectrum; the bits are those of the published catalogues."""

    CHIP_GAP = 1
    CONTAMINATION = 2
    STUCK_SHUTTER = 4
    MULTIPLE_SOURCES = 8
    NO_DETECTION = 16
    LOW_SNR = 32
    OVERLAP = 64
    PRISM_CORRUPTED = 128
    GRATING_CORRUPTED = 256


FLAG_SAID = {
    Flag.CHIP_GAP: "chip gap",
    Flag.CONTAMINATION: "contamination",
    Flag.STUCK_SHUTTER: "stuck shutter",
    Flag.MULTIPLE_SOURCES: "multiple sources",
    Flag.NO_DETECTION: "no detection",
    Flag.LOW_SNR: "low S/N",
    Flag.OVERLAP: "overlap",
    Flag.PRISM_CORRUPTED: "PRISM corrupted",
    Flag.GRATING_CORRUPTED: "grating corrupted",
}


def flags_said(bits: int) -> list[str]:
    """The flags in words, in the order of their bits."""
    return [text for bit, text in FLAG_SAID.items() if bits & bit]
