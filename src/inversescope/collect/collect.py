"""Inputs from the prior in three splits, and their activations in shards: what everything later reads.

A shard holds some sites of some rows of a split, and its name says of which inputs. Inputs that no shard holds are
read: the rest after an interruption, and the inputs and the sites by which the config has grown. Never more than one
shard's activations are in memory.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
import shutil
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import safe_open

from inversescope import files
from inversescope.cluster import Do, Unit, Worker, by, here, parts
from inversescope.collect.distance import Distance
from inversescope.collect.draw_inputs import sizes, write_inputs
from inversescope.collect.inputs import INPUTS
from inversescope.collect.noise_floor import write_noise_floor
from inversescope.collect.store import DEFAULT, SHARDS, OpenRun, Store
from inversescope.config import CollectConfig, NeighbourhoodConfig
from inversescope.errors import UserError
from inversescope.progress import Progress
from inversescope.sites import Site
from inversescope.subject import Subject
from inversescope.tasks import Task, Tokens
from inversescope.units import Moments, Units

FLOAT = 4  # bytes
_SHARD = re.compile(r"(train|pool|target)-\d+-[0-9a-f]+\.safetensors")
_LOG = logging.getLogger(__name__)


def collect(
    folder: Path,
    config: CollectConfig,
    task: Task,
    subject: Subject,
    sites: Mapping[str, Sequence[Site]],
    seed: int,
    progress: Progress,
    neighbourhood: NeighbourhoodConfig = DEFAULT,
    do: Do = here,
) -> None:
    """Draw the inputs that are missing, then read what no shard holds. If the table of inputs or a shard is not what
    was written, it is made again, with a message.

    Args:
        sites: for each split, where it is read.
        seed: decides the inputs.
        neighbourhood: gives the distance in which the noise floor is measured.

    Raises:
        UserError: the prior has too few inputs, the activations do not fit on the disk, or a shard is not what was
            written a moment before.
    """
    store = Store(folder, neighbourhood)
    with parts.alone(folder):
        parts.kept(folder / INPUTS)
        write_inputs(folder / INPUTS, config, task, subject, seed)
        parts.keep(folder / INPUTS)
        _drop_changed(store)
    _list_kept(store)
    blocks = [block for split in sizes(folder / INPUTS) for block in _parts(store, split, sites[split], config.shard)]
    unread = {block.unit(store): block for block in blocks if block.missing}
    units = parts.missing(folder, list(unread), [block.start // config.shard for block in unread.values()])
    note = _room(folder, sum(unread[unit].bytes(subject) for unit in units))
    total = sum(block.rows for block in blocks)
    before = total - sum(unit.size for unit in units)

    def shown(done: int, _: int, more: str = "") -> None:
        progress(before + done, total, f"{note}; {more}" if more else note)

    progress(0, total, note)
    for done in do(units, lambda: Reader(store, subject), shown):
        parts.keep(done.file)
    parts.end_of_share(folder)
    _list_kept(store)
    _check(store)
    statistics = _write_statistics(store, sites["pool"])
    distances = {site: Distance.of(neighbourhood.distance, of_site) for site, of_site in statistics.items()}
    count = sizes(folder / INPUTS)["pool"]
    write_noise_floor(store, subject, distances, count, config.shard, seed)


@dataclass(frozen=True)
class _Part:
    """Some rows of a split, and the sites of them that no shard holds."""

    split: str
    start: int
    rows: int
    missing: tuple[Site, ...]

    def unit(self, store: Store) -> Unit:
        """The unit that reads them; its file bears a hash of the inputs."""
        inputs = [tuple(row) for row in store.column("tokens", self.split, self.start, self.rows)]
        sites = tuple(str(site) for site in self.missing)
        name = _name(self.split, self.start, inputs, sites)
        return Unit(name, (self.split, self.start, self.rows, sites), self.rows)

    def bytes(self, subject: Subject) -> int:
        """Bytes on the disk."""
        return FLOAT * self.rows * sum(subject.dimension(site) for site in self.missing)


def _parts(store: Store, split: str, sites: Sequence[Site], size: int) -> Iterator[_Part]:
    """All rows of a split: as they were cut into shards before, and the rest in parts of `size`."""
    held: defaultdict[tuple[int, int], set[str]] = defaultdict(set)
    for shard in store.shards(split):
        with safe_open(files.verified(store.folder / shard["file"]), "pt") as tensors:
            held[shard["start"], shard["rows"]].update(tensors.keys())
    for (start, rows), names in held.items():
        yield _Part(split, start, rows, tuple(site for site in sites if str(site) not in names))
    end = sizes(store.folder / INPUTS)[split]
    for first, last in _gaps(held, end):
        for start in range(first, last, size):
            yield _Part(split, start, min(size, last - start), tuple(sites))


def _gaps(held: Iterable[tuple[int, int]], end: int) -> Iterator[tuple[int, int]]:
    """First row, and the one after the last, of the rows up to `end` that are in no range (first row, rows)."""
    row = 0
    for start, rows in sorted(held):
        if row < start:
            yield row, start
        row = max(row, start + rows)
    if row < end:
        yield row, end


def _room(folder: Path, needed: int) -> str:
    """Bytes to be written, in words, if they fit on the disk."""
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise UserError(
            "the activations do not fit on the disk",
            given=f"{_size(needed)} to write in {folder}",
            allowed=f"{_size(free)} free",
            remedy="fewer inputs (collect.train, collect.pool) or sites, or a folder on a larger disk",
        )
    return f"inputs; {_size(needed)} to write, {_size(free)} free"


def _size(size: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:,.3g} TB"


@dataclass(frozen=True)
class Reader:
    """Does units of the step: a shard. No batch of inputs is in two of them."""

    store: Store
    subject: Subject

    def __call__(self, unit: Unit, progress: Progress, /) -> Path:
        split, start, rows, sites = unit.arguments
        inputs: list[Tokens] = [tuple(row) for row in self.store.column("tokens", split, start, rows)]
        captured = self.subject.capture(inputs, [Site.parse(site) for site in sites], progress=progress)
        path = self.store.folder / unit.file
        files.write_tensors(path, {str(site): read for site, read in captured.activations.items()})
        return path


def _list_kept(store: Store) -> None:
    """Name the shards that are kept as parts in `shards.json`, with their hashes: then they count. Nothing where this
    process does a share of the units: the process that finishes the step names them.
    """
    if parts.is_share(store.folder):
        return
    listed = store.all_shards()
    known = {shard["file"] for shard in listed}
    for name, sha256 in parts.named(store.folder).items():
        if name not in known and _SHARD.fullmatch(name) and parts.kept(store.folder / name):
            split, start, _ = name.split("-")
            listed.append({"file": name, "split": split, "start": int(start), "rows": _rows(store.folder / name)})
            listed[-1]["sha256"] = sha256
    if len(listed) > len(known):
        listed.sort(key=lambda shard: (shard["split"], shard["start"], shard["file"]))
        files.write_json(store.folder / SHARDS, listed)


def _rows(shard: Path) -> int:
    with safe_open(shard, "pt") as tensors:
        return tensors.get_slice(next(iter(tensors.keys()))).get_shape()[0]


def _name(split: str, start: int, inputs: Sequence[Tokens], sites: Iterable[str]) -> str:
    """Name of a shard: its split, its first row, and a hash of its inputs and sites."""
    held = json.dumps([[list(tokens) for tokens in inputs], sorted(sites)])
    return f"{split}-{start:07d}-{hashlib.sha256(held.encode()).hexdigest()[:12]}.safetensors"


def _drop_changed(store: Store) -> None:
    """Take the shards out of `shards.json` that are not what was written."""
    path = store.folder / SHARDS
    try:
        listed = store.all_shards()
    except UserError as error:
        _LOG.warning("%s; every shard is read again", error)
        listed = []
    held = [shard for shard in listed if _as_written(store, shard)]
    if len(held) < len(listed) or (path.exists() and not listed):
        files.write_json(path, held)


def _as_written(store: Store, shard: dict) -> bool:
    try:
        _check_shard(store, shard)
    except (UserError, KeyError, TypeError) as error:
        _LOG.warning("the inputs of a shard are read again: %s", error)
        return False
    return True


def _check(store: Store) -> None:
    """Compare every shard with its hash, and its name with the inputs that it should hold.

    Raises:
        UserError: a shard is not what was written, or holds the activations of other inputs.
    """
    for shard in store.all_shards():
        _check_shard(store, shard)


def _check_shard(store: Store, shard: dict) -> None:
    path = store.folder / shard["file"]
    files.check_hash(path, shard["sha256"])
    inputs = [tuple(row) for row in store.column("tokens", shard["split"], shard["start"], shard["rows"])]
    with safe_open(path, "pt") as tensors:
        name = _name(shard["split"], shard["start"], inputs, tensors.keys())
    if name != path.name:
        raise UserError(
            "a shard holds the activations of other inputs than inputs.parquet has in its rows",
            given=path,
            allowed=name,
            remedy=f"delete the folder {store.folder} and start again with --resume",
        )


def _write_statistics(store: Store, sites: Sequence[Site]) -> dict[Site, Units]:
    """Mean and deviation of each site over the pool, shard by shard."""
    moments = {str(site): Moments() for site in sites}
    for shard in store.shards("pool"):
        probability = store.column("probability", "pool", shard["start"], shard["rows"])
        weights = None if None in probability else torch.tensor(probability, dtype=torch.float64)
        with safe_open(files.verified(store.folder / shard["file"]), "pt") as tensors:
            for site in moments.keys() & set(tensors.keys()):
                moments[site].add(tensors.get_tensor(site), weights)
    statistics = {site: measured.units() for site, measured in moments.items()}
    tensors = {f"{site}.mean": units.mean for site, units in statistics.items()}
    tensors |= {f"{site}.deviation": units.deviation for site, units in statistics.items()}
    files.write_tensors(store.folder / "statistics.safetensors", tensors)
    return {site: statistics[str(site)] for site in sites}


def make_worker(run: OpenRun) -> Worker:
    """Worker of the step `collect`."""
    return Reader(run.store, run.subject)


def step(run: OpenRun, folder: Path, progress: Progress) -> None:
    """The step `collect`."""
    config, do = run.config, by(run, make_worker)
    collect(folder, config.collect, run.task, run.subject, run.sites, run.seed, progress, config.neighbourhood, do)
