"""Members of staff: accounts and signed-in browsers."""

from datetime import timedelta

import pytest
from sqlmodel import select

from mailer.database import Database
from mailer.staff import StaffError, add_user, find_user, password_fits, session_user, sign_in, sign_out
from mailer.tables import UserRole, UserSession
from tests.conftest import HandedClock

PASSWORD = "correct horse battery"
DAY = timedelta(days=1)


def test_a_password_opens_a_session_until_it_ends(database: Database, clock: HandedClock) -> None:
    with database.write() as session:
        user = add_user(session, "olga", UserRole.OPERATOR, PASSWORD, clock())
        cookie = sign_in(session, user, lifetime=DAY, now=clock())
    assert password_fits(user, PASSWORD)
    with database.read() as session:
        found = session_user(session, cookie, clock())
        assert found is not None
        assert found.name == "olga"
        assert session.get(UserSession, cookie) is None, "the cookie's value itself is not stored"
        clock.pass_(days=1)
        assert session_user(session, cookie, clock()) is None


def test_signing_out_ends_this_session_only(database: Database, clock: HandedClock) -> None:
    with database.write() as session:
        user = add_user(session, "olga", UserRole.OPERATOR, PASSWORD, clock())
        here = sign_in(session, user, lifetime=DAY, now=clock())
        there = sign_in(session, user, lifetime=DAY, now=clock())
        sign_out(session, here)
    with database.read() as session:
        assert session_user(session, here, clock()) is None
        assert session_user(session, there, clock()) is not None


def test_a_disabled_account_is_nobody(database: Database, clock: HandedClock) -> None:
    with database.write() as session:
        user = add_user(session, "olga", UserRole.EDITOR, PASSWORD, clock())
        cookie = sign_in(session, user, lifetime=DAY, now=clock())
        user.disabled_at = clock()
        session.add(user)
    with database.read() as session:
        assert find_user(session, "olga") is None
        assert session_user(session, cookie, clock()) is None


def test_old_sessions_are_swept_out(database: Database, clock: HandedClock) -> None:
    with database.write() as session:
        user = add_user(session, "olga", UserRole.OPERATOR, PASSWORD, clock())
        sign_in(session, user, lifetime=DAY, now=clock())
        clock.pass_(days=2)
        sign_in(session, user, lifetime=DAY, now=clock())
        assert len(session.exec(select(UserSession)).all()) == 1


@pytest.mark.parametrize(
    ("name", "password", "why"),
    [
        ("olga", "too short", "too short"),
        ("", PASSWORD, "1 to 64"),
        ("ol\nga", PASSWORD, "1 to 64"),
        ("o" * 65, PASSWORD, "1 to 64"),
        ("taken", PASSWORD, "already"),
    ],
)
def test_an_account_that_cannot_be_says_why(
    database: Database, clock: HandedClock, name: str, password: str, why: str
) -> None:
    with database.write() as session:
        add_user(session, "taken", UserRole.EDITOR, PASSWORD, clock())
    with database.write() as session, pytest.raises(StaffError, match=why):
        add_user(session, name, UserRole.EDITOR, password, clock())


def test_nobodys_password_never_fits(database: Database, clock: HandedClock) -> None:
    assert not password_fits(None, PASSWORD)
    assert not password_fits(None, "")
    with database.write() as session:
        user = add_user(session, "olga", UserRole.OPERATOR, PASSWORD, clock())
    assert not password_fits(user, PASSWORD + "!")
    assert not password_fits(user, "x" * 100_000)
