"""The internal contract is good enough to make a typed client from, with a generator as it comes.

What it makes is type-checked together with a program that uses it, and the program is run against
the service.
"""

import asyncio
import json
import re
import sys
from pathlib import Path

import pytest
from fastapi import FastAPI
from openapi_python_client import generate
from openapi_python_client.config import Config, ConfigFile, MetaType

from app.api.docs import internal_contract
from app.main import create_app
from app.settings import Settings
from tests.support import samples
from tests.support.bodies import Part
from tests.support.running import Running
from tests.support.spark import Assignment, SignedIn, Spark, submission

# What the main app's team would write: each name and type in it is the generator's.
PROGRAM = """
import sys
from datetime import datetime
from uuid import UUID

from internal_client import AuthenticatedClient
from internal_client.api.completions import get_completion
from internal_client.models import CompletionAnswer, Problem

url, key, completion_id = sys.argv[1:]
with AuthenticatedClient(base_url=url, token=key) as client:
    found: CompletionAnswer | Problem | None = get_completion.sync(
        UUID(completion_id), client=client
    )
    assert isinstance(found, CompletionAnswer), found
    moment: datetime = found.completed_at
    blocks: list[str] = [block.block_type.value for block in found.blocks]
    sizes: list[int] = [file.size_bytes for file in found.files]
    print(found.user_id, found.xp_awarded, moment.tzinfo, blocks, sizes)

    unknown = get_completion.sync(UUID(int=0), client=client)
    assert isinstance(unknown, Problem), unknown
    code: str = unknown.code
    print(code)
"""


@pytest.fixture(scope="module")
def app() -> FastAPI:
    return create_app(Settings(_env_file=None))


@pytest.fixture(scope="module")
def folder(app: FastAPI, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Holds the package `internal_client` and the program that uses it."""
    folder = tmp_path_factory.mktemp("client")
    document = folder / "internal.json"
    document.write_text(json.dumps(internal_contract(app)))
    config = Config.from_sources(
        ConfigFile(post_hooks=[]),  # they would only format it
        MetaType.NONE,
        document_source=document,
        file_encoding="utf-8",
        overwrite=False,
        output_path=folder / "internal_client",
    )
    assert [f"{error.header} {error.detail}" for error in generate(config=config)] == []
    (folder / "program.py").write_text(PROGRAM)
    return folder


def test_every_operation_has_a_function_of_its_name(app: FastAPI, folder: Path) -> None:
    expected = {
        f"{operation['tags'][0]}/{_snake(operation['operationId'])}"
        for methods in internal_contract(app)["paths"].values()
        for operation in methods.values()
    }
    made = (folder / "internal_client" / "api").glob("*/[!_]*.py")
    assert {f"{path.parent.name}/{path.stem}" for path in made} == expected


async def test_the_client_has_types_and_reads_a_completion(
    server: Running,
    main_app: dict[str, str],
    spark: Spark,
    student: SignedIn,
    assignment: Assignment,
    folder: Path,
) -> None:
    picture = Part("f", samples.png(), filename="gauge.png")
    answer = await spark.submit_form(submission(student, assignment), picture)
    _, key = main_app["Authorization"].split()
    checked, said = await asyncio.gather(
        _run(
            folder,
            "-m",
            "mypy",
            "--strict",
            "--config-file=",
            "--cache-dir=/dev/null",
            "program.py",
            "internal_client",
        ),
        _run(folder, "program.py", server.url, key, answer.json()["completion_id"]),
    )
    assert checked.startswith("Success: no issues found"), checked
    size = len(picture.content)
    assert said == f"{student.user_id} 100 UTC ['text', 'image'] [{size}]\nnot_found\n"


async def _run(folder: Path, *words: str) -> str:
    """What a Python process says."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *words,
        cwd=folder,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    return output.decode()


def _snake(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()
