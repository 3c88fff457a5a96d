"""Demo studies whose real arm is recordings: which ones have stand-ins is kept with the study."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("study", sa.Column("stand_ins", sa.Boolean(), server_default=sa.false(), nullable=False))
    op.execute(sa.text("UPDATE study SET stand_ins = demo"))


def downgrade() -> None:
    """Refused where a demo study shows recordings: the version before would say that they are simulated."""
    if op.get_bind().execute(sa.text("SELECT 1 FROM study WHERE demo AND NOT stand_ins LIMIT 1")).first() is not None:
        raise RuntimeError("The database has a demo study of recordings, which the version before would call simulated. Nothing was changed.")
    op.drop_column("study", "stand_ins")
