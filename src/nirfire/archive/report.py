"""How a download ended, or what it would do."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from nirfire.errors import DataError

DONE, SKIPPED, FAILED = "done", "skipped", "failed"
FETCH, RESUME, HERE = "to download", "to resume", "here"
EXIT_DONE, EXIT_FAILED = 0, 3
STEP = 1000


@dataclass(frozen=True)
class FileOutcome:
    """How one file ended.

    Attributes
    ----------
    file : str
        File name.
    status : str
        ``done``, ``skipped`` (it was here) or ``failed``; in a plan ``to download``, ``to resume`` or ``here``.
    size : int
        Size [bytes]; 0 when not known.
    moved : int
        Bytes that came over the line; in a plan those that are still to come.
    error : DataError or None
        Why it failed, and what to do.
    """

    file: str
    status: str
    size: int = 0
    moved: int = 0
    error: DataError | None = None


@dataclass(frozen=True)
class DownloadReport:
    """The files of a download, and what is to be said of it.

    Attributes
    ----------
    folder : Path
        Where the files are.
    files : tuple of FileOutcome
        Every file that was asked for.
    notes : tuple of str
        What the user should know.
    problems : tuple of DataError
        What is wrong beyond single files, such as an MSA metafile that an exposure names and nobody has.
    """

    folder: Path
    files: tuple[FileOutcome, ...]
    notes: tuple[str, ...] = ()
    problems: tuple[DataError, ...] = ()

    @property
    def exit_code(self) -> int:
        """0, or 3 when something failed."""
        return EXIT_FAILED if self.problems or self.with_status(FAILED) else EXIT_DONE

    @property
    def size(self) -> int:
        """Size of all files [bytes]."""
        return sum(f.size for f in self.files)

    @property
    def moved(self) -> int:
        """Bytes that came over the line, or in a plan are still to come."""
        return sum(f.moved for f in self.files)

    def with_status(self, status: str) -> tuple[FileOutcome, ...]:
        """Files that ended so."""
        return tuple(f for f in self.files if f.status == status)

    def table(self) -> str:
        """All files, one a line, and the sum."""
        width = max((len(f.file) for f in self.files), default=0)
        lines = [f"{f.file:<{width}}  {human_size(f.size):>9}  {f.status}" for f in self.files]
        to_come = f", {human_size(self.moved)} to come" if self.with_status(FETCH) or self.with_status(RESUME) else ""
        return "\n".join([*lines, f"{len(self.files)} files, {human_size(self.size)}{to_come}"])

    def summary(self) -> str:
        """Counts, then every failure with what to do; failures for the same reason stand together."""
        counts = [f"{len(found)} {s}" for s in (DONE, SKIPPED, FAILED) if (found := self.with_status(s))]
        lines = [f"{', '.join(counts) or 'no files'}; {human_size(self.moved)} transferred to {self.folder}"]
        reasons: dict[tuple[str, str], list[str]] = {}
        for outcome in self.with_status(FAILED):
            if outcome.error is not None:
                key = (outcome.error.message, outcome.error.remedy or "")
                reasons.setdefault(key, []).append(outcome.file)
        for (message, remedy), names in reasons.items():
            lines += [f"failed: {message}", *(f"  {name}" for name in names)]
            lines += [f"  remedy: {remedy}"] if remedy else []
        return "\n".join([*lines, *(f"problem: {p}" for p in self.problems), *(f"note: {n}" for n in self.notes)])


def human_size(size: int) -> str:
    """A size for people, in powers of 1000."""
    value, unit = float(size), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if value < STEP:
            break
        value, unit = value / STEP, larger
    return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
