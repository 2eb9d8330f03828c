"""mailer consent: the evidence of who agreed to what, and the proof that nobody touched it since."""

from collections.abc import Callable
from dataclasses import asdict
from typing import Annotated

import typer

from mailer.cli.printing import JsonOption, print_json, printable
from mailer.cli.shared import installation
from mailer.errors import MailerError
from mailer.subscribers import address, chain, receipts
from mailer.subscribers.chain import Anchor

commands = typer.Typer(help="Evidence of consent.", no_args_is_help=True)


@commands.command("verify")
def verify(
    expect: Annotated[
        str | None, typer.Option(metavar="NUMBER:HASH", help="An anchor that was printed before: it must still stand.")
    ] = None,
    since: Annotated[
        str | None, typer.Option(metavar="NUMBER:HASH", help="The same, and only what came after it is walked.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Walk the chain of consents; name the first that is not as it was sealed. Exit status 1 where there is one.

    Keep the anchor that it prints elsewhere: with --expect it proves that nothing was rewritten as a whole.
    """
    app = installation()
    anchors = {"expected": _anchor(expect), "since": _anchor(since)}
    with app.database.read() as session:
        found = chain.verify(session, **anchors, hash_of=_hash_under(app.settings.address_key.get_secret_value()))
    if as_json:
        print_json({**asdict(found), "head": str(found.head) if found.head else None})
    else:
        removed = ", ".join(f"{number:,} {why}" for why, number in sorted(found.removed.items()))
        print(f"{found.links:,} links, {found.consents:,} consents as they were sealed", end="")
        print(f", {found.blanked:,} without their network any more" if found.blanked else "", end="")
        print(f"; removed: {removed}." if removed else ".")
        if found.unsealed:
            print(f"{found.unsealed:,} more wait to be sealed by mailer worker.")
        if found.head and not found.broken:
            print(f"Anchor: {found.head}")
    if found.broken:
        raise MailerError(f"The chain is broken: {found.broken}.")


@commands.command("show")
def show(
    of: Annotated[str, typer.Argument(metavar="ADDRESS", help="The reader's address.")], as_json: JsonOption = False
) -> None:
    """The receipts of one reader, the oldest first: for the reader, or for whoever may ask."""
    app = installation()
    hashed = address.hash(address.parse(of), app.settings.address_key.get_secret_value())
    with app.database.read() as session:
        found = receipts.of_address(session, hashed)
    if not found:
        raise MailerError(f"There is no consent of {of}. Was it erased? See: mailer suppression list --all")
    for number, receipt in enumerate(found):
        if as_json:
            print_json(receipt.values())
            continue
        if number:
            print()
        for line in receipt.lines():
            print(printable(line))


def _hash_under(key: str) -> Callable[[str], str]:
    """The keyed hash of an address; "" for what is none, as the rows of a reader never are."""

    def hashed(text: str) -> str:
        try:
            return address.hash(address.parse(text), key)
        except address.AddressError:
            return ""

    return hashed


def _anchor(text: str | None) -> Anchor | None:
    return None if text is None else Anchor.parse(text)
