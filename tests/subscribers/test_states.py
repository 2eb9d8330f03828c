"""A subscription changes only along its table."""

import itertools

import pytest

from mailer.subscribers.states import TRANSITIONS, IllegalTransition, SubscriptionEvent, SubscriptionStatus, advance

CONFIRMING = {SubscriptionEvent.IMPORT, SubscriptionEvent.CONFIRM, SubscriptionEvent.CHOOSE, SubscriptionEvent.RESTORE}


@pytest.mark.parametrize(("status", "event"), list(itertools.product(SubscriptionStatus, SubscriptionEvent)))
def test_what_is_not_in_the_table_is_illegal(status: SubscriptionStatus, event: SubscriptionEvent) -> None:
    if (status, event) in TRANSITIONS:
        assert advance(status, event) is TRANSITIONS[status, event]
    else:
        with pytest.raises(IllegalTransition, match=f"A subscription that is {status} cannot {event}."):
            advance(status, event)


def test_nobody_is_confirmed_by_anything_else_than_a_confirmation_a_choice_an_undo_or_an_import() -> None:
    by = {
        event
        for (before, event), after in TRANSITIONS.items()
        if after is SubscriptionStatus.CONFIRMED and before is not after
    }
    assert by == CONFIRMING


def test_leaving_is_legal_in_every_state() -> None:
    assert all((status, SubscriptionEvent.LEAVE) in TRANSITIONS for status in SubscriptionStatus)


def test_who_never_confirmed_cannot_undo_leaving() -> None:
    assert (SubscriptionStatus.PENDING, SubscriptionEvent.RESTORE) not in TRANSITIONS
    assert (SubscriptionStatus.SUPPRESSED, SubscriptionEvent.RESTORE) not in TRANSITIONS
