"""The reader pays only for what is the reader's."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailer.delivery.reply import ACTIONS, Consequence, Meaning, Reply, Stage, action, meaning, wait

R, D, M, C, P = Stage.RCPT, Stage.DOT, Stage.MAIL, Stage.CONNECT, Stage.REPORTED


@pytest.mark.parametrize(
    ("stage", "code", "text", "meant"),
    [
        (D, 250, "2.0.0 Ok: queued as 4F", Meaning.ACCEPTED),
        (R, 550, "5.1.1 <a@b.example>: Recipient address rejected: User unknown", Meaning.DEAD_ADDRESS),
        (R, 550, "No such user here", Meaning.DEAD_ADDRESS),
        (R, 550, "5.1.10 RESOLVER.ADR.RecipientNotFound", Meaning.DEAD_ADDRESS),
        (R, 556, "5.1.10 null MX", Meaning.DEAD_ADDRESS),
        (R, 550, "5.1.2 Host unknown", Meaning.DEAD_DOMAIN),
        (R, 550, "5.2.1 The email account that you tried to reach is disabled", Meaning.INACTIVE),
        (R, 550, "5.2.1 The user you are trying to contact is receiving mail too quickly", Meaning.TEMPORARY),
        (R, 452, "4.2.2 The email account that you tried to reach is over quota", Meaning.MAILBOX_FULL),
        (R, 552, "5.2.2 Mailbox full", Meaning.MAILBOX_FULL),
        (R, 552, "Too many recipients", Meaning.TEMPORARY),
        (R, 450, "4.7.1 Greylisted, try again in 300 seconds", Meaning.TEMPORARY),
        (R, 421, "4.7.0 [TSS04] Messages temporarily deferred due to user complaints", Meaning.REPUTATION),
        (D, 421, "4.7.28 Our system has detected an unusual rate of unsolicited mail", Meaning.REPUTATION),
        (D, 550, "5.7.26 This mail has been blocked because the sender is unauthenticated", Meaning.AUTHENTICATION),
        (R, 554, "5.7.1 Service unavailable; Client host blocked using zen.spamhaus.org", Meaning.BLOCKED),
        (R, 554, "5.7.1 <a@b.example>: Relay access denied", Meaning.SENDER),
        (M, 550, "5.7.1 Sender refused", Meaning.SENDER),
        (M, 553, "5.1.8 Sender address rejected: Domain not found", Meaning.SENDER),
        (M, 451, "4.3.0 Try later", Meaning.RELAY),
        (D, 554, "5.7.1 Message rejected as spam", Meaning.CONTENT),
        (D, 552, "5.3.4 Message too big", Meaning.MESSAGE),
        (R, 550, "5.1.0 <bounce+x@b.example>: Sender address rejected: User unknown", Meaning.SENDER),
        (R, 550, "5.1.1 <bounce+x@b.example>: User unknown in virtual alias table", Meaning.SENDER),
        (R, 554, "5.7.1 <unknown[192.0.2.1]>: Client host rejected: Access denied", Meaning.SENDER),
        (R, 550, "5.7.54 SMTP; Unable to relay recipient in non-accepted domain", Meaning.SENDER),
        (R, 530, "5.7.1 Authentication required", Meaning.LOGIN),
        (D, 554, "Message rejected: Email address is not verified.", Meaning.SENDER),
        (R, 503, "5.5.1 Error: need MAIL command", Meaning.PROTOCOL),
        (C, 535, "5.7.8 Authentication failed", Meaning.LOGIN),
        (C, 554, "No SMTP service here", Meaning.RELAY),
        (C, None, "Connection refused", Meaning.RELAY),
        (M, None, "Connection lost", Meaning.RELAY),
        (D, None, "Connection lost", Meaning.UNANSWERED),
        (R, 550, "Something else entirely", Meaning.UNKNOWN),
        (R, 554, "5.7.1 Client host blocked using a list", Meaning.BLOCKED),
        (R, 550, "5.4.1 Recipient address rejected: Access denied", Meaning.DOUBTED_ADDRESS),
        (R, 550, "5.1.0 Address rejected", Meaning.DOUBTED_ADDRESS),
        (R, 550, "5.1.1 198.51.100.7 has sent to too many recipients this hour", Meaning.REPUTATION),
        (R, 550, "5.7.27 Sender address has null MX", Meaning.SENDER),
        (R, 550, "Domain far.example does not accept mail (nullMX)", Meaning.DEAD_ADDRESS),
        (D, 550, "No such user here", Meaning.UNKNOWN),
        (D, 554, "5.7.9 Message not accepted for policy reasons", Meaning.POLICY),
        (R, 554, "Your access to this mail system has been rejected due to poor reputation", Meaning.BLOCKED),
        (P, 550, "5.1.1 no such user", Meaning.DEAD_ADDRESS),
        (P, 550, "5.7.1 user unknown", Meaning.POLICY),
        (P, 450, "4.1.1 user unknown", Meaning.TEMPORARY),
    ],
)
def test_a_reply_means(stage: Stage, code: int | None, text: str, meant: Meaning) -> None:
    assert meaning(Reply(stage, code, text)) is meant


@given(stage=st.sampled_from(list(Stage)), code=st.one_of(st.none(), st.integers(200, 599)), text=st.text())
def test_every_reply_means_something(stage: Stage, code: int | None, text: str) -> None:
    action = ACTIONS[meaning(Reply(stage, code, text))]
    if action.consequence is Consequence.ACCEPT:
        assert stage is Stage.DOT
        assert code is not None
        assert 200 <= code < 300


@given(stage=st.sampled_from([Stage.CONNECT, Stage.MAIL]), code=st.integers(400, 599), text=st.text())
def test_nothing_said_before_the_recipient_was_named_costs_the_recipient(stage: Stage, code: int, text: str) -> None:
    assert not ACTIONS[meaning(Reply(stage, code, text))].suppress


@given(code=st.integers(400, 499), text=st.text())
def test_a_4xx_never_ends_a_delivery(code: int, text: str) -> None:
    assert ACTIONS[meaning(Reply(Stage.RCPT, code, text))].consequence is not Consequence.REFUSE


@pytest.mark.parametrize("text", ["554 5.7.1 Relay access denied", "530 Log in first", "501 Syntax error"])
def test_a_fault_of_ours_told_at_one_recipient_makes_that_one_wait_and_not_the_others(text: str) -> None:
    told = action(Reply(Stage.RCPT, int(text[:3]), text[4:]))
    assert (told.consequence, told.alarm, told.suppress, told.stop) == (Consequence.DEFER, True, False, False)


def test_only_a_dead_address_suppresses() -> None:
    assert [each for each, action in ACTIONS.items() if action.suppress] == [Meaning.DEAD_ADDRESS]


@pytest.mark.parametrize(
    ("text", "asked"),
    [
        ("4.7.1 Greylisted, try again in 300 seconds", timedelta(seconds=300)),
        ("please retry after 10 minutes", timedelta(minutes=10)),
        ("4.2.0 try again in 1 hour", timedelta(hours=1)),
        ("wait 99999 hours", timedelta(days=1)),
    ],
)
def test_a_server_that_says_when_is_heeded(text: str, asked: timedelta) -> None:
    assert asked <= wait(Reply(Stage.RCPT, 450, text), 1, 7) <= asked * 1.2  # those it asked together come apart


def test_who_says_in_a_second_for_days_is_asked_less_and_less_often() -> None:
    waits = [wait(Reply(Stage.RCPT, 450, "4.7.1 try again in 1 second"), attempt, 7) for attempt in range(1, 9)]
    assert waits == sorted(waits)
    assert waits[0] < timedelta(seconds=2)
    assert waits[-1] > timedelta(hours=1)


def test_waits_grow_and_are_spread() -> None:
    reply = Reply(Stage.RCPT, 450, "4.3.0 later")
    waits = [wait(reply, attempt, 7) for attempt in range(1, 8)]
    assert waits == sorted(waits)
    assert timedelta(minutes=5) <= waits[0] <= timedelta(minutes=6)
    assert len({wait(reply, 1, delivery) for delivery in range(100)}) > 90


def test_the_status_code_is_read_from_the_text_and_must_agree_with_the_code() -> None:
    assert Reply(Stage.RCPT, 550, "5.1.1 unknown").enhanced == "5.1.1"
    assert Reply(Stage.RCPT, 550, "4.1.1 unknown").enhanced is None
    assert Reply(Stage.RCPT, 550, "unknown 5.1.1").enhanced is None
