"""The pages over HTTP, and the hand of a reader who uses them."""

import io
import warnings
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta

import pytest
from fastapi import FastAPI
from PIL import Image
from sqlmodel import col, select

from mailer.app import App
from mailer.issues import issue as issues
from mailer.issues.folder import read_files
from mailer.issues.states import IssueStatus
from mailer.subscribers.states import SubscriptionStatus
from mailer.subscribers.subscription import UNDO
from mailer.tables import (
    Consent,
    Delivery,
    DeliveryKind,
    Edition,
    Publication,
    Subscriber,
    Subscription,
    metadata,
)
from mailer.tokens import Purpose, Tokens
from mailer.web.site import create_app
from tests.conftest import HandedClock

with warnings.catch_warnings():  # httpx is what we have; Starlette would rather have its successor
    warnings.simplefilter("ignore")
    from starlette.testclient import TestClient

ORIGIN = "https://news.example.org"


@pytest.fixture(autouse=True)
def _in_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A form may come back in the moment it was made, and answers leave when they are made; test_asking.py is about
    what holds otherwise."""
    monkeypatch.setattr("mailer.web.asking.SOONEST", timedelta(0))
    monkeypatch.setattr("mailer.web.asking.EVEN_SECONDS", 0.0001)


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

    def everything(self) -> dict[str, list[tuple[object, ...]]]:
        """All rows of all tables: equal where nothing has changed."""
        with self._app.database.read() as session:
            return {
                name: sorted((tuple(row) for row in session.execute(table.select())), key=repr)
                for name, table in metadata.tables.items()
            }

    def acts(self) -> list[dict[str, object]]:
        """Subscriptions, consents and mails, without what the form's limits count."""
        return [row.model_dump() for row in (*self.subscriptions(), *self.consents(), *self.mails())]

    def statuses(self) -> dict[str, SubscriptionStatus]:
        """Address and edition -> state."""
        with self._app.database.read() as session:
            return {
                f"{session.get_one(Subscriber, each.subscriber_id).address}"
                f" {session.get_one(Edition, each.edition_id).code}": each.status
                for each in session.exec(select(Subscription))
            }

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

    def preferences_path(self, subscription: Subscription | None = None) -> str:
        """The preferences link of a subscription, by default the last one."""
        subscription = subscription or self.subscriptions()[-1]
        assert subscription.id is not None
        return f"/p/{self._app.tokens.make(Purpose.PREFERENCES, subscription.id)}"

    def my_data_path(self, mail: Delivery | None = None) -> str:
        """The link of the last letter that leads to what is held."""
        mail = mail or next(each for each in reversed(self.mails()) if each.kind is DeliveryKind.MY_DATA)
        assert mail.subscription_id is not None
        expires = mail.queued_at + timedelta(hours=24)
        return f"/d/{self._app.tokens.make(Purpose.MY_DATA, mail.subscription_id, expires=expires)}"

    def move_path(self, mail: Delivery | None = None) -> str:
        """The link of the last mail to a new address."""
        mail = mail or next(each for each in reversed(self.mails()) if each.kind is DeliveryKind.NEW_ADDRESS)
        assert mail.consent_id is not None
        expires = mail.queued_at + timedelta(hours=self._app.settings.confirmation_hours)
        return f"/m/{self._app.tokens.make(Purpose.MOVE, mail.consent_id, expires=expires)}"

    def move_back_path(self) -> str:
        """The link of the last mail to an old address."""
        mail = next(each for each in reversed(self.mails()) if each.kind is DeliveryKind.OLD_ADDRESS)
        assert mail.consent_id is not None
        return f"/b/{self._app.tokens.make(Purpose.MOVE_BACK, mail.consent_id, expires=mail.queued_at + UNDO)}"


@pytest.fixture
def ledger(app: App) -> Ledger:
    return Ledger(app)


STAMP = Tokens(["a-secret-for-tests-0123456789abcdef"], permanent="").make(
    Purpose.FORM, int(datetime(2026, 11, 20, 8, 59, tzinfo=UTC).timestamp())
)
"""Of a form that a minute ago was new, and that stays good for all a test may do with the clock."""


def form(**fields: str) -> dict[str, str]:
    """The subscribe form as a browser sends it."""
    return {
        "stamp": STAMP,
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


WEEK = """---
period: {first}/{last}
title: {title}
{more}
---
## {section} {{verdict=worse}}

### A headline with <b>marks</b>

**The lead.** The body with a [link](https://example.org/), <script>alert(1)</script>
<span style="color:red" onclick="x()">inline HTML</span> and a picture.

![A bridge](bridge.png)

### {second} {{verdict=better}}

{text}
"""
SECOND = {"en": "Trams return", "be": "Трамваі вяртаюцца", "ru": "Трамваи возвращаются"}

AddIssue = Callable[..., None]
"""add_issue("en", "be", first_day=date(2019, 4, 15), status=SENT, more="", text="Text.") -> an issue that was sent."""


@pytest.fixture(scope="session")
def bridge() -> bytes:
    """A picture of 1200 × 80 pixels."""
    octets = io.BytesIO()
    Image.new("RGB", (1200, 80), "#446688").save(octets, "PNG")
    return octets.getvalue()


@pytest.fixture
def add_issue(app: App, publication: Publication, clock: HandedClock, bridge: bytes) -> AddIssue:
    def add(
        *languages: str,
        status: IssueStatus = IssueStatus.SENT,
        began: bool = True,
        first_day: date = date(2019, 4, 15),
        more: str = "",
        text: str = "Text.",
    ) -> None:
        files = {"bridge.png": bridge}
        for language in languages or ("en", "be"):
            source = WEEK.format(
                first=first_day,
                last=first_day + timedelta(days=6),
                title=publication.names[language],
                section=f"Section in {language}",
                second=SECOND[language],
                more=more,
                text=text,
            )
            files[f"{language}.md"] = source.encode()
        with app.database.write() as session:
            issue, _ = issues.add(session, publication, read_files(str(first_day), files), clock())
            issue.status, issue.began_at = status, clock() if began else None

    return add
