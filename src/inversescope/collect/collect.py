"""Inputs from the prior in three splits, and their activations in shards: what everything later reads.

A shard holds some sites of some rows of a split. What no shard holds is read: the rest after an interruption, and the
inputs and the sites by which the config has grown. Never more than one shard's activations are in memory.
"""

from __future__ import annotations

import shutil
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

import pyarrow.parquet as pq
import torch
from jaxtyping import Float
from numpy import ndarray
from safetensors import safe_open
from torch import Tensor

from inversescope import files
from inversescope.collect.inputs import sizes, write_inputs
from inversescope.config import CollectConfig
from inversescope.errors import UserError
from inversescope.sites import Site
from inversescope.subject import Subject
from inversescope.tasks import Task, Tokens
from inversescope.units import Moments, Units

INPUTS, SHARDS = "inputs.parquet", "shards.json"
FLOAT = 4  # bytes
# Called as work goes on: inputs read, of how many, and how much goes to disk.
Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class Inputs:
    """The inputs of one split, in order, with their labels."""

    tokens: list[Tokens]
    texts: list[str]
    labels: dict[str, list[str | None]]
    probability: Float[ndarray, " n"] | None = None  # of each, where they are the whole prior; None: they are draws

    def __len__(self) -> int:
        return len(self.tokens)


class Store:
    """Reads what `collect` wrote. `folder` is the step's folder."""

    def __init__(self, folder: Path):
        self.folder = folder

    @lru_cache(maxsize=4)  # noqa: B019 - as many as there are splits
    def inputs(self, split: str) -> Inputs:
        """The inputs of `train`, `pool` or `target`."""
        table = pq.read_table(self.folder / INPUTS, filters=[("split", "=", self._kept(split))])
        table = table.sort_by("row")
        labels = {
            name.removeprefix("label."): table[name].to_pylist()
            for name in table.column_names
            if name.startswith("label.")
        }
        tokens = [tuple(row) for row in table["tokens"].to_pylist()]
        known = table["probability"].null_count == 0
        return Inputs(tokens, table["text"].to_pylist(), labels, table["probability"].to_numpy() if known else None)

    @lru_cache(maxsize=2)  # noqa: B019 - a site is asked about many times in a row
    def activations(self, split: str, site: Site) -> Float[Tensor, "n d"]:
        """The activations of a site, row i for input i of the split; float32, the subject's own units.

        Raises:
            UserError: the site was not collected for this split.
        """
        parts: dict[int, Tensor] = {}  # by their first row
        others: set[str] = set()
        for shard in self.shards(self._kept(split)):
            with safe_open(self.folder / shard["file"], "pt") as tensors:
                others.update(tensors.keys())
                if str(site) in tensors.keys():  # noqa: SIM118 - no container
                    parts[shard["start"]] = tensors.get_tensor(str(site))
        if not parts:
            raise UserError(
                f"this run has no {split} activations of this site", given=site, allowed=_short(sorted(others))
            )
        return torch.cat([parts[start] for start in sorted(parts)])

    def shards(self, split: str) -> list[dict]:
        """The entries of the shards of a split, in the order in which they were written."""
        return [shard for shard in self.all_shards() if shard["split"] == split]

    def all_shards(self) -> list[dict]:
        """The entries of all shards that are written: file, split, first row, rows, hash."""
        path = self.folder / SHARDS
        return files.read_json(path) if path.exists() else []

    def column(self, name: str, split: str, start: int, rows: int) -> list:
        """A column of `inputs.parquet` for some rows of a split; the others are not read."""
        here = [("split", "=", split), ("row", ">=", start), ("row", "<", start + rows)]
        return pq.read_table(self.folder / INPUTS, columns=[name, "row"], filters=here).sort_by("row")[name].to_pylist()

    def units(self, site: Site) -> Units:
        """The site's mean and standard deviation over the pool."""
        with safe_open(self.folder / "statistics.safetensors", "pt") as tensors:
            mean, deviation = (tensors.get_tensor(f"{site}.{name}") for name in ("mean", "deviation"))
        return Units(mean, deviation, len(self.inputs("pool")))

    @cached_property
    def exact(self) -> bool:
        """Whether the pool is the whole prior, so that sums over it are exact."""
        return self.inputs("pool").probability is not None

    def _kept(self, split: str) -> str:
        """Where a split's inputs are: trained on the whole prior, the pool is both."""
        return "pool" if split == "train" and self._trained_on_pool else split

    @cached_property
    def _trained_on_pool(self) -> bool:
        splits = pq.read_table(self.folder / INPUTS, columns=["split"])["split"]
        return "train" not in splits.unique().to_pylist()


def collect(
    folder: Path,
    config: CollectConfig,
    task: Task,
    subject: Subject,
    sites: Mapping[str, Sequence[Site]],
    seed: int,
    progress: Progress,
) -> None:
    """Draw the inputs that are missing, then read what no shard holds.

    Args:
        sites: for each split, where it is read.
        seed: decides the inputs.

    Raises:
        UserError: the prior has too few inputs, the activations do not fit on the disk, or a shard is not what was
            written.
    """
    write_inputs(folder / INPUTS, config, task, subject, seed)
    store = Store(folder)
    for shard in store.all_shards():
        files.check_hash(folder / shard["file"], shard["sha256"])
    parts = [part for split in sizes(folder / INPUTS) for part in _parts(store, split, sites[split], config.shard)]
    note = _room(folder, sum(part.bytes(subject) for part in parts))
    done, total = 0, sum(part.rows for part in parts)
    progress(done, total, note)
    for part in parts:
        if part.missing:
            _read(store, part, subject, lambda more, done=done: progress(done + more, total, note))
        done += part.rows
        progress(done, total, note)
    _write_statistics(store, sites["pool"])


@dataclass(frozen=True)
class _Part:
    """Some rows of a split, and the sites of them that no shard holds."""

    split: str
    start: int
    rows: int
    missing: tuple[Site, ...]

    def bytes(self, subject: Subject) -> int:
        """What reading it puts on the disk."""
        return FLOAT * self.rows * sum(subject.dimension(site) for site in self.missing)


def _parts(store: Store, split: str, sites: Sequence[Site], size: int) -> Iterator[_Part]:
    """All rows of a split: as they were cut into shards before, and the rest in parts of `size`."""
    held: defaultdict[tuple[int, int], set[str]] = defaultdict(set)
    for shard in store.shards(split):
        with safe_open(store.folder / shard["file"], "pt") as tensors:
            held[shard["start"], shard["rows"]].update(tensors.keys())
    for (start, rows), names in held.items():
        yield _Part(split, start, rows, tuple(site for site in sites if str(site) not in names))
    end = sizes(store.folder / INPUTS)[split]
    for start in range(max((start + rows for start, rows in held), default=0), end, size):
        yield _Part(split, start, min(size, end - start), tuple(sites))


def _room(folder: Path, needed: int) -> str:
    """How much is to be written, in words, if it fits on the disk."""
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


def _read(store: Store, part: _Part, subject: Subject, progress: Callable[[int], None]) -> None:
    """Write a shard. It counts once `shards.json` names it, with its hash."""
    inputs: list[Tokens] = [tuple(row) for row in store.column("tokens", part.split, part.start, part.rows)]
    read = 0

    def count(batch: int) -> None:
        nonlocal read
        read += batch
        progress(read)

    captured = subject.capture(inputs, part.missing, progress=count)
    file = store.folder / f"{part.split}-{len(store.shards(part.split)):05d}.safetensors"
    files.write_tensors(file, {str(site): rows for site, rows in captured.activations.items()})
    entry = {"file": file.name, "split": part.split, "start": part.start, "rows": part.rows}
    files.write_json(store.folder / SHARDS, [*store.all_shards(), entry | {"sha256": files.sha256(file)}])


def _write_statistics(store: Store, sites: Sequence[Site]) -> None:
    """Mean and deviation of each site over the pool, shard by shard."""
    moments = {str(site): Moments() for site in sites}
    for shard in store.shards("pool"):
        probability = store.column("probability", "pool", shard["start"], shard["rows"])
        weights = None if None in probability else torch.tensor(probability, dtype=torch.float64)
        with safe_open(store.folder / shard["file"], "pt") as tensors:
            for site in moments.keys() & set(tensors.keys()):
                moments[site].add(tensors.get_tensor(site), weights)
    found = {site: measured.units() for site, measured in moments.items()}
    tensors = {f"{site}.mean": units.mean for site, units in found.items()}
    tensors |= {f"{site}.deviation": units.deviation for site, units in found.items()}
    files.write_tensors(store.folder / "statistics.safetensors", tensors)


def _short(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
