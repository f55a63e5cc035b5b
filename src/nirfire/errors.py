"""The ways in which a job may end early without being a bug."""

from __future__ import annotations

from pathlib import Path


class NirfireError(Exception):
    """Base of the errors that are shown to the user as one message, without a traceback."""


class DataError(NirfireError):
    """Input that cannot be used.

    Parameters
    ----------
    message : str
        What is wrong.
    file : Path or str, optional
        The file at fault.
    key : str, optional
        The header keyword, column or setting at fault.
    remedy : str, optional
        What the user can do about it.
    """

    def __init__(
        self,
        message: str,
        *,
        file: Path | str | None = None,
        key: str | None = None,
        remedy: str | None = None,
    ) -> None:
        self.message, self.file, self.key, self.remedy = message, file, key, remedy
        parts = [message]
        if file is not None:
            parts.append(f"file: {file}")
        if key is not None:
            parts.append(f"key: {key}")
        if remedy is not None:
            parts.append(f"remedy: {remedy}")
        super().__init__("\n  ".join(parts))

    def __reduce__(self) -> tuple:
        return _rebuild, (type(self), self.message, self.file, self.key, self.remedy)


class NoWork(DataError):
    """Nothing to do, for a normal reason (for example a source that misses this detector)."""


class TransientError(DataError):
    """Trouble outside nirfire that may pass by itself, such as a network error; the job is tried again."""


def _rebuild(cls: type[DataError], message: str, file: str, key: str, remedy: str) -> DataError:
    return cls(message, file=file, key=key, remedy=remedy)
