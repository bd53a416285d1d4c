"""Twelve activations of real texts, and three steering vectors, inverted into natural text: docs/studies/text.md.

    python benchmarks/text_study.py --out FILE.jsonl [--layers 8,15,22,29] [--draws 1024] [--proposals 2000]
        [--best 7000] [--nearest 7000] [--bits 6] [--processes 1] [--device cpu] [--part texts|steering|both]
    python benchmarks/text_study.py --tables FILE.jsonl

For each text and layer: draws with their verdict, the answers `best` (h = 0.1) and `nearest`, floors and ceilings as of
the step `text`; labels of the source that the inputs of `best` share, beside inputs with the same ending that are as
near. Steering: what `best` says of the activation of a base plus α times a difference of means, and of a random vector
of the same length. All inputs have 12 tokens, as all texts but the long document, for which they stand for its end.
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from natural_jobs import Row, add_options, done, opened, read  # pyright: ignore[reportMissingImports]

from inversescope.config import TextConfig
from inversescope.features import language
from inversescope.natural_text import searching
from inversescope.natural_text.budget import Budget
from inversescope.natural_text.evaluation.one_target import OneTarget
from inversescope.natural_text.natural_text import NaturalText
from inversescope.natural_text.question import Source
from inversescope.progress import silent
from inversescope.subject import Subject
from inversescope.tasks import Labels

TEXTS = {
    "quotation": 'She closed the door and said, "I never wanted to',
    "code": "def add(a, b):\n    return a + b",
    "list": "We need eggs, flour, butter, sugar, milk and",
    "question": "Why do some birds fly south when the cold winter comes?",
    "name": "Yesterday Angela Merkel spoke to reporters about rising energy prices",
    "number": "The old bridge was finally finished in 1932",
    "French": "Elle est partie avec les enfants et",
    "URL": "The code is at https://github.com/python/",
    "bracket": "Concrete (a mixture of sand, gravel and fresh water",
    "irony": "Oh great, what a wonderful day to be stuck in traffic",
    "chat": "<|im_start|>user\nCan you help me write a poem?<|im_end|>",
    "end": "The king had ruled for forty years. He had built roads, harbours and a great library, and he had lost two "
    "wars. When the peace was signed he gave his crown to his niece, rode home alone, and never spoke of it again. So "
    "the story ends",
}
LENGTH = 12
FEATURES = {
    "last word": "last_word",
    "language": "language",
    "open bracket": "open_bracket",
    "open quote": "open_quote",
    "place in the clause": "bucket(clause_words, 1, 2, 4, 8)",
    "has a digit": "has_digit",
    "code": r'matches(r"[=_(){}\[\]]")',
    "question": r'matches(r"\?")',
    "web address": r'matches(r"https?:|www\.|\.org|\.com")',
    "comma": r'matches(r",")',
}
VECTORS = {
    "sentiment (positive less negative)": (
        [
            "I love this wonderful film",
            "What a beautiful and happy day",
            "The staff were kind",
            "This is the best book",
        ],
        ["I hate this terrible film", "What a horrible and sad day", "The staff were rude", "This is the worst book"],
    ),
    "French less English": (
        ["Elle est partie avec les enfants", "Nous avons mangé dans le jardin", "Le chat dort", "Il lit un livre"],
        ["She left with the children", "We ate in the garden", "The cat sleeps", "He is reading a book"],
    ),
    "past less present": (
        ["She walked to the station", "They were at home", "He wrote a long letter", "We played in the park"],
        ["She walks to the station", "They are at home", "He writes a long letter", "We play in the park"],
    ),
}
BASE = "The people who lived in the small town had always wanted to"
ALPHAS = (0.0, 1.0, 2.0, 4.0)
STEERED = "resid_post.15"
SHOWN = 2


class Study:
    """One text at one layer, or one vector."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options, self.text = options, opened(options)
        self.expressions = {name: language.parse(source) for name, source in FEATURES.items()}

    def __call__(self, job: tuple[Any, ...]) -> list[Row]:
        return list(self.of_text(*job[1:]) if job[0] == "text" else self.of_vector(*job[1:]))

    def labels(self, tokens: Sequence[int]) -> Labels:
        shown = self.text.subject.tokenizer.decode(list(tokens))
        return {name: expression.label(shown) for name, expression in self.expressions.items()}

    def of_text(self, name: str, address: str) -> Iterator[Row]:
        options, text, start = self.options, self.text, time.process_time()
        source = text.source(TEXTS[name], address)
        names = list(TEXTS)
        other = text.source(TEXTS[names[(names.index(name) + 1) % len(names)]], address)
        one = OneTarget(
            text=text,
            config=TextConfig(
                nearest=options.nearest, best=options.best, proposals=options.proposals, bits=(options.bits,)
            ),
            source=source,
            other=other.question.target,
            target=names.index(name),
            seed=names.index(name),
            labels=self.labels,
        )
        found = one.rows(silent)
        best = [row for row in found["answers"] if row["method"] == "best"]
        yield {
            "kind": "text",
            "name": name,
            "site": address,
            "source": source.name,
            "seconds": time.process_time() - start,
            **found,
            "shared_by_best": list(self.above(one, best)),
        }

    def above(self, one: OneTarget, found: Sequence[Row]) -> Iterator[Row]:
        """Labels of the source: share of the inputs found, and of inputs with the same ending that are as near."""
        assert one.source.own is not None
        ruler = one.source.question.data.ruler
        shared = min(max(1, ruler.shared(float(np.median([row["distance"] for row in found])))), LENGTH - 1)
        ending = [self.labels(row) for row in one.with_ending(shared)[0].tolist()]
        own, here = self.labels(one.source.own), [self.labels(row["tokens"]) for row in found]
        for feature, label in own.items():
            if label is not None:
                shares = [float(np.mean([each[feature] == label for each in group])) for group in (here, ending)]
                yield {"feature": feature, "label": label, "best": shares[0], "ending": shares[1], "shared": shared}

    def of_vector(self, name: str, alpha: float, random: bool) -> Iterator[Row]:
        text, start = self.text, time.process_time()
        (site,) = text.subject.sites([STEERED])
        base, one, other = (_mean(text, rows) for rows in ([BASE], *VECTORS[name]))
        vector, deviation = one - other, text.sites[site].units.deviation
        if random:
            drawn = torch.randn(len(vector), generator=torch.Generator().manual_seed(0))
            vector = deviation * drawn * ((vector / deviation).norm() / drawn.norm())
        source = Source(name, text.question(base + alpha * vector, site), None)
        found = searching.invert(text, source, "best", Budget(tokens=self.options.best), seed=0)
        pool = source.question.of_standardized(source.question.data.pool)
        yield {
            "kind": "steering",
            "name": name,
            "random": random,
            "alpha": alpha,
            "length": float((alpha * vector / deviation).norm() / len(vector) ** 0.5),
            "pool": float(pool.min()),
            "found": [[each.distance, each.log_p, each.text] for each in found.found[:SHOWN]],
            "seconds": time.process_time() - start,
        }


def _mean(text: NaturalText, rows: Sequence[str]) -> torch.Tensor:
    subject: Subject = text.subject
    (site,) = subject.sites([STEERED])
    return subject.capture([subject.encode(row) for row in rows], [site]).activations[site].float().mean(0)


def tables(rows: list[Row]) -> Iterator[str]:
    """Markdown: verdicts, inputs, what is above the same ending, steering."""
    names = list(TEXTS)
    texts = [row for row in rows if row["kind"] == "text"]
    texts.sort(key=lambda row: (names.index(row["name"]), int(row["site"].rpartition(".")[2])))
    yield "| text | layer | draws | nearest | best | nats below | no condition | same ending 1, 2, 4, 8 | s |"
    yield "|---|---|---|---|---|---|---|---|---|"
    for row in texts:
        methods = {each["method"]: each for each in row["methods"]}
        first = {"nearest": methods.get("nearest"), "best": methods.get("best")}
        verdict = row["verdicts"][0] if row["verdicts"] else None
        size = verdict and (f"{verdict['bits']:.1f} bits, size {verdict['size']:.0f}" if verdict["believed"] else None)
        finest = verdict and verdict["believed_bits"]
        draws = size or (f"not ({finest:.1f} bits would be)" if finest else "not")
        ending = " ".join(f"{methods[f'same ending {k}']['distance']:.2f}" for k in (1, 2, 4, 8))
        short = first["best"] and first["best"]["short_of_source"]
        cells = [
            row["name"],
            row["site"].rpartition(".")[2],
            draws,
            *(f"{each['distance']:.2f}" if each else "–" for each in first.values()),
            "–" if short is None else f"{short:.0f}",
            f"{methods['no condition']['distance']:.2f}",
            ending,
            f"{row['seconds']:.0f}",
        ]
        yield "| " + " | ".join(cells) + " |"
    yield ""
    for row in texts:
        yield f"**{row['name']}, layer {row['site'].rpartition('.')[2]}**: {_code(row['source'])}"
        for method in dict.fromkeys(each["method"] for each in row["answers"]):
            own = [each for each in row["answers"] if each["method"] == method][:SHOWN]
            shown = "; ".join(f"{_code(e['text'])} ({e['distance']:.2f}, {e['log_p']:.0f})" for e in own)
            yield f"- {method}: {shown}"
        higher = [e for e in row["shared_by_best"] if e["best"] - e["ending"] >= 0.25]
        lower = [e for e in row["shared_by_best"] if e["ending"] - e["best"] >= 0.25]
        for sign, group in (("above", higher), ("below", lower)):
            if group:
                each = ", ".join(f"{e['feature']} = {e['label']} {e['best']:.2f} ({e['ending']:.2f})" for e in group)
                yield f"- {sign} the same ending {group[0]['shared']}: {each}"
        yield ""
    counted: defaultdict[tuple[str, str], list[float]] = defaultdict(list)
    for row in texts:
        for each in row["shared_by_best"]:
            counted[each["feature"], row["site"].rpartition(".")[2]].append(each["best"] - each["ending"])
    layers = sorted({layer for _, layer in counted}, key=int)
    yield "| feature | " + " | ".join(f"layer {layer}" for layer in layers) + " |"
    yield "|---" * (1 + len(layers)) + "|"
    for feature in dict.fromkeys(name for name, _ in counted):
        values = [counted[feature, layer] for layer in layers]
        yield f"| {feature} | " + " | ".join(f"{np.mean(v):+.2f} of {len(v)}" if v else "–" for v in values) + " |"
    yield ""
    steering = sorted((r for r in rows if r["kind"] == "steering"), key=lambda r: (r["name"], r["random"], r["alpha"]))
    if steering:
        yield "| vector | α | length | nearest of the pool | best: δ, ln P, input |"
        yield "|---|---|---|---|---|"
    for row in steering:
        name = f"random, as long as {row['name']}" if row["random"] else row["name"]
        found = "; ".join(f"{d:.2f} ({p:.0f}) {_code(shown)}" for d, p, shown in row["found"])
        yield f"| {name} | {row['alpha']:g} | {row['length']:.2f} | {row['pool']:.2f} | {found} |"


def _code(text: str) -> str:
    return "`" + text.replace("\n", "⏎").replace("`", "'").replace("|", "¦") + "`"


def main() -> None:
    parser = argparse.ArgumentParser()
    add_options(parser)
    parser.set_defaults(length=LENGTH)
    parser.add_argument("--layers", default="8,15,22,29")
    parser.add_argument("--texts", default=",".join(TEXTS))
    parser.add_argument("--nearest", type=int, default=7000)
    parser.add_argument("--best", type=int, default=7000)
    parser.add_argument("--proposals", type=int, default=2000)
    parser.add_argument("--bits", type=float, default=6.0)
    parser.add_argument("--part", choices=("texts", "steering", "both"), default="both")
    parser.add_argument("--tables", type=Path, help="only the tables of a file that --out has written")
    options = parser.parse_args()
    if options.tables:
        print("\n".join(tables(read(options.tables))))
        return
    start = time.time()
    sites = opened(options).sites
    print(f"opened in {time.time() - start:.0f} s", flush=True)
    jobs: list[tuple[Any, ...]] = []
    if options.part != "steering":
        jobs += [("text", name, str(site)) for name in options.texts.split(",") for site in sites]
    if options.part != "texts":
        jobs += [("vector", name, alpha, False) for name in VECTORS for alpha in ALPHAS]
        jobs += [("vector", name, alpha, True) for name in VECTORS for alpha in ALPHAS if alpha]
    for rows in done(Study, options, jobs):
        for row in rows:
            print(f"{row['name']} {row.get('site', '')} {row['seconds']:.0f} s", flush=True)
    print(f"{time.time() - start:.0f} s by the clock, {options.processes} processes")


if __name__ == "__main__":
    main()
