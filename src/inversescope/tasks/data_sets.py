"""Rows of a data set of the library `datasets`, one by one."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

from inversescope.errors import UserError
from inversescope.extras import install
from inversescope.tasks.text_files import Row, Rows, not_empty, with_names


def read_dataset(name: str, subset: str | None, split: str) -> Rows:
    """The columns and the rows of a data set: of the Hugging Face hub (streamed), of a folder of data files, or of one
    that `save_to_disk` wrote.

    Raises:
        UserError: `datasets` is not installed, or the data set, its subset or its split cannot be read.
    """
    try:
        import datasets
    except ImportError as error:
        remedy = install("datasets")
        raise UserError("reading a data set needs the package datasets", given=name, remedy=remedy) from error
    folder, what = Path(name), f"{name!r}, subset {subset!r}, split {split!r}"
    try:
        if (folder / "dataset_dict.json").exists() or (folder / "state.json").exists():
            saved: Any = datasets.load_from_disk(name)
            data = _of_split(saved, split, what) if isinstance(saved, dict) else saved
        else:
            data = datasets.load_dataset(name, subset, split=split, streaming=True)
    except UserError:
        raise
    except (OSError, ValueError, RuntimeError, LookupError) as error:  # LookupError: what was saved has no rows
        raise _unreadable(what, error) from error
    rows = not_empty(_rows(data, what), name)
    first = next(rows)
    return list(first[1]), chain([first], rows)


def _of_split(saved: Any, split: str, what: str) -> Any:
    if split not in saved:
        raise UserError("the data set has no such split", given=what, allowed=", ".join(saved))
    return saved[split]


def _rows(data: Any, what: str) -> Iterator[Row]:
    features = getattr(data, "features", None) or {}
    classes = {name: kind.names for name, kind in features.items() if type(kind).__name__ == "ClassLabel"}
    try:
        for number, row in enumerate(data, start=1):
            yield f"{what}, row {number}", with_names(row, classes)
    except (OSError, ValueError, RuntimeError) as error:
        raise _unreadable(what, error) from error


def _unreadable(what: str, error: Exception) -> UserError:
    return UserError(
        "the data set cannot be read",
        given=f"{what}: {' '.join(str(error).split())}",
        allowed="a data set's name on the Hugging Face hub, a folder of data files, or one made by save_to_disk",
    )
