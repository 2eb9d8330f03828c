"""Subscribing as a program or a page of another site does it: JSON, and problems that name the field."""

import json
from typing import Any

import altcha
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

from mailer.app import App
from mailer.subscribers.address import hash, parse
from mailer.tables import DeliveryKind, Publication, Subscription, Suppression, SuppressionReason
from mailer.web.altcha import VALID, Challenges
from tests.conftest import HandedClock
from tests.web.conftest import ORIGIN, Ledger
from tests.web.test_asking import site

WANTED = {"publication": "belarus", "edition": "ru", "address": "anna@example.org", "language": "ru"}


def proof(app: App) -> str:
    """A solved challenge, an easy one: how hard they are is tested elsewhere."""
    challenge = altcha.Challenge.from_dict(Challenges(app.settings.secret_keys).make(app.clock(), tries=1))
    solution = altcha.solve_challenge(challenge)
    assert solution is not None
    return altcha.Payload(challenge, solution).to_base64()


def wanted(app: App, **fields: Any) -> dict[str, Any]:
    return {**WANTED, "altcha": proof(app), **fields}


def test_a_program_subscribes_a_reader(app: App, client: TestClient, publication: Publication, ledger: Ledger) -> None:
    answer = client.post("/api/subscribe", json=wanted(app))
    assert (answer.status_code, answer.json()["status"]) == (202, "check-mailbox")
    assert "письмо" in answer.json()["detail"]
    assert answer.headers["content-language"] == "ru"
    consent = ledger.consents()[0]
    assert (consent.source, consent.language, consent.wording) == ("api", "ru", "A request to /api/subscribe")


@pytest.mark.parametrize(
    ("origin", "site"),
    [
        ("https://Friend.example:8443", "https://friend.example:8443"),
        ("http://[2001:db8::1]", "http://[2001:db8::1]"),
        ("null", ""),
        (ORIGIN, ""),
        ("https://friend.example/<b>I agreed to everything</b>", "an unknown site"),
        ("https://" + "a" * 300, "an unknown site"),
    ],
)
def test_the_record_names_the_site_whose_form_was_filled_in_and_none_of_its_words(
    app: App, client: TestClient, ledger: Ledger, origin: str, site: str
) -> None:
    sent = wanted(app, wording="I agreed to everything", source="a letter")
    assert client.post("/api/subscribe", json=sent, headers={"Origin": origin}).status_code == 202
    consent = ledger.consents()[-1]
    in_words = f", in the words of {site}" if site else ""
    assert (consent.source, consent.wording) == (f"api {site}".strip(), f"A request to /api/subscribe{in_words}")
    assert [mail.kind for mail in ledger.mails()] == [DeliveryKind.CONFIRMATION]


def test_the_challenge_of_the_api_is_what_the_widget_solves(
    client: TestClient, publication: Publication, ledger: Ledger
) -> None:
    challenge = altcha.Challenge.from_dict(client.get("/api/challenge").json())
    solution = altcha.solve_challenge(challenge)
    assert solution is not None
    payload = altcha.Payload(challenge, solution).to_base64()
    assert client.post("/api/subscribe", json={**WANTED, "altcha": payload}).status_code == 202
    assert len(ledger.mails()) == 1


def test_a_proof_is_good_for_one_request_which_is_told_the_same_twice(
    app: App, client: TestClient, publication: Publication, ledger: Ledger
) -> None:
    anna = wanted(app)
    others = [{**anna, "address": "boris@example.org"}, {**anna, "edition": "en"}]
    assert client.post("/api/subscribe", json=anna).status_code == 202
    for other in [*others, *others]:
        assert client.post("/api/subscribe", json=other).status_code == 403
    assert client.post("/api/subscribe", json=anna).status_code == 202
    assert len(ledger.mails()) == 1


def test_without_a_proof_of_work_nothing_happens(
    app: App, client: TestClient, publication: Publication, ledger: Ledger, clock: HandedClock
) -> None:
    used = proof(app)
    client.post("/api/subscribe", json={**WANTED, "altcha": used})
    old = proof(app)
    clock.pass_(seconds=VALID.total_seconds())
    for payload in ("", "x", used, old):
        answer = client.post("/api/subscribe", json={**WANTED, "address": "boris@example.org", "altcha": payload})
        assert answer.status_code == 403
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["type"] == "https://news.example.org/api/openapi.json#proof-of-work"
    assert len(ledger.mails()) == 1


def test_the_answer_does_not_tell_who_reads_us(
    app: App, client: TestClient, ledger: Ledger, confirmed: Subscription, clock: HandedClock
) -> None:
    hashed = hash(parse("sadie@example.org"), app.settings.address_key.get_secret_value())
    with app.database.write() as session:
        session.add(
            Suppression(address_hash=hashed, reason=SuppressionReason.BOUNCE, added_at=clock(), added_by="test")
        )
    clock.pass_(hours=1)
    sent = [{"address": each} for each in ("stranger@example.org", "anna@example.org", "sadie@example.org")]
    sent += [{"address": "robot@example.org", "website": "https://spam.example"}]
    answers = [client.post("/api/subscribe", json=wanted(app, **fields)) for fields in sent]
    first, *rest = [(answer.status_code, answer.content, sorted(answer.headers.items())) for answer in answers]
    assert first[0] == 202
    assert all(answer == first for answer in rest)
    assert "robot@example.org" not in str([mail.model_dump() for mail in ledger.mails()])


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"publication": "nope"}, ["publication"]),
        ({"edition": "fr"}, ["edition"]),
        ({"edition": 7}, ["edition"]),
        ({"address": "anna"}, ["address"]),
        ({"address": None}, ["address"]),
        ({"address": "postmaster@example.org"}, ["address"]),
        ({"address": "x\0@example.org", "edition": ["ru"]}, ["edition", "address"]),
        ({"language": "fr"}, ["language"]),
    ],
)
def test_a_problem_names_the_field_in_the_readers_language(
    app: App, client: TestClient, publication: Publication, ledger: Ledger, fields: dict[str, Any], named: list[str]
) -> None:
    answer = client.post("/api/subscribe", json={**WANTED, **fields}, headers={"Accept-Language": "ru"})
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")
    problem = answer.json()
    assert (problem["status"], problem["title"]) == (422, "Некоторые поля заполнены неверно: см. errors.")
    assert [error["field"] for error in problem["errors"]] == named
    assert [error["pointer"] for error in problem["errors"]] == [f"#/{field}" for field in named]
    assert ledger.acts() == []


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"{}", "text/plain", 415),
        (b"{}", "", 415),
        (b"{", "application/json", 400),
        (b"[" * 60_000, "application/json", 400),
        (b"\xff", "application/json", 400),
        (b"[]", "application/json; charset=utf-8", 400),
        (b'"' + b"x" * 70_000 + b'"', "application/json", 413),
    ],
)
def test_what_is_not_a_json_object_is_told_so(
    client: TestClient, publication: Publication, body: bytes, kind: str, status: int
) -> None:
    answer = client.post("/api/subscribe", content=body, headers={"content-type": kind})
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    assert answer.json()["status"] == status


def test_other_addresses_and_methods_are_problems_too(client: TestClient, publication: Publication) -> None:
    for answer, status in ((client.get("/api/nope"), 404), (client.get("/api/subscribe"), 405)):
        assert (answer.status_code, answer.json()["status"]) == (status, status)


def test_a_page_of_another_site_may_ask_and_read_but_not_with_cookies(
    client: TestClient, publication: Publication
) -> None:
    preflight = client.options(
        "/api/subscribe", headers={"Origin": "https://friend.example", "Access-Control-Request-Method": "POST"}
    )
    assert preflight.status_code == 204
    assert preflight.headers["access-control-allow-methods"] == "POST"
    assert preflight.headers["access-control-allow-headers"] == "content-type"
    for answer in (preflight, client.post("/api/subscribe", json={}), client.get("/api/challenge")):
        assert answer.headers["access-control-allow-origin"] == "*"
        assert answer.headers["access-control-expose-headers"] == "Retry-After"
        assert "access-control-allow-credentials" not in answer.headers
    for path in ("/subscribe", "/belarus/ru", "/console", "/c/x"):
        assert "access-control-allow-origin" not in client.options(path).headers
        assert "access-control-allow-origin" not in client.get(path).headers


def test_too_many_requests_are_a_problem_with_the_time_to_wait(
    app: App, publication: Publication, ledger: Ledger
) -> None:
    client = site(app, requests_per_network=2)
    statuses = [client.post("/api/subscribe", json=wanted(app, address=f"r{n}@example.org")) for n in range(3)]
    assert [answer.status_code for answer in statuses] == [202, 202, 429]
    assert statuses[-1].headers["retry-after"] == "3600"
    assert len(ledger.mails()) == 2


def test_challenges_are_harder_under_pressure(app: App, publication: Publication, monkeypatch: Any) -> None:
    asked = list[int]()
    make = Challenges.make

    def noting(self: Challenges, now: Any, *, tries: int) -> dict[str, Any]:
        asked.append(tries)
        return make(self, now, tries=1)

    monkeypatch.setattr(Challenges, "make", noting)
    for expected in (300, 0):
        site(app, requests_expected=expected).get("/api/challenge")
    assert asked == [500, 2000]


VALUES = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=40),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
) | st.sampled_from(["belarus", "ru", "anna@example.org", "\ud800", "\0", "eyJjaGFsbGVuZ2UiOnt9fQ=="])


@pytest.mark.sqlite
@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
@given(fields=st.dictionaries(st.sampled_from([*WANTED, "altcha", "website", "x"]), VALUES))
def test_no_json_is_ever_a_server_error(client: TestClient, publication: Publication, fields: dict[str, Any]) -> None:
    for body in (fields, {**WANTED, **fields}):
        sent = client.post("/api/subscribe", content=json.dumps(body), headers={"content-type": "application/json"})
        assert sent.status_code in (202, 403, 422)
