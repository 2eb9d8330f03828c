"""Names for places in an issue: readable, ASCII, stable as long as the headline is, unique beside other languages."""

import re
import unicodedata

_LENGTH = 40
_CYRILLIC = str.maketrans(
    dict(zip("абвгґдежзийклмнопрстуфцыэіўёї", "abvggdezziiklmnoprstufcyeiuei", strict=True))
    | {"х": "kh", "ч": "ch", "ш": "sh", "щ": "shch", "ж": "zh", "ю": "yu", "я": "ya", "є": "ye", "ь": "", "ъ": ""}
)  # not a standard's transliteration: enough to recognise the headline by


def anchor(language: str, headline: str, position: int, taken: set[str]) -> str:
    """The name of the commentary at `position` (from 1): "en-trams-return". Adds it to `taken`."""
    stem = f"{language}-{_readable(headline) or position}"
    name, number = stem, 1
    while name in taken:
        number += 1
        name = f"{stem}-{number}"
    taken.add(name)
    return name


def _readable(headline: str) -> str:
    # Translated before it is decomposed, because that would part й and ў into letter and breve.
    latin = unicodedata.normalize("NFC", headline).lower().translate(_CYRILLIC)
    ascii_only = unicodedata.normalize("NFKD", latin).encode("ascii", "ignore").decode()
    words = re.findall(r"[a-z0-9]+", re.sub(r"['’]", "", ascii_only))
    name = ""
    for word in words:
        if len(name) + len(word) >= _LENGTH:
            break
        name = f"{name}-{word}" if name else word
    return name or "".join(words)[:_LENGTH]
