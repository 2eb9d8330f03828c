"""The preferences: editions, language, pause, address, behind the link in every letter. GET and HEAD change nothing."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from functools import partial
from zoneinfo import ZoneInfo

from babel import Locale
from fastapi import APIRouter, Request, Response
from sqlmodel import Session
from starlette.concurrency import run_in_threadpool

from mailer import links
from mailer.rendering.words import words
from mailer.subscribers import preferences
from mailer.subscribers.policy import Refusal
from mailer.subscribers.preferences import Reader
from mailer.subscribers.suppression import is_suppressed
from mailer.tables import Edition, Subscriber
from mailer.tokens import Purpose
from mailer.web import leaving, newaddress, wording
from mailer.web.asking import evenly
from mailer.web.mailed import Act, Answer, LinkProblem, MailedLink, Said, TheMailedLink
from mailer.web.pages import HERE, READ, TheFields
from mailer.web.place import Standing, every_edition, of_subscription_id

router = APIRouter()

SOURCE = "preferences"
LONGEST_PAUSE = timedelta(days=365)


@router.api_route("/p/{token}", methods=READ)
def show(link: TheMailedLink) -> Response:
    """What the reader gets, and what can be changed about it."""
    with link.site.app.database.read() as session:
        subscription_id = link.read(session, Purpose.PREFERENCES, of_subscription_id)
        answer = _page(session, link, subscription_id, Said())
    return answer()


@router.post("/p/{token}")
async def change(request: Request, link: TheMailedLink, fields: TheFields) -> Response:
    """One of the buttons. Each may be pressed twice. How long it takes does not tell whether a new address is known."""
    return await evenly(run_in_threadpool(_change, request, link, fields))


def _change(request: Request, link: MailedLink, fields: Mapping[str, str]) -> Response:
    with link.site.app.database.write() as session:
        subscription_id = link.read(session, Purpose.PREFERENCES, of_subscription_id)
        standing = of_subscription_id(session, subscription_id)
        if standing is None:
            raise LinkProblem(link, "erased", None, 410)
        act = Act(
            session=session,
            request=request,
            link=link,
            fields=fields,
            subscription_id=subscription_id,
            standing=standing,
        )
        done = _ACTS.get(fields.get("act", ""), _nothing)(act)
        answer = _page(session, link, subscription_id, done) if isinstance(done, Said) else done
    return answer()


def _nothing(act: Act) -> Said:
    return Said()


def _choose(act: Act) -> Said | Answer:
    place, session, now = act.standing.place, act.session, act.now
    reader = preferences.reader_of(session, act.subscription_id)
    if reader is None:
        return Said()
    shown = _shown(session, act.standing, reader)
    wanted = {edition.id for edition in shown if f"edition-{edition.code}" in act.fields and edition.id}
    speech = act.words
    if not wanted:
        return leaving.leave_everything(act)
    chosen_language = act.fields.get("language", "")
    chosen = preferences.choose(
        session,
        act.subscription_id,
        shown,
        wanted,
        language=chosen_language if chosen_language in place.languages else reader.read[0].language,
        wording=lambda edition, checked: wording.chosen(speech, place, edition.label, checked=checked),
        wording_language=speech.language,
        source=SOURCE,
        network=act.network,
        now=now,
    )
    if chosen is None:
        return Said()
    spoken = words(chosen.language) if chosen.language else speech
    changes = [
        *(spoken.gettext("Added: {edition}.", edition=each.label) for each in chosen.added),
        *(spoken.gettext("No longer sent: {edition}.", edition=each.label) for each in chosen.left),
    ]
    if chosen.language:
        changes.append(spoken.gettext("Pages and automatic letters are in {language} now.", language=spoken.name))
    done = spoken.gettext("Saved") if changes else spoken.gettext("Nothing was changed")
    get = [each for each in shown if each.id in wanted]
    changes += [_twice(spoken.language, language, editions) for language, editions in overlaps(get)]
    return Said(done=done, changes=changes, language=chosen.language)


def _pause(act: Act) -> Said:
    until = _until(act)
    if until is None:
        return Said(wrong=frozenset({"until"}), typed=act.fields)
    said = wording.pause(act.words, act.standing.place, until)
    _paused(act, until, said)
    return Said(done=act.words.gettext("Paused"), changes=[said])


def _resume(act: Act) -> Said:
    _paused(act, None, wording.resume(act.words))
    said = act.words.gettext("The next issue comes to you again.")
    return Said(done=act.words.gettext("The pause is over"), changes=[said])


def _paused(act: Act, until: datetime | None, agreed: str) -> None:
    preferences.pause(
        act.session,
        act.subscription_id,
        until,
        wording=agreed,
        language=act.words.language,
        source=SOURCE,
        network=act.network,
        now=act.now,
    )


def _until(act: Act) -> datetime | None:
    """The beginning of the day that was chosen, on the publication's clock; None where it is senseless.

    A day that was typed counts whatever is checked; of weeks and a day, the later: no letter comes before either.
    """
    zone, checked, typed = act.standing.place.zone, act.fields.get("pause", ""), act.fields.get("until", "")
    today = act.now.astimezone(zone).date()
    try:
        days = [date.fromisoformat(typed)] if typed else []
        if checked not in ("", "date"):
            days.append(_after_weeks(int(checked), zone, act.now))
    except ValueError:
        return None
    if not days or not all(today < day <= today + LONGEST_PAUSE for day in days):
        return None
    return datetime.combine(max(days), time(), zone).astimezone(UTC)


def _after_weeks(weeks: int, zone: ZoneInfo, now: datetime) -> date:
    return preferences.after_weeks(weeks, zone, now).astimezone(zone).date()


def _restore(act: Act) -> Said:
    """Pressed twice, it says the same twice."""
    if leaving.restore(act) or leaving.is_restored(act.session, act.standing.subscription):
        said = [act.words.gettext("Everything is as it was."), *_reads(act)]
        return Said(done=act.words.gettext("You are subscribed again"), changes=said)
    return _nothing_changed(act)


def _give_reason(act: Act) -> Said | Answer:
    if leaving.give_reason(act):
        return leaving.left_page(act.session, act.link, act.standing, thanks=True)
    return _nothing_changed(act)


def _nothing_changed(act: Act) -> Said:
    """A button of a page that is no longer true: what is."""
    return Said(done=act.words.gettext("Nothing was changed"), changes=_reads(act))


def _reads(act: Act) -> list[str]:
    reader = preferences.reader_of(act.session, act.subscription_id)
    if reader is None:
        return []
    read = ", ".join(each.label for each in leaving.editions_of(act.session, reader))
    return [act.words.gettext("You get: {editions}.", editions=read)]


_ACTS: dict[str, Callable[[Act], Said | Answer]] = {
    "choose": _choose,
    "pause": _pause,
    "resume": _resume,
    "move": newaddress.ask,
    "everything": leaving.leave_everything,
    "undo": _restore,
    "reason": _give_reason,
}


# The page


@dataclass(frozen=True, kw_only=True)
class Pause:
    """A pause as the page offers it."""

    weeks: int
    until: date


@dataclass(frozen=True, kw_only=True)
class Choices:
    """What the page offers, and what is in force."""

    editions: Sequence[Edition]
    read: frozenset[int | None]  #: ids of editions
    twice: Sequence[str]  #: which editions hold the same texts
    pauses: Sequence[Pause]
    first_day: date
    last_day: date
    paused_until: date | None
    next_issue: date | None
    language: str  #: of pages and automatic mail
    letters: str  #: how many with a link to another address
    no_letter: str  #: why there is none now; "" where there may be
    wrong: frozenset[str] = field(default_factory=frozenset)
    refusal: Refusal | None = None


def _page(session: Session, link: MailedLink, subscription_id: int, said: Said) -> Answer:
    standing = of_subscription_id(session, subscription_id)
    if standing is None:
        raise LinkProblem(link, "erased", None, 410)
    reader = preferences.reader_of(session, subscription_id)
    if reader is None:
        return _not_read(session, link, standing)
    if said.language:
        link = replace(link, chosen="")  # what was picked by the address before counts no more
    language = said.language or link.language(standing)
    place, now = standing.place, link.site.app.clock()
    shown, today = _shown(session, standing, reader), now.astimezone(standing.place.zone).date()
    paused_until = reader.paused_until
    is_paused = paused_until is not None and paused_until > now
    choices = Choices(
        editions=shown,
        read=frozenset(each.edition_id for each in reader.read),
        twice=[_twice(language, each, editions) for each, editions in overlaps(shown)],
        pauses=[Pause(weeks=weeks, until=_after_weeks(weeks, place.zone, now)) for weeks in preferences.WEEKS],
        first_day=today + timedelta(days=1),
        last_day=today + LONGEST_PAUSE,
        paused_until=paused_until.astimezone(place.zone).date() if paused_until and is_paused else None,
        next_issue=place.next_issue(max(now, paused_until) if paused_until else now),
        language=reader.read[0].language,
        letters=newaddress.at_most(words(language)),
        no_letter=newaddress.why_not(session, link.site.app, reader, place, words(language)),
        wrong=said.wrong,
        refusal=said.refusal,
    )
    return partial(
        link.page,
        "preferences.html",
        standing,
        language=language,
        status=422 if said.wrong else 200,
        choices=choices,
        said=said,
        typed={"address": "", "until": "", **said.typed},
        agreement=wording.choice(words(language), place),
        moving=wording.moving(words(language)),
        from_page=leaving.FROM_PAGE,
        action=link.onward(links.preferences(HERE, link.token)),
        my_data=link.ask_for_my_data,
    )


def _not_read(session: Session, link: MailedLink, standing: Standing) -> Answer:
    """Nothing is read by this link: it was left, it went on at another address, or the address gets no mail."""
    subscriber = session.get(Subscriber, standing.subscription.subscriber_id)
    if subscriber is None:  # erased while we waited
        raise LinkProblem(link, "erased", None, 410)
    publication_id = standing.place.publication.id
    assert publication_id is not None
    if is_suppressed(session, subscriber.address_hash, publication_id):
        raise LinkProblem(link, "suppressed", standing, 410)
    if standing.subscription.moved_to_id:
        raise LinkProblem(link, "moved", standing, 410)
    return leaving.left_page(session, link, standing)


def _shown(session: Session, standing: Standing, reader: Reader) -> list[Edition]:
    """The editions that are offered, and those that the reader has."""
    read = {each.edition_id for each in reader.read}
    return [each for each in every_edition(session, standing.place) if each.offered or each.id in read]


def overlaps(editions: Sequence[Edition]) -> list[tuple[str, list[Edition]]]:
    """The languages that several of these editions hold, with those editions."""
    held = {
        language: [each for each in editions if language in each.languages]
        for each in editions
        for language in each.languages
    }
    return [(language, those) for language, those in held.items() if len(those) > 1]


def _twice(spoken: str, language: str, editions: Sequence[Edition]) -> str:
    """Says that these editions hold the same text, in `language`."""
    labels = ", ".join(each.label for each in editions)
    return words(spoken).gettext(
        "{editions}: the texts in {language} are the same in each of them, and come with each.",
        editions=labels,
        language=Locale.parse(spoken).languages.get(language, language),
    )
