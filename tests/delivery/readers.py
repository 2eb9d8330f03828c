"""A relay, readers with subscriptions, and an issue that is going out to them."""

from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from sqlmodel import select

from mailer.database import Database
from mailer.delivery import ledger, workers
from mailer.issues.states import IssueStatus
from mailer.rendering import message as rendering
from mailer.rendering.body import Body
from mailer.rendering.message import Head, Slot, compose, marker
from mailer.subscribers.states import SubscriptionStatus
from mailer.tables import Edition, Issue, Message, Publication, Subscriber, Subscription
from tests.conftest import HandedClock
from tests.delivery.relay import ScriptedRelay

Subscribe = Callable[..., list[int]]


@pytest.fixture
async def scripted() -> AsyncIterator[ScriptedRelay]:
    relay = ScriptedRelay()
    await relay.start()
    yield relay
    await relay.stop()


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate that nobody trusts, and its key."""
    folder, key, now = tmp_path_factory.mktemp("tls"), ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "relay.test")])
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(built.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return folder / "cert.pem", folder / "key.pem"


@pytest.fixture
def subscribe(database: Database, publication: Publication, clock: HandedClock) -> Subscribe:
    """subscribe("a@example.org", …, edition="en", status=confirmed) -> ids of the subscriptions."""

    def act(
        *addresses: str, edition: str = "en", status: SubscriptionStatus = SubscriptionStatus.CONFIRMED
    ) -> list[int]:
        ids = []
        with database.write() as session:
            row = session.exec(select(Edition).where(Edition.code == edition)).one()
            assert row.id is not None
            for address in addresses:
                reader = Subscriber(
                    address=address,
                    address_hash=f"hash of {address}",
                    domain=address.rpartition("@")[2],
                    created_at=clock(),
                )
                session.add(reader)
                session.flush()
                assert reader.id is not None
                subscription = Subscription(
                    subscriber_id=reader.id,
                    edition_id=row.id,
                    status=status,
                    language="en",
                    created_at=clock(),
                    changed_at=clock(),
                )
                session.add(subscription)
                session.flush()
                assert subscription.id is not None
                ids.append(subscription.id)
        return ids

    return act


@pytest.fixture
def worker_id(database: Database, clock: HandedClock) -> int:
    with database.write() as session:
        return workers.register(session, clock(), alone=True)


@pytest.fixture
def going_out(database: Database, publication: Publication, clock: HandedClock) -> Callable[[], int]:
    """going_out() -> id of an issue whose deliveries have just been written, with one message an edition."""

    def act() -> int:
        with database.write() as session:
            assert publication.id is not None
            issue = Issue(
                publication_id=publication.id,
                slug="2026-11-16",
                first_day=clock().date(),
                last_day=clock().date(),
                status=IssueStatus.SENDING,
                added_at=clock(),
                began_at=clock(),
            )
            session.add(issue)
            session.flush()
            assert issue.id is not None
            messages = {}
            for edition in session.exec(select(Edition)).all():
                assert edition.id is not None
                row = Message(
                    issue_id=issue.id,
                    edition_id=edition.id,
                    digest=f"digest {edition.code}",
                    content=_message(edition).dump(),
                    rendered_at=clock(),
                )
                session.add(row)
                session.flush()
                assert row.id is not None
                messages[edition.id] = row.id
            ledger.enqueue_issue(session, issue, messages, clock())
            return issue.id

    return act


def _message(edition: Edition) -> rendering.Message:
    link = f"https://news.example.org/u/{marker(Slot.UNSUBSCRIBE)}"
    head = Head(
        sender_name="Situation",
        sender_address="editors@example.org",
        message_domain="bounces.example.org",
        languages=edition.languages,
        list_id="belarus.news.example.org",
        list_name="Situation",
        owner_address="editors@example.org",
        archive_url="https://news.example.org/belarus/en/issues",
        unsubscribe_url=link,
    )
    return compose(Body(subject=f"Issue {edition.code}", html=f"<p>{link}</p>", text=f"\n.dot\n{link}\n"), head)
