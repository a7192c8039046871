"""Ports of this worker alone: all workers of a run choose at once, and a server takes its port
seconds after it was found free. No outgoing connection gets one of these.
"""

import os
from pathlib import Path
from secrets import choice

from app.embedded.folder import make_folder
from app.embedded.ports import FIRST, LAST, _can_bind
from app.embedded.seaweedfs import PORTS

_SHARE = (LAST - FIRST) // int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
_OURS = FIRST + _SHARE * int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))


def free_port() -> int:
    while not _can_bind(port := choice(range(_OURS, _OURS + _SHARE))):
        pass
    return port


def share_out_ports(folder: Path) -> None:
    """Those of the servers of this `.local`: for as long as they are free."""
    first = choice(range(_OURS, _OURS + _SHARE - len(PORTS)))
    make_folder(folder)
    (folder / "s3.port").write_text(f"{first}\n")
    (folder / "postgres.port").write_text(f"{first + len(PORTS)}\n")
