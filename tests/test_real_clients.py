"""Homework as the clients that Spark's developers may use send it, each with its own defaults.

The test signs; the program only sends the text and a form, and prints what came back.
"""

import hashlib
import json
import secrets
import sys
from pathlib import Path
from typing import Any

import pytest

from app.signing import sign
from tests.support.canaries import CANARIES
from tests.support.programs import (
    SENDERS,
    needs_guzzle,
    needs_javac,
    needs_node,
    needs_php,
    needs_senders,
    run_program,
)
from tests.support.running import Running
from tests.support.spark import SUBMISSION, Assignment, SignedIn, submission

pytestmark = pytest.mark.soak

NAMES = ['my r\xe9sum\xe9; "final" 1.txt', "100%25 sure.txt"]
CONTENT = "All work and no play.\n"
CLIENTS = [
    pytest.param(("php", "curl.php"), marks=needs_php, id="PHP's curl"),
    pytest.param(("php", "guzzle.php"), marks=needs_guzzle, id="F09 Guzzle"),
    pytest.param(("node", "fetch.mjs"), marks=needs_node, id="Node's fetch"),
    pytest.param(("node", "axios.mjs"), marks=needs_senders, id="axios and form-data"),
    pytest.param(("node", "undici.mjs"), marks=needs_senders, id="undici"),
    pytest.param(("node", "got.mjs"), marks=needs_senders, id="got"),
    pytest.param((sys.executable, "senders.py", "requests"), id="requests"),
    pytest.param((sys.executable, "senders.py", "httpx"), id="httpx"),
    pytest.param((sys.executable, "senders.py", "aiohttp"), id="F07 aiohttp"),
    pytest.param(("java", "Sender.java"), marks=needs_javac, id="F01 Java's HttpClient"),
]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("words", CLIENTS)
async def test_homework_arrives_whole_and_under_its_name(
    server: Running,
    student: SignedIn,
    assignment: Assignment,
    tmp_path: Path,
    words: tuple[str, ...],
    name: str,
) -> None:
    text = f"Caf\xe9 notes \u2713 {secrets.token_hex(8)}"
    CANARIES.release(text)
    digest = hashlib.sha256(CONTENT.encode()).hexdigest()
    listed = {"name": name, "sha256": digest, "size": len(CONTENT)}
    message = submission(student, assignment, submission_text=text)
    metadata = submission(student, assignment, submission_text=text, files=[listed])
    of_json, *of_forms = await _send(server, words, message, metadata, name, tmp_path)
    assert of_json["status"] == "success", of_json
    assert of_forms
    for answer in of_forms:
        kept = [(file["name"], file["sha256"]) for file in answer.get("files", [])]
        assert kept == [(name, digest)], answer


async def _send(
    server: Running,
    words: tuple[str, ...],
    message: dict[str, Any],
    metadata: dict[str, Any],
    name: str,
    folder: Path,
) -> list[dict[str, Any]]:
    """What became of the JSON and of each form."""
    secret = server.settings.spark_webhook_secret
    assert secret
    texts = {"MESSAGE": json.dumps(message), "METADATA": json.dumps(metadata)}
    env = texts | {
        **{f"{key}_SIGNATURE": sign(secret, text.encode()) for key, text in texts.items()},
        "OPTIO_URL": server.url + SUBMISSION,
        "FILE_NAME": name,
        "FILE_CONTENT": CONTENT,
        "FOLDER": str(folder),
        "LANG": "C.UTF-8",
    }
    ended = await run_program(*words, env=env, folder=SENDERS)
    assert ended.code == 0, ended.errors
    said = [line.partition(" ") for line in ended.output.splitlines()]
    return [json.loads(body) for _, _, body in said]
