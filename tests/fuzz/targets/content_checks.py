"""What a file is, by its bytes: the same however it arrives."""

from app.errors import BadRequestError
from app.files.content_type import HEAD_BYTES, begin_check, detect_type
from tests.support import samples
from tests.support.containers import Entry, Stream, compound, docx, docx_entries, written_zip

REFUSALS = ()
SEEDS = (
    samples.jpeg(),
    samples.png(),
    samples.gif(),
    samples.webp(),
    samples.avi(),
    samples.pdf(),
    samples.mp4(),
    samples.quicktime(),
    samples.heic(),
    samples.docx(),
    samples.as_zip64(samples.docx()),
    samples.doc(),
    samples.doc(directory_last=True),
    written_zip(docx_entries(Entry("a.xml", size_behind=True))),
    docx(**{"[Content_Types]_DOT_xml": b"<a>" * 2_700_000}),
    docx(word___rels__a_DOT_rels=b"<a>" + b"".join(b"<a%d/>" % n for n in range(20_000))),
    compound(Stream("WordDocument"), Stream("EncryptedPackage")),
    "süß 😀".encode("utf-16"),
    b"#!/bin/sh\n",
)


def _outcome(data: bytes, size: int) -> str:
    head, rest = data[:HEAD_BYTES], data[HEAD_BYTES:]
    try:
        file_type = detect_type(head, filename="essay.docx")
        check = begin_check(file_type, head)
        for start in range(0, len(rest), size):
            check.feed(rest[start : start + size])
        check.finish()
    except BadRequestError as refusal:
        return refusal.code
    return file_type.media_type


def run(data: bytes) -> None:
    assert _outcome(data, 100_000) == _outcome(data, 127)
