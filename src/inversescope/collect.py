"""Inputs from the prior in three splits, and their activations in shards: what everything later reads."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from jaxtyping import Float
from numpy import ndarray
from safetensors import safe_open
from torch import Tensor

from inversescope import files
from inversescope.config import CollectConfig
from inversescope.errors import UserError
from inversescope.sites import Site
from inversescope.spread import Spread
from inversescope.subject import Subject
from inversescope.tasks import Labels, Task, Tokens

SPLITS = ("train", "pool", "target")
SHARDS = "shards.json"
Progress = Callable[[int, int], None]


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
        table = pq.read_table(self.folder / "inputs.parquet", filters=[("split", "=", self._kept(split))])
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
        parts = []
        for shard in files.read_json(self.folder / SHARDS):
            if shard["split"] == self._kept(split):
                with safe_open(self.folder / shard["file"], "pt") as tensors:
                    if str(site) not in tensors.keys():  # noqa: SIM118 - no container
                        raise UserError(
                            f"this run has no {split} activations of this site",
                            given=site,
                            allowed=_short(tensors.keys()),
                        )
                    parts.append(tensors.get_tensor(str(site)))
        return torch.cat(parts)

    def spread(self, site: Site) -> Spread:
        """The site's mean and standard deviation over the pool."""
        with safe_open(self.folder / "statistics.safetensors", "pt") as tensors:
            mean, deviation = (tensors.get_tensor(f"{site}.{name}") for name in ("mean", "deviation"))
        return Spread(mean, deviation, len(self.inputs("pool")))

    @cached_property
    def exact(self) -> bool:
        """Whether the pool is the whole prior, so that sums over it are exact."""
        return self.inputs("pool").probability is not None

    def _kept(self, split: str) -> str:
        """Where a split's inputs are: trained on the whole prior, the pool is both."""
        return "pool" if split == "train" and self._trained_on_pool else split

    @cached_property
    def _trained_on_pool(self) -> bool:
        splits = pq.read_table(self.folder / "inputs.parquet", columns=["split"])["split"]
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
    """Draw the inputs, then read the sites of each split; shards that are there already are kept.

    Args:
        sites: for each split, where it is read.
        seed: decides the inputs.

    Raises:
        UserError: the prior has too few inputs, the disk is full, or a shard is not what was written.
    """
    path = folder / "inputs.parquet"
    if not path.exists():
        files.write_table(path, _table(_split(config, task, seed), config, task, subject))
    shards = _check_shards(folder)
    store = Store(folder)
    splits = [split for split in SPLITS if not (split == "train" and config.train == "all")]
    done, total = 0, sum(len(store.inputs(split)) for split in splits)
    for split in splits:
        tokens = store.inputs(split).tokens
        for start in range(0, len(tokens), config.shard):
            part = tokens[start : start + config.shard]
            file = f"{split}-{start // config.shard:05d}.safetensors"
            if file not in {shard["file"] for shard in shards}:
                before = done

                def count(batch: int) -> None:
                    nonlocal before
                    before += batch
                    progress(before, total)

                captured = subject.capture(part, sites[split], progress=count)
                tensors = {str(site): rows for site, rows in captured.activations.items()}
                files.write_tensors(folder / file, tensors)
                shards.append({"file": file, "split": split, "rows": len(part), "sha256": files.sha256(folder / file)})
                files.write_json(folder / SHARDS, shards)
            done += len(part)
            progress(done, total)
    _write_statistics(store, sites["pool"])


def _split(config: CollectConfig, task: Task, seed: int) -> dict[str, list[Tokens]]:
    """Independent draws from the prior. The first ones, repeats left out, are the targets; then a new input goes to
    train or pool, whichever is further from full, and stays there.

    So no input is in two splits, targets are distinct, and train and pool repeat an input as often as the prior does.
    Each split is sorted: inputs that begin alike come into one shard, and their beginnings are computed once. A split
    of all inputs is every input of the prior, the targets too.
    """
    everything = sorted(tokens for tokens, _ in task.enumerate()) if config.pool == "all" else []
    asked = {"train": config.train, "pool": config.pool, "target": config.targets}
    sizes = {split: size for split, size in asked.items() if size != "all"}
    splits: dict[str, list[Tokens]] = {split: [] for split in sizes}
    home: dict[Tokens, str] = {}
    for tokens in _draws(task, sum(sizes.values()), np.random.default_rng([seed, 1])):
        split = home.get(tokens)
        if split is None:
            others = [name for name in sizes if name != "target"] or ["target"]
            open_splits = others if len(splits["target"]) == sizes["target"] else ["target"]
            split = home[tokens] = min(open_splits, key=lambda name: len(splits[name]) / sizes[name])
        elif split == "target" or len(splits[split]) == sizes[split]:
            continue
        splits[split].append(tokens)
        if all(len(splits[name]) == size for name, size in sizes.items()):
            found = {name: sorted(inputs) for name, inputs in splits.items()}
            return found | ({"pool": everything} if config.pool == "all" else {})
    found = ", ".join(f"{split} {len(splits[split])} of {size}" for split, size in sizes.items())
    raise UserError(
        "the prior has too few different inputs for these splits",
        given=found,
        remedy="ask for fewer (collect.train, collect.pool, collect.targets), or widen the task",
    )


def _draws(task: Task, needed: int, rng: np.random.Generator) -> Iterator[Tokens]:
    """Draws from the prior: the rows of a file once; of an endless prior, up to twenty times what is needed."""
    if task.rows is not None:
        yield from task.draw(task.rows, rng)
        return
    for _ in range(20):
        yield from task.draw(needed, rng)


def _table(splits: dict[str, list[Tokens]], config: CollectConfig, task: Task, subject: Subject) -> pa.Table:
    prior = dict(task.enumerate()) if config.pool == "all" else {}
    rows = [(split, row, tokens) for split in SPLITS for row, tokens in enumerate(splits.get(split, []))]
    labels: list[Labels] = [task.labels(tokens) for _, _, tokens in rows]
    columns = {
        "split": pa.array([split for split, _, _ in rows]),
        "row": pa.array([row for _, row, _ in rows], pa.int32()),
        "tokens": pa.array([list(tokens) for _, _, tokens in rows], pa.list_(pa.int32())),
        "text": pa.array([subject.show(tokens) for _, _, tokens in rows], pa.string()),
        "probability": pa.array([prior.get(x) if split == "pool" else None for split, _, x in rows], pa.float64()),
    }
    for feature in task.features:
        columns[f"label.{feature}"] = pa.array([label[feature] for label in labels], pa.string())
    return pa.table(columns)


def _check_shards(folder: Path) -> list[dict]:
    """The shards written so far, after comparing each with its hash."""
    path = folder / SHARDS
    shards = files.read_json(path) if path.exists() else []
    for shard in shards:
        files.check_hash(folder / shard["file"], shard["sha256"])
    return shards


def _write_statistics(store: Store, sites: Sequence[Site]) -> None:
    tensors = {}
    for site in sites:
        probability = store.inputs("pool").probability
        weights = None if probability is None else torch.tensor(probability)
        spread = Spread.of(store.activations("pool", site), weights)
        tensors |= {f"{site}.mean": spread.mean, f"{site}.deviation": spread.deviation}
    files.write_tensors(store.folder / "statistics.safetensors", tensors)


def _short(names: Sequence[str]) -> str:
    names = sorted(names)
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
