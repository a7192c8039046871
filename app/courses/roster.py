"""The signed JSON of a roster (CONTRACT 8.6, DESIGN R24): who joins a course and who leaves it."""

import re
from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import BeforeValidator, ConfigDict, Field, field_validator

from app.accounts.personal import Name, usable_email
from app.accounts.students import Student
from app.courses.course import SentAt
from app.deliveries.payload import counted_first, refuse_repeats
from app.errors import FieldInvalidError
from app.fields import MessageModel, SparkId
from app.text import identifier_text, trimmed_id

MAX_ENTRIES = 5000


def _id_of_entry(value: object) -> object:
    """Half of a surrogate pair, that no `str` of pydantic's has, gets a control character before
    its number: so each remains another, and none an id.
    """
    if type(value) is int:
        return str(value)
    if not isinstance(value, str):
        return value
    return re.sub("[\ud800-\udfff]", lambda half: f"\x1a{ord(half[0]):x}", trimmed_id(value))


_ID = Annotated[str, Field(min_length=1, max_length=255)]
# A character that no id can have costs its entry alone (DESIGN R46): `fault` looks for it.
_IdOfEntry = Annotated[_ID, BeforeValidator(_id_of_entry, json_schema_input_type=_ID)]


class RosterEntry(MessageModel):
    """What becomes of one student."""

    spark_user_id: _IdOfEntry = Field(
        description="The student, as `sub` of a sign-in names them. An integer is read as text.",
        examples=["42"],
    )
    action: Literal["enroll", "drop"] = Field(
        description="A drop ends the enrolment and deletes nothing.", examples=["enroll"]
    )
    email: str | None = Field(
        None,
        title="E-mail",
        description="For a new account. What is no address is ignored.",
        max_length=1000,
        examples=["ada@example.com"],
    )
    given_name: Name | None = Field(None, description="For a new account.", examples=["Ada"])
    family_name: Name | None = Field(None, description="For a new account.", examples=["Example"])

    @property
    def fault(self) -> FieldInvalidError | None:
        try:
            identifier_text(self.spark_user_id)
        except ValueError as fault:
            return FieldInvalidError(name="spark_user_id", hint=str(fault))
        return None

    @property
    def student(self) -> Student:
        return Student(
            spark_user_id=self.spark_user_id,
            email=usable_email(self.email) if self.email else None,
            given_name=self.given_name or "",
            family_name=self.family_name or "",
        )


class _Course(MessageModel):
    spark_org_id: SparkId | None = Field(
        None,
        title="Spark organisation id",
        description="Needed where several organisations have a course of this id.",
        examples=["24"],
    )
    spark_course_id: SparkId = Field(
        description="A course that was synced. An integer is read as its decimal text.",
        examples=["weather_101"],
    )
    sent_at: SentAt = None


class RosterPayload(_Course):
    """Changes to who takes part in a course. Unknown fields are ignored."""

    model_config = ConfigDict(title="Roster")

    entries: Annotated[list[RosterEntry], counted_first(MAX_ENTRIES)] = Field(
        description="Each student once.", max_length=MAX_ENTRIES
    )

    @field_validator("entries")
    @classmethod
    def _each_once(cls, entries: list[RosterEntry]) -> list[RosterEntry]:
        ids = (entry.spark_user_id for entry in entries)
        refuse_repeats(ids, item="entry", name="spark_user_id")
        return entries


class StudentPayload(RosterEntry, _Course):
    """The same for one student, without a list."""

    model_config = ConfigDict(title="OneStudent")

    @property
    def entries(self) -> Sequence[RosterEntry]:
        return [self]


Roster = RosterPayload | StudentPayload
