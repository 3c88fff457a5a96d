"""The reading room: two phases, image quality, marks, reading time, the view; practice, signatures, screens at true scale."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

APPEND_ONLY = ("signature", "practice_answer")
_NAMES = {"uq": "uq_%(table_name)s_%(column_0_N_name)s"}


def upgrade() -> None:
    op.add_column("round", sa.Column("practice", sa.Boolean(), nullable=False, server_default=sa.false()))
    with op.batch_alter_table("placement", naming_convention=_NAMES) as placement:
        placement.add_column(sa.Column("phase", sa.Integer(), nullable=False, server_default=sa.text("1")))
        placement.add_column(sa.Column("shown_at", sa.DateTime(timezone=True)))
        placement.drop_constraint("uq_placement_case_id_reader_id", type_="unique")
        placement.create_unique_constraint("uq_placement_case_id_reader_id_phase", ["case_id", "reader_id", "phase"])
    _drop_triggers("judgement")
    with op.batch_alter_table("judgement", naming_convention=_NAMES) as judgement:
        judgement.add_column(sa.Column("phase", sa.Integer(), nullable=False, server_default=sa.text("1")))
        judgement.add_column(sa.Column("quality", sa.String(length=16)))
        judgement.add_column(sa.Column("marks", sa.JSON(), nullable=False, server_default=sa.text("'[]'")))
        judgement.add_column(sa.Column("reading_ms", sa.Integer()))
        judgement.add_column(sa.Column("away_ms", sa.Integer()))
        judgement.add_column(sa.Column("viewing", sa.JSON(), nullable=False, server_default=sa.text("'{}'")))
        judgement.alter_column("realism", existing_type=sa.Integer(), nullable=True)
        judgement.alter_column("rhythm", existing_type=sa.String(length=8), nullable=True)
        judgement.drop_constraint("uq_judgement_case_id_reader_id_revision", type_="unique")
        judgement.create_unique_constraint("uq_judgement_case_id_reader_id_phase_revision", ["case_id", "reader_id", "phase", "revision"])
    op.create_table(
        "signature",
        sa.Column("round_id", sa.Integer(), nullable=False),
        sa.Column("reader_id", sa.Integer(), nullable=False),
        sa.Column("signed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("judgements_sha256", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(["round_id"], ["round.id"], name=op.f("fk_signature_round_id_round")),
        sa.ForeignKeyConstraint(["reader_id"], ["person.id"], name=op.f("fk_signature_reader_id_person")),
        sa.PrimaryKeyConstraint("round_id", "reader_id", name=op.f("pk_signature")),
    )
    op.create_table(
        "practice_case",
        sa.Column("case_id", sa.Integer(), nullable=False),
        sa.Column("arm", sa.String(length=16), nullable=False),
        sa.ForeignKeyConstraint(["case_id"], ["reading_case.id"], name=op.f("fk_practice_case_case_id_reading_case")),
        sa.PrimaryKeyConstraint("case_id", name=op.f("pk_practice_case")),
    )
    op.create_table(
        "practice_answer",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("case_id", sa.Integer(), nullable=False),
        sa.Column("reader_id", sa.Integer(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("answer", sa.JSON(), nullable=False),
        sa.Column("submitted_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["case_id"], ["practice_case.case_id"], name=op.f("fk_practice_answer_case_id_practice_case")),
        sa.ForeignKeyConstraint(["reader_id"], ["person.id"], name=op.f("fk_practice_answer_reader_id_person")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_practice_answer")),
        sa.UniqueConstraint("case_id", "reader_id", "attempt", name=op.f("uq_practice_answer_case_id_reader_id_attempt")),
    )
    op.create_index(op.f("ix_practice_answer_reader_id"), "practice_answer", ["reader_id"])
    op.create_table(
        "screen",
        sa.Column("person_id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("pixels_per_mm", sa.Double(), nullable=False),
        sa.Column("calibrated_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["person_id"], ["person.id"], name=op.f("fk_screen_person_id_person")),
        sa.PrimaryKeyConstraint("person_id", "name", name=op.f("pk_screen")),
    )
    for table in ("judgement", *APPEND_ONLY):
        _append_only(table)
    _refuse("judgement", "practice", "practice cases are not judged", "(SELECT role FROM reading_case WHERE id = NEW.case_id) = 'practice'")
    _refuse(
        "reading_case",
        "mixed_round",
        "a practice round has practice cases, and no other round has",
        "(NEW.role = 'practice') <> (SELECT practice FROM round WHERE id = NEW.round_id)",
        "INSERT",
        "UPDATE OF role, round_id",
    )


def downgrade() -> None:
    """Refused where something would be lost that the former version has no place for."""
    for what, rows in {"a practice round": "round WHERE practice", "a signed round": "signature", "a second phase": "placement WHERE phase > 1"}.items():
        if op.get_bind().execute(sa.text(f"SELECT 1 FROM {rows} LIMIT 1")).first() is not None:
            raise RuntimeError(f"The database has {what}, which the version before could not keep. Nothing was changed.")
    _drop_triggers("judgement")
    _allow("judgement", "practice")
    _allow("reading_case", "mixed_round")
    for table in ("screen", "practice_answer", "practice_case", "signature"):
        op.drop_table(table)
    with op.batch_alter_table("judgement", naming_convention=_NAMES) as judgement:
        judgement.drop_constraint("uq_judgement_case_id_reader_id_phase_revision", type_="unique")
        judgement.create_unique_constraint("uq_judgement_case_id_reader_id_revision", ["case_id", "reader_id", "revision"])
        judgement.alter_column("realism", existing_type=sa.Integer(), nullable=False)
        judgement.alter_column("rhythm", existing_type=sa.String(length=8), nullable=False)
        for column in ("phase", "quality", "marks", "reading_ms", "away_ms", "viewing"):
            judgement.drop_column(column)
    _append_only("judgement")
    with op.batch_alter_table("placement", naming_convention=_NAMES) as placement:
        placement.drop_constraint("uq_placement_case_id_reader_id_phase", type_="unique")
        placement.create_unique_constraint("uq_placement_case_id_reader_id", ["case_id", "reader_id"])
        placement.drop_column("phase")
        placement.drop_column("shown_at")
    op.drop_column("round", "practice")


def _append_only(table: str) -> None:
    """As in 0001."""
    if op.get_bind().dialect.name == "sqlite":
        for change in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER {table}_refuses_{change.lower()} BEFORE {change} ON {table} BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
            )
        return
    op.execute(f"CREATE TRIGGER {table}_refuses_change BEFORE UPDATE OR DELETE ON {table} FOR EACH STATEMENT EXECUTE FUNCTION append_only()")


def _drop_triggers(table: str) -> None:
    if op.get_bind().dialect.name == "sqlite":
        for change in ("update", "delete"):
            op.execute(f"DROP TRIGGER {table}_refuses_{change}")
        return
    op.execute(f"DROP TRIGGER {table}_refuses_change ON {table}")


def _refuse(table: str, name: str, message: str, condition: str, *events: str) -> None:
    """The database refuses rows for which the condition on NEW holds, when they come in or with other events."""
    events = events or ("INSERT",)
    if op.get_bind().dialect.name == "sqlite":
        for event in events:
            trigger = f"{table}_refuses_{name}_{event.split()[0].lower()}"
            op.execute(f"CREATE TRIGGER {trigger} BEFORE {event} ON {table} WHEN {condition} BEGIN SELECT RAISE(ABORT, '{message}'); END")
        return
    trigger = f"{table}_refuses_{name}"
    op.execute(
        f"CREATE FUNCTION {trigger}() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN IF {condition} THEN RAISE EXCEPTION '{message}'; END IF; RETURN NEW; END $$"
    )
    op.execute(f"CREATE TRIGGER {trigger} BEFORE {' OR '.join(events)} ON {table} FOR EACH ROW EXECUTE FUNCTION {trigger}()")


def _allow(table: str, name: str) -> None:
    trigger = f"{table}_refuses_{name}"
    if op.get_bind().dialect.name == "sqlite":
        found = sa.text("SELECT name FROM sqlite_master WHERE type = 'trigger' AND name LIKE :like")
        for row in op.get_bind().execute(found, {"like": f"{trigger}%"}).all():
            op.execute(f"DROP TRIGGER {row.name}")
        return
    op.execute(f"DROP TRIGGER {trigger} ON {table}")
    op.execute(f"DROP FUNCTION {trigger}()")
