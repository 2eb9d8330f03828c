"""Our ways out: the one relay that MAILER_RELAY_* describes, or those of the file that MAILER_RELAYS names.

The file is TOML; docs/relays.md explains every key. Limits and the warm-up of a new sending address stand only there,
and so do the limits of single receiving domains.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator, model_validator

from mailer.delivery.session import Limits, Relay
from mailer.errors import MailerError
from mailer.settings import Pipelining, Settings, SettingsError, TlsPolicy, is_loopback
from mailer.subscribers import address

Count = Annotated[int, Field(ge=1)]
Rate = Annotated[float, Field(gt=0, allow_inf_nan=False)]


@dataclass(frozen=True)
class Ways:
    """Every relay, and what single receiving domains are to be spared."""

    relays: tuple[Relay, ...]
    destinations: Mapping[str, float] = field(default_factory=dict)  #: domain -> messages a second at most


class _Row(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Relay(_Row):
    host: str = Field(min_length=1)
    port: int = Field(default=587, ge=1, le=65535)
    username: str | None = None
    password: SecretStr | None = None
    password_file: Path | None = None
    tls: TlsPolicy | None = None
    connections: int = Field(default=10, ge=1, le=200)
    pipelining: Pipelining = Pipelining.CHUNKING
    window: int = Field(default=16, ge=1, le=100)
    timeout_seconds: Rate = 60
    weight: int = Field(default=1, ge=0, le=1000)
    per_second: Rate | None = None
    per_hour: Count | None = None
    per_day: Count | None = None
    warm_up_from: date | None = None
    warm_up_first_day: Count = 200

    @model_validator(mode="after")
    def _login_is_whole(self) -> Self:
        if self.password and self.password_file:
            raise ValueError("password and password_file are both set; keep one")
        if (self.username is None) != (self.password is None and self.password_file is None):
            raise ValueError("username and password go together; set both or neither")
        return self

    def relay(self, name: str) -> Relay:
        return Relay(
            name=name,
            host=self.host,
            port=self.port,
            tls=self.tls or (TlsPolicy.OFF if is_loopback(self.host) else TlsPolicy.REQUIRED),
            username=self.username,
            password=self._secret(),
            connections=self.connections,
            pipelining=self.pipelining,
            window=self.window,
            timeout_seconds=self.timeout_seconds,
            weight=self.weight,
            limits=Limits(
                per_second=self.per_second,
                per_hour=self.per_hour,
                per_day=self.per_day,
                warm_up_from=self.warm_up_from,
                warm_up_first_day=self.warm_up_first_day,
            ),
        )

    def _secret(self) -> str | None:
        if self.password_file:
            return self.password_file.read_text(encoding="utf-8").strip()
        return self.password.get_secret_value() if self.password else None


class _Destination(_Row):
    per_second: Rate


class _File(_Row):
    relay: dict[str, _Relay] = Field(min_length=1)
    destination: dict[str, _Destination] = {}

    @field_validator("relay")
    @classmethod
    def _somebody_takes_mail(cls, relays: dict[str, _Relay]) -> dict[str, _Relay]:
        if not any(relay.weight for relay in relays.values()):
            raise ValueError("every weight is 0; give the relay that is to be used first a weight of 1")
        return relays


def ways_of(settings: Settings) -> Ways:
    """What the settings describe. Raises SettingsError naming the file and the key."""
    return _read(settings.relays) if settings.relays else Ways((_single(settings),))


def _single(settings: Settings) -> Relay:
    assert settings.relay_host is not None
    password = settings.relay_password
    return Relay(
        name=f"{settings.relay_host}:{settings.relay_port}",
        host=settings.relay_host,
        port=settings.relay_port,
        tls=settings.tls_policy,
        username=settings.relay_username,
        password=password.get_secret_value() if password else None,
        connections=settings.relay_connections,
        pipelining=settings.relay_pipelining,
        window=settings.relay_window,
        timeout_seconds=settings.relay_timeout_seconds,
    )


def _read(path: Path) -> Ways:
    try:
        found = _File.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
        relays = tuple(relay.relay(name) for name, relay in found.relay.items())
    except OSError as error:
        raise SettingsError(f"MAILER_RELAYS: cannot read {error.filename or path}: {error.strerror}.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: {error}.") from None
    except ValidationError as error:
        raise SettingsError("\n".join(f"{path}: {_problem(problem)}" for problem in error.errors())) from None
    return Ways(relays, {_as_stored(domain, path): row.per_second for domain, row in found.destination.items()})


def _as_stored(domain: str, path: Path) -> str:
    """As the ledger writes a destination: in A-labels, lower case."""
    try:
        return address.parse(f"postmaster@{domain}").domain
    except MailerError:
        raise SettingsError(f"{path}: destination.{domain}: this is not a domain.") from None


def _problem(problem: Any) -> str:
    where = ".".join(str(part) for part in problem["loc"])
    words = "there is no such key" if problem["type"] == "extra_forbidden" else problem["msg"]
    return f"{where}: {words.removeprefix('Value error, ')}."
