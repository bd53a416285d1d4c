"""Parts of a generator's divergence from the exact posterior: by token, by inputs read or not, and what draws miss.

    inversescope run benchmarks/worlds/counting_prior.toml --out runs/worlds/counting-prior --until collect
    python benchmarks/decomposed.py runs/worlds/counting-prior --share 5000 --sites resid_post.1 [train.steps=1600]

The run has read every input of its prior; the generator is trained on a share of them, or on so many inputs where it is
above 1. Targets are inputs that it was not trained on, if any is left. A line for each site and level, means over
targets:

h, floor      bandwidth; δ of two readings of one input, below which nothing can be told apart
nearest       δ to the nearest other input of the prior, and to the nearest that was trained on; medians
emulator      error δ of the activations that training predicts for inputs that were not read
inputs        effective number of inputs of the exact posterior (median in brackets); its share that was trained on
KL            nats; by token, in the order of the input (chain rule); the part of inputs that were trained on
reads to      error e of a reading, in δ, that alone would cost as much: KL(P at h ‖ P at √(h² + e²)) = KL
lookup        the same divergence with e the distance to the nearest input that was trained on, of each target
covered       exact probability of the distinct inputs among 24 and 192 draws; and of as many exact draws. An answer by
              these inputs with their weights is one minus this from the exact one in total variation
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from enumerated import PartStore, Truth, drawn_rows, levels_of, trained_on, unread
from jaxtyping import Float, Int
from numpy import ndarray
from settings import configured
from torch import Tensor

from inversescope.calibrate.divergence import sample_points
from inversescope.generator import IGNORED, Generator
from inversescope.generator.generator import IncrementalDecoder
from inversescope.generator.vocabulary import BOUNDARY
from inversescope.run.run import Run
from inversescope.sample.sample import draw_from
from inversescope.sites import Site
from inversescope.stats.kernel import Kernel
from inversescope.stats.weights import effective_sample_size
from inversescope.tasks import Tokens
from inversescope.train.emulator import Emulator

DRAWS, POINTS = (24, 192), 64
STEPS, NEGLIGIBLE = 14, 1e-12  # of a bisection; probability that adds nothing to a divergence


def beginnings(rows: Int[Tensor, "prior positions"]) -> list[Int[ndarray, " prior"]]:
    """Number of each input's beginning, up to every position but the boundary before the first token."""
    number, found = np.zeros(len(rows), dtype=np.int64), []
    for column in rows.T[1:].clamp_min(-1).numpy():
        number = np.unique(number * (int(rows.max()) + 2) + column + 1, return_inverse=True)[1]
        found.append(number)
    return found


@torch.inference_mode()
def token_log_q(
    generator: Generator, rows: Int[Tensor, "batch positions"], condition: Float[Tensor, "1 condition"]
) -> Float[ndarray, "batch positions-1"]:
    """ln q of every token after those before it; 0 behind the end."""
    decoder, columns = IncrementalDecoder(generator, condition, len(rows)), []
    for token, following in zip(rows.T[:-1, :, None], rows.T[1:, :, None], strict=True):
        log_q = decoder.next(token.clamp_min(BOUNDARY)).gather(1, following.clamp_min(0))
        columns.append(log_q.where(following != IGNORED, 0))
    return torch.cat(columns, 1).double().numpy()


class Parts:
    """The parts of one site's divergence.

    Args:
        trained: inputs of the prior that were trained on.
        rows: all inputs of the prior, as rows of the generator's vocabulary.
    """

    def __init__(self, generator: Generator, store: PartStore, site: Site, targets: Sequence[int], trained: ndarray):
        self._generator, self._site, self._trained = generator, site, trained
        self._truth = Truth(store, site, targets)
        self._activations = store.activations("pool", site)[list(targets)]
        self._rows = generator.vocabulary.encode(self._truth.pool.tokens)
        self._beginnings = beginnings(self._rows)
        self._number: dict[Tokens | None, int] = {tokens: i for i, tokens in enumerate(self._truth.pool.tokens)}

    def nearest(self) -> tuple[float, float]:
        """δ to the nearest other input, and to the nearest that was trained on; medians over targets."""
        others = np.sort(self._truth.distances, 1)[:, 1]
        return float(np.median(others)), float(np.median(self._truth.distances[:, self._trained].min(1)))

    def at(self, h: float) -> Iterator[str]:
        """Lines about a level."""
        p = self._truth.at(h)
        size = effective_sample_size(p)
        share = p[:, self._trained].sum(1).mean()
        yield f"inputs {size.mean():.1f} ({np.median(size):.1f}), trained on {share:.3f}"
        low, high = self._generator.bandwidths[self._site]
        bandwidths = torch.full((len(p),), min(max(h, low), high))
        with torch.inference_mode():
            condition = self._generator.condition(self._site, self._activations, bandwidths)
        by_token, known = (np.mean(part, 0) for part in zip(*map(self._of_target, p, condition), strict=True))
        kl = float(by_token.sum())
        yield f"KL {kl:.2f}: " + " ".join(f"{value:.2f}" for value in by_token) + f", trained on {known:.2f}"
        lookup = self._cost(h, self._truth.distances[:, self._trained].min(1))
        yield f"reads to {self._reading_error(h, kl):.4f}, lookup {lookup:.2f}"
        drawn = draw_from(self._generator, condition, max(DRAWS), torch.Generator().manual_seed(1))[0]
        places = np.array([self._number.get(tokens, -1) for tokens in drawn]).reshape(len(p), -1)
        rng = np.random.default_rng(1)
        exact = np.array([rng.choice(len(of), max(DRAWS), p=of) for of in p])
        shown = [f"{covered(p, places, n):.3f} (exact {covered(p, exact, n):.3f})" for n in DRAWS]
        yield f"covered by {DRAWS}: " + ", ".join(shown)

    def _reading_error(self, h: float, kl: float) -> float:
        """The error that alone costs as much, by bisection."""
        low, high = h * 1e-2, 30.0
        for _ in range(STEPS):
            middle = (low * high) ** 0.5
            low, high = (middle, high) if self._cost(h, np.full(len(self._activations), middle)) < kl else (low, middle)
        return high

    def _cost(self, h: float, error: Float[ndarray, " targets"]) -> float:
        """KL from the exact posterior to that of a reading with an error for each target, at the likely inputs."""
        p = self._truth.at(h)
        scaled = self._truth.distances / np.hypot(h, error)[:, None]
        wide = Kernel.GAUSSIAN.posterior(scaled, 1.0, self._truth.pool.log_prior)
        likely = p > NEGLIGIBLE
        return float((p[likely] * np.log(p[likely] / wide[likely])).sum() / len(p))

    def _of_target(
        self, p: Float[ndarray, " prior"], condition: Float[Tensor, " condition"]
    ) -> tuple[Float[ndarray, " positions-1"], float]:
        """KL by token, and the part of the inputs that were trained on."""
        index, share = sample_points(p, POINTS, np.random.default_rng(0))
        log_q = token_log_q(self._generator, self._rows[torch.from_numpy(index)], condition[None])
        reached = np.array([np.bincount(number, p)[number[index]] for number in self._beginnings])
        ratio = np.diff(np.log(reached), axis=0, prepend=0).T - log_q
        return share @ ratio, float((share * self._trained[index]) @ ratio.sum(1))


def covered(p: Float[ndarray, "targets prior"], places: Int[ndarray, "targets draws"], n: int) -> float:
    """Exact probability of the distinct inputs among the first n draws, mean over targets; −1 is no input."""
    return float(np.mean([of[sorted({*row[:n].tolist()} - {-1})].sum() for of, row in zip(p, places, strict=True)]))


def predicted(generator: Generator, store: PartStore, sites: Sequence[Site]) -> dict[Site, float]:
    """Error δ of the emulator at each site."""
    order = np.random.default_rng(0).permutation(sorted(set(store.rows)))
    tokens = store.inputs("pool").tokens
    rows = generator.vocabulary.encode([tokens[i] for i in order[:4096]])
    activations = {site: store.activations("pool", site)[order[:4096]] for site in sites}
    fitted = Emulator.of(rows, activations, {site: store.channel(site).units for site in sites})
    return {site: fit.error for site, fit in fitted.sites.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", help="a run of which every input of the prior is collected")
    parser.add_argument("settings", nargs="*", help="changes of its config: section.key=value")
    parser.add_argument("--share", type=float, default=0.2, help="share of the prior that is trained on")
    parser.add_argument("--sites", help="sites, between commas; default: those of the config")
    parser.add_argument("--targets", type=int, default=32, help="number of targets")
    chosen = parser.parse_intermixed_args()
    run = Run.open(chosen.run)
    config = configured(run.config, chosen.settings)
    sites = [Site.parse(site) for site in chosen.sites.split(",")] if chosen.sites else run.sites["train"]
    levels, pool = levels_of(run, config, sites), run.store.inputs("pool")
    store = PartStore(run.folder / "collect", drawn_rows(pool.probability, chosen.share, config.seed))
    trained = np.bincount(store.rows, minlength=len(pool)) > 0
    targets = unread(store, trained, chosen.targets, config.seed)
    generator, seconds, _ = trained_on(store, config, levels, run.task)
    print(f"{trained.sum()} of {len(pool)} inputs, {seconds:.0f} s of training; {' '.join(chosen.settings)}")
    errors = predicted(generator, store, sites)
    for site, bandwidths in levels.items():
        parts = Parts(generator, store, site, targets, trained)
        near, known = parts.nearest()
        print(f"{site}: floor {run.store.noise_floor(site):.5f}, nearest {near:.4f}, trained on {known:.4f}, ", end="")
        print(f"emulator {errors[site]:.4f}")
        for level, h in bandwidths.items():
            print(f"  {level:g}: h {h:.4f}; " + "; ".join(parts.at(h)), flush=True)


if __name__ == "__main__":
    main()
