"""A roster from Spark, from its first byte to its answer (CONTRACT 8.6)."""

from app.accounts.students import AccountRules
from app.courses.change_roster import RosterChange, RosterRun, change_roster, rehearse_roster
from app.courses.roster import Roster, RosterPayload, StudentPayload
from app.database import Sessions
from app.deliveries.keep_refusal import remember_refusal
from app.deliveries.open import Delivery, open_json
from app.deliveries.payload import beside_if_large, has_member, list_faults, read_payload
from app.deliveries.rehearsal import Rehearsal, rehearse_json
from app.errors import BadRequestError, JsonInvalidError, RequestBodyMissingError, ServiceError
from app.settings import Settings


async def receive_roster(
    settings: Settings, sessions: Sessions, delivery: Delivery, rules: AccountRules
) -> RosterChange:
    """Raises what `open_json` and `read_roster` raise, TimestampTooOldError,
    TimestampInFutureError or CourseNotFoundError; then nothing has changed.
    """
    entry = await open_json(settings, delivery)
    async with remember_refusal(sessions, entry, rules.tombstones.of_student):
        entry.attempt.check_fresh(now=delivery.now)
        roster = await beside_if_large(read_roster, entry.text)
        run = RosterRun(delivery.now, delivery.new_id, rules)
        return await change_roster(sessions, roster, entry, run)


async def rehearse_receipt(
    settings: Settings, sessions: Sessions, delivery: Delivery, rules: AccountRules
) -> Rehearsal:
    """Raises only what comes before the signature is verified, RateLimitedError, and outages.

    Problems of single entries are listed too, though they do not refuse the roster.
    """
    entry, rehearsal = await rehearse_json(settings, delivery, _list_faults)
    if rehearsal.problems:
        return rehearsal
    with rehearsal.going_on():
        roster = await beside_if_large(read_roster, entry.text)
        run = RosterRun(delivery.now, delivery.new_id, rules)
        change = await rehearse_roster(sessions, roster, run)
        rehearsal.foresee("revise")
        rehearsal.add(*(_placed(fault, index) for index, _, fault in change.faults))
    return rehearsal


def read_roster(raw: bytes) -> Roster:
    """Raises JsonInvalidError, FieldMissingError or FieldInvalidError, for the first fault."""
    if not raw:
        raise RequestBodyMissingError
    return read_payload(raw, _form(raw))


def _form(raw: bytes) -> type[RosterPayload | StudentPayload]:
    """Raises JsonInvalidError."""
    return StudentPayload if has_member(raw, "spark_user_id") else RosterPayload


def _list_faults(raw: bytes) -> list[BadRequestError]:
    if not raw:
        return [RequestBodyMissingError()]
    try:
        return list_faults(raw, _form(raw))
    except JsonInvalidError as fault:
        return [fault]


def _placed(fault: ServiceError, index: int) -> ServiceError:
    fault.hint_text = f"entries.{index}: {fault.hint_text or fault.title}"
    return fault
