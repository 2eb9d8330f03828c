"""Statements that run for every reader, or group of readers: put together once, then handed to the driver as they are.

SQLAlchemy writes them, for either database, and converts what goes in and comes out. Run through its own engine each
would cost ten times what the database needs for it (docs/performance.md).
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Dialect
from sqlalchemy.exc import DBAPIError
from sqlmodel import Session

Row = tuple[Any, ...]
_Convert = Callable[[Any], Any] | None


@dataclass(frozen=True)
class _Made:
    """A statement for one kind of database."""

    sql: str
    fixed: dict[str, Any]
    converts: dict[str, _Convert]  #: of the parameters, by name
    names: Sequence[str] | None  #: the order of positional parameters; None: by name
    results: list[tuple[int, Callable[[Any], Any]]]  #: columns whose values are converted

    def every(self, columns: dict[str, Sequence[Any]]) -> list[Any]:
        """The parameters of each row of these columns."""
        filled = {
            name: list(map(convert, column)) if (convert := self.converts[name]) else column
            for name, column in columns.items()
        }
        filled |= {name: [value] * len(next(iter(columns.values()))) for name, value in self.fixed.items()}
        if self.names is None:
            return [dict(zip(filled, row, strict=True)) for row in zip(*filled.values(), strict=True)]
        return list(zip(*(filled[name] for name in self.names), strict=True))

    def parameters(self, values: dict[str, Any]) -> Any:
        filled = self.fixed.copy()
        for name, value in values.items():
            convert = self.converts[name]
            filled[name] = convert(value) if convert else value
        return filled if self.names is None else [filled[name] for name in self.names]

    def row(self, found: Row) -> Row:
        if not self.results:
            return found
        row = list(found)
        for place, convert in self.results:
            row[place] = convert(row[place])
        return tuple(row)


_INSERTS = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}


class Statement:
    """Runs in the session's transaction, past what the session has not flushed. Raises what SQLAlchemy raises."""

    def __init__(self, statement: Any) -> None:
        """`statement`: SQLAlchemy's; what begins with an insert that each database says in its own way, a function of
        that database's `insert`."""
        self._statement = statement
        self._made = dict[str, _Made]()

    def rows(self, session: Session, **values: Any) -> list[Row]:
        """What a query finds."""
        made, cursor = self._run(session, values)
        found = cursor.fetchall()
        cursor.close()
        return [made.row(row) for row in found] if made.results else found

    def first(self, session: Session, **values: Any) -> Row | None:
        """The first of them, or the one row that a change returns."""
        found = self.rows(session, **values)
        return found[0] if found else None

    def count(self, session: Session, **values: Any) -> int:
        """How many rows a change has reached."""
        _, cursor = self._run(session, values)
        reached = int(cursor.rowcount)
        cursor.close()
        return reached

    def count_each(self, session: Session, **columns: Sequence[Any]) -> int:
        """The same for a change that is run for each row of these columns: how many rows it has reached in all."""
        _, cursor = self._run(session, columns, many=True)
        reached = int(cursor.rowcount)
        cursor.close()
        return reached

    def _run(self, session: Session, values: dict[str, Any], *, many: bool = False) -> tuple[_Made, Any]:
        connection = session.info.get(Statement)  # SQLAlchemy takes as long to say which one it is as SQLite to answer
        if connection is None or connection.closed:
            connection = session.info[Statement] = session.connection()
        dialect = connection.dialect
        made = self._made.get(dialect.name) or self._make(dialect)
        cursor = connection.connection.cursor()
        try:
            if many:
                cursor.executemany(made.sql, made.every(values))
            else:
                cursor.execute(made.sql, made.parameters(values))
        except dialect.loaded_dbapi.Error as error:
            lost = dialect.is_disconnect(error, connection.connection.dbapi_connection, cursor)
            if lost:
                connection.invalidate(error)
            raise DBAPIError.instance(
                *(made.sql, None, error, dialect.loaded_dbapi.Error),
                hide_parameters=True,
                connection_invalidated=lost,
                dialect=dialect,
            ) from error
        return made, cursor

    def _make(self, dialect: Dialect) -> _Made:
        statement = self._statement
        if not isinstance(statement, sa.ClauseElement):
            statement = statement(_INSERTS[dialect.name])
        compiled = statement.compile(dialect=dialect, compile_kwargs={"render_postcompile": True})
        converts = {
            name: bind.type.dialect_impl(dialect).bind_processor(dialect) for name, bind in compiled.binds.items()
        }
        fixed = {
            name: (converts[name] or _same)(bind.effective_value)
            for name, bind in compiled.binds.items()
            if not bind.required
        }
        for column in compiled.insert_prefetch:  # what the table says of columns that are not named
            fixed[column.key] = (converts[column.key] or _same)(column.default.arg)
        if isinstance(statement, sa.TextClause):
            columns: Iterable[Any] = ()
        else:
            columns = statement.selected_columns if isinstance(statement, sa.Select) else statement.exported_columns
        processors = [column.type.dialect_impl(dialect).result_processor(dialect, None) for column in columns]
        made = self._made[dialect.name] = _Made(
            sql=str(compiled),
            fixed=fixed,
            converts=converts,
            names=compiled.positiontup if compiled.positional else None,
            results=[(place, convert) for place, convert in enumerate(processors) if convert],
        )
        return made


def _same(value: Any) -> Any:
    return value


def is_one_of(column: Any, words: Iterable[str]) -> sa.ColumnElement[bool]:
    """IN, spelled out: SQLAlchemy puts a statement with IN together anew each time it runs."""
    return sa.or_(*(column == word for word in words))
