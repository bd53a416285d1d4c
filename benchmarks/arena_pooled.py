"""Several arenas as one: runs of one config with different seeds, whose targets are different and are pooled.

    inversescope arena runs/facts && inversescope arena runs/facts-seed-1
    python benchmarks/arena_pooled.py runs/facts/arena runs/facts-seed-1/arena [--against ours]

Reads the answers of each method, so that an arena that was interrupted counts with the methods that it had done. Prints
Markdown: the share of labels that a method identifies over all targets, its corrected score, the share of each feature,
and the paired difference of the method in question over each other on the targets of both, with p by sign flips.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow.parquet as pq
from numpy import ndarray

from inversescope.arena.measure import by_target, chosen
from inversescope.arena.pairs import sign_flips
from inversescope.arena.record import read
from inversescope.records.arena import ANSWERS
from inversescope.stats import intervals
from inversescope.stats.intervals import Estimate


class Answers(NamedTuple):
    """Answers of a method in one arena: numbers of each target, and of each feature over the targets."""

    hit: ndarray
    share: ndarray
    chance: ndarray
    features: dict[str, float]
    silent: float


def answers(path: Path) -> Answers:
    """The answers that count, from a method's file."""
    table = pq.read_table(path)
    found = read(table, 1 + max(table["target"].to_pylist()))
    counted = [found[question] for question in chosen(found).values()]
    names = [question.feature for question in chosen(found).values()]
    hit, share, chance = (by_target(counted, name) for name in ("hit", "share", "chance"))
    by_feature = {
        feature: float(np.mean([np.nanmean(a.hit) for a, own in zip(counted, names, strict=True) if own == feature]))
        for feature in sorted(set(names))
    }
    silent = sum((a.silent & a.labelled).sum() for a in counted) / sum(a.labelled.sum() for a in counted)
    return Answers(hit, share, chance, by_feature, float(silent))


def shown(estimate: Estimate) -> str:
    """An estimate with its interval."""
    return f"{estimate.value:.2f} [{estimate.low:.2f}, {estimate.high:.2f}]"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("arenas", nargs="+", type=Path)
    parser.add_argument("--against", default="ours")
    options = parser.parse_args()
    found = {
        (path.parent.name, arena): answers(path)
        for arena in options.arenas
        for path in sorted(arena.glob(f"*/{ANSWERS.name}"))
    }
    methods = list(dict.fromkeys(method for method, _ in found))
    features = sorted({feature for each in found.values() for feature in each.features})
    head = ["method", "identified", "corrected", *features, "silent", f"{options.against} minus it", "p", "targets"]
    print(f"| {' | '.join(head)} |\n|{'---|' * len(head)}")
    for method in methods:
        own = {arena: found[method, arena] for arena in options.arenas if (method, arena) in found}
        other = {arena: found[options.against, arena] for arena in own if (options.against, arena) in found}
        joined = [np.concatenate([getattr(each, name) for each in own.values()]) for name in ("hit", "share", "chance")]
        row = [shown(intervals.mean(joined[0], 0, 1)), shown(intervals.corrected(joined[1], joined[2]))]
        row += [f"{np.mean([each.features.get(name, np.nan) for each in own.values()]):.2f}" for name in features]
        row.append(f"{np.mean([each.silent for each in own.values()]):.0%}")
        if other and method != options.against:
            gap = np.concatenate([other[arena].hit - own[arena].hit for arena in other])
            row += [
                shown(intervals.mean(gap, -1, 1)),
                f"{sign_flips(gap[None], 0)[0]:.4f}",
                str((~np.isnan(gap)).sum()),
            ]
        else:
            row += ["–", "–", str((~np.isnan(joined[0])).sum())]
        print(f"| {method} | {' | '.join(row)} |")


if __name__ == "__main__":
    main()
