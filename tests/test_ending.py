"""Control `same ending` for one activation: hand-made inputs, and a whole explanation."""

from __future__ import annotations

from math import isnan
from pathlib import Path

import numpy as np
import pytest
from small_subject import call, config_text, save_subject
from test_explain import drawn
from test_explain import hypothesis as by_first_token

from inversescope import Inverter
from inversescope.cli.tables.answers import _finding_block
from inversescope.explain import explain
from inversescope.explain.ending import Ending, Endings
from inversescope.explain.explain import _finding
from inversescope.explain.facts import Fact
from inversescope.explain.null_score import NullScore
from inversescope.explain.prior import Hypothesis, Prior
from inversescope.stats import intervals
from inversescope.stats.intervals import UNDEFINED, Estimate
from inversescope.verdicts.checked import OF_ENDING

LABELS = ["a", "a", "a", "b", "b", None, "a", "b"]


def ending(with_it: list[int], own: int = 0) -> Ending:
    weights = np.zeros(len(LABELS))
    weights[with_it] = 0.1
    return Ending(2, weights, np.arange(len(LABELS)) == own)


def hypothesis(value: str = "a", **shares: float) -> Hypothesis:
    return Hypothesis("letter", "", lambda _: None, value, shares, 8, np.array([True]))


def test_the_score_counts_other_inputs_with_the_ending():
    half = {"a": 0.5, "b": 0.5}
    assert ending([0, 1, 2, 6]).score(hypothesis(**half), LABELS).value == pytest.approx(1.0)
    assert ending([0, 3, 4, 7]).score(hypothesis(**half), LABELS).value == pytest.approx(-1.0)
    # The source itself and what is undecided do not count: two of four have the label.
    assert ending([0, 1, 2, 3, 4, 5]).score(hypothesis(**half), LABELS).value == pytest.approx(0.0)


def test_a_label_that_the_prior_does_not_have():
    assert ending([1, 2, 3]).score(hypothesis("new", a=0.5, b=0.5), LABELS).value == pytest.approx(0.0)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ending")
    (folder / "run.toml").write_text(config_text(save_subject(folder / "model")))
    assert call("run", folder / "run.toml", "--out", folder / "run") == 0
    return folder / "run"


def test_the_inputs_are_all_those_with_the_ending_that_the_level_asks_for(run: Path):
    inverter = Inverter.load(run)
    prior, site = Prior(inverter.run), inverter.sites[0]
    lengths = {}
    for row, source in enumerate(prior.tokens[:5]):
        for bandwidth in (0.1, 0.5, 1.0):
            found = Endings(prior.run, prior.tokens, prior.probability).of(source, site, bandwidth)
            if found is not None:
                having = [tokens[len(tokens) - found.length :] == source[-found.length :] for tokens in prior.tokens]
                assert ((found.weights > 0) == (having if found.length else [True] * len(having))).all()
                assert found.own[row]
                lengths[row, bandwidth] = found.length
    assert set(lengths.values()) == {2, 5}  # longer at a finer level, and none where too few inputs have it
    assert Endings(prior.run, prior.tokens, prior.probability).of(None, site, 0.5) is None


def test_a_finding_says_how_far_it_is_above_the_ending():
    """Near in activation 15 of 20 draws have the label, near in text 40%."""
    labels = ["a"] * 15 + ["b"] * 5
    inversion, fact = drawn(labels), Fact(by_first_token(labels))
    by_ending = Estimate(0.2, 0.0, 0.4)
    found = _finding(fact, inversion, NullScore(inversion, 4, 100), UNDEFINED, UNDEFINED, None, by_ending)
    assert found.above_ending == intervals.difference(found.others, by_ending)
    assert found.above_ending.low > 0
    assert "with the same last tokens" in _finding_block("source", found)
    without = _finding(fact, inversion, NullScore(inversion, 4, 100), UNDEFINED, UNDEFINED)
    assert isnan(without.above_ending.value)
    assert "with the same last tokens" not in _finding_block("source", without)


@pytest.mark.parametrize(
    ("by_ending", "said"),
    [(Estimate(1.0, 1.0, 1.0), True), (Estimate(0.2, 0.0, 0.4), False), (Estimate(0.9, 0.4, 1.0), False)],
)
def test_a_finding_that_the_ending_says_alone_is_called_so(by_ending: Estimate, said: bool):
    """In the words of `check`; it is not so where draws have more, and open where the interval is wide."""
    labels = ["a"] * 15 + ["b"] * 5
    inversion, fact = drawn(labels), Fact(by_first_token(labels))
    found = _finding(fact, inversion, NullScore(inversion, 4, 100), UNDEFINED, UNDEFINED, None, by_ending)
    assert (found.note is not None and OF_ENDING in found.note) == said
    assert (OF_ENDING in _finding_block("source", found)) == said


def test_an_explanation_has_the_control_where_there_are_inputs_with_the_ending(run: Path):
    inverter = Inverter.load(run)
    texts = [inverter.run.subject.decode(tokens) for tokens in inverter.run.store.inputs("pool").tokens[:4]]
    found = explain(inverter, texts, sites=str(inverter.sites[0]), bandwidth=0.5, n=64)
    prior, compared = Prior(inverter.run), 0
    for explanation, source in zip(found, inverter.run.store.inputs("pool").tokens[:4], strict=True):
        control = Endings(prior.run, prior.tokens, prior.probability).of(source, inverter.sites[0], 0.5)
        for finding in explanation.sites[0].findings:
            if control is None:
                assert isnan(finding.ending.value)
                continue
            # By counting: the share of the other inputs with this ending that have the label, above chance.
            having = [
                (label == finding.value, weight)
                for label, weight, own in zip(
                    prior.labels_of(finding.hypothesis), control.weights, control.own, strict=True
                )
                if weight > 0 and not own and label is not None
            ]
            share = sum(weight for same, weight in having if same) / sum(weight for _, weight in having)
            if finding.chance < 1:
                expected = (share - finding.chance) / (1 - finding.chance)
                assert finding.ending.value == pytest.approx(expected, abs=1e-6)
                compared += 1
    assert compared > 3
