"""The session, one object with all that is known of it, and fits on request."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from nirfire import __version__
from nirfire.core.zresult import SCANS
from nirfire.inspect.asked import LARGEST, Key, Source
from nirfire.inspect.context import Context, context
from nirfire.inspect.fitter import Fitter
from nirfire.inspect.line_list import line_list
from nirfire.inspect.objects import Inspected, Objects, tag_of
from nirfire.inspect.payload import answer
from nirfire.inspect.people import ballots, user_of
from nirfire.inspect.quality import FLAG_SAID, QUALITY_SAID, Flag
from nirfire.inspect.refit import Asked
from nirfire.inspect.refusal import Refusal
from nirfire.inspect.votes import is_stale

router = APIRouter(prefix="/api")
HIGHEST = max(scan.z_max for scan in SCANS.values())
ONLY = {Flag.PRISM_CORRUPTED: "prism", Flag.GRATING_CORRUPTED: "grating"}
SHORTEST, LONGEST = 0.001, 0.5  # windows [1 + z]
Redshift = Annotated[float, Field(ge=0.0, le=HIGHEST, allow_inf_nan=False)]
Here = Annotated[Context, Depends(context)]
User = Annotated[str, Depends(user_of)]


async def objects(request: Request) -> Objects:
    """The sources that the application serves; for `fastapi.Depends`."""
    found: Objects = request.app.state.objects
    return found


async def fitter(request: Request) -> Fitter:
    """The process that fits; for `fastapi.Depends`."""
    found: Fitter = request.app.state.fitter
    return found


Sources = Annotated[Objects, Depends(objects)]
Fits = Annotated[Fitter, Depends(fitter)]


@router.get("/session")
def session(here: Here, user: User) -> dict[str, Any]:
    """What the page needs to know once."""
    highest = here.observation.resolved.configuration.redshift.z_max
    return {
        "observation": here.place.observation,
        "workspace": str(here.place.folder),
        "user": user,
        "blind": here.blind,
        "read_only": here.store.read_only,
        "version": __version__,
        "quality": [{"value": int(value), "said": said} for value, said in QUALITY_SAID.items()],
        "flags": [{"bit": int(bit), "said": said, "for": ONLY.get(bit, "all")} for bit, said in FLAG_SAID.items()],
        "lines": line_list(),
        "z_max": HIGHEST if highest is None else highest,
        "rerun": f"nirfire run {here.place.folder} --rerun stale",
    }


@router.get("/object/{source}")
def one_object(source: Source, request: Request, here: Here, user: User, sources: Sources) -> Response:
    """A source with its spectra, fits and votes."""
    stamps, found = known(sources, source)
    votes = votes_on(here, source, user, found)
    tag = tag_of(__version__, stamps, votes)
    headers = {"ETag": tag, "Cache-Control": "private, no-cache", "Vary": "X-Nirfire-User"}
    if tag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    return answer(found.meta | {"votes": votes}, found.arrays, headers)


def known(sources: Objects, source: int) -> tuple[Any, Inspected]:
    """Stamp and content of a source.

    Raises
    ------
    Refusal
        404: there is no spectrum of it.
    """
    found = sources.get(source)
    if found is None:
        raise Refusal(
            404,
            f"there is no spectrum of source {source}",
            "sources with spectra are in the list (L); `nirfire status` says what is missing",
        )
    return found


def votes_on(here: Context, source: int, user: str, found: Inspected) -> dict[str, Any]:
    """The latest votes on a source, as this person may see them."""
    seen = ballots(here.store, source, user, blind=here.blind)
    now = {one["key"]: {"spec": one["spec"], "fit": one["fit"]} for one in found.meta["spectra"]}
    own = None if seen.own is None else seen.own.as_json(stale=is_stale(seen.own.seen, now))
    return {
        "own": own,
        "others": [vote.as_json(stale=is_stale(vote.seen, now)) for vote in seen.others],
        "hidden": seen.hidden,
        "stale": bool(own and own["stale"]),
        "n_history": sum(vote.user == user or not seen.hidden for vote in here.store.votes(source)),
    }


@router.get("/model/{source}/{key}")
async def model(
    source: Source,
    key: Key,
    z: Annotated[Redshift, Query()],
    request: Request,
    sources: Sources,
    fits: Fits,
    here: Here,
) -> Response:
    """The best templates at exactly this redshift."""
    asked, entry = await run_in_threadpool(which, sources, here, (source, key), (z, 0.0))
    meta, arrays = await fits.fit(asked, request.is_disconnected)
    lowest = entry["chi2"]
    return answer(meta | {"dchi2": None if lowest is None else meta["chi2"] - lowest}, arrays)


class Wanted(BaseModel):
    """Which spectrum to fit anew, and where."""

    model_config = ConfigDict(extra="forbid", strict=True)

    source: int = Field(ge=0, le=LARGEST)
    key: str = Field(pattern=r"^[a-z0-9]{1,12}_[a-z0-9]{1,12}$")
    z: Redshift
    window: float = Field(0.05, ge=SHORTEST, le=LONGEST, allow_inf_nan=False)
    full: bool = False


@router.post("/refit")
async def refit(wanted: Wanted, request: Request, sources: Sources, fits: Fits, here: Here) -> Response:
    """Fit a spectrum anew: near a redshift, or over the whole range."""
    window = None if wanted.full else wanted.window
    asked, _ = await run_in_threadpool(which, sources, here, (wanted.source, wanted.key), (wanted.z, window))
    return answer(*await fits.fit(asked, request.is_disconnected))


def which(
    sources: Objects, here: Context, name: tuple[int, str], fit: tuple[float, float | None]
) -> tuple[Asked, dict[str, Any]]:
    """The fit of a spectrum that is named by source and key, and what is known of that spectrum.

    Raises
    ------
    Refusal
        404: there is no such spectrum.
    """
    source, key = name
    stamps, found = known(sources, source)
    path = sources.spectra(source).get(key)
    entry = next((one for one in found.meta["spectra"] if one["key"] == key), None)
    if path is None or entry is None:
        raise Refusal(404, f"source {source} has no spectrum {key}", "reload the page")
    version = next(one for file, one in stamps if file == path.name)
    return Asked(path, version, here.observation.resolved.configuration.redshift, *fit), entry
