"""nirfire: raw JWST/NIRSpec multi-object exposures to calibrated 1D spectra and redshifts."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nirfire.workspace import Workspace

__all__ = ["Workspace", "__version__"]
__version__ = "0.1.0"


def __getattr__(name: str) -> object:
    """Import what notebooks use when it is asked for, so that `import nirfire` is light."""
    if name != "Workspace":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from nirfire.workspace import Workspace

    return Workspace
