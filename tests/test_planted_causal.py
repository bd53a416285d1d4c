"""The causal check on planted worlds: what feeds the output is used, what is written and never read is not."""

from __future__ import annotations

from math import isnan
from pathlib import Path
from typing import Any

import pytest
from planted_truth import ZERO, known_verdicts, runs_in
from planted_worlds import SENTENCES

from inversescope import Inverter
from inversescope.explain import Finding, explain
from inversescope.verdicts import NULL_PASSES

# Slow: whichever test is first makes the runs that all share.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
Verdicts = list[tuple[str, dict[str, Any]]]


@pytest.fixture(scope="module")
def verdicts(shared: Path) -> Verdicts:
    return known_verdicts(runs_in(shared))


@pytest.mark.parametrize(
    ("truth", "allowed"),
    [
        ("used", {"encoded and used"}),
        ("unused", {"encoded, unused", "cannot tell"}),
        ("erased", {"neither", "cannot tell"}),
    ],
)
def test_what_feeds_the_output_is_used_and_nothing_else_is(verdicts: Verdicts, truth: str, allowed: set[str]):
    """Where a hash of the input is above chance at every bandwidth, nothing is claimed; small worlds have such."""
    found = [row for name, row in verdicts if name == truth]
    claimed = [row for row in found if row["reason"] != NULL_PASSES]
    assert len(claimed) >= 0.75 * len(found) and {row["verdict"] for row in claimed} <= allowed


def test_a_head_that_writes_where_nothing_reads_is_unused(verdicts: Verdicts):
    at_head = [row for name, row in verdicts if name == "unused" and row["site"] == "z.0.1"]
    assert [row["verdict"] for row in at_head] == ["encoded, unused"] * 2
    assert max(abs(row["effect"]) for row in at_head) < 1e-6


@pytest.fixture(scope="module")
def explained(shared: Path) -> dict[tuple[str, str], list[Finding]]:
    """What is found of two sentences, each explained on its own: site and hypothesis -> findings."""
    inverter = Inverter.load(runs_in(shared)[SENTENCES, 0])
    found: dict[tuple[str, str], list[Finding]] = {}
    for text in inverter.run.store.inputs("target").texts[:2]:
        explanation = explain(inverter, text, sites=[*SENTENCES.used, "z.0.1"], bandwidth=0.5)
        for site in explanation.sites:
            for finding in site.findings:
                found.setdefault((site.site, finding.hypothesis), []).append(finding)
    return found


@pytest.mark.parametrize("site", SENTENCES.used)
def test_of_one_activation_too_what_feeds_the_output_has_an_effect_for_sure(explained: dict, site: str):
    findings = explained[site, "number"]
    assert len(findings) == 2
    for each in findings:
        assert each.necessity.low > 0.5  # the output says the number, and nothing else
        assert each.sufficiency.low == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize("site", ["attn_out.0", "resid_post.0"])
def test_of_one_activation_too_what_nothing_reads_has_none_for_sure(explained: dict, site: str):
    findings = explained[site, "animal"]
    assert len(findings) == 2 and all(each.corrected.low > 0 for each in findings)
    for each in findings:
        assert each.necessity.low - ZERO <= 0 <= each.necessity.high + ZERO


def test_where_no_activation_does_anything_there_is_no_effect_to_be_sure_of(explained: dict):
    for each in explained["z.0.1", "animal"]:
        assert all(isnan(end) for end in (*each.necessity, *each.sufficiency))
