"""Loaded by Schemathesis (tests/contract/schemathesis.toml): it signs each message to a webhook."""

import os
import re
import secrets
import time
from typing import Any

import schemathesis
from pydantic import SecretStr
from requests import PreparedRequest
from requests.auth import AuthBase
from schemathesis import AuthContext, Case, HookContext
from schemathesis.core.parameters import ParameterLocation
from typing_extensions import override

from tests.support.webhooks import encoded, key, mac

METADATA = re.compile(rb'name="metadata"[^\r]*\r\n(?:[^\r]+\r\n)*\r\n(.*?)\r\n--', re.DOTALL)
AnyCase = Case[Any]
KEY = key(SecretStr(os.environ["OPTIO_WEBHOOK_SECRET"]))


class Signature(AuthBase):
    """Signs the bytes as they leave, or those of the field `metadata` of a form."""

    def __init__(self, *, is_wrong: bool) -> None:
        self._is_wrong = is_wrong

    @override
    def __call__(self, r: PreparedRequest) -> PreparedRequest:
        sent = r.body.encode() if isinstance(r.body, str) else r.body or b""
        assert isinstance(sent, bytes)
        metadata = METADATA.search(sent)
        made = {"webhook-id": f"msg_{secrets.token_hex(12)}", "webhook-timestamp": _now()}
        if self._is_wrong:
            made |= {name: str(r.headers[name]) for name in made if name in r.headers}
        signed = ".".join((*made.values(), "")).encode() + (metadata[1] if metadata else sent)
        r.headers.update(made | {"webhook-signature": f"v1,{encoded(mac(signed, under=KEY))}"})
        r.headers.pop("X-Spark-Signature", None)
        return r


@schemathesis.auth(refresh_interval=None).apply_to(path_regex="^/spark/webhook/")
class Signing:
    """Headers that are wrong on purpose stay wrong; all others are fresh."""

    def get(self, case: AnyCase, _context: AuthContext) -> Signature:
        return Signature(is_wrong=_is_wrong(case, ParameterLocation.HEADER))

    def set(self, case: AnyCase, data: Signature, _context: AuthContext) -> None:
        case._auth = data


@schemathesis.hook
def filter_case(context: HookContext, case: AnyCase) -> bool:
    """A rehearsal answers 200 whatever it finds, and what a form has besides may be any text."""
    is_rehearsal = str((case.query or {}).get("dry_run")).lower() == "true"
    is_form = case.media_type == "multipart/form-data"
    return not (_is_wrong(case, ParameterLocation.BODY) and (is_rehearsal or is_form))


def _is_wrong(case: AnyCase, part: ParameterLocation) -> bool:
    return case.meta is not None and case.meta.is_negative_at(part)


def _now() -> str:
    return str(int(time.time()))
