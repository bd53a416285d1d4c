"""Jobs of the benchmarks of natural text: side by side in processes of one thread, each result a line of a file."""

from __future__ import annotations

import argparse
import json
import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import torch

from inversescope.natural_text.natural_text import NaturalText
from inversescope.natural_text.question import Source
from inversescope.subject import Subject

Row = dict[str, Any]
Work = Callable[[Any], list[Row]]
_made: list[Work] = []


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options that all of them have."""
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--length", type=int, default=16, help="tokens of an input")
    parser.add_argument("--draws", type=int, default=1024, help="size of the pool")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", type=Path, help="a JSON object a line, each as soon as it is there")


def opened(options: argparse.Namespace) -> NaturalText:
    """The subject's text at the sites; what is read once for all is in the cache afterwards."""
    options.sites = [f"resid_post.{layer}" for layer in options.layers.split(",")]
    return _opened(options.model, options.device, tuple(options.sites), options.length, options.draws)


@cache
def _opened(model: str, device: str, sites: tuple[str, ...], length: int, draws: int) -> NaturalText:
    """Once in a process."""
    return NaturalText.open(Subject.load(model, device=device), sites=sites, length=length, draws=draws)


class OfTarget:
    """Work on one target at one site, in a process that has the subject's text; `rows` is what differs."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options, self.text = options, opened(options)

    def __call__(self, job: tuple[str, int, tuple[int, ...], str]) -> list[Row]:
        return list(self.rows(*job))

    def rows(self, domain: str, target: int, tokens: tuple[int, ...], address: str) -> Iterator[Row]:
        """The results of one target, without the subject's prefix, at a site."""
        raise NotImplementedError

    def source(self, tokens: tuple[int, ...], address: str) -> Source:
        """The target and the question about its activation."""
        subject = self.text.subject
        (site,) = subject.sites([address])
        activation = subject.capture([(*subject.prefix, *tokens)], [site]).activations[site][0]
        return Source(subject.show(tokens), self.text.question(activation, site), tokens)


def done(
    make: Callable[[argparse.Namespace], Work], options: argparse.Namespace, jobs: Sequence[Any]
) -> Iterator[list[Row]]:
    """The rows of each job, as soon as they are there; `make` is called once in each process."""
    if options.processes == 1:
        _start(make, options)
        results = map(_do, jobs)
        yield from (kept(rows, options.out) for rows in results)
        return
    with multiprocessing.get_context("spawn").Pool(options.processes, _start, (make, options)) as workers:
        for rows in workers.imap_unordered(_do, jobs, chunksize=1):
            yield kept(rows, options.out)


def read(path: Path) -> list[Row]:
    """The rows of a file."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def kept(rows: list[Row], path: Path | None) -> list[Row]:
    """The same rows, added to a file if there is one."""
    if path is not None:
        with path.open("a", encoding="utf-8") as file:
            file.writelines(json.dumps(row, ensure_ascii=False, default=float) + "\n" for row in rows)
    return rows


def _start(make: Callable[[argparse.Namespace], Work], options: argparse.Namespace) -> None:
    torch.set_num_threads(1)
    _made[:] = [make(options)]


def _do(job: Any) -> list[Row]:
    return _made[0](job)
