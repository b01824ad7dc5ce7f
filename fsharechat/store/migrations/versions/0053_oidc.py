"""Logins by OpenID Connect."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.mysql import VARBINARY

from fsharechat.store.migrations.versions import create_table

revision = "0053"
down_revision = "0052"

_DIGEST = sa.LargeBinary(32).with_variant(VARBINARY(32), "mysql", "mariadb")


def upgrade() -> None:
    create_table(
        "oidc_accounts",
        sa.Column("account", _DIGEST, nullable=False, comment="The SHA-256 of issuer and subject."),
        sa.Column("issuer", sa.String(length=255), nullable=False),
        sa.Column("subject", sa.String(length=255), nullable=False),
        sa.Column("uid", sa.String(length=64), nullable=False),
        sa.Column("bound_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("account"),
        comment="Accounts of another server, and the users who log in with them.",
        sqlite_with_rowid=False,
    )
    op.create_index("oidc_accounts_uid", "oidc_accounts", ["uid"])
    create_table(
        "oidc_logins",
        sa.Column("digest", _DIGEST, nullable=False, comment="Of the secret of who logs in."),
        sa.Column("phase", sa.SmallInteger(), nullable=False, comment="Phase of fsharechat/oidc"),
        sa.Column("account", sa.Text(), nullable=False, comment="JSON; empty until it is known."),
        sa.Column(
            "used_by",
            sa.String(length=255),
            nullable=False,
            server_default="",
            comment="Who finished this phase.",
        ),
        sa.Column(
            "next_ms",
            sa.BigInteger(),
            nullable=False,
            server_default="0",
            comment="When the provider may be asked again.",
        ),
        sa.Column("expires_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("digest"),
        comment="Logins by OpenID Connect that are under way.",
        sqlite_with_rowid=False,
    )
    op.create_index("oidc_logins_expires_ms", "oidc_logins", ["expires_ms"])
