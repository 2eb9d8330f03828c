"""Every step that the table does not have raises and changes nothing."""

import itertools

import pytest

from mailer.delivery.states import (
    TRANSITIONS,
    UNFINISHED,
    WAITING,
    DeliveryEvent,
    DeliveryStatus,
    IllegalTransition,
    advance,
)

PAIRS = list(itertools.product(DeliveryStatus, DeliveryEvent))


@pytest.mark.parametrize(("status", "event"), PAIRS)
def test_a_step_is_in_the_table_or_raises(status: DeliveryStatus, event: DeliveryEvent) -> None:
    if status in TRANSITIONS[event]:
        assert advance(status, event) is TRANSITIONS[event][status]
    else:
        with pytest.raises(IllegalTransition, match=f"that is {status} cannot {event}"):
            advance(status, event)


def test_every_event_has_its_row() -> None:
    assert set(TRANSITIONS) == set(DeliveryEvent)


def test_nothing_is_sent_again_once_it_was_accepted() -> None:
    """From accepted no road leads back into the queue."""
    reached, frontier = set[DeliveryStatus](), {DeliveryStatus.ACCEPTED}
    while frontier:
        reached |= frontier
        frontier = {step[each] for step in TRANSITIONS.values() for each in reached if each in step} - reached
    assert not reached & (WAITING | {DeliveryStatus.SENDING})


def test_what_is_unfinished_can_still_move_to_an_end() -> None:
    for status in UNFINISHED:
        assert any(status in steps for steps in TRANSITIONS.values())
