"""A score is kept with its job, its mirror in the main app's table, or none of them.

A gradebook changes only by a human or on an operator's word (DESIGN R47).
"""

from collections.abc import Callable
from decimal import Decimal
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AwareDatetime, Field, ValidationInfo, field_validator

from app import fields
from app.activity.audit import record_audit
from app.adoption.people import DELETION_SQL, LINK_IS_ON_SQL, LINK_STATUS_SQL
from app.database import Columns, Session, Sessions, Statement, retried
from app.errors import GradeStaleError, NotFoundError
from app.jobs.call_spark import SPARK
from app.jobs.enqueue import job_of_each_sql
from app.models import LINKS_SQL, PLATFORM
from app.settings import Settings

GRADE = "grade"  # as a kind of job
FULL_SCORE = 100  # of GRADE_COMPLETED_SCORE

State = Literal["off", "waiting", "delivered", "dead"]
Score = Annotated[Decimal, Field(max_digits=5, decimal_places=2, examples=[87.5])]


class GradeRequest(fields.ContractModel):
    """A score that somebody gave."""

    user_id: fields.UserId
    task_id: fields.TaskId
    score: Score = Field(ge=0, description="At most `max_score`.")
    max_score: Score = Field(
        Decimal(FULL_SCORE), gt=0, description="What is full.", validate_default=True
    )
    comment: str | None = Field(
        None, max_length=1000, description="To the student, shown by Spark.", examples=["Well done"]
    )
    scored_at: AwareDatetime | None = Field(
        None,
        description="When; grows with each score of a task. Default: now.",
        examples=[fields.MOMENT_EXAMPLE],
    )

    @field_validator("max_score")
    @classmethod
    def _is_reached(cls, max_score: Decimal, others: ValidationInfo) -> Decimal:
        if max_score < others.data.get("score", 0):
            raise ValueError("It must not be less than `score`.")
        return max_score


class GradeState(fields.ContractModel):
    """A grade on its way."""

    id: fields.Id = Field(title="Grade id", description="The grade.")
    version: int = Field(ge=1, description="Grows with each change.", examples=[1])
    state: State = Field(
        description=(
            "`off`: Spark's API is not set up; `waiting`: on its way; `delivered`; `dead`: Spark"
            " refused it, or did not answer for a day."
        ),
        examples=["waiting"],
    )


GRADE_JOB_SQL = job_of_each_sql(GRADE, "grade where state = 'waiting'", target=f"'{SPARK}'")
# An automatic one says how far the work is, or the score of every completed task: it changes no
# grade that has a score.
_WRITE = Statement(
    f"""
    with work as (
      select t.user_id, t.quest_id, t.id as task_id, link.lms_user_id as spark_user_id,
        coalesce(r.spark_course_id, linked.spark_course_id, synced.spark_course_id,
          q.lms_course_id, '') as spark_course_id,
        coalesce(r.spark_assignment_id, linked.spark_assignment_id, synced.spark_assignment_id)
          as spark_assignment_id, done.completed_at
      from user_quest_tasks t
      join users on users.id = t.user_id and {DELETION_SQL} = 'none'
      join quests q on q.id = t.quest_id
      join lateral (
        select lms_user_id from lms_integrations
        where user_id = t.user_id and lms_platform = '{PLATFORM}' and {LINK_IS_ON_SQL}
          and {LINK_STATUS_SQL} <> 'paused'
        order by created_at desc nulls last, id limit 1) link on true
      left join quest_task_completions done on done.user_id = t.user_id and done.task_id = t.id
      left join spark.submission_revisions r on r.completion_id = done.id and r.replaced_at is null
      left join lateral (
        select spark_assignment_id, spark_course_id from (
          select a.spark_assignment_id, c.spark_course_id, c.spark_org_id
          from spark.assignments a join spark.courses c on c.id = a.course_id
          where a.task_id = t.source_task_id
          union all
          select q.lms_assignment_id, coalesce(q.lms_course_id, ''), ''
          where q.lms_assignment_id is not null) assignment
        where not exists (
          select from {LINKS_SQL} link
          where link.spark_assignment_id = assignment.spark_assignment_id
            and link.spark_course_id = assignment.spark_course_id
            and ('' in (link.spark_org_id, assignment.spark_org_id)
              or link.spark_org_id = assignment.spark_org_id))
        limit 1) synced on true
      left join lateral (
        select link.spark_assignment_id, link.spark_course_id from {LINKS_SQL} link
        left join spark.courses c on c.spark_course_id = link.spark_course_id
          and link.spark_org_id in ('', c.spark_org_id)
        left join user_quests e on e.quest_id = c.quest_id and e.user_id = t.user_id
        where link.quest_id = t.quest_id and case when link.task_id is not null
          then link.template_id = t.source_task_id
          else not exists (
            select from user_quest_tasks f where f.user_quest_id = t.user_quest_id
              and (coalesce(f.is_manual, false), f.order_index, f.created_at, f.id)
                < (coalesce(t.is_manual, false), t.order_index, t.created_at, t.id)) end
        order by e.is_active is true desc, link.chosen_at desc limit 1) linked on true
      where t.id = :task_id::uuid and t.user_id = :user_id::uuid),
    grade as (
      insert into spark.grades as g (id, user_id, quest_id, task_id, spark_user_id, spark_course_id,
        spark_assignment_id, score, max_score, comment, completed_at, scored_at, state)
      select :grade_id::uuid, user_id, quest_id, task_id, spark_user_id, spark_course_id,
        spark_assignment_id, :score::numeric, :max_score::numeric, :comment::text, completed_at,
        coalesce(:scored_at::timestamptz, now()), :state::text
      from work where spark_assignment_id is not null
      on conflict (user_id, spark_course_id, spark_assignment_id) do update set
        quest_id = excluded.quest_id, task_id = excluded.task_id, score = excluded.score,
        spark_user_id = excluded.spark_user_id, max_score = excluded.max_score,
        comment = excluded.comment, completed_at = excluded.completed_at,
        scored_at = coalesce(:scored_at, greatest(now(), g.scored_at + interval '1 microsecond')),
        version = g.version + 1, state = excluded.state, code = null, updated_at = now(),
        delivered_at = null
      where case when :is_automatic::boolean then g.score is null
        else (:scored_at is null or :scored_at > g.scored_at) and (g.state = 'off'
          or (g.score, g.max_score, g.comment)
            is distinct from (excluded.score, excluded.max_score, excluded.comment)) end
      returning *),
    mirror as (
      insert into lms_grade_sync as m
        (id, user_id, quest_id, lms_platform, lms_assignment_id, score, max_score)
      select id, user_id, quest_id, '{PLATFORM}', spark_assignment_id, score, max_score
      from grade where score is not null
      on conflict (id) do update set quest_id = excluded.quest_id, score = excluded.score,
        max_score = excluded.max_score, sync_status = 'pending', sync_attempts = 0,
        error_message = null, synced_at = null),
    {GRADE_JOB_SQL}
    select true as is_written, id, version, state, false as is_older from grade
    union all
    select false, g.id, g.version, g.state, :scored_at <= g.scored_at
      and (g.score, g.max_score, g.comment) is distinct from (:score, :max_score, :comment)
    from work join spark.grades g using (user_id, spark_course_id, spark_assignment_id)
    where not exists (select from grade)
    """  # noqa: S608 - of our own pieces
)


@retried
async def write_grade(
    sessions: Sessions, settings: Settings, grade: GradeRequest, *, grade_id: UUID, caller: str
) -> GradeState:
    """What somebody gave, with the job that sends it. The same again changes nothing. Audited.

    Raises NotFoundError, and GradeStaleError for a score that is older than the one kept.
    """
    async with sessions() as session, session.begin():
        row = await _write(session, settings, grade_id, **grade.model_dump())
        if row is None:
            raise NotFoundError(
                hint="The student has no such task, is not linked, or Spark has no assignment"
                " for it."
            )
        if row["is_older"]:
            raise GradeStaleError
        about = str(row["id"])
        await record_audit(
            session, caller, "sensitive_update", user_id=grade.user_id, grade_id=about
        )
    return GradeState.model_validate(dict(row))


async def report_work(
    session: Session,
    settings: Settings,
    user_id: UUID,
    task_id: UUID,
    *,
    new_id: Callable[[], UUID],
) -> None:
    """In the transaction of a work that was handed in: what settings say of it."""
    if not reports_work(settings):
        return
    score = settings.grade_completed_score
    await _write(
        session,
        settings,
        new_id(),
        user_id=user_id,
        task_id=task_id,
        score=score,
        max_score=None if score is None else Decimal(FULL_SCORE),
        is_automatic=True,
    )


def reports_work(settings: Settings) -> bool:
    wanted = settings.spark_send_progress or settings.grade_completed_score is not None
    return wanted and settings.spark_api_url is not None


async def _write(
    session: Session, settings: Settings, grade_id: UUID, **said: Any
) -> Columns | None:
    values: dict[str, Any] = {
        "grade_id": grade_id,
        "comment": None,
        "scored_at": None,
        "is_automatic": False,
        "state": "waiting" if settings.spark_api_url else "off",
        **said,
    }
    return next(iter(await _WRITE.send(session, values)), None)
