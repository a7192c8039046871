"""Flat files and archives of rosters."""

import io
import tempfile
import zipfile
from pathlib import Path

from app.courses.open_roster import Meter, open_roster
from app.errors import BodyTooLargeError, RosterFileInvalidError
from app.text import is_clean, trimmed_id

MAX_BYTES = 1_000_000
REFUSALS = (BodyTooLargeError, RosterFileInvalidError)
USERS = 'sourcedId,role,givenName,familyName,email\n="1",student,Ada,"Exa\nmple",a@example.com\n'
ENROLLMENTS = "userSourcedId;classSourcedId;schoolSourcedId;role;status\n1;c;24;student;active\n"
ROLES = "sep=\t\nuserSourcedId\trole\n1\tstudent\n"
MANIFEST = "propertyName,value\nfile.enrollments,delta\n"


def _bundle(method: int) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", method) as archive:
        archive.writestr("users.csv", USERS)
        archive.writestr("enrollments.csv", ENROLLMENTS)
        archive.writestr("roles.csv", ROLES.encode("utf-16"))
        archive.writestr("manifest.csv", MANIFEST)
    return packed.getvalue()


SEEDS = (
    USERS.encode(),
    USERS.encode("utf-16"),
    b"\xef\xbb\xbfsep=;\r\n" + USERS.replace(",", ";").encode(),
    _bundle(zipfile.ZIP_STORED),
    _bundle(zipfile.ZIP_DEFLATED),
    _bundle(zipfile.ZIP_BZIP2),
    _bundle(zipfile.ZIP_LZMA),
)


def run(data: bytes) -> None:
    with tempfile.NamedTemporaryFile() as file:
        file.write(data)
        file.flush()
        with open_roster(Path(file.name)) as opened:
            for row in opened.rows(Meter(MAX_BYTES)):
                name = row["spark_user_id"]
                if isinstance(name, str):
                    assert name == trimmed_id(name) != ""
                    assert is_clean(name)
                assert (name is None) == (row["code"] is not None)
