"""What a file has said so far, outside of this process's memory and gone with it: a temporary SQLite database."""

import sqlite3
from collections.abc import Iterable, Mapping

from mailer.subscribers.importing.fates import Held, Standing
from mailer.subscribers.states import SubscriptionStatus
from mailer.tables import SuppressionReason

_RECALL = "SELECT edition, line, status FROM said WHERE address = ? ORDER BY edition DESC"


class Memory:
    """Which line spoke first of an address and an edition or list (Item.about), and how they stand since then."""

    def __init__(self) -> None:
        self._said = sqlite3.connect("", isolation_level=None)
        for pragma in ("journal_mode=OFF", "synchronous=OFF", "cache_size=-8000"):
            self._said.execute(f"PRAGMA {pragma}")
        self._said.execute(
            "CREATE TABLE said (address BLOB, edition INT, line INT, status TEXT, PRIMARY KEY (address, edition))"
            " WITHOUT ROWID"
        )

    def close(self) -> None:
        self._said.close()

    def recall(self, standings: Mapping[str, Standing]) -> None:
        """Adds what the file has said to how the addresses stand."""
        for address_hash, standing in standings.items():
            found = self._said.execute(_RECALL, (bytes.fromhex(address_hash),))
            for edition, line, status in found:
                standing.lines[edition] = line
                if status and edition <= 0:
                    standing.suppress(SuppressionReason(status), -edition or None)
                elif status:
                    held = standing.held.setdefault(edition, Held(SubscriptionStatus(status)))
                    held.status = SubscriptionStatus(status)

    def keep(self, standings: Mapping[str, Standing]) -> None:
        self._said.execute("BEGIN")
        self._said.executemany("REPLACE INTO said VALUES (?, ?, ?, ?)", _rows(standings))
        self._said.execute("COMMIT")


def _rows(standings: Mapping[str, Standing]) -> Iterable[tuple[bytes, int, int, str]]:
    for address_hash, standing in standings.items():
        key = bytes.fromhex(address_hash)
        for edition, line in standing.lines.items():
            yield key, edition, line, _status(standing, edition) or ""


def _status(standing: Standing, about: int) -> str | None:
    if about <= 0:
        return standing.listed_for.get(-about) if about else standing.listed
    held = standing.held.get(about)
    return held.status if held else None
