"""Statistics never tell a small number, neither by themselves nor by a difference."""

import re
from collections import defaultdict
from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import event
from sqlmodel import Session, select

from mailer import statistics
from mailer.app import App
from mailer.delivery import ledger
from mailer.delivery.states import DeliveryStatus
from mailer.statistics import Count, Figures, IssueFigures, Rounding, total
from mailer.tables import Consent, ConsentEvent, Delivery, Issue, Parting, PartingReason, Publication
from tests.conftest import HandedClock
from tests.delivery.readers import Subscribe

ROUNDING = Rounding("a-secret")


def found(app: App, publication: Publication) -> statistics.Statistics:
    with app.database.read() as session:
        return statistics.of_publication(session, publication, ROUNDING, app.clock())


@given(st.integers(0, 10), st.integers(0, 10), st.integers())
def test_small_numbers_look_the_same(one: int, other: int, subject: int) -> None:
    first, second = (ROUNDING.shown(number, subject) for number in (one, other))
    assert str(first) == str(second) == "fewer than 20"
    assert first.value is None


@given(st.integers(0, 10_000_000), st.integers())
def test_others_are_shown_as_one_of_the_two_tens_around_them(number: int, subject: int) -> None:
    shown = ROUNDING.shown(number, subject)
    if shown.value is None:
        assert number < 20
    else:
        assert shown.value % 10 == 0
        assert abs(shown.value - number) <= 9
        assert ROUNDING.shown(shown.value, subject) == shown, "a ten is shown as itself"
    assert ROUNDING.shown(number + 1, subject).tens >= shown.tens


@pytest.mark.parametrize("readers", [0, 140])
def test_who_adds_addresses_one_by_one_does_not_learn_how_many_there_were(readers: int) -> None:
    """Whatever is seen while thirty are added is seen for ten counts, under one secret or another."""
    seen = defaultdict[tuple[str, ...], set[int]](set)
    for secret in range(60):
        rounding = Rounding(str(secret))
        for true in range(readers, readers + 30):
            seen[tuple(str(rounding.shown(true + own, "readers", 1)) for own in range(30))].add(true)
    whole = [trues for trues in seen.values() if readers not in trues and readers + 29 not in trues]
    assert len(whole) == 19
    assert {len(trues) for trues in whole} == {10}


def test_one_place_betrays_no_other() -> None:
    """Those of other subjects, other installations, and of larger numbers."""

    def turn(rounding: Rounding, above: int, *subject: object) -> int:
        return next(each for each in range(1, 11) if rounding.shown(above + each, *subject).tens > above)

    of_subjects = {turn(ROUNDING, 30, "failed", edition) for edition in range(60)}
    of_secrets = {turn(Rounding(str(secret)), 30, "failed", 1) for secret in range(60)}
    together = {(turn(ROUNDING, 30, edition), turn(ROUNDING, 1030, edition)) for edition in range(60)}
    assert of_subjects == of_secrets == set(range(1, 11))
    assert len(together) > 30


_cells = st.lists(st.integers(0, 5000), min_size=4, max_size=4)


@given(st.lists(_cells, min_size=1, max_size=4), st.lists(_cells, min_size=1, max_size=4))
def test_totals_tell_nothing_that_their_parts_do_not(one: list[list[int]], other: list[list[int]]) -> None:
    """Two issues whose parts look alike have totals that look alike, whatever is true."""

    def figures(rows: list[list[int]]) -> IssueFigures:
        names = ("accepted", "failed", "unwanted", "left")
        editions = [
            Figures(edition=str(number), **dict(zip(names, map(ROUNDING.shown, row), strict=True)))
            for number, row in enumerate(rows)
        ]
        return IssueFigures(slug="", began_at=None, editions=editions)  # type: ignore[arg-type]

    first, second = figures(one), figures(other)
    if first.editions == second.editions:
        assert (first.whole, first.whole.sent) == (second.whole, second.whole.sent)
    assert first.whole.accepted == total(each.accepted for each in first.editions)


def consent(session: Session, subscription_id: int, what: ConsentEvent, app: App) -> None:
    words: Any = {"wording": "", "language": "en", "source": "", "network": ""}
    session.add(Consent(subscription_id=subscription_id, event=what, at=app.clock(), **words))


def near(number: int) -> Any:
    """Equal to a count of this number, whichever of the two tens around it is shown."""
    return _Near(number)


class _Near:
    def __init__(self, number: int) -> None:
        lower = number // 10 * 10
        self._tens = {lower, lower + 10} if number % 10 else {lower}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Count) and other in {Count(tens if tens >= 20 else 0) for tens in self._tens}

    def __hash__(self) -> int:
        return 0


def test_readers_issues_and_weeks_are_counted(
    app: App, publication: Publication, subscribe: Subscribe, going_out: Callable[[], int], clock: HandedClock
) -> None:
    english = subscribe(*(f"reader{number}@example.org" for number in range(33)))
    subscribe(*(f"other{number}@example.org" for number in range(7)), edition="ru")
    with app.database.write() as session:
        for each in english:
            consent(session, each, ConsentEvent.CONFIRMED, app)
    clock.pass_(days=7)
    issue_id = going_out()
    with app.database.write() as session:
        sent = session.exec(select(Delivery).order_by(Delivery.id)).all()  # type: ignore[arg-type]
        for number, mail in enumerate(sent):
            mail.status, mail.due_at = DeliveryStatus.BOUNCED if number < 12 else DeliveryStatus.ACCEPTED, None
    clock.pass_(hours=1)
    with app.database.write() as session:
        for each in english[:14]:
            consent(session, each, ConsentEvent.LEFT, app)
    clock.pass_(days=7)
    told = found(app, publication)
    assert told.readers == {"en": near(33), "ru": Count(0), "be-ru": Count(0)}
    (issue,) = told.issues
    in_english, in_russian, _ = issue.editions
    assert (in_english.accepted, in_english.failed, in_english.left) == (near(21), near(12), near(14))
    assert (in_russian.accepted, in_russian.failed) == (Count(0), Count(0))
    assert issue.whole.sent.tens == in_english.accepted.tens + in_english.failed.tens
    assert [(each.confirmed, each.left) for each in told.weeks[:3]] == [
        (Count(0), near(14)),
        (near(33), Count(0)),
        (Count(0), Count(0)),
    ]
    assert told.weeks[0].first_day + timedelta(days=7) <= clock().date()
    with app.database.write() as session:
        ledger.discard(session, [each.id for each in sent if each.id])
    assert found(app, publication).issues == told.issues  # the rows went, the counts stayed
    assert issue_id


@pytest.mark.sqlite
def test_no_number_costs_a_walk_through_rows(app: App, publication: Publication, going_out: Callable[[], int]) -> None:
    """A million deliveries are counted along indexes; whoever adds a number adds one of which that holds."""
    going_out()
    walked = list[str]()

    def explain(connection: Any, cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if statement.startswith("SELECT"):
            plan = connection.connection.cursor().execute(f"EXPLAIN QUERY PLAN {statement}", parameters).fetchall()
            walked.extend(step[3] for step in plan)

    event.listen(app.database.engine, "before_cursor_execute", explain)
    found(app, publication)
    event.remove(app.database.engine, "before_cursor_execute", explain)
    large = ("delivery", "consent", "subscription")
    looks = [step for step in walked if step.split()[1] in large]
    assert len(looks) > 2 * statistics.WEEKS
    for step in looks:
        by_id = re.fullmatch(r"SEARCH subscription USING INTEGER PRIMARY KEY \(rowid=\?\)", step)
        assert by_id or re.match(r"SEARCH \w+ USING COVERING INDEX \w+ \(\w+=\? AND ", step), step


def test_reasons_are_counted_like_everything_else(app: App, publication: Publication) -> None:
    assert publication.id is not None
    given = [PartingReason.ELSEWHERE] * 34 + [PartingReason.UNSAFE] * 3
    with app.database.write() as session:
        for reason in given:
            session.add(Parting(publication_id=publication.id, month=date(2026, 11, 1), reason=reason))
    told = found(app, publication)
    shown = {reason: near(34) if reason is PartingReason.ELSEWHERE else Count(0) for reason in PartingReason}
    assert list(told.reasons.items()) == list(shown.items())


def test_the_reason_that_one_reader_gave_shows_nowhere(app: App, publication: Publication) -> None:
    assert publication.id is not None
    before = found(app, publication).reasons
    with app.database.write() as session:
        session.add(Parting(publication_id=publication.id, month=date(2026, 11, 1), reason=PartingReason.UNSAFE))
    assert list(found(app, publication).reasons.items()) == list(before.items())


def test_a_number_that_stays_looks_the_same_in_every_issue(
    app: App, publication: Publication, subscribe: Subscribe, going_out: Callable[..., int], clock: HandedClock
) -> None:
    """Else the mean of many issues would tell it."""
    subscribe(*(f"reader{number}@example.org" for number in range(35)))
    for number in range(6):
        clock.pass_(days=7)
        issue_id = going_out()
        with app.database.write() as session:
            session.get_one(Issue, issue_id).slug = f"{number}"
    with app.database.write() as session:
        for mail in session.exec(select(Delivery)).all():
            mail.status, mail.due_at = DeliveryStatus.ACCEPTED, None
    told = found(app, publication)
    shown = {issue.editions[0].accepted for issue in told.issues} | {told.readers["en"]}
    assert (len(told.issues), len(shown)) == (6, 1)


def test_a_total_of_small_numbers_is_not_said_to_be_small() -> None:
    """Three editions of 19 readers have 57."""
    assert str(total([ROUNDING.shown(10, each) for each in range(3)])) == "fewer than 60"


def test_an_installation_without_issues_has_statistics(app: App, publication: Publication) -> None:
    told = found(app, publication)
    assert (told.issues, set(told.reasons.values()), len(told.weeks)) == ([], {Count(0)}, statistics.WEEKS)
