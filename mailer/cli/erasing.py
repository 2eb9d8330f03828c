"""mailer subscribers erase, export-one: one reader's data, taken along or gone."""

from collections.abc import Mapping
from typing import Annotated, Any

import typer
from sqlmodel import Session, select

from mailer import erasure, holdings
from mailer.app import App
from mailer.cli.printing import printable
from mailer.cli.shared import installation, who
from mailer.errors import MailerError
from mailer.inbound import quarantine
from mailer.subscribers import address, former
from mailer.subscribers.former import Stays
from mailer.tables import Subscriber

_UNREAD = "The suppression list and test mail no longer name it; a keyed hash on the list stays."

_WHY = {
    Stays.READ: "somebody reads there, or is asked to confirm",
    Stays.BACK: "a change of address, or leaving, can be taken back there for 30 days",
}

AddressArgument = Annotated[str, typer.Argument(metavar="ADDRESS")]


def export_one(of: AddressArgument) -> None:
    """Everything that is held about one address, as JSON: of its reader, of who is only on the suppression list, and
    test mail.

    The reader's own page gives the same, but for notes, for who of the staff wrote them, and for the other addresses:
    whoever moved this reader with a forwarded letter stands among them. Hand them on to who has those mailboxes.
    """
    app, hashed = _of(of)
    with app.database.read() as session:
        held = holdings.of_address(session, address.parse(of), hashed)
    if held is None:
        raise MailerError(_unknown(None, of))
    print(holdings.as_json(held).decode(), end="")


def erase(
    of: AddressArgument,
    yes: Annotated[bool, typer.Option("--yes", help="Do it without asking.")] = False,
) -> None:
    """Erase a reader from everything, for good, with the addresses that they came from or went on to, unless somebody
    reads there: those are erased by themselves. An address that no reader has goes from the suppression list.

    A keyed hash of each stays, so that no list brings them back.
    """
    app, hashed = _of(of)
    typed = address.parse(of)
    with app.database.read() as session:
        held = holdings.of_address(session, typed, hashed)
        reader = _reader(session, hashed)
        along = former.together(session, reader.id, app.clock()) if reader and reader.id else None
        known = [session.get_one(Subscriber, each).address for each in along.goes] if along else []
        stays = [(session.get_one(Subscriber, each).address, why) for each, why in along.stays.items()] if along else []
        if not (known or _names(held) or quarantine.naming(session, typed.text)):
            raise MailerError(_unknown(held, of))
    for each, why in stays:
        print(
            f"{printable(each)}, which the same reader came from or went on to, stays: {_WHY[why]}."
            f" To erase it: mailer subscribers erase {printable(each)}"
        )
    if not yes:
        typer.confirm(f"Erase {printable(' and '.join(known or [typed.text]))} for good?", abort=True)
    gone = list[str]()
    with app.database.write() as session:
        if reader is not None and reader.id is not None:
            gone = erasure.erase_person(session, reader.id, by=who(), now=app.clock())
        was_listed = erasure.erase_listed(session, typed, hashed, now=app.clock())
    mails, is_overwritten = quarantine.discard_mail(app.database, {typed.text, *gone})
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


def _names(held: Mapping[str, Any] | None) -> bool:
    """Whether it is more than keyed hashes."""
    return bool(held and (held["mails"] or any(each["address"] or each["note"] for each in held["suppressions"])))


def _unknown(held: Mapping[str, Any] | None, text: str) -> str:
    reasons = [each["reason"] for each in held["suppressions"]] if held else []
    rest = f"only the suppression list knows it ({reasons[0]})" if reasons else "nothing is held about it"
    return f"No reader has the address {printable(text)}; {rest}."
