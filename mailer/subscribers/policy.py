"""Addresses that are not taken from the form, whoever types them: what the operator has decided, and our own."""

import enum
import functools
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from mailer.settings import Settings, SettingsError
from mailer.subscribers.address import Address


class Refusal(enum.StrEnum):
    """Why an address is not taken."""

    ROLE = "role"  #: postmaster@ and the like: a machine or a duty, not a reader
    DISPOSABLE = "disposable"  #: of a domain on the operator's list
    OURS = "ours"  #: of the domain that our own commands by mail come in at: it would answer itself


@dataclass(frozen=True, kw_only=True)
class Policy:
    """What an installation takes."""

    roles: Collection[str]  #: local parts, in lower case
    disposable: Collection[str]  #: domains as A-labels, in lower case
    ours: str

    def refusal(self, address: Address) -> Refusal | None:
        """Why this address is not taken, by its spelling alone; None where it is."""
        local = address.text.rpartition("@")[0].casefold().partition("+")[0]
        if address.domain == self.ours:
            return Refusal.OURS
        if local in self.roles:
            return Refusal.ROLE
        labels = address.domain.split(".")
        if any(".".join(labels[at:]) in self.disposable for at in range(len(labels))):
            return Refusal.DISPOSABLE
        return None


def policy_of(settings: Settings) -> Policy:
    """What the settings say. Raises SettingsError where the list of domains cannot be read."""
    return Policy(
        roles=frozenset(each.casefold() for each in settings.role_addresses),
        disposable=_domains(settings.disposable_domains) if settings.disposable_domains else frozenset(),
        ours=settings.mail_domain,
    )


@functools.cache
def _domains(path: Path) -> frozenset[str]:
    """One domain a line; what follows a # is a remark."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        bare = (line.partition("#")[0].strip().lower() for line in lines)
        return frozenset(line.encode("idna").decode() for line in bare if line)
    except OSError as error:
        raise SettingsError(f"MAILER_DISPOSABLE_DOMAINS: cannot read {path}: {error.strerror}.") from None
    except UnicodeError:
        raise SettingsError(
            f"MAILER_DISPOSABLE_DOMAINS: {path} is not a list of domains, one a line, in UTF-8."
        ) from None
