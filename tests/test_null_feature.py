"""The null feature: a hash of the input marks the bandwidths that tell inputs apart and nothing else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from score_fixture import Draws, scored, write_records

from inversescope.score.feature import PriorLabels
from inversescope.score.null_feature import classes, label
from inversescope.verdicts import NULL_FEATURE

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
