"""Alembic's entry: runs the versions on the connection that fsharechat.store.migrate has opened."""

from alembic import context

from fsharechat.store.schema import metadata

attributes = context.config.attributes
context.configure(
    connection=attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,
    on_version_apply=attributes["on_version"],
)
with context.begin_transaction():
    context.run_migrations()
