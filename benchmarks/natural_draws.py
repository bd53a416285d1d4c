"""Weighted draws of natural text: for how many targets are they to be believed, and what does a target cost?

    python benchmarks/natural_draws.py [--domains own] [--layers 8,15,22] [--length 16] [--targets 32] [--draws 1024]
        [--proposals 2000] [--bits 6,10] [--processes 1] [--device cpu] [--out FILE.jsonl] [--tables FILE.jsonl]

Targets as in `natural_domains.py`; `own` are in the prior's domain: held-out draws of the subject's own text. `--draws`
is the size of the pool. Seconds are processor time of one thread, loading and collecting apart. For every target and
number of bits: h, effective sample size, ln Z by the length of the end, the verdict, and the most bits that are to be
believed; for every layer the share of targets that are to be believed, with its interval.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from natural_domains import domains  # pyright: ignore[reportMissingImports]
from natural_jobs import OfTarget, Row, add_options, done, opened, read  # pyright: ignore[reportMissingImports]

from inversescope.stats.intervals import mean

SHORT = 0.5  # bits that an answer may keep less than is wanted: where they jump with h, the wider h is taken
FINEST = np.arange(24.0, 0.0, -0.5)  # bits that are tried, from the most on


class Drawing(OfTarget):
    """Draws for one target at one site."""

    def rows(self, domain: str, target: int, tokens: tuple[int, ...], address: str) -> Iterator[Row]:
        source, options = self.source(tokens, address), self.options
        start = time.process_time()
        weighted = self.text.weighted(source.question, tokens, options.proposals, seed=target)
        seconds = time.process_time() - start
        tried = map(weighted.at_bits, FINEST)
        finest = next((each.bits for each in tried if each.belief), 0.0)
        for bits in map(float, options.bits.split(",")):
            estimate = weighted.at_bits(bits)
            yield {
                "domain": domain,
                "site": address,
                "target": target,
                "source": source.name,
                "bits": bits,
                "bandwidth": estimate.bandwidth,
                "size": estimate.size,
                "spread": estimate.spread,
                "by_end": {str(end): [z, estimate.sizes[end]] for end, z in estimate.by_end.items()},
                "kept": estimate.bits,
                "believed": bool(estimate.belief) and estimate.bits > bits - SHORT,
                "against": list(estimate.belief.against),
                "finest": float(finest),
                "seconds": seconds,
            }


def line(row: Row) -> str:
    by_end = " ".join(f"{z:.1f} ({size:.0f})" for z, size in row["by_end"].values())
    return (
        f"{row['domain']} {row['site']} {row['seconds']:5.1f} s {row['bits']:g} bits: h {row['bandwidth']:.3f} size "
        f"{row['size']:.0f} ln Z by end {by_end} spread {row['spread']:.2f} "
        f"{'believed' if row['believed'] else 'NOT'} (finest {row['finest']:.1f}) | {row['source']!r}"
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
    parser = argparse.ArgumentParser()
    add_options(parser)
    parser.add_argument("--domains", default="own")
    parser.add_argument("--layers", default="8,15,22")
    parser.add_argument("--targets", type=int, default=32)
    parser.add_argument("--proposals", type=int, default=2000)
    parser.add_argument("--bits", default="6,10")
    parser.add_argument("--tables", type=Path, help="only the summary of a file that --out has written")
    options = parser.parse_args()
    if options.tables:
        shown(read(options.tables))
        return
    start = time.time()
    text = opened(options)
    print(f"opened in {time.time() - start:.0f} s on {text.subject.device}; prior: {text.prior}", flush=True)
    for site, data in text.sites.items():
        medians = " ".join(f"{k}:{v:.2f}" for k, v in sorted(data.ruler.medians.items()))
        explained = " ".join(f"{m}:{bridge.explained:.2f}" for m, bridge in data.bridges.items())
        print(f"{site}: ruler {medians}; explained last {data.last.explained:.2f}, with the beginning {explained}")
    jobs = [
        (domain.name, number, tokens, site)
        for domain in domains(text, options.domains.split(","), options.targets)
        for number, tokens in enumerate(domain.targets)
        for site in options.sites
    ]
    del text
    rows: list[Row] = []
    for found in done(Drawing, options, jobs):
        rows += found
        print("\n".join(map(line, found)), flush=True)
    shown(rows)
    print(f"{time.time() - start:.0f} s by the clock, {options.processes} processes")


if __name__ == "__main__":
    main()
