"""From a publication's row to what rendering wants: the letterhead, the header fields, the links."""

from collections.abc import Sequence

from mailer import links
from mailer.links import Command
from mailer.rendering.body import Letterhead, Links, Tokens
from mailer.rendering.message import Head, Slot, marker
from mailer.tables import Publication

SENDER_ID = "mailer"
"""Last part of Feedback-ID: 5 to 15 characters, the same for all our mail (Google's sender guidelines)."""


def letterhead_of(publication: Publication) -> Letterhead:
    return Letterhead(
        names=publication.names,
        contact_address=publication.contact_address,
        postal_address=publication.postal_address,
        accent=publication.accent,
    )


def name_in(publication: Publication, languages: Sequence[str]) -> str:
    """The publication's name in the first of these languages that it has one in."""
    return next((publication.names[each] for each in languages if each in publication.names), publication.slug)


def links_of(
    publication: Publication,
    languages: Sequence[str],
    slug: str,
    host: str,
    *,
    private: bool = False,
    edition: str = "",
    mail_domain: str | None = None,
) -> Links:
    """Where an issue's mail points to. A private issue is nowhere but in the mail. `mail_domain`: where mail from
    readers is acted on."""
    shown = languages if publication.archive else ()
    token = marker(Slot.UNSUBSCRIBE)
    return Links(
        view={language: links.issue(host, publication.slug, language, slug) for language in shown if not private},
        archive={language: links.archive(host, publication.slug, language) for language in shown},
        preferences=links.preferences(host, marker(Slot.PREFERENCES)),
        unsubscribe=links.unsubscribe(host, token),
        leave_address=links.by_mail(Command.LEAVE, token, mail_domain) if mail_domain else None,
        subscribe_address=links.subscribe_by_mail(publication.slug, edition, mail_domain) if mail_domain else None,
        ways_address=links.by_mail(Command.PREFERENCES, marker(Slot.PREFERENCES), mail_domain) if mail_domain else None,
    )


def head_of(
    publication: Publication,
    languages: Sequence[str],
    *,
    host: str,
    mail_domain: str,
    with_unsubscribe: bool = True,
    by_reply: Command | None = None,
    automatic: bool = False,
    token_field: str | None = None,
    feedback: Sequence[str] = (),
) -> Head:
    """The header fields of a publication's mail. `by_reply`: what a reply does. `feedback`: what Feedback-ID tells
    apart, at most two words."""
    token = marker(Slot.UNSUBSCRIBE)
    name = name_in(publication, languages)
    return Head(
        sender_name=name,
        sender_address=publication.sender_address,
        message_domain=mail_domain,
        languages=languages,
        list_id=publication.list_id,
        list_name=name,
        owner_address=publication.contact_address,
        archive_url=links.archive(host, publication.slug, languages[0]) if publication.archive else None,
        unsubscribe_url=links.unsubscribe(host, token) if with_unsubscribe else None,
        unsubscribe_address=links.by_mail(Command.LEAVE, token, mail_domain) if with_unsubscribe else None,
        reply_to=links.by_mail(by_reply, marker(Slot.CONFIRM), mail_domain) if by_reply else None,
        feedback_id=":".join([*feedback, publication.slug, SENDER_ID]) if feedback else None,
        automatic=automatic,
        token_field=token_field,
    )


def by_mail(mail_domain: str) -> Tokens:
    """What the addresses are made of by which a mail is answered."""
    return Tokens(
        mail_domain=mail_domain,
        unsubscribe=marker(Slot.UNSUBSCRIBE),
        preferences=marker(Slot.PREFERENCES),
        act=marker(Slot.CONFIRM),
    )
