"""One JSON line for each thing worth knowing, with the request's id; nothing secret, nobody's data.

Callers log identifiers of ours, codes and class names only: never a value from a request, never
an exception's text.
"""

import logging
import math
import sys
import time

import structlog

SECONDS_BETWEEN = 60
LAST_SAID: dict[tuple[str, ...], tuple[float, int]] = {}  # when, and how often since

# The lines of these libraries may quote a request.
SILENT = ("httpx", "botocore", "aiobotocore", "asyncio", "python_multipart")


def configure_logs(level: int = logging.INFO) -> None:
    """For the process, once: our events and the libraries' lines in one form on standard output."""
    shared: list[structlog.types.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(level),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, _without_exception_text],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    logging.basicConfig(handlers=[handler], level=level, force=True)
    # A record looks none of these up, as no line of ours has them (Python's Logging HOWTO).
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    logging._srcfile = None  # noqa: SLF001
    logging.getLogger("alembic").setLevel(logging.WARNING)  # `migrate` tells of its steps itself
    for name in SILENT:
        logging.getLogger(name).setLevel(logging.ERROR)


def warn_each_minute(event: str, *, now: float | None = None, **said: str) -> None:
    """What fails with every request while it lasts is one line a minute; `times` counts those since
    the line before.
    """
    now = time.monotonic() if now is None else now
    key = (event, *said.values())
    last, unsaid = LAST_SAID.get(key, (-math.inf, 0))
    if now - last < SECONDS_BETWEEN:
        LAST_SAID[key] = last, unsaid + 1
        return
    LAST_SAID[key] = now, 0
    structlog.get_logger().warning(event, times=unsaid + 1, **said)


def _without_exception_text(
    _logger: object, _method: str, event: structlog.types.EventDict
) -> structlog.types.EventDict:
    """A library's traceback may hold tokens and bound values: its class name is enough."""
    exc_info = event.pop("exc_info", None)
    if exc_info:
        event["error_class"] = exc_info[0].__name__
        event["_record"].exc_info = None
    return event
