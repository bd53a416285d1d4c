"""Run every sample back through the subject: its true distance, its weight, and the labels read off it.

A distinct input is run once, however many samples drew it and at however many sites they are to be read. One that was
collected is not run again: its activations are in the store.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from jaxtyping import Float, Int
from numpy import ndarray
from torch import Tensor

from inversescope import files, records
from inversescope.cluster import Do, Unit, Worker, by, here, parts
from inversescope.collect.inputs import SPLITS
from inversescope.collect.posterior import posterior
from inversescope.collect.reference import read_distances
from inversescope.collect.store import OpenRun, Store
from inversescope.progress import Progress
from inversescope.sample.one_target import Source, log_floor, log_prior, weigh
from inversescope.sites import Site
from inversescope.stats.weights import repeats, weighted_medians
from inversescope.subject import Subject
from inversescope.tasks import Task, Tokens
from inversescope.verdicts import ACCEPTED

NOTE = "distinct samples"
CHUNK = 2048  # distinct inputs read at once: bounds the memory, and what an interruption can cost


def verify(
    folder: Path,
    drawn: Sequence[Path],
    store: Store,
    task: Task,
    subject: Subject,
    from_pool: Mapping[str, Float[ndarray, "pool targets"]],
    progress: Progress,
    do: Do = here,
) -> Path:
    """Verify the samples in the files `drawn` (see `sample`), and write `samples.parquet`.

    `from_pool`: δ from every input of the pool to every target, by site, as the step `reference` wrote them.
    """
    path, table = folder / "samples.parquet", _at_every_site(_drawn(drawn))
    if not len(table):  # no generator
        files.write_table(path, records.verify.SAMPLES.schema(task.features).empty_table())
        return path
    distances = _distances(folder, table, store, subject, progress, do)
    verified = _describe(table, distances, store, task, subject, from_pool)
    files.write_table(path, verified)
    return path


def _at_every_site(table: pa.Table) -> pa.Table:
    """The samples, with a row of each edit for every site of the generator: an edit is of none, and measured at all."""
    edited = pc.field("method") == "edits"
    edits, draws = table.filter(edited), table.filter(~edited)
    column = table.column_names.index("site")
    sites = draws["site"].drop_null().unique().to_pylist()
    rows = [edits.set_column(column, "site", pa.array([site] * len(edits), pa.string())) for site in sites]
    return pa.concat_tables([draws, *rows])


def _distances(
    folder: Path, table: pa.Table, store: Store, subject: Subject, progress: Progress, do: Do
) -> Float[ndarray, " n"]:
    """δ of every row to the activation of its target; NaN where there is nothing to measure."""
    unmeasured = _Unmeasured(table, store)
    distance = np.full(len(table), np.nan)
    for split in SPLITS:  # what was run when collecting need not be run again
        at = {tokens: row for row, tokens in enumerate(store.inputs(split).tokens) if tokens in unmeasured.drew}
        rows, distances = unmeasured.measure(list(at), lambda site: store.activations(split, site)[list(at.values())])  # noqa: B023
        distance[rows] = distances
    starts = range(0, len(unmeasured.unread), CHUNK)
    units = [Unit(f"part-{start // CHUNK:05d}.parquet", (start,), len(unmeasured.chunk(start))) for start in starts]
    for path in parts.make(folder, units, lambda: _Reader(folder, unmeasured, subject), progress, do):
        measured = pq.read_table(path)
        distance[measured["row"].to_numpy()] = measured["distance"].to_numpy()
    return distance


class _Unmeasured:
    """Samples without a distance yet: rows of the table by input, and what their distances are computed from.

    Attributes:
        drew: the rows that drew each input.
        unread: the inputs that were not run when collecting; those that share their beginnings stand together.
    """

    def __init__(self, table: pa.Table, store: Store):
        self.rows = table.select(["site", "target", "tokens"]).to_pydict()
        self.drew: dict[Tokens, list[int]] = {}
        for row, (site, tokens) in enumerate(zip(self.rows["site"], self.rows["tokens"], strict=True)):
            if site is not None and tokens is not None:
                self.drew.setdefault(tuple(tokens), []).append(row)
        self.unread = sorted(self.drew.keys() - {tokens for split in SPLITS for tokens in store.inputs(split).tokens})
        self.sites = [Site.parse(site) for site in sorted({site for site in self.rows["site"] if site is not None})]
        self.delta = {site: store.distance(site) for site in self.sites}
        self.targets = {site: store.activations("target", site) for site in self.sites}

    def chunk(self, start: int) -> list[Tokens]:
        """The inputs from this one of `unread` on that are read at once."""
        return self.unread[start : start + CHUNK]

    def measure(
        self, inputs: Sequence[Tokens], activations: Callable[[Site], Float[Tensor, "inputs d"]]
    ) -> tuple[Int[ndarray, " rows"], Float[ndarray, " rows"]]:
        """The rows that drew these inputs, and their δ."""
        drew = [(number, row) for number, tokens in enumerate(inputs) for row in self.drew[tokens]]
        distances = np.empty(len(drew))
        for site in self.sites:
            at = [index for index, (_, row) in enumerate(drew) if self.rows["site"][row] == str(site)]
            if at:
                read = activations(site)[[drew[index][0] for index in at]]
                of_target = self.targets[site][[self.rows["target"][drew[index][1]] for index in at]]
                distances[at] = self.delta[site].paired(read, of_target).double().numpy()
        return np.array([row for _, row in drew], dtype=int), distances


@dataclass(frozen=True)
class _Reader:
    """Does units of the step: a chunk of the inputs that were not read yet."""

    folder: Path
    unmeasured: _Unmeasured
    subject: Subject

    def __call__(self, unit: Unit, progress: Progress, /) -> Path:
        chunk = self.unmeasured.chunk(*unit.arguments)
        captured = self.subject.capture(chunk, list(self.unmeasured.sites), progress=progress)
        rows, distances = self.unmeasured.measure(chunk, captured.activations.__getitem__)
        path = self.folder / unit.file
        files.write_table(path, records.verify.MEASURED.of_columns({"row": rows, "distance": distances}))
        return path


def _describe(
    table: pa.Table,
    distances: Float[ndarray, " n"],
    store: Store,
    task: Task,
    subject: Subject,
    from_pool: Mapping[str, Float[ndarray, "pool targets"]],
) -> pa.Table:
    """The table with what is known of each sample now; columns as `records.verify.SAMPLES` lists them."""
    tokens: list[Tokens | None] = [None if row is None else tuple(row) for row in table["tokens"].to_pylist()]
    distinct = {row for row in tokens if row is not None}
    text = {row: subject.show(row) for row in distinct}
    labels = {row: task.labels(row) for row in distinct}
    train, sources = set(store.inputs("train").tokens), store.inputs("target").tokens
    prior = log_prior(task, tokens)
    accepted = np.where(np.isnan(distances), False, distances <= ACCEPTED)
    columns = {
        **{name: table[name] for name in ("method", "site", "resolution", "bandwidth", "target", "sample", "tokens")},
        "text": pa.array([None if row is None else text[row] for row in tokens], pa.string()),
        "log_q": table["log_q"],
        "log_prior": pa.array(prior, mask=np.array([row is None for row in tokens])),
        "verified": pa.array([row is not None for row in tokens]),
        "distance": pa.array(distances, mask=np.isnan(distances)),
        **_weight_columns(table, tokens, distances, prior, _Targets(store, task, from_pool)),
        "accepted": pa.array(accepted),
        "source": pa.array([row == sources[at] for row, at in zip(tokens, table["target"].to_pylist(), strict=True)]),
        "in_train": pa.array([row in train for row in tokens]),
    }
    for feature in task.features:
        values = [None if row is None else labels[row][feature] for row in tokens]
        columns[f"{records.LABEL}{feature}"] = pa.array(values, pa.string())
    return records.verify.SAMPLES.of_columns(columns)


class _Targets:
    """The targets as sources of the draws: their terms of the normaliser, and what is near to them."""

    def __init__(self, store: Store, task: Task, from_pool: Mapping[str, Float[ndarray, "pool targets"]]):
        self._store, self._from_pool, self.tokens = store, from_pool, store.inputs("target").tokens
        pool, self.kernel = store.inputs("pool").tokens, store.kernel
        self._floors = [log_floor(task, x, pool)[0] for x in self.tokens]

    @lru_cache(maxsize=4)  # noqa: B019 - the targets of a site and bandwidth follow each other
    def _near(self, site: str, bandwidth: float) -> Float[ndarray, " targets"]:
        """The distance that the reference holds typical, for each target."""
        by_target = self._from_pool[site].T.astype(float)
        return weighted_medians(by_target, posterior(self._store, by_target, bandwidth))

    def source(self, site: str, bandwidth: float, target: int) -> Source:
        """A target at a site and bandwidth."""
        return Source(self.tokens[target], self._floors[target], float(self._near(site, bandwidth)[target]))


def _weight_columns(
    table: pa.Table,
    tokens: Sequence[Tokens | None],
    distances: Float[ndarray, " n"],
    prior: Float[ndarray, " n"],
    targets: _Targets,
) -> dict[str, Any]:
    """Weights and their diagnostics, of the generator's draws alone: the others have no target, or no q that is known;
    and how often each input was drawn, of all.
    """
    n = len(table)
    weight, shape, normaliser, floor = np.full((4, n), np.nan)
    times = np.zeros(n, dtype=int)
    unreliable, left_out = np.zeros(n, dtype=bool), np.full(n, None, dtype=object)
    log_q = table["log_q"].to_numpy(zero_copy_only=False).astype(float)
    generated = table["method"].to_numpy(zero_copy_only=False) == "generator"
    for rows, site, bandwidth, target in _groups(table):
        if not generated[rows.start]:
            times[rows] = repeats(tokens[rows])
            continue
        source = targets.source(site, bandwidth, target)
        found = weigh(
            tokens[rows],
            distances[rows],
            targets.kernel,
            bandwidth,
            prior[rows],
            log_q[rows],
            source.log_floor,
            source.near,
        )
        weight[rows], times[rows], shape[rows], floor[rows] = (
            found.weight,
            found.times,
            found.pareto_k,
            source.log_floor,
        )
        normaliser[rows], unreliable[rows], left_out[rows] = found.log_normaliser, found.unreliable, found.left_out
    return {
        "weight": pa.array(weight, mask=np.isnan(distances) | ~generated),
        "times": pa.array(times, pa.int32()),
        "pareto_k": pa.array(shape, mask=np.isnan(shape)),
        "unreliable": pa.array(unreliable),
        "log_normaliser": pa.array(normaliser, mask=~np.isfinite(normaliser)),
        "log_floor": pa.array(floor, mask=np.isnan(floor)),
        "left_out": pa.array(left_out.tolist(), pa.string()),
    }


def _groups(table: pa.Table) -> Iterator[tuple[slice, str, float, int]]:
    """The samples of one target by one method at a site and bandwidth, which stand together."""
    names = ("method", "site", "bandwidth", "target")
    codes = [table[name].combine_chunks().dictionary_encode() for name in names]
    keys = np.stack([code.indices.fill_null(-1).to_numpy(zero_copy_only=False) for code in codes], axis=1)
    ends = np.flatnonzero(np.r_[True, (keys[1:] != keys[:-1]).any(1), True])
    for start, end in itertools.pairwise(ends.tolist()):
        _, site, bandwidth, target = (code[start].as_py() for code in codes)
        yield slice(start, end), site, bandwidth, target


def make_worker(run: OpenRun) -> Worker:
    """Worker of the step `verify`."""
    table = _at_every_site(_drawn(_draws(run.folder)))
    return _Reader(run.folder / "verify", _Unmeasured(table, run.store), run.subject)


def step(run: OpenRun, folder: Path, progress: Progress) -> None:
    """The step `verify`."""
    from_pool, do = read_distances(run.folder), by(run, make_worker)

    def named(done: int, total: int, note: str = "") -> None:
        progress(done, total, f"{NOTE}, {note}" if note else NOTE)

    verify(folder, _draws(run.folder), run.store, run.task, run.subject, from_pool, named, do)


def _draws(run: Path) -> list[Path]:
    return sorted((run / "sample").glob("part-*.parquet"))


def _drawn(paths: Sequence[Path]) -> pa.Table:
    return pa.concat_tables(files.read_table(path) for path in paths)
