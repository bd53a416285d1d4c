"""Levels: the bandwidth of a site at a resolution, found on the pool, and what a config and a run make of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError
from refusals import refuses
from score_fixture import write_levels

from inversescope import files, records
from inversescope.collect.bandwidths import Remaining, bandwidth_at, chosen, from_draws, site_rows
from inversescope.config import RunConfig, SampleConfig
from inversescope.errors import UserError
from inversescope.records.levels import (
    Level,
    finest_first,
    level,
    pick,
    read_levels,
    resolutions,
    unreached,
    unreached_words,
)
from inversescope.sites import Site
from inversescope.stats.kernel import Kernel

SITE = Site("resid_post", 3)
WIDTH = 3


def drawn(n: int, seed: int = 0, targets: int = 64) -> np.ndarray:
    """Root mean squares of differences of normal vectors; each target's own draw is left out."""
    z = np.random.default_rng(seed).normal(size=(n, WIDTH))
    distances = np.sqrt(((z[:targets, None] - z[None]) ** 2).mean(2))
    distances[np.arange(targets), np.arange(targets)] = np.inf
    return distances


def whole(n: int = 4000, targets: int = 64) -> Remaining:
    """A prior of `n` inputs, all of them in the pool."""
    distances = drawn(n, targets=targets)
    distances[np.isinf(distances)] = 0.0
    return Remaining(distances, np.full(n, 1 / n), np.zeros(targets), True, Kernel.GAUSSIAN)


def part(n: int, seed: int, own: float) -> Remaining:
    """A pool of draws from the same prior."""
    targets = 64
    rows = np.random.default_rng(seed).permutation(4000)[:n]
    z = np.random.default_rng(0).normal(size=(4000, WIDTH))[rows]
    distances = np.sqrt(((z[:targets, None] - z[None]) ** 2).mean(2))
    distances[np.arange(targets), np.arange(targets)] = np.inf
    return Remaining(distances, np.full(n, 1 / n), np.full(targets, own), False, Kernel.GAUSSIAN)


def test_of_a_whole_prior_one_input_in_n_remains():
    remaining = whole()
    for resolution in (1000, 64, 8):
        h = bandwidth_at(remaining, SITE, resolution)
        kernel = np.exp(-0.5 * (remaining.distances / h) ** 2)
        sizes = kernel.sum(1) ** 2 / (kernel**2).sum(1)
        assert np.median(sizes) == pytest.approx(4000 / resolution, rel=0.01)


@pytest.mark.parametrize(("resolution", "within"), [(8, 0.1), (64, 0.2), (256, 0.3)])
def test_a_pool_of_draws_finds_the_resolution_of_the_whole_prior(resolution: float, within: float):
    """With the source as an input of known probability. Without it, small numbers of inputs are taken for more."""
    exact = whole(targets=256)
    found = [1 / exact.share(bandwidth_at(part(1200, seed, 1 / 4000), SITE, resolution)) for seed in range(4)]
    assert np.mean(found) == pytest.approx(resolution, rel=within)
    biased = [1 / exact.share(bandwidth_at(part(1200, seed, 0.0), SITE, resolution)) for seed in range(4)]
    assert np.mean(biased) > np.mean(found)


def test_without_a_neighbour_the_source_alone_remains():
    nothing = np.zeros((1, 5))
    assert from_draws(nothing, np.array([5]), np.array([0.25])) == pytest.approx(0.25)
    assert from_draws(nothing, np.array([5]), np.array([0.0])) == 0


def test_what_the_pool_does_not_reach_is_refused():
    with refuses(given=("64", "pool of 100"), allowed="25"):
        bandwidth_at(Remaining(drawn(100), np.full(100, 0.01), np.zeros(64), False, Kernel.GAUSSIAN), SITE, 64)
    with refuses(allowed="4000"):
        bandwidth_at(whole(), SITE, 5000)


def test_rows_of_a_site():
    rows = site_rows(whole(), SITE, (8, 64), (), 4000.0)
    assert [row["resolution"] for row in rows] == [64, 8]  # the finest first
    assert [row["bits"] for row in rows] == pytest.approx([6, 3])
    assert [row["prior_inputs"] for row in rows] == pytest.approx([62.5, 500])
    assert [row["pool_inputs"] for row in rows] == pytest.approx([62.5, 500], rel=0.02)
    (row,) = site_rows(whole(), SITE, (), (rows[0]["bandwidth"],), None)
    assert row["resolution"] is None and row["prior_inputs"] is None and row["bits"] == pytest.approx(6, abs=0.02)


def test_a_resolution_that_a_site_does_not_reach_is_named(tmp_path: Path):
    """A quarter of the prior has one and the same activation at one site, three quarters have at another."""
    record, rows = records.collect.BANDWIDTHS, []
    for layer, same in ((0, 0), (1, 100), (2, 300)):
        distances = drawn(400, targets=64)
        distances[:, :same] = 0.0
        distances[np.isinf(distances)] = 0.0
        remaining = Remaining(distances, np.full(400, 1 / 400), np.zeros(64), True, Kernel.GAUSSIAN)
        rows += site_rows(remaining, Site("resid_post", layer), (64, 2), (), 400.0)
    (tmp_path / record.path).parent.mkdir(parents=True)
    files.write_table(tmp_path / record.path, record.of(rows))
    reached = {site.layer: [level.resolution for level in levels] for site, levels in read_levels(tmp_path).items()}
    assert reached == {0: [64, 2], 1: [2]}
    assert unreached(tmp_path) == {"resid_post.1": [64], "resid_post.2": [64, 2]}
    words = unreached_words(tmp_path)
    assert (
        words is not None and "no resolution of the run at resid_post.2" in words and "resid_post.1 (1 in 64)" in words
    )
    write_levels(tmp_path, {SITE: [0.5]})
    assert unreached(tmp_path) == {} and unreached_words(tmp_path) is None


def test_levels_of_a_run(tmp_path: Path):
    write_levels(tmp_path, {SITE: [0.5, 0.1]})
    assert read_levels(tmp_path) == {SITE: [Level(None, 0.1), Level(None, 0.5)]}
    levels = [Level(64, 0.2), Level(8, 0.4)]
    assert pick(levels, None, None) == levels[1] and pick(levels, 64, None) == levels[0]
    assert pick([Level(None, 0.1), Level(None, 0.5)], None, 0.1) == Level(None, 0.1)
    with refuses(given="16", allowed="64, 8"):
        pick(levels, 16, None)
    with refuses(given="0.3"):
        pick(levels, None, 0.3)
    rows = [{"resolution": each.resolution, "bandwidth": each.bandwidth} for each in levels]
    assert finest_first([*rows, {"resolution": None, "bandwidth": None}]) == [64, 8]
    assert finest_first([{"resolution": None, "bandwidth": h} for h in (0.5, 0.1)]) == [0.1, 0.5]
    assert [level(row) for row in rows] == [64, 8]
    assert resolutions(levels) == {None: None, 0.2: 64, 0.4: 8}


def test_resolutions_are_the_default_and_bandwidths_take_their_place():
    assert SampleConfig().resolutions and not SampleConfig().bandwidths
    assert SampleConfig(bandwidths=(0.1,)).resolutions == ()
    again = SampleConfig.model_validate(SampleConfig(bandwidths=(0.1,)).model_dump(mode="json"))
    assert (again.resolutions, again.bandwidths) == ((), (0.1,))
    for wrong in ({"resolutions": (8,), "bandwidths": (0.1,)}, {"resolutions": ()}, {"resolutions": (8, 8)},
                  {"resolutions": (1,)}):  # fmt: skip
        with pytest.raises(ValidationError):
            SampleConfig.model_validate(wrong)


def test_a_resolution_that_is_too_fine_for_the_pool_is_refused():
    with refuses(given=("512", "collect.pool 600", "150")):
        RunConfig.parse("[collect]\npool = 600", "test")
    assert RunConfig.parse("[collect]\npool = 2500", "test").sample.resolutions[0] == 512
    RunConfig.parse('[collect]\npool = "all"\n[sample]\nresolutions = [5000]', "test")
    with refuses(given=("causal.resolution", "16")):
        RunConfig.parse("[causal]\nresolution = 16", "test")


def test_one_activation_is_inverted_where_the_reference_is_trusted_if_nothing_is_chosen(tmp_path: Path):
    record = records.collect.BANDWIDTHS
    rows = [
        {"site": str(SITE), "resolution": n, "bandwidth": h, "pool_inputs": size}
        | dict.fromkeys(("channel", "bits", "prior_inputs"))
        for n, h, size in ((512.0, 0.1, 5.0), (64.0, 0.2, 39.0), (8.0, 0.4, 300.0))
    ]
    (tmp_path / record.path).parent.mkdir(parents=True)
    files.write_table(tmp_path / record.path, record.of(rows))
    assert chosen(tmp_path, SITE, None, None) == Level(64, 0.2)
    assert chosen(tmp_path, SITE, 512, None) == Level(512, 0.1)
    assert chosen(tmp_path, SITE, None, 0.4) == Level(8, 0.4)
    assert chosen(tmp_path, SITE, None, 0.3) == Level(None, 0.3)
    for resolution, bandwidth in ((10, None), (64, 0.2)):
        with pytest.raises(UserError):
            chosen(tmp_path, SITE, resolution, bandwidth)
    files.write_table(tmp_path / record.path, record.of([row | {"pool_inputs": 3.0} for row in rows]))
    assert chosen(tmp_path, SITE, None, None) == Level(8, 0.4)
