"""What authors write comes out clean: nothing runs, loads or styles."""

import contextlib
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailer.issues.problems import SourceError
from mailer.issues.source import parse_translation
from mailer.rendering.fragment import Shown, fragment


def html(body: str) -> str:
    head = "---\nperiod: 2017-04-03/2017-04-09\ntitle: x\n---\n## A\n### B\n"
    [commentary] = parse_translation(head + body, "en.md", "en").commentaries
    return str(fragment((*commentary.lead, *commentary.body), lambda name: Shown(f"cid:{len(name)}@picture", 600, 400)))


def test_markdown_becomes_html() -> None:
    assert html("Some *fine* [text](https://example.org/?a=1&b=2).") == (
        '<p>Some <em>fine</em> <a href="https://example.org/?a=1&amp;b=2">text</a>.</p>\n'
    )


def test_a_picture_is_shown_with_its_alt_text_and_size() -> None:
    assert html("![a *fine* “view”](a.jpg)") == (
        '<p><img src="cid:5@picture" alt="a fine “view”" width="600" height="400"></p>\n'
    )


def test_a_page_shows_pictures_from_its_own_address() -> None:
    head = "---\nperiod: 2017-04-03/2017-04-09\ntitle: x\n---\n## A\n### B\n"
    [commentary] = parse_translation(head + "![a](a.jpg)", "en.md", "en").commentaries
    assert 'src="/issues/a.jpg?b=1&amp;c"' in fragment(
        commentary.body, lambda name: Shown(f"/issues/{name}?b=1&c", 6, 4)
    )


def test_columns_keep_their_alignment_without_a_style() -> None:
    made = html("| a | b |\n|:--|--:|\n| 1 | 2 |")
    assert '<th align="left">a</th>' in made
    assert '<td align="right">2</td>' in made


@pytest.mark.parametrize(
    "body",
    [
        "x <script>alert(1)</script>",
        "<script>alert(1)</script>\n\nx",
        '<p onclick="alert(1)">x</p>',
        '<a href="javascript:alert(1)">x</a>',
        '<a href="JaVaScRiPt:alert(1)">x</a>',
        '<a href="/relative">x</a>',
        '<a href="//example.org">x</a>',
        '<p style="color: red" class="big" id="x">x</p>',
        "<style>p { color: red }</style>\n\nx",
        '<iframe src="https://example.org"></iframe>x',
        '<video src="https://example.org/a.mp4"></video>x',
        '<table background="https://example.org/a.gif"><tr><td>x</td></tr></table>',
        '<form action="https://example.org"><input name="a"></form>x',
        '<svg><use href="https://example.org/a.svg"/></svg>x',
        '<math><mi xlink:href="https://example.org">y</mi></math>x',
        '<link rel="stylesheet" href="https://example.org/a.css">x',
        '<meta http-equiv="refresh" content="0;url=https://example.org">x',
        '<base href="https://example.org">x',
        "<!-- [if mso]><b>x</b><![endif]-->x",
    ],
)
def test_what_runs_loads_or_styles_is_taken_out(body: str) -> None:
    made = html(body)
    assert "x" in made
    assert not re.search(r"script|style|class|onclick|example\.org|href|src=|id=|<form|<!--|meta|base", made, re.I), (
        made
    )


@given(st.text(st.sampled_from("<>/=\"'& abimgsrchefonlik:.![]()jt#x;-\n"), max_size=80))
def test_no_text_makes_a_mail_load_anything(body: str) -> None:
    with contextlib.suppress(SourceError):
        made = html(f"x\n\n{body}")
        for found in re.finditer(r"<[^>]*\ssrc=\"([^\"]*)\"", made):
            assert found[1].startswith("cid:")
        assert not re.search(r"<[^>]*\son\w+=|<(script|style|iframe|link|svg|form)", made)
