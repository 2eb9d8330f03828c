"""Proof of work, with altcha's own library as the second opinion."""

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import altcha
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailer.web.altcha import VALID, Challenges, encoded

NOW = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)
KEYS = ["the key that signs", "an older key"]
OURS = Challenges(KEYS)


def solved(challenge: dict[str, Any]) -> str:
    theirs = altcha.Challenge.from_dict(challenge)
    solution = altcha.solve_challenge(theirs)
    assert solution is not None
    return altcha.Payload(theirs, solution).to_base64()


def changed(payload: str, **parameters: Any) -> str:
    """The payload with some of its challenge's parameters changed."""
    content = json.loads(base64.b64decode(payload))
    content["challenge"]["parameters"].update(parameters)
    return base64.b64encode(json.dumps(content).encode()).decode()


def test_what_altchas_library_solves_is_solved() -> None:
    read = OURS.read(solved(OURS.make(NOW, tries=5)), NOW)
    assert read is not None
    assert read.is_solved


def test_altchas_library_agrees_with_our_signature_and_our_answer() -> None:
    soon = datetime.now(UTC)  # the library asks the system what time it is
    payload = solved(OURS.make(soon, tries=5))
    key = OURS._keys[0]
    assert altcha.verify_solution(payload, key).verified
    assert altcha.verify_solution(changed(payload, cost=1), key).invalid_signature


def test_a_challenge_takes_at_least_the_tries_it_was_made_for_and_at_most_three_times_as_many() -> None:
    for _ in range(10):
        counter = json.loads(base64.b64decode(solved(OURS.make(NOW, tries=20))))["solution"]["counter"]
        assert 20 <= counter <= 60


def test_a_challenge_that_comes_back_unsolved_is_known_by_its_age() -> None:
    read = OURS.read(encoded(OURS.make(NOW)), NOW + timedelta(seconds=30))
    assert read is not None
    assert (read.is_solved, read.at) == (False, NOW)


def test_a_challenge_signed_with_a_former_key_is_still_good() -> None:
    assert OURS.read(solved(Challenges(KEYS[1:]).make(NOW, tries=1)), NOW)
    assert Challenges(KEYS[1:]).read(solved(OURS.make(NOW, tries=1)), NOW) is None


@pytest.mark.parametrize("passed", [VALID, timedelta(days=1), -timedelta(seconds=1)])
def test_a_challenge_is_good_for_its_time_only(passed: timedelta) -> None:
    payload = solved(OURS.make(NOW, tries=1))
    assert OURS.read(payload, NOW + passed) is None
    assert OURS.read(payload, NOW + VALID - timedelta(seconds=1))


@pytest.mark.parametrize(
    "parameters",
    [{"cost": 1}, {"keyPrefix": ""}, {"data": {"at": 2_000_000_000}}, {"nonce": "00" * 16}, {"more": 1}],
)
def test_a_challenge_that_was_changed_is_worth_nothing(parameters: dict[str, Any]) -> None:
    assert OURS.read(changed(solved(OURS.make(NOW, tries=1)), **parameters), NOW) is None


@pytest.mark.parametrize("counter", [0, -1, 2**32, 1.0, True, "1", None, [], {}])
def test_a_wrong_counter_solves_nothing(counter: object) -> None:
    payload = {"challenge": OURS.make(NOW, tries=5), "solution": {"counter": counter, "derivedKey": "00"}}
    assert OURS.read(base64.b64encode(json.dumps(payload).encode()).decode(), NOW) is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["challenge", "parameters", "signature", "data", "at", "solution"]), inner)
    ),
    max_leaves=10,
)


@given(JSON.map(lambda value: base64.b64encode(json.dumps(value).encode()).decode()) | st.text(max_size=60))
def test_nothing_that_is_sent_is_an_error(sent: str) -> None:
    assert OURS.read(sent, NOW) is None
