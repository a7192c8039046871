"""What each table holds of a student, and how the rows are found: the one page that says so.

The export reads from it and the erasure deletes by it, children before what they belong to. A new
table belongs on it, or among those that hold nothing: a test looks at every one.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    TableClause,
    Text,
    Uuid,
    any_,
    bindparam,
    column,
    or_,
    select,
    table,
    text,
)
from sqlalchemy.dialects.postgresql import array

from app.adoption.people import IS_STUDENT, NEWEST_LINK_FIRST
from app.database import Session
from app.models import (
    ActivityEvent,
    ActivityHour,
    Adoption,
    Alert,
    AuditEntry,
    ConsoleSession,
    CourseQuestTask,
    Download,
    Erasure,
    EvidenceBlock,
    EvidenceDocument,
    ExpiryCount,
    ExpiryNotice,
    FeedEntry,
    Grade,
    GradeAttempt,
    Hold,
    IdempotencyKey,
    InboxDelivery,
    Job,
    JobTarget,
    LmsGradeSync,
    LmsIntegration,
    LmsSession,
    Milestone,
    OrganisationErasure,
    Quest,
    QuestTaskCompletion,
    RosterImport,
    RosterRow,
    ServiceKey,
    SparkAssignment,
    SparkAuthCode,
    SparkCourse,
    SparkLink,
    SsoReplay,
    SubmissionRevision,
    Table,
    TombstoneKey,
    Upload,
    User,
    UserQuest,
    UserQuestTask,
    UserSkillXp,
    UserSubjectXp,
    XpAward,
)
from app.models.people import LINK_OF_USER
from app.privacy.purposes import (
    ACCOUNT,
    ACCOUNTABILITY,
    GRADES,
    HOMEWORK,
    OPERATION,
    PROGRESS,
    SIGN_IN,
    Purpose,
)

PAGE_ROWS = 200
PAGE_LARGE_ROWS = 8  # where a row may have a mebibyte and more

# The parameters of every condition; one of `of_spark_users` is null where there is no Spark id.
OF_USER = bindparam("of_user", type_=Uuid)
OF_SPARK_USERS = bindparam("of_spark_users", type_=ARRAY(Text))
# Every user, with the Spark id if there is one; a row for each where there are several.
LINKED_USER = (
    select(User.id, IS_STUDENT.label("is_student"), LmsIntegration.lms_user_id)
    .outerjoin(LmsIntegration, LINK_OF_USER)
    .order_by(*NEWEST_LINK_FIRST)
)


AS_THE_ACCOUNT = "as long as the account"


@dataclass(frozen=True)
class Holding:
    """Rows of `table` that are `of` a student. `secrets` are columns that are never shown.

    `is_deleted` is false for rows that an erasure removes or changes in a way of its own;
    `by_spark` says that Spark may have named there a student who has no account; `expires` that
    what Spark handed in goes by SUBMISSION_RETENTION_DAYS; `lasts` how long the others stay, if no
    rule of `retention` says.
    """

    table: type[Table]
    what: str
    purpose: Purpose
    of: ColumnElement[bool]
    secrets: Collection[str] = ()
    expires: bool = False
    lasts: str = AS_THE_ACCOUNT
    page_rows: int = PAGE_ROWS
    is_deleted: bool = True
    by_spark: bool = False

    @property
    def name(self) -> str:
        found: Any = self.table.__table__
        return f"{found.schema or 'public'}.{found.name}"


def _owned(table: Any, what: str, purpose: Purpose, **more: Any) -> Holding:
    return Holding(table, what, purpose, table.user_id == OF_USER, **more)


_DOCUMENTS = select(EvidenceDocument.id).where(EvidenceDocument.user_id == OF_USER)
_GRADES = select(Grade.id).where(Grade.user_id == OF_USER)
_EVENTS = select(ActivityEvent.id).where(ActivityEvent.user_id == OF_USER)

HOLDINGS = (
    Holding(
        AuditEntry,
        "who read or changed the student's data, and when",
        ACCOUNTABILITY,
        or_(AuditEntry.user_id == OF_USER, AuditEntry.user_ids.contains(array([OF_USER]))),
        secrets=("user_ids",),  # others
        is_deleted=False,  # made nobody's
    ),
    _owned(
        Upload,
        "files: name, type, size and digest; the files lie in the file store",
        HOMEWORK,
        is_deleted=False,  # with their objects
        expires=True,
    ),
    Holding(
        FeedEntry,
        "which events the main app may follow",
        OPERATION,
        FeedEntry.event_id.in_(_EVENTS),
        lasts="as the event itself",
    ),
    _owned(ActivityEvent, "what happened: sign-ins, homework, edits; by ids", OPERATION),
    Holding(
        RosterRow,
        "rows of roster files: Spark id, name, e-mail address, course",
        ACCOUNT,
        # Each import by itself: the index begins with it.
        RosterRow.import_id.in_(select(RosterImport.id))
        & (RosterRow.spark_user_id == any_(OF_SPARK_USERS)),
        by_spark=True,
    ),
    Holding(
        InboxDelivery,
        "messages from Spark with the text of homework, and what they were answered",
        OPERATION,
        or_(InboxDelivery.user_id == OF_USER, InboxDelivery.spark_user_id == any_(OF_SPARK_USERS)),
        page_rows=PAGE_LARGE_ROWS,
        by_spark=True,
    ),
    _owned(IdempotencyKey, "what a repeated message is answered; by ids", OPERATION),
    Holding(
        GradeAttempt,
        "how a grade was sent, and Spark's answer",
        GRADES,
        GradeAttempt.grade_id.in_(_GRADES),
    ),
    _owned(Grade, "grades for Spark, with the teacher's comment", GRADES),
    _owned(LmsGradeSync, "grades for Spark and others, as the main app shows them", GRADES),
    _owned(
        Download,
        "what became of files that homework named by their address",
        HOMEWORK,
        secrets=("url",),
        expires=True,
    ),
    _owned(Job, "what is still to be done; by ids", OPERATION, lasts="until it is done"),
    _owned(
        Hold,
        "why homework is kept beyond its time",
        ACCOUNTABILITY,
        lasts="until it is lifted",
    ),
    Holding(
        EvidenceBlock,
        "texts, pictures and links of the evidence documents",
        HOMEWORK,
        EvidenceBlock.document_id.in_(_DOCUMENTS),
        page_rows=PAGE_LARGE_ROWS,
        expires=True,
    ),
    _owned(EvidenceDocument, "evidence documents: of which task, and when", HOMEWORK),
    _owned(
        SubmissionRevision,
        "what was handed in, every revision: text, grade, times",
        HOMEWORK,
        page_rows=PAGE_LARGE_ROWS,
        expires=True,
    ),
    _owned(XpAward, "XP, task by task", PROGRESS),
    _owned(UserSkillXp, "XP in all, by pillar", PROGRESS),
    _owned(UserSubjectXp, "XP in all, by school subject", PROGRESS),
    _owned(QuestTaskCompletion, "completed tasks", PROGRESS, page_rows=PAGE_LARGE_ROWS),
    _owned(UserQuestTask, "the student's tasks", PROGRESS),
    _owned(UserQuest, "enrolments", PROGRESS),
    _owned(SparkAuthCode, "one-time codes of sign-ins, as digests", SIGN_IN, secrets=("code",)),
    _owned(LmsSession, "sign-ins, without addresses", SIGN_IN, secrets=("session_token",)),
    _owned(LmsIntegration, "the link to Spark: the student's id there", ACCOUNT),
    Holding(User, "the account: name, e-mail address, role", ACCOUNT, User.id == OF_USER),
)

# Of the main app alone, by `user_id`, where they are there: a trigger of its own writes the first.
OPTIONAL = {
    "diplomas": "the page that shows what was finished; its address has the name",
    "user_skill_details": "skills, one by one",
}
_IS_THERE = text(
    "select name from unnest(:names) as optional (name)"
    " where to_regclass('public.' || name) is not null"
).bindparams(bindparam("names", type_=ARRAY(Text)))


async def find_optional(session: Session) -> list[tuple[str, TableClause]]:
    """Those of OPTIONAL that this database has, by the names of holdings."""
    found = await session.execute(_IS_THERE, {"names": list(OPTIONAL)})
    return [
        (f"public.{name}", table(name, column("user_id", Uuid), schema="public"))
        for name in found.scalars()
    ]


NOTHING: Mapping[type[Table], str] = {
    ActivityHour: "counts of events; an erasure takes the student's own out of them",
    Adoption: "when the database was adopted, and how many rows of which kind were found",
    Alert: "what operators were told: counts by code",
    ConsoleSession: "who is at the console, gone a day after it began",
    CourseQuestTask: "template tasks of a course",
    Erasure: "the tombstone: keyed hashes, and the ids only until it is completed",
    ExpiryCount: "how much of an organisation went in a year because it was old",
    ExpiryNotice: "when it was announced what goes, and how much",
    JobTarget: "whether Spark, the stores of its files and the receiver of alerts can be reached",
    Milestone: "what was seen of going live, and when",
    OrganisationErasure: "the certificate that a school's data is erased: counts, and by whom",
    Quest: "course content; `created_by` becomes null with the account",
    RosterImport: "when a file was imported; its rows are in roster_rows",
    ServiceKey: "credentials of services",
    SparkAssignment: "assignments of a course",
    SparkCourse: "courses",
    SparkLink: "which work an assignment means; of the teacher who chose it, a keyed hash",
    TombstoneKey: "the key of the tombstones' hashes",
    SsoReplay: "digests of launch tokens, gone a day after they expire",
}
