"""A course from Spark, from its first byte to its answer (CONTRACT 8.1)."""

from collections.abc import Sequence

from app.accounts.tombstones import Tombstones
from app.courses.course import CoursePayload
from app.courses.message_order import check_sent_at
from app.courses.sync import CourseSync, rehearse_sync, sync_course
from app.database import Sessions
from app.deliveries.keep_refusal import remember_refusal
from app.deliveries.open import Delivery, open_json
from app.deliveries.payload import beside_if_large, examine
from app.deliveries.rehearsal import Rehearsal, rehearse_json
from app.errors import (
    BadRequestError,
    CourseFieldMissingError,
    FieldMissingError,
    RequestBodyMissingError,
)
from app.fields import AnswerWarning
from app.settings import Settings


async def receive_course(
    settings: Settings, sessions: Sessions, delivery: Delivery, tombstones: Tombstones
) -> tuple[CourseSync, Sequence[AnswerWarning]]:
    """Raises what `open_json` raises, the first fault of the message, TimestampTooOldError,
    TimestampInFutureError or MessageSupersededError; then nothing has changed.
    """
    entry = await open_json(settings, delivery)
    async with remember_refusal(sessions, entry, tombstones.of_student):
        entry.attempt.check_fresh(now=delivery.now)
        course, faults, warnings = await beside_if_large(examine_course, entry.text)
        if course is None:
            raise faults[0]
        check_sent_at(course.sent_at, entry, now=delivery.now)
        synced = await sync_course(sessions, settings, course, entry, delivery)
        return synced, [*warnings, *synced.warnings]


async def rehearse_course(settings: Settings, sessions: Sessions, delivery: Delivery) -> Rehearsal:
    """Raises only what comes before the signature is verified, RateLimitedError, and outages."""
    course, entry, rehearsal = await rehearse_json(settings, delivery, examine_course)
    if course is None or rehearsal.problems:
        return rehearsal
    with rehearsal.going_on():
        check_sent_at(course.sent_at, entry, now=delivery.now)
        synced = await rehearse_sync(sessions, settings, course, entry, delivery)
        rehearsal.warn(*synced.warnings)
        rehearsal.foresee("create" if synced.is_new else "revise")
    return rehearsal


def examine_course(
    raw: bytes,
) -> tuple[CoursePayload | None, list[BadRequestError], list[AnswerWarning]]:
    """A course, or every fault that refuses it; and what was noticed."""
    if not raw:
        return None, [RequestBodyMissingError()], []
    course, faults, warnings = examine(raw, lambda _: CoursePayload)
    named = [
        CourseFieldMissingError() if isinstance(fault, FieldMissingError) else fault
        for fault in faults
    ]
    return course, named, warnings
