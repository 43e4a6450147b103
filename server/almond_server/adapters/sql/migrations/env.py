"""Alembic's entry point: migrates on the connection of `schema.migrate`, in its transaction."""

from alembic import context

context.configure(connection=context.config.attributes["connection"], transactional_ddl=True)
context.run_migrations()
