"""What authors wrote, fitted to a page."""

import re

import nh3
import pytest
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import Markup
from starlette.testclient import TestClient

from mailer.issues import markdown
from mailer.rendering.fragment import Shown, fragment
from mailer.rendering.words import words
from mailer.web.fitted import fitted
from tests.web.conftest import AddIssue

APRIL = "/belarus/en/issues/2019-04-15"


def _fitted(source: str, *, under: int = 3, about: str = "Trams") -> str:
    clean = fragment(markdown.blocks(source), lambda name: Shown(name, 1, 1))
    return str(fitted(clean, words("en"), under=under, about=about))


@pytest.mark.parametrize(
    ("under", "written", "shown"),
    [
        (1, "####", "2"),
        (1, "#### ##### ####", "232"),
        (1, "###### ####", "22"),
        (1, "#### ###### #####", "233"),
        (3, "####", "4"),
        (3, "##### ######", "45"),
        (3, "#### ##### ######", "456"),
    ],
)
def test_headings_go_down_one_level_at_a_time(under: int, written: str, shown: str) -> None:
    html = _fitted("\n\n".join(f"{marks} Word" for marks in written.split()), under=under)
    assert "".join(part[0] for part in html.split("<h")[1:]) == shown
    assert "".join(part[0] for part in html.split("</h")[1:]) == shown


def test_code_is_reached_by_keyboard() -> None:
    assert '<pre tabindex="0"><code>' in _fitted("```\ncode\n```")


def test_each_table_is_a_region_with_a_name_of_its_own() -> None:
    html = _fitted("| a |\n|---|\n| b |\n\n<table><tr><td>c</td></tr></table>", about='Trams "<b>')
    region = '<div class="wide" role="region" tabindex="0" aria-label="Table {}: Trams &#34;&lt;b&gt;"><table>'
    assert html.count(region.format(1)) == html.count(region.format(2)) == 1
    assert html.count("</table></div>") == 2


def test_pictures_are_fetched_when_they_are_near() -> None:
    assert 'height="1" loading="lazy" decoding="async">' in _fitted("![A bridge](bridge.png)")


HARM = ["<pre>", "</pre>", "<table>", "<img>", '"', "'", "<h4>", "&lt;", ">", " onclick=x", "a", "=", "<abbr title='"]


HARMFUL = st.lists(st.sampled_from(HARM), max_size=12).map("".join)


@given(HARMFUL)
def test_what_only_looks_like_a_tag_is_left_as_it_is(text: str) -> None:
    clean = fragment(markdown.blocks(f'<p><abbr title="{Markup.escape(text)}">x</abbr></p>'), lambda _: Shown("", 1, 1))
    assert fitted(clean, words("en"), under=3, about="x") == clean


FITTED = ["<pre>code</pre>", "<table><tr><td>a</td></tr></table>", "<h4>a</h4>", "<h6>a</h6>", "\n\n![a](b.png)\n\n"]


@given(st.lists(st.sampled_from(FITTED + HARM), max_size=12).map("".join), HARMFUL)
def test_cleaning_again_takes_away_what_fitting_added_and_no_more(source: str, about: str) -> None:
    """But the levels of headings. So nothing of the author's got out of where it stood."""
    written = f'{source}<p><abbr title="{Markup.escape(about)}">x</abbr></p>'
    clean = fragment(markdown.blocks(written), lambda name: Shown(name, 1, 1))
    again = _cleaned(fitted(clean, words("en"), under=3, about=about))
    assert re.sub("h[456]", "h", again) == re.sub("h[456]", "h", _cleaned(clean))


def _cleaned(html: str) -> str:
    """Of all that fitting may add: boxes, roles, names, what is focusable, what waits."""
    tags = {*nh3.ALLOWED_TAGS, "h4", "h5", "h6"} - {"div"}
    kept = {**nh3.ALLOWED_ATTRIBUTES, "abbr": {"title"}, "img": {"src", "alt", "width", "height"}}
    return nh3.clean(html, tags=tags, attributes=kept, link_rel=None)


def test_the_issue_and_the_page_of_a_commentary_keep_their_headings_in_order(
    client: TestClient, add_issue: AddIssue
) -> None:
    add_issue(text="#### More\n\nText.")
    assert "<h4>More</h4>" in client.get(APRIL).text
    assert "<h2>More</h2>" in client.get(f"{APRIL}/trams-return").text
    assert "<h4>More</h4>" in client.get("/belarus/en/feed.atom").text.replace("&lt;", "<").replace("&gt;", ">")


def test_what_is_read_elsewhere_is_left_as_it_is(client: TestClient, add_issue: AddIssue) -> None:
    add_issue(text="```\ncode\n```")
    assert 'tabindex="0"' in client.get(APRIL).text
    feed = client.get("/belarus/en/feed.atom").text
    assert "code" in feed
    assert "tabindex" not in feed
    assert "loading=" not in feed
