"""The causal check on planted worlds: what feeds the output is used, what is written and never read is not."""

from __future__ import annotations

import pyarrow.parquet as pq
import pytest
from planted_truth import SEEDS, runs_in
from planted_worlds import SENTENCES, WORLDS, Truth, World

pytest.importorskip("inversescope.usage")

Verdicts = dict[tuple[World, int, str, str], str]  # by world, seed, site and feature


@pytest.fixture(scope="module")
def verdicts(tmp_path_factory: pytest.TempPathFactory) -> Verdicts:
    return {
        (world, seed, row["site"], row["feature"]): row["verdict"]
        for (world, seed), run in runs_in(tmp_path_factory.getbasetemp()).items()
        for row in pq.read_table(run / "score" / "usage.parquet").to_pylist()
    }


def those_of(verdicts: Verdicts, world: World, truth: Truth) -> set[str]:
    return {verdicts[world, seed, site, name] for seed in SEEDS for site, names in truth.items() for name in names}


@pytest.mark.parametrize("world", WORLDS, ids=lambda world: world.name)
def test_what_feeds_the_output_is_used_and_nothing_else_is(verdicts: Verdicts, world: World):
    assert those_of(verdicts, world, world.used) == {"encoded and used"}
    assert those_of(verdicts, world, world.unused) <= {"encoded, unused", "cannot tell"}
    assert those_of(verdicts, world, world.erased) <= {"neither", "cannot tell"}


def test_a_head_that_writes_where_nothing_reads_is_unused(verdicts: Verdicts):
    assert those_of(verdicts, SENTENCES, {"z.0.1": ("animal",)}) == {"encoded, unused"}
