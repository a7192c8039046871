"""Builds the web application from its settings, and decides nothing else."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial

import httpx
import structlog
from fastapi import FastAPI
from pydantic import SecretStr

from app import metrics
from app.accounts.service_keys import has_keys
from app.accounts.students import AccountRules
from app.accounts.tombstones import Tombstones
from app.activity.failure_events import FailureEvents
from app.adoption.require_sight import require_sight
from app.adoption.shape import LiveShape
from app.adoption.watch_schema import SchemaWatch
from app.alerts.send_alert import AlertHook
from app.api.callback_page import router as callback_page
from app.api.cors import TokenCors
from app.api.dependencies import Resources
from app.api.doc_pages import create_docs_router, list_places
from app.api.edge import Edge, HeadAsGet, LastResort
from app.api.health import ReadinessChecks
from app.api.health import router as health
from app.api.internal.routes import ROUTERS as INTERNAL
from app.api.linger import Linger
from app.api.observed import router as observed
from app.api.problem_pages import create_problem_router
from app.api.problems import HANDLERS
from app.api.spark.received import router as spark_received
from app.api.spark.routes import ROUTERS as FROM_SPARK
from app.api.style import router as style
from app.clock import new_id, utc_now
from app.console.routes import ROUTERS as CONSOLE
from app.database import (
    FAILURES,
    SERVING,
    Sessions,
    connections_in_use,
    create_engine,
    open_sessions,
)
from app.deep_link.routes import router as deep_link
from app.deliveries.hold_body import BodyBudget
from app.fetch import RemoteFiles
from app.files.places import Places
from app.files.scan_file import Scanner
from app.files.spool import Spool, require_folder
from app.files.waiting_room import WaitingRoom
from app.jobs.call_spark import SparkApi
from app.limits import Limits
from app.logs import configure_logs
from app.migrate import UnfitDatabaseError
from app.settings import Settings, SettingsError, load_settings
from app.signing import TokenKey, own_keys, token_key
from app.sso.app_tokens import TokenIssuer
from app.storage.bucket import Bucket, open_bucket
from app.submissions.work import Intake

log = structlog.get_logger()

SPARK = (*FROM_SPARK, deep_link)
ROUTERS = (*SPARK, *INTERNAL, health, observed, style)

STUDENT_PLACES = 2  # for the uploads of one student (DESIGN R44)


def create_app(settings: Settings | None = None) -> FastAPI:
    """The service without its worker. Connects at start-up; needs no running database for that."""
    settings = settings or _settings_of_a_host()
    if not structlog.is_configured():  # started by uvicorn itself
        configure_logs()
    # uvicorn's own lines, of requests and WebSockets, hold the query, and with it launch tokens.
    logging.getLogger("uvicorn.access").disabled = True
    logging.getLogger("uvicorn.error").addFilter(_is_no_websocket)
    if settings.in_production:
        _warn_of_unsafe(settings)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with open_resources(settings) as resources:
            app.state.resources = resources
            await resources.readiness.begin()
            if settings.in_production:
                await _warn_without_keys(resources)
            yield

    app = FastAPI(
        lifespan=lifespan,
        openapi_url=None,
        redirect_slashes=False,
        # Spans would hold the query, and with it launch tokens and codes (SECURITY D18).
        telemetry={"tracing": False, "logs": False, "auto_configure": False},
        exception_handlers=HANDLERS,
        generate_unique_id_function=lambda route: route.name,
    )
    _include_routers(app, settings)
    # The last one added is the outermost.
    app.add_middleware(LastResort)
    app.add_middleware(HeadAsGet)
    app.add_middleware(TokenCors, origins=settings.origins)
    app.add_middleware(
        Edge,
        allowed_hosts=settings.allowed_hosts,
        trusted_proxy_hops=settings.trusted_proxy_hops,
        pseudonym_key=own_keys(settings, "client of a log line")[0],
    )
    app.add_middleware(Linger)
    return app


def _include_routers(app: FastAPI, settings: Settings) -> None:
    for router in (*ROUTERS, *(CONSOLE if settings.console else ())):
        app.include_router(router)
    shown = ROUTERS if not settings.in_production else (*SPARK, health)
    routes = [each for router in shown for each in router.routes]
    places = list_places(with_internal=not settings.in_production)
    app.include_router(create_problem_router(routes, places if settings.publish_contract else []))
    if settings.plays_front_end:
        app.include_router(callback_page)
    app.webhooks.include_router(spark_received)
    if settings.publish_contract:
        app.include_router(create_docs_router(app, with_internal=not settings.in_production))


@asynccontextmanager
async def open_resources(settings: Settings) -> AsyncIterator[Resources]:
    """Everything one process holds open. Raises SettingsError when an address is missing."""
    _require_addresses(settings)
    engine = create_engine(settings, session=SERVING)
    sessions = open_sessions(engine, at_once=settings.database_pool_size)
    failure_events = FailureEvents(sessions)
    shape = LiveShape(complete_quests=settings.complete_quests)
    account_rules = AccountRules(
        settings.sso_link_by_email, Tombstones(), shape, settings.optio_organization_id
    )
    watch = SchemaWatch(sessions, shape, settings.optio_organization_id)
    known = asyncio.Semaphore(settings.max_concurrent_uploads)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(engine.dispose)
        bucket = await stack.enter_async_context(open_bucket(settings))
        await stack.enter_async_context(failure_events.writing())
        intake = _intake(settings, sessions, bucket, known, account_rules)
        yield Resources(
            settings=settings,
            sessions=sessions,
            bucket=bucket,
            intake=intake,
            body_budget=BodyBudget(settings.body_budget_bytes),
            large_saves=_large_saves(),
            account_rules=account_rules,
            # However slow the students' own uploads are, most places are left to Spark.
            editor_places=Places(
                asyncio.Semaphore(-(-settings.max_concurrent_uploads // 4)),
                known,
                each=STUDENT_PLACES,
            ),
            limits=Limits(settings.rate_limit_storage_uri.get_secret_value()),
            spark_api=await stack.enter_async_context(_open_spark_api(settings)),
            alert_hook=await stack.enter_async_context(_open_alert_hook(settings)),
            remote_files=RemoteFiles(settings),
            launch_keys=_keys(*settings.sso_secrets),
            deep_link_keys=_keys(*own_keys(settings, "deep link")),
            issuer=_issuer(settings),
            app_token_keys=_keys(settings.jwt_secret_key, settings.jwt_secret_key_previous),
            failure_events=failure_events,
            address_key=own_keys(settings, "address of a failure")[0],
            cursor_keys=own_keys(settings, "cursor of a list"),
            readiness=ReadinessChecks(watch, bucket),
            scrapers={},
            connections_in_use=partial(connections_in_use, engine),
        )


def _large_saves() -> Places:
    """What is read of one may need four times its bytes until it is saved."""
    running = metrics.LARGE_SAVES_RUNNING
    return Places(asyncio.Semaphore(1), each=1, running=running, limit="large saves")


def _intake(
    settings: Settings,
    sessions: Sessions,
    bucket: Bucket,
    known: asyncio.Semaphore,
    rules: AccountRules,
) -> Intake:
    """With `known` places for forms that are signed right."""
    clamd = settings.clamd_url
    return Intake(
        settings=settings,
        sessions=sessions,
        bucket=bucket,
        waiting_room=WaitingRoom(),
        spool=Spool(settings.spool_max_bytes),
        places=Places(known),
        scanner=Scanner(clamd, required=settings.file_scan_required) if clamd else None,
        tombstones=rules.tombstones,
        shape=rules.shape,
    )


@asynccontextmanager
async def _open_spark_api(settings: Settings) -> AsyncIterator[SparkApi | None]:
    if settings.spark_api_url is None:
        yield None
        return
    if settings.in_production and not settings.outbound_secrets:
        log.warning("spark_is_called_unsigned", hint="Set SPARK_OUTBOUND_SECRET.")
    async with httpx.AsyncClient(trust_env=False) as client:
        yield SparkApi(settings, client, now=utc_now, new_id=new_id)


@asynccontextmanager
async def _open_alert_hook(settings: Settings) -> AsyncIterator[AlertHook | None]:
    if settings.alert_webhook_url is None:
        yield None
        return
    async with httpx.AsyncClient(trust_env=False) as client:
        yield AlertHook(settings, client, now=utc_now)


def _settings_of_a_host() -> Settings:
    """For `uvicorn --factory`: what is wrong is one sentence, not the trace of an exception."""
    try:
        settings = load_settings()
        _require_addresses(settings)
        require_folder()
        require_sight(settings)
    except (SettingsError, UnfitDatabaseError) as error:
        raise SystemExit(str(error)) from None
    return settings


def _require_addresses(settings: Settings) -> None:
    if settings.database_url is None or settings.s3_endpoint_url is None:
        raise SettingsError(
            "DATABASE_URL and S3_ENDPOINT_URL must be set; `python -m app serve` starts its own"
            " servers without them"
        )


def _warn_of_unsafe(settings: Settings) -> None:
    if not settings.allowed_hosts:
        log.warning("any_host_is_answered", hint="Set ALLOWED_HOSTS to this service's names.")
    if not settings.trusted_proxy_hops:
        log.warning(
            "no_proxy_is_trusted",
            hint="Behind proxies set TRUSTED_PROXY_HOPS: else all clients have one address.",
        )
    if settings.rate_limit_storage_uri.get_secret_value().startswith("memory:"):
        log.warning(
            "rates_count_per_process",
            hint="With several instances set RATE_LIMIT_STORAGE_URI to a Redis of theirs.",
        )
    if settings.submission_retention_days is None:
        log.warning(
            "submissions_stay",
            hint="Until the contract with the school ends: SUBMISSION_RETENTION_DAYS is not set.",
        )
    if settings.spark_storage_networks:
        log.warning(
            "networks_count_as_public",
            hint="SPARK_STORAGE_NETWORKS: a file's URL can reach what answers https there.",
        )


async def _warn_without_keys(resources: Resources) -> None:
    with suppress(*FAILURES):
        if not (resources.settings.internal_api_keys or await has_keys(resources.sessions)):
            log.warning("no_service_key", hint="Make one: `python -m app keys create`.")


def _is_no_websocket(record: logging.LogRecord) -> bool:
    return "WebSocket" not in str(record.msg)


def _keys(*secrets: SecretStr | None) -> list[TokenKey]:
    return [token_key(secret) for secret in secrets if secret]


def _issuer(settings: Settings) -> TokenIssuer | None:
    if settings.jwt_secret_key is None:
        return None
    return TokenIssuer(
        key=token_key(settings.jwt_secret_key),
        version=settings.token_version,
        access_seconds=settings.access_token_seconds,
        refresh_seconds=settings.refresh_token_seconds,
    )
