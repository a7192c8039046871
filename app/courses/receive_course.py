"""A course from Spark, from its first byte to its answer (CONTRACT 8.1)."""

from app.accounts.tombstones import Tombstones
from app.courses.course import CoursePayload
from app.courses.sync import CourseSync, rehearse_sync, sync_course
from app.database import Sessions
from app.deliveries.keep_refusal import remember_refusal
from app.deliveries.open import Delivery, open_json
from app.deliveries.payload import beside_if_large, list_faults, read_payload
from app.deliveries.rehearsal import Rehearsal, rehearse_json
from app.errors import (
    BadRequestError,
    CourseFieldMissingError,
    FieldMissingError,
    RequestBodyMissingError,
)
from app.settings import Settings


async def receive_course(
    settings: Settings, sessions: Sessions, delivery: Delivery, tombstones: Tombstones
) -> CourseSync:
    """Raises what `open_json` and `read_course` raise, TimestampTooOldError or
    TimestampInFutureError; then nothing has changed.
    """
    entry = await open_json(settings, delivery)
    async with remember_refusal(sessions, entry, tombstones.of_student):
        entry.attempt.check_fresh(now=delivery.now)
        course = await beside_if_large(read_course, entry.text)
        return await sync_course(sessions, course, entry, now=delivery.now, new_id=delivery.new_id)


async def rehearse_course(settings: Settings, sessions: Sessions, delivery: Delivery) -> Rehearsal:
    """Raises only what comes before the signature is verified, RateLimitedError, and outages."""
    entry, rehearsal = await rehearse_json(settings, delivery, _list_faults)
    if not rehearsal.problems:
        course = await beside_if_large(read_course, entry.text)
        synced = await rehearse_sync(sessions, course, now=delivery.now, new_id=delivery.new_id)
        rehearsal.foresee("create" if synced.is_new else "revise")
    return rehearsal


def read_course(raw: bytes) -> CoursePayload:
    """Raises JsonInvalidError, FieldMissingError or FieldInvalidError, for the first fault."""
    if not raw:
        raise RequestBodyMissingError
    try:
        return read_payload(raw, CoursePayload)
    except FieldMissingError:
        raise CourseFieldMissingError from None


def _list_faults(raw: bytes) -> list[BadRequestError]:
    faults = list_faults(raw, CoursePayload) if raw else [RequestBodyMissingError()]
    return [
        CourseFieldMissingError() if isinstance(fault, FieldMissingError) else fault
        for fault in faults
    ]
