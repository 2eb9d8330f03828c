"""When answers to the form leave: not when the work is done, which says who reads us."""

import asyncio
import time

import pytest
from fastapi import Response

from mailer.web import asking

EVEN = 0.02


@pytest.mark.parametrize("work", [0.0, 0.005, 0.025])
async def test_answers_leave_at_whole_multiples_however_long_the_work_took(
    monkeypatch: pytest.MonkeyPatch, work: float
) -> None:
    monkeypatch.setattr(asking, "EVEN_SECONDS", EVEN)
    waits = list[float]()
    sleep = asyncio.sleep

    async def noting(seconds: float) -> None:
        waits.append(loop.time() + seconds - began)
        await sleep(0)

    def answer() -> Response:
        time.sleep(work)  # a thread's work
        return Response("made")

    monkeypatch.setattr(asyncio, "sleep", noting)
    loop = asyncio.get_running_loop()
    began = loop.time()
    assert (await asking.evenly(answer)).body == b"made"
    (left,) = waits
    assert left >= work
    assert abs(left / EVEN - round(left / EVEN)) * EVEN < 0.002, "but for the moments between two looks at the clock"
