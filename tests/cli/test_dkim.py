"""A key is made, published and set by what the commands print."""

import re
import shlex
import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from tests.cli.conftest import Type


def setting(out: str) -> Path:
    return Path(out.splitlines()[-1].removeprefix("MAILER_DKIM_KEYS="))


def public_of(path: Path) -> str:
    key = serialization.load_pem_private_key(path.read_bytes(), None).public_key()
    text = key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()
    return "".join(text.splitlines()[1:-1])


def test_a_new_key_is_private_and_its_record_is_ready_to_paste(type_: Type, tmp_path: Path) -> None:
    typed = type_("dkim", "new", "Example.org.", "--selector", "S1", "--to", "keys")
    path = tmp_path / "keys" / "s1._domainkey.example.org.pem"
    assert setting(typed.out) == path
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    value = f"v=DKIM1; k=rsa; p={public_of(path)}"
    assert "Name:   s1._domainkey.example.org" in typed.lines
    assert f"Value:  {value}" in typed.lines
    (line,) = (line for line in typed.lines if line.startswith("BIND:"))
    _, name, _, *record = shlex.split(line)
    assert (name, record[:3], record[-1]) == ("s1._domainkey.example.org.", ["IN", "TXT", "("], ")")
    assert "".join(record[3:-1]) == value
    assert all(len(string) <= 255 for string in record[3:-1])


def test_a_key_is_never_overwritten(type_: Type, tmp_path: Path) -> None:
    path = setting(type_("dkim", "new", "example.org").out)
    before = path.read_bytes()
    again = type_("dkim", "new", "example.org")
    assert again.status == 1
    assert "not overwritten" in again.err
    assert path.read_bytes() == before
    assert [each.name for each in tmp_path.iterdir()] == [path.name]
    assert re.fullmatch(r"rsa-\d{6}\._domainkey\.example\.org\.pem", path.name)


def test_the_keys_that_are_set_are_shown(installed: Type, monkeypatch: pytest.MonkeyPatch) -> None:
    made = [installed("dkim", "new", "example.org").out, installed("dkim", "new", "example.org", "--ed25519").out]
    monkeypatch.setenv("MAILER_DKIM_KEYS", ", ".join(str(setting(out)) for out in made))
    shown = installed("dkim", "show")
    assert shown.status == 0
    values = [line for line in shown.lines if line.startswith("Value:")]
    assert [value.split("k=")[1].split(";")[0] for value in values] == ["rsa", "ed25519"]
    assert all(value in out for value, out in zip(values, made, strict=True))


def test_without_keys_show_says_how_to_make_one(installed: Type) -> None:
    typed = installed("dkim", "show")
    assert typed.status == 1
    assert (
        typed.err == "mailer: MAILER_DKIM_KEYS is empty: mail is not signed. Make a key with: mailer dkim new DOMAIN\n"
    )


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("пример.рф",), "is not a domain"),
        (("../example.org",), "is not a domain"),
        (("example.org", "--selector", "../s"), "is not a selector"),
        (("example.org", "--ed25519", "--to", "file"), "cannot be written"),
    ],
)
def test_a_key_that_cannot_be_made_is_one_line(type_: Type, tmp_path: Path, words: tuple[str, ...], told: str) -> None:
    (tmp_path / "file").touch()
    typed = type_("dkim", "new", *words)
    assert typed.status == 1
    assert told in typed.err
    assert len(typed.err.splitlines()) == 1
    assert not list(tmp_path.glob("**/*.pem"))


def test_no_worker_starts_with_a_key_that_cannot_be_used(installed: Type, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAILER_DKIM_KEYS", "s._domainkey.example.org.pem")
    typed = installed("worker")
    assert typed.status == 1
    (line,) = typed.err.splitlines()
    assert line.startswith("mailer: MAILER_DKIM_KEYS: s._domainkey.example.org.pem: cannot be read")
