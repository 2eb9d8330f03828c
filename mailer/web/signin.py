"""Staff at the door: the sign-in form, the cookie, and how often a password may be guessed."""

from datetime import timedelta
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import RedirectResponse
from starlette.exceptions import HTTPException

from mailer import staff
from mailer.app import App
from mailer.tables import User, UserRole
from mailer.web.pages import READ, TheFields, TheSite
from mailer.web.security import is_from_own_page, reader_network
from mailer.web.tries import TRIES_WITHIN


class NotSignedIn(Exception):
    """Answered with the sign-in form."""


def not_signed_in(request: Request, error: Exception) -> Response:
    return RedirectResponse("/console/sign-in", status_code=303, headers={"Cache-Control": "no-store"})


def _staff(request: Request, site: TheSite) -> User:
    """Who is signed in."""
    app = site.app
    with app.database.read() as session:
        user = staff.session_user(session, request.cookies.get(_cookie_name(app), ""), app.clock())
    if user is None:
        raise NotSignedIn
    return user


def _operator(user: Annotated[User, Depends(_staff)]) -> User:
    """Editors have no business with readers' addresses."""
    if user.role is not UserRole.OPERATOR:
        raise HTTPException(403)
    return user


def _own_page(request: Request, site: TheSite) -> None:
    """SameSite=Strict keeps other sites from using the cookie; this keeps them from signing a browser in or out."""
    if not is_from_own_page(request, site.app.settings.link_hosts):
        raise HTTPException(403)


TheStaff = Annotated[User, Depends(_staff)]
TheOperator = Annotated[User, Depends(_operator)]

router = APIRouter(prefix="/console")


@router.api_route("/sign-in", methods=READ)
def ask(site: TheSite) -> Response:
    return site.console_page("console-sign-in.html", problem="", name="")


@router.post("/sign-in", dependencies=[Depends(_own_page)])
def sign_in(request: Request, site: TheSite, fields: TheFields) -> Response:
    app, name = site.app, fields.get("name", "").strip()
    door = (name[:64].casefold(), reader_network(request, app.settings.trusted_proxies))
    if not site.tries.take(door, app.clock()):
        return _again(site, name, 429, "Too many tries. Wait a quarter of an hour, then try again.")
    with app.database.read() as session:
        user = staff.find_user(session, name)
    if not staff.password_fits(user, fields.get("password", "")) or user is None:
        return _again(site, name, 403, "Name and password do not go together. Check both, and try again.")
    site.tries.forget(door)
    lifetime = timedelta(hours=app.settings.session_hours)
    with app.database.write() as session:
        value = staff.sign_in(session, user, lifetime=lifetime, now=app.clock())
    answer = RedirectResponse("/console", status_code=303)
    answer.set_cookie(
        _cookie_name(app),
        value,
        max_age=int(lifetime.total_seconds()),
        path="/",
        secure=_is_secure(app),
        httponly=True,
        samesite="strict",
    )
    return answer


def _again(site: TheSite, name: str, status: int, problem: str) -> Response:
    page = site.console_page("console-sign-in.html", status=status, problem=problem, name=name)
    if status == 429:
        page.headers["Retry-After"] = str(int(TRIES_WITHIN.total_seconds()))
    return page


@router.post("/sign-out", dependencies=[Depends(_own_page)])
def sign_out(request: Request, site: TheSite) -> Response:
    app = site.app
    with app.database.write() as session:
        staff.sign_out(session, request.cookies.get(_cookie_name(app), ""))
    answer = RedirectResponse("/console/sign-in", status_code=303)
    answer.delete_cookie(_cookie_name(app), path="/", secure=_is_secure(app), httponly=True, samesite="strict")
    return answer


def _is_secure(app: App) -> bool:
    return urlsplit(app.link_host).scheme == "https"


def _cookie_name(app: App) -> str:
    """__Host- makes browsers insist on Secure, on the path / and on no other host (RFC 6265bis §4.1.3.2)."""
    return "__Host-staff" if _is_secure(app) else "staff"
