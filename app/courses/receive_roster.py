"""A roster from Spark, from its first byte to its answer (CONTRACT 8.6)."""

from collections.abc import Mapping, Sequence
from typing import Any

from app.accounts.students import AccountRules
from app.courses.change_roster import RosterChange, RosterRun, change_roster, rehearse_roster
from app.courses.message_order import check_sent_at
from app.courses.roster import Roster, RosterPayload, StudentPayload
from app.database import Sessions
from app.deliveries.keep_refusal import remember_refusal
from app.deliveries.open import Delivery, open_json
from app.deliveries.payload import beside_if_large, examine
from app.deliveries.rehearsal import Rehearsal, rehearse_json
from app.errors import BadRequestError, RequestBodyMissingError, ServiceError
from app.fields import AnswerWarning
from app.settings import Settings


async def receive_roster(
    settings: Settings, sessions: Sessions, delivery: Delivery, rules: AccountRules
) -> tuple[RosterChange, Sequence[AnswerWarning]]:
    """Raises what `open_json` raises, the first fault of the message, TimestampTooOldError,
    TimestampInFutureError, CourseNotFoundError or MessageSupersededError; then nothing has changed
    but what `change_roster` says.
    """
    entry = await open_json(settings, delivery)
    async with remember_refusal(sessions, entry, rules.tombstones.of_student):
        entry.attempt.check_fresh(now=delivery.now)
        roster, faults, warnings = await beside_if_large(examine_roster, entry.text)
        if roster is None:
            raise faults[0]
        check_sent_at(roster.sent_at, entry, now=delivery.now)
        run = _run_of(delivery, settings, rules)
        change = await change_roster(sessions, roster, entry, run)
        return change, [*warnings, *change.warnings]


async def rehearse_receipt(
    settings: Settings, sessions: Sessions, delivery: Delivery, rules: AccountRules
) -> Rehearsal:
    """Raises only what comes before the signature is verified, RateLimitedError, and outages.

    Problems of single entries are listed too, though they do not refuse the roster.
    """
    roster, entry, rehearsal = await rehearse_json(settings, delivery, examine_roster)
    if roster is None or rehearsal.problems:
        return rehearsal
    with rehearsal.going_on():
        check_sent_at(roster.sent_at, entry, now=delivery.now)
        run = _run_of(delivery, settings, rules)
        change = await rehearse_roster(sessions, roster, entry, run)
        rehearsal.warn(*change.warnings)
        rehearsal.foresee("revise")
        rehearsal.add(*(_placed(fault, index) for index, _, fault in change.faults))
    return rehearsal


def _run_of(delivery: Delivery, settings: Settings, rules: AccountRules) -> RosterRun:
    return RosterRun(
        now=delivery.now,
        new_id=delivery.new_id,
        rules=rules,
        caller=delivery.route,
        requires_time=settings.webhook_require_time,
    )


def examine_roster(raw: bytes) -> tuple[Roster | None, list[BadRequestError], list[AnswerWarning]]:
    """A roster, in either form, or every fault that refuses it; and what was noticed."""
    if not raw:
        return None, [RequestBodyMissingError()], []
    return examine(raw, _form_of)


def _form_of(content: Mapping[str, Any]) -> type[Roster]:
    return StudentPayload if "spark_user_id" in content else RosterPayload


def _placed(fault: ServiceError, index: int) -> ServiceError:
    fault.hint_text = f"entries.{index}: {fault.hint_text or fault.title}"
    return fault
