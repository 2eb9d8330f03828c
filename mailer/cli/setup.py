"""mailer init, mailer migrate: from an empty folder to a database with a publication."""

import secrets
from pathlib import Path
from typing import Annotated

import typer

from mailer import publications
from mailer.cli.shared import installation
from mailer.errors import MailerError
from mailer.resources import example


def init(
    publication: Annotated[Path, typer.Option("--publication", help="The file that describes the publication.")] = Path(
        "publication.toml"
    ),
) -> None:
    """Set up this folder: the first time it writes the files to edit, then it makes the database."""
    wrote = [str(path) for path in (_write_env(Path(".env")), _write_publication(publication)) if path]
    if wrote:
        print(f"Wrote {' and '.join(wrote)}. Edit them, then type: mailer init")
        return
    description = publications.read(publication)
    app = installation(checked=False)
    app.database.migrate()
    with app.database.write() as session:
        row, is_new = publications.apply(session, description, app.clock())
    print(f"{'Created' if is_new else 'Updated'} {row.slug}: {', '.join(e.code for e in description.editions)}.")
    print("Next: mailer user add NAME, then mailer serve")


def _write_env(path: Path) -> Path | None:
    if path.exists():
        return None
    text = example(".env.example").read_text(encoding="utf-8")
    for key in ("MAILER_SECRET_KEY", "MAILER_ADDRESS_KEY"):
        text = text.replace(f"\n{key}=\n", f"\n{key}={secrets.token_urlsafe(32)}\n")
    _write(path, text, 0o600)
    return path


def _write_publication(path: Path) -> Path | None:
    if path.exists():
        return None
    _write(path, example("publication.example.toml").read_text(encoding="utf-8"), 0o644)
    return path


def _write(path: Path, text: str, mode: int) -> None:
    try:
        path.touch(mode=mode, exist_ok=False)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise MailerError(f"{path}: cannot be written: {error.strerror}.") from None


def migrate(
    revision: Annotated[str, typer.Argument(help="head, base, or a revision's id.")] = "head",
) -> None:
    """Bring the tables to this version of mailer."""
    app = installation(checked=False)
    before = app.database.revision()
    app.database.migrate(revision)
    after = app.database.revision()
    print(
        f"The tables are at revision {after or 'none'}"
        + (f", they were at {before or 'none'}." if before != after else ".")
    )
