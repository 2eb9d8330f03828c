"""In which encoding a file was written: said by its first octets, proved by all of them, or guessed and called so."""

import codecs
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

PORTION = 1 << 20
SAMPLE = 1 << 16  #: octets around letters that are not ASCII, from which a guess is made

_MARKS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))


@dataclass(frozen=True)
class Encoding:
    name: str  #: as Python calls it
    guessed: bool = False


def encoding_of(path: Path) -> Encoding:
    """Reads the whole file once, a mebibyte at a time. Raises OSError."""
    with path.open("rb") as file:
        start = file.read(SAMPLE)
        for mark, name in _MARKS:
            if start.startswith(mark):
                return Encoding(name)
        for name, zeros, letters in (("utf-16-le", start[1::2], start[::2]), ("utf-16-be", start[::2], start[1::2])):
            if zeros.count(0) > len(zeros) / 2 and letters.count(0) <= len(letters) / 100:
                return Encoding(name, guessed=True)
        file.seek(0)
        decoder, sample = codecs.getincrementaldecoder("utf-8")(), bytearray()
        is_utf8 = True
        while portion := file.read(PORTION):
            if len(sample) < SAMPLE and not portion.isascii():
                for line in _NOT_ASCII.findall(portion):
                    sample += line
            if is_utf8:
                try:
                    decoder.decode(portion)
                except UnicodeDecodeError:
                    is_utf8 = False
            elif len(sample) >= SAMPLE:
                break
        if is_utf8 and not decoder.getstate()[0]:
            return Encoding("utf-8")
    return Encoding(_guess(bytes(sample)), guessed=True)


_NOT_ASCII = re.compile(rb"[^\n]{0,200}[\x80-\xff][^\n]{0,200}\n?")

_COMMON = frozenset("оеаинтсрвлкмдпуяыьгзбчйхжшюцщэфёіўОЕАИНТСРВЛКМДПУЯЫЬГЗБЧЙХЖШЮЦЩЭФЁІЎ")
_FREQUENT = frozenset("оеаинтсрвл")


def _guess(sample: bytes) -> str:
    """Damaged UTF-8 where most of it is UTF-8; else the Cyrillic encoding in which it reads best, or a Western one."""
    damaged = len(re.findall("[\ufffd]+", sample.decode("utf-8", "replace")))
    whole = len(_sequences(sample))
    if whole > 9 * damaged:
        return "utf-8"
    runs = re.findall(rb"[\x80-\xff]+", sample)
    longest = sum(len(run) for run in runs if len(run) > 2)
    if longest < sum(map(len, runs)) / 2:
        return "cp1252"  # single accented letters between Latin ones
    return max(("cp1251", "koi8-r", "cp866"), key=lambda name: _reads(sample.decode(name, "replace")))


def _sequences(sample: bytes) -> list[bytes]:
    return re.findall(rb"[\xc3-\xf4][\x80-\xbf]{1,3}", sample)


def _reads(text: str) -> int:
    """How much it looks like Russian or Belarusian: frequent small letters, capitals only where words begin."""
    score = sum((char in _FREQUENT) * 2 + (char in _COMMON) - (not char.isalpha()) for char in _beyond_ascii(text))
    return score - 3 * len(re.findall(r"[а-яёіў][А-ЯЁІЎ]", text))


def _beyond_ascii(text: str) -> Iterable[str]:
    return (char for char in text if char > "\x7f")
