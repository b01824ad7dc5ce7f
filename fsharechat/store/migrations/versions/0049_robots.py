"""Robots of the back office, and answers that are being written."""

import sqlalchemy as sa

from fsharechat.store.migrations.versions import create_table

revision = "0049"
down_revision = "0048"


def upgrade() -> None:
    create_table(
        "robots",
        sa.Column("uid", sa.String(length=64), nullable=False),
        sa.Column("agent", sa.Text(), nullable=False, comment="Its AgentSettings, as JSON."),
        sa.PrimaryKeyConstraint("uid"),
        comment="Robots that the back office made; those of the settings are not here.",
        sqlite_with_rowid=False,
    )
    create_table(
        "robot_answers",
        sa.Column("id", sa.String(length=36), nullable=False, comment="That of the stream."),
        sa.Column("robot", sa.String(length=64), nullable=False),
        sa.Column("uid", sa.String(length=64), nullable=False, comment="Who has asked."),
        sa.Column(
            "group_id", sa.String(length=64), nullable=False, comment="Empty in a private conversation."
        ),
        sa.Column("node", sa.Integer(), nullable=False, comment="The group process that asks the agent."),
        sa.Column("begun_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        comment="Answers of robots that are being written.",
        sqlite_with_rowid=False,
    )
