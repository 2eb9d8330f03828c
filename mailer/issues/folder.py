"""An issue's folder: `2017-04-03/` with `en.md`, `be.md`, `ru.md` and pictures beside."""

import re
import unicodedata
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from mailer.issues import languages
from mailer.issues.manuscript import PictureSource
from mailer.issues.pictures import BUDGET, FILE_LIMIT, fit, over_budget
from mailer.issues.problems import Problem, SourceError
from mailer.issues.source import IssueSource, TranslationSource, parse_translation

_SLUG = re.compile(r"[a-z0-9-]{1,64}")


def read_folder(path: Path) -> IssueSource:
    """Reads an issue from disk; the folder's name becomes its slug. Raises SourceError with all that is wrong."""
    try:
        return read_files(path.resolve().name, _Folder(path))
    except (OSError, ValueError) as error:
        what = "the folder cannot be read" + (f": {error.strerror}" if isinstance(error, OSError) else "")
        raise SourceError([Problem(str(path), None, what, "Name a folder that holds files such as en.md.")]) from None


def read_files(slug: str, files: Mapping[str, bytes]) -> IssueSource:
    """Reads an issue from files by name, however they came. Raises SourceError with all that is wrong."""
    problems, warnings = list[Problem](), list[Problem]()
    if not _SLUG.fullmatch(slug):
        mend = "Use small letters a-z, digits and hyphens, at most 64, such as 2017-04-03."
        problems.append(Problem(f"{slug!r:.80}", None, "the folder's name cannot become the issue's", mend))
    translations = _translations(slug, files, problems)
    _compare(translations, problems, warnings)
    pictures = _pictures(translations, files, problems, warnings)
    if problems:
        raise SourceError(problems)
    first = next(iter(translations.values()))
    return IssueSource(
        slug=slug,
        first_day=first.first_day,
        last_day=first.last_day,
        translations=translations,
        pictures=pictures,
        warnings=tuple(warnings),
    )


class _Folder(Mapping[str, bytes]):
    """The files of a folder by name, read when they are asked for, and no further than any may be long."""

    def __init__(self, path: Path) -> None:
        self._paths = {
            unicodedata.normalize("NFC", file.name): file for file in sorted(path.iterdir()) if file.is_file()
        }

    def __getitem__(self, name: str) -> bytes:
        with self._paths[name].open("rb") as file:
            return file.read(FILE_LIMIT + 1)

    def __iter__(self) -> Iterator[str]:
        return iter(self._paths)

    def __len__(self) -> int:
        return len(self._paths)


def _translations(slug: str, files: Mapping[str, bytes], problems: list[Problem]) -> dict[str, TranslationSource]:
    translations: dict[str, TranslationSource] = {}
    names = [name for name in files if name.endswith(".md") and not name.startswith(".")]
    if not names:
        wanted = ", ".join(f"{language}.md" for language in languages.available())
        problems.append(Problem(f"{slug:.80}", None, "there is no language file", f"Add one or more of {wanted}."))
    for name in sorted(names):
        try:
            translation = _translation(name, files[name])
            translations[translation.language] = translation
        except SourceError as error:
            problems.extend(error.problems)
    return translations


def _translation(name: str, content: bytes) -> TranslationSource:
    language, known = name.removesuffix(".md"), languages.available()
    if language not in known:
        mend = f"Name the file after a language with a word catalogue ({', '.join(known)}), or take it away."
        raise SourceError([Problem(name, None, "this is no known language", mend)])
    try:
        return parse_translation(content.decode(), name, language)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        what = f"the byte 0x{content[error.start]:02X} is not UTF-8"
        raise SourceError([Problem(name, line, what, "Save the file as UTF-8.")]) from None


def _compare(translations: Mapping[str, TranslationSource], problems: list[Problem], warnings: list[Problem]) -> None:
    """Periods must be equal; the number and verdicts of the commentaries usually are."""
    if len(translations) < 2:
        return
    first, *others = translations.values()
    for other in others:
        if (other.first_day, other.last_day) != (first.first_day, first.last_day):
            what = f"the period {other.first_day}/{other.last_day} is not that of {first.file}"
            mend = f"Write period: {first.first_day}/{first.last_day}, or correct {first.file}."
            problems.append(Problem(other.file, None, what, mend))
        counts = len(other.commentaries), len(first.commentaries)
        if counts[0] != counts[1]:
            what = f"commentaries: {counts[0]} here, {counts[1]} in {first.file}"
            warnings.append(Problem(other.file, None, what, "Check that none is missing."))
        elif [c.verdict for c in other.commentaries] != [c.verdict for c in first.commentaries]:
            warnings.append(Problem(other.file, None, f"the verdicts are not those of {first.file}", "Compare them."))


def _pictures(
    translations: Mapping[str, TranslationSource],
    files: Mapping[str, bytes],
    problems: list[Problem],
    warnings: list[Problem],
) -> dict[str, PictureSource]:
    """The pictures that are used, fitted."""
    found: dict[str, bytes] = {}
    for name, (file, line) in _first_uses(translations).items():
        if name not in files:
            mend = f"Put {name} beside {file}, or correct the name. {_there_are(files)}"
            problems.append(Problem(file, line, f'the picture "{name}" is not in the folder', mend))
        else:
            found[name] = files[name]
    pictures, unfit = fit(found)
    problems.extend(Problem(name, None, error.what, error.mend) for name, error in unfit.items())
    too_much = over_budget(pictures.values())
    if too_much:
        what = f"the pictures are more than {BUDGET // 1000} kB together ({too_much})"
        problems.append(Problem("pictures", None, what, "Take some out."))
    unused = sorted(name for name in files if _is_picture(name) and name not in _first_uses(translations))
    warnings.extend(
        Problem(name, None, "no translation shows this picture", "Use it, or remove it.") for name in unused
    )
    return pictures


def _first_uses(translations: Mapping[str, TranslationSource]) -> dict[str, tuple[str, int]]:
    uses: dict[str, tuple[str, int]] = {}
    for translation in translations.values():
        for use in translation.pictures:
            uses.setdefault(use.name, (translation.file, use.line))
    return uses


def _is_picture(name: str) -> bool:
    return name.lower().endswith((".jpg", ".jpeg", ".png", ".gif", ".webp", ".svg"))


def _there_are(files: Collection[str]) -> str:
    names = sorted(filter(_is_picture, files))
    return f"There are: {', '.join(names[:8])}." if names else "There are no pictures yet."
