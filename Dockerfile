# The service alone: Postgres and S3 come from outside (docker-compose.yml shows one way).

# `docker buildx imagetools inspect python:3.11-slim` prints its `Digest:`; the next line as
# `ARG PYTHON_IMAGE=python:3.11-slim@sha256:…` then takes those bytes and no others.
ARG PYTHON_IMAGE=python:3.11-slim

FROM ${PYTHON_IMAGE} AS builder

# The version of the Makefile, which also made uv.lock, and the wheels for x86_64 and aarch64
# (`pip download --no-deps uv==…` on each, then `pip hash`).
ARG UV_VERSION=0.13.9
RUN printf 'uv==%s --hash=sha256:%s --hash=sha256:%s\n' "${UV_VERSION}" \
      d7f459fe4fd247d830351c75686d3996ace3c6f3f728eb0e85a30b7ada0cef19 \
      ecb6028d79dc96fbeafffe5c8af62a7099487ebc05a701e76714eebcffd06375 > /tmp/uv.txt \
    && pip install --no-cache-dir --require-hashes -r /tmp/uv.txt

# Copied files instead of links into a cache, compiled once here instead of at every start.
ENV UV_LINK_MODE=copy \
    UV_COMPILE_BYTECODE=1 \
    UV_PYTHON_DOWNLOADS=never
WORKDIR /app
COPY pyproject.toml uv.lock ./
# `--build-arg PICTURES=1` for HEIC as JPEG: its wheel is GPLv2 as a binary.
ARG PICTURES=
# Neither the dev group nor the embedded servers.
RUN uv sync --frozen --no-dev --no-install-project --no-cache ${PICTURES:+--extra=pictures}


FROM ${PYTHON_IMAGE}

ENV PATH=/app/.venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1
WORKDIR /app
COPY --from=builder /app/.venv .venv
COPY alembic.ini ./
COPY migrations migrations
COPY app app
# What /docs shows.
COPY docs docs
COPY CHANGELOG.md ./

# By number, so that an orchestrator can see that it is not root. Files stay root's: read-only.
USER 10001:10001
EXPOSE 8000
# http.client, because it ignores proxy variables.
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s --retries=3 \
    CMD ["python", "-c", "import http.client, sys; c = http.client.HTTPConnection('127.0.0.1', 8000, timeout=2); c.request('GET', '/healthz'); sys.exit(c.getresponse().status != 200)"]
CMD ["python", "-m", "app", "serve", "--host", "0.0.0.0", "--port", "8000"]
