"""From an empty folder to a running installation, by what the README says."""

import stat
from pathlib import Path

from tests.cli.conftest import Type


def test_init_writes_the_files_to_edit_and_then_makes_the_database(type_: Type, tmp_path: Path) -> None:
    first = type_("init")
    assert first.out == "Wrote .env and publication.toml. Edit them, then type: mailer init\n"
    assert not (tmp_path / "mailer.db").exists()
    second = type_("init")
    assert second.lines[0] == "Created belarus: en, ru, be-ru."
    assert type_("init").lines[0] == "Updated belarus: en, ru, be-ru."


def test_the_written_settings_are_secret_and_have_fresh_keys(type_: Type, tmp_path: Path) -> None:
    type_("init")
    env = tmp_path / ".env"
    assert stat.S_IMODE(env.stat().st_mode) == 0o600
    written = (line.partition("=") for line in env.read_text().splitlines() if "_KEY=" in line)
    keys = [value for _, _, value in written if value]
    assert len([key for key in keys if len(key) >= 40]) == 2
    assert len(set(keys)) == len(keys)


def test_what_is_wrong_in_the_publication_is_named_with_its_mend(type_: Type, tmp_path: Path) -> None:
    type_("init")
    path = tmp_path / "publication.toml"
    good = path.read_text()
    for before, after, told in (
        ('time_zone = "Europe/Vilnius"', 'time_zone = "Europe/Nowhere"', "'Europe/Nowhere' is not a time zone"),
        ('weekly_slot = "0 9 * * mon"', 'weekly_slot = "0 99 * * mon"', "99"),
        ('slug = "belarus"', 'slug = "console"', "taken by a page"),
        ('languages = ["en"]', 'languages = ["xx"]', "no word catalogue for 'xx'"),
        ('sender_address = "editors@example.org"', 'sender_address = "nobody"', "sender_address"),
        ('accent = "#8a1c1c"', 'accent = "red"', "accent"),
        ('code = "ru"', 'code = "en"', "same code"),
        ("slug =", "slugg =", "slugg is not a known field"),
        ("slug =", "slug ==", "publication.toml"),
        ('be = "Сітуацыя ў Беларусі"', "", "names lacks the language be"),
    ):
        assert before in good
        path.write_text(good.replace(before, after, 1))
        typed = type_("init")
        assert typed.status == 1, after
        assert told in typed.err
        assert "Traceback" not in typed.err


def test_without_settings_every_command_says_which_are_missing(type_: Type) -> None:
    typed = type_("issue", "list")
    assert typed.status == 1
    assert "MAILER_SECRET_KEY is not set" in typed.err


def test_an_older_database_is_refused_with_what_to_type(installed: Type) -> None:
    assert installed("migrate", "base").out == "The tables are at revision none, they were at 0001.\n"
    for command in (("serve",), ("worker",), ("issue", "list"), ("log",)):
        typed = installed(*command)
        assert typed.status == 1
        assert typed.err == "mailer: The database has no tables yet. Type: mailer migrate\n"
    assert installed("migrate").status == 0
    assert installed("issue", "list").status == 1  # the publication went with the tables
    assert installed("init").status == 0


def test_a_short_password_is_refused(installed: Type) -> None:
    typed = installed("user", "add", "olga", stdin="short\n")
    assert typed.status == 1
    assert "12" in typed.err
    assert installed("user", "add", "olga", stdin="long enough a password\n").status == 0
    assert installed("user", "add", "olga", stdin="long enough a password\n").status == 1
