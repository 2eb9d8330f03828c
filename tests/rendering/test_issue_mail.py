"""An issue as a mail: one document an edition, the same bytes every time, with every link whole."""

import dataclasses
import re
from collections.abc import Sequence
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailer.issues.folder import read_folder
from mailer.issues.manuscript import PictureSource
from mailer.issues.source import IssueSource, parse_translation
from mailer.rendering.body import Body, Letterhead, Links
from mailer.rendering.errors import RenderError
from mailer.rendering.html import HTML_LIMIT, render_issue
from mailer.rendering.words import words as speak
from mailer.resources import resource

REAL_ISSUE = Path(__file__).parents[2].parent / "shared" / "real-issue" / "2017-04-03"
LANGUAGES = ("en", "be", "ru")
TOKEN = "abcdefghijklmnopqrstuvwxyz"
LETTERHEAD = Letterhead(
    names={"en": "Situation in Belarus", "be": "Сітуацыя ў Беларусі", "ru": "Ситуация в Беларуси"},
    contact_address="editors@example.org",
    postal_address={"en": "12 Example Street & Sons, Vilnius"},
    accent="#8a1c1c",
)
ISSUE = read_folder(resource("templates") / "example" / "2026-11-16")


def links(token: str = TOKEN) -> Links:
    return Links(
        view={language: f"https://news.example.org/belarus/{language}/issues/2026-11-16" for language in LANGUAGES},
        archive={language: f"https://news.example.org/belarus/{language}/issues" for language in LANGUAGES},
        preferences="https://news.example.org/p/preferences-of-the-reader",
        unsubscribe=f"https://news.example.org/u/{token}",
    )


def rendered(languages: Sequence[str], issue: IssueSource = ISSUE, token: str = TOKEN) -> Body:
    return render_issue(languages, issue.translations, issue.pictures, LETTERHEAD, links(token))


def written(body: str, head: str = "title: A title") -> Body:
    text = f"---\nperiod: 2017-04-03/2017-04-09\n{head}\n---\n{body}\n"
    return render_issue(["en"], {"en": parse_translation(text, "en.md", "en")}, {}, LETTERHEAD, links())


def _words_of(html: str) -> str:
    return " ".join(re.sub(r"<[^>]*>|\xa0", " ", html).split())


class _Document(HTMLParser):
    """The tags of a document, as a mail program reads them."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))

    def all(self, attribute: str) -> list[str]:
        return [attributes[attribute] for _, attributes in self.tags if attribute in attributes]

    def named(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.tags if name == tag]


EDITIONS = pytest.mark.parametrize("languages", [["en"], ["ru"], ["be", "ru"]], ids="-".join)


@EDITIONS
def test_the_document_is_sound(languages: list[str]) -> None:
    body = rendered(languages)
    document = _Document(body.html)
    assert body.html.startswith("<!DOCTYPE html>")
    assert document.named("html") == [{"lang": languages[0]}]
    assert {"name": "color-scheme", "content": "light dark"} in document.named("meta")
    assert len(body.html.encode()) < HTML_LIMIT
    ids = document.all("id")
    assert len(set(ids)) == len(ids)


@EDITIONS
def test_every_link_inside_the_mail_leads_somewhere(languages: list[str]) -> None:
    document = _Document(rendered(languages).html)
    inside = [href[1:] for href in document.all("href") if href.startswith("#")]
    assert len(inside) >= 8 * len(languages)  # contents and back again, for each commentary
    assert set(inside) <= set(document.all("id"))


def test_a_table_of_the_authors_is_scrolled_by_itself() -> None:
    html = written('## S\n### H\n| a |\n|---|\n| b |\n\n<table lang="be"><tr><td>c</td></tr></table>\n').html
    tables = re.findall(r'<div class="wide"[^>]*tabindex="0"[^>]*><table[^>]*>.*?</table></div>', html, re.DOTALL)
    assert len(tables) == 2
    shown = written('## S\n### H\n<span lang="<table>">no table</span>\n').html
    assert 'class="wide"' not in shown


@EDITIONS
def test_every_layout_table_says_that_it_is_one(languages: list[str]) -> None:
    tables = _Document(rendered(languages).html).named("table")
    assert [table.get("role") for table in tables].count(None) == len(languages)  # the author's own table
    assert {table.get("role") for table in tables} == {"presentation", None}


@EDITIONS
def test_nothing_is_loaded_from_elsewhere(languages: list[str]) -> None:
    document = _Document(rendered(languages).html)
    assert all(source.startswith("cid:") for source in document.all("src"))
    assert not re.search(r"@import|url\(|<link|<script|https?://[^\"]*\.(png|jpg|gif)", rendered(languages).html)


@EDITIONS
def test_the_links_of_every_footer_stand_in_both_forms(languages: list[str]) -> None:
    body = rendered(languages)
    hrefs = _Document(body.html).all("href")
    for link in (links().unsubscribe, links().archive[languages[0]], *(links().view[name] for name in languages)):
        assert link in hrefs
        assert link in body.text.splitlines()
    for text in (body.html.replace("&amp;", "&"), body.text):
        assert "12 Example Street & Sons, Vilnius" in text
        assert "editors@example.org" in text


@EDITIONS
def test_what_is_not_on_the_web_is_not_linked(languages: list[str]) -> None:
    private = replace(links(), view={})
    nowhere = replace(private, archive={})
    for shown, words in ((private, {"View in browser"}), (nowhere, {"View in browser", "All issues"})):
        body = render_issue(languages, ISSUE.translations, ISSUE.pictures, LETTERHEAD, shown)
        for text in (body.html, body.text):
            for each in languages:
                assert not any(speak(each).gettext(word) in text for word in words)
            assert links().unsubscribe in text
        assert not any("/issues" in href for href in _Document(body.html).all("href")) or shown.archive


@settings(max_examples=25)
@given(st.text("abcdefghijklmnopqrstuvwxyz234567", min_size=26, max_size=26), st.sampled_from([["en"], ["be", "ru"]]))
def test_slots_come_out_whole_and_nothing_else_depends_on_them(token: str, languages: list[str]) -> None:
    body, other = rendered(languages, token=token), rendered(languages)
    assert body.html.count(token) == body.text.count(token) == 1
    assert body.html.replace(token, TOKEN) == other.html
    assert body.text.replace(token, TOKEN) == other.text


def test_the_same_issue_gives_the_same_bytes() -> None:
    assert rendered(["be", "ru"]) == rendered(["be", "ru"])


def test_the_subject_is_title_and_period_unless_the_author_wrote_one() -> None:
    assert rendered(["be", "ru"]).subject == "Тыдзень у Вадалінах, 16–22 лістапада 2026"
    assert written("## A\n### B\nx").subject == "A title, April 3 – April 9, 2017"
    assert written("## A\n### B\nx", "title: A title\nsubject: My own").subject == "My own"


def test_the_preheader_is_the_headlines_unless_the_author_wrote_one() -> None:
    assert ">Libraries stay open late, the tram is back" in rendered(["en"]).html
    assert '">One · Two' in written("## A\n### One\nx\n### Two\nx").html


def test_a_bilingual_mail_marks_each_part_and_leads_to_the_other() -> None:
    document = _Document(rendered(["be", "ru"]).html)
    parts = [attributes for attributes in document.named("div") if {"id", "lang"} <= attributes.keys()]
    assert [(part["id"], part["lang"]) for part in parts] == [("be", "be"), ("ru", "ru")]
    assert {"#be", "#ru"} <= set(document.all("href"))


def test_a_mail_in_one_language_has_no_language_switch() -> None:
    assert "#en" not in _Document(rendered(["en"]).html).all("href")


def test_a_picture_travels_once_in_the_mail_and_is_named_by_its_content() -> None:
    body = rendered(["be", "ru"])
    [inline] = body.inlines
    images = _Document(body.html).named("img")
    assert [image["src"] for image in images] == [f"cid:{inline.cid}"] * 2
    assert all(image["alt"] and image["width"] == "600" for image in images)
    assert (inline.media_type, inline.filename) == ("image/jpeg", "river.jpg")
    assert re.fullmatch(r"[0-9a-f]{24}@picture", inline.cid)


def test_verdicts_are_shown_by_sign_and_words() -> None:
    body = rendered(["en"])
    for said in ("▲", "got better", "●", "has not changed", "▼", "got worse"):
        assert said in body.html
        assert said in body.text


def test_a_section_says_its_verdict_unless_its_heading_does() -> None:
    assert "Roads · got worse" in _words_of(written("## Roads {verdict=worse}\n### B\nx").html)
    assert "▼ Roads: got worse" in written("## Roads {verdict=worse}\n### B\nx").text
    assert "▼ It got worse\n" in written("## It got worse {verdict=worse}\n### B\nx").text


def test_a_commentary_without_a_verdict_shows_none() -> None:
    body = written("## A\n### B\nx")
    assert not re.search("[▲●▼]", body.html + body.text)


def test_what_adapts_to_dark_and_narrow_screens_overrides_the_inlined_style() -> None:
    html = rendered(["en"]).html
    [style] = re.findall(r"<style>(.*?)</style>", html, re.S)
    assert "prefers-color-scheme: dark" in style
    assert "max-width: 480px" in style
    rules = re.findall(r"^  .*$", style, re.M)
    assert rules
    assert all("!important" in rule for rule in rules)


def test_characters_that_mean_something_in_html_are_only_characters() -> None:
    body = written('## A & B\n### <i>x</i> & "y" {{ 7*7 }}\n1 < 2 & {{ 7*7 }} {% x %}', 'title: "<b>{{ 7*7 }}</b>"')
    assert "49" not in body.html
    assert "&lt;b&gt;{{ 7*7 }}&lt;/b&gt;" in body.html
    assert "1 &lt; 2 &amp; {{ 7*7 }} {% x %}" in body.html
    assert "1 < 2 & {{ 7*7 }} {% x %}" in body.text


def test_an_issue_that_is_too_long_is_refused_with_what_to_shorten() -> None:
    long = "## A\n### Short\nx\n### Far too long\n" + "слова " * 10_000
    with pytest.raises(RenderError, match=r"11\d kB of HTML.*beyond 102 kB.*en\.md:8 “Far too long” 1\d\d kB"):
        written(long)


def test_a_language_that_is_missing_is_named() -> None:
    with pytest.raises(RenderError, match=r"no text in 'pl'.*be, en, ru.*Add pl\.md"):
        rendered(["en", "pl"])


def test_a_picture_that_is_missing_is_named_with_its_place() -> None:
    with pytest.raises(RenderError, match=r"en\.md:\d+: the picture river\.jpg is missing"):
        rendered(["en"], replace(ISSUE, pictures={}))


def test_pictures_beyond_the_budget_are_named_with_their_sizes() -> None:
    heavy = PictureSource(name="river.jpg", media_type="image/jpeg", width=600, height=400, content=bytes(1_600_000))
    with pytest.raises(RenderError, match=r"river\.jpg 1600 kB"):
        rendered(["en"], replace(ISSUE, pictures={"river.jpg": heavy}))


@pytest.mark.skipif(not REAL_ISSUE.is_dir(), reason="the real issue of 2017-04-03 is not beside this checkout")
@EDITIONS
def test_the_real_issue_is_rendered(languages: list[str]) -> None:
    body = rendered(languages, read_folder(REAL_ISSUE))
    assert "2017" in body.subject
    assert body.inlines == ()
    assert max(map(len, body.text.splitlines())) <= 72


def test_where_mail_is_read_the_mail_shows_the_ways_that_need_no_site() -> None:
    ways = (f"leave+{TOKEN}@bounces.example.org", "belarus+subscribe-ru@bounces.example.org")
    with_mail = dataclasses.replace(links(), leave_address=ways[0], subscribe_address=ways[1])
    body = render_issue(["ru"], ISSUE.translations, ISSUE.pictures, LETTERHEAD, with_mail)
    for way in ways:
        assert f"\n{way}\n" in body.text
        assert f'href="mailto:{way}"' in body.html
    assert "Отписаться письмом" in body.text
    assert "mailto:leave" not in rendered(["ru"]).html
    assert "письмом" not in rendered(["ru"]).text
