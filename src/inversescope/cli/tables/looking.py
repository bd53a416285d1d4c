"""Tables of sites, tasks, the installation and the checks of a model."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from rich.console import Group
from rich.markup import escape
from rich.table import Table

from inversescope.config import keys
from inversescope.plan.doctor import Check
from inversescope.sites import SubjectShape

if TYPE_CHECKING:
    from pydantic import BaseModel

    from inversescope.cluster.nodes import Compared
    from inversescope.subject.site_checks import SiteCheck
    from inversescope.tasks import Entry

_SIGNS = {True: "[green]ok[/]", False: "[red]missing[/]", None: "[yellow]limited[/]"}


def sites_table(name: str, shape: SubjectShape, points: Sequence[str]) -> Table:
    """The addresses that exist in a subject of this shape that has these points."""
    table = Table("point", "addresses", "how many", "coordinates", title=f"sites of {name}", title_justify="left")
    for point in points:
        limits = [limit for _, limit in shape.numbers(point)]
        first, last = (".".join([point, *map(str, end)]) for end in ([0] * len(limits), [n - 1 for n in limits]))
        addresses = f"{first} to {last}" if limits else point
        table.add_row(point, addresses, str(math.prod(limits)), str(shape.coordinates(point)))
    return table


def site_checks_table(name: str, checks: Sequence[SiteCheck]) -> Group:
    """Measured error of each check, and the points that are refused."""
    table = Table("", "check", "relative error", "allowed", title=f"checks of {name}", title_justify="left")
    signs = {True: "[green]ok[/]", False: "[red]fails[/]", None: "[dim]–[/]"}
    for check in checks:
        error = "not examined" if check.error is None else f"{check.error:.1e}" if check.error else "0"
        sign, allowed = signs[check.ok], "" if check.allowed is None else f"{check.allowed:g}"
        if check.size is not None:
            sign, error = "[yellow]cannot tell[/]", f"felt: {check.size:.1e}"
        table.add_row(sign, escape(check.name), error, allowed)
    failed = dict.fromkeys(point for check in checks if check.ok is False for point in check.points)
    untold = dict.fromkeys(point for check in checks if check.size is not None for point in check.points)
    lines = [f"[red]refused: {', '.join(failed)}[/]" if failed else "every check that can be made holds"]
    if untold:
        lines.append(f"[yellow]offered, but not proved: {', '.join(untold)}: no input changed enough there to tell[/]")
    return Group(table, *lines)


def doctor_table(checks: Sequence[Check]) -> Table:
    """Each check of the installation, its result, and what to do."""
    table = Table("", "what", "found", "what to do")
    for check in checks:
        table.add_row(_SIGNS[check.ok], check.name, escape(check.found), escape(check.remedy or ""))
    return table


def nodes_table(compared: Sequence[Compared]) -> Table:
    """Each fact of the nodes of a cluster, and who has which value."""
    table = Table("", "what", "value", "nodes")
    for fact in compared:
        for value, names in fact.values.items():
            table.add_row(
                "[green]ok[/]" if fact.ok else "[red]differs[/]", fact.name, escape(value), escape(", ".join(names))
            )
    return table


def tasks_table(entries: Iterable[Entry]) -> Table:
    """Each task by its name, with the docstring of its config."""
    table = Table("task", "what it is", box=None, pad_edge=False)
    for entry in entries:
        table.add_row(entry.name, escape(summary(entry)))
    return table


def summary(entry: Entry) -> str:
    """The first paragraph of the docstring of a task's config."""
    return (entry.config.__doc__ or "").split("\n\n")[0]


def task_table(entry: Entry) -> Table:
    """The keys of a task's section in a config, with their defaults."""
    return keys_table("task", entry.config)


def keys_table(section: str, model: type[BaseModel]) -> Table:
    """The keys of a section of a config, with their defaults and meanings."""
    table = Table(
        "key", "default", "meaning", box=None, pad_edge=False, title=escape(f"[{section}]"), title_justify="left"
    )
    for key, default, meaning in keys(model):
        table.add_row(key, escape(default), escape(meaning))
    return table
