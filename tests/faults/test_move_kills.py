"""`kill -9` in the middle of a move from one account of a child to the other (ADOPTION 7)."""

import os
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import replace
from uuid import UUID

import pytest

from app.clock import utc_now
from app.main import open_resources
from app.privacy.move_rows import Move, Prefer
from app.privacy.move_student import move_student
from app.settings import Settings
from app.worker import sweep
from tests.support.families import STUDENTS, Family, run_family
from tests.support.homework import Homework, note, write_homework
from tests.support.invariants import NO_FAULTS, Answered, find_faults
from tests.support.killed import run_apart
from tests.support.stores import Stores, own_stores

MOMENTS = ("statement", "commit", "end")


@pytest.fixture
def stores(settings: Settings) -> Iterator[Stores]:
    """Of this file's own: it looks at every row."""
    with own_stores(settings) as made:
        yield made


@pytest.fixture
async def family(settings: Settings, stores: Stores) -> AsyncIterator[Family]:
    async with run_family(settings, stores) as family:
        yield family


class TwoAccounts:
    """Of one child, both with homework for one task, and with files."""

    def __init__(self, family: Family, prefer: Prefer) -> None:
        self.family = family
        self.prefer = prefer
        self.sent: list[Homework] = []

    async def hand_in(self) -> None:
        older = await self._hand_in()
        unlinked = f"{STUDENTS}/{older[1]}/link"
        removed = await self.family.client.delete(unlinked, headers=self.family.main_app)
        assert removed.status_code == 204
        self.to_user = older[1]
        self.spark_user_id, self.from_user = await self._hand_in()

    async def _hand_in(self) -> tuple[str, str]:
        spark = self.family.spark
        student = await spark.sign_in()
        for files in ([note(900), note(800)], [note(700)]):
            homework = write_homework(spark.webhook_secret, student.spark_user_id, files)
            assert (await homework.send(self.family.client)).status_code == 200
            self.sent.append(homework)
        return student.spark_user_id, student.user_id

    async def move_apart(self, *, kill_at: int | None = None) -> Sequence[str] | None:
        """In another process."""
        move = Move(
            spark_user_id=self.spark_user_id,
            from_user=UUID(self.from_user),
            to_user=UUID(self.to_user),
            prefer=self.prefer,
            caller="test",
            is_dry=False,
            now=utc_now(),
        )

        async def act() -> None:
            async with open_resources(self.family.settings) as opened:
                shape = opened.account_rules.shape
                await move_student(opened.sessions, opened.bucket, shape, move)

        return await run_apart(act, *MOMENTS, kill_at=kill_at)

    async def move(self) -> None:
        said = {"spark_user_id": self.spark_user_id, "from": self.from_user, "prefer": self.prefer}
        path = f"{STUDENTS}/{self.to_user}/link"
        moved = await self.family.client.post(path, json=said, headers=self.family.main_app)
        assert moved.status_code == 200, moved.text

    async def answered(self) -> list[Answered]:
        """What each message is answered now; it is the linked student's."""
        answers = []
        for homework in self.sent:
            answer = await homework.send(self.family.client)
            assert answer.json()["duplicate"], answer.text
            its = homework.answered(answer.json())
            answers.append(replace(its, spark_user_id=self.spark_user_id))
        return answers


async def settle(family: Family) -> None:
    """What is left lying is swept, as if its lease had run out."""
    await family.stores.execute(
        "UPDATE spark.uploads SET lease_until = now() WHERE state <> 'committed' RETURNING id"
    )
    await sweep(family.resources)


def choose(moments: Sequence[str]) -> list[int]:
    """After the files were copied, before the last COMMIT, and after it."""
    if "SOAK" in os.environ:
        return list(range(len(moments)))
    ends = [place for place, moment in enumerate(moments) if moment == "end"]
    commits = [place for place, moment in enumerate(moments) if moment == "commit"]
    return [ends[-2] + 1, commits[-1], ends[-1]]


@pytest.mark.soak
@pytest.mark.parametrize("prefer", ["target", "moved"])
async def test_a_move_that_is_killed_is_ended_by_asking_again(
    family: Family, prefer: Prefer
) -> None:
    first = TwoAccounts(family, prefer)
    await first.hand_in()
    moments = await first.move_apart()
    assert moments
    answered = await first.answered()
    for number, place in enumerate(choose(moments)):
        both = TwoAccounts(family, prefer)
        await both.hand_in()
        assert await both.move_apart(kill_at=place) is None
        if number % 2:
            await settle(family)
        await both.move()
        answered += await both.answered()
    await settle(family)
    assert await find_faults(family.stores, answered) == NO_FAULTS
