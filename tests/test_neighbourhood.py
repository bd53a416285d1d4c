"""Distances and kernels: the formulas in numpy, what leaves them as they are, and whole runs with each."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import torch
from refusals import check, printed
from safetensors.numpy import load_file
from small_subject import World, call
from toy_world import COUNTS, INPUTS, LAST, PRIOR, read, write_store

from inversescope import files, records
from inversescope.collect import posterior
from inversescope.collect.bandwidths import Remaining, bandwidth_at
from inversescope.collect.distance import Distance
from inversescope.collect.store import Store
from inversescope.config import NeighbourhoodConfig
from inversescope.errors import UserError
from inversescope.generator.site_channel import SiteChannel
from inversescope.inverter import Inverter
from inversescope.records.levels import read_levels
from inversescope.run.run import Run
from inversescope.score.pool import SitePool
from inversescope.sites import Site
from inversescope.stats.kernel import Kernel
from inversescope.stats.weights import importance_weights
from inversescope.units import Units

DISTANCES = ("standardized", "euclidean", "cosine", "relative")
PAIRS = list(product(DISTANCES, Kernel))
PRIOR_SHARES = np.array(list(PRIOR.values()))


def delta(name: str, z: np.ndarray, target: np.ndarray, mean: np.ndarray, deviation: np.ndarray) -> float:
    """δ of one activation from one target, by the formulas of docs/statistics.md."""
    gap, varies = z - target, deviation > 0
    if name == "standardized":
        return float(np.sqrt(((gap[varies] / deviation[varies]) ** 2).mean()))
    if name == "euclidean":
        return float(np.linalg.norm(gap) / np.sqrt((deviation**2).sum()))
    if name == "relative":
        return float(np.linalg.norm(gap) / np.linalg.norm(target))
    one, two = z - mean, target - mean
    return float(np.sqrt(2 * max(0.0, 1 - one @ two / np.linalg.norm(one) / np.linalg.norm(two))))


def activations(n: int, d: int = 6, seed: int = 0) -> torch.Tensor:
    """Coordinates with spreads from 0.1 to 10, far from the origin."""
    rng = np.random.default_rng(seed)
    return torch.tensor(rng.normal(size=(n, d)) * np.geomspace(0.1, 10, d) + rng.normal(size=d) * 5).float()


def between(name: str, pool: torch.Tensor, z: torch.Tensor, targets: torch.Tensor) -> np.ndarray:
    return Distance.of(name, Units.of(pool)).between(z, targets).numpy()


@pytest.mark.parametrize("name", DISTANCES)
def test_distances_are_the_formulas(name: str):
    pool, z, targets = activations(80), activations(7, seed=1), activations(4, seed=2)
    mean, deviation = pool.double().mean(0).numpy(), pool.double().std(0).numpy()
    expected = [[delta(name, row, t, mean, deviation) for t in targets.double().numpy()] for row in z.double().numpy()]
    distance = Distance.of(name, Units.of(pool))
    found = distance.between(z, targets).numpy()
    assert found == pytest.approx(np.array(expected), rel=1e-4)
    assert distance.by_products(z, targets) == pytest.approx(found.T, abs=1e-3)
    assert distance.paired(z[:4], targets).numpy() == pytest.approx(np.diag(found[:4]), rel=1e-4)
    assert distance.paired(z, targets[:1]).numpy() == pytest.approx(found[:, 0], rel=1e-4)
    assert (distance.between(targets, targets).numpy().diagonal() == 0).all()


def moved(z: torch.Tensor, by: str) -> torch.Tensor:
    """The same activations, all moved alike."""
    rotation, _ = torch.linalg.qr(torch.randn(6, 6, generator=torch.Generator().manual_seed(3)))
    return {
        "rotation": lambda: z @ rotation,
        "shift": lambda: z + torch.linspace(-3, 4, 6),
        "scale": lambda: 7 * z,
        "scales": lambda: z * torch.linspace(0.5, 4, 6),
    }[by]()


@pytest.mark.parametrize(
    ("name", "same", "other"),
    [
        ("standardized", ("shift", "scale", "scales"), ("rotation",)),
        ("euclidean", ("rotation", "shift", "scale"), ("scales",)),
        ("cosine", ("rotation", "shift", "scale"), ("scales",)),
        ("relative", ("rotation", "scale"), ("shift", "scales")),
    ],
)
def test_what_moves_all_activations_alike(name: str, same: tuple[str, ...], other: tuple[str, ...]):
    pool, z = activations(80), activations(12, seed=1)
    before = between(name, pool, z, z)
    for by in same:
        assert between(name, moved(pool, by), moved(z, by), moved(z, by)) == pytest.approx(before, abs=2e-3), by
    for by in other:
        assert np.abs(between(name, moved(pool, by), moved(z, by), moved(z, by)) - before).max() > 0.05, by


def test_cosine_is_that_of_the_centred_activations_whatever_their_length():
    pool, z = activations(80), activations(12, seed=1)
    mean = Units.of(pool).mean
    lengths = torch.linspace(0.1, 9, 12)[:, None]
    stretched = (z - mean) * lengths + mean
    assert between("cosine", pool, stretched, z) == pytest.approx(between("cosine", pool, z, z), abs=2e-3)
    assert np.abs(between("euclidean", pool, stretched, z) - between("euclidean", pool, z, z)).max() > 0.5
    at_mean = between("cosine", pool, mean[None], torch.cat((z, mean[None])))
    assert at_mean[0, :-1] == pytest.approx(1) and at_mean[0, -1] == 0


def test_unrelated_inputs_are_about_root_two_apart_but_by_the_relative_distance():
    z = torch.randn(400, 64, generator=torch.Generator().manual_seed(0)) * torch.logspace(-1, 0, 64) + 20
    for name in ("standardized", "euclidean", "cosine"):
        assert (between(name, z, z[:200], z[200:]) ** 2).mean() == pytest.approx(2, rel=0.03), name
    assert between("relative", z, z[:200], z[200:]).mean() < 0.1


def test_a_target_of_length_zero_is_far_from_all_but_itself():
    found = between("relative", activations(80), torch.tensor([[0.0] * 6, [1.0] * 6]), torch.zeros(1, 6))
    assert found[0, 0] == 0 and found[1, 0] > 1e6


def test_kernels_are_the_formulas():
    distances, h = np.array([0.0, 0.2, 0.2 + 1e-9, 0.4, np.nan]), 0.2
    with np.errstate(divide="ignore"):
        assert np.exp(Kernel.BALL.log(distances[:4], h)).tolist() == [1, 1, 0, 0]
    assert np.exp(Kernel.GAUSSIAN.log(distances[:4], h)) == pytest.approx(np.exp(-np.array([0, 1, 1, 4]) / 2))
    for kernel in Kernel:
        assert kernel.log_posterior(distances, h, np.zeros(5))[-1] == -np.inf


def toy_store(folder: Path, name: str, kernel: Kernel) -> Store:
    splits = {"train": INPUTS[:1], "pool": INPUTS, "target": INPUTS}
    write_store(folder, splits, shifted, lambda x: {}, PRIOR)
    return Store(folder, NeighbourhoodConfig(distance=name, kernel=kernel))


def shifted(tokens: tuple[int, ...]) -> dict[Site, list[float]]:
    """The toy world's activations, none of which has length zero."""
    return {site: [value + 1.5 for value in values] for site, values in read(tokens).items()}


def enumerated(name: str, kernel: Kernel, site: Site, h: float) -> tuple[np.ndarray, np.ndarray]:
    """δ and the posterior of every input of the toy world, for each as target, in numpy."""
    z = np.array([shifted(x)[site] for x in INPUTS])
    mean = PRIOR_SHARES @ z
    deviation = np.sqrt(PRIOR_SHARES @ (z - mean) ** 2)
    distances = np.array([[delta(name, row, target, mean, deviation) for row in z] for target in z])
    weights = PRIOR_SHARES * (np.exp(-((distances / h) ** 2) / 2) if kernel == "gaussian" else distances <= h)
    return distances, weights / weights.sum(1, keepdims=True)


@pytest.mark.parametrize(("name", "kernel"), PAIRS)
@pytest.mark.parametrize("site", [COUNTS, LAST])
def test_the_posterior_is_a_sum_over_all_inputs(tmp_path: Path, name: str, kernel: Kernel, site: Site):
    store = toy_store(tmp_path, name, kernel)
    z = store.activations("pool", site)
    for h in (0.15, 0.6, 1.5):
        distances, expected = enumerated(name, kernel, site, h)
        found = store.distance(site).between(z, z)
        assert found.T.numpy() == pytest.approx(distances, abs=1e-4)
        assert posterior.posterior(store, found.T.double().numpy(), h) == pytest.approx(expected, abs=1e-4)
        pool = SitePool.of(found.numpy(), PRIOR_SHARES, True, [h], store.kernel)
        assert pool.posterior[h] == pytest.approx(expected, abs=1e-4)
        if kernel == "ball":  # the inputs within ε by their prior, and no other
            assert ((pool.posterior[h] > 0) == (distances <= h)).all()


@pytest.mark.parametrize(("name", "kernel"), PAIRS)
def test_weights_turn_draws_of_another_distribution_into_the_posterior(tmp_path: Path, name: str, kernel: Kernel):
    """Draws for the noise channel's posterior at a wider bandwidth, as where the generator proposes."""
    h, rng, target = 0.8, np.random.default_rng(0), 2
    _, expected = enumerated(name, kernel, COUNTS, h)
    store = toy_store(tmp_path, name, kernel)
    z = store.activations("pool", COUNTS)
    q = Kernel.GAUSSIAN.posterior(store.channel(COUNTS).by_products(z, z[[target]]), 2.0, np.log(PRIOR_SHARES))[0]
    drawn = rng.choice(len(q), 4000, p=q)
    distances = store.distance(COUNTS).between(z, z[[target]])[:, 0].double().numpy()[drawn]
    logs = kernel.log_posterior(distances, h, np.log(PRIOR_SHARES)[drawn])
    found = importance_weights(logs, np.log(q)[drawn], drawn.tolist())
    assert np.bincount(drawn, found.weights, len(q)) == pytest.approx(expected[target], abs=1e-3)
    assert np.exp(found.log_normaliser) == pytest.approx(
        PRIOR_SHARES @ np.exp(kernel.log(store.distance(COUNTS).between(z, z[[target]])[:, 0].numpy(), h)), rel=1e-3
    )


def test_the_noise_channel_is_that_of_the_euclidean_distance(tmp_path: Path):
    """Kernel weights of the generator's channel are the posterior, and its noise is the same in every coordinate."""
    store, h = toy_store(tmp_path, "euclidean", Kernel.GAUSSIAN), 0.4
    z, units = store.activations("pool", COUNTS), store.channel(COUNTS).units
    channel = SiteChannel(z.shape[1], len(z))
    channel.fit(z, units, torch.tensor(np.log(PRIOR_SHARES)).float())
    _, expected = enumerated("euclidean", Kernel.GAUSSIAN, COUNTS, h)
    assert channel.weights(z, torch.full((len(z),), h)).numpy() == pytest.approx(expected, abs=1e-4)
    many = z[:1].expand(20_000, -1)
    noise = channel.noised(many, torch.full((len(many),), h), torch.Generator().manual_seed(0)) - many
    spread = (PRIOR_SHARES @ (z.double().numpy() - PRIOR_SHARES @ z.double().numpy()) ** 2).sum()
    assert noise.std(0).numpy() == pytest.approx(np.full(z.shape[1], h * spread**0.5), rel=0.03)


def ball_on_a_line(n: int = 2000, kernel: Kernel = Kernel.BALL) -> Remaining:
    """A prior whose inputs lie on a line, some of them targets."""
    z = np.random.default_rng(0).normal(size=n)
    return Remaining(np.abs(z[:64, None] - z), np.full(n, 1 / n), np.zeros(64), True, kernel)


@pytest.mark.parametrize("resolution", [4, 32, 500])
def test_at_a_resolution_of_the_ball_one_input_in_n_is_within_it(resolution: float):
    remaining = ball_on_a_line()
    radius = bandwidth_at(remaining, LAST, resolution)
    within = np.median((remaining.distances <= radius).mean(1))
    assert within == pytest.approx(1 / resolution, abs=1.5 / 2000)
    gaussian = ball_on_a_line(kernel=Kernel.GAUSSIAN)
    h = gaussian.nearest(remaining.share(radius))
    assert h != pytest.approx(radius, rel=0.2)  # the same number would be another resolution
    assert gaussian.share(h) == pytest.approx(within, rel=0.01)


def test_the_nearest_share_ends_where_the_pool_does():
    remaining = ball_on_a_line(400)
    for finest in (0.0, 1 / 4000):
        assert remaining.share(remaining.nearest(finest)) == pytest.approx(1 / 400, rel=0.5)


@pytest.mark.parametrize(("key", "allowed"), [("distance", DISTANCES), ("kernel", tuple(Kernel))])
def test_an_unknown_name_is_refused(tmp_path: Path, capsys, key: str, allowed: tuple[str, ...]):
    config = tmp_path / "my.toml"
    config.write_text(f'[neighbourhood]\n{key} = "mahalanobis"\n')
    assert call("run", config, "--out", tmp_path / "run") == 2
    error = printed(capsys.readouterr().err)
    check(error, *allowed, f"neighbourhood.{key}", "mahalanobis")
    assert not (tmp_path / "run").exists()


RUNS = [("euclidean", "gaussian"), ("cosine", "gaussian"), ("standardized", "ball"), ("relative", "ball")]


@pytest.fixture(scope="module", params=RUNS, ids=" ".join)
def other(request: pytest.FixtureRequest, world: World, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A whole run by another distance or kernel, at resolutions."""
    name, kernel = request.param
    folder = tmp_path_factory.mktemp("neighbourhood")
    text = world.config.read_text().replace("bandwidths = [0.1, 0.5]", "resolutions = [5, 2]")
    (folder / "my.toml").write_text(f'{text}\n[neighbourhood]\ndistance = "{name}"\nkernel = "{kernel}"\n')
    assert call("run", folder / "my.toml", "--out", folder / "run") == 0
    return Run.open(folder / "run")


def test_a_run_weighs_by_its_own_distance_and_kernel(other: Run):
    """Distances of the pool and of the draws, and the weights, against the formulas."""
    chosen, store = other.config.neighbourhood, other.store
    samples = pq.read_table(other.folder / records.verify.SAMPLES.path).filter(pc.field("method") == "generator")
    place = {x: i for i, x in enumerate(store.inputs("pool").tokens)}
    for site in other.sites["train"]:
        pool, targets = (store.activations(split, site).double().numpy() for split in ("pool", "target"))
        expected = np.array([
            [delta(chosen.distance, z, target, pool.mean(0), pool.std(0, ddof=1)) for target in targets] for z in pool
        ])  # fmt: skip
        found = load_file(other.folder / records.collect.DISTANCES.path)[str(site)]
        assert found == pytest.approx(expected, rel=1e-3, abs=1e-4)
        rows = samples.filter(pc.field("site") == str(site)).to_pylist()
        for row in rows:
            if row["distance"] is not None and (at := place.get(tuple(row["tokens"]))) is not None:
                assert row["distance"] == pytest.approx(expected[at, row["target"]], rel=1e-3, abs=1e-3)
            if chosen.kernel == "ball" and row["weight"]:
                assert row["distance"] <= row["bandwidth"]
        assert any(row["weight"] for row in rows)


def test_a_run_says_where_its_generator_only_proposes(other: Run):
    proposes = not other.config.neighbourhood.has_channel
    levels, store = read_levels(other.folder), other.store
    for site in other.sites["train"]:
        assert all((level.channel is not None) == proposes for level in levels[site])
        by_channel = Remaining.of_channel(store, other.task, site, other.seed)
        by_run = Remaining.of(store, other.task, site, other.seed)
        for level in levels[site]:  # the step of a ball is as wide as one input of the pool
            share = by_run.share(level.bandwidth)
            assert by_channel.share(level.drawn) == pytest.approx(share, rel=0.02, abs=2 / len(store.inputs("pool")))
    page = (other.folder / "report" / "report.html").read_text()
    scores = pq.read_table(other.folder / records.score.RESULTS.path).to_pylist()
    judged = {row["method"] for row in scores if row["verdict"] is not None}
    compared = {row["method"] for row in scores if row["gap"] is not None}
    text, site = store.inputs("target").texts[0], str(other.sites["train"][0])
    inversion = Inverter.load(other.folder).invert(text, site=site, n=8)
    assert ("no noise channel" in page) == ("no noise channel" in " ".join(inversion.notes)) == proposes
    assert judged == ({"weighted"} if proposes else {"generator", "weighted"})
    assert compared <= ({"weighted"} if proposes else {"generator"})
    if other.config.neighbourhood.kernel == "ball":
        assert all(sample.distance <= inversion.bandwidth for sample in inversion.samples if sample.weight)


def test_a_preimage_can_be_asked_at_any_radius(other: Run, capsys):
    """A radius that is no level of the run, and one that the generator does not serve."""
    inverter, (site, *_) = Inverter.load(other.folder), other.sites["train"]
    text, (fine, coarse) = other.store.inputs("target").texts[0], (each.bandwidth for each in other.levels[site])
    asked = inverter.invert(text, site=str(site), n=16, bandwidth=(fine + coarse) / 2)
    assert asked.bandwidth == (fine + coarse) / 2 and asked.resolution is None
    _, high = inverter.generator.bandwidths[site]
    with pytest.raises(UserError) as refused:
        inverter.generator.bandwidths[site] = (high * 2, high * 3)
        inverter.invert(text, site=str(site), n=2, bandwidth=fine)
    check(refused.value, given=f"{fine:g}", allowed=f"{high * 2:g}")


def test_the_default_is_the_standardized_distance_and_the_gaussian_kernel(world: World):
    resolved = files.read_json(world.run / records.run.RESOLVED.path)
    assert resolved["neighbourhood"] == {"distance": "standardized", "kernel": "gaussian"}
    assert all(level.channel is None for of_site in read_levels(world.run).values() for level in of_site)
    assert "no noise channel" not in (world.run / "report" / "report.html").read_text()
