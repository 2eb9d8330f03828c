"""A migrated database, a clock that stands still until it is moved, and the whole assembled from them."""

import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import settings as hypothesis_settings

from mailer.app import App, assemble
from mailer.database import Database
from mailer.settings import Settings
from mailer.tables import Edition, Publication

# A busy machine is not a failure, and a run proves the same tomorrow as today.
hypothesis_settings.register_profile("mailer", deadline=None, derandomize=True)
hypothesis_settings.load_profile("mailer")


class HandedClock:
    """Says what it was told to say."""

    def __init__(self, now: datetime) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now

    def pass_(self, **duration: float) -> None:
        self.now += timedelta(**duration)


@pytest.fixture
def clock() -> HandedClock:
    return HandedClock(datetime(2026, 11, 20, 9, 0, tzinfo=UTC))


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database that Alembic has built, to be copied by each test."""
    path = tmp_path_factory.mktemp("migrated") / "mailer.db"
    database = Database(f"sqlite:///{path}")
    database.migrate()
    database.engine.dispose()
    return path


@pytest.fixture
def database(migrated_file: Path, tmp_path: Path) -> Iterator[Database]:
    shutil.copy(migrated_file, tmp_path / "mailer.db")
    database = Database(f"sqlite:///{tmp_path / 'mailer.db'}")
    yield database
    database.engine.dispose()


@pytest.fixture
def settings(database: Database) -> Settings:
    return Settings(
        _env_file=None,
        database_url=str(database.url),
        secret_key="a-secret-for-tests-0123456789abcdef",
        address_key="an-address-key-for-tests-0123456789",
        link_hosts=["https://news.example.org"],
        mail_domain="bounces.example.org",
        relay_host="127.0.0.1",
    )


@pytest.fixture
def app(settings: Settings, database: Database, clock: HandedClock) -> App:
    assembled = assemble(settings, clock)
    return App(settings=settings, database=database, tokens=assembled.tokens, clock=clock)


@pytest.fixture
def publication(database: Database, clock: HandedClock) -> Publication:
    """A publication with the editions en, ru and be-ru."""
    publication = Publication(
        slug="belarus",
        names={"en": "Situation in Belarus", "be": "Сітуацыя ў Беларусі", "ru": "Ситуация в Беларуси"},
        sender_address="editors@example.org",
        contact_address="editors@example.org",
        list_id="belarus.news.example.org",
        postal_address={"en": "12 Example Street, Vilnius"},
        accent="#8a1c1c",
        time_zone="Europe/Minsk",
        weekly_slot="0 9 * * mon",
        created_at=clock(),
    )
    with database.write() as session:
        session.add(publication)
        session.flush()
        assert publication.id is not None
        for position, (code, label, languages) in enumerate(
            [("en", "EN", ["en"]), ("ru", "RU", ["ru"]), ("be-ru", "BE/RU", ["be", "ru"])]
        ):
            session.add(
                Edition(publication_id=publication.id, code=code, label=label, languages=languages, position=position)
            )
    return publication
