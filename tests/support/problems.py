"""The one way errors are asserted: status, code, and the shape that every failure has."""

import httpx


def assert_problem(answer: httpx.Response, status: int, code: str) -> dict[str, object]:
    """The problem's body, for what else a test wants to see of it."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["cache-control"] == "no-store"
    problem: dict[str, object] = answer.json()
    assert problem["code"] == code, problem
    assert problem["type"] == f"/problems/{code}"
    assert problem["status"] == status
    assert problem["title"]
    assert isinstance(problem["error"], str)
    assert problem["request_id"] == answer.headers["x-request-id"]
    return problem
