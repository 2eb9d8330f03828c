"""Out: the unsubscribe link, the mail program's own button (RFC 8058), and the way back."""

from collections.abc import Callable
from functools import partial

from fastapi import APIRouter, Request, Response
from sqlmodel import Session

from mailer import links
from mailer.subscribers import partings, preferences, subscription
from mailer.subscribers.states import SubscriptionStatus
from mailer.subscribers.subscription import can_restore, goes_on_as, publication_of, readings
from mailer.tables import Edition, PartingReason, Subscription
from mailer.tokens import Purpose
from mailer.web import wording
from mailer.web.mailed import Act, Answer, MailedLink, TheMailedLink
from mailer.web.pages import HERE, READ, LenientFields
from mailer.web.place import Standing, of_subscription_id

router = APIRouter()

FROM_PAGE = "from"
"""The field by which our own page's buttons differ from a mail program's one-click request."""


@router.api_route("/u/{token}", methods=READ)
def ask_to_leave(link: TheMailedLink) -> Response:
    """One button, and nothing else happens."""
    with link.site.app.database.read() as session:
        standing = _standing(session, link)
        if standing is None or standing.subscription.status is SubscriptionStatus.UNSUBSCRIBED:
            answer = left_page(session, link, standing)
        else:
            kept = others(session, standing.subscription)
            answer = partial(link.page, "unsubscribe.html", standing, from_page=FROM_PAGE, others_read=kept)
    return answer()


@router.post("/u/{token}")
def leave(request: Request, link: TheMailedLink, fields: LenientFields) -> Response:
    """Unsubscribes: no cookie, no question, no redirect, as often as it is asked (RFC 8058 §3.1).

    The other buttons of our own pages say what they are.
    """
    with link.site.app.database.write() as session:
        standing = _standing(session, link)
        if standing is None:
            answer = left_page(session, link, None)
        else:
            assert standing.subscription.id is not None
            pressed = Act(
                session=session,
                request=request,
                link=link,
                fields=fields,
                subscription_id=standing.subscription.id,
                standing=standing,
            )
            answer = _ACTS.get(fields.get("act", "") if FROM_PAGE in fields else "", _leave)(pressed)
    return answer()


def _standing(session: Session, link: MailedLink) -> Standing | None:
    """Of what the link names, or of what that went on as at another address."""
    named = link.read(session, Purpose.UNSUBSCRIBE, of_subscription_id)
    return of_subscription_id(session, goes_on_as(session, named))


def _leave(act: Act) -> Answer:
    by_page = FROM_PAGE in act.fields
    label = act.standing.edition.label if others(act.session, act.standing.subscription) else None
    subscription.leave(
        act.session,
        act.subscription_id,
        wording=wording.leaving(act.words, act.standing.place, label) if by_page else "",
        source="link" if by_page else "one-click",
        network=act.network,
        now=act.now,
    )
    return left_page(act.session, act.link, act.standing)


def leave_everything(act: Act) -> Answer:
    """Every edition of the publication."""
    preferences.leave_everything(
        act.session,
        act.subscription_id,
        wording=wording.leaving(act.words, act.standing.place, None),
        source="link",
        network=act.network,
        now=act.now,
    )
    return left_page(act.session, act.link, act.standing)


def restore(act: Act) -> bool:
    """Takes leaving back. Returns whether the reader reads again, by this act or before."""
    subscription.restore(
        act.session,
        act.subscription_id,
        wording=wording.restoring(act.words),
        source="link",
        network=act.network,
        now=act.now,
    )
    return preferences.reader_of(act.session, act.subscription_id) is not None


def _restore(act: Act) -> Answer:
    if not restore(act):
        return left_page(act.session, act.link, act.standing)
    reader = preferences.reader_of(act.session, act.subscription_id)
    assert reader is not None
    read = [act.session.get_one(Edition, each.edition_id) for each in reader.read]
    return partial(act.link.page, "restored.html", act.standing, editions=read)


def give_reason(act: Act) -> Answer:
    """Why the reader left, kept without who it was. Once, and never asked for again."""
    chosen, words = act.fields.get("reason", ""), act.fields.get("words", "").strip()
    given = bool(words or chosen in set(PartingReason))
    if given:
        reason = PartingReason(chosen) if chosen in set(PartingReason) else PartingReason.OTHER
        partings.give_reason(act.session, act.subscription_id, reason, words, act.now)
    return left_page(act.session, act.link, act.standing, thanks=given)


_ACTS: dict[str, Callable[[Act], Answer]] = {
    "everything": leave_everything,
    "undo": _restore,
    "reason": give_reason,
}


def left_page(session: Session, link: MailedLink, standing: Standing | None, *, thanks: bool = False) -> Answer:
    """What somebody sees who has left: the way back, and what is read still. Providers, who know the unsubscribe link,
    see no way to anybody's data."""
    if standing is None:
        return partial(link.page, "unsubscribed.html", None, thanks=False)
    session.flush()
    subscription = standing.subscription
    has_left = subscription.status is SubscriptionStatus.UNSUBSCRIBED
    return partial(
        link.page,
        "unsubscribed.html",
        standing,
        thanks=thanks,
        from_page=FROM_PAGE,
        can_restore=can_restore(session, subscription, link.site.app.clock()),
        others_read=others(session, subscription),
        reasons=list(PartingReason) if has_left and not subscription.gave_reason else [],
        my_data=links.ask_for_my_data(HERE, link.token) if link.is_for(Purpose.PREFERENCES) else "",
    )


def others(session: Session, subscription: Subscription) -> list[Edition]:
    """The other editions of the publication that the reader gets."""
    every = readings(session, subscription.subscriber_id, publication_of(session, subscription))
    read = [each for each in every if each.status is SubscriptionStatus.CONFIRMED and each.id != subscription.id]
    return [session.get_one(Edition, each.edition_id) for each in read]
