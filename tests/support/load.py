"""Homework of several students, handed in for as long as a test runs."""

import asyncio
import random

from app.settings import Settings
from tests.support.bodies import Part
from tests.support.homework import Homework, note, write_homework
from tests.support.invariants import Answered

MEBIBYTE = 1024 * 1024
TRY_AGAIN = (409, 503)


class Load:
    """Senders that hand in, and send again what was not answered, to any of the `urls`."""

    def __init__(self, settings: Settings, chance: random.Random, *, pause: float = 0) -> None:
        assert settings.spark_webhook_secret
        self.settings = settings
        self._secret = settings.spark_webhook_secret
        self.chance = chance
        self._pause = pause
        self.urls: list[str] = []
        self.students: list[str] = []
        self.answered: list[Answered] = []
        self.unanswered = 0
        self.is_served = asyncio.Event()
        self.is_over = False

    async def run(self) -> None:
        """One sender, until it is over and its last homework is answered."""
        while not self.is_over:
            homework = self._write()
            times = 2 if self.chance.random() < 0.15 else 1  # twins at once
            await asyncio.gather(*(self._until_answered(homework) for _ in range(times)))
            await asyncio.sleep(self._pause)

    async def hand_in(self, student: str, files: list[Part]) -> None:
        homework = write_homework(self._secret, student, files)
        status, body = await homework.send_once(self.urls[0])
        assert status == 200, body
        self.answered.append(homework.answered(body))

    def _write(self) -> Homework:
        kind = self.chance.random()
        files: list[Part] = []
        if kind < 0.05:
            files = [note(6 * MEBIBYTE)]
        elif kind < 0.5:
            files = [note(self.chance.randrange(100_000)) for _ in range(1 + (kind < 0.2))]
        return write_homework(self._secret, self.chance.choice(self.students), files)

    async def _until_answered(self, homework: Homework) -> None:
        patience = self.chance.choice([0.05, 30, 30, 30])
        while True:
            await self.is_served.wait()
            url = self.chance.choice(self.urls)
            try:
                status, body = await asyncio.wait_for(homework.send_once(url), patience)
            except (OSError, EOFError, TimeoutError):
                self.unanswered += 1
                patience = 30
                await asyncio.sleep(max(0.01, self._pause))
                continue
            if status == 200:
                self.answered.append(homework.answered(body))
                return
            assert status in TRY_AGAIN, body
            await asyncio.sleep(max(0.05, self._pause))
