"""The miner on planted worlds, from texts alone: what a site encodes must come first in its list."""

from __future__ import annotations

import pytest
from planted_truth import BANDWIDTHS, runs_in

first_found = pytest.importorskip("planted_mine").first_found
pytestmark = pytest.mark.timeout(900)  # whichever test is first makes the runs that all share


def test_the_miner_puts_what_is_planted_first_at_least_nine_times_in_ten(tmp_path_factory: pytest.TempPathFactory):
    found = first_found(runs_in(tmp_path_factory.getbasetemp()))
    for h in BANDWIDTHS:
        wrong = [place for place, (_, planted) in found.items() if place[-1] == h and not planted]
        assert sum(place[-1] == h for place in found) == 2 * 16
        assert len(wrong) <= 0.1 * 2 * 16, wrong
