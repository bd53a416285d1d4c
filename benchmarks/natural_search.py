"""Searches on natural text against the nearest stored input of a pool of equal cost, over kinds of text.

    python benchmarks/natural_search.py [--domains prose,own,...] [--layers 2,8,15,22,29] [--length 16]
        [--targets 16] [--tokens 7000] [--best 0] [--processes 1] [--device cpu] [--out FILE.jsonl]
    python benchmarks/natural_search.py --tables FILE.jsonl

For each target: the answer `nearest` after so many tokens, beside the nearest of 1, 4, 16 times as many stored ones
(`natural_domains.py` names them; `stored` are windows of documents of Python, or the pool's own draws for the domain
`own`), with the ratio of the means and the share of targets at which the search is nearer, each with its interval
over targets. With `--best N` also the answer `best` at h = 0.1 after N tokens: nats by which it lies below the source's
own ln P(x) − δ²/2h², and the share of targets within 10. Seconds are processor time, a target at a site.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from natural_domains import Domain, domains  # pyright: ignore[reportMissingImports]
from natural_jobs import OfTarget, Row, add_options, done, kept, opened, read  # pyright: ignore[reportMissingImports]

from inversescope import files
from inversescope.natural_text import searching
from inversescope.natural_text.budget import Budget
from inversescope.natural_text.evaluation.stored import Stored, pools
from inversescope.natural_text.evaluation.summary import comparison
from inversescope.natural_text.natural_text import NaturalText
from inversescope.progress import silent
from inversescope.records import text as records
from inversescope.sites import Site

MULTIPLES = (1, 4, 16)
WITHIN = 10.0  # nats of the source


class Searches(OfTarget):
    """Searches for one target at one site."""

    def rows(self, domain: str, target: int, tokens: tuple[int, ...], address: str) -> Iterator[Row]:
        source, options = self.source(tokens, address), self.options
        for kind, budget in (("nearest", options.tokens), ("best", options.best)):
            if not budget:
                continue
            start = time.process_time()
            found = searching.invert(self.text, source, kind, Budget(tokens=budget), seed=target)
            first = found.found[0]
            yield {
                "domain": domain,
                "site": address,
                "target": target,
                "method": kind,
                "distance": first.distance,
                "log_p": first.log_p,
                "short": found.short_of_source,
                "seconds": time.process_time() - start,
                "tokens_read": found.tokens_read,
                "ruler": first.ruler,
                "source": source.name,
                "source_log_p": found.source_log_p,
                "text": first.text,
            }


def retrieved(text: NaturalText, domain: Domain, tokens: int) -> Iterator[Row]:
    """The nearest stored positions of every target at every site."""
    subject, sites = text.subject, list(text.sites)
    rows = [(*subject.prefix, *target) for target in domain.targets]
    read = subject.capture(rows, sites).activations
    units = {site: text.sites[site].units for site in sites}
    targets: dict[Site, torch.Tensor] = {site: units[site].standardize(read[site].float()) for site in sites}
    positions = sum(len(window) - len(subject.prefix) for window in domain.stored)
    sizes = {multiple: multiple * tokens for multiple in MULTIPLES if multiple * tokens <= positions}
    sizes = sizes or {1: min(tokens, positions)}
    stored = Stored(subject, units, targets, domain.targets, domain.stored, sizes)
    found: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        for unit in stored.units_of_work():
            _, first, last, multiple = unit.arguments
            found += files.read_json(stored.do(Path(folder) / unit.file, first, last, multiple, silent))["methods"]
    for row in pools(found, list(sizes)):
        yield {"domain": domain.name, **{name: row[name] for name in ("site", "target", "method", "distance", "text")}}


def shown(rows: list[Row]) -> None:
    """The comparison of every domain and site, and a few inputs."""
    compared = [{**row, "site": f"{row['domain']} {row['site']}", "log_p": row.get("log_p")} for row in rows]
    for row in comparison(compared, 0):
        line = f"{row['site']:24} {row['method']:12} n {row['targets']:3d} δ {row['distance']:.3f}"
        if row["ratio"] is not None:
            line += f"  nearest/this {_interval(row, 'ratio')}  nearer {_interval(row, 'wins')}"
        print(line)
    groups: defaultdict[tuple[str, str, str], list[Row]] = defaultdict(list)
    for row in rows:
        if "seconds" in row:
            groups[row["domain"], row["site"], row["method"]].append(row)
    for (domain, site, method), own in groups.items():
        seconds, read, log_p = (np.mean([row[name] for row in own]) for name in ("seconds", "tokens_read", "log_p"))
        line = f"{domain} {site} {method}: {seconds:.1f} s, {read:.0f} tokens, ln P {log_p:.0f}"
        short = np.array([row["short"] for row in own if row["short"] is not None])
        if method == records.BEST and len(short):
            line += f", nats below the source {np.median(short):.1f} (median), within {WITHIN:g}: "
            line += f"{np.mean(short <= WITHIN):.2f} of {len(short)}"
        print(line)
        for row in own[:2]:
            print(f"    {row['distance']:.2f} ({row['log_p']:.0f}) {row['text']!r} of {row['source']!r}")


def _interval(row: Row, name: str) -> str:
    """With one target there is none."""
    low, high = row[f"{name}_low"], row[f"{name}_high"]
    return f"{row[name]:.2f}" if low is None else f"{row[name]:.2f} [{low:.2f}, {high:.2f}]"


def main() -> None:
    parser = argparse.ArgumentParser()
    add_options(parser)
    parser.add_argument("--domains", default="prose")
    parser.add_argument("--layers", default="2,8,15,22,29")
    parser.add_argument("--targets", type=int, default=16)
    parser.add_argument("--tokens", type=int, default=7000)
    parser.add_argument("--best", type=int, default=0)
    parser.add_argument("--tables", type=Path, help="only the summary of a file that --out has written")
    options = parser.parse_args()
    if options.tables:
        shown(read(options.tables))
        return
    start = time.time()
    text = opened(options)
    print(f"opened in {time.time() - start:.0f} s on {text.subject.device}", flush=True)
    chosen = domains(text, options.domains.split(","), options.targets)
    rows = [row for domain in chosen for row in retrieved(text, domain, options.tokens)]
    kept(rows, options.out)
    print(f"retrieval done after {time.time() - start:.0f} s", flush=True)
    jobs = [
        (domain.name, number, tokens, site)
        for domain in chosen
        for number, tokens in enumerate(domain.targets)
        for site in options.sites
    ]
    del text
    for found in done(Searches, options, jobs):
        rows += found
    shown(rows)
    print(f"{time.time() - start:.0f} s by the clock, {options.processes} processes")


if __name__ == "__main__":
    main()
