"""What files there are, and which fingerprints they carry, without reading what has not changed."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from nirfire.pipeline.ledger import Ledger
from nirfire.products.naming import PART, Workspace
from nirfire.products.provenance import read_fingerprint

CONTENT = "content of "  # begins the ledger's name of a file that is hashed, and not read for its stamp
Look = tuple[int, int]  # size [byte], modification time [ns]


class Shelf:
    """The files of a workspace, looked at folder by folder once, then kept up to date by whoever changes them.

    Parameters
    ----------
    workspace : Workspace
        Its folders of exposures and sources are read.
    ledger : Ledger
        Remembers fingerprints of files by their size and modification time.
    """

    def __init__(self, workspace: Workspace, ledger: Ledger) -> None:
        self._ledger = ledger
        self._looks: dict[str, Look | None] = {}
        self._folders: set[str] = set()
        self.leftovers: list[Path] = []
        self._scan(str(workspace.exposures))
        for folder in self._scan(str(workspace.sources)):
            self._scan(folder)

    def _scan(self, folder: str) -> list[str]:
        """Look at all files of a folder; returns its folders. Unfinished files of killed workers become leftovers."""
        self._folders.add(folder)
        inner = []
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    if entry.name.startswith(PART):
                        self.leftovers.append(Path(entry.path))
                    elif entry.is_dir():
                        inner.append(entry.path)
                    elif entry.is_file():
                        stat = entry.stat()
                        self._looks[entry.path] = (stat.st_size, stat.st_mtime_ns)
        except (FileNotFoundError, NotADirectoryError):
            return []
        return inner

    def look(self, path: Path) -> Look | None:
        """Size and modification time, None when the file is absent."""
        name = str(path)
        if name in self._looks:
            return self._looks[name]
        folder = name.rpartition("/")[0]
        if folder in self._folders or folder.rpartition("/")[0] in self._folders:
            return None  # its folder was read, or the one above, which does not have its folder
        return self.look_again(path)

    def look_again(self, path: Path) -> Look | None:
        """As `look`, of the file as it is now."""
        try:
            stat = path.stat()
            look = (stat.st_size, stat.st_mtime_ns)
        except (FileNotFoundError, NotADirectoryError):
            look = None
        self._looks[str(path)] = look
        return look

    def there(self, path: Path) -> bool:
        """True when the file exists."""
        return self.look(path) is not None

    def stored(self, path: Path) -> str | None:
        """Fingerprint in a product's header; None when it carries none."""
        return self._known(path, lambda p: read_fingerprint(p) or "") or None

    def digest(self, path: Path) -> str:
        """Hash of the content of a file that is no product of ours; ``absent`` when there is none."""
        return self._known(path, _hash, CONTENT)

    def digest_all(self, paths: Iterable[Path]) -> None:
        """Hash many files at once, in threads, so that `digest` finds them known."""
        new = [
            (p, look)
            for p in set(paths)
            if (look := self.look(p)) and self._ledger.recall(CONTENT + str(p), *look) is None
        ]
        with ThreadPoolExecutor(os.cpu_count()) as threads:
            for (path, look), found in zip(new, threads.map(_hash, [p for p, _ in new]), strict=True):
                self._ledger.remember(CONTENT + str(path), *look, found)

    def _known(self, path: Path, read: Callable[[Path], str], kind: str = "") -> str:
        look = self.look(path)
        if look is None:
            return "absent"
        found = self._ledger.recall(kind + str(path), *look)
        if found is None:
            found = read(path)
            self._ledger.remember(kind + str(path), *look, found)
        return found


def _hash(path: Path) -> str:
    with path.open("rb") as f:
        return hashlib.file_digest(f, "blake2b").hexdigest()[:16]
