"""The Atom feed, read as a feed reader reads it: by the schema, and then by its parts."""

from datetime import date, timedelta
from pathlib import Path

import pytest
from lxml import etree, html
from starlette.testclient import TestClient

from mailer.app import App
from mailer.issues import issue as issues
from mailer.tables import Issue
from mailer.web.site import create_app
from tests.conftest import HandedClock
from tests.web.conftest import ORIGIN, AddIssue

ATOM = "{http://www.w3.org/2005/Atom}"
SCHEMA = etree.RelaxNG(etree.parse(Path(__file__).with_name("atom.rng")))
FEED = "/belarus/en/feed.atom"


def _read(client: TestClient, path: str = FEED) -> etree._Element:
    answer = client.get(path)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/atom+xml")
    feed = etree.fromstring(answer.content)
    SCHEMA.assertValid(feed)
    return feed


def _links(element: etree._Element) -> dict[str, str]:
    return {str(link.get("rel")): str(link.get("href")) for link in element.iterfind(f"{ATOM}link")}


def test_the_feed_keeps_to_its_schema_with_issues_and_without(client: TestClient, add_issue: AddIssue) -> None:
    assert _read(client).find(f"{ATOM}entry") is None
    add_issue()
    assert len(_read(client).findall(f"{ATOM}entry")) == 1


@pytest.mark.parametrize(("name", "change"), [("id", "x"), ("updated", "20 November 2026"), ("author", None)])
def test_the_schema_would_notice(client: TestClient, add_issue: AddIssue, name: str, change: str | None) -> None:
    add_issue()
    feed = _read(client)
    found = feed.find(f"{ATOM}{name}")
    assert found is not None
    if change is None:
        feed.remove(found)
    else:
        found.text = change
    assert not SCHEMA.validate(feed)


def test_the_feed_names_itself_and_its_pages_by_the_link_host(client: TestClient, add_issue: AddIssue) -> None:
    add_issue()
    feed = _read(client)
    assert _links(feed) == {"self": f"{ORIGIN}{FEED}", "alternate": f"{ORIGIN}/belarus/en/issues"}
    entry = feed.find(f"{ATOM}entry")
    assert entry is not None
    assert _links(entry) == {"alternate": f"{ORIGIN}/belarus/en/issues/2019-04-15"}
    assert feed.attrib["{http://www.w3.org/XML/1998/namespace}lang"] == "en"
    assert "evil.example" not in client.get(FEED, headers={"Host": "evil.example"}).text


def test_an_entry_holds_the_whole_issue_as_clean_html_with_whole_addresses(
    client: TestClient, add_issue: AddIssue
) -> None:
    add_issue()
    content = _read(client).findtext(f"{ATOM}entry/{ATOM}content") or ""
    picture = f"{ORIGIN}/belarus/en/issues/2019-04-15/bridge.png"
    for part in ("Section in en", "<p>The lead.</p>", "Text.", "▲ got better", picture):
        assert part in content
    for harm in ("<script", "onclick", "style="):
        assert harm not in content
    addresses = html.fromstring(content).xpath("//@href | //@src")
    assert isinstance(addresses, list)
    assert len(addresses) == 4
    assert all(str(address).startswith("https://") for address in addresses)


def test_ids_stay_when_the_link_host_changes(app: App, client: TestClient, add_issue: AddIssue) -> None:
    add_issue()
    moved = app.settings.model_copy(update={"link_hosts": ["https://mirror.example"]})
    mirror = App(settings=moved, database=app.database, tokens=app.tokens, clock=app.clock)
    other = _read(TestClient(create_app(mirror), base_url=ORIGIN))
    ids = [element.text for element in _read(client).iter(f"{ATOM}id")]
    assert ids == [element.text for element in other.iter(f"{ATOM}id")]
    assert len(set(ids)) == 2
    assert ids[1] == "tag:belarus.news.example.org,2026-11-20:belarus/en/2019-04-15"
    assert _links(other)["self"] == f"https://mirror.example{FEED}"


def test_the_feed_holds_the_newest_ten(client: TestClient, add_issue: AddIssue) -> None:
    for week in range(12):
        add_issue("en", first_day=date(2019, 4, 1) + timedelta(weeks=week))
    titles = [title.text or "" for title in _read(client).iterfind(f"{ATOM}entry/{ATOM}title")]
    assert len(titles) == 10
    assert titles[0] == "Situation in Belarus, June 17 – June 23, 2019"


def test_what_xml_cannot_hold_is_replaced(client: TestClient, add_issue: AddIssue) -> None:
    add_issue(text="A form feed &#12; and\n\n<p>a &#1; control &#x1F; ]]> &amp;lt;</p>")
    content = _read(client).findtext(f"{ATOM}entry/{ATOM}content") or ""
    assert "A form feed" in content
    assert "]]&gt;" in content


def test_a_feed_in_each_language_and_none_in_others(client: TestClient, add_issue: AddIssue, app: App) -> None:
    add_issue()
    feed = _read(client, "/belarus/be/feed.atom")
    assert feed.findtext(f"{ATOM}title") == "Сітуацыя ў Беларусі"
    assert client.get("/belarus/fr/feed.atom").status_code == 404
    assert client.get("/nowhere/en/feed.atom").status_code == 404


def test_a_reader_that_has_the_feed_is_not_sent_it_again(client: TestClient, add_issue: AddIssue) -> None:
    add_issue()
    first = client.get(FEED)
    again = client.get(FEED, headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == first.headers["etag"]


def test_a_reader_that_has_the_feed_learns_that_the_newest_issue_was_hidden(
    client: TestClient, add_issue: AddIssue, app: App, clock: HandedClock
) -> None:
    add_issue(first_day=date(2019, 4, 8))
    clock.pass_(days=7)
    add_issue()
    clock.pass_(days=1)
    had, updated = client.get(FEED), list[str]()
    for private in (False, True, True, False):  # it stays, is hidden, hidden again, and shown again
        with app.database.write() as session:
            issues.veil(session.get_one(Issue, 2), private, clock())
        feed = _read(client)
        assert len(feed.findall(f"{ATOM}entry")) == (1 if private else 2)
        updated.append(feed.findtext(f"{ATOM}updated") or "")
        known = {"If-None-Match": had.headers["etag"], "If-Modified-Since": "Fri, 04 Dec 2026 09:00:00 GMT"}
        assert client.get(FEED, headers=known).status_code == (304 if updated == updated[:1] else 200)
        clock.pass_(hours=1)
    days = ["2026-11-27T09:00:00", "2026-11-28T10:00:00", "2026-11-28T10:00:00", "2026-11-28T12:00:00"]
    assert updated == [f"{day}+00:00" for day in days]


def test_an_issue_that_was_never_shown_leaves_no_trace_in_the_feed(
    client: TestClient, add_issue: AddIssue, app: App, clock: HandedClock
) -> None:
    add_issue(first_day=date(2019, 4, 8))
    before = client.get(FEED).content
    clock.pass_(days=1)
    add_issue("en", more="private: true")
    with app.database.write() as session:
        issues.veil(session.get_one(Issue, 2), True, clock())
    assert client.get(FEED).content == before
