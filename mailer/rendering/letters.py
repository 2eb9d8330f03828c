"""What automatic mails say: one function a kind, from what the mail is about to its words.

Nothing that a stranger typed stands in them. Kinds are the values of tables.DeliveryKind.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from mailer.links import Command
from mailer.rendering import ways
from mailer.rendering.body import About, Choices, Tokens
from mailer.rendering.question import moving, question
from mailer.rendering.words import Words, in_language
from mailer.rendering.words import words as in_words


@dataclass(frozen=True, kw_only=True)
class Letter:
    """One mail: a heading, paragraphs, one button, paragraphs."""

    subject: str
    heading: str
    before: Sequence[str]
    button: str
    url: str  #: where the button leads
    announced: str  #: what stands before the naked link in plain text
    after: Sequence[str]
    preferences: str | None = None  #: link below it, where there is something to change
    unsubscribe: str | None = None  #: likewise, to leave
    ways: Mapping[str, str] = field(default_factory=dict)  #: what an empty letter does -> the address to write it to


def confirmation(words: Words, about: About) -> Letter:
    """Asks whether it was the reader who subscribed."""
    reply = [words.gettext("If the page does not open, simply reply to this letter: that confirms as well.")]
    return Letter(
        subject=words.gettext("Confirm your subscription: {name}", name=_name(words, about)),
        heading=words.gettext("Please confirm your subscription"),
        before=question(words.language, about.names, about.edition),
        button=words.gettext("Confirm subscription"),
        url=about.act,
        announced=words.gettext("To confirm, open this link:"),
        after=[
            *(reply if about.by_mail else []),
            validity(words, about.valid_hours),
            words.gettext("If this was not you, do nothing: without confirmation you get no more letters from us."),
        ],
    )


def welcome(words: Words, about: About) -> Letter:
    """Says that the subscription has begun, and how to end it."""
    name = _name(words, about)
    return Letter(
        subject=words.gettext("You are subscribed: {name}", name=name),
        heading=words.gettext("You have been successfully subscribed"),
        before=[
            words.gettext(
                "From now on “{name}” comes to this address once a week, as soon as a new issue is out.", name=name
            ),
            words.gettext("Your edition: {edition}.", edition=about.edition),
            *([words.gettext("Until then, past issues are waiting for you in the archive.")] if about.archive else []),
        ],
        button=words.gettext("Read past issues") if about.archive else words.gettext("To the front page"),
        url=about.archive or about.front,
        announced=words.gettext("All issues") if about.archive else words.gettext("To the front page"),
        after=[
            words.gettext("You can leave whenever you like: the link is below, and in every issue."),
            words.gettext("Another edition, another address, a pause: the link for that is below as well."),
        ],
        preferences=about.preferences,
        unsubscribe=about.unsubscribe,
        ways=_leaving_and_the_rest(words, about.by_mail) if about.by_mail else {},
    )


def goodbye(words: Words, about: About) -> Letter:
    """Asks whether it was the reader who wrote that they want to leave."""
    reply = [words.gettext("If the page does not open, simply reply to this letter: that unsubscribes you as well.")]
    name = _name(words, about)
    return Letter(
        subject=words.gettext("Do you want to leave? {name}", name=name),
        heading=words.gettext("Please confirm that you want to unsubscribe"),
        before=[
            words.gettext(
                "Someone, we hope it was you, wrote to us that “{name}” should no longer come to this address.",
                name=name,
            ),
            words.gettext("Your edition: {edition}.", edition=about.edition),
        ],
        button=words.gettext("Unsubscribe"),
        url=about.unsubscribe,
        announced=words.gettext("To unsubscribe, open this link:"),
        after=[
            *(reply if about.by_mail else []),
            words.gettext("If this was not you, do nothing: everything stays as it is."),
        ],
    )


def warning(words: Words, about: About) -> Letter:
    """Says that mails to the reader failed, and asks whether they are read."""
    name = _name(words, about)
    reply = [words.gettext("If the page does not open, simply reply to this letter and say yes.")]
    return Letter(
        subject=words.gettext("Do our letters reach you? {name}", name=name),
        heading=words.gettext("Our letters to you keep coming back"),
        before=[
            words.gettext("Several letters of “{name}” could not be delivered to this address.", name=name),
            words.gettext(
                "Often the mailbox is full: then it helps to delete old letters or to empty the spam folder."
            ),
            words.gettext("Your edition: {edition}.", edition=about.edition),
        ],
        button=words.gettext("Yes, keep sending"),
        url=about.act,
        announced=words.gettext("To keep your subscription, open this link:"),
        after=[
            *(reply if about.by_mail else []),
            words.gettext(
                "If this letter reached you without trouble, you need not do anything."
                " If the next ones come back as well, we stop writing to you until you subscribe again."
            ),
        ],
        unsubscribe=about.unsubscribe,
    )


def new_address(words: Words, about: About) -> Letter:
    """Asks, at the address that a reader wants to move to, whether it is the reader's."""
    reply = [words.gettext("If the page does not open, simply reply to this letter: that confirms as well.")]
    return Letter(
        subject=words.gettext("Confirm your new address: {name}", name=_name(words, about)),
        heading=words.gettext("Is this your new address?"),
        before=[moving(words.language, about.names)],
        button=words.gettext("Confirm the new address"),
        url=about.act,
        announced=words.gettext("To confirm, open this link:"),
        after=[
            *(reply if about.by_mail else []),
            validity(words, about.valid_hours),
            words.gettext("If this was not you, do nothing: without confirmation nothing changes."),
        ],
    )


def old_address(words: Words, about: About) -> Letter:
    """Tells the address that a reader has moved from, and lets them take it back. Names no other address."""
    name = _name(words, about)
    return Letter(
        subject=words.gettext("Your address was changed: {name}", name=name),
        heading=words.gettext("Your address was changed"),
        before=[
            words.gettext(
                "“{name}” comes to another address from now on: somebody asked for it with a link from one of our"
                " letters to you, and it was confirmed there.",
                name=name,
            ),
            words.gettext("If it was you, there is nothing to do. If it was not, take the change back."),
        ],
        button=words.gettext("Take the change back"),
        url=about.act,
        announced=words.gettext("To take it back, open this link:"),
        after=[validity(words, about.valid_hours)],
        ways={ways.take_back(words): about.by_mail.answer(Command.MOVE_BACK)} if about.by_mail else {},
    )


def my_data(words: Words, about: About) -> Letter:
    """Leads to everything that is held about the reader. Says nothing of it: letters are forwarded."""
    return Letter(
        subject=words.gettext("Your data: {name}", name=_name(words, about)),
        heading=words.gettext("What we hold about you"),
        before=[
            words.gettext(
                "Someone with a link from one of our letters to you, we hope it was you,"
                " asked to see what we hold about you."
            ),
            words.gettext("The link in this letter leads to all of it: you can read it, download it and erase it."),
        ],
        button=words.gettext("See my data"),
        url=about.act,
        announced=words.gettext("To see it, open this link:"),
        after=[
            validity(words, about.valid_hours),
            words.gettext("Please do not forward this letter: whoever has the link sees your data and can erase it."),
            words.gettext("If this was not you, do nothing: only you got this link, and nothing changes."),
        ],
        ways=_data_and_erasure(words, about.by_mail) if about.by_mail else {},
    )


def my_data_file(words: Words, about: About) -> Letter:
    """Goes with everything that is held about the reader."""
    front = words.gettext("To the front page")
    return Letter(
        subject=words.gettext("Your data: {name}", name=_name(words, about)),
        heading=words.gettext("What we hold about you"),
        before=[
            words.gettext("All that we hold about you is in the file that goes along. You asked for it by mail."),
        ],
        button=front,
        url=about.front,
        announced=front,
        after=[],
    )


def preferences(words: Words, about: About) -> Letter:
    """Says how the reader stands, and at which addresses that is changed by a letter."""
    choices = about.choices or Choices()
    return Letter(
        subject=words.gettext("Your subscription: {name}", name=_name(words, about)),
        heading=words.gettext("Your subscription"),
        before=_standing(words, choices),
        button=words.gettext("Change edition, address or pause"),
        url=about.preferences,
        announced=words.gettext("Change edition, address or pause"),
        after=[
            words.gettext("Please do not forward this letter: whoever has it can change your subscription."),
        ],
        ways=_changes(words, choices, about.by_mail) if about.by_mail else {},
    )


def _standing(words: Words, choices: Choices) -> list[str]:
    if not choices.read:
        return [words.gettext("No letters of ours come to this address.")]
    said = [words.gettext("You get: {editions}.", editions=", ".join(choices.read))]
    if choices.paused_until:
        day = words.day(choices.paused_until)
        said.append(words.gettext("No issue before {day}. What comes out until then is not sent later.", day=day))
    return said


def _changes(words: Words, choices: Choices, by_mail: Tokens) -> dict[str, str]:
    """What is possible as things stand, in the order of the page."""
    change = by_mail.change
    found = dict[str, str]()
    if choices.may_undo:
        found[ways.undo(words)] = change(Command.UNDO)
    if choices.read:
        found |= {ways.add(words, label): change(Command.ADD, code) for code, label in choices.add.items()}
        found |= {ways.drop(words, label): change(Command.DROP, code) for code, label in choices.drop.items()}
        found |= {ways.pause(words, weeks): change(Command.PAUSE, weeks) for weeks in choices.pauses}
        if choices.paused_until:
            found[ways.resume(words)] = change(Command.RESUME)
        found[ways.new_address(words)] = change(Command.NEW_ADDRESS)
        found |= {ways.speak(in_words(language)): change(Command.LANGUAGE, language) for language in choices.languages}
    found[ways.my_data(words)] = change(Command.MY_DATA)
    if choices.read:
        found[ways.leave(words)] = by_mail.leave()
    return found


LETTERS: Mapping[str, Callable[[Words, About], Letter]] = {
    "confirmation": confirmation,
    "welcome": welcome,
    "goodbye": goodbye,
    "warning": warning,
    "new-address": new_address,
    "old-address": old_address,
    "my-data": my_data,
    "my-data-file": my_data_file,
    "preferences": preferences,
}
"""Each kind of automatic mail and what writes it."""


def validity(words: Words, hours: int) -> str:
    """How long a link can be used, in days where it is whole days."""
    if hours % 24 == 0:
        return words.ngettext("The link is valid for {count} day.", "The link is valid for {count} days.", hours // 24)
    return words.ngettext("The link is valid for {count} hour.", "The link is valid for {count} hours.", hours)


def _name(words: Words, about: About) -> str:
    return in_language(about.names, words.language)


def _leaving_and_the_rest(words: Words, by_mail: Tokens) -> dict[str, str]:
    return {ways.leave(words): by_mail.leave(), ways.everything_else(words): by_mail.change(Command.PREFERENCES)}


def _data_and_erasure(words: Words, by_mail: Tokens) -> dict[str, str]:
    return {ways.data(words): by_mail.answer(Command.DATA), ways.erase(words): by_mail.answer(Command.ERASE)}
