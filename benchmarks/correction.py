"""Corrections of the generator's draws by cost: effective sample size per second, against the exact answer.

    python benchmarks/correction.py runs/demo resid_post.2 resid_post.14 resid_post.29

The run must be finished; nothing is written into it. Every input of the prior that was not collected is read once, so
that P(x; ẑ, s, h) is a sum over all of them. A method's seconds are those of the generator, and the tokens that
go through the subject for the distinct inputs it asks about, at the speed measured while reading. Its effective sample
size is that of independent draws from the exact posterior with the same squared error, over all features and targets.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy import ndarray
from rich.console import Console
from rich.table import Table
from torch import Tensor

from inversescope.generator import Generator
from inversescope.generator.generator import IncrementalDecoder
from inversescope.generator.vocabulary import BOUNDARY
from inversescope.run.run import Run
from inversescope.sites import Site
from inversescope.stats.kernel import Kernel
from inversescope.stats.weights import importance_weights, normalise, pareto_smoothed, systematic
from inversescope.subject import Subject
from inversescope.subject.batches import batches
from inversescope.tasks import Tokens
from inversescope.train.checkpoint import load_generator

TARGETS = 12
REPEATS = 6
BASELINE = "by count, 96 draws"
Places = Int[ndarray, " rows"]  # of inputs among all those of the prior; −1 where the prior has no such input
Shares = Float[ndarray, "targets labels"]


class World:
    """Every input of the prior: its probability, its distances to the targets, and its labels as indicators."""

    def __init__(self, run: Run, sites: Sequence[Site]):
        store = run.store
        support = list(run.task.enumerate())
        self.inputs: list[Tokens] = [tokens for tokens, _ in support]
        self.log_prior = np.log([probability for _, probability in support])
        self.place = {tokens: place for place, tokens in enumerate(self.inputs)}
        known = {x: (split, i) for split in ("train", "pool") for i, x in enumerate(store.inputs(split).tokens)}
        unread = sorted(x for x in self.inputs if x not in known)
        started = time.monotonic()
        read = run.subject.capture(unread, sites).activations
        self.seconds_a_token = (time.monotonic() - started) / _tokens(run.subject, unread)
        self.distances: dict[Site, Float[ndarray, "inputs targets"]] = {}
        for site in sites:
            targets, delta = store.activations("target", site)[:TARGETS], store.distance(site)
            self.distances[site] = np.empty((len(self.inputs), TARGETS))
            for rows, z in (
                (unread, read[site]),
                *((store.inputs(split).tokens, store.activations(split, site)) for split in ("train", "pool")),
            ):
                at = np.array([self.place.get(tokens, -1) for tokens in rows])
                self.distances[site][at[at >= 0]] = delta.between(z, targets).double().numpy()[at >= 0]
        labels = [run.task.labels(tokens) for tokens in self.inputs]
        values = [(name, x) for name in run.task.features for x in sorted({row[name] for row in labels} - {None})]
        self.labels = np.array([[row[name] == value for name, value in values] for row in labels], dtype=float)


class Question:
    """One site and bandwidth, asked of all targets at once; counts what answering it costs."""

    def __init__(self, world: World, run: Run, generator: Generator, site: Site, h: float, seed: int):
        self.world, self.subject, self.generator, self.site, self.h = world, run.subject, generator, site, h
        self.activations = run.store.activations("target", site)[:TARGETS]
        self.rng, self.numpy = torch.Generator().manual_seed(seed), np.random.default_rng(seed)
        self.length = generator.positions - 2
        self.read: set[int] = set()
        self.tokens, self.seconds = 0.0, 0.0

    @torch.inference_mode()
    def draw(
        self, target: Places, h: float, given: Tensor | None = None, keep: Places | None = None
    ) -> tuple[Tensor, Places, Float[ndarray, " rows"]]:
        """A draw for each target that keeps `keep` of the generator's tokens: what it wrote, its place, its ln q."""
        started = time.monotonic()
        bandwidth = torch.full((len(self.activations),), h)
        condition = self.generator.condition(self.site, self.activations, bandwidth)[torch.from_numpy(target)]
        decoder = IncrementalDecoder(self.generator, condition)
        token = torch.full((len(target), 1), BOUNDARY)
        written, alive, log_q = [token], torch.ones_like(token, dtype=torch.bool), torch.zeros(len(target))
        for position in range(self.generator.positions - 1):
            logs = decoder.next(token)
            token = torch.multinomial(logs.exp(), 1, generator=self.rng)
            if given is not None and keep is not None:
                kept = torch.from_numpy(position < keep)[:, None]
                token = torch.where(kept, given[:, position + 1 : position + 2], token)
            token = token.where(alive, BOUNDARY)
            log_q += (logs.gather(1, token) * alive)[:, 0]
            written.append(token)
            alive = alive & (token != BOUNDARY)
        rows = torch.cat(written, 1)
        places = [self.world.place.get(x or (), -1) for x in self.generator.vocabulary.decode(rows[:, 1:])]
        self.seconds += time.monotonic() - started
        return rows, np.array(places), log_q.double().numpy()

    def posterior(self, target: Places, places: Places, h: float) -> Float[ndarray, " rows"]:
        """ln of P(x) k(δ/h); inputs of the prior that were not asked about before are read."""
        new = sorted({int(place) for place in places if place >= 0} - self.read)
        if new:
            self.read |= set(new)
            self.tokens += _tokens(self.subject, sorted(self.world.inputs[place] for place in new))
        logs = Kernel.GAUSSIAN.log_posterior(
            self.world.distances[self.site][places, target], h, self.world.log_prior[places]
        )
        return np.where(places >= 0, logs, -np.inf)

    def shares(self, target: Places, places: Places, weights: Float[ndarray, " rows"]) -> Shares:
        """The weight of each label for each target, of weights that sum to one."""
        found = np.zeros((TARGETS, self.world.labels.shape[1]))
        np.add.at(found, target[places >= 0], weights[places >= 0, None] * self.world.labels[places[places >= 0]])
        return found

    @property
    def exact(self) -> Shares:
        """The answer."""
        logs = Kernel.GAUSSIAN.log_posterior(
            self.world.distances[self.site].T, self.h, np.tile(self.world.log_prior, (TARGETS, 1))
        )
        return normalise(logs) @ self.world.labels


Weigh = Callable[[Float[ndarray, " n"], Float[ndarray, " n"], list[int]], Float[ndarray, " n"]]
Method = Callable[[Question], Shares]


def by_count(logs: Float[ndarray, " n"], log_q: Float[ndarray, " n"], places: list[int]) -> Float[ndarray, " n"]:
    """Plain importance weights."""
    return normalise(logs - log_q)


def smoothed(logs: Float[ndarray, " n"], log_q: Float[ndarray, " n"], places: list[int]) -> Float[ndarray, " n"]:
    """Plain importance weights, Pareto-smoothed."""
    weights = pareto_smoothed(normalise(logs - log_q))[0]
    return weights / (weights.sum() or 1)


def once(logs: Float[ndarray, " n"], log_q: Float[ndarray, " n"], places: list[int]) -> Float[ndarray, " n"]:
    """The weights of a run."""
    return importance_weights(logs, log_q, places)[0]


def weighted(question: Question, n: int, weigh: Weigh) -> Shares:
    """`n` draws a target, weighed."""
    target = np.repeat(np.arange(TARGETS), n)
    _, places, log_q = question.draw(target, question.h)
    logs = question.posterior(target, places, question.h)
    parts = [slice(start, start + n) for start in range(0, len(target), n)]
    weights = np.concatenate([weigh(logs[part], log_q[part], places[part].tolist()) for part in parts])
    return question.shares(target, places, weights)


def moved(question: Question, n: int, bandwidths: Sequence[float], moves: int, *, keeping: bool) -> Shares:
    """Sequential Monte Carlo: weigh `n` draws a target at the first bandwidth, resample and move at each.

    A move keeps a random beginning (or nothing), and draws the rest anew from the generator. The proposal's ratio is
    that of ln q as a whole, since what is kept cancels: it is accepted by the ratio of importance weights.
    """
    target = np.repeat(np.arange(TARGETS), n)
    rows, places, log_q = question.draw(target, bandwidths[0])
    logs = question.posterior(target, places, bandwidths[0])
    weights = by_count_each(logs - log_q, n)
    found = np.zeros_like(question.exact)
    for h in bandwidths:
        now = question.posterior(target, places, h)
        if h != bandwidths[0]:
            weights = by_count_each(now - logs, n)
        chosen = np.concatenate([
            start + (systematic(part, n, question.numpy) if part.any() else np.arange(n))
            for start, part in zip(range(0, len(target), n), weights.reshape(TARGETS, n), strict=True)
        ])  # fmt: skip
        rows, places, logs = rows[torch.from_numpy(chosen)], places[chosen], now[chosen]
        _, _, log_q = question.draw(target, h, rows, np.full(len(target), question.length + 1))
        found[:] = 0
        for _ in range(moves):
            keep = question.numpy.integers(0, question.length if keeping else 1, len(target))
            others, there, their_q = question.draw(target, h, rows, keep)
            theirs = question.posterior(target, there, h)
            better = theirs - their_q > -np.inf
            ratio = np.where(
                better, np.exp(np.minimum(np.where(better, theirs - their_q, 0) - np.maximum(logs - log_q, -1e9), 0)), 0
            )
            found += question.shares(target, there, ratio / n / moves)
            found += question.shares(target, places, (1 - ratio) / n / moves)
            taken = question.numpy.random(len(target)) < ratio
            rows = torch.where(torch.from_numpy(taken)[:, None], others, rows)
            places, logs, log_q = (
                np.where(taken, new, old) for new, old in ((there, places), (theirs, logs), (their_q, log_q))
            )
    return found


def by_count_each(logs: Float[ndarray, " rows"], n: int) -> Float[ndarray, " rows"]:
    """Weights of sum one for each target; what has left the support stays out."""
    return normalise(np.where(np.isnan(logs), -np.inf, logs).reshape(TARGETS, n)).ravel()


def methods(h: float) -> dict[str, Method]:
    """The compared methods, by name."""
    ways: dict[str, Weigh] = {
        "as they come": lambda logs, _q, _x: np.full(len(logs), 1 / len(logs)),
        "by count": by_count,
        "smoothed": smoothed,
        "each input once": once,
    }
    found: dict[str, Method] = {
        f"{name}, {n} draws": lambda question, n=n, weigh=weigh: weighted(question, n, weigh)
        for name, weigh in ways.items()
        for n in (24, 96, 192)
    }
    found["suffix Metropolis, 24 x 3"] = lambda question: moved(question, 24, [h], 3, keeping=True)
    found["suffix Metropolis, 24 x 7"] = lambda question: moved(question, 24, [h], 7, keeping=True)
    found["independence, 24 x 3"] = lambda question: moved(question, 24, [h], 3, keeping=False)
    if h < 0.5:
        found["tempered, 24 x 2 x 2"] = lambda question: moved(
            question, 24, [0.5, (0.5 * h) ** 0.5, h], 2, keeping=True
        )
    return found


def main() -> None:
    run = Run.open(sys.argv[1])
    sites = [Site.parse(address) for address in sys.argv[2:]]
    generator = load_generator(run.folder / "train", torch.device("cpu")).eval()
    console = Console(width=120)
    with console.status("reading every input of the prior"):
        world = World(run, sites)
    console.print(
        f"{len(world.inputs)} inputs, {1 / world.seconds_a_token:.0f} tokens/s, {TARGETS} targets, {REPEATS} repeats"
    )
    for site in sites:
        for h in run.config.sample.bandwidths:
            table = Table(
                "method", "ESS", "read a target", "seconds", "ESS/s", f"/ {BASELINE}", title=f"{site}, h = {h:g}"
            )
            rows = {name: _measure(world, run, generator, site, h, method) for name, method in methods(h).items()}
            base = rows[BASELINE][0] / rows[BASELINE][2]
            for name, (size, read, seconds) in rows.items():
                table.add_row(name, *(f"{x:.2f}" for x in (size, read, seconds, size / seconds, size / seconds / base)))
            console.print(table)


def _measure(
    world: World, run: Run, generator: Generator, site: Site, h: float, method: Method
) -> tuple[float, float, float]:
    """Effective sample size, distinct inputs read for a target, seconds for all targets."""
    questions = [Question(world, run, generator, site, h, seed) for seed in range(REPEATS)]
    exact = questions[0].exact
    errors = np.mean([(method(question) - exact) ** 2 for question in questions], 0)
    read = np.mean([len(question.read) for question in questions]) / TARGETS
    seconds = np.mean([question.seconds + question.tokens * world.seconds_a_token for question in questions])
    return float((exact * (1 - exact)).sum() / errors.sum()), float(read), float(seconds)


def _tokens(subject: Subject, inputs: Sequence[Tokens]) -> int:
    """Tokens that go through the subject when these inputs are read together."""
    return sum(batch.tokens.numel() for batch in batches(inputs, subject.batch_tokens, share=True))


if __name__ == "__main__":
    main()
