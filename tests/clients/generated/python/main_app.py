"""The main app's side: asks for a session, reads and saves evidence, is refused, adds a file."""

import json
import os
import sys
from pathlib import Path
from uuid import UUID

from client import AuthenticatedClient
from client.api.completions import get_completion
from client.api.evidence import get_evidence, put_evidence, upload_evidence_file
from client.api.sessions import introspect_session
from client.models import (
    BlockToSave,
    BlockToSaveContent,
    BlockToSaveType,
    CompletionAnswer,
    EvidenceAnswer,
    EvidenceFileForm,
    EvidenceToSave,
    Introspection,
    Problem,
    SavedAnswer,
    TokenToIntrospect,
    UploadedAnswer,
)
from client.types import File

token, user, task, completion, picture = sys.argv[1:]
user_id, task_id = UUID(user), UUID(task)
optio = AuthenticatedClient(base_url=os.environ["OPTIO_URL"], token=os.environ["OPTIO_KEY"])


def introspect(text: str) -> Introspection:
    answer = introspect_session.sync(client=optio, body=TokenToIntrospect(token=text))
    assert isinstance(answer, Introspection), answer
    return answer


def read() -> EvidenceAnswer:
    answer = get_evidence.sync(task_id, client=optio, user_id=user_id)
    assert isinstance(answer, EvidenceAnswer), answer
    return answer


def save() -> SavedAnswer | Problem | None:
    return put_evidence.sync(task_id, client=optio, body=draft, user_id=user_id)


def written(evidence: EvidenceAnswer) -> list[list[str]]:
    return [
        [block.block_type.value, block.provenance.written_by.value] for block in evidence.blocks
    ]


active, unknown = introspect(token), introspect("garbage")
completed = get_completion.sync(UUID(completion), client=optio)
assert isinstance(completed, CompletionAnswer), completed
missing = get_completion.sync(UUID(int=0), client=optio)
assert isinstance(missing, Problem), missing

before = read()
blocks = [BlockToSave.from_dict(block.to_dict()) for block in before.blocks]
added = BlockToSave(
    type_=BlockToSaveType.IMAGE, content=BlockToSaveContent.from_dict({"alt": "A rain gauge"})
)
draft = EvidenceToSave(blocks=[*blocks, added], version=before.version)
saved = save()
assert isinstance(saved, SavedAnswer), saved
stale = save()
assert isinstance(stale, Problem), stale
with Path(picture).open("rb") as payload:
    uploaded = upload_evidence_file.sync(
        saved.blocks[len(blocks)].id,
        client=optio,
        body=EvidenceFileForm(file=File(payload, "gauge.png")),
        user_id=user_id,
    )
assert isinstance(uploaded, UploadedAnswer), uploaded

assert str(completed.completed_at.tzinfo) == "UTC", completed.completed_at

answers = {
    "active": [active.active, str(active.user_id)],
    "unknown": unknown.active,
    "completed": [
        completed.xp_awarded,
        int(completed.completed_at.timestamp()),
        [block.block_type.value for block in completed.blocks],
        [file.size_bytes for file in completed.files],
    ],
    "missing": missing.code,
    "read": written(before),
    "saved": saved.status.value,
    "stale": stale.code,
    "uploaded": uploaded.file_size,
    "shown": written(read()),
}
sys.stdout.write(json.dumps(answers))
