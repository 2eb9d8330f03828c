"""What was sent, on the web."""

import re
from datetime import date, timedelta
from urllib.parse import quote_from_bytes

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlmodel import SQLModel, select
from starlette.testclient import TestClient

from mailer.app import App
from mailer.delivery import launch
from mailer.issues.states import IssueStatus
from mailer.rendering import decoded
from mailer.rendering.message import Slot
from mailer.rendering.message import date as date_of_mail
from mailer.tables import Edition, Issue, Publication, Translation
from mailer.tokens import Purpose
from tests.web.conftest import ORIGIN, AddIssue

APRIL = "/belarus/en/issues/2019-04-15"


def _change(app: App, table: type[SQLModel], key: object, **values: object) -> None:
    with app.database.write() as session:
        session.get_one(table, key).sqlmodel_update(values)


# The list


def test_the_list_names_each_week_newest_first_with_its_headlines(client: TestClient, add_issue: AddIssue) -> None:
    add_issue()
    add_issue(first_day=date(2019, 4, 22))
    page = client.get("/belarus/en/issues").text
    assert page.index("April 22 – April 28, 2019") < page.index("April 15 – April 21, 2019")
    assert f'href="{APRIL}"' in page
    assert f'href="{APRIL}/a-headline-with-marks">A headline with marks</a>' in page
    assert "▲</span> got better" in page


def test_a_week_is_listed_in_the_languages_it_was_written_in(client: TestClient, add_issue: AddIssue) -> None:
    add_issue()
    assert "15–21 красавіка 2019" in client.get("/belarus/be/issues").text
    assert "На этом языке ещё ничего не выходило" in client.get("/belarus/ru/issues").text


def test_the_list_holds_half_a_year_and_every_year_has_a_page_of_its_own(
    client: TestClient, add_issue: AddIssue
) -> None:
    for week in range(30):
        add_issue("en", first_day=date(2019, 10, 7) + timedelta(weeks=week))
    newest = client.get("/belarus/en/issues").text
    assert newest.count("<h2>") == 26
    assert 'href="/belarus/en/issues?year=2019"' in newest
    old = client.get("/belarus/en/issues?year=2019").text
    assert old.count("<h2>") == 13
    assert '<link rel="canonical" href="https://news.example.org/belarus/en/issues?year=2019">' in old
    assert 'href="/belarus/be/issues" lang="be"' in old  # nothing of that year there


@pytest.mark.parametrize("year", ["1999", "0", "-1", "99999999999999999999", "2019.0", "٢٠١٩", "x", "2019%00", "%FF"])
def test_a_year_of_which_there_is_nothing_is_not_found(client: TestClient, add_issue: AddIssue, year: str) -> None:
    add_issue()
    assert client.get(f"/belarus/en/issues?year={year}").status_code == 404


def test_the_page_of_a_year_names_no_language_that_has_nothing_of_it(client: TestClient, add_issue: AddIssue) -> None:
    add_issue("en", "be")
    add_issue("ru", first_day=date(2020, 1, 6))
    alternate = '<link rel="alternate" hreflang="{}" href="https'
    old, newest = client.get("/belarus/en/issues?year=2019").text, client.get("/belarus/en/issues").text
    assert [alternate.format(each) in old for each in ("en", "be", "ru")] == [True, True, False]
    assert [alternate.format(each) in newest for each in ("en", "be", "ru")] == [True, True, True]


# An issue


def test_an_issue_is_shown_as_it_was_written(client: TestClient, add_issue: AddIssue) -> None:
    add_issue()
    answer = client.get(APRIL)
    assert answer.status_code == 200
    for part in (
        "April 15 – April 21, 2019",
        "Section in en",
        "A headline with marks",
        "<p>The lead.</p>",
        '<a href="https://example.org/"',
        "▼",
        "got worse",
        '<img src="/belarus/en/issues/2019-04-15/bridge.png" alt="A bridge" width="600" height="40"',
    ):
        assert part in answer.text
    for harm in ("<script", "onclick", "style="):
        assert harm not in answer.text


def test_an_issue_names_its_other_languages_and_no_others(client: TestClient, add_issue: AddIssue) -> None:
    add_issue()
    page = client.get(APRIL).text
    assert 'href="/belarus/be/issues/2019-04-15" lang="be" hreflang="be"' in page
    assert "/belarus/ru/issues/2019-04-15" not in page
    assert client.get("/belarus/ru/issues/2019-04-15").status_code == 404


@pytest.mark.parametrize("part", ["", "/trams-return"])
def test_an_issue_that_did_not_appear_in_a_language_is_offered_in_those_it_appeared_in(
    client: TestClient, add_issue: AddIssue, part: str
) -> None:
    add_issue("en")
    answer = client.get(f"/belarus/be/issues/2019-04-15{part}")
    assert answer.status_code == 404
    assert '<html lang="be">' in answer.text
    assert "Выпуск за 15–21 красавіка 2019 на гэтай мове не выходзіў" in answer.text
    assert f'<li><a href="{APRIL}{part}" lang="en" hreflang="en">English</a></li>' in answer.text
    assert "/belarus/ru/issues/2019-04-15" not in answer.text
    assert "noindex" in answer.text
    for nothing in (
        "/belarus/be/issues/2019-04-16",
        "/belarus/be/issues/2019-04-15/x",
        "/belarus/de/issues/2019-04-15",
    ):
        assert APRIL not in client.get(nothing).text


def test_what_is_held_back_is_as_what_never_was_in_the_languages_it_did_not_appear_in(
    client: TestClient, add_issue: AddIssue
) -> None:
    add_issue("en", more="private: true")
    add_issue("en", first_day=date(2019, 4, 22), status=IssueStatus.DRAFT, began=False)
    for part in ("", "/trams-return"):
        held, draft, none = (client.get(f"/belarus/be/issues/2019-04-{day}{part}") for day in (15, 22, 29))
        assert held.status_code == draft.status_code == none.status_code == 404
        assert held.text == draft.text == none.text


def test_an_issue_leads_to_the_one_before_and_the_one_after_in_its_language(
    client: TestClient, add_issue: AddIssue
) -> None:
    add_issue("en", first_day=date(2019, 4, 8))
    add_issue("be", first_day=date(2019, 4, 15))
    add_issue("en", first_day=date(2019, 4, 22))
    first, last = (client.get(f"/belarus/en/issues/{day}").text for day in ("2019-04-08", "2019-04-22"))
    assert 'rel="prev"' not in first
    assert 'rel="next" href="/belarus/en/issues/2019-04-22"' in first
    assert 'rel="prev" href="/belarus/en/issues/2019-04-08"' in last
    assert 'rel="next"' not in last


def test_a_picture_is_served_as_what_it_is(client: TestClient, add_issue: AddIssue) -> None:
    add_issue()
    answer = client.get("/belarus/be/issues/2019-04-15/bridge.png")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/png")
    assert answer.content.startswith(b"\x89PNG")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert client.get("/belarus/be/issues/2019-04-15/other.png").status_code == 404


@pytest.mark.parametrize(
    ("status", "began", "found"),
    [
        (IssueStatus.DRAFT, False, 404),
        (IssueStatus.READY, False, 404),
        (IssueStatus.SCHEDULED, False, 404),
        (IssueStatus.SENDING, True, 200),
        (IssueStatus.PAUSED, True, 200),
        (IssueStatus.SENT, True, 200),
        (IssueStatus.CANCELLED, True, 200),
        (IssueStatus.CANCELLED, False, 404),
    ],
)
def test_only_what_some_reader_has_is_public(
    client: TestClient, add_issue: AddIssue, status: IssueStatus, began: bool, found: int
) -> None:
    add_issue(status=status, began=began)
    for path in PATHS:
        assert client.get(path).status_code == found
    for path in LISTS:
        assert ("2019-04-15" in client.get(path).text) is (found == 200), path


PATHS = [APRIL, f"{APRIL}/bridge.png", f"{APRIL}/trams-return"]
LISTS = ["/belarus/en/issues", "/belarus/en", "/belarus/en/feed.atom", "/belarus/sitemap-2019.xml"]


def test_a_source_that_cannot_be_read_any_more_is_a_plain_error(
    client: TestClient, add_issue: AddIssue, app: App
) -> None:
    add_issue()
    _change(app, Translation, (1, "en"), source="no front matter")
    answer = client.get(APRIL)
    assert answer.status_code == 500
    assert answer.headers["content-type"].startswith("text/plain")
    assert "front matter" not in answer.text
    assert answer.headers["referrer-policy"] == "no-referrer"


# A commentary


def test_a_commentary_has_a_page_of_its_own_that_names_its_issue_and_its_neighbour(
    client: TestClient, add_issue: AddIssue
) -> None:
    add_issue(text="Only here.")
    page = client.get(f"{APRIL}/trams-return").text
    assert "<h1>Trams return</h1>" in page
    assert page.count("<h1") == 1
    assert "Only here." in page
    assert "The lead." not in page
    assert f'rel="prev" href="{APRIL}/a-headline-with-marks"' in page
    assert 'rel="next"' not in page
    assert f'<a href="{APRIL}">The whole issue: April 15 – April 21, 2019</a>' in page
    assert f'<h3><a href="{APRIL}/trams-return">Trams return</a></h3>' in client.get(APRIL).text


def test_a_commentary_finds_its_sisters_by_their_place_whatever_their_headlines(
    client: TestClient, add_issue: AddIssue
) -> None:
    add_issue("en", "be")
    page = client.get(f"{APRIL}/trams-return").text
    sister = "/belarus/be/issues/2019-04-15/tramvai-vyartayucca"
    assert f'<link rel="alternate" hreflang="be" href="{ORIGIN}{sister}">' in page
    assert f'<link rel="alternate" hreflang="en" href="{ORIGIN}{APRIL}/trams-return">' in page
    assert f'href="{sister}" lang="be"' in page
    assert "<h1>Трамваі вяртаюцца</h1>" in client.get(sister).text


def test_where_languages_differ_in_their_commentaries_the_whole_issue_is_the_sister(
    client: TestClient, add_issue: AddIssue, app: App
) -> None:
    add_issue("en", "be", text="Text.")
    add_issue("en", first_day=date(2019, 4, 22), text="Text.\n\n### A third\n\nMore.")
    with app.database.write() as session:  # the first issue's Belarusian beside the second one's English
        session.connection().exec_driver_sql("UPDATE commentary SET issue_id = 2 WHERE language = 'be'")
        session.connection().exec_driver_sql("UPDATE translation SET issue_id = 2 WHERE language = 'be'")
    page = client.get("/belarus/en/issues/2019-04-22/trams-return").text
    assert 'hreflang="be" href="https' not in page
    assert 'href="/belarus/be/issues/2019-04-22" lang="be"' in page


def test_commentaries_whose_verdicts_follow_otherwise_are_no_sisters(
    client: TestClient, add_issue: AddIssue, app: App
) -> None:
    add_issue("en", "be")
    page = client.get(f"{APRIL}/trams-return").text
    assert 'hreflang="be" href="https' in page
    with app.database.write() as session:
        session.connection().exec_driver_sql(
            "UPDATE commentary SET verdict = 'unchanged' WHERE language = 'be' AND position = 1"
        )
    page = client.get(f"{APRIL}/trams-return").text
    assert 'hreflang="be" href="https' not in page
    assert 'href="/belarus/be/issues/2019-04-15" lang="be"' in page


def test_the_address_of_a_commentary_is_what_was_written_down_when_it_was_added(
    client: TestClient, add_issue: AddIssue, app: App
) -> None:
    add_issue("en")
    with app.database.write() as session:
        session.connection().exec_driver_sql("UPDATE commentary SET name = 'as-of-old' WHERE position = 2")
    assert "<h1>Trams return</h1>" in client.get(f"{APRIL}/as-of-old").text
    assert client.get(f"{APRIL}/trams-return").status_code == 404
    assert f"{APRIL}/as-of-old" in client.get(APRIL).text


# The front page


def test_the_front_page_shows_the_latest_issue_with_its_headlines_and_first_words(
    client: TestClient, add_issue: AddIssue
) -> None:
    add_issue(text="The first words. " + "And many more words. " * 40)
    page = client.get("/belarus/en").text
    assert f'href="{APRIL}"' in page
    assert f'<h3><a href="{APRIL}/trams-return">Trams return</a></h3>' in page
    opening = page.partition('<p class="opening">The first words.')[2].partition("<a")[0]
    assert 200 < len(opening) < 300
    assert opening.rstrip().endswith("…")
    assert "Последний выпуск" not in client.get("/belarus/ru").text
    assert "Latest issue" not in client.post("/subscribe", data={"publication": "belarus", "language": "en"}).text


# What is held back


def _nothing_is_shown(client: TestClient) -> None:
    for path in PATHS:
        answer = client.get(path)
        assert answer.status_code == 404
        assert "Some issues are not shown on the web" in answer.text
    for path in [*LISTS, "/belarus/en/issues?year=2019", "/sitemap.xml", "/belarus/sitemap.xml"]:
        assert "2019" not in client.get(path).text, path


def test_a_private_issue_is_nowhere_on_the_web(client: TestClient, add_issue: AddIssue) -> None:
    add_issue(more="private: true")
    _nothing_is_shown(client)


def test_a_publication_without_an_archive_shows_no_issue_and_offers_no_feed(
    client: TestClient, add_issue: AddIssue, app: App
) -> None:
    add_issue()
    _change(app, Publication, 1, archive=False)
    _nothing_is_shown(client)
    assert client.get("/belarus/en/feed.atom").status_code == 404
    for path in ("/belarus/en", "/belarus/en/issues"):
        assert "feed.atom" not in client.get(path).text
    page = client.get("/belarus/en/issues").text
    assert "The issues are not shown on the web: their full text is in the letters." in page
    assert "Nothing has been sent" not in page


def test_an_issue_beside_a_private_one_does_not_lead_to_it(client: TestClient, add_issue: AddIssue) -> None:
    add_issue(more="private: true")
    add_issue(first_day=date(2019, 4, 22))
    assert "2019-04-15" not in client.get("/belarus/en/issues/2019-04-22").text
    assert client.get("/belarus/en/issues").text.count("<h2>") == 1


# The way from a mail


def _mails(app: App, edition: str = "be-ru") -> list[str]:
    """The first issue's mail to two readers, as text."""
    with app.database.read() as session:
        issue = session.get_one(Issue, 1)
        chosen = session.exec(select(Edition.id).where(Edition.code == edition)).one()
        message = launch.render(session, issue, app.settings)[chosen or 0]
    made = []
    for number in (1, 2):
        values = {slot: app.tokens.make(Purpose.UNSUBSCRIBE, number) for slot in message.slots}
        values |= {Slot.TO: f"reader{number}@example.org", Slot.DATE: date_of_mail(app.clock())}
        read = decoded.parse(message.splice({slot: values[slot] for slot in message.slots}))
        made.append("\n".join([str(read["List-Archive"]), decoded.part(read, "html"), decoded.part(read, "plain")]))
    return made


def test_view_in_browser_leads_to_the_issue_and_does_not_say_who_reads(
    client: TestClient, add_issue: AddIssue, app: App
) -> None:
    add_issue("en", "be", "ru")
    one, other = (set(re.findall(f'{ORIGIN}[^\\s"<>]*', mail)) for mail in _mails(app))
    own, same = one - other, one & other
    assert {link.split("/")[3] for link in own} == {"u", "p"}
    assert same == {
        f"{ORIGIN}/belarus/{path}" for path in ("be/issues", "be/issues/2019-04-15", "ru/issues/2019-04-15")
    }
    for link in same:
        answer = client.get(link.removeprefix(ORIGIN))
        assert answer.status_code == 200
        assert "set-cookie" not in answer.headers


def test_the_mail_of_a_private_issue_points_to_no_page_of_it(client: TestClient, add_issue: AddIssue, app: App) -> None:
    add_issue("en", "be", "ru", more="private: true")
    for mail in _mails(app):
        assert "/issues/2019-04-15" not in mail
        assert f"{ORIGIN}/belarus/be/issues" in mail
    _change(app, Publication, 1, archive=False)
    for mail in _mails(app):
        assert "/issues" not in mail
        assert mail.startswith("None\n")


# How a page is known elsewhere


def test_a_public_page_says_its_one_address_whatever_host_it_was_asked_at(
    client: TestClient, add_issue: AddIssue
) -> None:
    add_issue()
    for path in (APRIL, f"{APRIL}/a-headline-with-marks", "/belarus/en/issues", "/belarus/en"):
        page = client.get(path, headers={"Host": "evil.example"}).text
        assert f'<link rel="canonical" href="{ORIGIN}{path}">' in page
        assert f'<meta property="og:url" content="{ORIGIN}{path}">' in page
        assert "noindex" not in page
        assert "evil.example" not in page
        assert 'type="application/atom+xml"' in page


def test_a_page_is_previewed_with_its_first_words_and_its_picture(client: TestClient, add_issue: AddIssue) -> None:
    add_issue()
    page = client.get(f"{APRIL}/a-headline-with-marks").text
    for name, value in {
        "og:type": "article",
        "og:title": "A headline with marks",
        "og:description": "The lead.",
        "og:site_name": "Situation in Belarus",
        "og:image": f"{ORIGIN}{APRIL}/bridge.png",
        "og:image:width": "1200",
        "og:image:alt": "A bridge",
        "article:published_time": "2026-11-20T09:00:00+00:00",
    }.items():
        assert f'<meta property="{name}" content="{value}">' in page
    assert 'content="summary_large_image"' in page
    assert "og:image" not in client.get(f"{APRIL}/trams-return").text


# Whatever is asked


SEGMENTS = st.one_of(
    st.sampled_from(["belarus", "en", "issues", "2019-04-15", "trams-return", "bridge.png", "feed.atom", "..", "."]),
    st.sampled_from(["%00", "%2e%2e", "%2F", "%ff", "%C0%AF", "?year=%00", "sitemap-0.xml", "sitemap-9e9.xml"]),
    st.binary(max_size=12).map(quote_from_bytes),
)


@pytest.mark.sqlite
@given(st.lists(SEGMENTS, min_size=1, max_size=6))
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_address_breaks_a_page(client: TestClient, add_issue: AddIssue, app: App, parts: list[str]) -> None:
    with app.database.read() as session:
        if session.get(Issue, 1) is None:
            add_issue()
    assert client.get("/" + "/".join(parts)).status_code in (200, 307, 308, 404, 405)


@pytest.mark.parametrize("name", ["a\0b", "%00", "x%00.png", "..%2f..%2fetc", "é", "%ff.jpg", "a" * 5000])
def test_a_hostile_name_is_not_found(client: TestClient, add_issue: AddIssue, name: str) -> None:
    add_issue()
    for path in (f"/belarus/en/issues/{name}", f"{APRIL}/{name}", f"/belarus/{name}/feed.atom"):
        assert client.get(path.replace("\0", "%00")).status_code == 404
