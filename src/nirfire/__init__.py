"""nirfire: raw JWST/NIRSpec multi-object exposures to calibrated 1D spectra and redshifts."""

__version__ = "0.1.0"
