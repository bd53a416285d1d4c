"""Batches and packed rows: whatever is read together, each input is read once, and sees exactly its own tokens."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from inversescope.subject.batches import batches
from inversescope.subject.packing import ancestry, distinct_prefixes, pack

# Few tokens and short inputs: many shared prefixes, duplicates, and inputs that are prefixes of others.
inputs_strategy = st.lists(st.lists(st.integers(1, 3), min_size=1, max_size=6).map(tuple), min_size=1, max_size=30)


@given(inputs_strategy, st.integers(1, 20))
def test_the_ancestors_of_an_end_node_spell_its_input(inputs: list[tuple[int, ...]], capacity: int):
    rows = pack(inputs, capacity)
    assert sorted(index for row in rows for index, _ in row.reads) == list(range(len(inputs)))
    for row in rows:
        sees = ancestry(np.array([row.stops]))[0]
        for index, node in row.reads:
            path = np.flatnonzero(sees[node])
            assert [row.tokens[j] for j in path] == list(inputs[index])
            assert [row.depths[j] for j in path] == list(range(len(inputs[index])))


@given(inputs_strategy, st.integers(1, 20))
def test_every_node_sees_its_parents_line_and_nothing_else(inputs: list[tuple[int, ...]], capacity: int):
    for row in pack(inputs, capacity):
        sees = ancestry(np.array([row.stops]))[0]
        for node, depth in enumerate(row.depths):
            line, wanted = [node], depth - 1
            for earlier in reversed(range(node)):
                if row.depths[earlier] == wanted:
                    line.append(earlier)
                    wanted -= 1
            assert wanted == -1
            assert np.flatnonzero(sees[node]).tolist() == sorted(line)


@given(inputs_strategy, st.integers(1, 20))
def test_rows_keep_to_their_capacity_and_a_roomy_row_computes_nothing_twice(inputs, capacity: int):
    assert all(len(row) <= max(capacity, *(len(inputs[i]) for i, _ in row.reads), 0) for row in pack(inputs, capacity))
    (row,) = pack(inputs, 10_000)
    assert len(row) == len({tokens[:n] for tokens in inputs for n in range(1, len(tokens) + 1)})


@given(inputs_strategy)
def test_distinct_prefixes_are_counted(inputs: list[tuple[int, ...]]):
    assert distinct_prefixes(inputs) == len({each[:end] for each in inputs for end in range(1, len(each) + 1)})


@given(inputs_strategy, st.integers(6, 60), st.booleans())
def test_what_an_input_sees_in_its_batch_is_itself(inputs: list[tuple[int, ...]], budget: int, share: bool):
    read = []
    for batch in batches(inputs, budget, share=share):
        assert batch.tokens.numel() <= budget
        for index, row, column in zip(batch.inputs, batch.rows, batch.columns, strict=True):
            if batch.positions is None:
                visible = batch.mask[row].nonzero()[:, 0]
                positions = visible = visible[visible <= column]
            else:
                visible = batch.mask[row, 0, column].nonzero()[:, 0]
                positions = batch.positions[row, visible]
            assert batch.tokens[row, visible].tolist() == list(inputs[index])
            assert positions.tolist() == list(range(len(inputs[index])))
            read.append(int(index))
    assert sorted(read) == list(range(len(inputs)))


@given(inputs_strategy, st.integers(6, 60))
def test_no_row_of_a_mask_is_empty(inputs: list[tuple[int, ...]], budget: int):
    for batch in batches(inputs, budget, share=True):
        if batch.positions is not None:
            assert batch.mask.any(-1).all()


def test_prefixes_are_shared_only_where_it_pays():
    alone = torch.randint(0, 10_000, (50, 16), generator=torch.Generator().manual_seed(0)).tolist()
    alike = [(*range(15), last) for last in range(50)]
    assert all(batch.positions is None for batch in batches([tuple(tokens) for tokens in alone], 1024, share=True))
    assert all(batch.positions is None for batch in batches(alike, 1024, share=False))
    (batch,) = batches(alike, 1024, share=True)
    assert batch.tokens.numel() == 15 + 50
