"""The send log and the tally, as the console and `mailer log` read them."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from mailer.database import Database
from mailer.delivery.log import LogEntry, LogFilter, LogFilterError, entries, entry, history, tally
from mailer.delivery.states import WAITING, AttemptOutcome, DeliveryStatus
from mailer.issues.states import IssueStatus
from mailer.subscribers.states import SubscriptionStatus
from mailer.tables import (
    Attempt,
    Delivery,
    DeliveryKind,
    Edition,
    Issue,
    Publication,
    Subscriber,
    Subscription,
    Worker,
)
from tests.conftest import HandedClock

S = DeliveryStatus


@dataclass
class Book:
    """A ledger filled by hand."""

    database: Database
    clock: HandedClock
    publication: Publication
    people: int = 0

    def add_issue(self, slug: str, status: IssueStatus = IssueStatus.SENDING) -> int:
        assert self.publication.id is not None
        day = date.fromisoformat(slug)
        with self.database.write() as session:
            issue = Issue(
                publication_id=self.publication.id,
                slug=slug,
                first_day=day,
                last_day=day + timedelta(days=6),
                status=status,
                added_at=self.clock(),
                began_at=self.clock(),
            )
            session.add(issue)
            session.flush()
            assert issue.id is not None
            return issue.id

    def add(
        self,
        issue_id: int | None,
        status: DeliveryStatus = S.ACCEPTED,
        *,
        domain: str = "example.org",
        local: str | None = None,
        tries: int = 1,
        reply: str = "2.0.0 Ok",
        edition_id: int = 1,
    ) -> int:
        self.people += 1
        local = local or f"reader{self.people}"
        now = self.clock()
        with self.database.write() as session:
            subscriber = Subscriber(
                address=f"{local}@{domain}", address_hash=str(self.people), domain=domain, created_at=now
            )
            session.add(subscriber)
            session.flush()
            assert subscriber.id is not None
            subscription = Subscription(
                subscriber_id=subscriber.id,
                edition_id=edition_id,
                status=SubscriptionStatus.CONFIRMED,
                language="en",
                created_at=now,
                changed_at=now,
            )
            worker = Worker(name="host/1", started_at=now, lease_until=now)
            session.add_all([subscription, worker])
            session.flush()
            delivery = Delivery(
                kind=DeliveryKind.ISSUE if issue_id else DeliveryKind.WELCOME,
                issue_id=issue_id,
                edition_id=edition_id,
                subscription_id=subscription.id,
                destination=domain,
                status=status,
                due_at=now if status in WAITING else None,
                attempts=tries,
                queued_at=now,
                changed_at=now,
            )
            session.add(delivery)
            session.flush()
            assert delivery.id is not None
            assert worker.id is not None
            for number in range(1, tries + 1):
                session.add(
                    Attempt(
                        delivery_id=delivery.id,
                        number=number,
                        worker_id=worker.id,
                        relay="relay:25",
                        started_at=now,
                        finished_at=now,
                        outcome=AttemptOutcome.ACCEPTED if number == tries else AttemptOutcome.DEFERRED,
                        stage="dot",
                        code=250 if number == tries else 451,
                        enhanced="2.0.0" if number == tries else "4.7.1",
                        reply=reply if number == tries else "4.7.1 Greylisted",
                    )
                )
            return delivery.id

    def log(self, since: datetime | None = None, **wanted: str) -> list[LogEntry]:
        with self.database.read() as session:
            return entries(session, LogFilter(**wanted), since=since)

    def ids(self, **wanted: str) -> list[int]:
        return [each.delivery_id for each in self.log(None, **wanted)]

    def page(self, wanted: LogFilter, before_id: int | None = None) -> list[int]:
        """Three ids of the log."""
        with self.database.read() as session:
            return [each.delivery_id for each in entries(session, wanted, before_id=before_id, limit=3)]


@pytest.fixture
def book(database: Database, clock: HandedClock, publication: Publication) -> Book:
    return Book(database, clock, publication)


def test_an_entry_tells_who_what_when_and_the_last_answer(book: Book, clock: HandedClock) -> None:
    delivery_id = book.add(book.add_issue("2026-11-16"), local="anna", tries=2, reply="2.0.0 Ok: queued as 1")
    (found,) = book.log()
    assert found == LogEntry(
        delivery_id=delivery_id,
        at=clock(),
        publication="belarus",
        issue="2026-11-16",
        kind=DeliveryKind.ISSUE,
        edition="en",
        address="anna@example.org",
        destination="example.org",
        status=S.ACCEPTED,
        attempts=2,
        relay="relay:25",
        stage="dot",
        code=250,
        enhanced="2.0.0",
        reply="2.0.0 Ok: queued as 1",
    )
    with book.database.read() as session:
        assert entry(session, delivery_id) == found
        assert entry(session, 4711) is None


def test_what_was_never_tried_has_no_answer(book: Book) -> None:
    book.add(None, S.QUEUED, tries=0)
    (found,) = book.log()
    assert (found.issue, found.kind, found.code, found.reply) == (None, DeliveryKind.WELCOME, None, None)


def test_the_history_is_every_attempt_in_order(book: Book) -> None:
    delivery_id = book.add(None, tries=3)
    with book.database.read() as session:
        assert [(each.number, each.code) for each in history(session, delivery_id)] == [(1, 451), (2, 451), (3, 250)]


def test_newest_first_and_paged_by_key(book: Book) -> None:
    issue_id = book.add_issue("2026-11-16")
    ids = [book.add(issue_id, [S.ACCEPTED, S.REFUSED][n % 2]) for n in range(7)][::-1]
    filters = [
        LogFilter(),
        LogFilter(issue="2026-11-16"),
        LogFilter(domain="example.org"),
        LogFilter(publication="belarus"),
    ]
    for wanted in filters:
        assert book.page(wanted) == ids[:3]
        assert book.page(wanted, ids[2]) == ids[3:6]
        assert book.page(wanted, ids[5]) == ids[6:]


def test_an_issue_a_status_a_domain_and_an_address_narrow_it_down(book: Book) -> None:
    one, two = book.add_issue("2026-11-09"), book.add_issue("2026-11-16")
    refused_one = book.add(one, S.REFUSED, domain="mail.example")
    accepted_two = book.add(two, S.ACCEPTED, local="Anna.K")
    refused_two = book.add(two, S.REFUSED, local="boris")
    welcome = book.add(None, S.REFUSED, local="banna", domain="mail.example")
    assert book.ids(issue="2026-11-16") == [refused_two, accepted_two]
    assert book.ids(status="refused") == [welcome, refused_two, refused_one]
    assert book.ids(issue="2026-11-16", status="refused") == [refused_two]
    assert book.ids(domain="MAIL.example ") == [welcome, refused_one]
    assert book.ids(address="anna") == [welcome, accepted_two]
    assert book.ids(address="anna", status="refused") == [welcome]
    assert book.ids(address="anna", issue="2026-11-16") == [accepted_two]
    assert book.ids(address="%") == book.ids(address="_") == []
    assert book.ids(publication="belarus", status="accepted") == [accepted_two]


def test_a_test_mail_is_found_by_its_recipient(book: Book) -> None:
    delivery_id = book.add(None, tries=0, status=S.QUEUED)
    with book.database.write() as session:
        row = session.get_one(Delivery, delivery_id)
        row.subscription_id, row.recipient, row.kind = None, "editor@example.org", DeliveryKind.TEST
    assert [each.address for each in book.log(address="EDITOR@")] == ["editor@example.org"]


def test_an_erased_reader_leaves_a_delivery_without_an_address(book: Book) -> None:
    delivery_id = book.add(None)
    with book.database.write() as session:
        session.delete(session.get_one(Subscriber, 1))
    (found,) = book.log()
    assert (found.delivery_id, found.address, found.destination) == (delivery_id, None, "example.org")
    assert book.ids(domain="example.org") == [delivery_id]
    assert book.ids(address="reader") == []


def test_what_changed_since_a_moment_includes_that_moment(book: Book, clock: HandedClock) -> None:
    book.add(None)
    clock.pass_(minutes=1)
    since = clock()
    later = book.add(None)
    assert [each.delivery_id for each in book.log(since)] == [later]


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ({"status": "sent"}, "queued, sending, accepted"),
        ({"issue": "2026-11-17"}, "2026-11-16"),
        ({"publication": "nope"}, "belarus"),
    ],
)
def test_a_filter_that_names_nothing_says_what_there_is(book: Book, wanted: dict[str, str], said: str) -> None:
    book.add_issue("2026-11-16")
    with pytest.raises(LogFilterError, match=said):
        book.ids(**wanted)


def test_other_publications_are_left_out(book: Book) -> None:
    mine = book.add(book.add_issue("2026-11-16"), S.REFUSED)
    with book.database.write() as session:
        second = Publication(**book.publication.model_dump(exclude={"id", "slug"}), slug="second")
        session.add(second)
        session.flush()
        assert second.id is not None
        edition = Edition(publication_id=second.id, code="en", label="EN", languages=["en"], position=0)
        session.add(edition)
        session.flush()
    theirs = book.add(None, S.REFUSED, edition_id=edition.id or 0)
    assert book.ids() == [theirs, mine]
    assert book.ids(publication="belarus") == book.ids(publication="belarus", status="refused") == [mine]
    assert book.ids(publication="second", status="refused") == [theirs]


@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(
    issue=st.sampled_from([None, "2026-11-16"]) | st.text(max_size=10),
    status=st.sampled_from([None, "refused"]) | st.text(max_size=10),
    domain=st.none() | st.text(max_size=10),
    address=st.none() | st.text(max_size=10),
)
def test_no_filter_is_ever_anything_but_an_answer_or_a_filter_error(
    book: Book, issue: str | None, status: str | None, domain: str | None, address: str | None
) -> None:
    with book.database.read() as session:
        try:
            entries(session, LogFilter(issue=issue, status=status, domain=domain, address=address))
        except LogFilterError:
            assert issue is not None or status is not None


# The tally


def test_the_tally_counts_every_status_also_those_with_none(book: Book, clock: HandedClock) -> None:
    issue_id = book.add_issue("2026-11-16")
    for status in (S.ACCEPTED, S.ACCEPTED, S.REFUSED, S.QUEUED, S.DEFERRED, S.UNCERTAIN):
        book.add(issue_id, status, tries=0)
    book.add(book.add_issue("2026-11-09"), S.ACCEPTED, tries=0)
    with book.database.read() as session:
        found = tally(session, issue_id, clock())
    assert found.counts == {
        **dict.fromkeys(S, 0),
        S.ACCEPTED: 2,
        S.REFUSED: 1,
        S.QUEUED: 1,
        S.DEFERRED: 1,
        S.UNCERTAIN: 1,
    }
    assert (found.total, found.done, found.remaining) == (6, 3, 3)
    assert (found.rate_per_second, found.remaining_seconds) == (0.0, None)


def test_the_rate_is_that_of_the_last_minute(book: Book, clock: HandedClock) -> None:
    issue_id = book.add_issue("2026-11-16")
    for _ in range(5):
        book.add(issue_id)
    clock.pass_(minutes=10)
    for _ in range(6):
        book.add(issue_id)
        clock.pass_(seconds=5)
    for _ in range(12):
        book.add(issue_id, S.QUEUED, tries=0)
    with book.database.read() as session:
        found = tally(session, issue_id, clock())
    assert found.rate_per_second == pytest.approx(6 / 60)
    assert found.remaining_seconds == pytest.approx(120)
    assert found.last_at == clock() - timedelta(seconds=5)


def test_an_issue_that_has_just_begun_is_measured_from_its_beginning(book: Book, clock: HandedClock) -> None:
    issue_id = book.add_issue("2026-11-16")
    clock.pass_(seconds=10)
    for _ in range(20):
        book.add(issue_id)
    with book.database.read() as session:
        assert tally(session, issue_id, clock()).rate_per_second == pytest.approx(2)


def test_a_sent_issue_has_no_rate(book: Book, clock: HandedClock) -> None:
    issue_id = book.add_issue("2026-11-16", IssueStatus.SENT)
    book.add(issue_id)
    with book.database.read() as session:
        found = tally(session, issue_id, clock())
        assert (found.rate_per_second, found.remaining) == (0.0, 0)
        assert tally(session, 4711, clock()).total == 0
    assert found.began_at == datetime(2026, 11, 20, 9, 0, tzinfo=UTC)
