"""What keeps programs from the form, and lets people through."""

import base64
import json
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import altcha
import pytest
from fastapi import Response
from hypothesis import given
from hypothesis import strategies as st
from sqlmodel import select
from starlette.concurrency import run_in_threadpool
from starlette.testclient import TestClient

from mailer.app import App
from mailer.delivery.composer import Composer
from mailer.delivery.ledger import claim
from mailer.delivery.session import Envelope
from mailer.rendering.automatic import render_automatic
from mailer.rendering.decoded import parse, part
from mailer.settings import Settings, SettingsError
from mailer.subscribers import limits
from mailer.tables import Consent, Counted, Publication, Subscription
from mailer.tokens import Purpose
from mailer.web.altcha import Challenges, encoded
from mailer.web.asking import SOONEST, even_after, evenly
from mailer.web.site import create_app
from tests.conftest import HandedClock
from tests.web.conftest import ORIGIN, Ledger, form

SNIPPET = {"publication": "belarus", "edition": "ru", "address": "anna@example.org", "language": "ru"}


@pytest.fixture(autouse=True)
def _easy(monkeypatch: pytest.MonkeyPatch) -> None:
    """How hard a challenge is takes a browser's seconds, and is tested elsewhere."""
    monkeypatch.setattr("mailer.web.optin.TRIES", 2)
    monkeypatch.setattr("mailer.web.asking.SOONEST", SOONEST)


def site(app: App, *, network: str = "203.0.113.7", **settings: Any) -> TestClient:
    """The pages with other settings, asked from an address."""
    changed = App(
        settings=app.settings.model_copy(update=settings), database=app.database, tokens=app.tokens, clock=app.clock
    )
    return TestClient(create_app(changed), base_url=ORIGIN, client=(network, 1), follow_redirects=False)


def fields_of(page: str) -> dict[str, str]:
    """The hidden fields of the form on a page, as the browser would send them."""
    return dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', page))


def solved(payload: str) -> str:
    """A challenge as altcha's own library solves and encodes it."""
    challenge = altcha.Challenge.from_dict(json.loads(base64.b64decode(payload))["challenge"])
    solution = altcha.solve_challenge(challenge)
    assert solution is not None
    return altcha.Payload(challenge, solution).to_base64()


# The form's age


def test_a_form_that_was_fetched_a_moment_ago_is_taken(
    client: TestClient, publication: Publication, ledger: Ledger, clock: HandedClock
) -> None:
    fields = {**SNIPPET, "stamp": fields_of(client.get("/belarus/ru").text)["stamp"]}
    clock.pass_(seconds=3)
    assert "Проверьте почту" in client.post("/subscribe", data=fields).text
    assert len(ledger.mails()) == 1


def test_a_form_that_is_sent_back_faster_than_a_person_can_is_shown_once_more(
    client: TestClient, publication: Publication, ledger: Ledger, clock: HandedClock
) -> None:
    fields = {**SNIPPET, "stamp": fields_of(client.get("/belarus/ru").text)["stamp"]}
    page = client.post("/subscribe", data=fields).text
    assert "Ещё один шаг" in page
    assert fields_of(page) == fields
    assert 'action="/subscribe?language=ru"' in page, "what is wrong is said in the language of the page"
    assert ledger.acts() == []
    clock.pass_(seconds=2)
    assert "Проверьте почту" in client.post("/subscribe", data=fields_of(page)).text


@pytest.mark.parametrize("stamp", ["", "x", "0" * 32, "é" * 32])
def test_a_form_of_another_site_is_followed_by_one_button(
    client: TestClient, publication: Publication, ledger: Ledger, clock: HandedClock, stamp: str
) -> None:
    page = client.post("/subscribe", data={**SNIPPET, "stamp": stamp}).text
    assert ledger.acts() == []
    assert "<script" not in page
    clock.pass_(seconds=2)
    assert "Проверьте почту" in client.post("/subscribe", data=fields_of(page)).text
    assert ledger.consents()[0].wording in page, "the reader saw our words before agreeing"


def test_a_form_that_was_left_open_for_a_day_is_followed_by_one_button(
    client: TestClient, publication: Publication, clock: HandedClock
) -> None:
    fields = {**SNIPPET, "stamp": fields_of(client.get("/belarus/ru").text)["stamp"]}
    clock.pass_(hours=24)
    assert "Ещё один шаг" in client.post("/subscribe", data=fields).text


def test_a_link_out_of_a_mail_is_no_stamp(client: TestClient, app: App, publication: Publication) -> None:
    stamp = app.tokens.make(Purpose.CONFIRM, int(app.clock().timestamp()) - 60)
    assert "Ещё один шаг" in client.post("/subscribe", data={**SNIPPET, "stamp": stamp}).text


def test_a_snippet_without_a_language_is_answered_in_the_browsers(client: TestClient, publication: Publication) -> None:
    fields = {name: value for name, value in SNIPPET.items() if name != "language"}
    answer = client.post("/subscribe", data=fields, headers={"Accept-Language": "be"})
    assert answer.headers["content-language"] == "be"


# Pressure


def test_under_pressure_the_browser_has_to_work(app: App, publication: Publication, ledger: Ledger) -> None:
    client = site(app, requests_expected=0)
    answer = client.post("/subscribe", data=form())
    assert "Ещё один шаг" in answer.text
    assert "script-src 'self'" in answer.headers["content-security-policy"]
    assert ledger.acts() == []
    fields = fields_of(answer.text)
    done = client.post("/subscribe", data={**fields, "altcha": solved(fields["altcha"])})
    assert "Проверьте почту" in done.text
    assert len(ledger.mails()) == 1


@pytest.mark.parametrize("origin", ["https://friend.example", "null"])
def test_who_filled_in_another_sites_form_agrees_to_our_words_whatever_it_carries(
    app: App, client: TestClient, ledger: Ledger, clock: HandedClock, publication: Publication, origin: str
) -> None:
    """A stamp may be copied off our page, and a proof comes from /api/challenge."""
    proof = solved(encoded(Challenges(app.settings.secret_keys).make(app.clock(), tries=1)))
    copied = {"stamp": ""} if origin == "null" else {}
    page = client.post("/subscribe", data=form(altcha=proof, **copied), headers={"Origin": origin})
    assert not ledger.mails()
    clock.pass_(seconds=2)
    assert client.post("/subscribe", data=fields_of(page.text), headers={"Origin": "null"}).status_code == 200
    assert len(ledger.mails()) == 1
    assert ledger.consents()[-1].wording in page.text


def test_a_proof_counts_once(app: App, publication: Publication, ledger: Ledger) -> None:
    client = site(app, requests_expected=0)
    fields = fields_of(client.post("/subscribe", data=form()).text)
    proof = solved(fields["altcha"])
    client.post("/subscribe", data={**fields, "altcha": proof})
    again = client.post("/subscribe", data={**fields, "altcha": proof, "address": "boris@example.org"})
    assert "Ещё один шаг" in again.text
    assert fields_of(again.text)["altcha"] not in (proof, fields["altcha"])
    assert len(ledger.mails()) == 1


@pytest.mark.parametrize("expected", [0, 10_000])
def test_a_proof_does_not_make_a_form_old_enough(
    app: App, publication: Publication, ledger: Ledger, clock: HandedClock, expected: int
) -> None:
    """A program solves in a moment what it got from /api/challenge."""
    client = site(app, requests_expected=expected)
    stamp = fields_of(client.get("/belarus/ru").text)["stamp"]
    proof = solved(encoded(client.get("/api/challenge").json()))
    page = client.post("/subscribe", data=form(stamp=stamp, altcha=proof)).text
    assert "быстрее" in page
    assert ledger.acts() == []
    fields = fields_of(page)
    assert (fields["stamp"], fields["altcha"]) == (stamp, proof), "the work is not lost"
    assert "<script" not in page
    clock.pass_(seconds=2)
    assert "Проверьте почту" in client.post("/subscribe", data=fields).text
    assert len(ledger.mails()) == 1


def test_a_proof_of_a_form_that_came_too_early_waits_no_longer_than_the_form(
    app: App, publication: Publication, ledger: Ledger, clock: HandedClock
) -> None:
    client = site(app, requests_expected=0)
    stamp = fields_of(client.get("/belarus/ru").text)["stamp"]
    clock.pass_(seconds=1)
    fields = fields_of(client.post("/subscribe", data=form(stamp=stamp)).text)
    clock.pass_(seconds=1)
    assert "Проверьте почту" in client.post("/subscribe", data={**fields, "altcha": solved(fields["altcha"])}).text
    assert len(ledger.mails()) == 1


def test_a_proof_does_not_open_the_trap(app: App, publication: Publication, ledger: Ledger) -> None:
    client = site(app, requests_expected=0)
    fields = fields_of(client.post("/subscribe", data=form()).text)
    done = client.post("/subscribe", data={**fields, "altcha": solved(fields["altcha"]), "website": "x"})
    assert "Проверьте почту" in done.text
    assert ledger.acts() == []


def test_who_presses_twice_is_told_the_same_twice(app: App, publication: Publication, ledger: Ledger) -> None:
    client = site(app, requests_expected=0)
    fields = fields_of(client.post("/subscribe", data=form()).text)
    solution = {**fields, "altcha": solved(fields["altcha"])}
    first, second = (client.post("/subscribe", data=solution).text for _ in range(2))
    assert "Проверьте почту" in first
    assert second == first
    assert len(ledger.mails()) == 1


def test_who_has_no_script_waits_a_minute(
    app: App, publication: Publication, ledger: Ledger, clock: HandedClock
) -> None:
    client = site(app, requests_expected=0)
    fields = fields_of(client.post("/subscribe", data=form()).text)
    clock.pass_(seconds=20)
    early = client.post("/subscribe", data=fields)
    assert "подождите 40\N{NO-BREAK SPACE}секунд" in early.text
    assert fields_of(early.text)["altcha"] == fields["altcha"]
    clock.pass_(seconds=40)
    assert "Проверьте почту" in client.post("/subscribe", data=fields_of(early.text)).text
    assert "Ещё один шаг" in client.post("/subscribe", data={**fields, "address": "boris@example.org"}).text
    assert len(ledger.mails()) == 1


def test_a_page_under_pressure_shows_the_way_by_mail(app: App, publication: Publication) -> None:
    client = site(app, requests_expected=0, inbound_listen="127.0.0.1:2424")
    page = client.post("/subscribe", data=form()).text
    assert "belarus+subscribe-ru@bounces.example.org" in page
    assert "mailto:" not in site(app, requests_expected=0).post("/subscribe", data=form()).text.split("<footer>")[0]


def test_pressure_rises_with_the_requests_of_a_network(app: App, publication: Publication) -> None:
    near, far = site(app, requests_per_network=8), site(app, network="198.51.100.9", requests_per_network=8)
    for number in range(2):
        assert "Проверьте" in near.post("/subscribe", data=form(address=f"r{number}@example.org")).text
    assert "Ещё один шаг" in near.post("/subscribe", data=form(address="r3@example.org")).text
    assert "Проверьте" in far.post("/subscribe", data=form(address="r4@example.org")).text


# Limits


def test_a_network_that_asks_too_often_is_told_when_to_come_back(
    app: App, publication: Publication, ledger: Ledger, clock: HandedClock
) -> None:
    client = site(app, requests_per_network=2)
    clock.pass_(minutes=20)
    answers = [client.post("/subscribe", data=form(address=f"r{number}@example.org")) for number in range(3)]
    last = answers[-1]
    assert (last.status_code, last.headers["retry-after"]) == (429, "2400")
    assert "через 40\N{NO-BREAK SPACE}минут" in last.text
    assert last.headers["content-language"] == "ru"
    clock.pass_(seconds=2400)
    assert client.post("/subscribe", data=form(address="late@example.org")).status_code == 200


def test_a_neighbour_in_the_same_network_counts_and_another_network_does_not(
    app: App, publication: Publication
) -> None:
    for address in ("203.0.113.7", "203.0.113.8"):
        site(app, network=address, requests_per_network=2).post("/subscribe", data=form(address="a@example.org"))
    assert site(app, network="203.0.113.9", requests_per_network=2).post("/subscribe", data=form()).status_code == 429
    assert site(app, network="198.51.100.1", requests_per_network=2).post("/subscribe", data=form()).status_code == 200


def test_the_network_is_that_of_the_reader_behind_a_trusted_proxy_only(app: App, publication: Publication) -> None:
    def ask(client: TestClient, forwarded: str) -> int:
        answer = client.post("/subscribe", data=form(), headers={"X-Forwarded-For": forwarded})
        return int(answer.status_code)

    trusting = site(app, requests_per_network=1, trusted_proxies=["203.0.113.7"])
    assert [ask(trusting, "192.0.2.1"), ask(trusting, "192.0.2.9"), ask(trusting, "198.51.100.1")][1:] == [429, 200]
    wary = site(app, requests_per_network=1)
    assert [ask(wary, "192.0.2.77"), ask(wary, "198.18.0.1")][1] == 429


def test_a_receiving_domain_that_is_asked_for_too_often_waits(app: App, publication: Publication) -> None:
    client = site(app, network="unknown", requests_per_domain=2)
    statuses = [client.post("/subscribe", data=form(address=f"r{n}@example.org")).status_code for n in range(3)]
    assert statuses == [200, 200, 200], "one more step comes first"
    proof = encoded(Challenges(app.settings.secret_keys).make(app.clock(), tries=1))
    assert client.post("/subscribe", data=form(address="r4@example.org", altcha=solved(proof))).status_code == 200
    proof = encoded(Challenges(app.settings.secret_keys).make(app.clock(), tries=1))
    assert client.post("/subscribe", data=form(address="r5@example.org", altcha=solved(proof))).status_code == 429
    assert client.post("/subscribe", data=form(address="r6@example.net")).status_code == 200


def test_too_much_for_one_address_is_answered_as_ever_and_sends_nothing(
    app: App, client: TestClient, publication: Publication, ledger: Ledger, clock: HandedClock
) -> None:
    answers = []
    for _ in range(8):
        answers.append(client.post("/subscribe", data=form(address=" ANNA@example.org")))
        clock.pass_(minutes=20)
    assert len({(answer.status_code, answer.content) for answer in answers}) == 1
    assert len(ledger.mails()) == app.settings.requests_per_address == 5


def test_tags_behind_a_name_do_not_make_another_address(
    client: TestClient, publication: Publication, ledger: Ledger
) -> None:
    for number in range(8):
        assert client.post("/subscribe", data=form(address=f"Victim+{number}@example.org")).status_code == 200
    assert len(ledger.mails()) == 5


def test_an_expired_link_asks_no_oftener_than_the_form(
    client: TestClient, app: App, publication: Publication, ledger: Ledger, clock: HandedClock
) -> None:
    client.post("/subscribe", data=form())
    expired = ledger.confirm_path()
    clock.pass_(hours=74)
    pages = set[bytes]()
    for _ in range(8):
        pages.add(client.post(expired, data={"again": "yes"}).content)
        clock.pass_(minutes=20)
    assert (len(ledger.mails()), len(pages)) == (1 + app.settings.requests_per_address, 1)
    before = ledger.acts()
    assert client.post("/subscribe", data=form()).status_code == 200
    assert ledger.acts() == before, "both are counted together"


def test_an_expired_link_is_bound_by_what_its_network_may(
    app: App, client: TestClient, publication: Publication, ledger: Ledger, clock: HandedClock
) -> None:
    client.post("/subscribe", data=form())
    expired = ledger.confirm_path()
    clock.pass_(hours=74)
    bound = site(app, requests_per_network=1)
    answers = [bound.post(expired, data={"again": "yes"}) for _ in range(2)]
    assert [each.status_code for each in answers] == [200, 429]
    assert int(answers[1].headers["retry-after"]) > 0


def test_the_count_survives_a_restart_and_names_nobody(app: App, publication: Publication) -> None:
    site(app, requests_per_network=1).post("/subscribe", data=form())
    assert site(app, requests_per_network=1).post("/subscribe", data=form()).status_code == 429
    with app.database.read() as session:
        rows = [row.model_dump() for row in session.exec(select(Counted))]
    assert len(rows) == 4
    assert all(re.fullmatch("[0-9a-f]{32}", row["key"]) for row in rows)


def test_windows_that_are_over_are_forgotten(app: App, client: TestClient, publication: Publication) -> None:
    client.post("/subscribe", data=form())
    for hours, left in ((2, 1), (48, 0)):
        with app.database.write() as session:
            limits.forget(session, app.clock() + timedelta(hours=hours))
        with app.database.read() as session:
            assert len(session.exec(select(Counted)).all()) == left


# Addresses that are not taken


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("postmaster@example.org", "принадлежит службе или программе"),
        ("No-Reply+tag@example.org", "принадлежит службе или программе"),
        ("anna@mail.throwaway.example.com", "Временные адреса"),
        ("belarus+subscribe-ru@bounces.example.org", "один из наших собственных адресов"),
    ],
)
def test_an_address_that_policy_refuses_is_marked_and_the_reason_said(
    app: App, publication: Publication, ledger: Ledger, tmp_path: Path, typed: str, said: str
) -> None:
    listed = tmp_path / "disposable.txt"
    listed.write_text("# ours\nThrowaway.example.com  # a remark\n\n")
    answer = site(app, disposable_domains=listed).post("/subscribe", data=form(address=typed))
    assert answer.status_code == 422
    assert said in answer.text
    assert ledger.acts() == []


def test_what_policy_refuses_is_what_the_operator_says(app: App, publication: Publication) -> None:
    client = site(app, role_addresses=["editor"])
    assert client.post("/subscribe", data=form(address="postmaster@example.org")).status_code == 200
    assert client.post("/subscribe", data=form(address="editor@example.org")).status_code == 422


# Nothing that a stranger typed


@pytest.mark.sqlite
def test_nothing_that_a_stranger_sends_stands_in_the_mail_or_leads_anywhere(
    app: App,
    client: TestClient,
    publication: Publication,
    ledger: Ledger,
    worker_id: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("mailer.delivery.composer.apart", lambda _, *about: render_automatic(*about))  # not apart
    evil = "evil.example\r\nBcc: x@evil.example"
    sent = form(name=evil, subject=evil, website="", language="ru", comment=evil, altcha=evil, first_name=evil)
    hostile = {
        **dict.fromkeys(("Host", "X-Forwarded-Host", "Origin", "User-Agent", "X-Original-URL"), "evil.example"),
        "Forwarded": "host=evil.example",
        "Referer": "https://evil.example/",
        "Accept-Language": "evil.example",
    }
    answer = client.post("/subscribe?language=evil.example&next=//evil.example", data=sent, headers=hostile)
    assert "evil.example" not in answer.text + str(answer.headers)
    assert ledger.acts() == []
    client.post("/subscribe?language=evil.example", data=sent, headers={**hostile, "Origin": "null"})
    with app.database.read() as session:
        consent = session.exec(select(Consent)).one()
    assert "evil" not in str(consent.model_dump())
    assert [mail.destination for mail in ledger.mails()] == ["example.org"]
    assert "evil" not in str([mail.model_dump() for mail in ledger.mails()])
    composer = Composer(app.settings, app.tokens)
    with app.database.write() as session:
        claims = claim(session, worker_id=worker_id, relay="relay", limit=9, now=app.clock())
        ready = composer.load(session, claims)
    ((_, envelope),) = composer.envelopes(ready)
    assert isinstance(envelope, Envelope)
    mail = parse(b"".join(envelope.content))
    everything = f"{mail.items()} {part(mail, 'plain')} {part(mail, 'html')}"
    assert "evil" not in everything
    assert everything.count("anna@example.org") == 1, "in To, and nowhere else"


def test_settings_name_a_list_that_cannot_be_read(settings: Settings, app: App, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="MAILER_DISPOSABLE_DOMAINS: cannot read"):
        site(app, disposable_domains=tmp_path / "nowhere.txt")


# When answers leave


@given(st.floats(0, 10), st.floats(0, 10))
def test_the_time_of_an_answer_says_little_about_the_work(one: float, other: float) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mailer.web.asking.EVEN_SECONDS", 0.05)
        left, right = (took + even_after(took) for took in (one, other))
    assert left >= one
    assert left == pytest.approx(round(left / 0.05) * 0.05)
    if one // 0.05 == other // 0.05 and one % 0.05 and other % 0.05:
        assert left == pytest.approx(right)


async def test_an_answer_waits_for_its_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    waits = list[float]()

    async def noting(seconds: float) -> None:
        waits.append(seconds)

    monkeypatch.setattr("mailer.web.asking.EVEN_SECONDS", 1000.0)
    monkeypatch.setattr("asyncio.sleep", noting)
    assert (await evenly(run_in_threadpool(Response, "made"))).body == b"made"
    assert [990 < wait < 1000 for wait in waits] == [True]


def test_what_an_address_is_typed_or_written_to_behind_is_answered_evenly(
    client: TestClient, ledger: Ledger, confirmed: Subscription, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Known, unknown, suppressed, too many: the time does not tell."""
    waits = list[float]()

    def noting(took: float) -> float:
        waits.append(took)
        return 0

    monkeypatch.setattr("mailer.web.asking.even_after", noting)
    preferences = ledger.preferences_path(confirmed)
    for address in ("anna@example.net", "anna@example.org", "no address"):
        client.post(preferences, data={"act": "move", "address": address})
    client.post(f"{preferences}/data")
    assert len(waits) == 4
    client.post(ledger.my_data_path())
    assert len(waits) == 5
    client.get(preferences)
    assert len(waits) == 5
