"""How fast the machine draws, how often a job was begun, strips done in part; the published sampler under the name that the generator gives it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

ACTIVE = sa.text("status IN ('queued', 'running', 'cancelling')")


def upgrade() -> None:
    op.create_table(
        "speed",
        sa.Column("checkpoint", sa.String(length=64), nullable=False),
        sa.Column("device", sa.String(length=64), nullable=False),
        sa.Column("seconds", sa.Double(), nullable=False),
        sa.Column("operations", sa.Double(), nullable=False),
        sa.Column("workers", sa.Integer(), nullable=False),
        sa.Column("measured_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("checkpoint", "device", name=op.f("pk_speed")),
    )
    _change_job(sa.Integer(), sa.Double(), sa.Column("attempts", sa.Integer(), nullable=False, server_default=sa.text("0")))
    op.execute("UPDATE job SET attempts = 1 WHERE status IN ('running', 'cancelling')")
    op.execute("UPDATE drawing SET sampler = 'ancestral' WHERE sampler = 'ddpm'")


def downgrade() -> None:
    _change_job(sa.Double(), sa.Integer(), None)
    op.drop_table("speed")


def _change_job(before: sa.types.TypeEngine, after: sa.types.TypeEngine, attempts: sa.Column | None) -> None:
    op.drop_index("uq_job_active", table_name="job")  # by hand: batch mode would have to guess its condition
    with op.batch_alter_table("job") as job:
        job.alter_column("done", existing_type=before, type_=after, existing_nullable=False)
        if attempts is not None:
            job.add_column(attempts)
        else:
            job.drop_column("attempts")
    op.create_index("uq_job_active", "job", ["person_id", "kind"], unique=True, sqlite_where=ACTIVE, postgresql_where=ACTIVE)
