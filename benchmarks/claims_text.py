"""Claims about natural sentences, checked on the bundled model: verdicts that are right, and why claims stay open.

python benchmarks/claims_text.py OUT [--each 200] [--texts 60] [--draws 128] [--resolution N] [--seed 0]

The prior is the task `facts`, read one word or mark behind a fact. The right verdict on a claim is that of the rule on
exact shares. They come from many inputs drawn from the prior anew, each with its exact probability, weighted by the
kernel: an oracle without generator, draws or intervals. A claim is planted where all its shares are `CLEAR` of the
rule's limits; else no verdict is right, and it is counted and left out.
"""

from __future__ import annotations

import argparse
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from claims import TRUTHS, Planted, accuracy, hash_of, summary
from jaxtyping import Bool, Float
from numpy import ndarray

from inversescope import Inverter
from inversescope.check import Claim
from inversescope.check.check import Checking, conclude
from inversescope.check.checked import Checked
from inversescope.check.claims import property_of
from inversescope.run.pipeline import STEPS
from inversescope.run.run import Run
from inversescope.score.same_ending import SameEnding
from inversescope.sites import Site
from inversescope.stats.weights import effective_sample_size
from inversescope.tasks import Tokens
from inversescope.verdicts.checked import CANNOT_TELL, VERDICTS

CONFIG = """
seed = {seed}
[subject]
model = "smollm2"
[task]
name = "facts"
cut = "later"
[collect]
sites = {sites}
train = {train}
pool = {pool}
targets = 24
[generator]
sites = {sites}
[train]
steps = {steps}
[sample]
resolutions = [64, 8]
samples = 24
"""
CLEAR = 0.1  # distance of an exact share, or of a difference of two, from the rule's limits
LEVEL = 0.02  # difference of two exact shares up to which they are equal
NEAR = 0.1  # an ending is compared at either length where the share of the prior that has it is so near the limit
HASHES = 20
NUMBER = re.compile(r"[−-]?\d*\.?\d+|\[[^]]*\]")


@dataclass(frozen=True)
class Oracle:
    """Distinct inputs of the prior with their share of it, and their activations at each site."""

    tokens: Sequence[Tokens]
    texts: Sequence[str]
    probability: Float[ndarray, " n"]
    activations: Mapping[Site, torch.Tensor]

    @classmethod
    def of(cls, run: Run, sites: Sequence[Site], sources: Sequence[Tokens], n: int, rng: np.random.Generator) -> Oracle:
        """The sources, and the inputs among `n` draws, read by the subject; their activations are kept beside the run.

        An input stands for 1/p times its probability, where p is that of being here (Horvitz and Thompson 1952): for a
        source 1.
        """
        drawn = dict.fromkeys(row for row in run.task.draw(n, rng) if not run.task.held_out(row))
        tokens, kept = list(dict.fromkeys([*sources, *drawn])), run.folder.parent / "oracle.pt"
        prior = np.exp(np.array([run.task.log_prior(row) for row in tokens], dtype=float))
        included = np.where(np.arange(len(tokens)) < len(sources), 1.0, -np.expm1(n * np.log1p(-prior)))
        if not kept.exists():
            read = run.subject.capture(tokens, sites).activations
            torch.save({str(site): rows for site, rows in read.items()}, kept)
        known = torch.load(kept)
        activations = {site: known[str(site)] for site in sites}
        assert all(len(rows) == len(tokens) for rows in activations.values()), f"{kept} is of other inputs"
        shares = prior / included
        return cls(tokens, [run.subject.decode(row) for row in tokens], shares / shares.sum(), activations)


def unseen(run: Run, n: int, rng: np.random.Generator) -> list[Tokens]:
    """Different inputs of the prior, of no frame that only targets have, and none that the run has stored."""
    stored = {tokens for split in ("train", "pool") for tokens in run.store.inputs(split).tokens}
    found: dict[Tokens, None] = {}
    while len(found) < n:
        drawn = run.task.draw(2 * n, rng)
        found |= dict.fromkeys(row for row in drawn if row not in stored and not run.task.held_out(row))
    return list(found)[:n]


def candidates(text: str, labels: Mapping[str, str | None], values: Mapping[str, Sequence[str]]) -> Iterator[dict]:
    """Claims about a text: each label of each feature, words of it, and properties of most texts."""
    for feature, own in labels.items():
        if own is not None:
            yield from (
                {"claim": f"{feature} is {value}", "feature": feature, "value": value} for value in values[feature]
            )
    words = re.findall(r"\w+", text)
    yield from ({"claim": f"last_word == {words[-1]!r}"}, {"claim": f"first_word == {words[0]!r}"})
    yield from ({"claim": f"has_word({word!r})"} for word in dict.fromkeys(words))
    yield from ({"claim": claim} for claim in ("words > 2", "has_upper", "not has_digit", "characters > 10"))


def share(labels: Bool[ndarray, " n"], decided: Bool[ndarray, " n"], weights: Float[ndarray, " n"]) -> float:
    """Share of the decided weight."""
    whole = float(weights[decided].sum())
    return float(weights[labels & decided].sum()) / whole if whole > 0 else np.nan


def right_verdict(draws: float, others: float, prior: float, ending: float, targets: float) -> str | None:
    """The verdict on exact shares; None where one of them is not clear of a limit."""
    beyond = draws - np.array([prior, targets, ending])
    if draws <= 0.5 - CLEAR and beyond[0] <= 0:
        return TRUTHS["false"]
    if not draws >= 0.5 + CLEAR:
        return None
    if beyond[0] <= LEVEL:
        return TRUTHS["prior"]
    if not (others >= 0.5 + CLEAR and (beyond[:2] >= CLEAR).all()):
        return None
    return TRUTHS["true"] if beyond[2] >= CLEAR else TRUTHS["ending"] if beyond[2] <= LEVEL else None


class Planting:
    """Claims about texts at one site and bandwidth, with their right verdicts."""

    def __init__(self, inverter: Inverter, oracle: Oracle, site: Site, bandwidth: float, bits: float):
        self._run, self._oracle, self._site = inverter.run, oracle, site
        self._bandwidth, self._bits = bandwidth, bits
        self._labels: dict[tuple[str, str | None], tuple[ndarray, ndarray]] = {}
        self.sizes: list[float] = []
        self.above: Counter[tuple[str | None, bool]] = Counter()  # claims by right verdict, and above the beginning

    def posterior(self, activations: Float[torch.Tensor, "m d"]) -> Float[ndarray, "m n"]:
        """Weights of the oracle's inputs around activations."""
        store, known = self._run.store, self._oracle.activations[self._site]
        distances = store.distance(self._site).by_products(known, activations)
        return store.kernel.posterior(distances, self._bandwidth, np.log(self._oracle.probability))

    def about(
        self, row: Tokens, activation: Float[torch.Tensor, "1 d"], others: Float[ndarray, "m n"],
        values: Mapping[str, Sequence[str]],
    ) -> Iterator[tuple[Claim, str | None]]:  # fmt: skip
        """Every candidate about a text; `others`: weights around other texts."""
        text = self._run.subject.decode(row)
        weights, flat = self.posterior(activation)[0], self._oracle.probability
        without = np.where([tokens == row for tokens in self._oracle.tokens], 0.0, weights)
        self.sizes.append(float(effective_sample_size(weights[None])[0]))
        endings, beginning = self.alike(row, 1), self.alike(row, -1)[0]
        for made in candidates(text, self._run.task.labels(row), values):
            claim = Claim(made["claim"], str(self._site), text, feature=made.get("feature"), value=made.get("value"))
            has, decided = self.labels(claim)
            by_others = np.nanmean([share(has, decided, each) for each in others])
            draws, alone, prior = (share(has, decided, each) for each in (weights, without, flat))
            rights = {right_verdict(draws, alone, prior, share(has, decided, same), by_others) for same in endings}
            right = rights.pop() if len(rights) == 1 else None
            self.above[right, draws - share(has, decided, beginning) >= CLEAR] += 1
            yield claim, right

    def alike(self, row: Tokens, order: int) -> list[Float[ndarray, " n"]]:
        """Weights of the oracle's inputs with the same ending, or with the same beginning (`order` -1), of which as
        little is left as at the level: for the least and the largest limit that it may be.
        """
        rows, flat = [tokens[::order] for tokens in self._oracle.tokens], self._oracle.probability
        own = np.array([[tokens == row for tokens in self._oracle.tokens]])
        control = SameEnding.of([row[::order]], rows, flat, own)
        limits = 2**-self._bits * np.array([1 - NEAR, 1 + NEAR])
        return [flat * (control.shared[0] >= int(control.lengths(limit)[0])) for limit in limits]

    def labels(self, claim: Claim) -> tuple[Bool[ndarray, " n"], Bool[ndarray, " n"]]:
        """Inputs of the oracle with the property, and those that have a label."""
        key = claim.feature or claim.claim, claim.value
        if key not in self._labels:
            found = property_of(claim, self._run.task.features)
            assert found is not None
            if found.expression is None:
                labels = [self._run.task.labels(row)[found.feature] for row in self._oracle.tokens]
            else:
                labels = [found.expression.label(text) for text in self._oracle.texts]
            self._labels[key] = (
                np.array([label == found.value for label in labels]), np.array([label is not None for label in labels])
            )  # fmt: skip
        return self._labels[key]


def planted(
    inverter: Inverter, oracle: Oracle, sites: Sequence[Site], texts: Sequence[Tokens], options: argparse.Namespace
) -> tuple[list[Planted], Counter[str]]:
    """Some claims of each kind, over all sites and texts; and the candidates by right verdict."""
    rng, run = np.random.default_rng(options.seed), inverter.run
    values: dict[str, list[str]] = {}
    for feature, column in run.store.inputs("pool").labels.items():
        values[feature] = sorted({label for label in column if label is not None})
    every: list[tuple[Claim, str | None]] = []
    activations = run.subject.capture(texts, sites).activations
    for site in sites:
        level = inverter.level(site, options.resolution, None)
        bits = np.log2(level.resolution or 64)
        planting = Planting(inverter, oracle, site, level.bandwidth, float(bits))
        around = planting.posterior(activations[site])
        for place, row in enumerate(texts):
            others = np.delete(around, place, axis=0)[:24]
            every += planting.about(row, activations[site][place : place + 1], others, values)
        size = np.median(planting.sizes)
        above = [planting.above[TRUTHS["true"], clear] for clear in (True, False)]
        print(f"{site}: {level}, the oracle is worth {size:.0f} inputs in the median", flush=True)
        print(f"  true claims: {above[0]} above inputs with the same beginning, {above[1]} not", flush=True)
    chosen = []
    for right in TRUTHS.values():
        kind = [claim for claim, verdict in every if verdict == right]
        chosen += [Planted(kind[i], right) for i in rng.permutation(len(kind))[: options.each].tolist()]
    return chosen, Counter(verdict or "not clear" for _, verdict in every)


def nonsense(run: Run, sites: Sequence[Site], texts: Sequence[Tokens], n: int, rng: np.random.Generator) -> list[Claim]:
    """Claims that mean nothing: a hash of the text has the text's own label."""
    found = []
    for i in range(n):
        text, salt = run.subject.decode(texts[i % len(texts)]), int(rng.integers(HASHES))
        value = hash_of(salt)(text)
        site = str(sites[int(rng.integers(len(sites)))])
        found.append(Claim(f"hash{salt} is {value}", site, text, feature=f"hash{salt}", value=value))
    return found


def why(reason: str) -> str:
    """A reason without its numbers."""
    return " ".join(NUMBER.sub("", reason).split()).lstrip(": ")


def made_run(options: argparse.Namespace) -> Path:
    """The run, up to verified draws of its targets."""
    folder = options.out / "run"
    sites = json.dumps(options.sites)
    names = {name: getattr(options, name) for name in ("seed", "train", "pool", "steps")}
    if not (folder / "run.toml").exists() and not folder.exists():
        Run.create(folder, CONFIG.format(sites=sites, **names))
    made = Run.open(folder)
    for step in list(STEPS)[: list(STEPS).index("verify") + 1]:
        if not made.finished(step):
            made.do(step)
            print(step, "done", flush=True)
    return folder


def show(checked: Checked, claims: Sequence[Planted]) -> None:
    """Verdicts by right verdict, and the reasons of those left open."""
    counts = summary(checked, claims)
    decided, right, n = accuracy(counts)
    shown = f"{decided} decided, {right} of them right ({right / max(1, decided):.1%})"
    print(f"{n} claims: {shown}, {1 - decided / n:.1%} open")
    for wanted in TRUTHS.values():
        print(f"  {wanted}: { {verdict: counts[wanted, verdict] for verdict in VERDICTS if counts[wanted, verdict]} }")
    reasons = Counter(
        (each.right, why(claim.reason))
        for each, claim in zip(claims, checked, strict=True)
        if claim.verdict == CANNOT_TELL
    )
    for (wanted, reason), count in sorted(reasons.items(), key=lambda item: (item[0][0], -item[1])):
        print(f"  open, {wanted}: {count} {reason}")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=Path)
    parser.add_argument("--each", type=int, default=100)
    parser.add_argument("--texts", type=int, default=40)
    parser.add_argument("--draws", type=int, default=128)
    parser.add_argument("--resolution", type=float)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--oracle", type=int, default=24000)
    parser.add_argument("--sites", nargs="*", default=["resid_post.3", "resid_post.15"])
    parser.add_argument("--train", type=int, default=4000)
    parser.add_argument("--pool", type=int, default=2500)
    parser.add_argument("--steps", type=int, default=200)
    options = parser.parse_args()
    torch.set_num_threads(1)
    inverter = Inverter.load(made_run(options), features={f"hash{i}": hash_of(i) for i in range(HASHES)})
    run, rng = inverter.run, np.random.default_rng([options.seed, 1])
    sites = run.subject.sites(options.sites)
    texts = unseen(run, options.texts, rng)
    oracle = Oracle.of(run, sites, texts, options.oracle, np.random.default_rng([options.seed, 2]))
    claims, found = planted(inverter, oracle, sites, texts, options)
    print("candidates:", dict(found), flush=True)
    empty = nonsense(run, sites, texts, 2 * options.each, rng)
    made = {"n": options.draws, "resolution": options.resolution, "seed": options.seed}
    items = Checking(inverter, [*(each.claim for each in claims), *empty], **made).items
    checked = conclude(items[: len(claims)], None, options.seed)
    show(checked, claims)
    checked.save(options.out / "verdicts.jsonl")
    print(f"nonsense: {conclude(items[len(claims) :], None, options.seed).counts}", flush=True)


if __name__ == "__main__":
    main()
