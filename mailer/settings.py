"""What an operator can set: environment variables with the prefix MAILER_, or lines of a .env file.

A secret X can also come from the file that X_FILE names (container and systemd credentials). Every setting is
explained in .env.example, which a test holds against this file.
"""

import enum
import ipaddress
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Self
from urllib.parse import unquote, urlsplit

from dotenv import dotenv_values
from pydantic import AfterValidator, Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from mailer.errors import MailerError

PREFIX = "MAILER_"


class SettingsError(MailerError):
    """A setting is missing or senseless; the message names it."""


class TlsPolicy(enum.StrEnum):
    """How the connection to the relay is protected."""

    REQUIRED = "required"  #: encrypted or not at all; the certificate is not checked
    VERIFIED = "verified"  #: encrypted, and the certificate must be valid for the relay's name
    OFF = "off"  #: plain text: only for a relay on this machine or network


class Pipelining(enum.StrEnum):
    """The most that is used of what a relay offers."""

    CHUNKING = "chunking"  #: several messages before the first answer (RFC 3030, RFC 2920)
    PIPELINING = "pipelining"  #: the next envelope behind the message (RFC 2920)
    OFF = "off"  #: a command at a time


def _address_to_listen_on(value: str) -> str:
    host, _, port = value.rpartition(":")
    if not host or not port.isdigit() or not 0 <= int(port) <= 65535:
        raise ValueError("write it as HOST:PORT, such as 127.0.0.1:8080")
    return value


def _secret_of_some_length(value: SecretStr) -> SecretStr:
    if len(value.get_secret_value()) < 32:
        raise ValueError("it is shorter than 32 characters; mailer init writes a good one")
    return value


def _split(value: Any) -> Any:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


class MailboxProtocol(enum.StrEnum):
    """How a mailbox is read."""

    IMAP = "imap"
    POP3 = "pop3"


_MAILBOX_PORTS = {"imaps": 993, "imap": 143, "pop3s": 995, "pop3": 110}


@dataclass(frozen=True)
class MailboxAddress:
    """Where mail waits for us: imaps://USER@HOST[:PORT]/FOLDER or pop3s://USER@HOST[:PORT]; imap:// and pop3:// for a
    server on this machine."""

    protocol: MailboxProtocol
    tls: bool
    user: str
    host: str
    port: int
    folder: str

    @classmethod
    def parse(cls, text: str) -> "MailboxAddress":
        """Raises ValueError, which says how to write it."""
        try:
            parts = urlsplit(text)
            port = parts.port
        except ValueError:
            parts, port = urlsplit(""), None
        if parts.scheme not in _MAILBOX_PORTS or not parts.hostname or not parts.username or parts.password:
            raise ValueError("write it as imaps://USER@HOST/INBOX or pop3s://USER@HOST, without the password")
        tls, protocol = parts.scheme.endswith("s"), MailboxProtocol(parts.scheme.removesuffix("s"))
        if not tls and not is_loopback(parts.hostname):
            raise ValueError(f"write {protocol}s://: only a server on this machine may be asked without TLS")
        folder = unquote(parts.path.lstrip("/"))
        if folder and protocol is MailboxProtocol.POP3:
            raise ValueError("write it as pop3s://USER@HOST: a mailbox has no folders there")
        named = unquote(parts.username)
        if any(ord(letter) < 32 or ord(letter) == 127 for letter in named + folder):
            raise ValueError("it holds a control character")
        return cls(protocol, tls, named, parts.hostname, port or _MAILBOX_PORTS[parts.scheme], folder or "INBOX")


ListenAddress = Annotated[str, AfterValidator(_address_to_listen_on)]
Secret = Annotated[SecretStr, AfterValidator(_secret_of_some_length)]


class Settings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix=PREFIX, env_file=".env", extra="ignore", frozen=True)

    database_url: str = "sqlite:///mailer.db"
    secret_key: Secret
    previous_secret_keys: Annotated[list[Secret], NoDecode] = []
    address_key: Secret

    link_hosts: Annotated[list[str], NoDecode] = Field(min_length=1)
    listen: ListenAddress = "127.0.0.1:8080"
    trusted_proxies: Annotated[list[str], NoDecode] = []
    mail_domain: str

    relays: Path | None = None
    relay_host: str | None = Field(default=None, min_length=1)
    relay_port: int = Field(default=587, ge=1, le=65535)
    relay_username: str | None = None
    relay_password: SecretStr | None = None
    relay_tls: TlsPolicy | None = None
    relay_connections: int = Field(default=10, ge=1, le=200)
    relay_pipelining: Pipelining = Pipelining.CHUNKING
    relay_window: int = Field(default=16, ge=1, le=100)
    relay_timeout_seconds: float = Field(default=60, gt=0)

    inbound_listen: ListenAddress | None = None
    inbound_mailbox: str | None = None
    inbound_mailbox_password: SecretStr | None = None
    forward_per_hour: int = Field(default=20, ge=0, le=1000)
    events_ses_topics: Annotated[list[str], NoDecode] = []
    events_postmark_password: Secret | None = None
    events_sendgrid_key: str | None = None
    events_mailgun_key: SecretStr | None = None
    events_secret: Secret | None = None
    events_header: str | None = None
    return_path_days: int = Field(default=30, ge=5, le=365)

    dkim_keys: Annotated[list[Path], NoDecode] = []

    confirmation_hours: int = Field(default=72, ge=1, le=24 * 30)
    confirmation_window_minutes: int = Field(default=15, ge=0, le=24 * 60)
    requests_expected: int = Field(default=300, ge=0)
    requests_per_network: int = Field(default=60, ge=1)
    requests_per_domain: int = Field(default=600, ge=1)
    requests_per_address: int = Field(default=5, ge=1)
    role_addresses: Annotated[list[str], NoDecode] = [
        *("abuse", "bounce", "devnull", "do-not-reply", "donotreply", "hostmaster", "mailer-daemon", "no-reply"),
        *("nobody", "noc", "noreply", "postmaster", "root", "security", "spam"),
    ]
    disposable_domains: Path | None = None

    keep_unconfirmed_days: int = Field(default=30, ge=1, le=3650)
    keep_former_days: int = Field(default=1095, ge=1, le=3650)
    keep_network_days: int = Field(default=90, ge=1, le=3650)
    keep_log_days: int = Field(default=400, ge=30, le=3650)
    keep_arrival_days: int = Field(default=90, ge=60, le=3650)
    keep_quarantine_days: int = Field(default=30, ge=1, le=3650)
    session_hours: int = Field(default=12, ge=1, le=24 * 30)
    log_level: str = "info"

    _split_lists = field_validator(
        *("previous_secret_keys", "link_hosts", "trusted_proxies", "dkim_keys", "events_ses_topics", "role_addresses"),
        mode="before",
    )(_split)

    @field_validator("link_hosts")
    @classmethod
    def _link_hosts_are_origins(cls, hosts: list[str]) -> list[str]:
        for host in hosts:
            parts = urlsplit(host)
            if parts.scheme not in ("https", "http") or not parts.netloc or parts.path not in ("", "/") or parts.query:
                raise ValueError(f"{host!r} is not an origin; write it as https://news.example.org")
            if not re.fullmatch(r"[a-zA-Z0-9.:\[\]-]+", parts.netloc):
                raise ValueError(f"{host!r} must be in ASCII; write a name in another script as xn--…")
        return [host.rstrip("/") for host in hosts]

    @field_validator("mail_domain")
    @classmethod
    def _mail_domain_is_a_domain(cls, domain: str) -> str:
        if not re.fullmatch(r"[a-zA-Z0-9-]+(\.[a-zA-Z0-9-]+)+", domain):
            raise ValueError("write the bare domain, in ASCII, such as bounces.example.org")
        return domain.lower()

    @field_validator(
        *("inbound_listen", "inbound_mailbox", "events_postmark_password", "events_sendgrid_key", "events_mailgun_key"),
        *("events_secret", "events_header", "disposable_domains"),
        mode="before",
    )
    @classmethod
    def _empty_is_off(cls, value: Any) -> Any:
        return value or None

    @field_validator("inbound_mailbox")
    @classmethod
    def _inbound_mailbox_is_one(cls, value: str | None) -> str | None:
        if value is not None:
            MailboxAddress.parse(value)
        return value

    @field_validator("events_header")
    @classmethod
    def _events_header_is_one(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"X-[A-Za-z0-9-]{1,60}: [ -~]{0,200}", value):
            raise ValueError("write it as X-NAME: VALUE, in ASCII and on one line")
        if value is not None and (value.count("{token}") != 1 or "=?" in value):
            raise ValueError("it needs {token} once, such as X-PM-Metadata-delivery: {token}")
        return value

    @field_validator("events_ses_topics")
    @classmethod
    def _topics_are_named(cls, topics: list[str]) -> list[str]:
        for topic in topics:
            if not re.fullmatch(r"arn:aws[a-z-]*:sns:[a-z0-9-]{1,32}:[0-9]{12}:[A-Za-z0-9_.-]{1,256}", topic):
                raise ValueError(f"{topic!r} is not the ARN of a topic; it looks like arn:aws:sns:REGION:ACCOUNT:NAME")
        return topics

    @field_validator("trusted_proxies")
    @classmethod
    def _trusted_proxies_are_networks(cls, networks: list[str]) -> list[str]:
        for network in networks:
            try:
                ipaddress.ip_network(network, strict=False)
            except ValueError:
                raise ValueError(f"{network!r} is not a network; write it as 10.0.0.0/8 or 192.0.2.7") from None
        return networks

    @field_validator("log_level")
    @classmethod
    def _log_level_is_known(cls, level: str) -> str:
        if level.lower() not in ("debug", "info", "warning", "error"):
            raise ValueError("write debug, info, warning or error")
        return level.lower()

    @model_validator(mode="after")
    def _password_has_a_user(self) -> Self:
        if (self.relay_username is None) != (self.relay_password is None):
            raise ValueError("MAILER_RELAY_USERNAME and MAILER_RELAY_PASSWORD go together; set both or neither")
        return self

    @model_validator(mode="after")
    def _reports_find_their_delivery(self) -> Self:
        if self.keep_log_days <= self.return_path_days:
            raise ValueError(
                "MAILER_KEEP_LOG_DAYS must be more than MAILER_RETURN_PATH_DAYS; raise it, or lower that one"
            )
        return self

    @model_validator(mode="after")
    def _links_outlive_their_request(self) -> Self:
        if self.keep_unconfirmed_days * 24 < self.confirmation_hours:
            raise ValueError("MAILER_KEEP_UNCONFIRMED_DAYS is shorter than MAILER_CONFIRMATION_HOURS; raise it")
        return self

    @model_validator(mode="after")
    def _mailbox_has_a_password(self) -> Self:
        if (self.inbound_mailbox is None) != (self.inbound_mailbox_password is None):
            raise ValueError(
                "MAILER_INBOUND_MAILBOX and MAILER_INBOUND_MAILBOX_PASSWORD go together; set both or neither"
            )
        return self

    @model_validator(mode="after")
    def _there_is_one_way_out(self) -> Self:
        if (self.relays is None) == (self.relay_host is None):
            raise ValueError(
                "MAILER_RELAY_HOST and MAILER_RELAYS are both set; keep one"
                if self.relays
                else "MAILER_RELAY_HOST is not set. Put it in .env or the environment; .env.example explains it"
            )
        return self

    @property
    def takes_mail(self) -> bool:
        """Whether mail to `mail_domain` reaches us, so that a reply is heard."""
        return self.inbound_listen is not None or self.inbound_mailbox is not None

    @property
    def takes_events(self) -> bool:
        """Whether a provider tells us of bounces and complaints by HTTP."""
        keys = (self.events_postmark_password, self.events_sendgrid_key, self.events_mailgun_key, self.events_secret)
        return bool(self.events_ses_topics) or any(keys)

    @property
    def tls_policy(self) -> TlsPolicy:
        """The policy in force: what is set, else off for a relay on this machine and required for any other."""
        near = self.relay_host is not None and is_loopback(self.relay_host)
        return self.relay_tls or (TlsPolicy.OFF if near else TlsPolicy.REQUIRED)

    @property
    def secret_keys(self) -> list[str]:
        """The key that signs, then those that are still honoured."""
        return [key.get_secret_value() for key in (self.secret_key, *self.previous_secret_keys)]

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, _SecretFiles(settings_cls), env_settings, dotenv_settings


_IN_FILES = (
    "database_url",
    "secret_key",
    "previous_secret_keys",
    "address_key",
    "relay_password",
    "inbound_mailbox_password",
    "events_postmark_password",
    "events_mailgun_key",
    "events_secret",
)


class _SecretFiles(PydanticBaseSettingsSource):
    """Reads MAILER_X from the file that MAILER_X_FILE names. Setting both is a contradiction, and said so."""

    def get_field_value(self, field: Any, field_name: str) -> tuple[Any, str, bool]:  # pragma: no cover  (abstract)
        return None, field_name, False

    def __call__(self) -> dict[str, Any]:
        values = {**dotenv_values(str(self.config.get("env_file") or "")), **os.environ}
        found = {}
        for name in _IN_FILES:
            variable = f"{PREFIX}{name.upper()}"
            path = values.get(f"{variable}_FILE")
            if not path:
                continue
            if values.get(variable):
                raise SettingsError(f"{variable} and {variable}_FILE are both set. Keep one.")
            try:
                found[name] = Path(path).read_text(encoding="utf-8").strip()
            except (OSError, UnicodeDecodeError) as error:
                raise SettingsError(f"{variable}_FILE: cannot read {path}: {_cause(error)}.") from None
        return found


def load(**overrides: Any) -> Settings:
    """The settings in force. Raises SettingsError naming every variable that is missing or senseless."""
    try:
        return Settings(**overrides)
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f".env cannot be read: {_cause(error)}.") from None
    except ValidationError as error:
        raise SettingsError("\n".join(_line(problem) for problem in error.errors())) from None


def _line(problem: Any) -> str:
    message = problem["msg"].removeprefix("Value error, ")
    if not problem["loc"]:
        return f"{message}."
    variable = PREFIX + str(problem["loc"][0]).upper()
    if problem["type"] == "missing":
        return f"{variable} is not set. Put it in .env or the environment; .env.example explains it."
    return f"{variable}: {message}."


def is_loopback(host: str) -> bool:
    """Whether the host is this machine, so that what is said to it is heard by nobody else."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def _cause(error: Exception) -> str:
    return (error.strerror or str(error)) if isinstance(error, OSError) else "it is not UTF-8 text"
