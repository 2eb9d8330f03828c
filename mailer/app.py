"""Composition root: what a running mailer is made of, built once and handed on."""

from dataclasses import dataclass

from mailer.clock import Clock, system_clock
from mailer.database import Database
from mailer.settings import Settings
from mailer.tokens import Tokens


@dataclass(frozen=True, kw_only=True)
class App:
    """One installation. Rooms are handed the parts they need, never the whole."""

    settings: Settings
    database: Database
    tokens: Tokens
    clock: Clock

    @property
    def link_host(self) -> str:
        """The origin that new links point to."""
        return self.settings.link_hosts[0]


def assemble(settings: Settings, clock: Clock = system_clock) -> App:
    """Builds the parts from the settings. Opens nothing yet."""
    return App(
        settings=settings,
        database=Database(settings.database_url),
        tokens=Tokens(settings.secret_keys, permanent=settings.address_key.get_secret_value()),
        clock=clock,
    )
