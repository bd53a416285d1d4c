"""The null feature: a hash of the input marks the bandwidths that tell inputs apart and nothing else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from score_fixture import Draws, scored, write_records
from small_subject import World

from inversescope.collect.posterior import Typical
from inversescope.explain import explain
from inversescope.explain.null_score import NullScore, features_level
from inversescope.inverter import Inversion, InvertedSample, Inverter
from inversescope.report.explanation import render
from inversescope.score.feature import PriorLabels
from inversescope.score.null_feature import classes, label
from inversescope.verdicts import NULL_FEATURE, NULL_PASSES, Outside

FINE, COARSE, TARGETS, N = 0.01, 1.0, 24, 16


def test_the_hash_has_the_chance_level_of_the_median_feature():
    def feature(*shares: float) -> PriorLabels:
        return PriorLabels(np.array(shares), 100.0)

    assert classes([]) == classes([feature(1.0)]) == 2
    assert classes([feature(0.5, 0.5), feature(*[0.1] * 10), feature(*[0.05] * 20)]) == 10
    assert classes([feature(0.94, 0.06)]) == 2  # two labels, worth 1.1
    labels = [label((0, number), 5) for number in range(2000)]
    counts = np.unique(labels, return_counts=True)[1]
    assert len(counts) == 5 and counts.min() > 320
    assert labels != [label((0, number), 5, salt=1) for number in range(2000)]


@pytest.fixture(scope="module", params=range(3))
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """At the fine bandwidth every draw is the source; at the coarse one draws are of the prior, but for their label,
    which is the source's. The labels of the inputs mean nothing.
    """
    rng, folder = np.random.default_rng(request.param), tmp_path_factory.mktemp("run")
    pool = [str(number) for number in rng.integers(4, size=400)]
    draws = [Draws(target, FINE, [pool[target]] * N, tokens=[target] * N) for target in range(TARGETS)]
    for target in range(TARGETS):
        others = rng.integers(400, size=N).tolist()
        draws.append(Draws(target, COARSE, [pool[target]] * N, tokens=others))
        draws.append(Draws(target, None, [pool[other] for other in others], tokens=others))
    write_records(folder, pool, pool[:TARGETS], draws, np.ones((400, TARGETS)))
    scored(folder)
    return folder


def test_a_bandwidth_at_which_only_the_source_remains_is_marked(run: Path):
    null, feature = scored(run, feature=NULL_FEATURE), scored(run)
    for method in ("generator", "weighted"):
        assert null[method, FINE]["corrected"] == pytest.approx(1)
        assert null[method, FINE]["null_passes"] is feature[method, FINE]["null_passes"] is True


def test_one_at_which_other_inputs_share_a_label_is_not(run: Path):
    null, feature = scored(run, feature=NULL_FEATURE), scored(run)
    for method in ("generator", "weighted"):
        assert null[method, COARSE]["corrected_low"] < 0.05 and abs(null[method, COARSE]["corrected"]) < 0.2
        assert feature[method, COARSE]["corrected"] == pytest.approx(1)
    assert feature["weighted", COARSE]["null_passes"] is False
    assert feature["reference", COARSE]["null_passes"] is False


def test_it_is_no_hypothesis(run: Path):
    """No p-value and no part in the q-values of others, but in every control and at every distance."""
    rows = scored(run, feature=NULL_FEATURE)
    assert {row["p_value"] for row in rows.values()} == {row["q_value"] for row in rows.values()} == {None}
    assert rows.keys() == scored(run).keys()
    assert scored(run)["weighted", FINE]["q_value"] is not None


def inversion_of(*samples: tuple[int, float]) -> Inversion:
    """Samples of one token each, with their weights; the source is token 0."""
    made = tuple(InvertedSample("", (token,), 0.1, weight, False, -1.0, {}) for token, weight in samples)
    return Inversion(
        "", (0,), 0, "resid_post.0", 0.1, {}, made, 0.0, 1.0, None, -1.0, -1.0, "known", None,
        Typical(0.4, 0.4, 1.4, True), 0.0, Outside(False, 0.2, 0.5, 0.4),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("source", "others", "passes"),
    [
        (0.999, 60, True),  # nothing else has weight
        (0.9, 3, True),  # three others are too few
        (0.9, 60, False),  # sixty others remain, and share no hash
        (0.0, 60, False),
        (1 / 60, 59, False),  # one input among sixty
    ],
)
def test_a_hash_passes_for_one_activation_where_only_the_source_remains(source: float, others: int, passes: bool):
    spread = [(token, (1 - source) / others) for token in range(1, 1 + others)]
    null = NullScore(inversion_of((0, source), *spread), 6, 1000)
    assert null.passes(chance=0.05) is passes
    assert abs(null.score.corrected.value - source * passes) < 0.15


def test_a_rare_hypothesis_is_compared_with_a_hash_as_rare():
    """The source alone: the interval of one input holds the chance of a common label, not that of a rare one."""
    alone = NullScore(inversion_of((0, 1.0), (1, 0.0)), 2, 1000)
    assert not alone.passes() and not alone.passes(chance=0.5) and alone.passes(chance=0.01)


def test_the_chance_level_is_that_of_the_pools_labels():
    labels = {"a": ["x", "y"] * 50, "b": [str(i % 10) for i in range(100)], "c": [None] * 100}
    assert features_level(labels, np.full(100, 0.01)) == 6  # between 2 and 10
    assert features_level({}, np.full(100, 0.01)) == 2


def test_nothing_is_above_chance_at_a_site_where_the_hash_is(world: World, monkeypatch: pytest.MonkeyPatch):
    inverter = Inverter.load(world.run)
    text = inverter.run.store.inputs("target").texts[0]
    monkeypatch.setattr(NullScore, "passes", lambda self, chance=None: self._inversion.site == "resid_post.0")
    explanation = explain(inverter, text, sites=["resid_post.0", "resid_post.1"], n=64, bandwidth=0.5)
    first, second = explanation.sites
    assert first.null_passes and not second.null_passes
    assert first.findings and not any(finding.above_chance for finding in first.findings)
    assert all(finding.use == "cannot tell" for finding in first.findings)
    assert NULL_PASSES in render(explanation.record())
