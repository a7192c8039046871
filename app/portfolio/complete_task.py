"""Completing a task by its evidence, with the effects that handing it in from Spark has."""

from uuid import UUID

from sqlalchemy import Uuid, bindparam, func, literal, select

from app.database import Session
from app.evidence.documents import evidence_text
from app.learning.completion import complete
from app.learning.enrolment import settle
from app.learning.experience import award, award_parameters
from app.models import EvidenceDocument, UserQuest
from app.portfolio.open_evidence import OpenEvidence

_COMPLETION = complete(
    evidence_text(bindparam("document_id", type_=Uuid)),
    completed_at=bindparam("now", type_=EvidenceDocument.updated_at.type),
    is_shown=literal(value=True),
)
_PAID, _IN_ALL, _BY_SUBJECT = award(_COMPLETION)
_COMPLETE = select(func.coalesce(select(_PAID.c.xp_amount).scalar_subquery(), 0)).add_cte(
    _COMPLETION, _IN_ALL, _BY_SUBJECT
)
_QUEST_IS_COMPLETED = select(UserQuest.completed_at.is_not(None)).where(
    UserQuest.id == bindparam("user_quest_id")
)


async def complete_task(
    session: Session, opened: OpenEvidence, document_id: UUID
) -> tuple[int, bool]:
    """The XP that was paid, and whether the quest is completed. The caller holds the task's lock,
    and knows that it is not completed.
    """
    task, editor = opened.task, opened.editor
    defers_credit = (await editor.shape.read(session)).defers_credit
    paid = await session.execute(
        _COMPLETE,
        {
            "completion_id": editor.new_id(),
            "user_id": editor.user_id,
            "quest_id": task.quest_id,
            "document_id": document_id,
            "now": editor.now,
            **award_parameters(task, editor.new_id(), defers_credit=defers_credit),
        },
    )
    await settle(session, editor.shape, opened.user_quest_id, now=editor.now)
    settled = await session.execute(_QUEST_IS_COMPLETED, {"user_quest_id": opened.user_quest_id})
    return paid.scalar_one(), settled.scalar_one()
