"""How Alembic reaches the database: the connection that Database.migrate passes on, or `-x db=URL` on the command line of a developer."""

from __future__ import annotations

from alembic import context
from sqlalchemy import Connection

from storage.tables import Base


def run(connection: Connection) -> None:
    # batch mode: SQLite cannot alter a column in place
    context.configure(connection=connection, target_metadata=Base.metadata, render_as_batch=True, transaction_per_migration=True, compare_type=True)
    with context.begin_transaction():
        context.run_migrations()


given = context.config.attributes.get("connection")
if given is not None:
    run(given)
else:
    from storage.database import Database

    with Database(context.get_x_argument(as_dictionary=True)["db"]).engine.begin() as own:
        run(own)
