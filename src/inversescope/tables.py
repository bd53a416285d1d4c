"""Tables for the terminal. They read records, and compute nothing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Group
from rich.markup import escape
from rich.table import Table

from inversescope import files
from inversescope.doctor import Check
from inversescope.sites import POINTS, Site, SubjectShape

if TYPE_CHECKING:
    from inversescope.inverter import Inversion

_SIGNS = {True: "[green]ok[/]", False: "[red]missing[/]", None: "[yellow]limited[/]"}


def summary_table(run: Path) -> Table:
    """Each feature at the generator's last site: what every source says of its consistency."""
    scores = files.read_json(run / "score" / "results.json")["scores"]
    generated = [row for row in scores if row["source"] == "generator"]
    table = Table(title="feature consistency rate [95% interval over targets]", title_justify="left")
    for column in ("feature", "site", "h", "generator", "weighted", "reference", "nearest", "no condition", "chance"):
        table.add_column(column)
    if not generated:
        return table
    last = max(generated, key=lambda row: Site.parse(row["site"]).depth)["site"]
    for row in generated:
        if row["site"] == last:
            others = {
                other["source"]: other
                for other in scores
                if (other["site"], other["feature"]) == (last, row["feature"])
                and other["bandwidth"] in (row["bandwidth"], None)
            }
            cells = [
                _estimate(others.get(name))
                for name in ("generator", "weighted", "reference", "nearest", "no condition")
            ]
            table.add_row(row["feature"], last, f"{row['bandwidth']:g}", *cells, _number(row["chance"]))
    return table


def inversion_table(inversion: Inversion) -> Group:
    """The samples of one inversion, nearest first."""
    head = (
        f"[bold]{escape(inversion.text)}[/]\n{inversion.site}, h = {inversion.bandwidth:g}: "
        f"{len(inversion.samples)} samples, "
        f"acceptance {inversion.acceptance:.2f}, effective sample size {inversion.effective_sample_size:.1f}"
    )
    table = Table("δ", "weight", "accepted", "sample")
    for sample in inversion.samples:
        text = "[dim]never ended[/]" if sample.text is None else _marked(inversion.text, sample.text)
        table.add_row(_number(sample.distance), _number(sample.weight), "yes" if sample.accepted else "", text)
    shared = Table("feature", "source", "weight of the samples that share it")
    for name, value in inversion.labels.items():
        shared.add_row(escape(name), escape(value or "undecided"), _number(inversion.shared(name)))
    return Group(head, table, shared)


def sites_table(name: str, shape: SubjectShape) -> Table:
    """The addresses that exist in a subject of this shape."""
    table = Table("point", "addresses", "how many", "coordinates", title=f"sites of {name}", title_justify="left")
    for point in POINTS:
        per_head = point == "z"
        last = f"{point}.{shape.layers - 1}" + (f".{shape.heads - 1}" if per_head else "")
        count = shape.layers * (shape.heads if per_head else 1)
        first = f"{point}.0.0" if per_head else f"{point}.0"
        table.add_row(point, f"{first} to {last}", str(count), str(shape.head_width if per_head else shape.width))
    return table


def doctor_table(checks: Sequence[Check]) -> Table:
    """What was examined, what was found, and what to do."""
    table = Table("", "what", "found", "what to do")
    for check in checks:
        table.add_row(_SIGNS[check.ok], check.name, escape(check.found), escape(check.remedy or ""))
    return table


def _marked(source: str, text: str) -> str:
    from difflib import SequenceMatcher

    old, new = source.split(), text.split()
    parts = []
    for kind, _, _, start, end in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        words = escape(" ".join(new[start:end]))
        if words:
            parts.append(words if kind == "equal" else f"[bold]{words}[/]")
    return " ".join(parts)


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def _estimate(row: dict | None) -> str:
    if row is None or row["fcr"] is None:
        return "–"
    if row["fcr_low"] is None:
        return _number(row["fcr"])
    return f"{row['fcr']:.2f} [{row['fcr_low']:.2f}, {row['fcr_high']:.2f}]"
