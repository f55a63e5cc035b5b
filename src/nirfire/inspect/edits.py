"""What people say of shutters and nods, written into their TOML files: only what is meant changes, comments stay."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import tomlkit
from tomlkit.exceptions import TOMLKitError
from tomlkit.items import Array, InlineTable, Table, Whitespace

from nirfire.errors import DataError
from nirfire.inspect.toml_text import BOM, comments, with_comments, with_line_ends
from nirfire.products.atomic import atomic_path
from nirfire.products.naming import EDIT_LOCK, Workspace
from nirfire.products.nod_lists import LEFT_OUT, read_nod_lists
from nirfire.tasks.stuck import HEADER, read_stuck

NODS_HEADER = """# Nods, by visit and activity, and source.
# [jwPPPPPOOOVVV_GGSAA]                   visit and activity
# 101 = { 1 = [2, 3], left_out = [4] }    exposure 1 has 2 and 3 for background; 4 takes no part
"""
BY_HAND = "change it with an editor"
TRIES = 5  # to change a file that somebody is saving
Nod = int | str
"""Exposure of an activity by its number; of another activity as ``GGSAA_EEEEE``."""


class Unchanged(DataError):
    """A file that people write is as it was, since it cannot be changed."""


def token(path: Path, root: str, source: int) -> str:
    """A word for what a file says of a source in a visit and activity: another one when it says something else."""
    try:
        content = tomllib.loads(read_text(path).removeprefix(BOM))
    except (tomllib.TOMLDecodeError, Unchanged):
        return ""
    return _token(content, root, str(source))


def _token(content: Mapping[str, Any], root: str, source: str) -> str:
    table = content.get(root)
    entry = table.get(source) if isinstance(table, dict) else None
    return hashlib.sha256(json.dumps(entry, sort_keys=True, default=str).encode()).hexdigest()[:12]


def mark_shutters(
    place: Workspace, root: str, source: int, closed: Sequence[int] | None, *, seen: str | None = None
) -> Path:
    """Say which shutters of a source are stuck closed.

    Parameters
    ----------
    place : Workspace
        Its list of stuck shutters is changed, or made.
    root : str
        Visit and activity.
    source : int
        Number of the source.
    closed : sequence of int, or None
        Ordinals of the shutters, which count instead of those found; None takes back what was said.
    seen : str, optional
        Token of what the file said when this was decided.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    Unchanged
        The file is not right as it stands, says something else than was seen, or cannot be written.
    """
    value = None if closed is None else sorted(set(closed))
    _edit(place.stuck_list, (root, str(source)), value, _Kind(HEADER, read_stuck), seen)
    return place.stuck_list


def choose_nods(
    place: Workspace,
    root: str,
    source: int,
    nods: Mapping[str, Sequence[Nod]] | None,
    left_out: Sequence[Nod],
    *,
    seen: str | None = None,
) -> Path:
    """Say which nods of a source serve as background of which, and which take no part.

    Parameters
    ----------
    place : Workspace
        Its list of nods is changed, or made.
    root : str
        Visit and activity.
    source : int
        Number of the source.
    nods : mapping of str to sequence of int or str, or None
        The backgrounds of each nod that may not have all others; with none, it is background only.
    left_out : sequence of int or str
        Nods that take no part. With neither, what was said is taken back.
    seen : str, optional
        Token of what the file said when this was decided.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    Unchanged
        The file is not right as it stands, or would not be, says something else than was seen, or cannot be written.
    """
    said: dict[str, list[Nod]] = {nod: list(dict.fromkeys(others)) for nod, others in (nods or {}).items()}
    if left_out:
        said[LEFT_OUT] = list(dict.fromkeys(left_out))
    _edit(place.nod_list, (root, str(source)), said or None, _Kind(NODS_HEADER, read_nod_lists), seen)
    return place.nod_list


@contextmanager
def editing(path: Path) -> Iterator[None]:
    """Hold a file that people write for a change, against other threads and other servers in the workspace.

    Raises
    ------
    Unchanged
        The folder cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path.parent / EDIT_LOCK, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise unwritten(path, error) from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    except OSError as error:
        raise unwritten(path, error) from error
    finally:
        os.close(handle)


def unwritten(path: Path, error: OSError) -> Unchanged:
    """What is said when the system does not let a file be written."""
    remedy = "mend the permissions of the workspace, or free some space on its disk"
    return Unchanged(f"cannot be written: {error.strerror or error}", file=path, remedy=remedy)


def read_text(path: Path) -> str:
    """Text of a file as it stands, with its line ends; empty when there is none.

    Raises
    ------
    Unchanged
        It is not text.
    """
    try:
        return path.read_bytes().decode()
    except FileNotFoundError:
        return ""
    except UnicodeDecodeError as error:
        raise Unchanged(f"not a text file: {error}", file=path, remedy="save it as UTF-8") from error


def rewrite(path: Path, change: Callable[[str], str | None], check: Callable[[Path], Any]) -> None:
    """Change the text of a file that people write, and may be saving at the same moment.

    Parameters
    ----------
    path : Path
        The file, or a link to it.
    change : callable
        Gives the new text for the text as it stands, empty for no file; None removes the file.
    check : callable
        Reads the new file before it counts.

    Raises
    ------
    Unchanged
        It is no text, cannot be written, or somebody else saves it again and again.
    """
    with editing(path):
        for _ in range(TRIES):
            before = read_text(path)
            after = change(before)
            if after == before or _replaced(path, before, after, check):
                return
    raise Unchanged("it is being saved by somebody else", file=path, remedy="try again when that is done")


def _replaced(path: Path, before: str, after: str | None, check: Callable[[Path], Any]) -> bool:
    """Write or remove a file, unless it does not say any more what it said."""
    if after is None:
        if same := read_text(path) == before:
            path.unlink(missing_ok=True)
        return same
    try:
        with atomic_path(path.resolve()) as part:
            part.write_bytes(after.encode())
            check(part)
            if read_text(path) != before:  # looked at last, when only the renaming is left to do
                raise _Meanwhile
    except _Meanwhile:
        return False
    return True


class _Meanwhile(Exception):
    """A file was saved by somebody else since it was read."""


class _Kind(NamedTuple):
    """A kind of file: how a new one begins, and what reads it."""

    header: str
    read: Callable[[Path], Any]


def _edit(path: Path, key: tuple[str, str], value: Any, kind: _Kind, seen: str | None) -> None:
    """Give the entry of a root and source another value, or none; what is written is read before it counts."""

    def change(before: str) -> str:
        kind.read(path)
        text = before.removeprefix(BOM)
        after = _changed(text or kind.header, key, value, path)
        if after == text or (value is None and not text):
            return before
        if seen is not None and seen != _token(tomllib.loads(text), *key):
            what = f"somebody has changed what is said of source {key[1]} meanwhile"
            raise Unchanged(what, file=path, key=".".join(key), remedy="look at it again")
        return before[: len(before) - len(text)] + after

    try:
        rewrite(path, change, kind.read)
    except Unchanged:
        raise
    except DataError as error:
        raise Unchanged(error.message, file=path, key=error.key, remedy=error.remedy) from error


def _changed(text: str, key: tuple[str, str], value: Any, path: Path) -> str:
    """The text with one entry changed.

    Raises
    ------
    Unchanged
        It is written in a way that cannot be changed so that nothing else changes.
    """
    root, source = key
    try:
        document = tomlkit.parse(text)
        if value is None:
            after = _without(document, text, root, source)
        else:
            if root not in document:
                _begin_table(document, root)
            elif isinstance(table := document[root], Table) and table.is_super_table():
                table.trivia.comment = table.trivia.comment_ws = ""  # its first part's, which has it as well
            _put(document[root], source, value)
            after = _dumped(document, text)
    except (TOMLKitError, IndexError) as error:  # it gets lost in tables of which the parts stand among others
        raise Unchanged(f"cannot be changed: {error}", file=path, remedy=BY_HAND) from error
    wanted = tomllib.loads(text)
    if value is None:
        wanted.get(root, {}).pop(source, None)
    else:
        wanted.setdefault(root, {})[source] = value
    if _filled(_loads(after, path)) != _filled(wanted):
        raise Unchanged("cannot be changed without changing more", file=path, key=f"{root}.{source}", remedy=BY_HAND)
    return after


def _loads(text: str, path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise Unchanged(f"cannot be changed: {error}", file=path, remedy=BY_HAND) from error


def _filled(content: dict[str, Any]) -> dict[str, Any]:
    return {root: table for root, table in content.items() if table}


def _begin_table(document: tomlkit.TOMLDocument, root: str) -> None:
    text = tomlkit.dumps(document)
    if text and not text.endswith("\n"):
        document.add(tomlkit.nl())
    if text and not text.endswith(("\n\n", "\n\r\n")):
        document.add(tomlkit.nl())
    document.add(root, tomlkit.table())


def _put(table: Any, key: str, value: Any) -> None:
    """Set a key of a table; of what stands there on several lines, or with comments, only what differs is touched."""
    old = table.get(key)
    plain = isinstance(old, Array | InlineTable) and not {"#", "\n"} & set(old.as_string())
    if isinstance(value, dict) and isinstance(old, dict) and not plain:
        for gone in [name for name in old if name not in value]:
            del old[gone]
        for name, inner in value.items():
            _put(old, name, inner)
    elif isinstance(value, list) and isinstance(old, Array) and not plain and _put_items(old, value):
        return
    elif old is None and not isinstance(table, InlineTable):
        _append(table, key, _item(value))
    else:
        table[key] = _item(value)


def _put_items(array: Array, wanted: list[Any]) -> bool:
    """Change a list item by item: comments between those that stay are kept. False where it has another order."""
    for k in reversed(range(len(array))):
        if array[k] not in wanted:
            del array[k]
    for k, value in enumerate(wanted):
        if value not in list(array):
            array.insert(k, value)
    return list(array) == wanted


def _append(table: Any, key: str, item: Any) -> None:
    """Add a key after the last one of a table, before the comments that lead over to the next table."""
    container = getattr(table, "value", None)
    body = getattr(container, "body", None)
    if body is None:  # a table that stands in several places
        table[key] = item
        return
    keyed = [k for k, (name, _) in enumerate(body) if name is not None]
    last = keyed[-1] + 1 if keyed else 0
    tail = body[last:]
    del body[last:]
    table.add(key, item)
    body.extend(tail)


def _dumped(document: tomlkit.TOMLDocument, before: str) -> str:
    """Text of a document with the line ends and all the comments that it had."""
    return with_line_ends(before, with_comments(before, with_line_ends(before, tomlkit.dumps(document))))


def _without(document: tomlkit.TOMLDocument, before: str, root: str, source: str) -> str:
    """The text without an entry, and without the table's heading when nothing, and no comment, is left below it."""
    table = document.get(root)
    if table is None or source not in table:
        return before
    del table[source]
    after = _dumped(document, before)
    body = getattr(getattr(table, "value", None), "body", None)
    if len(table) or body is None or not all(_is_blank(item) for _, item in body):
        return after
    del document[root]
    bare = with_line_ends(before, tomlkit.dumps(document).rstrip("\r\n") + "\n")
    return bare if len(comments(bare)) == len(comments(before)) else after


def _is_blank(item: Any) -> bool:
    return isinstance(item, Whitespace) or type(item).__name__ == "Null"


def _item(value: Any) -> Any:
    """A list or table on one line."""
    if isinstance(value, dict):
        table = tomlkit.inline_table()
        for key, inner in value.items():
            table.append(key, _item(inner))
        return table
    return tomlkit.item(value)
