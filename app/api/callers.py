"""Who calls the internal API, and whether they may: service keys with scopes, and on evidence the
student's own app token (CONTRACT 5).

Every route states its caller by one of READ, WRITE, ADMIN and SCRAPE, or STUDENT_READ and
STUDENT_WRITE; a test walks all routes and fails on one that does not. They raise
CredentialsInvalidError or ScopeMissingError before anything else of the request is looked at;
STUDENT_WRITE counts what a student does, and raises RateLimitedError.
"""

import asyncio
import hashlib
import hmac
from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Any
from uuid import UUID

from fastapi import Depends, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette.requests import HTTPConnection
from typing_extensions import override

from app.accounts.service_keys import SCOPES, Scope, find_living_key
from app.api.dependencies import Now, Opened, Resources
from app.database import FAILURES
from app.errors import CredentialsInvalidError, ScopeMissingError
from app.sso.sessions import identify_student

EITHER_HINT = "Send a service key and `user_id`, or the student's own access token, as Bearer."
KEY_SECONDS = 1  # of the 10 that a scraper waits
BELIEVED = timedelta(days=1)
STUDENT_SCOPES: tuple[Scope, ...] = ("read", "write")

Credentials = HTTPAuthorizationCredentials | None


class _Bearer(HTTPBearer):
    """Of several Authorization headers a proxy may have read another one than we would."""

    @override
    async def __call__(self, request: HTTPConnection) -> Credentials:
        several = len(request.headers.getlist("authorization")) > 1
        return None if several else await super().__call__(request)


_service_key = _Bearer(
    scheme_name="serviceKey",
    description=(
        "A key from `python -m app keys create`, with the scope that the operation lists, or one of"
        " INTERNAL_API_KEYS, which have all. Scopes: `read`, `write`, `admin`; none holds another."
    ),
    auto_error=False,
)
_app_token = _Bearer(
    scheme_name="appToken",
    description=(
        "The student's own access token of the main app, or that of an admin acting as the student."
        " Everything of another student is 404."
    ),
    auto_error=False,
)


@dataclass(frozen=True)
class Caller:
    """`name` is for the audit log. With `user_id` it is that student, and may see nobody else."""

    name: str
    scopes: Collection[Scope]
    user_id: UUID | None = None


def _service(scope: Scope) -> Any:
    async def identify(
        opened: Opened, credentials: Annotated[Credentials, Security(_service_key, scopes=[scope])]
    ) -> Caller:
        return _allow(await _find_service(opened, _text(credentials)), scope)

    return Depends(identify)


def _service_or_student(scope: Scope) -> Any:
    async def identify(
        opened: Opened,
        now: Now,
        credentials: Annotated[Credentials, Security(_service_key, scopes=[scope])],
        _: Annotated[Credentials, Security(_app_token)],
    ) -> Caller:
        text = _text(credentials)
        found = await _find_service(opened, text) or await _find_student(opened, text, now)
        if found is None:
            raise CredentialsInvalidError(hint=EITHER_HINT)
        caller = _allow(found, scope)
        if scope == "write" and caller.user_id:
            await opened.limits.count_success(
                "/internal/v1/evidence",
                str(caller.user_id),
                per_minute=opened.settings.rate_limit_evidence_write,
            )
        return caller

    return Depends(identify)


async def _identify_scraper(
    opened: Opened, now: Now, credentials: Annotated[Credentials, Security(_service_key)]
) -> None:
    """As READ. While the database is away also a key that was right here within BELIEVED."""
    text = _text(credentials)
    digest = _digest(text)
    try:
        async with asyncio.timeout(KEY_SECONDS):
            found = await _find_service(opened, text)
    except FAILURES:
        if digest not in opened.scrapers or now - opened.scrapers[digest] > BELIEVED:
            raise
        return
    opened.scrapers.pop(digest, None)
    _allow(found, "read")
    opened.scrapers[digest] = now


SCRAPE = Depends(_identify_scraper)
READ, WRITE, ADMIN = map(_service, SCOPES)
STUDENT_READ, STUDENT_WRITE = map(_service_or_student, STUDENT_SCOPES)
Reader = Annotated[Caller, READ]
Writer = Annotated[Caller, WRITE]
Admin = Annotated[Caller, ADMIN]


def _allow(caller: Caller | None, scope: Scope) -> Caller:
    if caller is None:
        raise CredentialsInvalidError
    if scope not in caller.scopes:
        raise ScopeMissingError(hint=f"This needs a service key with the scope `{scope}`.")
    return caller


def _text(credentials: Credentials) -> str:
    return credentials.credentials if credentials else ""


async def _find_service(opened: Resources, text: str) -> Caller | None:
    """Every key of the settings is compared, so that time tells nothing."""
    fits = [
        hmac.compare_digest(_digest(text), _digest(key.get_secret_value()))
        for key in opened.settings.internal_api_keys
    ]
    if any(fits):
        return Caller(f"INTERNAL_API_KEYS[{fits.index(True)}]", SCOPES)
    found = await find_living_key(opened.sessions, text)
    return Caller(*found) if found else None


async def _find_student(opened: Resources, token: str, now: Now) -> Caller | None:
    found = await identify_student(opened.sessions, token, keys=opened.app_token_keys, now=now)
    return Caller(f"user:{found.actor_id}", STUDENT_SCOPES, found.user_id) if found else None


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "replace")).digest()
