"""One language file: what it says, and what is wrong in it with line and mend."""

import contextlib
import re
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailer.issues.problems import SourceError
from mailer.issues.source import SOURCE_LIMIT, TranslationSource, parse_translation
from mailer.issues.verdict import Verdict

HEAD = "---\nperiod: 2017-04-03/2017-04-09\ntitle: Situation in Belarus\n---\n"
BODY = "## Section {verdict=unchanged}\n\n### Headline\n\n**Lead.** Body.\n"


def parsed(text: str) -> TranslationSource:
    return parse_translation(text, "be.md", "be")


def problems(text: str) -> list[str]:
    with pytest.raises(SourceError) as caught:
        parsed(text)
    assert str(caught.value).splitlines() == [str(problem) for problem in caught.value.problems]
    return str(caught.value).splitlines()


def only_problem(text: str) -> str:
    found = problems(text)
    assert len(found) == 1, found
    return found[0]


def in_body(text: str) -> str:
    return f"{HEAD}\n## Section\n\n### Headline\n\n{text}\n"  # the text begins at line 10


def test_a_file_is_read_into_sections_and_commentaries() -> None:
    translation = parsed(HEAD + BODY)
    assert translation.title == "Situation in Belarus"
    assert (translation.first_day, translation.last_day) == (date(2017, 4, 3), date(2017, 4, 9))
    assert (translation.subject, translation.preheader) == (None, None)
    assert translation.source == HEAD + BODY
    [section] = translation.sections
    [commentary] = section.commentaries
    assert (section.heading, section.verdict, commentary.headline) == ("Section", Verdict.UNCHANGED, "Headline")
    assert (section.line, commentary.line) == (5, 7)


def test_the_bold_beginning_is_the_lead_and_the_rest_of_its_paragraph_begins_the_body() -> None:
    [commentary] = parsed(HEAD + BODY).commentaries
    assert [token.content for token in commentary.lead[0][1].children or ()] == ["Lead."]
    assert [token.content for token in commentary.body[0][1].children or ()] == ["Body."]


def test_a_paragraph_that_is_bold_throughout_is_the_lead() -> None:
    [commentary] = parsed(in_body("**All of it.**\n\nBody.")).commentaries
    assert len(commentary.lead) == len(commentary.body) == 1


def test_bold_words_further_on_are_not_a_lead() -> None:
    [commentary] = parsed(in_body("Some **bold** words.")).commentaries
    assert commentary.lead == ()


def test_a_commentary_takes_its_sections_verdict_unless_it_has_its_own() -> None:
    text = "## A {verdict=better}\n### One\nx\n### Two {verdict=worse}\nx\n## B\n### Three\nx\n"
    assert [commentary.verdict for commentary in parsed(HEAD + text).commentaries] == ["better", "worse", None]


def test_a_fourth_level_heading_belongs_to_the_commentary() -> None:
    [commentary] = parsed(in_body("Text.\n\n#### More\n\nText.")).commentaries
    assert len(commentary.body) == 3


def test_subject_and_preheader_are_optional() -> None:
    translation = parsed(HEAD.replace("title", "subject: A subject\npreheader: More\ntitle") + BODY)
    assert (translation.subject, translation.preheader) == ("A subject", "More")


@pytest.mark.parametrize(("value", "private"), [("true", True), ("True", True), ("false", False)])
def test_an_issue_can_be_private(value: str, private: bool) -> None:
    assert parsed(HEAD.replace("title", f"private: {value}\ntitle") + BODY).private is private
    assert not parsed(HEAD + BODY).private


@pytest.mark.parametrize("value", ["yes", "", "0"])
def test_what_private_cannot_be_is_said(value: str) -> None:
    found = only_problem(HEAD.replace("title", f"private: {value}\ntitle") + BODY)
    assert found == f"be.md:3: private is {value!r}, neither true nor false. Write private: true"


def test_an_opening_is_the_lead_or_the_first_words_and_never_long() -> None:
    assert parsed(HEAD + BODY).commentaries[0].opening == "Lead."
    for text, opening in {
        "[Body](https://example.org) *text*.": "Body text.",
        "**" + "word " * 99 + "end**": "word " * 55 + "word…",
        "ш" * 999: "ш" * 280 + "…",
    }.items():
        assert parsed(HEAD + BODY.replace("**Lead.** Body.", text)).commentaries[0].opening == opening


def test_windows_line_ends_and_a_byte_order_mark_change_nothing() -> None:
    assert parsed("\ufeff" + (HEAD + BODY).replace("\n", "\r\n")).sections == parsed(HEAD + BODY).sections


def test_comments_are_not_text() -> None:
    assert len(parsed(HEAD + "<!-- to do -->\n\n" + BODY).commentaries) == 1


# Anchors


def test_anchors_are_readable_ascii_and_begin_with_the_language() -> None:
    assert parsed(HEAD + "## A\n### Трамвай вярнуўся\nx\n").commentaries[0].anchor == "be-tramvai-vyarnuusya"


def test_equal_headlines_have_different_anchors() -> None:
    text = "## A\n### Same\nx\n### Same\nx\n### 標題\nx\n### 標題\nx\n"
    anchors = [commentary.anchor for commentary in parsed(HEAD + text).commentaries]
    assert anchors == ["be-same", "be-same-2", "be-3", "be-4"]


@given(st.lists(st.text(st.characters(blacklist_categories=["Cc", "Cs"]), min_size=1), min_size=1, max_size=5))
def test_anchors_are_always_unique_and_plain(headlines: list[str]) -> None:
    text = "## A\n" + "".join(f"### {' '.join(headline.split())}\nx\n" for headline in headlines)
    with contextlib.suppress(SourceError):
        anchors = [commentary.anchor for commentary in parsed(HEAD + text).commentaries]
        assert len(set(anchors)) == len(anchors)
        assert all(re.fullmatch(r"be-[a-z0-9-]{1,50}", anchor) for anchor in anchors)


# The front matter


def test_a_missing_front_matter_is_said_with_its_mend() -> None:
    assert only_problem(BODY).startswith("be.md:1: the front matter is missing or not closed. Begin the file with")


def test_an_unclosed_front_matter_is_said() -> None:
    assert "not closed" in only_problem("---\ntitle: x\n" + BODY)


def test_an_empty_file_is_said() -> None:
    assert only_problem("").startswith("be.md:1:")


def test_broken_yaml_is_named_with_its_line() -> None:
    assert only_problem('---\nperiod: 2017-04-03/2017-04-09\ntitle: "open\n---\n' + BODY).startswith("be.md:3: ")
    assert only_problem("---\nperiod: 2017-04-03/2017-04-09\ntitle: a: b\n---\n" + BODY).startswith("be.md:3: ")


def test_deeply_nested_yaml_is_refused() -> None:
    assert "not valid YAML" in problems("---\n" + "[" * 20000 + "\n---\n" + BODY)[0]


@pytest.mark.parametrize(
    "period", ["2017-13-03/2017-04-09", "2017-04-03", "last week", "2017-02-30/2017-03-01", "２０17-04-03/2017-04-09"]
)
def test_a_period_that_is_no_date_range_is_refused_with_file_and_line(period: str) -> None:
    found = only_problem(f"---\nperiod: {period}\ntitle: x\n---\n{BODY}")
    mend = "Write it as period: 2017-04-03/2017-04-09"
    assert found == f'be.md:2: the period "{period}" is not a date range. {mend}'


def test_a_reversed_period_is_refused_with_file_and_line() -> None:
    found = only_problem(f"---\ntitle: x\nperiod: 2017-04-09/2017-04-03\n---\n{BODY}")
    assert found.startswith("be.md:3:")
    assert found.endswith("Write it as period: 2017-04-03/2017-04-09")


def test_period_and_title_are_required() -> None:
    found = problems(f"---\nsubject: x\n---\n{BODY}")
    assert [line.split(".")[1] for line in found] == ["md:1: the period is missing", "md:1: the title is missing"]
    assert "the title is empty" in only_problem(HEAD.replace("Situation in Belarus", "") + BODY)


def test_an_unknown_key_is_named_with_the_known_ones() -> None:
    found = only_problem(HEAD.replace("title", "autor: me\ntitle") + BODY)
    assert (
        found == "be.md:3: the key 'autor' is not known. The known ones are period, title, subject, preheader, private."
    )


@pytest.mark.parametrize("entry", ["title: again", "subject: [a, b]", "? [a]\n: b", "subject: {a: b}"])
def test_a_key_twice_or_a_value_that_is_no_text_is_refused(entry: str) -> None:
    assert only_problem(HEAD.replace("period", entry + "\nperiod") + BODY).startswith("be.md:")


@pytest.mark.parametrize("value", ["=?utf-8?q?Bob=0d=0aBcc=3a?=", '"a\\x07b"', '"a\\x00b"', '"a\\u2028b\\u200e"'])
@pytest.mark.parametrize("key", ["title", "subject"])
def test_what_cannot_stand_in_a_header_is_refused(key: str, value: str) -> None:
    head = HEAD.replace("title: Situation in Belarus", "title: x\nsubject: y").replace(f"{key}: ", f"{key}: {value} #")
    assert f"the {key} holds '=?' or a control character" in only_problem(head + BODY)


def test_a_line_break_in_a_title_becomes_a_space() -> None:
    assert parsed(HEAD.replace("title: Situation", "title: |-\n  Situation\n ") + BODY).title == "Situation in Belarus"


# The body


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        ("## A\n\n#### Deep\n\nx", 7, "#### follows where ### is due"),
        ("### Headline\n\nx", 5, "### follows where ## is due"),
        ("# Title\n\n## A\n### B\nx", 5, "the first heading level is the title's"),
        ("Stray.\n\nMore.\n\n## A\n### B\nx", 5, "this text belongs to no commentary"),
        ("## A\n\nStray.\n\n### B\nx", 7, "this text belongs to no commentary"),
        ("## A\n## B\n### C\nx", 5, "the section is empty"),
        ("## A\n### B\n### C\nx", 6, "the commentary has no text"),
        ("## A\n### B\n\n<b></b>", 6, "the commentary has no text"),
        ("## A\n### B\n#### C\n", 6, ""),
        ("## A {verdict=good}\n### B\nx", 5, "{verdict=good} is not a verdict"),
        ("## A {.big}\n### B\nx", 5, "{.big} is not a verdict"),
        ("## A {verdict=better #x}\n### B\nx", 5, "is not a verdict"),
        ("## A {verdict}\n### B\nx", 5, "is not a verdict"),
        ("## \n### B\nx", 5, "the heading is empty"),
        ("## A\n### {verdict=worse}\nx", 6, "the heading is empty"),
        ("## A\n### [B](https://example.org)\nx", 6, "a heading holds more than text"),
        ("## A\n### B\nline\n[x](javascript:alert)", 8, 'the link "javascript:alert" leads nowhere'),
        ("## A\n### B\n[x](page.html)", 7, 'the link "page.html" leads nowhere'),
        ("## A\n### B\n[x](https://)", 7, "leads nowhere"),
        ("## A\n### B\n[x](#anchor)", 7, "leads nowhere"),
        ("## A\n### B\n![x](https://example.org/a.jpg)", 7, "is not a file of the issue"),
        ("## A\n### B\n![x](//example.org/a.jpg)", 7, "is not a file of the issue"),
        ("## A\n### B\n![x](data:image/png;base64,AAAA)", 7, "is not a file of the issue"),
        ("## A\n### B\n![x](../a.jpg)", 7, "is not beside the text"),
        ("## A\n### B\n![x](%2e%2e%5ca.jpg)", 7, "is not beside the text"),
        ("## A\n### B\n![](a.jpg)", 7, 'the picture "a.jpg" has no alt text'),
        ("## A\n### B\nx\n\n<IMG SRC=https://example.org/a.gif>", 9, "a picture is written in HTML"),
        ("## A\n### B\nx <img src='a.gif'>", 7, "a picture is written in HTML"),
        ("", None, "there is no commentary"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(text: str, line: int | None, what: str) -> None:
    if not what:
        parsed(HEAD + text)  # a heading is text enough
        return
    found = only_problem(HEAD + text)
    assert found.startswith(f"be.md:{line}: " if line else "be.md: ")
    assert what in found


def test_everything_wrong_is_said_at_once() -> None:
    text = "---\nperiod: x\nauthor: me\n---\nStray.\n\n## A {verdict=x}\n### B\n[x](y)\n"
    assert [problem.split(" ")[0] for problem in problems(text)] == [f"be.md:{n}:" for n in (1, 2, 3, 5, 7, 9)]


@pytest.mark.parametrize("character", ["\x00", "\x07", "\x1b", "\x7f", "\x85", "\u2028", "\ud800", "\u202e", "\uffff"])
def test_a_character_that_no_mail_can_carry_is_named_with_its_line(character: str) -> None:
    found = only_problem(HEAD + BODY + f"\nOne{character}two")
    assert found.startswith(f"be.md:11: the character U+{ord(character):04X}")


def test_a_file_above_the_limit_is_refused() -> None:
    assert "too large" in only_problem(HEAD + BODY + "x" * SOURCE_LIMIT)


@given(st.text(max_size=400))
def test_no_text_brings_a_traceback(text: str) -> None:
    for source in (text, f"---\n{text}\n---\n{BODY}", HEAD + text, in_body(text)):
        with contextlib.suppress(SourceError):
            assert parsed(source).commentaries


_PIECES = st.sampled_from(
    [
        "# ",
        "## ",
        "### ",
        "#### ",
        "\n",
        "\n\n",
        "**",
        "_",
        "`",
        "> ",
        "- ",
        "1. ",
        "[a](b)",
        "![",
        "](",
        ")",
        "<b>",
        "<!--",
        "-->",
        "{verdict=better}",
        "{",
        "}",
        "|",
        "---",
        "| a | b |\n|---|---|\n",
        "\t",
        "    ",
        "text",
        "<img>",
        "&lt;",
        "~~",
        "[x]: y\n",
    ]
)


@given(st.lists(_PIECES, max_size=40).map("".join))
def test_no_markdown_brings_a_traceback(text: str) -> None:
    for source in (HEAD + text, in_body(text)):
        with contextlib.suppress(SourceError):
            assert parsed(source).commentaries
