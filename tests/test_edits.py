"""Edits of an input: never itself, and nothing that no other input has at that place."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inversescope.sample.edits import edits_of

inputs = st.lists(st.integers(0, 5), min_size=1, max_size=6).map(tuple)


@given(st.lists(inputs, min_size=1, max_size=4), st.lists(inputs, min_size=1, max_size=8), st.integers(0, 2**32 - 1))
def test_edits_splice_what_others_have_there(sources: list, others: list, seed: int):
    edited = edits_of(sources, others, 5, np.random.default_rng(seed))
    assert [len(each) for each in edited] == [5] * len(sources)
    for source, edits in zip(sources, edited, strict=True):
        editable = any(a != b for other in others for a, b in zip(source, other, strict=False))
        for edit in edits:
            assert (edit is None) == (not editable)
            if edit is not None:
                changed = [place for place, token in enumerate(edit) if token != source[place]]
                assert len(edit) == len(source) and changed
                assert all(edit[place] in {x[place] for x in others if len(x) > place} for place in changed)


def test_how_many_positions_change_is_geometric():
    source, others = tuple(range(20)), [tuple(range(100, 120))]
    (edits,) = edits_of([source], others, 4000, np.random.default_rng(0))
    changed = np.array([sum(a != b for a, b in zip(source, edit or (), strict=True)) for edit in edits])
    shares = [(changed == k).mean() for k in (1, 2, 3)]
    assert shares == pytest.approx([1 / 2, 1 / 4, 1 / 8], abs=0.03)
    places = np.array([[a != b for a, b in zip(source, edit or (), strict=True)] for edit in edits]).mean(0)
    assert places == pytest.approx(np.full(20, changed.mean() / 20), abs=0.02)


def test_tokens_come_as_often_as_the_others_have_them():
    edits = edits_of([(0, 9)], [(1, 9)] * 3 + [(2, 9)] + [(0, 9)] * 5, 4000, np.random.default_rng(1))[0]
    assert set(edits) == {(1, 9), (2, 9)}
    assert np.mean([edit == (1, 9) for edit in edits]) == pytest.approx(3 / 4, abs=0.03)
