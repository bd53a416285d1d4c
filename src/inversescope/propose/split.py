"""Split of the targets of a site and bandwidth: some shown, some held out, and inputs of the prior.

A hypothesis is made from the first and scored on the second; no target is in both. Dimensions: `n` draws of a target.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Float
from numpy import ndarray

from inversescope import files, records
from inversescope.collect.inputs import INPUTS, read_inputs
from inversescope.errors import UserError
from inversescope.records.levels import pick, read_levels
from inversescope.score.feature import without_source
from inversescope.sites import Site
from inversescope.stats.weights import systematic
from inversescope.streams import Stream
from inversescope.verdicts import NO_GENERATOR, NULL_FEATURE

SHOWN = 6  # targets shown at most; at most half of those that have samples
_SAMPLES = ("method", "site", "bandwidth", "target", "text", "verified", "weight", "left_out", "source")


@dataclass(frozen=True)
class Case:
    """A target: its source input, and the verified samples that explain it, with weights of sum one (0 for the source
    itself); `kept`: their weights have not collapsed, and are not the source's alone.
    """

    target: int
    source: str
    texts: list[str]
    weights: Float[ndarray, " n"]
    kept: bool = True


@dataclass(frozen=True)
class HeldOut:
    """Held-out texts and their origin, which no text shows.

    Samples are drawn by weight, so they count alike; the `prior`'s inputs are the distractors.
    """

    targets: list[int]
    sources: list[str]
    samples: list[list[str]]
    prior: list[str]

    @cached_property
    def texts(self) -> list[str]:
        """Every text once, sorted: those of the targets, their samples and the distractors, mixed."""
        return sorted({*self.sources, *self.prior, *(text for drawn in self.samples for text in drawn)})

    @cached_property
    def roles(self) -> dict[str, str]:
        """Role of each text, where it has several the first of `source`, `sample`, `prior`."""
        drawn = dict.fromkeys((text for texts in self.samples for text in texts), "sample")
        return dict.fromkeys(self.prior, "prior") | drawn | dict.fromkeys(self.sources, "source")


@dataclass(frozen=True)
class Split:
    """Targets of a site and bandwidth. `collapsed` targets are left out, because their weights have collapsed;
    `null_passes`: the null feature is above chance here, so that every hypothesis is; None where it was not scored.
    `made_from`: state of the run when it was read.
    """

    site: str
    bandwidth: float
    shown: list[Case]
    held_out: list[Case]
    collapsed: int
    prior: list[str]
    probability: Float[ndarray, " prior"]
    seed: int
    null_passes: bool | None = None
    made_from: Mapping[str, str] = field(default_factory=dict)

    def draw_held_out(self, targets: int, samples: int, prior: int) -> HeldOut:
        """At most so many held-out targets, samples of each, and inputs of the prior; the same at every call."""
        rng = Stream.JUDGED.rng(self.seed)
        count = min(prior, len(self.prior))
        alike = bool(np.ptp(self.probability) == 0)  # draws from the prior: each once; of a whole prior: as they come
        chosen = rng.choice(len(self.prior), count, replace=not alike, p=self.probability)
        cases = self.held_out[:targets]
        drawn = [[case.texts[i] for i in systematic(case.weights, samples, rng)] for case in cases]
        sources = [case.source for case in cases]
        return HeldOut([case.target for case in cases], sources, drawn, [self.prior[i] for i in chosen])

    def examples(self, n: int) -> list[str]:
        """`n` inputs of the prior to be shown beside the samples."""
        rng = Stream.PROPOSAL_EXAMPLES.rng(self.seed)
        return [self.prior[i] for i in rng.choice(len(self.prior), n, p=self.probability)]


def read_split(run: Path, site: str, bandwidth: float | None = None, resolution: float | None = None) -> Split:
    """The split of a verified run. Without a bandwidth or a resolution: the finest at which half of the targets have
    samples that weigh and the null feature is not above chance, or else the coarsest.

    Raises:
        UserError: the run is not verified, was not sampled there, or has too few targets that can be used.
    """
    for step in ("collect", "verify"):
        if not files.finished(run / step):
            problem, remedy = f"step {step} of this run is not done", f"inversescope run CONFIG --out {run} --resume"
            raise UserError(problem, given=run, remedy=remedy)
    made_from = files.states(run, "collect", "verify")
    resolved = files.read_sealed(run / records.run.RESOLVED.path)
    if not resolved["generator"]["sites"]:
        raise UserError(NO_GENERATOR, given=run, remedy="a run with generator.sites")
    if resolution is not None:
        bandwidth = pick(read_levels(run).get(Site.parse(site), []), resolution, bandwidth).bandwidth
    seed = resolved["seed"]
    inputs = files.read_table(run / "collect" / "inputs.parquet", columns=["split", "row", "text", "probability"])
    sources = _of_split(inputs, "target")["text"].to_pylist()
    cases = _cases(
        files.read_table(run / "verify" / "samples.parquet", columns=list(_SAMPLES)), site, bandwidth, sources
    )
    marks = _marks(run, site)
    h, usable = _at(cases, bandwidth, len(sources), marks)
    rng = Stream.PROPOSAL_SPLIT.rng(seed)
    order = [usable[i] for i in rng.permutation(len(usable))]
    shown = min(SHOWN, len(usable) // 2)
    if len(usable) < 4:
        raise UserError(
            "too few targets have samples that weigh to show some and score on others",
            given=f"{len(usable)} of {len(sources)} targets at {site}, h = {h:g}",
            allowed="at least 4",
            remedy="another bandwidth, or a run with more targets (collect.targets) or samples (sample.samples)",
        )
    pool = read_inputs(run / "collect" / INPUTS, "pool")
    return Split(
        site=site,
        bandwidth=h,
        shown=order[:shown],
        held_out=order[shown:],
        collapsed=len(sources) - len(usable),
        prior=pool.texts,
        probability=pool.probability,
        seed=seed,
        null_passes=marks.get(h),
        made_from=made_from,
    )


def _marks(run: Path, site: str) -> dict[float, bool | None]:
    """True for each bandwidth of the site at which the null feature is above chance; empty where it was not scored."""
    if not files.finished(run / "score"):
        return {}
    wanted = (pc.field("method") == "weighted") & (pc.field("feature") == NULL_FEATURE) & (pc.field("site") == site)
    rows = files.read_table(run / records.score.RESULTS.path, filters=wanted).to_pylist()
    return {row["bandwidth"]: row["null_passes"] for row in rows}


def _of_split(inputs: pa.Table, split: str) -> pa.Table:
    return inputs.filter(pc.field("split") == split).sort_by("row")


def _cases(samples: pa.Table, site: str, bandwidth: float | None, sources: list[str]) -> dict[float, list[Case]]:
    """Targets with their verified samples, for each bandwidth at the site or for one."""
    samples = samples.filter(pc.field("method") == "generator")
    sites = set(samples["site"].unique().to_pylist())
    if site not in sites:
        allowed = ", ".join(sorted(sites, key=lambda name: Site.parse(name).depth))
        raise UserError("this run has no samples at this site", given=site, allowed=allowed)
    rows = samples.filter((pc.field("site") == site) & pc.field("verified"))
    groups: defaultdict[float, defaultdict[int, list[dict[str, Any]]]] = defaultdict(lambda: defaultdict(list))
    for row in rows.to_pylist():
        groups[row["bandwidth"]][row["target"]].append(row)
    if bandwidth is not None and bandwidth not in groups:
        allowed = ", ".join(f"{h:g}" for h in sorted(groups))
        raise UserError("this run has no samples at this bandwidth", given=f"{bandwidth:g}", allowed=allowed)
    return {h: [_case(*item, sources) for item in sorted(targets.items())] for h, targets in groups.items()}


def _case(target: int, rows: list[dict[str, Any]], sources: list[str]) -> Case:
    own = np.array([row["source"] for row in rows])
    (weights,), (enough,) = without_source(np.array([[row["weight"] or 0.0 for row in rows]]), own[None])
    total, kept = weights.sum(), rows[0]["left_out"] is None and bool(enough)
    return Case(target, sources[target], [row["text"] for row in rows], weights / total if total > 0 else weights, kept)


def _at(
    cases: dict[float, list[Case]], bandwidth: float | None, targets: int, marks: dict[float, bool | None]
) -> tuple[float, list[Case]]:
    """The bandwidth, and its targets that are not left out."""

    def usable(h: float) -> list[Case]:
        return [case for case in cases[h] if case.kept]

    if bandwidth is None:
        enough = [h for h in sorted(cases) if 2 * len(usable(h)) >= targets and not marks.get(h)]
        bandwidth = enough[0] if enough else max(cases)
    return bandwidth, usable(bandwidth)
