"""Steered activations inverted into natural text: docs/studies/text.md.

    python benchmarks/text_steering.py --out FILE.jsonl [--layers 8] [--bases 2] [--answer nearest] [--tokens 5000]
        [--length 10]
    python benchmarks/text_steering.py --tables FILE.jsonl

For each base and each vector (`texts/steering.toml`: the difference of the means over pairs of texts): what a search
says of the base's activation plus α times the vector. Floors: the base alone (α = 0), a random vector as long,
the labels of the other two vectors, and the draws of the pool that are nearest. Ceiling: the base written with the
property, no vector added. `along` is how far the input's own activation has moved from the base's along the vector, in
vectors: α where the search follows it; `asked` is the same of the activation that is asked about. A search is one
observation, the input that it finds first.
"""

from __future__ import annotations

import argparse
import time
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from natural_jobs import Row, add_options, done, opened, read  # pyright: ignore[reportMissingImports]
from torch import Tensor

from inversescope.features import language
from inversescope.natural_text import searching
from inversescope.natural_text.budget import Budget
from inversescope.natural_text.question import Source

TEXTS = tomllib.loads((Path(__file__).parent / "texts" / "steering.toml").read_text(encoding="utf-8"))
VECTORS: dict[str, dict[str, Any]] = {vector["name"]: vector for vector in TEXTS["vectors"]}
ALPHAS, RANDOM_ALPHAS = (0.5, 1.0, 2.0, 4.0), (1.0, 4.0)
BASE, STEERED, RANDOM, WRITTEN = "base alone", "base + α · vector", "random vector", "written so"
POOL = 8  # nearest draws of the pool


class Job(NamedTuple):
    """One search; its vector is "" for the base alone."""

    kind: str
    base: int
    vector: str = ""
    alpha: float = 0.0


class Steering:
    """Searches for steered activations, in one process."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options, self.text = options, opened(options)
        (self.site,) = self.text.sites
        self.labels = {name: language.parse(vector["label"]) for name, vector in VECTORS.items()}
        self.units = self.text.sites[self.site].units
        self.vectors = {name: self._difference(vector["pairs"]) for name, vector in VECTORS.items()}

    def __call__(self, given: tuple[Any, ...]) -> list[Row]:
        job, start = Job(*given), time.process_time()
        base = self._read([TEXTS["bases"][job.base]])[0]
        vector = self.vectors[job.vector] if job.vector else torch.zeros_like(base)
        if job.kind == RANDOM:
            vector = self._random(vector, list(VECTORS).index(job.vector))
        activation = base + job.alpha * vector
        if job.kind == WRITTEN:
            activation = self._read([VECTORS[job.vector]["bases"][job.base]])[0]
        source = Source(job.kind, self.text.question(activation, self.site), None)
        found = searching.invert(
            self.text, source, self.options.answer, Budget(tokens=self.options.tokens), seed=job.base
        )
        pool = source.question.of_standardized(source.question.data.pool).topk(POOL, largest=False)
        stored = [self._shown(row) for row in self.text.pool.tokens[pool.indices, : self.text.length].tolist()]
        first = found.found[0]
        own = self._read_tokens(first.tokens)
        along = {name: self._along(own - base, each) for name, each in self.vectors.items()}
        if job.kind == RANDOM:
            along[RANDOM] = self._along(own - base, vector)
        return [
            {
                **job._asdict(),
                "text": self._shown(first.tokens),
                "distance": first.distance,
                "log_p": first.log_p,
                "along": along,
                "asked": {name: self._along(activation - base, each) for name, each in self.vectors.items()},
                "has": self._has([self._shown(first.tokens)]),
                "pool": float(pool.values[0]),
                "pool_text": stored[0],
                "pool_has": self._has(stored),
                "length": self._size(job.alpha * vector),
                "seconds": time.process_time() - start,
            }
        ]

    def _difference(self, pairs: Sequence[tuple[str, str]]) -> Float[Tensor, " d"]:
        """Mean over pairs, the two texts of which must end in the same token."""
        subject = self.text.subject
        for one, other in pairs:
            assert subject.encode(one)[-1] == subject.encode(other)[-1], (one, other)
        return (self._read([one for one, _ in pairs]) - self._read([other for _, other in pairs])).mean(0)

    def _read(self, texts: Sequence[str]) -> Float[Tensor, "n d"]:
        subject = self.text.subject
        return subject.capture([subject.encode(text) for text in texts], [self.site]).activations[self.site].float()

    def _read_tokens(self, tokens: Sequence[int]) -> Float[Tensor, " d"]:
        subject = self.text.subject
        return subject.capture([(*subject.prefix, *tokens)], [self.site]).activations[self.site][0].float()

    def _random(self, like: Float[Tensor, " d"], seed: int) -> Float[Tensor, " d"]:
        """A random direction, of the same length in the site's units."""
        drawn = torch.randn(len(like), generator=torch.Generator().manual_seed(seed)) * self.units.deviation
        return drawn * (self._size(like) / self._size(drawn))

    def _size(self, vector: Float[Tensor, " d"]) -> float:
        """Length in the units of δ."""
        return float(((vector / self.units.deviation) ** 2).mean().sqrt())

    def _along(self, moved: Float[Tensor, " d"], vector: Float[Tensor, " d"]) -> float:
        one, other = moved / self.units.deviation, vector / self.units.deviation
        return float(one @ other / (other @ other))

    def _has(self, texts: Sequence[str]) -> dict[str, float]:
        """Share of texts with each vector's property."""
        return {
            name: float(np.mean([self.labels[name].label(text) == VECTORS[name]["is"] for text in texts]))
            for name in VECTORS
        }

    def _shown(self, tokens: Sequence[int]) -> str:
        return self.text.subject.show(tokens)


def jobs(bases: int) -> Iterator[Job]:
    """All searches, base by base: an interruption leaves whole bases."""
    for base in range(bases):
        yield Job(BASE, base)
        for name in VECTORS:
            yield from (Job(STEERED, base, name, alpha) for alpha in ALPHAS)
            yield from (Job(RANDOM, base, name, alpha) for alpha in RANDOM_ALPHAS)
            yield Job(WRITTEN, base, name)


def tables(rows: list[Row]) -> Iterator[str]:
    """Markdown: means over the bases, then the inputs of each base."""
    yield "| vector | input | α | length | nearest draw | δ | ln P | asked | along | has it | others | pool | n |"
    yield "|---" * 13 + "|"
    for name in VECTORS:
        for kind, alpha in [(BASE, 0.0), *((STEERED, a) for a in ALPHAS), *((RANDOM, a) for a in RANDOM_ALPHAS)]:
            yield _line(name, kind, alpha, rows)
        yield _line(name, WRITTEN, 0.0, rows)
    yield ""
    for row in sorted(rows, key=lambda row: (row["base"], row["vector"], row["kind"], row["alpha"])):
        what = f"{row['kind']} {row['vector']} {row['alpha']:g}"
        yield f"- {TEXTS['bases'][row['base']]} | {what}: `{row['text']}` ({row['distance']:.2f}, {row['log_p']:.0f})"
    yield f"{np.mean([row['seconds'] for row in rows]):.1f} s a search"


def _line(name: str, kind: str, alpha: float, rows: list[Row]) -> str:
    own = [r for r in rows if (r["kind"], r["alpha"]) == (kind, alpha) and r["vector"] in ("", name)]
    if not own:
        return f"| {name} | {kind} | {alpha:g} |" + " – |" * 10
    mean = {key: np.mean([row[key] for row in own]) for key in ("length", "pool", "distance", "log_p")}
    along = np.mean([row["along"][RANDOM if kind == RANDOM else name] for row in own])
    asked = alpha if kind == RANDOM else np.mean([row["asked"][name] for row in own])
    has, stored = (np.mean([row[key][name] for row in own]) for key in ("has", "pool_has"))
    others = np.mean([[row["has"][other] for other in VECTORS if other != name] for row in own])
    cells = [
        *(name, kind, f"{alpha:g}"),
        *(f"{mean[key]:.2f}" for key in ("length", "pool", "distance")),
        f"{mean['log_p']:.0f}",
        *(f"{value:.2f}" for value in (asked, along, has, others, stored)),
        str(len(own)),
    ]
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    parser = argparse.ArgumentParser()
    add_options(parser)
    parser.set_defaults(length=10)
    parser.add_argument("--layers", default="8", help="the layer of resid_post that is steered")
    parser.add_argument("--bases", type=int, default=2)
    parser.add_argument("--answer", choices=searching.KINDS, default="nearest")
    parser.add_argument("--tokens", type=int, default=5000, help="of a search")
    parser.add_argument("--tables", type=Path, help="only the tables of a file that --out has written")
    options = parser.parse_args()
    if options.tables:
        print("\n".join(tables(read(options.tables))))
        return
    rows: list[Row] = []
    for found in done(Steering, options, [tuple(job) for job in jobs(options.bases)]):
        rows += found
    print("\n".join(tables(rows)))


if __name__ == "__main__":
    main()
