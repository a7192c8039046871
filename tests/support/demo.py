"""`make demo`: the demo, with a Spark beside it that has a file and takes grades."""

import asyncio
import os
import secrets
import sys

from tests.support.fake_spark import run_fake_spark

TABLE = b"day,rain in mm\nMonday,4\nTuesday,0\nWednesday,11\n"


async def main() -> int:
    """Its exit code."""
    key, secret = (secrets.token_hex(32) for _ in range(2))
    async with run_fake_spark(key, secret) as spark:
        file_url = await spark.serve_file("rain.csv", TABLE)
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "app", "demo", "--file-url", file_url),
            env=os.environ
            | {
                "SPARK_API_URL": spark.url,
                "SPARK_API_KEY": key,
                "SPARK_RETURN_URLS": spark.url,
                "SPARK_OUTBOUND_SECRET": secret,
                "SPARK_STORAGE_DOMAINS": spark.files_url.removeprefix("https://"),
                "SPARK_STORAGE_NETWORKS": "127.0.0.0/8,::1/128",
                "SPARK_STORAGE_CA_FILE": str(spark.ca_file),
            },
        )
        if not (code := await process.wait()):
            for (student, _, assignment), grade in (await spark.gradebook()).items():
                arrived = f"{assignment} of {student}, {grade['score']:g} of {grade['max_score']:g}"
                sys.stdout.write(f"  In Spark's gradebook: {arrived}.\n")
        return code


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
