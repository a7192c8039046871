"""The rows that `bench.scale` fills a database with: SQL, each statement one table.

Time passes from `age` ago until now; what happened at step `i` of `n` has an id of that moment.
A student hands in task after task, all students at the same pace, so that the rows of one lie apart
as they do in life. Every tenth handing-in is replaced by a second one, every eighth was refused
before it was accepted, and at the end comes a long run of refusals, half of
which wait to be processed again.
"""

TASKS = 50  # of each student, in quests of ten
PER_QUEST = 10
QUESTS = 200
REFUSED_AT_LAST = 50_000
WAITING = 1000  # events that no reader has seen
AGE = "interval '90 days'"

# An id of that moment (UUIDv7) that is the same each time it is asked for.
FUNCTIONS = (
    """
CREATE FUNCTION pg_temp.at(i bigint, n bigint) RETURNS timestamptz LANGUAGE sql STABLE
RETURN now() - {age} + {age} * (i::float8 / n)
""",
    """
CREATE FUNCTION pg_temp.id(kind text, i bigint) RETURNS uuid LANGUAGE sql IMMUTABLE
RETURN md5(kind || i)::uuid
""",
    """
CREATE FUNCTION pg_temp.id(kind text, i bigint, at timestamptz) RETURNS uuid LANGUAGE sql STABLE
RETURN (lpad(to_hex((date_part('epoch', at) * 1000)::bigint), 12, '0') || '7'
  || substr(md5(kind || i), 1, 3) || '8' || substr(md5(kind || i), 4, 15))::uuid
""",
)

# The base of most tables: a handing-in a row.
_HANDED_IN = """
SELECT i, s, j, at, q, pg_temp.id('user', s) AS user_id, pg_temp.id('quest', q) AS quest_id,
  pg_temp.id('task', i) AS task_id, pg_temp.id('completion', i, at) AS completion_id,
  pg_temp.id('document', i) AS document_id, pg_temp.id('revision', i, at) AS first_id,
  pg_temp.id('second', i, at) AS second_id, 'course_' || q AS spark_course_id,
  'assignment_' || q || '_' || j % {per_quest} AS spark_assignment_id,
  (array['stem', 'wellness', 'communication', 'civics', 'art'])[j % 5 + 1] AS pillar
FROM generate_series(0, {completions} - 1) AS i,
  LATERAL (SELECT i % {students} AS s, i / {students} AS j, pg_temp.at(i, {completions}) AS at) a,
  LATERAL (SELECT (s * 7 + j / {per_quest} * 41) % {quests} AS q) b
"""
_PICTURE = "(user_id || '/' || pg_temp.id('file', i) || '.png')"
_SUBMISSION = "'/spark/webhook/submission', 'application/json'"

STATEMENTS = {
    "users": """
INSERT INTO users (id, first_name, last_name, display_name, email, portfolio_slug, total_xp)
SELECT pg_temp.id('user', s), 'Student', s::text, 'Student ' || s,
  'student_' || s || '@example.org', 'student-' || s, {completions} / {students} * 100
FROM generate_series(0, {students} - 1) AS s
""",
    "links": """
INSERT INTO lms_integrations (user_id, lms_platform, lms_user_id)
SELECT pg_temp.id('user', s), 'spark', 'student_' || s FROM generate_series(0, {students} - 1) AS s
""",
    "quests": """
INSERT INTO quests (id, title, quest_type, lms_platform, lms_course_id)
SELECT pg_temp.id('quest', q), 'Quest ' || q, 'course', 'spark', 'course_' || q
FROM generate_series(0, {quests} - 1) AS q
""",
    "templates": """
INSERT INTO course_quest_tasks (id, quest_id, title, pillar, order_index)
SELECT pg_temp.id('template', q * {per_quest} + t), pg_temp.id('quest', q), 'Task ' || t, 'stem', t
FROM generate_series(0, {quests} - 1) AS q, generate_series(0, {per_quest} - 1) AS t
""",
    "courses": """
INSERT INTO spark.courses (id, lms_platform, spark_course_id, quest_id)
SELECT pg_temp.id('course', q), 'spark', 'course_' || q, pg_temp.id('quest', q)
FROM generate_series(0, {quests} - 1) AS q
""",
    "assignments": """
INSERT INTO spark.assignments (course_id, spark_assignment_id, task_id)
SELECT pg_temp.id('course', q), 'assignment_' || q || '_' || t,
  pg_temp.id('template', q * {per_quest} + t)
FROM generate_series(0, {quests} - 1) AS q, generate_series(0, {per_quest} - 1) AS t
""",
    "enrolments": """
INSERT INTO user_quests (id, user_id, quest_id)
SELECT pg_temp.id('enrolment', s * 5 + k), pg_temp.id('user', s),
  pg_temp.id('quest', (s * 7 + k * 41) % {quests})
FROM generate_series(0, {students} - 1) AS s, generate_series(0, 4) AS k
""",
    "tasks": """
INSERT INTO user_quest_tasks
  (id, user_id, quest_id, user_quest_id, title, pillar, order_index, source_task_id)
SELECT task_id, user_id, quest_id, pg_temp.id('enrolment', s * 5 + j / {per_quest}),
  'Task ' || j % {per_quest}, pillar, j % {per_quest},
  pg_temp.id('template', q * {per_quest} + j % {per_quest})
FROM ({handed_in}) AS h
""",
    "documents": """
INSERT INTO user_task_evidence_documents
  (id, user_id, quest_id, task_id, status, created_at, updated_at, completed_at)
SELECT document_id, user_id, quest_id, task_id, 'completed', at, at, at FROM ({handed_in}) AS h
""",
    "texts": """
INSERT INTO evidence_document_blocks
  (id, document_id, block_type, content, order_index, uploaded_by_user_id, created_at)
SELECT pg_temp.id('text', i), document_id, 'text',
  jsonb_build_object('text', 'Rain fell on four of seven days: ' || md5(i::text)), 0, user_id, at
FROM ({handed_in}) AS h
""",
    "pictures": """
INSERT INTO evidence_document_blocks
  (id, document_id, block_type, content, order_index, uploaded_by_user_id, created_at)
SELECT pg_temp.id('picture', i), document_id, 'image', jsonb_build_object(
    'url', 'evidence-files/' || {picture}, 'filename', 'rain.png', 'alt', 'rain.png',
    'caption', 'Rain', 'file_size', 482113, 'content_type', 'image/png'), 1, user_id, at
FROM ({handed_in}) AS h WHERE i % 3 = 0
""",
    "completions": """
INSERT INTO quest_task_completions
  (id, user_id, quest_id, task_id, user_quest_task_id, evidence_text, completed_at, created_at)
SELECT completion_id, user_id, quest_id, task_id, task_id,
  'Multi-format evidence document (Document ID: ' || document_id || ')', at, at
FROM ({handed_in}) AS h
""",
    "revisions": """
INSERT INTO spark.submission_revisions (id, completion_id, user_id, quest_id, revision,
  spark_assignment_id, spark_course_id, submission_text, fingerprint, block_ids, submitted_at,
  created_at, replaced_at, written_ids)
SELECT CASE WHEN r = 1 THEN first_id ELSE second_id END, completion_id, user_id, quest_id, r,
  spark_assignment_id, spark_course_id, 'Rain fell on four of seven days: ' || md5((i + r)::text),
  decode(md5((i + r)::text), 'hex'), array[pg_temp.id('text', i)]
    || CASE WHEN i % 3 = 0 THEN array[pg_temp.id('picture', i)] END, at + interval '1 second' * r,
  at + interval '1 second' * (r - 1),
  CASE WHEN r = 1 AND i % 10 = 0 THEN at + interval '2 seconds' END, array[pg_temp.id('text', i)]
    || CASE WHEN i % 3 = 0 THEN array[pg_temp.id('picture', i)] END
FROM ({handed_in}) AS h, generate_series(1, CASE WHEN i % 10 = 0 THEN 2 ELSE 1 END) AS r
""",
    "uploads": """
INSERT INTO spark.uploads (id, user_id, submission_id, object_key, state, lease_until, position,
  filename, content_type, size_bytes, sha256, stored_bytes, stored_sha256, location, created_at)
SELECT pg_temp.id('upload', i, at), user_id, first_id, {picture}, 'committed', at, 0, 'rain.png',
  'image/png', 482113, decode(md5(i::text) || md5(i::text), 'hex'), 482113,
  decode(md5(i::text) || md5(i::text), 'hex'), 'none', at
FROM ({handed_in}) AS h WHERE i % 3 = 0
""",
    "ledger": """
INSERT INTO spark.xp_ledger (id, user_id, task_id, completion_id, pillar, xp_amount, awarded_at)
SELECT pg_temp.id('award', i, at), user_id, task_id, completion_id, pillar, 100, at
FROM ({handed_in}) AS h
""",
    "totals": """
INSERT INTO user_skill_xp (user_id, pillar, xp_amount)
SELECT user_id, pillar, count(*) * 100 FROM ({handed_in}) AS h GROUP BY user_id, pillar
""",
    "deliveries": """
INSERT INTO spark.deliveries (id, route, media_type, received_at, answered_at, status, code, digest,
  request_id, webhook_id, message, body_bytes, user_id, spark_user_id, spark_assignment_id,
  spark_course_id, submission_id)
SELECT pg_temp.id('delivery', i * 2 + r, at), {submission}, at, at, 400 - 200 * r,
  CASE WHEN r = 1 THEN NULL WHEN i % 1000 = 0 THEN 'field_invalid' ELSE 'assignment_not_found' END,
  decode(md5(i::text || r) || md5(i::text), 'hex'), 'request-' || i * 2 + r, 'msg_' || i,
  convert_to('message ' || i, 'UTF8'), 214, user_id, 'student_' || s, spark_assignment_id,
  spark_course_id, CASE WHEN r = 1 THEN first_id END
FROM ({handed_in}) AS h, generate_series(CASE WHEN i % 8 = 0 THEN 0 ELSE 1 END, 1) AS r
""",
    "refusals": """
INSERT INTO spark.deliveries (id, route, media_type, received_at, answered_at, status, code, digest,
  request_id, webhook_id, message, body_bytes, spark_user_id, spark_assignment_id)
SELECT pg_temp.id('refusal', i, now()), {submission}, now(), now(), 400, 'user_not_found',
  decode(md5('r' || i), 'hex'), 'refusal-' || i, 'stray_' || i, convert_to('message ' || i, 'UTF8'),
  214, 'stranger_' || i % 100, 'unknown_' || i % 100
FROM generate_series(1, {refused}) AS i
""",
    "replays": """
INSERT INTO spark.jobs (kind, key, payload, created_at)
SELECT 'replay', pg_temp.id('refusal', i, now())::text, '{{}}', now()
FROM generate_series(1, {refused}, 2) AS i
""",
    "answers": """
INSERT INTO spark.idempotency_keys
  (key, user_id, owner, lease_until, fingerprint, response, created_at)
SELECT digest, user_id, id, received_at, digest, '{{"status": "success"}}'::jsonb, received_at
FROM spark.deliveries WHERE code IS NULL
""",
    "events": """
INSERT INTO user_activity_events
  (id, user_id, session_id, event_type, event_category, event_data, page_url, created_at)
SELECT pg_temp.id('event', i, at), CASE WHEN type NOT LIKE '%fail%' THEN pg_temp.id('user', s) END,
  pg_temp.id('session', i / 4), type, 'lms', CASE WHEN type = 'spark_webhook_success'
    THEN jsonb_build_object('spark_assignment_id', 'assignment_' || i % 200 || '_' || i % 10,
      'spark_course_id', 'course_' || i % 200, 'quest_id', pg_temp.id('quest', i % 200),
      'completion_id', pg_temp.id('completion', i), 'submission_id', pg_temp.id('revision', i),
      'file_count', 1, 'processing_time_ms', 40)
    WHEN type LIKE '%fail%' THEN jsonb_build_object('error_type', 'missing_field',
      'error_message', 'Missing required field', 'address_hash', '0123456789abcdef',
      'request_id', 'request-' || i)
    ELSE jsonb_build_object('spark_user_id', 'student_' || s) END,
  '/spark/webhook/submission', at
FROM generate_series(0, {events} - 1) AS i, LATERAL (
  SELECT pg_temp.at(i, {events}) AS at, i * 7919 % {students} AS s, CASE
    WHEN i % 100003 = 0 THEN 'spark_token_code_reuse' WHEN i % 1009 = 0 THEN 'spark_account_linked'
    WHEN i % 100 < 40 THEN 'spark_webhook_success' WHEN i % 100 < 60 THEN 'spark_sso_success'
    WHEN i % 100 < 80 THEN 'spark_token_exchange_success'
    WHEN i % 100 < 95 THEN 'spark_evidence_updated'
    WHEN i % 100 < 97 THEN 'spark_course_sync_success' WHEN i % 100 < 99 THEN 'spark_webhook_failed'
    ELSE 'spark_sso_failed' END AS type) AS happened
""",
    "feed": """
INSERT INTO spark.events (number, event_id, position) OVERRIDING SYSTEM VALUE
SELECT i + 1, pg_temp.id('event', i, pg_temp.at(i, {events})),
  CASE WHEN i < {events} - {waiting} THEN i + 1 END
FROM generate_series(0, {events} - 1) AS i
WHERE i % 100 < 97 OR i % 100003 = 0 OR i % 1009 = 0
""",
    "numbers": "SELECT setval(pg_get_serial_sequence('spark.events', 'number'), {events} + 1)",
}


def fill(statement: str, *, completions: int, events: int) -> str:
    """With the numbers in it."""
    numbers = {
        "completions": f"{completions}::bigint",
        "events": f"{events}::bigint",
        "students": f"{completions // TASKS}::bigint",
        "age": AGE,
        "quests": QUESTS,
        "per_quest": PER_QUEST,
        "refused": REFUSED_AT_LAST,
        "waiting": WAITING,
        "submission": _SUBMISSION,
        "picture": _PICTURE,
    }
    return statement.format(handed_in=_HANDED_IN.format(**numbers), **numbers)
