"""The random streams of a run: the numbers that results rest on, and that no two streams meet by accident."""

from __future__ import annotations

from collections import defaultdict

import numpy as np

from inversescope.streams import Stream, TorchStream

# Streams with the same numbers: their uses differ, and they stay as they are so that results stay.
SHARED = [
    {"ACCURACY", "PROPOSAL_SPLIT"},
    {"INPUTS", "JUDGED"},
    {"DONORS", "JUDGE_REPEATS"},
    {"HALVES", "PROPOSAL_SHUFFLES", "EXPLANATION_DONORS"},
    {"QUALITY", "ARENA_RESAMPLES"},
    {"TWO_SAMPLE", "ARENA_SIGNS"},
]


def test_a_stream_follows_from_the_seed_its_numbers_and_the_place():
    assert Stream.EDITS.rng(3).random() == np.random.default_rng([3, 19]).random()
    assert Stream.DONORS.rng(3, 2).random() == np.random.default_rng([3, 4, 2]).random()
    assert Stream.ROWS.rng(3, *b"z").random() == np.random.default_rng([3, 122]).random()
    assert TorchStream.TRAINING.seed(3, 7) == 3_000_016
    assert TorchStream.SAMPLES.seed(3, 7) == 503_000_023
    assert TorchStream.CALIBRATION.seed(3) == 3


def test_streams_share_numbers_only_where_that_is_known():
    by_numbers: defaultdict[tuple[int, ...], set[str]] = defaultdict(set)
    for stream in Stream:
        by_numbers[stream.value[0]].add(stream.name)
    assert [names for numbers, names in by_numbers.items() if numbers and len(names) > 1] == SHARED
