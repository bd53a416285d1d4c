"""Methods that write inputs: our generator, InversionView's, the prior without a condition, and edits of the source."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from jaxtyping import Float
from numpy import ndarray

from inversescope import files
from inversescope.arena.cost import Cost
from inversescope.arena.method import Answer, Kind, counted
from inversescope.arena.study import Study
from inversescope.calibrate.calibrate import check
from inversescope.collect.bandwidths import at_sites
from inversescope.collect.reference import read_distances
from inversescope.config import RunConfig
from inversescope.generator import Generator
from inversescope.progress import Progress
from inversescope.records.levels import Level, Levels
from inversescope.sample.sample import draw, table
from inversescope.sample.verify import verify
from inversescope.score.methods_and_controls import from_draws, from_edits, without_condition
from inversescope.sites import Site
from inversescope.train.prepare import prepare
from inversescope.train.trainer import Trainer

DRAWN, SAMPLES = "drawn.parquet", "samples.parquet"


@dataclass(frozen=True)
class Generated:
    """A conditional generator: labels of its verified draws, unweighted or weighted.

    The run's own generator where its seed and budget are those of the arena. Else one is trained by the run's config,
    changed by `settings`, for as long as the budget; then it draws as many samples as the run, and all are verified.

    Attributes:
        source: `generator` for draws as they come, `weighted` for the same with their importance weights.
        settings: changes of the run's config, by `section.key`.
        bandwidths: it is conditioned on the bandwidth; else it draws at the smallest it was trained for.
        beside: the name of the method whose draws it shares, if any.
    """

    name: str
    sees: str
    source: str = "generator"
    settings: tuple[tuple[str, Any], ...] = ()
    bandwidths: bool = True
    beside: str | None = None
    kind: Kind = "samples"
    supervised: bool = False

    def answer(self, study: Study, folder: Path, cost: Cost, progress: Progress) -> Iterator[Answer]:
        """The labels of its samples, site by site."""
        everything = self._draws(study, folder, cost, progress)
        samples = everything.filter(pc.field("method") == "generator")
        of_site = {site: samples.filter(pc.field("site") == str(site)) for site in study.sites}
        widths = {site: sorted(table["bandwidth"].unique().to_pylist()) for site, table in of_site.items()}
        _count_new(study, {site: _at_level(study, site, table) for site, table in of_site.items()}, everything, cost)
        features = study.features_with(samples)
        for site in study.sites:
            for inputs in from_draws(site, of_site[site], widths[site], features, study.seed):
                if inputs.method == self.source:
                    for answer in counted(inputs, features, cost):
                        yield answer if self.bandwidths else replace(answer, bandwidth=None)

    def _draws(self, study: Study, folder: Path, cost: Cost, progress: Progress) -> pa.Table:
        """Its verified samples: the run's, those of the method that it shares them with, or its own."""
        if study.as_run and not self.settings:
            cost.spent_by_run(study.spent("train"), study.spent("sample", "verify"))
            cost.fitted(*study.trained)
            return study.samples
        if self.beside and files.finished(other := folder.parent / self.beside):
            shared = files.check(other)["cost"]
            cost.training, cost.answering, cost.measured = shared["training"], shared["answering"], False
            cost.fitted(shared["steps"], bool(shared["cut"]))
            cost.notes.append(f"the draws of {self.beside}, whose cost is this")
            return files.read_table(other / SAMPLES)
        return self._own_draws(study, folder, cost, progress)

    def _own_draws(self, study: Study, folder: Path, cost: Cost, progress: Progress) -> pa.Table:
        """Verified samples of a generator trained here; kept in the folder."""
        config = _changed(study, self.settings)
        with cost.train():
            generator = _trained(study, config, cost, progress)
        with cost.answer():
            files.write_table(folder / DRAWN, _drawn(study, config, generator, self.bandwidths))
            run = study.run
            note = "distinct samples verified"
            from_pool = read_distances(run.folder)

            def verified(done: int, total: int, _: str = "") -> None:
                progress(done, total, note)

            verify(folder, [folder / DRAWN], run.store, run.task, run.subject, from_pool, verified)
        return pq.read_table(folder / SAMPLES)


@dataclass(frozen=True)
class Free:
    """The generator without a condition: the learned prior."""

    name: str = "no condition"
    sees: str = "nothing"
    kind: Kind = "samples"
    supervised: bool = False

    def answer(self, study: Study, folder: Path, cost: Cost, progress: Progress) -> Iterator[Answer]:
        """The labels of the run's draws without a condition, the same for every target and site."""
        cost.spent_by_run(study.spent("train"), study.spent("sample"))
        table = study.samples.filter(pc.field("method") == "no condition")
        tokens = [None if row is None else tuple(row) for row in table["tokens"].to_pylist()]
        for site in study.sites:
            inputs = replace(without_condition(site, table, study.features), source=study.are_sources(tokens))
            yield from counted(inputs, study.features, cost)


@dataclass(frozen=True)
class Edited:
    """Verified edits of the source input: near activations without a generator, if the source is available."""

    name: str = "edits"
    sees: str = "the source input, which the others are not given"
    kind: Kind = "samples"
    supervised: bool = False

    def answer(self, study: Study, folder: Path, cost: Cost, progress: Progress) -> Iterator[Answer]:
        """The labels of the edits, weighted by the kernel on their distance."""
        table = study.samples.filter(pc.field("method") == self.name)
        if not len(table):
            cost.notes.append("the run has no edits of its source inputs: it was made by an older version")
            return
        cost.spent_by_run(0.0, study.spent("sample", "verify"))
        of_site = {site: table.filter(pc.field("site") == str(site)) for site in study.sites}
        _count_new(study, of_site, study.samples, cost)
        for site in study.sites:
            edits = of_site[site]
            for inputs in from_edits(site, edits, study.bandwidths(site), study.features, study.run.store.kernel):
                yield from counted(inputs, study.features, cost)


def _changed(study: Study, settings: tuple[tuple[str, Any], ...]) -> RunConfig:
    """The run's config with other settings and the arena's seed."""
    config = study.run.config.model_dump(mode="json", exclude_unset=True, round_trip=True)
    config["seed"] = study.seed
    for path, value in settings:
        section, name = path.split(".")
        config.setdefault(section, {})[name] = value
    return RunConfig.model_validate(config)


def _trained(study: Study, config: RunConfig, cost: Cost, progress: Progress) -> Generator:
    """A generator trained for as long as the budget, preparation included; or until calibrated."""
    started, run = time.monotonic(), study.run
    levels, prior = _levels(study, config), run.task if config.train.emulate else None
    sampled = at_sites(levels)
    data = prepare(run.store, study.sites, config.generator, config.train, config.seed, sampled, prior)
    trainer = Trainer(data, config.train, config.seed, run.subject.device)
    checked = check(run.store, run.task, config.calibrate, levels, config.seed)
    begun = time.monotonic()
    while not trainer.ended:
        trainer.step()
        pace = (time.monotonic() - begun) / trainer.done
        # The learning rate falls towards the last step: the one at which, at this pace, the budget is over.
        trainer.last = max(trainer.done, round((study.budget - (begun - started)) / pace))
        if config.train.clean and trainer.done % config.train.check == 0 and not trainer.ended:
            trainer.run_check(checked)
        progress(trainer.done, trainer.last, f"training, loss {trainer.losses[-1]:.2f} nats")
    cost.fitted(trainer.done, trainer.calibrated != len(study.sites))
    return trainer.finished().eval()


def _drawn(study: Study, config: RunConfig, generator: Generator, bandwidths: bool) -> pa.Table:
    """As many samples for each target and site as the run has, at its bandwidths or at the smallest known."""
    targets, n, levels = len(study.run.store.inputs("target")), config.sample.samples, _levels(study, config)
    rng = study.generator(study.run.subject.device)
    parts = []
    for site in generator.sites:
        activations = study.run.store.activations("target", site)
        for level in levels[site] if bandwidths else [Level(None, generator.bandwidths[site][0])]:
            drawn = draw(generator, site, activations, level.drawn, n, rng)
            parts.append(table("generator", site, level, targets, n, *drawn))
    return pa.concat_tables(parts)


def _levels(study: Study, config: RunConfig) -> Levels:
    """Levels of each site: the run's, or the bandwidths that a method's settings put in their place."""
    set_itself = config.sample.bandwidths
    if not set_itself:
        return study.run.levels
    return {site: [Level(None, h) for h in sorted(set_itself)] for site in study.sites}


def _at_level(study: Study, site: Site, samples: pa.Table) -> pa.Table:
    """The draws of a site at the level at which new inputs are counted; all, of a method that has one bandwidth."""
    if len(samples["bandwidth"].unique()) == 1:
        return samples
    return samples.filter(pc.field("bandwidth") == study.levels[site].bandwidth)


def _count_new(study: Study, of_site: Mapping[Site, pa.Table], drawn: pa.Table, cost: Cost) -> None:
    """Count the new inputs among the samples of each site, which are a part of everything that was drawn."""
    new = sum(new_inputs(samples, study.typical(site)) for site, samples in of_site.items())
    cost.found(new, sum(map(len, of_site.values())) / max(1, len(drawn)))


def new_inputs(samples: pa.Table, typical: Float[ndarray, " targets"]) -> int:
    """Distinct inputs among verified samples of a site, for each target those within its typical distance that are
    neither its source nor training inputs.
    """
    names = ("target", "tokens", "distance", "source", "in_train")
    rows = zip(*(samples[name].to_pylist() for name in names), strict=True)
    return len(
        {
            (target, tuple(tokens))
            for target, tokens, distance, source, in_train in rows
            if distance is not None and distance <= typical[target] and not source and not in_train
        }
    )
