"""Directions explained by what inverts to them: do new texts chosen by the explanation activate the direction?

python benchmarks/directions.py OUT [--site resid_post.15] [--latents 16]
python benchmarks/directions.py OUT --table

Differences of means, latents of an autoencoder that is trained here, and random directions; the plan and the measure
are in docs/lab/directions.md. OUT/directions.json has every number.

Dimensions: `n` texts or activations, `d` coordinates of the site, `k` directions.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from direction_texts import Concept, concepts
from inverted import inverted
from jaxtyping import Float
from numpy import ndarray
from rich.console import Console
from rich.table import Table
from scipy.stats import rankdata
from torch import Tensor

from inversescope import files
from inversescope.arena.autoencoder import trained
from inversescope.features.function_words import language
from inversescope.features.word_splitting import split
from inversescope.natural_text.natural_text import NaturalText
from inversescope.natural_text.pool import open_pool
from inversescope.natural_text.readings import pool_readings
from inversescope.stats.intervals import mean
from inversescope.subject import Subject
from inversescope.subject.continuing import Continuing

ALPHA = 2.0  # length of what is added to the mean, root mean square per coordinate
CHOSEN, TOP = 64, 32  # texts chosen by an explanation; texts of the highest activation
ADDED = 0.01  # to every share
FIRES = (0.005, 0.1)  # share of the activations at which a latent fires
RANDOM = 4
RESAMPLED = 500
READINGS = ("all words", "without the last")
SOURCES = ("draws", "nearest", "highest")


class Direction(NamedTuple):
    """A direction in the site's units; its concept, if it is a difference of means."""

    name: str
    vector: Float[Tensor, " d"]
    concept: Concept | None = None


def terms(text: str, reading: str) -> frozenset[str]:
    """A text's words, its language, and the kind of its last character; or its words but the last, and its language."""
    words = [*map(str.lower, split(text))]
    found = {f"language {language(text)}"}
    if reading == READINGS[0]:
        last = text.rstrip()[-1:]
        found.add("ends in " + ("a letter" if last.isalpha() else "a digit" if last.isdigit() else repr(last)))
        return frozenset(found | set(words))
    return frozenset(found | set(words[:-1]))


def explanation(
    texts: Sequence[str], weights: Float[ndarray, " n"], pool: Sequence[str], reading: str
) -> dict[str, float]:
    """Log odds of each term's share in weighted texts against its share in the pool."""
    own: Counter[str] = Counter()
    for text, weight in zip(texts, weights.tolist(), strict=True):
        own.update(dict.fromkeys(terms(text, reading), weight))
    before = Counter(term for text in pool for term in terms(text, reading))
    shares = {term: (own[term], before[term] / len(pool)) for term in {*own, *before}}
    return {term: _log_odds(one) - _log_odds(other) for term, (one, other) in shares.items()}


def _log_odds(share: float) -> float:
    kept = (min(max(share, 0.0), 1.0) + ADDED) / (1 + 2 * ADDED)
    return float(np.log(kept / (1 - kept)))


def score(texts: Sequence[str], weights: dict[str, float], reading: str) -> Float[ndarray, " n"]:
    """Sum of the weights of each text's terms; a term that neither the draws nor the pool have counts nothing."""
    return np.array([sum(weights.get(term, 0.0) for term in terms(text, reading)) for text in texts])


def auroc(one: Float[ndarray, " n"], other: Float[ndarray, " m"]) -> float:
    """Chance that one of the first is above one of the second; ties count half."""
    ranks = rankdata(np.concatenate([one, other]))[: len(one)]
    return float((ranks.sum() - len(one) * (len(one) + 1) / 2) / (len(one) * len(other)))


def bootstrapped(one: Float[ndarray, " n"], other: Float[ndarray, " m"], rng: np.random.Generator) -> list[float]:
    """95% interval of the AUROC over resampled texts of both kinds."""
    values = [auroc(rng.choice(one, len(one)), rng.choice(other, len(other))) for _ in range(RESAMPLED)]
    return np.quantile(values, [0.025, 0.975]).tolist()


def read(text: NaturalText, site: str, texts: Sequence[str]) -> Float[Tensor, "n d"]:
    """Activations of texts at their last token, in the site's units."""
    where = text.subject.sites([site])
    found = text.subject.capture([text.subject.encode(each) for each in texts], where).activations[where[0]]
    return text.sites[where[0]].units.standardize(found)


def differences(text: NaturalText, site: str) -> list[Direction]:
    """Difference of the means of each concept."""
    found = []
    for concept in concepts():
        having, lacking = (read(text, site, texts).mean(0) for texts in (concept.having, concept.lacking))
        found.append(Direction(concept.name, having - lacking, concept))
    return found


def latents(text: NaturalText, site: str, n: int, seconds: float) -> tuple[list[Direction], dict[str, float]]:
    """Decoder directions of some latents that fire neither nearly never nor often; trained on the pool's own text."""
    where = text.subject.sites([site])[0]
    reader, prefix = Continuing(text.subject, [where]), len(text.subject.prefix)
    positions = range(4, text.pool.tokens.shape[1] + 1)
    whole = [pool_readings(reader, text.pool, prefix, position)[where].float() for position in positions]
    x = text.sites[where].units.standardize(torch.cat(whole))
    model, ended = trained(x, torch.Generator().manual_seed(0), time.monotonic() + seconds)
    with torch.no_grad():
        fires = (model.encode(x) > 0).float().mean(0)
    usable = ((fires > FIRES[0]) & (fires < FIRES[1])).nonzero()[:, 0]
    order = torch.randperm(len(usable), generator=torch.Generator().manual_seed(0))[:n]
    facts = {"unexplained, held out": ended.loss, "usable latents": len(usable), "activations": len(x)}
    return [Direction(f"latent {i}", model.decoder[i].detach()) for i in usable[order].tolist()], facts


def random_directions(d: int) -> list[Direction]:
    """Directions that mean nothing by themselves."""
    rng = torch.Generator().manual_seed(1)
    return [Direction(f"random {i}", torch.randn(d, generator=rng)) for i in range(RANDOM)]


def explained(text: NaturalText, site: str, direction: Direction, proposals: int) -> dict[str, Any]:
    """Texts of each source for one direction, their weights, and what the inversion says of itself."""
    data = text.sites[text.subject.sites([site])[0]]
    unit = direction.vector / direction.vector.square().mean().sqrt()
    found = inverted(text, data.units.mean + ALPHA * unit * data.units.deviation, site, proposals)
    highest = (data.pool @ unit).topk(min(TOP, len(data.pool))).indices
    pool = [text.subject.decode(row) for row in text.pool.tokens[highest, : text.length].tolist()]
    even = {"nearest": found.nearest, "highest": pool}
    sources = {name: (texts, np.full(len(texts), 1 / len(texts))) for name, texts in even.items()}
    if found.weights is not None:
        sources["draws"] = (found.texts, found.weights)
    return {"sources": sources, "bits": found.bits, "distance": found.distance}


def measured(text: NaturalText, site: str, directions: Sequence[Direction], options: argparse.Namespace) -> list[Any]:
    """AUROC of every direction on the texts that every explanation chooses, by source and reading."""
    subject, where = text.subject, text.subject.sites([site])[0]
    decode = lambda rows: [subject.decode(row) for row in rows[:, : text.length].tolist()]  # noqa: E731
    pool = decode(text.pool.tokens)
    other = open_pool(subject, text.prior, text.length, options.draws, seed=1)
    known = set(pool)
    new = [(i, each) for i, each in enumerate(decode(other.tokens)) if each not in known]
    rows, texts = [i for i, _ in new], [each for _, each in new]
    readings = pool_readings(Continuing(subject, [where]), other, len(subject.prefix), text.length)[where][rows]
    x = text.sites[where].units.standardize(readings.float())
    active = (x @ torch.stack([each.vector for each in directions]).T).double().numpy()
    found = [explained(text, site, direction, options.proposals) for direction in directions]
    rng, records = np.random.default_rng(0), []
    for source in SOURCES:
        for reading in READINGS:
            weights = [
                explanation(each[source][0], each[source][1], pool, reading) if source in each else None
                for each in (one["sources"] for one in found)
            ]
            chosen = [None if each is None else np.argsort(-score(texts, each, reading))[:CHOSEN] for each in weights]
            for k, direction in enumerate(directions):
                records.append(
                    {"direction": direction.name, "source": source, "reading": reading, "bits": found[k]["bits"]}
                    | {"distance": found[k]["distance"], "chosen": None if chosen[k] is None else len(chosen[k])}
                    | _of_direction(active[:, k], chosen, k, rng)
                    | _of_concept(text, site, direction, weights[k], reading)
                    | _shown(weights[k], texts, chosen[k])
                )
    return records


def _of_direction(
    active: Float[ndarray, " n"], chosen: Sequence[ndarray | None], k: int, rng: np.random.Generator
) -> dict[str, Any]:
    """AUROC of the direction's own texts, and of those that the explanations of the others choose."""

    def split_by(rows: ndarray) -> tuple[ndarray, ndarray]:
        return active[rows], np.delete(active, rows)

    null = [auroc(*split_by(rows)) for j, rows in enumerate(chosen) if j != k and rows is not None]
    own = chosen[k]
    if own is None:
        return {"auroc": None, "low": None, "high": None, "null": null}
    low, high = bootstrapped(*split_by(own), rng)
    return {"auroc": auroc(*split_by(own)), "low": low, "high": high, "null": null}


def _of_concept(
    text: NaturalText, site: str, direction: Direction, weights: dict[str, float] | None, reading: str
) -> dict[str, Any]:
    """AUROC on held-out texts of the concept: of the explanation's score, and of the direction itself."""
    concept = direction.concept
    if concept is None or weights is None:
        return {"concept": None, "ceiling": None}
    both = (concept.held_having, concept.held_lacking)
    by_words = auroc(*(score(texts, weights, reading) for texts in both))
    ceiling = auroc(*((read(text, site, texts) @ direction.vector).double().numpy() for texts in both))
    return {"concept": by_words, "ceiling": ceiling}


def _shown(weights: dict[str, float] | None, texts: Sequence[str], chosen: ndarray | None) -> dict[str, Any]:
    if weights is None or chosen is None:
        return {"terms": [], "texts": []}
    return {"terms": sorted(weights, key=lambda term: -weights[term])[:8], "texts": [texts[i] for i in chosen[:4]]}


def tables(records: Sequence[dict[str, Any]]) -> list[Table]:
    """One line for each source and reading; and one for each direction, explained by its draws."""
    kinds = ("latent", "random", "")
    whole = Table("source", "reading", "directions", "no explanation", "explained", "own AUROC", "null", "own - null")
    for source in SOURCES:
        for reading in READINGS:
            for kind in kinds:
                some = [
                    each for each in records
                    if (each["source"], each["reading"]) == (source, reading) and _kind(each["direction"]) == kind
                ]  # fmt: skip
                whole.add_row(source, reading, f"{len(some)} {kind or 'differences'}", *_line(some))
    each_one = Table(
        "direction", "source", "reading", "bits", "δ", "AUROC", "95%", "null 95%", "concept", "ceiling", "terms"
    )
    for each in records:
        cells = [
            each["direction"],
            each["source"],
            each["reading"],
            *map(_number, (each["bits"], each["distance"], each["auroc"])),
        ]
        null = f"{np.quantile(each['null'], 0.95):.2f}" if each["null"] else ""
        between = "" if each["auroc"] is None else f"{each['low']:.2f} to {each['high']:.2f}"
        each_one.add_row(
            *cells, between, null, _number(each["concept"]), _number(each["ceiling"]), ", ".join(each["terms"])
        )
    return [whole, each_one]


def is_explained(record: dict[str, Any]) -> bool:
    """Above chance with its interval, and above 95% of its null."""
    return record["auroc"] is not None and record["low"] > 0.5 and record["auroc"] > np.quantile(record["null"], 0.95)


def _kind(name: str) -> str:
    return name.split()[0] if name.split()[0] in ("latent", "random") else ""


def _line(some: Sequence[dict[str, Any]]) -> list[str]:
    known = [each for each in some if each["auroc"] is not None and each["null"]]
    own, null = np.array([each["auroc"] for each in known]), np.array([np.mean(each["null"]) for each in known])
    gap = mean(own - null) if known else None
    shown = "" if gap is None else f"{gap.value:+.2f} ({gap.low:+.2f} to {gap.high:+.2f})"
    level = [f"{values.mean():.2f}" if len(values) else "" for values in (own, null)]
    return [str(len(some) - len(known)), str(sum(map(is_explained, known))), *level, shown]


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=Path)
    parser.add_argument("--table", action="store_true")
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--site", default="resid_post.15")
    parser.add_argument("--length", type=int, default=12)
    parser.add_argument("--draws", type=int, default=1024)
    parser.add_argument("--proposals", type=int, default=2000)
    parser.add_argument("--latents", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=40.0, help="for the autoencoder")
    options = parser.parse_args()
    path = options.out / "directions.json"
    if not options.table:
        started = time.monotonic()
        subject = Subject.load(options.model, device=options.device, dtype=options.dtype)
        text = NaturalText.open(subject, sites=[options.site], length=options.length, draws=options.draws)
        found, facts = latents(text, options.site, options.latents, options.seconds)
        directions = [*differences(text, options.site), *found, *random_directions(len(found[0].vector))]
        records = measured(text, options.site, directions, options)
        files.write_json(path, {**facts, "seconds": time.monotonic() - started, "records": records})
    content = files.read_json(path)
    console = Console(width=170)
    console.print({key: value for key, value in content.items() if key != "records"})
    for table in tables(content["records"]):
        console.print(table)


if __name__ == "__main__":
    main()
