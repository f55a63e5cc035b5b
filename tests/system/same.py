"""Are the products of two workspaces the same, bit for bit, apart from when they were made?

What may differ, and nothing else:

- ``DATE``: when the stock pipeline wrote the file;
- ``CHECKSUM`` and ``DATASUM``: sums over all of that, compared neither between files nor believed (see `sums_hold`);
- the column DATE of HDRTAB in a stack, which repeats that card of the inputs;
- in the ASDF extension ``meta.date`` (DATE again), ``_fits_hash`` (a hash over the cards, DATE too); in the stock
  pipeline's log ``cal_logs`` the time that begins a line, times taken, addresses of objects and paths of temporary
  folders, which ``msa_metadata_file`` has too; and the order in which ``history.extensions`` lists the libraries that
  wrote the tree, which asdf takes from memory addresses. How long the tree is as text (NAXIS1, TFORM1) and where its
  blocks begin (the block index at its end) follow from these.

Everything else is compared: which files there are, which HDUs, every other card with its comment and place, the bytes
of all data, tags and values of the ASDF tree, its binary blocks, and text files byte for byte.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import yaml
from astropy.io import fits

from nirfire.products.naming import Workspace

WHEN = ("DATE", "CHECKSUM", "DATASUM")
LENGTH = ("NAXIS1", "TFORM1")
TREE, HEADERS = "ASDF", "HDRTAB"
DATE_IN_TREE, HASH_IN_TREE = ("meta", "date"), ("_fits_hash",)
UNORDERED = ("history", "extensions")
STEADIED = ("cal_logs", "msa_metadata_file")
VOLATILE = (
    (re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+"), "TIME"),
    (re.compile(r"(?i)\b(time[^\n]*?)\d+\.\d+(e-\d+)?"), r"\1SECONDS"),
    (re.compile(r"object at 0x[0-9a-f]+"), "object"),
    (re.compile(r"[^\s'\"]*nirfire-run-[\w.-]+"), "SCRATCH"),
    (re.compile(r"(nirfire-[a-z0-9]+-)[a-z0-9_]{8}"), r"\1RANDOM"),
)
END_OF_TREE, INDEX = b"\n...\n", b"#ASDF BLOCK INDEX"


def products(place: Workspace) -> dict[str, Path]:
    """Every file among the products of a workspace, by its path in it."""
    folders = (place.exposures, place.sources, place.catalogue)
    found = (p for folder in folders for p in folder.rglob("*") if p.is_file() or p.is_symlink())
    return {str(p.relative_to(place.folder)): p for p in found}


def differences(one: Workspace, other: Workspace) -> list[str]:
    """What differs between the products of two workspaces, one line each; empty when they are the same."""
    mine, theirs = products(one), products(other)
    found = [f"{name}: only in {one.folder.name}" for name in sorted(set(mine) - set(theirs))]
    found += [f"{name}: only in {other.folder.name}" for name in sorted(set(theirs) - set(mine))]
    for name in sorted(set(mine) & set(theirs)):
        found += [f"{name}: {text}" for text in of_files(mine[name], theirs[name])]
    return found


def of_files(a: Path, b: Path) -> Iterator[str]:
    """What differs between two files."""
    if a.is_symlink() or b.is_symlink():  # given files
        if not (a.is_symlink() and b.is_symlink() and a.readlink() == b.readlink()):
            yield "links to another file"
    elif a.suffix == ".fits":
        yield from _of_fits(a, b)
    elif a.read_bytes() != b.read_bytes():
        yield "text"


def _of_fits(a: Path, b: Path) -> Iterator[str]:
    with fits.open(a, memmap=False) as one, fits.open(b, memmap=False) as other:
        names = [[(hdu.name, hdu.ver) for hdu in hdus] for hdus in (one, other)]
        if names[0] != names[1]:
            yield f"HDUs {names[0]} and {names[1]}"
            return
        for mine, theirs in zip(one, other, strict=True):
            cards = [_cards(hdu) for hdu in (mine, theirs)]
            if cards[0] != cards[1]:
                changed = sorted({text.strip() for text in set(cards[0]) ^ set(cards[1])})
                yield f"{mine.name} cards {changed or 'in another order'}"
            elif mine.name == TREE:
                yield from _of_trees(raw(a, mine), raw(b, theirs))
            elif mine.name == HEADERS:
                yield from _of_tables(mine.data, theirs.data)
            elif raw(a, mine) != raw(b, theirs):
                yield f"{mine.name} data"


def _cards(hdu: fits.PrimaryHDU | fits.ImageHDU | fits.BinTableHDU) -> list[str]:
    without = (*WHEN, *LENGTH) if hdu.name == TREE else WHEN
    return [card.image for card in hdu.header.cards if card.keyword not in without]


def _of_tables(a: fits.FITS_rec, b: fits.FITS_rec) -> Iterator[str]:
    for name in a.names:
        if name not in WHEN and np.asarray(a[name]).tobytes() != np.asarray(b[name]).tobytes():
            yield f"{HEADERS} column {name}"


def raw(path: Path, hdu: fits.PrimaryHDU | fits.ImageHDU | fits.BinTableHDU) -> bytes:
    """The data of an HDU as they stand in the file."""
    where = hdu.fileinfo()
    with path.open("rb") as stream:
        stream.seek(where["datLoc"])
        return stream.read(where["datSpan"])


def sums_hold(path: Path) -> bool:
    """True when every HDU of a FITS file has sums, and they are right."""
    with fits.open(path, memmap=False) as hdus:
        return all(
            {"CHECKSUM", "DATASUM"} <= set(hdu.header) and hdu.verify_checksum() == 1 == hdu.verify_datasum()
            for hdu in (h.__class__.fromstring(h.header.tostring().encode() + raw(path, h)) for h in hdus)
        )


def _of_trees(a: bytes, b: bytes) -> Iterator[str]:
    trees = [_parts(content) for content in (a, b)]
    if trees[0][1] != trees[1][1]:
        yield "ASDF blocks"
    seen: set[tuple[int, int]] = set()
    yield from _of_nodes(trees[0][0], trees[1][0], (), seen)


def _parts(content: bytes) -> tuple[yaml.Node, bytes]:
    """The tree of an ASDF file, with its tags, and the binary blocks after it."""
    end = content.index(END_OF_TREE) + len(END_OF_TREE)
    tree = yaml.compose(content[:end], Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    return tree, content[end:].rstrip(b"\0").partition(INDEX)[0]


def _of_nodes(a: yaml.Node, b: yaml.Node, at: tuple[str, ...], seen: set[tuple[int, int]]) -> Iterator[str]:
    """Differences of two nodes; a pair that was met before, as an alias, is not looked at again."""
    if (id(a), id(b)) in seen or at[-2:] == DATE_IN_TREE or at == HASH_IN_TREE:
        return
    seen.add((id(a), id(b)))
    path = "ASDF " + ".".join(at)
    if (type(a), a.tag) != (type(b), b.tag):
        yield f"{path}: {a.tag} and {b.tag}"
    elif isinstance(a, yaml.MappingNode):
        keys = [[key.value for key, _ in node.value] for node in (a, b)]
        if keys[0] != keys[1]:
            yield f"{path}: keys {keys[0]} and {keys[1]}"
            return
        for (key, mine), (_, theirs) in zip(a.value, b.value, strict=True):
            yield from _of_nodes(mine, theirs, (*at, str(key.value)), seen)
    elif isinstance(a, yaml.SequenceNode):
        if len(a.value) != len(b.value):
            yield f"{path}: {len(a.value)} and {len(b.value)} items"
            return
        pairs = [sorted(node.value, key=yaml.serialize) if at == UNORDERED else node.value for node in (a, b)]
        for k, (mine, theirs) in enumerate(zip(*pairs, strict=True)):
            yield from _of_nodes(mine, theirs, (*at, str(k)), seen)
    elif a.value != b.value and not (set(STEADIED) & set(at) and steady(a.value) == steady(b.value)):
        yield f"{path}: {a.value[:200]!r} and {b.value[:200]!r}"


def steady(line: str) -> str:
    """A line of a log without what is another every time."""
    for pattern, instead in VOLATILE:
        line = pattern.sub(instead, line)
    return line
