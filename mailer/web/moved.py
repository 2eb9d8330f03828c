"""The two links of a change of address: one confirms it at the new address, one takes it back at the old one."""

from fastapi import APIRouter, Request, Response
from sqlmodel import Session

from mailer.delivery import automatic
from mailer.rendering.words import words
from mailer.subscribers import moving
from mailer.subscribers.moving import Move, Moved
from mailer.tokens import Purpose
from mailer.web import wording
from mailer.web.mailed import LinkProblem, MailedLink, TheMailedLink
from mailer.web.pages import READ
from mailer.web.place import Standing, of_consent_id, of_subscription_id
from mailer.web.security import reader_network

router = APIRouter()


@router.api_route("/m/{token}", methods=READ)
def ask_to_move(link: TheMailedLink) -> Response:
    """A button."""
    with link.site.app.database.read() as session:
        foreseen = moving.foresee(session, link.read(session, Purpose.MOVE, of_consent_id))
        standing = _standing(session, foreseen)
    if foreseen.outcome is not Move.DONE or standing is None:
        return _moved(link, foreseen, standing)
    question = wording.new_address(words(link.language(standing)), standing.place)
    return link.page("move.html", standing, question=question, back=False)


@router.post("/m/{token}")
def move(request: Request, link: TheMailedLink) -> Response:
    """The button was pressed: the letters go to this address."""
    app = link.site.app
    with app.database.write() as session:
        request_id = link.read(session, Purpose.MOVE, of_consent_id)
        standing = _standing(session, moving.foresee(session, request_id))
        moved = moving.confirm(
            session,
            request_id,
            wording=wording.new_address(words(link.language(standing)), standing.place) if standing else "",
            language=link.language(standing) if standing else None,
            network=reader_network(request, app.settings.trusted_proxies),
            now=app.clock(),
        )
        automatic.follow(session, moved, app.clock())
        standing = _standing(session, moved)
    return _moved(link, moved, standing)


@router.api_route("/b/{token}", methods=READ)
def ask_to_move_back(link: TheMailedLink) -> Response:
    """A button."""
    with link.site.app.database.read() as session:
        foreseen = moving.foresee_back(session, link.read(session, Purpose.MOVE_BACK, of_consent_id))
        standing = _standing(session, foreseen)
    if foreseen.outcome is not Move.DONE or standing is None:
        return _moved_back(link, foreseen, standing)
    question = wording.old_address(words(link.language(standing)), standing.place)
    return link.page("move.html", standing, question=question, back=True)


@router.post("/b/{token}")
def move_back(request: Request, link: TheMailedLink) -> Response:
    """The button was pressed: it was not the reader, or a mistake."""
    app = link.site.app
    with app.database.write() as session:
        left_id = link.read(session, Purpose.MOVE_BACK, of_consent_id)
        standing = _standing(session, moving.foresee_back(session, left_id))
        moved = moving.take_back(
            session,
            left_id,
            wording=wording.old_address(words(link.language(standing)), standing.place) if standing else "",
            language=link.language(standing) if standing else None,
            network=reader_network(request, app.settings.trusted_proxies),
            now=app.clock(),
        )
        automatic.follow(session, moved, app.clock())
        standing = _standing(session, moved)
    return _moved_back(link, moved, standing)


def _standing(session: Session, moved: Moved) -> Standing | None:
    subscription = moved.subscription
    return of_subscription_id(session, subscription.id) if subscription and subscription.id else None


def _moved(link: MailedLink, moved: Moved, standing: Standing | None) -> Response:
    if moved.outcome not in (Move.DONE, Move.ALREADY) or standing is None or standing.subscription.id is None:
        raise _problem(link, moved, standing)
    now = link.site.app.clock()
    return link.page(
        "moved.html",
        standing,
        back=False,
        next_issue=standing.next_issue(now),
        preferences=link.preferences(standing.subscription.id),
    )


def _moved_back(link: MailedLink, moved: Moved, standing: Standing | None) -> Response:
    if moved.outcome not in (Move.DONE, Move.ALREADY) or standing is None:
        raise _problem(link, moved, standing)
    now = link.site.app.clock()
    return link.page("moved.html", standing, back=True, next_issue=standing.next_issue(now), preferences="")


def _problem(link: MailedLink, moved: Moved, standing: Standing | None) -> LinkProblem:
    problem = "outdated move" if moved.outcome is Move.OUTDATED else str(moved.outcome)
    return LinkProblem(link, problem, standing, 410)
