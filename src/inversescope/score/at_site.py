"""The rows of every table of the step `score` at one site: a unit of the step.

A method is a set of weighted inputs for each target, and all methods are scored alike. Dimensions: `targets`, `n`
inputs of one target, `pool` inputs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Float
from numpy import ndarray
from safetensors import safe_open

from inversescope import files, records
from inversescope.cluster import Unit
from inversescope.collect.inputs import INPUTS, KnownInputs, read_inputs, read_known, read_noise_floor
from inversescope.progress import Progress
from inversescope.records.levels import Levels, read_levels
from inversescope.score.by_distance import by_distance
from inversescope.score.diagnostics import diagnostics, histogram, of_targets, worst_targets
from inversescope.score.feature import FeatureScore
from inversescope.score.labelled_feature import Feature, read_features
from inversescope.score.methods_and_controls import (
    NOT_LOOKED_AT,
    AmongOthers,
    WeightedInputs,
    from_another_site,
    from_draws,
    from_edits,
    from_pool,
    without_condition,
    wrong_sites,
)
from inversescope.score.null_feature import classes, with_null_feature
from inversescope.score.pool import Known, SitePool
from inversescope.score.quality import Quality
from inversescope.score.same_ending import SameEnding, read_bits
from inversescope.score.sources import Sources
from inversescope.sites import Site
from inversescope.stats import intervals, resampling
from inversescope.stats.intervals import Estimate, defined, fields
from inversescope.stats.kernel import Kernel
from inversescope.streams import Stream
from inversescope.verdicts import NULL_FEATURE, decisive
from inversescope.verdicts.scores import COUNTING, FAILING

Rows = list[dict[str, Any]]


class Scorer:
    """Does units of the step: a site. It reads the inputs and samples of the run once."""

    def __init__(self, run: Path, kernel: Kernel, seed: int):
        self.run, self.kernel, self.seed = run, kernel, seed
        self.levels, self.calibration, self.bits = read_levels(run), read_calibration(run), read_bits(run)
        self.compared, self.floors = with_reference(self.levels), read_noise_floor(run / "collect")
        self._read_inputs()
        generated, self.edited = (_by_site(self.samples, method) for method in ("generator", "edits"))
        self.generated, self.wrong = generated, wrong_sites(list(generated))
        self.free = self.samples.filter(pc.field("method") == "no condition")

    def _read_inputs(self) -> None:
        """The inputs, the samples, their features, and what compares them by their tokens."""
        run, seed = self.run, self.seed
        inputs = files.read_table(run / "collect" / "inputs.parquet")
        samples = files.read_table(run / "verify" / "samples.parquet")
        pool, train, target = (read_inputs(run / "collect" / INPUTS, split) for split in ("pool", "train", "target"))
        self.exact, self.probability, self.known = pool.exact, pool.probability, read_known(run)
        self.sources = Sources.of(inputs, pool, self.known)
        features = read_features(inputs, samples, self.probability, known=self.known)
        count = classes(feature.prior for feature in features)
        inputs, self.samples = (with_null_feature(table, count, seed) for table in (inputs, samples))
        null = read_features(inputs, self.samples, self.probability, [NULL_FEATURE], self.known)
        self.features = features + null
        known, others, shares = self.known, [], self.probability
        if known is not None:
            others = [tuple(x) for x in inputs["tokens"].take(known.places(inputs)).to_pylist()]
            shares = known.shares
        self.quality = Quality([*pool.tokens, *others], train.tokens, seed)
        self.endings = SameEnding.of(target.tokens, [*pool.tokens, *others], shares, self.sources.own)

    def __call__(self, unit: Unit, _: Progress, /) -> Path:
        (name,) = unit.arguments
        path = self.run / "score" / unit.file
        files.write_json(path, self._tables(Site.parse(name)), indent=None)
        return path

    def _tables(self, site: Site) -> dict[str, Rows]:
        """The rows of every table at a site, but for what depends on those of all sites."""
        bandwidths = [level.bandwidth for level in self.levels[site]]
        around = self._pool(site, bandwidths)
        methods = [*from_pool(site, around, self.features, self.sources.own)]
        methods += self.endings.at_levels(site, self.bits.get(site, {}), self.features)
        drawn = self._of_draws(site, around) if site in self.generated else {}
        if site in self.generated:
            methods += from_draws(site, self.generated[site], bandwidths, self.features, self.seed)
            methods.append(without_condition(site, self.free, self.features))
            methods += from_edits(site, self.edited[site], bandwidths, self.features, self.kernel)
        if site in self.wrong:
            wrong, levels = self.wrong[site], self.levels
            methods += from_another_site(site, self.generated[wrong], levels[site], levels[wrong], self.features)
        floor, mass = self.floors[str(site)], self.sources.mass
        of_features = (_rows(feature, methods, self.compared, self.seed, floor, mass) for feature in self.features)
        results = [row for rows in of_features for row in rows]
        return {
            "results": results,
            **drawn,
            "by_distance": list(by_distance(site, around, self.features, self.sources.own)),
        }

    def _of_draws(self, site: Site, around: SitePool) -> dict[str, Rows]:
        """The rows about the generator's draws at a site."""
        drawn, edits, floor = self.generated[site], self.edited[site], self.floors[str(site)]
        by_target = list(of_targets(site, drawn))
        return {
            "targets": by_target,
            "diagnostics": list(diagnostics(site, drawn, edits, around, by_target, floor)),
            "distances": list(histogram(site, drawn, around)),
            "quality": list(self.quality.rows(site, drawn, around)),
            "worst_targets": list(worst_targets(site, drawn, around, _failing(self.calibration, site))),
        }

    def _pool(self, site: Site, bandwidths: Sequence[float]) -> SitePool:
        """The reference at a site."""
        with safe_open(files.verified(self.run / "reference" / _DISTANCES), "numpy") as tensors:
            distances = tensors.get_tensor(str(site))
        known = _known(self.run, site, self.known)
        return SitePool.of(distances, self.probability, self.exact, bandwidths, self.kernel, known)


_DISTANCES = "distances.safetensors"


def scored_sites(run: Path) -> list[Site]:
    """The sites that are scored, in order of depth."""
    with safe_open(files.verified(run / "reference" / _DISTANCES), "numpy") as tensors:
        return sorted(map(Site.parse, tensors.keys()), key=lambda site: site.depth)


def read_calibration(run: Path) -> Rows:
    """The rows of the calibration."""
    return files.read_table(run / "calibrate" / "calibration.parquet").to_pylist()


def with_reference(levels: Levels) -> str:
    """The method that is compared with the reference: draws of another channel than the run's are so by weight."""
    proposed = any(level.channel is not None for of_site in levels.values() for level in of_site)
    return "weighted" if proposed else "generator"


def _known(run: Path, site: Site, known: KnownInputs | None) -> Known | None:
    """The known inputs beside the pool of a site; None where they were not read there."""
    if known is None:
        return None
    with safe_open(files.verified(run / records.collect.KNOWN_DISTANCES.path), "numpy") as tensors:
        if str(site) not in tensors.keys():  # noqa: SIM118 - no container
            return None
        return Known(tensors.get_tensor(str(site)), known)


def _failing(calibration: list[dict[str, Any]], site: Site) -> dict[float, str]:
    """The calibration's reason not to trust the generator for clean targets, at each bandwidth that has one."""
    return {
        row["bandwidth"]: f"{row['verdict']}: {row['reason']}"
        for row in calibration
        if row["site"] == str(site) and row["query"] == "clean" and row["verdict"] in FAILING
    }


def _by_site(samples: pa.Table, method: str) -> dict[Site, pa.Table]:
    """One method's samples at each site."""
    of_method = samples.filter(pc.field("method") == method)
    return {
        Site.parse(name): of_method.filter(pc.field("site") == name) for name in of_method["site"].unique().to_pylist()
    }


def _rows(
    feature: Feature,
    methods: Sequence[WeightedInputs],
    compared: str,
    seed: int,
    noise_floor: float,
    of_sources: Float[ndarray, " targets"],
) -> Iterator[dict[str, Any]]:
    """One row for each method and bandwidth of a site; the method `compared` is compared with the reference.
    `of_sources`: the prior's share of each target's source.
    """
    scores = {(item.method, item.bandwidth): item.score(feature) for item in methods}
    for item in methods:
        scored = scores[item.method, item.bandwidth]
        others = item.score_others(feature, of_sources) if item.method in COUNTING else NOT_LOOKED_AT
        row = {
            "method": item.method,
            "site": str(item.site),
            "point": item.site.series,
            "layer": item.site.layer,
            "head": item.site.head,
            "feature": feature.name,
            "bandwidth": item.bandwidth,
            "below_noise": None if item.bandwidth is None else item.bandwidth < noise_floor,
            "targets": scored.targets,
            "collapsed": scored.collapsed,
            "samples": item.samples,
            "undecided": item.undecided(feature.name),
            "unverified": item.unverified,
            **fields("fcr", scored.fcr),
            "chance": defined(scored.mean_chance),
            **fields("corrected", scored.corrected),
            **fields("bits", scored.bits),
            **fields("others", others.corrected),
            "others_targets": others.targets if item.method in COUNTING else None,
            "source_weight": defined(item.source_share) if item.method in COUNTING else None,
            "ess": defined(float(np.median(item.sizes))),
            "ending": item.ending,
            **fields("gap", _gap(item, scores, compared)),
        }
        yield row | {"p_value": _shuffle_test(row, feature, scored, others, seed)}


def _gap(item: WeightedInputs, scores: Mapping[tuple[str, float | None], FeatureScore], compared: str) -> Estimate:
    """The calibration gap: the generator's draws minus the reference, over the targets where both are defined."""
    if item.method != compared:
        return intervals.UNDEFINED
    own, reference = (scores[method, item.bandwidth].consistency for method in (compared, "reference"))
    return intervals.paired(own, reference)


def _shuffle_test(
    row: Mapping[str, Any], feature: Feature, scored: FeatureScore, others: AmongOthers, seed: int
) -> float | None:
    """p of a method's own samples against those of shuffled targets, among the inputs of the score that decides; the
    names of the row seed the breaking of ties. None for controls, and for the null feature, which is no hypothesis.
    """
    if row["method"] not in COUNTING or feature.name == NULL_FEATURE:
        return None
    shares = others.shares if decisive(row) == "others" else scored.shares
    rng = Stream.ROWS.rng(seed, *f"{row['method']} {row['site']} {feature.name} {row['bandwidth']}".encode())
    return defined(resampling.shuffle_test(scored.shares if shares is None else shares, feature.targets, seed, rng))
