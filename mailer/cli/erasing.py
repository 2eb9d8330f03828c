"""mailer subscribers erase, export-one: one reader's data, taken along or gone."""

from typing import Annotated

import typer
from sqlmodel import Session, select

from mailer import erasure, holdings
from mailer.app import App
from mailer.cli.printing import printable
from mailer.cli.shared import installation, who
from mailer.errors import MailerError
from mailer.subscribers import address
from mailer.tables import Subscriber, Suppression

_UNREAD = "The suppression list and test mail no longer name it; a keyed hash on the list stays."

AddressArgument = Annotated[str, typer.Argument(metavar="ADDRESS")]


def export_one(of: AddressArgument) -> None:
    """Everything that is held about one reader, as JSON, with the addresses that they came from or went on to.

    The reader's own page gives the same, but for notes and who of the staff wrote them.
    """
    app, hashed = _of(of)
    with app.database.read() as session:
        reader = _reader(session, hashed)
        if reader is None:
            raise MailerError(_unknown(session, hashed, of))
        held = holdings.of_person(session, reader)
    print(holdings.as_json(held).decode(), end="")


def erase(
    of: AddressArgument,
    yes: Annotated[bool, typer.Option("--yes", help="Do it without asking.")] = False,
) -> None:
    """Erase a reader from everything, for good, with the addresses that they came from or went on to. An address that
    no reader has goes from the suppression list.

    A keyed hash of each stays, so that no list brings them back.
    """
    app, hashed = _of(of)
    typed = address.parse(of)
    with app.database.read() as session:
        reader = _reader(session, hashed)
        unknown = _unknown(session, hashed, of)
        along = erasure.addresses_of(session, reader.id) if reader and reader.id else []
        known = [session.get_one(Subscriber, each).address for each in along]
    if not yes:
        typer.confirm(f"Erase {printable(' and '.join(known or [typed.text]))} for good?", abort=True)
    gone = list[str]()
    with app.database.write() as session:
        if reader is not None and reader.id is not None:
            gone = erasure.erase_person(session, reader.id, by=who(), now=app.clock())
        was_listed = erasure.erase_listed(session, typed, hashed, now=app.clock())
    mails, is_overwritten = erasure.discard_mail(app.database, {typed.text, *gone})
    if not (gone or was_listed or mails):
        raise MailerError(unknown)
    if gone:
        print(f"Erased: {printable(', '.join(gone))}.")
    else:
        print("No reader has this address." + (f" {_UNREAD}" if was_listed else ""))
    if mails:
        print(f"{mails} mails in the quarantine went.")
    if not is_overwritten:
        print(
            "Another program reads the database at this moment, so SQLite's log of changes"
            f" ({app.database.sqlite_path}-wal) still holds it; the worker empties that within ten minutes of its end."
        )
    if app.database.is_sqlite:
        print("Backups, and copies of the file, may still hold it until they are overwritten.")
    else:
        print("Backups, and PostgreSQL's own log of changes, may still hold it until they are overwritten.")


def _of(text: str) -> tuple[App, str]:
    app = installation()
    return app, address.hash(address.parse(text), app.settings.address_key.get_secret_value())


def _reader(session: Session, hashed: str) -> Subscriber | None:
    return session.exec(select(Subscriber).where(Subscriber.address_hash == hashed)).one_or_none()


def _unknown(session: Session, hashed: str, text: str) -> str:
    listed = session.exec(select(Suppression).where(Suppression.address_hash == hashed)).first()
    rest = f"only the suppression list knows it ({listed.reason})" if listed else "nothing is held about it"
    return f"No reader has the address {printable(text)}; {rest}."
