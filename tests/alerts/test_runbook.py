"""Operators read the same line wherever they look."""

import re
from pathlib import Path

import pytest

from app.alerts.rules import RULES, Rule

OPERATIONS = (Path(__file__).parents[2] / "docs" / "operations.md").read_text()


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_the_runbook_has_the_line_of_each_rule(rule: Rule) -> None:
    name = f'<a id="alert-{rule.name}"></a>`{rule.name}`'
    assert f"| {name} | {rule.condition} | {rule.means} | {rule.look} | {rule.do} |" in OPERATIONS


def test_the_runbook_has_no_others() -> None:
    assert re.findall(r'<a id="alert-(\w+)">', OPERATIONS) == [rule.name for rule in RULES]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_a_line_means_nothing_else_to_slack_or_in_a_table(rule: Rule) -> None:
    assert not set("<>&|") & set(rule.says + rule.means + rule.look + rule.do)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_a_condition_names_its_threshold(rule: Rule) -> None:
    assert re.search(rf"\b{rule.threshold}\b", rule.condition) or rule.threshold == 1
