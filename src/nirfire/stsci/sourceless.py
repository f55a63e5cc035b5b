"""Slits without a source: the wavelengths that they have at the nods with the source.

The stock wavecorr step shifts the wavelengths of point sources only, and flat fields and flux calibration are looked up
by wavelength. So the sky of a pixel comes out differently, by up to 2 per cent where these are steep, in nods with and
without the source, and would not cancel when one is subtracted from the other.
"""

from __future__ import annotations

from typing import Any

from jwst.stpipe import Step
from jwst.wavecorr.wavecorr import apply_zero_point_correction

NO_REFERENCE = "N/A"


class SourcelessWavelengths(Step):
    """A stock step that goes after wavecorr, for example as its ``post_hooks``; `x` is that of `shift_sourceless`."""

    class_alias = "sourceless_wavelengths"
    spec = """
        x = float()  # place of the source across its shutter at the other nods, in pitches from the centre
    """
    reference_file_types = ("wavecorr",)

    def process(self, slits: Any) -> Any:
        """Shift the wavelengths of the slits that wavecorr left as they were."""
        return shift_sourceless(slits, self.x, self.get_reference_file(slits, "wavecorr"))


def shift_sourceless(slits: Any, x: float, reference: Any) -> Any:
    """Shift the wavelengths of slits without a point source; in place.

    Parameters
    ----------
    slits : MultiSlitModel
        Slits after the wavecorr step.
    x : float [pitch]
        Where the point source lies at the nods that have it, from the centre of its shutter.
    reference : str or WaveCorrModel
        The wavecorr reference; with "N/A" nothing is done.

    Returns
    -------
    MultiSlitModel
        The same object.
    """
    for slit in slits.slits:
        if slit.wavelength_corrected or reference == NO_REFERENCE:
            continue
        before = slit.source_xpos
        slit.source_xpos = x
        slit.wavelength_corrected = apply_zero_point_correction(slit, reference)
        slit.source_xpos = before
    return slits
