"""What was sent, on the web."""

from collections.abc import Callable
from datetime import date

import pytest
from starlette.testclient import TestClient

from mailer.app import App
from mailer.issues.states import IssueStatus
from mailer.tables import Issue, Picture, Publication, Translation
from tests.conftest import HandedClock

SOURCE = """---
period: 2019-04-15/2019-04-21
title: {title}
---
## {section} {{verdict=worse}}

### A headline with <b>marks</b>

**The lead.** The body with a [link](https://example.org/), <script>alert(1)</script>
<span style="color:red" onclick="x()">inline HTML</span> and a picture.

![A bridge](bridge.png)
"""

PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de0000000c49444154789c63f8cfc0000003010100c9fe92ef"
    "0000000049454e44ae426082"
)

AddIssue = Callable[..., None]


@pytest.fixture
def add_issue(app: App, publication: Publication, clock: HandedClock) -> AddIssue:
    def add(
        status: IssueStatus = IssueStatus.SENT,
        languages: tuple[str, ...] = ("en", "be"),
        *,
        began: bool = True,
        slug: str = "2019-04-15",
        first_day: date = date(2019, 4, 15),
        source: str = SOURCE,
    ) -> None:
        assert publication.id is not None
        with app.database.write() as session:
            issue = Issue(
                publication_id=publication.id,
                slug=slug,
                first_day=first_day,
                last_day=first_day.replace(day=first_day.day + 6),
                status=status,
                added_at=clock(),
                began_at=clock() if began else None,
            )
            session.add(issue)
            session.flush()
            assert issue.id is not None
            for language in languages:
                text = source.format(title=publication.names[language], section=f"Section in {language}")
                session.add(Translation(issue_id=issue.id, language=language, title="x", source=text))
            session.add(
                Picture(
                    issue_id=issue.id, name="bridge.png", media_type="image/png", width=1200, height=800, content=PIXEL
                )
            )

    return add


def test_the_list_names_each_week_newest_first(client: TestClient, add_issue: AddIssue) -> None:
    add_issue()
    add_issue(slug="2019-04-22", first_day=date(2019, 4, 22))
    page = client.get("/belarus/en/issues").text
    assert "Situation in Belarus" in page
    assert page.index("April 22 – April 28, 2019") < page.index("April 15 – April 21, 2019")
    assert 'href="/belarus/en/issues/2019-04-15"' in page


def test_a_week_is_listed_in_the_languages_it_was_written_in(client: TestClient, add_issue: AddIssue) -> None:
    add_issue()
    assert "15–21 красавіка 2019" in client.get("/belarus/be/issues").text
    assert "На этом языке ещё ничего не выходило" in client.get("/belarus/ru/issues").text


def test_an_issue_is_shown_as_it_was_written(client: TestClient, add_issue: AddIssue) -> None:
    add_issue()
    answer = client.get("/belarus/en/issues/2019-04-15")
    assert answer.status_code == 200
    for part in (
        "April 15 – April 21, 2019",
        "Section in en",
        "A headline with marks",
        "<p>The lead.</p>",
        '<a href="https://example.org/"',
        "▼",
        "got worse",
        '<img src="/belarus/en/issues/2019-04-15/bridge.png" alt="A bridge" width="600" height="400">',
    ):
        assert part in answer.text
    for harm in ("<script", "onclick", "style="):
        assert harm not in answer.text


def test_an_issue_names_its_other_languages_and_no_others(client: TestClient, add_issue: AddIssue) -> None:
    add_issue()
    page = client.get("/belarus/en/issues/2019-04-15").text
    assert 'href="/belarus/be/issues/2019-04-15" lang="be" hreflang="be"' in page
    assert "/belarus/ru/issues/2019-04-15" not in page
    assert client.get("/belarus/ru/issues/2019-04-15").status_code == 404


def test_a_picture_is_served_as_what_it_is(client: TestClient, add_issue: AddIssue) -> None:
    add_issue()
    answer = client.get("/belarus/be/issues/2019-04-15/bridge.png")
    assert (answer.status_code, answer.headers["content-type"], answer.content) == (200, "image/png", PIXEL)
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
    add_issue(status, began=began)
    assert client.get("/belarus/en/issues/2019-04-15").status_code == found
    assert client.get("/belarus/en/issues/2019-04-15/bridge.png").status_code == found
    assert ("2019-04-15" in client.get("/belarus/en/issues").text) is (found == 200)
    assert ("2019-04-15" in client.get("/belarus/en").text) is (found == 200)


def test_the_front_page_leads_to_the_latest_issue(client: TestClient, add_issue: AddIssue) -> None:
    add_issue()
    page = client.get("/belarus/en").text
    assert 'href="/belarus/en/issues/2019-04-15"' in page
    assert "Latest issue" not in client.get("/belarus/ru").text


def test_a_source_that_cannot_be_read_any_more_is_a_plain_error(client: TestClient, add_issue: AddIssue) -> None:
    add_issue(source="no front matter {title}{section}")
    answer = client.get("/belarus/en/issues/2019-04-15")
    assert answer.status_code == 500
    assert answer.headers["content-type"].startswith("text/plain")
    assert "front matter" not in answer.text
    assert answer.headers["referrer-policy"] == "no-referrer"
