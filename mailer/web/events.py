"""What providers tell by HTTP: POST /api/events/NAME. docs/inbound.md says how to set one up."""

import logging
from collections import Counter
from collections.abc import Mapping

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from mailer.app import App
from mailer.database import DatabaseError
from mailer.delivery.ledger.returning import StillSending
from mailer.inbound.effects import Effects
from mailer.inbound.event import Event
from mailer.inbound.incoming import Effect
from mailer.inbound.providers import providers_of
from mailer.inbound.providers.provider import Call, Provider, Refused
from mailer.inbound.quarantine import QuarantineFull
from mailer.printable import where

RETRY_AFTER_SECONDS = 60

log = logging.getLogger(__name__)

router = APIRouter()


class Told:
    """Who may tell, and what takes it."""

    def __init__(self, app: App, providers: Mapping[str, Provider] | None = None) -> None:
        """Raises SettingsError."""
        self.providers = providers_of(app.settings) if providers is None else providers
        self._clock = app.clock
        self._effects = Effects(settings=app.settings, database=app.database, tokens=app.tokens, clock=app.clock)

    def take(self, name: str, call: Call) -> Response:
        """Acts on every event of a genuine call, each in a transaction of its own: one that fails holds up no other.

        Where one could not be taken now, the whole call is to come again: what was taken has no second effect.
        """
        try:
            events = self.providers[name].events(call, self._clock())
        except Refused as problem:
            log.warning("a call of %s is refused: %s", name, problem, extra={"action": "events-refused"})
            return _refused(problem)
        effects, put_off = Counter[Effect](), 0
        for event in events:
            try:
                effects[self._taken(event)] += 1
            except (StillSending, QuarantineFull, DatabaseError) as problem:
                log.warning("an event of %s is put off: %s", name, problem, extra={"action": "events-put-off"})
                put_off += 1
        if put_off:
            return _later(f"{put_off} of {len(events)} events could not be taken now")
        return _answer(200, {"events": len(events), "effects": {str(each): effects[each] for each in sorted(effects)}})

    def _taken(self, event: Event) -> Effect:
        """What came of one event. An odd one is set aside: the provider would bring its whole call again for ever."""
        try:
            return self._effects.tell(event).effect
        except (StillSending, QuarantineFull, DatabaseError):
            raise
        except Exception as error:
            _log_odd(event, "is set aside", error)
        try:
            return self._effects.set_aside(event).effect
        except (QuarantineFull, DatabaseError):
            raise
        except Exception as error:
            _log_odd(event, "can neither be acted on nor kept", error)
            return Effect.NOTHING


def _log_odd(event: Event, what: str, error: Exception) -> None:
    told = (event.provider, event.digest, what, where(error))
    log.error("an event of %s (%s) %s: %s", *told, extra={"action": "events-odd"})


@router.post("/api/events/{name}")
async def tell(name: str, request: Request) -> Response:
    told = request.app.state.told
    assert isinstance(told, Told)
    if name not in told.providers:
        raise HTTPException(404)
    headers = {key.lower(): value for key, value in request.headers.items()}
    return await run_in_threadpool(told.take, name, Call(headers=headers, body=await request.body()))


def _refused(problem: Refused) -> Response:
    if problem.status == 503:
        return _later(str(problem))
    answer = _answer(problem.status, {"error": str(problem)})
    if problem.status == 401:
        answer.headers["WWW-Authenticate"] = 'Basic realm="events", charset="UTF-8"'
    return answer


def _later(why: str) -> Response:
    answer = _answer(503, {"error": why})
    answer.headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
    return answer


def _answer(status: int, content: object) -> Response:
    return JSONResponse(content, status_code=status, headers={"Cache-Control": "no-store"})
