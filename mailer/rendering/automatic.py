"""Mails that answer a reader's act: the confirmation and the welcome. Nothing that a stranger typed stands in them."""

from collections.abc import Mapping

from mailer.rendering.body import Body, Letterhead
from mailer.rendering.page import page
from mailer.rendering.question import question
from mailer.rendering.text import footer, joined, labelled, underlined, wrapped
from mailer.rendering.words import Words, in_language, words


def render_confirmation(
    language: str,
    letterhead: Letterhead,
    *,
    edition_label: str,
    confirm_url: str,
    valid_hours: int,
    by_reply: bool = False,
) -> Body:
    """Asks whether it was the reader who subscribed. `confirm_url` may hold a slot marker. `by_reply`: whether a reply
    confirms as well."""
    spoken = words(language)
    name = in_language(letterhead.names, language)
    heading = spoken.gettext("Please confirm your subscription")
    before = question(language, letterhead.names, edition_label)
    reply = [spoken.gettext("If the page does not open, simply reply to this mail: that confirms as well.")]
    after = [
        *(reply if by_reply else []),
        _validity(spoken, valid_hours),
        spoken.gettext("If this was not you, do nothing: without confirmation you get no more mail from us."),
    ]
    values = {
        "subject": spoken.gettext("Confirm your subscription: {name}", name=name),
        "name": name,
        "heading": heading,
        "before": before,
        "button": spoken.gettext("Confirm subscription"),
        "url": confirm_url,
        "naked": spoken.gettext("If the button does not work, copy this link into your browser:"),
        "after": after,
        "unsubscribe_url": None,
    }
    naked = labelled(spoken.gettext("To confirm, open this link:"), confirm_url)
    text = [wrapped(name), underlined(heading, "="), *map(wrapped, before), naked, *map(wrapped, after)]
    return _body(values, spoken, letterhead, [*text, *footer(spoken, letterhead, [])])


def render_welcome(
    language: str, letterhead: Letterhead, *, edition_label: str, unsubscribe_url: str, archive_url: str
) -> Body:
    """Says that the subscription has begun, and how to end it. `unsubscribe_url` may hold a slot marker."""
    spoken = words(language)
    name = in_language(letterhead.names, language)
    heading = spoken.gettext("You have been successfully subscribed")
    before = [
        spoken.gettext(
            "From now on “{name}” comes to this address once a week, as soon as a new issue is out.", name=name
        ),
        spoken.gettext("Your edition: {edition}.", edition=edition_label),
        spoken.gettext("Until then, past issues are waiting for you in the archive."),
    ]
    after = [spoken.gettext("You can leave whenever you like: the link is below, and in every issue.")]
    values = {
        "subject": spoken.gettext("You are subscribed: {name}", name=name),
        "name": name,
        "heading": heading,
        "before": before,
        "button": spoken.gettext("Read past issues"),
        "url": archive_url,
        "naked": spoken.gettext("If the button does not work, copy this link into your browser:"),
        "after": after,
        "unsubscribe_url": unsubscribe_url,
    }
    archive = labelled(spoken.gettext("All issues"), archive_url)
    leave = labelled(spoken.gettext("Unsubscribe"), unsubscribe_url)
    text = [wrapped(name), underlined(heading, "="), *map(wrapped, before), archive, *map(wrapped, after)]
    return _body(values, spoken, letterhead, [*text, *footer(spoken, letterhead, [leave])])


def _validity(spoken: Words, hours: int) -> str:
    if hours % 24 == 0:
        return spoken.ngettext("The link is valid for {count} day.", "The link is valid for {count} days.", hours // 24)
    return spoken.ngettext("The link is valid for {count} hour.", "The link is valid for {count} hours.", hours)


def _body(values: Mapping[str, object], spoken: Words, letterhead: Letterhead, text: list[str]) -> Body:
    html = page("email/automatic.html", spoken, letterhead, values)
    return Body(subject=str(values["subject"]), html=html, text=joined(text))
