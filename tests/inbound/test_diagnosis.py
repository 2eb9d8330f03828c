"""The words of a report are read by the table of SMTP replies."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailer.delivery.reply import Meaning, Stage
from mailer.inbound.diagnosis import CATEGORIES, as_reply, diagnose
from mailer.inbound.incoming import Action, Category


@pytest.mark.parametrize(
    ("words", "stage", "code", "enhanced"),
    [
        ("550 5.1.1 unknown user", Stage.REPORTED, 550, "5.1.1"),
        ("550-5.1.1 unknown\n550 5.1.1 user", Stage.REPORTED, 550, "5.1.1"),
        ("host mx[192.0.2.550] said: 452 4.2.2 full (in reply to RCPT TO command)", Stage.RCPT, 452, "4.2.2"),
        ("sorry, no mailbox here by that name (#5.1.1)", Stage.REPORTED, 550, "5.1.1"),
        ("Unable to contact the directory. (#4.4.3)", Stage.REPORTED, 450, "4.4.3"),
        ("SMTP error after MAIL FROM:<a@b.example>: 550 no", Stage.MAIL, 550, None),
        ("554 no (in reply to end of DATA command)", Stage.DOT, 554, None),
        ("host mx refused to talk to me: 554 go away", Stage.CONNECT, 554, None),
        ("550 #5.1.0 Address rejected", Stage.REPORTED, 550, "5.1.0"),
        ("connected to 192.0.2.1:25 at 12:55, port 587", Stage.REPORTED, 550, "5.0.0"),
        ("after end of data: 550 5.1.1 no such user, says LMTP", Stage.REPORTED, 550, "5.1.1"),
    ],
)
def test_words_are_brought_into_the_shape_of_a_reply(words: str, stage: Stage, code: int, enhanced: str | None) -> None:
    reply = as_reply(words)
    assert (reply.stage, reply.code, reply.enhanced) == (stage, code, enhanced)


@pytest.mark.parametrize(
    ("words", "status", "category"),
    [
        ("", "5.1.1", Category.UNKNOWN_USER),
        ("", "5.1.2", Category.UNKNOWN_DOMAIN),
        ("", "5.2.2", Category.MAILBOX_FULL),
        ("550 5.4.1 Recipient address rejected: Access denied", "5.4.1", Category.DOUBTED_USER),
        ("556 5.1.10 far.example does not accept mail", None, Category.UNKNOWN_USER),
        ("Host does not accept mail", "5.7.27", Category.UNKNOWN_USER),
        ("550 5.7.27 Sender address has null MX", "5.7.27", Category.OUR_FAULT),
        ("550 5.1.1 192.0.2.1 has sent to too many recipients this hour", "5.1.1", Category.BLOCKED),
        ("550 5.2.1 receives mail too quickly", "5.2.1", Category.TEMPORARY),
        ("550 5.2.1 user unknown", "5.2.1", Category.UNKNOWN_USER),
        ("525 5.7.13 account disabled", "5.7.13", Category.INACTIVE),
        ("552 5.2.2 over quota", "5.1.1", Category.MAILBOX_FULL),
        ("550 : User unknown", "5.2.0", Category.POLICY),
        ("554 5.7.9 not accepted for policy reasons", None, Category.POLICY),
        ("550 5.1.8 Sender address rejected", None, Category.OUR_FAULT),
        ("procmail: can't create file: no such user", "5.1.1", Category.TEMPORARY),
        ("delivery temporarily suspended: connection timed out", "4.4.1", Category.TEMPORARY),
        ("lookup responded with NXDOMAIN", "4.0.0", Category.TEMPORARY),
        ("521 5.3.2 not accepting messages (in reply to RCPT TO command)", None, Category.UNKNOWN_DOMAIN),
        ("521 5.3.2 not now (in reply to end of DATA command)", None, Category.UNKNOWN),
        ("the weather is bad", "5.0.0", Category.UNKNOWN),
    ],
)
def test_what_words_mean(words: str, status: str | None, category: Category) -> None:
    assert diagnose(words, status=status).category is category


@pytest.mark.parametrize(
    ("words", "status", "permanent"),
    [
        ("550 no such user", None, False),
        ("550 no such user", "5.0.0", True),
        ("550 5.1.1 no such user", None, True),
        ("550 no such user (in reply to RCPT TO command)", None, True),
        ("550 no such user (in reply to end of DATA command)", None, False),
        ("no such user", None, True),
        ("550 no such domain", None, True),
    ],
)
def test_a_bare_reply_is_not_enough_to_call_an_address_dead(words: str, status: str | None, permanent: bool) -> None:
    assert diagnose(words, status=status).permanent == permanent


def test_every_meaning_has_a_category() -> None:
    assert set(CATEGORIES) == set(Meaning)


OURS = (
    "blocked using bl.example",
    "DMARC policy",
    "relaying denied",
    "sender address rejected",
    "authentication required",
)


@given(
    status=st.sampled_from(["5.1.1", "5.1.2", "5.0.0", "5.7.1", None]),
    code=st.sampled_from(["550", "553", "554", ""]),
    ours=st.sampled_from(OURS),
    before=st.sampled_from(["", "user unknown? ", "<a@far.example>: "]),
)
def test_a_fault_that_is_named_ours_never_kills_an_address(status: str, code: str, ours: str, before: str) -> None:
    assert not diagnose(f"{code} {before}{ours}".strip(), status=status).permanent


@given(words=st.text(), status=st.sampled_from(["4.1.1", "4.4.7", "4.0.0"]))
def test_a_status_of_class_4_without_a_reply_is_never_permanent(words: str, status: str) -> None:
    diagnosis = diagnose("".join(char for char in words if not char.isdigit()), status=status)
    assert not diagnosis.permanent


@given(
    words=st.text(),
    status=st.sampled_from(["5.1.1", None]),
    action=st.sampled_from([each for each in Action if each is not Action.FAILED]),
)
def test_only_what_failed_is_permanent(words: str, status: str | None, action: Action) -> None:
    assert not diagnose("550 5.1.1 user unknown " + words, status=status, action=action).permanent
