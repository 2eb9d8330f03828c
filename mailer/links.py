"""Every address a mail or page points to, in one place. `host` is an origin: https://news.example.org."""

import enum


class Command(enum.StrEnum):
    """What letters do that readers write to us where a site is blocked: the first word of an address of ours.

    Behind it stand what it is about, where it is about something, and a token: pause-4+TOKEN@…
    """

    CONFIRM = "confirm"
    LEAVE = "leave"
    PREFERENCES = "preferences"  #: sends the letter that holds the following
    PAUSE = "pause"  #: weeks
    RESUME = "resume"
    ADD = "add"  #: an edition's code
    DROP = "drop"  #: likewise
    LANGUAGE = "language"  #: of letters
    UNDO = "undo"  #: takes leaving back
    NEW_ADDRESS = "new-address"  #: the one that the letter is from
    MY_DATA = "my-data"  #: sends the letter that holds the last two
    MOVE = "move"  #: confirms a change of address, at the new one
    MOVE_BACK = "move-back"
    DATA = "data"
    ERASE = "erase"


def front(host: str, publication: str, language: str) -> str:
    """The publication's page with the subscribe form."""
    return f"{host}/{publication}/{language}"


def in_language(address: str, language: str) -> str:
    """The same page in a language that was picked, where its address names none."""
    return f"{address}{'&' if '?' in address else '?'}language={language}"


def archive(host: str, publication: str, language: str, year: int | None = None) -> str:
    """The list of weeks: the newest, or those of a year."""
    return f"{front(host, publication, language)}/issues" + (f"?year={year}" if year else "")


def issue(host: str, publication: str, language: str, slug: str) -> str:
    """One issue on the web; says nothing about who asks."""
    return f"{archive(host, publication, language)}/{slug}"


def commentary(host: str, publication: str, language: str, slug: str, name: str) -> str:
    """One commentary of an issue."""
    return f"{issue(host, publication, language, slug)}/{name}"


def feed(host: str, publication: str, language: str) -> str:
    """The Atom feed."""
    return f"{front(host, publication, language)}/feed.atom"


def confirm(host: str, token: str) -> str:
    return f"{host}/c/{token}"


def unsubscribe(host: str, token: str) -> str:
    """Short, because it also stands in List-Unsubscribe."""
    return f"{host}/u/{token}"


def subscribe_by_mail(publication: str, edition: str, mail_domain: str) -> str:
    """The address that a mail to subscribes."""
    return f"{publication}+subscribe-{edition}@{mail_domain}"


def preferences_by_mail(publication: str, mail_domain: str) -> str:
    """The address that a mail to has the ways by mail sent to its author, who reads."""
    return f"{publication}+{Command.PREFERENCES}@{mail_domain}"


LONGEST_CODE = 26
"""Characters of an edition's code that fit into an address: 64 octets stand before the @ (RFC 5321 §4.5.3.1.1), and 32
of them are the token."""


def by_mail(command: Command, token: str, mail_domain: str, what: str | int = "") -> str:
    """The address that a mail to does this, about `what`: at most LONGEST_CODE characters."""
    return f"{command}{f'-{what}' if what else ''}+{token}@{mail_domain}"


def ask_for_my_data(host: str, token: str) -> str:
    """Has the link to `my_data` mailed to the reader."""
    return f"{host}/p/{token}/data"


def my_data(host: str, token: str) -> str:
    """What we hold about the reader of a subscription."""
    return f"{host}/d/{token}"


def my_data_file(host: str, token: str) -> str:
    """The same to take along."""
    return f"{host}/d/{token}/data.json"


def erase(host: str, token: str) -> str:
    """Asks whether all of it is to go."""
    return f"{host}/d/{token}/erase"


def privacy(host: str, publication: str, language: str) -> str:
    """What is stored about readers, and for how long."""
    return f"{front(host, publication, language)}/privacy"


def preferences(host: str, token: str) -> str:
    return f"{host}/p/{token}"


def move(host: str, token: str) -> str:
    """Confirms a change of address, at the new one."""
    return f"{host}/m/{token}"


def move_back(host: str, token: str) -> str:
    """Takes a change of address back, at the old one."""
    return f"{host}/b/{token}"


MAILED = frozenset({"c", "u", "p", "d", "m", "b"})
"""First path segments of the links out of mails: a token follows."""

PATHS = MAILED | {"subscribe", "console", "desk", "api", "static", "health"}
"""First segments of paths that are not a publication's."""

RESERVED = PATHS | {"bounce"} | set(Command)
"""First path segments, and first words of addresses of ours, that are taken: no publication may be called so."""
