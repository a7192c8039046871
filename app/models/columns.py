"""What the tables are made of: their common root, naming convention and column types."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from sqlalchemy import (
    BindParameter,
    CheckConstraint,
    ColumnElement,
    ForeignKey,
    MetaData,
    String,
    Text,
    Uuid,
    cast,
    func,
    text,
    type_coerce,
)
from sqlalchemy.dialects.postgresql import JSONB, TIMESTAMP
from sqlalchemy.orm import DeclarativeBase, mapped_column
from sqlalchemy.types import UserDefinedType
from typing_extensions import override

SPARK = "spark"  # the schema that is ours alone
PLATFORM = "spark"  # this LMS, in every `lms_platform`
PLATFORMS = "'canvas', 'google_classroom', 'schoology', 'moodle', 'spark'"
PILLARS = "'stem', 'wellness', 'communication', 'civics', 'art'"
TASK_XP = 100  # what a task pays that says nothing else (CONTRACT 8.3)
SCHOOL_SUBJECTS = (
    "language_arts",
    "math",
    "science",
    "social_studies",
    "financial_literacy",
    "health",
    "pe",
    "fine_arts",
    "cte",
    "digital_literacy",
    "electives",
)

Id = Annotated[UUID, mapped_column(primary_key=True, server_default=func.gen_random_uuid())]
OwnId = Annotated[UUID, mapped_column(primary_key=True)]
UserId = Annotated[UUID, mapped_column(ForeignKey("users.id", ondelete="CASCADE"))]
QuestId = Annotated[UUID, mapped_column(ForeignKey("quests.id", ondelete="CASCADE"))]
Moment = Annotated[datetime, mapped_column(server_default=func.now())]
Platform = Annotated[str, mapped_column(String(50))]
Yes = Annotated[bool, mapped_column(server_default=text("true"))]
No = Annotated[bool, mapped_column(server_default=text("false"))]
Zero = Annotated[int, mapped_column(server_default=text("0"))]
Subjects = Annotated[Any, mapped_column(JSONB, server_default=text("""'["Electives"]'::jsonb"""))]
Distribution = Annotated[dict[str, Any], mapped_column(JSONB, server_default=text("'{}'::jsonb"))]


class DatabaseEnum(UserDefinedType[str]):
    """An enum of the main app's, which is text to us: the driver need not ask the database what it
    is, and a label that the main app adds is read like any other.
    """

    cache_ok = True

    def __init__(self, name: str) -> None:
        self.name = name

    @override
    def get_col_spec(self, **_: Any) -> str:
        return self.name

    @override
    def bind_expression(self, bindvalue: BindParameter[str]) -> ColumnElement[str]:
        return cast(type_coerce(bindvalue, Text), self)

    @override
    def column_expression(self, colexpr: ColumnElement[Any]) -> ColumnElement[str]:
        return cast(colexpr, Text)


UPLOADER_ROLE = DatabaseEnum("evidence_uploader_role")
SCHOOL_SUBJECT = DatabaseEnum("school_subject")


def one_of(column: str, values: str) -> CheckConstraint:
    return CheckConstraint(f"{column} in ({values})", name=column)


class Table(DeclarativeBase):
    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {  # noqa: RUF012 - SQLAlchemy's own form
        datetime: TIMESTAMP(timezone=True),
        str: Text(),
        UUID: Uuid(),
        dict[str, Any]: JSONB(),
    }
