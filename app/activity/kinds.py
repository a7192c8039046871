"""Every type of event: its sentence for people, and what who follows events reads of it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Kind:
    """`data` are the keys of `event_data` that can be relied on until the event is nobody's; a
    type without any is for the log alone, and nobody can follow it.
    """

    sentence: str
    data: tuple[str, ...] = ()


_SIGN_IN = ("spark_user_id", "jwt_issued_at", "user_created")
_HOMEWORK = (
    *("submission_id", "completion_id", "quest_id", "task_id"),
    *("spark_assignment_id", "spark_course_id", "file_count"),
    *("document_id", "xp_awarded", "pillar", "revision", "is_first"),
)
_GRADE = ("grade_id", "version", "quest_id", "task_id", "spark_assignment_id", "code")
_REFUSAL = ("error_type", "error_message", "request_id", "user_id")

# What is only counted: rows with `times`, one a minute, route and reason.
RATE_LIMITED, UNWRITTEN = "spark_rate_limited", "spark_failures_unwritten"

KINDS = {
    "spark_sso_success": Kind("Signed in from Spark", _SIGN_IN),
    "spark_sso_failed": Kind("Sign-in from Spark failed"),
    "spark_sso_token_expired": Kind("Sign-in from Spark refused, launch token expired"),
    "spark_sso_invalid_token": Kind("Sign-in from Spark refused, launch token invalid"),
    "spark_enrolment_failed": Kind("Enrolment at sign-in failed"),
    "spark_account_linked": Kind("Existing account linked to Spark", _SIGN_IN),
    "spark_token_exchange_success": Kind(
        "Code exchanged for app tokens", ("code_age_seconds", "user_id")
    ),
    "spark_token_exchange_failed": Kind("Code exchange failed"),
    "spark_token_code_reuse": Kind("Code exchange refused, code used before", _REFUSAL),
    "spark_token_code_expired": Kind("Code exchange refused, code expired", _REFUSAL),
    "spark_webhook_success": Kind("Submission recorded", (*_HOMEWORK, "processing_time_ms")),
    "spark_submission_restored": Kind("Earlier submission shown again", _HOMEWORK),
    "spark_evidence_updated": Kind(
        "Evidence edited", ("document_id", "task_id", "quest_id", "status")
    ),
    "spark_webhook_failed": Kind("Submission failed"),
    "spark_webhook_invalid_signature": Kind("Submission refused, signature invalid"),
    "spark_webhook_replay_attack": Kind("Submission refused, too old or repeated"),
    "spark_file_download_success": Kind("File downloaded"),
    "spark_file_download_failed": Kind("File download failed"),
    "spark_grade_sync_success": Kind("Grade taken by Spark", _GRADE),
    "spark_grade_sync_failed": Kind("Grade not taken by Spark", _GRADE),
    "spark_course_sync_failed": Kind("Course sync failed"),
    "spark_course_sync_success": Kind(
        "Course synced",
        ("spark_org_id", "spark_course_id", "quest_id", "task_count", "retired_count"),
    ),
    "spark_deep_link": Kind(
        "Work chosen for an assignment",
        ("link_id", "spark_course_id", "spark_assignment_id", "quest_id"),
    ),
    "spark_deep_link_failed": Kind("Choice of work failed"),
    "spark_message_repeated": Kind("Old course or roster message taken again"),
    "spark_roster_failed": Kind("Roster change failed"),
    "spark_roster_success": Kind(
        "Roster changed",
        ("spark_course_id", "enrolled", "dropped", "users_created", "unchanged", "errors"),
    ),
    "spark_roster_import_success": Kind("Roster imported", ("counts",)),
    "spark_expiry_announced": Kind(
        "Submissions announced that go because they are old", ("submissions", "goes_at")
    ),
    "student_erased": Kind("Student erased", ("erasure_id",)),
    RATE_LIMITED: Kind("Requests over a limit"),
    UNWRITTEN: Kind("More failures than could be kept"),
}

FOLLOWED = tuple(event_type for event_type, kind in KINDS.items() if kind.data)

# A type that contains "success" is one (CONTRACT 9.2), and so are these, which only ever succeed:
# that rule was made for the types before them, and edits would drown the rate of success.
SUCCEEDED = (
    "spark_account_linked",
    "spark_deep_link",
    "spark_submission_restored",
    "spark_evidence_updated",
    "spark_expiry_announced",
    "student_erased",
)
