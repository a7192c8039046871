"""Rows of others that keep a student from being deleted: what names them without going with them.

The main app has some two dozen such keys, and more with every month, so its catalogue is asked. The
function in schema `spark` counts with its owner's rights: ours end at the tables that we use.
"""

from uuid import UUID

from sqlalchemy import ARRAY, Text, bindparam, text

from app.database import Session
from app.errors import ReferencedElsewhereError
from app.privacy.holdings import HOLDINGS, OF_USER

# Of these the student's own rows go first.
_DELETED = [
    holding.name
    for holding in HOLDINGS
    if holding.is_deleted and "user_id" in holding.table.__table__.columns
]
_REFERENCES = text(
    "select name, sum(rows)::int from spark.references_to(:of_user, :deleted)"
    " group by name having sum(rows) > 0 order by name"
).bindparams(OF_USER, bindparam("deleted", type_=ARRAY(Text)))


async def refuse_if_referenced(session: Session, user_id: UUID) -> None:
    """Raises ReferencedElsewhereError, which says where and how often."""
    parameters = {"of_user": user_id, "deleted": _DELETED}
    found = (await session.execute(_REFERENCES, parameters)).all()
    references = [{"table": name, "rows": rows} for name, rows in found]
    if references:
        where = ", ".join(f"{name} ({rows})" for name, rows in found)
        hint = f"Nothing was changed. Delete these rows, or take the student out of them: {where}."
        raise ReferencedElsewhereError(hint=hint, references=references)
