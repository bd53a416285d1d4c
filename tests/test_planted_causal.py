"""The causal check on planted worlds: what feeds the output is used, what is written and never read is not."""

from __future__ import annotations

from typing import Any

import pytest
from planted_truth import known_verdicts, runs_in

pytestmark = pytest.mark.timeout(900)  # whichever test is first makes the runs that all share
Verdicts = list[tuple[str, dict[str, Any]]]


@pytest.fixture(scope="module")
def verdicts(tmp_path_factory: pytest.TempPathFactory) -> Verdicts:
    return known_verdicts(runs_in(tmp_path_factory.getbasetemp()))


@pytest.mark.parametrize(
    ("truth", "allowed"),
    [
        ("used", {"encoded and used"}),
        ("unused", {"encoded, unused", "cannot tell"}),
        ("erased", {"neither", "cannot tell"}),
    ],
)
def test_what_feeds_the_output_is_used_and_nothing_else_is(verdicts: Verdicts, truth: str, allowed: set[str]):
    found = {row["verdict"] for name, row in verdicts if name == truth}
    assert found and found <= allowed


def test_a_head_that_writes_where_nothing_reads_is_unused(verdicts: Verdicts):
    at_head = [row for name, row in verdicts if name == "unused" and row["site"] == "z.0.1"]
    assert [row["verdict"] for row in at_head] == ["encoded, unused"] * 2
    assert max(abs(row["effect"]) for row in at_head) < 1e-6
