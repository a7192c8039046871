"""Which revision is current, and the files of revisions: those that came with it, or with the one
it restores.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from uuid import UUID

from sqlalchemy import ARRAY, Uuid, any_, bindparam, func, select

from app.database import Session
from app.models import QuestTaskCompletion, SubmissionRevision, Upload
from app.storage.kept_file import FILE_COLUMNS, KeptFile

FILES_OF = func.coalesce(SubmissionRevision.restored_from, SubmissionRevision.id)
IS_CURRENT = (SubmissionRevision.completion_id == QuestTaskCompletion.id) & (
    SubmissionRevision.replaced_at.is_(None)
)
_FILES = (
    select(
        Upload.submission_id,
        *FILE_COLUMNS,
    )
    .where(
        Upload.submission_id == any_(bindparam("revisions", type_=ARRAY(Uuid))),
        Upload.state == "committed",
        Upload.derived_from.is_(None),
    )
    .order_by(Upload.position)
)
_JPEGS = select(Upload.derived_from, *FILE_COLUMNS).where(
    Upload.derived_from == any_(bindparam("originals", type_=ARRAY(Uuid))),
    Upload.state == "committed",
)


async def list_files(
    session: Session, revision_ids: Iterable[UUID]
) -> Mapping[UUID, list[KeptFile]]:
    """The files that came with each revision, in the order received."""
    found = await session.execute(_FILES, {"revisions": list(revision_ids)})
    files: Mapping[UUID, list[KeptFile]] = defaultdict(list)
    for file in found.mappings():
        facts = dict(file)
        files[facts.pop("submission_id")].append(KeptFile(**facts))
    return files


async def list_shown(session: Session, files: Sequence[KeptFile]) -> list[KeptFile]:
    """Of these files what evidence shows: of a HEIC picture its JPEG, if it has one."""
    found = await session.execute(_JPEGS, {"originals": [file.id for file in files]})
    facts = [dict(jpeg) for jpeg in found.mappings()]
    jpegs = {of.pop("derived_from"): KeptFile(**of) for of in facts}
    return [jpegs.get(file.id, file) for file in files]
