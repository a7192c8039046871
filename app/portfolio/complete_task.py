"""Completing a task by its evidence, with the effects that handing it in from Spark has."""

from uuid import UUID

from app.database import Session, Statement
from app.evidence.documents import EVIDENCE_TEXT_SQL
from app.grades.write_grade import report_work
from app.learning.completion import COMPLETION_SQL
from app.learning.enrolment import SETTLED_SQL
from app.learning.experience import AWARDED_SQL, award_parameters
from app.portfolio.open_evidence import OpenEvidence

_COMPLETE = Statement(
    f"""
    with document as (select :document_id::uuid as id),
    {COMPLETION_SQL.format(evidence_text=EVIDENCE_TEXT_SQL)},
    {AWARDED_SQL},
    {SETTLED_SQL}
    select coalesce((select xp_amount from paid), 0) as xp_awarded,
      (select completed_at from settled union all
        select completed_at from user_quests
        where id = :user_quest_id and not exists (select from settled)) is not null
        as quest_is_completed
    """  # noqa: S608 - of our own pieces
)


async def complete_task(
    session: Session, opened: OpenEvidence, document_id: UUID
) -> tuple[int, bool]:
    """The XP that was paid, and whether the quest is completed. The caller holds the task's lock,
    and knows that it is not completed.
    """
    task, editor = opened.task, opened.editor
    defers_credit = (await editor.shape.read(session)).defers_credit
    completed = await _COMPLETE.send(
        session,
        {
            "completion_id": editor.new_id(),
            "user_id": editor.user_id,
            "quest_id": task.quest_id,
            "user_quest_id": opened.user_quest_id,
            "document_id": document_id,
            "raw_text": None,
            "is_latest": True,
            "completed_at": editor.now,
            "now": editor.now,
            "completes_quests": await editor.shape.completes_quests(session),
            **award_parameters(task, editor.new_id(), defers_credit=defers_credit),
        },
    )
    [row] = completed
    user_id, task_id = editor.user_id, task.task_id
    await report_work(session, editor.settings, user_id, task_id, new_id=editor.new_id)
    return row["xp_awarded"], row["quest_is_completed"]
