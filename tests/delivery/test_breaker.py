"""An issue that receivers take for spam stops before everyone has refused it."""

import pytest

from mailer.delivery.breaker import Breaker
from mailer.delivery.reply import Reply, Stage

YES = Reply(Stage.DOT, 250, "2.0.0 Ok")
SPAM = Reply(Stage.DOT, 554, "5.7.1 Message looks like spam")
GONE = Reply(Stage.RCPT, 550, "5.1.1 User unknown")
FULL = Reply(Stage.RCPT, 452, "4.2.2 Mailbox full")


def first_stop(answers: list[Reply]) -> int | None:
    """How many answers it takes."""
    breaker = Breaker()
    return next((number for number, reply in enumerate(answers, 1) if breaker.heard(1, reply)), None)


@pytest.mark.parametrize(
    ("answers", "stops_at"),
    [
        ([SPAM] * 30, 20),
        (([SPAM] * 19 + [YES]) * 3, None),
        (([YES] * 98 + [SPAM] * 2) * 10, 500),
        (([YES] * 199 + [SPAM]) * 10, None),
        (([YES] * 18 + [GONE] * 2) * 20, 200),
        (([YES] * 98 + [GONE] * 2) * 20, None),
        ([FULL] * 1000, None),
    ],
)
def test_it_stops_for_content_and_for_a_list_that_is_not_ours(answers: list[Reply], stops_at: int | None) -> None:
    assert first_stop(answers) == stops_at


def test_after_a_stop_it_counts_anew_and_each_message_for_itself() -> None:
    breaker = Breaker()
    assert [bool(breaker.heard(1, SPAM)) for _ in range(21)] == [False] * 19 + [True, False]
    assert not any(breaker.heard(message, SPAM) for message in range(2, 40))
