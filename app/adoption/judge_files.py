"""Whether the main app can show the files that are handed in: it signs what is named as it names it
(#16).
"""

from app.adoption.finding import Finding
from app.adoption.read_catalogue import Catalogue
from app.settings import Settings


def judge_files(catalogue: Catalogue, settings: Settings) -> list[Finding]:
    """Nothing to say of a database of our own, or of files without a store (the main app's CI)."""
    if not catalogue.has_auth_rows or settings.s3_endpoint_url is None:
        return []
    if settings.supabase_url is None:
        text = "is not set: the main app cannot show the files that are handed in"
        return [Finding("data", "SUPABASE_URL", text, "Set it to the main app's own.")]
    text = f"files are named by its addresses, in the bucket {settings.s3_bucket}"
    return [Finding("adapt", "SUPABASE_URL", text)]
