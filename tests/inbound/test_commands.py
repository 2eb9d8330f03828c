"""Leaving, confirming and subscribing by mail, for readers who cannot open the site."""

from dataclasses import replace
from datetime import timedelta

import pytest
from sqlmodel import col, select

from mailer.app import App
from mailer.delivery import automatic
from mailer.delivery.composer import Composer
from mailer.delivery.ledger import claim
from mailer.delivery.session import Envelope
from mailer.inbound import commands, preferences, quarantine
from mailer.inbound.incoming import Effect
from mailer.rendering.decoded import parse as parse_mail
from mailer.rendering.decoded import part
from mailer.subscribers import limits, optin
from mailer.subscribers.address import hash as address_hash
from mailer.subscribers.address import mailbox, parse
from mailer.subscribers.limits import Measure
from mailer.subscribers.states import SubscriptionStatus
from mailer.tables import (
    Consent,
    ConsentEvent,
    Delivery,
    DeliveryKind,
    Edition,
    Publication,
    Subscriber,
    Subscription,
)
from mailer.tokens import Purpose
from tests.conftest import HandedClock
from tests.delivery.readers import Subscribe
from tests.inbound.conftest import DOMAIN, Inbound
from tests.inbound.letters import READER, letter

AUTOMATIC = [
    {"auto_submitted": "auto-replied"},
    {"auto_submitted": "auto-generated"},
    {"precedence": "bulk"},
    {"precedence": "list"},
    {"precedence": "junk"},
    {"list_id": "<list.far.example>"},
    {"x_autoreply": "yes"},
    {"x_loop": READER},
    {"return_path": "<>"},
    {"subject": "Out of office"},
    {"sender": "noreply@far.example"},
    {"sender": "MAILER-DAEMON@far.example"},
    {"sender": "editors@example.org"},
    {"sender": f"confirm+0@{DOMAIN}"},
    {"content_type": "multipart/report; boundary=b"},
]


def by_hand(text: str = "", *, sender: str = f"Reader <{READER}>", subject: str = "Re: News", **fields: str) -> bytes:
    return letter(text, sender=sender, subject=subject, **fields)


def events(inbound: Inbound) -> list[Consent]:
    with inbound.app.database.read() as session:
        return list(session.exec(select(Consent).order_by(col(Consent.id))))


def queued(inbound: Inbound) -> list[str]:
    with inbound.app.database.read() as session:
        return list(session.exec(select(Delivery.kind).order_by(col(Delivery.id))))


# Leaving


def test_a_mail_to_the_leave_address_unsubscribes(inbound: Inbound, subscribe: Subscribe) -> None:
    (reader,) = subscribe(READER)
    taken = inbound.take(by_hand(subject="unsubscribe"), inbound.leave_address(reader), READER)
    assert (taken.effect, inbound.reader(reader).status) == (Effect.LEFT, SubscriptionStatus.UNSUBSCRIBED)
    (left,) = events(inbound)
    assert (left.event, left.source, left.network) == (ConsentEvent.LEFT, "mail", "")
    assert queued(inbound) == []  # nothing is answered
    assert inbound.suppressions == []


def test_whoever_sends_it_the_token_says_who_leaves(inbound: Inbound, subscribe: Subscribe) -> None:
    reader, other = subscribe(READER, "other@far.example")
    inbound.take(by_hand(sender="other@far.example"), inbound.leave_address(reader), "other@far.example")
    assert inbound.reader(reader).status is SubscriptionStatus.UNSUBSCRIBED
    assert inbound.reader(other).status is SubscriptionStatus.CONFIRMED


def test_a_mail_program_that_says_it_was_sent_to_unsubscribe_is_believed(
    inbound: Inbound, subscribe: Subscribe
) -> None:
    (reader,) = subscribe(READER)
    words = "Apple Mail sent this email to unsubscribe from the message “News”."
    octets = by_hand(words, subject="unsubscribe", auto_submitted="auto-replied")
    assert inbound.take(octets, inbound.leave_address(reader), READER).effect is Effect.LEFT


@pytest.mark.parametrize("fields", AUTOMATIC)
def test_what_no_person_sent_unsubscribes_nobody(
    inbound: Inbound, subscribe: Subscribe, fields: dict[str, str]
) -> None:
    (reader,) = subscribe(READER)
    assert inbound.take(by_hand(**fields), inbound.leave_address(reader), READER).effect is Effect.QUARANTINED
    assert inbound.reader(reader).status is SubscriptionStatus.CONFIRMED


@pytest.mark.parametrize(
    ("text", "left"), [("No, it was not me", False), ("Нет!", False), ("", True), ("stop it", True)]
)
def test_who_answers_no_stays(inbound: Inbound, subscribe: Subscribe, text: str, left: bool) -> None:
    (reader,) = subscribe(READER)
    taken = inbound.take(by_hand(text, in_reply_to="<a@b>"), inbound.leave_address(reader), READER)
    assert taken.effect is (Effect.LEFT if left else Effect.QUARANTINED)


def test_the_null_sender_unsubscribes_nobody(inbound: Inbound, subscribe: Subscribe) -> None:
    (reader,) = subscribe(READER)
    assert inbound.take(by_hand(), inbound.leave_address(reader), "").effect is Effect.QUARANTINED
    assert inbound.reader(reader).status is SubscriptionStatus.CONFIRMED


def test_a_forged_leave_address_unsubscribes_nobody(inbound: Inbound, subscribe: Subscribe) -> None:
    (reader,) = subscribe(READER)
    forged = f"leave+{inbound.app.tokens.make(Purpose.RETURN_PATH, reader)}@{DOMAIN}"
    assert inbound.take(by_hand(), forged, READER).effect is Effect.QUARANTINED
    assert inbound.reader(reader).status is SubscriptionStatus.CONFIRMED


GOODBYE = f"belarus+leave@{DOMAIN}"


def known_reader(inbound: Inbound, subscribe: Subscribe, *addresses: str) -> list[int]:
    """Subscriptions of addresses that are known by their hash."""
    readers = subscribe(*addresses)
    key = inbound.app.settings.address_key.get_secret_value()
    with inbound.app.database.write() as session:
        for reader in session.exec(select(Subscriber)):
            reader.address_hash = address_hash(parse(reader.address), key)
    return readers


def test_who_asks_to_leave_without_a_token_is_asked_and_leaves_by_replying(
    inbound: Inbound, subscribe: Subscribe, worker_id: int
) -> None:
    (reader,) = known_reader(inbound, subscribe, READER)
    taken = inbound.take(by_hand("unsubscribe"), GOODBYE, READER)
    assert (taken.effect, taken.queued) == (Effect.REQUESTED, True)
    assert inbound.reader(reader).status is SubscriptionStatus.CONFIRMED
    assert queued(inbound) == [DeliveryKind.GOODBYE]
    settings = inbound.app.settings.model_copy(update={"inbound_listen": "127.0.0.1:0"})
    mail = parse_mail(automatic_mail(replace(inbound.app, settings=settings), worker_id))
    token = inbound.app.tokens.make(Purpose.UNSUBSCRIBE, reader)
    assert f"https://news.example.org/u/{token}" in part(mail, "plain")
    assert mail["Reply-To"] == inbound.leave_address(reader)
    assert inbound.take(by_hand("yes", in_reply_to="<a@b>"), mail["Reply-To"], READER).effect is Effect.LEFT


def test_who_reads_nothing_here_hears_nothing(inbound: Inbound, subscribe: Subscribe) -> None:
    known_reader(inbound, subscribe, READER)
    for number, address in enumerate(("stranger@far.example", "reader@far.example.example")):
        octets = by_hand(f"{number}", sender=address)
        assert inbound.take(octets, GOODBYE, address).effect is Effect.NOTHING
    assert inbound.take(by_hand(), f"poland+leave@{DOMAIN}", READER).effect is Effect.QUARANTINED
    assert queued(inbound)[:-1] == []  # the last goes to the editors


def test_who_left_is_not_asked(inbound: Inbound, subscribe: Subscribe) -> None:
    (reader,) = known_reader(inbound, subscribe, READER)
    inbound.take(by_hand("1"), inbound.leave_address(reader), READER)
    assert inbound.take(by_hand("2"), GOODBYE, READER).effect is Effect.NOTHING
    assert queued(inbound) == []


def test_who_asks_to_leave_again_and_again_is_asked_once_in_the_window(
    inbound: Inbound, subscribe: Subscribe, clock: HandedClock
) -> None:
    known_reader(inbound, subscribe, READER)
    effects = []
    for minute in range(4):
        effects.append(inbound.take(by_hand(f"{minute}"), GOODBYE, READER).effect)
        clock.pass_(minutes=5)
    assert effects == [Effect.REQUESTED, Effect.NOTHING, Effect.NOTHING, Effect.REQUESTED]


@pytest.mark.parametrize("fields", AUTOMATIC)
def test_what_no_person_sent_asks_nobody(inbound: Inbound, subscribe: Subscribe, fields: dict[str, str]) -> None:
    known_reader(inbound, subscribe, READER)
    inbound.take(by_hand(**fields), GOODBYE, READER)
    assert queued(inbound) == []


def test_nobody_asks_for_another(inbound: Inbound, subscribe: Subscribe) -> None:
    known_reader(inbound, subscribe, READER)
    assert inbound.take(by_hand(), GOODBYE, "other@far.example").effect is Effect.QUARANTINED
    assert DeliveryKind.GOODBYE not in queued(inbound)


# Confirming


@pytest.fixture
def asked(app: App, publication: Publication) -> int:
    """The id of a request that waits for its confirmation."""
    with app.database.write() as session:
        edition = session.exec(select(Edition).where(Edition.code == "be-ru")).one()
        owed = optin.request(
            session,
            edition=edition,
            address=parse(READER),
            address_hash="a hash",
            language="ru",
            wording="the form's words",
            source="form",
            network="",
            window=timedelta(),
            now=app.clock(),
        ).owed
        assert owed is not None
        automatic.queue(session, owed, app.clock())
    assert owed.consent_id is not None
    return owed.consent_id


def automatic_mail(app: App, worker_id: int) -> bytes:
    """The only mail that is due, as it goes out."""
    composer = Composer(app.settings, app.tokens)
    with app.database.write() as session:
        ready = composer.load(session, claim(session, worker_id=worker_id, relay="r", limit=1, now=app.clock()))
    ((_, envelope),) = composer.envelopes(ready)
    assert isinstance(envelope, Envelope)
    return b"".join(envelope.content)


def test_a_reply_to_the_confirmation_confirms(inbound: Inbound, asked: int, worker_id: int) -> None:
    settings = inbound.app.settings.model_copy(update={"inbound_listen": "127.0.0.1:0"})
    app = App(settings=settings, database=inbound.app.database, tokens=inbound.app.tokens, clock=inbound.app.clock)
    mail = parse_mail(automatic_mail(app, worker_id))
    (address,) = mail["Reply-To"].addresses
    assert address.username.startswith("confirm+")
    assert len(address.username) <= 64
    taken = inbound.take(by_hand("да\n\n> Подтвердите", subject="Re: Подписка"), address.addr_spec, READER)
    requested, confirmed = events(inbound)
    assert (taken.effect, taken.queued) == (Effect.CONFIRMED, True)
    assert inbound.reader(requested.subscription_id).status is SubscriptionStatus.CONFIRMED
    assert (confirmed.event, confirmed.source, confirmed.language) == (ConsentEvent.CONFIRMED, "mail", "ru")
    assert confirmed.request_id == requested.id
    assert "Ситуация в Беларуси" in confirmed.wording
    assert "BE/RU" in confirmed.wording
    assert queued(inbound) == [DeliveryKind.CONFIRMATION, DeliveryKind.WELCOME]


def test_a_confirmation_has_a_reply_address_only_where_replies_are_read(
    inbound: Inbound, asked: int, worker_id: int
) -> None:
    assert parse_mail(automatic_mail(inbound.app, worker_id))["Reply-To"] is None


def confirm_address(inbound: Inbound, asked: int) -> str:
    token = inbound.app.tokens.make(Purpose.CONFIRM, asked, expires=inbound.app.clock() + timedelta(hours=72))
    return f"confirm+{token}@{DOMAIN}"


@pytest.mark.parametrize("text", ["no", "Нет, это не я", "Who are you?", "yes?"])
def test_a_reply_that_does_not_say_yes_is_for_people(inbound: Inbound, asked: int, text: str) -> None:
    taken = inbound.take(by_hand(f"{text}\n\n> Confirm"), confirm_address(inbound, asked), READER)
    assert (taken.effect, taken.reason) == (Effect.QUARANTINED, "it replies to a confirmation, but does not say yes")
    assert [each.event for each in events(inbound)] == [ConsentEvent.REQUESTED]


@pytest.mark.parametrize("sender", ["other@far.example", "other@far.example, reader@far.example", "nobody"])
def test_only_the_address_itself_confirms(inbound: Inbound, asked: int, sender: str) -> None:
    taken = inbound.take(by_hand("yes", sender=sender), confirm_address(inbound, asked), READER)
    assert (taken.effect, taken.reason) == (
        Effect.QUARANTINED,
        "it replies to a confirmation, but from another address",
    )
    assert [each.event for each in events(inbound)] == [ConsentEvent.REQUESTED]


def test_the_case_of_an_address_does_not_matter(inbound: Inbound, asked: int) -> None:
    octets = by_hand("yes", sender="Reader@FAR.example")
    assert inbound.take(octets, confirm_address(inbound, asked), READER).effect is Effect.CONFIRMED


@pytest.mark.parametrize("fields", AUTOMATIC)
def test_an_absence_confirms_nobody(inbound: Inbound, asked: int, fields: dict[str, str]) -> None:
    taken = inbound.take(by_hand("I am away.", **fields), confirm_address(inbound, asked), READER)
    assert taken.effect in (Effect.NOTHING, Effect.QUARANTINED)
    assert [each.event for each in events(inbound)] == [ConsentEvent.REQUESTED]


def test_the_null_sender_confirms_nobody(inbound: Inbound, asked: int) -> None:
    assert inbound.take(by_hand(), confirm_address(inbound, asked), "").effect is Effect.NOTHING
    assert [each.event for each in events(inbound)] == [ConsentEvent.REQUESTED]


def test_replying_twice_confirms_once_and_welcomes_once(inbound: Inbound, asked: int) -> None:
    to = confirm_address(inbound, asked)
    first, second = (inbound.take(by_hand(text), to, READER) for text in ("yes", "yes, I confirm"))
    assert (first.effect, second.effect) == (Effect.CONFIRMED, Effect.NOTHING)
    assert queued(inbound) == [DeliveryKind.CONFIRMATION, DeliveryKind.WELCOME]


def test_a_reply_that_comes_too_late_waits_for_the_operator(inbound: Inbound, asked: int, clock: HandedClock) -> None:
    to = confirm_address(inbound, asked)
    clock.pass_(days=4)
    assert inbound.take(by_hand(), to, READER).effect is Effect.QUARANTINED
    assert [each.event for each in events(inbound)] == [ConsentEvent.REQUESTED]


# Subscribing

SUBSCRIBE = f"belarus+subscribe-be-ru@{DOMAIN}"


@pytest.fixture
def published(publication: Publication) -> None:
    """There is a publication."""


def statuses(inbound: Inbound) -> list[str]:
    with inbound.app.database.read() as session:
        return list(session.exec(select(Subscription.status)))


@pytest.mark.usefixtures("published")
def test_a_mail_to_the_subscribe_address_starts_a_double_opt_in(inbound: Inbound) -> None:
    sender = "=?utf-8?q?=D0=AF=2C_=3C=D1=8F=40x.example=3E?= <reader@far.example>"
    taken = inbound.take(by_hand(sender=sender, subject=""), SUBSCRIBE.title(), READER)
    assert (taken.effect, taken.queued) == (Effect.REQUESTED, True)
    assert statuses(inbound) == [SubscriptionStatus.PENDING]
    (requested,) = events(inbound)
    assert (requested.source, requested.language) == ("mail", "be")
    assert "+subscribe-be-ru@" in requested.wording.lower()
    assert queued(inbound) == [DeliveryKind.CONFIRMATION]


@pytest.mark.usefixtures("published")
def test_nothing_is_answered_twice_within_the_window(inbound: Inbound, clock: HandedClock) -> None:
    effects = []
    for minute in range(0, 25, 5):
        effects.append(inbound.take(by_hand(f"{minute}"), SUBSCRIBE, READER).effect)
        clock.pass_(minutes=5)
    assert effects == [Effect.REQUESTED, Effect.NOTHING, Effect.NOTHING, Effect.REQUESTED, Effect.NOTHING]


@pytest.mark.usefixtures("published")
def test_leaving_does_not_lift_the_window(inbound: Inbound) -> None:
    assert inbound.take(by_hand("1"), SUBSCRIBE, READER).effect is Effect.REQUESTED
    (requested,) = events(inbound)
    to = inbound.leave_address(requested.subscription_id)
    assert inbound.take(by_hand("2"), to, READER).effect is Effect.LEFT
    assert inbound.take(by_hand("3"), SUBSCRIBE, READER).effect is Effect.NOTHING
    assert queued(inbound) == [DeliveryKind.CONFIRMATION]


@pytest.mark.usefixtures("published")
def test_an_address_is_answered_so_often_an_hour(inbound: Inbound, clock: HandedClock) -> None:
    changed = {"confirmation_window_minutes": 0, "requests_per_address": 100}
    inbound.app = replace(inbound.app, settings=inbound.app.settings.model_copy(update=changed))
    effects = []
    for number in range(6):
        clock.pass_(minutes=1)
        effects.append(inbound.take(by_hand(f"{number}"), SUBSCRIBE, READER).effect)
    assert effects == [Effect.REQUESTED] * commands.ANSWERS_AN_HOUR + [Effect.NOTHING] * 2
    clock.pass_(hours=1)
    assert inbound.take(by_hand("later"), SUBSCRIBE, READER).effect is Effect.REQUESTED


@pytest.mark.usefixtures("published")
def test_a_domain_is_answered_so_often_an_hour_and_not_less_because_the_form_was_used_up(inbound: Inbound) -> None:
    settings = inbound.app.settings.model_copy(update={"requests_per_domain": 2})
    inbound.app = replace(inbound.app, settings=settings)
    key = settings.address_key.get_secret_value()
    with inbound.app.database.write() as session:
        for _ in range(3):
            limits.count(session, {Measure.DOMAIN: "far.example"}, key, inbound.app.clock())
    asking = (f"{number}@far.example" for number in range(3))
    effects = [inbound.take(by_hand(sender=each), SUBSCRIBE, each).effect for each in asking]
    assert effects == [Effect.REQUESTED] * 2 + [Effect.NOTHING]


@pytest.mark.usefixtures("published")
def test_a_mailbox_is_answered_so_often_a_day_whatever_tag_stands_behind_its_name(
    inbound: Inbound, clock: HandedClock
) -> None:
    most, effects = inbound.app.settings.requests_per_address, []
    for number in range(most + 3):
        sender = f"Victim+{number}@far.example"
        effects.append(inbound.take(by_hand(f"{number}", sender=sender), SUBSCRIBE, sender).effect)
        clock.pass_(minutes=20)
    assert effects == [Effect.REQUESTED] * most + [Effect.NOTHING] * 3
    assert len(queued(inbound)) == most
    clock.pass_(days=1)
    assert inbound.take(by_hand("later"), SUBSCRIBE, READER).effect is Effect.REQUESTED


@pytest.mark.usefixtures("published")
def test_who_uses_up_the_forms_limit_for_a_mailbox_closes_no_way_by_mail(
    inbound: Inbound, subscribe: Subscribe
) -> None:
    settings, key = inbound.app.settings, inbound.app.settings.address_key.get_secret_value()
    known_reader(inbound, subscribe, "other@far.example")
    with inbound.app.database.write() as session:
        for mail_address in (READER, "other@far.example"):
            for _ in range(settings.requests_per_address + 1):
                limits.count(session, {Measure.ADDRESS: mailbox(parse(mail_address))}, key, inbound.app.clock())
    assert inbound.take(by_hand(), SUBSCRIBE, READER).effect is Effect.REQUESTED
    assert inbound.take(by_hand(sender="other@far.example"), GOODBYE, "other@far.example").effect is Effect.REQUESTED
    assert queued(inbound) == [DeliveryKind.CONFIRMATION, DeliveryKind.GOODBYE]


def test_a_reader_is_asked_so_often_a_day_whether_they_want_to_leave(
    inbound: Inbound, subscribe: Subscribe, clock: HandedClock
) -> None:
    known_reader(inbound, subscribe, READER)
    most, effects = max(preferences.ANSWERS.values()), []
    for number in range(most + 2):
        effects.append(inbound.take(by_hand(f"{number}"), GOODBYE, READER).effect)
        clock.pass_(minutes=30)
    assert effects == [Effect.REQUESTED] * most + [Effect.NOTHING] * 2
    assert queued(inbound) == [DeliveryKind.GOODBYE] * most


# A domain in another script, which mail writes as A-labels

IN_ITS_SCRIPT, AS_LABELS = "anna@пример.бел", "anna@xn--e1afmkfd.xn--90ais"


@pytest.mark.usefixtures("published")
def test_a_reader_at_a_domain_in_another_script_subscribes_by_mail(inbound: Inbound) -> None:
    assert inbound.take(by_hand(sender=AS_LABELS), SUBSCRIBE, AS_LABELS).effect is Effect.REQUESTED
    with inbound.app.database.read() as session:
        assert session.exec(select(Subscriber.address)).all() == [IN_ITS_SCRIPT]


def test_a_reader_at_a_domain_in_another_script_confirms_by_replying(inbound: Inbound, asked: int) -> None:
    with inbound.app.database.write() as session:
        session.exec(select(Subscriber)).one().address = IN_ITS_SCRIPT
    taken = inbound.take(by_hand("yes", sender=AS_LABELS), confirm_address(inbound, asked), AS_LABELS)
    assert taken.effect is Effect.CONFIRMED


@pytest.mark.usefixtures("published")
@pytest.mark.parametrize("ours", [IN_ITS_SCRIPT, AS_LABELS])
@pytest.mark.parametrize("sender", [IN_ITS_SCRIPT, AS_LABELS, "Anna+news@xn--e1afmkfd.xn--90ais"])
def test_our_own_mail_is_known_in_either_spelling(inbound: Inbound, ours: str, sender: str) -> None:
    with inbound.app.database.write() as session:
        session.exec(select(Publication)).one().sender_address = ours
    taken = inbound.take(by_hand(sender=AS_LABELS), SUBSCRIBE, sender)
    assert (taken.effect, taken.reason) == (Effect.NOTHING, "not acted on: it is our own mail")


@pytest.mark.usefixtures("published")
def test_mail_of_our_own_domain_in_another_script_is_our_own(inbound: Inbound) -> None:
    settings = inbound.app.settings.model_copy(update={"mail_domain": "xn--e1afmkfd.xn--90ais"})
    inbound.app = replace(inbound.app, settings=settings)
    sender = "anna@lists.xn--e1afmkfd.xn--90ais"
    to = SUBSCRIBE.replace(DOMAIN, settings.mail_domain)
    assert inbound.take(by_hand(sender=sender), to, sender).reason == "not acted on: it is our own mail"


@pytest.mark.usefixtures("published")
def test_an_address_that_the_form_would_refuse_is_not_answered_by_mail_either(inbound: Inbound) -> None:
    taken = inbound.take(by_hand(sender="security@far.example"), SUBSCRIBE, "security@far.example")
    assert (taken.effect, queued(inbound)) == (Effect.NOTHING, [])


@pytest.mark.usefixtures("published")
@pytest.mark.parametrize("fields", AUTOMATIC)
def test_what_no_person_sent_subscribes_nobody(inbound: Inbound, fields: dict[str, str]) -> None:
    inbound.take(by_hand(**fields), SUBSCRIBE, READER)
    assert statuses(inbound) == []


@pytest.mark.usefixtures("published")
@pytest.mark.parametrize(
    "sender", ["a@far.example, b@far.example", "nobody", "", "<a b@far.example>", '"x y"@far.example', "a@localhost"]
)
def test_only_one_good_address_can_be_subscribed(inbound: Inbound, sender: str) -> None:
    assert inbound.take(by_hand(sender=sender), SUBSCRIBE, READER).effect is Effect.QUARANTINED
    assert statuses(inbound) == []


@pytest.mark.usefixtures("published")
@pytest.mark.parametrize("envelope", ["other@far.example", "reader@far.example.example", "reader"])
def test_nobody_is_subscribed_by_another_sender(inbound: Inbound, envelope: str) -> None:
    assert inbound.take(by_hand(), SUBSCRIBE, envelope).effect is Effect.QUARANTINED
    assert statuses(inbound) == []


@pytest.mark.usefixtures("published")
@pytest.mark.parametrize("envelope", ["Reader@FAR.example", f"prvs=0012ab34cd={READER}", None])
def test_the_sender_may_be_spelled_and_signed_as_servers_do(inbound: Inbound, envelope: str | None) -> None:
    assert inbound.take(by_hand(), SUBSCRIBE, envelope).effect is Effect.REQUESTED


@pytest.mark.usefixtures("published")
@pytest.mark.parametrize(
    "sender",
    [
        "=?utf-8?q?Reader_=3Creader=40far=2Eexample=3E?= <noreply@far.example>",
        '"<reader@far.example>" <editors+tag@example.org>',
        f"a@sub.{DOMAIN}",
    ],
)
def test_what_is_checked_is_the_address_that_is_acted_on(inbound: Inbound, sender: str) -> None:
    assert inbound.take(by_hand(sender=sender), SUBSCRIBE, None).effect is Effect.NOTHING
    assert statuses(inbound) == []


@pytest.mark.usefixtures("published")
@pytest.mark.parametrize("local", ["belarus+subscribe-de", "poland+subscribe-en", "belarus+subscribe", "belarus"])
def test_an_edition_that_is_not_offered_waits_for_the_operator(inbound: Inbound, local: str) -> None:
    assert inbound.take(by_hand(), f"{local}@{DOMAIN}", READER).effect is Effect.QUARANTINED
    assert statuses(inbound) == []


@pytest.mark.usefixtures("published")
def test_out_of_a_mailbox_the_return_path_tells_the_sender(inbound: Inbound) -> None:
    for path, effect in (("<>", Effect.NOTHING), ("<a@b.example>", Effect.QUARANTINED), (READER, Effect.REQUESTED)):
        octets = f"Return-Path: {path}\nDelivered-To: {SUBSCRIBE}\nFrom: {READER}\nSubject: {path}\n\n".encode()
        assert inbound.take(octets, None, None).effect is effect


def test_out_of_a_mailbox_an_automatic_goodbye_of_the_null_sender_does_nothing(
    inbound: Inbound, subscribe: Subscribe
) -> None:
    (reader,) = subscribe(READER)
    octets = by_hand("Apple Mail sent this email to unsubscribe", auto_submitted="auto-replied", return_path="<>")
    to = f"Delivered-To: {inbound.leave_address(reader)}\n".encode()
    assert inbound.take(to + octets, None, None).effect is not Effect.LEFT


# People


@pytest.mark.parametrize("to", [f"postmaster@{DOMAIN}", f"bounce+0@{DOMAIN}", f"anything@{DOMAIN}"])
def test_mail_from_people_is_kept_whole(inbound: Inbound, to: str) -> None:
    octets = by_hand("Дарагая рэдакцыя! \0 " + "x" * 100_000)
    assert inbound.take(octets, to, READER).effect is Effect.QUARANTINED
    with inbound.app.database.read() as session:
        (arrival,) = inbound.arrivals
        assert arrival.id is not None
        _, kept = quarantine.one(session, arrival.id)
    assert kept is not None
    assert kept.octets == octets


@pytest.mark.parametrize(
    "head", [f"Delivered-To: {SUBSCRIBE}\nTo: someone@else.example\n", f"To: x@y.example, <{SUBSCRIBE}>\n"]
)
@pytest.mark.usefixtures("published")
def test_out_of_a_mailbox_the_header_says_who_was_written_to(inbound: Inbound, head: str) -> None:
    octets = f"{head}From: {READER}\nSubject: hello\n\n".encode()
    assert inbound.take(octets, None, None).effect is Effect.REQUESTED
