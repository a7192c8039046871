# The service alone: Postgres and S3 come from outside (docker-compose.yml shows one way).

FROM python:3.11-slim AS builder

# The version of the Makefile, which also made uv.lock.
ARG UV_VERSION=0.13.9
RUN pip install --no-cache-dir "uv==${UV_VERSION}"

# Copied files instead of links into a cache, compiled once here instead of at every start.
ENV UV_LINK_MODE=copy \
    UV_COMPILE_BYTECODE=1 \
    UV_PYTHON_DOWNLOADS=never
WORKDIR /app
COPY pyproject.toml uv.lock ./
# Neither the dev group nor the embedded servers.
RUN uv sync --frozen --no-dev --no-install-project --no-cache


FROM python:3.11-slim

ENV PATH=/app/.venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1
WORKDIR /app
COPY --from=builder /app/.venv .venv
COPY alembic.ini ./
COPY migrations migrations
COPY app app

# By number, so that an orchestrator can see that it is not root. Files stay root's: read-only.
USER 10001:10001
EXPOSE 8000
# http.client, because it ignores proxy variables.
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s --retries=3 \
    CMD ["python", "-c", "import http.client, sys; c = http.client.HTTPConnection('127.0.0.1', 8000, timeout=2); c.request('GET', '/healthz'); sys.exit(c.getresponse().status != 200)"]
CMD ["python", "-m", "app", "serve", "--host", "0.0.0.0", "--port", "8000"]
