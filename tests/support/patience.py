"""How long a test waits on a machine that has other work to do: one factor for every deadline.

It is PATIENCE from the environment, or the load of each core when the tests start and at least the
number of workers of this run, which are no load yet; of one worker on a quiet machine it is 1, and
every deadline is as it is written.
"""

import os

_LOAD = os.getloadavg()[0] / (os.cpu_count() or 1)
_WORKERS = float(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
PATIENCE = float(os.environ.get("PATIENCE") or max(_WORKERS, _LOAD))


def patient(seconds: float) -> float:
    return seconds * PATIENCE
