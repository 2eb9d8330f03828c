"""Markdown as plain text: wrapped, with links told after it, and nothing lost."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailer.issues.problems import SourceError
from mailer.issues.source import parse_translation
from mailer.rendering.prose import WIDTH, Notes, paragraphs


def told(body: str, notes: Notes | None = None) -> str:
    head = "---\nperiod: 2017-04-03/2017-04-09\ntitle: x\n---\n## A\n### B\n"
    [commentary] = parse_translation(head + body, "en.md", "en").commentaries
    notes = notes or Notes()
    made = [text for block in (*commentary.lead, *commentary.body) for text in paragraphs(block, notes)]
    return "\n\n".join(filter(None, [*made, notes.collected()]))


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ("One\ntwo.", "One two."),
        ("One\\\ntwo.", "One\ntwo."),
        ("Some *fine* and **bold** `code`.", "Some _fine_ and *bold* code."),
        ("[a](https://e.org/1) [b](https://e.org/2) [c](https://e.org/1)",
         "a [1] b [2] c [1]\n\n[1] https://e.org/1\n[2] https://e.org/2"),
        ("<https://e.org/>", "https://e.org/"),
        ("[me@e.org](mailto:me@e.org)", "me@e.org"),
        ("- a\n- b", "- a\n- b"),
        ("3. a\n4. b", "3. a\n4. b"),
        ("- a\n\n  more\n- b", "- a\n\n  more\n\n- b"),
        ("- a\n  - b\n", "- a\n\n  - b"),
        ("> a\n>\n> > b", "> a\n> \n> > b"),
        ("![A *view*](a.jpg)", "[A view]"),
        ("#### More\n\nx", "More\n----\n\nx"),
        ("    code\n      more", "    code\n      more"),
        ("x\n\n***\n\ny", "x\n\n* * *\n\ny"),
        ("<p>a &amp; <b>b</b></p>", "a & b"),
        ("a<br>b &lt;", "a\nb <"),
        ("| a | b |\n|---|---|\n| 1 | two |", "a | b\n--+----\n1 | two"),
        ("~~a~~ x", "a x"),
    ],
)  # fmt: skip
def test_markdown_reads_as_plain_text(body: str, text: str) -> None:
    assert told(body) == text


def test_lines_are_wrapped_and_addresses_are_not() -> None:
    address = "https://example.org/" + "a" * 200
    made = told("> - " + "word " * 60 + f"[here]({address})")
    lines = made.splitlines()
    assert lines[-1] == f"[1] {address}"
    assert all(len(line) <= WIDTH for line in lines[:-1])
    assert all(line.startswith((">   ", "> - ")) for line in lines[:-2])


def test_a_table_that_is_too_wide_is_told_cell_by_cell() -> None:
    wide = "word " * 12
    assert told(f"| a | b |\n|---|---|\n| {wide} | {wide} |").splitlines()[0].startswith("a: word")


def test_each_commentary_tells_only_its_new_links() -> None:
    notes = Notes()
    assert told("[a](https://e.org/1)", notes).endswith("[1] https://e.org/1")
    assert told("[a](https://e.org/1) [b](https://e.org/2)", notes) == "a [1] b [2]\n\n[2] https://e.org/2"


@given(
    st.lists(
        st.sampled_from(
            [
                "> ",
                "- ",
                "1. ",
                "\n",
                "\n\n",
                "word",
                "*a*",
                "[a](https://e.org)",
                "    ",
                "| a | b |\n|---|---|\n",
                "<b>",
                "`",
                "#### ",
                "\t",
            ]
        ),
        max_size=40,
    ).map("".join)
)
def test_no_markdown_brings_a_traceback_and_no_line_is_longer_than_its_words(body: str) -> None:
    with contextlib.suppress(SourceError):
        assert isinstance(told(f"x\n\n{body}"), str)
