"""How flat memory stays: `python bench/memory.py` starts a service and prints its growth in MiB.

The growth is the peak of the service's process above what it held at rest, after one small
submission; Postgres and the store are processes of their own.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.support.checkout import make_checkout
from tests.support.memory import Memory, measure_growth, mebibytes
from tests.support.sender import MEBIBYTE

LOADS = (
    ("1 upload of 4 files of 50 MiB", 1, 4, 50),
    ("16 uploads of 10 MiB at once", 16, 1, 10),
    ("8 uploads of 4 files of 50 MiB at once", 8, 4, 50),
)


def main() -> None:
    for title, uploads, files, size in LOADS:
        with make_checkout() as checkout, checkout.serve() as serving:
            growth = measure_growth(
                serving, uploads=uploads, files=files, file_bytes=size * MEBIBYTE
            )
            held = mebibytes(Memory(serving.process.pid).now)
            print(f"{title:45} grew by {mebibytes(growth):6.1f} MiB, holds {held:6.1f} MiB")


if __name__ == "__main__":
    main()
