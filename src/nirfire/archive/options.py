"""What the user may ask of a download. Light to import."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from nirfire.errors import DataError

LEVELS = ("uncal", "rate", "cal")
LAST_PROGRAM = 99999
REMEDY_HELP = "see nirfire download --help"


@dataclass(frozen=True)
class Patience:
    """How long faults that may pass by themselves are borne.

    Attributes
    ----------
    attempts : int
        Failures in a row, without a new byte, after which a file is given up.
    first_wait, longest_wait : float
        Pause after the first failure, doubled after each further one up to the longest [s].
    longest_asked : float
        The longest pause that the archive may ask for (``Retry-After``) [s].
    connect, silence : float
        Time allowed for a connection, and between two pieces of a file [s].
    query : float
        Time allowed for the answer to a query [s]; the archive is known to take a minute and more.
    """

    attempts: int = 6
    first_wait: float = 1.0
    longest_wait: float = 60.0
    longest_asked: float = 900.0
    connect: float = 20.0
    silence: float = 60.0
    query: float = 300.0


@dataclass(frozen=True)
class DownloadOptions:
    """One download.

    Attributes
    ----------
    program : int
        Program number, for example 1345.
    observations : tuple of int
        Only these observations; all when empty.
    gratings : tuple of str
        Only exposures with these dispersers, for example ``("PRISM",)``; all when empty.
    folder : Path, optional
        Where the files go; by default ``jwPPPPP`` in the current folder.
    level : str
        What is fetched of each exposure: ``uncal``, ``rate`` or ``cal``; MSA metafiles come always.
    dry_run : bool
        Only list.
    jobs : int
        Files under way at once.
    server : str, optional
        Address of the archive; by default the environment variable ``NIRFIRE_MAST_URL``, else what astroquery is
        configured to use.
    patience : Patience
        When to try again and when to give up.

    Raises
    ------
    DataError
        A value cannot be used.
    """

    program: int
    observations: tuple[int, ...] = ()
    gratings: tuple[str, ...] = ()
    folder: Path | None = None
    level: str = "uncal"
    dry_run: bool = False
    jobs: int = 4
    server: str | None = None
    patience: Patience = field(default_factory=Patience)

    def __post_init__(self) -> None:
        if not 0 < self.program <= LAST_PROGRAM:
            raise DataError(f"program {self.program} cannot be: 1 to {LAST_PROGRAM}", key="program", remedy=REMEDY_HELP)
        if self.level not in LEVELS:
            raise DataError(f"level {self.level!r} is not one of {', '.join(LEVELS)}", key="level", remedy=REMEDY_HELP)
        if self.jobs < 1:
            raise DataError("at least one file must be under way at once", key="jobs", remedy=REMEDY_HELP)

    @property
    def target(self) -> Path:
        """The folder that the files go into."""
        return self.folder if self.folder is not None else Path(f"jw{self.program:05d}")
