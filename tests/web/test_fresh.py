"""What a browser has already is not sent again."""

import itertools
import re

import pytest
from starlette.testclient import TestClient

from mailer.app import App
from mailer.issues import issue as issues
from mailer.tables import Issue, Publication
from tests.conftest import HandedClock
from tests.web.conftest import AddIssue, Ledger, form

ISSUE = "/belarus/en/issues/2019-04-15"
PATHS = [ISSUE, f"{ISSUE}/trams-return", f"{ISSUE}/bridge.png", "/belarus/en/issues", "/belarus/en", "/sitemap.xml"]


@pytest.mark.parametrize("path", PATHS)
def test_who_names_the_tag_is_answered_without_the_page(client: TestClient, add_issue: AddIssue, path: str) -> None:
    add_issue()
    first = client.get(path)
    tag = first.headers["etag"]
    for named in (tag, f"W/{tag}", f'"other", {tag}', "*"):
        again = client.get(path, headers={"If-None-Match": named})
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["cache-control"] == first.headers["cache-control"]
        assert again.headers["content-security-policy"]
        assert "content-length" not in again.headers
    assert client.get(path, headers={"If-None-Match": '"other"'}).status_code == 200
    assert client.head(path).headers["etag"] == tag


def _stylesheet(client: TestClient) -> str:
    found = re.search('"(/static/site[^"]+)"', client.get("/belarus/en").text)
    assert found is not None
    return found[1]


def test_texts_go_compressed_to_who_takes_them_so(client: TestClient, add_issue: AddIssue) -> None:
    add_issue()
    for path in (_stylesheet(client), "/belarus/en", ISSUE, "/belarus/en/feed.atom", "/belarus/sitemap-2019.xml"):
        plain, small = (client.get(path, headers={"Accept-Encoding": each}) for each in ("identity", "br, gzip;q=0.5"))
        assert small.headers["content-encoding"] == "gzip"
        assert "content-encoding" not in plain.headers
        assert small.content == plain.content
        assert int(small.headers["content-length"]) < int(plain.headers["content-length"]) == len(plain.content)
        assert small.headers["vary"] == plain.headers["vary"] == "Accept-Encoding"
        assert client.head(path, headers={"Accept-Encoding": "gzip"}).headers["etag"] == small.headers["etag"]


@pytest.mark.parametrize("taken", ["", "identity", "br", "gzip;q=0", "gzip; Q=0.000", "*;q=0", "\xff", "gzip-not"])
def test_who_does_not_take_gzip_gets_none(client: TestClient, taken: str) -> None:
    answer = client.get("/belarus/en", headers={"Accept-Encoding": taken.encode("latin-1")})
    assert "content-encoding" not in answer.headers
    assert "<h1" in answer.text


def test_each_form_has_a_tag_of_its_own(client: TestClient, add_issue: AddIssue) -> None:
    add_issue()
    for path in (_stylesheet(client), ISSUE):
        codings = "identity", "gzip"
        tags = {each: client.get(path, headers={"Accept-Encoding": each}).headers["etag"] for each in codings}
        assert tags["identity"] != tags["gzip"]
        for taken, named in itertools.product(codings, codings):
            again = client.get(path, headers={"Accept-Encoding": taken, "If-None-Match": tags[named]})
            assert again.status_code == (304 if taken == named else 200)
            assert again.headers["vary"] == "Accept-Encoding"


def test_a_picture_and_what_is_a_readers_own_go_as_they_are(
    client: TestClient, add_issue: AddIssue, ledger: Ledger
) -> None:
    add_issue()
    client.post("/subscribe", data=form())
    own = [ledger.confirm_path(), ledger.leave_path(), "/api/openapi.json", "/api/challenge"]
    for path in (*own, f"{ISSUE}/bridge.png", "/nope/nope"):
        answer = client.get(path, headers={"Accept-Encoding": "gzip"})
        assert "content-encoding" not in answer.headers, path


def test_a_page_that_changed_has_another_tag(client: TestClient, add_issue: AddIssue, app: App) -> None:
    add_issue()
    tag = client.get(ISSUE).headers["etag"]
    assert client.get(ISSUE).headers["etag"] == tag
    with app.database.write() as session:
        session.get_one(Publication, 1).names = {"en": "Another name"}
    assert client.get(ISSUE, headers={"If-None-Match": tag}).status_code == 200


def test_the_same_page_goes_to_everybody(client: TestClient, add_issue: AddIssue) -> None:
    add_issue()
    for path in PATHS[:-1]:
        one = client.get(path, headers={"Accept-Language": "be", "Cookie": "a=b", "User-Agent": "one"})
        other = client.get(f"{path}?utm_source=mail", headers={"Accept-Language": "ru", "Host": "mirror.example"})
        assert one.content == other.content
        assert one.headers["cache-control"].startswith("public")
        assert "set-cookie" not in one.headers


def test_what_is_a_readers_own_has_no_tag(client: TestClient, ledger: Ledger) -> None:
    client.post("/subscribe", data=form())
    for path in (ledger.confirm_path(), ledger.leave_path(), "/nope/nope", "/health"):
        assert "etag" not in client.get(path).headers


@pytest.mark.parametrize("path", PATHS[:3])
def test_what_is_hidden_is_not_kept_longer_than_a_minute(
    client: TestClient, add_issue: AddIssue, app: App, clock: HandedClock, path: str
) -> None:
    add_issue()
    first = client.get(path)
    assert first.headers["cache-control"] == "public, max-age=60"
    with app.database.write() as session:
        issues.veil(session.get_one(Issue, 1), True, clock())
    again = client.get(path, headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.headers["cache-control"]) == (404, "no-store")


@pytest.mark.parametrize("since", ["yesterday", "Fri, 20 Nov 2026 09:00:00 GMT", "Fri, 20 Nov 99999 09:00:00 GMT"])
def test_no_time_stands_for_the_page(client: TestClient, add_issue: AddIssue, since: str) -> None:
    add_issue()
    for path in (*PATHS, "/belarus/en/feed.atom"):
        answer = client.get(path, headers={"If-Modified-Since": since})
        assert answer.status_code == 200
        assert "last-modified" not in answer.headers
