"""What `/metrics` says, as an operator's Prometheus reads it."""

from collections.abc import Mapping

import httpx


async def scrape(client: httpx.AsyncClient, headers: Mapping[str, str]) -> dict[str, float]:
    """Series, written as they are there, with their labels sorted by name."""
    answer = await client.get("/metrics", headers=headers)
    assert answer.status_code == 200, answer.text
    lines = (line.rsplit(" ", 1) for line in answer.text.splitlines() if line[:1] != "#")
    return {name: float(value) for name, value in lines}
