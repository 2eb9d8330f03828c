"""Confirmation and welcome, in every language."""

import dataclasses
import html
import re
from dataclasses import replace
from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailer.rendering.automatic import render_automatic
from mailer.rendering.body import About, Body, Choices, Letterhead, Tokens
from mailer.rendering.letters import LETTERS
from mailer.rendering.words import available
from mailer.tokens import WIDTH

TOKEN = "abcdefghijklmnopqrstuvwxyz"
CONFIRM = f"https://news.example.org/c/{TOKEN}"
UNSUBSCRIBE = f"https://news.example.org/u/{TOKEN}"
FRONT = "https://news.example.org/belarus/ru"
PREFERENCES = f"https://news.example.org/p/{TOKEN}"
ARCHIVE = "https://news.example.org/belarus/ru/issues"
LETTERHEAD = Letterhead(
    names={"en": "Situation in Belarus", "be": "Сітуацыя ў Беларусі", "ru": "Ситуация в Беларуси"},
    contact_address="editors@example.org",
    postal_address={"en": "12 Example Street, Vilnius"},
    accent="#8a1c1c",
)


def about(confirm: str = CONFIRM, valid_hours: int = 72) -> About:
    return About(
        names=LETTERHEAD.names,
        edition="BE/RU",
        act=confirm,
        preferences=PREFERENCES,
        unsubscribe=UNSUBSCRIBE,
        front=FRONT,
        archive=ARCHIVE,
        valid_hours=valid_hours,
    )


def heard() -> About:
    """Where mail is read, with all that can be changed."""
    tokens = Tokens(
        mail_domain="bounces.example.org", unsubscribe="1" * WIDTH, preferences="2" * WIDTH, act="3" * WIDTH
    )
    choices = Choices(
        read=["BE/RU", "PL"],
        add={"en": "EN"},
        drop={"be-ru": "BE/RU", "pl": "PL"},
        languages=["en", "ru"],
        pauses=(2, 4, 8),
        paused_until=date(2017, 5, 22),
        may_undo=True,
    )
    return dataclasses.replace(about(), by_mail=tokens, choices=choices)


def confirmation(language: str, url: str = CONFIRM, valid_hours: int = 72) -> Body:
    return render_automatic("confirmation", language, LETTERHEAD, about(url, valid_hours))


def welcome(language: str) -> Body:
    return render_automatic("welcome", language, LETTERHEAD, about())


@pytest.mark.parametrize("language", available())
def test_a_confirmation_has_a_button_and_the_naked_link(language: str) -> None:
    body = confirmation(language)
    assert body.html.count(f'href="{CONFIRM}"') == 2
    assert f">{CONFIRM}</a>" in body.html
    assert body.text.splitlines().count(CONFIRM) == 1
    assert body.inlines == ()


@pytest.mark.parametrize("language", available())
def test_a_welcome_leads_to_the_archive_or_where_there_is_none_to_the_front_page(language: str) -> None:
    without = replace(about(), archive=None)
    for known, link in ((about(), ARCHIVE), (without, FRONT)):
        body = render_automatic("welcome", language, LETTERHEAD, known)
        assert f'href="{link}"' in body.html
        assert link in body.text.splitlines()
    assert ARCHIVE not in body.html + body.text


@pytest.mark.parametrize("language", available())
def test_every_mail_names_publication_edition_editors_and_address(language: str) -> None:
    for kind in LETTERS:
        body = render_automatic(kind, language, LETTERHEAD, about())
        assert LETTERHEAD.names[language] in body.subject
        assert f'<html lang="{language}">' in body.html
        for form in (body.html, body.text):
            for said in (LETTERHEAD.names[language], "editors@example.org", "12 Example Street, Vilnius"):
                assert said in form
            assert ("BE/RU" in form) is (
                kind not in ("new-address", "old-address", "my-data", "my-data-file", "preferences")
            ), "may be about several"


@pytest.mark.parametrize(
    ("language", "hours", "said"),
    [
        ("en", 24, "valid for 1 day."),
        ("en", 72, "valid for 3 days."),
        ("en", 1, "valid for 1 hour."),
        ("en", 36, "valid for 36 hours."),
        ("be", 72, "дзейнічае 3\N{NO-BREAK SPACE}дні."),
        ("be", 5, "дзейнічае 5\N{NO-BREAK SPACE}гадзін."),
        ("ru", 21, "действует 21\N{NO-BREAK SPACE}час."),
        ("ru", 120, "действует 5\N{NO-BREAK SPACE}дней."),
    ],
)
def test_a_confirmation_says_how_long_it_is_valid(language: str, hours: int, said: str) -> None:
    body = confirmation(language, valid_hours=hours)
    assert said in body.html
    assert said in body.text


def test_a_confirmation_tells_others_to_do_nothing() -> None:
    assert "If this was not you, do nothing" in confirmation("en").text
    assert "Калі гэта былі не вы, нічога не рабіце" in confirmation("be").text
    assert "Если это были не вы, ничего не делайте" in confirmation("ru").text


@pytest.mark.parametrize("language", available())
def test_a_welcome_says_how_to_leave_and_where_the_archive_is(language: str) -> None:
    body = welcome(language)
    assert f'href="{UNSUBSCRIBE}"' in body.html
    assert f'href="{ARCHIVE}"' in body.html
    assert {UNSUBSCRIBE, ARCHIVE} <= set(body.text.splitlines())
    assert "successfully subscribed" in welcome("en").html


@pytest.mark.parametrize("language", available())
def test_nothing_is_loaded_from_elsewhere(language: str) -> None:
    for body in (render_automatic(kind, language, LETTERHEAD, about()) for kind in LETTERS):
        assert not re.search(r"src=|@import|url\(|<link|<script", body.html)
        assert set(re.findall(r"<table([^>]*)", body.html)) - {""}
        assert all('role="presentation"' in table for table in re.findall(r"<table([^>]*)", body.html))


@settings(max_examples=25)
@given(st.text("abcdefghijklmnopqrstuvwxyz234567", min_size=26, max_size=26), st.sampled_from(["en", "be", "ru"]))
def test_slots_come_out_whole(token: str, language: str) -> None:
    body = confirmation(language, f"https://news.example.org/c/{token}")
    assert body.html.count(token) == 3
    assert body.text.count(token) == 1


def test_the_same_mail_gives_the_same_bytes() -> None:
    assert confirmation("be") == confirmation("be")
    assert welcome("be") == welcome("be")


@pytest.mark.parametrize("language", available())
@pytest.mark.parametrize(
    ("kind", "addresses"),
    [
        ("welcome", "leave+1 preferences+2"),
        ("old-address", "move-back+3"),
        ("my-data", "data+3 erase+3"),
        (
            "preferences",
            "undo+2 add-en+2 drop-be-ru+2 drop-pl+2 pause-2+2 pause-4+2 pause-8+2 resume+2 new-address+2"
            " language-en+2 language-ru+2 my-data+2 leave+1",
        ),
    ],
)
def test_a_letter_shows_what_can_be_done_by_mail_only_where_mail_is_read(
    language: str, kind: str, addresses: str
) -> None:
    silent = render_automatic(kind, language, LETTERHEAD, about())
    body = render_automatic(kind, language, LETTERHEAD, heard())
    for form in (silent.html, silent.text):
        assert "@bounces.example.org" not in form
    every = [f"{each}{each[-1] * (WIDTH - 1)}@bounces.example.org" for each in addresses.split()]
    assert re.findall(r"^\S+@bounces\.example\.org$", body.text, re.MULTILINE) == every
    assert re.findall(r'href="mailto:(\S+@bounces\.example\.org)"', body.html) == every
    assert all(f">{each}</span>" in body.html for each in every), "shown, to be typed"
    assert all(len(each.partition("@")[0]) <= 64 for each in every)


@pytest.mark.parametrize("language", available())
def test_a_welcome_leads_to_the_preferences_and_what_answers_a_link_to_its_button_only(language: str) -> None:
    body = welcome(language)
    assert f'href="{PREFERENCES}"' in body.html
    assert PREFERENCES in body.text.splitlines()
    for kind in ("new-address", "old-address", "my-data"):
        body = render_automatic(kind, language, LETTERHEAD, about())
        assert set(re.findall(r"https?://[^\s\"<]+", body.html + body.text)) == {CONFIRM}


@pytest.mark.parametrize("language", available())
def test_a_mail_program_that_takes_the_text_out_of_its_page_knows_its_language(language: str) -> None:
    for body in (render_automatic(kind, language, LETTERHEAD, about()) for kind in LETTERS):
        assert re.search(f'<div class="column"[^>]* lang="{language}"', body.html)
        assert f'aria-label="{html.escape(body.subject)}"' in body.html


@pytest.mark.parametrize("kind", LETTERS)
def test_every_link_leads_somewhere(kind: str) -> None:
    mail = render_automatic(kind, "en", LETTERHEAD, about()).html
    assert 'href="None"' not in mail
    assert 'href=""' not in mail
