"""Members of staff: their passwords, and the browsers they are signed in with."""

import functools
import hashlib
import secrets
from datetime import datetime, timedelta

import sqlalchemy as sa
from pwdlib import PasswordHash
from pwdlib.exceptions import PwdlibError
from pwdlib.hashers.argon2 import Argon2Hasher
from sqlmodel import Session, col, select

from mailer.errors import MailerError
from mailer.tables import User, UserRole, UserSession

SHORTEST_PASSWORD = 12
"""Characters."""

LONGEST_PASSWORD = 1000
"""Characters; hashing takes time with the length, and anybody may try."""

_hashes = PasswordHash((Argon2Hasher(),))


class StaffError(MailerError):
    """The account cannot be made; the message says why."""


def add_user(session: Session, name: str, role: UserRole, password: str, now: datetime) -> User:
    """A new account. Raises StaffError."""
    name = name.strip()
    if not name or len(name) > 64 or not name.isprintable():
        raise StaffError("A name has 1 to 64 characters that can be seen.")
    if len(password) > LONGEST_PASSWORD:
        raise StaffError(f"The password is too long. Use {LONGEST_PASSWORD} characters or fewer.")
    if len(password) < SHORTEST_PASSWORD:
        raise StaffError(f"The password is too short. Use {SHORTEST_PASSWORD} characters or more; a sentence is good.")
    if find_user(session, name):
        raise StaffError(f"There is already an account called {name}. Choose another name.")
    user = User(name=name, role=role, password_hash=_hashes.hash(password), created_at=now)
    session.add(user)
    session.flush()
    return user


def find_user(session: Session, name: str) -> User | None:
    """The account of that name that may sign in."""
    return session.exec(select(User).where(User.name == name, col(User.disabled_at).is_(None))).one_or_none()


def password_fits(user: User | None, password: str) -> bool:
    """Whether this is the user's password. Takes as long for an unknown name as for a known one.

    It is slow on purpose (argon2): call it outside a transaction.
    """
    if len(password) > LONGEST_PASSWORD:
        return False
    try:
        fits = _hashes.verify(password, user.password_hash if user else _nobodys_hash())
    except PwdlibError:  # a hash of a kind we do not know
        return False
    return fits and user is not None


@functools.cache
def _nobodys_hash() -> str:
    return _hashes.hash(secrets.token_urlsafe())


def sign_in(session: Session, user: User, *, lifetime: timedelta, now: datetime) -> str:
    """Opens a session for a browser and returns the value for its cookie. Old sessions are swept out on the way."""
    assert user.id is not None
    session.execute(sa.delete(UserSession).where(col(UserSession.expires_at) <= now))
    cookie = secrets.token_urlsafe(32)
    session.add(UserSession(id=_kept(cookie), user_id=user.id, created_at=now, expires_at=now + lifetime))
    return cookie


def session_user(session: Session, cookie: str, now: datetime) -> User | None:
    """Who is signed in with this cookie, if anybody (still) is."""
    signed_in = (
        select(User)
        .join(UserSession, col(UserSession.user_id) == col(User.id))
        .where(UserSession.id == _kept(cookie), UserSession.expires_at > now, col(User.disabled_at).is_(None))
    )
    return session.exec(signed_in).one_or_none()


def sign_out(session: Session, cookie: str) -> None:
    session.execute(sa.delete(UserSession).where(col(UserSession.id) == _kept(cookie)))


def _kept(cookie: str) -> str:
    """What of the cookie is stored: who reads the database cannot sign in with it."""
    return hashlib.sha256(cookie.encode()).hexdigest()
