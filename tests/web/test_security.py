"""What every answer carries, whatever was asked."""

import logging
import re

import pytest
from fastapi import FastAPI
from starlette.requests import Request
from starlette.testclient import TestClient

from mailer.app import App
from mailer.database import Database
from mailer.tables import Consent, Publication, Subscription
from mailer.web.languages import accepted
from mailer.web.security import client_address, reader_network
from mailer.web.site import create_app
from tests.web.conftest import ORIGIN, Ledger, form

PAGES = ["/", "/belarus", "/belarus/ru", "/belarus/ru/issues", "/nope/nope", "/c/x", "/u/x", "/health", "/console"]


@pytest.mark.parametrize("path", PAGES)
def test_every_answer_carries_the_headers(client: TestClient, path: str) -> None:
    for answer in (client.get(path), client.head(path), client.post(path), client.delete(path)):
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "set-cookie" not in answer.headers


def test_pages_of_tokens_and_of_the_console_are_kept_nowhere(
    client: TestClient, ledger: Ledger, confirmed: Subscription
) -> None:
    paths = [ledger.confirm_path(ledger.mails()[0]), ledger.leave_path(), "/c/x", "/console", "/console/sign-in"]
    for path in paths:
        assert client.get(path).headers["cache-control"] == "no-store"
    assert client.post("/subscribe", data=form()).headers["cache-control"] == "no-store"


def test_reader_pages_need_no_script_and_no_style_of_their_own(
    client: TestClient, ledger: Ledger, confirmed: Subscription
) -> None:
    for path in (*PAGES[2:7], ledger.leave_path()):
        page = client.get(path).text
        for sign in ("<script", "style=", "onclick", "javascript:", "http://"):
            assert sign not in page
        assert ORIGIN not in page.partition("</head>")[2]  # what is pressed stays on the mirror that was reached


def test_stylesheets_have_addresses_of_their_content_and_are_kept_for_ever(client: TestClient) -> None:
    page = client.get("/belarus/ru").text
    addresses = [part.split('"')[0] for part in page.split('rel="stylesheet" href="')[1:]]
    assert len(addresses) == 2
    for address in addresses:
        answer = client.get(address)
        assert (answer.status_code, answer.headers["content-type"]) == (200, "text/css; charset=utf-8")
        assert "immutable" in answer.headers["cache-control"]
    assert client.get("/static/site.000000000000.css").status_code == 404
    assert client.get("/static/accent-zzzzzz.css").status_code == 404


def test_the_accent_is_legible_in_both_modes(client: TestClient) -> None:
    sheet = client.get("/static/accent-ffff00.css").text
    assert "#ffff00" in sheet.split("@media")[1]
    assert "#ffff00" not in sheet.split("@media")[0]


def test_the_host_header_leads_nowhere(client: TestClient) -> None:
    for path in ("/", "/belarus", "/belarus/ru/", "//evil.example/", "/belarus/ru", "/nope"):
        answer = client.get(path, headers={"Host": "evil.example"})
        assert not answer.headers.get("location", "").startswith(("http", "//"))
        assert "evil.example" not in answer.text


@pytest.mark.parametrize(
    ("header", "language"),
    [("be", "be"), ("ru-RU,ru;q=0.9,en;q=0.8", "ru"), ("de, fr;q=0.5", "en"), ("en;q=0.1, be;q=0.2", "be"), ("", "en")],
)
def test_the_publication_answers_in_the_language_of_the_browser(client: TestClient, header: str, language: str) -> None:
    answer = client.get("/belarus", headers={"Accept-Language": header})
    assert (answer.status_code, answer.headers["location"]) == (307, f"/belarus/{language}")
    assert "Accept-Language" in answer.headers["vary"]


@pytest.mark.parametrize("header", [";q=", "en;q=x", ",,,;", "q=1;en", "en;q=-1", "x" * 9000])
def test_a_senseless_accept_language_is_passed_over(header: str) -> None:
    assert accepted(header, ["ru", "be"]) == "ru"


def test_one_publication_is_the_front_page_and_several_are_a_list(client: TestClient, app: App) -> None:
    assert client.get("/").headers["location"] == "/belarus"
    with app.database.write() as session:
        first = session.get_one(Publication, 1)
        session.add(Publication(**first.model_dump(exclude={"id", "slug"}), slug="second"))
    page = client.get("/")
    assert page.status_code == 200
    assert 'href="/belarus"' in page.text
    assert 'href="/second"' in page.text


@pytest.mark.parametrize("path", ["/nope", "/belarus/fr", "/belarus/ru/nope", "/a/b/c/d/e/f", "/%00", "/belarus/%00"])
def test_what_is_not_there_is_a_page_that_says_so(client: TestClient, path: str) -> None:
    answer = client.get(path, headers={"Accept-Language": "be"})
    assert answer.status_code == 404
    assert ("Такой страницы нет" if "/ru/" in path else "Такой старонкі няма") in answer.text


@pytest.mark.parametrize("query", ["", "?year=2019", "?a=%FF&b=%0d%0aX:%20y", "?language=be"])
def test_a_slash_too_many_is_forgiven(client: TestClient, query: str) -> None:
    assert client.get(f"/belarus/ru/{query}").headers["location"] == f"/belarus/ru{query}"


def test_the_address_of_the_form_leads_to_the_front_page(client: TestClient) -> None:
    answer = client.get("/subscribe")
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    assert client.get("/subscribe?language=be").headers["location"] == "/?language=be"
    assert client.get("/subscribe?language=%0d%0a//evil.example").headers["location"] == "/"


@pytest.mark.parametrize(
    ("path", "methods"), [("/u/x", "GET, HEAD, POST"), ("/subscribe", "GET, HEAD, POST"), ("/belarus/ru", "GET, HEAD")]
)
def test_a_method_that_is_not_meant_is_told_which_are(client: TestClient, path: str, methods: str) -> None:
    answer = client.delete(path)
    assert (answer.status_code, answer.headers["allow"]) == (405, methods)


def test_what_is_wrong_with_a_form_is_said_in_the_language_of_its_page(client: TestClient) -> None:
    page = client.get("/belarus/be").text
    (action,) = re.findall(r'<form method="post" action="([^"]*)"', page)
    too_long = client.post(action, data={**form(language="be"), "x": "y" * 70_000}, headers={"Accept-Language": "en"})
    assert too_long.status_code == 413
    assert '<html lang="be">' in too_long.text
    unknown = client.post(action, data=form(language="be", publication="nope"), headers={"Accept-Language": "en"})
    assert unknown.status_code == 404
    assert '<html lang="be">' in unknown.text
    assert 'href="/?language=be"' in unknown.text


def test_a_language_that_was_picked_is_kept_on_the_way_to_a_front_page(client: TestClient, app: App) -> None:
    assert client.get("/?language=be").headers["location"] == "/belarus?language=be"
    assert client.get("/belarus?language=be").headers["location"] == "/belarus/be"
    assert client.get("/belarus?language=xx").headers["location"] == "/belarus/en"
    with app.database.write() as session:
        first = session.get_one(Publication, 1)
        session.add(Publication(**first.model_dump(exclude={"id", "slug"}), slug="second"))
    page = client.get("/?language=be").text
    assert '<html lang="be">' in page
    assert 'href="?language=ru"' in page
    assert 'href="/second?language=be"' in page
    lost = client.get("/belarus/be/nope", headers={"Accept-Language": "en"}).text
    assert 'href="/?language=be"' in lost


@pytest.mark.parametrize("announced", [True, False])
def test_a_body_that_is_too_long_is_refused_unread(client: TestClient, ledger: Ledger, announced: bool) -> None:
    body = b"address=" + b"x" * 70_000
    kind = {"content-type": "application/x-www-form-urlencoded", "accept-language": "be"}
    answer = client.post("/subscribe", content=body if announced else iter([body]), headers=kind)
    assert answer.status_code == 413
    assert "Зашмат даных" in answer.text


def test_a_broken_body_is_told_so(client: TestClient) -> None:
    answer = client.post("/subscribe", content=b"--y", headers={"content-type": "multipart/form-data; boundary=x"})
    assert answer.status_code in (400, 404)


def test_without_its_database_the_site_says_try_again(app: App, settings_of_nowhere: App) -> None:
    client = TestClient(create_app(settings_of_nowhere), base_url=ORIGIN)
    assert (client.get("/health").status_code, client.get("/health").json()) == (503, {"ok": False})
    answer = client.get("/belarus/ru")
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "30"
    assert "Nothing was saved" in client.post("/subscribe", data=form()).text


@pytest.fixture
def settings_of_nowhere(app: App) -> App:
    database = Database("sqlite:////nonexistent/folder/mailer.db")
    return App(settings=app.settings, database=database, tokens=app.tokens, clock=app.clock)


def test_the_site_is_well_while_its_database_can_be_read(client: TestClient) -> None:
    assert (client.get("/health").status_code, client.get("/health").json()) == (200, {"ok": True})


def test_an_unexpected_error_tells_no_details_and_logs_no_token(
    web: FastAPI, client: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    def boom() -> None:
        raise RuntimeError("the secret detail")

    web.add_api_route("/api/{token}/x/y/z/boom", boom)
    with caplog.at_level(logging.ERROR):
        answer = client.get("/api/abcdef/x/y/z/boom")
    assert answer.status_code == 500
    assert "secret" not in answer.text
    assert "abcdef" not in caplog.messages[-1]


def test_a_link_out_of_a_mail_is_good_on_every_host(
    web: FastAPI, client: TestClient, ledger: Ledger, confirmed: Subscription
) -> None:
    """Tokens say nothing about hosts, and pages point to themselves: a mirror keeps its reader."""
    for path in (ledger.leave_path(), ledger.confirm_path(ledger.mails()[0])):
        mirrored = TestClient(web, base_url="https://mirror.example.net").get(path)
        assert (mirrored.status_code, mirrored.text) == (200, client.get(path).text)
        assert "https://" not in mirrored.text


# Who asks


def _request(peer: str, *forwarded: str) -> Request:
    headers = [(b"x-forwarded-for", value.encode()) for value in forwarded]
    return Request({"type": "http", "headers": headers, "client": (peer, 1)})


@pytest.mark.parametrize(
    ("peer", "forwarded", "trusted", "client"),
    [
        ("203.0.113.7", (), [], "203.0.113.7"),
        ("203.0.113.7", ("198.51.100.9",), [], "203.0.113.7"),
        ("10.0.0.1", ("198.51.100.9",), ["10.0.0.0/8"], "198.51.100.9"),
        ("10.0.0.1", ("1.2.3.4, 198.51.100.9",), ["10.0.0.1"], "198.51.100.9"),
        ("10.0.0.1", ("198.51.100.9, 10.0.0.2",), ["10.0.0.0/8"], "198.51.100.9"),
        ("10.0.0.1", ("198.51.100.9", "10.0.0.2"), ["10.0.0.0/8"], "198.51.100.9"),
        ("10.0.0.1", (), ["10.0.0.0/8"], "10.0.0.1"),
        ("::ffff:10.0.0.1", ("198.51.100.9",), ["10.0.0.0/8"], "198.51.100.9"),
        ("10.0.0.1", ("198.51.100.9, ::ffff:10.0.0.2, 10.0.0.3:443",), ["10.0.0.0/8"], "198.51.100.9"),
        ("10.0.0.1", ("198.51.100.9",), ["::ffff:10.0.0.0/104"], "198.51.100.9"),
        ("2001:db8::1", ("198.51.100.9, [2001:db8::2]:443",), ["10.0.0.1", "2001:db8::/32"], "198.51.100.9"),
        ("::ffff:203.0.113.7", ("198.51.100.9",), ["10.0.0.0/8"], "::ffff:203.0.113.7"),
    ],
)
def test_a_forwarded_address_is_believed_only_from_a_trusted_proxy(
    peer: str, forwarded: tuple[str, ...], trusted: list[str], client: str
) -> None:
    assert client_address(_request(peer, *forwarded), trusted) == client


def test_a_port_in_what_a_trusted_proxy_says_does_not_hide_the_network() -> None:
    assert reader_network(_request("10.0.0.1", "203.0.113.7:51324"), ["10.0.0.0/8"]) == "203.0.113.0/24"


def test_the_consent_holds_the_truncated_network(app: App, web: FastAPI) -> None:
    client = TestClient(web, base_url=ORIGIN, client=("203.0.113.77", 5000))
    client.post("/subscribe", data=form())
    with app.database.read() as session:
        assert session.get_one(Consent, 1).network == "203.0.113.0/24"
