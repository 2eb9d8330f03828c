"""Refusals in the session itself count for a reader like reports that come back."""

import pytest
from sqlmodel import select

from mailer.app import App
from mailer.delivery.patience import refusal
from mailer.delivery.reply import Reply, Stage
from mailer.delivery.states import DeliveryStatus
from mailer.inbound.incoming import Category
from mailer.tables import Delivery, DeliveryKind, Issue, Suppression, SuppressionReason
from tests.conftest import HandedClock
from tests.delivery.literal import LiteralRelay
from tests.delivery.readers import Subscribe
from tests.delivery.test_sender import GoingOut, count, relay_at, sending, until


@pytest.mark.parametrize(
    ("stage", "code", "text", "category"),
    [
        (Stage.RCPT, 452, "4.2.2 Mailbox full", Category.MAILBOX_FULL),
        (Stage.DOT, 552, "5.2.2 Mailbox full", Category.MAILBOX_FULL),
        (Stage.RCPT, 550, "5.2.1 Mailbox disabled", Category.INACTIVE),
        (Stage.RCPT, 451, "4.3.0 Try again", Category.TEMPORARY),
        (Stage.DOT, 451, "4.3.0 Try again", None),
        (Stage.MAIL, 452, "4.3.1 Disk full", None),
        (Stage.DOT, 554, "5.7.1 Spam", None),
        (Stage.RCPT, 550, "5.7.1 Client host blocked using zen.example", None),
        (Stage.RCPT, 550, "5.1.1 No such user", None),
    ],
)
def test_what_a_refusal_counts_as(stage: Stage, code: int, text: str, category: Category | None) -> None:
    assert refusal(Reply(stage, code, text)) is category


def refused(app: App) -> int:
    with app.database.read() as session:
        found = session.exec(select(Delivery).where(Delivery.kind == DeliveryKind.ISSUE)).all()
    return sum(each.status is DeliveryStatus.REFUSED for each in found)


def forget_slugs(app: App) -> None:
    with app.database.write() as session:
        for issue in session.exec(select(Issue)):
            issue.slug = f"before-{issue.id}"


async def test_a_reader_whose_mailbox_stays_full_is_asked_and_then_given_up(
    app: App, subscribe: Subscribe, going_out: GoingOut, clock: HandedClock
) -> None:
    subscribe("full@far.example")
    async with LiteralRelay() as relay:
        relay.says = lambda verb, _: b"452 4.2.2 Mailbox full\r\n" if verb == "RCPT" else None
        async with sending(app, relay_at(relay.port)):
            for week in range(1, 6):
                forget_slugs(app)
                going_out()
                await given_up(app, clock, week)
                clock.pass_(days=4)
    with app.database.read() as session:
        warnings = session.exec(select(Delivery).where(Delivery.kind == DeliveryKind.WARNING)).all()
        (listed,) = session.exec(select(Suppression))
    assert len(warnings) == 1
    assert (listed.reason, listed.address) == (SuppressionReason.UNREACHABLE, "full@far.example")
    assert count(app, DeliveryStatus.ACCEPTED) == 0


async def given_up(app: App, clock: HandedClock, issues: int) -> None:
    """Hours pass until the last attempt."""

    def later() -> bool:
        clock.pass_(hours=1)
        return refused(app) == issues

    await until(later)
