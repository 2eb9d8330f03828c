"""What a reply to the confirmation says, whatever mail program wrote it."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailer.inbound.agreement import agrees, declines
from mailer.inbound.mime import Message, take_apart
from mailer.rendering.words import available, words
from tests.inbound.letters import READER, letter

US = "Situation in Belarus <editors@example.org>"
QUOTED = "> Please confirm your subscription\n>\n> No, we do not sell addresses?\n"
PLAIN = "Please confirm your subscription\n\nNo, we do not sell addresses?\n"


def reply(text: str, **fields: str) -> Message:
    return take_apart(letter(text, sender=READER, subject="Re: News", **fields))


def html(body: str) -> Message:
    return reply(f"<html><head><style>p {{}}</style></head><body>{body}</body></html>", content_type="text/html")


QUOTES = {
    "none": "",
    "angle brackets": QUOTED,
    "gmail": f"On Mon, Nov 23, 2026 at 10:00 AM {US} wrote:\n\n{QUOTED}",
    "gmail, folded": f"On Mon, Nov 23, 2026 at 10:00 AM Situation in Belarus\n<editors@example.org> wrote:\n\n{QUOTED}",
    "gmail in Russian": f"пн, 23 нояб. 2026 г. в 10:00, {US}:\n\n{QUOTED}",
    "gmail in Belarusian": f"пн, 23 ліс 2026 г. у 10:00 {US} піша:\n\n{QUOTED}",
    "apple in Russian": f"> 23 нояб. 2026 г., в 10:00, {US} написал(а):\n> \n{QUOTED}",
    "thunderbird": f"On 11/23/26 10:00, Situation in Belarus wrote:\n{QUOTED}",
    "thunderbird in Russian": f"23.11.2026 10:00, Situation in Belarus пишет:\n{QUOTED}",
    "yandex": f"23.11.2026, 10:00, {US}:\n{PLAIN}",
    "mail.ru": f"Понедельник, 23 ноября 2026, 10:00 +03:00 от {US}:\n{QUOTED}",
    "outlook": f"-----Original Message-----\nFrom: {US}\nSent: Monday\nTo: me\nSubject: News\n\n{PLAIN}",
    "outlook in Russian": f"От: {US}\nОтправлено: понедельник\nКому: я\nТема: Подписка\n\n{PLAIN}",
    "outlook in Belarusian": f"Ад: {US}\nАдпраўлена: панядзелак\nКаму: я\n\n{PLAIN}",
    "outlook in no language that we know": f"Frá: {US}\nSent til: mánudagur\nTil: ég\n\n{PLAIN}",
    "outlook, mobile": f"________________________________\nFrom: {US}\nSent: Monday\n\n{PLAIN}",
    "proton": f"-------- Original Message --------\nOn 23/11/2026 10:00, {US} wrote:\n\n{QUOTED}",
    "tutanota": f"-- \n Sent with Tuta\n\n23 Nov 2026, 10:00 by editors@example.org:\n\n{QUOTED}",
}
YES = [
    "",
    "yes",
    "Yes!",
    "YES, please",
    "ok",
    "Ok.",
    "I confirm",
    "confirm",
    "+",
    "👍",
    "Да",
    "да, подтверждаю подписку",
    "Подтверждаю.",
    "Здравствуйте!\n\nДа, конечно. Спасибо!",
    "так",
    "Так, пацвярджаю",
    "Пацвярджаю, калі ласка",
    "Yes\n\n-- \nOlga Petrova\nDirector, not of this\n+375 29 123",
    "Да\n\nОтправлено с iPhone",
    "Да\n\nИван Петров",
    "Да\n\nС уважением,\nИван Петров, директор",
    "Yes\n\nSent from my iPhone",
    "Так\n\nЗ павагай,\nАлесь",
]
NOT_YES = [
    "no",
    "No!",
    "нет",
    "Нет, спасибо",
    "не",
    "ні",
    "Не падпісваўся",
    "Это не я",
    "yes?",
    "Who are you?",
    "Stop",
    "unsubscribe",
    "I never asked for this.",
    "Yes, but remove me next week",
    "Yes\nNo",
    "Yes\n\nNo Thanks",
    "👎",
    "Спасибо",
    "What is this about",
    "ok so tell me who gave you the address",
    "No, 100 times no",
]


@pytest.mark.parametrize("quote", QUOTES.values(), ids=QUOTES.keys())
@pytest.mark.parametrize("text", ["", "yes", "Да, подтверждаю", "Так\n\n--\nАлесь"])
def test_a_yes_is_heard_above_every_quote(text: str, quote: str) -> None:
    assert agrees(reply(f"{text}\n\n{quote}"))


@pytest.mark.parametrize("quote", QUOTES.values(), ids=QUOTES.keys())
@pytest.mark.parametrize("text", ["no", "Нет!", "Who are you?", "Гэта не я"])
@pytest.mark.parametrize("gap", ["\n", "\n\n"])
def test_nothing_else_is_a_yes(text: str, quote: str, gap: str) -> None:
    assert not agrees(reply(f"{text}{gap}{quote}"))


@pytest.mark.parametrize("language", available())
@pytest.mark.parametrize("button", ["Confirm subscription", "Yes, keep sending"])
def test_who_copies_what_the_button_says_says_yes(button: str, language: str) -> None:
    assert agrees(reply(words(language).gettext(button)))


@pytest.mark.parametrize("text", YES)
def test_these_are_a_yes(text: str) -> None:
    assert agrees(reply(f"{text}\n\n{QUOTES['gmail']}"))
    assert not declines(reply(text))


@pytest.mark.parametrize("text", NOT_YES)
def test_these_are_none(text: str) -> None:
    assert not agrees(reply(f"{text}\n\n{QUOTES['gmail']}"))


def test_what_stands_below_the_quote_is_read_too() -> None:
    assert agrees(reply(f"{QUOTES['gmail']}\nYes\n"))
    assert not agrees(reply(f"{QUOTES['gmail']}\nNo, it was not me\n"))


HTML_QUOTES = [
    '<div class="gmail_quote gmail_quote_container"><div dir="ltr" class="gmail_attr">On Monday wrote:</div>NO</div>',
    '<blockquote type="cite"><div>On Monday somebody wrote:</div>No</blockquote>',
    "<div>23.11.2026, 10:00, &laquo;Situation&raquo; &lt;editors@example.org&gt;:</div><blockquote>No</blockquote>",
    '<div style="border:none;border-top:solid #E1E1E1 1.0pt"><p><b>From:</b> us<br>No</p></div>',
    '<hr><div id="divRplyFwdMsg"><b>From:</b> us</div>No',
    '<div class="moz-cite-prefix">On 11/23/26 somebody wrote:<br></div><blockquote>No</blockquote>',
    "<p><b>От:</b> Situation<br><b>Отправлено:</b> вчера</p><p>No</p>",
]


@pytest.mark.parametrize("quote", HTML_QUOTES)
def test_mails_without_plain_text_are_read(quote: str) -> None:
    assert agrees(html(f"<div dir='ltr'>Да</div><br>{quote}"))
    assert agrees(html(f"<div><br></div>{quote}"))
    assert not agrees(html(f"<div>Нет, это не я</div>{quote}"))


def test_where_the_plain_text_is_empty_the_html_is_read() -> None:
    both = "--b\nContent-Type: text/plain\n\n\n--b\nContent-Type: text/html\n\n<p>{}</p>\n--b--\n"
    content_type = "multipart/alternative; boundary=b"
    assert not agrees(reply(both.format("No"), content_type=content_type))
    assert agrees(reply(both.format("Yes"), content_type=content_type))


@pytest.mark.parametrize("text", ["No", "Нет!", "Не, гэта не я. Дзякуй", "No, it wasn't me", "Это не я"])
def test_a_no_is_told_from_everything_else(text: str) -> None:
    assert declines(reply(f"{text}\n\n{QUOTES['gmail']}"))


@pytest.mark.parametrize("text", ["", "unsubscribe me, I do not want it", "Больше не хочу это получать", "yes"])
def test_who_wants_to_leave_does_not_say_no(text: str) -> None:
    assert not declines(reply(f"{text}\n\n{QUOTES['gmail']}"))


@given(st.text(max_size=300), st.sampled_from(["text/plain", "text/html"]))
def test_whatever_is_written_it_is_read(text: str, kind: str) -> None:
    message = reply(text.encode("utf-8", "replace").decode(), content_type=kind)
    assert not (agrees(message) and declines(message))


@pytest.mark.parametrize("piece", ["<div ", "<div class=", "a:\n", "1.1.20\n", ">", "- ", "_____", "On 2026 ", "From "])
def test_hostile_replies_are_read_quickly(piece: str) -> None:
    began = time.perf_counter()
    for kind in ("text/plain", "text/html"):
        agrees(reply(piece * (60_000 // len(piece)), content_type=kind))
    assert time.perf_counter() - began < 2


PGP = "-----BEGIN PGP MESSAGE-----\n\nhQEMA0abcdefgh\n=abcd\n-----END PGP MESSAGE-----\n"


@pytest.mark.parametrize(
    "message",
    [
        reply(PGP),
        reply(f"{PGP}\n\n> Please confirm"),
        reply("MIAGCSqGSIb3DQEHA6CAMIACAQ\n", content_type="application/pkcs7-mime; smime-type=enveloped-data"),
        reply(
            "--b\nContent-Type: application/pgp-encrypted\n\nVersion: 1\n"
            f"--b\nContent-Type: application/octet-stream\n\n{PGP}\n--b--\n",
            content_type='multipart/encrypted; protocol="application/pgp-encrypted"; boundary=b',
        ),
        reply(
            "".join(f"--{n}\nContent-Type: multipart/mixed; boundary={n + 1}\n\n" for n in range(60)) + "No\n",
            content_type="multipart/mixed; boundary=0",
        ),
        reply(
            "--b\nContent-Type: text/plain\nContent-Disposition: attachment\n\nNo\n--b--\n",
            content_type="multipart/mixed; boundary=b",
        ),
    ],
    ids=["pgp", "pgp with a quote", "s/mime", "pgp/mime", "too deep", "attached"],
)
def test_what_cannot_be_read_is_no_yes(message: Message) -> None:
    assert not agrees(message)


@pytest.mark.parametrize(
    "message",
    [
        reply(
            "--b\nContent-Type: text/plain\n\n\n--b\nContent-Type: image/png\n\nlogo\n--b--\n",
            content_type="multipart/mixed; boundary=b",
        ),
        reply("--b\nContent-Type: text/html\n\n<p></p>\n--b--\n", content_type="multipart/alternative; boundary=b"),
    ],
    ids=["with a logo", "html"],
)
def test_an_empty_text_is_a_yes(message: Message) -> None:
    assert agrees(message)


@pytest.mark.parametrize("quote", [QUOTES["outlook"], QUOTES["yandex"], QUOTES["outlook, mobile"]])
@pytest.mark.parametrize("no", ["No", "Нет, спасибо", "Гэта не я", "Не"])
def test_a_no_below_the_quote_is_no_yes(no: str, quote: str) -> None:
    assert not agrees(reply(f"\n\n{quote}\n\n{no}\n"))
