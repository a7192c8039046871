"""The page of what is needed says what the models cannot, and nothing that they say already."""

import pytest
from sqlalchemy import Enum, UniqueConstraint

from app.adoption import requirements as page
from app.models import Table

MODELS = {table.name: table for table in Table.metadata.sorted_tables if table.schema is None}
NAMING = ("UNUSED", "VALUES", "ALWAYS_WRITTEN", "ONLY_READ", "ADDABLE")


@pytest.mark.parametrize("part", NAMING)
def test_every_column_it_names_is_in_the_models(part: str) -> None:
    for table, columns in getattr(page, part).items():
        assert set(columns) <= set(MODELS[table].columns.keys()), table


def test_every_key_it_names_is_in_the_models() -> None:
    for named in (page.OURS_ALONE, {name: [key] for name, key in page.ADDABLE_KEYS.items()}):
        for table, keys in named.items():
            unique = {
                tuple(constraint.columns.keys())
                for constraint in MODELS[table].constraints
                if isinstance(constraint, UniqueConstraint)
            }
            assert set(keys) <= unique, table


def test_what_the_models_say_is_not_said_again() -> None:
    for table, columns in page.ALWAYS_WRITTEN.items():
        for name in columns:
            column = MODELS[table].columns[name]
            assert column.nullable or column.server_default is not None, name
    for table, columns in page.ONLY_READ.items():
        assert all(MODELS[table].columns[name].nullable for name in columns), table
    for table, values in page.VALUES.items():
        for name, written in values.items():
            assert list(written) != page._allowed(MODELS[table]).get(name), name


def test_every_table_column_and_key_of_the_models_is_required() -> None:
    assert set(page.PUBLIC) == set(MODELS)
    for name, table in MODELS.items():
        unused = set(page.UNUSED.get(name, ()))
        assert set(page.PUBLIC[name].columns) == set(table.columns.keys()) - unused
        assert ("id",) in page.PUBLIC[name].keys
        assert not any(isinstance(column.type, Enum) for column in table.columns)


def test_the_values_are_those_that_checks_and_types_are_asked_for() -> None:
    values = {
        f"{name}.{column}": tuple(written)
        for name, need in page.PUBLIC.items()
        for column, written in need.values.items()
    }
    assert values["users.role"] == ("student",)
    assert values["lms_integrations.lms_platform"] == ("spark",)
    assert values["quests.quest_type"] == ("course",)
    assert values["course_quest_tasks.pillar"] == values["user_skill_xp.pillar"]
    assert len(values["user_skill_xp.pillar"]) == 5
    assert values["evidence_document_blocks.block_type"] == (
        "text", "image", "video", "link", "document",
    )  # fmt: skip
    assert values["user_task_evidence_documents.status"] == ("draft", "completed")
