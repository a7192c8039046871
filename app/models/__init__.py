"""Every table. Rules that must hold are constraints here, not checks in code.

Schema `public` has the names and columns that the main app reads (CONTRACT 13); schema `spark`
is ours alone and carries no grants to the hosted data API's roles. Statements are Core; the
classes give them typed columns.
"""

from app.models.columns import PLATFORM, SCHOOL_SUBJECTS, SPARK, Table
from app.models.courses import SparkAssignment, SparkCourse
from app.models.evidence import LMS_EVENTS, ActivityEvent, EvidenceBlock, EvidenceDocument
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
from app.models.people import LmsIntegration, LmsSession, SparkAuthCode, SsoReplay, User
from app.models.rosters import RosterImport, RosterRow
from app.models.submissions import IdempotencyKey, InboxDelivery, SubmissionRevision, Upload

__all__ = [
    "LMS_EVENTS",
    "PLATFORM",
    "SCHOOL_SUBJECTS",
    "SPARK",
    "ActivityEvent",
    "CourseQuestTask",
    "EvidenceBlock",
    "EvidenceDocument",
    "IdempotencyKey",
    "InboxDelivery",
    "LmsIntegration",
    "LmsSession",
    "Quest",
    "QuestTaskCompletion",
    "RosterImport",
    "RosterRow",
    "SparkAssignment",
    "SparkAuthCode",
    "SparkCourse",
    "SsoReplay",
    "SubmissionRevision",
    "Table",
    "Upload",
    "User",
    "UserQuest",
    "UserQuestTask",
    "UserSkillXp",
    "UserSubjectXp",
    "XpAward",
]
