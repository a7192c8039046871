"""The tokens that the main Optio app accepts (CONTRACT 5), signed with its own key.

Claims are exactly `sub, user_id, type, version, iat, exp` and `sid`; never `aud`, which the main
backend would refuse.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Literal, TypeVar
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StrictInt, ValidationError

from app.errors import SignatureMismatchError
from app.signing import TokenKey, sign_token, verify_token
from app.sso.launch_token import LATEST_MOMENT, Moment, is_ahead
from app.text import StrictJsonError, load_json

TokenUse = Literal["access", "refresh"]


@dataclass(frozen=True)
class AppTokens:
    user_id: UUID
    access: str
    refresh: str

    @property
    def refresh_hash(self) -> str:
        """What `spark.lms_sessions.session_token` keeps instead of the token."""
        return hashlib.sha256(self.refresh.encode()).hexdigest()


@dataclass(frozen=True)
class TokenIssuer:
    """How tokens are made: key, `version` claim and lives in seconds."""

    key: TokenKey
    version: str
    access_seconds: int
    refresh_seconds: int

    def issue(self, *, user_id: UUID, session_id: UUID, now: datetime) -> AppTokens:
        issued_at = int(now.timestamp())

        def token(kind: TokenUse, seconds: int) -> str:
            return sign_token(
                {
                    "sub": str(user_id),
                    "user_id": str(user_id),
                    "type": kind,
                    "version": self.version,
                    "sid": str(session_id),
                    "iat": issued_at,
                    "exp": issued_at + seconds,
                },
                key=self.key,
            )

        return AppTokens(
            user_id,
            access=token("access", self.access_seconds),
            refresh=token("refresh", self.refresh_seconds),
        )


WholeMoment = Annotated[StrictInt, Field(gt=0, lt=LATEST_MOMENT)]
Claims = TypeVar("Claims", "AppClaims", "BearerClaims")


class AppClaims(BaseModel):
    """What a token of the main app says of whose it is; only ours have a `sid`."""

    model_config = ConfigDict(hide_input_in_errors=True)

    sid: UUID | None = None
    user_id: UUID
    type: TokenUse
    exp: WholeMoment
    iat: WholeMoment | None = None
    nbf: WholeMoment | None = None


class BearerClaims(BaseModel):
    """What a token of the main app says of who sends it (CONTRACT 5); ours have a `sid` as well.

    `actor_id` is who holds it: an admin in a masquerade as a student, or a parent for a child.
    """

    model_config = ConfigDict(hide_input_in_errors=True)

    user_id: UUID = Field(validation_alias="sub")
    actor_id: UUID = Field(validation_alias="user_id")
    type: Literal["access", "masquerade", "acting_as_dependent"]
    sid: UUID | None = None
    exp: Moment
    iat: Moment | None = None
    nbf: Moment | None = None


def read_app_token(token: str, *, keys: Sequence[TokenKey], now: datetime) -> AppClaims | None:
    """The claims of a token, ours or the main app's, that has not run out; None for any other."""
    return _read(AppClaims, token, keys=keys, now=now)


def read_bearer(token: str, *, keys: Sequence[TokenKey], now: datetime) -> BearerClaims | None:
    """The claims of a token that lets somebody in, ours or the main app's; None for any other."""
    claims = _read(BearerClaims, token, keys=keys, now=now)
    if claims is None or (claims.type == "access" and claims.user_id != claims.actor_id):
        return None
    return claims


def _read(
    model: type[Claims], token: str, *, keys: Sequence[TokenKey], now: datetime
) -> Claims | None:
    try:
        claims = model.model_validate(load_json(verify_token(token, keys=keys)))
    except (SignatureMismatchError, StrictJsonError, ValidationError):
        return None
    moment = now.timestamp()
    too_early = is_ahead(claims.iat, moment) or is_ahead(claims.nbf, moment)
    return claims if claims.exp > moment and not too_early else None
