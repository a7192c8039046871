"""Servers for the tests that stay between runs: `make servers` in a terminal of their own.

Their data are in TMPDIR and go with them; each run makes a database and a bucket of its own.
"""

import shlex
import signal
import sys
from contextlib import suppress

from app.embedded.servers import run_servers
from tests.support.folders import open_project


def main() -> None:
    with (
        suppress(KeyboardInterrupt),
        open_project() as folder,
        run_servers(folder / ".local", postgres=True, s3=True) as variables,
    ):
        words = (f"{name}={shlex.quote(value)}" for name, value in variables.items())
        sys.stdout.write(f"export {' '.join(words)}\n")
        sys.stdout.flush()
        signal.pause()


if __name__ == "__main__":
    main()
