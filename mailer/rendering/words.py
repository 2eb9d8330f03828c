"""Translated words and dates. Everything that belongs to one language stands in its catalogue, templates/words/*.po."""

import functools
import gettext
import io
from collections.abc import Mapping
from datetime import date, datetime
from zoneinfo import ZoneInfo

from babel.dates import format_date, format_datetime
from babel.messages.mofile import write_mo
from babel.messages.pofile import PoFileError, read_po

from mailer.errors import MailerError
from mailer.issues import languages
from mailer.issues.verdict import Verdict


class WordsError(MailerError):
    """A catalogue is missing or broken; the message names the file."""


def available() -> tuple[str, ...]:
    """The languages that have a catalogue, sorted."""
    return languages.available()


@functools.cache
def words(language: str) -> "Words":
    """The language's words, read once. Raises WordsError."""
    path = languages.catalogue(language)
    try:
        if language not in available():
            raise WordsError(f"There are no words for {language!r}. Languages: {', '.join(available())}.")
        with path.open("rb") as file:
            catalogue = read_po(file, locale=language, abort_invalid=True)
    except (OSError, ValueError, PoFileError) as error:
        raise WordsError(f"{path} cannot be read: {error}.") from None
    compiled = io.BytesIO()
    write_mo(compiled, catalogue)
    compiled.seek(0)
    return Words(language, gettext.GNUTranslations(compiled))


class Words:
    """One language. Messages are English sentences; `{name}` in them stands for the value of that name."""

    def __init__(self, language: str, translations: gettext.NullTranslations) -> None:
        self.language = language
        self._translations = translations

    def gettext(self, message: str, /, **values: object) -> str:
        return self._translations.gettext(message).format(**values)

    def pgettext(self, context: str, message: str, /, **values: object) -> str:
        """A message that would mean several things without its context."""
        return self._translations.pgettext(context, message).format(**values)

    def ngettext(self, singular: str, plural: str, count: int, /, **values: object) -> str:
        """The form that goes with `count`, which is also a value."""
        return self._translations.ngettext(singular, plural, count).format(count=count, **values)

    @property
    def name(self) -> str:
        """What the language calls itself."""
        return self.pgettext("the language's own name", "English")

    def verdict(self, verdict: Verdict) -> str:
        match verdict:
            case Verdict.BETTER:
                return self.pgettext("the situation", "got better")
            case Verdict.UNCHANGED:
                return self.pgettext("the situation", "has not changed")
            case Verdict.WORSE:
                return self.pgettext("the situation", "got worse")

    def day(self, day: date) -> str:
        return self.pgettext("a day", "{day:MMMM d, y}", day=_Date(day, self.language))

    def weekday(self, day: date) -> str:
        """A day that is near: Monday, April 10."""
        return self.pgettext("a day of the week", "{day:EEEE, MMMM d}", day=_Date(day, self.language))

    def moment(self, moment: datetime, time_zone: str) -> str:
        """An aware moment on the wall clock of `time_zone`."""
        local = moment.astimezone(ZoneInfo(time_zone))
        return self.pgettext("a moment", "{moment:MMMM d, y, HH:mm}", moment=_Date(local, self.language))

    def period(self, first: date, last: date) -> str:
        """From the first to the last day: 3–9 апреля 2017."""
        days = {"first": _Date(first, self.language), "last": _Date(last, self.language)}
        if first == last:
            return self.day(first)
        if first.year != last.year:
            return self.pgettext("a period over the new year", "{first:MMMM d, y} – {last:MMMM d, y}", **days)
        if first.month != last.month:
            return self.pgettext("a period within a year", "{first:MMMM d} – {last:MMMM d, y}", **days)
        return self.pgettext("a period within a month", "{first:MMMM d} – {last:MMMM d, y}", **days)


class _Date:
    """A date that a message formats: `{day:d MMMM y}` holds a Babel pattern."""

    def __init__(self, value: date, language: str) -> None:
        self._value, self._language = value, language

    def __format__(self, pattern: str) -> str:
        if isinstance(self._value, datetime):
            return format_datetime(self._value, pattern, locale=self._language)
        return format_date(self._value, pattern, locale=self._language)


def in_language(texts: Mapping[str, str], language: str) -> str:
    """The text in `language`, or in the first language there is one in, or none."""
    return texts.get(language) or next(iter(texts.values()), "")
