"""Arrows between the rooms point downward, as the imports of every module say: read off, not run."""

import ast
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

import mailer

FROM_THE_TOP: Sequence[str] = (
    "__main__",
    "demo",
    "cli",
    "web",
    "worker",
    "retention",
    "app",
    "inbound",
    "erasure",
    "delivery",
    "holdings",
    "statistics",
    "publications",
    "rendering",
    "issues",
    "subscribers",
    # What has no subject of its own, from here on.
    "staff",
    "tables",
    "statement",
    "database",
    "group_commit",
    "settings",
    "tokens",
    "links",
    "resources",
    "program",
    "printable",
    "clock",
    "errors",
)
"""Each room, or module beside them, may import what stands below it, and nothing else."""

EXCEPTIONS: Mapping[tuple[str, str], str] = {
    ("mailer.cli.demo", "mailer.demo.road"): "a command that starts everything, `mailer serve` with it",
    ("mailer.cli.demo", "mailer.demo.stage"): "likewise",
}
"""(who, what): why it may import upward all the same."""

WORDS = {
    "mailer.delivery.states",
    "mailer.inbound.incoming",
    "mailer.issues.states",
    "mailer.issues.verdict",
    "mailer.subscribers.states",
}
"""The words that columns hold: each in its room, and imported from everywhere, for they import no room themselves."""

WITHOUT_STORAGE = (
    "mailer.rendering",
    "mailer.delivery.session",
    "mailer.delivery.pipeline",
    "mailer.delivery.wire",
    "mailer.delivery.reply",
    "mailer.delivery.relays",
    "mailer.delivery.destinations",
    "mailer.inbound.reading",
    "mailer.issues.source",
)
"""How mail looks, the conversation with a relay, reports and manuscripts: they, and all that they import, know no
database. A name stands for the modules in it, too."""

STORAGE = ("mailer.tables", "mailer.database", "mailer.statement", "sqlmodel", "sqlalchemy", "psycopg", "alembic")


def modules() -> Mapping[str, Path]:
    """Dotted name -> file, of all that is ours."""
    top = Path(mailer.__file__).parent
    return {
        ".".join(("mailer", *path.relative_to(top).with_suffix("").parts)).removesuffix(".__init__"): path
        for path in top.rglob("*.py")
    }


OURS = modules()


def imports(source: str, ours: Mapping[str, Path] = OURS) -> Iterator[str]:
    """The modules that the source names, wherever in it: at the top, in a function, for types only."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "an import names the whole road"
            for each in node.names:
                inner = f"{node.module}.{each.name}"
                yield inner if inner in ours else str(node.module)


IMPORTED = {name: set(imports(path.read_text())) for name, path in OURS.items()}


def room(module: str) -> str:
    return module.split(".")[1]


def arrows() -> Iterator[tuple[str, str]]:
    """(who, what) from room to room."""
    for name, imported in IMPORTED.items():
        for what in imported & OURS.keys() - {"mailer"}:
            if name != "mailer" and room(what) != room(name):
                yield name, what


def points_upward(who: str, what: str) -> bool:
    return what not in WORDS and FROM_THE_TOP.index(room(what)) <= FROM_THE_TOP.index(room(who))


def reached(module: str) -> set[str]:
    """All that an import of the module brings with it, the packages around each included."""
    found, following = set[str](), {module}
    while following:
        found |= following
        around = {each.rpartition(".")[0] for each in following if each in OURS} - {""}
        following = {what for each in following for what in IMPORTED.get(each, ())} | around
        following -= found
    return found


def test_every_module_has_a_place() -> None:
    assert {room(each) for each in OURS if each != "mailer"} == set(FROM_THE_TOP)
    assert len(FROM_THE_TOP) == len(set(FROM_THE_TOP))


def test_every_arrow_points_downward() -> None:
    upward = {arrow for arrow in arrows() if points_upward(*arrow)}
    assert upward - EXCEPTIONS.keys() == set()


def test_every_exception_is_one() -> None:
    assert {arrow for arrow in arrows() if points_upward(*arrow)} >= EXCEPTIONS.keys()


@pytest.mark.parametrize("name", sorted(WORDS))
def test_the_words_of_columns_import_no_room(name: str) -> None:
    assert IMPORTED[name] & OURS.keys() <= {"mailer.errors"}


def test_tables_know_nothing_but_the_words_of_their_columns() -> None:
    assert IMPORTED["mailer.tables"] & OURS.keys() == WORDS


@pytest.mark.parametrize("name", WITHOUT_STORAGE)
def test_what_needs_no_database_brings_none_with_it(name: str) -> None:
    inside = [each for each in OURS if each == name or each.startswith(f"{name}.")]
    assert inside
    for each in inside:
        brought = {what for what in reached(each) if f"{what}.".startswith(tuple(f"{found}." for found in STORAGE))}
        assert brought == set(), each


def test_imports_are_found_wherever_they_stand() -> None:
    source = "import mailer.app\ndef act():\n    from mailer import tables\n    from mailer.links import leave, card\n"
    assert list(imports(source)) == ["mailer.app", "mailer.tables", "mailer.links", "mailer.links"]
    assert "sqlmodel" in reached("mailer.delivery.launch")
    assert "mailer.delivery.ledger" in reached("mailer.delivery.ledger.claiming")
