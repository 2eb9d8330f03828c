"""Alembic's entry: the engine is handed in by mailer.database, there is no alembic.ini."""

from typing import Any

from alembic import context

from mailer.tables import metadata

config = context.config
engine: Any = config.attributes["engine"]

with engine.connect() as connection:
    # SQLite rebuilds a table to alter it; references must not be checked meanwhile. The PRAGMA means nothing inside
    # a transaction, so it goes to the driver before one begins.
    driver = connection.connection.driver_connection if connection.dialect.name == "sqlite" else None
    if driver:
        driver.execute("PRAGMA foreign_keys=OFF")
    context.configure(connection=connection, target_metadata=metadata, render_as_batch=True)
    with context.begin_transaction():
        context.run_migrations()
    connection.commit()
    if driver:
        driver.execute("PRAGMA foreign_keys=ON")
