"""What HEIC to JPEG costs, by megapixels: python -m bench.pictures"""

import os
import subprocess
import sys
import tempfile

from tests.support.heic import tiled

SIZES = ((4032, 3024), (5712, 4284), (6000, 4333), (7900, 6200))  # the last needs too much memory


def main() -> None:
    for width, height in SIZES:
        with tempfile.TemporaryFile() as heic:
            heic.write(tiled(width, height))
            heic.seek(0)
            command = (sys.executable, "-m", "app.pictures", "50000000")
            child = subprocess.Popen(command, stdin=heic, stdout=subprocess.PIPE)  # noqa: S603
            assert child.stdout
            size = len(child.stdout.read())
            _, status, used = os.wait4(child.pid, 0)
        print(
            f"{width * height / 1e6:5.1f} MP: peak {used.ru_maxrss / 1024:4.0f} MB,"
            f" CPU {used.ru_utime + used.ru_stime:4.2f} s, JPEG {size / 1e6:5.1f} MB,"
            f" exit {os.waitstatus_to_exitcode(status)}"
        )


if __name__ == "__main__":
    main()
