"""the schema that is ours alone, on every database.

Its tables refer to those of `public`; nothing here may change one of them.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB, TIMESTAMP

revision: str = "spark_0001"
down_revision: str | None = None
branch_labels: str | Sequence[str] | None = ("spark",)
depends_on: str | Sequence[str] | None = None

SPARK = "spark"
MOMENT = TIMESTAMP(timezone=True)
NOW = sa.text("now()")
NEW_ID = sa.text("gen_random_uuid()")
TABLES = (
    "activity_hours",
    "adoption",
    "alerts",
    "audit_log",
    "expiry_counts",
    "expiry_notices",
    "job_targets",
    "links",
    "milestones",
    "organisation_erasures",
    "erasures",
    "roster_imports",
    "service_keys",
    "sso_replays",
    "tombstone_key",
    "console_sessions",
    "holds",
    "idempotency_keys",
    "lms_sessions",
    "roster_rows",
    "xp_ledger",
    "courses",
    "events",
    "grades",
    "jobs",
    "spark_auth_codes",
    "assignments",
    "grade_attempts",
    "submission_revisions",
    "deliveries",
    "downloads",
    "uploads",
)
# The one key of the hashes of erasures: 244 random bits, in the database that keeps the hashes.
MAKE_KEY = """
insert into spark.tombstone_key (key)
select sha256(convert_to(gen_random_uuid()::text || gen_random_uuid()::text, 'UTF8'))
"""
# Whoever owns the database may have granted its data API every new table of every schema.
REVOKE = """
do $$
declare hosted text;
begin
    for hosted in select rolname from pg_roles where rolname in ('anon', 'authenticated') loop
        execute format('revoke all on all tables in schema spark from %I', hosted);
    end loop;
end
$$
"""
# The only two ways to GoTrue's users, for a role that may not enter schema `auth`: of what is there
# its owner cannot grant anything to others on the hosted platform. Functions, because a view would
# stand in the way of GoTrue's own migrations.
FIND_AUTH_USERS = """
create function spark.find_auth_users(emails text[])
returns table (id uuid, email text, is_confirmed boolean)
language sql stable security definer set search_path = '' as $$
  select a.id, a.email::text, a.email_confirmed_at is not null
  from auth.users a where a.email = any (emails) and not a.is_sso_user
  union
  select a.id, a.email::text, a.email_confirmed_at is not null
  from public.users u join auth.users a on a.id = u.id
  where lower(u.email collate "C") = any (emails)
$$
"""
# GoTrue reads the four tokens as texts: null would end its sign-ins and lists. `confirmed_at` it
# generates. Nothing is made where the address is somebody's.
ADD_AUTH_USERS = """
create function spark.add_auth_users(
  ids uuid[], emails text[], first_names text[], last_names text[])
returns setof uuid
language sql volatile security definer set search_path = '' as $$
  insert into auth.users (
    instance_id, id, aud, role, email, encrypted_password, email_confirmed_at,
    confirmation_token, recovery_token, email_change_token_new, email_change,
    raw_app_meta_data, raw_user_meta_data, created_at, updated_at)
  select '00000000-0000-0000-0000-000000000000'::uuid, n.id, 'authenticated', 'authenticated',
    n.email, '', now(), '', '', '', '', '{"provider": "email", "providers": ["email"]}'::jsonb,
    jsonb_strip_nulls(jsonb_build_object(
      'sso_provider', 'spark', 'first_name', n.first_name, 'last_name', n.last_name)),
    now(), now()
  from unnest(ids, emails, first_names, last_names) as n (id, email, first_name, last_name)
  on conflict (email) where is_sso_user = false do nothing
  returning id
$$
"""
REACH_GOTRUE = f"""
do $reach$
begin
    if exists (
        select from pg_class c join pg_namespace n on n.oid = c.relnamespace
        where (n.nspname, c.relname) = ('auth', 'users'))
    then
        execute $find${FIND_AUTH_USERS}$find$;
        execute $add${ADD_AUTH_USERS}$add$;
    end if;
end
$reach$
"""
# Which rows stop the deletion of a user, and are not among those that are deleted before: of tables
# that a role of our own may not read, so only their counts. `deleted` have a column `user_id`.
REFERENCES_TO = """
create function spark.references_to(of_user uuid, deleted text[])
returns table (name text, rows bigint)
language plpgsql stable security definer set search_path = '' as $$
declare key record;
begin
  for key in
    select k.conrelid::regclass::text as holder, a.attname as member,
      k.confrelid::regclass::text as target, r.attname as referred
    from pg_catalog.pg_constraint k
    join pg_catalog.pg_class c on c.oid = k.conrelid
    join pg_catalog.pg_attribute a on a.attrelid = k.conrelid and a.attnum = k.conkey[1]
    join pg_catalog.pg_attribute r on r.attrelid = k.confrelid and r.attnum = k.confkey[1]
    where k.contype = 'f' and k.confdeltype in ('a', 'r') and cardinality(k.conkey) = 1
      and k.conparentid = 0 and c.relnamespace <> 'spark'::regnamespace
      and k.confrelid::regclass::text = any (deleted || array['public.users', 'auth.users'])
  loop
    name := key.holder;
    execute format(
      'select count(*) from %s held where held.%I in (select %I from %s where %I = $1)%s',
      key.holder, key.member, key.referred, key.target,
      case when key.target = any (deleted) then 'user_id' else 'id' end,
      case when key.holder = any (deleted) then ' and held.user_id is distinct from $1'
        when key.holder = 'public.users' then ' and held.id <> $1' else '' end)
    into rows using of_user;
    return next;
  end loop;
end
$$
"""
REVOKE_FUNCTIONS = "revoke all on all functions in schema spark from public"


def upgrade() -> None:
    _activity_hours()
    _adoption()
    _alerts()
    _audit_log()
    _expiry_counts()
    _expiry_notices()
    _job_targets()
    _links()
    _milestones()
    _organisation_erasures()
    _erasures()
    _roster_imports()
    _service_keys()
    _sso_replays()
    _tombstone_key()
    _console_sessions()
    _holds()
    _idempotency_keys()
    _lms_sessions()
    _roster_rows()
    _xp_ledger()
    _courses()
    _events()
    _grades()
    _jobs()
    _spark_auth_codes()
    _assignments()
    _grade_attempts()
    _submission_revisions()
    _deliveries()
    _downloads()
    _uploads()
    op.execute(MAKE_KEY)
    op.execute(REVOKE)
    op.execute(REFERENCES_TO)
    op.execute(REACH_GOTRUE)
    op.execute(REVOKE_FUNCTIONS)


def downgrade() -> None:
    for function in ("add_auth_users", "find_auth_users", "references_to"):
        op.execute(f"drop function if exists spark.{function}")
    for table in reversed(TABLES):
        op.drop_table(table, schema=SPARK)


def _activity_hours() -> None:
    op.create_table(
        "activity_hours",
        sa.Column("hour", MOMENT, nullable=False),
        sa.Column("event_type", sa.String(length=100), nullable=False),
        sa.Column("events", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("hour", "event_type", name="pk_activity_hours"),
        schema=SPARK,
    )


def _adoption() -> None:
    op.create_table(
        "adoption",
        sa.Column("id", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("adopted_at", MOMENT, server_default=NOW, nullable=False),
        sa.Column("adopted_by", sa.Text(), nullable=False, comment="a role of the database"),
        sa.Column("findings", JSONB, nullable=False, comment="what `adopt` printed"),
        sa.CheckConstraint("id", name=op.f("ck_adoption_is_one")),
        sa.PrimaryKeyConstraint("id", name="pk_adoption"),
        schema=SPARK,
    )


def _alerts() -> None:
    op.create_table(
        "alerts",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), server_default="ok", nullable=False),
        sa.Column("since", MOMENT, server_default=NOW, nullable=False, comment="its state"),
        sa.Column("value", sa.Float(), nullable=True),
        sa.Column("codes", JSONB(), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("quiet_since", MOMENT, nullable=True, comment="it fires and need not any more"),
        sa.Column("told_at", MOMENT, nullable=True),
        sa.Column("measured_at", MOMENT, server_default=NOW, nullable=False),
        sa.CheckConstraint("state in ('ok', 'firing')", name=op.f("ck_alerts_state")),
        sa.PrimaryKeyConstraint("name", name="pk_alerts"),
        schema=SPARK,
    )


def _audit_log() -> None:
    op.create_table(
        "audit_log",
        sa.Column("id", sa.Uuid(), server_default=NEW_ID, nullable=False),
        sa.Column("occurred_at", MOMENT, server_default=NOW, nullable=False),
        sa.Column("caller", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=True, comment="nobody's once erased"),
        sa.Column(
            "user_ids",
            sa.ARRAY(sa.Uuid()),
            nullable=True,
            comment="of a list; without who was erased",
        ),
        sa.Column("detail", JSONB, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_audit_log"),
        schema=SPARK,
    )
    op.create_index("ix_audit_log_occurred_at", "audit_log", ["occurred_at"], schema=SPARK)
    op.create_index("ix_audit_log_user_id", "audit_log", ["user_id"], schema=SPARK)
    op.create_index(
        "ix_audit_log_user_ids",
        "audit_log",
        ["user_ids"],
        schema=SPARK,
        postgresql_using="gin",
        postgresql_where=sa.text("user_ids is not null"),
    )
    op.create_index(
        "ix_audit_log_privileged",
        "audit_log",
        ["occurred_at"],
        schema=SPARK,
        postgresql_where=sa.text("action <> 'sensitive_read' and caller not like 'user:%'"),
    )


def _erasures() -> None:
    op.create_table(
        "erasures",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_hash", sa.LargeBinary(), nullable=False),
        sa.Column("subject_hash", sa.LargeBinary(), nullable=True),
        sa.Column("user_id", sa.Uuid(), nullable=True, comment="null once completed"),
        sa.Column("spark_user_id", sa.Text(), nullable=True, comment="null once completed"),
        sa.Column("requested_at", MOMENT, nullable=False),
        sa.Column("completed_at", MOMENT, nullable=True),
        sa.Column("counts", JSONB, nullable=False),
        sa.Column("keeps_account", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("organisation_id", sa.Uuid(), nullable=True, comment="the erasure it is part of"),
        sa.ForeignKeyConstraint(
            ["organisation_id"],
            ["spark.organisation_erasures.id"],
            name="fk_erasures_organisation_id",
        ),
        sa.PrimaryKeyConstraint("id", name="pk_erasures"),
        sa.UniqueConstraint("user_hash", name="uq_erasures_user_hash"),
        sa.UniqueConstraint("user_id", name="uq_erasures_user_id"),
        schema=SPARK,
    )
    op.create_index("ix_erasures_organisation_id", "erasures", ["organisation_id"], schema=SPARK)
    op.create_index("ix_erasures_subject_hash", "erasures", ["subject_hash"], schema=SPARK)


def _expiry_counts() -> None:
    op.create_table(
        "expiry_counts",
        sa.Column("year", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("spark_org_id", sa.String(length=255), nullable=False),
        sa.Column("submissions", sa.BigInteger(), nullable=False),
        sa.Column("files", sa.BigInteger(), nullable=False),
        sa.Column("blocks", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("year", "spark_org_id", name="pk_expiry_counts"),
        schema=SPARK,
    )


def _expiry_notices() -> None:
    op.create_table(
        "expiry_notices",
        sa.Column("week", sa.Date(), nullable=False, comment="its Monday"),
        sa.Column("announced_at", MOMENT, nullable=False),
        sa.Column(
            "goes_before", MOMENT, nullable=False, comment="what was recorded before it goes"
        ),
        sa.Column("submissions", sa.BigInteger(), nullable=False, comment="not announced before"),
        sa.Column(
            "after", sa.Uuid(), nullable=True, comment="the last revision that was looked at"
        ),
        sa.Column("finished_at", MOMENT, nullable=True),
        sa.PrimaryKeyConstraint("week", name="pk_expiry_notices"),
        schema=SPARK,
    )


def _holds() -> None:
    op.create_table(
        "holds",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=True),
        sa.Column("spark_org_id", sa.String(length=255), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column(
            "placed_by",
            sa.Text(),
            nullable=False,
            comment="as callers are named in the audit log",
        ),
        sa.Column("placed_at", MOMENT, server_default=NOW, nullable=False),
        sa.CheckConstraint("num_nonnulls(user_id, spark_org_id) = 1", name=op.f("ck_holds_of_one")),
        sa.CheckConstraint("spark_org_id <> ''", name=op.f("ck_holds_spark_org_id")),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name="fk_holds_user_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_holds"),
        schema=SPARK,
    )
    op.create_index("ix_holds_spark_org_id", "holds", ["spark_org_id"], schema=SPARK)
    op.create_index("ix_holds_user_id", "holds", ["user_id"], schema=SPARK)


def _organisation_erasures() -> None:
    op.create_table(
        "organisation_erasures",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("spark_org_id", sa.String(length=255), nullable=False),
        sa.Column("requested_at", MOMENT, nullable=False),
        sa.Column(
            "requested_by",
            sa.Text(),
            nullable=False,
            comment="the name of a service key, or a caller",
        ),
        sa.Column("completed_at", MOMENT, nullable=True),
        sa.Column(
            "counts",
            JSONB,
            server_default=sa.text("'{}'"),
            nullable=False,
            comment="beside those of its students' erasures",
        ),
        sa.PrimaryKeyConstraint("id", name="pk_organisation_erasures"),
        schema=SPARK,
    )
    op.create_index(
        "uq_organisation_erasures_open",
        "organisation_erasures",
        ["spark_org_id"],
        unique=True,
        schema=SPARK,
        postgresql_where=sa.text("completed_at is null"),
    )


def _links() -> None:
    op.create_table(
        "links",
        sa.Column("id", sa.Uuid(), server_default=NEW_ID, nullable=False),
        sa.Column("lms_platform", sa.String(length=50), nullable=False),
        sa.Column(
            "spark_org_id", sa.String(length=255), server_default=sa.text("''"), nullable=False
        ),
        sa.Column("spark_course_id", sa.String(length=255), nullable=False),
        sa.Column("spark_assignment_id", sa.String(length=255), nullable=False),
        sa.Column("quest_id", sa.Uuid(), nullable=False),
        sa.Column("task_id", sa.Uuid(), nullable=True),
        sa.Column("task_title", sa.Text(), nullable=True),
        sa.Column(
            "chosen_by",
            sa.LargeBinary(),
            nullable=True,
            comment="Keyed hash of a teacher's Spark id",
        ),
        sa.Column("chosen_at", MOMENT, nullable=False),
        sa.Column("retired_at", MOMENT, nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_links"),
        sa.UniqueConstraint(
            "lms_platform",
            "spark_org_id",
            "spark_course_id",
            "spark_assignment_id",
            name="uq_links_assignment",
        ),
        schema=SPARK,
    )
    op.create_index("ix_links_spark_assignment_id", "links", ["spark_assignment_id"], schema=SPARK)
    op.create_index("ix_links_quest_id", "links", ["quest_id"], schema=SPARK)


def _milestones() -> None:
    op.create_table(
        "milestones",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("seen_at", MOMENT, nullable=False),
        sa.Column("marked_by", sa.Text(), nullable=True, comment="a service key"),
        sa.PrimaryKeyConstraint("name", name="pk_milestones"),
        schema=SPARK,
    )


def _roster_imports() -> None:
    op.create_table(
        "roster_imports",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("state", sa.Text(), server_default="reading", nullable=False),
        sa.Column("is_whole", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("created_at", MOMENT, server_default=NOW, nullable=False),
        sa.Column("applied_at", MOMENT, nullable=True),
        sa.CheckConstraint(
            "state in ('reading', 'checked', 'applying', 'held', 'applied')",
            name=op.f("ck_roster_imports_state"),
        ),
        sa.PrimaryKeyConstraint("id", name="pk_roster_imports"),
        schema=SPARK,
    )
    op.create_index("ix_roster_imports_created_at", "roster_imports", ["created_at"], schema=SPARK)


def _service_keys() -> None:
    op.create_table(
        "service_keys",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("secret_hash", sa.LargeBinary(), nullable=False, comment="SHA-256 of the secret"),
        sa.Column("scopes", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("created_at", MOMENT, server_default=NOW, nullable=False),
        sa.Column("revoked_at", MOMENT, nullable=True),
        sa.Column("last_used_at", MOMENT, nullable=True, comment="to the hour"),
        sa.CheckConstraint(
            "scopes <@ array['read', 'write', 'admin']", name=op.f("ck_service_keys_scopes")
        ),
        sa.PrimaryKeyConstraint("id", name="pk_service_keys"),
        schema=SPARK,
    )


def _sso_replays() -> None:
    op.create_table(
        "sso_replays",
        sa.Column("key", sa.LargeBinary(), nullable=False),
        sa.Column("code_hash", sa.Text(), nullable=False),
        sa.Column("exchanged_at", MOMENT, nullable=True),
        sa.Column("expires_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_sso_replays"),
        schema=SPARK,
    )
    op.create_index("ix_sso_replays_code_hash", "sso_replays", ["code_hash"], schema=SPARK)
    op.create_index("ix_sso_replays_expires_at", "sso_replays", ["expires_at"], schema=SPARK)


def _tombstone_key() -> None:
    op.create_table(
        "tombstone_key",
        sa.Column("id", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("key", sa.LargeBinary(), nullable=False),
        sa.CheckConstraint("id", name=op.f("ck_tombstone_key_is_one")),
        sa.PrimaryKeyConstraint("id", name="pk_tombstone_key"),
        schema=SPARK,
    )


def _console_sessions() -> None:
    op.create_table(
        "console_sessions",
        sa.Column(
            "hash", sa.LargeBinary(), nullable=False, comment="SHA-256 of what the cookie has"
        ),
        sa.Column("key_id", sa.Text(), nullable=False),
        sa.Column("created_at", MOMENT, server_default=NOW, nullable=False),
        sa.Column("seen_at", MOMENT, server_default=NOW, nullable=False),
        sa.Column("ended_at", MOMENT, nullable=True),
        sa.ForeignKeyConstraint(
            ["key_id"],
            ["spark.service_keys.id"],
            name="fk_console_sessions_key_id",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("hash", name="pk_console_sessions"),
        schema=SPARK,
    )


def _idempotency_keys() -> None:
    op.create_table(
        "idempotency_keys",
        sa.Column("key", sa.LargeBinary(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=True),
        sa.Column("owner", sa.Uuid(), nullable=False),
        sa.Column("lease_until", MOMENT, nullable=False),
        sa.Column("fingerprint", sa.LargeBinary(), nullable=True),
        sa.Column("response", JSONB, nullable=True),
        sa.Column("created_at", MOMENT, server_default=NOW, nullable=False),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name="fk_idempotency_keys_user_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("key", name="pk_idempotency_keys"),
        schema=SPARK,
    )
    op.create_index(
        "ix_idempotency_keys_created_at", "idempotency_keys", ["created_at"], schema=SPARK
    )
    op.create_index("ix_idempotency_keys_user_id", "idempotency_keys", ["user_id"], schema=SPARK)


def _lms_sessions() -> None:
    op.create_table(
        "lms_sessions",
        sa.Column("id", sa.Uuid(), server_default=NEW_ID, nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("lms_platform", sa.String(length=50), nullable=False),
        sa.Column("session_token", sa.String(length=500), nullable=False),
        sa.Column("expires_at", MOMENT, nullable=False),
        sa.Column("revoked_at", MOMENT, nullable=True),
        sa.Column("created_at", MOMENT, server_default=NOW, nullable=False),
        sa.CheckConstraint(
            "lms_platform in ('canvas', 'google_classroom', 'schoology', 'moodle', 'spark')",
            name=op.f("ck_lms_sessions_lms_platform"),
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name="fk_lms_sessions_user_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_lms_sessions"),
        schema=SPARK,
    )
    op.create_index("ix_lms_sessions_expires_at", "lms_sessions", ["expires_at"], schema=SPARK)
    op.create_index(
        "ix_lms_sessions_revoked_at",
        "lms_sessions",
        ["revoked_at"],
        schema=SPARK,
        postgresql_where=sa.text("revoked_at is not null"),
    )
    op.create_index("ix_lms_sessions_user_id", "lms_sessions", ["user_id"], schema=SPARK)


def _roster_rows() -> None:
    op.create_table(
        "roster_rows",
        sa.Column("import_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("line", sa.Integer(), nullable=True),
        sa.Column("spark_user_id", sa.Text(), nullable=True),
        sa.Column("email", sa.Text(), nullable=True),
        sa.Column("given_name", sa.Text(), nullable=True),
        sa.Column("family_name", sa.Text(), nullable=True),
        sa.Column("is_student", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("spark_org_id", sa.Text(), nullable=True),
        sa.Column("spark_course_id", sa.Text(), nullable=True),
        sa.Column("quest_id", sa.Uuid(), nullable=True),
        sa.Column("leaves", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=True),
        sa.Column("code", sa.Text(), nullable=True),
        sa.Column("is_done", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.CheckConstraint(
            "outcome in ('create', 'link', 'enrol', 'drop', 'held', 'unchanged', 'skipped',"
            " 'error')",
            name=op.f("ck_roster_rows_outcome"),
        ),
        sa.CheckConstraint(
            "source in ('users', 'roles', 'enrollments', 'absent')",
            name=op.f("ck_roster_rows_source"),
        ),
        sa.ForeignKeyConstraint(
            ["import_id"],
            ["spark.roster_imports.id"],
            name="fk_roster_rows_import_id",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("import_id", "number", name="pk_roster_rows"),
        schema=SPARK,
    )
    op.create_index(
        "ix_roster_rows_import_id_quest_id", "roster_rows", ["import_id", "quest_id"], schema=SPARK
    )
    op.create_index(
        "ix_roster_rows_import_id_spark_user_id_source",
        "roster_rows",
        ["import_id", "spark_user_id", "source"],
        schema=SPARK,
    )


def _xp_ledger() -> None:
    op.create_table(
        "xp_ledger",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("task_id", sa.Uuid(), nullable=False),
        sa.Column("completion_id", sa.Uuid(), nullable=False),
        sa.Column("pillar", sa.Text(), nullable=False),
        sa.Column("xp_amount", sa.Integer(), nullable=False),
        sa.Column("awarded_at", MOMENT, server_default=NOW, nullable=False),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name="fk_xp_ledger_user_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_xp_ledger"),
        sa.UniqueConstraint("user_id", "task_id", name="uq_xp_ledger_user_id_task_id"),
        schema=SPARK,
    )
    op.create_index("ix_xp_ledger_user_id_id", "xp_ledger", ["user_id", "id"], schema=SPARK)


def _courses() -> None:
    op.create_table(
        "courses",
        sa.Column("id", sa.Uuid(), server_default=NEW_ID, nullable=False),
        sa.Column("lms_platform", sa.String(length=50), nullable=False),
        sa.Column(
            "spark_org_id", sa.String(length=255), server_default=sa.text("''"), nullable=False
        ),
        sa.Column("spark_course_id", sa.String(length=255), nullable=False),
        sa.Column("quest_id", sa.Uuid(), nullable=True),
        sa.Column("created_at", MOMENT, server_default=NOW, nullable=False),
        sa.Column("synced_at", MOMENT, server_default=NOW, nullable=False),
        sa.Column(
            "course_digest", sa.LargeBinary(), nullable=True, comment="SHA-256 of the signed text"
        ),
        sa.Column("course_sent_at", MOMENT, nullable=True),
        sa.Column(
            "roster_digest", sa.LargeBinary(), nullable=True, comment="SHA-256 of the signed text"
        ),
        sa.Column("roster_sent_at", MOMENT, nullable=True),
        sa.ForeignKeyConstraint(
            ["quest_id"], ["quests.id"], name="fk_courses_quest_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_courses"),
        sa.UniqueConstraint(
            "lms_platform",
            "spark_org_id",
            "spark_course_id",
            name="uq_courses_lms_platform_spark_org_id_spark_course_id",
        ),
        sa.UniqueConstraint("quest_id", name="uq_courses_quest_id"),
        schema=SPARK,
    )
    op.create_index("ix_courses_spark_course_id", "courses", ["spark_course_id"], schema=SPARK)


def _events() -> None:
    op.create_table(
        "events",
        sa.Column("number", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("event_id", sa.Uuid(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["event_id"], ["user_activity_events.id"], name="fk_events_event_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("number", name="pk_events"),
        sa.UniqueConstraint("event_id", name="uq_events_event_id"),
        sa.UniqueConstraint("position", name="uq_events_position"),
        schema=SPARK,
    )
    op.create_index(
        "ix_events_waiting",
        "events",
        ["number"],
        schema=SPARK,
        postgresql_where=sa.text("position is null"),
    )


def _spark_auth_codes() -> None:
    op.create_table(
        "spark_auth_codes",
        sa.Column("code", sa.Text(), nullable=False, comment="SHA-256 of the code, in hex"),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("expires_at", MOMENT, nullable=False),
        sa.Column("used", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("created_at", MOMENT, server_default=NOW, nullable=False),
        sa.Column("superseded_at", MOMENT, nullable=True),
        sa.Column("session_id", sa.Uuid(), nullable=True),
        sa.ForeignKeyConstraint(
            ["session_id"],
            ["spark.lms_sessions.id"],
            name="fk_spark_auth_codes_session_id",
            ondelete="SET NULL",
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name="fk_spark_auth_codes_user_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("code", name="pk_spark_auth_codes"),
        schema=SPARK,
    )
    op.create_index(
        "ix_spark_auth_codes_session_id", "spark_auth_codes", ["session_id"], schema=SPARK
    )
    op.create_index("ix_spark_auth_codes_user_id", "spark_auth_codes", ["user_id"], schema=SPARK)


def _assignments() -> None:
    op.create_table(
        "assignments",
        sa.Column("id", sa.Uuid(), server_default=NEW_ID, nullable=False),
        sa.Column("course_id", sa.Uuid(), nullable=False),
        sa.Column("spark_assignment_id", sa.String(length=255), nullable=False),
        sa.Column("task_id", sa.Uuid(), nullable=True),
        sa.Column("title", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column(
            "spark_title",
            sa.Text(),
            nullable=True,
            comment="As Spark has it, whoever chose the task",
        ),
        sa.Column("place", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("due_date", MOMENT, nullable=True),
        sa.Column("retired_at", MOMENT, nullable=True),
        sa.Column("mapped_at", MOMENT, nullable=True, comment="When a person chose the task"),
        sa.Column("created_at", MOMENT, server_default=NOW, nullable=False),
        sa.Column("updated_at", MOMENT, server_default=NOW, nullable=False),
        sa.ForeignKeyConstraint(
            ["course_id"], ["spark.courses.id"], name="fk_assignments_course_id", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["task_id"],
            ["course_quest_tasks.id"],
            name="fk_assignments_task_id",
            ondelete="SET NULL",
        ),
        sa.PrimaryKeyConstraint("id", name="pk_assignments"),
        sa.UniqueConstraint(
            "course_id", "spark_assignment_id", name="uq_assignments_course_id_spark_assignment_id"
        ),
        sa.UniqueConstraint("task_id", name="uq_assignments_task_id"),
        schema=SPARK,
    )
    op.create_index(
        "ix_assignments_spark_assignment_id", "assignments", ["spark_assignment_id"], schema=SPARK
    )


def _submission_revisions() -> None:
    op.create_table(
        "submission_revisions",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("completion_id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("quest_id", sa.Uuid(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("restored_from", sa.Uuid(), nullable=True),
        sa.Column("spark_assignment_id", sa.String(length=255), nullable=False),
        sa.Column("spark_course_id", sa.String(length=255), nullable=True),
        sa.Column("submission_text", sa.Text(), nullable=True),
        sa.Column("grade", sa.Numeric(precision=5, scale=2), nullable=True),
        sa.Column("fingerprint", sa.LargeBinary(), nullable=False),
        sa.Column(
            "written_ids",
            sa.ARRAY(sa.Uuid()),
            server_default=sa.text("'{}'"),
            nullable=False,
            comment="the blocks this revision wrote",
        ),
        sa.Column(
            "block_ids",
            sa.ARRAY(sa.Uuid()),
            server_default=sa.text("'{}'"),
            nullable=False,
            comment="those that nobody else has changed",
        ),
        sa.Column("submitted_at", MOMENT, nullable=False),
        sa.Column("created_at", MOMENT, server_default=NOW, nullable=False),
        sa.Column("replaced_at", MOMENT, nullable=True),
        sa.Column(
            "was_hidden",
            sa.Boolean(),
            server_default=sa.text("false"),
            nullable=False,
            comment="a part of it was, when it was replaced",
        ),
        sa.ForeignKeyConstraint(
            ["completion_id"],
            ["quest_task_completions.id"],
            name="fk_submission_revisions_completion_id",
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["restored_from"],
            ["spark.submission_revisions.id"],
            name="fk_submission_revisions_restored_from",
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name="fk_submission_revisions_user_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_submission_revisions"),
        sa.UniqueConstraint(
            "completion_id", "revision", name="uq_submission_revisions_completion_id_revision"
        ),
        schema=SPARK,
    )
    op.create_index(
        "ix_submission_revisions_quest_id_id",
        "submission_revisions",
        ["quest_id", "id"],
        schema=SPARK,
    )
    op.create_index(
        "ix_submission_revisions_replaced",
        "submission_revisions",
        ["id", "quest_id", "spark_assignment_id"],
        schema=SPARK,
        postgresql_where=sa.text("replaced_at is not null"),
    )
    op.create_index(
        "ix_submission_revisions_restored_from",
        "submission_revisions",
        ["restored_from"],
        schema=SPARK,
    )
    op.create_index(
        "ix_submission_revisions_spark_assignment_id_id",
        "submission_revisions",
        ["spark_assignment_id", "id"],
        schema=SPARK,
    )
    op.create_index(
        "ix_submission_revisions_user_id_id",
        "submission_revisions",
        ["user_id", "id"],
        schema=SPARK,
    )
    op.create_index(
        "uq_submission_revisions_current",
        "submission_revisions",
        ["completion_id"],
        unique=True,
        schema=SPARK,
        postgresql_where=sa.text("replaced_at is null"),
    )


def _deliveries() -> None:
    op.create_table(
        "deliveries",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("route", sa.Text(), nullable=False),
        sa.Column("media_type", sa.Text(), nullable=False),
        sa.Column("received_at", MOMENT, nullable=False),
        sa.Column("answered_at", MOMENT, server_default=NOW, nullable=False),
        sa.Column("replayed_at", MOMENT, nullable=True),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("code", sa.Text(), nullable=True),
        sa.Column("digest", sa.LargeBinary(), nullable=False, comment="SHA-256 of the signed text"),
        sa.Column("request_id", sa.Text(), nullable=True, comment="as the sender was told it"),
        sa.Column("webhook_id", sa.Text(), nullable=True),
        sa.Column(
            "by_previous",
            sa.Boolean(),
            server_default=sa.text("false"),
            nullable=False,
            comment="signed with the secret before the last rotation",
        ),
        sa.Column("message", sa.LargeBinary(), nullable=True),
        sa.Column("body_bytes", sa.BigInteger(), nullable=False),
        sa.Column("file_count", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=True),
        sa.Column("spark_user_id", sa.String(length=255), nullable=True),
        sa.Column("spark_assignment_id", sa.String(length=255), nullable=True),
        sa.Column("spark_course_id", sa.String(length=255), nullable=True),
        sa.Column("submission_id", sa.Uuid(), nullable=True),
        sa.ForeignKeyConstraint(
            ["submission_id"],
            ["spark.submission_revisions.id"],
            name="fk_deliveries_submission_id",
            ondelete="SET NULL",
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name="fk_deliveries_user_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_deliveries"),
        schema=SPARK,
    )
    op.create_index(
        "ix_deliveries_by_previous",
        "deliveries",
        ["id"],
        schema=SPARK,
        postgresql_where=sa.text("by_previous"),
    )
    op.create_index(
        "ix_deliveries_accepted",
        "deliveries",
        ["id"],
        schema=SPARK,
        postgresql_where=sa.text("code is null"),
    )
    op.create_index(
        "ix_deliveries_code_id",
        "deliveries",
        ["code", "id"],
        schema=SPARK,
        postgresql_where=sa.text("code is not null"),
    )
    op.create_index("ix_deliveries_digest", "deliveries", ["digest"], schema=SPARK)
    op.create_index("ix_deliveries_received_at", "deliveries", ["received_at"], schema=SPARK)
    op.create_index(
        "ix_deliveries_refused",
        "deliveries",
        ["id", "spark_assignment_id"],
        schema=SPARK,
        postgresql_where=sa.text("code is not null"),
    )
    op.create_index(
        "ix_deliveries_replayed",
        "deliveries",
        ["id"],
        schema=SPARK,
        postgresql_where=sa.text("replayed_at is not null"),
    )
    op.create_index("ix_deliveries_request_id_id", "deliveries", ["request_id", "id"], schema=SPARK)
    op.create_index(
        "ix_deliveries_spark_assignment_id_id",
        "deliveries",
        ["spark_assignment_id", "id"],
        schema=SPARK,
    )
    op.create_index(
        "ix_deliveries_spark_user_id_id", "deliveries", ["spark_user_id", "id"], schema=SPARK
    )
    op.create_index("ix_deliveries_submission_id", "deliveries", ["submission_id"], schema=SPARK)
    op.create_index("ix_deliveries_user_id", "deliveries", ["user_id"], schema=SPARK)
    op.create_index(
        "ix_deliveries_webhook_id_id",
        "deliveries",
        ["webhook_id", "id"],
        schema=SPARK,
        postgresql_where=sa.text("webhook_id is not null"),
    )


def _uploads() -> None:
    op.create_table(
        "uploads",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("submission_id", sa.Uuid(), nullable=True),
        sa.Column("document_id", sa.Uuid(), nullable=True),
        sa.Column("object_key", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), server_default="pending", nullable=False),
        sa.Column("lease_until", MOMENT, nullable=False),
        sa.Column("position", sa.Integer(), nullable=True),
        sa.Column("filename", sa.Text(), nullable=True),
        sa.Column("content_type", sa.Text(), nullable=True),
        sa.Column("size_bytes", sa.BigInteger(), nullable=True),
        sa.Column("sha256", sa.LargeBinary(), nullable=True),
        sa.Column("stored_bytes", sa.BigInteger(), nullable=True),
        sa.Column("stored_sha256", sa.LargeBinary(), nullable=True),
        sa.Column("location", sa.Text(), nullable=True),
        sa.Column("scan", sa.Text(), nullable=True),
        sa.Column("picture", sa.Text(), nullable=True),
        sa.Column("derived_from", sa.Uuid(), nullable=True),
        sa.Column("created_at", MOMENT, server_default=NOW, nullable=False),
        sa.CheckConstraint(
            "location in ('none', 'removed', 'unknown')", name=op.f("ck_uploads_location")
        ),
        sa.CheckConstraint("scan in ('clean', 'unscanned')", name=op.f("ck_uploads_scan")),
        sa.CheckConstraint(
            "picture in ('waiting', 'jpeg', 'too_large', 'unreadable')",
            name=op.f("ck_uploads_picture"),
        ),
        sa.CheckConstraint(
            "state in ('pending', 'committed', 'deleting')", name=op.f("ck_uploads_state")
        ),
        sa.ForeignKeyConstraint(
            ["derived_from"],
            ["spark.uploads.id"],
            name="fk_uploads_derived_from",
            ondelete="SET NULL",
        ),
        sa.ForeignKeyConstraint(
            ["document_id"],
            ["user_task_evidence_documents.id"],
            name="fk_uploads_document_id",
            ondelete="SET NULL",
        ),
        sa.ForeignKeyConstraint(
            ["submission_id"],
            ["spark.submission_revisions.id"],
            name="fk_uploads_submission_id",
            ondelete="SET NULL",
        ),
        sa.PrimaryKeyConstraint("id", name="pk_uploads"),
        sa.UniqueConstraint("object_key", name="uq_uploads_object_key"),
        schema=SPARK,
    )
    op.create_index("ix_uploads_document_id", "uploads", ["document_id"], schema=SPARK)
    op.create_index(
        "ix_uploads_lease_until",
        "uploads",
        ["lease_until"],
        schema=SPARK,
        postgresql_where=sa.text("state <> 'committed'"),
    )
    op.create_index(
        "ix_uploads_ownerless",
        "uploads",
        ["id"],
        schema=SPARK,
        postgresql_where=sa.text(
            "state = 'committed' and submission_id is null and document_id is null"
        ),
    )
    op.create_index("ix_uploads_submission_id", "uploads", ["submission_id"], schema=SPARK)
    op.create_index(
        "ix_uploads_unread",
        "uploads",
        ["created_at"],
        schema=SPARK,
        postgresql_where=sa.text("location = 'unknown'"),
    )
    op.create_index(
        "ix_uploads_unscanned",
        "uploads",
        ["created_at"],
        schema=SPARK,
        postgresql_where=sa.text("scan = 'unscanned'"),
    )
    op.create_index("ix_uploads_user_id", "uploads", ["user_id"], schema=SPARK)
    op.create_index(
        "uq_uploads_derived_from",
        "uploads",
        ["derived_from"],
        unique=True,
        schema=SPARK,
        postgresql_where=sa.text("derived_from is not null"),
    )


def _job_targets() -> None:
    op.create_table(
        "job_targets",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), server_default="open", nullable=False),
        sa.Column("paused_until", MOMENT, nullable=True),
        sa.Column(
            "failures",
            sa.Integer(),
            server_default=sa.text("0"),
            nullable=False,
            comment="since it was reached last",
        ),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("since", MOMENT, server_default=NOW, nullable=False, comment="its state"),
        sa.Column("last_success_at", MOMENT, nullable=True),
        sa.CheckConstraint(
            "state in ('open', 'paused', 'refused')", name=op.f("ck_job_targets_state")
        ),
        sa.PrimaryKeyConstraint("name", name="pk_job_targets"),
        schema=SPARK,
    )


def _jobs() -> None:
    op.create_table(
        "jobs",
        sa.Column("id", sa.Uuid(), server_default=NEW_ID, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=True),
        sa.Column(
            "target",
            sa.Text(),
            nullable=True,
            comment="whom it calls; its state is a job_target",
        ),
        sa.Column("payload", JSONB(), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("state", sa.Text(), server_default="waiting", nullable=False),
        sa.Column("run_at", MOMENT, server_default=NOW, nullable=False),
        sa.Column("owner", sa.Uuid(), nullable=True),
        sa.Column("lease_until", MOMENT, nullable=True),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True, comment="a code: why it is not done yet"),
        sa.Column("created_at", MOMENT, server_default=NOW, nullable=False),
        sa.Column("died_at", MOMENT, nullable=True),
        sa.CheckConstraint("state in ('waiting', 'running', 'dead')", name=op.f("ck_jobs_state")),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name="fk_jobs_user_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_jobs"),
        sa.UniqueConstraint("kind", "key", "state", name="uq_jobs_kind_key_state"),
        schema=SPARK,
    )
    op.create_index("ix_jobs_user_id", "jobs", ["user_id"], schema=SPARK)
    for columns, state in (
        (["kind", "run_at"], "waiting"),
        (["target", "run_at"], "waiting"),
        (["lease_until"], "running"),
        (["died_at", "kind"], "dead"),
    ):
        op.create_index(
            f"ix_jobs_{'_'.join(columns)}",
            "jobs",
            columns,
            schema=SPARK,
            postgresql_where=sa.text(f"state = '{state}'"),
        )


def _grades() -> None:
    op.create_table(
        "grades",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("quest_id", sa.Uuid(), nullable=False),
        sa.Column("task_id", sa.Uuid(), nullable=False),
        sa.Column("spark_user_id", sa.String(length=255), nullable=False),
        sa.Column(
            "spark_course_id", sa.String(length=255), nullable=False, comment="empty for none"
        ),
        sa.Column("spark_assignment_id", sa.String(length=255), nullable=False),
        sa.Column("score", sa.Numeric(precision=5, scale=2), nullable=True),
        sa.Column("max_score", sa.Numeric(precision=5, scale=2), nullable=True),
        sa.Column("comment", sa.Text(), nullable=True),
        sa.Column("completed_at", MOMENT, nullable=True),
        sa.Column("scored_at", MOMENT, nullable=False, comment="grows with each version"),
        sa.Column("version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("sent_version", sa.Integer(), nullable=True, comment="the last that Spark took"),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("code", sa.Text(), nullable=True, comment="why it is not delivered"),
        sa.Column("created_at", MOMENT, server_default=NOW, nullable=False),
        sa.Column("updated_at", MOMENT, server_default=NOW, nullable=False),
        sa.Column("delivered_at", MOMENT, nullable=True),
        sa.CheckConstraint(
            "state in ('off', 'waiting', 'delivered', 'dead')", name=op.f("ck_grades_state")
        ),
        sa.ForeignKeyConstraint(
            ["quest_id"], ["quests.id"], name="fk_grades_quest_id", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name="fk_grades_user_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_grades"),
        sa.UniqueConstraint(
            "user_id",
            "spark_course_id",
            "spark_assignment_id",
            name="uq_grades_user_id_spark_course_id_spark_assignment_id",
        ),
        schema=SPARK,
    )
    for column in ("quest_id", "spark_assignment_id"):
        op.create_index(f"ix_grades_{column}", "grades", [column], schema=SPARK)


def _grade_attempts() -> None:
    op.create_table(
        "grade_attempts",
        sa.Column("id", sa.Uuid(), server_default=NEW_ID, nullable=False),
        sa.Column("grade_id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("ended_at", MOMENT, server_default=NOW, nullable=False),
        sa.Column("milliseconds", sa.Integer(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("answer", sa.Text(), nullable=False, comment="its first characters"),
        sa.ForeignKeyConstraint(
            ["grade_id"],
            ["spark.grades.id"],
            name="fk_grade_attempts_grade_id",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name="pk_grade_attempts"),
        schema=SPARK,
    )
    for column in ("grade_id", "ended_at"):
        op.create_index(f"ix_grade_attempts_{column}", "grade_attempts", [column], schema=SPARK)


def _downloads() -> None:
    op.create_table(
        "downloads",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("submission_id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("place", sa.Integer(), nullable=False, comment="kept for its block"),
        sa.Column(
            "is_private",
            sa.Boolean(),
            server_default=sa.text("false"),
            nullable=False,
            comment="its block is to be hidden",
        ),
        sa.Column("url", sa.Text(), nullable=True),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("filename", sa.Text(), nullable=False),
        sa.Column("declared_sha256", sa.LargeBinary(), nullable=True),
        sa.Column("declared_bytes", sa.BigInteger(), nullable=True),
        sa.Column("state", sa.Text(), server_default="pending", nullable=False),
        sa.Column("code", sa.Text(), nullable=True, comment="why it is not stored"),
        sa.Column("upload_id", sa.Uuid(), nullable=True),
        sa.Column("created_at", MOMENT, server_default=NOW, nullable=False),
        sa.Column("settled_at", MOMENT, nullable=True),
        sa.CheckConstraint(
            "state in ('pending', 'stored', 'dead')", name=op.f("ck_downloads_state")
        ),
        sa.ForeignKeyConstraint(
            ["submission_id"],
            ["spark.submission_revisions.id"],
            name="fk_downloads_submission_id",
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name="fk_downloads_user_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_downloads"),
        sa.UniqueConstraint(
            "submission_id", "position", name="uq_downloads_submission_id_position"
        ),
        schema=SPARK,
    )
    op.create_index("ix_downloads_user_id", "downloads", ["user_id"], schema=SPARK)
