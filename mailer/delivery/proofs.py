"""An issue as readers would get it, before they do: files to look at, and test mail to one address."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sqlmodel import Session, col, select

from mailer.delivery import launch
from mailer.delivery.states import DeliveryStatus
from mailer.errors import MailerError
from mailer.rendering.decoded import parse, part
from mailer.rendering.message import Slot, date, marker
from mailer.settings import Settings
from mailer.subscribers.address import Address
from mailer.tables import Delivery, DeliveryKind, Edition, Issue


@dataclass(frozen=True)
class Proof:
    """One edition, spliced for nobody: its personal links say that they are not complete."""

    code: str
    octets: bytes


def proofs(session: Session, issue: Issue, settings: Settings, now: datetime) -> list[Proof]:
    """One for each edition that the issue's languages make."""
    codes = _codes(session, issue)
    values = {slot: marker(slot) for slot in Slot} | {Slot.TO: "reader@example.org", Slot.DATE: date(now)}
    rendered = launch.render(session, issue, settings)
    return [Proof(codes[edition_id], message.splice(values)) for edition_id, message in rendered.items()]


def write(found: Sequence[Proof], folder: Path) -> list[Path]:
    """Writes CODE.eml, CODE.html and CODE.txt. Returns their paths; raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for proof in found:
        for suffix, content in (
            ("eml", proof.octets),
            ("html", part(parse(proof.octets), "html").encode()),
            ("txt", part(parse(proof.octets), "plain").encode()),
        ):
            paths.append(folder / f"{proof.code}.{suffix}")
            paths[-1].write_bytes(content)
    return paths


def queue_test(
    session: Session, issue: Issue, recipient: Address, edition: str | None, settings: Settings, now: datetime
) -> list[str]:
    """Queues test mail of one edition, or of all. Returns their codes."""
    codes = _codes(session, issue)
    if edition and edition not in codes.values():
        raise MailerError(f"There is no edition {edition}. There are: {', '.join(codes.values())}.")
    queued = []
    for edition_id, message in launch.render(session, issue, settings).items():
        if edition and codes[edition_id] != edition:
            continue
        session.add(
            Delivery(
                kind=DeliveryKind.TEST,
                edition_id=edition_id,
                message_id=launch.keep(session, issue, edition_id, message, now),
                recipient=recipient.text,
                destination=recipient.domain,
                status=DeliveryStatus.QUEUED,
                due_at=now,
                queued_at=now,
                changed_at=now,
            )
        )
        queued.append(codes[edition_id])
    if not queued:
        raise MailerError(f"{issue.slug} has not all the languages of that edition. Add the missing file first.")
    return queued


def _codes(session: Session, issue: Issue) -> dict[int | None, str]:
    rows = select(Edition).where(Edition.publication_id == issue.publication_id).order_by(col(Edition.position))
    return {edition.id: edition.code for edition in session.exec(rows)}
