"""A process with wrong settings does not start: the variable is named, its value never shown."""

import re
import secrets
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydantic import SecretStr
from standardwebhooks import Webhook

from app.contract import describe_settings, example_environment
from app.deliveries.authenticate import authenticate
from app.privacy.describe_protection import describe_protection
from app.settings import (
    Settings,
    SettingsError,
    load_settings,
)
from app.settings.addresses import ADVICE, DATABASE_FORM, driver_address
from app.signing import sign
from tests.support.checkout import PROJECT
from tests.support.webhooks import v1_showing

SECRETS = ("SPARK_SSO_SECRET", "SPARK_WEBHOOK_SECRET", "JWT_SECRET_KEY", "INTERNAL_API_KEYS")
NAMES = [name.upper() for name in Settings.model_fields]
CANARY = "canary-0f2c"
FILE_HOST_FORM = (
    "SPARK_STORAGE_DOMAINS: must name host or host:port, without https://, path, or wildcard"
)

SCANNER_FORM = "CLAMD_URL: must be tcp://host:port or unix:///path"


def production(**changes: str) -> dict[str, str]:
    """The environment of a service that may start; an empty change leaves the variable unset."""
    return {
        "ENVIRONMENT": "production",
        "FRONTEND_URL": "https://optio.example",
        "DATABASE_URL": "postgresql://user:password@db.example/optio",
        "S3_ENDPOINT_URL": "https://s3.example",
        "AWS_ACCESS_KEY_ID": "access",
        "AWS_SECRET_ACCESS_KEY": "key",
        **{name: secrets.token_hex(32) for name in SECRETS},
    } | changes


@pytest.fixture(autouse=True)
def _no_env_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The developer's own `.env` stays out of it."""
    monkeypatch.chdir(tmp_path)


def _use(monkeypatch: pytest.MonkeyPatch, environment: dict[str, str]) -> None:
    for name in NAMES:
        monkeypatch.setenv(name, environment.get(name, ""))


def test_production_starts_with_all_that_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    _use(monkeypatch, production())
    settings = load_settings()
    assert settings.cookies_are_secure
    assert settings.cookies_same_site == "none"


def test_the_address_of_a_receiver_keeps_its_query(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may be its key."""
    address = f"https://hooks.example/workflows/?sig={secrets.token_hex(20)}"
    _use(monkeypatch, production(ALERT_WEBHOOK_URL=address))
    kept = load_settings().alert_webhook_url
    assert kept
    assert kept.get_secret_value() == address


def test_development_starts_with_nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    _use(monkeypatch, {})
    settings = load_settings()
    assert not settings.cookies_are_secure
    assert settings.spark_sso_secret is None


@pytest.mark.parametrize(
    "name",
    sorted(production().keys() - {"ENVIRONMENT", "FRONTEND_URL", "INTERNAL_API_KEYS"}),
    ids=str.lower,
)
def test_production_needs(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _use(monkeypatch, production(**{name: ""}))
    with pytest.raises(SettingsError) as refused:
        load_settings()
    assert str(refused.value) == f"{name} must be set in production"


P268 = {
    "a short secret": (
        {"SPARK_SSO_SECRET": f"{CANARY}-too-short"},
        "SPARK_SSO_SECRET must have at least 32 characters",
    ),
    "a short previous secret": (
        {"SPARK_WEBHOOK_SECRET_PREVIOUS": CANARY},
        "SPARK_WEBHOOK_SECRET_PREVIOUS must have at least 32 characters",
    ),
    "a short service key among good ones": (
        {"INTERNAL_API_KEYS": f"{secrets.token_hex(32)}, {CANARY}"},
        "INTERNAL_API_KEYS[1] must have at least 32 characters",
    ),
    "two secrets that are the same": (
        dict.fromkeys(("SPARK_SSO_SECRET", "JWT_SECRET_KEY"), f"{CANARY}-{'0123456789' * 4}"),
        "JWT_SECRET_KEY must differ from SPARK_SSO_SECRET",
    ),
    "a secret that is its own predecessor": (
        dict.fromkeys(
            ("SPARK_WEBHOOK_SECRET", "SPARK_WEBHOOK_SECRET_PREVIOUS"),
            f"{CANARY}-{'0123456789' * 4}",
        ),
        "SPARK_WEBHOOK_SECRET_PREVIOUS must differ from SPARK_WEBHOOK_SECRET",
    ),
    "a secret from some example": (
        {"JWT_SECRET_KEY": f"change-me-in-production-{CANARY}"},
        "JWT_SECRET_KEY is an example, not a secret",
    ),
    "a secret of one letter": (
        {"JWT_SECRET_KEY": "c" * 64},
        "JWT_SECRET_KEY is an example, not a secret",
    ),
    "a front end with credentials": (
        {"FRONTEND_URL": f"https://user:{CANARY}@optio.example"},
        "FRONTEND_URL: must be http(s)://host without credentials",
    ),
    "a front end over http": (
        {"FRONTEND_URL": f"http://{CANARY}.example"},
        "FRONTEND_URL must be https in production",
    ),
    "a return address over http": (
        {"SPARK_RETURN_URLS": f"https://spark.example,http://{CANARY}.example"},
        "SPARK_RETURN_URLS must be https in production",
    ),
    "a return address with a query": (
        {"SPARK_RETURN_URLS": f"https://spark.example/?{CANARY}"},
        "SPARK_RETURN_URLS: must have no query, no fragment, and a port that is one or none",
    ),
    "a receiver of alerts over http": (
        {"ALERT_WEBHOOK_URL": f"http://{CANARY}.example"},
        "ALERT_WEBHOOK_URL must be https in production",
    ),
    "a receiver of alerts with credentials": (
        {"ALERT_WEBHOOK_URL": f"https://user:{CANARY}@hooks.example/a?sig=b"},
        "ALERT_WEBHOOK_URL: must be http(s)://host without credentials",
    ),
    "a front end that is no address": (
        {"FRONTEND_URL": CANARY},
        "FRONTEND_URL: must be http(s)://host without credentials",
    ),
    "a further origin with credentials": (
        {"ALLOWED_ORIGINS": f"https://optio.example,https://user:{CANARY}@optio.example"},
        "ALLOWED_ORIGINS: must be http(s)://host without credentials",
    ),
    "a database of another kind": (
        {"DATABASE_URL": f"mysql://user:{CANARY}@db.example/optio"},
        "DATABASE_URL: must start with postgresql://",
    ),
    "a database whose port is none": (
        {"DATABASE_URL": f"postgresql://user:{CANARY}@db.example:54x2/optio"},
        f"DATABASE_URL: {DATABASE_FORM}",
    ),
    "a database whose port is too high": (
        {"DATABASE_URL": f"postgresql://user:{CANARY}@db.example:99999/optio"},
        f"DATABASE_URL: {DATABASE_FORM}",
    ),
    "a password with its own at sign": (
        {"DATABASE_URL": f"postgresql://user:{CANARY}@x@db.example/optio"},
        f"DATABASE_URL: {DATABASE_FORM}",
    ),
    "a password with a hash": (
        {"DATABASE_URL": f"postgresql://user:{CANARY}#x@db.example/optio"},
        f"DATABASE_URL: {DATABASE_FORM}",
    ),
    "a password with a slash": (
        {"DATABASE_URL": f"postgresql://user:{CANARY}/x@db.example/optio"},
        f"DATABASE_URL: {DATABASE_FORM}",
    ),
    "a password with a question mark": (
        {"DATABASE_URL": f"postgresql://user:1?{CANARY}@db.example/optio"},
        "DATABASE_URL: its parameter (unreadable) is not understood",
    ),
    "a database address in quotes": (
        {"DATABASE_URL": f"'postgresql://user:{CANARY}@db.example/optio'"},
        "DATABASE_URL: is in quotes: take them off",
    ),
    "a mode of encryption that is none": (
        {"DATABASE_URL": f"postgresql://db.example/optio?sslmode={CANARY}"},
        f"DATABASE_URL: its parameter sslmode has a value that cannot be used: {ADVICE['sslmode']}",
    ),
    "a server to be verified without certificates": (
        {"DATABASE_URL": f"postgresql://db.example/{CANARY}?sslmode=verify-full"},
        f"DATABASE_URL: its parameter sslmode has a value that cannot be used: {ADVICE['sslmode']}",
    ),
    "a file of certificates that is not there": (
        {"DATABASE_URL": f"postgresql://db.example/?sslmode=require&sslrootcert=/{CANARY}"},
        "DATABASE_URL: its parameter sslrootcert has a value that cannot be used",
    ),
    "a parameter of Prisma's": (
        {"DATABASE_URL": f"postgresql://db.example/{CANARY}?sslmode=require&pgbouncer=true"},
        f"DATABASE_URL: its parameter pgbouncer is not understood: {ADVICE['pgbouncer']}",
    ),
    "a channel that would have to be bound": (
        {"DATABASE_URL": f"postgresql://db.example/{CANARY}?channel_binding=require"},
        "DATABASE_URL: its parameter channel_binding is not understood: "
        + ADVICE["channel_binding"],
    ),
    "a time to connect that is none": (
        {"DATABASE_URL": f"postgresql://db.example/optio?connect_timeout={CANARY}"},
        "DATABASE_URL: its parameter connect_timeout must be 1 to 60",
    ),
    "a file storage without a scheme": (
        {"S3_ENDPOINT_URL": f"{CANARY}.example:9000"},
        "S3_ENDPOINT_URL: must be http(s)://host without credentials",
    ),
    "a file storage whose port is none": (
        {"S3_ENDPOINT_URL": f"https://{CANARY}.example:9x"},
        "S3_ENDPOINT_URL: must have no query, no fragment, and a port that is one or none",
    ),
    "a file storage in quotes": (
        {"S3_ENDPOINT_URL": f'"https://{CANARY}.example"'},
        "S3_ENDPOINT_URL: is in quotes: take them off",
    ),
    "a file storage with a name that S3 clients refuse": (
        {"S3_ENDPOINT_URL": f"https://{CANARY}_x.example"},
        "S3_ENDPOINT_URL: has a host name that an S3 client refuses",
    ),
    "a front end with a query": (
        {"FRONTEND_URL": f"https://optio.example/?{CANARY}"},
        "FRONTEND_URL: must have no query, no fragment, and a port that is one or none",
    ),
    "a front end with a fragment": (
        {"FRONTEND_URL": f"https://optio.example/#{CANARY}"},
        "FRONTEND_URL: must have no query, no fragment, and a port that is one or none",
    ),
    "a front end that looks like another": (
        {"FRONTEND_URL": f"https://{CANARY}\u2100@optio.example"},
        "FRONTEND_URL: is no address",
    ),
    "a counter of rates whose port is none": (
        {"RATE_LIMIT_STORAGE_URI": f"redis://:{CANARY}@redis.example:x"},
        "RATE_LIMIT_STORAGE_URI: must be redis://:password@host:6379/0",
    ),
    "a counter of rates with a parameter that no client has": (
        {"RATE_LIMIT_STORAGE_URI": f"redis://redis.example?x={CANARY}"},
        "RATE_LIMIT_STORAGE_URI: must be redis://:password@host:6379/0",
    ),
    "a host of files with a scheme": (
        {"SPARK_STORAGE_DOMAINS": f"https://{CANARY}.example"},
        FILE_HOST_FORM,
    ),
    "a host of files with a wildcard": (
        {"SPARK_STORAGE_DOMAINS": f"files.example, *.{CANARY}.example"},
        FILE_HOST_FORM,
    ),
    "a host of files with a path": (
        {"SPARK_STORAGE_DOMAINS": f"{CANARY}.example/files"},
        FILE_HOST_FORM,
    ),
    "a host of files with a dot at its end": (
        {"SPARK_STORAGE_DOMAINS": f"{CANARY}.example."},
        FILE_HOST_FORM,
    ),
    "a host of files that is not ASCII": (
        {"SPARK_STORAGE_DOMAINS": f"{CANARY}.fi\u212aes.example"},
        FILE_HOST_FORM,
    ),
    "a host of files whose port is none": (
        {"SPARK_STORAGE_DOMAINS": f"{CANARY}.example:0"},
        FILE_HOST_FORM,
    ),
    "a scanner without a port": (
        {"CLAMD_URL": f"tcp://{CANARY}.example"},
        SCANNER_FORM,
    ),
    "a scanner whose port is none": (
        {"CLAMD_URL": f"tcp://{CANARY}.example:99999"},
        SCANNER_FORM,
    ),
    "a scanner with a password": (
        {"CLAMD_URL": f"tcp://{CANARY}@clamd.example:3310"},
        SCANNER_FORM,
    ),
    "a scanner by another scheme": (
        {"CLAMD_URL": f"https://{CANARY}.example:3310"},
        SCANNER_FORM,
    ),
    "a scanner's socket without a path": (
        {"CLAMD_URL": f"unix://{CANARY}"},
        SCANNER_FORM,
    ),
    "a network that is none": (
        {"SPARK_STORAGE_NETWORKS": f"10.1.0.0/16,{CANARY}"},
        "SPARK_STORAGE_NETWORKS: value is not a valid IPv4 or IPv6 network",
    ),
    "authorities in no file": (
        {"SPARK_STORAGE_CA_FILE": f"/{CANARY}.pem"},
        "SPARK_STORAGE_CA_FILE: is no file of PEM certificates that can be read",
    ),
    "authorities in a file of another kind": (
        {"SPARK_STORAGE_CA_FILE": __file__},
        "SPARK_STORAGE_CA_FILE: is no file of PEM certificates that can be read",
    ),
    "a secret with a line end": (
        {"SPARK_WEBHOOK_SECRET": f"{CANARY}-{'0123456789' * 4}\n"},
        "SPARK_WEBHOOK_SECRET begins or ends with white space",
    ),
    "a secret in quotes": (
        {"SPARK_SSO_SECRET": f'"{CANARY}-{"0123456789" * 4}"'},
        "SPARK_SSO_SECRET: is in quotes: take them off",
    ),
    "a text where a number is wanted": (
        {"MAX_FILES": CANARY},
        "MAX_FILES: Input should be a valid integer, unable to parse string as an integer",
    ),
    "a number out of range": (
        {"TRUSTED_PROXY_HOPS": "11"},
        "TRUSTED_PROXY_HOPS: Input should be less than or equal to 10",
    ),
    "submissions end before they could be announced": (
        {"SUBMISSION_RETENTION_DAYS": "29", "INBOX_RETENTION_DAYS": "1"},
        "SUBMISSION_RETENTION_DAYS: Input should be greater than or equal to 30",
    ),
    "submissions end while their messages are kept": (
        {"SUBMISSION_RETENTION_DAYS": "36"},
        "SUBMISSION_RETENTION_DAYS must be at least 37",
    ),
    "any proxy trusted": (
        {"TRUSTED_PROXY_HOPS": "*"},
        "TRUSTED_PROXY_HOPS: Input should be a valid integer, unable to parse string as an integer",
    ),
    "an environment that does not exist": (
        {"ENVIRONMENT": CANARY},
        "ENVIRONMENT: Input should be 'development' or 'production'",
    ),
}


@pytest.mark.parametrize(("changes", "sentence"), P268.values(), ids=P268.keys())
def test_refused_at_start(
    changes: dict[str, str], sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _use(monkeypatch, production(**changes))
    with pytest.raises(SettingsError) as refused:
        load_settings()
    assert str(refused.value) == sentence
    assert CANARY not in str(refused.value)


def test_hosts_and_networks_of_files_are_taken_as_they_are_compared(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given = {
        "SPARK_STORAGE_DOMAINS": "Files.Example:443, files.example:8443,",
        "SPARK_STORAGE_NETWORKS": "10.1.0.0/16, fd00::/8, 10.2.3.4",
    }
    _use(monkeypatch, given)
    settings = load_settings()
    assert settings.spark_storage_domains == ("files.example", "files.example:8443")
    assert ",".join(map(str, settings.spark_storage_networks)) == "10.1.0.0/16,fd00::/8,10.2.3.4/32"


def test_every_fault_is_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    _use(monkeypatch, production(JWT_SECRET_KEY="", SPARK_SSO_SECRET=CANARY, S3_ENDPOINT_URL=""))
    with pytest.raises(SettingsError) as refused:
        load_settings()
    for name in ("JWT_SECRET_KEY", "SPARK_SSO_SECRET", "S3_ENDPOINT_URL"):
        assert name in str(refused.value)


def test_unsafe_secrets_are_refused_in_development_too(monkeypatch: pytest.MonkeyPatch) -> None:
    _use(monkeypatch, {"SPARK_SSO_SECRET": CANARY})
    with pytest.raises(SettingsError, match="SPARK_SSO_SECRET must have at least 32 characters"):
        load_settings()


@pytest.mark.parametrize(
    ("query", "understood", "seconds"),
    [
        ("sslmode=require", "sslmode=require", None),
        ("sslmode=disable&connect_timeout=10", "sslmode=disable", 10),
        ("application_name=optio%20spark", "application_name=optio%20spark", None),
        ("options=-c%20search_path%3Dpublic", "options=-c%20search_path%3Dpublic", None),
        ("channel_binding=prefer&gssencmode=disable&client_encoding=UTF8", "", None),
        ("target_session_attrs=read-write", "target_session_attrs=read-write", None),
    ],
    ids="F04-{}".format,
)
def test_parameters_of_libpq_are_honoured(
    query: str, understood: str, seconds: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    _use(monkeypatch, {"DATABASE_URL": f" postgres://user:p%40ss@db.example/optio?{query}\n"})
    address = load_settings().database_url
    assert address
    expected = "postgresql://user:p%40ss@db.example/optio" + (understood and f"?{understood}")
    assert driver_address(address.get_secret_value()) == (expected, seconds)


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+asyncpg"])
def test_addresses_as_hosts_hand_them_out_are_understood(
    scheme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _use(monkeypatch, {"DATABASE_URL": f"{scheme}://user:password@db.example/optio"})
    address = load_settings().database_url
    assert address
    assert address.get_secret_value() == "postgresql+asyncpg://user:password@db.example/optio"


def test_no_secret_is_shown_when_settings_are_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    environment = production()
    _use(monkeypatch, environment)
    shown = f"{load_settings()!r} {load_settings()}"
    for name in (*SECRETS, "AWS_SECRET_ACCESS_KEY", "DATABASE_URL"):
        assert f"'{environment[name]}'" not in shown


@pytest.mark.parametrize(
    ("file", "content"),
    [
        (".env.example", example_environment()),
        ("docs/settings.md", describe_settings()),
        ("docs/data-protection.md", describe_protection()),
    ],
    ids=(".env.example", "settings", "data-protection"),
)
def test_what_is_generated_is_what_is_committed(file: str, content: str) -> None:
    assert (PROJECT / file).read_text() == content


@pytest.mark.parametrize("name", NAMES)
def test_every_setting_is_documented(name: str) -> None:
    description = Settings.model_fields[name.lower()].description
    assert description
    assert description.endswith(".")
    assert f"# {name}=" in example_environment()
    assert f"| `{name}` |" in describe_settings()


@pytest.mark.parametrize("name", NAMES)
def test_the_example_shows_every_default(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A line that is uncommented as it stands changes nothing."""
    lines = [line for line in example_environment().splitlines() if line.startswith(f"# {name}=")]
    _use(monkeypatch, {name: lines[0].partition("=")[2]})
    assert load_settings() == Settings(_env_file=None)
    if Settings.model_fields[name.lower()].default not in (None, ()):
        assert lines[0].partition("=")[2]


@pytest.mark.parametrize(
    "uri",
    [
        *("foo://user:canary-0f2c@host", "postgresql://host", "x"),
        *("redis", "memory", "rediss:", "redis://", "redis://host", "redis://:6379/0"),
        "rediss://:canary-0f2c@host/0",
    ],
    ids="OPERATOR 16 {}".format,
)
def test_a_store_of_rates_is_memory_or_redis(monkeypatch: pytest.MonkeyPatch, uri: str) -> None:
    monkeypatch.setenv("RATE_LIMIT_STORAGE_URI", uri)
    with pytest.raises(SettingsError, match="RATE_LIMIT_STORAGE_URI") as refused:
        load_settings()
    assert CANARY not in str(refused.value)


def test_the_secret_of_the_guide_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    guide = (PROJECT / "docs/guide.md").read_text()
    (secret,) = re.findall(r"secret `([^`]+)`", guide)
    monkeypatch.setenv("SPARK_WEBHOOK_SECRET", secret)
    with pytest.raises(SettingsError, match="SPARK_WEBHOOK_SECRET is an example"):
        load_settings()


def test_the_vectors_of_the_guide_are_right() -> None:
    guide = (PROJECT / "docs/guide.md").read_text()
    (secret,) = re.findall(r"secret `([^`]+)`", guide)
    (body,) = re.findall(r"body `([^`]+)`", guide)
    (webhook_id,) = re.findall(r"`webhook-id: ([^`]+)`", guide)
    (timestamp,) = re.findall(r"`webhook-timestamp: ([^`]+)`", guide)
    (for_libraries,) = re.findall(r"`(whsec_[^`]+)`", guide)
    signed_at = datetime.fromtimestamp(int(timestamp), tz=UTC)
    signature = Webhook(for_libraries).sign(webhook_id, signed_at, body)
    shown = set(re.findall(r"`([^`\n]+)`", guide))
    assert shown >= {sign(SecretStr(secret), body.encode()), signature}
    headers = v1_showing(signature, webhook_id=webhook_id, timestamp=timestamp)
    authenticate(body.encode(), headers, secrets=[SecretStr(secret)], require_v1=True)


def test_origins_are_what_browsers_send() -> None:
    settings = Settings(
        _env_file=None,
        frontend_url="https://Optio.example/app",
        allowed_origins=("https://b.example/", "http://localhost:5173"),
    )
    assert settings.origins == (
        "https://optio.example",
        "https://b.example",
        "http://localhost:5173",
    )


def test_a_cookie_for_other_sites_is_secure() -> None:
    assert Settings(_env_file=None, cookie_samesite="none").cookies_are_secure
    assert not Settings(_env_file=None).cookies_are_secure
