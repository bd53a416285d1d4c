"""Score every feature as a hypothesis at every site: consistency, chance, bits, intervals, controls, calibration.

Scoring does not know who made a sample: each source is a set of weighted inputs for each target. Dimensions:
`targets`, `n` inputs of one target, `pool` inputs. Records: `records.score`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from jaxtyping import Float
from numpy import ndarray
from safetensors.numpy import load_file

from inversescope import files, records
from inversescope.files import RunFolder
from inversescope.progress import Progress
from inversescope.score.by_distance import specificity
from inversescope.score.diagnostics import diagnose, histogram
from inversescope.score.failures import failures
from inversescope.score.methods import (
    Evidence,
    Feature,
    from_another_site,
    from_draws,
    from_edits,
    from_pool,
    of_target,
    read_features,
    without_condition,
    wrong_sites,
)
from inversescope.score.quality import Quality
from inversescope.sites import Site
from inversescope.stats import intervals, resampling
from inversescope.stats.intervals import Estimate, defined, fields
from inversescope.stats.labels import entropy, label_shares
from inversescope.streams import Stream
from inversescope.tasks import Tokens
from inversescope.verdicts import COLLAPSED, judged

TESTED = ("generator", "weighted", "reference")  # against their own samples, dealt out to other targets

_TABLES = tuple(record for record in records.score.SCORE.records if isinstance(record, records.Table))


def score(run: Path, seed: int, progress: Progress) -> None:
    """Write the step's records in the folder `score`: its tables, and `results.json`."""
    inputs = pq.read_table(run / "collect" / "inputs.parquet")
    samples = pq.read_table(run / "verify" / "samples.parquet")
    distances = {
        Site.parse(name): rows for name, rows in load_file(run / "reference" / "distances.safetensors").items()
    }
    pool = inputs.filter(pc.field("split") == "pool").sort_by("row")
    known = pool["probability"].to_numpy()
    exact = not np.isnan(known).any()
    probability = known if exact else np.full(len(pool), 1 / len(pool))
    features = read_features(inputs, samples, probability)
    bandwidths = sorted({h for h in samples["bandwidth"].to_pylist() if h is not None})
    generated, edited = (_by_site(samples, producer) for producer in ("generator", "perturbation"))
    free = samples.filter(pc.field("producer") == "no condition")
    wrong = wrong_sites(list(generated))
    quality = Quality(_tokens(pool), _tokens(_trained_on(inputs)), probability, exact, seed)
    verdicts = files.read_json(run / "calibrate" / "verdicts.json")["sites"]
    tables: dict[str, list[dict[str, Any]]] = {record.name.removesuffix(".parquet"): [] for record in _TABLES}
    for done, (site, rows) in enumerate(sorted(distances.items(), key=lambda item: item[0].depth)):
        evidence = [*from_pool(site, rows, bandwidths, features, probability, exact)]
        if site in generated:
            drawn, edits = generated[site], edited[site]
            evidence += from_draws(site, drawn, bandwidths, features)
            evidence.append(without_condition(site, free, features))
            evidence += from_edits(site, edits, bandwidths, features)
            tables["diagnostics"] += diagnose(site, drawn, edits, rows, probability, exact)
            tables["distances"] += histogram(site, drawn, rows)
            tables["quality"] += quality.rows(site, drawn, rows)
            tables["failures"] += failures(site, drawn, rows, _undertrained(verdicts, site), exact)
        if site in wrong:
            evidence += from_another_site(site, generated[wrong[site]], bandwidths, features)
        for feature in features:
            tables["results"] += _score_feature(feature, evidence, seed)
        tables["specificity"] += specificity(site, rows, features, probability, exact)
        progress(done + 1, len(distances), "sites")
    _add_q_values(tables["results"])
    calibration = pq.read_table(run / "calibrate" / "calibration.parquet").to_pylist()
    tables["results"] = judged(tables["results"], calibration, exact)
    _write(run, tables)


def _write(run: Path, tables: dict[str, list[dict[str, Any]]]) -> None:
    """The tables, and some of them as JSON too."""
    folder = run / "score"
    for record, rows in zip(_TABLES, tables.values(), strict=True):
        files.write_table(folder / record.name, record.of(rows))
    scores, diagnostics = tables["results"], tables["diagnostics"]
    accuracy = files.read_json(run / "task" / "accuracy.json")
    summary = {"scores": scores, "diagnostics": diagnostics, "accuracy": accuracy}
    files.write_json(folder / records.score.SUMMARY.name, records.score.SUMMARY.of(summary))


def _tokens(inputs: pa.Table) -> list[Tokens]:
    return [tuple(row) for row in inputs["tokens"].to_pylist()]


def _trained_on(inputs: pa.Table) -> pa.Table:
    """The generator's training inputs: a split of their own, or else the pool."""
    train = inputs.filter(pc.field("split") == "train")
    return train if len(train) else inputs.filter(pc.field("split") == "pool")


def _undertrained(verdicts: dict[str, Any], site: Site) -> str | None:
    """Why the generator is undertrained at a site, asked about clean targets; None where it is not, or nobody asked."""
    verdict = verdicts.get(str(site), {}).get("clean", {"judgement": None})
    return verdict["reason"] if verdict["judgement"] == "undertrained" else None


def _by_site(samples: pa.Table, producer: str) -> dict[Site, pa.Table]:
    """One producer's samples at each site."""
    mine = samples.filter(pc.field("producer") == producer)
    return {Site.parse(name): mine.filter(pc.field("site") == name) for name in mine["site"].unique().to_pylist()}


def _score_feature(feature: Feature, evidence: Sequence[Evidence], seed: int) -> Iterator[dict[str, Any]]:
    """One row for each source and bandwidth of a site."""
    consistencies: dict[tuple[str, float | None], Float[ndarray, " targets"]] = {}
    for item in evidence:
        labels, sizes = item.labels[feature.name], item.sizes
        shares = label_shares(labels, item.weights, len(feature.values))
        used = (sizes >= min(COLLAPSED, labels.shape[1])) & (feature.targets >= 0)
        consistency = np.where(used, of_target(shares, feature.targets), np.nan)
        consistencies[item.source, item.bandwidth] = consistency
        weighed = item.weights > 0
        counted = np.where(used[:, None], shares, np.nan)
        yield {
            "source": item.source,
            "site": str(item.site),
            "point": item.site.series,
            "layer": item.site.layer,
            "head": item.site.head,
            "feature": feature.name,
            "bandwidth": item.bandwidth,
            "targets": int((~np.isnan(consistency)).sum()),
            "collapsed": int((sizes < min(COLLAPSED, labels.shape[1])).sum()),
            "samples": int(weighed.sum()),
            "undecided": int((weighed & (labels < 0)).sum()),
            "unverified": item.unverified,
            **fields("fcr", intervals.mean(consistency, 0, 1)),
            "chance": defined(intervals.mean(np.where(np.isnan(consistency), np.nan, feature.chance)).value),
            **fields("corrected", intervals.corrected(consistency, feature.chance)),
            **fields("bits", _bits(feature, counted, sizes)),
            "p_value": _shuffle_test(item, feature, counted, seed) if item.source in TESTED else None,
            "ess": defined(float(np.median(sizes))),
            **fields("gap", _gap(item, consistency, consistencies)),
        }


def _gap(item: Evidence, consistency: Float[ndarray, " targets"], known: dict) -> Estimate:
    """The calibration gap: the generator's draws minus the reference, over the targets where both are defined."""
    if item.source != "generator":
        return intervals.UNDEFINED
    return intervals.paired(consistency, known["reference", item.bandwidth])


def _bits(feature: Feature, shares: Float[ndarray, "targets labels"], sizes: Float[ndarray, " targets"]) -> Estimate:
    """The drop in the feature's entropy; samples too few to tell an entropy from are left out."""
    decided = np.array([float((feature.pool >= 0).sum())])
    prior = entropy(feature.prior[None], decided)[0]
    left = np.where(sizes >= COLLAPSED, entropy(shares, sizes), np.nan)
    return intervals.mean(prior - left, prior - np.log2(len(feature.values)), prior)


def _shuffle_test(
    item: Evidence, feature: Feature, shares: Float[ndarray, "targets labels"], seed: int
) -> float | None:
    """p of a source's own samples against those of shuffled targets; ties are broken by what names the row."""
    row = f"{item.source} {item.site} {feature.name} {item.bandwidth}"
    rng = Stream.ROWS.rng(seed, *row.encode())
    return defined(resampling.shuffle_test(shares, feature.targets, seed, rng))


def _add_q_values(results: Sequence[dict[str, Any]]) -> None:
    """Into every row, over all that one source was tested for: sites, features and bandwidths."""
    for source in {row["source"] for row in results}:
        rows = [row for row in results if row["source"] == source]
        found = resampling.q_values(np.array([row["p_value"] for row in rows], dtype=float))
        for row, value in zip(rows, found.tolist(), strict=True):
            row["q_value"] = defined(value)


def step(run: RunFolder, folder: Path, progress: Progress) -> None:
    """The step `score`."""
    score(run.folder, run.seed, progress)
