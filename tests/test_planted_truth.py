"""Models of which it is known what each site encodes: first that they are what they claim, then what the scores say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from planted_models import NORM
from planted_truth import (
    BANDWIDTHS,
    METHODS,
    all_scores,
    area_under_curve,
    explicable,
    known_scores,
    missed,
    run,
    runs_in,
)
from planted_worlds import BITS, DRAWN, SENTENCES, VOWELS, WORLDS, World, write_world

from inversescope.collect.distance import Distance
from inversescope.sites import every
from inversescope.subject import Subject
from inversescope.subject.projection_files import load_projection
from inversescope.units import Units

# Slow: whichever test is first makes the runs that all share.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
ALL = pytest.mark.parametrize("world", WORLDS, ids=lambda world: world.name)


def subject_of(world: World, folder: Path, seed: int = 0) -> Subject:
    write_world(world, folder, seed, [0.1])
    subject = Subject.load(str(folder / "model"), device="cpu", dtype="float32")
    subject.projections["probe"] = load_projection(folder / "probe.safetensors")
    return subject


def distances(world: World, subject: Subject) -> dict[str, torch.Tensor]:
    """δ between any two texts, at every site."""
    inputs = [subject.encode(row["text"]) for row in world.rows]
    activations = subject.capture(inputs, subject.sites(world.sites)).activations
    uniform = torch.full((len(inputs),), 1 / len(inputs))
    by_site = {site: Distance.of("standardized", Units.of(read, uniform)) for site, read in activations.items()}
    return {str(site): by_site[site].between(read, read) for site, read in activations.items()}


@ALL
def test_the_model_answers_right_on_every_text(world: World, tmp_path: Path):
    subject = subject_of(world, tmp_path)
    logits = subject.capture([subject.encode(row["text"]) for row in world.rows], (), logits=True).logits
    assert subject.token_strings(logits.argmax(1).tolist()) == [world.answers[row[world.asked]] for row in world.rows]


@ALL
def test_different_labels_of_an_encoded_feature_have_different_activations(world: World, tmp_path: Path):
    at = distances(world, subject_of(world, tmp_path))
    for site, features in world.encoded.items():
        for feature in features:
            values = [row[feature] for row in world.rows]
            differ = torch.tensor([[one != other for other in values] for one in values])
            assert at[site][differ].min() > 0.2, (site, feature)


@ALL
def test_every_activation_has_an_erased_feature_in_the_priors_shares(world: World, tmp_path: Path):
    at = distances(world, subject_of(world, tmp_path))
    for site, features in world.erased.items():
        alike = (at[site] < 1e-3).double()
        for feature in features:
            for value in labels(world)[feature]:
                has = torch.tensor([row[feature] == value for row in world.rows]).double()
                shares = alike @ has / alike.sum(1)
                assert torch.allclose(shares, has.mean().expand_as(shares)), (site, feature, value)


def test_norms_are_the_identity_to_the_last_bit():
    norm = BITS.build().model.model.norm
    hidden = torch.randn(100, norm.weight.numel()) * torch.logspace(-3, 1, 100)[:, None]
    assert (norm.weight == NORM).all()
    assert torch.equal(norm(hidden), hidden)


@ALL
def test_turning_the_stream_changes_no_logit(world: World):
    tokens = torch.arange(len(world.build().words))[None, :16]
    plain, turned = (made.model(tokens).logits for made in (world.build(), _turned(world)))
    assert plain.abs().max() > 0
    assert torch.allclose(plain, turned, atol=1e-4)


def _turned(world: World):
    made = world.build()
    made.turned(5)
    return made


def test_twins_are_the_same_bit_by_bit(tmp_path: Path):
    subject = subject_of(SENTENCES, tmp_path)
    sites = subject.sites(every(point) for point in subject.points)
    twins = [subject.encode(f"{size} red cat sat .") for size in ("big", "large")]
    for site, read in subject.capture(twins, sites).activations.items():
        assert torch.equal(read[0], read[1]), site


def labels(world: World) -> dict[str, set[str]]:
    return {name: {row[name] for row in world.rows} for name in world.rows[0] if name != "text"}


@pytest.fixture(scope="module")
def rows(shared: Path) -> list[dict[str, Any]]:
    """Every score of which the truth is known: three worlds, two seeds each, two bandwidths."""
    return all_scores(runs_in(shared))


@pytest.mark.parametrize("method", METHODS)
def test_encoded_features_score_above_erased_ones(rows: list[dict[str, Any]], method: str):
    part = [row for row in rows if row["method"] == method]
    assert area_under_curve(part) >= 0.99
    assert all(row["corrected"] > 0.85 for row in part if row["encoded"] and row["bandwidth"] < 0.3)


@pytest.mark.parametrize("method", METHODS[1:])
def test_erased_features_are_at_chance_within_their_intervals(rows: list[dict[str, Any]], method: str):
    part = [row for row in rows if row["method"] == method and not row["encoded"]]
    assert all(row["targets"] == 24 for row in part)
    assert explicable(missed(part), len(part)), f"{missed(part)} of {len(part)}"


def test_the_exact_reference_of_an_erased_feature_is_zero(rows: list[dict[str, Any]]):
    erased = [row["corrected"] for row in rows if row["method"] == "reference" and not row["encoded"]]
    assert len(erased) == 2 * 2 * 31
    assert max(map(abs, erased)) < 1e-6


@pytest.mark.slow
def test_the_same_where_the_generator_and_the_reference_have_seen_other_texts_than_the_targets(tmp_path: Path):
    found = known_scores(run(VOWELS, 0, tmp_path, BANDWIDTHS, DRAWN), VOWELS)
    for method in METHODS:
        part = [row for row in found if row["method"] == method]
        assert area_under_curve(part) >= 0.99
        assert explicable(missed(part), sum(not row["encoded"] for row in part))
        assert all(row["corrected"] > 0.85 for row in part if row["encoded"] and row["bandwidth"] < 0.3)
