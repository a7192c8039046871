"""How long a test waits on a machine that has other work to do: one factor for every deadline.

It is the load of each core when the tests start, or PATIENCE from the environment; on a quiet
machine it is 1, and every deadline is as it is written.
"""

import os

PATIENCE = float(os.environ.get("PATIENCE") or max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1)))


def patient(seconds: float) -> float:
    return seconds * PATIENCE
