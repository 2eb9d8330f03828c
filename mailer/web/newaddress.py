"""The form for another address, within the preferences: how often a link may ask, and what it is told.

Whoever has the link may know how often it asked and whether it is held. What became of an address that was typed is
told to nobody (docs/decisions/0012-strangers-at-the-form.md).
"""

from datetime import datetime, timedelta

from sqlmodel import Session

from mailer.app import App
from mailer.delivery import automatic
from mailer.rendering.words import Words
from mailer.subscribers import address, limits, moving, preferences
from mailer.subscribers.address import AddressError
from mailer.subscribers.limits import Measure
from mailer.subscribers.preferences import Reader
from mailer.web import wording
from mailer.web.asking import ask_elsewhere
from mailer.web.mailed import Act, Said
from mailer.web.place import Place


def ask(act: Act) -> Said:
    """The same answer for every address that could be one, also beyond the limits: it does not tell who reads us."""
    typed, site = act.fields.get("address", ""), act.link.site
    try:
        new = address.parse(typed)
    except AddressError:
        return Said(wrong=frozenset({"address"}), typed=act.fields)
    if refusal := site.policy.refusal(new):
        return Said(wrong=frozenset({"address"}), typed=act.fields, refusal=refusal)
    reader = preferences.reader_of(act.session, act.subscription_id)
    if reader is None:
        return Said()
    place = act.standing.place
    if held := why_not(act.session, site.app, reader, place, act.words):
        return _not_sent(act.words, held)
    counted = limits.count(
        act.session, moving.asked_by(reader), _key(site.app), act.now
    )  # before what others count too
    if counted[Measure.LINK] > moving.ASKED_AT_MOST:
        return _not_sent(act.words, _later(place, act.words, act.now))

    address_hash = address.hash(new, _key(site.app))
    window = timedelta(minutes=site.app.settings.confirmation_window_minutes)

    def queue() -> None:
        asked = moving.ask(
            act.session,
            act.subscription_id,
            new,
            address_hash,
            wording=wording.moving(act.words),
            language=act.words.language,
            network=act.network,
            window=window,
            now=act.now,
        )
        automatic.queue(act.session, asked.owed, act.now)

    is_owed = moving.would_owe(act.session, act.subscription_id, address_hash, window=window, now=act.now)
    ask_elsewhere(act.session, site.app, new, act.network, queue if is_owed else None)
    said = act.words.gettext(
        "If we may write to the address that you typed, a letter is on its way to it. Nothing changes before the button"
        " behind its link is pressed."
    )
    return Said(done=act.words.gettext("One more step"), changes=[said])


def at_most(words: Words) -> str:
    """How often."""
    return words.ngettext(
        "At most {count} such letter a day.", "At most {count} such letters a day.", moving.ASKED_AT_MOST
    )


def why_not(session: Session, app: App, reader: Reader, at: Place, words: Words) -> str:
    """Why no link of this reader may ask now, and from when on one may; "" where it may."""
    now = app.clock()
    if held := moving.held_until(session, reader, now):
        return words.gettext(
            "A change of address was taken back. Until {day} no link can change the address.",
            day=words.day(held.astimezone(at.zone).date()),
        )
    if limits.seen(session, moving.asked_by(reader), _key(app), now)[Measure.LINK] < moving.ASKED_AT_MOST:
        return ""
    return _later(at, words, now)


def _later(at: Place, words: Words, now: datetime) -> str:
    return words.gettext(
        "Your links have asked for as many letters as they may in a day. They can ask again from {moment} on.",
        moment=words.moment(limits.window_end(Measure.LINK, now), at.publication.time_zone),
    )


def _not_sent(words: Words, why: str) -> Said:
    return Said(done=words.gettext("Nothing was sent"), changes=[why])


def _key(app: App) -> str:
    return app.settings.address_key.get_secret_value()
