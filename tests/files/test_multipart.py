"""The body reader alone: any cut of any form, every fault of FAULTS F, every limit."""

import asyncio
import contextlib
import gc
import re
import time
import tracemalloc
from collections.abc import AsyncIterator, Iterable
from contextlib import aclosing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app import errors
from app.files.form_headers import parse_boundary
from app.files.multipart import FormPart, MultipartLimits, read_parts
from tests.support.bodies import BOUNDARY, Part, arrive, cut, cut_at, form

ROOMY = MultipartLimits(
    max_parts=100,
    max_files=20,
    max_body_bytes=1 << 40,
    max_file_bytes=1 << 40,
    max_total_file_bytes=1 << 40,
    max_field_bytes=1 << 40,
)
METADATA = Part("metadata", b'{"a": 1}')
ESSAY = Part("file1", b"%PDF-1.7 \xe4\xf6\xfc\r\n", "essay.pdf", "application/pdf")


class DisconnectError(Exception):
    pass


Received = tuple[str, str | None, str | None, bytes]


def reading(
    chunks: Iterable[bytes],
    limits: MultipartLimits = ROOMY,
    boundary: bytes = BOUNDARY,
    fault: Exception | None = None,
) -> contextlib.AbstractAsyncContextManager[AsyncIterator[FormPart]]:
    return aclosing(read_parts(arrive(chunks, fault), boundary=boundary, limits=limits))


async def receive(
    chunks: Iterable[bytes],
    limits: MultipartLimits = ROOMY,
    boundary: bytes = BOUNDARY,
    fault: Exception | None = None,
) -> list[Received]:
    received: list[Received] = []
    async with reading(chunks, limits, boundary, fault) as parts:
        async for part in parts:
            content = await part.read(1 << 40)
            received.append((part.name, part.filename, part.content_type, content))
    return received


async def pass_over(chunks: Iterable[bytes], limits: MultipartLimits) -> None:
    """Asks for one part after the other and reads none of them."""
    async with reading(chunks, limits) as parts:
        async for _ in parts:
            pass


async def outcome(chunks: Iterable[bytes], limits: MultipartLimits = ROOMY) -> object:
    """What a consumer sees, fault included: the whole parts and then the name of the failure."""
    whole: list[object] = []
    async with reading(chunks, limits) as parts:
        try:
            async for part in parts:
                content = await part.read(1 << 40)
                whole.append((part.name, part.filename, content))
        except errors.ServiceError as error:
            whole.append((error.code, error.error_text, error.hint_text))
    return whole


def as_received(part: Part) -> Received:
    return part.name, part.filename, part.content_type, part.content


# ------------------------------------------------------------------ any form, cut anywhere

_ESCAPES = re.compile("%(0A|0D|22)")
_DELIMITER = re.compile(rb"\r\n--" + BOUNDARY + rb"(?:\r\n|--|[ \t])")

names = st.text(st.characters(codec="utf-8"), max_size=40).filter(
    lambda name: not _ESCAPES.search(name)
)
tokens = st.sampled_from(
    [b"\r", b"\n", b"-", b"\r\n", b"--", b"\r\n--", BOUNDARY, b"\r\n--" + BOUNDARY, b" ", b"x"]
    + [b"\r\n--" + BOUNDARY[:length] for length in (1, 20, len(BOUNDARY) - 1)]
)
contents = st.one_of(
    st.binary(max_size=200),
    st.lists(st.one_of(tokens, st.binary(max_size=3)), max_size=12).map(b"".join),
).filter(lambda content: not _DELIMITER.search(content + b"\r\n--" + BOUNDARY))
sent_parts = st.builds(
    Part,
    name=names,
    content=contents,
    filename=st.none() | names,
    content_type=st.sampled_from([None, "text/plain", "application/octet-stream"]),
)
forms = st.lists(sent_parts, max_size=6)


@given(sent=forms, positions=st.lists(st.integers(0, 2000), max_size=20))
async def test_any_form_cut_anywhere_gives_back_exactly_its_parts(
    sent: list[Part], positions: list[int]
) -> None:
    received = await receive(cut_at(form(*sent), positions))
    assert received == [as_received(part) for part in sent]


@given(sent=forms)
async def test_any_form_in_one_byte_chunks_gives_back_exactly_its_parts(sent: list[Part]) -> None:
    assert await receive(cut(form(*sent), 1)) == [as_received(part) for part in sent]


@st.composite
def damaged_forms(draw: st.DrawFn) -> bytes:
    """A form in which a few pieces were overwritten or put in."""
    body = form(*draw(st.lists(sent_parts, min_size=1, max_size=4)))
    for _ in range(draw(st.integers(0, 2))):
        start = draw(st.integers(0, len(body)))
        end = start + draw(st.integers(0, 4))
        body = body[:start] + draw(st.one_of(tokens, st.binary(max_size=4))) + body[end:]
    return body


@given(
    body=damaged_forms(),
    limit=st.integers(0, 400),
    positions=st.lists(st.integers(0, 1000), max_size=12),
)
async def test_the_outcome_of_a_damaged_form_does_not_depend_on_how_it_is_cut(
    body: bytes, limit: int, positions: list[int]
) -> None:
    limits = MultipartLimits(
        max_parts=4,
        max_files=2,
        max_body_bytes=200 + 2 * limit,
        max_file_bytes=limit,
        max_total_file_bytes=limit + 20,
        max_field_bytes=limit // 2,
    )
    expected = await outcome([body], limits)
    assert await outcome(cut_at(body, positions), limits) == expected
    assert await outcome(cut(body, 1), limits) == expected


@pytest.mark.parametrize("size", [1, 7, 1 << 20])
async def test_a_body_cut_off_at_any_byte_never_ends_normally(size: int) -> None:
    body = form(METADATA, ESSAY, Part("empty", b"", "", None))
    complete = len(body) - len(b"\r\n")
    for length in range(complete):
        with pytest.raises((errors.MultipartTruncatedError, errors.MultipartInvalidError)):
            await receive(cut(body[:length], size))
    assert len(await receive(cut(body[:complete], size))) == 3


@pytest.mark.parametrize("cut_off", [0, 1, 60, -1, -3, -100])
async def test_a_body_that_only_lacks_its_end_is_called_truncated(cut_off: int) -> None:
    body = form(METADATA, ESSAY).removesuffix(b"\r\n")
    with pytest.raises(errors.MultipartTruncatedError):
        await receive([body[:cut_off]])


# ------------------------------------------------------------------ FAULTS F, row by row

NAMED = b'Content-Disposition: form-data; name="a"'


@pytest.mark.parametrize(
    "content_type",
    [
        pytest.param("multipart/form-data", id="P104 no boundary"),
        pytest.param("multipart/form-data; boundary=", id="P104 empty"),
        pytest.param('multipart/form-data; boundary=""', id="P104 empty in quotes"),
        pytest.param("multipart/form-data; boundary=" + "x" * 300, id="P104 300 bytes"),
        pytest.param("multipart/form-data; boundary=" + "x" * 71, id="P104 71 bytes"),
        pytest.param("multipart/form-data; boundary=a; boundary=b", id="P104 two"),
        pytest.param("multipart/form-data; boundary=a; Boundary=a", id="P104 two in two cases"),
        pytest.param('multipart/form-data; boundary="a', id="P104 open quote"),
        pytest.param('multipart/form-data; boundary="a "', id="P104 ends in a space"),
        pytest.param("multipart/form-data; boundary=ä", id="P104 not ASCII"),
        pytest.param("multipart/form-data; boundary*=utf-8''a", id="P104 extended"),
        pytest.param("multipart/form-data; boundary=a, multipart/form-data", id="P104 joined"),
        pytest.param("multipart/mixed; boundary=a", id="P104 mixed"),
        pytest.param("application/json; boundary=a", id="P104 other type"),
        pytest.param("", id="P104 empty header"),
    ],
)
def test_a_content_type_without_a_usable_boundary_is_refused(content_type: str) -> None:
    with pytest.raises(errors.MultipartInvalidError) as refused:
        parse_boundary(content_type)
    assert "boundary" in str(refused.value.hint_text)


@pytest.mark.parametrize(
    ("content_type", "boundary"),
    [
        ("multipart/form-data; boundary=Bx", b"Bx"),
        ('Multipart/Form-Data;BOUNDARY="a b:c"', b"a b:c"),
        ("multipart/form-data; charset=utf-16; boundary=----WebKitFormBoundary7", None),
        ("multipart/form-data; boundary=----=_Part_1.2; charset=utf-8", b"----=_Part_1.2"),
        ("multipart/form-data; boundary=" + "x" * 70 + ";", b"x" * 70),
        ("multipart/form-data; boundary=*****", b"*****"),  # F13, older Android code
        ("multipart/form-data; boundary=__X_PAW_BOUNDARY__#1", b"__X_PAW_BOUNDARY__#1"),
        ("multipart/form-data; boundary=%$&!~^|{}<>@[]", b"%$&!~^|{}<>@[]"),
    ],
)
def test_the_boundary_is_read_from_what_senders_write(
    content_type: str, boundary: bytes | None
) -> None:
    assert parse_boundary(content_type) == (boundary or b"----WebKitFormBoundary7")


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(form(METADATA, ESSAY)[:-70], id="P105 in the middle of a file"),
        pytest.param(form(METADATA, ESSAY)[: -len(BOUNDARY) - 8], id="P106 closing boundary"),
        pytest.param(b"", id="P106 nothing at all"),
    ],
)
async def test_an_unfinished_body_is_called_truncated(body: bytes) -> None:
    with pytest.raises(errors.MultipartTruncatedError):
        await receive([body])


@pytest.mark.parametrize("size", [1, 16, 1 << 20])
@pytest.mark.parametrize(
    "body",
    [
        pytest.param(form(NAMED + b"\r\nContent-Transfer-Encoding: base64\r\n\r\nYQ=="), id="P114"),
        pytest.param(form(NAMED + b"\r\nContent-Type: multipart/mixed; x=y\r\n\r\na"), id="P115"),
        pytest.param(form(*[Part(f"f{n}", b"x") for n in range(101)]), id="P116"),
        pytest.param(form(Part("a", b"", headers=[b"X%d: y" % n for n in range(19)])), id="P118"),
        pytest.param(form(Part("a", b"", headers=[b"X: " + b"y" * 8192])), id="P118 8 KB"),
        pytest.param(form(Part("a", b"", headers=[b"X" * 8192 + b": y"])), id="P118 8 KB name"),
        pytest.param(b"text\r\n" + form(METADATA), id="P119"),
        pytest.param(b"\r\ntext\r\n" + form(METADATA), id="P119 behind a line break"),
        pytest.param(b"-" + form(METADATA), id="P119 hyphen"),
        pytest.param(form(METADATA, boundary=b"other"), id="P119 other boundary"),
        pytest.param(form(METADATA).replace(b"\r\n", b"\n"), id="P121 LF only"),
        pytest.param(
            b"--" + BOUNDARY + b"\r\n" + NAMED + b"\nX: y\n\na\r\n--" + BOUNDARY + b"--\r\n",
            id="P121 LF in headers",
        ),
        pytest.param(
            form(NAMED + b"\r\nContent-Type: text/plain\n\na\r\nX: y\r\n\r\na"),
            id="P121 LF behind another header",
        ),
        pytest.param(form(b'Content-Disposition: form-data;\r\n name="a"\r\n\r\n'), id="P121 fold"),
        pytest.param(form(b'Content-Disposition : form-data; name="a"\r\n\r\n'), id="P121 space"),
        pytest.param(form(b"Content-Disposition: form-data\r\n\r\na"), id="P122 no name"),
        pytest.param(
            form(b'Content-Disposition: form-data; filename="a"\r\n\r\na'), id="P122 file"
        ),
        pytest.param(form(b"\r\na"), id="P122 no header"),
        pytest.param(form(b"Content-Type: text/plain\r\n\r\na"), id="P122 no disposition"),
        pytest.param(form(b'Content-Disposition: attachment; name="a"\r\n\r\na'), id="P122 other"),
        pytest.param(form(NAMED + b"\r\n" + NAMED + b"\r\n\r\na"), id="P122 two dispositions"),
        pytest.param(form(NAMED + b'; NAME="b"\r\n\r\na'), id="P122 two names"),
        pytest.param(form(NAMED + b"; filename*=utf-8''%ff\r\n\r\na"), id="P124 no UTF-8"),
        pytest.param(form(NAMED + b"; filename*=klingon''a\r\n\r\na"), id="P124 no charset"),
        pytest.param(form(NAMED + b"; filename*=a.pdf\r\n\r\na"), id="P124 no form"),
        pytest.param(form(NAMED + b"; filename*0*=utf-8''a\r\n\r\na"), id="P124 extended pieces"),
        pytest.param(form(NAMED + b"; filename*0=a; filename*1=b\r\n\r\na"), id="P124 pieces"),
        pytest.param(b"[object FormData]", id="P126"),
        pytest.param(form(*[Part("a", b"x")] * 1000), id="P127"),
        pytest.param(form(NAMED + b'; filename="a\r\nb"\r\n\r\nx'), id="P140 CRLF"),
        pytest.param(form(NAMED + b'; filename="a\r\nX: b"\r\n\r\nx'), id="P140 CRLF as header"),
        pytest.param(form(NAMED + b'; filename="a\rb"\r\n\r\nx'), id="P140 CR"),
        pytest.param(form(NAMED + b'; filename="a\r\n\r\nx'), id="P140 open quote"),
        pytest.param(form(NAMED + b'; filename="a" b\r\n\r\nx'), id="P140 quoted and not"),
        pytest.param(form(NAMED + b"; filename=a\nb\r\n\r\nx"), id="P140 LF outside quotes"),
    ],
)
async def test_a_malformed_body_is_invalid_with_a_hint_however_it_is_cut(
    body: bytes, size: int
) -> None:
    with pytest.raises(errors.MultipartInvalidError) as refused:
        await receive(cut(body, size))
    assert refused.value.hint_text


@pytest.mark.parametrize("size", [1, 17])
async def test_p126_a_form_object_sent_as_text_is_told_how_to_send_it(size: int) -> None:
    with pytest.raises(errors.MultipartInvalidError) as refused:
        await receive(cut(b"[object FormData]", size))
    assert "form.pipe" in str(refused.value.hint_text)


@pytest.mark.parametrize(
    ("body", "hint"),
    [
        pytest.param(b"text", "must begin", id="P119 text"),
        pytest.param(b"--%s-x" % BOUNDARY, "must begin", id="P119 no boundary after all"),
        pytest.param(b"--%s\n" % BOUNDARY, "must begin", id="P121 LF"),
        pytest.param(b"--%s\r\n\0: y\r\n" % BOUNDARY, "Lines end in CRLF", id="P118 in a part"),
    ],
)
async def test_the_hint_tells_the_opening_from_a_part(body: bytes, hint: str) -> None:
    with pytest.raises(errors.MultipartInvalidError) as refused:
        await receive([body])
    assert hint in str(refused.value.hint_text)


@pytest.mark.parametrize("word", [b"7bit", b"8BIT", b"binary "])
async def test_p114_an_encoding_that_changes_nothing_is_accepted(word: bytes) -> None:
    part = Part("a", b"x\xff", headers=[b"Content-Transfer-Encoding: " + word])
    assert await receive([form(part)]) == [as_received(part)]


async def test_p117_two_files_under_one_name_both_arrive() -> None:
    assert await receive([form(ESSAY, ESSAY)]) == [as_received(ESSAY)] * 2


async def test_p120_what_follows_the_closing_boundary_is_neither_parsed_nor_read() -> None:
    second = form(Part("metadata", b"{}"))
    too_late = [form(METADATA) + second, second, b"never read"]
    source = arrive(too_late, AssertionError("read too far"))
    names = [part.name async for part in read_parts(source, boundary=BOUNDARY, limits=ROOMY)]
    assert names == ["metadata"]


@pytest.mark.parametrize("size", [1, 3, 1 << 20])
async def test_p123_content_that_looks_like_a_boundary_is_kept_byte_for_byte(size: int) -> None:
    content = b"B\r\n--Bx\r\n--B\r\r\n--B-x\r\n--B\n--B--\n--B\r\n-\r\n--"
    part = Part("a", content, "a.txt")
    received = await receive(cut(form(part, boundary=b"B"), size), boundary=b"B")
    assert received == [as_received(part)]


async def test_p124_of_a_file_name_and_its_extended_form_the_latter_is_taken() -> None:
    body = form(NAMED + b"; filename=a.pdf; filename*=utf-8''b.pdf\r\n\r\nx")
    assert await receive([body]) == [("a", "b.pdf", None, b"x")]


async def test_p125_an_empty_file_input_is_a_part_with_an_empty_file_name() -> None:
    empty = Part("a", b"", "", "application/octet-stream")
    assert await receive([form(empty)]) == [as_received(empty)]


async def test_p126_chunks_of_any_size_and_empty_ones_are_read() -> None:
    body = form(METADATA, ESSAY)
    chunks = [b"", body[:5], b"", b"", body[5:90], b"", body[90:], b""]
    assert await receive(chunks) == [as_received(METADATA), as_received(ESSAY)]


@pytest.mark.parametrize(
    ("header", "filename"),
    [
        pytest.param(rb'"C:\x\a.pdf"', r"C:\x\a.pdf", id="P139 Windows path"),
        pytest.param(b'"../../etc/passwd.txt"', "../../etc/passwd.txt", id="P139 relative"),
        pytest.param(b'"a\n\0\x1b\tb.txt"', "a\n\0\x1b\tb.txt", id="P140 controls are left"),
        pytest.param(rb'"a\"b\\c.txt"', r'a"b\c.txt', id="P141 curl"),
        pytest.param(b'"a%22;%0D%0Ab%41%2f.txt"', 'a";\r\nb%41%2f.txt', id="P141 WHATWG"),
        pytest.param('"ä 🎈; x=y.txt"'.encode(), "ä 🎈; x=y.txt", id="P141 UTF-8"),
        pytest.param(b'"\xe4.txt"', "ä.txt", id="P141 Latin-1"),
        pytest.param(b"essay.pdf ;", "essay.pdf", id="P141 without quotes"),
        pytest.param(b'"' + b"n" * 300 + b'"', "n" * 300, id="P143"),
        pytest.param(b'"my "final" draft.txt"', 'my "final" draft.txt', id="F09 older Guzzle"),
        pytest.param(b'"a"b"; x="y"', 'a"b', id="F09 before another parameter"),
        pytest.param(b'"my%20notes%281%29.txt"', "my notes(1).txt", id="F07 percent-encoded"),
        pytest.param(b'"r%C3%A9sum%C3%A9.txt"', "résumé.txt", id="F07 as aiohttp's first half"),
        pytest.param(b'"a%20%22b%22%3B.txt"', 'a "b";.txt', id="F07 with encoded quotes"),
        pytest.param(b'"100% sure.txt"', "100% sure.txt", id="F07 a percent sign"),
        pytest.param(b'"my%20notes (1).txt"', "my%20notes (1).txt", id="F07 half encoded"),
        pytest.param(b'"%ff.txt"', "%ff.txt", id="F07 encoded, but no UTF-8"),
        pytest.param(b'"=?utf-8?B?csOpc3Vtw6kudHh0?="', "résumé.txt", id="F07 a mailer's word"),
        pytest.param(
            b'"=?iso-8859-1?Q?r=E9sum?= =?iso-8859-1?Q?=E9_1.txt?="', "résumé 1.txt", id="F07 words"
        ),
        pytest.param(b'"=?klingon?B?csOp?="', "=?klingon?B?csOp?=", id="F07 an unknown word"),
        pytest.param(b'"=?utf-7?q?+2AA-?="', "=?utf-7?q?+2AA-?=", id="F07 half a pair in a word"),
        pytest.param('"=?klïngon?Q?a?="'.encode(), "=?klïngon?Q?a?=", id="F07 no charset's name"),
        pytest.param('"re\u0301sume\u0301.txt"'.encode(), "re\u0301sume\u0301.txt", id="NFD"),
    ],
)
async def test_a_file_name_is_given_as_it_was_meant(header: bytes, filename: str) -> None:
    body = form(NAMED + b"; filename=" + header + b"\r\n\r\nx")
    assert await receive([body]) == [("a", filename, None, b"x")]


@pytest.mark.parametrize(
    ("label", "content_type"),
    [
        (b"Text/Plain; charset=utf-16", "text/plain"),
        (b"application/x-unknown", "application/x-unknown"),
        (b" ", None),
    ],
)
async def test_the_label_of_a_part_is_lower_case_without_parameters(
    label: bytes, content_type: str | None
) -> None:
    body = form(NAMED + b"\r\nCONTENT-TYPE:" + label + b"\r\n\r\n\xfe\xff")
    assert await receive([body]) == [("a", None, content_type, b"\xfe\xff")]


@pytest.mark.parametrize(
    ("parameters", "filename"),
    [
        pytest.param(
            b"; filename=\"r%C3%A9.txt\"; filename*=utf-8''r%C3%A9.txt", "ré.txt", id="aiohttp"
        ),
        pytest.param(b"; filename*=UTF-8''r%C3%A9.txt", "ré.txt", id="alone"),
        pytest.param(b"; filename*=iso-8859-1'en'r%E9.txt", "ré.txt", id="Latin-1"),
        pytest.param(
            b"; filename*=utf-8''%e2%82%ac.txt; filename=\"euro.txt\"", "\u20ac.txt", id="before"
        ),
        pytest.param(b"; filename=\"a.txt\"; filename*=utf-8''%ff", "a.txt", id="unreadable"),
        pytest.param(b"; filename=\"a.txt\"; filename*=klingon''b", "a.txt", id="unknown"),
        *(
            pytest.param(b'; filename="a.txt"; filename*=' + odd, "a.txt", id=odd.decode())
            for odd in (b"undefined''x", b"idna''a", b"punycode''a-999999", b"utf-7''+2AA-")
        ),
    ],
)
async def test_f07_the_extended_file_name_is_the_one_meant(
    parameters: bytes, filename: str
) -> None:
    body = form(NAMED + parameters + b"\r\n\r\nx")
    assert await receive([body]) == [("a", filename, None, b"x")]


@pytest.mark.parametrize("size", [1, 2, 7, 1 << 20])
@pytest.mark.parametrize("preamble", [b"\r\n", b"\r\n\r\n"], ids=["one", "two"])
async def test_f14_line_breaks_before_the_first_boundary_are_no_fault(
    preamble: bytes, size: int
) -> None:
    body = preamble + form(METADATA, ESSAY)
    assert await receive(cut(body, size)) == [as_received(METADATA), as_received(ESSAY)]


@pytest.mark.parametrize("size", [1, 2, 7, 1 << 20])
@pytest.mark.parametrize("padding", [b" ", b"\t  "])
async def test_white_space_behind_a_boundary_is_no_fault(padding: bytes, size: int) -> None:
    """RFC 2046 section 5.1.1, transport padding"""
    body = form(METADATA, ESSAY).replace(BOUNDARY + b"\r\n", BOUNDARY + padding + b"\r\n")
    assert await receive(cut(body, size)) == [as_received(METADATA), as_received(ESSAY)]


@pytest.mark.parametrize(
    ("content_type", "named"),
    [
        ("multipart/form-data; boundary=\u00e4", "U+00E4 (LATIN SMALL LETTER A WITH DIAERESIS)"),
        ('multipart/form-data; boundary="a\\"b"', "U+0022 (QUOTATION MARK)"),
    ],
)
def test_a_refused_boundary_names_the_character(content_type: str, named: str) -> None:
    with pytest.raises(errors.MultipartInvalidError) as refused:
        parse_boundary(content_type)
    assert named in str(refused.value.hint_text)


async def test_a_refused_header_names_the_character() -> None:
    with pytest.raises(errors.MultipartInvalidError) as refused:
        await receive([form(NAMED + b"; filename=a\x07b\r\n\r\nx")])
    assert "U+0007 (a control character)" in str(refused.value.hint_text)


async def test_blanks_and_tabs_round_a_header_are_no_part_of_it() -> None:
    header = b'Content-Disposition:\t form-data \t; name="a"\r\nContent-Type:\tmultipartish/x\t'
    assert await receive([form(header + b"\r\n\r\nx")]) == [("a", None, "multipartish/x", b"x")]


async def test_a_name_in_an_unknown_encoding_is_left_as_it_is() -> None:
    header = NAMED + b'; filename="=?unknown-8?q?a%22?="'
    assert await receive([form(header + b"\r\n\r\nx")]) == [
        ("a", "=?unknown-8?q?a%22?=", None, b"x")
    ]


async def test_parameters_that_mean_nothing_to_us_are_passed_over() -> None:
    header = NAMED + b'; creation-date="2026"; filename-size=1; filename="a.txt"'
    assert await receive([form(header + b"\r\n\r\nx")]) == [("a", "a.txt", None, b"x")]


async def test_a_form_without_parts_is_a_form() -> None:
    assert await receive([form()]) == []


# ------------------------------------------------------------------ limits, exactly and one more


def limited(**limits: int) -> MultipartLimits:
    return MultipartLimits(**{**vars(ROOMY), **limits})


def files(*sizes: int) -> list[Part]:
    return [Part("f", bytes(size), f"{number}.bin") for number, size in enumerate(sizes)]


WHOLE = len(form(METADATA, ESSAY))
MEBIBYTE = 1 << 20


@pytest.mark.parametrize("size", [1, 5, 1 << 20])
@pytest.mark.parametrize(
    ("limits", "fitting", "excessive", "error"),
    [
        pytest.param(
            limited(max_parts=3),
            files(1, 1, 1),
            [*files(1, 1, 1), METADATA],
            errors.MultipartInvalidError,
            id="P116 parts",
        ),
        pytest.param(
            limited(max_files=2),
            [METADATA, Part("none", b"", ""), *files(1, 0), METADATA],
            files(1, 0, 1),
            errors.TooManyFilesError,
            id="P116 files",
        ),
        pytest.param(
            limited(max_files=1),
            [*[Part("none", b"", "")] * 3, Part("nameless", b"xx", "")],
            [Part("nameless", b"xx", "")] * 2,
            errors.TooManyFilesError,
            id="P125 nameless files with content",
        ),
        pytest.param(
            limited(max_field_bytes=8),
            [Part("metadata", bytes(8)), Part("other", bytes(8)), *files(20)],
            [Part("metadata", bytes(9))],
            errors.BodyTooLargeError,
            id="P112",
        ),
        pytest.param(
            limited(max_file_bytes=10),
            [Part("text", bytes(30)), *files(10, 10)],
            files(10, 11),
            errors.FileTooLargeError,
            id="P149",
        ),
        pytest.param(
            limited(max_total_file_bytes=20),
            [Part("text", bytes(30)), *files(10, 10)],
            [Part("text", bytes(30)), *files(10, 9, 2)],
            errors.TotalTooLargeError,
            id="P150",
        ),
        pytest.param(
            limited(max_total_file_bytes=20, max_file_bytes=15),
            files(15, 5),
            files(15, 16),
            errors.TotalTooLargeError,
            id="P150 total before file",
        ),
        pytest.param(
            limited(max_total_file_bytes=10, max_file_bytes=10),
            files(10),
            files(11),
            errors.FileTooLargeError,
            id="P149 both at once",
        ),
        pytest.param(
            limited(max_body_bytes=WHOLE),
            [METADATA, ESSAY],
            [METADATA, ESSAY, METADATA],
            errors.BodyTooLargeError,
            id="P151",
        ),
    ],
)
async def test_exactly_the_limit_is_fine_and_one_more_is_refused(
    limits: MultipartLimits,
    fitting: list[Part],
    excessive: list[Part],
    error: type[errors.ServiceError],
    size: int,
) -> None:
    received = await receive(cut(form(*fitting), size), limits)
    assert received == [as_received(part) for part in fitting]
    with pytest.raises(error):
        await receive(cut(form(*excessive), size), limits)


@pytest.mark.parametrize("size", [1, 1 << 20])
async def test_p151_one_byte_missing_from_the_body_limit_is_one_byte_too_much(size: int) -> None:
    body = form(METADATA, ESSAY).removesuffix(b"\r\n")
    with pytest.raises(errors.BodyTooLargeError):
        await receive(cut(body, size), limited(max_body_bytes=len(body) - 1))
    assert await receive(cut(body, size), limited(max_body_bytes=len(body)))


async def test_p149_the_refusal_names_the_file_and_the_limit() -> None:
    body = form(Part("f", bytes(MEBIBYTE + 1), "big.bin"))
    with pytest.raises(errors.FileTooLargeError) as refused:
        await receive([body], limited(max_file_bytes=MEBIBYTE))
    assert refused.value.error_text == "File big.bin exceeds 1MB limit"


async def test_p150_the_refusal_names_the_limit() -> None:
    with pytest.raises(errors.TotalTooLargeError) as refused:
        await receive([form(*files(MEBIBYTE, MEBIBYTE))], limited(max_total_file_bytes=MEBIBYTE))
    assert refused.value.error_text == "Total file size exceeds 1MB limit"


async def test_p149_nothing_more_is_read_once_a_limit_is_passed() -> None:
    chunks = cut(form(*files(100)), 10)
    with pytest.raises(errors.FileTooLargeError):
        await receive(chunks[:20], limited(max_file_bytes=5), fault=DisconnectError())


async def test_a_part_larger_than_the_consumer_takes_is_refused() -> None:
    async with reading([form(METADATA, METADATA)]) as parts:
        assert await (await anext(parts)).read(len(METADATA.content)) == METADATA.content
        part = await anext(parts)
        with pytest.raises(errors.BodyTooLargeError):
            await part.read(len(METADATA.content) - 1)


# ------------------------------------------------------------------ the consumer and the source


@pytest.mark.parametrize("size", [1, 1 << 20])
async def test_parts_that_are_not_read_are_passed_over(size: int) -> None:
    async with reading(cut(form(ESSAY, METADATA, ESSAY, ESSAY), size)) as parts:
        taken = [await part.read(100) async for part in parts if part.name == "metadata"]
    assert taken == [METADATA.content]


async def test_a_part_left_in_the_middle_is_passed_over() -> None:
    async with reading(cut(form(ESSAY, METADATA), 8)) as parts:
        essay = await anext(parts)
        assert ESSAY.content.startswith(await anext(essay))
        assert (await anext(parts)).name == "metadata"


@pytest.mark.parametrize("size", [1, 1 << 20])
async def test_parts_that_are_not_read_still_count(size: int) -> None:
    with pytest.raises(errors.FileTooLargeError):
        await pass_over(cut(form(*files(100)), size), limited(max_file_bytes=99))


async def test_bytes_of_a_part_passed_over_are_not_mistaken_for_an_empty_file() -> None:
    async with reading([form(ESSAY, METADATA)]) as parts:
        essay = await anext(parts)
        await anext(parts)
        with pytest.raises(RuntimeError, match="passed over"):
            await essay.read(100)


async def test_a_part_read_to_its_end_stays_at_its_end() -> None:
    async with reading([form(ESSAY, METADATA)]) as parts:
        essay = await anext(parts)
        assert await essay.read(100) == ESSAY.content
        assert await essay.read(100) == b""
        await anext(parts)
        assert await essay.read(100) == b""


async def test_bytes_handed_out_stay_as_they_are_after_later_chunks() -> None:
    content = bytes(range(256)) * 64
    async with reading(cut(form(Part("f", content, "a")), 100)) as parts:
        kept = [data async for part in parts async for data in part]
    assert all(isinstance(data, bytes) for data in kept)
    assert b"".join(kept) == content


@pytest.mark.parametrize("fault", [b"no header\r\n\r\n", b"X: no name\r\n\r\n"])
async def test_a_whole_part_is_handed_on_before_a_fault_in_the_same_chunk(fault: bytes) -> None:
    async with reading([form(METADATA, fault)]) as parts:
        part = await anext(parts)
        assert await part.read(100) == METADATA.content
        with pytest.raises(errors.MultipartInvalidError):
            await anext(parts)


async def test_after_a_fault_nothing_but_the_fault_comes() -> None:
    damaged = Part("f", b"\r\n--%s no line end" % BOUNDARY, "a.bin").encode()
    async with reading([b"--%s\r\n%s" % (BOUNDARY, damaged), form()]) as parts:
        part = await anext(parts)
        for _ in range(3):
            with pytest.raises(errors.MultipartInvalidError):
                await part.read(100)


@pytest.mark.parametrize("length", [0, 30, 130, len(form(METADATA)) - 10])
async def test_a_failure_of_the_source_reaches_the_consumer_unchanged(length: int) -> None:
    gone = DisconnectError()
    with pytest.raises(DisconnectError) as caught:
        await receive(cut(form(METADATA)[:length], 10), fault=gone)
    assert caught.value is gone


class Source:
    """A body that stands still after its chunks, and knows whether it was closed."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self.is_closed = False
        self.stream = self._chunks(chunks)

    async def _chunks(self, chunks: Iterable[bytes]) -> AsyncIterator[bytes]:
        try:
            for chunk in chunks:
                yield chunk
            await asyncio.Event().wait()
        finally:
            self.is_closed = True


@pytest.mark.parametrize("reads_part", [True, False])
async def test_cancelling_the_consumer_closes_the_source(*, reads_part: bool) -> None:
    source = Source([form(ESSAY, METADATA)[:-90]])

    async def consume() -> None:
        async with aclosing(read_parts(source.stream, boundary=BOUNDARY, limits=ROOMY)) as parts:
            async for part in parts:
                if reads_part:
                    await part.read(1000)

    consumer = asyncio.create_task(consume())
    await asyncio.sleep(0.01)
    assert not source.is_closed
    consumer.cancel()
    with pytest.raises(asyncio.CancelledError):
        await consumer
    assert source.is_closed


async def test_leaving_early_closes_the_source() -> None:
    source = Source([form(ESSAY)])
    async with aclosing(read_parts(source.stream, boundary=BOUNDARY, limits=ROOMY)) as parts:
        part = await anext(parts)
    assert source.is_closed
    with pytest.raises(RuntimeError):
        await part.read(100)


@pytest.mark.parametrize("body", [form(METADATA), b"no form"])
async def test_the_end_and_a_fault_close_the_source(body: bytes) -> None:
    source = Source([body])
    with contextlib.suppress(errors.MultipartInvalidError):
        async for _ in read_parts(source.stream, boundary=BOUNDARY, limits=ROOMY):
            pass
    assert source.is_closed


async def test_no_chunk_is_asked_for_before_the_last_one_was_taken() -> None:
    asked = 0

    async def chunks() -> AsyncIterator[bytes]:
        nonlocal asked
        for chunk in cut(form(Part("f", bytes(1000), "a.bin")), 100):
            asked += 1
            yield chunk

    async with aclosing(read_parts(chunks(), boundary=BOUNDARY, limits=ROOMY)) as parts:
        part = await anext(parts)
        before = asked
        for taken in range(5):
            assert asked <= before + taken
            await anext(part)


# ------------------------------------------------------------------ memory and time


async def long_body(chunks: int) -> AsyncIterator[bytes]:
    yield form(Part("f", b"", "a.bin")).removesuffix(b"\r\n--%s--\r\n" % BOUNDARY)
    for number in range(chunks):
        yield bytes([number % 256]) * 65536
    yield b"\r\n--%s--\r\n" % BOUNDARY


async def test_memory_stays_flat_over_a_large_body() -> None:
    received = 0
    gc.collect()
    tracemalloc.start()
    try:
        async for part in read_parts(long_body(1024), boundary=BOUNDARY, limits=ROOMY):
            async for data in part:
                received += len(data)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert received == 64 * MEBIBYTE
    assert peak < 2 * MEBIBYTE


@pytest.mark.parametrize(
    ("content", "size", "limit_seconds"),
    [
        pytest.param(b"\r\n--" * 5_000_000, 65536, 2, id="P127 20 MB of near-boundaries"),
        pytest.param(b"\r" * 20_000_000, 65536, 2, id="P127 20 MB of CR"),
        pytest.param((b"\r\n--" + BOUNDARY[:-1]) * 360_000, 65536, 2, id="P127 nearer ones"),
        pytest.param(bytes(200_000), 1, 10, id="P155 200 KB in 1-byte chunks"),
    ],
)
async def test_awkward_content_is_read_byte_for_byte_in_time(
    content: bytes, size: int, limit_seconds: float
) -> None:
    chunks = cut(form(Part("f", content, "a.txt")), size)
    started = time.process_time()
    received = await receive(chunks)
    assert time.process_time() - started < limit_seconds
    assert received == [("f", "a.txt", None, content)]


async def test_p127_ten_thousand_lines_may_begin_like_a_boundary() -> None:
    lines = b"\r\n--Bx" * 9_999  # and the closing one
    bodies = [
        form(Part("f", content, "a"), boundary=b"B") for content in (lines, lines + lines[:6])
    ]
    assert len(await receive([bodies[0]], boundary=b"B")) == 1
    with pytest.raises(errors.MultipartInvalidError):
        await receive([bodies[1]], boundary=b"B")


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(form(*[Part("a", b"")] * 1000), id="P127 1,000 parts"),
        pytest.param(
            form(Part("f", b"\r\n--Bx" * 3_000_000, "a.txt"), boundary=b"B"),
            id="P127 millions of lines that begin like a boundary",
        ),
    ],
)
async def test_a_costly_body_is_refused_cheaply(body: bytes) -> None:
    boundary = b"B" if body.startswith(b"--B") else BOUNDARY
    started = time.process_time()
    with pytest.raises(errors.MultipartInvalidError):
        await receive(cut(body, 65536), boundary=boundary)
    assert time.process_time() - started < 0.5
