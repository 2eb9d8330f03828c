"""Assembles the pages into one application."""

import logging
from urllib.parse import quote

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, RedirectResponse
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.routing import Match

from mailer import links
from mailer.app import App
from mailer.database import DatabaseError
from mailer.issues.languages import available
from mailer.subscribers.policy import policy_of
from mailer.web import (
    accent,
    api,
    archive,
    console,
    crawlers,
    feed,
    figures,
    front,
    leaving,
    moved,
    mydata,
    optin,
    preferences,
    privacy,
    signin,
)
from mailer.web.altcha import Challenges
from mailer.web.fresh import Fresh
from mailer.web.languages import accepted, of_path
from mailer.web.mailed import LinkProblem
from mailer.web.pages import HERE, KEPT_FOR_EVER, READ, Site, TheSite, the_pages
from mailer.web.security import FOR_EVERY_ORIGIN, Guard
from mailer.web.tries import Tries

RETRY_AFTER_SECONDS = 30

_KNOWN_METHODS = ("DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT")

_log = logging.getLogger(__name__)


def create_app(app: App) -> FastAPI:
    """The web side of one installation. Raises SettingsError for a provider's key that is none."""
    web = FastAPI(
        title="mailer",
        openapi_url=None,  # no page describes the pages to a stranger
        redirect_slashes=False,  # Starlette would build the redirect from the Host header
    )
    web.state.site = Site(
        app=app,
        pages=the_pages(),
        tries=Tries(),
        challenges=Challenges(app.settings.secret_keys),
        policy=policy_of(app.settings),
    )
    web.add_middleware(Fresh)
    web.add_middleware(Guard)  # outside of everything
    web.add_exception_handler(HTTPException, _refused)
    web.add_exception_handler(RequestValidationError, _refused)
    web.add_exception_handler(ClientDisconnect, _hung_up)
    web.add_exception_handler(LinkProblem, _link_problem)
    web.add_exception_handler(signin.NotSignedIn, signin.not_signed_in)
    web.add_exception_handler(DatabaseError, _database_failed)
    web.add_api_route("/health", health, methods=READ)
    web.add_api_route("/static/{name}", static, methods=READ)
    if app.settings.takes_events:
        from mailer.web import events  # who has no provider goes without what reads mail

        web.state.told = events.Told(app)
        web.include_router(events.router)
    fixed = (
        api,
        optin,
        leaving,
        preferences,
        moved,
        mydata,
        signin,
        console,
        figures,
        crawlers,
        feed,
    )  # before what begins with /{publication}
    for part in (*fixed, front, privacy, archive):
        web.include_router(part.router)
    return web


def health(site: TheSite) -> Response:
    """For load balancers: 200 while the database can be read."""
    try:
        site.app.database.check_reachable()
    except DatabaseError:
        return JSONResponse({"ok": False}, status_code=503, headers={"Cache-Control": "no-store"})
    return JSONResponse({"ok": True}, headers={"Cache-Control": "no-store"})


def static(request: Request, name: str, site: TheSite) -> Response:
    """Our own stylesheets and the one script."""
    content = site.pages.file_at(f"/static/{name}") or accent.content(name)
    if content is None:
        raise HTTPException(404)
    kind = "text/javascript" if name.endswith(".js") else "text/css"
    return Response(content, media_type=kind, headers={"Cache-Control": KEPT_FOR_EVER})


def _refused(request: Request, error: Exception) -> Response:
    """404 and the like, in the language of the address or of the browser."""
    status = error.status_code if isinstance(error, HTTPException) else 400
    path = request.scope["path"]
    if status == 404 and request.method in READ and path.strip("/") and path.endswith("/"):
        query = quote(request.scope["query_string"], safe="%!$&'()*+,/:;=?@")
        return RedirectResponse("/" + path.strip("/") + (f"?{query}" if query else ""), status_code=307)
    page = _refusal(request, status)
    page.headers.update(getattr(error, "headers", None) or {})
    if status == 405 and not path.startswith(FOR_EVERY_ORIGIN):
        page.headers["Allow"] = ", ".join(_methods(request))
    return page


def _methods(request: Request) -> list[str]:
    """All that the path answers to (RFC 9110 §15.5.6), whichever route does."""
    return [method for method in _KNOWN_METHODS if _is_answered(request, method)]


def _is_answered(request: Request, method: str) -> bool:
    scope = {**request.scope, "method": method}
    return any(route.matches(scope)[0] is Match.FULL for route in request.app.routes)


def _again(request: Request) -> str:
    """Where what was refused is had again: at its own address, and what cannot be read there, at the front page."""
    path = request.scope["path"]
    if request.method in READ:
        return ""
    named_by_token = path.count("/") > 1 and path.split("/")[1] in links.MAILED
    return "" if path == "/subscribe" or named_by_token else f"{HERE}/"


def _hung_up(request: Request, error: Exception) -> Response:
    """In the midst of the body: nobody reads an answer, and nothing was done."""
    return Response(status_code=400)


def _link_problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, LinkProblem)
    return error.response()


def _database_failed(request: Request, error: Exception) -> Response:
    _log.error("action=answer outcome=unavailable reason=%s", error)
    page = _refusal(request, 503)
    page.headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
    return page


def _refusal(request: Request, status: int) -> Response:
    """What is wrong and what to do. Asks the database nothing: it may be what is wrong."""
    site = request.app.state.site
    assert isinstance(site, Site)
    if request.scope["path"].startswith(FOR_EVERY_ORIGIN):
        return api.problem_of_status(site, status, request.headers.get("accept-language", ""))
    wanted = request.query_params.get("language"), of_path(request.scope["path"])
    spoken = [each for each in wanted if each in available()]
    return site.page(
        "refused.html",
        language=spoken[0] if spoken else accepted(request.headers.get("accept-language", "")),
        home=links.in_language(f"{HERE}/", spoken[0]) if spoken else f"{HERE}/",
        others={each: links.in_language(_again(request), each) for each in available()},
        status=status,
        refusal=status,
        missing_issue=status == 404 and "/issues" in request.scope["path"],
    )
