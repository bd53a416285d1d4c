"""What the miner finds on planted worlds from texts alone.

    python tests/planted_mine.py OUT

`OUT` is what `planted_truth.py` left. For each bandwidth: at how many sites of all runs a planted feature comes first.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow.parquet as pq
from planted_truth import BANDWIDTHS, Runs, finished_in
from planted_worlds import World

from inversescope import files
from inversescope.features.language import parse
from inversescope.progress import silent
from inversescope.records import collect, score, verify
from inversescope.score.mine import mine

Place = tuple[str, int, str, float]  # world, seed, site, bandwidth
Parts = set[frozenset[int]]


def first_found(runs: Runs) -> dict[Place, tuple[str, bool]]:
    """The hypothesis that comes first at each site of which something is known, and whether it is what is planted."""
    found = {}
    for (world, seed), run in runs.items():
        with TemporaryDirectory() as folder:
            for row in _mined(run, Path(folder), seed):
                if row["rank"] == 1 and row["site"] in world.encoded:
                    place = world.name, seed, row["site"], row["bandwidth"]
                    found[place] = row["hypothesis"], is_planted(world, row["site"], row["hypothesis"])
    return found


def is_planted(world: World, site: str, hypothesis: str) -> bool:
    """Whether it parts the texts as an encoded feature does, or as all of them do together."""
    features, label = world.encoded[site], parse(hypothesis).label
    planted = [_parts([row[feature] for row in world.rows]) for feature in features]
    together = _parts([tuple(row[feature] for feature in features) for row in world.rows])
    return _parts([label(row["text"]) for row in world.rows]) in [*planted, together]


def _mined(run: Path, copy: Path, seed: int) -> list[dict]:
    """The miner's list from the run's inputs and samples without their labels."""
    for record in (collect.BANDWIDTHS, collect.INPUTS, verify.SAMPLES, score.RESULTS):
        name = record.path
        table = pq.read_table(run / name)
        (copy / name).parent.mkdir()
        files.write_table(copy / name, table.drop([name for name in table.column_names if name.startswith("label.")]))
    (copy / "mine").mkdir()
    mine(copy, seed, silent)
    return pq.read_table(copy / "mine" / "hypotheses.parquet").to_pylist()


def _parts(labels: Sequence[object]) -> Parts:
    """How labels part the texts, whatever they are called."""
    return {frozenset(i for i, each in enumerate(labels) if each == label) for label in labels}


def main() -> None:
    found = first_found(finished_in(Path(sys.argv[1])))
    for h in BANDWIDTHS:
        right = [planted for (_, _, _, bandwidth), (_, planted) in found.items() if bandwidth == h]
        print(f"h = {h}: planted first at {sum(right)} of {len(right)} sites")


if __name__ == "__main__":
    main()
