"""Asking, confirming and leaving, and what each leaves behind."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from sqlmodel import col, select

from mailer.database import Database
from mailer.delivery import automatic
from mailer.delivery.states import DeliveryStatus
from mailer.subscribers.address import hash, parse
from mailer.subscribers.optin import Confirmation, Confirmed, Owed, confirm, foresee, request
from mailer.subscribers.states import SubscriptionStatus
from mailer.subscribers.subscription import Left, leave
from mailer.tables import (
    Consent,
    ConsentEvent,
    Delivery,
    DeliveryKind,
    Edition,
    Publication,
    Subscriber,
    Subscription,
    Suppression,
    SuppressionReason,
)
from tests.conftest import HandedClock

KEY = "an-address-key-for-tests-0123456789"
WINDOW = timedelta(minutes=15)


class Desk:
    """Does what the web edge does with each act, one transaction an act."""

    def __init__(self, database: Database, clock: HandedClock, editions: list[Edition]) -> None:
        self.database, self._clock, self._editions = database, clock, {each.code: each for each in editions}

    def ask(self, address: str = "anna@example.org", edition: str = "ru", language: str = "ru") -> Owed | None:
        parsed = parse(address)
        with self.database.write() as session:
            owed = request(
                session,
                edition=self._editions[edition],
                address=parsed,
                address_hash=hash(parsed, KEY),
                language=language,
                wording="I want it.",
                source="form",
                network="203.0.113.0/24",
                window=WINDOW,
                now=self._clock(),
            ).owed
            automatic.queue(session, owed, self._clock())
        return owed

    def confirm(self, owed: Owed) -> Confirmed:
        assert owed.consent_id is not None
        with self.database.write() as session:
            confirmed = confirm(session, owed.consent_id, wording="Yes.", source="link", network="", now=self._clock())
            automatic.queue(session, confirmed.owed, self._clock())
        return confirmed

    def leave(self, owed: Owed) -> Left:
        with self.database.write() as session:
            return leave(session, owed.subscription_id, source="one-click", network="", now=self._clock())

    def statuses(self) -> list[SubscriptionStatus]:
        with self.database.read() as session:
            return [row.status for row in session.exec(select(Subscription).order_by(col(Subscription.id)))]

    def languages(self) -> list[str]:
        with self.database.read() as session:
            return [row.language for row in session.exec(select(Subscription).order_by(col(Subscription.id)))]

    def consents(self) -> list[Consent]:
        with self.database.read() as session:
            return list(session.exec(select(Consent).order_by(col(Consent.id))))

    def mails(self) -> list[DeliveryKind]:
        with self.database.read() as session:
            return [row.kind for row in session.exec(select(Delivery).order_by(col(Delivery.id)))]


@pytest.fixture
def desk(database: Database, clock: HandedClock, publication: Publication) -> Desk:
    with database.read() as session:
        return Desk(database, clock, list(session.exec(select(Edition))))


@pytest.fixture
def suppress(database: Database, clock: HandedClock) -> Callable[..., None]:
    def put(address: str = "anna@example.org", publication_id: int | None = None, *, lifted: bool = False) -> None:
        with database.write() as session:
            session.add(
                Suppression(
                    address_hash=hash(parse(address), KEY),
                    publication_id=publication_id,
                    reason=SuppressionReason.COMPLAINT,
                    added_at=clock(),
                    added_by="test",
                    lifted_at=clock() if lifted else None,
                )
            )

    return put


def test_a_request_is_pending_and_owes_a_confirmation(desk: Desk, clock: HandedClock) -> None:
    owed = desk.ask()
    assert owed is not None
    assert owed.kind is DeliveryKind.CONFIRMATION
    assert desk.statuses() == [SubscriptionStatus.PENDING]
    (consent,) = desk.consents()
    assert (consent.event, consent.wording, consent.source) == (ConsentEvent.REQUESTED, "I want it.", "form")
    assert (consent.at, consent.language, consent.network) == (clock(), "ru", "203.0.113.0/24")


def test_confirming_subscribes_and_owes_a_welcome(desk: Desk) -> None:
    owed = desk.ask()
    assert owed is not None
    confirmed = desk.confirm(owed)
    assert confirmed.outcome is Confirmation.DONE
    assert confirmed.owed is not None
    assert confirmed.owed.kind is DeliveryKind.WELCOME
    assert desk.statuses() == [SubscriptionStatus.CONFIRMED]
    assert [(each.event, each.request_id) for each in desk.consents()] == [
        (ConsentEvent.REQUESTED, None),
        (ConsentEvent.CONFIRMED, owed.consent_id),
    ]


def test_confirming_twice_is_confirming_once(desk: Desk) -> None:
    owed = desk.ask()
    assert owed is not None
    desk.confirm(owed)
    again = desk.confirm(owed)
    assert (again.outcome, again.owed) == (Confirmation.ALREADY, None)
    assert len(desk.consents()) == 2
    assert desk.mails() == [DeliveryKind.CONFIRMATION, DeliveryKind.WELCOME]


def test_a_second_request_within_the_window_owes_nothing(desk: Desk, clock: HandedClock) -> None:
    desk.ask()
    clock.pass_(minutes=14)
    assert desk.ask() is None
    assert desk.ask("ANNA@example.org", "en") is None
    assert (len(desk.consents()), len(desk.statuses())) == (1, 1)
    clock.pass_(minutes=2)
    assert desk.ask() is not None


def test_a_pending_reader_confirms_by_any_of_the_letters(desk: Desk, clock: HandedClock) -> None:
    first = desk.ask()
    clock.pass_(hours=1)
    assert desk.ask() is not None
    assert first is not None
    assert desk.confirm(first).outcome is Confirmation.DONE


def test_who_is_subscribed_and_asks_again_is_welcomed_again(desk: Desk, clock: HandedClock) -> None:
    owed = desk.ask()
    assert owed is not None
    desk.confirm(owed)
    clock.pass_(hours=1)
    again = desk.ask(language="en")
    assert again is not None
    assert again.kind is DeliveryKind.WELCOME
    assert desk.statuses() == [SubscriptionStatus.CONFIRMED]
    assert desk.languages() == ["ru"], "a stranger at the form does not change a reader's language"


@pytest.mark.postgresql
def test_nobody_waits_for_an_issue_that_is_being_queued(desk: Desk, database: Database, clock: HandedClock) -> None:
    """Its deliveries refer to the subscription of a known reader, whose request must not take longer for that."""
    owed = desk.ask()
    assert owed is not None
    desk.confirm(owed)
    with database.write() as queuing:
        queuing.add(
            Delivery(
                kind=DeliveryKind.ISSUE,
                edition_id=owed.edition_id,
                subscription_id=owed.subscription_id,
                destination=owed.destination,
                status=DeliveryStatus.QUEUED,
                due_at=clock(),
                queued_at=clock(),
                changed_at=clock(),
            )
        )
        queuing.flush()
        clock.pass_(days=1)
        again = desk.ask()
    assert again is not None
    assert again.kind is DeliveryKind.WELCOME


def test_the_newest_form_sets_the_language_of_a_pending_reader(desk: Desk, clock: HandedClock) -> None:
    desk.ask()
    clock.pass_(hours=1)
    again = desk.ask(language="be")
    assert again is not None
    assert desk.languages() == ["be"]


def test_an_address_is_one_subscriber_in_any_case_and_edition(desk: Desk, clock: HandedClock) -> None:
    desk.ask("Anna@example.org", "ru")
    clock.pass_(hours=1)
    desk.ask("anna@EXAMPLE.org", "en")
    with desk.database.read() as session:
        assert len(session.exec(select(Subscriber)).all()) == 1
    assert len(desk.statuses()) == 2


def test_leaving_is_recorded_once_and_works_for_ever(desk: Desk, clock: HandedClock) -> None:
    owed = desk.ask()
    assert owed is not None
    desk.confirm(owed)
    clock.pass_(days=400)
    assert desk.leave(owed).first is True
    assert desk.leave(owed).first is False
    assert desk.statuses() == [SubscriptionStatus.UNSUBSCRIBED]
    assert [each.event for each in desk.consents()][2:] == [ConsentEvent.LEFT]


def test_leaving_what_was_erased_is_no_error(desk: Desk) -> None:
    with desk.database.write() as session:
        left = leave(session, 4711, source="link", network="", now=desk._clock())
    assert (left.subscription, left.first) == (None, False)


def test_an_old_confirm_link_does_not_bring_back_who_left(desk: Desk, clock: HandedClock) -> None:
    owed = desk.ask()
    assert owed is not None
    desk.confirm(owed)
    desk.leave(owed)
    assert desk.confirm(owed).outcome is Confirmation.OUTDATED
    fresh = desk.ask()
    assert fresh is not None, "who left may come back at once"
    assert desk.confirm(owed).outcome is Confirmation.OUTDATED, "not even while a fresh request is pending"
    assert desk.statuses() == [SubscriptionStatus.PENDING]
    assert desk.confirm(fresh).outcome is Confirmation.DONE
    assert desk.statuses() == [SubscriptionStatus.CONFIRMED]


def test_after_coming_back_the_window_holds_again(desk: Desk) -> None:
    owed = desk.ask()
    assert owed is not None
    desk.leave(owed)
    assert desk.ask() is not None
    assert desk.ask() is None


def test_a_suppressed_address_gets_no_mail_and_leaves_no_trace(desk: Desk, suppress: Callable[..., None]) -> None:
    suppress()
    assert desk.ask("ANNA@example.org") is None
    assert (desk.statuses(), desk.consents(), desk.mails()) == ([], [], [])


def test_a_suppression_counts_for_its_publication_or_for_all(
    desk: Desk, suppress: Callable[..., None], publication: Publication
) -> None:
    suppress(publication_id=publication.id)
    assert desk.ask() is None
    suppress("boris@example.org", lifted=True)
    assert desk.ask("boris@example.org") is not None


def test_an_address_that_was_suppressed_meanwhile_is_not_confirmed(desk: Desk, suppress: Callable[..., None]) -> None:
    owed = desk.ask()
    assert owed is not None
    suppress()
    assert desk.confirm(owed).outcome is Confirmation.SUPPRESSED
    assert desk.statuses() == [SubscriptionStatus.PENDING]


def test_only_a_request_can_be_confirmed(desk: Desk) -> None:
    owed = desk.ask()
    assert owed is not None
    confirmed = desk.confirm(owed)
    assert confirmed.owed is not None
    assert desk.confirm(confirmed.owed).outcome is Confirmation.UNKNOWN


def test_an_erased_request_is_unknown(desk: Desk) -> None:
    owed = desk.ask()
    assert owed is not None
    with desk.database.write() as session:
        session.delete(session.exec(select(Subscriber)).one())
    assert desk.confirm(owed).outcome is Confirmation.UNKNOWN


def test_foreseeing_changes_nothing(desk: Desk) -> None:
    owed = desk.ask()
    assert owed is not None
    assert owed.consent_id is not None
    with desk.database.write() as session:
        assert foresee(session, owed.consent_id).outcome is Confirmation.DONE
    assert desk.statuses() == [SubscriptionStatus.PENDING]
    assert len(desk.consents()) == 1
