"""Step `text`: every target at every site of the config's section `text`, and the comparison over the targets.

One unit is one target at one site, with a seed of its own; budgets are tokens, so that the same seed gives the same
numbers. Stored positions are read once for all targets.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from inversescope import files
from inversescope.cluster import Unit, Worker, by, parts
from inversescope.collect.store import OpenRun
from inversescope.config import TextConfig
from inversescope.errors import UserError
from inversescope.natural_text.evaluation import probe
from inversescope.natural_text.evaluation.one_target import OneTarget
from inversescope.natural_text.evaluation.stored import Stored, pools
from inversescope.natural_text.evaluation.summary import above, comparison, recovered, shares
from inversescope.natural_text.natural_text import LONGEST, SHORTEST, NaturalText
from inversescope.natural_text.question import Source
from inversescope.progress import Progress, silent
from inversescope.records import text as records
from inversescope.sites import Site
from inversescope.stats.resampling import other_targets
from inversescope.streams import Stream, TorchStream
from inversescope.tasks import Labels

NOTE = "targets x sites, and stored inputs"
SIZE = 64  # of a unit beside a stored input


class Evaluator:
    """Does units of the step.

    Raises:
        UserError: a target has fewer than three tokens.
    """

    def __init__(self, run: OpenRun, progress: Progress):
        self.run, self.folder, self.config = run, run.folder / "text", run.config.text
        self.sites = run.subject.sites(self.config.sites)
        inputs, prefix = run.store.inputs("target").tokens, len(run.subject.prefix)
        self.sources = [tuple(tokens[prefix:]) for tokens in inputs]
        self.others = other_targets(len(inputs), run.seed)
        self.text = NaturalText.open(
            run.subject,
            sites=[str(site) for site in self.sites],
            length=_length(self.config, self.sources),
            draws=self.config.pool,
            progress=progress,
        )
        self.targets = {
            site: self.text.sites[site].units.standardize(run.store.activations("target", site).float())
            for site in self.sites
        }
        self.stored = self._stored(run)

    def units(self) -> list[Unit]:
        """Units of the step: stored positions, and every target at every site."""
        pairs = [(str(site), target) for target in range(len(self.sources)) for site in self.sites]
        own = [Unit(f"part-{i:05d}.json", ("target", *pair), SIZE) for i, pair in enumerate(pairs)]
        return [*(self.stored.units_of_work() if self.config.nearest else ()), *own]

    def __call__(self, unit: Unit, progress: Progress, /) -> Path:
        path = self.folder / unit.file
        if unit.arguments[0] == "stored":
            first, last, multiple = unit.arguments[1:]
            return self.stored.do(path, first, last, multiple, progress)
        _, address, target = unit.arguments
        site = Site.parse(address)
        files.write_json(path, records.PART.of(self._one(site, target).rows(progress)))
        return path

    def probed(self) -> Iterator[dict[str, Any]]:
        """Rows of `shares.parquet` of a linear probe, which is fitted on the run's pool."""
        run, prefix = self.run, len(self.run.subject.prefix)
        inputs = [tokens[prefix:] for tokens in run.store.inputs("pool").tokens]
        embeddings = run.subject.model.get_input_embeddings().weight.detach().float().cpu()
        for site in self.sites if len(inputs) >= probe.FEWEST else ():
            activations = self.text.sites[site].units.standardize(run.store.activations("pool", site).float())
            same = probe.recovery(embeddings, activations, inputs, self.targets[site], self.sources)
            yield from recovered(str(site), records.PROBE, same)

    def _one(self, site: Site, target: int) -> OneTarget:
        run, count = self.run, len(self.sources)
        activation = run.store.activations("target", site)[target]
        question = self.text.question(activation, site)
        return OneTarget(
            text=self.text,
            config=self.config,
            source=Source(run.store.inputs("target").texts[target], question, self.sources[target]),
            other=self.targets[site][self.others[target]] if count > 1 else None,
            target=target,
            seed=TorchStream.TEXT.seed(run.seed, self.sites.index(site) * count + target),
            labels=partial(_labels, run),
        )

    def _stored(self, run: OpenRun) -> Stored:
        windows = run.store.inputs("train").tokens
        order = Stream.STORED.rng(run.seed).permutation(len(windows))
        units = {site: self.text.sites[site].units for site in self.sites}
        sizes = pool_sizes(self.config, sum(len(window) - len(run.subject.prefix) for window in windows))
        return Stored(run.subject, units, self.targets, self.sources, [windows[i] for i in order], sizes)


def pool_sizes(config: TextConfig, positions: int) -> dict[int, int]:
    """Sizes of the pools of stored positions, by the multiple that they are of the search's tokens.

    Raises:
        UserError: there are fewer positions than the largest needs.
    """
    sizes = {multiple: multiple * config.nearest for multiple in config.stored}
    if max(sizes.values(), default=0) > positions:
        raise UserError(
            "the training inputs have fewer positions than the largest pool of stored ones needs",
            given=f"text.stored {max(config.stored)} times text.nearest {config.nearest}, and {positions} positions",
            remedy="a larger collect.train (inversescope extend), or a run with a smaller text.stored",
        )
    return sizes


def _length(config: TextConfig, sources: Sequence[Sequence[int]]) -> int:
    short = min(sources, key=len)
    if len(short) < SHORTEST:
        raise UserError(
            "a target is too short to be inverted into natural text",
            given=f"{len(short)} tokens",
            allowed=f"{SHORTEST} or more",
            remedy="text.sites = [], or a task with longer inputs",
        )
    return min(LONGEST, max(map(len, sources))) if config.length == "auto" else config.length


def _labels(run: OpenRun, tokens: Sequence[int]) -> Labels:
    return run.task.labels((*run.subject.prefix, *tokens))


def make_worker(run: OpenRun) -> Worker:
    """Worker of the step `text`."""
    return Evaluator(run, silent)


def step(run: OpenRun, folder: Path, progress: Progress) -> None:
    """The step `text`; empty tables where no site is named."""
    if not run.config.text.sites:
        for record in records.TABLES:
            files.write_table(folder / record.name, record.of([]))
        return
    evaluator = Evaluator(run, progress)  # what all units share is read here, before other processes need it
    units = evaluator.units()
    paths = parts.make(folder, units, lambda: evaluator, progress, by(run, make_worker))
    read: dict[str, list[dict[str, Any]]] = {"answers": [], "verdicts": [], "methods": [], "features": []}
    stored: list[dict[str, Any]] = []
    for unit, path in zip(units, paths, strict=True):
        content = files.read_json(path)
        if unit.arguments[0] == "stored":
            stored += content["methods"]
        else:
            for name, rows in content.items():
                read[name] += rows
    read["methods"] += pools(stored, run.config.text.stored)
    _write(folder, evaluator, read, run.seed)


def _write(folder: Path, evaluator: Evaluator, read: dict[str, list[dict[str, Any]]], seed: int) -> None:
    rulers = {str(site): evaluator.text.sites[site].ruler for site in evaluator.sites}
    ruler = [
        {"site": site, "shared": shared, "distance": median}
        for site, own in rulers.items()
        for shared, median in own.medians.items()
    ]
    tables = {
        records.ANSWERS: read["answers"],
        records.VERDICTS: read["verdicts"],
        records.METHODS: read["methods"],
        records.FEATURES: read["features"],
        records.RULER: ruler,
        records.COMPARISON: list(comparison(read["methods"], seed)),
        records.SHARES: [*shares(read["methods"], rulers), *evaluator.probed()],
        records.ABOVE: list(above(read["features"])),
    }
    for record, rows in tables.items():
        files.write_table(folder / record.name, record.of(rows))
