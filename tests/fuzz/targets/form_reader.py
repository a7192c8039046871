"""Bodies of forms: the same outcome however they arrive."""

import asyncio
from collections.abc import Iterable
from contextlib import aclosing

from app.errors import BadRequestError
from app.files.multipart import MultipartLimits, read_parts
from tests.support.bodies import BOUNDARY, Part, arrive, cut, form

REFUSALS = ()
LIMITS = MultipartLimits(
    max_parts=20,
    max_files=5,
    max_body_bytes=100_000,
    max_file_bytes=10_000,
    max_total_file_bytes=20_000,
    max_field_bytes=10_000,
)
METADATA = Part("metadata", b'{"a": 1}')
SEEDS = (
    form(METADATA),
    form(METADATA, Part("file", b"%PDF-1.7 \r\n", "essay.pdf", "application/pdf")),
    form(Part("file", b"\r\n--", 'a"\\b.txt'), METADATA),
    form(b"Content-Disposition: form-data; name=a; filename*=UTF-8''%C3%A9\r\n\r\nx"),
    b"\r\n" + form(METADATA),
)


async def _outcome(chunks: Iterable[bytes]) -> list[object]:
    whole: list[object] = []
    async with aclosing(read_parts(arrive(chunks), boundary=BOUNDARY, limits=LIMITS)) as parts:
        try:
            async for part in parts:
                whole += [part.name, part.filename, await part.read(50_000)]
        except BadRequestError as refusal:
            whole.append(refusal.code)
    return whole


LOOP = asyncio.new_event_loop()


def run(data: bytes) -> None:
    outcomes = [LOOP.run_until_complete(_outcome(cut(data, size))) for size in (len(data) or 1, 7)]
    assert outcomes[0] == outcomes[1]
