"""The headers of a part: its name and its file's name."""

from app.errors import MultipartInvalidError
from tests.fuzz.targets.form_reader import run as read_form
from tests.support.bodies import form

REFUSALS = (MultipartInvalidError,)
SEEDS = (
    b'form-data; name="file"; filename="a.pdf"',
    b'form-data; name="file"; filename="a%22b.pdf"; filename*=UTF-8\'\'%C3%A9.pdf',
    b'form-data; name=file; filename="=?UTF-8?B?w6kucGRm?="',
    b'form-data; name="file"; filename="a\\"b.pdf"\r\nContent-Type: text/plain; charset="x"',
    b'form-data; name="metadata"\r\nContent-Transfer-Encoding: binary',
)


def run(data: bytes) -> None:
    read_form(form(b"Content-Disposition: " + data + b"\r\n\r\nx"))
