"""Groups of an activation's draws: no group in one cloud, planted groups found, and the feature that separates them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import isnan
from typing import Any

import numpy as np
import pytest
from markupsafe import Markup
from rich.console import Console
from test_explain import drawn

from inversescope.cli.tables.answers import explanation_table
from inversescope.explain import Explanation, SiteExplained
from inversescope.explain.groups import Draws, Grouped, group_draws
from inversescope.inverter import Inversion, InvertedSample
from inversescope.report.explanation import render
from inversescope.stats import groups as grouping
from inversescope.stats.intervals import UNDEFINED
from inversescope.subject import Subject
from inversescope.tasks import IOI, IOIConfig


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize("heavy", [0.0, 1.0])
def test_one_normal_cloud_is_seldom_split(heavy: float):
    """At a level of 5%: at most 6 of 40 (99 in 100 of the binomial)."""
    random, split = rng(1), 0
    for _ in range(40):
        points = random.standard_normal((20, 6)) * np.linspace(3, 0.1, 6)
        split += grouping.groups(points, np.exp(heavy * random.standard_normal(20)), random).of.max() > 0
    assert split <= 6


def test_planted_clouds_are_found_by_weight():
    random, own = rng(2), np.arange(60) % 3
    points = 0.3 * random.standard_normal((60, 20))
    points[own == 1, 0] += 4
    points[own == 2, 1] += 4
    weights = np.choose(own, [0.2, 0.5, 0.3])
    found = grouping.groups(points, weights, random)
    assert found.p_value < 0.05
    assert found.of.tolist() == np.choose(own, [2, 0, 1]).tolist()


def test_neither_one_point_alone_nor_one_without_weight_is_a_group():
    random = rng(3)
    points, weights = 0.1 * random.standard_normal((30, 5)), np.ones(30)
    points[0] += 50
    assert grouping.groups(points, weights, random).of.max() == 0
    points[:4] += 50
    weights[:4] = 0.01
    assert grouping.groups(points, weights, random).of.max() == 0


def test_few_points_are_one_group_and_equal_ones_too():
    few = grouping.groups(rng(4).standard_normal((5, 3)), np.ones(5), rng())
    assert (few.of.tolist(), isnan(few.p_value)) == ([0] * 5, True)
    assert grouping.groups(np.ones((12, 3)), np.ones(12), rng()).of.tolist() == [0] * 12


FEATURES: dict[str, Callable[[tuple[int, ...]], str | None]] = {
    "coin": lambda tokens: str(tokens[0] // 2 % 2),
    "itself": lambda tokens: str(tokens[0]),
    "side": lambda tokens: "leeward" if tokens[0] % 2 else "windward",
}


def draws(first: int, **changed: Any) -> Inversion:
    """Forty inputs of one token each, nearest first."""
    samples = tuple(InvertedSample(str(i), (i,), 0.01 * i, 1 / 40, False, -1.0, {}) for i in range(first, first + 40))
    return Inversion(**(vars(drawn(["a"])) | {"samples": samples} | changed))


def grouped(apart: float, features: Sequence[str] = tuple(FEATURES), **changed: Any) -> Grouped:
    """Two halves of draws, whose odd inputs are this far from the even ones."""
    halves = Draws.of(draws(100)), Draws.of(draws(200, **changed))
    inputs = [tokens[0] for half in halves for tokens in half.tokens]
    states = rng(7).standard_normal((len(inputs), 8))
    states[:, 0] += apart * (np.array(inputs) % 2)
    return group_draws(states, {name: FEATURES[name] for name in features}, *halves, rng())


def test_the_feature_that_separates_is_found_and_a_name_for_each_input_is_not():
    found = grouped(12.0)
    assert (found.feature, [group.label for group in found.groups]) in [
        ("side", ["leeward", "windward"]), ("side", ["windward", "leeward"]),
    ]  # fmt: skip
    assert found.separated == pytest.approx(1.0)
    assert found.feature_p < 0.01
    assert [group.inputs for group in found.groups] == [20, 20]
    assert sum(group.share for group in found.groups) == pytest.approx(1.0)
    assert {group.nearest.text for group in found.groups} == {"200", "201"}


def test_one_cloud_has_one_group_and_no_feature():
    found = grouped(0.0)
    assert (len(found.groups), found.feature, isnan(found.separated)) == (1, None, True)
    assert found.p_value > 0.05


def test_groups_that_no_feature_separates():
    found = grouped(12.0, ["coin", "itself"])
    assert (len(found.groups), found.feature) == (2, None)
    assert {group.label for group in found.groups} == {None}


def test_draws_that_proposed_a_feature_do_not_confirm_it():
    """Of many hashes one separates forty given inputs by luck, and would again on the same ones."""
    both = Draws.of(draws(100))
    states = rng(7).standard_normal((40, 8))
    states[:, 0] += 12.0 * (np.arange(40) % 2)
    hashes = {str(salt): lambda tokens, salt=salt: str(rng(1000 * salt + tokens[0]).integers(2)) for salt in range(200)}
    found = group_draws(np.tile(states, (2, 1)), hashes, both, both, rng())
    assert (len(found.groups), found.feature) == (2, None) and found.feature_p > 0.05


def test_the_source_is_in_no_group():
    found = grouped(12.0, tokens=(200,))
    assert sum(group.inputs for group in found.groups) == 39
    assert "200" not in {group.nearest.text for group in found.groups}


def explained(of_draws: Grouped) -> Explanation:
    inversion = draws(200)
    site = SiteExplained("resid_post.0", None, inversion, UNDEFINED, False, (), of_draws)
    return Explanation("source", (site,), {})


@pytest.mark.parametrize(("features", "label"), [(tuple(FEATURES), "leeward"), (("coin",), None)])
def test_several_groups_are_shown_where_one_looks(features: tuple[str, ...], label: str | None):
    explanation = explained(grouped(12.0, features))
    printed = Console(width=200, record=True)
    printed.print(explanation_table(explanation))
    for shown in (printed.export_text(), Markup(render(explanation.record())).striptags()):
        assert "2 groups of draws" in shown
        assert "50%" in shown
        assert ("leeward" in shown) == (label is not None)


def test_one_group_is_not_mentioned():
    assert "groups of draws" not in render(explained(grouped(0.0)).record())


@pytest.mark.slow
@pytest.mark.parametrize(("feature", "values", "expected"), [("indirect object", 2, 2), ("place", 3, 1)])
def test_real_hidden_states_group_by_what_the_model_says_next(feature: str, values: int, expected: int):
    """The bundled model's last state holds the name that it is about to say, and not the place."""
    subject = Subject.load("smollm2")
    task = IOI(IOIConfig(name="ioi", names=16), subject)
    inputs = list(dict.fromkeys(task.draw(1_500, rng())))
    labels = [task.labels(tokens)[feature] for tokens in inputs]
    chosen = sorted({label for label in labels if label is not None})[:values]
    rows = [row for row, label in enumerate(labels) if label in chosen][:80]
    (end,) = subject.sites([f"resid_post.{subject.shape.layers - 1}"])
    states = subject.capture([inputs[row] for row in rows], [end]).activations[end].double().numpy()
    found = grouping.groups(states, np.ones(len(rows)), rng())
    in_groups = {(int(number), labels[row]) for number, row in zip(found.of, rows, strict=True)}
    assert len({number for number, _ in in_groups}) == expected
    if expected > 1:
        assert len(in_groups) == expected
