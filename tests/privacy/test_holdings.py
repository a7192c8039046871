"""One page says which table holds what of a student; none is forgotten, none is open to others."""

from app.models import SPARK, Table
from app.privacy.describe_protection import describe_protection
from app.privacy.holdings import HOLDINGS, NOTHING, OF_SPARK_USERS, OF_USER
from app.privacy.keeping import name_of
from tests.support.stores import Stores


def test_every_table_is_on_the_page_once() -> None:
    listed = [holding.table for holding in HOLDINGS] + list(NOTHING)
    assert len(listed) == len(set(listed))
    assert {table.__table__ for table in listed} == set(Table.metadata.sorted_tables)


def test_the_officers_page_has_every_table_once() -> None:
    page = describe_protection()
    for table in (*(holding.table for holding in HOLDINGS), *NOTHING):
        assert page.count(f"| `{name_of(table)}` |") == 1, table


def test_what_names_a_user_is_not_among_those_that_hold_nothing() -> None:
    names = {
        f"{table.__tablename__}.{column.name}"
        for table in NOTHING
        for column in table.__table__.columns
        if "user" in column.name or column.name == "email"
    }
    assert names == {"erasures.user_hash", "erasures.user_id", "erasures.spark_user_id"}


def test_rows_go_before_what_they_belong_to() -> None:
    order = [holding.table.__table__ for holding in HOLDINGS if holding.is_deleted]
    for place, table in enumerate(order):
        for key in table.foreign_keys:
            parent = key.column.table
            assert parent not in order[:place] or key.ondelete == "SET NULL", (table, parent)


def test_every_condition_asks_for_the_student() -> None:
    for holding in HOLDINGS:
        said = str(holding.of.compile())
        assert f":{OF_USER.key}" in said or f":{OF_SPARK_USERS.key}" in said


SERVICE = "coalesce(to_regrole('spark_service'), to_regrole(current_user))"


async def test_nobody_else_may_read_our_own_schema(stores: Stores) -> None:
    """SECURITY promise 34: neither PUBLIC nor any role of a hosted data API has a grant; beside the
    main app the role of the service has.
    """
    granted = await stores.execute(
        f"""
        SELECT c.relname AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        CROSS JOIN LATERAL aclexplode(c.relacl) a
        WHERE n.nspname = '{SPARK}' AND a.grantee NOT IN (c.relowner, {SERVICE})
        UNION ALL
        SELECT n.nspname FROM pg_namespace n CROSS JOIN LATERAL aclexplode(n.nspacl) a
        WHERE n.nspname = '{SPARK}' AND a.grantee NOT IN (n.nspowner, {SERVICE})
        """  # noqa: S608 - our own name
    )
    assert granted == []
