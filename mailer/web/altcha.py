"""Proof of work in altcha's format (version 2, PBKDF2/SHA-256), made and checked without asking anybody else.

A challenge is a signed question: which counter gives a key that begins with `keyPrefix`? Finding it costs the asker's
browser some seconds, checking it costs us a millisecond. The altcha widget solves it as well as our own script does
(templates/web/altcha.js). Format: https://altcha.org/docs/v2/proof-of-work; the tests compare with altcha's library.

Who has no JavaScript waits instead: a challenge that is WAITED old counts like a solved one. Either way it counts once.
"""

import base64
import binascii
import hashlib
import hmac
import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

COST = 1000
"""Iterations of PBKDF2 for one try: a quarter of a millisecond."""

TRIES = 500
"""The least tries that a challenge takes; the most are three times as many."""

HARDER = 4
"""Times more tries under pressure."""

VALID = timedelta(minutes=20)
WAITED = timedelta(minutes=1)

_LARGEST_PAYLOAD = 4096
_LARGEST_COUNTER = 2**32 - 1


@dataclass(frozen=True, kw_only=True)
class Challenge:
    """One that we made and that is still valid."""

    nonce: str  #: by which it is known again
    at: datetime
    is_solved: bool


class Challenges:
    """Makes and checks challenges. `keys`: the one that signs, then those that are still honoured."""

    def __init__(self, keys: Sequence[str]) -> None:
        self._keys = [hmac.digest(key.encode(), b"mailer altcha", hashlib.sha256) for key in keys]

    def make(self, now: datetime, *, tries: int = TRIES) -> dict[str, Any]:
        """A challenge as JSON data, for `tries` to three times as many tries."""
        nonce, salt = secrets.token_bytes(16), secrets.token_bytes(16)
        answer = _derived(nonce, salt, COST, tries + secrets.randbelow(2 * tries + 1))
        parameters = {
            "algorithm": "PBKDF2/SHA-256",
            "nonce": nonce.hex(),
            "salt": salt.hex(),
            "cost": COST,
            "keyLength": 32,
            "keyPrefix": answer[:16].hex(),
            "expiresAt": int((now + VALID).timestamp()),
            "data": {"at": int(now.timestamp())},
        }
        return {"parameters": parameters, "signature": _signature(parameters, self._keys[0])}

    def read(self, sent: str, now: datetime) -> Challenge | None:
        """What was sent back: a challenge as `encoded`, alone or with its solution. None where it is worth nothing."""
        try:
            return self._read(_decoded(sent), now)
        except (KeyError, TypeError, ValueError, RecursionError, OverflowError):
            return None

    def _read(self, payload: Any, now: datetime) -> Challenge | None:
        challenge = payload["challenge"]
        parameters = challenge["parameters"]
        if not any(hmac.compare_digest(_signature(parameters, key), challenge["signature"]) for key in self._keys):
            return None
        at = datetime.fromtimestamp(parameters["data"]["at"], now.tzinfo)
        if not at <= now < at + VALID:
            return None
        solution = payload.get("solution")
        if solution is not None and not _solves(solution, parameters):
            return None
        return Challenge(nonce=parameters["nonce"], at=at, is_solved=solution is not None)


def encoded(challenge: dict[str, Any]) -> str:
    """An unsolved challenge as a form carries it: the same as a solved one, without the solution."""
    return base64.b64encode(json.dumps({"challenge": challenge}).encode()).decode()


def _decoded(sent: str) -> Any:
    if len(sent) > _LARGEST_PAYLOAD:
        raise ValueError
    try:
        return json.loads(base64.b64decode(sent, validate=True))
    except binascii.Error as error:
        raise ValueError from error


def _solves(solution: Any, parameters: Any) -> bool:
    counter = solution["counter"]
    if type(counter) is not int or not 0 <= counter <= _LARGEST_COUNTER:
        return False
    nonce, salt = bytes.fromhex(parameters["nonce"]), bytes.fromhex(parameters["salt"])
    return _derived(nonce, salt, parameters["cost"], counter).hex().startswith(parameters["keyPrefix"])


def _derived(nonce: bytes, salt: bytes, cost: int, counter: int) -> bytes:
    return hashlib.pbkdf2_hmac("sha256", nonce + counter.to_bytes(4, "big"), salt, cost, 32)


def _signature(parameters: Any, key: bytes) -> str:
    """Over the JSON text with sorted names and no spaces, as altcha signs it."""
    text = json.dumps(parameters, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hmac.digest(key, text.encode(), hashlib.sha256).hex()
