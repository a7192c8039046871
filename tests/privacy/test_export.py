"""Everything of a student as a zip: complete, byte by byte, flat, and broken when it is cut off."""

import hashlib
import io
import json
import secrets
import zipfile
from typing import Any
from uuid import uuid4

import httpx
import pytest

from app.privacy.holdings import HOLDINGS
from tests.support.families import STUDENTS, Child, Family
from tests.support.problems import assert_problem


async def export(family: Family, child: Child) -> httpx.Response:
    path = f"{STUDENTS}/{child.user_id}/export"
    return await family.client.get(path, headers=family.main_app)


async def download(family: Family, child: Child, received: bytearray) -> None:
    path = f"{STUDENTS}/{child.user_id}/export"
    async with family.client.stream("GET", path, headers=family.main_app) as answer:
        assert answer.status_code == 200
        async for chunk in answer.aiter_bytes():
            received += chunk


def rows(archive: zipfile.ZipFile, table: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in archive.read(f"{table}.jsonl").splitlines()]


async def test_an_export_holds_every_row_and_every_byte(family: Family) -> None:
    child, sibling = await family.raise_child(), await family.raise_child()
    own = b"my own notes"
    assert (await family.add_file(child, own, "own: notes?.txt")).status_code == 200
    answer = await export(family, child)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/zip"
    said = f'attachment; filename="student-{child.user_id}.zip"'
    assert answer.headers["content-disposition"] == said
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "no-store"

    archive = zipfile.ZipFile(io.BytesIO(answer.content))
    assert archive.testzip() is None
    files = {name: archive.read(name) for name in archive.namelist() if "/" in name}
    assert sorted(files.values()) == sorted([*child.files.values(), own])
    assert all(name.count("/") == 1 for name in files)
    assert any(name.endswith("-own_ notes_.txt") for name in files)
    sums = [line.split("  ", 1) for line in archive.read("SHA256SUMS").decode().splitlines()]
    assert {name: hashlib.sha256(content).hexdigest() for name, content in files.items()} == {
        name: digest for digest, name in sums
    }
    uploads = rows(archive, "spark.uploads")
    assert {each["sha256"] for each in uploads} == {digest for digest, _ in sums}

    assert len(archive.namelist()) == len(set(archive.namelist()))
    readme = archive.read("README.txt").decode()
    whole = readme
    for holding in HOLDINGS:
        assert f"{holding.name}.jsonl: {holding.what}" in readme
        whole += archive.read(f"{holding.name}.jsonl").decode()
    assert all(word in whole for word in child.words - child.unread)
    assert not any(word in whole for word in sibling.words)
    assert "session_token" not in whole
    assert [row["id"] for row in rows(archive, "public.users")] == [child.user_id]
    assert len(rows(archive, "spark.submission_revisions")) == 2
    texts = [row["message"] for row in rows(archive, "spark.deliveries") if row["message"]]
    assert child.spark_user_id in json.loads(texts[0]).values()
    assert "code" not in rows(archive, "spark.spark_auth_codes")[0]
    audit = [(row["action"], row["detail"]) for row in rows(archive, "spark.audit_log")]
    assert ("sensitive_read", {"what": "export"}) in audit


async def test_pages_of_rows_are_put_together(family: Family) -> None:
    """More rows than a page of each kind has, under keys of one column and of two."""
    child = await family.raise_child()
    await family.stores.execute(
        "INSERT INTO user_activity_events (user_id, session_id, event_type, event_category)"  # noqa: S608
        f" SELECT '{child.user_id}', gen_random_uuid(), 'page', 'web' FROM generate_series(1, 450)"
    )
    await family.stores.execute(
        "INSERT INTO spark.roster_rows (import_id, number, source, spark_user_id)"  # noqa: S608
        f" SELECT max(import_id::text)::uuid, n, 'roles', '{child.spark_user_id}'"
        " FROM spark.roster_rows, generate_series(10, 459) n GROUP BY n"
    )
    archive = zipfile.ZipFile(io.BytesIO((await export(family, child)).content))
    events = rows(archive, "public.user_activity_events")
    assert len({row["id"] for row in events}) == len(events) > 450
    listed = rows(archive, "spark.roster_rows")
    assert len({(row["import_id"], row["number"]) for row in listed}) == len(listed) == 451
    await family.stores.execute("DELETE FROM spark.roster_imports")


async def test_a_student_without_anything_has_an_export_as_well(family: Family) -> None:
    child = Child(await family.spark.sign_in(), {})
    archive = zipfile.ZipFile(io.BytesIO((await export(family, child)).content))
    assert archive.testzip() is None
    assert rows(archive, "spark.submission_revisions") == rows(archive, "spark.uploads") == []
    assert archive.read("SHA256SUMS") == b""


async def test_who_is_no_student_is_named_before_the_first_byte(family: Family) -> None:
    other = Child(await family.spark.sign_in(), {})
    await family.stores.execute(f"UPDATE users SET role = 'parent' WHERE id = '{other.user_id}'")  # noqa: S608
    assert_problem(await export(family, other), 409, "not_a_student")
    nobody = await family.client.get(f"{STUDENTS}/{uuid4()}/export", headers=family.main_app)
    assert_problem(nobody, 404, "not_found")


@pytest.mark.soak
async def test_readers_that_leave_hold_nothing(family: Family) -> None:
    """More of them than there are connections to the store, or to the database."""
    child = await family.raise_child()
    own = secrets.token_hex(3 * 1024 * 1024).encode()
    assert (await family.add_file(child, own, "long.txt")).status_code == 200
    path = f"{STUDENTS}/{child.user_id}/export"
    for _ in range(40):
        async with family.client.stream("GET", path, headers=family.main_app) as answer:
            received = 0
            async for chunk in answer.aiter_bytes():
                received += len(chunk)
                if received > len(own) // 4:  # in the middle of a file
                    break
    archive = zipfile.ZipFile(io.BytesIO((await export(family, child)).content))
    assert archive.testzip() is None


async def test_a_store_that_fails_breaks_the_transfer(family: Family) -> None:
    child = await family.raise_child()
    received = bytearray()
    async with family.without_store() as broken:
        with pytest.raises(httpx.RemoteProtocolError):
            await download(broken, child, received)
    assert received.startswith(b"PK")
    with pytest.raises(zipfile.BadZipFile):
        zipfile.ZipFile(io.BytesIO(received))
