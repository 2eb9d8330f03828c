"""The first tables

Revision ID: 0001
Revises:
"""

import sqlalchemy as sa
import sqlmodel.sql.sqltypes
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "publication",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("slug", sqlmodel.sql.sqltypes.AutoString(length=64), nullable=False),
        sa.Column("names", sa.JSON(), nullable=False),
        sa.Column("sender_address", sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.Column("contact_address", sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.Column("list_id", sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.Column("postal_address", sa.JSON(), nullable=False),
        sa.Column("accent", sqlmodel.sql.sqltypes.AutoString(length=7), nullable=False),
        sa.Column("time_zone", sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.Column("weekly_slot", sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.Column(
            "uncertain_policy",
            sa.Enum("resend", "hold", name="uncertain_policy", native_enum=False, create_constraint=True, length=16),
            nullable=False,
        ),
        sa.Column("archive", sa.Boolean(), nullable=False),
        sa.Column("created_at", sqlmodel.sql.sqltypes.UTCDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_publication")),
        sa.UniqueConstraint("slug", name=op.f("uq_publication_slug")),
    )
    op.create_table(
        "staff",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sqlmodel.sql.sqltypes.AutoString(length=64), nullable=False),
        sa.Column(
            "role",
            sa.Enum("editor", "operator", name="role", native_enum=False, create_constraint=True, length=16),
            nullable=False,
        ),
        sa.Column("password_hash", sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.Column("created_at", sqlmodel.sql.sqltypes.UTCDateTime(), nullable=False),
        sa.Column("disabled_at", sqlmodel.sql.sqltypes.UTCDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_staff")),
        sa.UniqueConstraint("name", name=op.f("uq_staff_name")),
    )
    op.create_table(
        "subscriber",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("address", sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.Column("address_hash", sqlmodel.sql.sqltypes.AutoString(length=64), nullable=False),
        sa.Column("domain", sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.Column("created_at", sqlmodel.sql.sqltypes.UTCDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_subscriber")),
        sa.UniqueConstraint("address_hash", name=op.f("uq_subscriber_address_hash")),
    )
    op.create_table(
        "counted",
        sa.Column("key", sqlmodel.sql.sqltypes.AutoString(length=32), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("until", sqlmodel.sql.sqltypes.UTCDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_counted")),
    )
    op.create_table(
        "departures",
        sa.Column("relay", sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.Column("began_at", sqlmodel.sql.sqltypes.UTCDateTime(), nullable=False),
        sa.Column("messages", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("relay", "began_at", name=op.f("pk_departures")),
    )
    op.create_table(
        "worker",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.Column("started_at", sqlmodel.sql.sqltypes.UTCDateTime(), nullable=False),
        sa.Column("lease_until", sqlmodel.sql.sqltypes.UTCDateTime(), nullable=False),
        sa.Column("ended_at", sqlmodel.sql.sqltypes.UTCDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_worker")),
    )
    op.create_table(
        "api_token",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("label", sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.Column("token_hash", sqlmodel.sql.sqltypes.AutoString(length=64), nullable=False),
        sa.Column("created_at", sqlmodel.sql.sqltypes.UTCDateTime(), nullable=False),
        sa.Column("revoked_at", sqlmodel.sql.sqltypes.UTCDateTime(), nullable=True),
        sa.ForeignKeyConstraint(["user_id"], ["staff.id"], name=op.f("fk_api_token_user_id_staff"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_token")),
        sa.UniqueConstraint("token_hash", name=op.f("uq_api_token_token_hash")),
    )
    op.create_table(
        "edition",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("publication_id", sa.Integer(), nullable=False),
        sa.Column("code", sqlmodel.sql.sqltypes.AutoString(length=32), nullable=False),
        sa.Column("label", sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.Column("languages", sa.JSON(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("offered", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(
            ["publication_id"], ["publication.id"], name=op.f("fk_edition_publication_id_publication")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_edition")),
        sa.UniqueConstraint("publication_id", "code", name=op.f("uq_edition_publication_id_code")),
    )
    op.create_table(
        "issue",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("publication_id", sa.Integer(), nullable=False),
        sa.Column("slug", sqlmodel.sql.sqltypes.AutoString(length=64), nullable=False),
        sa.Column("first_day", sa.Date(), nullable=False),
        sa.Column("last_day", sa.Date(), nullable=False),
        sa.Column(
            "status",
            sa.Enum(
                "draft",
                "ready",
                "scheduled",
                "sending",
                "paused",
                "sent",
                "cancelled",
                name="status",
                native_enum=False,
                create_constraint=True,
                length=16,
            ),
            nullable=False,
        ),
        sa.Column("added_at", sqlmodel.sql.sqltypes.UTCDateTime(), nullable=False),
        sa.Column("scheduled_at", sqlmodel.sql.sqltypes.UTCDateTime(), nullable=True),
        sa.Column("began_at", sqlmodel.sql.sqltypes.UTCDateTime(), nullable=True),
        sa.Column("finished_at", sqlmodel.sql.sqltypes.UTCDateTime(), nullable=True),
        sa.Column("halted_at", sqlmodel.sql.sqltypes.UTCDateTime(), nullable=True),
        sa.Column("private", sa.Boolean(), nullable=False),
        sa.Column("veiled_at", sqlmodel.sql.sqltypes.UTCDateTime(), nullable=True),
        sa.ForeignKeyConstraint(
            ["publication_id"], ["publication.id"], name=op.f("fk_issue_publication_id_publication")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_issue")),
        sa.UniqueConstraint("publication_id", "slug", name=op.f("uq_issue_publication_id_slug")),
    )
    op.create_table(
        "staff_session",
        sa.Column("id", sqlmodel.sql.sqltypes.AutoString(length=64), nullable=False),
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("created_at", sqlmodel.sql.sqltypes.UTCDateTime(), nullable=False),
        sa.Column("expires_at", sqlmodel.sql.sqltypes.UTCDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["user_id"], ["staff.id"], name=op.f("fk_staff_session_user_id_staff"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_staff_session")),
    )
    op.create_table(
        "suppression",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("address_hash", sqlmodel.sql.sqltypes.AutoString(length=64), nullable=False),
        sa.Column("address", sqlmodel.sql.sqltypes.AutoString(), nullable=True),
        sa.Column("publication_id", sa.Integer(), nullable=True),
        sa.Column(
            "reason",
            sa.Enum(
                "bounce",
                "complaint",
                "operator",
                "erased",
                "unreachable",
                name="reason",
                native_enum=False,
                create_constraint=True,
                length=16,
            ),
            nullable=False,
        ),
        sa.Column("note", sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.Column("added_at", sqlmodel.sql.sqltypes.UTCDateTime(), nullable=False),
        sa.Column("added_by", sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.Column("lifted_at", sqlmodel.sql.sqltypes.UTCDateTime(), nullable=True),
        sa.Column("lifted_by", sqlmodel.sql.sqltypes.AutoString(), nullable=True),
        sa.ForeignKeyConstraint(
            ["publication_id"], ["publication.id"], name=op.f("fk_suppression_publication_id_publication")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_suppression")),
    )
    with op.batch_alter_table("suppression", schema=None) as batch_op:
        batch_op.create_index("ix_suppression_address_hash_lifted_at", ["address_hash", "lifted_at"], unique=False)

    op.create_table(
        "message",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("issue_id", sa.Integer(), nullable=False),
        sa.Column("edition_id", sa.Integer(), nullable=False),
        sa.Column("digest", sqlmodel.sql.sqltypes.AutoString(length=64), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.Column("rendered_at", sqlmodel.sql.sqltypes.UTCDateTime(), nullable=False),
        sa.Column("host", sqlmodel.sql.sqltypes.AutoString(), nullable=True),
        sa.ForeignKeyConstraint(["edition_id"], ["edition.id"], name=op.f("fk_message_edition_id_edition")),
        sa.ForeignKeyConstraint(["issue_id"], ["issue.id"], name=op.f("fk_message_issue_id_issue")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_message")),
        sa.UniqueConstraint("issue_id", "edition_id", "digest", name=op.f("uq_message_issue_id_edition_id_digest")),
    )
    op.create_table(
        "commentary",
        sa.Column("issue_id", sa.Integer(), nullable=False),
        sa.Column("language", sqlmodel.sql.sqltypes.AutoString(length=16), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("name", sqlmodel.sql.sqltypes.AutoString(length=64), nullable=False),
        sa.Column("headline", sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.Column(
            "verdict",
            sa.Enum(
                "better",
                "unchanged",
                "worse",
                name="verdict",
                native_enum=False,
                create_constraint=True,
                length=16,
            ),
            nullable=True,
        ),
        sa.Column("opening", sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.ForeignKeyConstraint(
            ["issue_id"], ["issue.id"], name=op.f("fk_commentary_issue_id_issue"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("issue_id", "language", "position", name=op.f("pk_commentary")),
        sa.UniqueConstraint("issue_id", "language", "name", name=op.f("uq_commentary_issue_id_language_name")),
    )
    op.create_table(
        "picture",
        sa.Column("issue_id", sa.Integer(), nullable=False),
        sa.Column("name", sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.Column("media_type", sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.Column("width", sa.Integer(), nullable=False),
        sa.Column("height", sa.Integer(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["issue_id"], ["issue.id"], name=op.f("fk_picture_issue_id_issue"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("issue_id", "name", name=op.f("pk_picture")),
    )
    op.create_table(
        "subscription",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("subscriber_id", sa.Integer(), nullable=False),
        sa.Column("edition_id", sa.Integer(), nullable=False),
        sa.Column(
            "status",
            sa.Enum(
                "pending",
                "confirmed",
                "unsubscribed",
                "suppressed",
                name="status",
                native_enum=False,
                create_constraint=True,
                length=16,
            ),
            nullable=False,
        ),
        sa.Column("language", sqlmodel.sql.sqltypes.AutoString(length=16), nullable=False),
        sa.Column("created_at", sqlmodel.sql.sqltypes.UTCDateTime(), nullable=False),
        sa.Column("changed_at", sqlmodel.sql.sqltypes.UTCDateTime(), nullable=False),
        sa.Column("paused_until", sqlmodel.sql.sqltypes.UTCDateTime(), nullable=True),
        sa.Column("undo_until", sqlmodel.sql.sqltypes.UTCDateTime(), nullable=True),
        sa.Column("moved_to_id", sa.Integer(), nullable=True),
        sa.Column("taken_back_to_id", sa.Integer(), nullable=True),
        sa.Column("gave_reason", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.ForeignKeyConstraint(["edition_id"], ["edition.id"], name=op.f("fk_subscription_edition_id_edition")),
        sa.ForeignKeyConstraint(
            ["subscriber_id"],
            ["subscriber.id"],
            name=op.f("fk_subscription_subscriber_id_subscriber"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_subscription")),
        sa.UniqueConstraint("subscriber_id", "edition_id", name=op.f("uq_subscription_subscriber_id_edition_id")),
        sqlite_autoincrement=True,
    )
    with op.batch_alter_table("subscription", schema=None) as batch_op:
        batch_op.create_index("ix_subscription_edition_id_status", ["edition_id", "status"], unique=False)
        batch_op.create_index(
            "ix_subscription_moved_to_id",
            ["moved_to_id"],
            unique=False,
            sqlite_where=sa.text("moved_to_id IS NOT NULL"),
            postgresql_where=sa.text("moved_to_id IS NOT NULL"),
        )

    op.create_table(
        "translation",
        sa.Column("issue_id", sa.Integer(), nullable=False),
        sa.Column("language", sqlmodel.sql.sqltypes.AutoString(length=16), nullable=False),
        sa.Column("title", sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.Column("source", sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.ForeignKeyConstraint(
            ["issue_id"], ["issue.id"], name=op.f("fk_translation_issue_id_issue"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("issue_id", "language", name=op.f("pk_translation")),
    )
    op.create_table(
        "consent",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("subscription_id", sa.Integer(), nullable=False),
        sa.Column(
            "event",
            sa.Enum(
                "requested",
                "confirmed",
                "left",
                "imported",
                "restored",
                "paused",
                "resumed",
                name="event",
                native_enum=False,
                create_constraint=True,
                length=16,
            ),
            nullable=False,
        ),
        sa.Column("at", sqlmodel.sql.sqltypes.UTCDateTime(), nullable=False),
        sa.Column("wording", sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.Column("language", sqlmodel.sql.sqltypes.AutoString(length=16), nullable=False),
        sa.Column("source", sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.Column("network", sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.Column("request_id", sa.Integer(), nullable=True),
        sa.Column("salt", sa.LargeBinary(), nullable=True),
        sa.Column("subject", sqlmodel.sql.sqltypes.AutoString(length=64), nullable=True),
        sa.Column("network_salt", sa.LargeBinary(), nullable=True),
        sa.Column("network_digest", sa.LargeBinary(), nullable=True),
        sa.ForeignKeyConstraint(
            ["subscription_id"],
            ["subscription.id"],
            name=op.f("fk_consent_subscription_id_subscription"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_consent")),
        sqlite_autoincrement=True,
    )
    with op.batch_alter_table("consent", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_consent_subscription_id"), ["subscription_id"], unique=False)
        batch_op.create_index(
            "ix_consent_unsealed",
            ["id"],
            unique=False,
            sqlite_where=sa.text("salt IS NULL"),
            postgresql_where=sa.text("salt IS NULL"),
        )
        batch_op.create_index(
            "ix_consent_event_at",
            ["event", "at", "subscription_id"],
            unique=False,
            sqlite_where=sa.text("event = 'confirmed' OR event = 'left'"),
            postgresql_where=sa.text("event = 'confirmed' OR event = 'left'"),
        )
        batch_op.create_index(
            "ix_consent_at",
            ["at"],
            unique=False,
            sqlite_where=sa.text("network_salt IS NOT NULL"),
            postgresql_where=sa.text("network_salt IS NOT NULL"),
        )

    op.create_table(
        "retention",
        sa.Column("kind", sqlmodel.sql.sqltypes.AutoString(length=32), nullable=False),
        sa.Column("done_at", sqlmodel.sql.sqltypes.UTCDateTime(), nullable=False),
        sa.Column("gone", sa.Integer(), nullable=False),
        sa.Column("ever", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("kind", name=op.f("pk_retention")),
    )
    op.create_table(
        "past_deliveries",
        sa.Column("issue_id", sa.Integer(), nullable=False),
        sa.Column("edition_id", sa.Integer(), nullable=False),
        sa.Column(
            "status",
            sa.Enum(
                "queued",
                "sending",
                "accepted",
                "deferred",
                "refused",
                "uncertain",
                "withdrawn",
                "bounced",
                "complained",
                name="status",
                native_enum=False,
                create_constraint=True,
                length=16,
            ),
            nullable=False,
        ),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("issue_id", "edition_id", "status", name=op.f("pk_past_deliveries")),
    )
    op.create_table(
        "seal",
        sa.Column("number", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False),
        sa.Column(
            "event",
            sa.Enum("kept", "removed", name="event", native_enum=False, create_constraint=True, length=16),
            nullable=False,
        ),
        sa.Column("consent_id", sa.Integer(), nullable=False),
        sa.Column("at", sqlmodel.sql.sqltypes.UTCDateTime(), nullable=False),
        sa.Column("why", sqlmodel.sql.sqltypes.AutoString(length=32), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("link", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_seal")),
        sa.UniqueConstraint("consent_id", "event", name=op.f("uq_seal_consent_id_event")),
    )
    op.create_table(
        "removal",
        sa.Column("consent_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("why", sqlmodel.sql.sqltypes.AutoString(length=32), nullable=False),
        sa.Column("at", sqlmodel.sql.sqltypes.UTCDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("consent_id", name=op.f("pk_removal")),
    )

    op.create_table(
        "address_change",
        sa.Column("request_id", sa.Integer(), nullable=False),
        sa.Column("subscription_id", sa.Integer(), nullable=False),
        sa.Column("asked_at", sqlmodel.sql.sqltypes.UTCDateTime(), nullable=False),
        sa.Column("done_at", sqlmodel.sql.sqltypes.UTCDateTime(), nullable=True),
        sa.ForeignKeyConstraint(
            ["request_id"], ["consent.id"], name=op.f("fk_address_change_request_id_consent"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["subscription_id"],
            ["subscription.id"],
            name=op.f("fk_address_change_subscription_id_subscription"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("request_id", name=op.f("pk_address_change")),
    )
    with op.batch_alter_table("address_change", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_address_change_subscription_id"), ["subscription_id"], unique=False)

    op.create_table(
        "parting",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False),
        sa.Column("publication_id", sa.Integer(), nullable=False),
        sa.Column("month", sa.Date(), nullable=False),
        sa.Column(
            "reason",
            sa.Enum(
                "too much",
                "not for me",
                "unsafe",
                "elsewhere",
                "never asked",
                "other",
                name="reason",
                native_enum=False,
                create_constraint=True,
                length=16,
            ),
            nullable=False,
        ),
        sa.Column("words", sqlmodel.sql.sqltypes.AutoString(length=500), nullable=False),
        sa.ForeignKeyConstraint(
            ["publication_id"], ["publication.id"], name=op.f("fk_parting_publication_id_publication")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_parting")),
    )
    with op.batch_alter_table("parting", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_parting_publication_id"), ["publication_id"], unique=False)

    op.create_table(
        "delivery",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column(
            "kind",
            sa.Enum(
                "issue",
                "confirmation",
                "welcome",
                "goodbye",
                "forward",
                "warning",
                "new-address",
                "old-address",
                "my-data",
                "my-data-file",
                "preferences",
                "test",
                name="kind",
                native_enum=False,
                create_constraint=False,
                length=16,
            ),
            nullable=False,
        ),
        sa.Column("issue_id", sa.Integer(), nullable=True),
        sa.Column("edition_id", sa.Integer(), nullable=False),
        sa.Column("message_id", sa.Integer(), nullable=True),
        sa.Column("subscription_id", sa.Integer(), nullable=True),
        sa.Column("consent_id", sa.Integer(), nullable=True),
        sa.Column("recipient", sqlmodel.sql.sqltypes.AutoString(), nullable=True),
        sa.Column("destination", sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.Column(
            "status",
            sa.Enum(
                "queued",
                "sending",
                "accepted",
                "deferred",
                "refused",
                "uncertain",
                "withdrawn",
                "bounced",
                "complained",
                name="status",
                native_enum=False,
                create_constraint=False,
                length=16,
            ),
            nullable=False,
        ),
        sa.Column("due_at", sqlmodel.sql.sqltypes.UTCDateTime(), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("queued_at", sqlmodel.sql.sqltypes.UTCDateTime(), nullable=False),
        sa.Column("changed_at", sqlmodel.sql.sqltypes.UTCDateTime(), nullable=False),
        sa.CheckConstraint(
            "kind = 'issue' OR kind = 'confirmation' OR kind = 'welcome' OR kind = 'goodbye' OR "
            "kind = 'forward' OR kind = 'warning' OR kind = 'new-address' OR kind = 'old-address' OR "
            "kind = 'my-data' OR kind = 'my-data-file' OR kind = 'preferences' OR kind = 'test'",
            name=op.f("ck_delivery_kind"),
        ),
        sa.CheckConstraint(
            "status = 'queued' OR status = 'sending' OR status = 'accepted' OR status = 'deferred' OR "
            "status = 'refused' OR status = 'uncertain' OR status = 'withdrawn' OR status = 'bounced' OR "
            "status = 'complained'",
            name=op.f("ck_delivery_status"),
        ),
        sa.CheckConstraint(
            "(due_at IS NOT NULL) = (status IN ('queued', 'deferred'))", name=op.f("ck_delivery_due_while_waiting")
        ),
        sa.ForeignKeyConstraint(
            ["consent_id"], ["consent.id"], name=op.f("fk_delivery_consent_id_consent"), ondelete="SET NULL"
        ),
        sa.ForeignKeyConstraint(
            ["subscription_id"],
            ["subscription.id"],
            name=op.f("fk_delivery_subscription_id_subscription"),
            ondelete="SET NULL",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_delivery")),
        sa.UniqueConstraint("subscription_id", "issue_id", name=op.f("uq_delivery_subscription_id_issue_id")),
        sqlite_autoincrement=True,
    )
    with op.batch_alter_table("delivery", schema=None) as batch_op:
        batch_op.create_index(
            "ix_delivery_issue_id_due_at",
            ["issue_id", "due_at", "id"],
            unique=False,
            sqlite_where=sa.text("due_at IS NOT NULL"),
            postgresql_where=sa.text("due_at IS NOT NULL"),
        )
        batch_op.create_index("ix_delivery_issue_id_status", ["issue_id", "status", "edition_id"], unique=False)
        batch_op.create_index(
            "ix_delivery_recipient",
            ["recipient"],
            unique=False,
            sqlite_where=sa.text("recipient IS NOT NULL"),
            postgresql_where=sa.text("recipient IS NOT NULL"),
        )
        batch_op.create_index(
            "uq_delivery_consent_id_kind",
            ["consent_id", "kind"],
            unique=True,
            sqlite_where=sa.text("consent_id IS NOT NULL"),
            postgresql_where=sa.text("consent_id IS NOT NULL"),
        )

    op.create_table(
        "attempt",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("delivery_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("worker_id", sa.Integer(), nullable=False),
        sa.Column("relay", sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.Column("started_at", sqlmodel.sql.sqltypes.UTCDateTime(), nullable=False),
        sa.Column("finished_at", sqlmodel.sql.sqltypes.UTCDateTime(), nullable=True),
        sa.Column(
            "outcome",
            sa.Enum(
                "accepted",
                "deferred",
                "refused",
                "uncertain",
                "unsent",
                name="outcome",
                native_enum=False,
                create_constraint=False,
                length=16,
            ),
            nullable=True,
        ),
        sa.Column("stage", sqlmodel.sql.sqltypes.AutoString(length=8), nullable=True),
        sa.Column("code", sa.Integer(), nullable=True),
        sa.Column("enhanced", sqlmodel.sql.sqltypes.AutoString(length=16), nullable=True),
        sa.Column("reply", sqlmodel.sql.sqltypes.AutoString(), nullable=True),
        sa.CheckConstraint(
            "outcome = 'accepted' OR outcome = 'deferred' OR outcome = 'refused' OR "
            "outcome = 'uncertain' OR outcome = 'unsent'",
            name=op.f("ck_attempt_outcome"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_attempt")),
        sa.UniqueConstraint("delivery_id", "number", name=op.f("uq_attempt_delivery_id_number")),
        postgresql_with={"fillfactor": 50},
    )
    op.create_table(
        "arrival",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("digest", sqlmodel.sql.sqltypes.AutoString(length=64), nullable=False),
        sa.Column("arrived_at", sqlmodel.sql.sqltypes.UTCDateTime(), nullable=False),
        sa.Column("listed_at", sqlmodel.sql.sqltypes.UTCDateTime(), nullable=True),
        sa.Column("road", sqlmodel.sql.sqltypes.AutoString(length=16), nullable=False),
        sa.Column("recipient", sqlmodel.sql.sqltypes.AutoString(), nullable=True),
        sa.Column(
            "kind",
            sa.Enum(
                "bounce",
                "complaint",
                "auto-reply",
                "other",
                name="kind",
                native_enum=False,
                create_constraint=True,
                length=16,
            ),
            nullable=False,
        ),
        sa.Column(
            "effect",
            sa.Enum(
                "nothing",
                "alarm",
                "bounced",
                "suppressed",
                "complained",
                "lifted",
                "left",
                "confirmed",
                "requested",
                "changed",
                "erased",
                "quarantined",
                name="effect",
                native_enum=False,
                create_constraint=True,
                length=16,
            ),
            nullable=False,
        ),
        sa.Column("reason", sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.Column("delivery_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column(
            "category",
            sa.Enum(
                "unknown user",
                "unknown domain",
                "unknown user, in doubt",
                "inactive",
                "mailbox full",
                "temporary",
                "this message",
                "spam",
                "policy",
                "blocked",
                "authentication",
                "our fault",
                "unknown",
                "complaint",
                "auto-reply",
                "delivered",
                name="category",
                native_enum=False,
                create_constraint=True,
                length=32,
            ),
            nullable=True,
        ),
        sa.Column("status", sqlmodel.sql.sqltypes.AutoString(length=16), nullable=True),
        sa.Column("diagnostic", sqlmodel.sql.sqltypes.AutoString(), nullable=True),
        sa.Column("reporter", sqlmodel.sql.sqltypes.AutoString(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_arrival")),
        sa.UniqueConstraint("digest", name=op.f("uq_arrival_digest")),
    )
    with op.batch_alter_table("arrival", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_arrival_delivery_id"), ["delivery_id"], unique=False)

    op.create_table(
        "quarantine",
        sa.Column("arrival_id", sa.Integer(), nullable=False),
        sa.Column("sender", sqlmodel.sql.sqltypes.AutoString(), nullable=True),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("kept", sa.Integer(), nullable=False),
        sa.Column("octets", sa.LargeBinary(), nullable=False),
        sa.Column("flaw", sqlmodel.sql.sqltypes.AutoString(), server_default="", nullable=False),
        sa.ForeignKeyConstraint(
            ["arrival_id"], ["arrival.id"], name=op.f("fk_quarantine_arrival_id_arrival"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("arrival_id", name=op.f("pk_quarantine")),
    )
    op.create_table(
        "forward",
        sa.Column("delivery_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("arrival_id", sa.Integer(), nullable=False),
        sa.Column("subject", sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.Column("reply_to", sqlmodel.sql.sqltypes.AutoString(), nullable=True),
        sa.Column("text", sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.Column("whole", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(
            ["arrival_id"], ["arrival.id"], name=op.f("fk_forward_arrival_id_arrival"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["delivery_id"], ["delivery.id"], name=op.f("fk_forward_delivery_id_delivery"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("delivery_id", name=op.f("pk_forward")),
        sa.UniqueConstraint("arrival_id", name=op.f("uq_forward_arrival_id")),
    )


def downgrade() -> None:
    op.drop_table("forward")
    op.drop_table("quarantine")
    with op.batch_alter_table("arrival", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_arrival_delivery_id"))

    op.drop_table("arrival")
    op.drop_table("attempt")
    with op.batch_alter_table("delivery", schema=None) as batch_op:
        batch_op.drop_index(
            "uq_delivery_consent_id_kind",
            sqlite_where=sa.text("consent_id IS NOT NULL"),
            postgresql_where=sa.text("consent_id IS NOT NULL"),
        )
        batch_op.drop_index(
            "ix_delivery_recipient",
            sqlite_where=sa.text("recipient IS NOT NULL"),
            postgresql_where=sa.text("recipient IS NOT NULL"),
        )
        batch_op.drop_index("ix_delivery_issue_id_status")
        batch_op.drop_index(
            "ix_delivery_issue_id_due_at",
            sqlite_where=sa.text("due_at IS NOT NULL"),
            postgresql_where=sa.text("due_at IS NOT NULL"),
        )

    op.drop_table("delivery")
    op.drop_table("past_deliveries")
    op.drop_table("retention")
    op.drop_table("removal")
    op.drop_table("seal")
    with op.batch_alter_table("parting", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_parting_publication_id"))

    op.drop_table("parting")
    with op.batch_alter_table("address_change", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_address_change_subscription_id"))

    op.drop_table("address_change")
    with op.batch_alter_table("consent", schema=None) as batch_op:
        batch_op.drop_index(
            "ix_consent_event_at",
            sqlite_where=sa.text("event = 'confirmed' OR event = 'left'"),
            postgresql_where=sa.text("event = 'confirmed' OR event = 'left'"),
        )
        batch_op.drop_index(
            "ix_consent_at",
            sqlite_where=sa.text("network_salt IS NOT NULL"),
            postgresql_where=sa.text("network_salt IS NOT NULL"),
        )
        batch_op.drop_index(
            "ix_consent_unsealed",
            sqlite_where=sa.text("salt IS NULL"),
            postgresql_where=sa.text("salt IS NULL"),
        )
        batch_op.drop_index(batch_op.f("ix_consent_subscription_id"))

    op.drop_table("consent")
    op.drop_table("translation")
    with op.batch_alter_table("subscription", schema=None) as batch_op:
        batch_op.drop_index(
            "ix_subscription_moved_to_id",
            sqlite_where=sa.text("moved_to_id IS NOT NULL"),
            postgresql_where=sa.text("moved_to_id IS NOT NULL"),
        )
        batch_op.drop_index("ix_subscription_edition_id_status")

    op.drop_table("subscription")
    op.drop_table("picture")
    op.drop_table("commentary")
    op.drop_table("message")
    with op.batch_alter_table("suppression", schema=None) as batch_op:
        batch_op.drop_index("ix_suppression_address_hash_lifted_at")

    op.drop_table("suppression")
    op.drop_table("staff_session")
    op.drop_table("issue")
    op.drop_table("edition")
    op.drop_table("api_token")
    op.drop_table("worker")
    op.drop_table("departures")
    op.drop_table("counted")
    op.drop_table("subscriber")
    op.drop_table("staff")
    op.drop_table("publication")
