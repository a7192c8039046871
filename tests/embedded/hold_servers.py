"""A process that holds the embedded servers until its input ends, for tests to stop or kill.

Says the variables on standard output. Can become another user first, as a project's owner would
be, and can believe to run where children cannot be tied to their parent.
"""

import argparse
import encodings.idna  # noqa: F401 - the other user may not reach the interpreter's own files
import json
import os
import sys
from pathlib import Path

from app.embedded.servers import EmbeddedError, run_servers


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", choices=["postgres", "s3"])
    parser.add_argument("--uid", type=int)
    parser.add_argument("--platform")
    given = parser.parse_args()
    if given.uid is not None:
        os.setgroups([])
        os.setgid(given.uid)
        os.setuid(given.uid)
    if given.platform is not None:
        sys.platform = given.platform
    try:
        hold(given.folder, postgres=given.only != "s3", s3=given.only != "postgres")
    except EmbeddedError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def hold(folder: Path, *, postgres: bool, s3: bool) -> None:
    with run_servers(folder, postgres=postgres, s3=s3) as variables:
        sys.stdout.write(f"{json.dumps(variables)}\n")
        sys.stdout.flush()
        sys.stdin.read()


if __name__ == "__main__":
    sys.exit(main())
