"""The list of all sources over HTTP."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from nirfire.inspect.context import Context, context
from nirfire.inspect.index import catalogue_of
from nirfire.inspect.listing import Reader, listing
from nirfire.inspect.payload import answer
from nirfire.inspect.people import user_of

router = APIRouter(prefix="/api")


@router.get("/objects")
def objects(
    request: Request, asked: Annotated[Context, Depends(context)], user: Annotated[str, Depends(user_of)]
) -> Response:
    """All sources, as this person may see them; 304 where nothing has changed."""
    catalogue = catalogue_of(asked.place)
    index, revision = catalogue.index(), asked.store.revision
    tag = f'"{index.revision}-{revision}-{user.encode().hex()}-{int(asked.blind)}"'
    headers = {"ETag": tag, "Cache-Control": "private, no-cache", "Vary": "X-Nirfire-User"}
    if request.headers.get("If-None-Match") == tag:
        return Response(status_code=304, headers=headers)
    meta, arrays = listing(index, asked.store, Reader(user, asked.blind), catalogue.fingerprints)
    meta["revision"] = tag if meta["complete"] else ""
    return answer(meta, arrays, headers if meta["complete"] else {})
