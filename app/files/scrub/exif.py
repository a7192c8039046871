"""How a picture is to be turned: all that stays of Exif (TIFF 6.0, Exif 2.32 section 4.6)."""

import struct
from typing import Literal

PREFIX = b"Exif\0\0"
HELD_BYTES = 65_536  # the orientation stands in front
UPRIGHT = 1
_ORIENTATION = 0x0112
_LONG = 4
_MAX_TAGS = 512
_ENTRY_BYTES = 12
_ORDERS: dict[bytes, Literal["little", "big"]] = {b"II": "little", b"MM": "big"}


def read_orientation(exif: bytes) -> int:
    """UPRIGHT where it does not tell."""
    tiff = exif.removeprefix(PREFIX)
    if not (order := _ORDERS.get(tiff[:2])):
        return UPRIGHT

    def number(at: int, size: int) -> int:
        return int.from_bytes(tiff[at : at + size], order)

    first = number(4, 4) + 2
    for tag in range(min(number(first - 2, 2), _MAX_TAGS)):
        at = first + tag * _ENTRY_BYTES
        if number(at, 2) == _ORIENTATION:
            turned = number(at + 8, 4 if number(at + 2, 2) == _LONG else 2)
            return turned if turned in range(1, 9) else UPRIGHT
    return UPRIGHT


def write_exif(orientation: int) -> bytes:
    """A TIFF with nothing else."""
    header = struct.pack(">2sHI", b"MM", 42, 8)
    return header + struct.pack(">HHHIHHI", 1, _ORIENTATION, 3, 1, orientation, 0, 0)
