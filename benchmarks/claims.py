"""Claims whose truth is planted, checked on models set by hand: verdicts that are right, and those left open.

python benchmarks/claims.py OUT [--seeds 1] [--each 200] [--bandwidth 0.05] [--draws 128]

The truth of each claim is known by construction: does the activation hold what is claimed? True claims: a feature that
the site encodes, with the text's label, which neither the prior nor the ending says. False: another label of it. Claims
that the prior alone says: a property of every text. Claims that the ending alone says: the last word, at a site that
holds it. Nonsense: the text's hash, and features that are erased at the site.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from planted_truth import run as planted_run  # pyright: ignore[reportMissingImports]
from planted_worlds import WORLDS, World  # pyright: ignore[reportMissingImports]

from inversescope import Inverter
from inversescope.check import Checked, Claim, check
from inversescope.verdicts.checked import CANNOT_TELL, CONTRADICTED, OF_ENDING, OF_PRIOR, SUPPORTED

TRUTHS = {"true": SUPPORTED, "false": CONTRADICTED, "prior": OF_PRIOR, "ending": OF_ENDING}
ENDINGS = {"bits": ("embed", "resid_post.0"), "vowels": ("resid_post.0",)}  # sites that hold the last word
LAST = "last"  # feature that the ending says by itself
HASHES = 2
CLEAR = 0.7  # share with the ending up to which it does not say a feature


@dataclass(frozen=True)
class Planted:
    """A claim, and the verdict that is right for it."""

    claim: Claim
    right: str


def hash_of(salt: int):
    """A feature that means nothing: half of all texts have it."""
    from hashlib import blake2b

    def label(text: str) -> str:
        return str(blake2b(f"{salt} {text}".encode(), digest_size=4).digest()[0] % HASHES)

    return label


def every_claim(world: World, kind: str) -> Iterator[Planted]:
    """All claims of a kind that can be planted in a world."""
    for row in world.rows:
        text, right = row["text"], TRUTHS[kind]
        if kind == "prior":
            shared = {"bits": "words == 7", "vowels": "words == 5", "sentences": "words == 4"}[world.name]
            for site in world.sites:
                yield Planted(Claim(shared, site, text), right)
            continue
        if kind == "ending":
            for site in ENDINGS.get(world.name, ()):
                yield Planted(Claim(f"last_word == {text.split()[-1]!r}", site, text), right)
            continue
        for site, features in world.encoded.items():
            for feature in features:
                said = ending_says(world, row, features, feature)
                if kind != "false" and (said > CLEAR or feature == LAST):
                    continue
                labels = sorted({other[feature] for other in world.rows})
                for label in labels if kind == "false" else [row[feature]]:
                    if (label == row[feature]) == (kind == "true"):
                        yield Planted(Claim(f"{feature} is {label}", site, text, feature=feature, value=label), right)


def ending_says(world: World, row: Mapping[str, str], encoded: Sequence[str], feature: str) -> float:
    """Share of texts with the row's label among those with its ending, of which as few are left as share its labels of
    all features that the site encodes.
    """
    alike = sum(all(other[name] == row[name] for name in encoded) for other in world.rows)
    words, n = row["text"].split(), len(world.rows)
    for length in range(len(words) + 1):
        ending = [
            other
            for other in world.rows
            if other["text"].split()[len(words) - length :] == words[len(words) - length :]
        ]
        if len(ending) - 1 <= alike / n * (n - 1):
            return sum(other[feature] == row[feature] for other in ending) / len(ending)
    return 1.0


def chosen(world: World, kind: str, n: int, rng: np.random.Generator) -> list[Planted]:
    """Some of them, over all sites and texts."""
    found = list(every_claim(world, kind))
    return [found[i] for i in rng.permutation(len(found))[:n].tolist()]


def nonsense(world: World, n: int, rng: np.random.Generator) -> list[Claim]:
    """Claims that no site encodes: hashes of the text, and features erased at the site, with the text's label."""
    found = []
    for i in range(n):
        row, site = world.rows[int(rng.integers(len(world.rows)))], str(rng.choice(list(world.erased)))
        if i % 2:
            salt = int(rng.integers(20))
            name, value = f"hash{salt}", hash_of(salt)(row["text"])
        else:
            name = str(rng.choice(world.erased[site]))
            value = row[name]
        found.append(Claim(f"{name} is {value}", site, row["text"], feature=name, value=value))
    return found


def summary(checked: Checked, planted: Sequence[Planted]) -> Counter[tuple[str, str]]:
    """Number of claims by right verdict and verdict given."""
    return Counter((each.right, claim.verdict) for each, claim in zip(planted, checked, strict=True))


def accuracy(counts: Counter[tuple[str, str]]) -> tuple[int, int, int]:
    """Claims decided, of these right, and all."""
    decided = sum(n for (_, verdict), n in counts.items() if verdict != CANNOT_TELL)
    right = sum(n for (wanted, verdict), n in counts.items() if verdict == wanted)
    return decided, right, sum(counts.values())


def check_world(
    inverter: Inverter, world: World, each: int, bandwidth: float, draws: int, seed: int
) -> tuple[Counter[tuple[str, str]], Counter[str], list[tuple[Planted, str, str]]]:
    """Verdicts on planted claims, on nonsense, and the claims that are decided wrongly."""
    rng = np.random.default_rng(seed)
    sizes = {"true": each, "false": each, "prior": each // 2, "ending": each * 3 // 4}  # one of the worlds has none
    planted = [claim for kind, n in sizes.items() for claim in chosen(world, kind, n, rng)]
    checked = check(inverter, [p.claim for p in planted], n=draws, bandwidth=bandwidth, seed=seed, necessity=False)
    empty = check(inverter, nonsense(world, each, rng), n=draws, bandwidth=bandwidth, seed=seed, necessity=False)
    wrong = [
        (p, found.verdict, found.reason)
        for p, found in zip(planted, checked, strict=True)
        if found.verdict not in (p.right, CANNOT_TELL)
    ]
    return summary(checked, planted), Counter(found.verdict for found in empty), wrong


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=Path)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--each", type=int, default=200)
    parser.add_argument("--bandwidth", type=float, default=0.05)
    parser.add_argument("--draws", type=int, default=128)
    options = parser.parse_args()
    torch.set_num_threads(1)
    total: Counter[tuple[str, str]] = Counter()
    empty: Counter[str] = Counter()
    each = -(-options.each // (len(WORLDS) * options.seeds))
    hashes = {f"hash{i}": hash_of(i) for i in range(20)}
    for world in WORLDS:
        for seed in range(options.seeds):
            folder = options.out / f"{world.name}-{seed}"
            made = folder / "run"
            if not (made / "verify" / "manifest.json").exists():
                made = planted_run(world, seed, folder, (options.bandwidth,))
            inverter = Inverter.load(made, features=hashes)
            counts, null, wrong = check_world(inverter, world, each, options.bandwidth, options.draws, seed)
            total, empty = total + counts, empty + null
            print(world.name, seed, dict(counts), "nonsense", dict(null), flush=True)
            for planted, verdict, reason in wrong:
                claim = planted.claim
                print(f"  {claim.claim!r} of {claim.text!r} at {claim.site}: {verdict}, not {planted.right} ({reason})")
    decided, right, n = accuracy(total)
    print(f"{n} claims: {decided} decided, {right} of them right ({right / max(1, decided):.1%}), {n - decided} open")
    for wanted in TRUTHS.values():
        own = {verdict: count for (kind, verdict), count in total.items() if kind == wanted}
        print(f"  {wanted}: {own}")
    print(f"nonsense: {dict(empty)}")


if __name__ == "__main__":
    main()
