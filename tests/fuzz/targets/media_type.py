"""The media type of a form and its boundary."""

from app.errors import MultipartInvalidError
from app.files.form_headers import parse_boundary

REFUSALS = MultipartInvalidError
SEEDS = (
    b"multipart/form-data; boundary=----WebKitFormBoundary7MA4YWxkTrZu0gW",
    b'multipart/form-data; charset=utf-8; boundary="a b:c"',
    b"multipart/form-data;boundary=*****",
    b"application/json; charset=utf-8;",
)


def run(data: bytes) -> None:
    assert parse_boundary(data.decode("latin-1"))
