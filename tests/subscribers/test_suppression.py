"""The suppression list as the operator keeps it."""

import threading

import pytest
from sqlmodel import select

from mailer import erasure
from mailer.app import App
from mailer.database import Database
from mailer.delivery.dead import give_up
from mailer.subscribers import suppression
from mailer.subscribers.address import parse
from mailer.subscribers.states import SubscriptionStatus
from mailer.tables import Subscriber, Subscription, Suppression, SuppressionReason
from tests.conftest import HandedClock
from tests.delivery.readers import Subscribe
from tests.delivery.test_workers import wait_for_a_waiting_transaction


def test_a_reader_who_is_put_on_the_list_reads_no_more_until_asking_again(
    app: App, subscribe: Subscribe, clock: HandedClock
) -> None:
    (reader,) = subscribe("reader@far.example")
    told = {"note": "asked by phone", "by": "olga", "now": clock()}
    for first in (True, False):
        with app.database.write() as session:
            listed = suppression.list_address(
                session,
                parse("reader@far.example"),
                "hash of reader@far.example",
                SuppressionReason.OPERATOR,
                **told,  # type: ignore[arg-type]
            )
        assert listed is first
    with app.database.write() as session:
        assert session.get_one(Subscription, reader).status is SubscriptionStatus.SUPPRESSED
        (entry,) = suppression.entries(session, address="READER@", limit=10)
        assert (entry.note, entry.added_by, entry.reason) == ("asked by phone", "olga", SuppressionReason.OPERATOR)
        assert suppression.entries(session, address="%", limit=10) == []
        assert suppression.lift(session, entry.address_hash, by="olga", now=clock()) == 1
        assert suppression.lift(session, entry.address_hash, by="olga", now=clock()) == 0
        assert session.get_one(Subscription, reader).status is SubscriptionStatus.SUPPRESSED
        assert suppression.entries(session, limit=10) == []
        assert len(suppression.entries(session, lifted=True, limit=10)) == 1


@pytest.mark.postgresql
def test_an_address_that_dies_while_its_reader_is_erased_is_not_kept(
    database: Database, subscribe: Subscribe, clock: HandedClock
) -> None:
    (reading,) = subscribe("reader@far.example")
    failures = list[Exception]()

    def die() -> None:
        try:
            with database.write() as session:
                give_up(session, reading, SuppressionReason.BOUNCE, "550 unknown", clock())
        except Exception as error:
            failures.append(error)

    dying = threading.Thread(target=die)
    with database.write() as session:
        reader = session.exec(select(Subscriber)).one()
        assert reader.id is not None
        erasure.erase(session, reader.id, by="olga", now=clock())
        dying.start()
        wait_for_a_waiting_transaction(database)
    dying.join()
    with database.read() as session:
        listed = session.exec(select(Suppression)).all()
    assert (failures, [each.address for each in listed]) == ([], [None])
