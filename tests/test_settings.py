"""A missing or senseless setting is one line that names it."""

import re
from pathlib import Path

import pytest

from mailer.settings import MailboxAddress, MailboxProtocol, Settings, SettingsError, TlsPolicy, load

ROOT = Path(__file__).parent.parent
GOOD = {
    "MAILER_SECRET_KEY": "s" * 40,
    "MAILER_ADDRESS_KEY": "a" * 40,
    "MAILER_LINK_HOSTS": "https://news.example.org, https://mirror.example.net/",
    "MAILER_MAIL_DOMAIN": "Bounces.example.org",
    "MAILER_RELAY_HOST": "relay.example.org",
}


@pytest.fixture(autouse=True)
def _only_these(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name, value in GOOD.items():
        monkeypatch.setenv(name, value)


def test_good_settings_are_read_from_the_environment() -> None:
    settings = load()
    assert settings.link_hosts == ["https://news.example.org", "https://mirror.example.net"]
    assert settings.mail_domain == "bounces.example.org"
    assert settings.secret_keys == ["s" * 40]


@pytest.mark.parametrize("name", sorted(GOOD))
def test_a_missing_setting_is_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(name)
    with pytest.raises(SettingsError, match=f"^{name} is not set") as error:
        load()
    assert len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("name", "value", "mend"),
    [
        ("MAILER_RELAY_PORT", "smtp", "integer"),
        ("MAILER_RELAY_PORT", "0", "greater"),
        ("MAILER_RELAY_CONNECTIONS", "100000", "less"),
        ("MAILER_RELAY_TLS", "maybe", "'required', 'verified' or 'off'"),
        ("MAILER_LISTEN", "8080", "HOST:PORT"),
        ("MAILER_LINK_HOSTS", "news.example.org", "https://"),
        ("MAILER_LINK_HOSTS", "https://news.example.org/path", "https://"),
        ("MAILER_MAIL_DOMAIN", "a@b.example", "bare domain"),
        ("MAILER_SECRET_KEY", "short", "32 characters"),
        ("MAILER_LOG_LEVEL", "loud", "debug, info"),
        ("MAILER_CONFIRMATION_HOURS", "0", "greater"),
        ("MAILER_INBOUND_LISTEN", "2424", "HOST:PORT"),
        ("MAILER_INBOUND_MAILBOX", "mail.example.org", "imaps://USER@HOST/INBOX"),
        ("MAILER_INBOUND_MAILBOX", "imaps://user:secret@mail.example.org/INBOX", "without the password"),
        ("MAILER_INBOUND_MAILBOX", "imap://user@mail.example.org/INBOX", "imaps://"),
        ("MAILER_EVENTS_SES_TOPICS", "newsletter", "arn:aws:sns:"),
        ("MAILER_EVENTS_SECRET", "short", "32 characters"),
        ("MAILER_EVENTS_HEADER", "X-PM-Metadata-delivery", "X-NAME: VALUE"),
        ("MAILER_EVENTS_HEADER", "X-A: {token}\r\nBcc: b@far.example", "on one line"),
        ("MAILER_EVENTS_HEADER", "X-A: b", "{token}"),
        ("MAILER_INBOUND_MAILBOX", "pop3://user@mail.example.org", "pop3s://"),
        ("MAILER_INBOUND_MAILBOX", "pop3s://user@mail.example.org/INBOX", "no folders"),
        ("MAILER_INBOUND_MAILBOX", "pop3s://user%0d%0aDELE@mail.example.org", "control character"),
        ("MAILER_INBOUND_MAILBOX", "imaps://user@mail.example.org/INBOX", "MAILER_INBOUND_MAILBOX_PASSWORD"),
        ("MAILER_RETURN_PATH_DAYS", "1", "greater"),
    ],
)
def test_a_senseless_setting_is_named_with_its_mend(
    name: str, value: str, mend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=name) as error:
        load()
    assert mend in str(error.value)
    assert len(str(error.value).splitlines()) == 1


def test_a_refused_secret_is_not_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAILER_SECRET_KEY", "short-but-secret")
    with pytest.raises(SettingsError) as error:
        load()
    assert "short-but-secret" not in str(error.value)
    assert "s" * 40 not in repr(Settings(_env_file=None, secret_key="s" * 40))


def test_a_secret_can_come_from_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "key").write_text("from a file, long enough to be taken\n")
    monkeypatch.delenv("MAILER_SECRET_KEY")
    monkeypatch.setenv("MAILER_SECRET_KEY_FILE", str(tmp_path / "key"))
    assert load().secret_keys == ["from a file, long enough to be taken"]


def test_a_secret_file_that_cannot_be_read_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("MAILER_SECRET_KEY")
    monkeypatch.setenv("MAILER_SECRET_KEY_FILE", str(tmp_path / "absent"))
    with pytest.raises(SettingsError, match="MAILER_SECRET_KEY_FILE: cannot read"):
        load()


def test_a_secret_given_twice_is_a_contradiction(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "key").write_text("f" * 40)
    monkeypatch.setenv("MAILER_SECRET_KEY_FILE", str(tmp_path / "key"))
    with pytest.raises(SettingsError, match="both set"):
        load()


def test_a_dot_env_file_is_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("MAILER_RELAY_HOST")
    (tmp_path / ".env").write_text("MAILER_RELAY_HOST=from.env.example\n")
    assert load().relay_host == "from.env.example"


def test_a_login_needs_both_its_halves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAILER_RELAY_USERNAME", "us")
    with pytest.raises(SettingsError, match="MAILER_RELAY_PASSWORD"):
        load()


@pytest.mark.parametrize(
    ("host", "policy"),
    [
        ("127.0.0.1", TlsPolicy.OFF),
        ("localhost", TlsPolicy.OFF),
        ("::1", TlsPolicy.OFF),
        ("10.0.0.1", TlsPolicy.REQUIRED),
    ],
)
def test_tls_is_required_unless_the_relay_is_on_this_machine(
    host: str, policy: TlsPolicy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAILER_RELAY_HOST", host)
    assert load().tls_policy is policy


def test_the_example_explains_every_setting_and_no_other() -> None:
    text = (ROOT / ".env.example").read_text()
    explained = set(re.findall(r"^#?(MAILER_[A-Z_]+)=", text, re.MULTILINE))
    assert explained == {f"MAILER_{name.upper()}" for name in Settings.model_fields}
    for block in re.split(r"\n\n", text.split("\n\n", 1)[1]):
        assert block.startswith("# "), f"not explained: {block!r}"


def test_a_mailbox_is_named_like_a_page() -> None:
    address = MailboxAddress.parse("imaps://in%40example.org@mail.example.org:1993/In%20coming")
    assert address == MailboxAddress(
        MailboxProtocol.IMAP, True, "in@example.org", "mail.example.org", 1993, "In coming"
    )
    imap, pop3 = MailboxProtocol.IMAP, MailboxProtocol.POP3
    assert MailboxAddress.parse("imap://me@localhost") == MailboxAddress(imap, False, "me", "localhost", 143, "INBOX")
    assert MailboxAddress.parse("pop3s://me@far.example/").port == 995
    assert MailboxAddress.parse("pop3://me@[::1]") == MailboxAddress(pop3, False, "me", "::1", 110, "INBOX")
