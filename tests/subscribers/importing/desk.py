"""An operator who brings files in."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sqlmodel import Session, col, select

from mailer.app import App
from mailer.delivery import automatic
from mailer.subscribers.address import hash, parse
from mailer.subscribers.importing.columns import Said, columns_of
from mailer.subscribers.importing.fates import As, Fate, Fated
from mailer.subscribers.importing.road import How, Import
from mailer.subscribers.importing.table import open_table
from mailer.subscribers.importing.writing import Hand, ToAsk
from mailer.subscribers.states import SubscriptionStatus
from mailer.tables import DeliveryKind, Edition, Publication, Subscriber, Subscription

EVIDENCE = "the form on old.example.org"


class Desk:
    def __init__(self, app: App, publication: Publication, folder: Path) -> None:
        self.app, self._publication, self._path = app, publication, folder / "list.csv"
        with app.database.read() as session:
            self.editions = session.exec(select(Edition).order_by(col(Edition.position))).all()

    def bring(
        self,
        text: str | bytes,
        mode: As = As.CONFIRMED,
        *,
        edition: str | None = "en",
        said: Sequence[str] = (),
        dry: bool = False,
        per_hour: int = 60,
        name: str = "",
    ) -> list[Fated]:
        """Brings a file with this content in. Returns the fate of each row."""
        path = self._path.with_name(name) if name else self._path
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        table = open_table(path)
        how = How(
            mode=mode,
            publication_id=self._publication.id if mode is not As.SUPPRESSED else None,
            publication=self._publication.slug,
            publications=self._publications(),
            editions=self.editions,
            edition=next((each for each in self.editions if each.code == edition), None),
            evidence=EVIDENCE,
            key=self.key,
        )

        def ask(session: Session, readers: Sequence[ToAsk]) -> None:
            asked = [automatic.Asked._make(each) for each in readers]
            now = self.app.clock()
            automatic.queue_spread(session, DeliveryKind.CONFIRMATION, asked, per_hour=per_hour, now=now)

        hand = None if dry else Hand(source=f"import {path.name}", by="olga", ask=ask)
        columns = columns_of(table, [Said.parse(each) for each in said])
        work = Import(table, columns, how, self.app.database, self.app.clock, hand)
        fates = [fated for some in work for fated in some]
        assert work.counts == Counter(fated.fate for fated in fates)
        return fates

    def _publications(self) -> dict[str, int]:
        with self.app.database.read() as session:
            return {each.slug: each.id or 0 for each in session.exec(select(Publication))}

    @property
    def key(self) -> str:
        return self.app.settings.address_key.get_secret_value()

    def hash(self, address: str) -> str:
        return hash(parse(address), self.key)

    def standing(self) -> dict[tuple[str, str], SubscriptionStatus]:
        """(address, edition) -> status."""
        rows = (
            select(Subscriber.address, Edition.code, Subscription.status)
            .join(Subscription, col(Subscription.subscriber_id) == col(Subscriber.id))
            .join(Edition, col(Edition.id) == col(Subscription.edition_id))
        )
        with self.app.database.read() as session:
            return {(row[0], row[1]): row[2] for row in session.execute(rows)}


def fates(found: Sequence[Fated]) -> list[Fate]:
    return [each.fate for each in found]


def anything(session: Session, table: Any) -> Any:
    return session.exec(select(table).order_by(col(table.id))).all()
