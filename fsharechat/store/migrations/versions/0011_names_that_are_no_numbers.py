"""Who was called by the number that they log in with, for want of a name, is not any more (users.default_name)."""

from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    begin = "SUBSTR(number, 1, CASE WHEN INSTR(number, '@') BETWEEN 2 AND 4 THEN INSTR(number, '@') - 1 ELSE 4 END)"
    op.execute(
        "UPDATE users SET update_dt = update_dt + 1, "
        f"display_name = CASE WHEN INSTR(number, '@') > 0 THEN {begin} ELSE SUBSTR(number, -4) END "
        "WHERE display_name = number AND number <> uid"
    )
