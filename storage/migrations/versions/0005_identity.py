"""Identity: e-mail addresses for single sign-on, invitations by one-time link."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("person", sa.Column("email", sa.String(length=254), nullable=True))
    op.create_index(op.f("ix_person_email"), "person", ["email"], unique=True)
    op.create_table(
        "invitation",
        sa.Column("token_sha256", sa.String(length=64), nullable=False),
        sa.Column("person_id", sa.Integer(), nullable=False),
        sa.Column("made_by", sa.Integer(), nullable=False),
        sa.Column("made_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("used_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["person_id"], ["person.id"], name=op.f("fk_invitation_person_id_person")),
        sa.ForeignKeyConstraint(["made_by"], ["person.id"], name=op.f("fk_invitation_made_by_person")),
        sa.PrimaryKeyConstraint("token_sha256", name=op.f("pk_invitation")),
    )
    op.create_index(op.f("ix_invitation_person_id"), "invitation", ["person_id"])


def downgrade() -> None:
    """Invitations that are open are lost: those who were invited get a new link. Refused while somebody signs in by e-mail."""
    if op.get_bind().execute(sa.text("SELECT 1 FROM person WHERE email IS NOT NULL LIMIT 1")).first() is not None:
        raise RuntimeError("The database has e-mail addresses of people, which the version before could not keep. Nothing was changed.")
    op.drop_table("invitation")
    op.drop_index(op.f("ix_person_email"), table_name="person")
    op.drop_column("person", "email")
