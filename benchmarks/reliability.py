"""Disturb runs and commands in every way that is known to have broken them, and count how many end as they should.

    python benchmarks/reliability.py OUT [--only kills bits ...] [sizes; see --help]

Every trial is made on a random model of two layers, so that a whole run takes seconds. `OUT/figures.json` holds the
figures, and is written again after each of them. Exit code 0: every trial ended as it should.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

from faults import bits, commands, fuzz, kills, writers
from faults.figures import Part
from rich.console import Console
from rich.table import Table

PARTS: dict[str, Part] = {
    "kills": kills.PART,
    "writers": writers.PART,
    "bits": bits.PART,
    "fuzz": fuzz.PART,
    "commands": commands.PART,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="folder for the trials")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), help="parts; default: all")
    parser.add_argument("--seed", type=int, default=0, help="decides moments, bits and inputs")
    for name, part in PARTS.items():
        part.options(parser.add_argument_group(name, part.about))
    chosen = parser.parse_args()
    rows = []
    for name in chosen.only:
        folder = chosen.out.resolve() / name
        folder.mkdir(parents=True)
        started = time.monotonic()
        for figure in PARTS[name].measure(folder, chosen):
            seconds, started = time.monotonic() - started, time.monotonic()
            rows.append({"part": name, **vars(figure), "seconds": round(seconds, 1)})
            print(*(f"{key} {value}" for key, value in rows[-1].items()), sep=", ", file=sys.stderr, flush=True)
            (chosen.out / "figures.json").write_text(json.dumps(rows, indent=2) + "\n")
    _show(rows)
    sys.exit(any(row["held"] < row["tried"] for row in rows))


def _show(rows: list[dict]) -> None:
    table = Table("part", "case", "as they should", "seconds", "peak, MB", "note")
    for row in rows:
        peak = "" if row["peak"] is None else str(row["peak"])
        table.add_row(
            row["part"], row["case"], f"{row['held']} of {row['tried']}", f"{row['seconds']:g}", peak,
            "; ".join([*filter(None, [row["note"]]), *row["wrong"][:3]]),
        )  # fmt: skip
    Console(width=150).print(table)


if __name__ == "__main__":
    main()
