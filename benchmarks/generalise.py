"""Exact divergence of generators that were trained on a part of an enumerable prior, beside estimates that need no
training. Only the units of a site are of the whole prior, for all of them.

    inversescope run benchmarks/demo_prior.toml --out runs/demo-prior --until collect
    python benchmarks/generalise.py runs/demo-prior --shares 0.05,0.2 [--sites resid_post.8] [--rival] [train.steps=400]

The run has read every input of its prior, so the posterior of every target is a sum. For each share, inputs are drawn
from the prior until so many distinct ones are there; the generator is trained on them alone, and the targets are
inputs that are not among them. A share above 1 is a number of inputs. A level is a bandwidth or a resolution of the
config; a site whose posterior is never so fine has no row at it. Columns, each a mean over targets and sites (worst
site in brackets):

KL            nats, from the exact posterior to the method
TV            total variation, 0 to 1
in training   share of the draws, or of the method's probability, that are training inputs; and what is exact
novel         share of near draws (δ ≤ h) that are no training inputs; and what is exact

Methods: the generator; with `--rival`, InversionView's, trained on the same inputs for as many seconds; `slots`: every
slot (feature of the task, or position) independent, with kernel-weighted shares over the training inputs; `pool`:
kernel weights over the training inputs; `emulator`: kernel weights over the whole prior, by the activations that
training predicts. `slots` and `pool` are mixed with the prior by their effective sample size, as a Dirichlet prior of
strength 1 would.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from enumerated import Levels, PartStore, Truth, drawn_rows, inversionview, levels_of, trained_for, trained_on, unread
from jaxtyping import Float, Int
from numpy import ndarray
from rich.console import Console
from rich.table import Table
from settings import configured

from inversescope.calibrate.divergence import sample_points
from inversescope.collect.inputs import Inputs
from inversescope.generator import Generator, Vocabulary
from inversescope.run.run import Run
from inversescope.sample.sample import draw_from
from inversescope.sites import Site
from inversescope.stats.kernel import Kernel
from inversescope.stats.weights import effective_sample_size
from inversescope.train.emulator import Emulator

DRAWS, POINTS = 32, 64
BASELINES = ("slots", "pool", "emulator")
TINY = 1e-12  # probability below which a baseline's is not let fall: it would make the divergence infinite


def slots(
    truth: Truth,
    columns: Sequence[Int[ndarray, " prior"]],
    weights: Float[ndarray, "targets train"],
    rows: Sequence[int],
    size: Float[ndarray, " targets"],
) -> Float[ndarray, "targets prior"]:
    """Independent slots, each with its kernel-weighted shares, over the inputs that the prior has."""
    prior = truth.pool.probability
    log_q = np.tile(np.log(prior), (len(weights), 1))
    for labels in columns:
        share = np.zeros((len(weights), labels.max() + 1))
        for label in range(share.shape[1]):
            share[:, label] = weights[:, labels[rows] == label].sum(1)
        base = np.bincount(labels, prior)
        mixed = (size[:, None] * share + base) / (size[:, None] + 1)
        with np.errstate(divide="ignore"):  # a label that no input has
            log_q += np.log(mixed / np.where(base > 0, base, 1))[:, labels]
    q = np.exp(log_q - log_q.max(1, keepdims=True))
    return q / q.sum(1, keepdims=True)


def slot_columns(pool: Inputs, by_position: bool) -> list[Int[ndarray, " prior"]]:
    """The features that are decided for every input, as numbers, and the first words, which name the template; or the
    tokens at every position.
    """
    if by_position:
        return list(Vocabulary.of(pool.tokens).encode(pool.tokens).clamp_min(0).numpy().T)
    columns = [column for column in pool.labels.values() if None not in column]
    columns.append([text.split(" ", 1)[0] for text in pool.texts])
    return [np.unique(np.array(column), return_inverse=True)[1] for column in columns]


def baselines(
    truth: Truth, columns: Sequence[Int[ndarray, " prior"]], rows: Sequence[int], bandwidth: float
) -> dict[str, Float[ndarray, "targets prior"]]:
    """Probabilities of both, over the whole prior."""
    index, prior = np.array(rows), truth.pool.probability
    weights = Kernel.GAUSSIAN.posterior(truth.distances[:, index], bandwidth, np.zeros(len(index)))
    size = effective_sample_size(weights)
    kernel = np.zeros_like(truth.distances)
    for target, row in enumerate(weights):
        kernel[target] = np.bincount(index, row, len(prior))
    pool = (size[:, None] * kernel + prior) / (size[:, None] + 1)
    return {"slots": slots(truth, columns, weights, index, size), "pool": pool}


def predicted_distances(
    store: PartStore, site: Site, targets: Float[torch.Tensor, "targets d"]
) -> Float[ndarray, "targets prior"]:
    """δ of every input of the prior to the targets: as read in training, else as predicted."""
    pool, channel, read = store.inputs("pool"), store.channel(site), sorted(set(store.rows))
    rows = Vocabulary.of(pool.tokens).encode(pool.tokens)
    order = np.random.default_rng(0).permutation(read)
    known = store.activations("pool", site)
    emulator = Emulator.of(rows[order], {site: known[order]}, {site: channel.units})
    activations = torch.cat([emulator.predict(part, {site: channel.units})[site] for part in rows.split(1024)])
    activations[read] = known[read]
    return channel.between(activations, targets).T.double().numpy()


def measure_table(
    q: Float[ndarray, "targets prior"], p: Float[ndarray, "targets prior"], trained: ndarray, near: ndarray
) -> list[float]:
    """KL, TV, share in training and share of novel near draws of probabilities that are known."""
    with np.errstate(divide="ignore", invalid="ignore"):
        kl = np.where(p > 0, p * (np.log(p) - np.log(np.maximum(q, TINY))), 0).sum(1)
    return [kl.mean(), 0.5 * np.abs(p - q).sum(1).mean(), q[:, trained].sum(1).mean(), novel(q, trained, near)]


def novel(q: ndarray, trained: ndarray, near: ndarray) -> float:
    """Share of the probability on near inputs that lies on inputs which were not trained on."""
    mass = (q * near).sum(1)
    return float(((q * near)[:, ~trained].sum(1) / np.maximum(mass, TINY)).mean())


def measure_generator(
    generator: Generator,
    site: Site,
    activations: torch.Tensor,
    h: float,
    p: ndarray,
    truth: Truth,
    trained: ndarray,
    number: dict,
) -> list[float]:
    """The same for a generator: KL and TV at sampled points, shares from draws. One that was trained for other
    bandwidths is given the nearest.
    """
    low, high = generator.bandwidths[site]
    given = min(max(h, low), high)
    rng = np.random.default_rng(0)
    with torch.inference_mode():
        condition = generator.condition(site, activations, torch.full((len(activations),), given))
        points = [sample_points(row, POINTS, rng) for row in p]
        target = np.repeat(np.arange(len(p)), [len(index) for index, _ in points])
        index = np.concatenate([index for index, _ in points])
        share = np.concatenate([share for _, share in points])
        rows = generator.vocabulary.encode([truth.pool.tokens[i] for i in index])
        log_q = -generator.nats(rows, condition[torch.from_numpy(target)]).double().numpy()
    ratio = np.log(p[target, index]) - log_q
    kl = np.bincount(target, share * ratio, len(p))
    tv = np.bincount(target, share * -np.expm1(np.minimum(0, -ratio)), len(p))
    drawn, _ = draw_from(generator, condition, DRAWS, torch.Generator().manual_seed(1))
    at = np.array([number.get(tokens, -1) for tokens in drawn])
    target = np.repeat(np.arange(len(p)), DRAWS)
    in_train = np.where(at >= 0, trained[at], False)
    near = np.where(at >= 0, truth.distances[target, at] <= h, False)
    fresh = (near & ~in_train).sum() / max(1, near.sum())
    return [kl.mean(), tv.mean(), in_train.mean(), fresh]


def evaluate(
    generators: Mapping[str, Generator], store: PartStore, levels: Levels, seed: int, chosen: argparse.Namespace
) -> dict[str, dict[float, dict[Site, list[float]]]]:
    """Measures by method, level and site."""
    pool = store.inputs("pool")
    trained = np.zeros(len(pool), dtype=bool)
    trained[store.rows] = True
    targets = unread(store, trained, chosen.targets, seed)
    number, columns = {tokens: i for i, tokens in enumerate(pool.tokens)}, slot_columns(pool, chosen.positions)
    found: dict[str, dict[float, dict[Site, list[float]]]] = {}
    for site, bandwidths in levels.items():
        truth = Truth(store, site, targets)
        activations = store.activations("pool", site)[targets]
        predicted = predicted_distances(store, site, activations) if "emulator" in chosen.baselines else None
        for level, h in bandwidths.items():
            p, near = truth.at(h), truth.distances <= h
            rows = {"exact": measure_table(p, p, trained, near)}
            rows |= {
                name: measure_generator(generator, site, activations, h, p, truth, trained, number)
                for name, generator in generators.items()
            }
            tables = baselines(truth, columns, store.rows, h) if chosen.baselines else {}
            if predicted is not None:
                tables["emulator"] = Kernel.GAUSSIAN.posterior(predicted, h, pool.log_prior)
            rows |= {name: measure_table(tables[name], p, trained, near) for name in chosen.baselines}
            for name, row in rows.items():
                found.setdefault(name, {}).setdefault(level, {})[site] = row
    return found


def report(console: Console, title: str, found: dict[str, dict[float, dict[Site, list[float]]]]) -> None:
    """One row a method and level."""
    table = Table("method", "level", "KL", "(worst)", "TV", "in training", "novel", title=title)
    for name, by_level in found.items():
        for level, by_site in by_level.items():
            rows = np.array(list(by_site.values()))
            kl, tv, inside, fresh = rows.mean(0)
            table.add_row(
                name, f"{level:g}", f"{kl:.3f}", f"{rows[:, 0].max():.2f}", f"{tv:.3f}", f"{inside:.3f}", f"{fresh:.3f}"
            )
    console.print(table)
    for name, by_level in found.items():
        if name != "exact":
            for level, by_site in by_level.items():
                console.print(
                    f"{name:13} {level:<7g}", " ".join(f"{site}:{row[0]:.2f}" for site, row in by_site.items())
                )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", help="a run of which every input of the prior is collected")
    parser.add_argument("settings", nargs="*", help="changes of its config: section.key=value")
    parser.add_argument("--shares", default="0.2", help="shares of the prior that are trained on, between commas")
    parser.add_argument("--sites", help="sites, between commas; default: those of the config")
    parser.add_argument("--rival", action="store_true", help="InversionView's generator too")
    parser.add_argument("--targets", type=int, default=64, help="number of targets")
    parser.add_argument("--positions", action="store_true", help="slots are positions, not features")
    parser.add_argument("--baselines", default=",".join(BASELINES), help="those that are computed, between commas")
    chosen = parser.parse_intermixed_args()
    chosen.baselines = [name for name in chosen.baselines.split(",") if name]
    run = Run.open(chosen.run)
    config = configured(run.config, chosen.settings)
    sites = [Site.parse(site) for site in chosen.sites.split(",")] if chosen.sites else run.sites["train"]
    console, levels = Console(width=130), levels_of(run, config, sites)
    for share in map(float, chosen.shares.split(",")):
        rows = drawn_rows(run.store.inputs("pool").probability, share, config.seed)
        store = PartStore(run.folder / "collect", rows)
        generator, seconds, _ = trained_on(store, config, levels, run.task)
        generators = {"generator": generator}
        if chosen.rival:
            rival = inversionview(config)
            generators["InversionView"] = trained_for(seconds, store, rival, levels_of(run, rival, sites), run.task)[0]
        read = f"{share:.0%}" if share <= 1 else f"{share:.0f} inputs"
        title = f"{read} read: {len(rows)} draws; {seconds:.0f} s of training; {' '.join(chosen.settings)}"
        report(console, title, evaluate(generators, store, levels, config.seed, chosen))


if __name__ == "__main__":
    main()
