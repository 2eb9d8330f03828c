"""Acts that wait to write at the same time: one transaction, and each by itself."""

import asyncio
from collections.abc import Callable, Iterator

import pytest
import sqlalchemy as sa
from sqlalchemy import event
from sqlmodel import Session, select

from mailer.database import Database, DatabaseError
from mailer.group_commit import MOST
from mailer.tables import Counted, Edition
from tests.conftest import HandedClock


@pytest.fixture
def act(clock: HandedClock) -> Callable[[str], Callable[[Session], str]]:
    """An act that leaves a row of this name."""

    def named(name: str) -> Callable[[Session], str]:
        def leave(session: Session) -> str:
            session.add(Counted(key=name, number=1, until=clock()))
            return name

        return leave

    return named


@pytest.fixture
def commits(database: Database) -> Iterator[list[sa.Connection]]:
    found = list[sa.Connection]()
    listen = found.append
    event.listen(database.engine, "commit", listen)
    yield found
    event.remove(database.engine, "commit", listen)


def kept(database: Database) -> list[str]:
    with database.read() as session:
        return sorted(session.exec(select(Counted.key)))


async def together(database: Database, *acts: Callable[[Session], str]) -> list[str | BaseException]:
    asked = (database.beside_others(lambda act=act: database.together(act)) for act in acts)  # type: ignore[misc]
    return list(await asyncio.gather(*asked, return_exceptions=True))


Named = Callable[[str], Callable[[Session], str]]


async def test_acts_at_the_same_time_are_all_kept_and_each_gets_its_own_answer(database: Database, act: Named) -> None:
    names = [f"{number:02}" for number in range(70)]
    assert await together(database, *map(act, names)) == names
    assert kept(database) == names


@pytest.mark.sqlite
async def test_on_sqlite_they_share_a_transaction(database: Database, act: Named, commits: list[sa.Connection]) -> None:
    await together(database, *(act(str(number)) for number in range(40)))
    assert len(commits) == 1


async def test_one_that_fails_takes_nothing_with_it(database: Database, act: Named) -> None:
    def fail(session: Session) -> str:
        act("gone")(session)
        session.flush()
        raise LookupError("wrong")

    before, failed, after = await together(database, act("before"), fail, act("after"))
    assert (before, after) == ("before", "after")
    assert isinstance(failed, LookupError)
    assert kept(database) == ["after", "before"]


async def test_what_the_database_refuses_one_is_kept_of_the_others(database: Database, act: Named) -> None:
    one, other = await together(database, act("same"), act("same"))
    assert sorted([isinstance(one, sa.exc.IntegrityError), isinstance(other, sa.exc.IntegrityError)]) == [False, True]
    assert kept(database) == ["same"]


@pytest.mark.sqlite
async def test_a_commit_that_is_refused_is_told_to_whom_it_belongs(database: Database, act: Named) -> None:
    def breaks_the_commit(session: Session) -> str:
        session.connection().exec_driver_sql("PRAGMA defer_foreign_keys=ON")
        session.add(Edition(publication_id=10**6, code="none", label="none", languages=[], position=1))
        return "said"

    before, failed, after = await together(database, act("one"), breaks_the_commit, act("two"))
    assert isinstance(failed, sa.exc.IntegrityError)
    assert (before, after) == ("one", "two")
    assert kept(database) == ["one", "two"]


@pytest.mark.sqlite
async def test_a_database_that_is_held_is_said_to_everybody(
    database: Database, act: Named, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mailer.database.BUSY_SECONDS", 0.05)
    other = Database(str(database.url))
    with other.write() as session:
        session.connection()
        answers = await together(database, act("one"), act("two"))
    other.engine.dispose()
    assert [type(answer) for answer in answers] == [DatabaseError, DatabaseError]
    assert await together(database, act("three")) == ["three"]


@pytest.mark.sqlite
async def test_who_stands_behind_a_group_that_waited_in_vain_does_not_wait_as_long_again(
    database: Database, act: Named, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mailer.database.BUSY_SECONDS", 0.05)
    other = Database(str(database.url))
    with other.write() as session:
        session.connection()
        answers = await together(database, *(act(str(number)) for number in range(3 * MOST)))
    other.engine.dispose()
    assert {type(answer) for answer in answers} == {DatabaseError}
    assert len({id(answer) for answer in answers}) == 1, "one wait for all"


async def test_who_goes_away_leaves_the_act_behind(database: Database, act: Named) -> None:
    gone = asyncio.create_task(database.beside_others(lambda: database.together(act("gone"))))
    await asyncio.sleep(0)  # it waits now
    gone.cancel()
    with pytest.raises(asyncio.CancelledError):
        await gone
    assert await together(database, act("stays")) == ["stays"]
    assert "stays" in kept(database)
    if database.is_sqlite:
        assert "gone" in kept(database)


@pytest.mark.sqlite
async def test_who_writes_alone_in_the_loop_is_told_before_the_loop_waits_for_itself(database: Database) -> None:
    def alone() -> None:
        with database.write():
            pass

    with pytest.raises(AssertionError, match="wait for itself"):
        await database.beside_others(alone)
