"""What a roster file would change: each row gets its outcome, compared with what is here.

Statements work on sets of rows and are written as SQL, which says it best. Each takes a stretch of
rows or one course, so that none runs into the time limit of statements.

    users        create · link · unchanged · skipped (no student, or leaving) · error
    enrollments  enrol · drop · held · unchanged · skipped (no student) · error
    absent       drop · held · error: who takes part here and is not in a whole list any more
"""

from collections.abc import Callable
from uuid import UUID

from sqlalchemy import ARRAY, Text, TextClause, bindparam, text

from app.accounts.students import AccountRules
from app.accounts.tombstones import Tombstones, find_erased
from app.database import Sessions

STRETCH_ROWS = 5_000
HELD_PERCENT = 20  # of a course's students: so many do not leave at once by intent

# With roles.csv a student is who has the role of a student and no other.
_ROLES = text(
    """
    update spark.roster_rows r
    set is_student = coalesce((
      select bool_and(role.is_student) from spark.roster_rows role
      where role.import_id = r.import_id and role.source = 'roles'
        and role.spark_user_id = r.spark_user_id), false)
    where r.source = 'users' and exists (
      select from spark.roster_rows role
      where role.import_id = r.import_id and role.source = 'roles')
      and r.import_id = :import_id and r.number >= :first and r.number < :last
    """
)
_USERS = text(
    """
    update spark.roster_rows r set (outcome, code) = (
      select
        case
          when staff.found or r.leaves then 'skipped' when code is not null then 'error'
          when link.user_id is not null then 'unchanged'
          when owner.unlinked > 0 then 'link' else 'create'
        end,
        case when not (staff.found or r.leaves) then code end
      from (select exists (
          select from spark.roster_rows o
          where o.import_id = r.import_id and o.source = 'users'
            and o.spark_user_id = r.spark_user_id and not o.is_student) as found) staff
      left join (
          select l.user_id, u.role, u.deletion_status <> 'none' or not l.sync_enabled
            or l.sync_status = 'paused' as inactive
          from lms_integrations l join users u on u.id = l.user_id
          where l.lms_platform = 'spark' and l.lms_user_id = r.spark_user_id) link on true
      cross join lateral (
          select coalesce(bool_or(u.role <> 'student'), false) as staff,
            count(*) filter (where l.id is null) as unlinked,
            coalesce(bool_or(u.deletion_status <> 'none') filter (where l.id is null), false)
              as inactive
          from users u left join lms_integrations l
            on l.user_id = u.id and l.lms_platform = 'spark'
          where u.email = r.email) owner
      cross join lateral (select case
          when exists (
            select from spark.roster_rows o
            where o.import_id = r.import_id and o.source = 'users'
              and o.spark_user_id = r.spark_user_id and o.number < r.number) then 'repeated'
          when link.role <> 'student' then 'account_link_forbidden'
          when link.inactive then 'account_inactive'
          when link.user_id is not null then null
          when r.spark_user_id = any(:erased) then 'account_inactive'
          when owner.staff or owner.unlinked > 1 or (owner.unlinked = 1 and not :link_by_email)
            then 'account_link_forbidden'
          when owner.inactive then 'account_inactive'
        end as code) fault)
    where r.source = 'users' and r.outcome is null
      and r.import_id = :import_id and r.number >= :first and r.number < :last
    """
).bindparams(bindparam("erased", type_=ARRAY(Text)))
# Of who was erased and did not come back the report needs the id alone.
_FORGOTTEN = text(
    """
    update spark.roster_rows r set email = null, given_name = null, family_name = null
    where r.source = 'users' and r.spark_user_id = any(:erased) and not exists (
        select from lms_integrations l
        where l.lms_platform = 'spark' and l.lms_user_id = r.spark_user_id)
      and r.import_id = :import_id and r.number >= :first and r.number < :last
    """
).bindparams(bindparam("erased", type_=ARRAY(Text)))
_COURSES = text(
    """
    update spark.roster_rows r set quest_id = (
      select (array_agg(c.quest_id))[1] from spark.courses c
      where c.lms_platform = 'spark' and c.spark_course_id = r.spark_course_id
        and c.quest_id is not null
        and (r.spark_org_id = '' or c.spark_org_id = r.spark_org_id)
      having count(*) = 1)
    where r.source = 'enrollments' and r.outcome is null
      and r.import_id = :import_id and r.number >= :first and r.number < :last
    """
)
_ENROLMENTS = text(
    """
    update spark.roster_rows r set (outcome, code) = (
      select
        case
          when not r.is_student or staff.found then 'skipped' when code is not null then 'error'
          when said.before then 'unchanged'
          when r.leaves then
            case when enrolled.found and not said.stays then 'drop' else 'unchanged' end
          when enrolled.found then 'unchanged' else 'enrol'
        end,
        case when r.is_student and not staff.found then code end
      from (select exists (
          select from spark.roster_rows o
          where o.import_id = r.import_id and o.source = 'users'
            and o.spark_user_id = r.spark_user_id and not o.is_student) as found) staff
      cross join (select
          coalesce(bool_or(o.number < r.number and o.leaves = r.leaves), false) as before,
          coalesce(bool_or(not o.leaves), false) as stays
        from spark.roster_rows o
        where o.import_id = r.import_id and o.source = 'enrollments' and o.is_student
          and o.spark_user_id = r.spark_user_id and o.quest_id = r.quest_id) said
      left join (
          select l.user_id, u.role, u.deletion_status <> 'none' or not l.sync_enabled
            or l.sync_status = 'paused' as inactive
          from lms_integrations l join users u on u.id = l.user_id
          where l.lms_platform = 'spark' and l.lms_user_id = r.spark_user_id) link on true
      cross join lateral (select exists (
          select from user_quests q
          where q.user_id = link.user_id and q.quest_id = r.quest_id and q.is_active) as found
        ) enrolled
      cross join lateral (select case
          when r.quest_id is null then 'course_not_found'
          when link.role <> 'student' then 'account_link_forbidden'
          when link.inactive then 'account_inactive'
          when link.user_id is null and not r.leaves and not exists (
            select from spark.roster_rows o
            where o.import_id = r.import_id and o.source = 'users'
              and o.spark_user_id = r.spark_user_id and o.outcome in ('create', 'link'))
            then 'user_not_found'
        end as code) fault)
    where r.source = 'enrollments' and r.outcome is null
      and r.import_id = :import_id and r.number >= :first and r.number < :last
    """
)
# An enrolment that could not be read may be anybody's: then nobody counts as absent.
_LISTED_COURSES = text(
    """
    select distinct r.quest_id, i.is_whole and not exists (
        select from spark.roster_rows bad
        where bad.import_id = i.id and bad.source = 'enrollments' and bad.spark_user_id is null)
    from spark.roster_rows r join spark.roster_imports i on i.id = r.import_id
    where r.import_id = :import_id and r.quest_id is not null
    """
)
_ABSENT = text(
    """
    insert into spark.roster_rows
      (import_id, number, source, spark_user_id, is_student, quest_id, leaves, outcome, code)
    select :import_id, :last + row_number() over (order by l.lms_user_id), 'absent',
      l.lms_user_id, true, q.quest_id, true,
      case when fault.code is null then 'drop' else 'error' end, fault.code
    from user_quests q
    join users u on u.id = q.user_id
    join lms_integrations l on l.user_id = u.id and l.lms_platform = 'spark'
    cross join lateral (select case
        when u.role <> 'student' then 'account_link_forbidden'
        when u.deletion_status <> 'none' or not l.sync_enabled or l.sync_status = 'paused'
          then 'account_inactive' end as code) fault
    where q.quest_id = :quest_id and q.is_active and not exists (
      select from spark.roster_rows o
      where o.import_id = :import_id and o.source = 'enrollments'
        and o.spark_user_id = l.lms_user_id and o.quest_id = q.quest_id)
    """
)
_HOLD = text(
    """
    update spark.roster_rows r set outcome = 'held'
    where r.import_id = :import_id and r.quest_id = :quest_id and r.outcome = 'drop'
      and 100 * (select count(*) from spark.roster_rows d
           where d.import_id = :import_id and d.quest_id = :quest_id and d.outcome = 'drop')
        > :percent * (select count(*) from user_quests q
                    where q.quest_id = :quest_id and q.is_active)
    """
)
# Without it the planner takes a table that has just grown, or a column that was just filled, for
# what it was before, and reads far too much for each row.
_ANALYZE = text("analyze spark.roster_rows")
_STUDENTS = text(
    """
    select spark_user_id from spark.roster_rows
    where import_id = :import_id and number >= :first and number < :last
      and source = 'users' and spark_user_id is not null
    """
)
_LAST = text("select max(number) from spark.roster_rows where import_id = :import_id")


async def compare_roster(
    sessions: Sessions,
    import_id: UUID,
    *,
    rules: AccountRules,
    tell: Callable[[int, int], None],
) -> None:
    """Every row that has no outcome gets one. `tell` is given rows compared and rows in all."""
    async with sessions() as session, session.begin():
        last = (await session.execute(_LAST, {"import_id": import_id})).scalar_one()
    rows = 0 if last is None else last + 1
    erased = await _find_erased(sessions, import_id, rows, rules.tombstones)
    values = {
        "import_id": import_id,
        "link_by_email": rules.link_by_email,
        "erased": erased,
    }
    steps = (_ROLES, _USERS, _FORGOTTEN, _COURSES, _ENROLMENTS)
    for place, step in enumerate(steps):
        await _in_stretches(sessions, step, rows, values)
        tell((place + 1) * rows // len(steps), rows)
    await _compare_courses(sessions, import_id)


async def _find_erased(
    sessions: Sessions, import_id: UUID, rows: int, tombstones: Tombstones
) -> list[str]:
    """Those of the file who were ever erased: their hashes are made here, not in the database."""
    erased: list[str] = []
    for first in range(0, rows, STRETCH_ROWS):
        stretch = {"import_id": import_id, "first": first, "last": first + STRETCH_ROWS}
        async with sessions() as session, session.begin():
            students = (await session.execute(_STUDENTS, stretch)).scalars().all()
            erased += await find_erased(session, tombstones, students)
    return erased


async def _in_stretches(
    sessions: Sessions, step: TextClause, rows: int, values: dict[str, object]
) -> None:
    async with sessions() as session, session.begin():
        await session.execute(_ANALYZE)
    for first in range(0, rows, STRETCH_ROWS):
        async with sessions() as session, session.begin():
            await session.execute(step, values | {"first": first, "last": first + STRETCH_ROWS})


async def _compare_courses(sessions: Sessions, import_id: UUID) -> None:
    """Who is absent, and where too many would leave at once."""
    named: dict[str, object] = {"import_id": import_id}
    async with sessions() as session, session.begin():
        courses = (await session.execute(_LISTED_COURSES, named)).all()
    for quest_id, is_whole in courses:
        in_course = named | {"quest_id": quest_id}
        async with sessions() as session, session.begin():
            if is_whole:
                last = (await session.execute(_LAST, named)).scalar_one()
                await session.execute(_ABSENT, in_course | {"last": last})
            await session.execute(_HOLD, in_course | {"percent": HELD_PERCENT})
