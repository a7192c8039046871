"""Homework arrives while strangers and a student try to stop it, for seconds; bench/attacks.py says
what a minute does.
"""

import pytest

from bench.attacks import withstands
from tests.support.patience import PATIENCE

SECONDS = 5


@pytest.mark.soak
@pytest.mark.alone
@pytest.mark.parametrize(
    "names",
    [pytest.param(["slow_forms", "early_files", "student_uploads"], id="H3")],
)
def test_an_attack_keeps_no_homework_out(names: list[str]) -> None:
    # Other slow tests run beside it, on the same processors; the bench alone is strict.
    assert withstands(names, SECONDS, slower=4 * PATIENCE)
