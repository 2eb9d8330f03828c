"""mailer dkim: keys that sign our mail, and their DNS records."""

from pathlib import Path
from typing import Annotated

import typer

from mailer import settings
from mailer.clock import system_clock
from mailer.errors import MailerError
from mailer.rendering.dkim import DkimKey, load_keys

commands = typer.Typer(help="Keys that sign our mail.", no_args_is_help=True)


@commands.command("new")
def new(
    domain: Annotated[str, typer.Argument(help="The domain of the publication's sender, such as example.org.")],
    selector: Annotated[
        str | None, typer.Option(help="The key's name under the domain; the kind and this month otherwise.")
    ] = None,
    ed25519: Annotated[
        bool, typer.Option("--ed25519", help="A second, short key; keep an RSA key, not every receiver can check this.")
    ] = False,
    to: Annotated[Path, typer.Option(help="The folder to put the key in.")] = Path(),
) -> None:
    """Make a key; print the DNS record to publish and the setting to add."""
    kind = "ed25519" if ed25519 else "rsa"
    name = selector or f"{kind}-{system_clock():%Y%m}"
    key = DkimKey.new(name.lower(), domain.rstrip(".").lower(), ed25519=ed25519)
    path = key.save(to).resolve()
    print(f"Wrote {path}. Whoever has it can sign as {key.domain}.\n")
    print(f"1. Publish this record:\n\n{told(key)}\n")
    print("2. When the record can be seen, put the key into .env and start mailer again. Several keys are separated by")
    print(f"   commas; an older {kind} key of this domain leaves the list, its record stays for a week.\n")
    print(f"MAILER_DKIM_KEYS={path}")


@commands.command("show")
def show() -> None:
    """Print the DNS records of the keys that are set."""
    keys = load_keys(settings.load().dkim_keys)
    if not keys:
        raise MailerError("MAILER_DKIM_KEYS is empty: mail is not signed. Make a key with: mailer dkim new DOMAIN")
    print("\n\n".join(map(told, keys)))


def told(key: DkimKey) -> str:
    """The record as a form asks for it, and as a line of a zone file (RFC 1035 §5.1)."""
    strings = " ".join(f'"{string}"' for string in key.record_strings)
    return (
        f"Name:   {key.record_name}\nType:   TXT\nValue:  {key.record}\n"
        f"BIND:   {key.record_name}. 3600 IN TXT ( {strings} )"
    )
