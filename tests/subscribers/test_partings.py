"""Why readers left is kept, and neither who nor in which order."""

from collections import Counter
from collections.abc import Sequence

import sqlalchemy as sa
from sqlmodel import select

from mailer import retention
from mailer.app import App
from mailer.subscribers import partings
from mailer.subscribers.states import SubscriptionStatus
from mailer.tables import Parting, PartingReason, Publication, Subscription
from tests.conftest import HandedClock
from tests.delivery.readers import Subscribe

NUMBER = 24  #: readers; that they fall into one order by chance will not happen


def leave_one_after_the_other(app: App, subscribe: Subscribe) -> list[str]:
    """The words of each, in the order in which they left."""
    said = [f"because of {number:03}" for number in range(NUMBER)]
    readers = subscribe(*(f"reader{number}@example.org" for number in range(NUMBER)))
    for each, words in zip(readers, said, strict=True):
        with app.database.write() as session:
            session.get_one(Subscription, each).status = SubscriptionStatus.UNSUBSCRIBED
            session.flush()
            assert partings.give_reason(session, each, PartingReason.OTHER, words, app.clock())
    return said


def in_order_of_the_table(app: App) -> list[str]:
    with app.database.read() as session:
        return list(session.exec(select(Parting.words).order_by(sa.text("id"))))


def as_they_lie(app: App, said: Sequence[str]) -> list[str]:
    """In the order in which a thief of the disk finds them: on SQLite in the file, on PostgreSQL in the table."""
    if app.database.is_sqlite:
        assert app.database.write_through()
        path = app.database.sqlite_path
        assert path is not None
        octets = path.read_bytes()
        return sorted(said, key=lambda words: octets.index(words.encode()))
    with app.database.read() as session:
        return list(session.exec(select(Parting.words).order_by(sa.text("ctid"))))


def test_neither_a_row_s_number_nor_its_place_in_a_list_tells_when_it_came(
    app: App, publication: Publication, subscribe: Subscribe
) -> None:
    said = leave_one_after_the_other(app, subscribe)
    with app.database.read() as session:
        told = [each.words for each in partings.said(session, publication.id or 0, limit=100)]
    for found in (in_order_of_the_table(app), told):
        assert sorted(found) == said
        assert found not in (said, said[::-1])


def test_a_day_later_their_place_on_the_disk_does_not_tell_it_either(
    app: App, publication: Publication, subscribe: Subscribe, clock: HandedClock
) -> None:
    said = leave_one_after_the_other(app, subscribe)
    assert as_they_lie(app, said) in (said, said[::-1])
    clock.pass_(days=1)
    retention.run(app.database, app.settings, clock(), lambda _: False)
    found = as_they_lie(app, said)
    assert sorted(found) == said
    assert found not in (said, said[::-1])
    with app.database.read() as session:
        kept = session.exec(select(Parting)).all()
        assert {(each.publication_id, each.reason) for each in kept} == {(publication.id, PartingReason.OTHER)}
        if not app.database.is_sqlite:  # the transaction that wrote a row stands in it, and in its reader's
            numbers = session.execute(sa.text("SELECT xmin::text FROM parting")).scalars()
            assert list(Counter(numbers).values()) == [NUMBER]


def test_the_newest_months_are_told_first(app: App, publication: Publication, clock: HandedClock) -> None:
    for words in ("first", "second", "third"):
        with app.database.write() as session:
            month = clock().date().replace(day=1)
            assert publication.id is not None
            session.add(Parting(publication_id=publication.id, month=month, reason=PartingReason.OTHER, words=words))
        clock.pass_(days=31)
    retention.run(app.database, app.settings, clock(), lambda _: False)
    with app.database.read() as session:
        said = partings.said(session, publication.id or 0, limit=2)
        assert [each.words for each in said] == ["third", "second"]
