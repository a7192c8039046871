"""A student has completed a task: the one row that says so."""

from typing import Any

from sqlalchemy import CTE, ColumnElement, Uuid, bindparam, case, literal_column, select
from sqlalchemy.dialects.postgresql import insert

from app.models import QuestTaskCompletion

_IS_NEW = (literal_column("xmax") == literal_column("0")).label("is_new")  # nobody updated the row
_IDS = ("completion_id", "user_id", "quest_id", "task_id")


def complete(
    evidence_text: ColumnElement[str],
    *,
    completed_at: ColumnElement[Any],
    is_shown: ColumnElement[bool],
) -> CTE:
    """A piece of a statement: the completion of `:user_id` and `:task_id`, made with
    `:completion_id` if there is none. One that is there keeps its time, and its evidence_text
    unless `is_shown`. Returns its id, and whether it `is_new`.
    """
    new_id, user_id, quest_id, task_id = (bindparam(name, type_=Uuid) for name in _IDS)
    new = insert(QuestTaskCompletion).from_select(
        [
            "id",
            "user_id",
            "quest_id",
            "task_id",
            "user_quest_task_id",
            "evidence_text",
            "completed_at",
        ],
        select(new_id, user_id, quest_id, task_id, task_id, evidence_text, completed_at),
    )
    return (
        new.on_conflict_do_update(
            index_elements=[QuestTaskCompletion.user_id, QuestTaskCompletion.task_id],
            set_={
                "evidence_text": case(
                    (is_shown, new.excluded.evidence_text),
                    else_=QuestTaskCompletion.evidence_text,
                ),
                "updated_at": bindparam("now"),
            },
        )
        .returning(QuestTaskCompletion.id, _IS_NEW)
        .cte("completion")
    )
