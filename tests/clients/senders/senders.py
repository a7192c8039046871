"""requests, httpx or aiohttp, whichever is named: JSON as bytes, and a form as each makes it."""

import asyncio
import os
import sys

import aiohttp
import httpx
import requests

URL, MESSAGE = os.environ["OPTIO_URL"], os.environ["MESSAGE"]
METADATA = os.environ["METADATA"]
NAME, CONTENT = os.environ["FILE_NAME"], os.environ["FILE_CONTENT"].encode()
SIGNED = {"X-Spark-Signature": os.environ["METADATA_SIGNATURE"]}
JSON = {
    "X-Spark-Signature": os.environ["MESSAGE_SIGNATURE"],
    "Content-Type": "application/json",
}
SECONDS = 30


def report(status: int, body: str) -> None:
    print(status, body.replace("\n", " "))  # noqa: T201 - the test reads it


def send_by_requests() -> None:
    files = {"files": (NAME, CONTENT)}
    for answer in (
        requests.post(URL, data=MESSAGE.encode(), headers=JSON, timeout=SECONDS),
        requests.post(
            URL, data={"metadata": METADATA}, files=files, headers=SIGNED, timeout=SECONDS
        ),
    ):
        report(answer.status_code, answer.text)


def send_by_httpx() -> None:
    files = {"files": (NAME, CONTENT)}
    for answer in (
        httpx.post(URL, content=MESSAGE, headers=JSON, timeout=SECONDS),
        httpx.post(URL, data={"metadata": METADATA}, files=files, headers=SIGNED, timeout=SECONDS),
    ):
        report(answer.status_code, answer.text)


async def send_by_aiohttp() -> None:
    form = aiohttp.FormData({"metadata": METADATA})
    form.add_field("files", CONTENT, filename=NAME)
    async with aiohttp.ClientSession() as client:
        for headers, body in ((JSON, MESSAGE), (SIGNED, form)):
            async with client.post(URL, data=body, headers=headers) as answer:
                report(answer.status, await answer.text())


match sys.argv[1]:
    case "requests":
        send_by_requests()
    case "httpx":
        send_by_httpx()
    case _:
        asyncio.run(send_by_aiohttp())
