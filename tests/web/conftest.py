"""The pages over HTTP, and the hand of a reader who uses them."""

import warnings
from datetime import timedelta

import pytest
from fastapi import FastAPI
from sqlmodel import col, select

from mailer.app import App
from mailer.tables import Consent, Delivery, Publication, Subscription
from mailer.tokens import Purpose
from mailer.web.site import create_app

with warnings.catch_warnings():  # httpx is what we have; Starlette would rather have its successor
    warnings.simplefilter("ignore")
    from starlette.testclient import TestClient

ORIGIN = "https://news.example.org"


@pytest.fixture
def web(app: App, publication: Publication) -> FastAPI:
    return create_app(app)


@pytest.fixture
def client(web: FastAPI) -> TestClient:
    return TestClient(web, base_url=ORIGIN, follow_redirects=False)


class Ledger:
    """What the pages left in the database, and the links that the mails of it would carry."""

    def __init__(self, app: App) -> None:
        self._app = app

    def subscriptions(self) -> list[Subscription]:
        with self._app.database.read() as session:
            return list(session.exec(select(Subscription).order_by(col(Subscription.id))))

    def consents(self) -> list[Consent]:
        with self._app.database.read() as session:
            return list(session.exec(select(Consent).order_by(col(Consent.id))))

    def mails(self) -> list[Delivery]:
        with self._app.database.read() as session:
            return list(session.exec(select(Delivery).order_by(col(Delivery.id))))

    def everything(self) -> list[dict[str, object]]:
        """All rows as values: equal where nothing has changed."""
        rows = [*self.subscriptions(), *self.consents(), *self.mails()]
        return [row.model_dump() for row in rows]

    def confirm_path(self, mail: Delivery | None = None) -> str:
        """The confirm link of a mail, by default the last one."""
        mail = mail or self.mails()[-1]
        assert mail.consent_id is not None
        expires = mail.queued_at + timedelta(hours=self._app.settings.confirmation_hours)
        return f"/c/{self._app.tokens.make(Purpose.CONFIRM, mail.consent_id, expires=expires)}"

    def leave_path(self, subscription: Subscription | None = None) -> str:
        """The unsubscribe link of a subscription, by default the last one."""
        subscription = subscription or self.subscriptions()[-1]
        assert subscription.id is not None
        return f"/u/{self._app.tokens.make(Purpose.UNSUBSCRIBE, subscription.id)}"


@pytest.fixture
def ledger(app: App) -> Ledger:
    return Ledger(app)


def form(**fields: str) -> dict[str, str]:
    """The subscribe form as a browser sends it."""
    return {
        "publication": "belarus",
        "edition": "ru",
        "address": "anna@example.org",
        "language": "ru",
        "website": "",
        **fields,
    }


@pytest.fixture
def confirmed(client: TestClient, ledger: Ledger) -> Subscription:
    """A reader who went through the form and the link: anna@example.org, in Russian."""
    client.post("/subscribe", data=form())
    client.post(ledger.confirm_path())
    return ledger.subscriptions()[-1]
