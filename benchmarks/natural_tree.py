"""Draws of natural text against the exact posterior, on a prior of the subject's own text that can be listed.

python benchmarks/natural_tree.py [--model M] [--layers 15] [--length 5] [--top 8] [--targets 4] [--proposals 2000]

The prior: at each of 5 places the 8 likeliest tokens of the subject, 32,768 inputs, all of them read. Compared: ln Z,
total variation of each place's tokens, shares of features (a place has the source's token; the last two have both) and
the coverage of their intervals (Jeffreys', of the effective sample size), and the verdict.
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch

from inversescope.natural_text import pool
from inversescope.natural_text.estimate import Estimate
from inversescope.natural_text.natural_text import NaturalText
from inversescope.natural_text.posterior import EnumerablePosterior
from inversescope.natural_text.prior import Prior
from inversescope.natural_text.readings import prefix_key_values
from inversescope.stats.intervals import jeffreys
from inversescope.subject import Subject
from inversescope.subject.continuing import Continuing, KeyValues

OPENINGS = ("The old man said that",)


@torch.inference_mode()
def listed(text: NaturalText, reader: Continuing) -> tuple[torch.Tensor, torch.Tensor, dict[str, torch.Tensor]]:
    """Every input, ln P, and the activations of each site: a tree, each beginning read once."""
    start = prefix_key_values(text.subject)
    first = text.words.first
    tokens = first.isfinite().nonzero()
    log_p, past, parent = first[tokens[:, 0]], start, torch.zeros(len(tokens), dtype=torch.long)
    for _ in range(1, text.length):
        parts, nexts = [], []
        for rows in torch.arange(len(tokens)).split(reader.rows):
            before = None if past is None else past.rows(parent[rows], past.tokens)
            read = reader.read(tokens[rows, -1:], before, whole=True)
            assert read.hidden is not None and read.key_values is not None
            parts.append(read.key_values)
            nexts.append(text.words.next(read.hidden[:, -1]).cpu().topk(text.prior.top or 1, dim=-1))
        past = KeyValues.joined(parts)
        values, indices = (torch.cat([getattr(best, name) for best in nexts]) for name in ("values", "indices"))
        width = values.shape[1]
        log_p = (log_p[:, None] + values).flatten()
        tokens = torch.cat([tokens.repeat_interleave(width, 0), indices.flatten()[:, None]], 1)
        parent = torch.arange(len(past)).repeat_interleave(width)
    assert past is not None
    found: dict[str, list[torch.Tensor]] = {str(site): [] for site in reader.sites}
    for rows in torch.arange(len(tokens)).split(reader.rows):
        read = reader.read(tokens[rows, -1:], past.rows(parent[rows], past.tokens, reader.layers), last=True)
        for site in reader.sites:
            found[str(site)].append(read.activations[site][:, 0])
    return tokens, log_p, {site: torch.cat(parts) for site, parts in found.items()}


class Compared(NamedTuple):
    """One answer beside the exact posterior.

    Attributes:
        believed: whether the answer is to be believed.
        gap: total variation of each place's tokens, mean over the places.
        alike: the same of as many independent draws of the exact posterior as the effective sample size.
        shares: share of each feature by the draws: a place has the source's token, the last two have both.
        exact: the same by the exact posterior.
        size: effective sample size.
    """

    believed: bool
    gap: float
    alike: float
    shares: np.ndarray
    exact: np.ndarray
    size: float

    @property
    def covered(self) -> np.ndarray:
        """Features whose interval has the exact share."""
        intervals = [jeffreys(min(1.0, float(share)), self.size) for share in self.shares]
        return np.array([i.low <= true <= i.high for i, true in zip(intervals, self.exact, strict=True)])


def _gap(rows: np.ndarray, weights: np.ndarray, inputs: np.ndarray, chance: np.ndarray) -> float:
    size = int(max(rows.max(), inputs.max())) + 1
    gaps = [
        np.abs(np.bincount(rows[:, k], weights, size) - np.bincount(inputs[:, k], chance, size)).sum() / 2
        for k in range(rows.shape[1])
    ]
    return float(np.mean(gaps))


def compare(
    estimate: Estimate, rows: np.ndarray, inputs: np.ndarray, chance: np.ndarray, source: np.ndarray
) -> Compared:
    independent = np.random.default_rng(0).choice(len(chance), max(1, round(estimate.size)), p=chance / chance.sum())
    even = np.full(len(independent), 1 / len(independent))
    gap, alike = _gap(rows, estimate.weights, inputs, chance), _gap(inputs[independent], even, inputs, chance)
    shares, exact = (
        np.array([*(weights @ (tokens == source)), weights @ (tokens[:, -2:] == source[-2:]).all(1)])
        for tokens, weights in ((rows, estimate.weights), (inputs, chance))
    )
    return Compared(bool(estimate.belief), gap, alike, shares, exact, estimate.size)


def summary(name: str, found: Sequence[Compared]) -> str:
    """Means over some answers, each target once."""
    if not found:
        return f"{name}: none"
    off = np.array([np.abs(each.shares - each.exact) for each in found])
    covered = np.array([each.covered for each in found])
    gaps = [each.gap for each in found]
    alike = np.mean([each.alike for each in found])
    return (
        f"{name}: {len(found)}; TV of a place {np.mean(gaps):.3f} (largest {max(gaps):.3f}, of as many independent "
        f"draws {alike:.3f}); shares off by {off.mean():.3f} (largest {off.max():.3f}); intervals cover "
        f"{covered.mean():.3f} of {covered.size}"
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--layers", default="15")
    parser.add_argument("--length", type=int, default=5)
    parser.add_argument("--top", type=int, default=8)
    parser.add_argument("--targets", type=int, default=4)
    parser.add_argument("--proposals", type=int, default=2000)
    parser.add_argument("--draws", type=int, default=1024)
    parser.add_argument("--bits", default="1,2,3,4")
    options = parser.parse_args()
    torch.set_num_threads(1)
    subject = Subject.load(options.model)
    sites = [f"resid_post.{layer}" for layer in options.layers.split(",")]
    prior = Prior(openings=OPENINGS, temperature=1.0, top=options.top)
    pool.STEP = options.length  # draws no longer than needed
    start = time.process_time()
    text = NaturalText.open(subject, sites=sites, length=options.length, prior=prior, draws=options.draws)
    inputs, log_p, activations = listed(text, Continuing(subject, subject.sites(sites)))
    print(
        f"{len(inputs)} inputs listed in {time.process_time() - start:.0f} s; sum of P {float(log_p.exp().sum()):.4f}"
    )
    vocabulary, spent = len(text.words.first), 0.0
    rng = torch.Generator().manual_seed(11)
    targets = torch.multinomial(log_p.exp(), options.targets, generator=rng).tolist()
    found: defaultdict[tuple[str, float], list[Compared]] = defaultdict(list)
    for site in sites:
        data = text.sites[subject.sites([site])[0]]
        table = data.units.standardize(activations[site])
        for row in targets:
            start = time.process_time()
            weighted = text.weighted(
                text.question(activations[site][row], site), inputs[row].tolist(), options.proposals
            )
            spent += time.process_time() - start
            distance = ((table - table[row]) ** 2).sum(1).div(data.units.dimension).sqrt()
            truth = EnumerablePosterior(inputs, log_p, distance, vocabulary)
            for bits in map(float, options.bits.split(",")):
                estimate = weighted.at_bits(bits)
                chance = truth.exact(estimate.bandwidth).numpy()
                one = compare(estimate, np.array(weighted.rows), inputs.numpy(), chance, inputs[row].numpy())
                found[site, bits].append(one)
                print(
                    f"{site} {bits:g} bits: h {estimate.bandwidth:.3f} ln Z {estimate.log_z:.2f} exact "
                    f"{truth.log_normaliser(estimate.bandwidth):.2f} size {estimate.size:.0f} spread "
                    f"{estimate.spread:.2f} TV {one.gap:.3f} last two {one.shares[-1]:.3f} exact {one.exact[-1]:.3f} "
                    f"{'believed' if one.believed else 'NOT'} {subject.show(inputs[row].tolist())!r}",
                    flush=True,
                )
    print(f"{spent / len(sites) / len(targets):.1f} s of processor time a target and site")
    for (site, bits), every in found.items():
        print(summary(f"{site} {bits:g} bits, believed", [one for one in every if one.believed]))
        print(summary(f"{site} {bits:g} bits, not", [one for one in every if not one.believed]))


if __name__ == "__main__":
    main()
