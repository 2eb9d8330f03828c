"""Publications as they are described in publication.toml, and as rows."""

import tomllib
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator
from sqlmodel import Session, col, select

from mailer import links
from mailer.errors import MailerError
from mailer.issues.calendar import next_slot
from mailer.rendering.message import check_header_text
from mailer.rendering.words import available
from mailer.subscribers import address
from mailer.tables import Edition, Publication, UncertainPolicy


class PublicationError(MailerError):
    """A publication's description cannot be used; the message names file, field and mend."""


def _wire_address(value: str) -> str:
    try:
        parsed = address.parse(value)
    except MailerError as error:
        raise ValueError(str(error).rstrip(".")) from None
    if parsed.ascii is None:
        raise ValueError("letters before the @ must be ASCII, or many servers refuse the mail")
    return parsed.ascii


def _header_text(value: str) -> str:
    try:
        return check_header_text("it stands in a header", value.strip())
    except MailerError as error:
        raise ValueError(str(error).rstrip(".")) from None


def _known_zone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError):
        raise ValueError(f"{value!r} is not a time zone; write one such as Europe/Vilnius") from None
    return value


def _known_language(value: str) -> str:
    if value not in available():
        raise ValueError(f"there is no word catalogue for {value!r}; there are {', '.join(available())}")
    return value


def _free_segment(value: str) -> str:
    if value in links.RESERVED:
        raise ValueError(f"{value!r} is taken by a page of mailer; choose another")
    return value


WireAddress = Annotated[str, AfterValidator(_wire_address)]
HeaderText = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_header_text)]
Language = Annotated[str, AfterValidator(_known_language)]
Slug = Annotated[str, Field(pattern=r"^[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?$"), AfterValidator(_free_segment)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class EditionDescription(_Strict):
    code: Annotated[str, Field(pattern=r"^[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?$")]
    label: HeaderText
    languages: Annotated[list[Language], Field(min_length=1)]
    offered: bool = True


class Description(_Strict):
    """What publication.toml says."""

    slug: Slug
    names: Annotated[dict[Language, HeaderText], Field(min_length=1)]
    sender_address: WireAddress
    contact_address: WireAddress
    list_id: Annotated[str, Field(pattern=r"^[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+$")]
    postal_address: dict[Language, str]
    accent: Annotated[str, Field(pattern=r"^#[0-9a-fA-F]{6}$")] = "#8a1c1c"
    time_zone: Annotated[str, AfterValidator(_known_zone)]
    weekly_slot: str
    uncertain_policy: UncertainPolicy = UncertainPolicy.RESEND
    archive: bool = True
    editions: Annotated[list[EditionDescription], Field(min_length=1)]

    @model_validator(mode="after")
    def _fits_together(self) -> "Description":
        codes = [edition.code for edition in self.editions]
        if len(set(codes)) != len(codes):
            raise ValueError("two editions have the same code")
        for language in {language for edition in self.editions for language in edition.languages}:
            for field in ("names", "postal_address"):
                if not getattr(self, field).get(language):
                    raise ValueError(f"{field} lacks the language {language}, which an edition has")
        return self


def read(path: Path) -> Description:
    """The description in a TOML file. Raises PublicationError."""
    try:
        return describe(tomllib.loads(path.read_text(encoding="utf-8")), str(path))
    except OSError as error:
        raise PublicationError(f"{path}: {error.strerror}.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise PublicationError(f"{path}: {error}.") from None


def describe(data: dict[str, Any], where: str) -> Description:
    """Checks a description. `where` opens every message."""
    try:
        description = Description.model_validate(data)
        next_slot(description.weekly_slot, description.time_zone, datetime.fromisoformat("2026-01-01T00:00:00+00:00"))
    except ValidationError as error:
        raise PublicationError("\n".join(f"{where}: {_line(problem)}" for problem in error.errors())) from None
    except MailerError as error:
        raise PublicationError(f"{where}: {error}") from None
    return description


def _line(problem: Any) -> str:
    place = ".".join(str(step) for step in problem["loc"])
    message = str(problem["msg"]).removeprefix("Value error, ")
    if problem["type"] == "missing":
        return f"{place} is missing."
    if problem["type"] == "extra_forbidden":
        return f"{place} is not a known field; known are {', '.join(Description.model_fields)}."
    return f"{place}: {message}." if place else f"{message}."


def apply(session: Session, description: Description, now: datetime) -> tuple[Publication, bool]:
    """Creates the publication, or brings it up to date. Returns it and whether it is new.

    An edition that is no longer described is no longer offered; its readers keep it.
    """
    found = session.exec(select(Publication).where(Publication.slug == description.slug)).first()
    values = description.model_dump(exclude={"editions"})
    publication = found or Publication(**values, created_at=now)
    publication.sqlmodel_update(values)
    session.add(publication)
    session.flush()
    assert publication.id is not None
    known = {
        edition.code: edition
        for edition in session.exec(select(Edition).where(Edition.publication_id == publication.id))
    }
    for edition in known.values():
        edition.offered = False
    for position, described in enumerate(description.editions):
        row = known.get(described.code) or Edition(
            publication_id=publication.id, code=described.code, label="", languages=[], position=0
        )
        row.sqlmodel_update({**described.model_dump(), "position": position})
        session.add(row)
    return publication, found is None


def find(session: Session, slug: str | None) -> Publication:
    """The publication called `slug`; the only one, where none is named. Raises PublicationError."""
    every = session.exec(select(Publication).order_by(col(Publication.slug))).all()
    if not every:
        raise PublicationError("There is no publication yet. Type: mailer init")
    if slug is None and len(every) == 1:
        return every[0]
    known = ", ".join(publication.slug for publication in every)
    if slug is None:
        raise PublicationError(f"There are several publications: {known}. Add --publication NAME.")
    named = next((publication for publication in every if publication.slug == slug), None)
    if named is None:
        raise PublicationError(f"There is no publication {slug}. There are: {known}.")
    return named
