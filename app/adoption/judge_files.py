"""Whether the main app can show the files that are handed in: it signs what is named as it names it
(#16).
"""

from app.adoption.finding import Finding
from app.adoption.shape import LiveShape
from app.database import Sessions
from app.settings import Settings


async def judge_files(sessions: Sessions, settings: Settings) -> list[Finding]:
    """Nothing to say of a database of our own. Raises one of OUTAGES."""
    async with sessions() as session, session.begin():
        shape = await LiveShape().read(session)
    if not shape.is_adopted:
        return []
    if settings.supabase_url is None:
        text = "is not set: the main app cannot show the files that are handed in"
        return [Finding("data", "SUPABASE_URL", text, "Set it to the main app's own.")]
    text = f"files are named by its addresses, in the bucket {settings.s3_bucket}"
    return [Finding("adapt", "SUPABASE_URL", text)]
