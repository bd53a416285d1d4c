"""Twelve activations of real texts inverted into natural text: docs/studies/text.md.

    python benchmarks/text_study.py --out FILE.jsonl [--layers 8,15,22,29] [--draws 1024] [--proposals 2000]
        [--best 7000] [--nearest 7000] [--bits 6] [--processes 1] [--device cpu] [--texts quotation,code,...]
    python benchmarks/text_study.py --tables FILE.jsonl
    python benchmarks/text_study.py --blind FILE.jsonl

For each text and layer: draws with their verdict, the answers `best` (h = 0.1) and `nearest`, floors and ceilings as of
the step `text`; labels of the source that the inputs of `best` share, beside inputs with the same ending that are as
near. All inputs have 12 tokens, as all texts but the long document, for which they stand for its end. `--blind` prints
the inputs of `best` and the nearest draws of the pool in random order, without their last two words, for a reader who
is to say of each which text it belongs to; the answers are after them.
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from natural_jobs import Row, add_options, done, opened, read  # pyright: ignore[reportMissingImports]

from inversescope.config import TextConfig
from inversescope.features import language
from inversescope.natural_text.evaluation.one_target import OneTarget
from inversescope.progress import silent
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
SHOWN = 2
HIDDEN = 2  # last words that the reader does not see


class Study:
    """One text at one layer."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options, self.text = options, opened(options)
        self.expressions = {name: language.parse(source) for name, source in FEATURES.items()}

    def __call__(self, job: tuple[str, str]) -> list[Row]:
        return list(self.of_text(*job))

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
        question = source.question
        nearest = int(question.of_standardized(question.data.pool).argmin())
        yield {
            "name": name,
            "site": address,
            "source": source.name,
            "pool": text.subject.show(question.pool.tokens[nearest, :LENGTH].tolist()),
            "seconds": time.process_time() - start,
            **found,
            "shared_by_best": list(self.above(one, best)),
        }

    def above(self, one: OneTarget, found: Sequence[Row]) -> Iterator[Row]:
        """Labels of the source: share of the inputs found, of inputs with the same ending that are as near, and of
        draws of the pool.
        """
        assert one.source.own is not None
        ruler = one.source.question.data.ruler
        shared = min(max(1, ruler.shared(float(np.median([row["distance"] for row in found])))), LENGTH - 1)
        ending = [self.labels(row) for row in one.with_ending(shared)[0].tolist()]
        prior = [self.labels(row) for row in one.source.question.pool.tokens[: len(ending), :LENGTH].tolist()]
        groups = {"best": [self.labels(row["tokens"]) for row in found], "ending": ending, "prior": prior}
        for feature, label in self.labels(one.source.own).items():
            if label is not None:
                shares = {
                    name: float(np.mean([each[feature] == label for each in own])) for name, own in groups.items()
                }
                yield {"feature": feature, "label": label, **shares, "shared": shared}


def tables(rows: list[Row]) -> Iterator[str]:
    """Markdown: verdicts, inputs, what is above the same ending."""
    names = list(TEXTS)
    texts = sorted(rows, key=lambda row: (names.index(row["name"]), int(row["site"].rpartition(".")[2])))
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
    counted: defaultdict[tuple[str, str], list[tuple[float, float]]] = defaultdict(list)
    for row in texts:
        for each in row["shared_by_best"]:
            counted[each["feature"], row["site"].rpartition(".")[2]].append(
                (each["best"] - each["ending"], each["best"] - each["prior"])
            )
    layers = sorted({layer for _, layer in counted}, key=int)
    yield "best less the same ending, less draws of the pool, and the number of texts with such a label"
    yield "| feature | " + " | ".join(f"layer {layer}" for layer in layers) + " |"
    yield "|---" * (1 + len(layers)) + "|"
    for feature in dict.fromkeys(name for name, _ in counted):
        values = [counted[feature, layer] for layer in layers]
        cells = ["{:+.2f} {:+.2f} ({})".format(*np.mean(v, 0), len(v)) if v else "–" for v in values]
        yield f"| {feature} | " + " | ".join(cells) + " |"


def blind(rows: list[Row]) -> Iterator[str]:
    """Inputs of `best` and nearest draws of the pool without their last words, in random order; the answers."""
    items = [
        (row["site"], row["name"], method, shown)
        for row in rows
        for method, shown in (
            ("best", next(each["text"] for each in row["answers"] if each["method"] == "best")),
            ("pool", row["pool"]),
        )
    ]
    order = np.random.default_rng(0).permutation(len(items))
    for number, place in enumerate(order):
        yield f"{number}: {_code(' '.join(items[place][3].split()[:-HIDDEN]))}"
    yield "answers"
    for number, place in enumerate(order):
        yield f"{number}: " + " ".join(items[place][:3])


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
    parser.add_argument("--tables", type=Path, help="only the tables of a file that --out has written")
    parser.add_argument("--blind", type=Path, help="only its inputs, for a reader")
    options = parser.parse_args()
    for path, show in ((options.tables, tables), (options.blind, blind)):
        if path:
            print("\n".join(show(read(path))))
            return
    start = time.time()
    sites = opened(options).sites
    print(f"opened in {time.time() - start:.0f} s", flush=True)
    jobs = [(name, str(site)) for name in options.texts.split(",") for site in sites]
    for rows in done(Study, options, jobs):
        for row in rows:
            print(f"{row['name']} {row.get('site', '')} {row['seconds']:.0f} s", flush=True)
    print(f"{time.time() - start:.0f} s by the clock, {options.processes} processes")


if __name__ == "__main__":
    main()
