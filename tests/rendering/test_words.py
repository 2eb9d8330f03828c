"""The catalogues are complete and agree with the code; dates read as people write them."""

import re
import string
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from babel.messages.catalog import Catalog, Message
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po
from hypothesis import given
from hypothesis import strategies as st
from jinja2 import Environment, nodes

import mailer
from mailer.issues.verdict import Verdict
from mailer.rendering.words import WordsError, available, in_language, words
from mailer.resources import resource

LANGUAGES = ["be", "en", "ru"]
Key = tuple[str | None, str]


def catalogue(language: str) -> Catalog:
    with (resource("templates") / "words" / f"{language}.po").open("rb") as file:
        return read_po(file, locale=language, abort_invalid=True)


def messages(language: str) -> dict[Key, Message]:
    return {(message.context, _forms(message.id)[0]): message for message in catalogue(language) if message.id}


def _forms(text: str | tuple[str, ...] | list[str] | None) -> list[str]:
    return [text] if isinstance(text, str) else list(text or ())


def _placeholders(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}


def used() -> set[Key]:
    """What templates and code say."""
    code, templates = Path(mailer.__file__).parent, resource("templates")
    said = extract_from_dir(code, [("**.py", "python")])
    return {(context, _forms(message)[0]) for _, _, message, _, context in said} | {
        key for path in templates.rglob("*.html") for key in _said_in(path)
    }


def _said_in(template: Path) -> Iterator[Key]:
    """Calls of `_`, `ngettext` and `pgettext`, also as methods of a language: `words.gettext`."""
    for call in Environment().parse(template.read_text(encoding="utf-8")).find_all(nodes.Call):
        name = call.node.attr if isinstance(call.node, nodes.Getattr) else getattr(call.node, "name", "")
        texts = [argument.value for argument in call.args if isinstance(argument, nodes.Const)]
        if name in ("_", "gettext", "ngettext"):
            yield None, texts[0]
        elif name == "pgettext":
            yield texts[0], texts[1]


def test_three_languages_have_a_catalogue() -> None:
    assert set(LANGUAGES) <= set(available())


@pytest.mark.parametrize("language", available())
def test_every_message_in_use_is_in_the_catalogue_and_none_else(language: str) -> None:
    assert used() - set(messages(language)) == set()
    assert set(messages(language)) - used() == set()


@pytest.mark.parametrize("language", available())
def test_every_message_is_translated_and_none_is_fuzzy(language: str) -> None:
    for message in messages(language).values():
        assert not message.fuzzy, message.id
        if language != "en":  # an empty English msgstr means the msgid
            assert all(_forms(message.string)), message.id


@pytest.mark.parametrize("language", available())
def test_translations_keep_the_placeholders(language: str) -> None:
    for message in messages(language).values():
        wanted = _placeholders(_forms(message.id)[-1])
        for form in filter(None, _forms(message.string)):
            assert _placeholders(form) == wanted, form


@pytest.mark.parametrize("language", available())
def test_every_plural_form_is_there(language: str) -> None:
    for message in messages(language).values():
        if message.pluralizable:
            assert len(_forms(message.string)) == catalogue(language).num_plurals


@pytest.mark.parametrize(("language", "text"), [("be", "[ыэўёі]|[а-я]"), ("ru", "[ыэё]|[а-я]")])
def test_cyrillic_languages_are_written_in_cyrillic(language: str, text: str) -> None:
    for key, message in messages(language).items():
        for form in _forms(message.string):
            bare = re.sub(r"\{[^}]*\}", "", form)
            if any(char.isalpha() for char in bare):
                assert re.search(text, bare.lower()), key
            forbidden = "ищъ" if language == "be" else "іўґ"
            assert not set(forbidden) & set(bare.lower()), form


def _said(language: str) -> list[tuple[str, str]]:
    """Each English message, all its forms in one, and each form in `language`; without the placeholders."""
    every = messages(language).values()
    return [
        (" ".join(map(_bare, _forms(message.id))), _bare(form))
        for message in every
        for form in filter(None, _forms(message.id if language == "en" else message.string))
    ]


def _bare(text: str) -> str:
    return re.sub(r"\{[^}]*\}", "{}", text)


@pytest.mark.parametrize("language", ["be", "ru"])
def test_no_latin_letter_stands_for_a_cyrillic_one(language: str) -> None:
    """What is Latin in a translation is so in the English: names such as JSON."""
    for english, said in _said(language):
        assert set(re.findall("[A-Za-z]+", said)) <= set(re.findall("[A-Za-z]+", english)), said


@pytest.mark.parametrize(("language", "foreign"), [("en", "«»"), ("be", "“”"), ("ru", "“”")])
def test_punctuation_is_that_of_the_language(language: str, foreign: str) -> None:
    for english, said in _said(language):
        assert not set(said) & set("\"'!`´ʼ‘" + foreign), said
        assert "..." not in said, said
        assert "  " not in said, said
        assert " - " not in said, said
        assert said == said.strip(), said
        assert (said[-1] in ".?:") == (english[-1] in ".?:"), said


@pytest.mark.parametrize("language", ["be", "ru"])
def test_no_line_begins_with_a_dash_or_parts_a_number_from_its_noun(language: str) -> None:
    for message in messages(language).values():
        for form in _forms(message.string):
            assert " —" not in form, form
            assert not re.search(r"(\{count\}|\d) [а-яёіў]|day:.*d MMMM", form), form


@pytest.mark.parametrize("language", ["be", "ru"])
def test_the_reader_is_addressed_with_a_small_letter(language: str) -> None:
    for _, said in _said(language):
        assert not re.search(r"(?<![.?:]) (Вы|Вас|Вам|Ваш)", said), said


def test_belarusian_writes_the_short_u_after_vowels_and_only_there() -> None:
    for _, said in _said("be"):
        text = said.lower().replace("\N{NO-BREAK SPACE}", " ")
        assert not re.search(r"[аеёіоуыэюя] у|[аеёіоыэюя]у", text), said
        assert not re.search(r"(?<![аеёіоуыэюя])(?<![аеёіоуыэюя}] )(?<![аеёіоуыэюя]» )ў", text), said


@pytest.mark.parametrize(
    ("first", "last", "en", "be", "ru"),
    [
        ("2017-04-03", "2017-04-09", "April 3 – April 9, 2017", "3–9 красавіка 2017", "3–9 апреля 2017"),
        ("2017-04-27", "2017-05-03", "April 27 – May 3, 2017", "27 красавіка – 3 мая 2017", "27 апреля – 3 мая 2017"),
        (
            "2016-12-29",
            "2017-01-04",
            "December 29, 2016 – January 4, 2017",
            "29 снежня 2016 – 4 студзеня 2017",
            "29 декабря 2016 – 4 января 2017",
        ),
        ("2017-05-01", "2017-05-01", "May 1, 2017", "1\N{NO-BREAK SPACE}мая 2017", "1\N{NO-BREAK SPACE}мая 2017"),
    ],
)
def test_periods_read_as_people_write_them(first: str, last: str, en: str, be: str, ru: str) -> None:
    days = date.fromisoformat(first), date.fromisoformat(last)
    assert [words(language).period(*days) for language in ("en", "be", "ru")] == [en, be, ru]


@given(st.dates(date(1990, 1, 1), date(2100, 1, 1)), st.integers(0, 40), st.sampled_from(LANGUAGES))
def test_a_period_names_both_its_days_and_years(first: date, length: int, language: str) -> None:
    last = first + timedelta(days=length)
    numbers = [int(number) for number in re.findall(r"\d+", words(language).period(first, last))]
    assert set(numbers) == {first.day, last.day, first.year, last.year}


def test_a_moment_is_told_on_the_readers_wall_clock() -> None:
    moment = datetime(2026, 11, 23, 21, 30, tzinfo=UTC)
    assert words("be").moment(moment, "Europe/Minsk") == "24\N{NO-BREAK SPACE}лістапада 2026, 00:30"
    assert words("en").moment(moment, "Europe/Warsaw") == "November 23, 2026, 22:30"


def test_languages_know_their_own_names() -> None:
    assert [words(language).name for language in LANGUAGES] == ["Беларуская", "English", "Русский"]


def test_verdicts_have_words_in_every_language() -> None:
    assert [words("en").verdict(verdict) for verdict in Verdict] == ["got better", "has not changed", "got worse"]
    assert len({words(language).verdict(verdict) for language in LANGUAGES for verdict in Verdict}) == 9


@pytest.mark.parametrize(
    ("count", "form"), [(1, "день"), (3, "дня"), (5, "дней"), (11, "дней"), (21, "день"), (22, "дня")]
)
def test_plural_forms_follow_the_number(count: int, form: str) -> None:
    said = words("ru").ngettext("The link is valid for {count} day.", "The link is valid for {count} days.", count)
    assert said == f"Ссылка действует {count}\N{NO-BREAK SPACE}{form}."


@pytest.mark.parametrize("language", ["xx", "", "../words/be", "EN"])
def test_a_language_without_a_catalogue_is_named_with_those_there_are(language: str) -> None:
    with pytest.raises(WordsError, match="be, en, ru"):
        words(language)


def test_a_text_that_a_language_lacks_is_given_in_the_first_there_is() -> None:
    assert in_language({"en": "Street"}, "be") == "Street"
    assert in_language({"en": "Street", "be": "Вуліца"}, "be") == "Вуліца"
    assert in_language({}, "be") == ""
