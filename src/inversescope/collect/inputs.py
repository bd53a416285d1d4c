"""The inputs of a run, with their probability under the prior, and the noise floor of its sites. Free of torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Float
from numpy import ndarray

from inversescope import files, records
from inversescope.tasks import Tokens

INPUTS = "inputs.parquet"
SPLITS = ("train", "pool", "target")


@dataclass(frozen=True)
class Inputs:
    """The inputs of one split, in order, with their labels.

    Attributes:
        enumerated: P of each, where the inputs are the whole prior; None where they are draws from it.
    """

    tokens: list[Tokens]
    texts: list[str]
    labels: dict[str, list[str | None]]
    enumerated: Float[ndarray, " n"] | None = None

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def exact(self) -> bool:
        """True where the inputs are the whole prior, so that sums over them are exact."""
        return self.enumerated is not None

    @property
    def probability(self) -> Float[ndarray, " n"]:
        """P of each input: the prior's where they are the whole prior, else uniform over the draws."""
        return np.full(len(self), 1 / len(self)) if self.enumerated is None else self.enumerated

    @property
    def log_prior(self) -> Float[ndarray, " n"]:
        """ln P of each input, up to a constant: zero for draws, which are equally likely."""
        return np.zeros(len(self)) if self.enumerated is None else np.log(self.enumerated)

    def shares(self, rows: Sequence[int]) -> Float[ndarray, " rows"] | None:
        """P of some of the inputs among themselves, for `Generator.choice`; None where they are equally likely."""
        return None if self.enumerated is None else self.enumerated[rows] / self.enumerated[rows].sum()


def read_inputs(path: Path, split: str) -> Inputs:
    """The inputs of `train`, `pool` or `target` in a table of inputs."""
    table = files.read_table(path, filters=[("split", "=", kept_as(path, split))]).sort_by("row")
    labels = {
        name.removeprefix("label."): table[name].to_pylist() for name in table.column_names if name.startswith("label.")
    }
    tokens = [tuple(row) for row in table["tokens"].to_pylist()]
    enumerated = table["probability"].to_numpy() if table["probability"].null_count == 0 else None
    return Inputs(tokens, table["text"].to_pylist(), labels, enumerated)


@dataclass(frozen=True)
class KnownInputs:
    """Inputs of the prior that are not in the pool, each once, with their probability: a stratum of the reference.

    The reference is Σ P(x)·k over them, and for the rest of the prior Σ w·k over the rows of the pool.

    Attributes:
        rows: split of each, and row in it.
        probability: P of each.
        of_pool: w, the share of the prior that each row of the pool stands for. All of both add up to one.
    """

    rows: list[tuple[str, int]]
    probability: Float[ndarray, " known"]
    of_pool: Float[ndarray, " pool"]

    @property
    def shares(self) -> Float[ndarray, " inputs"]:
        """Shares of the prior: those of the pool, and behind them those of the known inputs."""
        return np.concatenate((self.of_pool, self.probability))

    def places(self, inputs: pa.Table) -> list[int]:
        """Rows of the whole table of inputs."""
        addresses = zip(inputs["split"].to_pylist(), inputs["row"].to_pylist(), strict=True)
        place = {address: number for number, address in enumerate(addresses)}
        return [place[address] for address in self.rows]


def read_known(run: Path) -> KnownInputs | None:
    """The known inputs of a run; None where it has none."""
    path = run / records.collect.KNOWN.path
    if not files.written(path):
        return None
    table = files.read_table(path)
    pool, known = table.filter(pc.field("split") == "pool").sort_by("row"), table.filter(pc.field("split") != "pool")
    rows = list(zip(known["split"].to_pylist(), known["row"].to_pylist(), strict=True))
    return KnownInputs(rows, known["share"].to_numpy(), pool["share"].to_numpy())


def read_noise_floor(folder: Path) -> dict[str, float]:
    """The noise floor of each site in the folder of `collect`."""
    table = files.read_table(folder / records.collect.NOISE_FLOOR.name)
    return dict(zip(table["site"].to_pylist(), table["floor"].to_pylist(), strict=True))


def kept_as(path: Path, split: str) -> str:
    """The split under which a split's inputs are written: a generator trained on the whole prior is trained on the
    pool.
    """
    if split != "train":
        return split
    splits = files.read_table(path, columns=["split"])["split"].unique().to_pylist()
    return "train" if "train" in splits else "pool"
