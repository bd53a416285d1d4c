"""Effects of other activations at a site: the effect of each kind of donor, sufficiency and necessity.

Arithmetic on records; knows no subject. Records: `records.causal`. Undefined is NaN here, null there.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from jaxtyping import Float
from numpy import ndarray

from inversescope import records
from inversescope.records.levels import Level
from inversescope.sites import Site
from inversescope.stats import intervals, resampling
from inversescope.stats.intervals import UNDEFINED, Estimate
from inversescope.verdicts import MOVES, MOVES_TIMES, NOTHING

# Whose activation takes the place of the source's: its own, for the rounding; of a random input; of one with the same
# label, or another; of one that agrees in every feature.
OWN, RANDOM, SAME, OTHER, EQUAL = "own", "random", "same", "other", "equal"
PAIRS = "minimal pairs"  # donors that differ from the source in one feature alone, or in none

_KINDS = (SAME, OTHER, RANDOM)
_RATIOS = ("sufficiency", "necessity", *(f"kept_{kind}" for kind in _KINDS))
Run = Mapping[str, Any]


def effects(
    runs: Sequence[Run],
    sites: Mapping[Site, str | None],
    features: Mapping[Site, Sequence[str]],
    levels: Mapping[Site, Level],
    seed: int,
    continuation: str | None = None,
) -> pa.Table:
    """One row for each of the sites (with the reason why it cannot be set, if so) and each of its features.

    Args:
        levels: of the donors, by site.
        continuation: behind which the next token is compared; None: right behind the input.
    """
    of_site: defaultdict[str, list[Run]] = defaultdict(list)
    for run in runs:
        of_site[run["site"]].append(run)
    rows = [
        {
            **{"site": str(site), "point": site.series, "layer": site.layer, "head": site.head},
            **{f"donor_{name}": value for name, value in levels[site].columns.items()},
            **{"feature": feature, "continuation": continuation},
            **_Compared(of_site[str(site)], feature).record(unsettable, seed),
        }
        for site, unsettable in sites.items()
        for feature in features[site]
    ]
    return records.causal.EFFECTS.of(rows)


class _Compared:
    """The runs of one site and feature: of each kind of donor, one number for each target that has all kinds."""

    def __init__(self, runs: Sequence[Run], feature: str):
        kinds: dict[str, dict[int, Run]] = {kind: {} for kind in (OWN, *_KINDS, EQUAL)}
        for run in runs:
            if run["feature"] in (None, feature):
                kinds[run["kind"]][run["target"]] = run
        self.matched = any(run["drawn_from"] == PAIRS for run in kinds[OTHER].values())
        # Compared with another label: of a minimal pair, inputs that agree in everything; else those of the same label.
        self._base = SAME if not self.matched else EQUAL if kinds[EQUAL] else OWN
        if self._base != EQUAL:
            del kinds[EQUAL]
        targets = sorted(set.intersection(*(set(by_target) for by_target in kinds.values())))
        self._runs = {kind: [by_target[target] for target in targets] for kind, by_target in kinds.items()}
        self.targets = len(targets)

    def record(self, unsettable: str | None, seed: int) -> dict[str, Any]:
        """The columns that are measured."""
        kl = {kind: self._numbers(kind, "kl") for kind in self._runs}
        reason = unsettable or self._nothing(kl)
        ratios = dict.fromkeys(_RATIOS, UNDEFINED) if reason else dict(self._ratios(kl, seed))
        means = {f"kl_{kind}": intervals.mean(kl[kind], 0) for kind in _KINDS}
        means["effect"] = intervals.mean(kl[OTHER] - kl[self._base])
        return {
            "targets": self.targets,
            "matched": self.targets if self.matched else 0,
            "from_pool": sum(run["drawn_from"] == "pool" for run in self._runs[OTHER]),
            **{
                column: value
                for name, estimate in (ratios | means).items()
                for column, value in intervals.fields(name, estimate).items()
            },
            "kl_own": _mean(kl[OWN]),
            **{f"distance_{kind}": _mean(self._numbers(kind, "distance")) for kind in _KINDS},
            "reason": reason,
        }

    def _nothing(self, kl: Mapping[str, Float[ndarray, " targets"]]) -> str | None:
        """Reason for no effect to be divided up; None if there is one."""
        if not self.targets:
            return "no target has donors of its label and of another"
        if kl[RANDOM].mean() <= max(MOVES, MOVES_TIMES * kl[OWN].mean()):
            return NOTHING
        return None

    def _ratios(self, kl: Mapping[str, Float[ndarray, " targets"]], seed: int) -> Iterator[tuple[str, Estimate]]:
        """Sufficiency and necessity, and how much of the logit difference is kept with donors of each kind."""
        yield "sufficiency", resampling.ratio(kl[RANDOM] - kl[SAME], kl[RANDOM], seed)
        yield "necessity", resampling.ratio(kl[OTHER] - kl[self._base], kl[RANDOM], seed)
        undisturbed = self._numbers(OWN, "undisturbed")
        for kind in _KINDS:
            yield f"kept_{kind}", resampling.ratio(self._numbers(kind, "logit_difference"), undisturbed, seed)

    def _numbers(self, kind: str, name: str) -> Float[ndarray, " targets"]:
        return np.array([run[name] for run in self._runs[kind]], dtype=float)


def _mean(values: Float[ndarray, " targets"]) -> float | None:
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if len(defined) else None
