"""Weighted draws of natural text: for how many targets are they to be believed, and what does a target cost?

    python benchmarks/natural_draws.py [--domains own] [--layers 8,15,22] [--length 16] [--targets 32] [--draws 1024]
        [--proposals 2000] [--bits 6,10] [--processes 1] [--device cpu] [--out FILE.json]

Targets as in `natural_domains.py`; `own` are in the prior's domain: held-out draws of the subject's own text. `--draws`
is the size of the pool. Seconds are processor time of one thread, loading and collecting apart. For every target and
number of bits: h, effective sample size, ln Z by the length of the end, the verdict, and the most bits that are to be
believed; for every layer the share of targets that are to be believed, with its interval.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from natural_domains import domains  # pyright: ignore[reportMissingImports]

from inversescope.natural_text.natural_text import NaturalText
from inversescope.stats.intervals import mean
from inversescope.subject import Subject

FINEST = np.arange(24.0, 0.0, -0.5)  # bits that are tried, from the most on
Row = dict[str, Any]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--domains", default="own")
    parser.add_argument("--layers", default="8,15,22")
    parser.add_argument("--length", type=int, default=16)
    parser.add_argument("--targets", type=int, default=32)
    parser.add_argument("--draws", type=int, default=1024)
    parser.add_argument("--proposals", type=int, default=2000)
    parser.add_argument("--bits", default="6,10")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    options.sites = [f"resid_post.{layer}" for layer in options.layers.split(",")]
    options.bits = [float(bits) for bits in options.bits.split(",")]
    return options


def opened(options: argparse.Namespace) -> NaturalText:
    """One thread for each process."""
    torch.set_num_threads(1)
    subject = Subject.load(options.model, device=options.device)
    return NaturalText.open(subject, sites=options.sites, length=options.length, draws=options.draws)


class Drawing:
    """Draws for one target at one site; one for each process."""

    current: Drawing

    def __init__(self, options: argparse.Namespace) -> None:
        self.options, self.text = options, opened(options)

    @classmethod
    def start(cls, options: argparse.Namespace) -> None:
        cls.current = cls(options)

    @classmethod
    def do(cls, job: tuple[str, int, tuple[int, ...], str]) -> list[Row]:
        return list(cls.current.rows(*job))

    def rows(self, domain: str, target: int, tokens: tuple[int, ...], address: str) -> Iterator[Row]:
        text, options = self.text, self.options
        (site,) = text.subject.sites([address])
        activation = text.subject.capture([(*text.subject.prefix, *tokens)], [site]).activations[site][0]
        start = time.process_time()
        weighted = text.weighted(text.question(activation, site), tokens, options.proposals, seed=target)
        seconds = time.process_time() - start
        finest = next((bits for bits in FINEST if weighted.at_bits(bits).belief), 0.0)
        for bits in options.bits:
            estimate = weighted.at_bits(bits)
            yield {
                "domain": domain,
                "site": address,
                "target": target,
                "source": text.subject.show(tokens),
                "bits": bits,
                "bandwidth": estimate.bandwidth,
                "size": estimate.size,
                "spread": estimate.spread,
                "by_end": {str(end): [z, estimate.sizes[end]] for end, z in estimate.by_end.items()},
                "believed": bool(estimate.belief),
                "against": list(estimate.belief.against),
                "finest": float(finest),
                "seconds": seconds,
            }


def line(row: Row) -> str:
    by_end = " ".join(f"{z:.1f} ({size:.0f})" for z, size in row["by_end"].values())
    return (
        f"{row['domain']} {row['site']} {row['seconds']:5.1f} s {row['bits']:g} bits: h {row['bandwidth']:.3f} size "
        f"{row['size']:.0f} ln Z by end {by_end} spread {row['spread']:.2f} "
        f"{'believed' if row['believed'] else 'NOT'} (finest {row['finest']:g}) | {row['source']!r}"
    )


def shown(rows: list[Row]) -> None:
    """Share of targets that are to be believed, by domain, site and bits, and what speaks against the others."""
    for domain, site, bits in dict.fromkeys((row["domain"], row["site"], row["bits"]) for row in rows):
        own = [row for row in rows if (row["domain"], row["site"], row["bits"]) == (domain, site, bits)]
        share = mean(np.array([float(row["believed"]) for row in own]), 0, 1)
        against = Counter(reason.split(" is ")[0].split(" differs")[0][:40] for row in own for reason in row["against"])
        print(
            f"{domain} {site} {bits:g} bits: believed {share.value:.2f} [{share.low:.2f}, {share.high:.2f}] of "
            f"{len(own)}, {np.mean([row['seconds'] for row in own]):.1f} s a target, finest believed "
            f"{np.median([row['finest'] for row in own]):g} bits (median); against: {dict(against)}"
        )


def main() -> None:
    options = arguments()
    start = time.time()
    text = opened(options)  # what is read once for all is in the cache, before other processes need it
    print(f"opened in {time.time() - start:.0f} s on {text.subject.device}; prior: {text.prior}", flush=True)
    for site, data in text.sites.items():
        medians = " ".join(f"{k}:{v:.2f}" for k, v in sorted(data.ruler.medians.items()))
        explained = " ".join(f"{m}:{bridge.explained:.2f}" for m, bridge in data.bridges.items())
        print(f"{site}: ruler {medians}; explained last {data.last.explained:.2f}, with the beginning {explained}")
    jobs = [
        (domain.name, number, tokens, site)
        for domain in domains(text, options.domains.split(","), options.targets)
        for site in options.sites
        for number, tokens in enumerate(domain.targets)
    ]
    rows: list[Row] = []

    def add(found: list[Row]) -> None:
        rows.extend(found)
        print("\n".join(map(line, found)), flush=True)

    if options.processes > 1:
        context = multiprocessing.get_context("spawn")
        with context.Pool(options.processes, Drawing.start, (options,)) as workers:
            for found in workers.imap_unordered(Drawing.do, jobs, chunksize=1):
                add(found)
    else:
        Drawing.start(options)
        for job in jobs:
            add(Drawing.do(job))
    shown(rows)
    print(f"{time.time() - start:.0f} s by the clock, {options.processes} processes")
    if options.out:
        options.out.write_text(json.dumps(rows))


if __name__ == "__main__":
    main()
