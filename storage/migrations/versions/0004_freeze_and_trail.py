"""Freeze and trail: amendments, closed rounds, commitments to seeds, snapshots; append-only against REPLACE and TRUNCATE too."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

NEW = ("round_closing", "commitment", "amendment", "snapshot")
KEYS = {  # of every append-only table: the columns by which a row could be replaced
    "judgement": ("id", "case_id, reader_id, phase, revision"),
    "audit": ("id", "hash"),
    "signature": ("round_id, reader_id",),
    "practice_answer": ("id", "case_id, reader_id, attempt"),
    "round_closing": ("round_id",),
    "commitment": ("round_id",),
    "amendment": ("study_id, number",),
    "snapshot": ("study_id",),
}


def upgrade() -> None:
    op.add_column("round", sa.Column("protocol_hash", sa.String(length=64), nullable=False, server_default=""))
    op.execute("UPDATE round SET protocol_hash = (SELECT protocol_hash FROM study WHERE study.id = round.study_id)")
    op.create_table(
        "round_closing",
        sa.Column("round_id", sa.Integer(), nullable=False),
        sa.Column("closed_by", sa.Integer(), nullable=False),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["round_id"], ["round.id"], name=op.f("fk_round_closing_round_id_round")),
        sa.ForeignKeyConstraint(["closed_by"], ["person.id"], name=op.f("fk_round_closing_closed_by_person")),
        sa.PrimaryKeyConstraint("round_id", name=op.f("pk_round_closing")),
    )
    op.create_table(
        "commitment",
        sa.Column("round_id", sa.Integer(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("nonce", sa.String(length=64), nullable=False),
        sa.Column("made_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["round_id"], ["round.id"], name=op.f("fk_commitment_round_id_round")),
        sa.PrimaryKeyConstraint("round_id", name=op.f("pk_commitment")),
    )
    op.create_table(
        "amendment",
        sa.Column("study_id", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("amended_by", sa.Integer(), nullable=False),
        sa.Column("amended_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("before", sa.JSON(), nullable=False),
        sa.Column("after", sa.JSON(), nullable=False),
        sa.Column("hash_before", sa.String(length=64), nullable=False),
        sa.Column("hash_after", sa.String(length=64), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("done", sa.Integer(), nullable=False),
        sa.Column("total", sa.Integer(), nullable=False),
        sa.Column("closed", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["study_id"], ["study.id"], name=op.f("fk_amendment_study_id_study")),
        sa.ForeignKeyConstraint(["amended_by"], ["person.id"], name=op.f("fk_amendment_amended_by_person")),
        sa.PrimaryKeyConstraint("study_id", "number", name=op.f("pk_amendment")),
    )
    op.create_table(
        "snapshot",
        sa.Column("study_id", sa.Integer(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.Column("taken_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["study_id"], ["study.id"], name=op.f("fk_snapshot_study_id_study")),
        sa.PrimaryKeyConstraint("study_id", name=op.f("pk_snapshot")),
    )
    for table in NEW:
        _append_only(table)
    for table, keys in KEYS.items():
        _no_other_way(table, keys)


def downgrade() -> None:
    """Refused where something would be lost that the former version has no place for."""
    for table in NEW:
        if op.get_bind().execute(sa.text(f"SELECT 1 FROM {table} LIMIT 1")).first() is not None:
            raise RuntimeError(f"The database has a row in {table}, which the version before could not keep. Nothing was changed.")
    for table in KEYS:
        op.execute(f"DROP TRIGGER {table}_refuses_replace" if _sqlite() else f"DROP TRIGGER {table}_refuses_truncate ON {table}")
    for table in reversed(NEW):
        op.drop_table(table)
    op.drop_column("round", "protocol_hash")


def _append_only(table: str) -> None:
    """As in 0001."""
    if _sqlite():
        for change in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER {table}_refuses_{change.lower()} BEFORE {change} ON {table} BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
            )
        return
    op.execute(f"CREATE TRIGGER {table}_refuses_change BEFORE UPDATE OR DELETE ON {table} FOR EACH STATEMENT EXECUTE FUNCTION append_only()")


def _no_other_way(table: str, keys: tuple[str, ...]) -> None:
    """SQLite's INSERT OR REPLACE deletes the old row without firing DELETE triggers, and PostgreSQL's TRUNCATE fires none but its own."""
    if not _sqlite():
        op.execute(f"CREATE TRIGGER {table}_refuses_truncate BEFORE TRUNCATE ON {table} FOR EACH STATEMENT EXECUTE FUNCTION append_only()")
        return
    there = " OR ".join(f"EXISTS (SELECT 1 FROM {table} WHERE ({key}) = ({', '.join('NEW.' + name for name in key.split(', '))}))" for key in keys)
    op.execute(
        f"CREATE TRIGGER {table}_refuses_replace BEFORE INSERT ON {table} WHEN {there} BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
    )


def _sqlite() -> bool:
    return op.get_bind().dialect.name == "sqlite"
