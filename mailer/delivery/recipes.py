"""What a mail is made from, read in the transaction that claimed it: rendering takes a while, and comes after."""

from dataclasses import dataclass, replace
from functools import cached_property

from sqlmodel import Session

from mailer import holdings
from mailer.delivery.choices import choices_of
from mailer.delivery.ledger import Claim
from mailer.errors import MailerError
from mailer.rendering.body import Choices
from mailer.rendering.message import Enclosed
from mailer.tables import DeliveryKind, Edition, Forward, Publication, Quarantine


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What an automatic mail is rendered from."""

    kind: DeliveryKind
    language: str
    edition: str  #: its label
    publication: Publication  #: as it was read, of no session any more
    choices: Choices | None = None  #: of the one reader, where the mail says how they stand
    enclosed: Enclosed | None = None  #: a file for the one reader

    @cached_property
    def key(self) -> str:
        """The same for mails that come out the same: who changes the publication gets new ones."""
        return repr((self.kind, self.language, self.edition, self.publication.model_dump(), self.choices))


@dataclass(frozen=True, kw_only=True)
class Forwarding:
    """What a mail to the editors is made from. It is made once, for them alone, and not kept in memory."""

    publication: Publication
    language: str
    subject: str
    reply_to: str | None
    text: str
    enclosed: Enclosed | None


def recipe_of(session: Session, claim: Claim) -> Recipe:
    """The same for every claim of this kind, language and edition."""
    edition = session.get_one(Edition, claim.edition_id)
    publication = session.get_one(Publication, edition.publication_id)
    return Recipe(
        kind=claim.kind,
        language=claim.language or edition.languages[0],
        edition=edition.label,
        publication=Publication(**publication.model_dump()),
    )


OF_ONE = frozenset({DeliveryKind.PREFERENCES, DeliveryKind.MY_DATA_FILE})
"""Mail that says something of its own reader, beside their address and tokens."""


def recipe_of_one(session: Session, claim: Claim) -> Recipe | MailerError:
    """Of a mail of the kinds OF_ONE: as things are now, not as they were when it was queued."""
    recipe = recipe_of(session, claim)
    assert claim.subscription_id is not None
    if claim.kind is DeliveryKind.PREFERENCES:
        return replace(recipe, choices=choices_of(session, claim.subscription_id, recipe.publication, claim.queued_at))
    content = holdings.file_of(session, claim.subscription_id)
    if content is None:
        return MailerError("its reader was erased")
    return replace(recipe, enclosed=Enclosed(name="my-data.json", content=content))


def forwarding_of(session: Session, claim: Claim) -> Forwarding | MailerError:
    forward = session.get(Forward, claim.delivery_id)
    kept = session.get(Quarantine, forward.arrival_id) if forward else None
    if forward is None or kept is None:
        return MailerError("the mail that it forwards was discarded")
    edition = session.get_one(Edition, claim.edition_id)
    publication = session.get_one(Publication, edition.publication_id)
    return Forwarding(
        publication=Publication(**publication.model_dump()),
        language=edition.languages[0],
        subject=f"Fwd: {forward.subject}".strip(),
        reply_to=forward.reply_to,
        text=forward.text,
        enclosed=Enclosed(name=f"mail-{forward.arrival_id}.eml", content=kept.octets) if forward.whole else None,
    )
