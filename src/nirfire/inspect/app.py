"""The application: routes, the page, and how refusals are told."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, PlainTextResponse, Response

from nirfire.errors import NirfireError
from nirfire.inspect import routes_list, routes_masks, routes_objects, routes_shutters, routes_votes
from nirfire.inspect.context import Context
from nirfire.inspect.fitter import Fitter
from nirfire.inspect.index import catalogue_of
from nirfire.inspect.objects import Objects
from nirfire.inspect.pages import Pages
from nirfire.inspect.refusal import Refusal, told
from nirfire.inspect.security import OPEN_AGAIN, SAID, Guard, Hosts, same

STATIC = Path(__file__).parent / "static"
PAGE, ENTER = "index.html", "enter.html"
ROUTES = (routes_objects, routes_list, routes_votes, routes_shutters, routes_masks)


def create_app(context: Context, token: str, *, hosts: Hosts | None = None, fitter: Fitter | None = None) -> FastAPI:
    """The inspection page of one workspace as an application.

    Parameters
    ----------
    context : Context
        What is inspected.
    token : str
        That every request to ``/api`` must carry.
    hosts : Hosts, optional
        Names it may be asked under; by default those of this machine alone.
    fitter : Fitter, optional
        The process that fits; by default one that the first fit starts. Who gives one closes it.

    Returns
    -------
    FastAPI
    """
    app = FastAPI(title="nirfire", docs_url=None, redoc_url=None, openapi_url=None)
    app.state.context, app.state.objects = context, Objects(context.place)
    app.state.fitter = fitter or Fitter()
    app.add_middleware(Guard, token=token, hosts=hosts or Hosts.of("127.0.0.1"))
    app.add_exception_handler(Refusal, _refused)
    app.add_exception_handler(NirfireError, _unusable)
    app.add_exception_handler(HTTPException, _failed)
    app.add_exception_handler(RequestValidationError, _misfit)
    app.add_exception_handler(Exception, _broken)
    for one in ROUTES:
        app.include_router(one.router)

    pages = app.state.pages = Pages(STATIC)

    @app.api_route("/", methods=["GET", "HEAD"], include_in_schema=False)
    async def page(request: Request) -> Response:
        given = request.query_params.get("token")
        if given is None:
            return pages.answer(request, PAGE)
        if not same(given, token):
            return PlainTextResponse(f"This address is of an earlier start of the server: {OPEN_AGAIN}.\n", 403)
        return pages.answer(request, ENTER, "no-store")

    @app.api_route("/{name:path}", methods=["GET", "HEAD"], include_in_schema=False)
    async def file(request: Request, name: str) -> Response:
        return pages.answer(request, name)

    return app


def warm(app: FastAPI) -> None:
    """Read what the first requests need: the list of objects, the votes and the files of the page.

    What cannot be read is told when it is asked for.
    """
    with suppress(NirfireError):
        catalogue_of(app.state.context.place).index()
        app.state.context.store.consensus()
    app.state.pages.load()


def _refused(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, Refusal)
    return told(error.status, error.error, error.remedy)


def _unusable(request: Request, error: Exception) -> JSONResponse:
    remedy = str(getattr(error, "remedy", None) or "")
    return told(400, str(error).removesuffix(f"\n  remedy: {remedy}"), remedy)


def _failed(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    detail: Any = error.detail
    if isinstance(detail, dict):
        return JSONResponse(detail, error.status_code)
    return told(error.status_code, str(detail).lower())


def _misfit(request: Request, error: Exception) -> JSONResponse:
    """A request of the wrong form: 400 where the body is no JSON at all, else 422."""
    assert isinstance(error, RequestValidationError)
    found = error.errors()
    if any(one["type"] == "json_invalid" for one in found):
        return told(400, "the body is no JSON")
    where = ".".join(str(part) for part in found[0]["loc"][1:])
    return told(422, f"{where}: {found[0]['msg']}" if where else str(found[0]["msg"]), "reload the page")


def _broken(request: Request, error: Exception) -> JSONResponse:
    """A bug; its traceback goes to the terminal."""
    return told(500, "the server failed at this", "the terminal that it runs in tells more", SAID)
