"""Out: the unsubscribe link, the mail program's own button (RFC 8058), and the way back."""

from collections.abc import Callable
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from sqlmodel import Session, col, select

from mailer.subscribers import partings, preferences, subscription
from mailer.subscribers.preferences import Reader
from mailer.subscribers.states import SubscriptionStatus
from mailer.subscribers.subscription import can_restore, goes_on_as, publication_of, readings
from mailer.tables import Consent, ConsentEvent, Edition, PartingReason, Subscription
from mailer.tokens import Purpose
from mailer.web import wording
from mailer.web.mailed import Act, Answer, MailedLink, TheMailedLink
from mailer.web.pages import READ, LenientFields
from mailer.web.place import Standing, of_subscription_id

router = APIRouter()

FROM_PAGE = "from"
"""The field by which our own page's buttons differ from a mail program's one-click request."""


AS_IT_IS = "now"
"""In the address of the page that says how the subscription stands."""


@router.api_route("/u/{token}", methods=READ)
def ask_to_leave(link: TheMailedLink, shown: Annotated[str, Query(alias=AS_IT_IS)] = "") -> Response:
    """One button, and nothing else happens. `shown`: how it stands, without a question."""
    with link.site.app.database.read() as session:
        standing = _standing(session, link)
        if standing is None or standing.subscription.status is SubscriptionStatus.UNSUBSCRIBED:
            answer = left_page(session, link, standing)
        elif shown:
            answer = _as_it_is(session, link, standing)
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
        language=act.words.language if by_page else None,
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
        language=act.words.language,
        source="link",
        network=act.network,
        now=act.now,
    )
    return left_page(act.session, act.link, act.standing)


def restore(act: Act) -> bool:
    """Takes leaving back. Returns whether anything came back by this act."""
    came_back = subscription.restore(
        act.session,
        act.subscription_id,
        wording=wording.restoring(act.words),
        language=act.words.language,
        source="link",
        network=act.network,
        now=act.now,
    )
    return bool(came_back)


def _restore(act: Act) -> Answer:
    restore(act)
    return _as_it_is(act.session, act.link, act.standing)


def give_reason(act: Act) -> bool:
    """Why the reader left, kept without who it was. Once, and never asked for again. Returns whether it was kept."""
    chosen, words = act.fields.get("reason", ""), act.fields.get("words", "").strip()
    if not words and chosen not in set(PartingReason):
        return False
    reason = PartingReason(chosen) if chosen in set(PartingReason) else PartingReason.OTHER
    return partings.give_reason(act.session, act.subscription_id, reason, words, act.now)


def _give_reason(act: Act) -> Answer:
    if give_reason(act):
        return left_page(act.session, act.link, act.standing, thanks=True)
    return _as_it_is(act.session, act.link, act.standing)


def is_restored(session: Session, of: Subscription) -> bool:
    """Whether it is read, and to take leaving back was the last that was done about it."""
    session.flush()
    if of.status is not SubscriptionStatus.CONFIRMED:
        return False
    acts = select(Consent.event).where(Consent.subscription_id == of.id)
    return session.exec(acts.order_by(col(Consent.id).desc()).limit(1)).first() is ConsentEvent.RESTORED


def _as_it_is(session: Session, link: MailedLink, standing: Standing) -> Answer:
    """How this subscription stands: the button may be one of a page that is no longer true. In the other languages the
    same, and not the question whether to leave."""
    subscription = standing.subscription
    assert subscription.id is not None
    reader = preferences.reader_of(session, subscription.id)
    if reader is None or subscription.id not in {each.id for each in reader.read}:
        return left_page(session, link, standing)
    return partial(
        link.page,
        "restored.html",
        standing,
        elsewhere=f"?{AS_IT_IS}=yes",
        restored=is_restored(session, subscription),
        editions=editions_of(session, reader),
    )


def editions_of(session: Session, reader: Reader) -> list[Edition]:
    """What the reader gets."""
    return [session.get_one(Edition, each.edition_id) for each in reader.read]


_ACTS: dict[str, Callable[[Act], Answer]] = {
    "everything": leave_everything,
    "undo": _restore,
    "reason": _give_reason,
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
        my_data=link.ask_for_my_data if link.is_for(Purpose.PREFERENCES) else "",
    )


def others(session: Session, subscription: Subscription) -> list[Edition]:
    """The other editions of the publication that the reader gets."""
    every = readings(session, subscription.subscriber_id, publication_of(session, subscription))
    read = [each for each in every if each.status is SubscriptionStatus.CONFIRMED and each.id != subscription.id]
    return [session.get_one(Edition, each.edition_id) for each in read]
