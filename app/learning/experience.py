"""XP: a task pays a student once; the ledger's unique key says so, the totals follow it."""

import json
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from app.learning.enrolment import Task
from app.models import SCHOOL_SUBJECTS

# No task is worth as much: a slip must not keep homework out or overflow the totals.
SLIP = 1_000_000

# Pieces of a statement that has `completion`: what is paid now for it, and how it adds up, in all
# (by pillar, too) and by school subject. No row if the task has paid before, or was completed
# before: then the main app has paid, which keeps no ledger. The caller has the student's turn.
# A statement does not see what it has just added: the pillar's sum comes from there.
AWARDED_SQL = """
    paid as (
      insert into spark.xp_ledger (id, user_id, task_id, completion_id, pillar, xp_amount)
      select :award_id::uuid, :user_id::uuid, :task_id::uuid, completion.id, :pillar::text,
        :xp_value::integer
      from completion where completion.is_new
      on conflict do nothing
      returning user_id, pillar, xp_amount),
    by_pillar as (
      insert into user_skill_xp (user_id, pillar, xp_amount)
      select user_id, pillar, xp_amount from paid
      on conflict (user_id, pillar) do update set
        xp_amount = user_skill_xp.xp_amount + excluded.xp_amount, updated_at = :now::timestamptz
      returning user_id, pillar, xp_amount),
    in_all as (
      update users set total_xp = by_pillar.xp_amount + (
        select coalesce(sum(other.xp_amount), 0) from user_skill_xp other
        where other.user_id = by_pillar.user_id and other.pillar <> by_pillar.pillar)
      from by_pillar where users.id = by_pillar.user_id),
    by_subject as (
      insert into user_subject_xp (user_id, school_subject, xp_amount)
      select paid.user_id, subject.name::school_subject, subject.amount
      from paid, unnest(:subjects::text[], :subject_xp::integer[]) as subject (name, amount)
      on conflict (user_id, school_subject) do update set
        xp_amount = user_subject_xp.xp_amount + excluded.xp_amount, updated_at = :now)
"""


def award_parameters(task: Task, award_id: UUID, *, defers_credit: bool) -> dict[str, Any]:
    """The values of AWARDED_SQL that come from the task. Credit that the main app defers is neither
    asked for nor given: the student does, and an adviser (ADOPTION #17).
    """
    subjects = {} if defers_credit else subject_xp(task.subject_xp_distribution)
    return {
        "award_id": award_id,
        "task_id": task.task_id,
        "pillar": task.pillar,
        "xp_value": task.xp_value,
        "subjects": list(subjects),
        "subject_xp": list(subjects.values()),
    }


def subject_xp(distribution: object) -> Mapping[str, int]:
    """What a distribution says in known subjects, in one order, so that two awards cannot lock
    each other out. Editors write subjects as they show them: `Language Arts`.
    """
    if isinstance(distribution, str):  # as the driver gives it
        distribution = json.loads(distribution)
    if not isinstance(distribution, dict):
        return {}
    named = {str(name).strip().lower().replace(" ", "_"): xp for name, xp in distribution.items()}
    return {
        name: xp
        for name, xp in sorted(named.items())
        if name in SCHOOL_SUBJECTS and type(xp) is int and 0 < xp < SLIP
    }
