"""What a worker of a test's own does in the database that all tests share."""

from app.api.dependencies import Resources
from app.files.order_pictures import PICTURE
from app.jobs.run_jobs import JobKind
from app.worker import job_kinds


def counted_kinds(resources: Resources) -> dict[str, JobKind]:
    """Not pictures: any test that hands one in leaves it for a worker."""
    return {name: kind for name, kind in job_kinds(resources).items() if name != PICTURE}
