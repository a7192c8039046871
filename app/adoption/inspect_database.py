"""What fits and what differs in the database of a running service. Changes nothing."""

from app.adoption.compare import compare
from app.adoption.finding import Finding
from app.adoption.inspect_rows import inspect_rows
from app.adoption.organization import judge_organization
from app.adoption.read_catalogue import Catalogue, look
from app.database import Sessions
from app.migrate import newest_revisions, schema_is_current
from app.settings import Settings

MIGRATION_MISSING = Finding(
    "refuse", "schema spark", "a migration is missing", "`python -m app migrate` applies it."
)


async def inspect_database(sessions: Sessions, settings: Settings) -> list[Finding]:
    """Of any kind: one of our own, an adopted one, one that nobody has adopted yet, as in the main
    app's CI, where the organisation of new links is nobody's matter.

    Raises one of OUTAGES.
    """
    catalogue = await look(sessions)
    if not catalogue.tables:
        next_step = "`python -m app migrate` makes its tables."
        return [Finding("refuse", "database", "holds neither our tables nor Optio's", next_step)]
    is_current = await schema_is_current(sessions, newest_revisions())
    findings = [_describe_ours(catalogue, is_current=is_current), *compare(catalogue)]
    async with sessions() as session, session.begin():
        rows = await inspect_rows(session)
        if not {"would", "refuse"} & {finding.mark for finding in findings}:
            organization = await judge_organization(
                session, catalogue, settings.optio_organization_id
            )
            if organization:
                findings = [one for one in findings if one.subject != organization.subject]
                findings.append(organization)
    return [*findings, *rows, *_judge_files(catalogue, settings)]


def _describe_ours(catalogue: Catalogue, *, is_current: bool) -> Finding:
    if is_current:
        return Finding("ok", "schema spark", "all migrations are applied")
    if any(name.startswith("spark.") for name in catalogue.tables):
        return MIGRATION_MISSING
    text = "is not there: nobody has adopted this database"
    return Finding("would", "schema spark", text, "`python -m app adopt` shows how.")


def _judge_files(catalogue: Catalogue, settings: Settings) -> list[Finding]:
    """Whether the main app can show the files that are handed in: it signs what is named as it
    names it (#16). Nothing to say of a database of our own, or without a store (the main app's CI).
    """
    if not catalogue.has_auth_rows or settings.s3_endpoint_url is None:
        return []
    if settings.supabase_url is None:
        text = "is not set: the main app cannot show the files that are handed in"
        return [Finding("data", "SUPABASE_URL", text, "Set it to the main app's own.")]
    text = f"files are named by its addresses, in the bucket {settings.s3_bucket}"
    return [Finding("adapt", "SUPABASE_URL", text)]
