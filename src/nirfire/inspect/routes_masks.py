"""Requests about whole exposures and their masks."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Response
from pydantic import BaseModel, ConfigDict, Field

from nirfire.errors import DataError
from nirfire.inspect.asked import ExposureId
from nirfire.inspect.context import Context, context
from nirfire.inspect.edits import Unchanged
from nirfire.inspect.masks import Region, change_mask, clear_mask, read_mask, read_suggested
from nirfire.inspect.payload import answer
from nirfire.inspect.people import user_of
from nirfire.inspect.rates import rate_picture
from nirfire.inspect.refusal import Refusal
from nirfire.inspect.routes_shutters import conflict
from nirfire.inspect.stale import Watch, watch
from nirfire.pipeline.observation import Exposure
from nirfire.products.naming import RATE, RATERAW, ExposureName
from nirfire.products.regions import IMAGE, canonical_mask, read_masks

router = APIRouter(prefix="/api")
Here = Annotated[Context, Depends(context)]
Watching = Annotated[Watch, Depends(watch)]
Pixel = Annotated[float, Field(ge=-4096, le=8192, allow_inf_nan=False)]
Corner = Annotated[list[Pixel], Field(min_length=2, max_length=2)]
Polygon = Annotated[list[Corner], Field(min_length=3, max_length=400)]
CLEANED = "it came in cleaned: its pixels are not masked any more"
START = "start from the raw or the stock count rates"
MOST = 100  # polygons of one request


class DrawnPolygons(BaseModel):
    """Polygons to add, the centre of the first pixel being (0, 0); and lines of earlier ones to take back."""

    model_config = ConfigDict(extra="forbid")
    polygons: Annotated[list[Polygon], Field(max_length=MOST)]
    removed: Annotated[list[Annotated[str, Field(max_length=20000)]], Field(max_length=MOST)] = []


@router.get("/exposures")
def get_exposures(here: Here, watching: Watching) -> dict[str, Any]:
    """All exposures, with the size of their masks."""
    drawn, listed = read_masks(here.place.masks), _listed(here)
    number = Counter({name: _count(text) for name, text in drawn.items()})
    number.update({name: _count(text) for name, text in listed.items()})
    return {"exposures": [_said(here, e, number[str(e.name)]) for e in _exposures(watching)]}


@router.get("/rate/{exposure}")
def get_rate(
    exposure: ExposureId, here: Here, watching: Watching, view: Literal["counts", "sky"] = "counts"
) -> Response:
    """An exposure as an image, with its mask."""
    found = _find(watching, exposure)
    path = _image(here, found)
    if path is None:
        remedy = f"nirfire run {here.place.folder} --to clean"
        raise Refusal(404, f"{exposure} has no count rates yet", remedy)
    try:
        meta, image = rate_picture(path, view)
    except DataError as error:
        raise Refusal(422, f"{path.name}: {error.message}", error.remedy or "") from error
    listed = _listed(here).get(exposure, "")
    mask = read_mask(here.place, found.name, listed)
    there = {canonical_mask(region.text) for region in mask.regions}
    said = {
        **_said(here, found, len(mask.regions)),
        **meta,
        "file": path.name,
        "mask": [_region(region) for region in mask.regions],
        "listed": _count(listed),
        "problem": mask.problem,
        "suggested": [
            _region(r) for r in read_suggested(here.place, found.name) if canonical_mask(r.text) not in there
        ],
    }
    return answer(said, {"image": image, "runs": mask.runs}, {"Cache-Control": "no-store"})


@router.post("/masks/{exposure}")
def post_mask(
    exposure: ExposureId,
    asked: DrawnPolygons,
    here: Here,
    watching: Watching,
    user: Annotated[str, Depends(user_of)],
) -> dict[str, Any]:
    """Add polygons to the mask of an exposure."""
    found = _maskable(watching, exposure)
    try:
        path = change_mask(here.place, found.name, asked.polygons, asked.removed, user)
    except Unchanged as error:
        raise conflict(error) from error
    except DataError as error:
        raise Refusal(422, error.message, error.remedy or "") from error
    return {"written": path.name, "stale": watching.stale(at_once=True).as_json()}


@router.delete("/masks/{exposure}")
def delete_mask(exposure: ExposureId, here: Here, watching: Watching) -> dict[str, Any]:
    """Remove the mask of an exposure, also what stands there by hand."""
    found = _maskable(watching, exposure)
    try:
        path = clear_mask(here.place, found.name)
    except Unchanged as error:
        raise conflict(error) from error
    if path is None:
        raise Refusal(404, f"{exposure} has no mask of its own", "one in observations.toml is changed there")
    return {"written": path.name, "stale": watching.stale(at_once=True).as_json()}


def _exposures(watching: Watch) -> list[Exposure]:
    try:
        return watching.inputs().exposures
    except DataError as error:
        raise Refusal(409, f"the exposures cannot be looked at: {error.message}", error.remedy or "") from error


def _find(watching: Watch, exposure: str) -> Exposure:
    for found in _exposures(watching):
        if str(found.name) == exposure:
            return found
    raise Refusal(404, f"no such exposure: {exposure}")


def _maskable(watching: Watch, exposure: str) -> Exposure:
    found = _find(watching, exposure)
    if found.enters == RATE:
        raise Refusal(409, f"{exposure}: {CLEANED}", START)
    return found


def _image(here: Context, exposure: Exposure) -> Path | None:
    """The file that is shown: the cleaned rate, else the raw one."""
    own = [here.place.exposure(exposure.name, suffix) for suffix in (RATE, RATERAW)]
    given = [exposure.path] if exposure.enters in (RATE, RATERAW) else []
    return next((path for path in [*own, *given] if path.is_file()), None)


def _said(here: Context, exposure: Exposure, n_regions: int) -> dict[str, Any]:
    name: ExposureName = exposure.name
    return {
        "exposure": str(name),
        "root": name.root,
        "nod": name.nod,
        "detector": name.detector,
        "grating": exposure.header.grating,
        "filter": exposure.header.filter,
        "image": _image(here, exposure) is not None,
        "n_sources": len(exposure.sources),
        "n_regions": n_regions,
        "editable": exposure.enters != RATE,
        "reason": "" if exposure.enters != RATE else f"{CLEANED}; {START}",
    }


def _listed(here: Context) -> dict[str, str]:
    spec = here.observation.spec
    return dict(spec.masks) if spec else {}


def _count(text: str) -> int:
    """Number of regions of a text."""
    words = [part.strip().lower() for part in canonical_mask(text).replace(";", "\n").splitlines()]
    return sum(bool(word) and word not in IMAGE for word in words)


def _region(region: Region) -> dict[str, Any]:
    return {"text": region.text, "points": region.points, "excluded": region.excluded, "drawn": region.drawn}
