"""A resend is known by what it says, too: a local id that is used again for another message loses none."""

import sqlalchemy as sa
from alembic import op

revision = "0041"
down_revision = "0040"


def upgrade() -> None:
    digest = sa.Column(
        "digest",
        sa.BigInteger(),
        nullable=False,
        server_default="0",
        comment="Of what a resend has in common with it; 0 where the local id alone says it.",
    )
    with op.batch_alter_table("messages") as table:
        table.add_column(digest)
        table.alter_column(
            "local_id",
            existing_type=sa.BigInteger(),
            existing_nullable=True,
            comment="The sender's own id of it, or one that stands for its frame; NULL where no resend is expected.",
        )
        table.create_unique_constraint("messages_resend", ["sender", "local_id", "digest"])
        table.drop_constraint("messages_local_id", type_="unique")
