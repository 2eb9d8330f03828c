"""The demo's readers: they use the real form, the real links in the mail that was caught, and nothing else."""

import asyncio
import random
import re
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field

import httpx

from mailer.demo.mailbox import Mailbox
from mailer.tokens import ALPHABET, WIDTH
from mailer.web.asking import SOONEST

AT_ONCE = 25
"""Readers who act at the same time."""

_DOMAINS = ("example.org", "example.net", "example.com", "mail.example")
_STAMP = re.compile(r'name="stamp" value="([^"]+)"')
_FIRST_LINK = re.compile(rf"https?://\S+/c/[{ALPHABET}]{{{WIDTH}}}")


@dataclass
class Reader:
    """Who subscribes, in which edition and language, and how the mailbox will behave."""

    address: str
    edition: str
    language: str
    confirms: bool = True
    closes: bool = False  #: the mailbox is gone when the issue comes
    greylists: bool = False
    leaves: bool = False
    confirmed: bool = field(default=False, init=False)
    left: bool = field(default=False, init=False)


def gather(count: int, editions: Iterable[tuple[str, list[str]]], seed: int = 1) -> list[Reader]:
    """`count` readers over the editions (code, languages). The same seed gives the same crowd."""
    chance, offered = random.Random(seed), list(editions)
    readers = []
    for number in range(count):
        code, languages = offered[number % len(offered)]
        address = f"reader{number}@{chance.choice(_DOMAINS)}"
        fate = number % 25
        readers.append(
            Reader(
                address,
                code,
                chance.choice(languages),
                confirms=fate != 3,
                closes=fate == 7,
                greylists=fate == 11,
                leaves=fate in (13, 19),
            )
        )
    return readers


class Crowd:
    """Readers at work, each request in a thread of its own. `told` is called after each reader."""

    def __init__(self, readers: list[Reader], mailbox: Mailbox, front: str, told: Callable[[], None]) -> None:
        self.readers, self._mailbox, self._front, self._told = readers, mailbox, front, told
        self._stamp = ""

    async def subscribe(self, publication: str) -> None:
        """Everybody fills in the form; those who mean it press the button behind the link in the mail."""
        await self._open_the_form(publication)
        await self._each(self.readers, lambda client, reader: self._subscribe(client, reader, publication))

    async def _open_the_form(self, publication: str) -> None:
        """One look at the page for all of them, as a cache would have it, and the time that a person takes."""
        page = await asyncio.to_thread(httpx.get, f"{self._front}/{publication}/en", timeout=60)
        found = _STAMP.search(page.raise_for_status().text)
        assert found, "the form has no stamp"
        self._stamp = found.group(1)
        await asyncio.sleep(SOONEST.total_seconds())

    async def leave(self) -> None:
        """Some leave by the header that their mail program acts on (RFC 8058)."""
        leaving = [reader for reader in self.readers if reader.leaves and reader.confirmed and not reader.closes]
        await self._each(leaving, self._leave)

    async def _each(self, readers: list[Reader], act: Callable[[httpx.Client, Reader], Awaitable[None]]) -> None:
        places = asyncio.Semaphore(AT_ONCE)
        with httpx.Client(base_url=self._front, timeout=60, limits=_LIMITS) as client:

            async def one(reader: Reader) -> None:
                async with places:
                    await act(client, reader)
                    self._told()

            await asyncio.gather(*map(one, readers))

    async def _subscribe(self, client: httpx.Client, reader: Reader, publication: str) -> None:
        form = {
            "publication": publication,
            "edition": reader.edition,
            "address": reader.address,
            "language": reader.language,
            "stamp": self._stamp,
        }
        (await asyncio.to_thread(client.post, "/subscribe", data=form)).raise_for_status()
        mail = await self._mailbox.first(reader.address)
        if not reader.confirms:
            return
        text = mail.message().get_body(("plain",))
        found = _FIRST_LINK.search(text.get_content() if text else "")
        assert found, f"the confirmation to {reader.address} has no link"
        (await asyncio.to_thread(client.get, found.group())).raise_for_status()
        (await asyncio.to_thread(client.post, found.group())).raise_for_status()
        reader.confirmed = True

    async def _leave(self, client: httpx.Client, reader: Reader) -> None:
        issue = next(mail for mail in self._mailbox.of[reader.address] if mail.issue)
        link = re.search(r"<(https?://[^>]+)>", str(issue.message()["List-Unsubscribe"]))
        assert link, f"the issue to {reader.address} has no List-Unsubscribe"
        (await asyncio.to_thread(client.post, link.group(1), data={"List-Unsubscribe": "One-Click"})).raise_for_status()
        reader.left = True


_LIMITS = httpx.Limits(max_connections=4, max_keepalive_connections=4)
