"""Every setting of the service: one class, built once by `main` or `cli` and passed down.

Nothing below reads the environment. `.env.example` and docs/settings.md are generated from the
descriptions here and compared in `make check`. A refusal names the variable, never its value.
"""

from collections.abc import Iterable
from decimal import Decimal
from typing import Annotated, Literal, Self, get_args
from urllib.parse import urlsplit
from uuid import UUID

from pydantic import (
    Field,
    IPvAnyNetwork,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from app.settings.addresses import (
    Certificates,
    FileHost,
    ScannerAddress,
    StorageAddress,
    WebAddress,
    database_address,
    hook_address,
    insecure_addresses,
    rates_address,
)
from app.settings.secrets import repeated_secrets, weak_secrets

MEBIBYTE = 1024 * 1024
INBOX_LEFTOVER_DAYS = 7  # what Spark has still to be told of a delivery stays so much longer
QUOTES = "\"'"
CommaSeparated = Annotated[tuple[str, ...], NoDecode]

FileFamily = Literal[
    "images", "videos", "documents", "presentations", "spreadsheets", "opendocument", "audio"
]
DEFAULT_FAMILIES: tuple[FileFamily, ...] = ("images", "videos", "documents")  # CONTRACT 7.3


class SettingsError(Exception):
    """The process may not start; the message names variables and never their values."""


class Settings(BaseSettings):
    """Read from the environment (and, by the commands, from `.env`)."""

    model_config = SettingsConfigDict(
        env_file=".env",
        extra="ignore",
        frozen=True,
        env_ignore_empty=True,
        hide_input_in_errors=True,
    )

    # -- where it runs
    environment: Literal["development", "production"] = Field(
        "development", description="`production` refuses to start without its secrets."
    )
    frontend_url: WebAddress = Field(
        "http://localhost:5173",
        description="The front end; sign-in leads to its /auth/callback. Unset, in development: to"
        " a page of ours.",
    )
    allowed_origins: Annotated[tuple[WebAddress, ...], NoDecode] = Field(
        (), description="More origins for /spark/token."
    )
    allowed_hosts: CommaSeparated = Field(
        (), description="Host names this service answers to, comma-separated; empty: any."
    )
    trusted_proxy_hops: int = Field(
        0, ge=0, le=10, description="Proxies in front: the client is the Nth from the right."
    )
    spark_portal_url: WebAddress | None = Field(
        None, description="Where an error page leads back to."
    )
    spark_return_urls: Annotated[tuple[WebAddress, ...], NoDecode] = Field(
        (),
        description="Where a teacher's choice may be sent: addresses, comma-separated, each with"
        " all below its path; empty: the origin of SPARK_PORTAL_URL.",
    )
    deep_link_in_frame: bool = Field(
        default=False, description="Let Spark's portal show the choice of work in a frame."
    )
    render_git_commit: str = Field(
        "unknown", description="The commit that runs, for `/metrics`; Render sets it."
    )
    public_url: WebAddress | None = Field(
        None,
        description="Where this service is reached from outside, for links in alerts and for `type`"
        " of problems.",
    )
    publish_contract: bool = Field(default=True, description="Serve /docs and /openapi.json.")
    console: bool = Field(default=True, description="Serve /console, the operators' pages.")

    # -- database
    database_url: SecretStr | None = Field(
        None,
        description="postgresql://user:password@host:5432/database; unset: the embedded server.",
    )
    database_pool_size: int = Field(10, ge=1, le=100, description="Connections per process.")
    database_transaction_pooler: bool = Field(
        default=False,
        description="Set behind pgbouncer or Supavisor in transaction mode (port 6543).",
    )
    statement_timeout_seconds: float = Field(
        7, gt=0, le=300, description="The longest a single SQL statement may run."
    )

    # -- file storage
    s3_endpoint_url: StorageAddress | None = Field(
        None, description="S3 endpoint; unset: embedded server."
    )
    s3_public_endpoint_url: StorageAddress | None = Field(
        None, description="The endpoint that readers of signed links reach, where it differs."
    )
    s3_region: str = Field("us-east-1", description="The S3 region.")
    s3_bucket: str = Field(
        "evidence-files", min_length=3, max_length=63, description="The bucket for evidence files."
    )
    s3_read_buckets: CommaSeparated = Field(
        (), description="More buckets whose files evidence may show, comma-separated."
    )
    supabase_url: WebAddress | None = Field(
        None, description="Beside the main app its SUPABASE_URL: files are named by its addresses."
    )
    aws_access_key_id: SecretStr | None = Field(None, description="S3 access key.")
    aws_secret_access_key: SecretStr | None = Field(None, description="S3 secret key.")

    # -- scanner of files
    clamd_url: ScannerAddress | None = Field(
        None, description="clamd: tcp://host:port or unix:///path of its socket; unset: no scan."
    )
    file_scan_required: bool = Field(
        default=True,
        description="While the scanner is away answer files 503; false: store them unscanned.",
    )

    # -- secrets
    spark_sso_secret: SecretStr | None = Field(
        None, description="HS256 secret of launch tokens, at least 32 characters of literal text."
    )
    spark_sso_secret_previous: SecretStr | None = Field(
        None, description="The secret before the last rotation; accepted until it is removed."
    )
    spark_webhook_secret: SecretStr | None = Field(
        None, description="HMAC-SHA256 secret of all webhooks, at least 32 characters."
    )
    spark_webhook_secret_previous: SecretStr | None = Field(
        None, description="The secret before the last rotation; accepted until it is removed."
    )
    jwt_secret_key: SecretStr | None = Field(
        None, description="Signs app tokens; the main app's own."
    )
    jwt_secret_key_previous: SecretStr | None = Field(
        None, description="Accepted as well: in a rotation first the new key, then the old one."
    )
    internal_api_keys: Annotated[tuple[SecretStr, ...], NoDecode] = Field(
        (), description="Service keys of the internal API, comma-separated, each 32+ characters."
    )

    # -- Spark's own API
    spark_api_url: WebAddress | None = Field(
        None, description="Where grades and receipts go: {it}/grades; unset: nothing is sent."
    )
    spark_api_key: SecretStr | None = Field(None, description="Bearer key of Spark's API.")
    spark_outbound_secret: SecretStr | None = Field(
        None, description="Signs what we send to Spark; unset: it is unsigned."
    )
    spark_outbound_secret_previous: SecretStr | None = Field(
        None, description="Signs as well, in a rotation, until Spark knows the new one."
    )
    spark_api_per_minute: int = Field(
        100, ge=1, description="Calls of Spark's API a minute, of each process with a worker."
    )
    spark_send_progress: bool = Field(
        default=False, description="Tell Spark of each submission, without a score."
    )
    grade_completed_score: Decimal | None = Field(
        None, ge=0, le=100, description="Of 100, what a completed task scores; unset: nothing."
    )
    spark_receipts: bool = Field(
        default=False, description="Tell Spark when an outcome differs from what it was answered."
    )

    # -- alerts
    alert_webhook_url: SecretStr | None = Field(
        None, description="Where alerts go: https, of Slack or your own; unset: nobody is told."
    )
    alert_webhook_secret: SecretStr | None = Field(
        None, description="Signs alerts by Standard Webhooks; unset: they are unsigned."
    )

    # -- app tokens, cookies and sign-in
    token_version: str = Field("v1", description="The `version` claim of app tokens.")
    access_token_seconds: int = Field(3600, ge=60, description="Life of token and cookie.")
    refresh_token_seconds: int = Field(2_592_000, ge=60, description="Life of token and cookie.")
    cookie_secure: bool | None = Field(
        None, description="Secure attribute of the cookies; unset: true in production."
    )
    cookie_samesite: Literal["none", "lax", "strict"] | None = Field(
        None, description="SameSite attribute; unset: none in production, lax in development."
    )
    sso_link_by_email: bool = Field(
        default=True, description="A first sign-in may link to a plain, unlinked student account."
    )
    optio_organization_id: UUID | None = Field(
        None, description="Beside the main app: whose organisation new links to Spark belong to."
    )
    sso_enrol_all: bool = Field(
        default=False,
        description="Without a `courses` claim enrol in all courses of the organisation.",
    )
    code_reuse_revokes_session: bool = Field(
        default=True,
        description="Redeeming a code twice revokes the session of the first exchange.",
    )

    # -- limits of a submission (CONTRACT 7.3)
    max_file_bytes: int = Field(50 * MEBIBYTE, ge=1, description="Largest file, in bytes.")
    max_total_file_bytes: int = Field(200 * MEBIBYTE, ge=1, description="Largest sum, in bytes.")
    max_body_bytes: int = Field(210 * MEBIBYTE, ge=1, description="Largest form, in bytes.")
    max_json_bytes: int = Field(8 * MEBIBYTE, ge=1, description="Largest JSON, in bytes.")
    body_budget_bytes: int = Field(
        64 * MEBIBYTE, ge=1, description="Memory for JSON on its way, in bytes per process."
    )
    max_roster_bytes: int = Field(
        100 * MEBIBYTE, ge=1, description="Largest roster file, packed and unpacked, in bytes."
    )
    max_text_bytes: int = Field(MEBIBYTE, ge=1, description="Largest text, in bytes of UTF-8.")
    max_evidence_file_bytes: int = Field(10 * MEBIBYTE, ge=1, description="Of an evidence upload.")
    allowed_file_types: Annotated[tuple[FileFamily, ...], NoDecode] = Field(
        DEFAULT_FAMILIES,
        description="Families of files: images, videos, documents, presentations, spreadsheets,"
        " opendocument, audio.",
    )
    strip_location: bool = Field(
        default=True,
        description="Store pictures and films without place, camera and serial number.",
    )
    picture_max_pixels: int = Field(
        26_000_000,
        ge=0,
        le=50_000_000,
        description="HEIC of so many pixels becomes JPEG here, by 7 bytes of memory for each; 0:"
        " this process leaves it to others. Needs the extra `pictures`.",
    )
    max_files: int = Field(20, ge=1, description="Most files of one submission.")
    max_parts: int = Field(100, ge=1, description="Most parts of one multipart body.")
    max_concurrent_uploads: int = Field(
        32,
        ge=1,
        description="Uploads at once, a quarter of them students' own; more wait, then are 503.",
    )
    spool_max_bytes: int = Field(
        512 * MEBIBYTE,
        ge=0,
        description="Disk for files that arrive before their metadata, in bytes per process.",
    )
    body_idle_seconds: float = Field(20, gt=0, description="Longest pause inside a body.")
    body_min_bytes_per_second: int = Field(
        1024, ge=1, description="Slowest average at which a request body may arrive."
    )
    upload_lease_seconds: int = Field(
        900, ge=1, description="After this long without a byte an upload counts as abandoned."
    )
    delivery_lease_seconds: int = Field(
        15, ge=1, description="After this long without a byte a running submission may be retried."
    )
    webhook_require_v1: bool = Field(
        default=False, description="Refuse webhooks that are signed only by X-Spark-Signature."
    )
    webhook_require_time: bool = Field(
        default=False,
        description="Refuse a repeated course or roster that says no time, once a later one came.",
    )
    require_file_digests: bool = Field(
        default=False, description="Refuse files that the signed metadata does not list."
    )
    inbox_retention_days: int = Field(30, ge=1, description="How long deliveries and texts stay.")
    submission_retention_days: int | None = Field(
        None,
        ge=30,
        description="How long submissions stay after they came, at least 7 days more than"
        " INBOX_RETENTION_DAYS; unset: until the contract with the school ends.",
    )
    activity_personal_days: int = Field(90, ge=1, description="How long events say about whom.")
    audit_retention_days: int = Field(400, ge=1, description="How long events and audit log stay.")
    evidence_text_mode: Literal["placeholder", "raw"] = Field(
        "placeholder", description="What evidence_text holds: the document's id or the text itself."
    )

    complete_quests: bool | None = Field(
        None,
        description=(
            "Whether a quest is completed with its last required task, and opened again by a new"
            " one. Unset: yes, but not in the database of an Optio application, which asks the"
            " student."
        ),
    )

    # -- files by URL
    spark_storage_domains: Annotated[tuple[FileHost, ...], NoDecode] = Field(
        (), description="host or host:port of files by URL, comma-separated; empty: all refused."
    )
    spark_storage_networks: Annotated[tuple[IPvAnyNetwork, ...], NoDecode] = Field(
        (), description="Networks (CIDR) whose addresses count as public: private file storage."
    )
    spark_storage_ca_file: Certificates | None = Field(
        None, description="More certificate authorities for files by URL, a PEM file."
    )
    download_seconds: float = Field(
        30, gt=0, le=300, description="The longest a single file by URL may take."
    )

    # -- rates
    rate_limit_storage_uri: SecretStr = Field(
        SecretStr("memory://"),
        description="Where successes are counted; redis://host:6379 when several instances run.",
    )
    rate_limit_sso: int = Field(
        10, ge=1, description="Sign-ins per Spark user, and failed ones per address, a minute."
    )
    rate_limit_token: int = Field(10, ge=1, description="Failed exchanges per address, a minute.")
    rate_limit_webhook: int = Field(6000, ge=1, description="Signed webhooks, a minute.")
    rate_limit_webhook_failures: int = Field(100, ge=1, description="Refused ones per address.")
    rate_limit_course_failures: int = Field(
        50, ge=1, description="Refused course and roster webhooks per address, each a minute."
    )
    rate_limit_evidence_write: int = Field(
        120, ge=1, description="Saves and other changes per student a minute."
    )
    rate_limit_evidence_upload: int = Field(60, ge=1, description="Uploads per student an hour.")

    @field_validator(
        *("allowed_origins", "allowed_hosts", "s3_read_buckets", "internal_api_keys"),
        *("spark_storage_domains", "spark_storage_networks", "spark_return_urls"),
        mode="before",
    )
    @classmethod
    def _split_commas(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(item.strip() for item in value.split(",") if item.strip())
        return value

    @field_validator("allowed_file_types", mode="before")
    @classmethod
    def _known_families(cls, value: object) -> object:
        names = [name.strip() for name in value.split(",")] if isinstance(value, str) else value
        if not isinstance(names, list | tuple) or not set(names) <= set(get_args(FileFamily)):
            raise ValueError(f"must name families of files: {', '.join(get_args(FileFamily))}")
        return tuple(names)

    @field_validator("*", mode="before")
    @classmethod
    def _unquoted(cls, value: object, info: ValidationInfo) -> object:
        """Quotes stay in what no shell has read, as in a host's form or a file of Docker's."""
        if not isinstance(value, str):
            return value
        if len(value) > 1 and value[0] == value[-1] and value[0] in QUOTES:
            raise ValueError("is in quotes: take them off")
        return value if info.field_name in _SECRETS else value.strip()

    @field_validator("database_url")
    @classmethod
    def _database_address(cls, value: SecretStr | None) -> SecretStr | None:
        return value and SecretStr(database_address(value.get_secret_value()))

    @field_validator("rate_limit_storage_uri")
    @classmethod
    def _rates_address(cls, value: SecretStr) -> SecretStr:
        return SecretStr(rates_address(value.get_secret_value()))

    @field_validator("alert_webhook_url")
    @classmethod
    def _hook_address(cls, value: SecretStr | None) -> SecretStr | None:
        return value and SecretStr(hook_address(value.get_secret_value()))

    @model_validator(mode="after")
    def _refuse_unsafe(self) -> Self:
        faults = [*weak_secrets(self._secrets()), *repeated_secrets(self._secrets())]
        if self.body_budget_bytes < self.max_json_bytes:
            faults.append("BODY_BUDGET_BYTES must be at least MAX_JSON_BYTES")
        # What has gone must not come back by a repetition that was in time once (SECURITY D8).
        least = self.inbox_retention_days + INBOX_LEFTOVER_DAYS
        if (self.submission_retention_days or least) < least:
            faults.append(f"SUBMISSION_RETENTION_DAYS must be at least {least}")
        if self.in_production:
            faults += self._missing_in_production()
        if faults:
            raise ValueError("; ".join(faults))
        return self

    def _secrets(self) -> dict[str, str]:
        found: dict[str, SecretStr | None] = {
            name.upper(): getattr(self, name) for name in _SECRETS
        }
        found |= {f"INTERNAL_API_KEYS[{at}]": key for at, key in enumerate(self.internal_api_keys)}
        return {name: key.get_secret_value() for name, key in found.items() if key is not None}

    def _missing_in_production(self) -> Iterable[str]:
        for name in _NEEDED_IN_PRODUCTION:
            if not getattr(self, name):
                yield f"{name.upper()} must be set in production"
        hook = self.alert_webhook_url
        yield from insecure_addresses(
            FRONTEND_URL=[self.frontend_url],
            SPARK_API_URL=[self.spark_api_url],
            SPARK_RETURN_URLS=self.spark_return_urls,
            ALERT_WEBHOOK_URL=[hook.get_secret_value() if hook else None],
        )

    @property
    def plays_front_end(self) -> bool:
        """Whether a sign-in ends on a page of ours: in development, where nobody named another."""
        return not self.in_production and "frontend_url" not in self.model_fields_set

    @property
    def origins(self) -> tuple[str, ...]:
        """What a browser sends in `Origin` from the front ends: scheme, host and port."""
        addresses = map(urlsplit, (self.frontend_url, *self.allowed_origins))
        return tuple(f"{address.scheme}://{address.netloc}".lower() for address in addresses)

    @property
    def portal_origin(self) -> str | None:
        portal = self.spark_portal_url and urlsplit(self.spark_portal_url)
        return f"{portal.scheme}://{portal.netloc}".lower() if portal else None

    @property
    def return_urls(self) -> tuple[str, ...]:
        """Where a teacher's choice may be sent; in production by https alone."""
        named = self.spark_return_urls or filter(None, (self.portal_origin,))
        return tuple(
            each for each in named if each.startswith("https://") or not self.in_production
        )

    @property
    def sso_secrets(self) -> list[SecretStr]:
        return _given(self.spark_sso_secret, self.spark_sso_secret_previous)

    @property
    def webhook_secrets(self) -> list[SecretStr]:
        return _given(self.spark_webhook_secret, self.spark_webhook_secret_previous)

    @property
    def outbound_secrets(self) -> list[SecretStr]:
        return _given(self.spark_outbound_secret, self.spark_outbound_secret_previous)

    @property
    def in_production(self) -> bool:
        return self.environment == "production"

    @property
    def cookies_are_secure(self) -> bool:
        """Browsers drop a SameSite=None cookie that is not Secure."""
        if self.cookie_secure is None:
            return self.in_production or self.cookies_same_site == "none"
        return self.cookie_secure

    @property
    def cookies_same_site(self) -> Literal["none", "lax", "strict"]:
        return self.cookie_samesite or ("none" if self.in_production else "lax")


def _given(current: SecretStr | None, previous: SecretStr | None) -> list[SecretStr]:
    return [secret for secret in (current, previous) if secret is not None]


_SECRETS = [
    name for name in Settings.model_fields if name.endswith(("_secret", "_secret_key", "_previous"))
]
_NEEDED_IN_PRODUCTION = (
    *("database_url", "s3_endpoint_url", "aws_access_key_id", "aws_secret_access_key"),
    *("spark_sso_secret", "spark_webhook_secret", "jwt_secret_key"),
)


def load_settings() -> Settings:
    """The settings of this process. Raises SettingsError with one sentence for each fault."""
    try:
        return Settings()
    except ValidationError as error:
        raise SettingsError("\n".join(_faults(error))) from None


def _faults(error: ValidationError) -> Iterable[str]:
    for fault in error.errors(include_input=False, include_context=False, include_url=False):
        message = fault["msg"].removeprefix("Value error, ")
        name = "".join(str(place).upper() for place in fault["loc"][:1])
        yield f"{name}: {message}" if name else message
