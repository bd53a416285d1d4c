"""Score every feature as a hypothesis at every site: consistency, chance, bits, intervals, controls, calibration.

A method is a set of weighted inputs for each target, and all methods are scored alike. Dimensions: `targets`, `n`
inputs of one target, `pool` inputs. Records: `records.score`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Float
from numpy import ndarray
from safetensors import safe_open
from safetensors.numpy import load_file

from inversescope import files, records
from inversescope.collect.inputs import INPUTS, KnownInputs, read_inputs, read_known, read_noise_floor
from inversescope.files import RunFolder
from inversescope.progress import Progress
from inversescope.records.levels import Levels, read_levels, resolutions
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
from inversescope.verdicts import NULL_FEATURE, decisive, judged
from inversescope.verdicts.scores import COUNTING, FAILING

_TABLES = tuple(record for record in records.score.SCORE.records if isinstance(record, records.Table))


def score(run: Path, kernel: Kernel, seed: int, progress: Progress) -> None:
    """Write the step's records in the folder `score`: its tables, and `results.json`."""
    inputs = files.read_table(run / "collect" / "inputs.parquet")
    samples = files.read_table(run / "verify" / "samples.parquet")
    distances = {
        Site.parse(name): rows
        for name, rows in load_file(files.verified(run / "reference" / "distances.safetensors")).items()
    }
    pool, train = (read_inputs(run / "collect" / INPUTS, split) for split in ("pool", "train"))
    exact, probability, known = pool.exact, pool.probability, read_known(run)
    sources, bits = Sources.of(inputs, pool, known), read_bits(run)
    floors = read_noise_floor(run / "collect")
    features = read_features(inputs, samples, probability, known=known)
    count = classes(feature.prior for feature in features)
    inputs, samples = (with_null_feature(table, count, seed) for table in (inputs, samples))
    features += read_features(inputs, samples, probability, [NULL_FEATURE], known)
    levels = read_levels(run)
    proposed = any(level.channel is not None for of_site in levels.values() for level in of_site)
    compared = "weighted" if proposed else "generator"  # with the reference
    generated, edited = (_by_site(samples, method) for method in ("generator", "edits"))
    free = samples.filter(pc.field("method") == "no condition")
    wrong = wrong_sites(list(generated))
    others = [] if known is None else [tuple(x) for x in inputs["tokens"].take(known.places(inputs)).to_pylist()]
    quality = Quality([*pool.tokens, *others], train.tokens, seed)
    shares = probability if known is None else known.beside(probability)
    targets = read_inputs(run / "collect" / INPUTS, "target").tokens
    endings = SameEnding.of(targets, [*pool.tokens, *others], shares, sources.own)
    calibration = files.read_table(run / "calibrate" / "calibration.parquet").to_pylist()
    tables: dict[str, list[dict[str, Any]]] = {record.name.removesuffix(".parquet"): [] for record in _TABLES}
    for done, site in enumerate(sorted(distances, key=lambda site: site.depth)):
        bandwidths = [level.bandwidth for level in levels[site]]
        around = SitePool.of(distances[site], probability, exact, bandwidths, kernel, _known(run, site, known))
        methods = [*from_pool(site, around, features, sources.own)]
        methods += endings.at_levels(site, bits.get(site, {}), features)
        if site in generated:
            drawn, edits = generated[site], edited[site]
            methods += from_draws(site, drawn, bandwidths, features)
            methods.append(without_condition(site, free, features))
            methods += from_edits(site, edits, bandwidths, features, kernel)
            by_target = list(of_targets(site, drawn))
            tables["targets"] += by_target
            tables["diagnostics"] += diagnostics(site, drawn, edits, around, by_target, floors[str(site)])
            tables["distances"] += histogram(site, drawn, distances[site])
            tables["quality"] += quality.rows(site, drawn, around)
            tables["worst_targets"] += worst_targets(site, drawn, around, _failing(calibration, site))
        if site in wrong:
            methods += from_another_site(site, generated[wrong[site]], levels[site], levels[wrong[site]], features)
        for feature in features:
            tables["results"] += _rows(feature, methods, compared, seed, floors[str(site)], sources.mass)
        tables["by_distance"] += by_distance(site, around, features)
        progress(done + 1, len(distances), "sites")
    _add_resolutions(tables.values(), levels)
    _add_q_values(tables["results"])
    tables["results"] = judged(tables["results"], calibration, exact, compared)
    _write(run, tables)


def _known(run: Path, site: Site, known: KnownInputs | None) -> Known | None:
    """The known inputs beside the pool of a site; None where they were not read there."""
    if known is None:
        return None
    with safe_open(files.verified(run / records.collect.KNOWN_DISTANCES.path), "numpy") as tensors:
        if str(site) not in tensors.keys():  # noqa: SIM118 - no container
            return None
        return Known(tensors.get_tensor(str(site)), known)


def _write(run: Path, tables: dict[str, list[dict[str, Any]]]) -> None:
    """The tables, and some of them as JSON too."""
    folder = run / "score"
    for record, rows in zip(_TABLES, tables.values(), strict=True):
        files.write_table(folder / record.name, record.of(rows))
    scores, diagnostics = tables["results"], tables["diagnostics"]
    accuracy = files.read_json(files.verified(run / "task" / "accuracy.json"))
    summary = {"scores": scores, "diagnostics": diagnostics, "accuracy": accuracy}
    files.write_json(folder / records.score.SUMMARY.name, records.score.SUMMARY.of(summary))


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


def _add_resolutions(tables: Iterable[Sequence[dict[str, Any]]], levels: Levels) -> None:
    """Add to every row with a bandwidth the resolution that it is at its site."""
    known = {str(site): resolutions(of_site) for site, of_site in levels.items()}
    for row in (row for table in tables for row in table if "bandwidth" in row):
        row["resolution"] = known[row["site"]][row["bandwidth"]]


def _add_q_values(results: Sequence[dict[str, Any]]) -> None:
    """Add q-values to every row, over all tests of one method: sites, features and bandwidths."""
    for method in {row["method"] for row in results}:
        rows = [row for row in results if row["method"] == method]
        q_values = resampling.q_values(np.array([row["p_value"] for row in rows], dtype=float))
        for row, value in zip(rows, q_values.tolist(), strict=True):
            row["q_value"] = defined(value)


class ScoredRun(RunFolder, Protocol):
    """A run as the step sees it."""

    @property
    def kernel(self) -> Kernel: ...


def step(run: ScoredRun, folder: Path, progress: Progress) -> None:
    """The step `score`."""
    score(run.folder, run.kernel, run.seed, progress)
