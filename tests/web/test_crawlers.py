"""What search engines are told."""

from datetime import date
from urllib.robotparser import RobotFileParser

import pytest
from lxml import etree
from starlette.testclient import TestClient

from mailer import links
from mailer.app import App
from mailer.tables import Publication
from tests.web.conftest import ORIGIN, AddIssue

NAMES = {"s": "http://www.sitemaps.org/schemas/sitemap/0.9", "x": "http://www.w3.org/1999/xhtml"}


def _locations(client: TestClient, path: str) -> list[str]:
    answer = client.get(path)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/xml")
    found = etree.fromstring(answer.content).xpath("//s:loc/text()", namespaces=NAMES)
    assert isinstance(found, list)
    return [str(each) for each in found]


def test_every_address_of_the_sitemaps_answers_and_says_that_it_is_the_one(
    client: TestClient, add_issue: AddIssue
) -> None:
    add_issue("en", "be")
    add_issue("en", first_day=date(2018, 12, 31))
    maps = _locations(client, "/sitemap.xml")
    assert len(maps) == 3
    pages = [page for each in maps for page in _locations(client, each.removeprefix(ORIGIN))]
    assert len(pages) == len(set(pages)) == 3 + 2 + 3 + 2 * 3 + 3
    for page in pages:
        answer = client.get(page.removeprefix(ORIGIN))
        assert answer.status_code == 200
        assert f'<link rel="canonical" href="{page}">' in answer.text


def test_a_sitemap_names_each_page_in_its_other_languages(client: TestClient, add_issue: AddIssue) -> None:
    add_issue("en", "be")
    map_ = etree.fromstring(client.get("/belarus/sitemap-2019.xml").content)
    english = f"{ORIGIN}/belarus/en/issues/2019-04-15/trams-return"
    found = map_.xpath(f"//s:url[s:loc='{english}']/x:link", namespaces=NAMES)
    assert isinstance(found, list)
    assert {link.attrib["hreflang"]: link.attrib["href"] for link in found if isinstance(link, etree._Element)} == {
        "en": english,
        "be": f"{ORIGIN}/belarus/be/issues/2019-04-15/tramvai-vyartayucca",
    }


@pytest.mark.parametrize("path", ["/nope/sitemap.xml", "/belarus/sitemap-1999.xml", "/belarus/sitemap-x%00.xml"])
def test_a_sitemap_of_nothing_is_not_found(client: TestClient, add_issue: AddIssue, path: str) -> None:
    add_issue()
    assert client.get(path).status_code == 404


def test_robots_may_read_what_is_for_everybody_and_nothing_behind_a_token(client: TestClient) -> None:
    rules = client.get("/robots.txt", headers={"Host": "evil.example"})
    assert rules.headers["content-type"].startswith("text/plain")
    assert f"Sitemap: {ORIGIN}/sitemap.xml" in rules.text.splitlines()
    read = RobotFileParser()
    read.parse(rules.text.splitlines())
    for path in ("/belarus/en", "/belarus/en/issues/2019-04-15", "/static/site.css", "/consoles/en", "/usa/en"):
        assert read.can_fetch("anybody", path), path
    for path in (links.confirm("", "abc"), links.unsubscribe("", "abc"), "/console/deliveries/1"):
        assert not read.can_fetch("anybody", path), path


def test_sitemaps_list_every_publication(client: TestClient, app: App) -> None:
    with app.database.write() as session:
        first = session.get_one(Publication, 1)
        session.add(Publication(**first.model_dump(exclude={"id", "slug"}), slug="second"))
    assert _locations(client, "/sitemap.xml") == [f"{ORIGIN}/{slug}/sitemap.xml" for slug in ("belarus", "second")]
