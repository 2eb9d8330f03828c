"""What the pages do, by mail: each address is taken from a letter that went out, and an empty letter goes there."""

import json
import re
from dataclasses import dataclass, replace
from datetime import timedelta

import pytest
from sqlmodel import col, select

from mailer.app import App
from mailer.delivery import ledger
from mailer.delivery.composer import Composer
from mailer.delivery.ledger import Answer
from mailer.delivery.reply import Action, Consequence, Reply, Stage
from mailer.delivery.session import Envelope
from mailer.inbound import preferences
from mailer.inbound.effects import Taken
from mailer.inbound.incoming import Effect
from mailer.rendering.automatic import render_automatic
from mailer.rendering.decoded import parse as parse_mail
from mailer.rendering.decoded import part
from mailer.subscribers.states import SubscriptionStatus
from mailer.tables import (
    Consent,
    ConsentEvent,
    DeliveryKind,
    Edition,
    Quarantine,
    Subscriber,
    Subscription,
    Suppression,
    SuppressionReason,
)
from mailer.tokens import Purpose
from tests.conftest import HandedClock
from tests.delivery.readers import Subscribe
from tests.inbound.conftest import DOMAIN, Inbound
from tests.inbound.letters import READER, letter
from tests.inbound.test_commands import AUTOMATIC, known_reader

NEW = "new@near.example"


@dataclass
class Post:
    """Writes to our addresses, and reads what we write."""

    inbound: Inbound
    worker_id: int
    written: int = 0

    def write(self, to: str, sender: str = READER, text: str = "", **fields: str) -> Taken:
        self.written += 1
        octets = letter(f"{text}\n", sender=sender, subject=f"{self.written}", **fields)
        return self.inbound.take(octets, to, sender)

    def mails(self) -> list[tuple[DeliveryKind, str, bytes]]:
        """Everything that is due, as it leaves: kind, to whom, and the octets."""
        app = self.inbound.app
        composer = Composer(app.settings, app.tokens)
        with app.database.write() as session:
            claims = ledger.claim(session, worker_id=self.worker_id, relay="r", limit=10, now=app.clock())
            ready = composer.load(session, claims)
        made = composer.envelopes(ready)
        reply = Reply(Stage.DOT, 250, "2.0.0 Ok")
        with app.database.write() as session:
            ledger.record(
                session, [Answer(each, reply, Action(Consequence.ACCEPT), "r", app.clock()) for each in claims]
            )
        assert all(isinstance(envelope, Envelope) for _, envelope in made), made
        return [
            (claim.kind, claim.address, b"".join(envelope.content))
            for claim, envelope in made
            if isinstance(envelope, Envelope)
        ]

    def mail(self, kind: DeliveryKind) -> tuple[str, str]:
        """To whom the only mail that is due went, and its text."""
        ((found, address, octets),) = self.mails()
        assert found is kind
        return address, part(parse_mail(octets), "plain")

    def ways(self) -> dict[str, str]:
        """What the letter holds that says how things stand: the address of each command."""
        _, text = self.mail(DeliveryKind.PREFERENCES)
        return addresses(text)


def addresses(text: str) -> dict[str, str]:
    found = re.findall(rf"^(([a-z0-9-]+)\+[0-9a-f]{{32}}@{re.escape(DOMAIN)})\r?$", text, re.MULTILINE)
    return {word: address for address, word in found}


@pytest.fixture
def post(inbound: Inbound, worker_id: int, monkeypatch: pytest.MonkeyPatch) -> Post:
    # Rendered in this process: a process of its own is another test's matter, and half a second.
    monkeypatch.setattr("mailer.delivery.composer.apart", lambda work, *values: render_automatic(*values))
    settings = inbound.app.settings.model_copy(update={"inbound_listen": "127.0.0.1:0"})
    inbound.app = replace(inbound.app, settings=settings)
    return Post(inbound, worker_id)


@pytest.fixture
def reader(inbound: Inbound, subscribe: Subscribe) -> int:
    """The subscription of READER."""
    (found,) = known_reader(inbound, subscribe, READER)
    return found


@pytest.fixture
def way(inbound: Inbound, reader: int) -> str:
    """The address that stands below every issue."""
    return f"preferences+{inbound.app.tokens.make(Purpose.PREFERENCES, reader)}@{DOMAIN}"


def evidence(app: App) -> list[Consent]:
    with app.database.read() as session:
        return list(session.exec(select(Consent).order_by(col(Consent.id))))


def statuses(app: App) -> dict[str, str]:
    """What the one reader has: code of the edition -> status."""
    with app.database.read() as session:
        return dict(session.exec(select(Edition.code, Subscription.status).join(Subscription)).all())


# The letter that brings the addresses


def test_a_letter_below_every_issue_brings_the_ways_to_the_readers_own_mailbox(post: Post, way: str) -> None:
    taken = post.write(way, sender="somebody@far.example")
    assert (taken.effect, taken.queued) == (Effect.REQUESTED, True)
    address, text = post.mail(DeliveryKind.PREFERENCES)
    assert address == READER
    assert "You get: EN." in text
    expected = "add-ru add-be-ru pause-2 pause-4 pause-8 new-address language-be language-ru my-data leave"
    assert list(addresses(text)) == expected.split()
    assert evidence(post.inbound.app) == []


def test_without_a_token_it_goes_to_whom_it_is_from_and_to_nobody_who_is_not_known(post: Post, reader: int) -> None:
    ways = f"belarus+preferences@{DOMAIN}"
    assert post.write(ways, sender="stranger@far.example").effect is Effect.NOTHING
    assert post.mails() == []
    assert post.write(ways).effect is Effect.REQUESTED
    assert post.mail(DeliveryKind.PREFERENCES)[0] == READER
    assert post.write(ways).effect is Effect.NOTHING  # a moment ago
    assert post.write(f"poland+preferences@{DOMAIN}").effect is Effect.QUARANTINED


def test_nobody_has_the_ways_sent_by_naming_another_in_from(post: Post, reader: int) -> None:
    octets = letter("", sender=READER, subject="1")
    taken = post.inbound.take(octets, f"belarus+preferences@{DOMAIN}", "somebody@far.example")
    assert taken.effect is Effect.QUARANTINED


@pytest.mark.parametrize("fields", AUTOMATIC)
def test_what_no_person_sent_changes_nothing(
    post: Post, inbound: Inbound, reader: int, way: str, fields: dict[str, str]
) -> None:
    octets = letter("", **{"sender": READER, "subject": "Re: News", **fields})
    taken = inbound.take(octets, way.replace("preferences", "pause-2"), READER)
    assert taken.effect is Effect.NOTHING
    assert inbound.reader(reader).paused_until is None
    assert post.mails() == []


def test_a_reader_is_answered_so_often_an_hour_and_a_day_and_what_they_ask_is_done_all_the_same(
    post: Post, inbound: Inbound, reader: int, way: str, clock: HandedClock
) -> None:
    hourly, daily = (preferences.ANSWERS[each] for each in (timedelta(hours=1), timedelta(days=1)))
    answered = [post.write(way).queued for _ in range(hourly + 1)]
    assert answered == [True] * hourly + [False]
    taken = post.write(way.replace("preferences", "pause-4"))
    assert (taken.effect, taken.queued) == (Effect.CHANGED, False)
    assert inbound.reader(reader).paused_until is not None
    for _ in range(3):
        clock.pass_(hours=1, minutes=1)
        answered += [post.write(way).queued for _ in range(hourly)]
    assert sum(answered) == daily


def test_a_suppressed_address_is_not_answered(post: Post, inbound: Inbound, reader: int, way: str) -> None:
    app = inbound.app
    with app.database.write() as session:
        subscriber = session.exec(select(Subscriber)).one()
        session.add(
            Suppression(
                address_hash=subscriber.address_hash,
                reason=SuppressionReason.COMPLAINT,
                added_at=app.clock(),
                added_by="a test",
            )
        )
    assert post.write(way).effect is Effect.NOTHING
    assert post.mails() == []


@pytest.mark.parametrize(
    "word", ["pause-3", "pause-0", "pause-²", "pause", "add-pl", "language-pl", "drop-", "nonsense"]
)
def test_what_is_not_offered_waits_for_a_person(post: Post, inbound: Inbound, reader: int, way: str, word: str) -> None:
    assert post.write(way.replace("preferences", word)).effect is Effect.QUARANTINED
    assert (evidence(inbound.app), inbound.reader(reader).paused_until) == ([], None)


@pytest.mark.parametrize("word", ["preferences", "pause-2", "undo", "my-data", "new-address", "data", "erase", "move"])
def test_a_token_of_another_purpose_does_nothing(post: Post, inbound: Inbound, reader: int, word: str) -> None:
    other = Purpose.UNSUBSCRIBE if word != "leave" else Purpose.PREFERENCES
    taken = post.write(f"{word}+{inbound.app.tokens.make(other, reader)}@{DOMAIN}")
    assert taken.effect is Effect.QUARANTINED
    assert inbound.reader(reader).status is SubscriptionStatus.CONFIRMED


# Changes


def test_a_pause_begins_and_ends_by_mail(post: Post, inbound: Inbound, reader: int, way: str) -> None:
    post.write(way)
    taken = post.write(post.ways()["pause-4"])
    assert (taken.effect, taken.queued) == (Effect.CHANGED, True)
    until = inbound.reader(reader).paused_until
    assert until is not None
    assert timedelta(weeks=4) - timedelta(days=1) < until - inbound.app.clock() <= timedelta(weeks=4)
    _, text = post.mail(DeliveryKind.PREFERENCES)
    assert "No issue before" in text
    (paused,) = evidence(inbound.app)
    assert (paused.event, paused.source, paused.wording) == (ConsentEvent.PAUSED, "mail", "Pause for 4 weeks")
    assert post.write(addresses(text)["resume"]).effect is Effect.CHANGED
    assert inbound.reader(reader).paused_until is None
    assert "resume" not in post.ways()


def test_editions_are_added_and_dropped_by_mail(post: Post, inbound: Inbound, way: str) -> None:
    post.write(way)
    post.write(post.ways()["add-be-ru"])
    assert statuses(inbound.app) == {"en": SubscriptionStatus.CONFIRMED, "be-ru": SubscriptionStatus.CONFIRMED}
    ways = post.ways()
    assert {"drop-en", "drop-be-ru"} < set(ways)
    assert post.write(ways["drop-en"]).effect is Effect.CHANGED
    assert statuses(inbound.app) == {"en": SubscriptionStatus.UNSUBSCRIBED, "be-ru": SubscriptionStatus.CONFIRMED}
    assert [(each.event, each.wording) for each in evidence(inbound.app)] == [
        (ConsentEvent.CONFIRMED, "Also send me the edition BE/RU"),
        (ConsentEvent.LEFT, "No longer send me the edition EN"),
    ]
    assert post.write(ways["drop-en"]).effect is Effect.REQUESTED  # again: nothing is changed


def test_the_language_of_letters_changes_by_mail(post: Post, way: str) -> None:
    post.write(way)
    assert post.write(post.ways()["language-be"]).effect is Effect.CHANGED
    _, text = post.mail(DeliveryKind.PREFERENCES)
    assert "Вы атрымліваеце: EN." in text


def test_leaving_is_taken_back_by_mail_and_no_letter_follows_who_left(
    post: Post, inbound: Inbound, reader: int, way: str
) -> None:
    post.write(way)
    assert post.write(post.ways()["leave"]).effect is Effect.LEFT
    assert post.mails() == []
    post.write(way)  # of an old issue
    _, text = post.mail(DeliveryKind.PREFERENCES)
    assert "No letters of ours come to this address." in text
    assert list(addresses(text)) == ["undo", "my-data"]
    assert post.write(addresses(text)["undo"]).effect is Effect.CHANGED
    assert inbound.reader(reader).status is SubscriptionStatus.CONFIRMED
    assert evidence(inbound.app)[-1].wording == "Undo: keep me subscribed"


# A change of address


def test_a_change_of_address_is_asked_for_confirmed_and_taken_back_by_mail(
    post: Post, inbound: Inbound, reader: int, way: str
) -> None:
    post.write(way)
    asked = post.write(post.ways()["new-address"], sender=NEW)
    assert (asked.effect, asked.queued) == (Effect.REQUESTED, True)
    ((kind, address, octets),) = post.mails()
    assert (kind, address) == (DeliveryKind.NEW_ADDRESS, NEW)
    mail = parse_mail(octets)
    assert READER not in str(mail) + part(mail, "plain")
    reply_to = mail["Reply-To"].addresses[0].addr_spec
    assert post.write(reply_to, sender="third@near.example", text="yes").effect is Effect.QUARANTINED
    assert post.write(reply_to, sender=NEW, text="who are you?").effect is Effect.QUARANTINED
    assert inbound.reader(reader).status is SubscriptionStatus.CONFIRMED
    assert post.write(reply_to, sender=NEW, text="yes").effect is Effect.CHANGED
    assert inbound.reader(reader).status is SubscriptionStatus.UNSUBSCRIBED
    sent = {kind: (address, octets) for kind, address, octets in post.mails() if kind is not DeliveryKind.FORWARD}
    assert sent[DeliveryKind.PREFERENCES][0] == NEW
    assert sent[DeliveryKind.OLD_ADDRESS][0] == READER
    told = part(parse_mail(sent[DeliveryKind.OLD_ADDRESS][1]), "plain")
    assert NEW not in told
    assert post.write(addresses(told)["move-back"]).effect is Effect.CHANGED
    assert inbound.reader(reader).status is SubscriptionStatus.CONFIRMED
    assert {each.wording for each in evidence(inbound.app)} >= {
        "Read at another address: write from that address",
        "Take the change back",
    }


def test_an_acknowledgement_of_the_letter_to_the_old_address_takes_nothing_back(
    post: Post, inbound: Inbound, way: str
) -> None:
    post.write(way)
    post.write(post.ways()["new-address"], sender=NEW)
    ((_, _, octets),) = post.mails()
    post.write(parse_mail(octets)["Reply-To"].addresses[0].addr_spec, sender=NEW, text="ok")
    told = next(octets for kind, _, octets in post.mails() if kind is DeliveryKind.OLD_ADDRESS)
    assert parse_mail(told)["Reply-To"] is None


def test_whoever_reads_at_the_address_that_is_asked_for_the_log_says_the_same(
    post: Post, inbound: Inbound, subscribe: Subscribe, way: str
) -> None:
    post.write(way)
    to = post.ways()["new-address"]
    assert post.write(to, sender="postmaster@near.example").effect is Effect.NOTHING  # a role is not taken
    assert post.write(to).effect is Effect.NOTHING  # the reader's own
    assert post.mails() == []


def test_a_fourth_change_of_address_in_a_day_is_not_asked(post: Post, way: str, clock: HandedClock) -> None:
    post.write(way)
    to = post.ways()["new-address"]
    effects = []
    for number in range(4):
        effects.append(post.write(to, sender=f"new{number}@near.example").effect)
        clock.pass_(hours=1)
    assert effects == [Effect.REQUESTED] * 3 + [Effect.NOTHING]


# My data


def data_ways(post: Post, way: str) -> dict[str, str]:
    post.write(way)
    assert post.write(post.ways()["my-data"]).effect is Effect.REQUESTED
    address, text = post.mail(DeliveryKind.MY_DATA)
    assert address == READER
    return addresses(text)


def test_everything_that_is_held_comes_as_a_file(post: Post, way: str) -> None:
    ways = data_ways(post, way)
    taken = post.write(ways["data"], sender="somebody@far.example")
    assert (taken.effect, taken.queued) == (Effect.REQUESTED, True)
    ((kind, address, octets),) = post.mails()
    assert (kind, address) == (DeliveryKind.MY_DATA_FILE, READER)
    mail = parse_mail(octets)
    (file,) = (each for each in mail.walk() if each.get_filename() == "my-data.json")
    content = file.get_payload(decode=True)
    assert isinstance(content, bytes)
    held = json.loads(content)
    assert held["address"] == READER
    assert [each["edition"] for each in held["subscriptions"]] == ["en"]
    assert "All that we hold about you" in part(mail, "plain")
    assert post.write(ways["data"]).effect is Effect.NOTHING  # a moment ago


def test_a_reader_is_erased_by_mail_with_what_they_wrote(post: Post, inbound: Inbound, way: str) -> None:
    ways = data_ways(post, way)
    post.write(f"belarus@{DOMAIN}", text="a question")
    taken = post.write(ways["erase"])
    assert taken.effect is Effect.ERASED
    app = inbound.app
    with app.database.read() as session:
        assert session.exec(select(Subscriber)).all() == []
        assert session.exec(select(Quarantine)).all() == []
        (kept,) = session.exec(select(Suppression)).all()
    assert (kept.reason, kept.address) == (SuppressionReason.ERASED, None)
    assert post.write(ways["erase"]).effect is Effect.NOTHING
    assert not [kind for kind, _, _ in post.mails() if kind is not DeliveryKind.FORWARD]


def test_after_a_day_the_ways_to_the_data_are_sent_anew_and_erase_nothing(
    post: Post, inbound: Inbound, way: str, clock: HandedClock
) -> None:
    ways = data_ways(post, way)
    for word in ("erase", "data"):
        clock.pass_(days=1, minutes=30)
        assert post.write(ways[word]).effect is Effect.REQUESTED
        assert set(addresses(post.mail(DeliveryKind.MY_DATA)[1])) == {"data", "erase"}
    assert statuses(inbound.app) == {"en": SubscriptionStatus.CONFIRMED}
