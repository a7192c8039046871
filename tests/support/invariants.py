"""What must hold after any fault (FAULTS invariants L, D, O): nothing lost, doubled or orphaned.

Looks at a whole database and bucket from outside the service. The caller has let one sweep pass.
"""

import asyncio
import hashlib
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from sqlalchemy.pool import NullPool

from tests.support.stores import S3, Stores

if TYPE_CHECKING:
    from types_aiobotocore_s3 import S3Client

READERS = 16


@dataclass(frozen=True)
class Answered:
    """A submission that was answered 2xx: what was sent, with the files' SHA-256, and the body."""

    spark_user_id: str
    message: bytes
    text: str | None
    digests: tuple[str, ...]
    body: dict[str, Any]


@dataclass
class Faults:
    """What is wrong, in words; all empty when everything holds."""

    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    orphans: list[str] = field(default_factory=list)


NO_FAULTS = Faults()


async def find_faults(stores: Stores, answered: Sequence[Answered]) -> Faults:
    faults = Faults()
    engine = create_async_engine(stores.variables["DATABASE_URL"], poolclass=NullPool)
    async with engine.connect() as database, _open_s3(stores) as s3:
        keys = await _object_keys(s3, stores.variables["S3_BUCKET"])
        unfinished = await _unfinished_keys(s3, stores.variables["S3_BUCKET"])
        uploads = await _rows(database, "SELECT * FROM spark.uploads ORDER BY position")
        revisions = {row["id"]: row for row in await _rows(database, REVISIONS)}
        promised = {each.body["submission_id"] for each in answered}
        promised |= {str(row["restored_from"]) for row in revisions.values()}
        read = [row["object_key"] for row in uploads if str(row["submission_id"]) in promised]
        digests = await _digests(s3, stores.variables["S3_BUCKET"], keys.intersection(read))
        faults.lost += _lost(answered, revisions, uploads, digests)
        faults.lost += [
            f"blocks of revision {row['id']} are not shown"
            for row in await _rows(database, NOT_SHOWN)
        ]
        faults.doubled += _doubled_answers(answered)
        for what, statement in ONCE.items():
            faults.doubled += [f"{what}: {row}" for row in await _rows(database, statement)]
        faults.orphans += _orphans(uploads, keys, unfinished)
    return faults


# ---------------------------------------------------------------------------- lost

REVISIONS = """
SELECT r.*, l.lms_user_id, c.user_id AS completed_by
FROM spark.submission_revisions r
JOIN lms_integrations l ON l.user_id = r.user_id
JOIN quest_task_completions c ON c.id = r.completion_id
"""

# Of each completion the revision handed in last is the one that evidence shows.
CURRENT = """
WITH current AS (
    SELECT DISTINCT ON (completion_id) * FROM spark.submission_revisions
    ORDER BY completion_id, submitted_at DESC, revision DESC
)
"""
NOT_SHOWN = (
    CURRENT  # noqa: S608 - no value comes from outside
    + """
SELECT id FROM current WHERE cardinality(block_ids) <> (
    SELECT count(*) FROM evidence_document_blocks b WHERE b.id = ANY(current.block_ids)
) OR cardinality(block_ids) <> (submission_text IS NOT NULL)::int + (
    SELECT count(*) FROM spark.uploads u
    WHERE u.submission_id = coalesce(current.restored_from, current.id) AND u.derived_from IS NULL
)
"""
)


def _lost(
    answered: Iterable[Answered],
    revisions: dict[Any, dict[str, Any]],
    uploads: Iterable[dict[str, Any]],
    objects: dict[str, str],
) -> Iterable[str]:
    """Row by row and byte by byte: whatever an answer promised."""
    kept = {str(key): row for key, row in revisions.items()}
    files: dict[str, list[str | None]] = defaultdict(list)
    for upload in uploads:
        if upload["state"] == "committed" and not upload["derived_from"]:
            of_store = objects.get(upload["object_key"])
            is_same = of_store == upload["sha256"].hex()
            files[str(upload["submission_id"])].append(of_store if is_same else None)
    for each in answered:
        name = each.body["submission_id"]
        row = kept.get(name)
        if row is None:
            yield f"revision {name}"
        elif (str(row["completion_id"]), row["lms_user_id"], row["submission_text"]) != (
            each.body["completion_id"],
            each.spark_user_id,
            each.text,
        ):
            yield f"content of revision {name}"
        elif tuple(files[str(row["restored_from"] or name)]) != each.digests:
            yield f"files of revision {name}"


# ---------------------------------------------------------------------------- doubled

# Each finds nothing when the thing is there once.
ONCE = {
    "completions of a student and task": """
        SELECT user_id, task_id FROM quest_task_completions
        GROUP BY user_id, task_id HAVING count(*) > 1""",
    "revisions that no message or several made": """
        SELECT r.id, count(k.key) FROM spark.submission_revisions r
        LEFT JOIN spark.idempotency_keys k
            ON k.response ->> 'submission_id' = r.id::text AND k.response ->> 'duplicate' = 'false'
        WHERE r.restored_from IS NULL GROUP BY r.id HAVING count(k.key) <> 1""",
    "gaps in the numbers of revisions": """
        SELECT completion_id FROM spark.submission_revisions
        GROUP BY completion_id HAVING max(revision) <> count(*) OR min(revision) <> 1""",
    "events of a revision": """
        SELECT r.id, count(e.id) FROM spark.submission_revisions r
        LEFT JOIN user_activity_events e
            ON e.session_id = r.id
            AND e.event_type IN ('spark_webhook_success', 'spark_submission_restored')
        GROUP BY r.id HAVING count(e.id) <> 1""",
    "awards of a completion": """
        SELECT c.id, count(x.id) FROM quest_task_completions c
        LEFT JOIN spark.xp_ledger x ON x.completion_id = c.id
        GROUP BY c.id HAVING count(x.id) <> 1""",
    "totals that the ledger does not explain": """
        SELECT user_id, pillar, sum(amount) FROM (
            SELECT user_id, pillar, xp_amount AS amount FROM user_skill_xp
            UNION ALL SELECT user_id, pillar, -xp_amount FROM spark.xp_ledger
        ) AS both_sides GROUP BY user_id, pillar HAVING sum(amount) <> 0""",
    "documents of a student and task": """
        SELECT user_id, task_id FROM user_task_evidence_documents
        GROUP BY user_id, task_id HAVING count(*) > 1""",
    "blocks of revisions that were replaced": CURRENT  # noqa: S608 - as above
    + """
        SELECT b.id FROM evidence_document_blocks b
        WHERE NOT EXISTS (SELECT 1 FROM current WHERE b.id = ANY(current.block_ids))""",
}


def _doubled_answers(answered: Iterable[Answered]) -> Iterable[str]:
    """One completion for a student, and one revision for a message, in all their answers."""
    completions: dict[tuple[str, str], set[str]] = defaultdict(set)
    revisions: dict[bytes, set[str]] = defaultdict(set)
    paid: Counter[str] = Counter()
    for each in answered:
        completions[each.spark_user_id, each.body["task_id"]].add(each.body["completion_id"])
        revisions[each.message].add(each.body["submission_id"])
        paid[each.body["completion_id"]] += each.body["xp_awarded"] > 0
    yield from (f"completion of {who}: {ids}" for who, ids in completions.items() if len(ids) > 1)
    yield from (f"message became {ids}" for ids in revisions.values() if len(ids) > 1)
    yield from (f"XP of completion {name}" for name, times in paid.items() if times > 1)


# ---------------------------------------------------------------------------- orphans


def _orphans(
    uploads: Sequence[dict[str, Any]], keys: set[str], unfinished: Iterable[str]
) -> Iterable[str]:
    committed = {row["object_key"] for row in uploads if row["state"] == "committed"}
    yield from (f"object without a row: {key}" for key in keys - committed)
    yield from (f"row without an object: {key}" for key in committed - keys)
    yield from (f"unfinished upload to the store: {key}" for key in unfinished)
    for row in uploads:
        if row["state"] != "committed":
            yield f"upload {row['id']} is {row['state']}"
        elif row["submission_id"] is None:
            yield f"upload {row['id']} belongs to nothing"


# ---------------------------------------------------------------------------- looking


async def _rows(database: AsyncConnection, statement: str) -> list[dict[str, Any]]:
    found = await database.execute(text(statement))
    return [dict(row) for row in found.mappings()]


@asynccontextmanager
async def _open_s3(stores: Stores) -> "AsyncIterator[S3Client]":
    async with S3.client(
        "s3",
        endpoint_url=stores.variables["S3_ENDPOINT_URL"],
        region_name="us-east-1",
        aws_access_key_id=stores.variables["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=stores.variables["AWS_SECRET_ACCESS_KEY"],
    ) as client:
        yield client


async def _object_keys(s3: "S3Client", bucket: str) -> set[str]:
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket)
    return {item["Key"] async for page in pages for item in page.get("Contents", [])}


async def _digests(s3: "S3Client", bucket: str, keys: set[str]) -> dict[str, str]:
    """The SHA-256 of each object, read from the store."""
    turn = asyncio.Semaphore(READERS)

    async def digest(key: str) -> str:
        async with turn:
            found = await s3.get_object(Bucket=bucket, Key=key)
            return hashlib.sha256(await found["Body"].read()).hexdigest()

    return dict(zip(keys, await asyncio.gather(*map(digest, keys)), strict=True))


async def _unfinished_keys(s3: "S3Client", bucket: str) -> list[str]:
    pages = s3.get_paginator("list_multipart_uploads").paginate(Bucket=bucket)
    return [item["Key"] async for page in pages for item in page.get("Uploads", [])]
