"""A source in every exposure: its cutouts, the shutters of its slitlet, and which nods serve for which."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nirfire.errors import DataError
from nirfire.inspect.edits import token
from nirfire.inspect.slit_shutters import STUCK, Shutter, shutters_of
from nirfire.inspect.slits import Cutout, read_cutout
from nirfire.pipeline.groups import Labels, Slit
from nirfire.pipeline.target import Observation
from nirfire.products.exposures import sub_dither
from nirfire.products.naming import BKGSUB, CAL, RATE, RATERAW, REGIONS, ExposureName, Workspace
from nirfire.products.nod_lists import NodList, NodLists, list_of, nod_name, read_nod_lists
from nirfire.tasks.stuck import StuckList, read_stuck

Meta = dict[str, Any]


@dataclass(frozen=True)
class Shot:
    """A source in one exposure.

    Attributes
    ----------
    name : ExposureName
    cal, bkgsub : Cutout or None
        With its sky, and without; one of them is there, unless there is a problem.
    problem : str
        Why a file cannot be used.
    """

    name: ExposureName
    cal: Cutout | None
    bkgsub: Cutout | None
    problem: str = ""

    @property
    def any(self) -> Cutout | None:
        return self.cal or self.bkgsub

    @property
    def key(self) -> str:
        """Key of the spectrum that it goes into."""
        cards = self.any.cards if self.any else {}
        return f"{cards.get('GRATING') or ''}_{cards.get('FILTER') or ''}".lower() if cards else ""

    @property
    def raw(self) -> np.ndarray | None:
        """Flux with its sky, shape (n_spat, n_wave) [uJy]; where only what was subtracted is kept, made from that."""
        if self.cal is not None:
            return self.cal.sci
        if self.bkgsub is None or self.bkgsub.sky is None:
            return None
        return self.bkgsub.sci + self.bkgsub.sky


@dataclass(frozen=True)
class Root:
    """What is known of a source in one visit and activity.

    Attributes
    ----------
    shutters : list of Shutter
    by_hand : tuple of int or None
        Closed shutters as people list them; None where they say nothing.
    """

    shutters: list[Shutter]
    by_hand: tuple[int, ...] | None

    @property
    def found(self) -> list[int]:
        """Ordinals of the shutters that were found closed."""
        return [s.ordinal for s in self.shutters if s.found is not None and s.found.closed]

    def states(self) -> dict[int, str]:
        """State by ``shutter_column``."""
        return {s.column: s.state(self.by_hand) for s in self.shutters}


def read_shots(place: Workspace, source: int) -> list[Shot]:
    """Read all cutouts of a source, by exposure; what cannot be read is said in its place."""
    names = {*place.find_slits(source, CAL), *place.find_slits(source, BKGSUB)}
    shots = []
    for name in sorted(names):
        found: dict[str, Cutout | None] = dict.fromkeys((CAL, BKGSUB))
        problems = []
        for suffix in found:
            try:
                found[suffix] = read_cutout(place.slit(name, source, suffix), pixels_only=bool(found[CAL]))
            except DataError as error:
                problems.append(f"{Path(str(error.file)).name}: {error.message}")
        if problems or any(found.values()):
            shots.append(Shot(name, found[CAL], found[BKGSUB], "; ".join(problems)))
    return shots


def roots_of(place: Workspace, source: int, shots: Sequence[Shot], stuck: StuckList) -> dict[str, Root]:
    """What is known of the slitlet of a source, by visit and activity.

    Raises
    ------
    DataError
        The file of the shutters, or the metafile, is damaged.
    """
    by_root: dict[str, list[Cutout]] = defaultdict(list)
    for shot in shots:
        by_root[shot.name.root] += [shot.any] if shot.any else []
    return {
        root: Root(shutters_of(place, root, source, mine), stuck.get(root, {}).get(source))
        for root, mine in by_root.items()
    }


def cutouts(observation: Observation, source: int) -> tuple[Meta, dict[str, np.ndarray]]:
    """All that the page shows of the exposures of a source.

    Parameters
    ----------
    observation : Observation
        Whose workspace holds the products.
    source : int
        Number of the source.

    Returns
    -------
    meta : dict
        ``exposures``, with shutters and nods; ``slits`` by visit and activity, with tokens of what was said of them;
        ``problems`` of what cannot be read.
    arrays : dict of str to ndarray
        By exposure ``cal`` and ``bkgsub``, shape (n_spat, n_wave) [uJy]; ``wave``, shape (n_wave,) [um]; ``edges``,
        shape (n_shutters, 2, n_wave) [px], rows between which a shutter lies; ``source``, shape (n_wave,) [px].
    """
    place, problems = observation.workspace, []
    shots = read_shots(place, source)
    stuck, lists = StuckList(), NodLists()
    files = {"shutters": place.stuck_list, "nods": place.nod_list}  # before they are read: what changes then is noticed
    seen = {shot.name.root: {k: token(path, shot.name.root, source) for k, path in files.items()} for shot in shots}
    try:
        stuck = read_stuck(place.stuck_list)
    except DataError as error:
        problems.append(f"{place.stuck_list.name}: {error.message}")
    try:
        lists = read_nod_lists(place.nod_list)
    except DataError as error:
        problems.append(f"{place.nod_list.name}: {error.message}")
    try:
        roots = roots_of(place, source, shots, stuck)
    except DataError as error:
        problems.append(str(error.message))
        roots = {shot.name.root: Root([], None) for shot in shots}
    nods, masked = nods_of(observation, source, shots, lists), _masked(observation)
    exposures: list[Meta] = []
    arrays: dict[str, np.ndarray] = {}
    for shot in shots:
        meta, mine = _shown(shot, source, roots[shot.name.root])
        whole = any(place.exposure(shot.name, suffix).is_file() for suffix in (RATE, RATERAW))
        exposures.append({**meta, **nods.get(shot.name, {}), "has_mask": str(shot.name) in masked, "has_image": whole})
        arrays |= {f"{shot.name}/{name}": array for name, array in mine.items()}
    slits = {root: {**_slit_meta(what, shots, root, source), "seen": seen[root]} for root, what in roots.items()}
    return {"source": source, "exposures": exposures, "slits": slits, "problems": problems}, arrays


def _slit_meta(root: Root, shots: Iterable[Shot], name: str, source: int) -> Meta:
    planned = {n for shot in shots if shot.name.root == name and shot.any for n in shot.any.planned}
    closed = sorted(s.ordinal for s in root.shutters if s.state(root.by_hand) == STUCK)
    return {
        "closed": closed,
        "found": root.found,
        "by_hand": root.by_hand is not None,
        "editable": bool(root.shutters),
        "neighbours": sorted(n for n in planned - {source, 0} if n > 0),
    }


def _masked(observation: Observation) -> set[str]:
    listed = set(observation.spec.masks) if observation.spec else set()
    place = observation.workspace
    return listed | {path.name.removesuffix(REGIONS) for path in place.masks.glob(f"*{REGIONS}")}


def _shown(shot: Shot, source: int, root: Root) -> tuple[Meta, dict[str, np.ndarray]]:
    """What is said and drawn of one exposure."""
    name, cutout = shot.name, shot.any
    meta: Meta = {
        "exposure": str(name),
        "root": name.root,
        "nod": name.nod,
        "detector": name.detector,
        "key": shot.key,
        "shutters": [],
        "source_row": None,
        "in_shutter": True,
        "sky": "",
        "error": shot.problem or None,
    }
    if cutout is None:
        return meta, {}
    arrays = {"wave": cutout.wave}
    images = {"cal": shot.raw, "bkgsub": shot.bkgsub.sci if shot.bkgsub else None}
    arrays |= {key: image for key, image in images.items() if image is not None}
    columns = np.array([s.column for s in root.shutters], dtype=float)
    edges = cutout.rows_of(np.stack([columns - 0.5, columns + 0.5], axis=-1)) if columns.size else None
    here = cutout.planned.get(source, cutout.planned.get(0))
    if edges is not None:
        arrays["edges"] = edges
        meta["shutters"] = [
            _shutter_meta(shutter, rows, root, here) for shutter, rows in zip(root.shutters, edges, strict=True)
        ]
    if here is not None:
        arrays["source"] = cutout.rows_of(np.array([here]))[0]
        meta["source_row"] = _number(np.nanmedian(arrays["source"])) if np.isfinite(arrays["source"]).any() else None
    meta["in_shutter"] = bool(cutout.cards["SRCFLUX"]) if cutout.cards["SRCFLUX"] is not None else True
    meta["sky"] = str(shot.bkgsub.cards["NFSKY"] or "") if shot.bkgsub else ""
    return meta, arrays


def _shutter_meta(shutter: Shutter, rows: np.ndarray, root: Root, source: float | None) -> Meta:
    known = np.isfinite(rows).any()
    low, high = np.sort(np.nanmedian(rows, axis=1)) if known else (np.nan, np.nan)
    found = shutter.found
    return {
        "ordinal": shutter.ordinal,
        "column": shutter.column,
        "y_low": _number(low),
        "y_high": _number(high),
        "state": shutter.state(root.by_hand),
        "has_source": source is not None and round(source) == shutter.column,
        "by_hand": root.by_hand is not None,
        "found": found
        and {"state": found.state, **_numbers(found, ("level", "error", "chance")), "closed": found.closed},
    }


def _numbers(what: object, names: Iterable[str]) -> dict[str, float | None]:
    return {name: _number(getattr(what, name)) for name in names}


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def nods_of(
    observation: Observation, source: int, shots: Iterable[Shot], lists: NodLists
) -> dict[ExposureName, dict[str, Any]]:
    """What is said of nods, by exposure.

    Returns
    -------
    dict
        ``backgrounds``, the nods that may be background of it: by number, and in full where they are of another
        activity; ``usual``, the same if nothing were said of this source; ``background_only``; ``left_out``, also if
        only of this source, then it may still stand among the backgrounds of others; ``left_out_for_all``; and
        ``together``, all nods of its group.
    """
    slits = _slits(observation, source, [shot for shot in shots if shot.any])
    others = {root: {k: v for k, v in said.items() if k != str(source)} for root, said in lists.items()}
    found = {}
    for slit in slits:
        together = [s for s in slits if s.group == slit.group and s.grating == slit.grating]
        said, usual = (_said(together, source, which) for which in (lists, others))
        root, nod = slit.name.root, nod_name(slit.name)
        found[slit.name] = {
            "backgrounds": _named(_backgrounds(slit, together, said, usual), root),
            "usual": _named(_backgrounds(slit, together, usual, usual), root),
            "together": _named([s.name for s in together], root),
            "background_only": said.backgrounds.get(nod) == (),
            "left_out": nod in said.left_out,
            "left_out_for_all": nod in usual.left_out,
        }
    return found


def _said(group: Iterable[Slit], source: int, lists: NodLists) -> NodList:
    """What is said of the nods of a group, wherever it stands, as the pipeline takes it."""
    said = NodList()
    for root in sorted({slit.name.root for slit in group}):
        said = said.over(list_of(lists, root, source))
    return said


def _backgrounds(slit: Slit, group: Iterable[Slit], said: NodList, for_all: NodList) -> list[ExposureName]:
    """Nods that may be background of one, those too that take no part because of this source alone."""
    names = [s.name for s in group if s is not slit and nod_name(s.name) not in for_all.left_out]
    allowed = said.backgrounds.get(nod_name(slit.name))
    return names if allowed is None else [name for name in names if nod_name(name) in allowed]


def _slits(observation: Observation, source: int, shots: Sequence[Shot]) -> list[Slit]:
    """The cutouts as the pipeline groups them."""
    place = observation.workspace
    labels = Labels(observation.spec.config_groups if observation.spec else (), ())
    configurations: Mapping[str, set[Any]] = defaultdict(set)
    for shot in shots:
        configurations[shot.name.root].add(_cards(shot)["MSAMETID"])
    slits = []
    for shot in shots:
        cards, name = _cards(shot), shot.name
        several = len(configurations[name.root]) > 1
        group = labels.named(name, sub_dither(cards), int(cards["MSAMETID"] or 0) if several else 0)
        cal, bkgsub = (place.slit(name, source, suffix) for suffix in (CAL, BKGSUB))
        slits.append(Slit(name, cal, bkgsub, group, str(cards["GRATING"]), str(cards["FILTER"])))
    return slits


def _cards(shot: Shot) -> dict[str, Any]:
    cutout = shot.any
    return {**cutout.cards, "PATT_NUM": cutout.cards["PATT_NUM"] or 1} if cutout else {}


def _named(names: Iterable[ExposureName], root: str) -> list[int | str]:
    """Nods as people write them: by number in their own activity."""
    return [name.nod if name.root == root else nod_name(name) for name in names]
