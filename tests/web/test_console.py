"""The operator's pages: the door, the progress, the send log."""

from datetime import date, timedelta

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from mailer import staff
from mailer.app import App
from mailer.delivery.states import WAITING, AttemptOutcome, DeliveryStatus
from mailer.issues.states import IssueStatus
from mailer.subscribers.states import SubscriptionStatus
from mailer.tables import (
    Attempt,
    Delivery,
    DeliveryKind,
    Issue,
    Publication,
    Subscriber,
    Subscription,
    UserRole,
    UserSession,
    Worker,
)
from mailer.web.site import create_app
from tests.conftest import HandedClock
from tests.web.conftest import ORIGIN

PASSWORD = "correct horse battery"
OWN = {"Origin": ORIGIN}


@pytest.fixture
def operator(app: App, clock: HandedClock) -> str:
    with app.database.write() as session:
        staff.add_user(session, "olga", UserRole.OPERATOR, PASSWORD, clock())
    return "olga"


@pytest.fixture
def signed_in(client: TestClient, operator: str) -> TestClient:
    assert _sign_in(client, operator, PASSWORD) == 303
    return client


def _sign_in(client: TestClient, name: str, password: str, origin: dict[str, str] = OWN) -> int:
    answer = client.post("/console/sign-in", data={"name": name, "password": password}, headers=origin)
    return int(answer.status_code)


# The door


@pytest.mark.parametrize("path", ["/console", "/console/deliveries/1", "/console?status=refused"])
def test_a_stranger_is_shown_the_door(client: TestClient, path: str) -> None:
    answer = client.get(path)
    assert (answer.status_code, answer.headers["location"]) == (303, "/console/sign-in")
    assert 'autocomplete="current-password"' in client.get("/console/sign-in").text


def test_the_cookie_is_locked_down(client: TestClient, operator: str) -> None:
    answer = client.post("/console/sign-in", data={"name": operator, "password": PASSWORD}, headers=OWN)
    assert (answer.status_code, answer.headers["location"]) == (303, "/console")
    cookie = answer.headers["set-cookie"]
    for part in ("__Host-staff=", "HttpOnly", "Secure", "SameSite=strict", "Path=/"):
        assert part in cookie
    assert client.get("/console").status_code == 200


def test_over_plain_http_the_cookie_still_works(app: App, publication: Publication, operator: str) -> None:
    settings = app.settings.model_copy(update={"link_hosts": ["http://127.0.0.1:8080"]})
    plain = App(settings=settings, database=app.database, tokens=app.tokens, clock=app.clock)
    client = TestClient(create_app(plain), base_url="http://127.0.0.1:8080", follow_redirects=False)
    assert _sign_in(client, operator, PASSWORD, {"Origin": "http://127.0.0.1:8080"}) == 303
    assert client.get("/console").status_code == 200


def test_a_wrong_password_and_an_unknown_name_get_the_same_answer(client: TestClient, operator: str) -> None:
    answers = [
        client.post("/console/sign-in", data={"name": name, "password": "wrong password"}, headers=OWN)
        for name in (operator, "noone")
    ]
    assert [answer.status_code for answer in answers] == [403, 403]
    assert answers[0].text.replace(operator, "noone") == answers[1].text
    assert not any(answer.cookies for answer in answers)


@pytest.mark.parametrize("origin", [{}, {"Origin": "https://evil.example"}, {"Origin": "null"}])
def test_another_site_can_sign_nobody_in_or_out(
    app: App, signed_in: TestClient, operator: str, origin: dict[str, str]
) -> None:
    assert _sign_in(signed_in, operator, PASSWORD, origin) == 403
    assert signed_in.post("/console/sign-out", headers=origin).status_code == 403
    assert signed_in.get("/console").status_code == 200


def test_guessing_is_stopped_for_a_quarter_of_an_hour(client: TestClient, operator: str, clock: HandedClock) -> None:
    assert [_sign_in(client, operator, f"guess number {n}") for n in range(6)] == [403] * 5 + [429]
    assert _sign_in(client, operator, PASSWORD) == 429
    assert _sign_in(client, "noone", "guess") == 403, "other names are not held up"
    clock.pass_(minutes=15)
    assert _sign_in(client, operator, PASSWORD) == 303


def test_a_right_password_forgets_the_wrong_ones(client: TestClient, operator: str) -> None:
    for _ in range(3):
        assert [_sign_in(client, operator, "a wrong guess") for _ in range(4)] == [403] * 4
        assert _sign_in(client, operator, PASSWORD) == 303


def test_signing_out_ends_the_session_on_the_server(app: App, signed_in: TestClient) -> None:
    kept = dict(signed_in.cookies)
    assert signed_in.post("/console/sign-out", headers=OWN).status_code == 303
    with app.database.read() as session:
        assert session.get(UserSession, "anything") is None
    signed_in.cookies.update(kept)
    assert signed_in.get("/console").status_code == 303


def test_a_session_ends_by_itself(signed_in: TestClient, clock: HandedClock) -> None:
    clock.pass_(hours=12)
    assert signed_in.get("/console").status_code == 303


def test_an_editor_does_not_see_readers(client: TestClient, app: App, clock: HandedClock) -> None:
    with app.database.write() as session:
        staff.add_user(session, "erik", UserRole.EDITOR, PASSWORD, clock())
    _sign_in(client, "erik", PASSWORD)
    answer = client.get("/console")
    assert (answer.status_code, "Sign in with an account that may see this" in answer.text) == (403, True)


def test_console_pages_tell_their_origin_to_themselves_only(signed_in: TestClient) -> None:
    answer = signed_in.get("/console")
    assert answer.headers["referrer-policy"] == "same-origin"
    assert answer.headers["cache-control"] == "no-store"


# What it shows


@pytest.fixture
def issue_id(app: App, publication: Publication, clock: HandedClock) -> int:
    """An issue that is going out: 2 accepted, 1 deferred twice, 1 refused, 2 queued."""
    S = DeliveryStatus
    with app.database.write() as session:
        assert publication.id is not None
        issue = Issue(
            publication_id=publication.id,
            slug="2026-11-16",
            first_day=date(2026, 11, 16),
            last_day=date(2026, 11, 22),
            status=IssueStatus.SENDING,
            added_at=clock(),
            began_at=clock() - timedelta(seconds=30),
        )
        worker = Worker(name="host/1", started_at=clock(), lease_until=clock())
        session.add_all([issue, worker])
        session.flush()
        for number, status in enumerate([S.ACCEPTED, S.ACCEPTED, S.DEFERRED, S.REFUSED, S.QUEUED, S.QUEUED]):
            subscriber = Subscriber(
                address=f"reader{number}@example.org",
                address_hash=str(number),
                domain="example.org",
                created_at=clock(),
            )
            session.add(subscriber)
            session.flush()
            subscription = Subscription(
                subscriber_id=subscriber.id or 0,
                edition_id=1,
                status=SubscriptionStatus.CONFIRMED,
                language="en",
                created_at=clock(),
                changed_at=clock(),
            )
            session.add(subscription)
            session.flush()
            tries = {S.QUEUED: 0, S.DEFERRED: 2}.get(status, 1)
            delivery = Delivery(
                kind=DeliveryKind.ISSUE,
                issue_id=issue.id,
                edition_id=1,
                subscription_id=subscription.id,
                destination="example.org",
                status=status,
                due_at=clock() if status in WAITING else None,
                attempts=tries,
                queued_at=clock(),
                changed_at=clock(),
            )
            session.add(delivery)
            session.flush()
            for attempt in range(1, tries + 1):
                session.add(
                    Attempt(
                        delivery_id=delivery.id or 0,
                        number=attempt,
                        worker_id=worker.id or 0,
                        relay="relay:25",
                        started_at=clock() - timedelta(seconds=2),
                        finished_at=clock(),
                        outcome=AttemptOutcome(status.value),
                        stage="rcpt",
                        code={S.ACCEPTED: 250, S.DEFERRED: 451, S.REFUSED: 550}[status],
                        enhanced="5.1.1" if status is S.REFUSED else None,
                        reply="5.1.1 No <script>such</script> mailbox" if status is S.REFUSED else f"try {attempt}",
                    )
                )
        return issue.id or 0


def test_the_progress_shows_counts_rate_and_what_is_left(signed_in: TestClient, issue_id: int) -> None:
    page = signed_in.get("/console").text
    assert "3 of 6 done" in page
    assert "0.2 a second" in page  # five answers within thirty seconds
    assert "about 18 s to go" in page
    assert 'href="?issue=2026-11-16&amp;status=deferred"' in page
    assert '<meta http-equiv="refresh" content="5">' in page


def test_the_page_stands_still_when_nothing_goes_out(app: App, signed_in: TestClient, issue_id: int) -> None:
    with app.database.write() as session:
        session.get_one(Issue, issue_id).status = IssueStatus.SENT
    page = signed_in.get("/console").text
    assert "refresh" not in page
    assert "to go" not in page


def test_a_row_shows_the_servers_words_and_runs_none_of_them(signed_in: TestClient, issue_id: int) -> None:
    page = signed_in.get("/console?status=refused").text
    assert "reader3@example.org" in page
    assert "<b>550</b> <b>5.1.1</b> No &lt;script&gt;such&lt;/script&gt; mailbox" in page
    assert "reader1@example.org" not in page


def test_times_are_those_of_the_publication(signed_in: TestClient, issue_id: int) -> None:
    page = signed_in.get("/console").text
    assert "Europe/Minsk" in page
    assert '<time datetime="2026-11-20T09:00:00+00:00">2026-11-20 12:00:00</time>' in page


def test_filters_come_back_filled_in(signed_in: TestClient, issue_id: int) -> None:
    page = signed_in.get("/console?issue=2026-11-16&status=queued&domain=example.org&address=reader4").text
    assert 'value="reader4"' in page
    assert '<option value="queued" selected>' in page
    assert page.count("<tr>") == 2  # the head and one row


@pytest.mark.parametrize(
    ("query", "status", "said"),
    [
        ("status=sent", 400, "There is no status"),
        ("issue=nope", 400, "There is no issue"),
        ("address=zzz", 200, "No delivery fits this filter"),
        ("address=%00", 200, "reader1@example.org"),
        ("before=x", 400, ""),
        ("before=99999999999999999999999", 400, ""),
    ],
)
def test_a_filter_without_sense_says_so(
    signed_in: TestClient, issue_id: int, query: str, status: int, said: str
) -> None:
    answer = signed_in.get(f"/console?{query}")
    assert (answer.status_code, said in answer.text) == (status, True)


def test_the_log_is_paged(signed_in: TestClient, app: App, issue_id: int, clock: HandedClock) -> None:
    with app.database.write() as session:
        for _ in range(60):
            session.add(
                Delivery(
                    kind=DeliveryKind.TEST,
                    edition_id=1,
                    recipient="editor@example.org",
                    destination="example.org",
                    status=DeliveryStatus.ACCEPTED,
                    due_at=None,
                    queued_at=clock(),
                    changed_at=clock(),
                )
            )
    page = signed_in.get("/console?domain=example.org").text
    assert 'href="/console?domain=example.org&amp;before=17#log" rel="next"' in page
    older = signed_in.get("/console?domain=example.org&before=17").text
    assert "reader0@example.org" in older
    assert 'rel="next"' not in older
    assert "refresh" not in older, "nobody's page is turned while it is read"


def test_a_deliverys_page_shows_every_attempt(signed_in: TestClient, issue_id: int) -> None:
    page = signed_in.get("/console/deliveries/3").text
    assert "reader2@example.org" in page
    assert page.index("try 1") < page.index("try 2")
    assert "2.0 s" in page
    assert signed_in.get("/console/deliveries/4711").status_code == 404
    assert signed_in.get("/console/deliveries/x").status_code == 400


def test_an_empty_console_says_what_to_do(signed_in: TestClient, web: FastAPI) -> None:
    page = signed_in.get("/console").text
    assert "mailer issue add FOLDER" in page
    assert "Nothing has been sent yet" in page
