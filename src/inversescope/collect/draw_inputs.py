"""Draw the inputs of a run from its prior, and write their table. A table that is there can only grow."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from inversescope import files, records
from inversescope.collect.inputs import SPLITS
from inversescope.config import CollectConfig
from inversescope.errors import UserError
from inversescope.streams import Stream
from inversescope.subject import Subject
from inversescope.tasks import Task, Tokens
from inversescope.tasks.corpus import CorpusRead
from inversescope.tasks.rows_read import RowsRead

ROWS = 4096  # inputs written at once
Numbered = tuple[str, int, Tokens]  # split, row in it, input


def write_inputs(path: Path, config: CollectConfig, task: Task, subject: Subject, seed: int) -> None:
    """Draw the inputs that the table at `path` lacks, all of them if there is none, and write it whole.

    Inputs that are there keep their split and row. Each split's new inputs stand behind, sorted: inputs that begin
    alike come into one shard, and their beginnings are computed once.

    Raises:
        UserError: the prior has too few inputs, or the disk is full.
    """
    held = sizes(path)
    wanted = _wanted(config)
    assert all(held[split] <= size for split, size in wanted.items())
    if held and all(held[split] == size for split, size in wanted.items()):
        return
    kept = {split: _tokens(path, split) if held else [] for split in wanted}
    rng = Stream.INPUTS.rng(seed, *([sum(held.values())] if held else []))
    new = _draw(wanted, kept, task, rng)
    if config.pool == "all" and not held:
        new["pool"] = sorted(tokens for tokens, _ in task.enumerate())
    prior = dict(task.enumerate()) if config.pool == "all" else {}
    rows = ((split, held[split] + row, tokens) for split in SPLITS for row, tokens in enumerate(new.get(split, [])))
    files.write(path, lambda temporary: _write(temporary, path, rows, prior, task, subject))


def _wanted(config: CollectConfig) -> dict[str, int]:
    """Number of inputs of each split that is drawn."""
    requested = {"train": config.train, "pool": config.pool, "target": config.targets}
    assert "auto" not in requested.values(), "the sizes of the splits are not known yet"
    return {split: size for split, size in requested.items() if isinstance(size, int)}


def draw_splits(config: CollectConfig, task: Task, rng: np.random.Generator) -> dict[str, list[Tokens]]:
    """The inputs of each split that is drawn.

    Raises:
        UserError: the prior has too few inputs.
    """
    wanted = _wanted(config)
    return _draw(wanted, {split: [] for split in wanted}, task, rng)


def sizes(path: Path) -> Counter[str]:
    """Number of inputs of each split of a table; nothing where there is no table."""
    if not path.exists():
        return Counter()
    counts = files.read_table(path, columns=["split"])["split"].value_counts()
    return Counter({row["values"]: row["counts"] for row in counts.to_pylist()})


def _tokens(path: Path, split: str) -> list[Tokens]:
    table = files.read_table(path, columns=["tokens"], filters=[("split", "=", split)])
    return [tuple(row) for row in table["tokens"].to_pylist()]


def _draw(
    sizes: dict[str, int], kept: dict[str, list[Tokens]], task: Task, rng: np.random.Generator
) -> dict[str, list[Tokens]]:
    """Independent draws from the prior, beside those that are kept. The first ones, repeats left out, are the targets;
    then a new input goes to train or pool, whichever is further from full, and stays there.

    So no input is in two splits, targets are distinct, and train and pool repeat an input as often as the prior does.
    The same holds for documents, if inputs come from documents: each goes to one split, and a target is the only input
    of its own. A task with `held_out` says which inputs targets come from, and no other split has these.
    """
    origin, held_out = document_of(task), getattr(task, "held_out", None)
    splits = {split: list(inputs) for split, inputs in kept.items()}
    home = {origin(tokens): split for split, inputs in kept.items() for tokens in inputs}
    spent = Counter(tokens for inputs in kept.values() for tokens in inputs if task.rows is not None)
    missing = sum(sizes.values()) - sum(map(len, kept.values()))
    for tokens in _draws(task, missing, rng):
        if spent[tokens]:  # this row of the file is in a split already
            spent[tokens] -= 1
            continue
        split = home.get(origin(tokens))
        if split is None:
            open_splits = _open_splits(tokens, splits, sizes, held_out)
            if not open_splits:
                continue
            split = home[origin(tokens)] = min(open_splits, key=lambda name: len(splits[name]) / sizes[name])
        elif split == "target" or len(splits[split]) == sizes[split]:
            continue
        splits[split].append(tokens)
        if all(len(splits[name]) == size for name, size in sizes.items()):
            return {name: sorted(inputs[len(kept[name]) :]) for name, inputs in splits.items()}
    drawn = ", ".join(f"{split} {len(splits[split])} of {size}" for split, size in sizes.items())
    raise too_few("the prior has too few different inputs for these splits", drawn, task)


def _open_splits(
    tokens: Tokens,
    splits: Mapping[str, Sequence[Tokens]],
    sizes: Mapping[str, int],
    held_out: Callable[[Tokens], bool] | None,
) -> list[str]:
    """Splits that may take a new input and are not full: that of the targets, or the others."""
    to_targets = len(splits["target"]) < sizes["target"] if held_out is None else held_out(tokens)
    allowed = ["target"] if to_targets else [name for name in sizes if name != "target"] or ["target"]
    return [name for name in allowed if len(splits[name]) < sizes[name]]


def document_of(task: Task) -> Callable[[Tokens], Hashable]:
    """The document that an input comes from, by its name; of a task without documents the input itself."""
    return getattr(task, "document", lambda tokens: tokens)


def too_few(problem: str, given: str, task: Task) -> UserError:
    """The error that a prior is too small, with the cause where it is texts that were cut until they were alike."""
    remedy = "ask for fewer (collect.train, collect.pool, collect.targets), or widen the task"
    if isinstance(reading := getattr(task, "reading", None), CorpusRead):
        remedy = f"ask for fewer, or take more documents: {reading.notes[1]}, and each document is in one split"
    elif isinstance(reading, RowsRead):
        given += f"; {reading.notes[0]}"
        if reading.cut is not None and reading.distinct < reading.rows:
            given, remedy = f"{given}; {reading.cut}", f"a larger task.max_tokens; or {remedy}"
    return UserError(problem, given=given, remedy=remedy)


def _draws(task: Task, needed: int, rng: np.random.Generator) -> Iterator[Tokens]:
    """Draws from the prior: the rows of a file once; of an endless prior, up to twenty times what is needed."""
    if task.rows is not None:
        yield from task.draw(task.rows, rng)
        return
    for _ in range(20):
        yield from task.draw(needed, rng)


def _write(
    target: Path, old: Path, rows: Iterator[Numbered], prior: dict[Tokens, float], task: Task, subject: Subject
) -> None:
    """The rows of the old table, if there is one, and the new ones behind them."""
    next_rows = _table(list(islice(rows, ROWS)), prior, task, subject)
    with pq.ParquetWriter(target, next_rows.schema) as writer:
        if old.exists():
            for batch in pq.ParquetFile(files.verified(old)).iter_batches(ROWS):
                writer.write_batch(batch)
        while len(next_rows):
            writer.write_table(next_rows)
            next_rows = _table(list(islice(rows, ROWS)), prior, task, subject)


def _table(rows: Sequence[Numbered], prior: dict[Tokens, float], task: Task, subject: Subject) -> pa.Table:
    labels = [task.labels(tokens) for _, _, tokens in rows]
    columns = {
        "split": pa.array([split for split, _, _ in rows], pa.string()),
        "row": pa.array([row for _, row, _ in rows], pa.int32()),
        "tokens": pa.array([list(tokens) for _, _, tokens in rows], pa.list_(pa.int32())),
        "text": pa.array([subject.show(tokens) for _, _, tokens in rows], pa.string()),
        "probability": pa.array([prior.get(x) if split == "pool" else None for split, _, x in rows], pa.float64()),
    }
    for feature in task.features:
        columns[f"{records.LABEL}{feature}"] = pa.array([label[feature] for label in labels], pa.string())
    return records.collect.INPUTS.of_columns(columns)
