"""Records that are made on request: other methods beside inversion, and hypotheses that a language model proposed."""

from __future__ import annotations

import math
from pathlib import Path

from rich.console import Group
from rich.markup import escape
from rich.table import Table

from inversescope import files, records
from inversescope.cli.tables.cells import estimated, recorded
from inversescope.report.arena import amount, load_arena
from inversescope.verdicts import NULL_PASSES
from inversescope.verdicts.wording import number, of_row, small


def arena_table(folder: Path) -> Group:
    """Each method over all sites and features, best first, in 80 columns."""
    arena = load_arena(folder)
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    for column in ("method", "identified", "corrected", "train s", "cut", "new/s"):
        table.add_column(column, no_wrap=True)
    for name in arena.methods:
        row, cost = arena.results[name, None, None], arena.method(name)
        seen = "†" if cost["supervised"] else ""
        estimates = (escape(of_row(row, measure)) for measure in ("accuracy", "corrected"))
        costs = amount(cost["training"]), f"{cost['cut']}/{cost['fits']}", amount(cost["new_per_second_with_training"])
        table.add_row(name + seen, *estimates, *costs)
    targets = f"{arena.study['targets']} targets, {len(arena.study['sites'])} sites"
    foot = (
        "[dim]†: was shown labels. cut: trainings that the time ended before they no longer\n"
        "improved. new/s: distinct verified inputs a second within the reference's\n"
        "typical distance, neither source nor training inputs, training included[/]"
    )
    return Group(f"share of labels identified \\[95% interval over targets], {targets}", table, foot)


def disentangle_table(run: Path) -> Group:
    """The best site of each way to intervene, over all attributes."""
    rows = files.read_table(run / records.disentangle.RESULTS.path).to_pylist()
    attributes = files.read_json(files.verified(run / records.disentangle.QUESTIONS.path))["attributes"]
    table = Table(box=None, pad_edge=False)
    for column in ("activation of", "site", "Cause", "Isolate", "Disentangle"):
        table.add_column(column, no_wrap=True)
    over_all = [row for row in rows if row["attribute"] is None]
    for method in dict.fromkeys(row["method"] for row in over_all):
        here = [row for row in over_all if row["method"] == method]
        row = max(here, key=lambda row: -1 if row["disentangle"] is None else row["disentangle"])
        table.add_row(method, row["site"], *(estimated(row, name) for name in ("cause", "isolate", "disentangle")))
    counts = ", ".join(f"{escape(name)} {count['right']} of {count['questions']}" for name, count in attributes.items())
    head = "each at its best site, mean over attributes \\[95% interval over targets]"
    return Group(head, table, f"[dim]questions answered right as they are: {counts}[/]")


def proposals_table(run: Path, site: str, bandwidth: float) -> Group:
    """The proposed hypotheses of a site at a bandwidth, the surest first, and what they cost."""
    rows = files.read_table(run / records.propose.PROPOSALS.path).to_pylist()
    here = [row for row in rows if (row["site"], row["bandwidth"]) == (site, bandwidth)]
    usage = files.read_json(files.verified(run / records.propose.USAGE.path))
    table, rest = Table(box=None, pad_edge=False), []
    for column in ("hypothesis", "corrected \\[95%]", "shuffled", "q", "targets"):
        table.add_column(column, no_wrap=column != "hypothesis")
    for row in sorted(here, key=surest):
        words = f"{escape(row['words'])}\n[dim]{escape(row['feature'])}[/]"
        if row["status"] == "scored":
            table.add_row(
                words, recorded(row, "corrected"), number(row["shuffled"]), small(row["q_value"]), str(row["targets"])
            )
        else:
            rest.append(f"[yellow]{row['status']}[/]: {words}\n{escape(row['reason'])}")
    if any(row["null_passes"] for row in here):
        rest.append(f"[yellow]nothing is claimed: {NULL_PASSES}[/]")
    if usage["stopped"]:
        rest.append(f"[yellow]stopped early[/]: {escape(usage['stopped'])}")
    counts = f"{usage['unparsed']} replies could not be read, {usage['malformed']} hypotheses are malformed"
    foot = f"[dim]{usage['calls']} calls answered until now; this time {counts}[/]"
    return Group(f"[bold]{escape(site)}[/], h = {bandwidth:.3g}, on targets that were not shown", table, *rest, foot)


def surest(row: dict) -> float:
    """Sorting key of proposed hypotheses: the lower end of the corrected score, the undefined last."""
    return math.inf if row["corrected_low"] is None else -row["corrected_low"]
