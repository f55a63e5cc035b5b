"""Requests about shutters and nods, and about what is stale since."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Response
from pydantic import BaseModel, ConfigDict, Field

from nirfire.errors import DataError
from nirfire.inspect.asked import LARGEST, Source
from nirfire.inspect.context import Context, context
from nirfire.inspect.cutouts import Shot, cutouts, nods_of, read_shots, roots_of
from nirfire.inspect.edits import Nod, Unchanged, choose_nods, mark_shutters, token
from nirfire.inspect.payload import answer
from nirfire.inspect.refusal import Refusal
from nirfire.inspect.stale import Watch, watch

router = APIRouter(prefix="/api")
Here = Annotated[Context, Depends(context)]
Watching = Annotated[Watch, Depends(watch)]
RootName = Annotated[str, Field(pattern=r"^jw[0-9]{11}_[0-9]{5}$")]
Number = Annotated[int, Field(strict=True, ge=0, le=LARGEST)]
Ordinal = Annotated[int, Field(strict=True, ge=1, le=171)]
NodAsked = Annotated[int, Field(strict=True, ge=1, le=99999)] | Annotated[str, Field(pattern=r"^[0-9]{5}_[0-9]{5}$")]
NodName = Annotated[str, Field(pattern=r"^([1-9][0-9]{0,4}|[0-9]{5}_[0-9]{5})$")]
Token = Annotated[str, Field(max_length=40)] | None  # of what the page showed; without one it is not compared
MOST = 200  # entries of a list
NodsAsked = Annotated[list[NodAsked], Field(max_length=MOST)]


class StuckShutters(BaseModel):
    """Which shutters of a source are stuck closed; null takes back what was said, so that those found count."""

    model_config = ConfigDict(extra="forbid")
    root: RootName
    source: Number
    closed: Annotated[list[Ordinal], Field(max_length=MOST)] | None
    seen: Token = None


class ChosenNods(BaseModel):
    """The nods that may be background of each, where not all others may; and those that take no part."""

    model_config = ConfigDict(extra="forbid")
    root: RootName
    source: Number
    nods: Annotated[dict[NodName, NodsAsked], Field(max_length=MOST)] | None = None
    left_out: NodsAsked = []
    seen: Token = None


@router.get("/cutouts/{source}")
def get_cutouts(source: Source, here: Here) -> Response:
    """The cutouts of a source in every exposure, with its shutters and nods."""
    if not here.place.source_folder(source).is_dir():
        raise Refusal(404, f"no source {source} in this workspace")
    meta, arrays = cutouts(here.observation, source)
    return answer(meta, arrays, {"Cache-Control": "no-store"})


@router.post("/shutters")
def post_shutters(asked: StuckShutters, here: Here, watching: Watching) -> dict[str, Any]:
    """Mark the stuck shutters of a source."""
    shots = _shots(here, asked.root, asked.source)
    known = {s.ordinal for s in roots_of(here.place, asked.source, shots, {})[asked.root].shutters}
    if asked.closed is not None and (unknown := sorted(set(asked.closed) - known)):
        has = f"it has {', '.join(str(k) for k in sorted(known - {0}))}" if known else "its shutters are not known"
        raise Refusal(422, f"source {asked.source} has no shutter {', '.join(map(str, unknown))} in {asked.root}", has)
    try:
        path = mark_shutters(here.place, asked.root, asked.source, asked.closed, seen=asked.seen)
    except Unchanged as error:
        raise conflict(error) from error
    return _written(path, asked, watching)


@router.post("/nods")
def post_nods(asked: ChosenNods, here: Here, watching: Watching) -> dict[str, Any]:
    """Choose the nods of a source."""
    nods: dict[str, list[Nod]] = {
        str(_spelled(nod, asked.root)): [_spelled(other, asked.root) for other in others]
        for nod, others in (asked.nods or {}).items()
    }
    left_out = [_spelled(nod, asked.root) for nod in asked.left_out]
    _check_nods(here, asked.root, asked.source, nods, left_out)
    try:
        path = choose_nods(here.place, asked.root, asked.source, nods, left_out, seen=asked.seen)
    except Unchanged as error:
        raise conflict(error) from error
    return _written(path, asked, watching)


def _written(path: Path, asked: StuckShutters | ChosenNods, watching: Watch) -> dict[str, Any]:
    stale = watching.stale(at_once=True).as_json()
    return {"written": path.name, "seen": token(path, asked.root, asked.source), "stale": stale}


@router.get("/stale")
def get_stale(watching: Watching) -> dict[str, Any]:
    """What `nirfire run --rerun stale` would redo."""
    return watching.stale().as_json()


def conflict(error: DataError) -> Refusal:
    """A file that is as it was, since people wrote what cannot be changed by the page."""
    where = f"{error.file}: " if error.file else ""
    key = f" ({error.key})" if error.key else ""
    return Refusal(409, f"{where}{error.message}{key}", error.remedy or "change it with an editor")


def _shots(here: Context, root: str, source: int, *, group: bool = False) -> list[Shot]:
    """Cutouts of a source in a visit and activity; of all, for groups that reach over several."""
    shots = read_shots(here.place, source)
    mine = [shot for shot in shots if shot.name.root == root]
    if not mine:
        raise Refusal(404, f"source {source} has no exposure in {root}")
    return shots if group else mine


def _check_nods(here: Context, root: str, source: int, nods: Mapping[str, Sequence[Nod]], left_out: list[Nod]) -> None:
    """Refuse nods that the source does not have, and a nod that is its own background."""
    groups = nods_of(here.observation, source, _shots(here, root, source, group=True), {})
    known = {nod for name, said in groups.items() if name.root == root for nod in said["together"]}
    named: set[Nod] = {*left_out}
    for nod, others in nods.items():
        own = _spelled(nod, root)
        if own in others:
            raise Refusal(422, f"nod {nod} cannot be its own background", "take it out")
        named |= {own, *others}
    if unknown := sorted(map(str, named - known)):
        remedy = f"its nods are {', '.join(sorted(map(str, known)))}"
        raise Refusal(422, f"source {source} has no nod {', '.join(unknown)} in {root}", remedy)


def _spelled(nod: Nod, root: str) -> Nod:
    """A nod by its number, if it is one of this activity."""
    text = str(nod)
    activity = f"{root.partition('_')[2]}_"
    return int(text.removeprefix(activity)) if text.isdigit() or text.startswith(activity) else text
