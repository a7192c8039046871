"""Signed links for readers: each is the same for all who ask within WINDOW_SECONDS, of whichever
process, so that a browser keeps what it has.
"""

from datetime import UTC, datetime, timedelta
from urllib.parse import quote

from botocore.auth import SIGV4_TIMESTAMP, S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from app.settings import Settings
from app.storage.content_disposition import content_disposition
from app.storage.pointers import Place

LINK_SECONDS = 300  # from the beginning of its window
WINDOW_SECONDS = 120


class LinkSigner:
    """Calls nobody."""

    def __init__(self, settings: Settings, endpoint: str) -> None:
        key, secret = settings.aws_access_key_id, settings.aws_secret_access_key
        self._endpoint = endpoint
        self._credentials = Credentials(
            key.get_secret_value() if key else "", secret.get_secret_value() if secret else ""
        )
        self._region = settings.s3_region

    def sign(
        self, place: Place, now: datetime, *, content_type: str, filename: str
    ) -> tuple[str, datetime]:
        """A link that downloads the object under that name and type, and until when it does."""
        begin = datetime.fromtimestamp(now.timestamp() // WINDOW_SECONDS * WINDOW_SECONDS, UTC)
        request = AWSRequest(
            method="GET",
            url=f"{self._endpoint}/{quote('/'.join(place))}",
            params={
                "response-content-type": content_type,
                "response-content-disposition": content_disposition(filename),
                "response-cache-control": f"private, max-age={LINK_SECONDS}",
            },
        )
        _SignatureOf(begin, self._credentials, self._region).add_auth(request)
        return str(request.url), begin + timedelta(seconds=LINK_SECONDS)


class _SignatureOf(S3SigV4QueryAuth):
    """Made at that moment, whenever it is made."""

    def __init__(self, moment: datetime, credentials: Credentials, region: str) -> None:
        super().__init__(credentials, "s3", region, expires=LINK_SECONDS)
        self._timestamp = moment.strftime(SIGV4_TIMESTAMP)

    def _modify_request_before_signing(self, request: AWSRequest) -> None:
        """Called first, once the clock was read."""
        request.context["timestamp"] = self._timestamp
        super()._modify_request_before_signing(request)  # type: ignore[misc]  # not in its stubs
