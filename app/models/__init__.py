"""Every table. Rules that must hold are constraints here, not checks in code.

Schema `public` has the names and columns that the main app reads (CONTRACT 13), on a database of
our own made by us, else its own; schema `spark` is ours alone everywhere (R28) and carries no
grants to the hosted data API's roles. Statements are Core; the
classes give them typed columns.
"""

from app.models.alerts import Alert
from app.models.columns import PLATFORM, SCHOOL_SUBJECTS, SPARK, Table
from app.models.courses import LINKS_SQL, SparkAssignment, SparkCourse, SparkLink
from app.models.evidence import (
    LMS_EVENTS,
    PERSONAL_EVENTS,
    PERSONAL_KEYS,
    REQUEST_ID,
    ActivityEvent,
    ActivityHour,
    EvidenceBlock,
    EvidenceDocument,
    FeedEntry,
)
from app.models.grades import Grade, GradeAttempt, LmsGradeSync
from app.models.jobs import Job, JobTarget
from app.models.learning import (
    CourseQuestTask,
    Quest,
    QuestTaskCompletion,
    UserQuest,
    UserQuestTask,
    UserSkillXp,
    UserSubjectXp,
    XpAward,
)
from app.models.people import (
    ConsoleSession,
    LmsIntegration,
    LmsSession,
    ServiceKey,
    SparkAuthCode,
    SsoReplay,
    User,
)
from app.models.records import (
    PRIVILEGED,
    Adoption,
    AuditEntry,
    Erasure,
    ExpiryCount,
    ExpiryNotice,
    Hold,
    Milestone,
    OrganisationErasure,
    TombstoneKey,
)
from app.models.rosters import RosterImport, RosterRow
from app.models.submissions import (
    IS_OWNERLESS,
    Download,
    IdempotencyKey,
    InboxDelivery,
    SubmissionRevision,
    Upload,
)

__all__ = [
    "IS_OWNERLESS",
    "LINKS_SQL",
    "LMS_EVENTS",
    "PERSONAL_EVENTS",
    "PERSONAL_KEYS",
    "PLATFORM",
    "PRIVILEGED",
    "REQUEST_ID",
    "SCHOOL_SUBJECTS",
    "SPARK",
    "ActivityEvent",
    "ActivityHour",
    "Adoption",
    "Alert",
    "AuditEntry",
    "ConsoleSession",
    "CourseQuestTask",
    "Download",
    "Erasure",
    "EvidenceBlock",
    "EvidenceDocument",
    "ExpiryCount",
    "ExpiryNotice",
    "FeedEntry",
    "Grade",
    "GradeAttempt",
    "Hold",
    "IdempotencyKey",
    "InboxDelivery",
    "Job",
    "JobTarget",
    "LmsGradeSync",
    "LmsIntegration",
    "LmsSession",
    "Milestone",
    "OrganisationErasure",
    "Quest",
    "QuestTaskCompletion",
    "RosterImport",
    "RosterRow",
    "ServiceKey",
    "SparkAssignment",
    "SparkAuthCode",
    "SparkCourse",
    "SparkLink",
    "SsoReplay",
    "SubmissionRevision",
    "Table",
    "TombstoneKey",
    "Upload",
    "User",
    "UserQuest",
    "UserQuestTask",
    "UserSkillXp",
    "UserSubjectXp",
    "XpAward",
]
