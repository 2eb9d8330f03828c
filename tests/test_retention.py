"""Each kind of data goes when it was kept long enough, and nothing else with it."""

import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from sqlmodel import Session, SQLModel, select

from mailer import retention
from mailer.app import App
from mailer.database import Database
from mailer.delivery import automatic, tally
from mailer.delivery.dead import give_up
from mailer.delivery.states import AttemptOutcome, DeliveryStatus
from mailer.inbound.incoming import Effect, Kind
from mailer.issues.states import IssueStatus
from mailer.settings import Settings
from mailer.subscribers import address, chain, optin, subscription, suppression
from mailer.subscribers.states import SubscriptionStatus
from mailer.tables import (
    AddressChange,
    Arrival,
    Attempt,
    Consent,
    ConsentEvent,
    Delivery,
    DeliveryKind,
    Departures,
    Issue,
    Parting,
    PartingReason,
    PastDeliveries,
    Publication,
    Quarantine,
    Retention,
    Subscriber,
    Subscription,
    Suppression,
    SuppressionReason,
    User,
    UserRole,
    UserSession,
)
from tests.conftest import HandedClock
from tests.delivery.readers import Subscribe
from tests.delivery.test_workers import wait_for_a_waiting_transaction


def run(app: App, *, stops: bool = False) -> dict[str, int]:
    return retention.run(app.database, app.settings, app.clock(), lambda _seconds: stops)


def every(database: Database, table: Any) -> list[Any]:
    """All rows, the oldest first."""
    with database.read() as session:
        return list(session.exec(select(table).order_by(*sa.inspect(table).primary_key)))


def put(database: Database, *rows: SQLModel) -> None:
    with database.write() as session:
        for row in rows:
            session.add(row)
            session.flush()


def consent(subscription_id: int, event: ConsentEvent, clock: HandedClock, network: str = "") -> Consent:
    words: Any = {"wording": "Yes.", "language": "en", "source": "form"}
    return Consent(subscription_id=subscription_id, event=event, at=clock(), network=network, **words)


def seal(app: App) -> None:
    with app.database.write() as session:
        chain.seal(session, app.clock())


def verified(app: App) -> chain.Verdict:
    with app.database.read() as session:
        found = chain.verify(session)
    assert found.broken is None
    return found


def test_nothing_goes_before_its_day(
    app: App, subscribe: Subscribe, going_out: Callable[[], int], clock: HandedClock
) -> None:
    (asked,) = subscribe("anna@example.org", status=SubscriptionStatus.PENDING)
    subscribe("boris@example.org")
    put(app.database, consent(asked, ConsentEvent.REQUESTED, clock, "203.0.113.0/24"))
    going_out()
    seal(app)
    clock.pass_(days=29)
    assert set(run(app).values()) == {0}
    assert len(every(app.database, Subscriber)) == 2


def test_a_request_that_nobody_confirmed_goes_with_its_address(
    app: App, subscribe: Subscribe, clock: HandedClock
) -> None:
    (asked,) = subscribe("anna@example.org", status=SubscriptionStatus.PENDING)
    (reads,) = subscribe("boris@example.org")
    put(app.database, consent(asked, ConsentEvent.REQUESTED, clock), consent(reads, ConsentEvent.CONFIRMED, clock))
    seal(app)
    clock.pass_(days=31)
    assert run(app)["unconfirmed"] == 1
    assert [row.address for row in every(app.database, Subscriber)] == ["boris@example.org"]
    assert not every(app.database, Suppression)  # a stranger's typing leaves nothing
    seal(app)
    assert verified(app).removed == {"unconfirmed": 1}


def test_who_asked_again_of_late_is_waited_for(app: App, subscribe: Subscribe, clock: HandedClock) -> None:
    (asked,) = subscribe("anna@example.org", status=SubscriptionStatus.PENDING)
    clock.pass_(days=29)
    put(app.database, consent(asked, ConsentEvent.REQUESTED, clock))
    clock.pass_(days=2)
    assert run(app)["unconfirmed"] == 0


def test_a_former_reader_who_did_not_come_back_is_a_former_reader_again(
    app: App, subscribe: Subscribe, clock: HandedClock
) -> None:
    (asked,) = subscribe("anna@example.org", status=SubscriptionStatus.PENDING)
    put(app.database, consent(asked, ConsentEvent.CONFIRMED, clock), consent(asked, ConsentEvent.LEFT, clock))
    clock.pass_(days=31)
    assert run(app)["unconfirmed"] == 1
    assert [row.status for row in every(app.database, Subscription)] == [SubscriptionStatus.UNSUBSCRIBED]
    assert len(every(app.database, Consent)) == 2


def test_a_reader_who_asked_for_another_edition_in_vain_reads_on(
    app: App, subscribe: Subscribe, clock: HandedClock
) -> None:
    (reads,) = subscribe("anna@example.org")
    with app.database.write() as session:
        row = session.get_one(Subscription, reads).model_dump(exclude={"id"})
        session.add(Subscription(**{**row, "edition_id": row["edition_id"] + 1, "status": SubscriptionStatus.PENDING}))
    clock.pass_(days=31)
    assert run(app)["unconfirmed"] == 1
    assert [row.id for row in every(app.database, Subscription)] == [reads]


def test_a_reader_who_left_long_ago_is_erased_and_the_opt_out_stays(
    app: App, subscribe: Subscribe, clock: HandedClock
) -> None:
    subscribe("anna@example.org", status=SubscriptionStatus.UNSUBSCRIBED)
    subscribe("boris@example.org")
    clock.pass_(days=1096)
    assert run(app)["former"] == 1
    assert [row.address for row in every(app.database, Subscriber)] == ["boris@example.org"]
    (kept,) = every(app.database, Suppression)
    assert isinstance(kept, Suppression)
    assert (kept.address, kept.address_hash, kept.reason) == (
        None,
        "hash of anna@example.org",
        SuppressionReason.ERASED,
    )


def test_networks_are_blanked_and_the_chain_still_holds(app: App, subscribe: Subscribe, clock: HandedClock) -> None:
    (reads,) = subscribe("anna@example.org")
    put(app.database, consent(reads, ConsentEvent.CONFIRMED, clock, "203.0.113.0/24"))
    seal(app)
    clock.pass_(days=91)
    put(app.database, consent(reads, ConsentEvent.CONFIRMED, clock, "198.51.100.0/24"))
    seal(app)
    assert run(app)["networks"] == 1
    assert [row.network for row in every(app.database, Consent)] == ["", "198.51.100.0/24"]
    assert (verified(app).consents, verified(app).blanked) == (2, 1)


def finish(app: App, issue_id: int, status: DeliveryStatus) -> None:
    """Every delivery of the issue was tried once, with this outcome."""
    with app.database.write() as session:
        session.get_one(Issue, issue_id).status = IssueStatus.SENT
        for each in session.exec(select(Delivery)):
            each.status, each.due_at, each.attempts = status, None, 1
            assert each.id is not None
            session.add(
                Attempt(
                    delivery_id=each.id,
                    number=1,
                    worker_id=1,
                    relay="relay",
                    started_at=app.clock(),
                    finished_at=app.clock(),
                    outcome=AttemptOutcome.ACCEPTED,
                    reply="250 OK for <anna@example.org>",
                )
            )


def test_old_deliveries_go_and_their_counts_stay(
    app: App, subscribe: Subscribe, going_out: Callable[[], int], clock: HandedClock
) -> None:
    subscribe("anna@example.org", "boris@example.org")
    issue_id = going_out()
    finish(app, issue_id, DeliveryStatus.ACCEPTED)
    with app.database.read() as session:
        before = tally.tally(session, issue_id, clock()).counts
    clock.pass_(days=401)
    assert run(app)["deliveries"] == 2
    assert not every(app.database, Delivery)
    assert not every(app.database, Attempt)
    assert [row.count for row in every(app.database, PastDeliveries)] == [2]
    with app.database.read() as session:
        assert tally.tally(session, issue_id, clock()).counts == before


def test_what_is_not_finished_is_never_too_old(
    app: App, subscribe: Subscribe, going_out: Callable[[], int], clock: HandedClock
) -> None:
    subscribe("anna@example.org")
    going_out()
    clock.pass_(days=401)
    assert run(app)["deliveries"] == 0


def test_words_about_a_reader_who_was_erased_go_the_next_day(
    app: App, subscribe: Subscribe, going_out: Callable[[], int], clock: HandedClock
) -> None:
    subscribe("anna@example.org", "boris@example.org")
    finish(app, going_out(), DeliveryStatus.ACCEPTED)
    with app.database.write() as session:
        session.delete(session.exec(select(Subscriber).where(Subscriber.address == "anna@example.org")).one())
        report: Any = {
            "kind": Kind.BOUNCE,
            "effect": Effect.BOUNCED,
            "reason": "",
            "arrived_at": clock(),
            "recipient": None,
        }
        for number in (1, 2):
            session.add(
                Arrival(digest=str(number), road="mailbox", delivery_id=number, diagnostic="No anna.", **report)
            )
    done = run(app)
    assert (done["replies"], done["reports"]) == (1, 1)
    assert [row.reply for row in every(app.database, Attempt)] == [None, "250 OK for <anna@example.org>"]
    assert [row.diagnostic for row in every(app.database, Arrival)] == [None, "No anna."]


def test_mail_that_came_in_goes_its_text_first(app: App, publication: object, clock: HandedClock) -> None:
    row = Arrival(
        digest="1",
        arrived_at=clock(),
        road="mailbox",
        recipient=None,
        kind=Kind.OTHER,
        effect=Effect.QUARANTINED,
        reason="mail from a person",
    )
    put(app.database, row)
    assert row.id is not None
    put(app.database, Quarantine(arrival_id=row.id, size=3, kept=3, octets=b"Hi!"))
    clock.pass_(days=31)
    assert (run(app)["quarantine"], len(every(app.database, Arrival))) == (1, 1)
    clock.pass_(days=60)
    assert (run(app)["arrivals"], len(every(app.database, Arrival))) == (1, 0)


def test_sessions_departures_and_lifted_suppressions_go(app: App, publication: object, clock: HandedClock) -> None:
    now = clock()
    put(app.database, User(name="olga", role=UserRole.OPERATOR, password_hash="", created_at=now))
    put(
        app.database,
        UserSession(id="1", user_id=1, created_at=now, expires_at=now + timedelta(hours=12)),
        UserSession(id="2", user_id=1, created_at=now, expires_at=now + timedelta(days=500)),
        Departures(relay="gone", began_at=now, messages=7),
        Suppression(
            address_hash="1", reason=SuppressionReason.OPERATOR, added_at=now, added_by="", lifted_at=now, lifted_by=""
        ),
        Suppression(address_hash="2", reason=SuppressionReason.OPERATOR, added_at=now, added_by=""),
    )
    clock.pass_(days=401)
    done = run(app)
    assert (done["sessions"], done["departures"], done["lifted"]) == (1, 1, 1)
    assert len(every(app.database, UserSession)) == len(every(app.database, Suppression)) == 1


def test_it_is_done_once_a_day(app: App, subscribe: Subscribe, clock: HandedClock) -> None:
    subscribe("anna@example.org", status=SubscriptionStatus.PENDING)
    clock.pass_(days=31)
    assert run(app)["unconfirmed"] == 1
    subscribe("boris@example.org", status=SubscriptionStatus.PENDING)
    clock.pass_(hours=23)
    assert run(app) == {}
    clock.pass_(days=31)
    assert run(app)["unconfirmed"] == 1
    with app.database.read() as session:
        noted = session.get_one(Retention, "unconfirmed")
    assert (noted.gone, noted.ever, noted.done_at) == (1, 2, clock())


def test_one_that_is_stopped_goes_on_with_the_next_portion(app: App, subscribe: Subscribe, clock: HandedClock) -> None:
    subscribe(*(f"reader{number}@example.org" for number in range(150)), status=SubscriptionStatus.PENDING)
    clock.pass_(days=31)
    assert run(app, stops=True) == {"unconfirmed": 100}
    assert not every(app.database, Retention)
    assert run(app)["unconfirmed"] == 50


def test_what_would_go_is_counted_and_stays(app: App, subscribe: Subscribe, clock: HandedClock) -> None:
    subscribe("anna@example.org", status=SubscriptionStatus.PENDING)
    clock.pass_(days=31)
    with app.database.read() as session:
        found = {each.kind.name: each for each in retention.standing(session, app.settings, clock())}
    assert (found["unconfirmed"].going, found["unconfirmed"].days, found["unconfirmed"].last) == (1, 30, None)
    assert len(every(app.database, Subscriber)) == 1


@pytest.mark.parametrize("kind", retention.KINDS, ids=lambda kind: kind.name)
def test_what_has_just_come_is_never_gone(kind: retention.Kind, app: App, clock: HandedClock) -> None:
    with app.database.read() as session:
        cutoff = kind.cutoff(app.settings, clock())
        assert session.connection().execute(kind.going(cutoff).order_by(kind.key).limit(1)).first() is None


def test_every_setting_that_keeps_something_is_asked(settings: Settings) -> None:
    kept = [name for name in Settings.model_fields if name.startswith("keep_")]
    assert kept
    for name in kept:
        changed = settings.model_copy(update={name: 7777})
        assert 7777 in {kind.days(changed) for kind in retention.KINDS}, name


def test_who_has_not_been_asked_yet_is_waited_for(app: App, subscribe: Subscribe, clock: HandedClock) -> None:
    """An import spreads its questions over days: one may be due when the request itself is old."""
    asked = subscribe(*(f"reader{number}@example.org" for number in range(3)), status=SubscriptionStatus.PENDING)
    imported = [consent(each, ConsentEvent.IMPORTED, clock) for each in asked]
    put(app.database, *imported)
    first, second, third = ids = [each.id for each in every(app.database, Consent)]
    assert all(ids)
    with app.database.write() as session:
        edition_id = session.get_one(Subscription, asked[0]).edition_id
        for subscription_id, consent_id, days in ((asked[0], first, 10), (asked[1], second, 20), (asked[2], third, 40)):
            reader = automatic.Asked(subscription_id, edition_id, consent_id, "example.org")
            last = clock() + timedelta(days=days)
            automatic.queue_spread(session, DeliveryKind.CONFIRMATION, [reader], per_hour=1, now=last)
        for each in session.exec(select(Delivery).order_by(Delivery.id).limit(2)):  # type: ignore[arg-type]
            each.status, each.due_at = DeliveryStatus.ACCEPTED, None
    clock.pass_(days=35)
    assert run(app)["unconfirmed"] == 0, "the last waits, and the others were asked within 30 days"
    clock.pass_(days=10)
    assert run(app)["unconfirmed"] == 1
    clock.pass_(days=1)
    with app.database.write() as session:
        waits = session.exec(select(Delivery).where(Delivery.subscription_id == asked[2])).one()
        waits.status, waits.due_at = DeliveryStatus.ACCEPTED, None
    clock.pass_(days=7)
    assert run(app)["unconfirmed"] == 1
    assert [row.address for row in every(app.database, Subscriber)] == ["reader2@example.org"]
    clock.pass_(days=18)
    assert run(app)["unconfirmed"] == 1


def test_changes_of_address_and_reasons_for_leaving_are_not_kept_for_ever(
    app: App, publication: Publication, subscribe: Subscribe, clock: HandedClock
) -> None:
    old, new = subscribe("anna@example.org", "anna@example.net")
    put(app.database, consent(new, ConsentEvent.REQUESTED, clock))
    (request,) = every(app.database, Consent)
    assert publication.id is not None
    month = clock().date().replace(day=1)
    reason: Any = {"publication_id": publication.id, "month": month, "reason": PartingReason.UNSAFE}
    put(
        app.database,
        AddressChange(request_id=request.id, subscription_id=old, asked_at=clock(), done_at=clock()),
        Parting(**reason, words="At work."),
    )
    clock.pass_(days=30)
    assert (run(app)["changes"], run(app).get("changes")) == (0, None)
    clock.pass_(days=1)
    assert run(app)["changes"] == 1
    assert len(every(app.database, Parting)) == 1
    clock.pass_(days=app.settings.keep_log_days - 30)
    assert run(app)["partings"] == 1
    assert every(app.database, Parting) == []
    assert len(every(app.database, Subscriber)) == 2


# While readers act


def requested(subscription_id: int, app: App) -> int:
    """Somebody asks for it at this moment. Returns the request."""
    with app.database.write() as session:
        session.get_one(Subscription, subscription_id).status = SubscriptionStatus.PENDING
        request = consent(subscription_id, ConsentEvent.REQUESTED, app.clock)  # type: ignore[arg-type]
        session.add(request)
        session.flush()
        assert request.id is not None
        return request.id


def confirm(session: Session, request: int, clock: HandedClock) -> None:
    acted = optin.confirm(session, request, wording="Yes.", source="link", network="", now=clock())
    assert acted.outcome is optin.Confirmation.DONE


def run_while(app: App, act: Callable[[Session], None]) -> dict[str, int]:
    """What goes when retention comes upon a reader who acts, and whose act is kept while it waits."""
    done = dict[str, int]()
    running = threading.Thread(target=lambda: done.update(run(app)))
    with app.database.write() as session:
        act(session)
        running.start()
        wait_for_a_waiting_transaction(app.database, running)
    running.join()
    return done


@pytest.mark.postgresql
def test_who_confirms_at_the_last_moment_is_not_dropped(app: App, subscribe: Subscribe, clock: HandedClock) -> None:
    (asked,) = subscribe("anna@example.org", status=SubscriptionStatus.PENDING)
    request = requested(asked, app)
    clock.pass_(days=31)
    assert run_while(app, lambda session: confirm(session, request, clock))["unconfirmed"] == 0
    assert [each.status for each in every(app.database, Subscription)] == [SubscriptionStatus.CONFIRMED]
    assert every(app.database, Suppression) == []


@pytest.mark.postgresql
def test_a_former_reader_who_comes_back_at_the_last_moment_is_not_erased(
    app: App, subscribe: Subscribe, clock: HandedClock
) -> None:
    (left,) = subscribe("anna@example.org", status=SubscriptionStatus.UNSUBSCRIBED)
    put(app.database, consent(left, ConsentEvent.CONFIRMED, clock), consent(left, ConsentEvent.LEFT, clock))
    with app.database.write() as session:
        session.get_one(Subscription, left).undo_until = clock() + timedelta(days=1097)
    clock.pass_(days=1096)

    def restore(session: Session) -> None:
        assert subscription.restore(session, left, wording="", source="link", network="", now=clock())

    assert run_while(app, restore)["former"] == 0
    assert [each.status for each in every(app.database, Subscription)] == [SubscriptionStatus.CONFIRMED]
    assert every(app.database, Suppression) == []


# What strangers type


@pytest.fixture
def former(app: App, subscribe: Subscribe, clock: HandedClock) -> int:
    """The subscription of a reader who left 1,080 of 1,095 days ago."""
    (left,) = subscribe("anna@example.org", status=SubscriptionStatus.UNSUBSCRIBED)
    put(app.database, consent(left, ConsentEvent.CONFIRMED, clock), consent(left, ConsentEvent.LEFT, clock))
    clock.pass_(days=1080)
    return left


def test_whoever_types_a_former_reader_s_address_does_not_prolong_how_long_it_is_kept(
    app: App, former: int, clock: HandedClock
) -> None:
    requested(former, app)
    clock.pass_(days=14)
    assert run(app)["former"] == 0
    requested(former, app)  # and again, so that the request is never old
    clock.pass_(days=2)
    assert run(app)["former"] == 1
    assert every(app.database, Subscriber) == []


def test_another_edition_that_was_typed_does_not_prolong_it_either(app: App, former: int, clock: HandedClock) -> None:
    with app.database.write() as session:
        row = session.get_one(Subscription, former).model_dump(exclude={"id"})
        other = {"edition_id": row["edition_id"] + 1, "status": SubscriptionStatus.PENDING, "changed_at": clock()}
        session.add(Subscription(**{**row, **other}))
    clock.pass_(days=16)
    assert run(app)["former"] == 1
    assert every(app.database, Subscription) == []


def test_a_request_that_came_to_nothing_leaves_a_former_reader_s_day_where_it_was(
    app: App, subscribe: Subscribe, clock: HandedClock
) -> None:
    (left,) = subscribe("anna@example.org", status=SubscriptionStatus.UNSUBSCRIBED)
    put(app.database, consent(left, ConsentEvent.CONFIRMED, clock), consent(left, ConsentEvent.LEFT, clock))
    left_at = clock()
    clock.pass_(days=100)
    requested(left, app)
    clock.pass_(days=31)
    assert run(app)["unconfirmed"] == 1
    assert [each.changed_at for each in every(app.database, Subscription)] == [left_at]


def test_a_mail_to_a_former_reader_that_failed_does_not_prolong_it(app: App, former: int, clock: HandedClock) -> None:
    requested(former, app)
    with app.database.write() as session:
        give_up(session, former, SuppressionReason.BOUNCE, "550 unknown", clock())
    clock.pass_(days=16)
    assert run(app)["former"] == 1


def test_a_reader_whose_address_died_is_kept_from_that_day(app: App, subscribe: Subscribe, clock: HandedClock) -> None:
    (reads,) = subscribe("anna@example.org")
    put(app.database, consent(reads, ConsentEvent.CONFIRMED, clock))
    clock.pass_(days=2000)
    with app.database.write() as session:
        give_up(session, reads, SuppressionReason.BOUNCE, "550 unknown", clock())
    clock.pass_(days=1000)
    assert run(app)["former"] == 0


def test_a_former_reader_who_comes_back_is_kept(app: App, former: int, clock: HandedClock) -> None:
    request = requested(former, app)
    with app.database.write() as session:
        confirm(session, request, clock)
    clock.pass_(days=16)
    assert run(app)["former"] == 0


# What is overwritten


def logged(database: Database) -> bytes:
    """SQLite's log of changes."""
    assert database.sqlite_path is not None
    return database.sqlite_path.with_name(f"{database.sqlite_path.name}-wal").read_bytes()


@pytest.mark.sqlite
def test_what_went_is_not_in_sqlites_log_of_changes_either(app: App, subscribe: Subscribe, clock: HandedClock) -> None:
    subscribe("unmistakable@example.org", status=SubscriptionStatus.PENDING)
    assert b"unmistakable" in logged(app.database)
    clock.pass_(days=31)
    assert run(app)["unconfirmed"] == 1
    assert b"unmistakable" not in logged(app.database)


@pytest.mark.sqlite
def test_what_somebody_read_beside_goes_the_next_time_whoever_erased_it(
    app: App, subscribe: Subscribe, clock: HandedClock, caplog: pytest.LogCaptureFixture
) -> None:
    subscribe("unmistakable@example.org", status=SubscriptionStatus.PENDING)
    clock.pass_(days=31)
    other = Database(str(app.database.url))
    with other.read() as session:
        session.exec(select(Subscriber)).all()
        run(app)
        assert b"unmistakable" in logged(app.database)
        assert "could not be emptied" in caplog.text
    other.engine.dispose()
    clock.pass_(minutes=10)
    assert run(app) == {}
    assert b"unmistakable" not in logged(app.database)


# The suppression list


def test_who_is_only_on_the_suppression_list_stays_on_it_by_a_hash_alone(
    app: App, subscribe: Subscribe, clock: HandedClock
) -> None:
    subscribe("reads@example.org")
    (reader,) = every(app.database, Subscriber)
    listed: Any = {"reason": SuppressionReason.OPERATOR, "by": "olga", "now": clock()}
    with app.database.write() as session:
        for text, hashed in (("anna@example.org", "a hash"), (reader.address, reader.address_hash)):
            suppression.list_address(session, address.parse(text), hashed, note=f"{text} rang", **listed)
        session.exec(select(Subscription)).one().status = SubscriptionStatus.CONFIRMED  # so that its reader stays
    clock.pass_(days=1094)
    assert run(app)["listed"] == 0
    clock.pass_(days=2)
    assert run(app)["listed"] == 1
    assert [(row.address, row.note) for row in every(app.database, Suppression)] == [
        (None, ""),
        ("reads@example.org", "reads@example.org rang"),
    ]
    with app.database.write() as session:
        assert suppression.is_suppressed(session, "a hash", 1, for_good=True)


# Reports about deliveries that go earlier


def test_words_of_a_report_do_not_outlive_the_delivery_that_tells_whose_they_are(
    app: App, subscribe: Subscribe, going_out: Callable[[], int], clock: HandedClock
) -> None:
    subscribe("anna@example.org")
    finish(app, going_out(), DeliveryStatus.BOUNCED)
    report: Any = {"kind": Kind.BOUNCE, "effect": Effect.BOUNCED, "reason": "", "recipient": None, "road": "mailbox"}
    clock.pass_(days=1)
    put(app.database, Arrival(digest="1", delivery_id=1, diagnostic="No anna.", arrived_at=clock(), **report))
    clock.pass_(days=40)
    settings = app.settings.model_copy(update={"keep_log_days": 35})
    done = retention.run(app.database, settings, clock(), lambda _seconds: False)
    assert (done["deliveries"], done["arrivals"]) == (1, 0)
    assert [row.diagnostic for row in every(app.database, Arrival)] == [None]
