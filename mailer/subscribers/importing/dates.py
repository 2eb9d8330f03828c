"""Cells that say when something happened: whether it did.

What programs write where nothing happened is taken for that only where it is known, for else somebody who left would be
taken for a reader; what is no date either is not known.
"""

import re

from mailer.subscribers.importing.words import NO, YES, is_blank

EARLIEST, LATEST = 1971, 2199
"""Years of what happened to a newsletter's reader."""

_NEVER = frozenset((*NO, "never", "никогда", "ніколі"))

_ZEROS = frozenset(
    {
        (1, 1, 1),  # Go, .NET
        (1, 11, 30),  # PHP: -0001-11-30
        (1, 1, 1601),  # Windows
        (1, 1, 1753),  # SQL Server
        *((12, 30, 1899), (12, 31, 1899), (0, 1, 1900), (1, 1, 1900)),  # spreadsheets
        *((1, 1, 1970), (12, 31, 1969)),  # Unix, and west of Greenwich
    }
)
"""What stands for no date: its three numbers in order of size."""

# 2020-01-31 10:00, 31.01.2020, 1/31/20
_NUMBERS = re.compile(r"-?(\d{1,4})[-./ ](\d{1,2})[-./ ](\d{4}|\d{1,2})(?:[t ,].*)?")
# 20200131, 20200131T100000Z
_COMPACT = re.compile(r"(\d{4})(\d\d)(\d\d)(?:t?\d{4,6}(?:\.\d+)?z?)?")
# since 1970, or thousandths, or millionths
_SECONDS = re.compile(r"1\d{9}(?:\d{3}|\d{6})?(?:\.\d+)?")
# 31 January 2020, Jan 31st, 2020 at 10:00, Fri, 31-Jan-2020 10:00:00 GMT
_NAMED = re.compile(
    r"(?:[^\W\d_]+\.?,? )?"
    r"(?:\d{1,2}(?:st|nd|rd|th)?\.?[ -](?P<after>[^\W\d_]+)|(?P<before>[^\W\d_]+)\.? \d{1,2}(?:st|nd|rd|th)?)"
    r"[.,]{0,2}[ -](?P<year>\d{4})(?:\b.*)?"
)
_MONTHS = frozenset(
    (
        *("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"),
        *("янв", "фев", "мар", "апр", "мая", "май", "июн", "июл", "авг", "сен", "окт", "ноя", "дек"),
        *("сту", "лют", "сак", "кра", "тра", "чэр", "ліп", "жні", "вер", "кас", "ліс", "сне"),
    )
)


def happened(cell: str) -> bool | None:
    """Of a column such as unsubscribed_at. None: it is neither a date nor anything that stands for none."""
    bare = cell.strip().casefold()
    if is_blank(bare) or bare in _NEVER or _is_zero(bare):
        return False
    return True if bare in YES or _is_date(bare) else None


def _is_zero(bare: str) -> bool:
    if "0" in bare and not set(bare) - set("0-+./:,tz "):
        return True
    found = _NUMBERS.fullmatch(bare) or _COMPACT.fullmatch(bare)
    if found is None or not any(len(each) == 4 for each in found.groups()):  # 1/1/01 is a day in 2001
        return False
    return tuple(sorted(map(int, found.groups()))) in _ZEROS


def _is_date(bare: str) -> bool:
    if _SECONDS.fullmatch(bare):
        return True
    if found := _NUMBERS.fullmatch(bare) or _COMPACT.fullmatch(bare):
        small, middle, large = sorted(map(int, found.groups()))
        if large <= 99:  # the year has two digits
            return 1 <= small <= 12 and len(found[1]) <= 2 == len(found[3])
        return 1 <= small <= 12 and middle <= 31 and _is_year(large)
    if found := _NAMED.fullmatch(bare):
        return (found["after"] or found["before"])[:3] in _MONTHS and _is_year(int(found["year"]))
    return False


def _is_year(number: int) -> bool:
    return EARLIEST <= number <= LATEST
