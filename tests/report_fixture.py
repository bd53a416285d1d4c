"""A synthetic finished run: every record that the report reads, with numbers like those of IOI on 30 layers."""

from __future__ import annotations

import base64
import gzip
import json
import math
import random
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from partial_records import partial
from score_fixture import write_levels

from inversescope import files, records
from inversescope.causal.used import used
from inversescope.sites import Site
from inversescope.verdicts import MISSED, NULL_FEATURE, judged, significant

NAMES = ("Mary", "John", "Tom", "Anna", "James", "Sarah", "Paul", "Laura", "Mark", "Alice")
PLACES = ("store", "park", "school", "station", "garden")
OBJECTS = ("drink", "book", "ring", "kiss", "ball")
# feature: chance level, layer at which the residual stream comes to hold it, layer at which it is lost
FEATURES = {
    "indirect object": (0.10, 17.0, 60.0),
    "subject": (0.10, 8.0, 60.0),
    "order": (0.50, 5.0, 26.0),
    "template": (0.25, 1.0, 60.0),
    "place": (0.20, 40.0, 60.0),
    "object": (0.20, 3.0, 14.0),
}
BANDWIDTHS = (0.03, 0.1, 0.3, 1.0)
METHODS = (
    "generator",
    "weighted",
    "reference",
    "nearest",
    "shuffled",
    "no condition",
    "wrong site",
    "same ending",
    "edits",
)


@dataclass(frozen=True)
class Shape:
    """Extent of the synthetic run. `defined=False` leaves every score and distance undefined. With resolutions, one for
    each bandwidth, a site has bandwidths of its own.
    """

    layers: int = 30
    heads: int = 9
    generator_layers: tuple[int, ...] = (2, 5, 8, 11, 14, 17, 20, 23, 26, 29)
    residual: bool = True
    features: tuple[str, ...] = tuple(FEATURES)
    bandwidths: tuple[float, ...] = BANDWIDTHS
    targets: int = 20
    samples: int = 16
    resolutions: tuple[float, ...] = ()
    defined: bool = True
    hostile: str = ""

    @property
    def sites(self) -> list[Site]:
        residual = [Site("resid_post", layer) for layer in range(self.layers) if self.residual]
        return residual + [Site("z", layer, head) for layer in range(self.layers) for head in range(self.heads)]

    @property
    def generator_sites(self) -> list[Site]:
        if self.residual:
            return [Site("resid_post", layer) for layer in self.generator_layers if layer < self.layers]
        return [Site("z", layer, 0) for layer in self.generator_layers if layer < self.layers and self.heads]


def write_run(run: Path, shape: Shape | None = None, seed: int = 0) -> Path:
    """Write the records of a finished run into `run`, and give it back."""
    shape, rng = shape or Shape(), random.Random(seed)
    inputs = [
        _input(rng, shape, split, row) for split, n in (("pool", 40), ("target", shape.targets)) for row in range(n)
    ]
    targets = [row for row in inputs if row["split"] == "target"]
    accuracy = _accuracy(shape)
    scores, diagnostics = (_leveled(shape, rows) for rows in (_scores(shape, rng), _diagnostics(shape, rng)))
    files.write_json(run / "task" / "accuracy.json", accuracy)
    files.write_table(run / records.collect.INPUTS.path, records.collect.INPUTS.of(inputs))
    scores = judged(scores, _write_calibration(run, shape), False, "generator")
    _write_hypotheses(run, shape, rng)
    files.write_table(run / "verify" / "samples.parquet", _samples(shape, rng, targets))
    for record, rows in (
        (records.score.RESULTS, scores),
        (records.score.DIAGNOSTICS, diagnostics),
        (records.score.DISTANCES, _leveled(shape, _distances(shape))),
        (records.score.QUALITY, _leveled(shape, _quality(shape))),
        (records.score.BY_DISTANCE, _by_distance(shape)),
        (records.score.WORST_TARGETS, _leveled(shape, _worst_targets(shape))),
        (records.causal.RUNS, []),
        (records.collect.NOISE_FLOOR, _noise(shape)),
        (records.collect.TARGETS, _targets(shape)),
        (records.causal.EFFECTS, _leveled(shape, _effects(shape), "donor_")),
    ):
        files.write_table(run / record.path, record.of(rows))
    write_levels(run, {site: shape.bandwidths for site in shape.generator_sites})
    used(run)
    files.write_json(
        run / "score" / "results.json", {"scores": scores, "diagnostics": diagnostics, "accuracy": accuracy}
    )
    _describe(run, shape)
    return run


def _leveled(shape: Shape, rows: list[dict], of: str = "") -> list[dict]:
    """Rows with their resolution, which is null without any; at a resolution the bandwidth is the site's own."""
    known: dict[float | None, float | None] = dict(zip(shape.bandwidths, shape.resolutions, strict=False))
    leveled = []
    for row in rows:
        h = row[f"{of}bandwidth"]
        own = h * (1 + Site.parse(row["site"]).depth[0] / 1000) if h is not None and known else h
        leveled.append(row | {f"{of}resolution": known.get(h), f"{of}bandwidth": own})
    return leveled


def _write_calibration(run: Path, shape: Shape) -> list[dict]:
    """A prior that was not enumerated: early sites are undertrained; at the smallest bandwidth the pool is too small.

    Gives back the rows of `calibration.parquet`.
    """
    rows, gaps = [], []
    for site in shape.generator_sites:
        judgement = ("undertrained" if site.layer < 9 else "calibrated") if shape.defined else "cannot tell"
        for number, h in enumerate(shape.bandwidths):
            question = {"site": str(site), "bandwidth": h, "query": "clean"}
            told = {"verdict": judgement if number else "cannot tell", "reason": f"gap of subject at h = {h:g}"}
            shares = {"in_training": 0.3, "in_training_expected": 0.25, "copied": 0.05}
            rows.append(question | {"targets": 160, "ess": 4000 * h**2} | shares | told)
            gaps += [question | {"feature": name, "gap": 0.01, "gap_low": -0.01, "gap_high": 0.03} for name in FEATURES]
    for record, table in ((records.calibrate.CALIBRATION, rows), (records.calibrate.GAPS, gaps)):
        files.write_table(run / record.path, partial(record, _leveled(shape, table)))
    prior = {"kl": None, "tv": None, "p_value": 0.41}
    files.write_json(run / "calibrate" / "verdicts.json", {"truth": "pool", "counts": {}, "prior": prior})
    return _leveled(shape, rows)


def _noise(shape: Shape) -> list[dict]:
    """A subject in bfloat16: its rounding is as large as the smallest bandwidth."""
    return [{"site": str(site), "inputs": 64, "median": 0.02, "floor": 0.05} for site in shape.sites]


def _targets(shape: Shape) -> list[dict]:
    """Target 0 is outside of the prior at the deepest of the generator's sites."""
    rows = []
    for site, target in product(shape.sites, range(shape.targets)):
        far = target == 0 and site in shape.generator_sites[-1:]
        measured = {"outside": far, "nearest": 0.9 if far else 0.2, "limit": 0.5, "p_value": 0.001 if far else 0.4}
        rows.append({"site": str(site), "target": target, **measured})
    return rows


def _accuracy(shape: Shape) -> dict:
    measured = (
        {"value": 0.985, "low": 0.962, "high": 0.996} if shape.defined else dict.fromkeys(("value", "low", "high"))
    )
    what = "the indirect object is more likely than the subject as the next token"
    return {"defined": shape.defined, **measured, "n": 400, "needed": 0.9, "what": what}


def _input(rng: random.Random, shape: Shape, split: str, row: int) -> dict:
    io, s = rng.sample(NAMES, 2)
    place, thing, order = rng.choice(PLACES), rng.choice(OBJECTS), rng.choice(("BABA", "ABBA"))
    first, second = (s, io) if order == "BABA" else (io, s)
    opening = rng.choice(("When", "After", "Then,", "While"))
    text = f"{opening} {first} and {second} went to the {place}, {s} gave a {thing} to{shape.hostile}"
    values = (io, s, order, opening, place, thing)
    labels = {f"label.{name}": value + shape.hostile for name, value in zip(shape.features, values, strict=False)}
    return {
        "split": split,
        "row": row,
        "tokens": [0, *(rng.randrange(49152) for _ in range(16))],
        "text": text,
        "probability": None,
        **labels,
    }


def _encoded(site: Site, feature: str, bandwidth: float) -> float:
    """The planted corrected score, 0 to 1. At the smallest bandwidths a late site leaves the source alone."""
    if feature == NULL_FEATURE:
        return 0.8 if bandwidth < 0.05 and site.layer > 9 and site.head is None else 0.0
    _, gained, lost = FEATURES.get(feature, (0.1, 10.0, 60.0))
    height = 1 / (1 + math.exp(-(site.layer - gained) / 1.6)) * 1 / (1 + math.exp((site.layer - lost) / 1.6))
    if site.head is not None:
        phase = math.sin(site.layer * 12.9898 + site.head * 78.233 + len(feature)) * 43758.5453
        height *= (phase - math.floor(phase)) ** 6
    return height / (1 + (bandwidth / (0.25 + 0.5 * height)) ** 2)


def _scores(shape: Shape, rng: random.Random) -> list[dict]:
    generated = set(shape.generator_sites)
    return [
        _score(shape, rng, method, site, feature, bandwidth)
        for site in shape.sites
        for feature in (*shape.features, NULL_FEATURE)
        for method in METHODS
        if method in ("reference", "nearest") or site in generated
        for bandwidth in ((None,) if method in ("nearest", "no condition") else shape.bandwidths)
    ]


def _score(shape: Shape, rng: random.Random, method: str, site: Site, feature: str, bandwidth: float | None) -> dict:
    chance, ours = FEATURES.get(feature, (0.1, 0, 0))[0], method in ("generator", "weighted")
    row = _place(site) | {"method": method, "feature": feature, "bandwidth": bandwidth}
    row |= {"below_noise": None if bandwidth is None else bandwidth < 0.05}
    row |= {"targets": shape.targets, "collapsed": 0, "samples": shape.targets * shape.samples}
    row |= {"undecided": rng.randrange(9) if ours else 0, "unverified": rng.randrange(4) if ours else 0}
    ess = (
        4000 * (bandwidth or 0.03) ** 2 * (1.6 if site.head is not None else 1) * (1 - 0.6 * site.layer / shape.layers)
    )
    if not shape.defined or (method == "reference" and ess < 5):
        return dict.fromkeys(records.score.RESULTS.names) | row | {"targets": 0, "collapsed": shape.targets}
    if method == "reference":
        row["ess"] = ess
    if method == "weighted":
        row["ess"] = shape.samples * (0.25 + 0.5 * site.layer / shape.layers)
        row["collapsed"] = _collapsed(shape, site, bandwidth)
        row["targets"] -= row["collapsed"]
    absent = method in ("shuffled", "no condition", "wrong site", "same ending")
    value = 0.0 if absent else _encoded(site, feature, bandwidth or 0.05)
    shortfall = 0.45 * value * math.exp(-site.layer / 6) if method == "generator" else 0.0
    corrected = min(1.0, value - shortfall + rng.gauss(0, 0.015))
    half = 0.02 + 0.13 * math.sqrt(max(corrected * (1 - corrected), 0.01))
    for end, score in (("", corrected), ("_low", corrected - half), ("_high", min(1.0, corrected + half))):
        row |= {
            f"corrected{end}": score,
            f"fcr{end}": chance + score * (1 - chance),
            f"bits{end}": -score * math.log2(chance),
        }
    if method == "generator" and ess >= 5:
        gap = -shortfall + rng.gauss(0, 0.01)
        row |= {"gap": gap, "gap_low": gap - 0.035, "gap_high": gap + 0.035}
    if method in ("generator", "weighted", "reference"):
        row["q_value"] = 0.0005 if row["corrected_low"] > 0 else 0.4
        row |= {f"others{end}": row[f"corrected{end}"] - 0.01 for end in ("", "_low", "_high")}
        row |= {"others_targets": row["targets"], "source_weight": 0.02}
    return dict.fromkeys(records.score.RESULTS.names) | row | {"chance": chance}


def _effects(shape: Shape) -> list[dict]:
    """Names are used where they are encoded, from layer 9 on; before, nothing moves the next token."""
    rows = []
    for site, feature in product(shape.generator_sites, shape.features):
        row = (
            dict.fromkeys(records.causal.EFFECTS.names)
            | _place(site)
            | {"feature": feature, "donor_bandwidth": shape.bandwidths[-1]}
        )
        moves, used = site.layer >= 9 and shape.defined, feature in ("indirect object", "subject")
        row |= {"targets": shape.targets, "from_pool": 1, "matched": 0, "kl_own": 0.0007}
        row["reason"] = None if moves else "a random input's activation hardly moves the next token"
        values = {"sufficiency": 0.9, "necessity": 0.8 if used else 0.01, "effect": 1.6 if used else 0.02}
        values |= {"kl_same": 0.2, "kl_other": 1.8 if used else 0.22, "kl_random": 2.0}
        values |= {"kept_same": 1.0, "kept_other": -0.2 if used else 0.9, "kept_random": 0.1}
        for name, value in values.items() if moves else ():
            row |= {name: value, f"{name}_low": value - 0.05, f"{name}_high": value + 0.05}
        rows.append(row | {"distance_same": 0.7, "distance_other": 1.1, "distance_random": 1.35})
    return rows


def _place(site: Site) -> dict:
    return {"site": str(site), "point": site.point, "layer": site.layer, "head": site.head}


def _collapsed(shape: Shape, site: Site, bandwidth: float | None) -> int:
    return min(int((1 - site.layer / shape.layers) * 6), shape.targets - 1) if bandwidth == shape.bandwidths[0] else 0


def _write_hypotheses(run: Path, shape: Shape, rng: random.Random) -> None:
    rows = []
    for site, h in product(shape.generator_sites, shape.bandwidths if shape.defined else ()):
        for rank, words in enumerate(("the last word", "has “ring”", f"<b>{shape.hostile}</b>"), start=1):
            value, q = rng.random(), (0.0001, 0.3, None)[rank - 1]
            numbers = {"discovery": value, "discovery_low": value - 0.1, "chance": 0.2, "p_value": q, "q_value": q}
            numbers |= {"significant": significant(q), "null_passes": False, "source_alone": False, "collapsed": 0}
            numbers |= {"others_targets": 10}
            for name in ("corrected", "bits", "others"):
                numbers |= {name: value, f"{name}_low": value - 0.2, f"{name}_high": value + 0.1}
            row = {"site": str(site), "bandwidth": h, "rank": rank, "hypothesis": "last_word", "words": words}
            rows.append(row | numbers | {"targets": 10, "merged": ['has_word("a")'] * (rank - 1)})
    files.write_table(run / records.mine.HYPOTHESES.path, records.mine.HYPOTHESES.of(_leveled(shape, rows)))
    counts = {"tried": 259, "distinct": 117, "confirmed": len(rows)}
    search = counts | {"discovery": [0, 2, 4], "confirmation": [1, 3]}
    search |= {"annotators": {"sentiment": "vaderSentiment 3.3.2"}, "not_tried": {"topic": "hf download NAME"}}
    files.write_json(run / "mine" / "search.json", search)


def _diagnostics(shape: Shape, rng: random.Random) -> list[dict]:
    draws, rows = shape.targets * shape.samples, []
    for site, h in product(shape.generator_sites, shape.bandwidths):
        depth = site.layer / shape.layers
        counts = {"draws": draws, "unverified": rng.randrange(6), "collapsed": _collapsed(shape, site, h)}
        counts |= {"collapsed_missed": counts["collapsed"], "collapsed_few": 0, "collapsed_far": 0, "source_draws": 0.2}
        counts |= {"distinct": int(draws * 0.9), "distinct_accepted": int(draws * 0.4 * math.exp(-4 * h) * depth)}
        measured = {"acceptance": math.exp(-4 * h) * depth, "novel": 0.93, "ess": shape.samples * 0.5}
        measured |= {
            "source_weight": 0.3,
            "others_acceptance": math.exp(-4 * h) * depth / 2,
            "pareto_k": 0.35,
            "unreliable": shape.targets // 3,
            "reference_ess": max(1.0, 4000 * h**2),
            "median_distance": 0.9 * h + 0.05,
            "prior_median_distance": 1.38,
            "reference_acceptance": math.exp(-20 * h),
            "reference_median_distance": 0.9 * h + 0.04 if 4000 * h**2 >= 30 else None,
            "edits_acceptance": 0.01,
            "edits_median_distance": 0.9,
        }
        rows.append(
            _place(site)
            | {"bandwidth": h}
            | counts
            | {"acceptance_counts": h <= 0.1, "noise_floor": 0.05, "below_noise": h < 0.05}
            | (measured if shape.defined else dict.fromkeys(measured))
        )
    return rows


def _distances(shape: Shape) -> list[dict]:
    edges, rows = [i / 20 for i in range(41)], []
    methods = (("prior", None), *(("generator", h) for h in shape.bandwidths))
    for site, (method, h) in product(shape.generator_sites if shape.defined else (), methods):
        centre = 1.38 if h is None else 1.15 * h / (h + 0.35) + 0.3 * math.exp(-site.layer / 8)
        heights = [math.exp(-0.5 * ((low + 0.025 - centre) / (0.05 + 0.16 * centre)) ** 2) for low in edges[:-1]]
        for low, high, height in zip(edges[:-1], edges[1:], heights, strict=True):
            row = {"site": str(site), "method": method, "bandwidth": h}
            rows.append(row | {"low": low, "high": high, "share": height / sum(heights)})
    return rows


def _quality(shape: Shape) -> list[dict]:
    """At the smallest bandwidth the pool has no neighbours to compare with."""
    rows = []
    for site, (number, h) in product(shape.generator_sites, enumerate(shape.bandwidths)):
        real = {
            "pool_distinct": 0.99,
            "pool_similarity": 0.7,
            "pool_nearest_train": 0.06,
            "auc": 0.54,
            "p_value": 0.135,
        }
        real |= {"pool_similarity_low": 0.68, "pool_similarity_high": 0.72, "auc_low": 0.48, "auc_high": 0.6}
        own = {
            "distinct": 0.9,
            "similarity": 0.71,
            "similarity_low": 0.69,
            "similarity_high": 0.73,
            "nearest_train": 0.06,
        }
        found = (own | real if number else own) if shape.defined else {}
        place = {"site": str(site), "bandwidth": h, "compared": shape.targets if number and shape.defined else 0}
        rows.append(dict.fromkeys(records.score.QUALITY.names) | place | found)
    return rows


def _by_distance(shape: Shape) -> list[dict]:
    """Consistency falls from the encoded score to below chance; the last bin is open."""
    rows = []
    for site, feature, place in product(shape.sites, shape.features, range(2, 20)):
        chance = FEATURES.get(feature, (0.1, 0, 0))[0]
        fcr = chance + (1 - chance) * _encoded(site, feature, 0.05) * (1 - place / 15)
        limits = {"fcr": max(0.0, fcr), "fcr_low": max(0.0, fcr - 0.05), "fcr_high": min(1.0, fcr + 0.05)}
        row = {
            "site": str(site),
            "feature": feature,
            "low": place / 10,
            "high": (place + 1) / 10 if place < 19 else None,
        }
        rows.append(row | {"targets": shape.targets, "pairs": 100 * place, **limits, "chance": chance})
    return rows if shape.defined else []


def _worst_targets(shape: Shape) -> list[dict]:
    """Two targets a site, one of which did not fail."""
    rows, reason = [], f"no other input of the pool lies within δ ≤ 0.1: the nearest is at δ = 0.27{shape.hostile}"
    for site, target in product(shape.generator_sites, range(min(2, shape.targets))):
        known = {"unverified": 0, "acceptance": 0.5 * target, "nearest": 0.15, "nearest_text": f"When{shape.hostile}"}
        known |= {"pool_nearest": 0.27, "copied": 0.2, "reasons": [] if target else [reason]}
        if not shape.defined:
            known = {"unverified": shape.samples, "acceptance": 0.0, "pool_nearest": 0.05, "reasons": ["never ended"]}
        place = {"site": str(site), "bandwidth": shape.bandwidths[0], "target": target, "draws": shape.samples}
        rows.append(dict.fromkeys(records.score.WORST_TARGETS.names) | place | {"ess": 6.0} | known)
    return rows


def _samples(shape: Shape, rng: random.Random, targets: list[dict]) -> pa.Table:
    rows, drawn = [], [_input(rng, shape, "", 0) for _ in range(200)]
    for site, h, target in product(shape.generator_sites, shape.bandwidths, targets):
        group = [_sample(shape, rng, site, h, target, rng.choice(drawn), number) for number in range(shape.samples)]
        kernels = [0.0 if row["distance"] is None else math.exp(-0.5 * (row["distance"] / h) ** 2) for row in group]
        for row, kernel in zip(group, kernels, strict=True):
            row["weight"] = kernel / sum(kernels) if row["verified"] and sum(kernels) > 0.05 else None
        rows += group
    empty = records.verify.SAMPLES.schema(shape.features).empty_table()
    return records.verify.SAMPLES.of(_leveled(shape, rows)) if rows else empty


def _sample(shape: Shape, rng: random.Random, site: Site, h: float, target: dict, other: dict, number: int) -> dict:
    kept = math.exp(-1.5 * h) * (0.2 + 0.8 * site.layer / shape.layers)
    mixed = [ours if rng.random() < kept else theirs for ours, theirs in _words(target["text"], other["text"])]
    changed = sum(ours != theirs for ours, theirs in _words(target["text"], " ".join(mixed)))
    distance = changed * 0.11 * (1 + 0.2 * rng.random())
    verified = shape.defined and rng.random() > 0.02
    labels = {name: value for name, value in (target if changed < 2 else other).items() if name.startswith("label.")}
    return {
        **{"method": "generator", "site": str(site), "bandwidth": h, "target": target["row"], "sample": number},
        **{"tokens": other["tokens"], "text": " ".join(mixed), "log_q": -9.5, "log_prior": -13.9, "in_train": False},
        **{"verified": verified, "distance": distance if verified else None, "weight": None, "pareto_k": None},
        **{"times": 1, "unreliable": target["row"] == 0, "log_normaliser": -13.0, "log_floor": -13.9},
        **{"left_out": MISSED if target["row"] == 1 else None, "source": changed == 0 and number % 2 == 0},
        **{"accepted": verified and distance <= 0.1},
        **{name: value if rng.random() > 0.03 else None for name, value in labels.items()},
    }


def _words(one: str, other: str) -> list[tuple[str, str]]:
    return list(zip(one.split(" "), other.split(" "), strict=True))


def _describe(run: Path, shape: Shape) -> None:
    config = {
        "seed": 7,
        "subject": {"model": "smollm2", "device": "cpu", "dtype": "bfloat16"},
        "task": {"name": "ioi", "cut": "END"},
        "collect": {"train": 12000, "pool": 4000, "targets": shape.targets},
        "generator": {"width": 192, "blocks": 4},
        "train": {"steps": 900, "batch": 256},
        "sample": {"samples": shape.samples, "bandwidths": list(shape.bandwidths)},
    }
    provenance = {
        **{"inversescope": "0.1.0", "commit": "0123456789abcdef" * 2, "dirty": False, "python": "3.11.9"},
        **{"torch": "2.13.0", "transformers": "5.23.0", "platform": "Linux x86_64", "processor": None},
        **{"device": "cpu", "dtype": "bfloat16", "seed": 7, "subject": {"name": "smollm2", "fingerprint": "b5c1" * 8}},
        "features": {},
        "config": {"folder": "/study", "from_run": "../.."},
        "task_file": None,
        "nodes": [],
        "prior": {"date": "2024-07-26", "tokenizer": "c0de" * 16},
        "started": "2025-11-02T09:30:00Z",
        "seconds": {"task": 9.1, "collect": 61.8, "train": 192.4, "sample": 31.0, "verify": 22.6, "score": 8.3},
    }
    keys = [name for name in records.run.RESOLVED.names if name != files.SEAL]
    files.write_sealed(run / "resolved.json", {name: config.get(name, {}) for name in keys})
    files.write_sealed(run / "provenance.json", provenance)


def read_scores(run: Path) -> list[dict]:
    """The rows of score/results.parquet: the oracle for what the page shows."""
    return pq.read_table(run / "score" / "results.parquet").to_pylist()


def embedded(page: Path) -> dict:
    """The data that the page carries."""
    text, opening = page.read_text(encoding="utf-8"), '<script type="application/gzip" id="data">'
    start = text.index(opening) + len(opening)
    return json.loads(gzip.decompress(base64.b64decode(text[start : text.index("</script>", start)])))
