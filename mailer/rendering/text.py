"""The plain text of a mail, from the same parsed source as its HTML: wrapped for reading, links kept whole."""

import textwrap
from collections.abc import Mapping, Sequence

from mailer.issues.source import Commentary, Section, TranslationSource
from mailer.issues.verdict import Verdict
from mailer.rendering.body import Letterhead, Links
from mailer.rendering.prose import WIDTH, Notes, paragraphs
from mailer.rendering.ways import everything_else, introduction
from mailer.rendering.words import Words, in_language


def issue_text(parts: Sequence[tuple[Words, TranslationSource]], letterhead: Letterhead, links: Links) -> str:
    """A whole issue, its languages one after the other."""
    notes, made = Notes(), list[str]()
    if len(parts) > 1:
        made.append(" · ".join(words.name for words, _ in parts))
    for words, translation in parts:
        made += _part(words, translation, letterhead, notes)
    words = parts[0][0]
    reason = words.gettext("You get this letter because you subscribed to it and confirmed your address.")
    ways = [
        labelled(spoken.gettext("View in browser"), links.view[spoken.language])
        for spoken, _ in parts
        if spoken.language in links.view
    ]
    if links.archive:
        ways.append(labelled(words.gettext("All issues"), in_language(links.archive, words.language)))
    ways.append(labelled(words.gettext("Change edition, address or pause"), links.preferences))
    ways.append(labelled(words.gettext("Unsubscribe"), links.unsubscribe))
    letters = {
        words.gettext("Unsubscribe by mail"): links.leave_address,
        words.gettext("Subscribe by mail"): links.subscribe_address,
        everything_else(words): links.ways_address,
    }
    ways += by_mail(words, {label: address for label, address in letters.items() if address})
    return joined([*made, *footer(words, letterhead, [wrapped(reason), *ways])])


def by_mail(words: Words, ways: Mapping[str, str]) -> list[str]:
    """What an empty letter does, each with the address to write it to."""
    said = [wrapped(introduction(words))] if ways else []
    return said + [labelled(label, address) for label, address in ways.items()]


def joined(made: Sequence[str]) -> str:
    """Paragraphs with an empty line between them."""
    return "\n\n".join(paragraph for paragraph in made if paragraph).strip("\n") + "\n"


def wrapped(text: str, first: str = "", then: str = "") -> str:
    """One paragraph in lines. `first` and `then` stand before its first and its other lines."""
    return textwrap.fill(
        text,
        WIDTH,
        initial_indent=first,
        subsequent_indent=then,
        break_long_words=False,
        break_on_hyphens=False,
    )


def underlined(text: str, line: str) -> str:
    lines = wrapped(text)
    return f"{lines}\n{line * max(map(len, lines.splitlines() or ['']))}"


def labelled(label: str, address: str) -> str:
    """An address on a line of its own, so that nothing breaks it or sticks to it."""
    return f"{label.removesuffix(':')}:\n{address}"


def footer(words: Words, letterhead: Letterhead, ways: Sequence[str]) -> list[str]:
    editors = words.gettext("Editors")
    address = in_language(letterhead.postal_address, words.language)
    return ["-" * WIDTH, *ways, f"{editors}: {letterhead.contact_address}", wrapped(address)]


def _part(words: Words, translation: TranslationSource, letterhead: Letterhead, notes: Notes) -> list[str]:
    name = in_language(letterhead.names, words.language)
    period = words.period(translation.first_day, translation.last_day)
    made = [f"\n{wrapped(name)}\n{underlined(period, '=')}"]
    if translation.title != name:
        made.append(wrapped(translation.title))
    made.append(_contents(words, translation))
    for section in translation.sections:
        made.append("\n" + underlined(_section(words, section), "="))
        for commentary in section.commentaries:
            made += _commentary(words, section, commentary, notes)
    return made


def _contents(words: Words, translation: TranslationSource) -> str:
    label = words.gettext("In this issue")
    return "\n".join([f"{label}:", *(_entry(words, commentary) for commentary in translation.commentaries)])


def _entry(words: Words, commentary: Commentary) -> str:
    if commentary.verdict is None:
        return wrapped(commentary.headline, "- ", "  ")
    text = f"{commentary.headline} ({words.verdict(commentary.verdict)})"
    return wrapped(text, f"{commentary.verdict.sign} ", "  ")


def _section(words: Words, section: Section) -> str:
    if section.verdict is None:
        return section.heading
    said = words.verdict(section.verdict)
    more = "" if said.casefold() in section.heading.casefold() else f": {said}"
    return f"{section.verdict.sign} {section.heading}{more}"


def _commentary(words: Words, section: Section, commentary: Commentary, notes: Notes) -> list[str]:
    own = commentary.verdict if commentary.verdict != section.verdict else None
    headline = underlined(commentary.headline, "-")
    made = [f"{_signed(words, own)}\n{headline}" if own else headline]
    for block in (*commentary.lead, *commentary.body):
        made += paragraphs(block, notes)
    return [*made, notes.collected()]


def _signed(words: Words, verdict: Verdict) -> str:
    return f"{verdict.sign} {words.verdict(verdict)}"
