"""Roster files: flat CSV and OneRoster 1.2, compared, applied, held and confirmed."""

from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from sqlalchemy import func, insert, select, update

from app.accounts.enlist import MAX_STUDENTS
from app.accounts.students import unroutable_email
from app.api.dependencies import Resources
from app.database import Sessions
from app.models import AuditEntry, LmsIntegration, RosterImport, RosterRow, User
from app.settings import Settings
from app.worker import sweep
from tests.support.elsewhere import run_elsewhere
from tests.support.kinds import ADMIN
from tests.support.problems import assert_problem
from tests.support.roster import Course, entry, new_student, roster, send, sync_course
from tests.support.roster_files import (
    ENROLLMENTS,
    FLAT,
    IMPORTS,
    ROLES,
    USERS,
    USERS_1_2,
    Importer,
    active_in,
    bundle,
    codes,
    counted,
    flat,
    linked,
    table,
    takes_part,
    user,
    whole_list,
)
from tests.support.running import Running
from tests.support.spark import Spark, submission


@pytest.fixture
async def course(spark: Spark) -> Course:
    return await sync_course(spark)


async def people(sessions: Sessions) -> list[tuple[Any, ...]]:
    """Everybody who is no student, as they are."""
    async with sessions() as session, session.begin():
        found = await session.execute(
            select(User.id, User.role, User.email, User.first_name)
            .where(User.role != "student")
            .order_by(User.id)
        )
        return [tuple(row) for row in found]


# ---------------------------------------------------------------------------- the flat file


async def test_nothing_changes_unless_it_is_applied(importer: Importer, sessions: Sessions) -> None:
    one, two = new_student(), new_student()
    report = await importer.check(flat(one, two))
    assert (report["state"], report["rows"]) == ("checked", 2)
    assert counted(report) == {"create": 2}
    assert await linked(sessions, one, two) == {}

    applied = await importer.apply(flat(one, two))
    assert (applied["state"], counted(applied)) == ("applied", {"create": 2})
    assert await linked(sessions, one, two) == {name: f"{name}@example.com" for name in (one, two)}
    assert counted(await importer.apply(flat(one, two))) == {"unchanged": 2}


async def test_what_was_compared_is_applied_by_its_id(
    importer: Importer, sessions: Sessions
) -> None:
    student = new_student()
    report = await importer.check(flat(student))
    compared = ("INTERNAL_API_KEYS[0]", "sensitive_create")
    assert await audited_acts(sessions, report["id"]) == [compared]
    for _ in range(2):
        assert (await importer.confirm(report["id"]))["state"] == "applied"
    applied = ("INTERNAL_API_KEYS[0]", "sensitive_update")
    assert await audited_acts(sessions, report["id"]) == [compared, applied, applied]
    assert list(await linked(sessions, student)) == [student]
    assert_problem(await importer.confirm_unknown(), 404, "not_found")


async def audited_acts(sessions: Sessions, import_id: str) -> list[tuple[str, str]]:
    """Who did what with it, as the audit log says."""
    async with sessions() as session, session.begin():
        found = await session.execute(
            select(AuditEntry.caller, AuditEntry.action)
            .where(AuditEntry.detail["import_id"].astext == import_id)
            .order_by(AuditEntry.occurred_at)
        )
        return [(row.caller, row.action) for row in found]


@pytest.mark.parametrize("row", ["P277"])
async def test_only_students_are_imported_and_staff_never_changes(
    importer: Importer, sessions: Sessions, row: str
) -> None:
    names = {role: new_student() for role in ("administrator", "teacher", "parent", "aide", "")}
    both, fine, shared = new_student(), new_student(), new_student()
    async with sessions() as session, session.begin():
        await session.execute(
            insert(User).values(id=uuid4(), email=f"{shared}@example.com", role=ADMIN)
        )
    before = await people(sessions)
    content = table(
        FLAT,
        *((name, f"{name}@example.com", "Ada", "Example", role) for role, name in names.items()),
        (both, "", "Ada", "Example", "student"),
        (both, "", "Ada", "Example", "Administrator"),
        (shared, f"{shared}@EXAMPLE.com", "Ada", "Example", "student"),
        (fine, "", "Ada", "Example", " Student "),
    )
    for report in (await importer.check(content), await importer.apply(content)):
        assert counted(report) == {"skipped": 7, "error": 1, "create": 1}
        assert codes(report)[0] == "account_link_forbidden"
    assert await people(sessions) == before
    assert await linked(sessions, *names.values(), both, shared, fine) == {
        fine: unroutable_email(fine)
    }


@pytest.mark.parametrize("row", ["P277"])
async def test_odd_rows_are_told_and_the_others_are_imported(
    importer: Importer, sessions: Sessions, row: str
) -> None:
    good, formula, lines, repeated = (new_student() for _ in range(4))
    content = b"\xef\xbb\xbf" + table(
        FLAT,
        (good, "", "Ada", "Example", "student"),
        (formula, "", '=HYPERLINK("http://x.example")', "+1", "student"),
        (lines, "", "Ada,\nAugusta", 'of "Lovelace"', "student"),
        (repeated, "", "Ada", "Example", "student"),
        (repeated, "", "Eve", "Example", "student"),
        ("", "", "Ada", "Example", "student"),
        ("x" * 256, "", "Ada", "Example", "student"),
    )
    content += f"{new_student()},,A\0da,Example,student\n".encode()
    content += f"{new_student()},,Zo\xeb,Example,student\n".encode("latin-1")
    content += f"{new_student()},,Ada,Exa,mple,student\n\n".encode()
    content += f'{new_student()},,"never closed{"x" * 140_000}\n'.encode()
    last = new_student()
    content += f"{last},,Ada,Example,student\n".encode()
    report = await importer.apply(content)
    assert counted(report) == {"create": 5, "error": 7}
    assert codes(report) == [
        "repeated",
        "id_invalid",
        "id_invalid",
        "nul_invalid",
        "encoding_invalid",
        "columns_invalid",
        "quotes_invalid",
    ]
    found = await linked(sessions, good, formula, lines, repeated, last)
    assert len(found) == 5
    async with sessions() as session, session.begin():
        unread = await session.execute(
            select(RosterRow.email, RosterRow.given_name, RosterRow.family_name).where(
                RosterRow.import_id == UUID(report["id"]), RosterRow.spark_user_id.is_(None)
            )
        )
        assert {tuple(row) for row in unread} == {(None, "", "")}  # they are nobody's
    async with sessions() as session, session.begin():
        names = await session.execute(
            select(User.first_name, User.last_name)
            .join(LmsIntegration, LmsIntegration.user_id == User.id)
            .where(LmsIntegration.lms_user_id.in_([formula, lines, repeated]))
        )
        assert {tuple(name) for name in names} == {
            ('=HYPERLINK("http://x.example")', "+1"),
            ("Ada, Augusta", 'of "Lovelace"'),
            ("Ada", "Example"),
        }


@pytest.mark.soak
async def test_one_student_may_fill_the_file(importer: Importer, sessions: Sessions) -> None:
    student = new_student()
    for report in (
        await importer.check(flat(*[student] * 20_000)),
        await importer.apply(flat(*[student] * 20_000)),
    ):
        assert counted(report) == {"create": 1, "error": 19_999}
        assert set(codes(report)) == {"repeated"}
    assert list(await linked(sessions, student)) == [student]


async def test_siblings_of_one_address_are_compared_as_they_are_applied(
    importer: Importer, sessions: Sessions
) -> None:
    """More of them than one transaction takes: the first is linked, and the others are not."""
    siblings = sorted(new_student() for _ in range(MAX_STUDENTS + 1))
    email = f"{siblings[0]}@example.com"
    async with sessions() as session, session.begin():
        await session.execute(insert(User).values(id=uuid4(), email=email, role="student"))
    content = table(FLAT, *((name, email, "Ada", "Example", "student") for name in siblings))
    report = await importer.check(content)
    assert counted(report) == {"link": 1, "create": MAX_STUDENTS}
    assert await linked(sessions, *siblings) == {}
    confirmed = await importer.confirm(report["id"])
    assert counted(confirmed) == {"link": 1, "create": MAX_STUDENTS}
    assert await linked(sessions, *siblings) == {siblings[0]: email} | {
        name: unroutable_email(name) for name in siblings[1:]
    }


@pytest.mark.parametrize("row", ["P093"])
async def test_paused_links_and_accounts_under_deletion_are_not_touched(
    importer: Importer, spark: Spark, course: Course, sessions: Sessions, row: str
) -> None:
    paused, leaving, fine = new_student(), new_student(), new_student()
    await send(spark, roster(course, *map(entry, (paused, leaving, fine))))
    async with sessions() as session, session.begin():
        await session.execute(
            update(LmsIntegration)
            .where(LmsIntegration.lms_user_id == paused)
            .values(sync_status="paused")
        )
        mine = select(LmsIntegration.user_id).where(LmsIntegration.lms_user_id == leaving)
        await session.execute(
            update(User).where(User.id.in_(mine)).values(deletion_status="pending")
        )
    report = await importer.apply(flat(paused, leaving, fine))
    assert counted(report) == {"error": 2, "unchanged": 1}
    assert codes(report) == ["account_inactive"] * 2
    absent = await importer.apply(whole_list(course, fine))
    assert counted(absent, "absent") == {"error": 2}
    assert await active_in(sessions, course) == {paused, leaving, fine}


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"a,b\n1,2\n", id="other columns"),
        pytest.param(flat("student").decode().encode("utf-16-le"), id="UTF-16 unmarked"),
        pytest.param(b"sourcedId,role\n" + b"x" * 300_000, id="one endless line"),
        pytest.param(bundle(users=flat("student")), id="a bundle without enrollments"),
        pytest.param(bundle(users=table(USERS_1_2), enrollments=table(ENROLLMENTS)), id="no roles"),
        pytest.param(whole_list(Course(uuid4(), "c", "o", None), "s")[:-30], id="half a zip"),  # type: ignore[arg-type]
    ],
)
async def test_what_is_no_roster_is_refused_and_leaves_nothing(
    importer: Importer, sessions: Sessions, content: bytes
) -> None:
    async def imports() -> int:
        async with sessions() as session, session.begin():
            return (await session.execute(select(func.count(RosterImport.id)))).scalar_one()

    before = await imports()
    assert_problem(await importer.post(content, apply="true"), 400, "roster_file_invalid")
    assert await imports() == before


async def test_an_import_needs_a_service_key(browser: httpx.AsyncClient) -> None:
    answer = await browser.post(IMPORTS, content=flat(new_student()))
    assert_problem(answer, 401, "unauthorized")


@pytest.mark.parametrize("row", ["P277"])
async def test_a_file_past_the_limit_is_refused_packed_or_unpacked(
    settings: Settings, main_app: dict[str, str], sessions: Sessions, row: str
) -> None:
    students = [new_student() for _ in range(100)]
    unpacked = flat(*students)
    packed = bundle(users=unpacked + b"\n" * 50_000, enrollments=table(ENROLLMENTS))
    assert len(packed) < 20_000 < len(unpacked + b"\n" * 50_000)
    async with (
        run_elsewhere(settings, max_roster_bytes=5000) as small,
        run_elsewhere(settings, max_roster_bytes=20_000) as larger,
    ):
        for content, elsewhere in ((unpacked, small), (packed, larger)):
            importer = Importer(elsewhere.spark.browser, main_app)
            assert_problem(await importer.post(content, apply="true"), 413, "body_too_large")
    assert await linked(sessions, *students) == {}


# ---------------------------------------------------------------------------- OneRoster


async def test_a_bundle_enrols_and_homework_may_come_before_the_first_sign_in(
    importer: Importer, spark: Spark, course: Course, sessions: Sessions
) -> None:
    student, teacher = new_student(), new_student()
    content = bundle(
        users=table(USERS, user(student), user(teacher, "teacher")),
        enrollments=table(
            ENROLLMENTS, takes_part(course, student), takes_part(course, teacher, "teacher")
        ),
    )
    report = await importer.apply(content)
    assert counted(report) == {"create": 1, "skipped": 1}
    assert counted(report, "enrollments") == {"enrol": 1, "skipped": 1}
    assert await active_in(sessions, course) == {student}
    answer = await spark.submit(submission(course.signed_in(student), course.assignment))
    assert answer.status_code == 200, answer.text
    assert counted(await importer.apply(content), "enrollments") == {"unchanged": 1, "skipped": 1}


async def test_roles_of_version_1_2_say_who_is_a_student(
    importer: Importer, course: Course, sessions: Sessions
) -> None:
    student, teacher, both, none = (new_student() for _ in range(4))
    people = (student, teacher, both, none)
    report = await importer.apply(
        bundle(
            users=table(USERS_1_2, *((name, "", "true", "Ada", "Example", "") for name in people)),
            roles=table(
                ROLES,
                ("1", student, "primary", "student", "24"),
                ("2", teacher, "primary", "teacher", "24"),
                ("3", both, "primary", "student", "24"),
                ("4", both, "secondary", "administrator", "24"),
            ),
            enrollments=table(ENROLLMENTS, *(takes_part(course, name) for name in people)),
        )
    )
    assert counted(report) == {"create": 1, "skipped": 3}
    assert counted(report, "enrollments") == {"enrol": 1, "skipped": 3}
    assert list(await linked(sessions, *people)) == [student]


async def test_with_roles_the_role_of_a_user_says_nothing(importer: Importer) -> None:
    listed, alone = new_student(), new_student()
    content = bundle(
        users=table(USERS, user(listed, "teacher"), user(alone)),
        roles=table(ROLES, ("1", listed, "primary", "student", "24")),
        enrollments=table(ENROLLMENTS),
    )
    report = await importer.check(content)
    assert counted(report) == {"create": 1, "skipped": 1}
    assert [row["spark_user_id"] for row in report["examples"]] == [alone]
    assert counted(await importer.confirm(report["id"])) == {"create": 1, "skipped": 1}


async def test_a_new_student_of_two_courses_is_compared_as_applied(
    importer: Importer, spark: Spark, course: Course, sessions: Sessions
) -> None:
    other, student = await sync_course(spark), new_student()
    content = bundle(
        users=table(USERS, user(student)),
        enrollments=table(
            ENROLLMENTS,
            *(takes_part(each, student) for each in (course, other, course)),
            takes_part(other, student, status="tobedeleted"),
        ),
    )
    report = await importer.check(content)
    assert await active_in(sessions, course) == await active_in(sessions, other) == set()
    for each in (report, await importer.confirm(report["id"])):
        assert counted(each) == {"create": 1}
        assert counted(each, "enrollments") == {"enrol": 2, "unchanged": 2}
    assert await active_in(sessions, course) == await active_in(sessions, other) == {student}


async def test_who_is_unknown_and_which_course_is_unknown_is_told(
    importer: Importer, spark: Spark, course: Course, sessions: Sessions
) -> None:
    unknown, known = new_student(), new_student()
    await send(spark, roster(await sync_course(spark), entry(known)))
    nowhere = Course(uuid4(), "no_such_course", "24", course.assignment)
    report = await importer.apply(
        bundle(
            users=table(USERS, user(new_student())),
            enrollments=table(
                ENROLLMENTS,
                takes_part(course, unknown),
                takes_part(nowhere, known),
                takes_part(course, known),
                takes_part(course, known),
            ),
        )
    )
    assert counted(report, "enrollments") == {"enrol": 1, "unchanged": 1, "error": 2}
    assert codes(report) == ["user_not_found", "course_not_found"]
    assert await active_in(sessions, course) == {known}


async def test_who_is_in_the_list_no_more_is_dropped(
    importer: Importer, course: Course, sessions: Sessions
) -> None:
    students = [new_student() for _ in range(10)]
    await importer.apply(whole_list(course, *students))
    report = await importer.apply(whole_list(course, *students[2:]))
    assert (report["state"], counted(report, "absent")) == ("applied", {"drop": 2})
    assert await active_in(sessions, course) == set(students[2:])


async def test_more_than_a_fifth_of_a_course_stays_until_it_is_confirmed(
    importer: Importer, spark: Spark, course: Course, sessions: Sessions
) -> None:
    other = await sync_course(spark)
    students = [new_student() for _ in range(10)]
    newcomer = new_student()
    await importer.apply(whole_list(course, *students))
    content = bundle(
        users=table(USERS, *map(user, [*students, newcomer])),
        enrollments=table(
            ENROLLMENTS,
            takes_part(course, students[0], status="tobedeleted"),
            *(takes_part(course, name) for name in students[3:]),
            takes_part(other, newcomer),
        ),
    )
    report = await importer.apply(content)
    assert report["state"] == "held"
    assert counted(report, "enrollments") == {"held": 1, "unchanged": 7, "enrol": 1}
    assert counted(report, "absent") == {"held": 2}
    assert await active_in(sessions, course) == set(students)
    assert await active_in(sessions, other) == {newcomer}

    for _ in range(2):
        confirmed = await importer.confirm(report["id"])
        assert (confirmed["state"], counted(confirmed, "absent")) == ("applied", {"drop": 2})
        assert await active_in(sessions, course) == set(students[3:])


async def test_a_delta_drops_only_whom_it_names(
    importer: Importer, course: Course, sessions: Sessions
) -> None:
    students = [new_student() for _ in range(10)]
    await importer.apply(whole_list(course, *students))
    report = await importer.apply(
        bundle(
            manifest=table(("propertyName", "value"), ("file.enrollments", "delta")),
            users=table(USERS, user(students[0])),
            enrollments=table(
                ENROLLMENTS,
                takes_part(course, students[0], status="tobedeleted"),
                takes_part(course, students[1], status="tobedeleted"),
                takes_part(course, students[1], status="active"),
            ),
        )
    )
    assert counted(report, "enrollments") == {"drop": 1, "unchanged": 2}
    assert counted(report, "absent") == {}
    assert await active_in(sessions, course) == set(students[1:])


@pytest.mark.parametrize(
    ("line", "code"),
    [
        pytest.param("1,,x\0y,24,z,student\n", "nul_invalid", id="NUL"),
        pytest.param(
            '1,,"x,24,z,student\n2,,x,24,y,student', "quotes_invalid", id="P277-quote-in-a-row"
        ),
        pytest.param(
            '1,,x,24,z,"student\n2,,x,24,y,student\n',
            "quotes_invalid",
            id="P277-quote-in-the-last-cell",
        ),
    ],
)
async def test_nobody_is_absent_from_a_list_that_cannot_be_read(
    importer: Importer, course: Course, sessions: Sessions, line: str, code: str
) -> None:
    students = [new_student() for _ in range(10)]
    await importer.apply(whole_list(course, *students))
    broken = table(ENROLLMENTS, *(takes_part(course, name) for name in students[1:]))
    report = await importer.apply(
        bundle(
            users=table(USERS, *map(user, students)),
            enrollments=broken + line.encode(),
        )
    )
    assert counted(report, "enrollments") == {"unchanged": 9, "error": 1}
    assert codes(report) == [code]
    assert counted(report, "absent") == {}
    assert await active_in(sessions, course) == set(students)


async def test_old_imports_are_removed(
    importer: Importer, server: Running, sessions: Sessions
) -> None:
    old, new = [(await importer.check(flat(new_student())))["id"] for _ in range(2)]
    async with sessions() as session, session.begin():
        await session.execute(
            update(RosterImport)
            .where(RosterImport.id == old)
            .values(created_at=func.now() - func.make_interval(0, 0, 0, 31))
        )
    resources: Resources = server.app.state.resources
    assert (await sweep(resources))["roster_imports"] == 1
    async with sessions() as session, session.begin():
        kept = await session.execute(
            select(RosterRow.import_id).where(RosterRow.import_id.in_([old, new]))
        )
        assert [str(import_id) for import_id in kept.scalars()] == [new]
