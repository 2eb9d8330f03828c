"""Every pair of state and event, the legal and the illegal."""

import itertools

import pytest

from mailer.issues.states import TRANSITIONS, IllegalTransition, IssueEvent, IssueStatus, advance, possible

S, E = IssueStatus, IssueEvent

LEGAL = {
    (S.DRAFT, E.ADD): S.DRAFT,
    (S.READY, E.ADD): S.DRAFT,
    (S.CANCELLED, E.ADD): S.DRAFT,
    (S.DRAFT, E.CHECK): S.READY,
    (S.READY, E.CHECK): S.READY,
    (S.READY, E.SCHEDULE): S.SCHEDULED,
    (S.SCHEDULED, E.SCHEDULE): S.SCHEDULED,
    (S.SCHEDULED, E.UNSCHEDULE): S.READY,
    (S.SCHEDULED, E.BEGIN): S.SENDING,
    (S.SENDING, E.PAUSE): S.PAUSED,
    (S.PAUSED, E.RESUME): S.SENDING,
    (S.SENDING, E.FINISH): S.SENT,
    (S.SCHEDULED, E.CANCEL): S.CANCELLED,
    (S.SENDING, E.CANCEL): S.CANCELLED,
    (S.PAUSED, E.CANCEL): S.CANCELLED,
}


@pytest.mark.parametrize(("status", "event"), list(itertools.product(S, E)))
def test_every_pair_advances_or_raises(status: IssueStatus, event: IssueEvent) -> None:
    if (status, event) in LEGAL:
        assert advance(status, event) is LEGAL[status, event]
    else:
        with pytest.raises(IllegalTransition) as caught:
            advance(status, event)
        assert (caught.value.status, caught.value.event) == (status, event)


def test_there_are_no_other_transitions() -> None:
    assert dict(TRANSITIONS) == LEGAL


def test_the_table_cannot_be_changed() -> None:
    with pytest.raises(TypeError):
        TRANSITIONS[S.SENT, E.ADD] = S.DRAFT  # type: ignore[index]


def test_a_sent_issue_is_final() -> None:
    assert possible(S.SENT) == ()
    with pytest.raises(IllegalTransition, match="Nothing more can be done"):
        advance(S.SENT, E.ADD)


def test_a_refusal_names_the_commands_that_are_possible() -> None:
    with pytest.raises(IllegalTransition, match=r"is sending.*mailer issue pause, mailer issue cancel"):
        advance(S.SENDING, E.ADD)
    with pytest.raises(IllegalTransition, match=r"is scheduled.*mailer issue queue, mailer issue cancel"):
        advance(S.SCHEDULED, E.ADD)
