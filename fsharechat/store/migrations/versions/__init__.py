"""The steps of the schema. A step is not changed any more once it has been released."""

from typing import Any

from alembic import op


def create_table(name: str, *parts: Any, **options: Any) -> None:
    """Create a table; on MySQL with texts that are compared as they are written."""
    op.create_table(name, *parts, mysql_charset="utf8mb4", mysql_collate="utf8mb4_bin", **options)
