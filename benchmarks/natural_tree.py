"""Draws of natural text against the exact posterior, on a prior of the subject's own text that can be listed.

python benchmarks/natural_tree.py [--model M] [--layers 15] [--length 5] [--top 8] [--targets 4] [--proposals 2000]

The prior: at each of 5 places the 8 likeliest tokens of the subject, 32,768 inputs, all of them read. Compared: ln Z,
total variation of each place's tokens, shares of some features, and the verdict.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import torch

from inversescope.natural_text import pool
from inversescope.natural_text.natural_text import NaturalText
from inversescope.natural_text.posterior import EnumerablePosterior
from inversescope.natural_text.prior import Prior
from inversescope.natural_text.readings import prefix_key_values
from inversescope.subject import Subject
from inversescope.subject.continuing import ROWS, Continuing, KeyValues

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
        for rows in torch.arange(len(tokens)).split(ROWS):
            before = None if past is None else past.rows(parent[rows], past.tokens)
            read = reader.read(tokens[rows, -1:], before, whole=True)
            assert read.hidden is not None and read.key_values is not None
            parts.append(read.key_values)
            nexts.append(text.words.next_and_normaliser(read.hidden[:, -1])[0].topk(text.prior.top or 1, dim=-1))
        past = KeyValues.joined(parts)
        values, indices = (torch.cat([getattr(best, name) for best in nexts]) for name in ("values", "indices"))
        width = values.shape[1]
        log_p = (log_p[:, None] + values).flatten()
        tokens = torch.cat([tokens.repeat_interleave(width, 0), indices.flatten()[:, None]], 1)
        parent = torch.arange(len(past)).repeat_interleave(width)
    assert past is not None
    found: dict[str, list[torch.Tensor]] = {str(site): [] for site in reader.sites}
    for rows in torch.arange(len(tokens)).split(ROWS):
        read = reader.read(tokens[rows, -1:], past.rows(parent[rows], past.tokens, reader.layers), last=True)
        for site in reader.sites:
            found[str(site)].append(read.activations[site][:, 0])
    return tokens, log_p, {site: torch.cat(parts) for site, parts in found.items()}


def marginal(tokens: np.ndarray, weights: np.ndarray, vocabulary: int) -> np.ndarray:
    return np.bincount(tokens, weights, minlength=vocabulary)


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
    vocabulary = len(text.words.first)
    rng = torch.Generator().manual_seed(11)
    targets = torch.multinomial(log_p.exp(), options.targets, generator=rng).tolist()
    for site in sites:
        data = text.sites[subject.sites([site])[0]]
        table = data.units.standardize(activations[site])
        for row in targets:
            start = time.process_time()
            question = text.question(activations[site][row], site)
            weighted = text.weighted(question, inputs[row].tolist(), options.proposals)
            seconds = time.process_time() - start
            distance = ((table - table[row]) ** 2).sum(1).div(data.units.dimension).sqrt()
            truth = EnumerablePosterior(inputs, log_p, distance, vocabulary)
            for bits in map(float, options.bits.split(",")):
                estimate = weighted.at_bits(bits)
                chance = truth.exact(estimate.bandwidth).numpy()
                rows = np.array(weighted.rows)
                gaps = [
                    0.5
                    * np.abs(
                        marginal(rows[:, k], estimate.weights, vocabulary)
                        - marginal(inputs[:, k].numpy(), chance, vocabulary)
                    ).sum()
                    for k in range(options.length)
                ]
                last2 = [
                    float(weights @ (tokens[:, -2:] == inputs[row, -2:].numpy()).all(1))
                    for tokens, weights in ((rows, estimate.weights), (inputs.numpy(), chance))
                ]
                exact_z = truth.log_normaliser(estimate.bandwidth)
                print(
                    f"{site} {seconds:.0f} s {bits:g} bits: h {estimate.bandwidth:.3f} ln Z {estimate.log_z:.2f} exact "
                    f"{exact_z:.2f} size {estimate.size:.0f} spread {estimate.spread:.2f} TV "
                    f"{' '.join(f'{gap:.3f}' for gap in gaps)} last two {last2[0]:.3f} exact {last2[1]:.3f} "
                    f"{'believed' if estimate.belief else 'NOT'} {subject.show(inputs[row].tolist())!r}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
