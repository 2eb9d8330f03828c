"""Every address a mail or page points to, in one place. `host` is an origin: https://news.example.org."""


def front(host: str, publication: str, language: str) -> str:
    """The publication's page with the subscribe form."""
    return f"{host}/{publication}/{language}"


def archive(host: str, publication: str, language: str) -> str:
    """The list of weeks."""
    return f"{front(host, publication, language)}/issues"


def issue(host: str, publication: str, language: str, slug: str) -> str:
    """One issue on the web; says nothing about who asks."""
    return f"{archive(host, publication, language)}/{slug}"


def confirm(host: str, token: str) -> str:
    return f"{host}/c/{token}"


def unsubscribe(host: str, token: str) -> str:
    """Short, because it also stands in List-Unsubscribe."""
    return f"{host}/u/{token}"


RESERVED = frozenset(
    {"c", "u", "subscribe", "console", "desk", "api", "static", "health", "bounce", "confirm", "leave"}
)
"""First path segments, and first words of addresses of ours, that are taken: no publication may be called so."""
