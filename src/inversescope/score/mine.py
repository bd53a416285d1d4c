"""Find hypotheses: of all candidate features, those that the verified samples agree on.

Targets are halved. On one half (discovery) every candidate is scored and ranked; the best go to the other half
(confirmation), where everything that is reported of them is computed afresh. Dimensions: `candidates`, `targets`, `n`
samples of a target, `inputs` that are distinct in text and labels, `pool`. Records: `records.score`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Bool, Int
from numpy import ndarray

from inversescope import files, records
from inversescope.cluster import Do, Run, Unit, Worker, by, here, parts
from inversescope.collect.inputs import INPUTS, read_inputs
from inversescope.features import annotators
from inversescope.files import RunFolder
from inversescope.progress import Progress, silent
from inversescope.records.levels import read_levels, resolutions
from inversescope.score.candidate_labels import Drawn, Labelled, Texts, label_candidates, read_draws
from inversescope.score.feature import consistency, others_chance, own_share, score_feature, shares_of_kept
from inversescope.sites import Site
from inversescope.stats import intervals, resampling
from inversescope.stats.intervals import Estimate, defined, fields
from inversescope.stats.labels import entropy
from inversescope.streams import Stream
from inversescope.verdicts import NO_GENERATOR, NULL_FEATURE, decisive, significant, source_alone

CONFIRMED = 20  # candidates of a site and bandwidth that go to confirmation
EXPLAINED = 0.9  # share of a candidate's entropy that a better one must leave none of, for it to be merged into that


def mine(run: Path, seed: int, progress: Progress, do: Do = here) -> None:
    """Write `hypotheses.parquet` and `search.json` in the folder `mine`.

    Raises:
        UserError: the model of an annotator cannot be loaded.
    """
    samples = _samples(run)
    if not len(samples):  # no generator, and nothing that could agree on a hypothesis
        _write(run, [], {"tried": 0, "distinct": 0, "confirmed": 0, "discovery": [], "confirmation": []})
        progress(1, 1, NO_GENERATOR)
        return
    folder, miner = run / "mine", cache(partial(Miner, run, seed, progress))
    sites = list(dict.fromkeys(samples["site"].to_pylist()))
    units = [Unit(f"part-{i:05d}.json", (site,)) for i, site in enumerate(sites)]
    noted = lambda done, total, note="": progress(done, total, note or "sites")  # noqa: E731
    rows = [row for path in parts.make(folder, units, miner, noted, do) for row in files.read_json(path)]
    q_values, marks = resampling.q_values(np.array([row["p_value"] for row in rows], dtype=float)), _marks(run)
    for row, q in zip(rows, q_values.tolist(), strict=True):
        row["q_value"] = defined(q)
        row["null_passes"] = marks.get((row["site"], row["bandwidth"]))
        row["source_alone"] = source_alone(row)
        row["significant"] = significant(row["q_value"]) and not (row["null_passes"] or row["source_alone"])
    labelled, discovery = miner().labelled, miner().discovery
    halves = {"discovery": np.flatnonzero(discovery).tolist(), "confirmation": np.flatnonzero(~discovery).tolist()}
    counts = {"tried": labelled.tried, "distinct": len(labelled.candidates), "confirmed": len(rows)}
    _write(run, rows, counts | halves)
    parts.drop(folder, units)


class Miner:
    """Does units of the step: a site. It labels every text by every candidate once."""

    def __init__(self, run: Path, seed: int, progress: Progress = silent):
        inputs, self.samples, self.levels = _inputs(run), _samples(run), read_levels(run)
        self.run, self.seed, self.texts = run, seed, Texts([*inputs.values(), self.samples])
        annotated = list(dict.fromkeys(row[0] for row in self.texts.numbers if row[0] is not None))
        # One more than there are: the search is still to come.
        annotators.learn(annotated, lambda done, total, note="": progress(done, total + 1, "texts annotated"))
        self.labelled = label_candidates(self.texts, inputs, read_inputs(run / "collect" / INPUTS, "pool").probability)
        self.discovery = np.zeros(len(self.labelled.targets), dtype=bool)
        order = Stream.HALVES.rng(seed).permutation(len(self.discovery))
        self.discovery[order[: len(order) // 2]] = True
        self.merger = _Merger(self.labelled)

    def __call__(self, unit: Unit, _: Progress, /) -> Path:
        (site,) = unit.arguments
        at_site = self.samples.filter(pc.field("site") == site)
        rows = [row for h in sorted(set(at_site["bandwidth"].to_pylist())) for row in self._at(site, h, at_site)]
        path = self.run / "mine" / unit.file
        files.write_json(path, rows)
        return path

    def _at(self, site: str, h: float, at_site: pa.Table) -> Iterator[dict[str, Any]]:
        """The rows of a site and bandwidth, but for what depends on those of all sites."""
        labelled, discovery = self.labelled, self.discovery
        drawn = read_draws(at_site.filter(pc.field("bandwidth") == h), self.texts, len(discovery))
        resolution = resolutions(self.levels[Site.parse(site)])[h]
        rng = Stream.ROWS.rng(self.seed, *f"{site} {h}".encode())
        for rank, hypothesis in enumerate(_search(labelled, drawn, discovery, self.merger), start=1):
            address = {"site": site, "resolution": resolution, "bandwidth": h, "rank": rank}
            confirmed = _confirm(labelled, drawn, hypothesis.number, ~discovery, self.seed, rng)
            yield address | hypothesis.fields(labelled) | confirmed


def _write(run: Path, rows: list[dict[str, Any]], counts: dict[str, Any]) -> None:
    files.write_table(run / records.mine.HYPOTHESES.path, records.mine.HYPOTHESES.of(rows))
    files.write_json(run / records.mine.SEARCH.path, records.mine.SEARCH.of(counts | _annotated()))


def _marks(run: Path) -> dict[tuple[str, float], bool | None]:
    """True for each site and bandwidth at which the null feature is above chance by the weighted samples."""
    wanted = (pc.field("method") == "weighted") & (pc.field("feature") == NULL_FEATURE)
    rows = files.read_table(run / records.score.RESULTS.path, filters=wanted).to_pylist()
    return {(row["site"], row["bandwidth"]): row["null_passes"] for row in rows}


def _annotated() -> dict[str, dict[str, str]]:
    """Annotators that labelled texts, and those that could not, with the package to install."""
    installed = [annotator for annotator in annotators.ANNOTATORS if annotator.missing() is None]
    return {
        "annotators": {annotator.name: annotator.made_by() for annotator in installed},
        "not_tried": annotators.missing(),
    }


def _inputs(run: Path) -> dict[str, pa.Table]:
    table = files.read_table(run / "collect" / "inputs.parquet")
    return {split: table.filter(pc.field("split") == split).sort_by("row") for split in ("pool", "target")}


def _samples(run: Path) -> pa.Table:
    samples = files.read_table(run / "verify" / "samples.parquet")
    return samples.filter((pc.field("method") == "generator") & pc.field("site").is_valid())


@dataclass
class _Hypothesis:
    """A candidate that goes to confirmation: its number, its score on discovery, and those merged into it."""

    number: int
    score: Estimate
    merged: list[str]

    def fields(self, labelled: Labelled) -> dict[str, Any]:
        candidate = labelled.candidates[self.number]
        return {
            "hypothesis": candidate.source,
            "words": candidate.words,
            "discovery": self.score.value,
            "discovery_low": self.score.low,
            "merged": [*labelled.same[self.number], *self.merged],
        }


def _search(labelled: Labelled, drawn: Drawn, discovery: ndarray, merger: _Merger) -> list[_Hypothesis]:
    """The best on the discovery targets by the lower end of the corrected score, which must be above chance. A
    candidate that a better one explains is merged into that one.
    """
    scores = _discovered(labelled, drawn.of(discovery), discovery)
    ranked = sorted((-score.low, number) for number, score in enumerate(scores) if score.low > 0)
    hypotheses: list[_Hypothesis] = []
    for _, number in ranked:
        better = next((hypothesis for hypothesis in hypotheses if merger.explains(hypothesis.number, number)), None)
        if better is not None:
            better.merged += [labelled.candidates[number].source, *labelled.same[number]]
        elif len(hypotheses) < CONFIRMED:
            hypotheses.append(_Hypothesis(number, scores[number], []))
    return hypotheses


def _discovered(labelled: Labelled, drawn: Drawn, chosen: Bool[ndarray, " targets"]) -> list[Estimate]:
    """The corrected score of every candidate on the chosen targets, whose samples `drawn` has."""
    targets = labelled.targets[chosen]
    scores = []
    for codes, prior in zip(labelled.codes, labelled.prior, strict=True):
        own = codes[targets]
        scores.append(
            intervals.corrected(consistency(codes[drawn.places], drawn.weights, own, drawn.kept), prior.chance(own))
        )
    return scores


class _Merger:
    """Merging of candidates: those that a better one determines."""

    def __init__(self, labelled: Labelled):
        self._codes = labelled.codes[:, labelled.pool] + 1  # undecided is a label like any other here
        self._probability = labelled.probability

    @cache  # noqa: B019 - as long as the search
    def explains(self, better: int, worse: int) -> bool:
        """True where I(better; worse) / H(worse) over the pool is at least `EXPLAINED`.

        The entropies are corrected for the size of the pool, so that many labels do not explain by their number.
        """
        joint = self._codes[better] * (self._codes[worse].max() + 1) + self._codes[worse]
        mutual = self._entropy(self._codes[better]) + self._entropy(self._codes[worse]) - self._entropy(joint)
        return bool(mutual >= EXPLAINED * self._entropy(self._codes[worse]))

    def _entropy(self, codes: Int[ndarray, " pool"]) -> float:
        shares = np.bincount(codes, self._probability)
        return float(entropy(shares[None] / shares.sum(), np.array([float(len(codes))]))[0])


def _confirm(
    labelled: Labelled,
    drawn: Drawn,
    number: int,
    chosen: Bool[ndarray, " targets"],
    seed: int,
    rng: np.random.Generator,
) -> dict[str, Any]:
    """The score of one candidate on the chosen targets, among which it was not found."""
    codes, drawn = labelled.codes[number], drawn.of(chosen)
    own = codes[labelled.targets[chosen]]
    prior, others = labelled.prior[number], drawn.others
    scored = score_feature(codes[drawn.places], drawn.weights, own, prior, drawn.kept)
    among = shares_of_kept(codes[others.places], others.weights, len(prior.shares), others.kept)
    row = {
        "targets": scored.targets,
        "collapsed": scored.collapsed,
        "chance": defined(scored.mean_chance),
        **fields("corrected", scored.corrected),
        **fields("bits", scored.bits),
        **fields("others", _among_others(labelled, others, number, chosen)),
        "others_targets": int((~np.isnan(own_share(among, own))).sum()),
    }
    shares = among if decisive(row) == "others" else scored.shares
    return row | {"p_value": defined(resampling.shuffle_test(shares, own, seed, rng))}


def _among_others(labelled: Labelled, others: Drawn, number: int, chosen: Bool[ndarray, " targets"]) -> Estimate:
    """The corrected score of one candidate on the chosen targets, among samples other than the source."""
    codes, targets = labelled.codes[number], labelled.targets[chosen]
    shared = consistency(codes[others.places], others.weights, codes[targets], others.kept)
    mass = (labelled.pool[None] == targets[:, None]) @ labelled.probability
    decided = float(labelled.probability[codes[labelled.pool] >= 0].sum())
    chance = others_chance(labelled.prior[number].chance(codes[targets]), decided, mass)
    return intervals.corrected(shared, np.where(np.isnan(shared), np.nan, chance))


def make_worker(run: RunFolder) -> Worker:
    """Worker of the step `mine`."""
    return Miner(run.folder, run.seed)


def step(run: Run, folder: Path, progress: Progress) -> None:
    """The step `mine`."""
    mine(run.folder, run.seed, progress, by(run, make_worker))
