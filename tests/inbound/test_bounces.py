"""What a report does: it acts on the delivery that its return path names, and on nothing else."""

import logging

import pytest
from sqlmodel import select

from mailer.delivery import ledger
from mailer.delivery.ledger import Answer
from mailer.delivery.log import LogFilter, entries
from mailer.delivery.reply import Action, Consequence, Reply, Stage
from mailer.delivery.states import DeliveryStatus
from mailer.delivery.tally import many_complaints
from mailer.inbound.incoming import Category, Effect
from mailer.inbound.letter import Letter
from mailer.subscribers import optin, suppression
from mailer.subscribers.optin import Confirmation, Confirmed
from mailer.subscribers.states import SubscriptionStatus
from mailer.tables import Attempt, Subscription, Suppression, SuppressionReason
from mailer.tokens import Purpose
from tests.conftest import HandedClock
from tests.delivery.readers import Subscribe
from tests.inbound.conftest import DOMAIN, Inbound, Sent
from tests.inbound.letters import READER, complaint, failed, letter, report

UNKNOWN = failed("550 5.1.1 no mailbox here", status="5.1.1")
FULL = failed("452 4.2.2 mailbox full", status="4.2.2")


def test_an_unknown_user_is_suppressed_and_the_ledger_says_why(inbound: Inbound, sent: Sent) -> None:
    (delivery_id,) = sent(READER)
    taken = inbound.take(report(UNKNOWN), inbound.bounce_address(delivery_id))
    delivery = inbound.delivery(delivery_id)
    assert (taken.effect, delivery.status) == (Effect.SUPPRESSED, DeliveryStatus.BOUNCED)
    assert delivery.subscription_id is not None
    assert inbound.reader(delivery.subscription_id).status is SubscriptionStatus.SUPPRESSED
    (listed,) = inbound.suppressions
    assert (listed.address, listed.reason, listed.added_by) == (READER, SuppressionReason.BOUNCE, "mailer")
    assert "no mailbox here" in listed.note
    (arrival,) = inbound.arrivals
    assert (arrival.delivery_id, arrival.category, arrival.status) == (delivery_id, Category.UNKNOWN_USER, "5.1.1")
    assert (arrival.diagnostic, arrival.reporter) == ("550 5.1.1 no mailbox here", "relay.example")


def test_the_send_log_says_what_came_back(inbound: Inbound, sent: Sent) -> None:
    gone, late, _ = sent(READER, "late@far.example", "fine@far.example")
    inbound.take(report(UNKNOWN), inbound.bounce_address(gone))
    inbound.take(report(failed("450 4.4.1 no answer", action="delayed")), inbound.bounce_address(late))
    with inbound.app.database.read() as session:
        told = {each.address: (each.status, each.report) for each in entries(session, LogFilter())}
    assert told == {
        READER: (DeliveryStatus.BOUNCED, "550 5.1.1 no mailbox here"),
        "late@far.example": (DeliveryStatus.ACCEPTED, None),
        "fine@far.example": (DeliveryStatus.ACCEPTED, None),
    }


@pytest.mark.parametrize("fold", [str.lower, str.upper, str.title])
def test_a_return_path_survives_case_folding(inbound: Inbound, sent: Sent, fold: type[str]) -> None:
    (delivery_id,) = sent(READER)
    assert inbound.take(report(UNKNOWN), fold(inbound.bounce_address(delivery_id))).effect is Effect.SUPPRESSED


def test_the_same_report_twice_has_one_effect(inbound: Inbound, sent: Sent) -> None:
    (delivery_id,) = sent(READER)
    octets, to = report(UNKNOWN), inbound.bounce_address(delivery_id)
    first = inbound.take(b"Received: from a\r\n\tby b\r\n" + octets.replace(b"\n", b"\r\n"), to)
    again = inbound.take(b"Return-Path: <>\nReceived: from c\n" + octets, to)
    assert (first.effect, again.effect, again.arrival_id) == (Effect.SUPPRESSED, Effect.NOTHING, None)
    assert len(inbound.arrivals) == len(inbound.suppressions) == 1


@pytest.mark.parametrize(
    "to",
    [
        f"bounce+{'0' * 32}@{DOMAIN}",
        f"bounce+@{DOMAIN}",
        f"bounce@{DOMAIN}",
        f"bounce+{'z' * 64}@{DOMAIN}",
        f"postmaster@{DOMAIN}",
        "bounce+0@elsewhere.example",
        "",
    ],
)
def test_a_report_without_a_valid_token_changes_nothing_and_is_kept(inbound: Inbound, sent: Sent, to: str) -> None:
    (delivery_id,) = sent(READER)
    assert inbound.take(report(UNKNOWN), to).effect is Effect.QUARANTINED
    assert inbound.delivery(delivery_id).status is DeliveryStatus.ACCEPTED
    assert inbound.suppressions == []


def test_a_token_of_another_purpose_is_no_return_path(inbound: Inbound, sent: Sent) -> None:
    (delivery_id,) = sent(READER)
    for purpose in (Purpose.MESSAGE_ID, Purpose.UNSUBSCRIBE, Purpose.CONFIRM):
        to = f"bounce+{inbound.app.tokens.make(purpose, delivery_id)}@{DOMAIN}"
        assert inbound.take(report(UNKNOWN), to).effect is Effect.QUARANTINED
    assert inbound.delivery(delivery_id).status is DeliveryStatus.ACCEPTED


def test_a_token_is_honoured_for_thirty_days_after_the_last_attempt(
    inbound: Inbound, sent: Sent, clock: HandedClock
) -> None:
    first, second = sent("first@far.example", "second@far.example")
    clock.pass_(days=29)
    assert inbound.take(report(FULL), inbound.bounce_address(first)).effect is Effect.BOUNCED
    clock.pass_(days=2)
    late = inbound.take(report(FULL), inbound.bounce_address(second))
    assert (late.effect, late.reason) == (Effect.QUARANTINED, "its token is older than 30 days")


def test_a_token_of_a_delivery_that_never_left_is_not_believed(inbound: Inbound, sent: Sent) -> None:
    taken = inbound.take(report(UNKNOWN), inbound.bounce_address(4711))
    assert (taken.effect, taken.reason) == (Effect.QUARANTINED, "its token names a delivery that was never sent")


def test_a_report_acts_on_its_token_and_never_on_the_address_that_it_claims(inbound: Inbound, sent: Sent) -> None:
    mine, victims = sent("mine@far.example", "victim@innocent.example")
    claims = failed("550 5.1.1 unknown", address="victim@innocent.example", status="5.1.1")
    inbound.take(report(claims), inbound.bounce_address(mine))
    assert inbound.delivery(victims).status is DeliveryStatus.ACCEPTED
    assert inbound.delivery(mine).status is DeliveryStatus.BOUNCED
    assert inbound.suppressions == []  # not its own address: behind a forwarding one death is not certain


def test_a_nested_report_accuses_nobody(inbound: Inbound, sent: Sent) -> None:
    mine, victims = sent("mine@far.example", "victim@innocent.example")
    inner = report(failed("550 5.1.1 unknown", address="victim@innocent.example", status="5.1.1"))
    nested = f"To: {inbound.bounce_address(victims)}\n{inner.decode()}".replace("--b", "--inner")
    full = failed("452 4.2.2 mailbox full", address="mine@far.example", status="4.2.2")
    taken = inbound.take(report(full, returned=nested), inbound.bounce_address(mine))
    assert taken.effect is Effect.BOUNCED
    assert inbound.delivery(victims).status is DeliveryStatus.ACCEPTED
    assert inbound.suppressions == []


def test_behind_a_forwarding_the_second_failure_decides(inbound: Inbound, sent: Sent, clock: HandedClock) -> None:
    forwarded = failed("550 5.1.1 unknown", address="elsewhere@inner.example", status="5.1.1")
    for week, effect in enumerate((Effect.BOUNCED, Effect.SUPPRESSED)):
        (delivery_id,) = sent(READER)
        octets = report(forwarded, subject=f"Undelivered {week}")
        assert inbound.take(octets, inbound.bounce_address(delivery_id)).effect is effect
        clock.pass_(days=7)


@pytest.mark.parametrize(
    "fields",
    [
        failed("550 5.2.1 mailbox disabled", status="5.2.1"),
        failed("550 5.4.1 Recipient address rejected: Access denied", status="5.4.1"),
        failed("Host or domain name not found. Name service error: Host not found", status="5.4.4"),
    ],
)
def test_what_is_in_doubt_waits_for_a_second_failure(
    inbound: Inbound, sent: Sent, clock: HandedClock, fields: str
) -> None:
    (delivery_id,) = sent(READER)
    assert inbound.take(report(fields), inbound.bounce_address(delivery_id)).effect is Effect.BOUNCED
    again = inbound.take(report(fields, text="The same mail again."), inbound.bounce_address(delivery_id))
    assert again.effect is Effect.NOTHING  # two reports of one mail are one failure
    assert inbound.suppressions == []
    clock.pass_(days=7)
    (delivery_id,) = sent(READER)
    octets = report(fields, subject="Another week")
    assert inbound.take(octets, inbound.bounce_address(delivery_id)).effect is Effect.SUPPRESSED


def weeks_of_a_full_mailbox(inbound: Inbound, sent: Sent, clock: HandedClock, weeks: int) -> list[Effect]:
    """What each week's issue did that comes back; so does the question whether our mails are read."""
    effects = []
    for _ in range(weeks):
        ids = sent(READER)
        for delivery_id in ids:
            effects.append(bounced(inbound, delivery_id, f"{clock()}"))
        for asked in inbound.warnings:
            bounced(inbound, asked, f"asked {asked} {clock()}")
        clock.pass_(days=7)
        if not ids:
            break
    return effects


def bounced(inbound: Inbound, delivery_id: int, subject: str) -> Effect:
    return inbound.take(report(FULL, subject=subject), inbound.bounce_address(delivery_id)).effect


def test_a_full_mailbox_is_given_up_after_five_weeks_and_a_question(
    inbound: Inbound, sent: Sent, clock: HandedClock
) -> None:
    effects = weeks_of_a_full_mailbox(inbound, sent, clock, 7)
    assert effects == [Effect.BOUNCED] * 4 + [Effect.SUPPRESSED]
    (listed,) = inbound.suppressions
    assert listed.note.startswith("5 mails in a row failed since 2026-11-20, the last one: mailbox full")
    assert listed.reason is SuppressionReason.UNREACHABLE
    assert len(inbound.warnings) == 1


def test_a_question_that_arrives_clears_the_score(inbound: Inbound, sent: Sent, clock: HandedClock) -> None:
    for _ in range(6):
        (delivery_id,) = sent(READER)
        assert bounced(inbound, delivery_id, f"{clock()}") is Effect.BOUNCED
        clock.pass_(days=7)
    assert len(inbound.warnings) == 1
    assert inbound.suppressions == []


def test_a_reader_is_asked_once_in_thirty_days(inbound: Inbound, sent: Sent, clock: HandedClock) -> None:
    for _ in range(3 * 29):
        (delivery_id,) = sent(READER)
        bounced(inbound, delivery_id, f"{clock()}")
        clock.pass_(hours=8)
    assert len(inbound.warnings) == 1


def test_nobody_is_given_up_who_was_not_asked(inbound: Inbound, sent: Sent, clock: HandedClock) -> None:
    ids = []
    for _ in range(5):
        ids += sent(READER)
        clock.pass_(days=4)
    for delivery_id in ids:  # all at once, after the mails
        assert bounced(inbound, delivery_id, f"{delivery_id}") is Effect.BOUNCED
    assert inbound.suppressions == []


def test_a_reader_who_says_that_mails_are_read_begins_anew(inbound: Inbound, sent: Sent, clock: HandedClock) -> None:
    weeks_of_a_full_mailbox(inbound, sent, clock, 4)
    assert confirm(inbound, inbound.warnings[0]).outcome is Confirmation.AGAIN
    assert weeks_of_a_full_mailbox(inbound, sent, clock, 4) == [Effect.BOUNCED] * 4
    assert inbound.suppressions == []


def test_a_reader_who_was_given_up_comes_back_by_the_button(inbound: Inbound, sent: Sent, clock: HandedClock) -> None:
    weeks_of_a_full_mailbox(inbound, sent, clock, 6)
    asked = inbound.delivery(inbound.warnings[0])
    assert asked.subscription_id is not None
    assert inbound.reader(asked.subscription_id).status is SubscriptionStatus.SUPPRESSED
    assert confirm(inbound, inbound.warnings[0]).outcome is Confirmation.DONE
    assert inbound.reader(asked.subscription_id).status is SubscriptionStatus.CONFIRMED
    assert [each.lifted_by for each in inbound.suppressions] == ["reader"]


def test_a_complaint_is_not_taken_back_by_the_button(inbound: Inbound, sent: Sent, clock: HandedClock) -> None:
    weeks_of_a_full_mailbox(inbound, sent, clock, 3)
    (delivery_id,) = sent(READER)
    inbound.take(about(inbound, delivery_id, "Feedback-Type: abuse"), f"fbl@{DOMAIN}", "loop@far.example")
    assert confirm(inbound, inbound.warnings[0]).outcome is Confirmation.SUPPRESSED


def test_what_failed_before_a_suppression_was_lifted_does_not_count(
    inbound: Inbound, sent: Sent, clock: HandedClock
) -> None:
    weeks_of_a_full_mailbox(inbound, sent, clock, 6)
    with inbound.app.database.write() as session:
        (listed,) = session.exec(select(Suppression))
        suppression.lift(session, listed.address_hash, by="operator", now=clock())
        for subscription_ in session.exec(select(Subscription)):
            subscription_.status = SubscriptionStatus.CONFIRMED
    assert weeks_of_a_full_mailbox(inbound, sent, clock, 4) == [Effect.BOUNCED] * 4


def confirm(inbound: Inbound, warning_id: int) -> Confirmed:
    """The button in the question."""
    consent_id = inbound.delivery(warning_id).consent_id
    assert consent_id is not None
    with inbound.app.database.write() as session:
        return optin.confirm(session, consent_id, wording="", source="link", network="", now=inbound.app.clock())


def test_one_mail_that_arrives_clears_the_score(inbound: Inbound, sent: Sent, clock: HandedClock) -> None:
    for week in range(8):
        (delivery_id,) = sent(READER)
        if week != 4:
            assert bounced(inbound, delivery_id, f"{week}") is Effect.BOUNCED
            for asked in inbound.warnings:
                bounced(inbound, asked, f"asked {asked} {week}")
        clock.pass_(days=7)
    assert inbound.suppressions == []


def test_five_failures_on_one_day_are_too_few(inbound: Inbound, sent: Sent, clock: HandedClock) -> None:
    for hour in range(6):
        (delivery_id,) = sent(READER)
        octets = report(FULL, subject=f"{hour}")
        assert inbound.take(octets, inbound.bounce_address(delivery_id)).effect is Effect.BOUNCED
        clock.pass_(hours=1)


@pytest.mark.parametrize(
    "words",
    [
        "554 5.7.1 Message rejected as spam",
        "550 5.7.1 Client host blocked using zen.example",
        "550 5.7.26 Unauthenticated mail is prohibited",
        "552 5.3.4 Message too big",
        "550 5.7.1 Relaying denied",
    ],
)
def test_what_is_our_fault_costs_the_reader_nothing_and_alarms(
    inbound: Inbound, sent: Sent, clock: HandedClock, caplog: pytest.LogCaptureFixture, words: str
) -> None:
    for week in range(6):
        (delivery_id,) = sent(READER)
        octets = report(failed(words, status=words.split()[1]), subject=f"{week}")
        assert inbound.take(octets, inbound.bounce_address(delivery_id)).effect is Effect.ALARM
        clock.pass_(days=7)
    assert inbound.delivery(delivery_id).status is DeliveryStatus.BOUNCED
    assert inbound.suppressions == []
    assert any(each.levelno == logging.ERROR and "mailer inbound" in each.getMessage() for each in caplog.records)
    assert READER not in caplog.text


@pytest.mark.parametrize(
    "octets",
    [
        report(failed("450 4.4.1 no answer", action="delayed", status="4.4.1")),
        report(failed("250 2.1.5 ok", action="delivered", status="2.1.5")),
        letter("I am away.", sender=READER, subject="Automatic reply: News", auto_submitted="auto-replied"),
    ],
)
def test_delays_receipts_and_absences_do_nothing(inbound: Inbound, sent: Sent, octets: bytes) -> None:
    (delivery_id,) = sent(READER)
    assert inbound.take(octets, inbound.bounce_address(delivery_id)).effect is Effect.NOTHING
    assert inbound.delivery(delivery_id).status is DeliveryStatus.ACCEPTED


def test_an_address_that_was_only_typed_is_forgotten(
    inbound: Inbound, sent: Sent, subscribe: Subscribe, app_confirmation: int
) -> None:
    taken = inbound.take(report(UNKNOWN), inbound.bounce_address(app_confirmation))
    assert taken.effect is Effect.SUPPRESSED
    assert inbound.suppressions == []
    assert inbound.delivery(app_confirmation).subscription_id is None
    with inbound.app.database.read() as session:  # servers may have named the address
        assert session.exec(select(Attempt.reply).where(Attempt.delivery_id == app_confirmation)).all() == [None]
    assert [each.diagnostic for each in inbound.arrivals] == [None]


# Complaints


def about(inbound: Inbound, delivery_id: int, *fields: str, by: Purpose = Purpose.RETURN_PATH) -> bytes:
    """A complaint whose returned header proves that it is about this delivery."""
    token = inbound.app.tokens.make(by, delivery_id)
    proof = f"Message-ID: <{token}@{DOMAIN}>" if by is Purpose.MESSAGE_ID else f"Return-Path: <bounce+{token}@{DOMAIN}>"
    return complaint(*fields, returned=f"{proof}\nFrom: x@example.org\n\nThe mail.\n")


def test_what_every_reply_carries_ends_the_subscription_and_suppresses_nobody(inbound: Inbound, sent: Sent) -> None:
    """A Message-ID is known to whoever was sent a reply or the mail itself: it must not silence a reader for good."""
    (delivery_id,) = sent(READER)
    octets = about(inbound, delivery_id, "Feedback-Type: abuse", by=Purpose.MESSAGE_ID)
    assert inbound.take(octets, f"complaints@{DOMAIN}").effect is Effect.COMPLAINED
    subscription_id = inbound.delivery(delivery_id).subscription_id
    assert subscription_id is not None
    assert inbound.reader(subscription_id).status is SubscriptionStatus.UNSUBSCRIBED
    assert inbound.suppressions == []


@pytest.mark.parametrize("feedback", ["abuse", "opt-out"])
def test_a_complaint_unsubscribes_and_suppresses_at_once(inbound: Inbound, sent: Sent, feedback: str) -> None:
    (delivery_id,) = sent(READER)
    octets = about(inbound, delivery_id, f"Feedback-Type: {feedback}")
    taken = inbound.take(octets, f"complaints@{DOMAIN}", "loop@far.example")
    delivery = inbound.delivery(delivery_id)
    assert (taken.effect, delivery.status) == (Effect.COMPLAINED, DeliveryStatus.COMPLAINED)
    assert delivery.subscription_id is not None
    assert inbound.reader(delivery.subscription_id).status is SubscriptionStatus.SUPPRESSED
    assert [each.reason for each in inbound.suppressions] == [SuppressionReason.COMPLAINT]


def test_not_spam_takes_a_complaint_back_and_no_other_suppression(
    inbound: Inbound, sent: Sent, clock: HandedClock
) -> None:
    one, other = sent("one@far.example", "other@far.example")
    inbound.take(about(inbound, one, "Feedback-Type: abuse"), f"fbl@{DOMAIN}")
    gone = failed("550 5.1.1 unknown", address="other@far.example", status="5.1.1")
    inbound.take(report(gone), inbound.bounce_address(other))
    assert inbound.take(about(inbound, one, "Feedback-Type: not-spam"), f"fbl@{DOMAIN}").effect is Effect.LIFTED
    assert inbound.take(about(inbound, other, "Feedback-Type: not-spam"), f"fbl@{DOMAIN}").effect is Effect.NOTHING
    lifted = {each.reason: each.lifted_by for each in inbound.suppressions}
    assert lifted == {SuppressionReason.COMPLAINT: "not-spam", SuppressionReason.BOUNCE: None}


def test_a_complaint_without_our_token_changes_nothing(inbound: Inbound, sent: Sent) -> None:
    (delivery_id,) = sent(READER)
    forged = complaint("Feedback-Type: abuse", f"Original-Rcpt-To: {READER}")
    assert inbound.take(forged, f"fbl@{DOMAIN}").effect is Effect.QUARANTINED
    assert inbound.delivery(delivery_id).status is DeliveryStatus.ACCEPTED
    assert inbound.suppressions == []


def test_a_token_in_the_body_of_the_returned_message_proves_nothing(inbound: Inbound, sent: Sent) -> None:
    (delivery_id,) = sent(READER)
    returned = f"From: x@example.org\n\nReturn-Path: <{inbound.bounce_address(delivery_id)}>\n"
    octets = complaint("Feedback-Type: abuse", returned=returned)
    assert inbound.take(octets, f"fbl@{DOMAIN}").effect is Effect.QUARANTINED


def test_a_complaint_that_names_two_readers_is_not_believed(inbound: Inbound, sent: Sent) -> None:
    one, other = sent("one@far.example", "other@far.example")
    returned = f"Return-Path: <{inbound.bounce_address(one)}>\nTo: {inbound.bounce_address(other)}\n\n"
    taken = inbound.take(complaint("Feedback-Type: abuse", returned=returned), f"fbl@{DOMAIN}")
    assert (taken.effect, taken.reason) == (Effect.QUARANTINED, "a complaint that names several readers")
    assert inbound.suppressions == []


def test_a_complaint_of_another_kind_alarms_and_costs_nobody(
    inbound: Inbound, sent: Sent, caplog: pytest.LogCaptureFixture
) -> None:
    (delivery_id,) = sent(READER)
    assert inbound.take(about(inbound, delivery_id, "Feedback-Type: virus"), f"fbl@{DOMAIN}").effect is Effect.ALARM
    assert inbound.suppressions == []
    assert any(each.levelno == logging.ERROR for each in caplog.records)


def test_complaints_above_one_in_a_thousand_are_a_line_in_the_log_once_an_issue(
    inbound: Inbound, sent: Sent, caplog: pytest.LogCaptureFixture
) -> None:
    ids = sent(*(f"r{each}@far.example" for each in range(5)))
    effects = inbound.effects
    for number, delivery_id in enumerate(ids[:4]):
        octets = about(inbound, delivery_id, "Feedback-Type: abuse", f"Version: {number}")
        effects.take(Letter(octets=octets, road="receiver", recipient=f"fbl@{DOMAIN}", sender="loop@far.example"))
        said = [each.getMessage() for each in caplog.records if "complained, more than 0.1%" in each.getMessage()]
        assert len(said) == (0 if number == 0 else 1)
    assert said[0].endswith(": 2 of 5 readers complained, more than 0.1%")


@pytest.mark.parametrize(
    ("complained", "left", "said"), [(1, 10, False), (2, 1999, True), (2, 2000, False), (3, 2000, True), (0, 0, False)]
)
def test_a_lone_complaint_and_one_in_a_thousand_are_no_trouble(complained: int, left: int, said: bool) -> None:
    assert bool(many_complaints(complained, left)) is said


def test_a_question_that_fails_after_a_mail_that_arrived_counts_for_nothing(
    inbound: Inbound, sent: Sent, clock: HandedClock, worker_id: int
) -> None:
    """Its report comes when the mail before it has been seen to arrive: there is no run of failures any more."""
    late = [sent(READER)[0] for _ in range(3)]
    sent(READER)  # arrives
    for delivery_id in late:
        assert bounced(inbound, delivery_id, f"{delivery_id}") is Effect.BOUNCED
    (question,) = inbound.warnings
    with inbound.app.database.write() as session:
        (claim,) = ledger.claim(session, worker_id=worker_id, relay="relay", limit=9, now=clock())
        reply = Reply(Stage.DOT, 250, "2.0.0 Ok")
        ledger.record(session, [Answer(claim, reply, Action(Consequence.ACCEPT), "relay", clock())])
    clock.pass_(days=6)
    assert bounced(inbound, question, "the question") is Effect.BOUNCED
    assert inbound.suppressions == []
