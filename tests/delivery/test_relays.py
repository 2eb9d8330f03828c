"""Several ways out, from a file that says what is wrong with it."""

import re
from datetime import date
from pathlib import Path

import pytest

from mailer.delivery.relays import ways_of
from mailer.delivery.session import Limits
from mailer.settings import Settings, SettingsError, TlsPolicy

ROOT = Path(__file__).parents[2]


def written(settings: Settings, folder: Path, text: str) -> Settings:
    path = folder / "relays.toml"
    path.write_text(text, encoding="utf-8")
    return settings.model_copy(update={"relays": path, "relay_host": None})


def test_without_a_file_there_is_the_one_relay_of_the_settings(settings: Settings) -> None:
    (relay,) = ways_of(settings).relays
    assert (relay.host, relay.port, relay.tls) == ("127.0.0.1", settings.relay_port, TlsPolicy.OFF)
    assert relay.limits == Limits()


def test_the_documented_file_means_what_the_page_says(settings: Settings, tmp_path: Path) -> None:
    (text,) = re.findall(r"```toml\n(.*?)```", (ROOT / "docs" / "relays.md").read_text(encoding="utf-8"), re.DOTALL)
    (tmp_path / "password").write_text("secret\n")
    text = text.replace("/run/credentials/smtp", str(tmp_path / "password"))
    ways = ways_of(written(settings, tmp_path, text))
    main, spare = ways.relays
    assert (main.name, main.password, main.tls, main.weight) == ("main", "secret", TlsPolicy.VERIFIED, 3)
    assert main.limits.warm_up_from == date(2026, 11, 23)
    assert (spare.name, spare.tls, spare.weight, spare.limits) == ("spare", TlsPolicy.REQUIRED, 0, Limits())
    assert ways.destinations == {"gmail.com": 20}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[relay.a]\nport = 25\n", "relay.a.host"),
        ("[relay.a]\nhost = 'x'\nport = 0\n", "relay.a.port"),
        ("[relay.a]\nhost = 'x'\nconections = 3\n", "relay.a.conections: there is no such key"),
        ("[relay.a]\nhost = 'x'\nusername = 'u'\n", "username and password go together"),
        ("[relay.a]\nhost = 'x'\nweight = 0\n", "every weight is 0"),
        ("[relay.a]\nhost = 'x'\nusername = 'u'\npassword_file = '/nowhere/at/all'\n", "cannot read /nowhere/at/all"),
        ("[relay.a]\nhost = 'x'\n[destination.'d']\nper_second = 0\n", "destination.d.per_second"),
        ("relay = 3\n", "relay"),
        ("[relay.a\n", "line 1"),
        ("", "relay"),
    ],
)
def test_a_file_that_cannot_be_right_is_refused_by_name(
    settings: Settings, tmp_path: Path, text: str, words: str
) -> None:
    with pytest.raises(SettingsError) as refused:
        ways_of(written(settings, tmp_path, text))
    assert words in str(refused.value)


def test_a_file_that_is_not_there_is_said_so(settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"cannot read .*nowhere\.toml: No such file"):
        ways_of(settings.model_copy(update={"relays": tmp_path / "nowhere.toml"}))
