"""Mails that answer a reader's act, from their letter to their two forms."""

import dataclasses

from mailer.rendering.body import About, Body, Letterhead
from mailer.rendering.letters import LETTERS, Letter
from mailer.rendering.page import page
from mailer.rendering.text import by_mail, footer, joined, labelled, underlined, wrapped
from mailer.rendering.ways import introduction
from mailer.rendering.words import Words, in_language, words


def render_automatic(kind: str, language: str, letterhead: Letterhead, about: About) -> Body:
    """The mail of this kind (a key of LETTERS). The links in `about` may hold slot markers."""
    spoken = words(language)
    letter = LETTERS[kind](spoken, about)
    values = dataclasses.asdict(letter) | {
        "name": in_language(letterhead.names, language),
        "if_blocked": introduction(spoken),
        "naked": spoken.gettext("If the button does not work, copy this link into your browser:"),
    }
    html = page("email/automatic.html", spoken, letterhead, values)
    return Body(subject=letter.subject, html=html, text=_text(spoken, letterhead, letter))


def _text(words: Words, letterhead: Letterhead, letter: Letter) -> str:
    ways = {
        words.gettext("Change edition, address or pause"): letter.preferences,
        words.gettext("Unsubscribe"): letter.unsubscribe,
    }
    return joined(
        [
            wrapped(in_language(letterhead.names, words.language)),
            underlined(letter.heading, "="),
            *map(wrapped, letter.before),
            labelled(letter.announced, letter.url),
            *map(wrapped, letter.after),
            *by_mail(words, letter.ways),
            *footer(words, letterhead, [labelled(label, url) for label, url in ways.items() if url]),
        ]
    )
