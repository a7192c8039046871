"""The courses that the predecessor synced become courses of ours (ADOPTION 6, #21).

A template keeps its id: the students' copies name it as their source, so they stay recognised.
"""

from typing import NamedTuple

from sqlalchemy import Connection, text

from app.adoption.finding import Finding
from app.adoption.inspect_rows import NEVER_READ
from app.adoption.short_locks import in_short_locks
from app.database import Session, Sessions
from app.migrate import Tell
from app.models import PLATFORM, SPARK
from app.models.columns import PILLARS, TASK_XP

SOURCES = ("quest_sample_tasks", "quest_template_tasks")  # the first one that has a task wins
WRITTEN = ("course_quest_tasks", "quests")

_SOURCES = text(
    "select c.relname from pg_attribute a join pg_class c on c.oid = a.attrelid"
    " where c.relnamespace = 'public'::regnamespace and c.relname = any(:tables)"
    " and a.attname = 'spark_assignment_id' and not a.attisdropped"
)
_HAS_COURSES = text(f"select to_regclass('{SPARK}.courses') is not null")
_COURSES = "spark.courses"
_NO_COURSES = "(select '' as spark_course_id, null::uuid as quest_id where false)"
# Of a column that the main app has dropped, null.
_SOURCE = """
select {place} as place, id, quest_id, said ->> 'title' as title,
    said ->> 'description' as description, said ->> 'pillar' as pillar,
    (said ->> 'xp_value')::int as xp_value, (said ->> 'order_index')::int as order_index,
    nullif(said -> 'diploma_subjects', 'null') as diploma_subjects,
    nullif(said -> 'subject_xp_distribution', 'null') as subject_xp_distribution,
    spark_assignment_id::text
from (select id, quest_id, spark_assignment_id, to_jsonb(each) as said
    from public.{table} as each) as source
where spark_assignment_id::text <> '' and spark_assignment_id::text !~ '{never_read}'
"""
_NO_SOURCE = """
select 0 as place, id, quest_id, title, description, pillar, xp_value, order_index,
    diploma_subjects, subject_xp_distribution, '' as spark_assignment_id
from public.course_quest_tasks where false
"""
# A quest that shares its course id is left alone; so is a task that shares its assignment's id, or
# that course_quest_tasks would refuse; and an id that no message finds (inspect_rows counts those).
_FOUND = """
with claims as (
    select q.id, q.lms_course_id as course_id,
        count(*) over (partition by q.lms_course_id) = 1 and not exists (
            select from {courses} known where known.spark_course_id = q.lms_course_id) as is_clear
    from public.quests q
    where q.quest_type = 'course' and q.lms_course_id <> ''
        and q.lms_course_id !~ '{never_read}'
        and coalesce(q.lms_platform, '{platform}') = '{platform}'
        and not exists (select from {courses} known where known.quest_id = q.id)
), sources as (
    select distinct on (id) * from ({sources}) as each order by id, place
), tasks as (
    select sources.*, count(*) over (partition by quest_id, spark_assignment_id) = 1
        and title is not null and pillar in ({pillars}) and coalesce(xp_value, 1) > 0 as is_clear
    from sources where quest_id in (select id from claims where is_clear)
)
"""
_COUNT = """
select (select count(*) from claims where is_clear) as courses,
    (select count(*) from claims where not is_clear) as shared_courses,
    (select count(*) from tasks where is_clear) as assignments,
    (select count(*) from tasks where not is_clear) as unfit_assignments
"""
_MAP = """
, courses as (
    insert into spark.courses (lms_platform, spark_course_id, quest_id)
    select '{platform}', course_id, id from claims where is_clear
    on conflict do nothing returning id, quest_id
), templates as (
    insert into public.course_quest_tasks as ours (id, quest_id, title, description, pillar,
        xp_value, order_index, is_required, diploma_subjects, subject_xp_distribution)
    select id, quest_id, title, description, pillar, coalesce(xp_value, {xp}),
        coalesce(order_index, 0), true, coalesce(diploma_subjects, '["Electives"]'),
        coalesce(subject_xp_distribution, '{{}}')
    from tasks where is_clear and quest_id in (select quest_id from courses)
    on conflict (id) do update set quest_id = ours.quest_id where ours.quest_id = excluded.quest_id
    returning id, quest_id
), assignments as (
    insert into spark.assignments (course_id, spark_assignment_id, task_id, title, place)
    select courses.id, tasks.spark_assignment_id, templates.id, tasks.title,
        coalesce(tasks.order_index, 0)
    from templates join tasks using (id) join courses on courses.quest_id = templates.quest_id
), marked as (
    update public.quests set lms_platform = '{platform}'
    where id in (select quest_id from courses) and lms_platform is null
)
select count(*) from courses
"""
_CLAIMS = (
    "from public.quests where quest_type = 'course' and lms_course_id <> ''"
    f" and coalesce(lms_platform, '{PLATFORM}') = '{PLATFORM}'"
)
_SHARED = (
    f"select lms_course_id, id, title {_CLAIMS} and lms_course_id in"
    f" (select lms_course_id {_CLAIMS} group by 1 having count(*) > 1) order by 1"
)
_UNFIT = (
    "select quest_id, spark_assignment_id, id, title, pillar, xp_value from public.{}"
    " where spark_assignment_id is not null order by 1, 2"
)


class Counts(NamedTuple):
    """What can be mapped, and what stays as it is until somebody has decided."""

    courses: int
    shared_courses: int
    assignments: int
    unfit_assignments: int


async def plan_courses(session: Session, *, asked: bool) -> list[Finding]:
    counts = await session.run_sync(_count)
    courses = f"courses of the predecessor: {counts.courses}, assignments: {counts.assignments}"
    found = []
    if counts.courses and asked:
        found.append(Finding("would", "quests", f"map {courses}"))
    elif counts.courses:
        step = "`python -m app adopt --courses` maps them; until then Spark's messages miss them"
        found.append(Finding("data", "quests", courses, step))
    if counts.shared_courses:
        said = f"quests with a shared course id: {counts.shared_courses}; none of them is mapped"
        found.append(Finding("data", "quests", said, f"This lists them: {_SHARED}"))
    if counts.unfit_assignments:
        said = (
            f"assignments that are not mapped: {counts.unfit_assignments}; two of a quest have one"
            " id, or the task a pillar or XP that course_quest_tasks refuses"
        )
        lists = "; ".join(_UNFIT.format(table) for table in SOURCES)
        found.append(Finding("data", SOURCES[0], said, f"These list them: {lists}"))
    return found


async def map_courses(sessions: Sessions, tell: Tell) -> int:
    """Map what is clear, in one statement, and say how many courses they were. Safe to repeat."""
    return await in_short_locks(sessions, _map, WRITTEN, "row exclusive", tell)


def _count(connection: Connection) -> Counts:
    return Counts(*connection.execute(text(_found(connection) + _COUNT)).one())


def _map(connection: Connection) -> int:
    statement = _found(connection) + _MAP.format(platform=PLATFORM, xp=TASK_XP)
    return int(connection.execute(text(statement)).scalar_one())


def _found(connection: Connection) -> str:
    """What there is to map, by the tables and columns that are there."""
    there = set(connection.scalars(_SOURCES, {"tables": list(SOURCES)}))
    sources = [
        _SOURCE.format(place=place, table=table, never_read=NEVER_READ)
        for place, table in enumerate(SOURCES)
        if table in there
    ]
    return _FOUND.format(
        courses=_COURSES if connection.scalar(_HAS_COURSES) else _NO_COURSES,
        platform=PLATFORM,
        sources=" union all ".join(sources or [_NO_SOURCE]),
        pillars=PILLARS,
        never_read=NEVER_READ,
    )
