"""Where the files that are not code are: beside the package in a checkout, inside it in an installed wheel."""

from pathlib import Path

_PACKAGE = Path(__file__).parent


def resource(name: str) -> Path:
    """The folder `name` (templates, migrations)."""
    inside = _PACKAGE / name
    return inside if inside.is_dir() else _PACKAGE.parent / name


def example(name: str) -> Path:
    """A file for people to start from: .env.example, publication.example.toml."""
    inside = _PACKAGE / "examples" / name
    return inside if inside.is_file() else _PACKAGE.parent / name
